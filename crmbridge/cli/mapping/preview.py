"""`crmbridge mapping preview`: some records on both sides, as the mapping reads them, and what a sync would write."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import rich_click as click

from crmbridge.cli.context import Place, names
from crmbridge.cli.mapping.common import ENTITY, json_option, plain_place
from crmbridge.model import ENTITIES, SIDES, Entity, Native, Side, Unlinked, attribute_name, other
from crmbridge.reasons import for_people

if TYPE_CHECKING:
    from crmbridge.cli.mapping.choose import Chosen
    from crmbridge.model import Row, Seen
    from crmbridge.sync.cycle import Engine
    from crmbridge.sync.preview import Previewed
    from crmbridge.sync.work import Order
    from mapping import Document
    from mapping.places import Behind

SAMPLE = 3


@click.command("preview")
@click.argument("records", metavar="[RECORD]...", nargs=-1)
@click.option("--sample", "count", metavar="N", type=click.IntRange(1, 1000), help="So many of each kind instead.")
@click.option("--entity", type=ENTITY, help="A sample of one kind only.")
@json_option
@click.pass_obj
def preview(place: Place, records: tuple[str, ...], count: int | None, entity: str | None, as_json: bool) -> None:
    """Show some records as both CRMs have them, as the mapping reads them, and what a sync would write.

    RECORD is a shared id, a native id, a CRM URL or entity:e-mail; without any, a sample of 3 of each kind. The records
    are read from both CRMs now, with the mapping files as they are now. Each value tells the line behind it. Nothing is
    written.
    """
    if records and (count or entity):
        raise click.UsageError("Name records, or ask for a sample with --sample and --entity; not both.")
    from crmbridge import wiring
    from crmbridge.cli.mapping.choose import named, sample
    from crmbridge.sync.preview import preview_pair, preview_single
    from crmbridge.sync.scope import touch

    settings = place.settings()
    documents = {one.entity: one for one in wiring.load_mapping(settings)}
    with place.engine() as engine:
        view = engine.look()
        touch(view.hands, view)  # which accounts and contacts are in scope
        wanted: list[Entity] = [one for one in ENTITIES if one in documents and entity in (None, one)]
        chosen = named(engine, settings, records) if records else sample(engine, count or SAMPLE, wanted)
        shown: list[dict[str, Any]] = []
        for one in chosen:
            previewed = None
            if one.link is not None and one.link.alive and one.whole:
                previewed = preview_pair(view, one.link, one.rows)
            elif one.link is None and one.rows:
                previewed = preview_single(view, next(iter(one.rows.values())))
            shown.append(_document(engine, documents[one.entity], one, previewed))
    if as_json:
        from crmbridge.cli.output import print_json

        print_json({"records": shown})
        return
    for one in shown:
        _print(one, list(names(settings).values()))
    if not shown:
        click.echo("There is no record to show.")
    click.echo("Nothing was written.")


# --- as one document ----------------------------------------------------------------------------------------------


def _document(
    engine: "Engine", document: "Document", chosen: "Chosen", previewed: "Previewed | None"
) -> dict[str, Any]:
    link = previewed.link if previewed else chosen.link
    head: dict[str, Any] = {
        "entity": chosen.entity,
        "shared_id": chosen.link.id if chosen.link else None,
        "how": link.how or link.mode if link else None,
        "new_pair": link is not None and chosen.link is None,
        "ids": {engine.names[side]: seen.row.ref.id for side, seen in (previewed.seen if previewed else {}).items()}
        or {engine.names[side]: row.ref.id for side, row in chosen.rows.items()},
        "note": _note(engine, chosen, previewed),
    }
    if previewed is None:
        return {**head, "state": {}, "fields": [], "writes": [], "told": []}
    return {
        **head,
        "state": {
            engine.names[side]: {"state": seen.shared.state, "status": seen.shared.status, "native": seen.life.status}
            for side, seen in previewed.seen.items()
            if seen.shared.state is not None
        },
        "fields": [_field(engine, document, previewed, name) for name in document.fields],
        "writes": [_write(engine, document, previewed, order) for order in previewed.orders],
        "told": [
            {
                "kind": event.kind,
                "cause": event.cause,
                "field": _first(event.fields),
                "message": event.reason,
                "fix": event.fix,
            }
            for event in previewed.events
        ],
    }


def _note(engine: "Engine", chosen: "Chosen", previewed: "Previewed | None") -> str:
    link = chosen.link
    if not chosen.rows:
        return "No CRM shows it any more."
    if link is not None and not link.alive:
        return "This pair has ended: nothing is written."
    if link is not None and not chosen.whole:
        gone = next(engine.names[side] for side in SIDES if side not in chosen.rows)
        return f"{gone} does not show its record: the next sync finds out what became of it."
    if link is None and previewed is not None and previewed.link is None:
        keys = engine.compiled.entities[chosen.entity].match
        twin = "; ".join(" + ".join(key) for key in keys)
        there = other(next(iter(previewed.seen)))
        if not engine.store.count_records(there, chosen.entity):
            return (
                f"Nothing of {engine.names[there]} has been read yet. A plan finds out whether anything brings it into "
                f"scope, and looks for its twin{f' by {twin}' if twin else ''}; until then it is taken as a new one."
            )
        if not previewed.orders and not previewed.events:
            return "It has no partner and gets none: no lead, opportunity or choice of yours brings it into scope."
        return "It has no partner, and no twin is known on the other side."
    return ""


def _field(engine: "Engine", document: "Document", previewed: "Previewed", name: str) -> dict[str, Any]:
    from crmbridge.cli.verify import plain_value
    from mapping.places import behind_field

    field = document.fields[name]
    native: dict[str, Any] = {}
    shared: dict[str, Any] = {}
    values: list[Any] = []
    for side, seen in previewed.seen.items():
        if side not in field.columns:
            continue
        native[engine.names[side]] = _native(engine, previewed.entity, side, seen, name)
        if name in seen.shared.fields:
            value = seen.shared.fields[name]
            values.append(value)
            unlinked = isinstance(value, Unlinked)
            shared[engine.names[side]] = f"({value.entity} {value.id}, no partner)" if unlinked else plain_value(value)
    behind = behind_field(document, field, next((value for value in values if value is not None), None))
    problems = [problem.message for _, problem in previewed.problems if problem.field == name]
    rule = next((one for one in engine.compiled.entities[previewed.entity].rules if one.name == name), None)
    same = len(values) < len(SIDES) or rule is None or rule.same(*values)
    return {"field": name, "native": native, "shared": shared, "same": same, "problems": problems, **_behind(behind)}


def _native(engine: "Engine", entity: Entity, side: Side, seen: "Seen", name: str) -> Any:
    """The raw value; of several columns, all that are not blank."""
    end = engine.compiled.entities[entity].ends(side, seen.shared).get(name)
    found = {wire: getattr(seen.row.values, attribute_name(wire), None) for wire in end.wires} if end else {}
    if end is not None and end.column in found and not end.parts:
        return found[end.column]  # money stands beside its currency
    present = {wire: value for wire, value in found.items() if value is not None}
    return present if len(found) > 1 and present else next(iter(present.values()), None)


def _write(engine: "Engine", document: "Document", previewed: "Previewed", order: "Order") -> dict[str, Any]:
    from mapping.places import behind_column

    there, source = order.side, previewed.seen.get(other(order.side))
    target = previewed.seen.get(there)
    shared = source.shared if source else None
    columns: list[dict[str, Any]] = []
    for column, value in order.columns.items():
        behind = behind_column(
            document, there, column, shared.fields if shared else {}, shared.status if shared else None
        )
        columns.append(
            {
                "column": column,
                "before": _before(target.row if target else None, column),
                "after": value,
                "why": for_people(order.why.get(behind.field or "", ""), engine.names, there),
                **_behind(behind),
            }
        )
    return {
        "on": engine.names[there],
        "kind": order.kind,
        "reason": for_people(order.reason, engine.names, there),
        "columns": columns,
    }


def _before(row: "Row | None", column: str) -> Any:
    if row is None or row.values is None:
        return None
    return getattr(row.values, attribute_name(column), getattr(row.values, f"_{column}_value", None))


def _behind(behind: "Behind") -> dict[str, Any]:
    return {
        "field": behind.field,
        "convert": behind.convert or None,
        "rule": behind.rule or None,
        "at": plain_place(behind.at) if behind.at else None,
        "row_at": plain_place(behind.row_at) if behind.row_at and behind.row_at != behind.at else None,
    }


def _first(fields: Sequence[str]) -> str | None:
    return fields[0] if fields else None


_DOES: Final[Mapping[str, str]] = {
    "adopt": "link what both conversions made",
    "convert": "convert the lead",
    "disqualify": "disqualify the lead",
    "reactivate": "open the lead again",
    "status": "set the status",
    "stage": "move the stage",
    "win": "close it as won",
    "lose": "close it as lost",
    "reopen": "open it again",
}


# --- for people ---------------------------------------------------------------------------------------------------


def _print(one: Mapping[str, Any], connections: Sequence[str]) -> None:
    from crmbridge.cli.output import head, say, table

    known = one["shared_id"] if not one["new_pair"] else None
    head(f"{one['entity']} {known or ' = '.join(one['ids'].values())}")
    if one["how"]:
        say(f"{'would be paired' if one['new_pair'] else 'paired'}: {one['how']}")
    if one["note"]:
        say(one["note"])
    for name, state in one["state"].items():
        row = f" ({state['status']})" if state["status"] else ""
        say(f"{name} {one['ids'][name]}: {state['native']!r} is {state['state']}{row}")
    shown = [each for each in one["fields"] if any(value is not None for value in each["native"].values())]
    table(
        ["field", *connections, "shared", "read by", "line"],
        [
            [
                each["field"],
                *(_cell(each["native"].get(name)) for name in connections),
                _shared_cell(each, connections),
                each["convert"],
                _lines(each),
            ]
            for each in shown
        ],
    )
    for write in one["writes"]:
        say(f"would {_DOES.get(write['kind'], write['kind'])} on {write['on']}: {write['reason']}")
        table(
            ["column", "now", "then", "why", "line"],
            [
                [each["column"], _cell(each["before"]), _cell(each["after"]), each["why"] or "-", _lines(each)]
                for each in write["columns"]
            ],
        )
    for told in one["told"]:
        advice = f"; {told['fix']}" if told["fix"] else ""
        say(f"{told['kind']} ({told['cause']}): {told['message'].removesuffix('.')}{advice}")
    if one["fields"] and not one["writes"] and one["how"] and not one["note"]:
        say("would write nothing: both sides agree, or nothing may be written")
    say()


def _cell(value: Any) -> Any:
    if isinstance(value, Mapping):
        return [str(part) for part in cast("Native", value).values()]
    return value


def _shared_cell(one: Mapping[str, Any], connections: Sequence[str]) -> str | None:
    if one["problems"]:
        return "; ".join(one["problems"])
    values = [one["shared"][name] for name in connections if name in one["shared"]]
    if not values:
        return None
    return _text(values[0]) if one["same"] else "  <>  ".join(_text(value) for value in values)


def _text(value: Any) -> str:
    return "-" if value is None else str(value)


def _lines(one: Mapping[str, Any]) -> list[str]:
    return [str(line) for line in (one["at"], one["row_at"]) if line] or ["crmbridge itself"]

"""`crmbridge show` and `crmbridge why`: what is known about one record, and how a field got its value."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import rich_click as click

from crmbridge.cli.context import Place, names
from crmbridge.cli.find import Found, find
from crmbridge.cli.sync import issue_document
from crmbridge.cli.verify import plain_value
from crmbridge.errors import ConfigError, CrmBridgeError
from crmbridge.model import SIDES, Link, Row, Seen, Side, Unlinked, Value, attribute_name

if TYPE_CHECKING:
    from crmbridge.plan import Verdict
    from crmbridge.settings import Settings
    from crmbridge.state.store import Store
    from crmbridge.state.words import JournalRow
    from mapping import Document
    from mapping.document import FieldDoc

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


# --- show ---------------------------------------------------------------------------------------------------------


@click.command("show")
@click.argument("record", metavar="RECORD")
@_json
@click.pass_obj
def show(place: Place, record: str, as_json: bool) -> None:
    """All that is known about one record: its pair, both sides as last read, open issues, every write.

    RECORD is a shared id, a native id, a CRM URL or entity:e-mail. Asks the store only.
    """
    settings = place.settings()
    connections = names(settings)
    documents = {one.entity: one for one in _mappings(settings)}
    with place.store() as store:
        found = find(store, settings, record)
        document = _show(store, found, connections, documents.get(found.entity))
    if as_json:
        from crmbridge.cli.output import print_json

        print_json(document)
    else:
        _print_show(document, connections)


def _mappings(settings: "Settings") -> "Any":
    from crmbridge import wiring

    return wiring.load_mapping(settings)


def _show(store: "Store", found: Found, connections: Mapping[Side, str], document: "Document | None") -> dict[str, Any]:
    link = found.link
    rows: dict[Side, Row | None] = {side: found.row(store, side) for side in SIDES}
    refs = [row.ref for row in rows.values() if row is not None]
    issues = store.issues_of([link.id] if link else [], refs)
    journal = _journal(store, found, link)
    return {
        "entity": found.entity,
        "shared_id": link.id if link else None,
        "pair": _pair(link) if link else None,
        "sides": {connections[side]: _side(row, document, side) for side, row in rows.items() if row is not None},
        "agreed": {connections[side]: _view(link, side) for side in SIDES} if link else {},
        "issues": [issue_document(one) for one in issues],
        "conversions": [
            {"case": one.case, "from": connections[one.from_side], "state": one.state, **one.detail}
            for one in (store.conversions([link.id]) if link and found.entity == "lead" else [])
        ],
        "writes": [_write(one, connections) for one in journal],
    }


def _journal(store: "Store", found: Found, link: Link | None) -> "list[JournalRow]":
    if link is not None:
        return store.journal(link_id=link.id)
    return store.journal(side=found.ref.side, native_id=found.ref.id) if found.ref else []


def _pair(link: Link) -> dict[str, Any]:
    return {
        "how": link.how,
        "alive": link.alive,
        "mode": link.mode,
        "left": link.left_id,
        "right": link.right_id,
        "conversions_mirrored": link.epoch,
    }


def _side(row: Row, document: "Document | None", side: Side) -> dict[str, Any]:
    values = {name: column_value(row, field, side) for name, field in document.fields.items()} if document else {}
    return {
        "id": row.ref.id,
        "version": row.version,
        "modified_at": row.modified_at,
        "deleted": row.deleted,
        "merged_into": row.merged_into,
        "values": {name: value for name, value in values.items() if value is not None},
    }


def column_value(row: Row, field: "FieldDoc", side: Side) -> Any:
    """A field as the CRM showed it, not translated."""
    if row.values is None or side not in field.columns:
        return None
    parts = field.columns[side].parts
    if parts:
        shown = [getattr(row.values, attribute_name(part), None) for part in parts]
        return [value or "" for value in shown] if any(shown) else None
    column = field.columns[side].column
    for name in (column, f"_{column}_value"):  # a Dynamics lookup is read from `_name_value`
        value = getattr(row.values, attribute_name(name), None)
        if value is not None:
            return value
    return None


def _view(link: Link, side: Side) -> dict[str, Any]:
    axes = link.base.axes(side)
    state = {"state": axes.state, "status": axes.status}
    return {name: plain_value(value) for name, value in {**state, **link.base.view(side)}.items() if value is not None}


def _write(one: "JournalRow", connections: Mapping[Side, str]) -> dict[str, Any]:
    return {
        "at": one.at,
        "run": one.run_id,
        "on": connections[one.side],
        "kind": one.kind,
        "id": one.native_id,
        "reason": one.reason,
        "before": dict(one.before),
        "after": dict(one.after),
        "reply": one.reply,
    }


def _print_show(document: dict[str, Any], connections: Mapping[Side, str]) -> None:
    from crmbridge.cli.output import head, say, table

    head(f"{document['entity']} {document['shared_id'] or '(no partner)'}")
    if document["pair"]:
        pair = document["pair"]
        say(f"paired: {pair['how'] or pair['mode']}{'' if pair['alive'] else '; the pair has ended'}")
    for name, side in document["sides"].items():
        gone = ", deleted" if side["deleted"] else f", merged into {side['merged_into']}" if side["merged_into"] else ""
        say(f"{name}: {side['id']}, last changed {side['modified_at'] or 'unknown'}{gone}")
    shown = {name: side["values"] for name, side in document["sides"].items()}
    fields = sorted({field for values in shown.values() for field in values} | set(_agreed_fields(document)))
    table(
        ["field", *shown, *(f"agreed in {name}" for name in document["agreed"])],
        [
            [
                field,
                *(values.get(field) for values in shown.values()),
                *(view.get(field) for view in document["agreed"].values()),
            ]
            for field in fields
        ],
        title="Values as last read, and as last agreed on",
    )
    table(
        ["issue", "kind", "cause", "field", "what", "what to do"],
        [
            [one["issue"], one["kind"], one["cause"], one["record"]["field"], one["message"], one["fix"]]
            for one in document["issues"]
        ],
        title="Open issues",
    )
    table(
        ["at (UTC)", "run", "on", "what", "columns", "reason", "reply"],
        [
            [one["at"], one["run"], one["on"], one["kind"], ", ".join(one["after"]), one["reason"], one["reply"]]
            for one in document["writes"]
        ],
        title="Writes, newest first",
    )


def _agreed_fields(document: dict[str, Any]) -> list[str]:
    return [field for view in document["agreed"].values() for field in view]


# --- why ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """What the next sync would make of the field."""

    verdict: "Verdict | None" = None
    left: Value = None
    right: Value = None
    unknown: str = ""  # why it cannot be told
    problems: tuple[str, ...] = ()


@click.command("why")
@click.argument("record", metavar="RECORD")
@click.argument("field", metavar="FIELD")
@_json
@click.pass_obj
def why(place: Place, record: str, field: str, as_json: bool) -> None:
    """Why a field has the value it has: source, rule, converter, merge, run, write, reply.

    RECORD is a shared id, a native id, a CRM URL or entity:e-mail; FIELD is a field's name in the mapping. Both CRMs
    are asked for their descriptions only; values are those last read.
    """
    settings = place.settings()
    connections = names(settings)
    documents = {one.entity: one for one in _mappings(settings)}
    with place.store() as store:
        found = find(store, settings, record)
        mapped = _mapped(documents.get(found.entity), found, field)
        rows: dict[Side, Row | None] = {side: found.row(store, side) for side in SIDES}
        journal = [one for one in _journal(store, found, found.link) if _touches(one, mapped)]
        refs = [row.ref for row in rows.values() if row is not None]
        issues = [
            one
            for one in store.issues_of([found.link.id] if found.link else [], refs)
            if one.field in (field, *_columns(mapped), None)
        ]
    document = documents[found.entity]
    merge = _merge(place, found, mapped)
    answer: dict[str, Any] = {
        "entity": found.entity,
        "shared_id": found.link.id if found.link else None,
        "field": field,
        "sources": {
            connections[side]: _source(row, mapped, side) for side, row in rows.items() if side in mapped.columns
        },
        "rule": {
            "at": str(document.source.place(("fields", field), key=True)),
            "rule": _rule_name(mapped.rule, connections),
            "converter": f"values: {mapped.values}" if mapped.values else mapped.convert,
            "columns": {connections[side]: str(choice) for side, choice in mapped.columns.items()},
        },
        "agreed": {
            connections[side]: plain_value(found.link.base.view(side).get(field)) if found.link else None
            for side in SIDES
        },
        "merge": _merge_document(merge, connections),
        "issues": [issue_document(one) for one in issues],
        "writes": [_write(one, connections) for one in journal],
    }
    if as_json:
        from crmbridge.cli.output import print_json

        print_json(answer)
    else:
        _print_why(answer)


def _mapped(document: "Document | None", found: Found, field: str) -> "FieldDoc":
    if document is not None and field in document.fields:
        return document.fields[field]
    from mapping.problem import closest

    near = closest(field, document.fields) if document else None
    raise ConfigError(
        f"The mapping of {found.entity} has no field {field!r}.",
        fix=f"Did you mean {near!r}?" if near else "The names stand under `fields:` in its file.",
    )


def _columns(field: "FieldDoc") -> set[str]:
    return {column for choice in field.columns.values() for column in choice.all()}


def _touches(one: "JournalRow", field: "FieldDoc") -> bool:
    if one.side not in field.columns:
        return False
    return any(column in one.after for column in field.columns[one.side].all())


def _source(row: Row | None, field: "FieldDoc", side: Side) -> dict[str, Any]:
    if row is None:
        return {"record": None, "present": False}
    value = column_value(row, field, side)
    return {
        "record": row.ref.id,
        "column": str(field.columns[side]),
        "present": value is not None,
        "value": value,
        "last_changed": row.modified_at,
    }


def _merge(place: Place, found: Found, field: "FieldDoc") -> Merge:
    """Decided as a sync would, from the rows last read."""
    link = found.link
    if link is None or not link.alive or link.left_id is None or link.right_id is None:
        return Merge(unknown="the record has no partner")
    if field.is_derived:
        return Merge(unknown="the mapping makes this field: it is written where it differs, and never read across")
    if len(field.columns) < len(SIDES):
        return Merge(unknown="the field has one side only: it is read and never written across")
    from crmbridge.plan import ABSENT, decide_field, newest

    try:
        with place.engine() as engine:
            view = engine.look()
            stored = {side: found.row(engine.store, side) for side in SIDES}
            left_row, right_row = stored["left"], stored["right"]
            if left_row is None or right_row is None or left_row.values is None or right_row.values is None:
                return Merge(unknown="one of the two records is gone")
            left, right = view.see_pair(link, left_row, right_row)
            rule = next(one for one in engine.compiled.entities[found.entity].rules if one.name == field.name)
            verdict = decide_field(
                rule,
                mode=link.mode,
                origin=link.origin,
                base_left=link.base.left.get(field.name, ABSENT),
                base_right=link.base.right.get(field.name, ABSENT),
                left=left.shared.fields.get(field.name, ABSENT),
                right=right.shared.fields.get(field.name, ABSENT),
                last_edit=newest(left_row, right_row, view.hands.our_users),
                choice=engine.options.choices.get(f"{found.entity}.{field.name}"),
                fills_back=found.entity in {"account", "contact"},
            )
            return Merge(
                verdict=verdict,
                left=left.shared.fields.get(field.name),
                right=right.shared.fields.get(field.name),
                problems=_problems(left, right, field.name),
            )
    except CrmBridgeError as error:
        if error.exit_code == ConfigError.exit_code:
            raise
        return Merge(unknown=f"the CRMs could not be asked ({error.message})")


def _problems(left: Seen, right: Seen, field: str) -> tuple[str, ...]:
    return tuple(one.message for seen in (left, right) for one in seen.shared.problems if one.field == field)


def _rule_name(rule: str, connections: Mapping[Side, str]) -> str:
    for side in SIDES:
        rule = rule.replace(side, connections[side])
    return rule


def _merge_document(merge: Merge, connections: Mapping[Side, str]) -> dict[str, Any]:
    if merge.verdict is None:
        return {"decided": False, "why": merge.unknown}
    verdict = merge.verdict
    return {
        "decided": True,
        "left": _plain(merge.left),
        "right": _plain(merge.right),
        "would_write_to": connections[verdict.write] if verdict.write else None,
        "why": _rule_name(verdict.why, connections) or "nothing changed since both sides agreed",
        "hold": verdict.hold.message if verdict.hold else None,
        "problems": list(merge.problems),
    }


def _plain(value: Value) -> Any:
    return f"({value.entity} {value.id}, without partner)" if isinstance(value, Unlinked) else plain_value(value)


def _print_why(answer: dict[str, Any]) -> None:
    from crmbridge.cli.output import head, say, table

    head(f"{answer['entity']} {answer['shared_id'] or '(no partner)'}: {answer['field']}")
    for name, source in answer["sources"].items():
        if source["record"] is None:
            say(f"source     {name}: no record there")
            continue
        value = f"{source['value']!r}" if source["present"] else "blank"
        say(f"source     {name} {source['record']} {source['column']}: {value}")
    rule = answer["rule"]
    say(f"rule       {rule['at']}: {rule['rule']}")
    say(f"converter  {rule['converter']}")
    for name, value in answer["agreed"].items():
        say(f"agreed     in {name}: {'never' if value is None else repr(value)}")
    merge = answer["merge"]
    told = merge["why"] + (
        f"; the next sync writes it to {merge['would_write_to']}" if merge.get("would_write_to") else ""
    )
    say(f"merge      {told}")
    for line in [merge.get("hold"), *merge.get("problems", [])]:
        if line:
            say(f"           {line}")
    for one in answer["issues"]:
        say(f"issue      {one['issue']} ({one['kind']}, {one['cause']}): {one['message']} {one['fix']}")
    table(
        ["at (UTC)", "run", "on", "what", "reason", "reply"],
        [[one["at"], one["run"], one["on"], one["kind"], one["reason"], one["reply"]] for one in answer["writes"]],
        title="Writes of it, newest first",
    )
    if not answer["writes"]:
        say("write      crmbridge never wrote it")

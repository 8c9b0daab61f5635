"""`crmbridge verify`: counts, sums of money and differences, from both CRMs as they are now."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import rich_click as click

from crmbridge.cli.context import Place
from crmbridge.model import SIDES, Entity, Money

if TYPE_CHECKING:
    from crmbridge.sync.verify import Difference, Total, Verification


@click.command("verify")
@click.option("--values", is_flag=True, help="Show the values that differ; by default a table shows that they do.")
@click.option("--limit", type=click.IntRange(0, 1_000_000), default=50, show_default=True, help="Differences shown.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, values included.")
@click.pass_obj
def verify(place: Place, values: bool, limit: int, as_json: bool) -> int:
    """Compare both CRMs as they are now: counts, sums of money, and each field of each linked pair.

    What is linked to nothing is counted by what becomes of it. Reads everything and writes nothing. Exits 1 if a pair
    differs that has no open issue, or if a first run left records to the next sync.
    """
    from crmbridge.sync.verify import verify as compare

    with place.engine() as engine:
        found = compare(engine)
    if as_json:
        from crmbridge.cli.output import print_json

        print_json(document(found))
    else:
        _print(found, values=values, limit=limit)
    return found.exit_code


def document(found: "Verification") -> dict[str, Any]:
    totals: dict[str, dict[str, dict[str, Any]]] = {}
    for (entity, state, side), total in sorted(found.totals.items()):
        totals.setdefault(entity, {}).setdefault(state, {})[found.names[side]] = {
            "records": total.records,
            "linked": total.linked,
            "sums": _plain(total.sums),
            "linked_sums": _plain(total.linked_sums),
        }
    return {
        "ok": found.exit_code == 0,
        "exit_code": found.exit_code,
        "totals": totals,
        "not_linked": [
            {
                "entity": entity,
                "on": found.names[side],
                "records": one.records,
                "held": one.held,
                "due": one.due,
                "left_alone": one.left_alone,
                "other": one.other,
            }
            for (entity, side), one in sorted(found.alone.items())
            if one.records
        ],
        "first_run_to_do": list(found.unfinished),
        "pairs": found.pairs,
        "differences": [difference_document(one) for one in (*found.differences, *found.missing)],
        "in_open_issues": [difference_document(one) for one in found.in_issues],
        "open_issues": len(found.held),
        "kept_apart": found.kept_apart,
    }


def difference_document(one: "Difference") -> dict[str, Any]:
    return {
        "entity": one.entity,
        "ids": dict(one.ids),
        "field": one.field,
        "left": plain_value(one.left),
        "right": plain_value(one.right),
    }


def plain_value(value: Any) -> Any:
    return f"{value.amount} {value.currency}" if isinstance(value, Money) else value


def _plain(sums: "dict[str, dict[str, Decimal]]") -> dict[str, dict[str, str]]:
    return {
        name: {iso: plain_amount(amount) for iso, amount in sorted(by.items())} for name, by in sorted(sums.items())
    }


def plain_amount(amount: Decimal) -> str:
    """Equal sums read the same, whatever number of decimals a CRM gives."""
    exponent = amount.normalize().as_tuple().exponent
    return f"{amount:.{max(2, -exponent if isinstance(exponent, int) else 2)}f}"


def _print(found: "Verification", *, values: bool, limit: int) -> None:
    from crmbridge.cli.output import many, say, table

    left, right = (found.names[side] for side in SIDES)
    places: list[tuple[Entity, str]] = sorted({(entity, state) for entity, state, _ in found.totals})
    table(
        ["entity", "state", left, "linked", right, "linked ", "money in linked pairs", left + " ", right + " "],
        [row for entity, state in places for row in _rows(found, entity, state)],
        title="Records and money",
        right=[left, "linked", right, "linked ", left + " ", right + " "],
    )
    table(
        ["entity", "on", "not linked", "held", "next sync", "left alone", "other"],
        [
            [entity, found.names[side], one.records, one.held, one.due, one.left_alone, one.other]
            for (entity, side), one in sorted(found.alone.items())
            if one.records
        ],
        title="Linked to nothing",
        right=["not linked", "held", "next sync", "left alone", "other"],
    )
    shown = [*found.differences, *found.missing]
    table(
        ["entity", left, right, "field", f"in {left}", f"in {right}"],
        [
            [
                one.entity,
                one.ids["left"],
                one.ids["right"],
                one.field,
                _shown(one.left, values),
                _shown(one.right, values),
            ]
            for one in shown[:limit]
        ],
        title=f"Differences ({len(shown)})",
    )
    say(
        f"{many(found.pairs, 'linked pair')} compared: {many(len(shown), 'difference')}; "
        f"{many(len(found.in_issues), 'difference')} in pairs with an open issue; "
        f"{many(found.kept_apart, 'value')} settled as different (filled in by a conversion, or no such user there)."
    )
    if len(shown) > limit:
        say(f"{len(shown) - limit} more differences: --limit {len(shown)}, or --json.")
    if shown:
        say("`crmbridge why RECORD FIELD` tells how one came about; the next sync brings them in step or says why not.")
    if due := sum(one.due for one in found.alone.values()):
        say(f"{many(due, 'record')} not gone through yet, or waiting for another one: crmbridge sync, crmbridge status")
    if found.unfinished:
        say(f"The first run of {', '.join(found.unfinished)} records is not over: crmbridge sync goes on with it.")
    if found.held:
        say(f"{many(len(found.held), 'open issue')}: `crmbridge issues` tells what to do.")


def _rows(found: "Verification", entity: Entity, state: str) -> list[list[Any]]:
    one, two = (found.totals.get((entity, state, side)) for side in SIDES)
    counts = [count for total in (one, two) for count in ((total.records, total.linked) if total else (0, 0))]
    money = sorted(
        {(name, iso) for total in (one, two) if total for name, by in total.linked_sums.items() for iso in by}
    )
    if not money:
        return [[entity, state, *counts, "", "", ""]]
    return [
        [
            *((entity, state, *counts) if first == 0 else ("",) * 6),
            f"{name} {iso}",
            _sum(one, name, iso),
            _sum(two, name, iso),
        ]
        for first, (name, iso) in enumerate(money)
    ]


def _sum(total: "Total | None", name: str, iso: str) -> str:
    return plain_amount(total.linked_sums.get(name, {}).get(iso, Decimal(0))) if total else "0.00"


def _shown(value: Any, values: bool) -> str:
    """Whose screen this is shown on is not ours to know: without --values only whether there is a value."""
    if values:
        return str(plain_value(value))
    return "(blank)" if value is None or value == "" else "(a value)"

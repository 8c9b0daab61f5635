"""`crmbridge setup`: what crmbridge wants on both sides, made where a CRM lets us, told with the clicks where not."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import rich_click as click

from crmbridge.cli.context import Place

if TYPE_CHECKING:
    from connectors.setup import Wish
    from crmbridge.settings import Settings


@click.command("setup")
@click.option("--apply", "apply_", is_flag=True, help="Make what is missing where the CRM's API allows it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def setup(place: Place, apply_: bool, as_json: bool) -> int:
    """Say what crmbridge wants on both sides (key fields, rights, change tracking), what is there and what a person
    must do. With --apply, what the CRMs let us make is made. Exits 1 while something is left to do."""
    wishes = _wishes(place.settings(), apply=apply_)
    left = [one for _, one in wishes if one.state in ("missing", "by hand", "too much") and not one.optional]
    if as_json:
        from crmbridge.cli.output import print_json

        print_json({"ok": not left, "wishes": [_document(name, one) for name, one in wishes]})
    else:
        _print(wishes, left, apply=apply_)
    return 1 if left else 0


def _wishes(settings: "Settings", *, apply: bool) -> "list[tuple[str, Wish]]":
    from connectors.setup import Installer
    from crmbridge import wiring

    found: list[tuple[str, Wish]] = []
    with wiring.open_to_ask(settings) as connectors:
        for connector in connectors.values():
            if not isinstance(connector, Installer):
                continue
            for wish in connector.wishes():
                made = connector.make(wish) if apply and wish.state == "missing" else wish
                found.append((connector.name, made))
    return found


def _document(connection: str, wish: "Wish") -> dict[str, Any]:
    return {
        "connection": connection,
        "where": wish.where,
        "what": wish.what,
        "state": wish.state,
        "optional": wish.optional,
        "how": wish.how,
    }


def _print(wishes: "list[tuple[str, Wish]]", left: "list[Wish]", *, apply: bool) -> None:
    from crmbridge.cli.output import head, many, say, table

    for name in dict.fromkeys(name for name, _ in wishes):
        head(name)
        mine = [one for each, one in wishes if each == name]
        table(
            ["where", "what", "state"],
            [[one.where, one.what, f"{one.state} (optional)" if one.optional else one.state] for one in mine],
        )
        for one in mine:
            if one.how and one.state != "there":
                say(f"  {one.where}, {one.what}: {one.how}")
    counts = Counter(one.state for _, one in wishes)
    if counts["missing"] and not apply:
        say(f"{many(counts['missing'], 'thing')} can be made by: crmbridge setup --apply")
    say(f"{many(len(left), 'thing')} left to do." if left else "Nothing is left to do.")

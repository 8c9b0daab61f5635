"""How each connection stands with its limits, as `crmbridge status` shows it too: calls of the day, breaker, block; and
a person's word that a CRM may be called again."""

import getpass
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import rich_click as click

from crmbridge import breaker as breakers
from crmbridge import budget
from crmbridge.cli.context import Place, names
from crmbridge.errors import ConfigError
from crmbridge.model import SIDES, Side

if TYPE_CHECKING:
    from crmbridge.state.store import Store
    from crmbridge.state.words import Lifted


@click.command("limits")
@click.option("--lift", "lifted", metavar="NAME", help="Call this connection again at once, block and breaker lifted.")
@click.option("--why", default="", metavar="TEXT", help="Kept with it, and shown by `runs`; needed with --lift.")
@click.option("--by", default=None, metavar="NAME", help="Who says so; default: the user of this system.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def limits_command(place: Place, lifted: str | None, why: str, by: str | None, as_json: bool) -> int:
    """Calls of the day, what keeps them from a CRM, and until when. Asks the store only.

    With --lift a CRM that is left alone is called again at once, conversions first: after its admin has freed calls, or
    mended what was the matter. A CRM that still has none says so with the next call, and is left alone again. What we
    have used of `connections.NAME.daily_calls` is not touched.
    """
    connections = names(place.settings())
    if lifted is not None:
        return _lift(place, connections, lifted, why, by or getpass.getuser(), as_json)
    if why or by:
        raise click.UsageError("--why and --by go with --lift.")
    with place.store() as store:
        document = limits(store, connections)
    if as_json:
        from crmbridge.cli.output import print_json

        print_json({"limits": document})
    else:
        print_limits(document)
    return 0


def _lift(place: Place, connections: Mapping[Side, str], name: str, why: str, by: str, as_json: bool) -> int:
    if name not in connections.values():
        raise ConfigError(
            f"--lift {name}: there is no such connection; there are {' and '.join(connections.values())}.",
            fix="Write one of them.",
        )
    if not why.strip():
        raise ConfigError("--why is empty.", fix="Say why, for those who look into it: --why 'Salesforce freed calls'.")
    with place.store() as store:
        done = store.lift(name, by=by, why=" ".join(why.split()))
        document = limits(store, connections)[name]
    if as_json:
        from crmbridge.cli.output import print_json

        print_json({"ok": True, "connection": name, "lifted": _lifted(done), "limits": document})
        return 0
    if done:
        click.echo(f"Lifted: {' and '.join(_words(done))}. {name} is called again with the next cycle.")
    else:
        click.echo(f"{name} was not left alone: there is nothing to lift.")
    if document["stopped"]:
        click.echo(f"It has few calls left today; stopped for now: {', '.join(document['stopped'])}.")
    return 0


def _lifted(done: "Lifted") -> list[dict[str, Any]]:
    block = [{"what": "block", "until": done.block.until, "why": done.block.why}] if done.block else []
    opened = [{"what": "breaker", "until": done.breaker.until, "why": done.breaker.cause}] if done.breaker else []
    told = [{"what": "count of calls", "used": done.told[0], "limit": done.told[1]}] if done.told else []
    return [*block, *opened, *told]


def _words(done: "Lifted") -> list[str]:
    until = "until {:%Y-%m-%d %H:%M:%S} UTC"
    block, opened, told = done.block, done.breaker, done.told
    return [
        *([f"it asked to be left alone ({block.why}) {until.format(block.until)}"] if block else []),
        *([f"it was in trouble ({opened.cause}) {until.format(opened.until)}"] if opened else []),
        *([f"it had said that {told[0]} of the day's {told[1]} calls are used, and is asked anew"] if told else []),
    ]


def limits(store: "Store", connections: Mapping[Side, str]) -> dict[str, Any]:
    return {connections[side]: _one(store, connections[side]) for side in SIDES}


def _one(store: "Store", name: str) -> dict[str, Any]:
    found = store.limits(name)
    pair = budget.used(found.standing, found.at)
    calls = store.used_calls(name)
    spent = [work for work in budget.WORKS if not budget.may(work, found.standing, found.at)]
    return {
        # Of whatever is nearer to its end: the CRM's own count of everybody's calls, or ours against `daily_calls`.
        "used": pair[0] if pair else found.standing.own,
        "limit": pair[1] if pair else None,
        "forecast": budget.forecast(found.standing, found.at),
        "requests_today": sum(one.requests for one in calls),
        "operations_today": sum(one.operations for one in calls),
        "by_work": {one.work: one.operations for one in calls},
        "stopped": spent,
        "breaker": breakers.state(found.breaker, found.at),
        "breaker_cause": found.breaker.cause or None,
        "breaker_until": found.breaker.until,
        "blocked_until": found.block.until if found.block else None,
        "blocked_why": found.block.why if found.block else None,
    }


def print_limits(document: Mapping[str, Any]) -> None:
    from crmbridge.cli.output import say, table, word

    table(
        ["calls today (UTC)", "used", "limit", "forecast", "ours", "breaker", "left alone until (UTC)"],
        [
            [
                name,
                one["used"],
                "not known" if one["limit"] is None else one["limit"],
                "too early" if one["forecast"] is None else one["forecast"],
                one["operations_today"],
                one["breaker"],
                word(max((at for at in (one["blocked_until"], one["breaker_until"]) if at), default=None)),
            ]
            for name, one in document.items()
        ],
        right=["used", "limit", "forecast", "ours"],
    )
    for name, one in document.items():
        if one["blocked_until"]:
            say(f"{name} asked to be left alone ({one['blocked_why']}): nothing is sent to it until then.")
        if one["breaker"] == "open":
            say(
                f"{name} is in trouble ({one['breaker_cause']}): nothing is sent to it until "
                f"{word(one['breaker_until'])} UTC; then one read tries it."
            )
        elif one["breaker"] == "half-open":
            say(f"{name} was in trouble ({one['breaker_cause']}): one read tries it before anything else is sent.")
        if one["stopped"]:
            say(f"{name} has few calls left today; stopped for now: {', '.join(one['stopped'])}.")
        elif one["limit"] is not None and one["forecast"] is not None and one["forecast"] > one["limit"]:
            say(f"At today's rate {name} uses its calls up before the day ends: see docs/reference/limits.md.")

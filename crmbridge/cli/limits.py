"""How each connection stands with its limits, as `crmbridge status` shows it: calls of the day, breaker, block."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from crmbridge import breaker as breakers
from crmbridge import budget
from crmbridge.model import SIDES, Side

if TYPE_CHECKING:
    from crmbridge.state.store import Store


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
        if one["breaker"] != "closed":
            say(f"{name} is in trouble ({one['breaker_cause']}): one read tries it before anything else is sent.")
        if one["stopped"]:
            say(f"{name} has few calls left today; stopped for now: {', '.join(one['stopped'])}.")
        elif one["limit"] is not None and one["forecast"] is not None and one["forecast"] > one["limit"]:
            say(f"At today's rate {name} uses its calls up before the day ends: see docs/reference/limits.md.")

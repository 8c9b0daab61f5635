"""How things stand, as `crmbridge status` shows it: who is at work, what is behind, what waits and since when.

From the store alone. A table's lag is the time since it was last read; what a CRM was given in the last minute before
that reading may still be left for the next one."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from crmbridge import schedule
from crmbridge.cli.pause import pause_document, queue_document
from crmbridge.model import ENTITIES, SIDES, Side

if TYPE_CHECKING:
    from crmbridge.settings import Settings
    from crmbridge.state.store import Store

ALIVE_SECONDS: Final = 60  # a worker ticks every few seconds
BEATS_SHOWN: Final = timedelta(hours=1)


def standing(store: "Store", settings: "Settings", connections: Mapping[Side, str]) -> dict[str, Any]:
    now, groups = store.now(), store.issue_groups()
    cursors = sorted(store.cursors().items())
    return {
        "now": now,
        "lag": {f"{connections[side]} {source}": seconds(now - at) for (side, source), at in cursors},
        "backlog": {
            entity: {connections[side]: backlog.get((side, entity), 0) for side in SIDES}
            for backlog in [store.backlog()]
            for entity in ENTITIES
        },
        "waiting": [
            {"cause": one.cause, "entity": one.entity, "count": one.count, "oldest": one.oldest}
            for one in groups
            if one.kind == "waiting"
        ],
        "failures": [
            {
                "cause": one.cause,
                "kind": one.kind,
                "entity": one.entity,
                "count": one.count,
                "oldest": one.oldest,
                "last": one.newest,
            }
            for one in sorted(groups, key=lambda one: one.newest, reverse=True)
            if one.kind in ("failed", "held")
        ],
        "last_failed_run": next(
            (
                {"run": run.id, "ended_at": run.ended_at, "outcome": run.outcome}
                for run in store.runs(limit=50)
                if run.outcome.startswith("failed")
            ),
            None,
        ),
        "paused": [pause_document(one, connections) for one in store.pauses()],
        "paused_writes": [queue_document(one) for one in store.pause_queues()],
        "workers": [
            {
                "host": one.host,
                "pid": one.pid,
                "last": one.what,
                "at": one.at,
                "alive": seconds(now - one.at) <= ALIVE_SECONDS,
            }
            for one in store.beats()
            if now - one.at <= BEATS_SHOWN
        ],
        "schedules": _schedules(store, settings, now),
        "reconcile": _reconcile(store, connections),
    }


def _reconcile(store: "Store", connections: Mapping[Side, str]) -> list[dict[str, Any]]:
    """The daily look for what no reading has shown."""
    from crmbridge.sync.reconcile import results

    return [
        {
            "connection": connections[side],
            "entity": entity,
            "at": datetime.fromisoformat(one.at),
            "rows": one.seen + one.roll.asked,
            "found": one.found,
            "unclear": one.roll.unclear,
            "over": one.roll.is_over,
        }
        for side, some in results(store).items()
        for entity, one in some.items()
    ]


def seconds(span: timedelta) -> int:
    return max(0, round(span.total_seconds()))


def _schedules(store: "Store", settings: "Settings", now: datetime) -> dict[str, Any]:
    turns = store.turns()
    return {
        entity: {
            "says": rhythm_words(rhythm),
            "last": turns[entity].at if entity in turns else None,
            "quiet_cycles": turns[entity].quiet if entity in turns else 0,
            "due_at": schedule.next_due(rhythm, turns.get(entity), now),
        }
        for entity, rhythm in settings.schedules.rhythms.items()
    }


def rhythm_words(rhythm: schedule.Rhythm) -> str:
    said = f"cron {rhythm.cron.text} {rhythm.cron.zone}" if rhythm.cron else f"every {span_words(rhythm.every)}"
    if rhythm.idle:
        said += f", idle up to {span_words(rhythm.idle)}"
    if rhythm.hours:
        days = ",".join(schedule.DAYS[day] for day in sorted(rhythm.hours.days))
        begin, end = (f"{minute // 60}:{minute % 60:02}" for minute in (rhythm.hours.begin, rhythm.hours.end))
        said += f", {days} {begin}-{end} {rhythm.hours.zone}"
    return said


def span_words(span: timedelta) -> str:
    whole = span.total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if whole >= size and whole % size == 0:
            return f"{whole / size:g} {unit}"
    return f"{whole:g} s"


def ago(value: int) -> str:
    """Seconds, as people say them."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if value >= 2 * size:
            return f"{value // size} {unit}"
    return f"{value} s"


def print_standing(document: dict[str, Any]) -> None:
    from crmbridge.cli.output import head, say, table, word

    now = document["now"]
    for one in document["paused"]:
        what = one["entity"] or "all kinds of records"
        where = f" to {one['connection']}" if one["connection"] else ""
        also = ", not even read" if one["reading"] else ""
        since = ago(seconds(now - one["since"]))
        head(f"PAUSED: writes of {what}{where}{also}, for {since}, by {one['by']}: {one['why']}")
    if document["paused"]:
        say("To go on: crmbridge resume")
    table(
        ["writes that wait", "to", "count", "oldest (UTC)"],
        [[one["entity"], one["connection"], one["writes"], one["oldest"]] for one in document["paused_writes"]],
        right=["count"],
    )
    table(["table", "last read"], [[name, f"{ago(lag)} ago"] for name, lag in document["lag"].items()])
    names = list(next(iter(document["backlog"].values())))
    rows = [[entity, *counts.values()] for entity, counts in document["backlog"].items() if any(counts.values())]
    table(["backlog", *names], rows, right=names)
    table(
        ["waiting for", "entity", "count", "oldest (UTC)"],
        [[one["cause"], one["entity"], one["count"], one["oldest"]] for one in document["waiting"]],
        right=["count"],
    )
    table(
        ["held or failed", "entity", "count", "since (UTC)", "last seen (UTC)"],
        [[one["cause"], one["entity"], one["count"], one["oldest"], one["last"]] for one in document["failures"]],
        right=["count"],
    )
    table(
        ["schedule", "how often", "last (UTC)", "next (UTC)"],
        [
            [entity, one["says"], one["last"], "now" if one["due_at"] <= now else one["due_at"]]
            for entity, one in document["schedules"].items()
        ],
    )
    looked = document["reconcile"]
    if looked:
        odd = [one for one in looked if one["found"] or one["unclear"]]
        last = min(one["at"] for one in looked)
        total = sum(one["found"] for one in looked)
        say(f"looked for what no reading had shown: {word(last)} UTC, {total} found and taken up")
        table(
            ["not shown by reading", "entity", "when (UTC)", "looked at", "taken up", "unclear"],
            [[one["connection"], one["entity"], one["at"], one["rows"], one["found"], one["unclear"]] for one in odd],
            right=["looked at", "taken up", "unclear"],
        )
    table(
        ["worker", "last did", "seen"],
        [
            [f"{one['host']} {one['pid']}", one["last"], f"{ago(seconds(now - one['at']))} ago"]
            for one in document["workers"]
        ],
    )
    alive = sum(one["alive"] for one in document["workers"])
    say(f"worker processes seen in the last minute: {alive}")

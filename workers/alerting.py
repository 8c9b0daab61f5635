"""Looks how things stand, keeps what is out of order in the store, and tells it on. A channel that fails is tried again
later; it never stops a cycle."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from crmbridge import alerts, breaker, budget, notify, schedule
from crmbridge.errors import ConfigError, CrmBridgeError, LeaseTaken
from crmbridge.model import ENTITIES, SIDES, Entity, Side
from crmbridge.pauses import is_read
from crmbridge.settings import Settings
from crmbridge.state.store import Store
from crmbridge.state.words import RunRow
from crmbridge.sync.foreign import CAUSE as OTHER_WRITER
from crmbridge.wiring import BROKEN_META
from workers import broker, outage
from workers import schedule as cycles
from workers.channels import channel_of
from workers.logs import logger

LEASE: Final = "alerts"
LOOK_SECONDS: Final = 15.0  # not given back: it ends by itself, and then somebody looks again
SENT_AT_ONCE: Final = 5
RUNS_READ: Final = 500
WINDOW: Final = timedelta(hours=1)

_log = logger("crmbridge.alerts")


def watch(store: Store, settings: Settings) -> None:
    """One look, by one worker at a time."""
    try:
        store.take_lease(LEASE, LOOK_SECONDS)
    except LeaseTaken:
        return
    try:
        outage.over(store, settings)
        look(store, settings)
        send_due(store, settings)
    except CrmBridgeError as error:
        _log.error(str(error), action="alerting_failed", code=error.code)


def look(store: Store, settings: Settings) -> list[alerts.Change]:
    """Compares how things stand with what was known; what is to be told is stored with it."""
    facts = gather(store, settings)
    found = alerts.judge(settings.alerts.in_force, facts)
    changes = alerts.decide(found, store.alarms(), facts.now, settings.alerts.repeats_after)
    if not changes:
        return changes
    installation = store.installation_id()
    messages = [
        (name, alerts.body(change, facts.now, installation))
        for change in changes
        if change.event is not None
        for name in settings.alerts.heard_by(change.to)
    ]
    store.save_alarms([change.alarm for change in changes], messages)
    for change in changes:
        if change.event is not None:
            tell = _log.info if change.event == "over" else _log.warning
            tell(change.alarm.message, action=f"alert_{change.event}", alarm=change.alarm.key)
    return changes


def send_due(store: Store, settings: Settings) -> int:
    """Returns how many were taken."""
    count = 0
    for message in store.take_alerts(SENT_AT_ONCE):
        given = settings.alerts.channels.get(message.channel)
        if given is None:
            store.alert_sent(message.id)  # the channel was taken out of the settings
            continue
        try:
            notify.tell(channel_of(given), message.body)
        except (notify.NotTold, ConfigError) as reason:  # a secret that leads nowhere is one of ours to tell
            kept = store.alert_not_sent(message.id, str(reason))
            _log.warning(
                f"channel {message.channel} did not take an alert: {reason}; {'tried again' if kept else 'given up'}",
                action="alert_not_sent",
                channel=message.channel,
                attempts=message.attempts + 1,
            )
        else:
            store.alert_sent(message.id)
            count += 1
    return count


# --- how things stand -----------------------------------------------------------------------------------------------


def gather(store: Store, settings: Settings) -> alerts.Facts:
    """From the store alone."""
    now = store.now()
    runs = [run for run in store.runs(limit=RUNS_READ) if run.kind in cycles.RUN_KINDS]
    lately = [run for run in runs if run.ended_at is not None and now - run.ended_at <= WINDOW]
    groups, pauses = store.issue_groups(), store.pauses()
    names: dict[Side, str] = {side: settings.name(side) for side in SIDES}
    due = _due_since(store, settings, now)
    stopped = cycles.stopped(store)
    limits = {name: store.limits(name) for name in names.values()}
    over_at = store.alarm_over_at(alerts.CAUSES)
    return alerts.Facts(
        now=now,
        calm=None if over_at is None else now - over_at,
        lag={
            f"{names[side]} {entity}": now - max(due[entity], read_at)
            for (side, entity), read_at in _read(store).items()
            if entity in due and is_read(pauses, side, entity)
        },
        silence=_silence(runs, min(due.values(), default=None), now),
        writes=sum(_sum(run.counts) for run in lately),
        refused=store.refused_lately(WINDOW),
        budget={
            name: pair[0] / max(pair[1], 1)
            for name, one in limits.items()
            if (pair := budget.used(one.standing, one.at)) is not None
        },
        guard=stopped.reasons if stopped is not None and runs and runs[0].id == stopped.run_id else (),
        breakers={name: _open_for(one.breaker) for name, one in limits.items() if one.breaker.until is not None},
        blocked={
            name: alerts.Away(
                span=now - since,
                left=max(one.blocked_until - now, timedelta()),
                why=one.block.why if one.block is not None else "until a moment ago",
            )
            for name, one in limits.items()
            if one.blocked_until is not None and (since := store.blocked_since(name)) is not None
        },
        broker=broker.away_for(store),
        other_writer=sum(one.count for one in groups if one.cause == OTHER_WRITER),
        configuration=len((store.meta(BROKEN_META) or "").splitlines()),
        paused={
            " ".join(["writes of", one.entity or "everything", *(["to", names[one.side]] if one.side else [])]): (
                now - one.since
            )
            for one in pauses
        },
    )


def _due_since(store: Store, settings: Settings, now: datetime) -> dict[Entity, datetime]:
    """Kinds of records that are due, and since when."""
    turns = store.turns()
    moments: dict[Entity, datetime] = {
        entity: schedule.next_due(rhythm, turns.get(entity), now)
        for entity, rhythm in settings.schedules.rhythms.items()
    }
    return {entity: at for entity, at in moments.items() if at <= now}


def _read(store: Store) -> dict[tuple[Side, Entity], datetime]:
    cursors = store.cursors()
    return {(side, entity): cursors[side, entity] for side in SIDES for entity in ENTITIES if (side, entity) in cursors}


def _silence(runs: Sequence[RunRow], due: datetime | None, now: datetime) -> timedelta | None:
    """Since the last cycle that came to its end, or since one was due after it; what never did, since its first try.
    A cycle that the guard has stopped has come to its end: the guard has an alert of its own."""
    if due is None or not runs:
        return None
    ended = next((run.ended_at for run in runs if run.outcome.startswith(("done", "stopped"))), None)
    return now - max(ended or runs[-1].started_at, due)


def _open_for(one: breaker.Breaker) -> timedelta:
    """At least so long: the pauses that it has had."""
    pauses = [breaker.PAUSES[min(number, len(breaker.PAUSES) - 1)] for number in range(max(one.opened - 1, 0))]
    return timedelta(seconds=sum(pauses))


def _sum(counts: Mapping[str, Any] | int) -> int:
    return counts if isinstance(counts, int) else sum(_sum(inner) for inner in counts.values())


def test_body(installation: str, now: datetime) -> dict[str, str]:
    """What `crmbridge alerts test` sends."""
    alarm = alerts.Alarm(key="test", kind="test", message="a test of this channel", since=now, seen_at=now, told_at=now)
    return alerts.body(alerts.Change(alarm=alarm, event="test"), now, installation) | {"page": alerts.PAGE}

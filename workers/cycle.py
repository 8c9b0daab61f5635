"""What the tasks do: a tick finds what is due; a drain runs one cycle, or helps with one for a while, and tells the
log what came of it."""

from collections.abc import Callable
from typing import Any, Final

from celery.exceptions import SoftTimeLimitExceeded

from crmbridge import about
from crmbridge.budget import doing
from crmbridge.errors import CrmBridgeError, LeaseTaken, LeftAlone, failed_words
from crmbridge.sync import Outcome
from crmbridge.sync.cycle import WAITS
from workers import alerting, outage, schedule, turns
from workers.config import TICK_SECONDS
from workers.desk import Desk
from workers.logs import logger

TICK_LEASE: Final = "tick"
TICK_LEASE_SECONDS: Final = TICK_SECONDS - 0.5  # not given back: it ends by itself, before the next tick of this beat
DRAIN_HINT_SECONDS: Final = 30
HELP_SECONDS: Final = 20.0  # then the process is free for what else is due

_log = logger("crmbridge.workers")


def tick(desk: Desk) -> list[str]:
    """The queues that have work now; none if another tick was a moment ago."""
    try:
        desk.store.beat("tick")
        desk.store.take_lease(TICK_LEASE, TICK_LEASE_SECONDS)
        return _due(desk)
    except LeaseTaken:
        return []
    except CrmBridgeError as error:
        _log.error(str(error), action="tick_failed", code=error.code)
        return []


def watch(desk: Desk) -> None:
    """Is anything out of order that somebody should hear of? After the hints were sent: telling may take a while."""
    try:
        alerting.watch(desk.store, desk.settings)
    except CrmBridgeError as error:
        _log.error(str(error), action="alerting_failed", code=error.code)
        outage.noticed(desk.settings, error)


def drain(desk: Desk, queue: str, hint: Callable[[int], None] | None = None) -> None:
    """`hint`: asks so many workers to help with what a cycle hands out; None: there are none."""
    with about.within():  # each line bears the run that is noted on the way
        try:
            if queue == schedule.LANES:
                _help(desk, hint)
            else:
                _cycle(desk, queue, hint)
        except SoftTimeLimitExceeded:
            words = "the cycle took too long and was stopped; the next one goes on from there"
            _log.warning(words, action="cycle_stopped")


def _cycle(desk: Desk, queue: str, hint: Callable[[int], None] | None) -> None:
    last: str | None = None
    try:
        last = _last_run(desk)
        if queue not in _due(desk):
            return  # done meanwhile, or a hint of another version
        desk.store.beat("cycle")
        rhythms = desk.settings.schedules.rhythms
        with doing("life-cycle"), desk.engine() as engine:  # what opening asks, conversions need as well
            turns.narrow(engine, desk.store, rhythms)
            engine.hint = hint
            outcome = engine.sync(by="worker")
        if outcome.ruling.go:
            turns.note(desk.store, (*engine.options.entities, *engine.options.stopped), outcome)
        _tell(desk, outcome)
    except LeaseTaken:
        return  # another worker is at it
    except LeftAlone as error:
        _note_end(desk, last, f"{WAITS}: {error.message}")
        _log.info(f"the cycle waits: {error.message}", action="cycle_waits", code=error.code)
    except CrmBridgeError as error:
        _note_end(desk, last, failed_words(error))
        _log.error(str(error), action="cycle_failed", code=error.code, problems=getattr(error, "problems", ()))


def _help(desk: Desk, hint: Callable[[int], None] | None) -> None:
    """A share of what the worker with the cycle has handed out. Nobody needs to: it would do it alone."""
    try:
        if not desk.store.waiting_work().lanes:
            return
        with doing("life-cycle"), desk.engine() as engine:
            done = engine.drain(HELP_SECONDS)
        if done:
            _log.info("pairs carried out for a cycle", action="lanes_done", pairs=done)
            if hint is not None and desk.store.waiting_work().lanes:
                hint(1)
    except LeaseTaken:
        return
    except LeftAlone as error:
        _log.info(f"the work waits: {error.message}", action="lanes_wait", code=error.code)
    except CrmBridgeError as error:  # what it was at is given back, and fails the cycle if it fails there as well
        _log.error(str(error), action="lanes_failed", code=error.code, problems=getattr(error, "problems", ()))


def _due(desk: Desk) -> list[str]:
    schedules = desk.settings.schedules
    return schedule.due(desk.store, schedules.every_seconds, schedules.rhythms)


def _last_run(desk: Desk) -> str | None:
    return next((run.id for run in desk.store.runs(limit=1)), None)


def _note_end(desk: Desk, last: str | None, outcome: str) -> None:
    """A cycle that ended before it began leaves a run as well: the pace of the next ones follows from it."""
    try:
        if _last_run(desk) == last:
            run = desk.store.start_run("sync")
            about.note(run=run.id)
            desk.store.end_run(run.id, outcome)
    except CrmBridgeError as worse:  # the store itself is in trouble
        _log.error(str(worse), action="store_failed", code=worse.code)


def _tell(desk: Desk, outcome: Outcome) -> None:
    before = schedule.stopped(desk.store)
    if outcome.ruling.go:
        schedule.note_stopped(desk.store, None)
        _log.info("cycle done", action="cycle_done", **_numbers(outcome))
        return
    now = schedule.Stopped(run_id=outcome.run_id, reasons=outcome.ruling.reasons)
    schedule.note_stopped(desk.store, now)
    if before is not None and before.reasons == now.reasons:
        return  # said already; nothing has changed
    approve = f"crmbridge sync --approve {outcome.plan_id}"
    if outcome.first_run:
        _log.warning(
            f"the first run waits for your yes: see `crmbridge plan`, then `{approve}`",
            action="first_run_waits",
            plan=outcome.plan_id,
        )
    else:
        _log.warning(
            f"stopped by the guard, nothing was written: {'; '.join(now.reasons)}; to allow it: {approve}",
            action="stopped_by_guard",
            plan=outcome.plan_id,
        )


def _numbers(outcome: Outcome) -> dict[str, Any]:
    return {
        "writes": sum(outcome.counts.values()),
        "held": len(outcome.issues),
        "calls": {name: sum(calls.values()) for name, calls in outcome.calls.items()},
    }

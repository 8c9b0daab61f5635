"""When is the next cycle due? Decided from what the store says about earlier runs, so that any worker may ask."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from crmbridge.model import Entity
from crmbridge.schedule import Rhythm, earliest, shortest_seconds
from crmbridge.state.store import Store
from crmbridge.state.words import RunRow
from crmbridge.sync.handed import FEW, HINTS_MAX
from crmbridge.sync.hands import LEASE_NAME
from crmbridge.sync.limits import is_any_short, resumes_at

CYCLE: Final = "cycle"  # queues of work: a whole cycle ...
LANES: Final = "lanes"  # ... and what the worker that has it has handed out
RUN_KINDS: Final = frozenset({"sync"})
RUNS_READ: Final = 50
# After so many failed cycles in a row: the usual pace, then slower (reliability §8).
FAILURE_SECONDS: Final = (0, 30, 60, 120, 300)
# A cycle that the guard stopped is planned again so often: what it wanted may have changed meanwhile.
STOPPED_SECONDS: Final = 900
# When the day's calls are few: looking for conversions costs calls too.
SHORT_SECONDS: Final = 300
# Work that was due for so long and was not begun: the worker has gone deaf (seen with brokers that restart).
OVERDUE_SECONDS: Final = 120
# Broken off, but not by trouble: out of its time, or another run took over.
BROKEN_OFF: Final = ("failed: SoftTimeLimitExceeded", "failed: LeaseTaken")
_STOPPED: Final = "worker_stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The worker's own last cycle, which the guard did not let through."""

    run_id: str
    reasons: tuple[str, ...]


def next_cycle_at(runs: Sequence[RunRow], *, every_seconds: float, stopped: Stopped | None) -> datetime | None:
    """`runs`: newest first, of any kind. None: at once."""
    cycles = [run for run in runs if run.kind in RUN_KINDS]
    if not cycles or cycles[0].outcome == "interrupted":
        return None
    last = cycles[0]
    if last.ended_at is None:
        return None  # who began it is gone, or holds the lease; the lease tells which
    wait = every_seconds
    if stopped is not None and stopped.run_id == last.id:
        wait = max(wait, STOPPED_SECONDS)
    failures = next((n for n, run in enumerate(cycles) if not _has_failed(run)), len(cycles))
    if failures:
        wait = max(wait, FAILURE_SECONDS[min(failures, len(FAILURE_SECONDS)) - 1])
    return last.ended_at + timedelta(seconds=wait)


def _has_failed(run: RunRow) -> bool:
    return run.outcome.startswith("failed") and not run.outcome.startswith(BROKEN_OFF)


def due(store: Store, every_seconds: float, rhythms: Mapping[Entity, Rhythm] | None = None) -> list[str]:
    """Queues with work to do now, one for each worker that could begin."""
    if store.lease_holder(LEASE_NAME) is not None:
        return [LANES] * _helpers(store.waiting_work().lanes)
    now = store.now()
    at = _next_at(store, now, every_seconds, rhythms)
    return [CYCLE] if at is None or at <= now else []


def _helpers(lanes: int) -> int:
    """What is little the worker with the cycle does alone: an engine that is opened for it costs calls."""
    return min(lanes, HINTS_MAX) if lanes > FEW else 0


def overdue(store: Store, every_seconds: float, rhythms: Mapping[Entity, Rhythm] | None = None) -> bool:
    work = store.waiting_work()
    if work.lanes and not work.busy and work.moved_at is not None:  # handed out, and nobody is at any of it
        return store.now() > work.moved_at + timedelta(seconds=OVERDUE_SECONDS)
    if store.lease_holder(LEASE_NAME) is not None:
        return False
    now = store.now()
    at = _next_at(store, now, every_seconds, rhythms)
    return at is not None and now > at + timedelta(seconds=OVERDUE_SECONDS)


def _next_at(
    store: Store, now: datetime, every_seconds: float, rhythms: Mapping[Entity, Rhythm] | None
) -> datetime | None:
    """When both the pace and the schedule of some kind of record let a cycle begin."""
    if rhythms is not None:
        every_seconds = min(every_seconds, shortest_seconds(rhythms))
    limits = store.every_limits()
    if is_any_short(limits.values()):
        every_seconds = max(every_seconds, SHORT_SECONDS)
    at = next_cycle_at(store.runs(limit=RUNS_READ), every_seconds=every_seconds, stopped=stopped(store))
    resumes = resumes_at(limits.values())  # a CRM that is left alone is waited for, by all
    if resumes is not None:
        at = resumes if at is None else max(at, resumes)
    if rhythms is None:
        return at
    turn = earliest(rhythms, store.turns(), now)
    if at is None:
        return None if turn <= now else turn
    return max(at, turn)


def stopped(store: Store) -> Stopped | None:
    text = store.meta(_STOPPED)
    if not text:
        return None
    words = json.loads(text)
    return Stopped(run_id=words["run_id"], reasons=tuple(words["reasons"]))


def note_stopped(store: Store, now: Stopped | None) -> None:
    words = {"run_id": now.run_id, "reasons": list(now.reasons)} if now else {}
    if words or store.meta(_STOPPED):
        store.set_meta(_STOPPED, json.dumps(words) if words else "")

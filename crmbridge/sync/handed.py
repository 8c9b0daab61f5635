"""Conversions that are handed out: each is planned anew and carried out by whoever claims its lane.

The worker with the cycle (the lead) hands them out, works at them like everybody else, and goes on once all have come
to an end. Nobody needs to come: then it does all of them itself.
"""

import logging
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from crmbridge import about
from crmbridge.errors import DEFECTS, CrmBridgeError, LeaseTaken, StaleError
from crmbridge.model import SIDES, Row, Side
from crmbridge.state.store import Store
from crmbridge.state.words import STOPPED, Issue, Lease, WorkRow
from crmbridge.sync import logged
from crmbridge.sync.hands import LEASE_SECONDS, Hands
from crmbridge.sync.lanes import lanes_of, shares_of
from crmbridge.sync.phase import sync_pairs
from crmbridge.sync.recover import recover
from crmbridge.sync.view import Crosswalk, View
from crmbridge.sync.work import Work, make_work

SLICE: Final = 5  # pairs of one lane in a row; then whoever comes may have it
FEW: Final = 3  # so many lanes are no reason to wake others up
HINTS_MAX: Final = 16
POLL_SECONDS: Final = 0.2  # the lead's, for what others are at

_log = logging.getLogger("crmbridge.lanes")

Calls = Mapping[str, Mapping[str, int]]  # connection -> what -> requests


@dataclass(kw_only=True)
class Bench:
    """What carrying out needs of the engine it happens in."""

    store: Store
    hands: Callable[[str, Lease], Hands]  # for a run and a lane's lease
    mapping: str  # version; what was planned by another one is for others
    sleep: Callable[[float], None]
    calls: Callable[[], Calls]  # so far
    beat: Callable[[Callable[[], None]], None]  # has this called before each request


@dataclass(kw_only=True)
class Crew:
    """The lead's side."""

    bench: Bench
    hint: Callable[[int], None]  # asks others to come
    calls: dict[str, Counter[str]] = field(default_factory=dict)  # requests that others made for this run
    rounds: int = 0

    def work_off(self, lead: Hands, view: View, works: Sequence[Work]) -> None:
        """Hands these out, and comes back once each has come to an end."""
        assert lead.lease is not None
        store, run_id = lead.store, lead.run.id
        self.rounds += 1
        lanes = lanes_of(shares_of(lead, view, works))
        named = {f"{run_id}.{self.rounds}.{number}": ids for number, ids in enumerate(lanes, 1)}
        store.hand_out(lead.lease, run_id, self.bench.mapping, named)
        if len(lanes) > FEW:
            self.hint(min(len(lanes) - 1, HINTS_MAX))
        lead.progress.step(f"converting {len(works)} leads")
        try:
            while True:
                drain(self.bench, run_id=run_id, lead=lead)
                if not store.count_work(run_id):
                    break
                self.bench.sleep(POLL_SECONDS)  # others are at the rest
                lead.renew()
        finally:
            self.bench.beat(lead.renew)
        told = store.work_told(run_id, [work.link.id for work in works])
        for work in works:
            self._take_in(lead, work, told.get(work.link.id, {}))
        view.crosswalk.forget()

    def _take_in(self, lead: Hands, work: Work, told: Mapping[str, Any]) -> None:
        for side, entity, kind, count in told.get("counts", ()):
            lead.counts[side, entity, kind] += count
        for side, entity, kind, how, count in told.get("unwritten", ()):
            lead.unwritten[side, entity, kind, how] += count
        for name, calls in told.get("calls", {}).items():
            self.calls.setdefault(name, Counter()).update(calls)
        work.moved = bool(told.get("moved"))  # planned again in the next round
        if told.get("stopped"):
            held = Issue(
                kind="held", cause=STOPPED, entity=work.entity, link_id=work.link.id, side=None, native_id=None
            )
            logged.issues(lead.names, lead.store, [held])  # opened by whoever came to it the last time
        lead.leave_alone(*told.get("untouchable", ()))


def drain(
    bench: Bench,
    *,
    run_id: str | None = None,
    lead: Hands | None = None,
    enough: Callable[[], bool] = lambda: False,
) -> int:
    """Carry out what is handed out, lane by lane, until there is nothing left or it is `enough`; returns how many pairs
    came to an end. `lead`: whose cycle this is part of, and whose lease is kept as well.

    Raises what keeps a CRM or the store from answering; the pair it happened to is given back untried."""
    ended = 0
    while not enough():
        claimed = bench.store.claim_work(bench.mapping, LEASE_SECONDS, run_id=run_id)
        if claimed is None:
            break
        ended += _work_in(bench, *claimed, lead=lead, enough=enough)
    return ended


def _work_in(bench: Bench, lease: Lease, row: WorkRow, *, lead: Hands | None, enough: Callable[[], bool]) -> int:
    """A few pairs of one lane, one after another."""
    for ended in range(SLICE):
        about.note(run=row.run_id)
        try:
            with about.within(pair=row.link_id):
                told = _carry_out(bench, lease, row, lead)
            more = ended + 1 < SLICE and not enough()
            following = bench.store.finish_work(lease, row.id, told, more=more)
        except LeaseTaken:
            if lead is not None and lead.lease is not None:
                bench.store.renew(lead.lease, LEASE_SECONDS)  # raises if it is the cycle that was lost
            return ended  # the lane is somebody else's by now
        except StaleError:  # what it wanted to link or to make was linked or made a moment ago: planned again
            bench.store.give_up_work(lease, row.id, counted=True)
            return ended
        except CrmBridgeError:
            about.note(pair=row.link_id)  # for the line that tells of it
            bench.store.give_up_work(lease, row.id, counted=False)
            raise
        except DEFECTS as error:
            _tell(row, error)
            bench.store.give_up_work(lease, row.id, counted=True)
            return ended
        except Exception:
            about.note(pair=row.link_id)
            bench.store.give_up_work(lease, row.id, counted=True)
            raise
        if following is None:
            return ended + 1
        row = following
    return SLICE


def _carry_out(bench: Bench, lease: Lease, row: WorkRow, lead: Hands | None) -> dict[str, Any]:
    """From what is stored now, as if nobody had planned it before. Returns what the run's account takes from it."""
    hands = bench.hands(row.run_id, lease)

    def beat() -> None:
        hands.renew()
        if lead is not None:
            lead.renew()

    bench.beat(beat)
    before = bench.calls()
    if lead is not None:
        hands.events = lead.events
    view = View(hands=hands, crosswalk=Crosswalk(hands=hands))
    # Somebody may have been killed at it.
    hands.untouchable = recover(hands, view, bench.sleep, mine=lambda one: one.lease == lease.name)
    work: Work | None = None
    if row.link_id not in hands.untouchable:
        work = _work(hands, view, row.link_id)
    if work is not None:
        sync_pairs(hands, view, work.entity, [work])
    told: dict[str, Any] = {
        "counts": [[*place, count] for place, count in sorted(hands.counts.items())],
        "unwritten": [[*place, count] for place, count in sorted(hands.unwritten.items())],
        "moved": work is not None and work.moved,
        "untouchable": sorted(hands.untouchable),
    }
    if lead is None:  # the lead's own are counted where all of its requests are
        told["calls"] = _since(before, bench.calls())
    return told


def _work(hands: Hands, view: View, link_id: str) -> Work | None:
    """None: the pair has ended meanwhile, and the next round sees to that."""
    link = hands.store.links([link_id]).get(link_id)
    if link is None or not link.alive:
        return None
    rows: dict[Side, Row] = {}
    for side in SIDES:
        id = link.id_on(side)
        stored = hands.store.records(side, link.entity, [id]).get(id) if id is not None else None
        if stored is None or stored.row.values is None or stored.row.deleted or stored.row.merged_into:
            return None
        rows[side] = stored.row
    return make_work(view, link, rows)


def _since(before: Calls, now: Calls) -> dict[str, dict[str, int]]:
    return {
        name: {what: count - old for what, count in calls.items() if count > (old := before.get(name, {}).get(what, 0))}
        for name, calls in now.items()
    }


def _tell(row: WorkRow, error: BaseException) -> None:
    """Where it happened, but not its words: they may hold a customer's."""
    place = next((f"{one.name}, line {one.lineno}" for one in traceback.extract_tb(error.__traceback__)[-1:]), "?")
    _log.error(
        "A pair stopped the worker: %s in %s (pair %s, attempt %s).",
        *(type(error).__name__, place, row.link_id, row.attempts),
        extra={"action": "pair_stopped_worker", "pair": row.link_id, "attempts": row.attempts},
    )

"""Does the simulation bite? Twenty ways to break what reliability rests on, each put in by name, each to be caught.

python -m tests.simulation.mutants [--seeds 50] [--events 500] [--only NAME] [--quick]

Each has an aim of its own (`hunt.py`). A seed counts if the sound engine passes it under the same aim. A mutant that
another guard makes up for is run with that guard off as well; then
the engine with that guard alone off must keep what the mutant breaks.
"""

import argparse
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from unittest.mock import patch

import connectors.http
from connectors.dynamics.connector import DynamicsConnector
from connectors.gate import Passage, Told
from connectors.salesforce import soql
from connectors.salesforce.connector import SalesforceConnector
from crmbridge.errors import CrmBridgeError, GuardError
from crmbridge.model import SIDES, Base, Refused, Row, Side, Stale
from crmbridge.plan import settled_base
from crmbridge.state import intents, leases
from crmbridge.state import work as handed_out
from crmbridge.state.database import now
from crmbridge.state.words import Batch, Lease
from crmbridge.sync import lost, recover, settle, updates
from crmbridge.sync import phase as phases
from crmbridge.sync.hands import Hands
from tests.simulation import crew, simulation
from tests.simulation.hunt import Aim, Hunt, hunt, promise_of
from tests.simulation.simulation import Violation
from tests.simulation.store import WatchedStore
from workers import cycle

Install = Callable[[ExitStack], None]
BOTH: Final = (SalesforceConnector, DynamicsConnector)


@dataclass(frozen=True, kw_only=True)
class Mutant:
    name: str
    install: Install
    aim: Aim
    without: str = ""  # the guard that is off as well
    off: Install | None = None  # takes it off; None: the aim's world has it not (an org without the key field)
    masked_by: str = ""  # this guard makes up for it: it is not expected to show
    quick: bool = False  # among the few that every test run tries

    @property
    def words(self) -> str:
        return f"{self.name}, without {self.without}" if self.without else self.name


def _set(owner: Any, name: str, value: Any) -> Install:
    return lambda stack: stack.enter_context(patch.object(owner, name, value)) and None


def _both(*installs: Install) -> Install:
    def install(stack: ExitStack) -> None:
        for each in installs:
            each(stack)

    return install


# --- the protocol of a write ----------------------------------------------------------------------------------------

_open, _close, _record = intents.open_, intents.close, Hands.record


def _close_unopened(connection: Any, given: Any, at: Any) -> None:
    """Journal rows without intents before them."""
    done = list(given)
    _open(connection, done, Lease(name="cycle", owner="", fence=0), at)
    _close(connection, done, at)


def _no_intent(connection: Any, given: Any, held: Any, at: Any) -> None:
    """Nothing is written down before the call, and what comes of it only where it is heard."""


NO_INTENT: Final = _both(_set(intents, "open_", _no_intent), _set(intents, "close", _close_unopened))
_CALLS: Final = ("write", "moves", "convert", "remove")


def _record_later(self: Hands, batch: Batch) -> None:
    """The intents wait until the call's answer is there."""
    later = batch.open_intents
    if later and self.lease is not None:
        for side in SIDES:
            mine = [one for one in later if one.side == side]
            connector: Any = self.connectors[side]
            if mine:
                connector.intents_later = lambda mine=mine: _record(self, Batch(open_intents=mine))
        batch = replace(batch, open_intents=())
    _record(self, batch)


def _then_intents(call: Callable[..., Any]) -> Callable[..., Any]:
    def called(self: Any, *given: Any) -> Any:
        answer = call(self, *given)
        tell = self.__dict__.pop("intents_later", None)
        if tell is not None:
            tell()
        return answer

    return called


INTENT_AFTER: Final = _both(
    _set(Hands, "record", _record_later),
    *(_set(kind, name, _then_intents(getattr(kind, name))) for kind in BOTH for name in _CALLS),
)


def _bare(call: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, given: call(self, [replace(one, version=None) for one in given])


NO_VERSION: Final = _both(
    *(_set(kind, name, _bare(getattr(kind, name))) for kind in BOTH for name in ("write", "moves"))
)

_send, _salesforce_write = connectors.http.Session.send, SalesforceConnector.write


def _always_repeat(self: Any, *args: Any, **options: Any) -> Any:
    return _send(self, *args, **{**options, "repeat": True})


def _without_keys(self: Any, writes: Any) -> Any:
    """The key field is there, and creates do not fill it."""
    return _salesforce_write(self, [replace(one, key=None) if one.kind == "create" else one for one in writes])


def _as_it_is(hands: Any, work: Any, side: Any, sent: Any, problems: Any) -> Base:
    """Whatever was found is what we made."""
    return settled_base(Base(), work.seen["left"].shared, work.seen["right"].shared, frozenset(), axes_settled=False)


def _agreed_as_it_is(hands: Any, view: Any, link: Any, left: Any, right: Any) -> Any:
    """... and what stands on both sides is agreed on, alike or not."""
    now = view.see_pair(link, left, right, source=link.origin)
    base = settled_base(link.base, now[0].shared, now[1].shared, frozenset(), axes_settled=False)
    return replace(link, base=base)


# --- leases and clocks ----------------------------------------------------------------------------------------------

_take, _guard = leases.take, leases.guard


def _no_guard(connection: Any, held: Any) -> datetime:
    """Whoever once had the lease may write."""
    return now(connection)


def _take_unfenced(connection: Any, name: str, seconds: float, owner: str | None, **options: Any) -> Lease:
    """The fence never rises."""
    taken = _take(connection, name, seconds, owner, **options)
    connection.execute(leases.update(leases.lease).where(leases.lease.c.name == name).values(fence=1))
    return replace(taken, fence=1)


def _by_fence_alone(connection: Any, held: Any) -> datetime:
    """The owner, who is another at each take, is not looked at."""
    found = leases.select(leases.lease.c.fence).where(leases.lease.c.name == held.name)
    if connection.execute(found).scalar() != held.fence:
        _guard(connection, held)
    return now(connection)


_open_database = simulation.open_database


def _each_by_its_own(now: Any) -> Any:
    """The store asks whoever writes for the time."""
    return _open_database(lambda: now() + timedelta(seconds=Hunt.active.skewed if Hunt.active else 0.0))


# --- reading --------------------------------------------------------------------------------------------------------

_page = WatchedStore.save_page


def _cursor_first(self: Any, side: Any, source: str, page: Any, *, lease: Any = None) -> int:
    _page(self, side, source, replace(page, rows=(), satellites=()), lease=lease)
    return _page(self, side, source, page, lease=lease)


_window, _salesforce_config = soql.window, crew.SalesforceConfig


def _beyond(columns: Any, table: str, *, since: Any, until: Any = None, after: Any = None) -> str:
    """`>` where a window begins and where a page goes on."""
    text = _window(columns, table, since=since, until=until, after=after)
    if after is not None:
        stamp = soql.instant(after[0])
        kept = f"(SystemModstamp > {stamp} OR (SystemModstamp = {stamp} AND Id > {soql.text(after[1])}))"
        return text.replace(kept, f"SystemModstamp > {stamp}")
    return text.replace("SystemModstamp >= ", "SystemModstamp > ")


def _no_overlap(**settings: Any) -> Any:
    return _salesforce_config(**settings, overlap_seconds=0.0)


NO_OVERLAP: Final = _set(crew, "SalesforceConfig", _no_overlap)

# --- echoes and bases -----------------------------------------------------------------------------------------------

_moved_on, _settled_link, _push = settle._moved_on, settle._settled_link, phases.push_updates  # pyright: ignore[reportPrivateUsage]
_our_users: dict[Side, str | None] = {}
_hands_made = Hands.__post_init__


def _remember_users(self: Hands) -> None:
    _hands_made(self)
    _our_users.update(self.our_users)


def _without_echoes(self: Any, side: Any, source: str, page: Any, *, lease: Any = None) -> int:
    """What our user was the last to save is our own echo."""
    rows = page.rows
    if source in ("account", "contact", "lead", "opportunity"):
        known = self.records(side, source, [row.ref.id for row in rows])
        rows = [row for row in rows if row.modified_by != _our_users.get(side) or row.ref.id not in known]
    return _page(self, side, source, replace(page, rows=rows), lease=lease)


def _moved_by_modifier(hands: Any, work: Any) -> bool:
    return any(row.modified_by != hands.our_users[row.ref.side] for row in work.rows.values()) and _moved_on(
        hands, work
    )


def _push_noting(hands: Any, view: Any, due: Any) -> None:
    for work, update in due:
        intended = work.__dict__.setdefault("intended", {"left": {}, "right": {}})
        intended[update.side] |= update.fields
    _push(hands, view, due)


def _as_sent(hands: Any, view: Any, work: Any) -> Any:
    """What was to be sent counts as what stands on both sides."""
    link = _settled_link(hands, view, work)
    for fields in getattr(work, "intended", {}).values():
        base = replace(link.base, left={**link.base.left, **fields}, right={**link.base.right, **fields})
        link = replace(link, base=base)
    return link


# --- life cycle, work, limits, deletions ----------------------------------------------------------------------------


def _plain_ledger(connection: Any, given: Any, at: Any) -> None:
    """Whoever comes last is right."""
    from sqlalchemy import delete

    from crmbridge.state.schema import conversion

    for one in given:
        connection.execute(
            delete(conversion).where(conversion.c.lead_link == one.lead_link, conversion.c.epoch == one.epoch)
        )
        _save_conversions(connection, [one], at)


_save_conversions, _begin_next, _give_up = intents.save_conversions, handed_out.begin_next, handed_out.give_up
_tick, _said, _fresh_rows = cycle.tick, connectors.http.Session._said, updates.fresh_rows  # pyright: ignore[reportPrivateUsage]


def _begin_uncounted(connection: Any, held: Any, at: Any) -> Any:
    """An attempt counts when it has ended."""
    begun = _begin_next(connection, held, at)
    if begun is not None:
        table = handed_out.work
        before = handed_out.update(table).where(table.c.id == begun.id).values(attempts=table.c.attempts - 1)
        connection.execute(before)
    return begun


def _give_up_counting(connection: Any, held: Any, id_: int, *, counted: bool) -> None:
    table = handed_out.work
    connection.execute(handed_out.update(table).where(table.c.id == id_).values(attempts=table.c.attempts + 1))
    _give_up(connection, held, id_, counted=counted)


def _tick_once(desk: Any) -> list[str]:
    """The hint is the work: it is sent once, and nobody looks into the store whether it was done."""
    queues = _tick(desk)
    last = next((run.id for run in desk.store.runs(limit=1)), "")
    if not queues or desk.store.meta("hinted") == last:
        return []
    desk.store.set_meta("hinted", last)
    return queues


def _said_of_refusals(self: Any, answer: Any, passage: Any) -> Told:
    told = _said(self, answer, passage)
    return told if answer.status < 400 or told.trouble else replace(told, trouble=f"HTTP {answer.status}")


def _count_refusals(call: Callable[..., Any]) -> Callable[..., Any]:
    """What a CRM refuses of a batch are 4xx as well."""

    def called(self: Any, given: Any) -> Any:
        outcomes = call(self, given)
        for one in outcomes:
            if isinstance(one, Refused):
                self._session.gate.leave(Passage(kind="write", reads=False), Told(trouble=one.code))
        return outcomes

    return called


_GONE: Final = frozenset(
    {"0x80040217", "0x80060891", "0x80040500", "NOT_FOUND", "ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY"}
)


def _gone(call: Callable[..., Any]) -> Callable[..., Any]:
    """An answer that says 'not found' is worth a look ..."""

    def called(self: Any, given: Any) -> Any:
        outcomes = call(self, given)
        return [
            Stale(message=one.message)
            if isinstance(one, Refused) and one.code in _GONE and write.kind == "update"
            else one
            for write, one in zip(given, outcomes, strict=True)
        ]

    return called


def _deleted_rows(hands: Any, refs: Sequence[Any]) -> list[Row]:
    """... and what is not there is deleted."""
    rows = _fresh_rows(hands, refs)
    found = {row.ref for row in rows}
    known = [stored.row for ref in refs if ref not in found and (stored := hands.store.record(ref)) is not None]
    return [*rows, *(replace(row, deleted=True, values=None) for row in known)]


# --- the twenty -----------------------------------------------------------------------------------------------------

ANSWERED: Final = r"received POST .*(write|update|create|convertLead|Qualify\w*|Win\w*|Lose\w*|moves|status|stage)"
MADE: Final = r"received POST .*(write|create)"
SENT: Final = r"send POST .*(write|update)"

MUTANTS: Final[tuple[Mutant, ...]] = (
    Mutant(name="no intent", install=NO_INTENT, aim=Aim(kills={ANSWERED: 0.3}), quick=True),
    Mutant(name="intent after the call", install=INTENT_AFTER, aim=Aim(kills={ANSWERED: 0.3})),
    Mutant(
        name="settle 0",
        install=_set(recover, "_seconds_left", lambda hands, intent: 0.0),
        aim=Aim(faults={"lands late": 0.6}, every_seconds=60, tick_seconds=20, people_seconds=8),
        masked_by="keys, versions and states of the CRMs",
    ),
    Mutant(
        name="settle 0",
        without="the key field",
        install=_set(recover, "_seconds_left", lambda hands, intent: 0.0),
        aim=Aim(faults={"lands late": 0.6}, every_seconds=60, tick_seconds=20, people_seconds=8, keyless=True),
    ),
    Mutant(
        name="adopt without comparing",
        install=_both(
            _set(recover, "first_base", _as_it_is),
            _set(recover, "look_at", lambda hands, intent, row: lost.Found(arrived=True)),
            _set(lost, "agreed_by_now", _agreed_as_it_is),
        ),
        aim=Aim(faults={"edit in the same second": 0.3}, kills={MADE: 0.15, SENT: 0.3}, people_seconds=5),
    ),
    Mutant(
        name="lease without fence",
        install=_set(leases, "take", _take_unfenced),
        aim=Aim(faults={"frozen past its lease": 0.1}),
        masked_by="the owner's name, another one at each take",
    ),
    Mutant(
        name="lease without fence",
        without="the owner's name",
        install=_set(leases, "take", _take_unfenced),
        off=_set(leases, "guard", _by_fence_alone),
        aim=Aim(faults={"frozen past its lease": 0.1}),
    ),
    Mutant(
        name="fence unchecked at commit",
        install=_set(leases, "guard", _no_guard),
        aim=Aim(faults={"frozen past its lease": 0.1}),
        quick=True,
    ),
    Mutant(
        name="worker's clock",
        install=_set(simulation, "open_database", _each_by_its_own),
        aim=Aim(skew=(0.0, 160.0, -160.0), slow_seconds=5, tick_seconds=30),
        masked_by="the fence",
    ),
    Mutant(
        name="worker's clock",
        without="the fence",
        install=_set(simulation, "open_database", _each_by_its_own),
        off=_set(leases, "guard", _no_guard),
        aim=Aim(skew=(0.0, 160.0, -160.0), slow_seconds=5, tick_seconds=30),
    ),
    Mutant(
        name="cursor before page",
        install=_set(WatchedStore, "save_page", _cursor_first),
        aim=Aim(kills={"committed page": 0.1}),
    ),
    Mutant(
        name="> for >=",
        install=_set(soql, "window", _beyond),
        aim=Aim(faults={"equal stamps": 0.3}, people_seconds=4, every_seconds=120),
        masked_by="the overlap",
    ),
    Mutant(
        name="> for >=",
        without="the overlap",
        install=_set(soql, "window", _beyond),
        off=NO_OVERLAP,
        aim=Aim(faults={"equal stamps": 0.3}, people_seconds=4, every_seconds=120),
    ),
    Mutant(name="no overlap", install=NO_OVERLAP, aim=Aim(faults={"late commit, old stamp": 0.3})),
    Mutant(
        name="echo by modifier",
        install=_both(
            _set(WatchedStore, "save_page", _without_echoes),
            _set(Hands, "__post_init__", _remember_users),
            _set(settle, "_moved_on", _moved_by_modifier),
        ),
        aim=Aim(faults={"edit between read and write": 0.15}),
    ),
    Mutant(
        name="echo by modifier",
        without="If-Match",
        install=_both(
            _set(WatchedStore, "save_page", _without_echoes),
            _set(Hands, "__post_init__", _remember_users),
            _set(settle, "_moved_on", _moved_by_modifier),
        ),
        off=NO_VERSION,
        aim=Aim(faults={"edit between read and write": 0.15}),
    ),
    Mutant(
        name="base = sent values",
        install=_both(_set(phases, "push_updates", _push_noting), _set(settle, "_settled_link", _as_sent)),
        aim=Aim(faults={"validation rule": 0.4}, lost_writes=0.1),
    ),
    Mutant(name="no If-Match", install=NO_VERSION, aim=Aim(faults={"edit between read and write": 0.2})),
    Mutant(
        name="retry on 504",
        install=_set(connectors.http.Session, "send", _always_repeat),
        aim=Aim(lost_writes=0.3),
    ),
    Mutant(
        name="retry on 504",
        without="the key field",
        install=_set(connectors.http.Session, "send", _always_repeat),
        aim=Aim(lost_writes=0.3, keyless=True),
        quick=True,
    ),
    Mutant(
        name="un-keyed POST",
        install=_set(SalesforceConnector, "write", _without_keys),
        aim=Aim(lost_writes=0.3),
        quick=True,
    ),
    Mutant(name="hint carries truth", install=_set(cycle, "tick", _tick_once), aim=Aim(faults={"hint lost": 0.2})),
    Mutant(
        name="attempts counted after",
        install=_both(_set(handed_out, "begin_next", _begin_uncounted), _set(handed_out, "give_up", _give_up_counting)),
        aim=Aim(poison=True, events=700, every_seconds=60, tick_seconds=8, people_seconds=30),
    ),
    Mutant(
        name="breaker counts 4xx",
        install=_both(
            _set(connectors.http.Session, "_said", _said_of_refusals),
            *(_set(kind, name, _count_refusals(getattr(kind, name))) for kind in BOTH for name in ("write", "moves")),
        ),
        aim=Aim(faults={"validation rule": 1.6}, refusals_only=True),
        quick=True,
    ),
    Mutant(
        name="delete on 404",
        install=_both(
            *(_set(kind, "write", _gone(kind.write)) for kind in BOTH), _set(updates, "fresh_rows", _deleted_rows)
        ),
        aim=Aim(hidden=0.15),
    ),
    Mutant(
        name="ledger without UNIQUE",
        install=_set(intents, "save_conversions", _plain_ledger),
        aim=Aim(rivals=0.5),
        masked_by="the intent: what was called is not planned anew while nobody knows what came of it",
    ),
    Mutant(
        name="ledger without UNIQUE",
        without="the intent",
        install=_set(intents, "save_conversions", _plain_ledger),
        off=NO_INTENT,
        aim=Aim(rivals=0.5, aside=("I6", "I9")),
    ),
)


# --- hunting --------------------------------------------------------------------------------------------------------


@contextmanager
def broken(*installs: Install | None) -> Generator[None]:
    _our_users.clear()
    with ExitStack() as stack:
        for install in installs:
            if install is not None:
                install(stack)
        yield


def violated(seed: int, events: int | None, aim: Aim, *installs: Install | None) -> str | None:
    """What is not kept in this seed, by its number."""
    try:
        with broken(*installs):
            hunt(seed, events=events, aim=aim)
    except Violation as error:
        return promise_of(error)
    except GuardError:
        return "I9, by the engine's own alarm"
    except CrmBridgeError as error:
        return f"I5: no cycle ends any more ({error.code or type(error).__name__})"
    return None


@dataclass(kw_only=True)
class Found:
    seed: int
    by: str
    unfit: int = 0  # seeds before it that the sound engine does not pass, or that fail with the guard alone off


def search(mutant: Mutant, *, seeds: int, events: int | None = None) -> Found | None:
    """The first seed that catches it; only what the engine without the mutant passes counts."""
    unfit = 0
    for seed in range(1, seeds + 1):
        by = violated(seed, events, mutant.aim, mutant.off, mutant.install)
        if by is None:
            continue
        sound = violated(seed, events, mutant.aim) is None
        if sound and (mutant.off is None or violated(seed, events, mutant.aim, mutant.off) != by):
            return Found(seed=seed, by=by, unfit=unfit)
        unfit += 1
    return None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("--seeds", type=int, default=50, help="at most so many for each")
    parser.add_argument("--masked", type=int, default=3, help="at most so many where another guard makes up for it")
    parser.add_argument("--events", type=int, help="events of a seed, else as each is aimed")
    parser.add_argument("--only", help="the mutants with this in their name")
    given = parser.parse_args()
    missed = set[str]()
    caught = set[str]()
    print("| mutant | guard off | caught | seeds | by |\n|---|---|---|---|---|")
    for mutant in MUTANTS:
        if given.only and given.only not in mutant.words:
            continue
        most = given.masked if mutant.masked_by else given.seeds
        found = search(mutant, seeds=most, events=given.events)
        (caught if found else missed).add(mutant.name)
        told = "yes" if found else f"no: masked by {mutant.masked_by}" if mutant.masked_by else "NO"
        unfit = f" ({found.unfit} of them unfit)" if found and found.unfit else ""
        print(
            f"| {mutant.name} | {mutant.without} | {told} | {found.seed if found else most}{unfit} "
            f"| {found.by if found else ''} |",
            flush=True,
        )
    print(f"\n{len(caught)} of {len(caught | missed)} caught")
    return 1 if missed - caught else 0


if __name__ == "__main__":
    sys.exit(main())

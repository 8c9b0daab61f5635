"""One cycle: observe -> pair -> translate -> plan -> guard -> push -> settle, in the order that makes no duplicates.

The same functions serve one process (`crmbridge sync`) and Celery workers. A dry pass plans everything first, so that
the guard judges the whole before anything is written; the real pass then goes the same way.
"""

import getpass
import json
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import mapping
from connectors.base import Connector, Identity
from crmbridge import about
from crmbridge.budget import doing
from crmbridge.drift import DRIFT_META
from crmbridge.drift import told as drift_told
from crmbridge.errors import DEFECTS, AccessError, ConfigError, CrmBridgeError, failed_words
from crmbridge.guard import Ruling, judge
from crmbridge.lifecycle.powers import Powers
from crmbridge.model import SIDES, Directory, Entity, Side
from crmbridge.pauses import is_whole
from crmbridge.retention import sweep
from crmbridge.state.store import Store
from crmbridge.state.words import Batch, IntentState, Issue, Lease, RunRow
from crmbridge.sync import key_index, logged
from crmbridge.sync.customer import freed
from crmbridge.sync.fallback import check_fallbacks
from crmbridge.sync.foreign import stop_if_found
from crmbridge.sync.handed import Bench, Crew, drain
from crmbridge.sync.hands import LEASE_NAME, LEASE_SECONDS, Event, Hands, Options, Progress, Quiet, once
from crmbridge.sync.limits import Course, Keepers, course, left_alone_by, told_apart
from crmbridge.sync.observe import observe
from crmbridge.sync.phase import run_phase
from crmbridge.sync.reconcile import reconcile
from crmbridge.sync.recover import recover
from crmbridge.sync.relink import Relinked, relink
from crmbridge.sync.replan import Previous, replan
from crmbridge.sync.results import fetch_results
from crmbridge.sync.scope import release_claims, touch
from crmbridge.sync.suspects import DEATHS_META, Deaths, Portion, given_up, portions, survived, take_stock
from crmbridge.sync.urgent import ENTITIES as URGENT_ENTITIES
from crmbridge.sync.urgent import run_urgent
from crmbridge.sync.view import Crosswalk, View
from crmbridge.tracing import span

# Claims first, then parents before children; accounts and contacts come again for what the conversions made.
PHASES: tuple[Entity, ...] = ("account", "contact", "lead", "account", "contact", "opportunity")


WAITS = "waits"  # how the outcome of a run begins that left work behind since a CRM is left alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a plan or a sync came to."""

    run_id: str
    plan_id: str | None
    dry: bool
    ruling: Ruling
    first_run: frozenset[Entity]
    counts: Mapping[tuple[str, str, str], int]  # would be written; of a sync that went through: was written
    by_key: Mapping[str, int]
    events: tuple[Event, ...]
    issues: tuple[Issue, ...]  # open ones that need a person, after the run
    calls: Mapping[str, Mapping[str, int]]  # connection -> "table kind" -> HTTP requests
    identities: Mapping[Side, Identity] = field(default_factory=dict)
    replanned: Mapping[Entity, int] = field(default_factory=dict)  # records that a change of the mapping affects
    changed: Mapping[tuple[Side, str], int] = field(default_factory=dict)  # (side, table) -> rows read that were new

    stopped: Mapping[Entity, tuple[str, ...]] = field(default_factory=dict)  # whose fields changed in a CRM, and how
    unwritten: Mapping[tuple[str, str, str, IntentState], int] = field(default_factory=dict)  # sent, and not written
    waits: str = ""  # what was left for later since the day's calls are few

    @property
    def words(self) -> str:
        """For the list of runs."""
        if self.dry:
            return "planned"
        if not self.ruling.go:
            return "stopped by the guard"
        if self.waits:
            return f"{WAITS}: {self.waits}"
        told = [f"{len(self.issues)} held"] if self.issues else []
        return ", ".join(["done", *told, *(f"{entity} stopped" for entity in sorted(self.stopped))])

    @property
    def exit_code(self) -> int:
        """0 all done; 1 records held or failed, or stopped by the guard."""
        if self.dry:
            return 0
        return 1 if not self.ruling.go or self.issues or self.stopped else 0


@dataclass(kw_only=True)
class Engine:
    store: Store
    connectors: Mapping[Side, Connector]
    names: Mapping[Side, str]
    compiled: "mapping.Compiled"
    powers: Mapping[Side, Powers]
    options: Options = field(default_factory=Options)
    progress: Progress = field(default_factory=Quiet)
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    version: "mapping.Version" = field(default_factory=mapping.Version)
    stamp: str = ""  # of the mapping and of both CRMs' columns
    keepers: Keepers = field(default_factory=dict)  # of the connections' limits; none: everything may go out
    previous: Previous = lambda version: None  # an earlier version of the mapping, compiled
    hint: Callable[[int], None] | None = None  # asks other workers to come and help; None: there are none
    _identities: dict[Side, Identity] = field(default_factory=dict)
    _directories: dict[Side, Directory] = field(default_factory=dict)
    _course: Course = field(default_factory=Course)
    _writing: Hands | None = None  # of the run under way: has counted what was written so far
    _last: Outcome | None = None  # what the run that is ending came to
    _replanned: Mapping[Entity, int] = field(default_factory=dict)
    _read_now: Mapping[tuple[Side, str], int] = field(default_factory=dict)
    _calls_told: dict[str, Counter[str]] = field(default_factory=dict)  # by earlier runs of this engine
    _crew: Crew | None = None  # of the run under way
    _deaths: Deaths = field(default_factory=dict[str, int])  # by record, of the runs before

    def plan(self) -> Outcome:
        """Read, and say what would be written; nothing is."""
        with self._running("plan") as (lease, run):
            read = self._read(lease, run)
            hands = self._hands(run, None)
            for portion in portions(self._deaths):
                self._dry_pass(hands, read, portion)
            ruling = self._judge(hands, None)
            saved = self.store.save_plan(_nested(hands.counts), first_run=bool(hands.first_run))
            return self._outcome(hands, ruling, saved.id)

    def sync(self, *, approve: str | None = None, approve_all: bool = False, by: str = "", why: str = "") -> Outcome:
        """One whole cycle. `approve`: id of a plan that a person has read; `approve_all` is for demos and tests."""
        with self._running("sync") as (lease, run), self._at_work():
            hands = self._read(lease, run)
            stop_if_found(self.store)
            approved = self._approved(approve, by, why) if approve else None
            ruling: Ruling | None = None
            for portion in portions(self._deaths):
                dry = self._hands(run, None)
                dry.counts.update(hands.counts)  # the guard judges what the whole run comes to
                self._dry_pass(dry, hands, portion)
                ruling = self._judge(dry, dry.counts if approve_all else approved)
                if not ruling.go:
                    saved = self.store.save_plan(_nested(dry.counts), first_run=bool(dry.first_run))
                    return self._outcome(dry, ruling, saved.id, dry=False)
                self._real_pass(hands, dry, portion)
            assert ruling is not None
            for entity in self.options.entities if not self._course.only else ():
                if entity in hands.first_run and is_whole(self.store.pauses(), entity):
                    self.store.set_meta(f"{'first_run' if self.options.only.everything else 'pilot'}:{entity}", run.id)
            sweep(self.store, self.options.retention, hands.renew)
            return self._outcome(hands, ruling, approve)

    def relink(self, *, by: str = "", why: str = "") -> Relinked:
        """After a restore: read, find again what was made since, and let writing go on. No CRM is written to."""
        with self._running("relink") as (lease, run):
            hands = self._read(lease, run)
            view = View(hands=hands, crosswalk=Crosswalk(hands=hands))
            return relink(hands, view, by=by or getpass.getuser(), why=why)

    def drain(self, seconds: float) -> int:
        """Help with what the worker with the cycle has handed out, for so long; returns how many pairs were done."""
        for keeper in self.keepers.values():
            keeper.check("life-cycle")
        end = self.clock() + seconds
        try:
            with told_apart(self.keepers), doing("life-cycle"):
                self._meet()
                stop_if_found(self.store)
                return drain(self._bench(), enough=lambda: self.clock() > end)
        finally:
            self._beat()
            for keeper in self.keepers.values():
                keeper.settle()
            self._calls_told = self._all_calls()  # each pair tells its own

    def look(self) -> View:
        """Records as a cycle would see them, for `verify` and `why`: without a lease nothing is written anywhere."""
        self._meet()
        hands = self._hands(RunRow(id="", kind="look", started_at=self.store.now()), None)
        return View(hands=hands, crosswalk=Crosswalk(hands=hands))

    # --- parts --------------------------------------------------------------------------------------------------------

    def _read(self, lease: Lease, run: RunRow) -> Hands:
        hands = self._writing = self._hands(run, lease)
        hands.portion = portions(self._deaths)[0]
        hands.given_up = given_up(self._deaths)
        self._beat(hands.renew)
        view = View(hands=hands, crosswalk=Crosswalk(hands=hands))
        with doing("life-cycle"):  # what was begun is brought to its end
            lanes = self.store.take_over_work(lease)
            hands.busy = frozenset(lanes)
            hands.untouchable = recover(hands, view, self.sleep).union(*lanes.values())
        self._read_now = observe(hands, view)
        if self.options.reconcile_every is not None and not self._course.only:
            reconcile(hands, self.options.reconcile_every)
        self._replanned = replan(hands, view, self.version.id, self.previous)
        release_claims(hands, view)
        due = freed(hands, view)
        if due:
            hands.record(Batch(dirty=due))
        key_index.refresh(hands, view)
        fetch_results(hands)
        return hands

    def _dry_pass(self, hands: Hands, read: Hands, portion: Portion) -> None:
        hands.untouchable, hands.born, hands.leader = read.untouchable, read.born, read
        hands.portion = portion
        view = View(hands=hands, crosswalk=Crosswalk(hands=hands))
        if self._course.only:
            run_urgent(hands, view)
        else:
            self._pass(hands, view)
        if hands.put_aside:  # the queue of a pause is to be seen after a plan as well, and where the guard says no
            read.record(Batch(issues=hands.put_aside))

    def _real_pass(self, hands: Hands, dry: Hands, portion: Portion) -> None:
        view = View(hands=hands, crosswalk=Crosswalk(hands=hands))
        hands.portion = portion
        if self.hint is not None and self.options.only.everything:
            hands.crew = self._crew = self._crew or Crew(bench=self._bench(), hint=self.hint)
            hands.converting = dry.converting
        if self._course.first:
            run_urgent(hands, view)
        if not self._course.only:
            self._pass(hands, view)
        whole = self.options.only.everything and not self._course.only
        deaths = survived(self._deaths, portion, self.options.entities) if whole else self._deaths
        if deaths != self._deaths:
            hands.record(Batch(meta={DEATHS_META: json.dumps(deaths)}))
            self._deaths = deaths

    def _pass(self, hands: Hands, view: View) -> None:
        touch(hands, view)
        for entity in PHASES:
            if entity in self.options.entities:
                hands.progress.step(f"{'planning' if hands.dry else 'syncing'} {entity} records")
                with span("phase", entity=entity, dry=hands.dry):
                    run_phase(hands, view, entity)

    def _beat(self, call: Callable[[], None] = lambda: None) -> None:
        """Before each call to a CRM. Without a word: nothing, for a lease that has ended would let none through."""
        for connector in self.connectors.values():
            connector.heartbeat(call)

    def _bench(self) -> Bench:
        def hands(run_id: str, lease: Lease) -> Hands:
            run = self.store.run(run_id)
            assert run is not None, "work of a run that there never was"
            return self._hands(run, lease)

        return Bench(
            store=self.store,
            hands=hands,
            mapping=self.version.id,
            sleep=self.sleep,
            calls=self._all_calls,
            beat=self._beat,
        )

    def _judge(self, hands: Hands, approved: Mapping[tuple[str, str, str], int] | None) -> Ruling:
        return judge(
            hands.counts,
            caps=self.options.caps,
            linked={entity: self._linked(hands, entity) for entity in self.options.entities},
            first_run_of=frozenset(hands.first_run),
            approved=approved,
        )

    def _linked(self, hands: Hands, entity: Entity) -> int:
        """How many pairs there are, as far as the guard wants to know it: a million are not counted each cycle."""
        wanted = [(kind, n) for (_, of, kind), n in hands.counts.items() if of == entity and n]
        enough = max((self.options.caps.cap_for(kind).enough(n) for kind, n in wanted), default=0)
        found = self.store.count_links(entity, up_to=enough) if enough else 0
        return found if found >= enough else self.store.count_links(entity)

    def _approved(self, plan_id: str, by: str, why: str) -> Counter[tuple[str, str, str]]:
        plan = self.store.plan(plan_id)
        if plan is None:
            raise ConfigError(f"There is no plan '{plan_id}'.", fix="Make one with: crmbridge plan")
        self.store.approve_plan(plan_id, by or getpass.getuser(), why)
        return Counter(
            {
                (side, entity, kind): count
                for side, entities in plan.counts.items()
                for entity, kinds in entities.items()
                for kind, count in kinds.items()
            }
        )

    def _hands(self, run: RunRow, lease: Lease | None) -> Hands:
        return Hands(
            store=self.store,
            connectors=self.connectors,
            names=self.names,
            compiled=self.compiled,
            powers={
                side: replace(powers, makes_persons=self._identities[side].person_accounts)
                for side, powers in self.powers.items()
            },
            identities=self._identities,
            directories=self._directories,
            options=self._options_now,
            run=run,
            lease=lease,
            keepers=self.keepers,
            stamp=self.stamp,
            clock=self.clock,
            progress=self.progress,
            first_run=self._never_synced(),
        )

    def _never_synced(self) -> frozenset[Entity]:
        """A pilot is approved once and then goes on; it does not stand for the first run of everything."""
        kinds = ("first_run",) if self.options.only.everything else ("first_run", "pilot")
        done = self.store.metas(f"{kind}:{entity}" for kind in kinds for entity in self.options.entities)
        return frozenset(
            entity for entity in self.options.entities if not any(f"{kind}:{entity}" in done for kind in kinds)
        )

    @contextmanager
    def _running(self, kind: str) -> Generator[tuple[Lease, RunRow]]:
        for keeper in self.keepers.values():
            keeper.check("life-cycle")  # else there is nothing to begin with
        lease = self.store.take_lease(LEASE_NAME, LEASE_SECONDS)
        if self.version.id:
            self.store.save_mapping(self.version.id, self.version.label, self.version.texts)
        run = self.store.start_run(kind, lease=lease, mapping=self.version.id or None)
        about.note(run=run.id)
        outcome = "failed"
        self._last = self._crew = self._writing = None
        defect = False
        try:
            self._deaths, stopped = take_stock(self.store, lease)
            logged.issues(self.names, self.store, stopped)
            self._course = course(self.keepers, self.connectors, was_left_alone=self._was_left_alone(run, kind))
            self._meet()
            with span(kind, run=run.id):
                yield lease, run
            outcome = self._last.words if self._last else "done"
        except KeyboardInterrupt:
            outcome = "interrupted"
            raise
        except CrmBridgeError as error:
            waits = left_alone_by(self.keepers, error)
            outcome = failed_words(error) if waits is None else f"{WAITS}: {waits.message}"
            if waits is None or waits is error:
                raise
            raise waits from error
        except Exception as error:
            outcome, defect = f"failed: {type(error).__name__}", isinstance(error, DEFECTS)
            raise
        finally:
            self._beat()
            for keeper in self.keepers.values():
                keeper.settle()
            done = self._writing  # also of a run that failed on its way
            if done is not None and not defect:
                with suppress(CrmBridgeError):  # the lease is lost, or the store: then it counts, whoever's fault it is
                    done.at_hand()
            self.store.end_run(
                run.id,
                outcome,
                counts=_nested(done.counts) if done else {},
                unwritten=_unwritten(done.unwritten) if done else {},
                calls=self._calls(),
            )
            self._calls_told = self._all_calls()
            if self._crew is not None:
                self.store.leave_work(run.id)
            self.store.release(lease)

    @property
    def _options_now(self) -> Options:
        """When calls are few only what conversions and closes need is read."""
        if not self._course.only:
            return self.options
        some = tuple(entity for entity in self.options.entities if entity in URGENT_ENTITIES)
        return replace(self.options, entities=some, reading=())

    def _at_work(self) -> AbstractContextManager[None]:
        """What a cycle reads and writes is bulk, but when conversions alone go on it is all for them."""
        return doing("life-cycle" if self._course.only else "bulk")

    def _was_left_alone(self, run: RunRow, kind: str) -> bool:
        """Did the run before this one have to leave work behind?"""
        before = next((one for one in self.store.runs(limit=10) if one.kind == kind and one.id != run.id), None)
        if before is None:
            return False
        ended = before.ended_at or before.started_at  # a block since then kept somebody from even beginning
        return before.outcome.startswith(WAITS) or any(one.was_blocked_since(ended) for one in self.keepers.values())

    def _meet(self) -> None:
        """Who are we talking to; the org is pinned at first contact, and if it changes writing stops."""
        for side in SIDES:
            if side not in self._identities:
                self._identities[side] = self.connectors[side].identity()
                groups = self.compiled.names_groups(side)
                self._directories[side] = self.connectors[side].directory(groups=groups)
            identity = self._identities[side]
            pinned = self.store.meta(f"org:{side}")
            now = f"{identity.org_id} {'production' if identity.production else 'sandbox'}"
            if pinned is None:
                self.store.set_meta(f"org:{side}", now)
            elif pinned != now:
                raise AccessError(
                    f"{self.names[side]} answers as another organization ({now}) than the one this store belongs to "
                    f"({pinned}); nothing was written.",
                    fix="Correct the connection's url, or use another store.url for another organization.",
                    code="wrong_org",
                )
        check_fallbacks(self.options.policies, self._directories, self.names)

    def _calls(self) -> dict[str, dict[str, int]]:
        """Requests of this run; a worker's engine goes through many."""
        others = self._crew.calls if self._crew is not None else {}
        return {
            name: dict(calls - self._calls_told.get(name, Counter()) + others.get(name, Counter()))
            for name, calls in self._all_calls().items()
        }

    def _all_calls(self) -> dict[str, Counter[str]]:
        return {
            self.names[side]: Counter(
                {f"{table} {kind}".strip(): n for (table, kind), n in self.connectors[side].calls.items()}
            )
            for side in SIDES
        }

    def _outcome(self, hands: Hands, ruling: Ruling, plan_id: str | None, *, dry: bool | None = None) -> Outcome:
        issues = tuple(issue for kind in ("held", "failed") for issue in self.store.open_issues(kind=kind))
        self._last = Outcome(
            run_id=hands.run.id,
            plan_id=plan_id,
            dry=hands.dry if dry is None else dry,
            ruling=ruling,
            first_run=hands.first_run,
            counts=dict(hands.counts),
            unwritten=dict(hands.unwritten),
            by_key=dict(hands.by_key),
            events=once(hands.events),
            issues=issues,
            calls=self._calls(),
            identities=self._identities,
            replanned=dict(self._replanned),
            changed=dict(self._read_now),
            stopped=drift_told(self.store.meta(DRIFT_META)) if self.options.stopped else {},
            waits=self._course.why,
        )
        return self._last


def _unwritten(counts: Mapping[tuple[str, str, str, IntentState], int]) -> dict[str, Any]:
    """Connection -> entity -> kind -> how -> writes."""
    nested: dict[str, dict[str, dict[str, dict[str, int]]]] = {}
    for (side, entity, kind, how), count in counts.items():
        nested.setdefault(side, {}).setdefault(entity, {}).setdefault(kind, {})[how] = count
    return nested


def _nested(counts: Mapping[tuple[str, str, str], int]) -> dict[str, Any]:
    nested: dict[str, dict[str, dict[str, int]]] = {}
    for (side, entity, kind), count in counts.items():
        nested.setdefault(side, {}).setdefault(entity, {})[kind] = count
    return nested

"""Both CRMs and their identity service in one box: time, chance, calls and faults, still without any socket.

A request passes in steps: *judge* (does a fault apply?), *commit* (the CRM carries it out), and the reply, which is
the business of whoever drives it: `server.py` over HTTP, `adapter.py` in process.
"""

import copy
import logging
import random
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, get_args, runtime_checkable

from crmbridge.sandbox import calls, synthetic
from crmbridge.sandbox.connection import connection
from crmbridge.sandbox.core import App, BadRow, Call, Clock, Crm, MovableClock, Reply, Request, Row, SkewedClock, World
from crmbridge.sandbox.fault_replies import reply_for
from crmbridge.sandbox.faults import Action, Facts, Faults, Service, named_ids, token_of
from crmbridge.sandbox.loading import Kind, folders_of, read_folder
from crmbridge.sandbox.pages import Pages, halved
from crmbridge.sandbox.scenario import Scenario
from crmbridge.sandbox.seed import Seed, SeedError, find_seed

log = logging.getLogger("crmbridge.sandbox")

RNG_SEED = 20  # the same ids in every sandbox, unless a caller brings its own chance


class CrmApp(App, Protocol):
    """A CRM as the box needs it: an App that can be filled."""

    @property
    def credentials(self) -> Mapping[str, str]: ...

    def load(self, records: Mapping[str, list[Row]]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Apps:
    salesforce: CrmApp
    dynamics: CrmApp
    identity: App
    tables_by_set: Mapping[str, str]  # of Dynamics: entity set name -> logical name
    clocks: Mapping[Crm, SkewedClock] = field(default_factory=dict[Crm, SkewedClock])  # each CRM's own


Builder = Callable[[World, Mapping[Crm, Path]], Apps]


def shipped_apps(world: World, shapes: Mapping[Crm, Path]) -> Apps:
    """Both CRMs as this package has them; a CRM without a shape file gets the out-of-box shape."""
    from crmbridge.sandbox.dynamics import shape as dynamics_shape
    from crmbridge.sandbox.dynamics import shape_file
    from crmbridge.sandbox.dynamics.app import DynamicsApp
    from crmbridge.sandbox.identity import IdentityApp
    from crmbridge.sandbox.salesforce import shape as salesforce_shape
    from crmbridge.sandbox.salesforce.app import SalesforceApp

    try:
        org = salesforce_shape.load_shape(shapes.get("salesforce"))
        environment = shape_file.load_shape(shapes.get("dynamics"))
    except (salesforce_shape.ShapeError, dynamics_shape.ShapeError) as problem:
        raise SeedError(str(problem)) from problem
    # Chance of its own for each side: what happens on one never changes the ids of the other.
    # And a clock of its own, so that the two can be apart.
    clocks: dict[Crm, SkewedClock] = {crm: SkewedClock(shared=world.clock) for crm in get_args(Crm)}
    left, right = (
        replace(world, rng=random.Random(world.rng.getrandbits(64)), clock=clock)  # noqa: S311 - chance that must repeat
        for clock in clocks.values()
    )
    try:
        salesforce, dynamics = SalesforceApp(left, org), DynamicsApp(right, environment)
    except BadRow as problem:
        raise SeedError(f"The records of the shape do not fit it: {problem}") from problem
    except dynamics_shape.ShapeError as problem:
        raise SeedError(f"{shapes.get('dynamics', 'dynamics')}: {problem}") from problem
    return Apps(
        salesforce=salesforce,
        dynamics=dynamics,
        identity=IdentityApp(right, dynamics),
        tables_by_set={table.set_name: table.name for table in environment.tables.values()},
        clocks=clocks,
    )


@runtime_checkable
class Revocable(Protocol):
    """A CRM whose tokens can be taken away."""

    def revoke_token(self, token: str, *, all_of_user: bool) -> None: ...


@runtime_checkable
class Fillable(Protocol):
    """A CRM that takes records of a user's own, and made-up ones by the million."""

    @property
    def tables(self) -> dict[str, str]: ...

    def column_kind(self, table: str, column: str) -> Kind | None: ...

    def bulk_store(self) -> synthetic.Store: ...


def load_folder(sides: Mapping[Crm, CrmApp], directory: Path) -> None:
    """The folder's records into the CRMs; a mistake is a SeedError that names file, line and column."""
    try:
        for crm, folder in folders_of(directory).items():
            app = sides[crm]
            if isinstance(app, Fillable):
                loaded = read_folder(folder, app.tables, app.column_kind)
                try:
                    app.load(loaded.rows)
                except BadRow as problem:
                    raise loaded.told(problem) from problem
    except ValueError as problem:
        raise SeedError(str(problem)) from problem


@runtime_checkable
class Lockable(Protocol):
    """A CRM in which somebody else can hold rows."""

    def hold(self, keys: Iterable[str], seconds: float) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything that requests can change. `sides` are the same apps as in `apps`, so they are copied together."""

    seed: Seed
    world: World
    apps: Apps
    sides: Mapping[Crm, CrmApp]

    def copy(self) -> "State":
        return copy.deepcopy(self)


class NoSuchSnapshot(KeyError):
    """Nothing was kept under this name."""


class ClockNotOurs(RuntimeError):
    """The clock was brought by a simulation: it alone moves it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What happens to one request besides being carried out."""

    instead: Reply | None = None  # given in place of the CRM's answer; nothing is carried out
    drop: str = ""  # "before_commit", "after_commit": the connection is closed without an answer
    truncate: bool = False  # half of the body, then the connection is closed
    reset: bool = False  # half of the body, then the connection is reset
    half: bool = False  # half of the body, as if it were all
    request: Request | None = None  # carried out in place of what was asked
    wait_before: float = 0.0  # seconds before the commit
    wait_after: float = 0.0  # seconds between the commit and the reply


CLEAN = Verdict()


class Sandbox:
    """Thread-safe: one lock, held for a commit or a question and never while waiting."""

    def __init__(
        self,
        seed: str | Path = "sample",
        *,
        shapes: Mapping[Crm, Path] | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        build: Builder = shipped_apps,
        load: Path | None = None,  # a folder of records, besides the seed's
        size: int = 0,  # so many made-up leads on each side, and what goes with them
        random_seed: int = RNG_SEED,  # of the made-up ones
    ) -> None:
        self.lock = threading.RLock()
        self.faults = Faults()
        self._rng = rng
        self._build = build
        self._shapes = shapes or {}
        self._snapshots: dict[str, State] = {}
        self._pages = Pages()
        self._load, self._size, self._random_seed = load, size, random_seed
        self.made: dict[Crm, dict[str, int]] = {}  # made-up rows by table
        self._start(find_seed(seed), clock or MovableClock(source=lambda: datetime.now(UTC)))

    def _start(self, seed: Seed, clock: Clock) -> None:
        """Both CRMs from nothing; if the seed cannot be loaded, what was there before stays."""
        rng = self._rng or random.Random(RNG_SEED)  # noqa: S311 - ids must repeat, nothing here is secret
        world = World(clock=clock, rng=rng)
        apps = self._build(world, {**seed.shapes, **self._shapes})
        sides: dict[Crm, CrmApp] = {"salesforce": apps.salesforce, "dynamics": apps.dynamics}
        start = clock.now()
        for crm, app in sides.items():
            try:
                app.load(seed.records(crm, start))
            except ValueError as problem:
                raise SeedError(f"Seed {seed.name!r} does not fit {crm}: {problem}") from problem
        if self._load is not None:
            load_folder(sides, self._load)
        if self._size:
            stores: dict[Crm, synthetic.Store] = {
                crm: app.bulk_store() for crm, app in sides.items() if isinstance(app, Fillable)
            }
            try:
                self.made = synthetic.fill(stores, self._size, self._random_seed, start)
            except ValueError as problem:
                raise SeedError(f"Made-up rows do not fit the shape of seed {seed.name!r}: {problem}") from problem
        self._enter(State(seed=seed, world=world, apps=apps, sides=sides))

    def _enter(self, state: State) -> None:
        self.seed, self.world, self.apps, self.crms = state.seed, state.world, state.apps, state.sides

    # --- one request -------------------------------------------------------------------------------------------------

    def app_for(self, service: Service) -> App:
        return self.apps.identity if service == "identity" else self.crms[service]

    def judge(self, service: Service, request: Request) -> Verdict:
        """Ask the faults. An answer given by a fault is counted as a call all the same: the client did make it."""
        with self.lock:
            if not self.faults.armed:
                return CLEAN
            place = calls.place(service, request, self.apps.tables_by_set)
            before = self._pages.before(service, request) if self.faults.remember_pages else None
            facts = Facts(
                service=service, table=place.table, kind=place.kind, request=request, repeatable=before is not None
            )
            action = self.faults.decide(facts, self.world.rng)
            if action is None:
                return CLEAN
            verdict = (
                Verdict(instead=before) if action.name == "duplicate_page" else verdict_of(action, service, request)
            )
            self._befall(action, service, request)
            if verdict.instead is not None or verdict.drop == "before_commit":
                self._count_failed(service, place, verdict.instead.status if verdict.instead else 0)
            return verdict

    def _befall(self, action: Action, service: Service, request: Request) -> None:
        """What happens to the CRM itself: then it is the CRM that refuses the request."""
        app = self.app_for(service)
        match action.name:
            case "expire_token" | "revoke_session" if isinstance(app, Revocable):
                app.revoke_token(token_of(request), all_of_user=action.name == "revoke_session")
            case "lock_rows" if isinstance(app, Lockable):
                app.hold(named_ids(request), action.seconds)
            case _:
                pass

    def commit(self, service: Service, request: Request) -> Reply:
        with self.lock:
            try:
                reply = self.app_for(service).commit(request)
                if self.faults.remember_pages:
                    self._pages.remember(service, reply)
                return reply
            except Exception:
                # Our bug, not the client's: said so in words, with the traceback in the sandbox's own log.
                log.exception("the sandbox failed on %s %s of %s", request.method, request.path, service)
                text = f"The sandbox itself failed on {request.method} {request.path}; its log has the details."
                return Reply(status=500, headers=(("Content-Type", "text/plain; charset=utf-8"),), body=text.encode())

    def date_of(self, service: Service) -> datetime:
        """The Date header: data time for the CRMs (cursors are taken from it), token time for the identity service."""
        if service == "identity":
            return self.world.clock.real()
        return self.apps.clocks.get(service, self.world.clock).now()

    def _count_failed(self, service: Service, place: calls.Place, status: int) -> None:
        crm: Crm = "salesforce" if service == "salesforce" else "dynamics"
        call = Call(crm=crm, user="", status=status, table=place.table, kind=place.kind, category=place.category)
        self.world.count(call)

    # --- faults ------------------------------------------------------------------------------------------------------

    def arm(self, scenario: Scenario) -> None:
        """Add a scenario's rules; its seed and its skew hold for all that follows."""
        with self.lock:
            for rule in scenario.rules:
                self.faults.add(rule)
            if scenario.seed is not None:
                self.faults.rng = random.Random(scenario.seed)  # noqa: S311 - chance that must repeat
            for crm, seconds in scenario.skew.items():
                if crm in self.apps.clocks:
                    self.apps.clocks[crm].skew = timedelta(seconds=seconds)

    def disarm(self) -> None:
        """No fault, no skew, and the sandbox's own chance again."""
        with self.lock:
            self.faults.clear()
            self.faults.rng = None
            for clock in self.apps.clocks.values():
                clock.skew = timedelta()

    @property
    def skew(self) -> dict[Crm, float]:
        return {crm: clock.skew.total_seconds() for crm, clock in self.apps.clocks.items()}

    # --- the control port's questions --------------------------------------------------------------------------------

    def dump(self) -> dict[Crm, dict[str, list[Row]]]:
        with self.lock:
            return {name: app.dump() for name, app in self.crms.items()}

    def move_clock(self, *, by: timedelta | None = None, to: datetime | None = None, tokens: bool = False) -> None:
        """Data time; token time only when asked."""
        with self.lock:
            clock = self.world.clock
            if not isinstance(clock, MovableClock):
                raise ClockNotOurs("this sandbox runs on a clock of its owner's; move that one")
            step = by if by is not None else (to or clock.now()) - clock.now()
            clock.offset += step
            if tokens:
                clock.token_offset += step

    def reset(self, seed: str | Path | None = None) -> None:
        """As if started afresh: rows, calls, faults, clock. Ids and credentials are those of the first start, unless
        the caller brought its own chance."""
        with self.lock:
            clock = self.world.clock
            if isinstance(clock, MovableClock):
                clock = MovableClock(source=clock.source)
            self._start(self.seed if seed is None else find_seed(seed), clock)
            self.disarm()

    def snapshot(self, name: str) -> None:
        """Keep everything as it is now: rows, sessions, calls, chance and the clock's offset; armed faults are not."""
        with self.lock:
            self._snapshots[name] = State(seed=self.seed, world=self.world, apps=self.apps, sides=self.crms).copy()

    def restore(self, name: str) -> None:
        """Back to that moment, any number of times; real time has gone on. No fault is armed afterwards."""
        with self.lock:
            if name not in self._snapshots:
                raise NoSuchSnapshot(name)
            self._enter(self._snapshots[name].copy())
            self.disarm()

    def connection(self, origins: Mapping[Service, tuple[str, str]], state_dir: Path | None = None) -> dict[str, Any]:
        """How to connect to services reachable at these (http, https) origins; private keys go to `state_dir`."""
        return connection(self.apps.salesforce.credentials, self.apps.dynamics.credentials, origins, state_dir)


def verdict_of(action: Action, service: Service, request: Request) -> Verdict:
    match action.name:
        case "drop_before_commit":
            return Verdict(drop="before_commit")
        case "drop_after_commit":
            return Verdict(drop="after_commit")
        case "hang_before_commit":
            return Verdict(drop="before_commit", wait_before=action.seconds)
        case "hang_after_commit":
            return Verdict(drop="after_commit", wait_after=action.seconds)
        case "truncate":
            return Verdict(truncate=True)
        case "reset":
            return Verdict(truncate=True, reset=True)
        case "half_page":
            return Verdict(half=True)
        case "short_page":
            return Verdict(request=halved(service, request))
        case "duplicate_page" | "expire_token" | "revoke_session" | "lock_rows":
            return Verdict()  # done to the CRM, or said by the page before
        case "slow" if action.when == "before_commit":
            return Verdict(wait_before=action.seconds)
        case "slow":
            return Verdict(wait_after=action.seconds)
        case "status" | "html" | "refuse":
            return Verdict(instead=reply_for(action, service, request))

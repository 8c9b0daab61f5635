"""Workers: each a process of its own as far as the engine can tell, with a desk, a store's door and two connectors.

What a process is to the engine - its id, whether it lives, its sockets, its clock - is put in here; the code that works
is the product's: `workers.cycle.tick` and `drain`, `Engine.sync`, both connectors, the store.
"""

import random
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests
from requests.adapters import HTTPAdapter

import mapping
from connectors.base import Connector
from connectors.dynamics.auth import DynamicsConfig
from connectors.dynamics.connector import DynamicsConnector
from connectors.salesforce.auth import SalesforceConfig
from connectors.salesforce.connector import SalesforceConnector
from crmbridge import wiring
from crmbridge.errors import CrmBridgeError
from crmbridge.model import ENTITIES, SIDES, Side
from crmbridge.sandbox.adapter import ORIGINS, CoreAdapter, Hooks
from crmbridge.sandbox.core import Reply, Request
from crmbridge.sandbox.faults import Service
from crmbridge.sandbox.sandbox import Sandbox
from crmbridge.settings import Settings, load
from crmbridge.state.database import Database
from crmbridge.state.store import Store
from crmbridge.sync import Engine, Options
from tests.simulation.blocks import WatchedGate
from tests.simulation.company import CRM, Company
from tests.simulation.mappings import MAPPINGS
from tests.simulation.scheduler import Killed, Scheduler, Thread, VirtualClock
from tests.simulation.store import Door, WatchedStore
from workers import cycle, schedule
from workers.desk import Desk
from workers.logs import logger

_log = logger("crmbridge.operator")

REQUEST_LIMIT: Mapping[Side, float] = {"left": 600.0, "right": 120.0}  # the vendors' figures (reliability §3)
MARGIN = 60.0
ENGINE_SECONDS_MAX = 4 * 3600.0  # the product's 15 minutes would be a story of reading descriptions
WHOLLY_READ = 0.25  # of the processes that begin: the others are lent what one has read before
KEYED = "CrmBridge_Id__c"
# Every kind of record in each cycle; a worker's schedule narrows it to what is due. The product's day is twenty minutes
# here: within one story it is gone through often, and in the midst of trouble.
WHOLE = Options(
    entities=ENTITIES,
    settle_seconds={side: REQUEST_LIMIT[side] + MARGIN for side in SIDES},
    reconcile_every=timedelta(minutes=20),
)
AT_REST = replace(WHOLE, reconcile_every=None)


class Wire(HTTPAdapter):
    """One adapter for all hosts of a connection: a call goes to the service that its host names."""

    def __init__(self, services: Mapping[str, CoreAdapter]) -> None:
        super().__init__()
        self._services = services
        self.gates: Mapping[str, WatchedGate] = {}  # by service

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        url = request.url or ""
        service = next(service for service, origin in ORIGINS.items() if url.startswith(origin))
        gate = self.gates.get(service)
        if gate is None:
            return self._services[service].send(request, *args, **options)
        gate.on_the_wire()
        response = self._services[service].send(request, *args, **options)
        gate.answered(response.status_code, response.headers.get("Retry-After"))
        return response


class Watched(CoreAdapter):
    """The core behind a worker's socket: what it commits is noted as that worker's."""

    def __init__(self, company: Company, service: Service, hooks: Hooks, actor: str) -> None:
        super().__init__(_Acting(company, actor), service, hooks)  # pyright: ignore[reportArgumentType]


class _Acting:
    """The sandbox as CoreAdapter asks it, with commits made in the actor's name."""

    def __init__(self, company: Company, actor: str) -> None:
        self._company, self._actor = company, actor

    def judge(self, service: Service, request: Request) -> Any:
        return self._company.sandbox.judge(service, request)

    def commit(self, service: Service, request: Request) -> Reply:
        return self._company.commit(self._actor, service, self._company.in_pages(service, request))

    def date_of(self, service: Service) -> Any:
        return self._company.sandbox.date_of(service)


def connectors(
    sandbox: Sandbox,
    wire: HTTPAdapter,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    rng: random.Random,
) -> dict[Side, Connector]:
    told = sandbox.connection({service: (origin, origin) for service, origin in ORIGINS.items()})
    salesforce, dynamics = told["salesforce"], told["dynamics"]
    left = SalesforceConfig(
        name="salesforce",
        url=salesforce["https_url"],
        login_url=salesforce["https_url"],
        flow="client_credentials",
        client_id=salesforce["client_id"],
        client_secret=salesforce["client_secret"],
        key_field=KEYED,
        default_owner="ada@example.com",
        request_limit_seconds=REQUEST_LIMIT["left"],
    )
    right = DynamicsConfig(
        name="dynamics",
        url=dynamics["https_url"],
        tenant_id=dynamics["tenant_id"],
        authority=dynamics["authority"].rpartition("/")[0],
        client_id=dynamics["client_id"],
        client_secret=dynamics["client_secret"],
        default_owner="ada@example.com",
        request_limit_seconds=REQUEST_LIMIT["right"],
    )
    more: Any = {"adapter": wire, "clock": clock, "sleep": sleep, "rng": rng}
    return {"left": SalesforceConnector(left, "left", **more), "right": DynamicsConnector(right, "right", **more)}


@cache
def settings() -> Settings:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "crmbridge.yaml"
        path.write_text(
            """\
connections:
  salesforce:
    {system: salesforce, url: https://salesforce.sandbox.test, auth: {flow: access_token, access_token: "${env:NONE}"}}
  dynamics:
    {system: dynamics, url: https://dynamics.sandbox.test, auth: {flow: access_token, access_token: "${env:NONE}"}}
schedules:
  every_seconds: 600
""",
            encoding="utf-8",
        )
        import os

        os.environ.setdefault("NONE", "none")
        return load(path)


@cache
def compiled_documents() -> "mapping.Documents":
    documents, findings = mapping.load(MAPPINGS, connections={"salesforce": "salesforce", "dynamics": "dynamics"})
    assert not [one for one in findings if one.severity == "error"], findings
    return documents


@cache
def described() -> "tuple[Mapping[Any, Any], Any]":
    """What both CRMs say of their tables, and what the connector to Dynamics keeps of it: alike in all simulations, and
    reading it costs more than a cycle."""
    clock = VirtualClock()
    sandbox = Sandbox("empty", clock=clock, rng=random.Random(0))
    wire = Wire({service: CoreAdapter(sandbox, service) for service in ORIGINS})
    made = connectors(sandbox, wire, clock=clock.monotonic, sleep=lambda seconds: None, rng=random.Random(0))
    descriptions = wiring.describe(made)
    for one in made.values():
        one.close()
    dynamics: Any = made["right"]
    dynamics._environment.processes()
    return descriptions, dynamics._environment


def lend(dynamics: Any) -> None:
    """To a process what others have read before it."""
    own, read = dynamics._environment, described()[1]
    own._tables, own._processes = dict(read._tables), dict(read._processes)


@cache
def compiled() -> "mapping.Compiled":
    """Once for all simulations: the shapes are the same."""
    return mapping.compile(compiled_documents(), descriptions=described()[0])


@cache
def released(number: int) -> "mapping.Version":
    """The mapping with other comments: another version, by which the same is done."""
    documents, of = compiled_documents(), f"# as of release {number}\n"
    return mapping.version_of({name: text + of if number else text for name, text in MAPPINGS.items()}, documents)


@dataclass
class Files:
    """What all workers go by."""

    release: int = 0  # of the mapping
    read_anew: bool = False  # some processes ask the CRMs for all their tables again


class SimDesk(Desk):
    """A worker's desk whose engine is put together here, and whose files never change."""

    def __init__(self, worker: "Worker") -> None:
        super().__init__(Path("crmbridge.yaml"))
        self._worker = worker
        self._kept: Engine | None = None

    @property
    def settings(self) -> Settings:
        return settings()

    @property
    def store(self) -> Store:
        return self._worker.store

    @contextmanager
    def engine(self) -> Generator[Engine]:
        """Kept while all goes well and the files stay as they are, as in the real one."""
        try:
            if self._kept is not None and self._worker.is_outdated:
                self._kept = None
                self._worker.close_connectors()
            if self._kept is None:
                self._kept = self._worker.open_engine()
            yield self._kept
        except BaseException:
            self._kept = None
            self._worker.close_connectors()
            raise


class Worker:
    """One process. It ends when it is killed, and another with the same name begins."""

    def __init__(
        self,
        number: int,
        company: Company,
        database: Database,
        scheduler: Scheduler,
        rng: random.Random,
        *,
        network: "Callable[[Worker], Hooks]",
        late: Callable[[str], None],
        files: Files,
    ) -> None:
        self._files = files
        self.name = f"worker {number}"
        self.number, self.company, self.scheduler = number, company, scheduler
        self.thread = Thread(scheduler, self.name)
        self.pid = 1000 * number
        self.busy = False
        self.cycles = 0
        self.skew = 0.0  # how far this machine's own clock is off; nobody should mind
        self._database, self._rng, self._network, self._late = database, rng, network, late
        self._made: dict[Side, Connector] = {}
        self._release, self._until = 0, 0.0
        self.begin()

    def begin(self) -> None:
        """A new process."""
        self.pid += 1
        life = self.pid
        self.store = WatchedStore(Door(self._database, lambda: self.thread.alive and self.pid == life), self._late)
        self.thread.alive = True
        self.busy = False
        self.desk = SimDesk(self)

    # --- what it does ---------------------------------------------------------------------------------------------

    def drain(self, queue: str, send: Callable[[str], None], done: Callable[[], None]) -> None:
        """As Celery would call the task: one hint, one drain, which may ask others for help."""

        def ask_for_help(workers: int) -> None:
            for _ in range(workers):
                send(schedule.LANES)

        self._run(lambda: cycle.drain(self.desk, queue, ask_for_help), done)

    def tick(self, send: Callable[[str], None], done: Callable[[], None]) -> None:
        def run() -> None:
            for queue in cycle.tick(self.desk):
                send(queue)

        self._run(run, done)

    def asked_for_a_plan(self, *, approve: bool) -> None:
        """An operator: `crmbridge plan`, and then `crmbridge sync --approve` of it."""

        def run() -> None:
            try:
                with self.desk.engine() as engine:
                    engine.options = WHOLE
                    plan = engine.plan()
                    if approve:
                        engine.sync(approve=plan.plan_id, by="ada", why="looked through")
            except CrmBridgeError as error:  # is shown to them
                _log.info(f"refused: {error.message}", action="operator_refused", code=error.code)

        self._run(run, lambda: None)

    def _run(self, task: Callable[[], None], done: Callable[[], None]) -> None:
        self.busy = True

        def run() -> None:
            try:
                task()
            except Killed:
                return
            self.busy = False
            done()

        self.thread.start(run)

    # --- its engine -----------------------------------------------------------------------------------------------

    @property
    def is_outdated(self) -> bool:
        """The files have changed, or what was read of the CRMs is old."""
        return self._release != self._files.release or self._monotonic() > self._until

    def open_engine(self) -> Engine:
        self._release = self._files.release
        self._until = self._monotonic() + ENGINE_SECONDS_MAX
        whole = self._files.read_anew and self._rng.random() < WHOLLY_READ
        hooks = self._network(self)
        wire = Wire({service: Watched(self.company, service, hooks, self.name) for service in ORIGINS})
        self._made = connectors(self.company.sandbox, wire, clock=self._monotonic, sleep=self._sleep, rng=self._rng)
        if not whole:
            lend(self._made["right"])
        self.store.configure(wiring.configure(self._made, compiled()))
        keepers = wiring.keep(settings(), self.store, self._made)
        gates = {side: WatchedGate(keeper, self.company.blocks) for side, keeper in keepers.items()}
        for side, gate in gates.items():
            one: Any = self._made[side]
            one.gated(gate)
        wire.gates = {CRM[side]: gate for side, gate in gates.items()} | {"identity": gates["right"]}
        if whole:
            wiring.describe(self._made)
        return Engine(
            store=self.store,
            connectors=self._made,
            names={"left": "salesforce", "right": "dynamics"},
            compiled=compiled(),
            powers={side: wiring.POWERS[self._made[side].system] for side in SIDES},
            options=WHOLE,
            sleep=self._sleep,
            clock=self._monotonic,
            version=released(self._release),
            previous=lambda id: None if whole else compiled(),  # None: it compiles no more, and all is due again
            keepers=keepers,
        )

    def close_connectors(self) -> None:
        for one in self._made.values():
            one.close()
        self._made = {}

    def _monotonic(self) -> float:
        return self.scheduler.clock.monotonic()

    def _sleep(self, seconds: float) -> None:
        self.thread.pause(max(seconds, 0.0), "has slept")

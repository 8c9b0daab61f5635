"""One seed: two companies, three workers, a broker and a network, on one heap with one source of chance."""

import logging
import random
import re
import sqlite3
import time
import uuid
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, TypeVar
from unittest.mock import patch

import requests
import structlog
from sqlalchemy.exc import OperationalError

from crmbridge import crashpoint, ids
from crmbridge.errors import OutsideError
from crmbridge.model import ENTITIES, SIDES
from crmbridge.sandbox import pages
from crmbridge.sandbox.adapter import Hooks
from crmbridge.sandbox.core import Reply, Request
from crmbridge.sandbox.faults import Service
from crmbridge.sandbox.salesforce import queries
from crmbridge.state import leases
from crmbridge.sync import Engine, Outcome, phase
from tests.simulation.blocks import Blocks
from tests.simulation.company import CRM, SIDE, Change, Company
from tests.simulation.crew import AT_REST, REQUEST_LIMIT, Files, Worker, compiled
from tests.simulation.faults import Faults
from tests.simulation.mirror import Mirror
from tests.simulation.people import People
from tests.simulation.scheduler import Killed, Scheduler, Trace, VirtualClock
from tests.simulation.store import open_database

T = TypeVar("T")
WORKERS: Final = 3
TICK_SECONDS: Final = 60.0
PEOPLE_SECONDS: Final = 8.0  # on average, from one to the next thing that somebody does
SPELL_SECONDS: Final = 900.0  # on average, that some kinds of trouble stay
CALM_SECONDS: Final = 900.0  # on average, from one such spell to the next
RELEASE_SECONDS: Final = 4800.0  # on average, from one change of the mapping's files to the next
OPERATOR_TICKS: Final = 45  # on average, from one time that somebody asks for a plan to the next
# Reads behind which a lead's conversion leaves some of what it made unseen: it was looked for already.
BEHIND: Final = re.compile("/(contacts|leads)$")
RELEASES: Final = 3
PAGE_ROWS: Final = (2, 5, None)  # so many rows have a place on a page; None: as many as is asked for
ROUNDS_MAX: Final = 16  # cycles until all is quiet once nothing disturbs any more
NATIVE: Final = re.compile(r"\b(?:00Q|001|003|006)[0-9A-Za-z]{15}\b|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Violation(AssertionError):
    """A promise was not kept."""


@dataclass(kw_only=True)
class Result:
    seed: int
    events: int = 0
    people: int = 0  # events that are somebody's doing
    days: float = 0.0
    struck: Counter[str] = field(default_factory=Counter[str])
    conversions: int = 0
    cycles: int = 0
    checks: Counter[str] = field(default_factory=Counter[str])
    places: Counter[str] = field(default_factory=Counter[str])  # crash points reached
    killed_at: Counter[str] = field(default_factory=Counter[str])
    hash: str = ""
    rounds: int = 0

    @property
    def disturbances(self) -> int:
        return self.people + sum(self.struck.values())


class Simulation:
    def __init__(
        self,
        seed: int,
        *,
        events: int = 2000,
        faults: tuple[str, ...] | None = None,
        kill_at: tuple[str, ...] = (),
        keep: int = 0,
        check: "Callable[[Simulation, str], None] | None" = None,
        after_call: "Callable[[Simulation, Request, Reply, Sequence[Change]], None] | None" = None,
    ) -> None:
        compiled()  # once a process, and never as a part of the first seed's story
        self.seed, self.events_max = seed, events
        self.rng = random.Random(seed)
        self.clock = VirtualClock()
        self.trace = Trace(keep)
        self.scheduler = Scheduler(self.clock, self.trace)
        self.faults = Faults.choose(self.rng, faults)
        self.company = Company.found(self.clock, random.Random(self.rng.getrandbits(64)))
        self.late_writes: list[str] = []
        self.company.blocks = Blocks(now=self.clock.monotonic, note=self.late_writes.append)
        small = self.rng.choice(PAGE_ROWS)
        self.company.page_rows = small if "page twice" not in self.faults.rates else small or PAGE_ROWS[0]
        self.people = People(self.company, self.rng)
        self.result = Result(seed=seed)
        self.kill_at = set(kill_at)
        self.landing = 0  # requests that are still on their way though nobody waits for them any more
        self.hints: list[str] = []
        self.heard: list[str] = []  # all log lines
        self.read_lines = 0  # of them, so many have been looked at
        self.errors: Counter[str] = Counter()
        self.outcomes: list[Outcome] = []
        self.conversion_calls: set[int] = set()  # requests of ours that converted a lead
        self._after_call = after_call
        self._check = check or (lambda simulation, when: None)
        self.mirror = Mirror(self.late_writes.append, lambda: self.result.checks.update(("I15",)))
        self.database = open_database(self.clock.now)
        self.files = Files()
        self.workers = [
            Worker(
                number,
                self.company,
                self.database,
                self.scheduler,
                self.rng,
                network=self._network,
                late=self.late_writes.append,
                files=self.files,
            )
            for number in range(1, WORKERS + 1)
        ]
        self.company.watchers.append(self._seen)
        self.company.gateway = self._through_gateway

    # --- the course of it -----------------------------------------------------------------------------------------

    def run(self) -> Result:
        with self._surroundings():
            self.faults.on = False
            self._yesterday()
            self.faults.on = self.files.read_anew = True
            self.faults.arm(self.company.sandbox)
            self._skew()
            self._people_later()
            self._tick_later()
            self._spell_later()
            self._release_later()
            before = self.scheduler.events
            while self.scheduler.events - before < self.events_max:
                if not self.scheduler.step():
                    raise AssertionError("the heap is empty")
                if self.late_writes:
                    raise Violation(self.late_writes[0])
            self.result.events = self.scheduler.events - before
            self._heal()
        self.result.days = self.clock.seconds / 86400
        self.result.hash = self.trace.hash
        self.result.struck = self.faults.struck
        return self.result

    def _yesterday(self) -> None:
        """Both companies have some records already, in step; the first run is behind us."""
        for side in SIDES:
            for _ in range(2):
                self.people.do("types a customer", side)
                self.people.do("types a lead", side)
            self.people.do("types a deal", side)
        self.clock.seconds += 1800
        for _ in range(2):
            self.sync(approve_all=True)
            self.clock.seconds += 1800

    def _heal(self) -> None:
        """Faults off, people go home, and virtual days pass."""
        self.faults.end(self.company.sandbox)
        self._stopped, self.files.read_anew = True, False
        self.scheduler.run_until(self.clock.seconds + 2 * 3600)
        assert self.landing == 0
        for worker in self.workers:
            if worker.thread.alive and worker.busy:
                raise Violation(f"I10: {worker.name} still works after two quiet hours")
        quiet, ours, outcome = 0, list[Change](), None
        for rounds in range(1, ROUNDS_MAX + 1):
            self.result.rounds = rounds
            self.clock.seconds += 2 * 3600
            if rounds <= RELEASES:  # what is refused after that is for a person, and is not tried again for a day
                self.store.release_issues(None, "a person", "the cause is gone")
            before = len(self.company.changes)
            outcome = self.sync(approve_all=True)
            ours = self.company.changes[before:]
            quiet = quiet + 1 if not ours and (rounds > RELEASES or not (outcome.counts or outcome.unwritten)) else 0
            if quiet == 2:
                break
        else:
            raise Violation(
                f"I4, I5: still busy after {ROUNDS_MAX} cycles: {outcome and dict(outcome.counts)} {ours[:3]}"
            )
        self.result.checks.update(("I4", "I5"))
        self.result.cycles += sum(worker.cycles for worker in self.workers)
        self._check(self, "at rest")
        self.result.checks["I14*"] += self.company.blocks.calls
        self.result.checks["I11*"] += self.result.places["commit apply"] + self.result.places["commit page"]
        if self.late_writes:
            raise Violation(self.late_writes[0])

    _stopped = False

    @property
    def store(self) -> Any:
        return self.workers[0].store

    def sync(self, **options: Any) -> Outcome:
        return self.ask(lambda engine: engine.sync(**options))

    def ask(self, question: Callable[[Engine], T]) -> T:
        """Something of the first worker's engine, while nothing else is going on."""
        answers = self._answers(question)
        assert answers, "the cycle did not end"
        return answers[0]

    def outlives(self, question: Callable[[Engine], object]) -> bool:
        """The same of a worker that may be killed at it; then another one begins in its place."""
        if self._answers(question):
            return True
        self.workers[0].begin()
        return False

    def _answers(self, question: Callable[[Engine], T]) -> list[T]:
        worker, answers = self.workers[0], list[T]()

        def run() -> None:
            with worker.desk.engine() as engine:
                engine.options = AT_REST  # whatever was due when this engine worked last
                answers.append(question(engine))

        worker._run(run, lambda: None)
        while worker.busy and worker.thread.alive and self.scheduler.step():
            pass
        return answers

    # --- actors ---------------------------------------------------------------------------------------------------

    def _people_later(self) -> None:
        self.scheduler.after(self.rng.expovariate(1 / PEOPLE_SECONDS), "people", self._people)

    def _people(self) -> None:
        if self._stopped:
            return
        if self.faults.strikes("late commit, old stamp", self.rng):
            app: Any = self.company.sandbox.crms["salesforce"]
            app.delay(self.rng.choice(("Lead", "Account", "Contact", "Opportunity")), self.rng.uniform(1, 599), 1)
        times = 3 if self.faults.strikes("equal stamps", self.rng, 3) else 1
        for _ in range(times):
            self.trace.add(self.clock.seconds, self.people.act())
            self.result.people += 1
        if self.faults.strikes("partial batch", self.rng):
            side_ids = [id for entity in ENTITIES for id in self.company.live("left", entity)]
            app = self.company.sandbox.crms["salesforce"]
            app.hold(self.rng.sample(side_ids, min(2, len(side_ids))), self.rng.uniform(60, 900))
        self._people_later()

    def _tick_later(self) -> None:
        self.scheduler.after(TICK_SECONDS, "beat", self._tick)

    def _tick(self) -> None:
        if self._stopped:
            return
        idle = [worker for worker in self.workers if worker.thread.alive and not worker.busy]
        if idle:
            worker = self.rng.choice(idle)
            if self.rng.random() < 1 / OPERATOR_TICKS:
                worker.asked_for_a_plan(approve=self.rng.random() < 0.5)
            else:
                worker.tick(self._hint, lambda: None)
        if self.faults.strikes("all hints lost", self.rng):
            self.hints.clear()
        self._tick_later()

    def _spell_later(self) -> None:
        self.scheduler.after(
            self.rng.expovariate(1 / (SPELL_SECONDS if self.faults.now else CALM_SECONDS)), "the weather", self._spell
        )

    def _spell(self) -> None:
        if self._stopped:
            return
        self.faults.change(self.company.sandbox, self.rng)
        self.trace.add(self.clock.seconds, f"trouble: {sorted(self.faults.now)}")
        self._spell_later()

    def _release_later(self) -> None:
        self.scheduler.after(self.rng.expovariate(1 / RELEASE_SECONDS), "the mapping", self._release)

    def _release(self) -> None:
        """Somebody saves the mapping's files with other comments. Workers take that over while they are at work."""
        if self._stopped:
            return
        self.files.release += 1
        self._release_later()

    def _hint(self, queue: str) -> None:
        self._reached(f"hint {queue}")
        if self.faults.strikes("hint lost", self.rng, 3):
            return
        copies = 3 if self.faults.strikes("hint doubled", self.rng, 3) else 1
        for _ in range(copies):
            self.hints.append(queue)
            self.scheduler.after(self.rng.uniform(0.01, 5), "hint arrives", self._deliver)

    def _deliver(self) -> None:
        idle = [worker for worker in self.workers if worker.thread.alive and not worker.busy]
        if not self.hints:
            return
        if not idle:
            self.scheduler.after(30, "hint waits", self._deliver)
            return
        worker = self.rng.choice(idle)
        worker.drain(self.hints.pop(0), self._hint, lambda: None)

    def _skew(self) -> None:
        for crm in CRM.values():
            if self.faults.strikes("clock skew", self.rng, 1000):
                seconds = self.rng.uniform(-300, 300)
                self.company.sandbox.apps.clocks[crm].skew = timedelta(seconds=seconds)

    # --- crash points ---------------------------------------------------------------------------------------------

    def current(self) -> Worker | None:
        return next((worker for worker in self.workers if worker.thread.current), None)

    def _reached(self, place: str) -> None:
        worker = self.current()
        if worker is None:
            return
        if not worker.thread.alive:
            raise Killed
        self.result.places[place] += 1
        if place == "committed start run":
            worker.cycles += 1
        self.trace.add(self.clock.seconds, f"{worker.name} {place}")
        if not self.faults.on:
            return
        if place in self.kill_at or self.faults.strikes("killed", self.rng, 0.3):
            if place in self.kill_at:
                self.kill_at.remove(place)
                self.faults.struck["killed"] += 1
            self.result.killed_at[place] += 1
            self._restart_later(worker)
            worker.thread.kill()
        if place.startswith("commit "):  # inside the transaction: nobody else can have a turn
            if self.faults.strikes("disk full", self.rng, 0.3):
                raise _disk_full()
            return
        if place.startswith("committed ") and self.faults.strikes("commit unknown", self.rng, 0.3):
            raise OutsideError("The store did not serve: the connection broke.", fix="", code="store")
        if self.faults.strikes("frozen past its lease", self.rng, 0.2):
            worker.thread.pause(self.rng.uniform(160, 1200), "was frozen")
        elif self.rng.random() < 0.05:
            worker.thread.pause(self.rng.uniform(0.001, 2))

    def _restart_later(self, worker: Worker) -> None:
        self.scheduler.after(self.rng.uniform(1, 120), f"{worker.name} begins anew", worker.begin)

    # --- the network ----------------------------------------------------------------------------------------------

    def _network(self, worker: Worker) -> Hooks:
        life = worker.pid

        def before_commit(service: Service, request: Request) -> None:
            worker.thread.pause(self.rng.uniform(0.02, 0.4), "asks")
            if worker.pid != life:
                raise Killed
            if request.method == "GET" and BEHIND.search(request.path):
                self._convert_meanwhile(service)
            if self.faults.on and is_write(request):
                self._meddle(worker, service, request)
                if service != "identity" and self.faults.strikes("lands late", self.rng, 2):
                    self._land_later(worker, service, request)
                    raise requests.ConnectionError("connection closed without an answer")

        def after_commit(service: Service, request: Request, reply: Reply) -> None:
            if self.faults.on and is_write(request) and service != "identity":
                for kind, actor in (("edit in the same second", "bo"), ("automation rewrites", "automation")):
                    if self.faults.strikes(kind, self.rng, 3):
                        self._edit_one(service, request, actor)
            if self.rng.random() < 0.3:
                worker.thread.pause(self.rng.uniform(0.02, 0.4), "hears")

        return Hooks(before_commit=before_commit, after_commit=after_commit, sleep=worker.thread.pause)

    def _through_gateway(self, actor: str, service: Service, request: Request, reply: Reply) -> Reply:
        """It may lose patience with a server that has done what it was asked."""
        ours = actor.startswith("worker") and service != "identity"
        often = 4 if is_write(request) else 1
        return Reply(status=504) if ours and self.faults.strikes("504 after commit", self.rng, often) else reply

    def _land_later(self, worker: Worker, service: Service, request: Request) -> None:
        """The request is with the server, which takes its time; the caller has given up."""
        limit = REQUEST_LIMIT[SIDE[service]]
        self.landing += 1

        def land() -> None:
            self.landing -= 1
            self.company.commit(worker.name, service, request)

        self.scheduler.after(self.rng.uniform(1, limit), f"a request of {worker.name} lands late", land)

    def _meddle(self, worker: Worker, service: Service, request: Request) -> None:
        """Somebody is quicker than our request."""
        del worker
        if service == "identity":
            return
        if self.faults.strikes("edit between read and write", self.rng, 4):
            self._edit_one(service, request, "ada")
        if self.faults.strikes("life goes on meanwhile", self.rng, 3):
            names = ("converts", "disqualifies", "deletes", "merges", "undeletes", "reopens", "wins", "reactivates")
            if self.rng.random() < 0.5:  # with the very record that we are about to write to
                text = request.plain_path + " " + request.body.decode("utf-8", "replace")
                self.people.before_them = frozenset(NATIVE.findall(text))
            self.trace.add(self.clock.seconds, self.people.do(self.rng.choice(names), self.rng.choice(SIDES)))
            self.people.before_them = frozenset()

    def _convert_meanwhile(self, service: Service) -> None:
        if self.faults.strikes("life goes on meanwhile", self.rng, 10):
            self.trace.add(self.clock.seconds, self.people.do("converts", SIDE[service]))

    def _edit_one(self, service: Service, request: Request, actor: str) -> None:
        """One of the rows that a request names, by somebody else."""
        text = request.plain_path + " " + request.body.decode("utf-8", "replace")
        side = SIDE[service]
        named = dict.fromkeys(NATIVE.findall(text))
        rows = [(entity, id) for entity in ENTITIES for id in self.company.live(side, entity) if id in named]
        if rows:
            entity, id = self.rng.choice(rows)
            self.people.actor = actor
            self.people.edit_text(side, entity, id)

    def _seen(self, actor: str, service: Service, request: Request, reply: Reply, made: Sequence[Change]) -> None:
        self.trace.add(
            self.clock.seconds, f"{actor} {service} {request.method} {request.path} {request.query} -> {reply.status}"
        )
        if actor.startswith("worker") and made:
            if any(word in request.body or word.decode() in request.path for word in (b"convertLead", b"QualifyLead")):
                self.conversion_calls.add(self.company.calls)
                self.result.conversions += any(_becomes_converted(change) for change in made)
            if self._after_call is not None:
                self._after_call(self, request, reply, made)

    # --- what the process is, for the code under test -------------------------------------------------------------

    def _log(self, logger: object, method: str, line: dict[str, Any]) -> str:
        del logger
        self.heard.append(f"{method} {line}")
        self.trace.add(self.clock.seconds, f"{method} {line.get('action')}")
        if method == "error":
            self.errors[f"{line.get('action')}: {line.get('code')}"] += 1
        return ""

    @contextmanager
    def _surroundings(self) -> Generator[None]:
        chance = random.Random(self.rng.getrandbits(64))
        ids.install(lambda: uuid.UUID(int=chance.getrandbits(128), version=4))
        crashpoint.install(self._reached)

        def alive(pid: int, signal: int) -> None:
            del signal
            if not any(worker.pid == pid and worker.thread.alive for worker in self.workers):
                raise ProcessLookupError

        def own() -> Worker:
            return self.current() or self.workers[0]

        talk = structlog.get_config()
        structlog.configure(processors=[self._log], logger_factory=structlog.ReturnLoggerFactory())
        handler = _Heard(self.heard)
        ours = logging.getLogger("crmbridge")
        level = ours.level
        ours.setLevel(logging.INFO)
        logging.getLogger().addHandler(handler)
        system = _System(getpid=lambda: own().pid, kill=alive)
        try:
            with (
                patch.object(leases, "os", system),
                patch.object(leases, "host", lambda: "far" if own().number == WORKERS else "near"),
                patch.object(leases, "born", str),
                patch.object(time, "time", self.clock.epoch),
                patch.object(phase, "plan_fields", self.mirror.plan_fields),
                patch.object(queries, "PAGE_SIZE_MIN", 1),  # these companies have a hundredth of the usual rows
                patch.object(pages, "SALESFORCE_ROWS_MIN", 1),
            ):
                yield
        finally:
            structlog.configure(**talk)
            logging.getLogger().removeHandler(handler)
            ours.setLevel(level)
            crashpoint.install(None)
            ids.install(None)
            for worker in self.workers:
                worker.thread.kill()
            self.database.close()


class _Heard(logging.Handler):
    """What a log file would hold: the sentence, and all that goes with it."""

    usual = frozenset(vars(logging.makeLogRecord({})))

    def __init__(self, heard: list[str]) -> None:
        super().__init__(logging.INFO)
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        more = {name: value for name, value in vars(record).items() if name not in self.usual}
        self._heard.append(f"{record.getMessage()} {more}")


@dataclass(frozen=True)
class _System:
    """Of `os`, what leases ask."""

    getpid: Callable[[], int]
    kill: Callable[[int, int], None]


def is_write(request: Request) -> bool:
    if request.method == "GET":
        return False
    if "/services/Soap/" in request.path:
        return b"convertLead" in request.body or b"merge" in request.body
    if request.path.endswith("$batch"):
        return re.search(rb"\n(PATCH|POST|DELETE) /", request.body) is not None
    return "/oauth2/" not in request.path and "/query" not in request.path


def _disk_full() -> OperationalError:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorname = "SQLITE_FULL"
    return OperationalError("COMMIT", {}, error)


def _becomes_converted(change: Change) -> bool:
    if change.before is None or change.after is None or change.table.casefold() != "lead":
        return False
    name, converted = ("IsConverted", True) if change.side == "left" else ("statecode", 1)
    return change.after.get(name) == converted != change.before.get(name)

"""A seed that is aimed: few kinds of faults, often, and kills at the crash points where something is half done.

What the swarm of ordinary seeds meets once in many, a hunt meets in every cycle. It adds what no ordinary seed has: a
pair that takes its worker along, a record that our user does not see for a while, a store that shows each worker its
own clock, and a beat that goes on for some minutes after everybody went home.
"""

import re
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Final
from unittest.mock import patch

from crmbridge.model import ENTITIES, SIDES
from crmbridge.sandbox.adapter import Hooks
from crmbridge.sandbox.core import Reply, Request
from crmbridge.sandbox.faults import Service
from crmbridge.settings import Settings, load
from crmbridge.state.work import ATTEMPTS_MAX
from crmbridge.sync import handed
from tests.simulation import crew, invariants, simulation
from tests.simulation.company import SIDE, Change
from tests.simulation.faults import Faults
from tests.simulation.simulation import NATIVE, Result, Simulation, Violation, is_write
from tests.simulation.store import WatchedStore

BEAT_SECONDS: Final = 1200.0
HIDDEN_SECONDS: Final = (600.0, 3600.0)


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What a hunt is made of."""

    faults: Mapping[str, float] = field(default_factory=dict[str, float])  # kind -> chance, as in `Faults.rates`
    kills: Mapping[str, float] = field(default_factory=dict[str, float])  # pattern of crash points -> chance
    people_seconds: float = 15.0  # from one thing that somebody does to the next
    events: int = 400
    every_seconds: int = 180  # from cycle to cycle
    tick_seconds: float = 60.0  # of the beat
    lost_writes: float = 0.0  # chance that a write is done and its answer lost (504)
    hidden: float = 0.0  # chance that a record is out of our user's sight when it is written to, and for a while
    rivals: float = 0.0  # chance that a person converts the very lead, and our worker dies, as we are about to
    poison: bool = False  # one pair takes whoever works at it along
    keyless: bool = False  # an org without the key field
    refusals_only: bool = False  # nothing else goes wrong, so that nothing may be left alone
    slow_seconds: float = 0.0  # at most so long a CRM takes for a request, beside the usual
    aside: tuple[str, ...] = ()  # promises that are not checked: the guard that is off keeps them by itself
    skew: tuple[float, ...] = ()  # how far the workers' own clocks are off, if the store goes by them


class Hunt(Simulation):
    active: "ClassVar[Hunt | None]" = None

    def __init__(self, seed: int, *, events: int, aim: Aim, keep: int = 0) -> None:
        type(self).active = self
        self.aim = aim
        self._kills = [(re.compile(pattern), chance) for pattern, chance in aim.kills.items()]
        self._hidden: dict[str, float] = {}  # native id -> until
        self._poison: str | None = None  # a pair
        self._died: Counter[str] = Counter()  # of the poisoned pair, by what its records looked like
        super().__init__(
            seed, events=events, faults=(), keep=keep, check=invariants.check, after_call=self._after_each_call
        )
        self.faults = Faults(rates=aim.faults)
        commit = self.company.commit
        self.company.commit = lambda actor, service, request: self._commit(commit, actor, service, request)

    @property
    def skewed(self) -> float:
        """Of whoever asks now."""
        worker = self.current() if hasattr(self, "workers") else None
        return self.aim.skew[worker.number - 1] if worker is not None and self.aim.skew else 0.0

    def run(self) -> Result:
        with ExitStack() as stack:
            stack.enter_context(patch.object(simulation, "PEOPLE_SECONDS", self.aim.people_seconds))
            stack.enter_context(patch.object(simulation, "TICK_SECONDS", self.aim.tick_seconds))
            stack.enter_context(patch.object(crew, "settings", lambda: _settings(self.aim.every_seconds)))
            stack.enter_context(patch.object(crew, "WHOLE", crew.AT_REST))  # it finds soon what was left out
            at_rest = {number: look for number, look in invariants.AT_REST.items() if number not in self.aim.aside}
            stack.enter_context(patch.object(invariants, "AT_REST", at_rest))
            if self.aim.poison:
                stack.enter_context(patch.object(handed, "_work", self._work))
            if self.aim.refusals_only:
                stack.enter_context(patch.object(WatchedStore, "report_breaker", self._left_alone()))
            return super().run()

    def _after_each_call(self, simulation: Simulation, request: Request, reply: Reply, made: Sequence[Change]) -> None:
        try:
            invariants.after_call(simulation, request, reply, made)
        except Violation as error:
            if promise_of(error) not in self.aim.aside:
                raise

    # --- kills --------------------------------------------------------------------------------------------------------

    def _reached(self, place: str) -> None:
        worker = self.current()
        if worker is not None and worker.thread.alive and self.faults.on:
            chance = next((chance for pattern, chance in self._kills if pattern.fullmatch(place)), 0.0)
            if chance and self.rng.random() < chance:
                self.faults.struck["killed"] += 1
                self.result.killed_at[place] += 1
                self._restart_later(worker)
                worker.thread.kill()
        super()._reached(place)

    def _work(self, hands: Any, view: Any, link_id: str) -> Any:
        """One pair kills whoever looks at it. Five tries are what it gets; an edit of it is worth five more (I13)."""
        worker = self.current()
        if worker is not None and self.faults.on:
            self._poison = self._poison or link_id
            if link_id == self._poison:
                link = hands.store.links([link_id])[link_id]
                versions = [
                    one.row.version
                    for side in SIDES
                    for one in hands.store.records(side, link.entity, [link.id_on(side) or ""]).values()
                ]
                self._died[str(versions)] += 1
                if self._died[str(versions)] > ATTEMPTS_MAX:
                    self.late_writes.append(f"I13: a pair has stopped its worker {ATTEMPTS_MAX + 1} times")
                self._restart_later(worker)
                worker.thread.kill()
        return _work(hands, view, link_id)

    def _left_alone(self) -> Callable[..., Any]:
        """A refusal is an answer: no CRM is left alone for any number of them (reliability §8)."""
        report = WatchedStore.report_breaker

        def told(store: WatchedStore, connection_name: str, event: Any, cause: str = "") -> Any:
            after = report(store, connection_name, event, cause)
            if after.until is not None:
                self.late_writes.append(f"I13: {connection_name} is left alone for refusals of single records")
            return after

        return told

    # --- the network --------------------------------------------------------------------------------------------------

    def _network(self, worker: crew.Worker) -> Hooks:
        hooks = super()._network(worker)
        before = hooks.before_commit
        assert before is not None

        def slowly(service: Service, request: Request) -> None:
            if self.aim.slow_seconds and self.faults.on:
                worker.thread.pause(self.rng.uniform(0, self.aim.slow_seconds), "waits")
            before(service, request)

        return replace(hooks, before_commit=slowly)

    def _through_gateway(self, actor: str, service: Service, request: Request, reply: Reply) -> Reply:
        ours = actor.startswith("worker") and service != "identity" and self.faults.on and is_write(request)
        if ours and self.rng.random() < self.aim.lost_writes:
            self.faults.struck["504 after commit"] += 1
            return Reply(status=504)
        return super()._through_gateway(actor, service, request, reply)

    def _meddle(self, worker: crew.Worker, service: Service, request: Request) -> None:
        text = request.plain_path + " " + request.body.decode("utf-8", "replace")
        if self.aim.rivals and re.search("convertLead|QualifyLead", text) and self.rng.random() < self.aim.rivals:
            side = SIDE[service]
            for lead in [id for id in dict.fromkeys(NATIVE.findall(text)) if id in self.company.rows(side, "lead")]:
                self.trace.add(self.clock.seconds, f"converted by its owner: {self.people.convert(side, lead)}")
                self.faults.struck["killed"] += 1
                self._restart_later(worker)
                worker.thread.kill()
        super()._meddle(worker, service, request)

    def _commit(
        self, commit: Callable[[str, Service, Request], Reply], actor: str, service: Service, request: Request
    ) -> Reply:
        """A record that our user may not see is not there for any request of ours that names it."""
        if not actor.startswith("worker") or service == "identity" or not (self.aim.hidden or self._hidden):
            return commit(actor, service, request)
        now, side = self.clock.seconds, SIDE[service]
        text = request.plain_path + " " + request.body.decode("utf-8", "replace")
        named = [
            id for id in dict.fromkeys(NATIVE.findall(text)) if any(id in self.company.rows(side, e) for e in ENTITIES)
        ]
        if self.faults.on and named and is_write(request) and self.rng.random() < self.aim.hidden:
            id = self.rng.choice(named)
            self._hidden[id] = now + self.rng.uniform(*HIDDEN_SECONDS)
            self.faults.struck["hidden"] += 1
        if not self.faults.on:
            self._hidden.clear()
        away = [id for id in named if self._hidden.get(id, 0.0) > now]
        with self.company.without(side, away):
            return commit(actor, service, request)

    # --- at the end ---------------------------------------------------------------------------------------------------

    def _heal(self) -> None:
        """Before everybody goes: with the beat alone a cycle begins and ends by itself (liveness, I5)."""
        self.faults.end(self.company.sandbox)
        self._people_home = True
        home = self.clock.now()
        self.scheduler.run_until(self.clock.seconds + BEAT_SECONDS)
        if not any(run.started_at > home and run.ended_at is not None for run in self.store.runs(limit=100)):
            raise Violation(
                f"I5: no cycle in {BEAT_SECONDS / 60:.0f} minutes in which nothing went wrong, though the beat went on"
            )
        super()._heal()

    _people_home = False

    def _people(self) -> None:
        if not self._people_home:
            super()._people()


_work = handed._work  # pyright: ignore[reportPrivateUsage]
_settings_of = crew.settings


@cache
def _settings(every_seconds: int) -> Settings:
    _settings_of()  # sets what its file names
    with TemporaryDirectory() as folder:
        path = Path(folder) / "crmbridge.yaml"
        path.write_text(
            f"""\
connections:
  salesforce:
    system: salesforce
    url: https://salesforce.sandbox.test
    auth: {{flow: access_token, access_token: "${{env:NONE}}"}}
  dynamics:
    system: dynamics
    url: https://dynamics.sandbox.test
    auth: {{flow: access_token, access_token: "${{env:NONE}}"}}
schedules:
  every_seconds: {every_seconds}
""",
            encoding="utf-8",
        )
        return load(path)


@contextmanager
def world_of(aim: Aim) -> Generator[None]:
    """What must stand before workers are made."""
    with ExitStack() as stack:
        if aim.keyless:
            stack.enter_context(patch.object(crew, "KEYED", None))
        yield


def promise_of(error: Violation) -> str:
    return str(error).partition(":")[0]


def hunt(seed: int, *, aim: Aim, events: int | None = None, keep: int = 0) -> Result:
    with world_of(aim):
        return Hunt(seed, events=events or aim.events, aim=aim, keep=keep).run()

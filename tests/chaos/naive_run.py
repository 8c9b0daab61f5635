"""The control's run: the same people, the same harm, the same faults; then its duplicates are counted."""

import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from kombu.exceptions import OperationalError

from tests.chaos import naive, world
from tests.chaos.harm import Harmer
from tests.chaos.judge import World, doubles
from tests.chaos.people import Journey, People
from tests.chaos.plan import Plan
from tests.chaos.services import Crew, Redis
from tests.chaos.stage import stage
from tests.support import postgres
from tests.support.project import Project

_STILL_SECONDS: Final = 40.0  # without a call: every repetition comes sooner
_END_SECONDS: Final = 300.0
_USER: Final = "integration@northfield.example"


@dataclass(frozen=True, kw_only=True)
class Found:
    plan: Plan
    seconds: float
    conversions: int
    counts: Counter[str]
    duplicates: list[str]
    missing: int

    def __str__(self) -> str:
        kills = sum(self.counts[f"kill {victim}"] for victim in ("child", "group", "parent"))
        kinds = Counter(line.split(" ")[1] for line in self.duplicates)
        words = ", ".join(f"{count} by {kind}" for kind, count in sorted(kinds.items())) or "none"
        return "\n".join(
            [
                f"naive tasks, seed {self.plan.seed}, {self.plan.pool}, {self.plan.acks} acknowledgements",
                f"time               {self.seconds:.0f} s",
                f"SIGKILLs           {kills} of workers, {self.counts['kill at work']} with a task in hand",
                f"SIGSTOPs           {self.counts['stop']}",
                f"Redis              {self.counts['redis']} times killed and empty again",
                f"conversions        {self.conversions} by people",
                f"doubled            {len(self.duplicates)}: {words}",
                f"lost               {self.missing} never mirrored",
            ]
        )


def run(plan: Plan, folder: Path | None = None) -> Found:
    with stage(plan, folder) as made:
        return _run(plan, made.folder, made.project, made.redis, made.cluster)


def _run(plan: Plan, folder: Path, project: Project, redis: Redis, cluster: postgres.Cluster) -> Found:
    control = project.box.control
    at_work = folder / "at-work"
    at_work.mkdir()
    access = naive.Access(
        broker=redis.url,
        salesforce=project.box.connect["salesforce"]["url"],
        salesforce_token=control.people("salesforce", _USER)["access_token"],
        dynamics=project.box.connect["dynamics"]["url"],
        dynamics_token=control.people("dynamics", _USER)["access_token"],
        at_work=str(at_work),
    )
    project.env[naive.VARIABLE] = msgspec.json.encode(access).decode()
    crew = Crew(project, "tests.chaos.naive", plan.pool, folder / "workers.log", beat=False)
    clock = 0.0

    def tend() -> None:
        nonlocal clock
        crew.tend()
        if time.monotonic() - clock >= 1:
            clock = time.monotonic()
            control.advance(1)

    def pause(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            tend()
            time.sleep(0.05)

    def holders() -> set[int]:
        return {int(mark.name) for mark in at_work.iterdir()}

    harmer = Harmer(crew, redis, cluster, holders, tend, world.LEASE_SECONDS, look=5.0, forgetful=True)
    harms = plan.harms()
    done = 0

    def allowed() -> int:
        return plan.conversions * (done + 1) // (len(harms) + 1)

    app = naive.make_app(redis.url)
    people = People(project, random.Random(f"people {plan.seed}"), allowed, converted=lambda one: _hand_over(app, one))
    world.arm(control, plan.seed)
    began = time.monotonic()
    try:
        people.start()
        for harm in harms:
            pause(harm.gap)
            done += 1  # now some are converted, so that somebody is at work
            harmer.do(harm)
        while len(people.done) < plan.conversions:
            assert people.problem is None, people.problem
            pause(0.5)
        people.finish()
        seconds = time.monotonic() - began
        control.clear_faults()
        _until_still(control, pause)
    finally:
        people.halt()
        crew.stop()
    found = World(control.dump())
    return Found(
        plan=plan,
        seconds=seconds,
        conversions=len(people.done),
        counts=crew.counts + harmer.counts,
        duplicates=doubles(found, people.done),
        missing=_missing(found, people.done),
    )


def _hand_over(app: Any, one: Journey) -> None:
    """The message is sent until the broker has it: what is lost later is not the sender's fault."""
    words = {
        "home": one.home,
        "last_name": one.last_name,
        "email": one.email,
        "account": one.account,
        "deal": one.deal if one.with_opportunity else None,
        "known": one.into is not None,
    }
    while True:
        try:
            app.send_task(naive.TASK, kwargs=words, retry=False)
            return
        except (OperationalError, OSError):
            time.sleep(0.2)


def _until_still(control: Any, pause: Any) -> None:
    end = time.monotonic() + _END_SECONDS
    seen, since = -1, time.monotonic()
    while time.monotonic() < end and time.monotonic() - since < _STILL_SECONDS:
        pause(1.0)
        calls = sum(control.calls()[crm]["totals"]["requests"] for crm in ("salesforce", "dynamics"))
        if calls != seen:
            seen, since = calls, time.monotonic()


def _missing(found: World, journeys: list[Journey]) -> int:
    left, right = found.by("Contact", "Email"), found.by("contact", "emailaddress1")
    return sum(not (right if one.home == "salesforce" else left)[one.email] for one in journeys)

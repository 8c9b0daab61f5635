"""Limits under real workers: two Celery workers with a broker of their own, in the middle of what they share.

A CRM that asks to be left alone is, by both of them; conversions go first afterwards; the forecast is told; nothing is
lost. Whether anybody called says the sandbox, which counts each request that reaches it.
"""

import contextlib
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import pytest

from crmbridge.budget import FORECAST_SECONDS_MIN
from crmbridge.state.store import Store
from tests.support.blocks import soon_over
from tests.support.project import Project, project, stop, wait_until
from workers import own_broker

pytestmark = [pytest.mark.journey, pytest.mark.slow, pytest.mark.timeout(900)]

STORM_SECONDS = 600  # longer than any machine takes for what is looked at meanwhile; `soon_over` shortens it
SILENCE_SECONDS = 20  # with a look for work every five
LOOKS = 3
CONVERSIONS = 24
PROCESSES = 1  # of each worker: whoever helps is the other one
SETTINGS = (
    "guard: {conversions: 1000, creates: 1000, updates: 1000}\nschedules: {every: 1 second, idle: up to 2 seconds}\n"
)


@dataclass
class Crew:
    """A company, two workers and a beat."""

    company: Project
    log: Path
    workers: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, output: IO[str]) -> None:
        def celery(*words: str) -> subprocess.Popen[str]:
            program = (sys.executable, "-m", "celery", "-A", "workers.app", *words)
            return self.company.start_program(*program, stdout=output, stderr=output)

        celery("beat")
        more = ("-l", "INFO", "-c", str(PROCESSES))
        self.workers = [celery("worker", "-n", f"w{n}@%h", *more) for n in (1, 2)]
        wait_until("the workers are there", lambda: self.log.read_text().count("ready") >= 2)

    @contextlib.contextmanager
    def store(self) -> Iterator[Store]:
        one = Store.open(f"sqlite:///{self.company.store}")
        try:
            yield one
        finally:
            one.close()

    def block(self, crm: str) -> tuple[datetime, str] | None:
        with self.store() as store:
            found = store.limits(crm).block
            return (found.until, found.why) if found else None

    def at_work_in_lanes(self) -> set[int]:
        """Which of the two workers have a pair of records in hand now."""
        with contextlib.closing(sqlite3.connect(self.company.store)) as connection:
            rows = connection.execute("SELECT pid FROM lease WHERE name LIKE 'lane:%' AND owner IS NOT NULL").fetchall()
        return {parent(pid) for (pid,) in rows} & {worker.pid for worker in self.workers}

    def it_rests(self) -> None:
        """Whoever was in the middle of something when the CRM said no has come to an end."""

        def rests() -> bool:
            with self.store() as store:
                return store.lease_holder("cycle") is None and not self.at_work_in_lanes()

        wait_until("nobody is at work", rests)

    def nobody_calls(self, crm: str) -> None:
        """For a while, both workers being alive and looking for work all the while."""
        self.it_rests()
        control = self.company.box.control
        control.forget_calls()
        block, begun = self.block(crm), time.monotonic()
        assert block is not None, "it is over already, so it proves nothing"
        looks: set[datetime] = set()

        def looked() -> bool:
            with self.store() as store:
                looks.update(beat.at for beat in store.beats() if beat.what == "tick")
            return len(looks) > LOOKS and time.monotonic() - begun >= SILENCE_SECONDS

        wait_until("they look for work again and again", looked)
        assert calls_to(self.company, crm) == [], "called while it had asked to be left alone"
        assert self.block(crm) == block, "it ended while we looked, or somebody was told again"
        assert [worker.poll() for worker in self.workers] == [None, None], self.log.read_text()

    def soon_over(self, crm: str) -> None:
        soon_over(f"sqlite:///{self.company.store}", crm)

    def finish(self, what: str, done: "Any") -> None:
        def stepped() -> bool:
            self.company.pass_time()
            return done()

        wait_until(what, stepped, seconds=240, every=1.0)

    def stop(self) -> None:
        for worker in self.workers:
            assert stop(worker).code == 0, self.log.read_text()
        assert "Traceback" not in self.log.read_text(), self.log.read_text()


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    with project(tmp_path, seed="sample") as company, own_broker.embedded(tmp_path / "redis") as url:
        company.add(SETTINGS)
        company.change("request_limit_seconds: 5\n", "request_limit_seconds: 30\n")  # however busy the machine is
        company.first_run()
        company.settle()
        company.env["CRMBRIDGE_BROKER__URL"] = url
        log = tmp_path / "workers.log"
        with log.open("w") as output:
            one = Crew(company, log)
            yield one_started(one, output)
            company.end_processes()


def one_started(crew: Crew, output: IO[str]) -> Crew:
    crew.start(output)
    return crew


def parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def calls_to(company: Project, crm: str) -> list[dict[str, Any]]:
    """Logins too: who is to be left alone is not even asked for a token."""
    raw = company.box.control.raw_calls()
    return [call for call in raw if call["crm"] == crm]


def operations(calls: list[dict[str, Any]]) -> list[str]:
    return [" ".join(one) for call in calls for one in (call["operations"] or [[call["table"], call["kind"]]])]


def causes(company: Project) -> list[Any]:
    groups = company.run_here("issues", "--json").json["causes"]
    return [group for group in groups if group["kind"] == "failed"]


def told(company: Project, crm: str) -> Any:
    ran = company.run_here("status", "--json")
    assert ran.code == 0, ran
    return ran.json["limits"][crm]


def the_forecast_is_told(company: Project, crm: str) -> None:
    now = datetime.now(UTC)
    young = (now - now.replace(hour=0, minute=0, second=0)).total_seconds() < FORECAST_SECONDS_MIN + 60
    one = told(company, crm)
    assert young or one["forecast"] >= one["used"] > 0, one
    shown = company.run_here("status").out
    rows = [line.replace("│", " ").split() for line in shown.splitlines()]
    row = next(row for row in rows if row[:1] == [crm] and len(row) > 5 and row[1].isdecimal())
    assert young or int(row[3]) == pytest.approx(one["forecast"], rel=0.1), shown


def conversions_done(crew: Crew, count: int) -> bool:
    with crew.store() as store:
        return sum(row.state == "done" for row in store.conversions()) >= count and store.open_intents() == []


def test_a_storm_of_429_while_two_workers_share_the_conversions(crew: Crew) -> None:
    company, control = crew.company, crew.company.box.control
    person = company.salesforce()
    leads = [
        person.create("Lead", LastName=f"Storm {n}", Company=f"Storm {n}", Email=f"s{n}@storm.example")
        for n in range(CONVERSIONS)
    ]
    company.pass_time()
    wait_until("the leads are on the other side", lambda: company.dynamics().find("leads", "lastname eq 'Storm 23'"))
    with crew.store() as store:
        before = sum(row.state == "done" for row in store.conversions())

    # Each of them takes long enough for the other worker to come, so that both have some in hand when it begins.
    control.add_fault(crm="dynamics", body_regex="QualifyLead", fault="slow", seconds=5.0, times=None)
    for lead in leads:
        person.convert(lead, with_opportunity=True)
    company.pass_time()
    wait_until("both workers are at it", lambda: len(crew.at_work_in_lanes()) == 2, every=0.02)
    control.clear_faults()
    control.add_fault(crm="dynamics", fault="throttled", retry_after=STORM_SECONDS, times=None)
    until, why = wait_until("the storm is noticed", lambda: crew.block("dynamics"), every=0.02)
    assert why
    with crew.store() as store:
        assert until - store.now() > timedelta(seconds=STORM_SECONDS / 2), "as long as it asked for"
    plain = person.query("SELECT Id FROM Contact WHERE LastName != 'Storm 0' LIMIT 1")[0]["Id"]
    person.update("Contact", plain, Title="Head of storms")
    company.pass_time()
    crew.nobody_calls("dynamics")
    first = control.faults()[0]["fired"]
    assert first <= 2 * PROCESSES, "what was on its way, and no more"
    assert told(company, "dynamics")["blocked_until"] is not None
    the_forecast_is_told(company, "salesforce")

    # It storms on: each time one look, and then silence again.
    crew.soon_over("dynamics")

    def asked_again() -> bool:
        with crew.store() as store:
            block = store.limits("dynamics").block
            return block is not None and block.until - store.now() > timedelta(seconds=STORM_SECONDS / 2)

    wait_until("it is asked again, and says no again", asked_again, every=0.05)
    crew.nobody_calls("dynamics")
    assert control.faults()[0]["fired"] - first <= 2 * PROCESSES
    control.clear_faults()
    control.forget_calls()
    crew.soon_over("dynamics")
    crew.finish("all is converted", lambda: conversions_done(crew, before + CONVERSIONS))
    crew.finish(
        "the plain change is there", lambda: company.dynamics().find("contacts", "jobtitle eq 'Head of storms'")
    )
    done = operations([call for call in calls_to(company, "dynamics") if call["status"] < 400])
    qualified = [n for n, what in enumerate(done) if "Qualify" in what]
    changed = [n for n, what in enumerate(done) if what == "contact update"]
    assert qualified, done
    assert changed, done
    assert max(qualified) < min(changed), "conversions go first"
    crew.stop()
    company.settle()
    assert company.verify()["differences"] == []
    assert not causes(company)
    assert len(company.dynamics().find("opportunities", "contains(name,'Storm')")) == CONVERSIONS


def test_an_exhausted_quota_stops_two_workers_alike(crew: Crew) -> None:
    """403 without Retry-After: a quarter of an hour without a call, by both of them."""
    company, control = crew.company, crew.company.box.control
    with crew.store() as store:
        before = sum(row.state == "done" for row in store.conversions())
    control.add_fault(crm="salesforce", fault="quota_exhausted", times=None, path_regex="^/services/data")
    until, why = wait_until("it is noticed", lambda: crew.block("salesforce"))
    assert why == "REQUEST_LIMIT_EXCEEDED"
    assert told(company, "salesforce")["blocked_why"] == "REQUEST_LIMIT_EXCEEDED"
    person = company.dynamics()
    open_ones = person.find("leads", "statecode eq 0")[:4]
    for lead in open_ones:
        person.qualify(lead["leadid"], with_opportunity=True)
    changed = person.find("contacts", "statecode eq 0")[0]["contactid"]
    person.update("contacts", changed, jobtitle="Head of quotas")
    company.pass_time()
    with crew.store() as store:
        assert until - store.now() > timedelta(minutes=10), "a quarter of an hour is what it says"
    crew.nobody_calls("salesforce")
    the_forecast_is_told(company, "salesforce")
    assert "salesforce asked to be left alone (REQUEST_LIMIT_EXCEEDED)" in company.run_here("status").out
    control.clear_faults()
    control.forget_calls()
    crew.soon_over("salesforce")
    crew.finish("all is converted", lambda: conversions_done(crew, before + len(open_ones)))
    crew.finish(
        "the plain change is there",
        lambda: company.salesforce().query("SELECT Id FROM Contact WHERE Title = 'Head of quotas'"),
    )
    done = operations([call for call in calls_to(company, "salesforce") if call["status"] < 400])
    converted = [n for n, what in enumerate(done) if "convertLead" in what]
    plain = [n for n, what in enumerate(done) if what.startswith("Contact") and "update" in what.casefold()]
    assert converted, done
    assert plain, done
    assert max(converted) < min(plain), "conversions go first"
    crew.stop()
    company.settle()
    assert company.verify()["differences"] == []
    assert not causes(company)

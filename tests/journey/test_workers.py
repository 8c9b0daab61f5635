"""On Celery: people edit in both CRMs while workers keep them in step; then it is quiet, and both sides agree.

Once as `crmbridge up` (one process tree, embedded broker, SQLite), once as separate workers on a Redis-compatible
server and PostgreSQL, one of them killed on the way.
"""

import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from crmbridge.demo.people import DynamicsPerson, PersonRefused, SalesforcePerson
from crmbridge.settings import load
from crmbridge.state.store import Store
from tests.support import postgres
from tests.support.project import Project, project, stop, wait_until
from workers import own_broker

pytestmark = [pytest.mark.journey, pytest.mark.slow, pytest.mark.timeout(900)]

EDIT_SECONDS = 60
EDITS_PER_SECOND = 3
CLOCK_STEP_SECONDS = 20  # per second of ours, so that what was edited is old enough to be read
DEPENDENCY_DEPTH = 4  # account, contact, lead, opportunity
ROUNDS = DEPENDENCY_DEPTH + 2


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path, seed="sample") as one:
        one.add("schedules: {every_seconds: 1}\n")
        yield one


@dataclass
class Bustle:
    """Two people who do at random what people do; what the CRM refuses them is their own affair."""

    left: SalesforcePerson
    right: DynamicsPerson
    rng: random.Random
    done: Counter[str] = field(default_factory=Counter)
    number: int = 0

    def step(self) -> None:
        leads = [self.new_lead, self.edit_lead, self.edit_lead, self.disqualify, self.convert]
        others = [self.edit_opportunity, self.move_stage, self.close, self.edit_contact, self.edit_account]
        deed = self.rng.choice([*leads, *others])
        side = self.rng.choice(["salesforce", "dynamics"])
        try:
            deed(side)
        except (PersonRefused, IndexError):
            self.done[f"{side} {deed.__name__} refused"] += 1
        else:
            self.done[f"{side} {deed.__name__}"] += 1

    def _text(self) -> str:
        self.number += 1
        return f"edit {self.number}"

    def _sf(self, soql: str) -> str:
        return self.rng.choice(self.left.query(soql))["Id"]

    def _dv(self, table: str, where: str, key: str) -> str:
        return self.rng.choice(self.right.find(table, where))[key]

    def new_lead(self, side: str) -> None:
        text = self._text()
        if side == "salesforce":
            self.left.create(
                "Lead", LastName=f"Bustle {text}", Company=f"Bustle {text}", Email=f"b{self.number}@x.example"
            )
        else:
            mail = f"b{self.number}@y.example"
            self.right.create("leads", subject=text, lastname=f"Bustle {text}", companyname=text, emailaddress1=mail)

    def _open_lead(self, side: str) -> str:
        if side == "salesforce":
            return self._sf("SELECT Id FROM Lead WHERE IsConverted = false AND Status = 'Open - Not Contacted'")
        return self._dv("leads", "statecode eq 0", "leadid")

    def edit_lead(self, side: str) -> None:
        if side == "salesforce":
            self.left.update("Lead", self._open_lead(side), Title=self._text(), City=self.rng.choice("ABC"))
        else:
            self.right.update("leads", self._open_lead(side), jobtitle=self._text())

    def disqualify(self, side: str) -> None:
        if side == "salesforce":
            self.left.update("Lead", self._open_lead(side), Status="Closed - Not Converted")
        else:
            self.right.update("leads", self._open_lead(side), statecode=2, statuscode=self.rng.choice([4, 5, 6, 7]))

    def convert(self, side: str) -> None:
        wanted = self.rng.random() < 0.5
        if side == "salesforce":
            self.left.convert(self._open_lead(side), with_opportunity=wanted, name=self._text() if wanted else None)
        else:
            self.right.qualify(self._open_lead(side), with_opportunity=wanted)

    def _open_opportunity(self, side: str) -> str:
        if side == "salesforce":
            return self._sf("SELECT Id FROM Opportunity WHERE IsClosed = false")
        return self._dv("opportunities", "statecode eq 0", "opportunityid")

    def edit_opportunity(self, side: str) -> None:
        amount = self.rng.randrange(1_000, 90_000)
        if side == "salesforce":
            self.left.update("Opportunity", self._open_opportunity(side), Amount=amount, Description=self._text())
        else:
            self.right.update("opportunities", self._open_opportunity(side), estimatedvalue=amount)

    def move_stage(self, side: str) -> None:
        stage = self.rng.choice(["Qualification", "Needs Analysis", "Proposal/Price Quote", "Negotiation/Review"])
        self.left.update("Opportunity", self._open_opportunity("salesforce"), StageName=stage)

    def close(self, side: str) -> None:
        if side == "salesforce":
            won = self.rng.random() < 0.5
            stage = "Closed Won" if won else "Closed Lost"
            self.left.update("Opportunity", self._open_opportunity(side), StageName=stage)
        elif self.rng.random() < 0.5:
            revenue = self.rng.randrange(1_000, 90_000)
            self.right.win(self._open_opportunity(side), revenue=revenue, date="2026-11-30")
        else:
            self.right.lose(self._open_opportunity(side), date="2026-11-30")

    def edit_contact(self, side: str) -> None:
        if side == "salesforce":
            self.left.update("Contact", self._sf("SELECT Id FROM Contact"), Title=self._text())
        else:
            self.right.update("contacts", self._dv("contacts", "statecode eq 0", "contactid"), jobtitle=self._text())

    def edit_account(self, side: str) -> None:
        if side == "salesforce":
            self.left.update(
                "Account", self._sf("SELECT Id FROM Account"), Phone=f"+1 212 555 {self.number % 10000:04}"
            )
        else:
            self.right.update(
                "accounts", self._dv("accounts", "statecode eq 0", "accountid"), address1_city=self._text()
            )


def a_busy_minute(company: Project, watch: Callable[[float], None]) -> Counter[str]:
    seed = random.randrange(1_000_000)
    print(f"people's edits: seed {seed}")
    bustle = Bustle(left=company.salesforce(), right=company.dynamics(), rng=random.Random(seed))
    began = time.monotonic()
    while (since := time.monotonic() - began) < EDIT_SECONDS:
        for _ in range(EDITS_PER_SECOND):
            bustle.step()
        company.box.control.advance(CLOCK_STEP_SECONDS)
        watch(since)
        time.sleep(max(0.0, began + since + 1 - time.monotonic()))
    print(dict(sorted(bustle.done.items())))
    return bustle.done


def cycles(company: Project) -> int:
    """Cycles that workers brought to an end."""
    with store(company) as one:
        return sum(run.kind == "sync" and run.outcome.startswith("done") for run in one.runs())


@contextlib.contextmanager
def store(company: Project) -> Iterator[Store]:
    one = Store.open(load(company.settings, env=company.environment()).store_url())
    try:
        yield one
    finally:
        one.close()


def it_becomes_quiet(company: Project) -> None:
    company.pass_time()
    before = cycles(company)
    wait_until(f"{ROUNDS} rounds", lambda: cycles(company) >= before + ROUNDS, seconds=240, every=0.5)


def both_sides_agree(company: Project, done: Mapping[str, int]) -> None:
    planned = company.run("plan", "--json", "--examples", "3")
    assert planned.code == 0, planned
    assert planned.json["counts"] == {}, planned
    document = company.verify()
    assert document["differences"] == []
    with store(company) as one:
        mirrored = [row for row in one.conversions() if row.state == "done"]
        assert one.open_intents() == []
    assert done["salesforce convert"], "the minute had no conversion to mirror"
    assert done["dynamics convert"], "the minute had no qualification to mirror"
    assert {row.from_side for row in mirrored} == {"left", "right"}
    print(f"{document['pairs']} pairs agree; {len(mirrored)} conversions mirrored; {document['open_issues']} held")


def each_line_names_what_it_is_about(company: Project, log: Path) -> None:
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    lines = [line for line in lines if "action" in line]  # Celery's own have none
    about_records = [line for line in lines if line["action"].startswith(("record_", "step_"))]
    with store(company) as one:
        runs = {run.id for run in one.runs(limit=1000)}
        converted = {row.lead_link for row in one.conversions() if row.state == "done"}
    assert "step_done" in {line["action"] for line in about_records}
    for line in about_records:
        assert line["run"] in runs, line
        assert any(line["ids"].values()), line
    steps = [line for line in about_records if line["action"] == "step_done"]
    assert {line["pair"] for line in steps if line["kind"] == "convert"} <= converted
    assert all(None not in line["ids"].values() for line in steps), steps
    assert all(line["run"] in runs for line in lines if line["action"].startswith("cycle_"))


def test_up_keeps_both_in_step_while_people_work(company: Project) -> None:
    log = company.folder / "up.log"
    with log.open("w") as output:
        up = company.start("up", stdout=output, stderr=output)
        # The first run waits for a person, says so once, and writes nothing.
        wait_until("the first run waits", lambda: "first_run_waits" in log.read_text())
        leads = company.count("dynamics", "lead")
        company.first_run()
        assert company.count("dynamics", "lead") > leads
        assert log.read_text().count("first_run_waits") == 1
        again = company.run("up")
        assert again.code == 4, again
        assert "Another `crmbridge up` is at work here" in again.err
        done = a_busy_minute(company, lambda since: None)
        it_becomes_quiet(company)
        assert up.poll() is None, log.read_text()
        ended = stop(up, signal.SIGTERM)
    assert ended.code == 0, log.read_text()
    both_sides_agree(company, done)
    each_line_names_what_it_is_about(company, log)
    assert '"action": "down"' in log.read_text()
    assert "Traceback" not in log.read_text(), log.read_text()


def test_up_takes_its_children_along_when_it_is_killed(company: Project) -> None:
    log = company.folder / "up.log"
    with log.open("w") as output:
        up = company.start("up", stdout=output, stderr=output)
        wait_until("the worker is there", lambda: "ready" in log.read_text())
        children = wait_until("its children", lambda: descendants(up.pid))
        assert len(children) >= 3, "broker, worker and its processes"
        assert stop(up, signal.SIGKILL).code == -signal.SIGKILL
        wait_until("they end with it", lambda: not [pid for pid in children if alive(pid)])
        up = company.start("up", stdout=output, stderr=output)  # nothing left behind stands in the way
        wait_until("it is there again", lambda: log.read_text().count("ready") >= 2)
        assert stop(up, signal.SIGINT).code == 130


def test_two_workers_on_redis_and_postgresql_one_killed_on_the_way(company: Project, tmp_path: Path) -> None:
    try:
        cluster = postgres.start()
    except postgres.NoPostgres as reason:
        pytest.skip(str(reason))
    with contextlib.ExitStack() as stack:
        stack.callback(cluster.stop)
        url = stack.enter_context(own_broker.embedded(tmp_path / "redis"))
        company.env.update({"CRMBRIDGE_STORE__URL": cluster.new_database(), "CRMBRIDGE_BROKER__URL": url})
        company.first_run()
        log = tmp_path / "workers.log"
        output = stack.enter_context(log.open("w"))

        def celery(*words: str) -> subprocess.Popen[str]:
            program = (sys.executable, "-m", "celery", "-A", "workers.app", *words)
            return company.start_program(*program, stdout=output, stderr=output)

        beats = [celery("beat"), celery("beat")]  # two beats do no harm
        workers = [celery("worker", "-l", "INFO", "-n", f"w{n}@%h") for n in (1, 2)]
        wait_until("the workers are there", lambda: log.read_text().count("ready") >= 2)

        def kill_one(since: float) -> None:
            if since > EDIT_SECONDS / 2 and len(workers) == 2:
                workers[0].kill()
                workers.append(celery("worker", "-l", "INFO", "-n", "w3@%h"))

        done = a_busy_minute(company, kill_one)
        it_becomes_quiet(company)
        for process in (*beats, *workers[1:]):
            assert process.poll() is None, log.read_text()
            assert stop(process, signal.SIGTERM).code == 0, log.read_text()
        both_sides_agree(company, done)


def test_a_worker_goes_on_without_any_beat(company: Project, tmp_path: Path) -> None:
    """Beat is one process on one machine: when it is away, workers tick by themselves."""
    company.first_run()
    with own_broker.embedded(tmp_path / "redis") as url:
        company.env["CRMBRIDGE_BROKER__URL"] = url
        before = cycles(company)
        worker = company.start_program(sys.executable, "-m", "celery", "-A", "workers.app", "worker", "-l", "INFO")
        wait_until("two cycles", lambda: cycles(company) >= before + 2, seconds=120)
        assert company.run("healthy", "--here").code == 0
        assert stop(worker, signal.SIGTERM).code == 0


def test_what_celery_must_not_do_is_refused_at_the_start(company: Project) -> None:
    def celery(*words: str, **env: str) -> Any:
        program = (sys.executable, "-m", "celery", "-A", "workers.app", *words)
        process = company.start_program(*program, env=env)
        out, err = process.communicate(timeout=120)
        return process.returncode, out + err

    code, said = celery("worker")
    assert code == 2, said
    assert "broker.url is not set" in said
    assert "Traceback" not in said
    code, said = celery("worker", CRMBRIDGE_CONFIG="/nowhere.yaml")
    assert code == 2, said
    assert "There is no /nowhere.yaml" in said
    for words in (("-m", "celery", "-A", "workers.app", "beat"), ("-m", "crmbridge", "up")):
        started = company.start_program(sys.executable, *words, env={"REMAP_SIGTERM": "SIGQUIT"})
        out, err = started.communicate(timeout=120)
        assert (started.returncode, "Unset REMAP_SIGTERM" in out + err) == (2, True), out + err
    # gevent is nobody's dependency here, so its pool is only named.
    lines = "from types import SimpleNamespace as N; from workers import app; "
    call = "app.refuse_green_pools(sender=N(pool_cls='celery.concurrency.gevent:TaskPool'))"
    process = company.start_program(sys.executable, "-c", lines + call, env={"CRMBRIDGE_BROKER__URL": "redis://h/0"})
    said = process.communicate(timeout=120)[1]
    assert (process.returncode, "gevent is refused" in said, "prefork" in said) == (2, True, True), said


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
            if parent == pid:
                child = int(entry.parent.name)
                found += [child, *descendants(child)]
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

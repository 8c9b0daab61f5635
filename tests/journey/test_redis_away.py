"""Redis is killed again and again and comes back empty: two workers and a beat go on, none ends, none hangs."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crmbridge.state.store import Store
from tests.chaos.services import Redis
from tests.support.project import Project, project, stop, wait_until

pytestmark = [pytest.mark.journey, pytest.mark.slow, pytest.mark.timeout(900)]

KILLS = 8
AWAY_SECONDS = 1.5  # long enough for everybody to notice


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path, seed="sample") as one:
        one.add("schedules: {every: 1 second, idle: up to 1 second}\n")
        one.first_run()
        yield one


def cycles(company: Project) -> int:
    store = Store.open(f"sqlite:///{company.store}")
    try:
        return sum(run.kind == "sync" and run.outcome.startswith("done") for run in store.runs())
    finally:
        store.close()


def test_workers_go_on_when_redis_comes_back(company: Project, tmp_path: Path) -> None:
    redis = Redis(tmp_path / "redis")
    company.env["CRMBRIDGE_BROKER__URL"] = redis.url
    log = tmp_path / "workers.log"
    try:
        with log.open("w") as output:

            def celery(*words: str) -> subprocess.Popen[str]:
                program = (sys.executable, "-m", "celery", "-A", "workers.app", *words)
                return company.start_program(*program, stdout=output, stderr=output)

            crew = [celery("beat"), *(celery("worker", "-l", "INFO", "-c", "2", "-n", f"w{n}@%h") for n in (1, 2))]
            wait_until("the workers are there", lambda: log.read_text().count("ready") >= 2)
            person = company.salesforce()
            changed = person.query("SELECT Id FROM Contact LIMIT 1")[0]["Id"]
            for number in range(KILLS):
                person.update("Contact", changed, Title=f"Head of kill {number}")
                company.pass_time()
                before = cycles(company)
                wait_until("a cycle is due or under way", lambda n=before: cycles(company) > n, seconds=120, every=0.05)
                redis.kill(away=AWAY_SECONDS)
                before = cycles(company)
                wait_until(f"two cycles after kill {number}", lambda n=before: cycles(company) >= n + 2, seconds=120)
                assert [one.poll() for one in crew] == [None] * 3, log.read_text()
            wait_until(
                "the last change is there",
                lambda: company.dynamics().find("contacts", f"jobtitle eq 'Head of kill {KILLS - 1}'"),
            )
            for one in reversed(crew):
                assert stop(one).code == 0, log.read_text()
    finally:
        redis.stop()
    said = log.read_text()
    for word in ("Traceback", "AttributeError", "Unrecoverable", "DeprecationWarning", '"critical"'):
        assert word not in said, next(line for line in said.splitlines() if word in line)
    assert "Connection to broker lost" in said, "nobody noticed, so it proves nothing"
    company.settle()
    assert company.verify()["differences"] == []

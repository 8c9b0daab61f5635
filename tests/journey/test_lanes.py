"""Real workers share the conversions of a cycle, and two of them are killed on the way."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import IO

import pytest

from crmbridge.settings import load
from crmbridge.state.store import Store
from tests.support.project import Project, project, wait_until

pytestmark = [pytest.mark.journey, pytest.mark.slow, pytest.mark.timeout(600)]

LEADS = 24
GUARD = "guard: {conversions: 1000, creates: 1000, updates: 1000}\nschedules: {every_seconds: 1}\n"

# What Celery would call; the hints are left out, so a helper looks by itself.
PROGRAM = """
import sys, time
from crmbridge import settings
from workers import cycle, logs, schedule
from workers.desk import Desk
logs.configure()
desk = Desk(settings.load().path)
if sys.argv[1] == "lead":
    cycle.drain(desk, schedule.CYCLE, lambda workers: None)
else:
    while True:
        if schedule.LANES in schedule.due(desk.store, 1e9):
            cycle.drain(desk, schedule.LANES)
        time.sleep(0.05)
"""


def test_helpers_are_killed_and_each_conversion_happens_once(tmp_path: Path) -> None:
    with project(tmp_path, seed="empty") as one:
        one.add(GUARD)
        one.first_run()
        person = one.salesforce()
        leads = [
            person.create("Lead", LastName=f"Lead {n}", Company=f"Firm {n}", Email=f"l{n}@many.example")
            for n in range(LEADS)
        ]
        one.settle()
        for lead in leads:
            person.convert(lead)
        one.pass_time()
        for table in ("lead", "account"):
            one.box.control.add_fault(crm="dynamics", table=table, fault="slow", seconds=0.3, times=None)
        log = tmp_path / "workers.log"
        with log.open("w") as output:
            helpers = [_worker(one, "help", output) for _ in range(3)]
            lead = _worker(one, "lead", output)
            for _ in range(2):  # any of them, in the middle of something
                busy = wait_until("a helper works in a lane", lambda: [h for h in helpers if _works(one, h.pid)])
                busy[0].kill()
                busy[0].wait()
                helpers.remove(busy[0])
            assert lead.wait(300) == 0, log.read_text()
            helpers[0].kill()
        one.box.control.clear_faults()
        one.settle()
        for table in ("account", "contact", "opportunity"):
            assert one.count("dynamics", table) == LEADS, table
        assert one.count("salesforce", "Account") == LEADS
        with_store = _open(one)
        try:
            done = with_store.conversions()
            assert len(done) == LEADS
            assert {row.state for row in done} == {"done"}
            assert with_store.open_intents() == []
        finally:
            with_store.close()
        assert one.verify()["differences"] == []


def _worker(one: Project, role: str, output: IO[str]) -> subprocess.Popen[str]:
    return one.start_program(sys.executable, "-c", PROGRAM, role, stdout=output, stderr=output)


def _open(one: Project) -> Store:
    return Store.open(load(one.settings, env=one.environment()).store_url())


def _works(one: Project, pid: int) -> bool:
    with closing(sqlite3.connect(one.store)) as connection:
        held = "SELECT count(*) FROM lease WHERE name LIKE 'lane:%' AND owner IS NOT NULL AND pid = ?"
        return bool(connection.execute(held, (pid,)).fetchone()[0])

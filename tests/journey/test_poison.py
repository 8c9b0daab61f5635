"""A process that dies of one record, as of too little memory: real processes, real SIGKILL."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crmbridge.state.words import ATTEMPTS_MAX
from tests.support.project import Project, Ran, project

pytestmark = pytest.mark.journey

KILLED = -9
# The program, but for one update that the system ends the process at.
DIES_OF = """\
import os, signal, sys
from crmbridge.sync import updates
from crmbridge.cli.error_handler import run

real = updates._update_write

def deadly(hands, view, side, work, *more):
    if work.link.left_id == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(hands, view, side, work, *more)

updates._update_write = deadly
sys.exit(run(sys.argv[2:]))
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path, seed="empty") as one:
        yield one


def sync(running: Project, poison: str) -> Ran:
    process = running.start_program(sys.executable, "-c", DIES_OF, poison, "sync")
    out, err = process.communicate(timeout=120)
    return Ran(process.returncode, out, err)


def phones(running: Project) -> dict[str, str]:
    return {row["lastname"]: row["telephone1"] for row in running.dynamics().find("leads", "statecode eq 0")}


def test_one_record_that_kills_its_worker_is_left_out_and_no_other(running: Project) -> None:
    person = running.salesforce()
    poison, other = (person.create("Lead", LastName=name, Company=name, Phone="1") for name in ("Poison", "Other"))
    running.pass_time()
    running.first_run()
    for lead in (poison, other):
        person.update("Lead", lead, Phone="2")
    running.pass_time()
    deaths = 0
    while (ran := sync(running, poison)).code == KILLED:
        deaths += 1
    assert deaths == ATTEMPTS_MAX
    assert ran.code == 1, ran
    assert phones(running) == {"Poison": "1", "Other": "2"}
    told = running.run_here("issues", "stopped_worker")
    assert "stopped the worker 5 times" in told.out, told
    assert running.run_here("retry", "--cause", "stopped_worker", "--why", "more memory").code == 0
    assert running.run("sync").code == 0
    assert phones(running) == {"Poison": "2", "Other": "2"}

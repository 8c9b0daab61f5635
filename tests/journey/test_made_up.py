"""A rehearsal on made-up records as soon as the sandbox serves (docs/howto/rehearse-on-your-own-shape.md)."""

from pathlib import Path

import pytest

from crmbridge.sandbox.sandbox import Sandbox
from crmbridge.sandbox.server import running_sandbox
from tests.support.project import make_project

pytestmark = pytest.mark.journey

LEADS = 60


def test_a_first_run_may_come_at_once_and_takes_no_row_for_somebody_elses(tmp_path: Path) -> None:
    with running_sandbox(sandbox=Sandbox("sample", size=LEADS)) as box:
        project = make_project(tmp_path / "project", box)
        before = project.count("salesforce", "Lead") + project.count("dynamics", "lead")
        planned = project.run_here("plan", "--json")
        assert planned.code == 0, planned
        project.pass_time()  # a person reads it, and what the plan left for the next time is read by the sync
        synced = project.run_here("sync", "--approve", planned.json["plan"], "--why", "test", "--json")
        assert synced.code in (0, 1), synced
        assert synced.json["go"], synced
        issues = project.run_here("issues", "--json").json
        assert "other_writer" not in {one["cause"] for one in issues["causes"]}
        after = project.count("salesforce", "Lead") + project.count("dynamics", "lead")
        assert after > before, "the made-up ones went across"

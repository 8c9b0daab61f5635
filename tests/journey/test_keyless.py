"""A whole sync with `key_field: none`: answers get lost, and nothing is made twice."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from crmbridge.sandbox.server import running_sandbox
from tests.support.project import Project, make_project

pytestmark = [pytest.mark.journey]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Project]:
    with running_sandbox("demo") as box:
        project = make_project(tmp_path / "project", box)
        text = project.settings.read_text(encoding="utf-8")
        project.settings.write_text(
            text.replace("    system: salesforce\n", "    system: salesforce\n    key_field: none\n"), encoding="utf-8"
        )
        yield project


def leads(project: Project) -> Counter[str]:
    return Counter(row["Email"] for row in project.box.control.dump()["salesforce"]["Lead"] if not row["IsDeleted"])


@pytest.mark.parametrize("action", ["drop_after_commit", "drop_before_commit"])
def test_a_lost_answer_doubles_nothing(made: Project, action: str) -> None:
    control = made.box.control
    plan = made.run_here("plan", "--json").json
    control.add_fault(crm="salesforce", kind="collections_create", times=2, action=action)
    before = leads(made)
    made.run_here("sync", "--approve", plan["plan"])
    assert control.faults()[0]["fired"] > 0
    control.clear_faults()
    for _ in range(4):
        made.pass_time()
        made.run_here("sync")
    after = leads(made)
    assert after - before, "nothing was made at all"
    assert {email: count for email, count in after.items() if count > 1 and email} == {}
    assert not any(made.run_here("plan", "--json").json["counts"].get("salesforce", {}).get("lead", {}).values())

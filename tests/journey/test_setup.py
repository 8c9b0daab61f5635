"""`crmbridge setup` says what both CRMs lack, makes what they let it, and makes nothing twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from crmbridge.sandbox.server import running_sandbox
from tests.support.project import Project, make_project

pytestmark = [pytest.mark.journey]

KEY = "Bridge_Key__c"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Project]:
    with running_sandbox("empty") as box:
        project = make_project(tmp_path / "project", box)
        text = project.settings.read_text(encoding="utf-8")
        project.settings.write_text(
            text.replace("    system: salesforce\n", f"    system: salesforce\n    key_field: {KEY}\n"),
            encoding="utf-8",
        )
        yield project


def states(project: Project, *options: str) -> dict[tuple[str, str], str]:
    told = project.run_here("setup", "--json", *options).json
    return {(one["where"], one["what"].split(" (")[0]): one["state"] for one in told["wishes"]}


def test_the_key_field_is_made_once_and_then_there(made: Project) -> None:
    keys = [(table, f"key field {KEY}") for table in ("Account", "Contact", "Lead", "Opportunity")]
    seen = [states(made), states(made), states(made, "--apply"), states(made, "--apply")]
    assert [{each[key] for key in keys} for each in seen] == [{"missing"}, {"missing"}, {"made"}, {"there"}]


def test_a_person_is_told_the_clicks(made: Project) -> None:
    ran = made.run_here("setup")
    assert ran.code == 1
    assert "crmbridge setup --apply" in ran.out
    assert (
        f"Fields & Relationships, New: Text; label crmbridge id, length 36, field name {KEY.removesuffix('__c')}"
        in ran.out
    )
    assert "View All Records" in ran.out


def test_the_other_side_needs_tracking_and_a_role(made: Project) -> None:
    told = states(made)
    assert told["lead", "change tracking"] == "there"
    reach = {state for (where, what), state in told.items() if where == "our user" and "organization level" in what}
    assert reach == {"there"}


def test_check_names_what_is_too_much(made: Project) -> None:
    made.run_here("setup", "--apply")
    told = made.run_here("check", "--live").out
    assert "too much for it: Write on Security Role" in told

"""`crmbridge setup` says what both CRMs lack, makes what they let it, and makes nothing twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from crmbridge.sandbox.sandbox import Sandbox
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


LEAST = """\
extends: salesforce
people: {sync@acme.example: {profile: Bridge}}
sharing: {Lead: private, Account: private, Contact: private, Opportunity: private}
profiles:
  Bridge:
    permissions: [convert_leads, view_setup]
    objects:
      Account: [read, create, edit, view_all]
      Contact: [read, create, edit, view_all]
      Lead: [read, create, edit, view_all]
      Opportunity: [read, create, edit, view_all]
"""


def rights(folder: Path, shape: str) -> tuple[dict[tuple[str, str], str], list[str]]:
    """How `setup` says Salesforce's user's rights stand, and what `check --live` says of them."""
    folder.mkdir()
    (folder / "salesforce.yaml").write_text(shape, encoding="utf-8")
    with running_sandbox(sandbox=Sandbox("empty", shapes={"salesforce": folder / "salesforce.yaml"})) as box:
        made = make_project(folder / "project", box)
        told = [each for each in made.run_here("setup", "--json").json["wishes"] if each["connection"] == "salesforce"]
        lines = made.run_here("check", "--live").out.splitlines()
    shown = {(each["where"], each["what"]): each["state"] for each in told}
    return shown, [line for line in lines if line.endswith("[rights]") and line.startswith("salesforce: ")]


def test_the_least_that_is_needed_is_enough_and_nothing_of_it_is_too_much(tmp_path: Path) -> None:
    shown, lines = rights(tmp_path / "least", LEAST)
    assert lines == []
    assert {shown[table, "View All Records"] for table in ("Account", "Contact", "Lead", "Opportunity")} == {"there"}
    assert {shown["our user", words] for words in ("API Enabled", "Convert Leads", "View Setup and Configuration")} == {
        "there"
    }
    assert not {"unread", "too much"} & set(shown.values())


def test_what_is_missing_and_what_is_too_much_is_named_one_by_one(tmp_path: Path) -> None:
    shape = LEAST.replace("Lead: [read, create, edit, view_all]", "Lead: [read, create, edit]")
    shown, lines = rights(tmp_path / "less", shape.replace("convert_leads, view_setup", "view_setup, manage_users"))
    assert (shown["Lead", "View All Records"], shown["Account", "View All Records"]) == ("by hand", "there")
    assert lines == [
        "salesforce: warning: our user has rights that are too much for it: Manage Users. Take away: Setup, "
        "Permission Sets, crmbridge, or the user's profile. [rights]",
        "salesforce: warning: our user lacks: Convert Leads. Setup, Permission Sets, crmbridge, System Permissions: "
        "Convert Leads. [rights]",
        "salesforce: warning: our user lacks: View All Records on Lead. Setup, Permission Sets, crmbridge, Object "
        "Settings, Lead: View All Records. [rights]",
    ]


def test_what_an_org_does_not_tell_stays_open_one_by_one(tmp_path: Path) -> None:
    """One column that is not there leaves the others answered."""
    hidden = LEAST + "objects: {UserPermissionAccess: {fields: {PermissionsViewSetup: absent}}}\n"
    shown, lines = rights(tmp_path / "hidden", hidden.replace("view_setup]", "view_setup, author_apex]"))
    assert shown["our user", "View Setup and Configuration"] == "unread"
    assert (shown["our user", "Convert Leads"], shown["our user", "Author Apex"]) == ("there", "too much")
    assert [line.partition(". ")[0] for line in lines] == [
        "salesforce: warning: our user has rights that are too much for it: Author Apex",
        "salesforce: could not be checked: whether our user has View Setup and Configuration",
    ]


def test_the_other_side_needs_tracking_and_a_role(made: Project) -> None:
    told = states(made)
    assert told["lead", "change tracking"] == "there"
    reach = {state for (where, what), state in told.items() if where == "our user" and "organization level" in what}
    assert reach == {"there"}


def test_check_names_what_is_too_much(made: Project) -> None:
    made.run_here("setup", "--apply")
    told = made.run_here("check", "--live").out
    assert told.count("our user has rights that are too much for it: ") == 2
    for words in ("Write on Security Role", "Act on Behalf of Another User", "Modify All Data", "Author Apex"):
        assert words in told

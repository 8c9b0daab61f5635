"""`check --live` on record types and business processes: how many records are of each, and what does not fit."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from crmbridge.sandbox.server import running_sandbox
from tests.support.project import CHECKOUT, Project, make_project

pytestmark = [pytest.mark.journey]

TYPED = """\
salesforce:
  extends: salesforce
  people: {sync@acme.example: {profile: Bridge}}
  profiles: {Bridge: {record_types: {Lead: {available: [Web, Fair], default: Web}}}}
  objects:
    Lead:
      recordTypes:
        - {developerName: Web, default: true}
        - {developerName: Fair, picklists: {Status: [Open - Not Contacted, Working - Contacted]}}
        - {developerName: Partner, picklists: {Status: [Open - Not Contacted, Closed - Converted]}}
dynamics:
  extends: dynamics
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("kinds")
    seed = folder / "company.yaml"
    seed.write_text(TYPED, encoding="utf-8")
    with running_sandbox(seed, state_dir=folder / "state") as box:
        yield make_project(folder / "project", box)


@pytest.fixture(scope="module")
def told(made: Project) -> list[str]:
    people = made.salesforce("ann@acme.example")
    types = {row["DeveloperName"]: row["Id"] for row in made.box.control.dump()["salesforce"]["RecordType"]}
    for kind, status, count in (
        ("Web", "Open - Not Contacted", 3),
        ("Fair", "Open - Not Contacted", 2),
        ("Partner", "Open - Not Contacted", 1),
    ):
        for n in range(count):
            people.create("Lead", LastName=f"{kind} {n}", Company="Acme", Status=status, RecordTypeId=types[kind])
    made.pass_time()
    ran = made.run_here("check", "--live")
    assert ran.code == 0, ran
    return ran.out.splitlines()


@pytest.mark.parametrize(
    "words",
    [
        "salesforce: open leads by record type: Web 3, Fair 2, Partner 1; give the rows",
        "salesforce: warning: open leads of record types that our user may not use: Partner 1; give the rows",
        "salesforce: warning: open leads of record types that offer no converted status: Fair 2; give the rows",
        "salesforce: could not be checked: whether those who shall own new records may use their record types: the API",
    ],
)
def test_leads_are_counted_by_their_record_type(words: str, told: list[str]) -> None:
    assert len([line for line in told if line.startswith(words) and line.endswith("[record-types]")]) == 1, told


def test_what_a_conversion_runs_is_an_open_question(told: list[str]) -> None:
    words = "salesforce: could not be checked: whether validation rules, triggers and flows are run at a conversion: "
    assert [line for line in told if line.startswith(words) and "shouldLeadConvertRequireValidation" in line]


def test_where_there_are_no_record_types_nothing_is_said_of_them(tmp_path: Path) -> None:
    with running_sandbox("empty", state_dir=tmp_path / "state") as box:
        out = make_project(tmp_path / "project", box).run_here("check", "--live").out
    assert "[record-types]" not in out


def test_business_processes_are_counted_as_deals_run_in_them(tmp_path: Path) -> None:
    with running_sandbox(CHECKOUT / "config" / "examples" / "five-phases" / "shape.yaml") as box:
        made = make_project(tmp_path / "project", box)
        people = made.dynamics("ann@acme.example")
        for n in range(3):
            people.create("opportunities", name=f"Deal {n}")
        made.pass_time()
        before = len(box.control.raw_calls())
        told = made.run_here("check", "--live").out
        calls = [call for call in box.control.raw_calls()[before:] if call["crm"] == "dynamics"]
    assert "dynamics: business processes of 3 open opportunities: 3 in Deal Process; give the stages" in told
    paths = [call for call in calls if len(call["operations"]) == 3 and "RetrieveActivePath" in str(call["operations"])]
    assert len(paths) == 1, "all paths are asked for in one batch"

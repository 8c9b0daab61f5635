"""`check --live` proves what only the CRMs know: the token that SOAP takes, people and accounts that settings name."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from crmbridge.sandbox.sandbox import Sandbox
from crmbridge.sandbox.server import running_sandbox
from tests.support.project import Project, make_project

pytestmark = [pytest.mark.journey]

JWT = "extends: salesforce\norg: {login: {token_format: jwt}}\n"


def test_a_token_that_soap_refuses_is_told_as_such_and_the_rest_is_looked_at(tmp_path: Path) -> None:
    shape = tmp_path / "jwt.yaml"
    shape.write_text(JWT, encoding="utf-8")
    with running_sandbox(sandbox=Sandbox("empty", shapes={"salesforce": shape})) as box:
        made = make_project(tmp_path / "project", box)
        looked, planned = made.run_here("check", "--live"), made.run_here("plan")
    assert looked.code == planned.code == 4, looked
    [line] = [line for line in looked.out.splitlines() if "[currency]" in line]
    assert "salesforce: warning: " in line
    assert "Let the app issue opaque tokens instead" in line
    assert "Let the app issue opaque tokens instead" in planned.err
    assert "answers as" in looked.out
    assert "[validation-rules]" in looked.out, "the other findings are not lost"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("names")
    with running_sandbox("sample") as box:
        yield make_project(folder / "project", box)


@pytest.fixture
def made(box: Project) -> Iterator[Project]:
    before = box.settings.read_text(encoding="utf-8")
    yield box
    box.settings.write_text(before, encoding="utf-8")


FOUND = "has no single active user 'no@nowhere.example'; " + (
    "write the address of one who is active there [fallback-unknown]"
)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (
            "    system: salesforce\n",
            "    system: salesforce\n    default_owner: no@nowhere.example\n",
            f":4:20: error: connections.salesforce.default_owner: salesforce {FOUND}",
        ),
        (
            "  mirror_since: 2020-01-01\n",
            "  mirror_since: 2020-01-01\n  owner: {fallback: {salesforce: no@nowhere.example}}\n",
            f":21:34: error: lifecycle.owner.fallback.salesforce: salesforce {FOUND}",
        ),
        (
            "  mirror_since: 2020-01-01\n",
            "  mirror_since: 2020-01-01\n  lead: {owner: {fallback: {dynamics: no@nowhere.example}}}\n",
            f":21:39: error: lifecycle.lead.owner.fallback.dynamics: dynamics {FOUND}",
        ),
        (
            "lifecycle:\n",
            "segments:\n  s: {lifecycle: {owner: {fallback: {dynamics: no@nowhere.example}}}}\nlifecycle:\n",
            f":20:48: error: segments.s.lifecycle.owner.fallback.dynamics: dynamics {FOUND}",
        ),
        (
            "  mirror_since: 2020-01-01\n",
            "  mirror_since: 2020-01-01\n  convert: {contact_only: {bucket: '001000000000nonsense'}}\n",
            ":21:36: error: lifecycle.convert.contact_only.bucket: salesforce has no account '001000000000nonsense', "
            "or our user may not see it; write the id of one that it has [bucket-unknown]",
        ),
    ],
    ids=["default_owner", "fallback", "fallback of a kind", "fallback of a segment", "bucket"],
)
def test_what_is_not_there_is_told_at_its_line(made: Project, before: str, after: str, told: str) -> None:
    made.change(before, after)
    ran = made.run_here("check", "--live")
    assert ran.code == 2, ran
    assert f"crmbridge.yaml{told}" in ran.out, ran.out
    assert "share key" in ran.out or "[duplicate-rules]" in ran.out, "the other findings are not lost"


def test_without_a_mapping_of_accounts_a_bucket_stays_an_open_question(made: Project, tmp_path: Path) -> None:
    made.change("  mirror_since:", "  convert: {contact_only: {bucket: '001000000000nonsense'}}\n  mirror_since:")
    mappings = tmp_path / "leads alone"
    mappings.mkdir()
    shutil.copy(made.folder / "mappings" / "lead.yaml", mappings)
    made.add(f"mappings: {mappings}\n")
    ran = made.run_here("check", "--live")
    assert ran.code == 0, ran
    assert "could not be checked: the accounts that `bucket` names: no mapping of accounts" in ran.out


def test_a_run_names_the_setting_too(made: Project) -> None:
    made.change("  mirror_since:", "  owner: {fallback: {salesforce: no@nowhere.example}}\n  mirror_since:")
    ran = made.run_here("plan")
    assert ran.code == 2, ran
    assert "lifecycle.owner.fallback.salesforce: salesforce has no single active user 'no@nowhere.example'" in ran.err


def test_what_is_there_is_no_line(made: Project) -> None:
    account = made.box.control.dump()["salesforce"]["Account"][0]["Id"]
    person = "ingrid.solberg@northfield.example"
    made.change("    system: salesforce\n", f"    system: salesforce\n    default_owner: {person}\n")
    made.add(f"  convert: {{contact_only: {{bucket: {account[:15]}}}}}\n")
    made.add(f"  lead: {{owner: {{fallback: {{dynamics: {person.upper()}}}}}}}\n")
    ran = made.run_here("check", "--live")
    assert ran.code == 0, ran
    assert "-unknown]" not in ran.out

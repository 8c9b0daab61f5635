"""`crmbridge check` on files alone: doubts beside errors, one problem for one cause, places seen from here."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from crmbridge.cli.check import check
from crmbridge.cli.context import Place
from tests.support.project import CHECKOUT

SETTINGS = """\
connections:
  salesforce:
    system: salesforce
    url: https://acme.my.salesforce.com
    auth: {flow: client_credentials, client_id: x, client_secret: "${env:SECRET}"}
  dynamics:
    system: dynamics
    url: https://acme.crm.dynamics.com
    auth: {flow: client_secret, tenant_id: t, client_id: c, client_secret: "${env:SECRET}"}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(CHECKOUT / "config" / "mappings", tmp_path / "mappings")
    tmp_path.joinpath("crmbridge.yaml").write_text(SETTINGS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(folder: Path, *words: str) -> str:
    place = Place(config=str(folder / "crmbridge.yaml"))
    return CliRunner().invoke(check, ["--files-only", *words], obj=place, standalone_mode=False).output


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_the_shipped_files_are_not_doubted(folder: Path) -> None:
    assert said(folder).startswith("Nothing is wrong.")


def test_doubts_stand_at_their_lines_as_seen_from_here(folder: Path) -> None:
    edit(folder / "mappings" / "lead.yaml", "\nmatch:", '\nfilter: source == "Web"\nmatch:')
    edit(folder / "mappings" / "lead.yaml", "fields:\n", "fields:\n  key: {salesforce: CrmBridge_Id__c}\n")
    edit(folder / "crmbridge.yaml", "connections:", 'segments:\n  de: {when: country == "DE"}\nconnections:')
    told = said(folder).splitlines()
    [doubt] = [line for line in told if "[value-never]" in line]
    assert doubt.startswith("mappings/lead.yaml:")
    assert doubt.endswith("did you mean 'web'? [value-never]")
    assert any("[key-field-mapped]" in line and ": error: " in line for line in told)
    edit(folder / "mappings" / "lead.yaml", "  key: {salesforce: CrmBridge_Id__c}\n", "")
    found = json.loads(said(folder, "--json"))
    assert found["exit_code"] == 0
    assert [(one["code"], one["line"], one["level"]) for one in found["findings"] if one["path"].startswith("seg")] == [
        ("segment-kinds", 2, "warning")
    ]


def test_a_connection_with_another_name_is_one_problem_of_each_file(folder: Path) -> None:
    edit(folder / "crmbridge.yaml", "  dynamics:\n", "  d365:\n")
    told = said(folder).splitlines()
    assert [line for line in told if line.startswith("mappings/")] == [
        line for line in told if line.endswith("[connection-renamed]")
    ]
    assert told[-1] == "4 errors, 0 warnings."


def test_a_character_that_only_looks_right_is_named(folder: Path) -> None:
    edit(folder / "mappings" / "lead.yaml", "  last_name: {", "  last_name:\u00a0{")
    told = said(folder)
    assert "[colon-stray]" in told
    assert "a no-break space, which YAML takes for a letter; write a blank in its place [character-lookalike]" in told

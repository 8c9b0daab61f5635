"""`check --shape` holds mappings to a captured shape: no CRM, no secret, and the same sentences as `--live`."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.project import CHECKOUT, Project, project

pytestmark = [pytest.mark.journey]

SHAPES = CHECKOUT / "tests" / "mapping" / "shapes"
SETTINGS = """\
connections:
  salesforce:
    system: salesforce
    url: https://acme.my.salesforce.com
    auth: {flow: client_credentials, client_id: x, client_secret: "${env:NOT_SET_ANYWHERE}"}
  dynamics:
    system: dynamics
    url: https://acme.crm.dynamics.com
    auth: {flow: client_secret, tenant_id: t, client_id: c, client_secret: "${env:NOT_SET_ANYWHERE}"}
"""


@pytest.fixture
def offline(tmp_path: Path) -> Path:
    """A working folder that can reach nothing."""
    (tmp_path / "crmbridge.yaml").write_text(SETTINGS, encoding="utf-8")
    shutil.copytree(CHECKOUT / "config" / "mappings", tmp_path / "mappings")
    return tmp_path


def run(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    from crmbridge.cli.error_handler import run as run_program

    code = run_program(["--config", str(folder / "crmbridge.yaml"), "check", *words])
    told = capsys.readouterr()
    return code, told.out + told.err


def test_a_shape_is_checked_without_any_crm(offline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = run(offline, capsys, "--shape", str(SHAPES / "crowded.yaml"))
    assert code == 0, told
    assert "salesforce's 'Nurturing' is not mapped" in told
    assert "[column-unfed]" in told
    assert "note" not in told.split("[text-longer]")[0].splitlines()[-1].partition(": ")[0]
    assert "NOT_SET_ANYWHERE" in told  # said, but no reason to stop: nothing is connected to

    code, told = run(offline, capsys, "--shape", str(SHAPES / "typed.yaml"), "--json")
    document = json.loads(told)
    assert code == 2, "stages of the shipped mapping are not there"
    first = next(each for each in document["findings"] if each["code"] == "status-unknown")
    assert {each: first[each] for each in ("severity", "path", "line")} == {
        "severity": "error", "path": "stage.develop.salesforce", "line": first["line"],
    }  # fmt: skip
    assert first["file"].endswith("mappings/opportunity.yaml")
    assert first["message"] in first["text"]


def test_the_shape_that_capture_wrote_says_what_the_live_org_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with project(tmp_path, seed=SHAPES / "crowded.yaml") as made:
        assert made.run_here("capture", "--out", str(made.folder / "shape.yaml")).code == 0
        live = findings(made, "--live")
        shape = findings(made, "--shape", str(made.folder / "shape.yaml"))
    assert shape
    assert {text for text in live if "mappings/" in text} == {text for text in shape if "mappings/" in text}


def findings(made: Project, *words: str) -> set[str]:
    ran = made.run_here("check", *words, "--json")
    return {f"{each['where']}: {each['text']}" for each in ran.json["findings"]}


@pytest.mark.parametrize(
    "text", ["a: [", "other: {x: 1}\n", "salesforce: {extends: salesforce, objectz: {}}\ndynamics: {}\n"]
)
def test_a_file_that_is_no_shape_is_refused(text: str, offline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (offline / "shape.yaml").write_text(text, encoding="utf-8")
    code, told = run(offline, capsys, "--shape", str(offline / "shape.yaml"))
    assert code == 2
    assert "shape" in told
    assert "Traceback" not in told


def test_live_and_shape_exclude_each_other(offline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = run(offline, capsys, "--live", "--shape", "x.yaml")
    assert (code, "give one of the two" in told) == (2, True)


def test_losses_are_listed_on_request(offline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = run(offline, capsys, "--losses")
    assert "mappings/lead.yaml:" in told
    assert "declared loss: status.canceled: salesforce writes 'Closed - Not Converted'" in told
    code, told = run(offline, capsys, "--losses", "--json")
    assert code == 2  # the secrets are not there
    listed = json.loads(told)["losses"]
    assert {"path": "fields.revenue", "side": "salesforce"}.items() <= listed[0].items()


def test_segments_are_held_to_the_mappings_they_ask(offline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (offline / "crmbridge.yaml").open("a", encoding="utf-8") as file:
        file.write("segments:\n  north: {entities: [lead], when: 'town == \"Kiel\"'}\n")
    code, told = run(offline, capsys, "--shape", str(SHAPES / "own.yaml"), "--json")
    assert code == 2
    (one,) = [each for each in json.loads(told)["findings"] if each["severity"] == "error"]
    assert (one["code"], one["path"]) == ("segment-expression", "segments.north.when")
    assert (one["line"], one["column"]) == (11, 35)
    assert one["file"].endswith("crmbridge.yaml")

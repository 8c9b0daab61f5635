"""`crmbridge mapping init`: what it drafts from both CRMs passes the check and brings them in step as it is."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from crmbridge.demo.run import go_through, new_demo
from crmbridge.sandbox.server import running_sandbox
from tests.support.project import Project, project

pytestmark = [pytest.mark.journey]


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with project(tmp_path_factory.mktemp("init")) as made:
        shutil.rmtree(made.folder / "mappings")
        drafted = made.run("mapping", "init", "--json")
        assert drafted.code == 0, drafted
        yield made


def test_a_draft_passes_the_live_check_and_syncs_without_an_edit(company: Project) -> None:
    checked = company.run("check", "--live", "--json")
    assert checked.code == 0, checked
    faults = [one for one in checked.json["findings"] if one["file"] is not None and one["level"] != "note"]
    assert faults == [], "nothing is left to be mended in the files"
    company.first_run()
    company.settle()
    agreed = company.verify()
    assert agreed["differences"] == []
    assert agreed["pairs"] > 50
    # What is held is the sample's own: twins that look alike, names spelled in two ways.
    held = {one["cause"] for one in company.run_here("issues", "--json").json["causes"]}
    assert held == {"ambiguous_match", "first_run_conflict"}


def test_what_is_there_is_not_overwritten_without_force(company: Project) -> None:
    kept = company.folder / "mappings" / "lead.yaml"
    before = kept.read_text(encoding="utf-8")
    kept.write_text(before + "# mine\n", encoding="utf-8")
    refused = company.run("mapping", "init")
    assert refused.code == 2
    assert "lead.yaml" in refused.err
    assert "--force" in refused.err
    assert kept.read_text(encoding="utf-8").endswith("# mine\n")
    assert company.run("mapping", "init", "--force").code == 0
    assert kept.read_text(encoding="utf-8") == before
    assert not list(kept.parent.glob(".*"))


def test_the_same_draft_comes_from_a_captured_shape(company: Project, tmp_path: Path) -> None:
    assert company.run("capture", "--out", "shape.yaml").code == 0
    drafted = company.run("mapping", "init", "from-shape", "--shape", "shape.yaml")
    assert drafted.code == 0, drafted
    names = sorted(path.name for path in (company.folder / "from-shape").iterdir())
    assert names == sorted(path.name for path in (company.folder / "mappings").iterdir())
    for name in names:
        live = (company.folder / "mappings" / name).read_text(encoding="utf-8")
        assert (company.folder / "from-shape" / name).read_text(encoding="utf-8") == live


@pytest.mark.slow
def test_the_demo_runs_on_a_draft(tmp_path: Path) -> None:
    """Conversions on both sides, edits and closes: the day that the demo announces, with drafted mappings."""
    with running_sandbox("demo") as box:
        demo = new_demo(tmp_path / "company", box.connect, lambda _: None)
        shipped = (demo.folder / "mappings" / "lead.yaml").read_text(encoding="utf-8")
        demo.command("mapping", "init", "--force")
        assert (demo.folder / "mappings" / "lead.yaml").read_text(encoding="utf-8") != shipped
        document = go_through(demo)
    assert document["ok"], document
    assert document["differences"] == []

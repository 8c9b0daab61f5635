"""Versions of the mapping, with the real program: kept with each run, gone back to; a broken file before a worker."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.base import Page
from tests.support.project import Project, project
from workers.desk import Desk

pytestmark = pytest.mark.journey

BEFORE = "web: {salesforce: Web, dynamics: 8}"
AFTER = "web: {salesforce: [Web, Webinar], dynamics: 8}"


def test_a_version_is_kept_with_each_run_and_can_be_gone_back_to(tmp_path: Path) -> None:
    with project(tmp_path) as company:
        company.first_run()
        first = company.run("mapping", "versions", "--json").json
        assert len(first["versions"]) == 1
        assert first["versions"][0]["in_the_files"]
        company.change(BEFORE, AFTER, "mappings/lead.yaml")
        told = company.run("mapping", "versions")
        assert "no run went by it yet" in told.out
        assert company.run("plan", "--json").code == 0
        company.run("sync", "--json")
        both = company.run("mapping", "versions", "--json").json
        assert [one["in_the_files"] for one in both["versions"]] == [True, False]
        runs = company.run("runs", "--json").json["runs"]
        assert {one["mapping"] for one in runs} == {one["version"] for one in both["versions"]}

        back = company.run("mapping", "rollback", first["files_are"], "--json")
        assert back.json == {
            "version": first["files_are"],
            "written": ["lead.yaml"],
            "kept": ["lead.yaml.before-rollback"],
        }
        assert BEFORE in (company.folder / "mappings" / "lead.yaml").read_text()
        assert AFTER in (company.folder / "mappings" / "lead.yaml.before-rollback").read_text()
        assert company.run("mapping", "versions", "--json").json["files_are"] == first["files_are"]
        unknown = company.run("mapping", "rollback", "nothing")
        assert unknown.code == 2
        assert "crmbridge mapping versions" in unknown.err


def test_a_broken_file_never_replaces_a_good_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with project(tmp_path) as company:
        company.first_run()
        for name, value in company.env.items():
            monkeypatch.setenv(name, value)
        desk = Desk(company.settings)
        try:
            good = _version(desk)
            company.change(BEFORE, "web: {salesforse: Web, dynamics: 8}", "mappings/lead.yaml")
            assert _version(desk) == good
            assert len(_broken(company)) == 1, "status tells what is wrong with the files, once"
            back = company.run("mapping", "versions", "--json")
            assert back.code == 0, "the way back is looked for just when the files are broken"
            assert back.json["files_are"] is None
            assert good in {one["version"] for one in back.json["versions"]}
            # Not even after a restart: the worker goes on by the last version that a run went by.
            desk.close()
            assert _version(desk) == good
            company.change("web: {salesforse: Web, dynamics: 8}", AFTER, "mappings/lead.yaml")
            assert _version(desk) != good
            assert _broken(company) == []
        finally:
            desk.close()


@pytest.mark.slow
def test_after_a_rollback_diff_compares_with_the_version_that_the_last_run_went_by(tmp_path: Path) -> None:
    with project(tmp_path) as company:
        company.first_run()
        first = company.run_here("mapping", "versions", "--json").json["files_are"]
        company.change(BEFORE, AFTER, "mappings/lead.yaml")
        company.settle()
        second = company.run_here("mapping", "versions", "--json").json["files_are"]
        assert company.run_here("mapping", "rollback", first).code == 0
        # Gone back to, but no run went by it yet: what would change is the way back.
        told = company.run_here("mapping", "diff", "--json").json
        assert second in told["old"]
        assert [one["path"] for one in told["changes"]] == ["values.lead_source.web"]
        assert told["changes"][0]["before"]["salesforce"] == ["Web", "Webinar"]
        company.settle()
        # Now it is in force again: nothing changes, though a newer version is kept.
        told = company.run_here("mapping", "diff", "--json").json
        assert first in told["old"]
        assert told["changes"] == []
        named = company.run_here("mapping", "diff", second, first, "--json").json
        assert [one["path"] for one in named["changes"]] == ["values.lead_source.web"]
        assert company.run_here("mapping", "diff", second, "nothing").code == 2


@pytest.mark.slow
def test_a_changed_file_is_taken_up_between_two_cycles_and_never_within_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with project(tmp_path) as company:
        company.first_run()
        company.settle()
        for name, value in company.env.items():
            monkeypatch.setenv(name, value)
        made = [company.salesforce().create("Lead", LastName=f"L{n}", Company="C", LeadSource="Webinar") for n in "ab"]
        company.pass_time()
        desk = Desk(company.settings)
        try:
            with desk.engine() as engine:
                before, changes = engine.version.id, engine.connectors["left"].changes

                def edited(source: str, cursor: str | None) -> Iterator[Page]:
                    for page in changes(source, cursor):
                        if source == "lead" and page.rows:  # an admin saves the file while this page is at work
                            company.change(BEFORE, AFTER, "mappings/lead.yaml")
                        yield page

                with monkeypatch.context() as patched:
                    patched.setattr(engine.connectors["left"], "changes", edited)
                    ran = engine.sync(by="test")
                assert AFTER in (company.folder / "mappings" / "lead.yaml").read_text()
                # The whole cycle went by the old file: neither lead's source is one that it names.
                assert {one.field for one in ran.issues if one.cause == "unmapped_value"} == {"source"}
                assert _sources(company) == {"La": None, "Lb": None}
            with desk.engine() as engine:
                assert engine.version.id != before
                engine.sync(by="test")
            assert _sources(company) == {"La": 8, "Lb": 8}
            assert len(made) == len(_sources(company))
            runs = company.run_here("runs", "--json").json["runs"]
            assert [run["mapping"] for run in runs[:2]] == [engine.version.id, before]
        finally:
            desk.close()


def _sources(company: Project) -> dict[str, int | None]:
    rows = company.box.control.dump()["dynamics"]["lead"]
    return {row["lastname"]: row.get("leadsourcecode") for row in rows if row.get("lastname") in ("La", "Lb")}


def _version(desk: Desk) -> str:
    with desk.engine() as engine:
        engine.sync(by="test")
        return engine.version.id


def _broken(company: Project) -> list[str]:
    told: list[str] = company.run("status", "--json").json["configuration_broken"]
    assert all("lead.yaml" in line or "problem" in line for line in told)
    return told

"""The commands below `crmbridge mapping`, as an admin uses them, with both CRMs answering over HTTP."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.support.project import Project, Ran, project

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A company whose CRMs are in step."""
    with project(tmp_path_factory.mktemp("company")) as made:
        made.first_run()
        made.settle()
        yield made


def run(company: Project, *words: str, code: int = 0) -> Ran:
    ran = company.run_here("mapping", *words)
    assert ran.code == code, ran
    return ran


def line(company: Project, file: str, text: str) -> int:
    lines = (company.folder / file).read_text(encoding="utf-8").splitlines()
    return next(number for number, one in enumerate(lines, 1) if one.strip().startswith(text))


# --- preview ------------------------------------------------------------------------------------------------------


def test_an_edit_is_previewed_with_its_line_and_nothing_is_written(company: Project) -> None:
    lead = next(one for one in company.box.control.dump()["salesforce"]["Lead"] if not one["IsConverted"])
    company.salesforce().update("Lead", lead["Id"], Title="Head of Previews", LeadSource="Partner Referral")
    before = company.box.control.dump()
    shown = run(company, "preview", lead["Id"], "--json").json["records"]
    assert company.box.control.dump() == before
    assert len(shown) == 1
    [write] = shown[0]["writes"]
    assert (write["on"], write["kind"]) == ("dynamics", "update")
    columns = {one["column"]: one for one in write["columns"]}
    assert columns["jobtitle"]["after"] == "Head of Previews"
    assert columns["jobtitle"]["why"] == "changed on salesforce"
    assert columns["jobtitle"]["at"].endswith(f"lead.yaml:{line(company, 'mappings/lead.yaml', 'title:')}")
    assert columns["leadsourcecode"]["after"] == 4
    assert columns["leadsourcecode"]["row_at"].endswith(f":{line(company, 'mappings/lead.yaml', 'partner:')}")
    fields = {one["field"]: one for one in shown[0]["fields"]}
    assert fields["source"]["native"]["salesforce"] == "Partner Referral"
    assert fields["source"]["shared"]["salesforce"] == "partner"
    text = run(company, "preview", lead["Id"]).out
    assert "Head of Previews" in text
    assert "\\n" not in text
    assert fields["revenue"]["same"]  # 1000 and 1000.00 are one amount
    assert not fields["title"]["same"]
    assert "Nothing was written." in text


def test_a_preview_of_what_the_store_has_not_met_shows_the_record_that_would_be_made(company: Project) -> None:
    made = company.dynamics().create("leads", lastname="Unmet", companyname="Fresh Ltd", leadsourcecode=8)
    [shown] = run(company, "preview", made, "--json").json["records"]
    [write] = shown["writes"]
    assert (write["on"], write["kind"]) == ("salesforce", "create")
    written = {one["column"]: one["after"] for one in write["columns"]}
    assert written["LastName"] == "Unmet"
    assert written["LeadSource"] == "Web"
    assert written["Status"] == "Open - Not Contacted"


def test_a_sample_takes_so_many_of_each_kind(company: Project) -> None:
    shown = run(company, "preview", "--sample", "2", "--json").json["records"]
    kinds = [one["entity"] for one in shown]
    assert {kind: kinds.count(kind) for kind in kinds} == dict.fromkeys(
        ("account", "contact", "lead", "opportunity"), 2
    )
    assert [one["entity"] for one in run(company, "preview", "--entity", "lead", "--json").json["records"]] == [
        "lead"
    ] * 3


def test_records_and_a_sample_do_not_go_together(company: Project) -> None:
    assert "not both" in run(company, "preview", "x", "--sample", "2", code=2).err
    assert "No record is known" in run(company, "preview", "lead:nobody@example.com", code=2).err


# --- diff ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def edited(company: Project) -> Iterator[Project]:
    """The mapping may be edited; afterwards it is as it was."""
    folder = company.folder / "mappings"
    before = {file: file.read_bytes() for file in folder.iterdir()}
    yield company
    for file in folder.iterdir():
        if file not in before:
            file.unlink()
    for file, text in before.items():
        file.write_bytes(text)


def test_nothing_changed_touches_nothing(company: Project) -> None:
    said = run(company, "diff", "--json").json
    assert (said["changes"], said["looked_at"], said["differences"]) == ([], {}, [])


def test_a_change_tells_which_records_it_touches_before_it_is_in_force(edited: Project) -> None:
    edited.settle()  # what was edited in the tests before this one
    web = [one for one in edited.box.control.dump()["salesforce"]["Lead"] if one.get("LeadSource") == "Web"]
    edited.change("    web: {", "    internet: {", "mappings/lead.yaml")
    edited.change("subject, create: ", "subject, constant: Ours}  # create: ", "mappings/lead.yaml")
    before = edited.box.control.dump()
    said = run(edited, "diff", "--json").json
    assert edited.box.control.dump() == before
    assert {one["path"] for one in said["changes"]} == {
        "fields.topic",
        "values.lead_source.web",
        "values.lead_source.internet",
    }
    differs = {(one["what"], one["on"], one["name"]): one for one in said["differences"]}
    reads = differs["reads", "salesforce", "source"]
    assert reads["count"] == len(web)
    assert {(one["before"], one["after"]) for one in reads["examples"]} == {("web", "internet")}
    writes = differs["writes", "dynamics", "subject"]
    assert writes["count"] > 0
    assert {one["after"] for one in writes["examples"]} == {"Ours"}
    assert ("writes", "dynamics", "leadsourcecode") not in differs
    assert "internet" in run(edited, "diff").out
    assert said["touched"] == {"lead": said["looked_at"]["lead"]}


def test_a_column_that_was_never_read_is_read_live(edited: Project) -> None:
    line_ = "  # probability: {salesforce: Probability, dynamics: closeprobability, convert: integer}"
    edited.change(line_, line_.replace("# ", ""), "mappings/opportunity.yaml")
    said = run(edited, "diff", "--json").json
    assert said["sampled"]["opportunity"] == "not read before: Probability, closeprobability"
    assert {one["name"] for one in said["differences"] if one["what"] == "reads"} == {"probability"}


def test_folders_versions_and_revisions_are_compared(edited: Project, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(edited.folder / "mappings", old)
    edited.change("    web: {", "    internet: {", "mappings/lead.yaml")
    said = run(
        edited, "diff", str(old), str(edited.folder / "mappings"), "--entity", "lead", "--sample", "2", "--json"
    ).json
    assert said["looked_at"] == {"lead": 2}
    assert said["sampled"] == {"lead": "--sample 2"}
    [version] = run(edited, "versions", "--json").json["versions"]
    assert run(edited, "diff", version["version"], "--json").json["looked_at"]["lead"] > 2
    for words in (
        ["init", "-q"],
        ["add", "mappings"],
        ["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", "-C", str(edited.folder), *words], check=True)
    edited.change("internet: {", "net: {", "mappings/lead.yaml")
    said = run(edited, "diff", "git:HEAD", "--sample", "1", "--json").json
    assert {one["path"] for one in said["changes"]} == {"values.lead_source.internet", "values.lead_source.net"}
    assert "git cannot show it" in run(edited, "diff", "git:nowhere", code=2).err
    assert "no version begins with it" in run(edited, "diff", "nowhere", code=2).err
    shutil.rmtree(edited.folder / ".git")


def test_a_mistake_is_told_in_the_file_where_it_stands_and_an_old_mapping_may_have_stopped_to_fit(
    edited: Project, tmp_path: Path
) -> None:
    draft = tmp_path / "draft"
    shutil.copytree(edited.folder / "mappings", draft)
    lead = draft / "lead.yaml"
    lead.write_text(lead.read_text().replace("salesforce: Fax,", "salesforce: Faxx,"))
    said = run(edited, "diff", str(edited.folder / "mappings"), str(draft), code=2).err
    assert f"{lead}:" in said
    assert "did you mean 'Fax'?" in said
    assert "crmbridge check --live" in said, "the files alone show nothing of it"
    said = run(edited, "diff", str(draft), code=2).err
    assert f"{draft} no longer fits the CRMs" in said
    assert f"{lead}:" in said


def test_records_that_a_change_would_hold_are_counted_apart(edited: Project) -> None:
    edited.settle()
    web = [one for one in edited.box.control.dump()["salesforce"]["Lead"] if one.get("LeadSource") == "Web"]
    edited.change("    web: {salesforce: Web, dynamics: 8}\n", "", "mappings/lead.yaml")
    said = run(edited, "diff", "--json").json["held"]["lead"]
    assert said >= len(web) > 0
    assert f"lead: {said} records would be held" in run(edited, "diff").out


def test_a_broken_mapping_is_told_before_anything_is_asked(edited: Project) -> None:
    edited.change("convert: email", "convert: emial", "mappings/lead.yaml")
    edited.box.control.forget_calls()
    assert "did you mean 'email'?" in run(edited, "diff", code=2).err
    assert edited.box.control.raw_calls() == []


# --- unmapped -----------------------------------------------------------------------------------------------------


def paste(company: Project, told: list[dict[str, Any]]) -> None:
    """Each line once, where it is said to go."""
    where = sorted({(*one["paste_after"].rsplit(":", 1), one["line"]) for one in told}, key=lambda w: -int(w[1]))
    for file, number, line in where:
        path = Path(file) if Path(file).is_absolute() else company.folder / file
        lines = path.read_text(encoding="utf-8").splitlines()
        row = lines[int(number) - 1]
        lines.insert(int(number), f"{row[: len(row) - len(row.lstrip())]}{line}")
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_values_without_a_row_are_counted_and_the_lines_to_paste_are_good(edited: Project) -> None:
    edited.settle()
    assert run(edited, "unmapped", "--json").json["unmapped"] == []
    text = (edited.folder / "mappings" / "lead.yaml").read_text(encoding="utf-8")
    kept = [one for one in text.splitlines() if not one.startswith(("    partner:", "    phone:", "  contacted:"))]
    (edited.folder / "mappings" / "lead.yaml").write_text(
        "\n".join(kept).replace("[10, 1, 2, 3, 5, 6, 7, 9]", "[10, 1, 2]") + "\n", encoding="utf-8"
    )
    dump = edited.box.control.dump()
    statuses = [one["Status"] for one in dump["salesforce"]["Lead"] if not one["IsDeleted"]]
    said = run(edited, "unmapped", "--json").json
    told = {(one["field"], one["on"], one["value"]): one for one in said["unmapped"]}
    contacted = told["status", "salesforce", "Working - Contacted"]
    assert contacted["records"] == statuses.count("Working - Contacted")
    assert contacted["beside"] == "Contacted"
    assert told["status", "dynamics", 2]["line"] == contacted["line"]
    assert told["source", "salesforce", "Partner Referral"]["line"] == (
        "partner_referral: {salesforce: Partner Referral, dynamics: 4}"
    )
    assert "behind " in run(edited, "unmapped").out
    paste(edited, said["unmapped"])
    assert run(edited, "unmapped", "--json").json["unmapped"] == []
    assert edited.run_here("check").code == 0


def test_unmapped_values_of_a_sample_are_read_live(edited: Project) -> None:
    edited.change("    web: {", "    # web: {", "mappings/lead.yaml")
    said = run(edited, "unmapped", "--entity", "lead", "--sample", "30", "--json").json
    assert list(said["looked_at"]) == ["lead"]
    assert {(one["on"], one["label"]) for one in said["unmapped"]} == {("salesforce", "Web"), ("dynamics", "Web")}


# --- capture, test ------------------------------------------------------------------------------------------------


def test_a_captured_example_holds_and_shows_nobody(edited: Project) -> None:
    edited.settle()
    row = next(
        one
        for one in edited.box.control.dump()["salesforce"]["Lead"]
        if not one["IsConverted"] and one.get("Email") and one.get("City")
    )
    file = edited.folder / "mappings" / "lead.examples.yaml"
    before = file.read_bytes()
    said = run(edited, "capture", f"lead:{row['Email']}", "--print", "--json").json
    assert (said["written"], said["examples"], file.read_bytes()) == (False, 2, before)
    said = run(edited, "capture", row["Id"], "--json").json
    assert said["examples"] == 1
    assert file.read_bytes() == before + said["text"].encode()
    private = [
        row.get(name) for name in ("FirstName", "LastName", "Email", "Company", "Street", "City", "Phone", "Title")
    ]
    for value in filter(None, private):
        assert value not in said["text"]
    assert row["Id"] not in said["text"]
    assert f"Status: {row['Status']}" in said["text"]
    told = run(edited, "test", "--json").json
    assert told["ok"], told
    assert sum(one["name"].startswith("captured from salesforce") for one in told["examples"]) == 1
    edited.change("LastName, dynamics: lastname", "LastName, dynamics: firstname", "mappings/lead.yaml")
    edited.change("FirstName, dynamics: firstname", "FirstName, dynamics: lastname", "mappings/lead.yaml")
    failed = run(edited, "test", code=1)
    assert f"lead.yaml:{line(edited, 'mappings/lead.yaml', 'last_name:')}" in failed.out
    assert "FAILED" in failed.out


@pytest.mark.slow
def test_each_kind_of_record_can_be_captured_in_each_direction(edited: Project) -> None:
    for entity in ("account", "contact", "lead", "opportunity"):
        for one in run(edited, "preview", "--sample", "4", "--entity", entity, "--json").json["records"]:
            said = run(edited, "capture", one["shared_id"], "--json").json
            assert said["examples"] == len(one["ids"])
    told = run(edited, "test", "--json").json
    assert told["ok"], [one for one in told["examples"] if not one["ok"]]
    assert len(told["examples"]) > 30
    assert run(edited, "fmt", "--check").code == 0


def test_a_file_of_another_form_is_not_added_to(edited: Project) -> None:
    file = edited.folder / "mappings" / "lead.examples.yaml"
    file.write_text("examples: [{name: x, given: {shared: {last_name: B}}, expect: {crosses: true}}]\n")
    [shown] = run(edited, "preview", "--sample", "1", "--entity", "lead", "--json").json["records"]
    refused = run(edited, "capture", shown["shared_id"], code=2)
    assert "Add these lines there by hand" in refused.err
    assert "examples: [{name: x" in file.read_text()


def test_examples_are_tried_with_the_labels_of_a_shape(edited: Project) -> None:
    shape = edited.folder / "shape.yaml"
    shape.write_text("salesforce: {extends: salesforce}\ndynamics: {extends: dynamics}\n")
    (edited.folder / "mappings" / "lead.examples.yaml").write_text(
        "examples:\n  - name: it\n    given: {dynamics: {lastname: Berg, leadsourcecode: Partner, statuscode: Lost}}\n"
        "    expect: {shared: {source: partner, state: disqualified}}\n"
    )
    assert "--shape" in run(edited, "test", code=1).out
    assert run(edited, "test", "--shape", str(shape), "--json").json["ok"]
    assert "no file of these mappings" in run(edited, "test", str(shape), code=2).err


# --- explain, fmt -------------------------------------------------------------------------------------------------


def test_the_life_cycle_is_explained_without_secrets(edited: Project) -> None:
    (edited.folder / ".env").rename(edited.folder / ".env.away")
    try:
        said = run(edited, "explain", "lead", "--json").json["entities"]["lead"]
        rows = {one["row"]: one for one in said["life_cycle"]["rows"]}
        assert rows["lost"]["salesforce"] == ["Closed - Not Converted"]
        assert rows["canceled"]["notes"][0].startswith("salesforce cannot tell it from lost")
        assert rows["lost"]["at"].endswith(f":{line(edited, 'mappings/lead.yaml', 'lost:')}")
        fields = {one["field"]: one for one in said["fields"]}
        assert fields["source"]["convert"] == "table lead_source"
        out = edited.folder / "lead.svg"
        run(edited, "explain", "lead", "--format", "svg", "--out", str(out))
        drawn = ElementTree.parse(out).getroot()
        texts = [one.text for one in drawn.iter("{http://www.w3.org/2000/svg}text")]
        assert {*rows, "open", "converted", "disqualified"} <= set(texts)
        told = run(edited, "explain", "opportunity").out
        assert [word for word in ("Prospecting", "Qualification") if word in told] == ["Prospecting", "Qualification"]
        assert "\\n" not in told  # a cell of several words has several lines
        text = run(edited, "explain", "--format", "mermaid").out
        assert text.count("stateDiagram-v2") == 2
        assert "One picture at a time" in run(edited, "explain", "--format", "svg", code=2).err
        assert "no life cycle" in run(edited, "explain", "account", "--format", "svg", code=2).err
    finally:
        (edited.folder / ".env.away").rename(edited.folder / ".env")


def test_files_are_tidied_byte_by_byte(edited: Project) -> None:
    assert run(edited, "fmt", "--check").out == "Nothing to tidy.\n"
    file = edited.folder / "mappings" / "lead.yaml"
    before = file.read_bytes()
    line_ = "{salesforce: Title, dynamics: jobtitle}"
    edited.change(line_, "{ dynamics: jobtitle,salesforce: Title }   ", "mappings/lead.yaml")
    said = run(edited, "fmt", "--check", "--json", code=1).json
    assert list(said["changed"].values()) == [[line(edited, "mappings/lead.yaml", "title:")]]
    run(edited, "fmt")
    assert file.read_bytes() == before
    edited.change(line_, "{salesforce: Title, salesforce: Title}", "mappings/lead.yaml")
    assert "duplicate key" in run(edited, "fmt", code=2).err


# --- why ----------------------------------------------------------------------------------------------------------


def test_why_names_source_rule_row_merge_with_its_evidence_run_write_and_version(edited: Project) -> None:
    edited.settle()
    row = next(one for one in edited.box.control.dump()["salesforce"]["Lead"] if one.get("LeadSource") == "Web")
    edited.salesforce().update("Lead", row["Id"], LeadSource="Partner Referral")
    edited.pass_time()
    planned = edited.run_here("plan", "--json")  # the store learns of the edit, and nothing is written
    assert planned.code == 0, planned
    told = edited.run_here("why", row["Id"], "source", "--json").json
    source = told["sources"]["salesforce"]
    assert (source["value"], source["reads_as"]) == ("Partner Referral", "partner")
    assert source["row_at"].endswith(f":{line(edited, 'mappings/lead.yaml', 'partner:')}")
    assert told["rule"]["at"].endswith(f":{line(edited, 'mappings/lead.yaml', 'source:')}")
    merge = told["merge"]
    assert (merge["why"], merge["would_write_to"]) == ("changed on salesforce", "dynamics")
    assert merge["would_write"] == [{"on": "dynamics", "columns": {"leadsourcecode": 4}}]
    assert merge["evidence"]["changed_since_agreed"] == {"salesforce": True, "dynamics": False}
    assert merge["evidence"]["last_edit"]["salesforce"]["by_us"] is False
    synced = edited.run_here("sync", "--json")
    assert synced.code in (0, 1), synced
    after = edited.run_here("why", row["Id"], "source", "--json").json
    assert (after["writes"][0]["run"], after["writes"][0]["reply"]) == (synced.json["run"], "written")
    assert after["writes"][0]["mapping"] == after["mapping"]["version"]
    assert after["agreed"] == {"salesforce": "partner", "dynamics": "partner"}
    text = edited.run_here("why", row["Id"], "source").out
    assert "read as 'partner' by" in text


def test_why_tells_of_a_status_and_of_a_stage_as_it_does_of_a_field(edited: Project) -> None:
    edited.settle()
    row = next(
        one
        for one in edited.box.control.dump()["salesforce"]["Lead"]
        if one["Status"] == "Open - Not Contacted" and not one["IsConverted"]
    )
    edited.salesforce().update("Lead", row["Id"], Status="Working - Contacted")
    edited.pass_time()
    assert edited.run_here("plan", "--json").code == 0
    told = edited.run_here("why", row["Id"], "status", "--json").json
    source = told["sources"]["salesforce"]
    assert source["value"]["Status"] == "Working - Contacted"
    assert source["reads_as"] == {"state": "open", "status": "contacted", "on_hold": False}
    at = f":{line(edited, 'mappings/lead.yaml', 'contacted:')}"
    assert source["row_at"].endswith(at)
    assert told["rule"]["at"].endswith(f":{line(edited, 'mappings/lead.yaml', 'status:')}")
    assert told["rule"]["rows"]["contacted"].endswith(at)
    assert {axes["status"] for axes in told["agreed"].values()} == {"new"}
    merge = told["merge"]
    assert (merge["why"], merge["would_write_to"]) == ("status changed on salesforce", "dynamics")
    assert [(step["case"], step["status"]) for step in merge["steps"]] == [("L3", "contacted")]
    assert merge["would_write"][0]["columns"]["status"] == 2
    assert merge["evidence"]["changed_since_agreed"] == {"salesforce": True, "dynamics": False}
    assert merge["evidence"]["last_edit"]["salesforce"]["by_us"] is False
    synced = edited.run_here("sync", "--json")
    assert synced.code in (0, 1), synced
    after = edited.run_here("why", row["Id"], "status", "--json").json
    assert after["merge"]["why"] == "both sides stand alike"
    written = after["writes"][0]
    assert (written["run"], written["kind"], written["reply"]) == (synced.json["run"], "status", "written")
    assert written["mapping"] == after["mapping"]["version"]
    assert after["sources"]["dynamics"]["label"] == "Contacted"
    text = edited.run_here("why", row["Id"], "status").out
    assert "read as 'contacted' (open) by" in text
    assert "status changed on salesforce" in text


def test_why_names_the_gate_that_holds_a_stage_and_what_to_do(edited: Project) -> None:
    file = edited.folder / "mappings" / "opportunity.yaml"
    before = file.read_text(encoding="utf-8")
    file.write_text(f"{before}gates: {{propose: {{needs: [description]}}}}\n", encoding="utf-8")
    try:
        edited.settle()
        dump = edited.box.control.dump()["salesforce"]["Opportunity"]
        row = next(one for one in dump if one["StageName"] in ("Prospecting", "Qualification") and one["AccountId"])
        edited.salesforce().update("Opportunity", row["Id"], StageName="Proposal/Price Quote", Description="")
        edited.pass_time()
        assert edited.run_here("sync", "--json").code == 1
        told = edited.run_here("why", row["Id"], "stage", "--json").json
        assert told["field"] == "stage"
        assert told["merge"]["why"] == "held (gate)"
        assert "description is blank" in told["merge"]["hold"]
        gate = told["merge"]["evidence"]["gates"]["propose"]
        assert gate.endswith(f"opportunity.yaml:{line(edited, 'mappings/opportunity.yaml', 'gates:')}")
        assert [one["cause"] for one in told["issues"]] == ["gate"]
        text = edited.run_here("why", row["Id"], "stage").out
        assert "Fill in description" in text
    finally:
        file.write_text(before, encoding="utf-8")

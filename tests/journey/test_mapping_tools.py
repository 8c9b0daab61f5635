"""The commands below `crmbridge mapping`, as an admin uses them, with both CRMs answering over HTTP."""

from collections.abc import Iterator

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
    assert columns["jobtitle"]["why"] == "changed on the left"
    assert columns["jobtitle"]["at"].endswith(f"lead.yaml:{line(company, 'mappings/lead.yaml', 'title:')}")
    assert columns["leadsourcecode"]["after"] == 4
    assert columns["leadsourcecode"]["row_at"].endswith(f":{line(company, 'mappings/lead.yaml', 'partner:')}")
    fields = {one["field"]: one for one in shown[0]["fields"]}
    assert fields["source"]["native"]["salesforce"] == "Partner Referral"
    assert fields["source"]["shared"]["salesforce"] == "partner"
    text = run(company, "preview", lead["Id"]).out
    assert "Head of Previews" in text
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

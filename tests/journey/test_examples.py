"""Companies' own ways, in YAML alone: each folder of config/examples against a sandbox of that company."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from crmbridge.demo.people import DynamicsPerson, SalesforcePerson
from crmbridge.sandbox.server import running_sandbox
from tests.support.project import CHECKOUT, INGRID, Project, make_project, project

pytestmark = pytest.mark.journey

EXAMPLES = CHECKOUT / "config" / "examples"


@contextmanager
def company(tmp_path: Path, name: str) -> Iterator[Project]:
    """The shipped configuration with the example laid over it, and the sandbox that its shape makes."""
    shape = EXAMPLES / name / "shape.yaml"
    with project(tmp_path, seed=shape if shape.exists() else "sample") as made:
        for file in EXAMPLES.joinpath(name).glob("crmbridge.*.yaml"):
            shutil.copy(file, made.folder)
        for file in EXAMPLES.joinpath(name, "mappings").iterdir():
            shutil.copy(file, made.folder / "mappings")
        made.env["CRMBRIDGE_PROFILE"] = name
        checked = made.run_here("check", "--live", "--json")
        assert checked.code == 0, checked
        made.first_run()
        made.settle()
        yield made


def test_every_example_is_tried_here_and_told_in_the_readme() -> None:
    told = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    tried = Path(__file__).read_text(encoding="utf-8")
    names = sorted(folder.name for folder in EXAMPLES.iterdir() if folder.is_dir())
    assert len(names) == 5
    for name in names:
        assert f"| `{name}` |" in told
        assert f'"{name}"' in tried


def test_a_conversion_makes_no_opportunity(tmp_path: Path) -> None:
    with company(tmp_path, "without-opportunity") as made:
        here, there = made.salesforce(), made.dynamics()
        kept = [here.create("Lead", LastName=name, Company=f"{name} AB", Status="Working - Contacted")
                for name in ("Asp", "Björk", "Cypress")]  # fmt: skip
        made.settle()
        asp, bjork, cypress = (_partner(made, "lead", lead) for lead in kept)
        one = there.qualify(asp)
        assert one.opportunity is not None
        two = here.convert(kept[1], with_opportunity=False)
        here.update("Lead", kept[2], Status="Closed - Not Converted")
        made.settle()
        lead = here.read("Lead", kept[0])
        assert lead["IsConverted"]
        assert lead["ConvertedAccountId"]
        assert lead["ConvertedContactId"]
        assert lead["ConvertedOpportunityId"] is None
        assert two.opportunity is None
        assert there.read("leads", bjork)["statecode"] == 1
        assert there.find("opportunities", f"_originatingleadid_value eq {bjork}") == []
        lost = there.read("leads", cypress)
        assert (lost["statecode"], lost["statuscode"]) == (2, 4)
        # Another reason means the same in Salesforce, and stays in Dynamics.
        there.update("leads", cypress, statuscode=7)
        made.settle()
        assert there.read("leads", cypress)["statuscode"] == 7
        assert here.read("Lead", kept[2])["Status"] == "Closed - Not Converted"


@pytest.mark.slow
def test_five_phases_of_the_company_s_own(tmp_path: Path) -> None:
    with company(tmp_path, "five-phases") as made:
        here, there = made.salesforce(), made.dynamics()

        def phase(deal: str) -> str:
            """As the table of the process tells it, which only this company has."""
            (one,) = there.find("new_dealprocesses", f"_bpf_opportunityid_value eq {deal}")
            names = {
                each["processstageid"]: each["stagename"] for each in there.find("processstages", "stagename ne null")
            }
            path = [names[stage] for stage in one["traversedpath"].split(",")]
            assert path == ["Discover", "Fit", "Proof", "Contract", "Handover"][: len(path)]
            assert one["_activestageid_value"] == one["traversedpath"].split(",")[-1]
            return path[-1]

        sale = here.create("Opportunity", Name="Big", StageName="Value Proposition", CloseDate="2027-05-01")
        made.settle()
        deal = _partner(made, "opportunity", sale)
        assert phase(deal) == "Proof"  # created there, and stepped on from where Dynamics began
        # A checkpoint: no contract without an amount.
        here.update("Opportunity", sale, StageName="Proposal/Price Quote")
        made.settle()
        assert phase(deal) == "Proof"
        here.update("Opportunity", sale, Amount=900)
        made.settle()
        assert phase(deal) == "Contract"
        here.update("Opportunity", sale, StageName="Negotiation/Review")
        made.settle()
        assert phase(deal) == "Handover"
        here.update("Opportunity", sale, StageName="Qualification")
        made.settle()
        assert phase(deal) == "Fit"
        # The other way, one phase forward and back; a finer stage of Salesforce stays while it says the same.
        (one,) = there.find("new_dealprocesses", f"_bpf_opportunityid_value eq {deal}")
        path = one["traversedpath"].split(",")
        proof = next(each["processstageid"] for each in there.find("processstages", "stagename eq 'Proof'"))
        _step(there, one, [*path, proof])
        made.settle()
        assert here.read("Opportunity", sale)["StageName"] == "Value Proposition"
        _step(there, one, path[:1] + path[1:2])
        made.settle()
        assert here.read("Opportunity", sale)["StageName"] == "Qualification"
        _step(there, one, path[:1])
        made.settle()
        assert here.read("Opportunity", sale)["StageName"] == "Prospecting"
        # A lead's opportunity goes on in the process that began on the lead: there the other words count.
        lead = here.create("Lead", LastName="Ek", Company="Ek AB", Status="Working - Contacted")
        made.settle()
        done = here.convert(lead, name="Ek deal")
        made.settle()
        born = _partner(made, "opportunity", done.opportunity)
        assert there.find("new_dealprocesses", f"_bpf_opportunityid_value eq {born}") == []
        here.update("Opportunity", done.opportunity or "", StageName="Negotiation/Review", Amount=5)
        made.settle()
        assert there.read("opportunities", born)["salesstage"] == 3
        made.verify()


def test_all_words_are_swedish(tmp_path: Path) -> None:
    with company(tmp_path, "swedish") as made:
        here, there = made.salesforce(), made.dynamics()
        lead = here.create(
            "Lead", LastName="Öberg", Company="Öberg & Söner", Status="Öppen – ej kontaktad", Rating="Het"
        )
        made.settle()
        partner = _partner(made, "lead", lead)
        assert there.read("leads", partner)["leadqualitycode"] == 1
        here.update("Lead", lead, Status="Pågår – kontaktad")
        made.settle()
        assert there.read("leads", partner)["statuscode"] == 2
        done = here.convert(lead, status="Stängd – konverterad", name="Affären")
        made.settle()
        assert there.read("leads", partner)["statecode"] == 1
        deal = _partner(made, "opportunity", done.opportunity)
        here.update("Opportunity", done.opportunity or "", StageName="Stängd – förlorad")
        made.settle()
        assert there.read("opportunities", deal)["statecode"] == 2
        made.verify()


def test_each_region_is_moved_on_its_own_day(tmp_path: Path) -> None:
    name = "regional-cut-over"
    with company(tmp_path, name) as made:
        here, there = made.salesforce(), made.dynamics()
        emea, americas = (
            here.create("Lead", LastName=region, Company=f"{region} Inc", Phone="+46 8 111", Region__c=region)
            for region in ("EMEA", "Americas")
        )
        late = there.create("leads", lastname="Late", companyname="Late GmbH", subject="Late", new_region=100000000)
        made.settle()
        partners = [_partner(made, "lead", lead) for lead in (emea, americas)]
        for partner in partners:
            there.update("leads", partner, telephone1="+46 8 222")
        made.settle()
        # Both regions are Salesforce's: its value is back in Dynamics, and Dynamics' new lead waits.
        assert [there.read("leads", partner)["telephone1"] for partner in partners] == ["+46 8 111"] * 2
        assert here.query("SELECT Id FROM Lead WHERE LastName = 'Late'") == []
        # The day of EMEA has come.
        made.change("cut_over: 2027-01-15", "cut_over: 2026-01-15", f"crmbridge.{name}.yaml")
        for partner in partners:
            there.update("leads", partner, telephone1="+46 8 333")
        made.settle()
        assert here.read("Lead", emea)["Phone"] == "+46 8 333"
        assert here.read("Lead", americas)["Phone"] == "+46 8 111"
        assert there.read("leads", partners[1])["telephone1"] == "+46 8 111"
        assert len(here.query("SELECT Id FROM Lead WHERE LastName = 'Late'")) == 1
        assert there.read("leads", late)["lastname"] == "Late"


def test_two_salesforce_orgs_are_in_step(tmp_path: Path) -> None:
    name = "two-salesforce-orgs"
    with (
        running_sandbox("sample", state_dir=tmp_path / "europe") as europe,
        running_sandbox("empty", state_dir=tmp_path / "america") as america,
    ):
        made = make_project(tmp_path / "project", europe)
        shutil.rmtree(made.folder / "mappings")
        shutil.copytree(EXAMPLES / name / "mappings", made.folder / "mappings")
        text = (EXAMPLES / name / "crmbridge.yaml").read_text(encoding="utf-8")
        for side, box in (("europe", europe), ("america", america)):
            connect = box.connect["salesforce"]
            text = text.replace(f"https://{side}.my.salesforce.com", f"{connect['url']}\n    request_limit_seconds: 5")
            made.env[f"{side.upper()}_CLIENT_ID"] = connect["client_id"]
            made.env[f"{side.upper()}_CLIENT_SECRET"] = connect["client_secret"]
        made.settings.write_text(f"{text}lifecycle:\n  mirror_since: 2020-01-01\n", encoding="utf-8")
        assert made.run_here("check", "--live", "--json").code == 0
        made.first_run()
        _settle_both(made, america)
        here, there = _person(europe), _person(america)
        lead = here.create("Lead", LastName="Delta", Company="Delta AB", LeadSource="Web")
        _settle_both(made, america)
        partner = there.id_of("Lead", LastName="Delta")
        assert there.read("Lead", partner)["LeadSource"] == "Web"
        done = there.convert(partner, name="Delta deal")
        _settle_both(made, america)
        mirrored = here.read("Lead", lead)
        assert mirrored["IsConverted"]
        assert mirrored["ConvertedOpportunityId"]
        assert done.opportunity is not None
        there.update("Opportunity", done.opportunity, StageName="Closed Won", Amount=1200)
        _settle_both(made, america)
        won = here.read("Opportunity", mirrored["ConvertedOpportunityId"])
        assert won["IsWon"]
        assert won["Amount"] == 1200
        made.verify()


def _step(there: DynamicsPerson, instance: Any, path: list[str]) -> None:
    """One step of a process, as the form takes it."""
    there.update(
        "new_dealprocesses",
        instance["businessprocessflowinstanceid"],
        **{"activestageid@odata.bind": f"/processstages({path[-1]})", "traversedpath": ",".join(path)},
    )


def _person(box: Any) -> SalesforcePerson:
    token = box.control.people("salesforce", INGRID)["access_token"]
    return SalesforcePerson(url=box.connect["salesforce"]["url"], token=token)


def _settle_both(made: Project, other: Any) -> None:
    """As `Project.settle`; the second sandbox has a clock of its own."""
    for _ in range(5):
        other.control.advance(15 * 60)
        made.pass_time()
        ran = made.run_here("sync", "--json")
        assert ran.code in (0, 1), ran
        assert ran.json["go"], ran
        if not ran.json["counts"]:
            return
    raise AssertionError("still writing after five cycles")


def _partner(made: Project, entity: str, native: str | None) -> str:
    """The id on the other side, as `crmbridge show` tells it."""
    assert native is not None
    shown = made.run_here("show", native, "--json").json
    assert shown["entity"] == entity
    pair = shown["pair"]
    return pair["right"] if pair["left"] == native else pair["left"]

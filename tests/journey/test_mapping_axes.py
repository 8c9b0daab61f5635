"""A company with record types, loss reasons, an on-hold box and a checkpoint of its own: from YAML alone, over HTTP."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.project import Project, project

pytestmark = [pytest.mark.journey, pytest.mark.slow]

SHAPE = """\
salesforce:
  extends: salesforce
  lead_statuses:
    - {label: Open - Not Contacted, default: true}
    - {label: Working - Contacted}
    - {label: Closed - Converted, converted: true}
    - {label: Closed - Partner Converted, converted: true}
    - {label: Closed - Not Converted}
  opportunity_stages:
    - {label: Prospecting, probability: 10}
    - {label: Qualification, probability: 10}
    - {label: Review Due, probability: 15}
    - {label: Needs Analysis, probability: 20}
    - {label: Proposal/Price Quote, probability: 75}
    - {label: Negotiation/Review, probability: 90}
    - {label: Closed Won, probability: 100, closed: true, won: true}
    - {label: Closed Lost, probability: 0, closed: true}
    - {label: Closed Won Abroad, probability: 0, closed: true}
  objects:
    Lead:
      recordTypes:
        - developerName: Standard
          default: true
          picklists: {Status: [Open - Not Contacted, Working - Contacted, Closed - Converted, Closed - Not Converted]}
        - developerName: Partner
          picklists:
            Status: [Open - Not Contacted, Working - Contacted, Closed - Partner Converted, Closed - Not Converted]
        - {developerName: Import, picklists: {Status: [Open - Not Contacted, Closed - Not Converted]}}
    Opportunity:
      recordTypes: [{developerName: Standard, default: true}, {developerName: Renewal}]
      fields:
        Loss_Reason__c:
          type: picklist
          picklistValues: [{value: Competitor}, {value: Price}, {value: Cancelled}, {value: Weather}]
        On_Hold__c: {type: boolean}
"""
LEAD = (
    "converted: {state: converted, salesforce: Closed - Converted, dynamics: Qualified}",
    "converted: {state: converted, salesforce: {any: Closed - Converted, Partner: Closed - Partner Converted}, "
    "dynamics: Qualified}",
)
OPPORTUNITY = (
    (
        "salesforce: [Prospecting, Qualification]",
        "salesforce: {any: [Prospecting, Qualification], Renewal: Review Due}",
    ),
    ("salesforce: [Needs Analysis, Value Proposition, Id. Decision Makers]", "salesforce: Needs Analysis"),
    ("salesforce: [Perception Analysis, Proposal/Price Quote]", "salesforce: Proposal/Price Quote"),
    (
        "canceled: {state: lost, salesforce: Closed Lost, dynamics: Canceled}",
        "canceled: {state: lost, salesforce: Closed Lost, reason: {salesforce: Cancelled}, dynamics: Canceled}",
    ),
    (
        "out_sold: {state: lost, salesforce: Closed Lost, dynamics: Out-Sold, lossy: salesforce}",
        "out_sold: {state: lost, salesforce: Closed Lost, reason: {salesforce: [Competitor, Price]}, "
        "dynamics: Out-Sold}\n"
        "reason: {salesforce: Loss_Reason__c}\n"
        "on_hold: {salesforce: On_Hold__c}\n"
        'gates:\n  propose: {needs: [description], message: "Say what is proposed."}\n'
        "record_type:\n"
        "  salesforce: {when: [{if: 'description == \"renewal\"', use: Renewal}], else: Standard}",
    ),
)
ON_HOLD, IN_PROGRESS = 2, 1


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("axes")
    seed = folder / "company.yaml"
    seed.write_text(SHAPE, encoding="utf-8")
    with project(folder, seed=seed) as made:
        made.change(*LEAD, file="mappings/lead.yaml")
        for before, after in OPPORTUNITY:
            made.change(before, after, file="mappings/opportunity.yaml")
        made.first_run()
        yield made


def record_type(company: Project, sobject: str, name: str) -> str:
    return company.salesforce().id_of("RecordType", SobjectType=sobject, DeveloperName=name)


def salesforce(company: Project, sobject: str, id: str, *columns: str) -> dict[str, Any]:
    statement = f"SELECT {', '.join(columns)} FROM {sobject} WHERE Id = '{id}'"
    [found] = company.salesforce().query(statement)
    return found


def deal(company: Project, name: str, **columns: Any) -> tuple[str, str]:
    """Made in Salesforce; (id there, id in Dynamics)."""
    person = company.salesforce()
    here = person.create(
        "Opportunity", **{"Name": name, "StageName": "Prospecting", "CloseDate": "2027-03-01", **columns}
    )
    company.settle()
    return here, company.dynamics().id_of("opportunities", f"name eq '{name}'")


def salesstage(company: Project, id: str) -> int:
    return company.dynamics().read("opportunities", id)["salesstage"]


def held(company: Project, cause: str) -> list[str]:
    causes = company.run_here("issues", "--json").json["causes"]
    return [issue["message"] for one in causes if one["cause"] == cause for issue in one["issues"]]


def test_check_live_names_what_the_record_types_lack(company: Project) -> None:
    checked = company.run("check", "--live", "--json")
    assert checked.code == 0, checked
    told = {one["code"]: one["text"] for one in checked.json["findings"] if one.get("code")}
    assert "Import has no converted status" in told["converted-status-none"]
    assert "Weather" in told["reason-unmapped"]
    assert "'Closed Won Abroad' is called won, but its flag says lost" in told["won-not-flagged"]


def test_check_live_refuses_names_that_are_not_there(company: Project) -> None:
    for before, after, code in (
        ("Renewal: Review Due", "Renewals: Review Due", "record-type-unknown"),
        ("else: Standard", "else: Standart", "record-type-unknown"),
        ("{salesforce: On_Hold__c}", "{salesforce: Description}", "on-hold-not-boolean"),
        ("{salesforce: Loss_Reason__c}", "{salesforce: Loss_Reasons__c}", "column-unknown"),
        ("[Competitor, Price]", "[Competitors, Price]", "reason-unknown"),
    ):
        company.change(before, after, file="mappings/opportunity.yaml")
        checked = company.run("check", "--live", "--json")
        company.change(after, before, file="mappings/opportunity.yaml")
        assert checked.code == 2, checked
        assert code in {one.get("code") for one in checked.json["findings"] if one["level"] == "error"}, checked


def test_a_partners_lead_is_converted_with_its_own_status(company: Project) -> None:
    lead = company.salesforce().create(
        "Lead", LastName="Moss", Company="Moss AG", RecordTypeId=record_type(company, "Lead", "Partner")
    )
    usual = company.salesforce().create("Lead", LastName="Reed", Company="Reed AG")
    company.settle()
    for name in ("Moss", "Reed"):
        company.dynamics().qualify(company.dynamics().id_of("leads", f"lastname eq '{name}'"))
    company.settle()
    statuses = [salesforce(company, "Lead", id, "Status", "IsConverted") for id in (lead, usual)]
    assert [(one["Status"], one["IsConverted"]) for one in statuses] == [
        ("Closed - Partner Converted", True),
        ("Closed - Converted", True),
    ]
    made = salesforce(company, "Lead", lead, "ConvertedOpportunityId")["ConvertedOpportunityId"]
    standard = record_type(company, "Opportunity", "Standard")
    assert salesforce(company, "Opportunity", made, "RecordTypeId")["RecordTypeId"] == standard


def test_a_renewal_has_words_of_its_own(company: Project) -> None:
    here, there = deal(
        company, "Renewal 1", RecordTypeId=record_type(company, "Opportunity", "Renewal"), StageName="Needs Analysis"
    )
    assert salesstage(company, there) == 1
    company.salesforce().update("Opportunity", here, StageName="Review Due")
    company.settle()
    assert salesstage(company, there) == 0
    assert salesforce(company, "Opportunity", here, "StageName")["StageName"] == "Review Due"
    assert held(company, "unmapped_status") == []


def test_a_new_record_gets_its_record_type_by_the_rule(company: Project) -> None:
    dynamics = company.dynamics()
    account = dynamics.create("accounts", name="Ruled")
    for name, text in (("Ruled 1", "renewal"), ("Ruled 2", "anything")):
        dynamics.create(
            "opportunities",
            **{"name": name, "description": text, "parentaccountid@odata.bind": f"/accounts({account})"},
        )
    company.settle()
    made = [
        salesforce(
            company, "Opportunity", company.salesforce().id_of("Opportunity", Name=name), "RecordTypeId", "StageName"
        )
        for name in ("Ruled 1", "Ruled 2")
    ]
    assert [one["RecordTypeId"] for one in made] == [
        record_type(company, "Opportunity", name) for name in ("Renewal", "Standard")
    ]


def test_a_reason_goes_with_the_loss_and_comes_back(company: Project) -> None:
    here, there = deal(company, "Reason 1")
    company.dynamics().lose(there, date="2026-12-01", status=5)
    company.settle()
    found = salesforce(company, "Opportunity", here, "StageName", "Loss_Reason__c")
    assert (found["StageName"], found["Loss_Reason__c"]) == ("Closed Lost", "Competitor")
    company.salesforce().update("Opportunity", here, Loss_Reason__c="Cancelled")
    company.settle()
    assert company.dynamics().read("opportunities", there)["statuscode"] == 4


def test_on_hold_crosses_both_ways(company: Project) -> None:
    here, there = deal(company, "Hold 1")
    company.dynamics().update("opportunities", there, statecode=0, statuscode=ON_HOLD)
    company.settle()
    assert salesforce(company, "Opportunity", here, "On_Hold__c")["On_Hold__c"] is True
    company.salesforce().update("Opportunity", here, On_Hold__c=False)
    company.settle()
    assert company.dynamics().read("opportunities", there)["statuscode"] == IN_PROGRESS


def test_a_gate_holds_a_stage_until_its_fields_are_filled(company: Project) -> None:
    here, there = deal(company, "Gate 1")
    company.salesforce().update("Opportunity", here, StageName="Negotiation/Review", Amount=500)
    company.settle()
    row = company.dynamics().read("opportunities", there)
    assert (row["salesstage"], row["estimatedvalue"]) == (0, 500)
    [message] = held(company, "gate")
    assert "Say what is proposed." in message
    company.dynamics().update("opportunities", there, description="All of it")
    company.settle()
    assert salesstage(company, there) == 3
    assert held(company, "gate") == []

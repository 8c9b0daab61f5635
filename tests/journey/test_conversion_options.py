"""Choices of conversions where the two CRMs differ, over HTTP: each lead is in a segment with a choice of its own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from crmbridge.demo.people import DynamicsPerson, Results, SalesforcePerson
from crmbridge.state.store import Store
from tests.support.project import Project, partner_of, project

pytestmark = pytest.mark.journey

# Last name -> the choices of its segment. The bucket's id is known later.
CHOICES: Mapping[str, str] = {
    "Never": "{convert: {mirror: never}}",
    "Deal": "{convert: {opportunity: always}}",
    "Nodeal": "{convert: {opportunity: never}}",
    "Ours": "{convert: {create_by: {account: us, contact: us, opportunity: us}}}",
    "Theirs": "{convert: {create_by: {account: us, contact: us, opportunity: us}}}",
    "Consumer": "{convert: {contact_only: {bucket: BUCKET}}}",
    "Person": "{convert: {contact_only: account named like the person}}",
    "Bare": "{convert: {bare_qualified: convert}}",
    "Reopened": "{convert: {reactivated: new_lead}}",
    "Label": "{convert: {contradiction: convert_here}}",
    "Misread": "{convert: {contradiction: {as: contacted}}}",
    "Lostleft": "{convert: {recreate_lead: yes}}",
    "Lostright": "{convert: {recreate_lead: yes}}",
}


@dataclass
class Desk:
    """Two CRMs with a lead of each name, and what became of them."""

    made: Project
    salesforce: SalesforcePerson
    dynamics: DynamicsPerson
    store: Store
    bucket: str
    left: dict[str, str] = field(default_factory=dict)  # last name -> lead
    right: dict[str, str] = field(default_factory=dict)
    results: dict[str, Results] = field(default_factory=dict)  # of people's own conversions
    gone: dict[str, str] = field(default_factory=dict)

    def lead_left(self, name: str) -> dict[str, Any]:
        return self.salesforce.read("Lead", self.left[name])

    def lead_right(self, name: str) -> dict[str, Any]:
        return self.dynamics.read("leads", self.right[name])

    def partner(self, id: str) -> str:
        """By the link that the store keeps."""
        return partner_of(self.store, id)

    def written(self, id: str) -> list[str]:
        """What we did to a record, oldest first."""
        return [row.kind for row in reversed(self.store.journal(native_id=id))]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder: Path = tmp_path_factory.mktemp("conversions")
    with project(folder, seed="empty") as made:
        salesforce, dynamics = made.salesforce(), made.dynamics()
        bucket = salesforce.create("Account", Name="All consumers")
        made.add(_segments(bucket))
        made.first_run()
        store = Store.open(f"sqlite:///{made.store}")
        one = Desk(made, salesforce, dynamics, store, bucket)
        people = [name for name in CHOICES if name != "Person"]
        dynamics.create(
            "leads", subject="A person", firstname="Kay", lastname="Person", emailaddress1="kay@home.example"
        )
        for name in people:
            one.left[name] = salesforce.create(
                "Lead", LastName=name, Company=f"{name} Works", Email=f"x@{name.lower()}.example", Phone="+46 8 123 456"
            )
        made.settle()
        one.left["Person"] = salesforce.query("SELECT Id FROM Lead WHERE LastName = 'Person'")[0]["Id"]
        one.right = {name: dynamics.id_of("leads", f"lastname eq '{name}'") for name in CHOICES}
        _work(one)
        made.settle(rounds=6)
        _second_day(one)
        made.settle(rounds=6)
        yield one
        store.close()


def _segments(bucket: str) -> str:
    lines = ["segments:\n"]
    for name, choices in CHOICES.items():
        lines += [
            f"  {name.lower()}:\n",
            "    entities: [lead]\n",
            f"    when: 'last_name == \"{name}\"'\n",
            f"    lifecycle: {choices.replace('BUCKET', bucket)}\n",
        ]
    return "".join(lines)


def _work(one: Desk) -> None:
    """A day on which people convert, and do odd things."""
    left, right = one.salesforce, one.dynamics
    one.results["Never"] = left.convert(one.left["Never"])
    one.results["Deal"] = left.convert(one.left["Deal"], with_opportunity=False)
    one.results["Nodeal"] = right.qualify(one.right["Nodeal"])
    one.results["Ours"] = right.qualify(one.right["Ours"])  # made in Salesforce, opportunity included
    one.results["Theirs"] = left.convert(one.left["Theirs"])  # made in Dynamics, but for the opportunity
    one.results["Consumer"] = right.qualify(one.right["Consumer"], with_account=False, with_opportunity=False)
    one.results["Person"] = right.qualify(one.right["Person"], with_account=False, with_opportunity=False)
    right.update("leads", one.right["Bare"], statecode=1, statuscode=3)
    one.results["Reopened"] = right.qualify(one.right["Reopened"])
    left.update("Lead", one.left["Label"], Status="Closed - Converted")
    left.update("Lead", one.left["Misread"], Status="Closed - Converted")
    one.gone = {"Lostleft": one.left["Lostleft"], "Lostright": one.right["Lostright"]}
    left.delete("Lead", one.left["Lostleft"])
    one.results["Lostleft"] = right.qualify(one.right["Lostleft"])
    right.delete("leads", one.right["Lostright"])
    one.results["Lostright"] = left.convert(one.left["Lostright"])


def _second_day(one: Desk) -> None:
    one.gone["Reopened"] = one.left["Reopened"]
    one.dynamics.update("leads", one.right["Reopened"], statecode=0, statuscode=2)


def test_a_conversion_that_is_not_mirrored_leaves_the_lead_and_brings_its_rows(desk: Desk) -> None:
    assert desk.lead_right("Never")["statecode"] == 0
    found = desk.results["Never"]
    assert all(desk.partner(id or "") for id in (found.account, found.contact, found.opportunity))


def test_an_opportunity_is_made_or_left_out_as_chosen(desk: Desk) -> None:
    made = desk.lead_right("Deal")
    assert made["statecode"] == 1
    assert desk.partner(made["_qualifyingopportunityid_value"])
    left = desk.lead_left("Nodeal")
    assert (left["IsConverted"], left["ConvertedOpportunityId"]) == (True, None)
    deal = desk.results["Nodeal"].opportunity or ""
    assert desk.salesforce.read("Opportunity", desk.partner(deal))["AccountId"] == left["ConvertedAccountId"]


def test_what_we_made_beforehand_in_salesforce_is_keyed_and_taken(desk: Desk) -> None:
    lead, found = desk.lead_left("Ours"), desk.results["Ours"]
    assert lead["IsConverted"] is True
    for table, id, there in (
        ("Account", lead["ConvertedAccountId"], found.account),
        ("Contact", lead["ConvertedContactId"], found.contact),
        ("Opportunity", lead["ConvertedOpportunityId"], found.opportunity),
    ):
        assert desk.salesforce.read(table, id)["CrmBridge_Id__c"] == there, table
        assert desk.partner(id) == there
    assert desk.written(lead["ConvertedOpportunityId"])[0] == "create", "before the conversion took it"
    shown = desk.made.run_here("show", desk.left["Ours"], "--json")
    assert "lifecycle.convert.create_by.account: us, segment ours" in shown.json["writes"][0]["reason"], shown
    why = desk.made.run_here("why", lead["ConvertedContactId"], "last_name", "--json")
    assert "lifecycle.convert.create_by.contact: us, segment ours" in why.json["writes"][-1]["reason"], why


def test_what_we_made_beforehand_in_dynamics_is_taken_and_the_opportunity_is_its_own(desk: Desk) -> None:
    lead, found = desk.lead_right("Theirs"), desk.results["Theirs"]
    assert lead["statecode"] == 1
    assert desk.partner(found.account or "") == lead["_parentaccountid_value"]
    assert desk.partner(found.contact or "") == lead["_parentcontactid_value"]
    assert desk.partner(found.opportunity or "") == lead["_qualifyingopportunityid_value"]
    assert desk.written(lead["_parentaccountid_value"])[0] == "create"
    assert "create" not in desk.written(lead["_qualifyingopportunityid_value"])


def test_the_bucket_takes_the_contact_and_stays_where_it_is(desk: Desk) -> None:
    lead, found = desk.lead_left("Consumer"), desk.results["Consumer"]
    assert lead["ConvertedAccountId"] == desk.bucket
    contact = desk.partner(found.contact or "")
    assert desk.salesforce.read("Contact", contact)["AccountId"] == desk.bucket
    assert desk.dynamics.read("contacts", found.contact or "")["_parentcustomerid_value"] is None
    assert not desk.dynamics.find("accounts", "name eq 'All consumers'")


def test_a_person_without_a_company_has_an_account_of_that_name_in_salesforce_alone(desk: Desk) -> None:
    lead, found = desk.lead_left("Person"), desk.results["Person"]
    account = desk.salesforce.read("Account", lead["ConvertedAccountId"])
    assert (lead["Company"], account["Name"]) == ("Kay Person", "Kay Person"), "never what stands in for a company"
    contact = desk.partner(found.contact or "")
    assert desk.salesforce.read("Contact", contact)["AccountId"] == lead["ConvertedAccountId"]
    assert desk.dynamics.read("contacts", found.contact or "")["_parentcustomerid_value"] is None
    assert desk.dynamics.read("leads", desk.right["Person"])["companyname"] is None
    assert not desk.dynamics.find("accounts", "name eq 'Kay Person'")
    assert desk.written(desk.left["Person"])[:3] == ["create", "update", "convert"]


def test_a_bare_qualification_is_a_conversion_and_its_customer_crosses(desk: Desk) -> None:
    lead = desk.lead_left("Bare")
    assert (lead["IsConverted"], lead["ConvertedOpportunityId"]) == (True, None)
    contact = desk.dynamics.read("contacts", desk.partner(lead["ConvertedContactId"]))
    assert contact["_parentcustomerid_value"] == desk.partner(lead["ConvertedAccountId"])


def test_a_lead_that_was_opened_again_has_a_new_partner_under_a_key_of_its_own(desk: Desk) -> None:
    new = desk.partner(desk.right["Reopened"])
    first = desk.gone["Reopened"]
    assert new != first
    fresh, old = desk.salesforce.read("Lead", new), desk.salesforce.read("Lead", first)
    assert (fresh["IsConverted"], old["IsConverted"]) == (False, True)
    assert fresh["LastName"] == "Reopened"
    assert fresh["CrmBridge_Id__c"] not in (None, desk.right["Reopened"])
    found = desk.results["Reopened"]
    assert desk.partner(found.opportunity or "") == old["ConvertedOpportunityId"]


def test_a_label_is_taken_at_its_word_or_read_as_another_row(desk: Desk) -> None:
    label = desk.lead_left("Label")
    assert label["IsConverted"] is True
    qualified = desk.lead_right("Label")
    assert qualified["statecode"] == 1
    assert desk.partner(label["ConvertedAccountId"]) == qualified["_parentaccountid_value"]
    assert desk.lead_left("Misread")["IsConverted"] is False
    assert (desk.lead_right("Misread")["statecode"], desk.lead_right("Misread")["statuscode"]) == (0, 2)


def test_a_lead_that_is_gone_is_made_again_and_converted(desk: Desk) -> None:
    new = desk.salesforce.read("Lead", desk.partner(desk.right["Lostleft"]))
    assert new["Id"] != desk.gone["Lostleft"]
    assert new["IsConverted"] is True
    assert desk.partner(desk.results["Lostleft"].account or "") == new["ConvertedAccountId"]
    again = desk.dynamics.read("leads", desk.partner(desk.left["Lostright"]))
    assert again["leadid"] != desk.gone["Lostright"]
    assert again["statecode"] == 1
    assert desk.partner(desk.results["Lostright"].opportunity or "") == again["_qualifyingopportunityid_value"]


def test_nothing_is_left_to_do_and_both_sides_agree(desk: Desk) -> None:
    desk.made.verify()
    assert desk.made.run_here("issues", "--json").json["causes"] == []
    for table, name in (("accounts", "name"), ("leads", "lastname")):
        names = [row[name] for row in desk.dynamics.find(table, "createdon ne null")]
        assert len(names) == len(set(names)), "nothing was made twice"

"""Person accounts of a Salesforce org that has them, as contacts of Dynamics, over HTTP: their conversions, and their
opportunities (`convert.person_accounts: on`)."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from crmbridge.demo.people import DynamicsPerson, SalesforcePerson
from crmbridge.state.store import Store
from tests.support.project import CHECKOUT, Project, partner_of, project

pytestmark = pytest.mark.journey

# Under `lifecycle:`, which the settings end with.
ON = "  convert: {person_accounts: on}\n  close: {contact_customer: person_account}\n"


@dataclass
class Desk:
    made: Project
    salesforce: SalesforcePerson
    dynamics: DynamicsPerson
    store: Store

    def partner(self, id: str) -> str:
        return partner_of(self.store, id)

    def person(self, last_name: str, **columns: Any) -> tuple[str, str]:
        account = self.salesforce.create("Account", LastName=last_name, **columns)
        return account, self.salesforce.read("Account", account)["PersonContactId"]

    def companies(self) -> int:
        return len(self.dynamics.find("accounts", "accountid ne null"))

    def issues(self) -> list[Any]:
        return [one for one in self.store.open_issues() if one.kind != "report"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder: Path = tmp_path_factory.mktemp("persons")
    seed = folder / "seed"
    shutil.copytree(CHECKOUT / "crmbridge" / "sandbox" / "shapes" / "empty", seed)
    (seed / "salesforce.shape.yaml").write_text("extends: salesforce\norg: {person_accounts: true}\n")
    with project(folder, seed=seed) as made:
        made.add(ON)
        made.first_run()
        store = Store.open(f"sqlite:///{made.store}")
        yield Desk(made, made.salesforce(), made.dynamics(), store)
        store.close()


def test_a_deal_of_a_person_account_is_the_contacts(desk: Desk) -> None:
    account, person = desk.person("Boxer", FirstName="Bertha", PersonEmail="b@boxer.example")
    deal = desk.salesforce.create(
        "Opportunity", Name="A kitchen", AccountId=account, StageName="Prospecting", CloseDate="2027-03-01"
    )
    desk.made.settle()
    there, contact = desk.dynamics.read("opportunities", desk.partner(deal)), desk.partner(person)
    assert there["_customerid_value"] == there["_parentcontactid_value"] == contact
    assert there["_parentaccountid_value"] is None
    assert desk.dynamics.read("contacts", contact)["emailaddress1"] == "b@boxer.example"
    # Edits go both ways, by the contact's own columns.
    desk.dynamics.update("contacts", contact, emailaddress1="bertha@boxer.example")
    desk.salesforce.update("Account", account, PersonMobilePhone="+46 70 123 45 67")
    desk.made.settle()
    assert desk.salesforce.read("Account", account)["PersonEmail"] == "bertha@boxer.example"
    assert desk.dynamics.read("contacts", contact)["mobilephone"] == "+46 70 123 45 67"
    # A deal of the contact's goes to the person account.
    customer = {"parentcontactid@odata.bind": f"/contacts({contact})"}
    bath = desk.dynamics.create("opportunities", name="A bath", **customer)
    desk.made.settle()
    assert desk.salesforce.read("Opportunity", desk.partner(bath))["AccountId"] == account
    assert desk.issues() == []
    assert desk.companies() == 0, "half of a record is no record"


def test_a_conversion_into_a_person_account_makes_a_contact_only(desk: Desk) -> None:
    lead = desk.salesforce.create("Lead", LastName="Ledger", Email="l@ledger.example", Status="Open - Not Contacted")
    desk.made.settle()
    desk.salesforce.convert(lead, name="A roof")
    desk.made.settle()
    here = desk.salesforce.read("Lead", lead)
    assert desk.salesforce.read("Account", here["ConvertedAccountId"])["IsPersonAccount"] is True
    there = desk.dynamics.read("leads", desk.partner(lead))
    contact = desk.partner(here["ConvertedContactId"])
    assert (there["statecode"], there["_parentaccountid_value"], there["_parentcontactid_value"]) == (1, None, contact)
    deal = desk.dynamics.read("opportunities", desk.partner(here["ConvertedOpportunityId"]))
    assert deal["_customerid_value"] == contact
    assert desk.issues() == []
    assert desk.companies() == 0


def test_somebody_without_a_company_becomes_a_person_account(desk: Desk) -> None:
    lead = desk.dynamics.create("leads", subject="A garden", lastname="Gardner", emailaddress1="g@garden.example")
    desk.made.settle()
    assert desk.salesforce.read("Lead", desk.partner(lead))["Company"] == "[not provided]"
    made = desk.dynamics.qualify(lead, with_account=False)
    desk.made.settle()
    here = desk.salesforce.read("Lead", desk.partner(lead))
    assert here["IsConverted"] is True
    account = desk.salesforce.read("Account", here["ConvertedAccountId"])
    assert (account["IsPersonAccount"], account["PersonContactId"]) == (True, here["ConvertedContactId"])
    assert desk.partner(here["ConvertedContactId"]) == made.contact
    assert desk.salesforce.read("Opportunity", here["ConvertedOpportunityId"])["AccountId"] == account["Id"]
    assert desk.issues() == []
    assert desk.companies() == 0


def test_the_customer_of_a_deal_becomes_a_person_account(desk: Desk) -> None:
    named = {"firstname": "Paula", "lastname": "Plumber", "emailaddress1": "p@plumber.example", "jobtitle": "Baker"}
    contact = desk.dynamics.create("contacts", **named, mobilephone="+46 70 765 43 21", address1_city="Lund")
    deal = desk.dynamics.create(
        "opportunities", name="A stove", **{"parentcontactid@odata.bind": f"/contacts({contact})"}
    )
    desk.made.settle()
    person, there = desk.partner(contact), desk.salesforce.read("Opportunity", desk.partner(deal))
    account = desk.salesforce.read("Account", there["AccountId"])
    assert (account["IsPersonAccount"], account["PersonContactId"]) == (True, person)
    assert (account["FirstName"], account["LastName"], account["Name"]) == ("Paula", "Plumber", "Paula Plumber")
    assert (account["PersonEmail"], account["PersonTitle"]) == ("p@plumber.example", "Baker")
    assert (account["PersonMobilePhone"], account["PersonMailingCity"]) == ("+46 70 765 43 21", "Lund")
    key = desk.salesforce.read("Contact", person)["CrmBridge_Id__c"]
    assert key == contact, "by which it is found should the answer be lost"
    assert desk.issues() == []
    desk.salesforce.update("Account", account["Id"], PersonTitle="Chef")
    desk.made.settle()
    assert desk.dynamics.read("contacts", contact)["jobtitle"] == "Chef"
    assert desk.companies() == 0


@pytest.mark.parametrize("action", ["drop_after_commit", "drop_before_commit"])
def test_a_lost_answer_makes_no_second_person(desk: Desk, action: str) -> None:
    contact = desk.dynamics.create("contacts", firstname="Sam", lastname=action)
    deal = desk.dynamics.create("opportunities", name=action, **{"parentcontactid@odata.bind": f"/contacts({contact})"})
    desk.made.box.control.add_fault(crm="salesforce", kind="collections_create", action=action)
    desk.made.run_here("sync")
    assert desk.made.box.control.faults()[0]["fired"] == 1
    desk.made.box.control.clear_faults()
    for _ in range(3):  # until it is known what became of it
        desk.made.pass_time()
        desk.made.run_here("sync")
    desk.made.settle()
    made = desk.salesforce.query(f"SELECT Id, PersonContactId FROM Account WHERE LastName = '{action}'")
    assert [one["PersonContactId"] for one in made] == [desk.partner(contact)]
    assert desk.salesforce.read("Opportunity", desk.partner(deal))["AccountId"] == made[0]["Id"]
    assert desk.issues() == []


def test_all_of_it_is_accounted_for(desk: Desk) -> None:
    """Somebody whom nothing reaches stays where they are, and so does the account of each person account."""
    desk.person("Alone")
    desk.made.settle()
    found = desk.made.verify()
    assert (found["differences"], found["in_open_issues"], found["open_issues"]) == ([], [], 0)
    alone = {one["entity"]: (one["records"], one["due"]) for one in found["not_linked"] if one["on"] == "salesforce"}
    halves = desk.salesforce.query("SELECT Id FROM Account WHERE IsPersonAccount = true")
    assert alone == {"account": (len(halves), 0), "contact": (1, 0)}

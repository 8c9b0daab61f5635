"""Opportunities without an account of their own, over HTTP, where each CRM has rules of its own: Dynamics' customer
follows the two parents and the account counts before the contact; Salesforce is content with nobody at all."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from crmbridge.demo.people import DynamicsPerson, SalesforcePerson
from crmbridge.state.store import Store
from tests.support.project import Project, partner_of, project

pytestmark = pytest.mark.journey

SEGMENT = """\
segments:
  all:
    entities: [opportunity]
    lifecycle: {close: {contact_customer: {bucket: BUCKET}, no_customer: placeholder}}
"""


@dataclass
class Desk:
    made: Project
    salesforce: SalesforcePerson
    dynamics: DynamicsPerson
    store: Store
    bucket: str

    def partner(self, id: str) -> str:
        return partner_of(self.store, id)

    def left(self, id: str) -> dict[str, Any]:
        return self.salesforce.read("Opportunity", id)

    def right(self, id: str) -> dict[str, Any]:
        return self.dynamics.read("opportunities", id)

    @property
    def placeholders(self) -> tuple[list[str], list[str]]:
        left = self.salesforce.query("SELECT Id FROM Account WHERE Name = '[no customer]'")
        right = self.dynamics.find("accounts", "name eq '[no customer]'")
        return [one["Id"] for one in left], [one["accountid"] for one in right]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder: Path = tmp_path_factory.mktemp("customers")
    with project(folder, seed="empty") as made:
        salesforce, dynamics = made.salesforce(), made.dynamics()
        bucket = salesforce.create("Account", Name="All consumers")
        made.add(SEGMENT.replace("BUCKET", bucket))
        made.first_run()
        store = Store.open(f"sqlite:///{made.store}")
        yield Desk(made, salesforce, dynamics, store, bucket)
        store.close()


def test_nobodys_deals_of_salesforce_have_one_customer_in_dynamics_until_a_contact_comes(desk: Desk) -> None:
    deals = [
        desk.salesforce.create("Opportunity", Name=f"Nobody {n}", StageName="Prospecting", CloseDate="2027-03-01")
        for n in range(2)
    ]
    desk.made.settle()
    left, [placeholder] = desk.placeholders
    there = [desk.partner(deal) for deal in deals]
    for deal in there:
        assert desk.right(deal)["_customerid_value"] == desk.right(deal)["_parentaccountid_value"] == placeholder
    assert [desk.left(deal)["AccountId"] for deal in deals] == [None, None]
    # A contact role makes somebody the customer; the placeholder would still count before him.
    contact = desk.salesforce.create("Contact", LastName="Boxer", Email="boxer@acme.example")
    desk.salesforce.create("OpportunityContactRole", OpportunityId=deals[0], ContactId=contact, IsPrimary=True)
    desk.made.settle()
    row = desk.right(there[0])
    assert row["_parentaccountid_value"] is None
    assert row["_customerid_value"] == row["_parentcontactid_value"] == desk.partner(contact)
    assert desk.left(deals[0])["AccountId"] is None, "and nothing of it comes back"
    assert desk.placeholders == (left, [placeholder])


def test_nobodys_deals_of_dynamics_have_one_account_in_salesforce(desk: Desk) -> None:
    deals = [desk.dynamics.create("opportunities", name=f"Nobody yet {n}") for n in range(2)]
    desk.made.settle()
    [placeholder], right = desk.placeholders
    assert {desk.left(desk.partner(deal))["AccountId"] for deal in deals} == {placeholder}
    account = desk.dynamics.create("accounts", name="Own Ltd", address1_city="Ulm")
    desk.dynamics.update("opportunities", deals[0], **{"parentaccountid@odata.bind": f"/accounts({account})"})
    desk.made.settle()
    assert desk.left(desk.partner(deals[0]))["AccountId"] == desk.partner(account)
    assert desk.right(deals[1])["_customerid_value"] is None
    assert desk.placeholders == ([placeholder], right)


def test_a_consumers_deal_is_in_the_bucket_and_its_customer_stays_the_contact(desk: Desk) -> None:
    contact = desk.dynamics.create("contacts", lastname="Carter", emailaddress1="carter@home.example")
    deal = desk.dynamics.create(
        "opportunities", name="A kitchen", **{"customerid_contact@odata.bind": f"/contacts({contact})"}
    )
    desk.made.settle()
    there = desk.partner(deal)
    assert desk.left(there)["AccountId"] == desk.bucket
    desk.salesforce.update("Opportunity", there, Description="Written there")
    desk.made.settle()
    row = desk.right(deal)
    assert row["description"] == "Written there"
    assert (row["_customerid_value"], row["_parentaccountid_value"]) == (contact, None)
    assert not desk.dynamics.find("accounts", "name eq 'All consumers'")


def test_verify_finds_nothing_amiss_with_accounts_that_stand_in(desk: Desk) -> None:
    desk.salesforce.create("Opportunity", Name="Nobody at all", StageName="Prospecting", CloseDate="2027-03-01")
    desk.made.settle()
    assert any(desk.placeholders)
    found = desk.made.run_here("verify")
    assert found.code == 0, found

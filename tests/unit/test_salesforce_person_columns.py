"""What a contact's columns are called where it is made as a person account: as an org with person accounts says it."""

import json

import pytest

from connectors.salesforce.persons import account_column, as_account, told
from tests.support.salesforce_org import bench

SHAPE = {
    "org": {"person_accounts": True},
    "objects": {"Contact": {"fields": {"Tier__c": {"type": "string", "length": 20}}}},
}


def test_each_column_that_a_contact_can_be_made_with_is_there() -> None:
    org = bench(SHAPE)
    account, contact = (
        {field["name"] for field in org.rest("GET", f"sobjects/{name}/describe").body["fields"] if field["createable"]}
        for name in ("Account", "Contact")
    )
    assert {"LastName", "Email", "Tier__c", "MailingCity"} <= contact
    sent = as_account(dict.fromkeys(sorted(contact), "x"))
    assert sent.keys() - account == set()
    assert {"LastName", "PersonEmail", "Tier__pc", "PersonMailingCity"} <= sent.keys()


@pytest.mark.parametrize(
    ("contact", "account"),
    [("FirstName", "FirstName"), ("Phone", "Phone"), ("HomePhone", "PersonHomePhone"), ("ns__Key__c", "ns__Key__pc")],
)
def test_names_are_shared_or_marked_as_a_persons(contact: str, account: str) -> None:
    assert account_column(contact) == account


def test_a_person_has_no_account_of_another_and_no_boss() -> None:
    assert as_account({"AccountId": "001", "ReportsToId": "003", "LastName": "Roe"}) == {"LastName": "Roe"}


def test_what_cannot_be_read_of_the_made_accounts_is_left_out() -> None:
    account, contact = "0013S000000abcdQAA", "0033S000000abcdQAA"
    body = json.dumps([{"Id": account, "PersonContactId": contact}, None, {"Id": account[:-4] + "eQAA"}])
    assert told(body.encode()) == {account: contact}

"""Salesforce's person accounts, while `convert.person_accounts` is `off`: told, and left alone (C5)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from crmbridge.policy import Convert, Policies, Policy, Scope
from crmbridge.sync import Options
from tests.support.engine import Bench, WithPersons, bench

CAUSE = "person_account"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Bench]:
    with bench(f"sqlite:///{tmp_path}/state.sqlite3", persons=True) as made:
        yield made


def org(one: Bench) -> WithPersons:
    assert isinstance(one.north, WithPersons)
    return one.north


def everything(one: Bench) -> None:
    one.engine.options = Options(policies=Policies(base=Policy(scope=Scope(account="all", contact="all"))))


def nothing_crossed(one: Bench) -> bool:
    return not one.south.live("account") and not one.south.live("contact")


def test_a_person_account_does_not_cross_even_where_all_accounts_do(desk: Bench) -> None:
    everything(desk)
    org(desk).add_person("Boxer", email="b@home.example")
    company = desk.north.add("account", name="Acme", city="Ulm")
    desk.settled()
    assert [one.columns["name"] for one in desk.south.live("account")] == ["Acme"]
    assert desk.south.live("contact") == []
    assert desk.partner("left", "account", company)
    assert desk.issues() == [], "thousands of them are no thousands of issues"


def test_a_deal_of_a_person_account_is_held(desk: Bench) -> None:
    account, contact = org(desk).add_person("Boxer", email="b@home.example")
    deal = desk.north.add("opportunity", name="A kitchen", account_id=account, contact_id=contact)
    desk.settled()
    assert desk.partner("left", "opportunity", deal) is None
    [issue] = desk.issues()
    assert (issue.kind, issue.cause, issue.native_id) == ("held", CAUSE, deal)
    assert nothing_crossed(desk)
    # Another customer releases it.
    desk.north.edit("opportunity", deal, account_id=desk.north.add("account", name="Acme", city="Ulm"), contact_id=None)
    desk.settled()
    assert desk.partner("left", "opportunity", deal)
    assert desk.issues() == []


def test_a_twin_of_a_person_account_is_held_and_not_doubled(desk: Bench) -> None:
    _, person = org(desk).add_person("Boxer", email="b@home.example")
    contact = desk.south.add("contact", last_name="Boxer", email="b@home.example")
    desk.south.add("opportunity", name="A kitchen", contact_id=contact)
    desk.settled()
    assert desk.partner("right", "contact", contact) is None
    assert [one.id for one in desk.north.live("contact")] == [person], "nobody was made a second time"
    held = {(issue.side, issue.native_id): issue.message for issue in desk.issues(CAUSE)}
    assert set(held) == {("left", person), ("right", contact)}
    assert all("on north it is a person account" in message for message in held.values())


def test_a_conversion_into_a_person_account_is_held(desk: Bench) -> None:
    here, there = desk.lead_pair()
    account, _ = org(desk).add_person("Boxer", email="b@home.example")
    desk.north.convert_lead(here, account_id=account, create_opportunity=False)
    desk.settled()
    assert desk.south.read("lead", there)["state"] == "open"
    [issue] = desk.issues("C5")
    assert "lifecycle.convert.person_accounts: off" in issue.message
    assert nothing_crossed(desk)


def test_a_person_without_a_company_gets_an_ordinary_account_of_that_name_where_that_is_chosen(desk: Bench) -> None:
    convert = Convert(contact_only="account named like the person")
    desk.engine.options = Options(policies=Policies(base=Policy(convert=convert)))
    here, there = desk.lead_pair(first_name="Kay", last_name="Boxer", company=None)
    desk.south.convert_lead(there, create_account=False, create_opportunity=False)
    desk.settled()
    account = desk.north.read("lead", here)["account_id"]
    assert desk.north.read("account", account)["name"] == "Kay Boxer"
    assert not any(one.columns.get("person") for one in desk.north.live("account"))
    assert desk.issues("C5") == []


def test_a_lead_without_a_company_is_not_converted_into_a_person_account(desk: Bench) -> None:
    here, there = desk.lead_pair()
    desk.south.convert_lead(there, create_opportunity=False)
    desk.north.edit("lead", here, company=None)  # in the same minute
    desk.sync()
    assert desk.north.read("lead", here)["state"] == "open"
    [issue] = desk.issues("C5")
    assert "would make a person account" in issue.message
    # With a company it is an ordinary conversion.
    desk.north.edit("lead", here, company="Boxer & Sons")
    desk.settled()
    assert desk.north.read("lead", here)["state"] == "converted"
    assert not any(one.columns.get("person") for one in desk.north.live("account"))
    assert desk.issues("C5") == []

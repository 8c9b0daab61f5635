"""Salesforce's person accounts, while `convert.person_accounts` is `on`: for Dynamics they are contacts without an
account, and their conversions make contacts only (C5, A1, O14)."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from crmbridge.policy import Close, Convert, Policies, Policy, Scope
from crmbridge.sync import Options
from tests.support.engine import Bench, Lie, WithPersons, bench, wanted

ON = Policy(convert=Convert(person_accounts="on"))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Bench]:
    options = Options(policies=Policies(base=ON))
    with bench(f"sqlite:///{tmp_path}/state.sqlite3", persons=True, options=options) as made:
        yield made


def org(one: Bench) -> WithPersons:
    assert isinstance(one.north, WithPersons)
    return one.north


def pair_of_persons(one: Bench) -> tuple[str, str, str]:
    """Account and contact there, the contact here."""
    account, person = org(one).add_person("Boxer", email="b@home.example")
    deal = one.north.add("opportunity", name="A kitchen", account_id=account)
    one.settled()
    del deal
    return account, person, one.must(person, "contact")


def test_an_opportunity_of_a_person_account_is_the_contacts(desk: Bench) -> None:
    account, person = org(desk).add_person("Boxer", email="b@home.example")
    deal = desk.north.add("opportunity", name="A kitchen", account_id=account)
    desk.settled()
    contact, there = desk.must(person, "contact"), desk.must(deal, "opportunity")
    assert desk.south.read("opportunity", there)["contact_id"] == contact
    assert desk.south.read("opportunity", there).get("account_id") is None
    assert desk.south.read("contact", contact).get("account_id") is None
    assert desk.south.live("account") == [], "half of a record is no record"
    assert desk.issues() == []


def test_its_edits_cross_both_ways(desk: Bench) -> None:
    _, person, contact = pair_of_persons(desk)
    desk.north.edit("contact", person, phone="1")
    desk.settled()
    assert desk.south.read("contact", contact)["phone"] == "1"
    desk.south.edit("contact", contact, phone="2")
    desk.settled()
    assert desk.north.read("contact", person)["phone"] == "2"
    assert desk.issues() == []


def test_a_company_that_the_contact_joins_is_not_sent(desk: Bench) -> None:
    """A person account's contact has that account for good."""
    account, person, contact = pair_of_persons(desk)
    desk.south.edit("contact", contact, account_id=desk.south.add("account", name="Acme", city="Ulm"), phone="2")
    desk.settled()
    assert desk.north.read("contact", person)["account_id"] == account
    assert desk.north.read("contact", person)["phone"] == "2"
    assert desk.issues() == []


def test_a_contacts_opportunity_goes_to_the_person_account(desk: Bench) -> None:
    account, person, contact = pair_of_persons(desk)
    deal = desk.south.add("opportunity", name="A bath", contact_id=contact, customer="contact")
    desk.settled()
    there = desk.must(deal, "opportunity", "right")
    assert desk.north.read("opportunity", there)["account_id"] == account
    assert desk.north.read("opportunity", there)["contact_id"] == person
    assert desk.issues() == []


def test_an_opportunity_moves_from_a_person_to_a_company(desk: Bench) -> None:
    _, _, contact = pair_of_persons(desk)
    deal = desk.south.add("opportunity", name="A bath", contact_id=contact, customer="contact")
    desk.settled()
    there = desk.must(deal, "opportunity", "right")
    company = desk.south.add("account", name="Acme", city="Ulm")
    desk.south.edit("opportunity", deal, account_id=company, contact_id=None, customer="account")
    desk.settled()
    assert desk.north.read("opportunity", there)["account_id"] == desk.must(company, "account", "right")
    assert desk.issues() == []


def test_twins_are_linked_and_their_halves_are_nobodys_twins(desk: Bench) -> None:
    everything = Policy(convert=ON.convert, scope=Scope(account="all", contact="all"))
    desk.engine.options = Options(policies=Policies(base=everything))
    _, person = org(desk).add_person("Boxer", email="b@home.example")
    contact = desk.south.add("contact", last_name="Boxer", email="b@home.example")
    company = desk.south.add("account", name="Boxer", city="Ulm")
    desk.settled()
    assert desk.partner("left", "contact", person) == contact
    made = desk.must(company, "account", "right")
    assert not desk.north.read("account", made).get("person"), "a company of that name is another matter"
    assert desk.issues() == []


def test_a_conversion_into_a_person_account_makes_a_contact_only(desk: Bench) -> None:
    here, there = desk.lead_pair(company=None)
    desk.north.convert_lead(here)
    desk.settled()
    lead = desk.south.read("lead", there)
    assert lead["state"] == "converted"
    assert lead.get("account_id") is None
    assert lead["contact_id"] == desk.must(desk.north.read("lead", here)["contact_id"], "contact")
    assert lead["opportunity_id"] == desk.must(desk.north.read("lead", here)["opportunity_id"], "opportunity")
    assert desk.south.live("account") == []
    assert desk.issues() == []


def test_a_conversion_into_a_known_person_account_is_given_the_contact(desk: Bench) -> None:
    account, person, contact = pair_of_persons(desk)
    here, there = desk.lead_pair(company=None)
    desk.north.convert_lead(here, account_id=account, create_opportunity=False)
    desk.settled()
    assert desk.north.read("lead", here)["contact_id"] == person
    assert desk.south.read("lead", there)["contact_id"] == contact
    assert desk.south.live("account") == []
    assert desk.issues() == []


def test_somebody_without_a_company_becomes_a_person_account(desk: Bench) -> None:
    here, there = desk.lead_pair(company=None)
    desk.south.convert_lead(there, create_account=False)
    desk.settled()
    lead = desk.north.read("lead", here)
    assert lead["state"] == "converted"
    assert desk.north.read("account", lead["account_id"])["person"]
    assert desk.partner("left", "contact", lead["contact_id"]) == desk.south.read("lead", there)["contact_id"]
    deal = desk.must(desk.south.read("lead", there)["opportunity_id"], "opportunity", "right")
    assert desk.north.read("opportunity", deal)["account_id"] == lead["account_id"]
    assert desk.south.live("account") == []
    assert desk.issues() == []


def test_a_known_person_is_converted_into_the_account_that_it_is(desk: Bench) -> None:
    account, person, contact = pair_of_persons(desk)
    here, there = desk.lead_pair(company=None)
    desk.south.convert_lead(there, create_account=False, contact_id=contact, create_opportunity=False)
    desk.settled()
    lead = desk.north.read("lead", here)
    assert (lead["state"], lead["account_id"], lead["contact_id"]) == ("converted", account, person)
    assert len(desk.north.live("account")) == 1
    assert desk.issues() == []


def test_a_company_over_there_is_no_person_here(desk: Bench) -> None:
    """Dynamics made an account of it, and Salesforce would make a person."""
    here, there = desk.lead_pair()
    desk.south.convert_lead(there, create_opportunity=False)
    desk.north.edit("lead", here, company=None)  # in the same minute
    desk.sync()
    assert desk.north.read("lead", here)["state"] == "open"
    [issue] = desk.issues("C5")
    assert "ordinary account on the other side" in issue.message
    desk.north.edit("lead", here, company="Boxer & Sons")
    desk.settled()
    assert desk.north.read("lead", here)["state"] == "converted"
    assert desk.issues("C5") == []


def test_a_lead_with_a_company_becomes_no_person(desk: Bench) -> None:
    here, there = desk.lead_pair()
    desk.south.convert_lead(there, create_account=False, create_opportunity=False)
    desk.settled()
    account = desk.north.read("account", desk.north.read("lead", here)["account_id"])
    assert not account.get("person")
    assert desk.issues("C5") == []


def test_whoever_it_is_becomes_a_person_where_that_is_chosen(desk: Bench) -> None:
    convert = Convert(person_accounts="on", contact_only="person_account")
    desk.engine.options = Options(policies=Policies(base=Policy(convert=convert)))
    here, there = desk.lead_pair(company="Boxer & Sons")
    desk.south.convert_lead(there, create_account=False, create_opportunity=False)
    desk.settled()
    lead = desk.north.read("lead", here)
    assert lead["state"] == "converted"
    assert desk.north.read("account", lead["account_id"])["person"]
    assert desk.partner("left", "contact", lead["contact_id"])
    assert desk.issues() == []


def test_without_person_accounts_nobody_can_become_one(desk: Bench) -> None:
    desk.engine.options = Options(policies=Policies(base=Policy(convert=Convert(contact_only="person_account"))))
    here, there = desk.lead_pair(company="Boxer & Sons")
    desk.south.convert_lead(there, create_account=False, create_opportunity=False)
    desk.settled()
    assert desk.north.read("lead", here)["state"] == "open"
    [issue] = desk.issues("C5")
    assert "lifecycle.convert.person_accounts: off" in issue.message


PERSONS = Policy(convert=ON.convert, close=Close(contact_customer="person_account"))


def a_customer(one: Bench, **columns: object) -> tuple[str, str]:
    """A contact of south without an account, and a deal of it."""
    contact = one.south.add("contact", last_name="Boxer", email="b@home.example", **columns)
    return contact, one.south.add("opportunity", name="A bath", contact_id=contact, customer="contact")


def test_the_customer_of_a_deal_becomes_a_person_where_that_is_chosen(desk: Bench) -> None:
    desk.engine.options = Options(policies=Policies(base=PERSONS))
    contact, deal = a_customer(desk, phone="1")
    planned = wanted(desk.engine.plan())
    assert (planned["north", "contact", "create"], planned["north", "opportunity", "create"]) == (1, 1)
    desk.settled()
    person = desk.north.read("contact", desk.must(contact, "contact", "right"))
    assert person["person"]
    assert (person["phone"], person["email"]) == ("1", "b@home.example")
    there = desk.north.read("opportunity", desk.must(deal, "opportunity", "right"))
    assert there["account_id"] == person["half"]
    assert len(desk.north.live("account")) == len(desk.north.live("contact")) == 1
    assert desk.issues() == []


def test_a_contact_that_is_nobodys_customer_becomes_no_person(desk: Bench) -> None:
    everything = Scope(account="all", contact="all")
    desk.engine.options = Options(policies=Policies(base=replace(PERSONS, scope=everything)))
    contact = desk.south.add("contact", last_name="Boxer", email="b@home.example")
    employee = desk.south.add("contact", last_name="Ash", account_id=desk.south.add("account", name="Acme", city="Ulm"))
    desk.south.add("opportunity", name="A bath", contact_id=employee, customer="contact")
    desk.settled()
    for one in (contact, employee):
        assert not desk.north.read("contact", desk.must(one, "contact", "right")).get("person")
    assert desk.issues() == []


def test_a_customer_who_is_an_ordinary_contact_there_is_told(desk: Bench) -> None:
    desk.engine.options = Options(policies=Policies(base=replace(PERSONS, scope=Scope(contact="all"))))
    contact = desk.south.add("contact", last_name="Boxer", email="b@home.example")
    desk.settled()
    deal = desk.south.add("opportunity", name="A bath", contact_id=contact, customer="contact")
    desk.settled()
    assert desk.partner("right", "opportunity", deal) is None
    [issue] = desk.issues("O14")
    assert "on north it is an ordinary contact (O14; lifecycle.close.contact_customer: person_account)" in issue.message
    desk.south.edit("contact", contact, account_id=desk.south.add("account", name="Acme", city="Ulm"))
    desk.settled()
    assert desk.partner("right", "opportunity", deal)
    assert desk.issues() == []


def test_nobody_becomes_a_person_while_they_are_not_synced(desk: Bench) -> None:
    desk.engine.options = Options(policies=Policies(base=Policy(close=PERSONS.close)))
    _, deal = a_customer(desk)
    desk.settled()
    assert desk.partner("right", "opportunity", deal) is None
    [issue] = desk.issues("O14")
    assert "person_accounts: on" in issue.fix


def test_a_lost_answer_makes_no_second_person(desk: Bench) -> None:
    desk.engine.options = Options(policies=Policies(base=PERSONS))
    contact, deal = a_customer(desk)
    left: list[Lie] = ["lose"]
    desk.north.lies = lambda kind, entity, id: left.pop() if (kind, entity) == ("create", "contact") and left else None
    desk.settled()
    assert not left
    person = desk.north.read("contact", desk.must(contact, "contact", "right"))
    assert person["person"]
    assert desk.north.read("opportunity", desk.must(deal, "opportunity", "right"))["account_id"] == person["half"]
    assert len(desk.north.live("account")) == len(desk.north.live("contact")) == 1

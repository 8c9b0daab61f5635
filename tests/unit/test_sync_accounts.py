"""Rows A1 to A10 of the life-cycle tables, each with its default, between two whole companies."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from crmbridge.model import SIDES, Side, other
from tests.support.engine import Bench, bench


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Bench]:
    with bench(f"sqlite:///{tmp_path}/state.sqlite3") as made:
        yield made


def both_ways(row: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("side", SIDES, ids=[f"{row} north to south", f"{row} south to north"])


@dataclass(frozen=True, slots=True)
class Customer:
    """An account with two contacts and a deal that both have; ids as (here, there)."""

    account: tuple[str, str]
    contacts: tuple[tuple[str, str], ...]
    deal: tuple[str, str]


def customer(desk: Bench, side: Side, **columns: Any) -> Customer:
    crm = desk.crm(side)
    account = crm.add("account", name="Nordwind", city="Kiel", **columns)
    contacts = [
        crm.add("contact", last_name=name, email=f"{name}@nordwind.example", account_id=account)
        for name in ("ashby", "brandt")
    ]
    deal = crm.add("opportunity", name="Depot", account_id=account, contact_id=contacts[0])
    crm.add("opportunity", name="Pier", account_id=account, contact_id=contacts[1])
    desk.settled()
    return Customer(
        (account, desk.must(account, "account", side)),
        tuple((contact, desk.must(contact, "contact", side)) for contact in contacts),
        (deal, desk.must(deal, "opportunity", side)),
    )


@both_ways("A1")
def test_only_what_is_reached_crosses(desk: Bench, side: Side) -> None:
    crm = desk.crm(side)
    alone = crm.add("account", name="Nobody's", city="Bonn")
    friendless = crm.add("contact", last_name="Lonely", email="l@example.com", account_id=alone)
    known = customer(desk, side)
    assert desk.partner(side, "account", alone) is None
    assert desk.partner(side, "contact", friendless) is None
    assert known.account[1]
    assert any("(A1)" in event.reason for ran in desk.ran for event in ran.events if event.kind == "create")
    # A deal later on reaches them.
    crm.add("opportunity", name="At last", account_id=alone, contact_id=friendless)
    desk.settled()
    assert desk.partner(side, "account", alone) is not None
    assert desk.partner(side, "contact", friendless) is not None


@both_ways("A1")
def test_a_twin_is_linked_though_nothing_reaches_it(desk: Bench, side: Side) -> None:
    here = desk.crm(side).add("account", name="The Nordwind GmbH", website="https://www.nordwind.example/about")
    there = desk.crm(other(side)).add("account", name="Nordwind", website="nordwind.example", phone="1")
    desk.settled()
    assert desk.partner(side, "account", here) == there
    assert desk.crm(side).read("account", here)["phone"] == "1"


@both_ways("A2")
def test_edits_and_parents_cross(desk: Bench, side: Side) -> None:
    known = customer(desk, side)
    parent = desk.crm(side).add("account", name="Holding", city="Kiel")
    desk.crm(side).add("opportunity", name="Group deal", account_id=parent)
    desk.crm(side).edit("account", known.account[0], phone="77", parent_id=parent)
    desk.settled()
    there = desk.crm(other(side)).read("account", known.account[1])
    assert (there["phone"], there["parent_id"]) == ("77", desk.must(parent, "account", side))
    assert any("(A2)" in event.reason for ran in desk.ran for event in ran.events)


@both_ways("A2")
def test_parents_are_made_before_their_children(desk: Bench, side: Side) -> None:
    crm = desk.crm(side)
    ids = [crm.add("account", name="Level 0", city="Ulm")]
    for level in range(1, 4):
        ids.append(crm.add("account", name=f"Level {level}", city="Ulm", parent_id=ids[-1]))
    for id in reversed(ids):
        crm.add("opportunity", name=f"Deal of {id}", account_id=id)
    desk.settled(rounds=len(ids) + 2)
    for parent, child in pairwise(ids):
        there = desk.crm(other(side)).read("account", desk.must(child, "account", side))
        assert there["parent_id"] == desk.must(parent, "account", side)


@both_ways("A2")
def test_a_circle_of_parents_is_held(desk: Bench, side: Side) -> None:
    crm = desk.crm(side)
    first, second = crm.add("account", name="First", city="Ulm"), crm.add("account", name="Second", city="Ulm")
    crm.edit("account", first, parent_id=second)
    crm.edit("account", second, parent_id=first)
    for account in (first, second):
        crm.add("opportunity", name=f"Deal of {account}", account_id=account)
    desk.settled()
    assert [(issue.kind, "(A2)" in issue.message) for issue in desk.issues("A2")] == [("held", True)] * 2
    crm.edit("account", first, parent_id=None)
    desk.settled()
    assert desk.crm(other(side)).read("account", desk.must(second, "account", side))["parent_id"] is not None
    assert not desk.issues("A2")


@both_ways("A3")
def test_the_more_restrictive_consent_wins(desk: Bench, side: Side) -> None:
    here, there = customer(desk, side).contacts[0]
    desk.crm(side).edit("contact", here, no_calls=True)
    desk.crm(other(side)).edit("contact", there, no_calls=False)  # later, and yet it loses (A3)
    desk.settled()
    assert desk.crm(other(side)).read("contact", there)["no_calls"] is True
    desk.crm(other(side)).edit("contact", there, no_calls=False)
    desk.settled()
    assert desk.crm(side).read("contact", here)["no_calls"] is True
    assert desk.crm(other(side)).read("contact", there)["no_calls"] is True


@both_ways("A4")
def test_a_deactivated_account_changes_nothing_there(desk: Bench, side: Side) -> None:
    known = customer(desk, side)
    desk.crm(side).edit("account", known.account[0], statecode=1)
    ran = desk.sync()
    assert ran.counts == {}, "A4"
    assert desk.partner(side, "account", known.account[0]) == known.account[1]


@both_ways("A5")
def test_an_account_that_takes_its_records_along_is_one_matter(desk: Bench, side: Side) -> None:
    known = customer(desk, side)
    crm = desk.crm(side)
    for entity in ("opportunity", "contact", "account"):
        for record in crm.live(entity):
            crm.delete(entity, record.id)
    desk.settled()
    [issue] = desk.issues()
    assert (issue.kind, issue.cause, issue.entity) == ("report", "A5", "account")
    assert "2 contacts and 2 opportunities" in issue.message
    assert "(A5)" in issue.message
    there = desk.crm(other(side))
    assert [len(there.live(entity)) for entity in ("account", "contact", "opportunity")] == [1, 2, 2]
    assert there.read("contact", known.contacts[0][1])["account_id"] == known.account[1], "untouched (A5)"


@both_ways("A5")
def test_what_loses_its_account_keeps_it_there(desk: Bench, side: Side) -> None:
    """Deleted alone: the CRM empties the look-ups that pointed at it, and that is no edit of anybody's."""
    known = customer(desk, side)
    crm = desk.crm(side)
    crm.delete("account", known.account[0])
    for contact, _ in known.contacts:
        crm.edit("contact", contact, account_id=None)
    crm.edit("opportunity", known.deal[0], account_id=None)
    desk.settled()
    there = desk.crm(other(side))
    assert there.read("contact", known.contacts[0][1])["account_id"] == known.account[1]
    assert there.read("opportunity", known.deal[1])["account_id"] == known.account[1]
    assert "A5" in desk.causes()


@both_ways("A6")
def test_a_deleted_contact_is_kept_there(desk: Bench, side: Side) -> None:
    known = customer(desk, side)
    here, there = known.contacts[0]
    desk.crm(side).delete("contact", here)
    desk.crm(side).delete("opportunity", known.deal[0])
    desk.settled()
    assert not desk.crm(other(side)).tables["contact"][there].deleted
    [issue] = desk.issues()
    assert (issue.kind, issue.cause) == ("report", "A6")
    assert "1 opportunity" in issue.message
    assert "(A6)" in issue.message


@both_ways("A7")
def test_undeleted_parent_first(desk: Bench, side: Side) -> None:
    known = customer(desk, side)
    crm = desk.crm(side)
    for entity in ("opportunity", "contact", "account"):
        for record in crm.live(entity):
            crm.delete(entity, record.id)
    desk.settled()
    for entity in ("account", "contact", "opportunity"):
        for id in crm.tables[entity]:
            crm.restore(entity, id)
    crm.edit("contact", known.contacts[0][0], phone="5")
    desk.settled()
    for entity in ("account", "contact", "opportunity"):
        for id in crm.tables[entity]:
            assert desk.partner(side, entity, id) is not None, (entity, "A7")
    assert desk.crm(other(side)).read("contact", known.contacts[0][1])["phone"] == "5"
    assert desk.crm(other(side)).read("contact", known.contacts[0][1])["account_id"] == known.account[1]
    assert desk.causes() == set()


@both_ways("A8")
def test_merged_customers_are_for_a_person_and_their_records_follow(desk: Bench, side: Side) -> None:
    winner = customer(desk, side)
    crm = desk.crm(side)
    loser = crm.add("account", name="Nordwind Traders", city="Hamburg")
    contact = crm.add("contact", last_name="Cole", email="cole@nordwind.example", account_id=loser)
    crm.add("opportunity", name="Quay", account_id=loser, contact_id=contact)
    desk.settled()
    for entity, id in (
        ("contact", contact),
        ("opportunity", next(r.id for r in crm.live("opportunity") if r.columns["name"] == "Quay")),
    ):
        crm.edit(entity, id, account_id=winner.account[0])
    crm.merge("account", loser, winner.account[0])
    desk.settled()
    [issue] = desk.issues("A8")
    assert (issue.kind, "(A8)" in issue.message) == ("held", True)
    there = desk.crm(other(side)).read("contact", desk.must(contact, "contact", side))
    assert there["account_id"] == winner.account[1], "children follow by the ordinary way (A8)"


@both_ways("A9")
def test_a_contact_without_an_account(desk: Bench, side: Side) -> None:
    contact = desk.crm(side).add("contact", last_name="Private", email="p@example.com")
    desk.crm(side).add("opportunity", name="Private deal", contact_id=contact)
    ran = desk.sync()
    there = desk.crm(other(side)).read("contact", desk.must(contact, "contact", side))
    assert there.get("account_id") is None
    assert any("(A9)" in event.reason for event in ran.events if event.kind == "create")
    desk.settled()


@both_ways("A10")
def test_a_contact_moves_and_its_deals_stay(desk: Bench, side: Side) -> None:
    known = customer(desk, side)
    here, there = known.contacts[0]
    account = desk.crm(side).add("account", name="Another", city="Bonn")
    desk.crm(side).edit("contact", here, account_id=account)
    desk.settled()
    assert any("(A10)" in event.reason for ran in desk.ran for event in ran.events)
    assert desk.crm(other(side)).read("contact", there)["account_id"] == desk.must(account, "account", side)
    for at, deal in ((side, known.deal[0]), (other(side), known.deal[1])):
        assert desk.crm(at).read("opportunity", deal)["account_id"] in known.account
    assert desk.causes() == set()


@both_ways("A7")
def test_what_was_made_meanwhile_gets_its_account_when_that_is_back(desk: Bench, side: Side) -> None:
    known = customer(desk, side)
    desk.crm(other(side)).delete("account", known.account[1])
    desk.settled()
    deal = desk.crm(side).add("opportunity", name="Meanwhile", account_id=known.account[0])
    desk.settled()
    there = desk.must(deal, "opportunity", side)
    assert desk.crm(other(side)).read("opportunity", there).get("account_id") is None
    assert "left_out" in desk.causes()
    desk.crm(other(side)).restore("account", known.account[1])
    desk.settled()
    desk.settled()
    assert desk.crm(other(side)).read("opportunity", there)["account_id"] == known.account[1]
    assert desk.causes() == set()


@both_ways("A7")
def test_a_contact_that_moved_to_an_account_without_partner_follows_when_that_is_back(desk: Bench, side: Side) -> None:
    first, second = customer(desk, side), customer(desk, side)
    desk.crm(other(side)).delete("account", second.account[1])
    desk.settled()
    here, there = first.contacts[0]
    desk.crm(side).edit("contact", here, account_id=second.account[0])
    desk.settled()
    assert desk.crm(other(side)).read("contact", there)["account_id"] == first.account[1]
    assert "left_out" in desk.causes()
    desk.crm(other(side)).restore("account", second.account[1])
    desk.settled()
    desk.settled()
    assert desk.crm(other(side)).read("contact", there)["account_id"] == second.account[1]
    assert desk.causes() == set()

"""Rows C1 to C14 of the life-cycle tables, each with its default, between two whole companies."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crmbridge.guard import Cap, Caps
from crmbridge.model import SIDES, Entity, Ref, Side, other
from crmbridge.state.words import Batch, Issue, Lease
from crmbridge.sync.hands import LET_GO_META
from tests.support.engine import Bench, Fell, bench

RESULTS: tuple[Entity, ...] = ("account", "contact", "opportunity")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Bench]:
    with bench(f"sqlite:///{tmp_path}/state.sqlite3") as made:
        yield made


def both_ways(row: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("side", SIDES, ids=[f"{row} north to south", f"{row} south to north"])


def only(row: str, side: Side) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("side", [side], ids=[row])


@dataclass(frozen=True, slots=True)
class Lead:
    """A lead that both have, seen from the side where it is converted."""

    desk: Bench
    side: Side
    here: str
    there: str

    def convert(self, **order: Any) -> None:
        self.desk.crm(self.side).convert_lead(self.here, **order)

    def made(self, side: Side) -> Mapping[Entity, str | None]:
        lead = self.desk.crm(side).read("lead", self.here if side == self.side else self.there)
        assert lead["state"] == "converted", f"{side} is not converted"
        return {entity: lead.get(f"{entity}_id") for entity in RESULTS}

    def agree(self) -> Mapping[Entity, tuple[str, str] | None]:
        """What both made of it is linked pairwise, and nothing was made twice; ids are (here, there)."""
        here, there = self.made(self.side), self.made(other(self.side))
        found: dict[Entity, tuple[str, str] | None] = {}
        for entity in RESULTS:
            mine, theirs = here[entity], there[entity]
            assert (mine is None) == (theirs is None), f"{entity}: {mine} here, {theirs} there"
            if mine is None or theirs is None:
                found[entity] = None
                continue
            assert self.desk.partner(self.side, entity, mine) == theirs
            assert len(self.desk.north.live(entity)) == len(self.desk.south.live(entity)), entity
            found[entity] = (mine, theirs)
        [ledger] = [row for row in self.desk.store.conversions() if row.lead_link == self.link_id]
        assert ledger.state == "done"
        return found

    @property
    def link_id(self) -> str:
        link = self.desk.link(self.side, "lead", self.here)
        assert link is not None
        return link.id


def lead(desk: Bench, side: Side, **columns: Any) -> Lead:
    left, right = desk.lead_pair(**columns)
    return Lead(desk, side, *((left, right) if side == "left" else (right, left)))


@dataclass(frozen=True, slots=True)
class Customer:
    account: Mapping[Side, str]
    contact: Mapping[Side, str]
    deal: Mapping[Side, str]


def customer(desk: Bench) -> Customer:
    """An account with a contact and a deal that both have."""
    account = desk.north.add("account", name="Nordwind", city="Kiel")
    contact = desk.north.add("contact", last_name="Ashby", email="k@nordwind.example", account_id=account)
    left, right = desk.deal_pair(account_id=account, contact_id=contact)
    return Customer(
        {"left": account, "right": desk.must(account, "account")},
        {"left": contact, "right": desk.must(contact, "contact")},
        {"left": left, "right": right},
    )


@both_ways("C1")
def test_all_new_with_an_opportunity(desk: Bench, side: Side) -> None:
    one = lead(desk, side)
    one.convert()
    deal = one.made(side)["opportunity"]
    assert deal is not None
    dated = "close_date" if side == "left" else "estimated_date"
    amount = {"left": "amount", "right": "estimated"}
    desk.crm(side).edit("opportunity", deal, **{amount[side]: Decimal("10.50"), dated: date(2026, 3, 1)})
    desk.sync()
    assert "C1" in desk.cases()
    ids = one.agree()["opportunity"]
    assert ids is not None
    assert desk.crm(other(side)).read("opportunity", ids[1])[amount[other(side)]] == Decimal("10.50")
    desk.settled()


@both_ways("C2")
def test_all_new_without_an_opportunity(desk: Bench, side: Side) -> None:
    one = lead(desk, side)
    one.convert(create_opportunity=False)
    desk.sync()
    assert "C2" in desk.cases()
    assert one.agree()["opportunity"] is None
    desk.settled()


@both_ways("C3")
@pytest.mark.parametrize("deal", [True, False], ids=["with a deal", "without"])
@pytest.mark.parametrize("contact", [True, False], ids=["both exist", "account exists"])
def test_into_what_both_have_already(desk: Bench, side: Side, contact: bool, deal: bool) -> None:
    known = customer(desk)
    one = lead(desk, side)
    one.convert(
        account_id=known.account[side], contact_id=known.contact[side] if contact else None, create_opportunity=deal
    )
    desk.sync()
    assert "C3" in desk.cases()
    made = one.agree()
    assert made["account"] == (known.account[side], known.account[other(side)])
    assert (made["contact"] == (known.contact[side], known.contact[other(side)])) == contact
    assert (made["opportunity"] is not None) == deal
    desk.settled()


@both_ways("C3")
def test_into_a_customer_who_is_not_linked_yet(desk: Bench, side: Side) -> None:
    """Older than the conversion: it is synced the ordinary way first, then its id is given."""
    account = desk.crm(side).add("account", name="Nordwind", city="Kiel")
    desk.pass_days(30)
    one = lead(desk, side)
    one.convert(account_id=account)
    desk.settled()
    assert one.agree()["account"] == (account, desk.must(account, "account", side))


@both_ways("C3")
def test_a_twin_of_the_new_account_is_taken(desk: Bench, side: Side) -> None:
    one = lead(desk, side, company="Nordwind Ltd", city="Kiel")
    twin = desk.crm(other(side)).add("account", name="NORDWIND", city="Kiel")
    one.convert()
    made = one.made(side)["account"]
    assert made is not None
    desk.crm(side).edit("account", made, city="Kiel")
    desk.settled()
    assert one.agree()["account"] == (made, twin)


@both_ways("C3")
def test_several_twins_are_for_a_person(desk: Bench, side: Side) -> None:
    one = lead(desk, side, company="Nordwind", city="Kiel")
    for _ in range(2):
        desk.crm(other(side)).add("account", name="Nordwind", city="Kiel")
    one.convert()
    made = one.made(side)["account"]
    assert made is not None
    desk.crm(side).edit("account", made, city="Kiel")
    desk.settled()
    assert desk.crm(other(side)).read("lead", one.there)["state"] == "open"
    [issue] = [each for each in desk.issues("ambiguous_match") if each.entity == "lead"]
    assert issue.kind == "held"


@both_ways("C4")
def test_into_a_deal_that_both_have(desk: Bench, side: Side) -> None:
    known = customer(desk)
    one = lead(desk, side)
    one.convert(account_id=known.account[side], contact_id=known.contact[side], opportunity_id=known.deal[side])
    desk.sync()
    assert "C4" in desk.cases()
    assert one.agree()["opportunity"] == (known.deal[side], known.deal[other(side)])
    desk.settled()


@only("C5", "right")
def test_a_contact_only_with_a_company_gets_the_account_north_needs(desk: Bench, side: Side) -> None:
    one = lead(desk, side, company="Acme")
    one.convert(create_account=False, create_opportunity=False)
    desk.sync()
    assert "C5" in desk.cases()
    here, there = one.made("right"), one.made("left")
    assert (here["account"], here["opportunity"], there["opportunity"]) == (None, None, None)
    assert there["account"] is not None
    assert desk.north.read("account", there["account"])["name"] == "Acme"
    desk.settled()
    assert not desk.south.live("account"), "the account is north's own affair, never pushed back (C5)"
    assert here["contact"] is not None
    assert desk.partner("right", "contact", here["contact"]) == there["contact"]


@only("C5", "right")
def test_a_contact_only_without_a_company_is_held(desk: Bench, side: Side) -> None:
    one = lead(desk, side, company=None, city="Ulm")
    one.convert(create_account=False, create_opportunity=False)
    desk.settled()
    assert desk.north.read("lead", one.there)["state"] == "open"
    [issue] = desk.issues("C5")
    assert "(C5)" in issue.message


@only("C5", "right")
def test_several_deals_of_one_lead(desk: Bench, side: Side) -> None:
    one = lead(desk, side)
    one.convert()
    made = one.made(side)
    second = desk.south.add("opportunity", name="Second hall", lead_id=one.here, account_id=made["account"])
    desk.settled()
    assert one.agree()["opportunity"] is not None
    assert desk.north.read("opportunity", desk.must(second, "opportunity", side))["name"] == "Second hall"


@only("C6", "right")
def test_qualified_bare_is_held(desk: Bench, side: Side) -> None:
    one = lead(desk, side)
    desk.crm(side).set_status("lead", one.here, "qualified", phone="8")
    desk.settled()
    assert desk.north.read("lead", one.there)["state"] == "open"
    assert desk.north.read("lead", one.there)["phone"] == "8"  # the other fields go on
    [issue] = desk.issues("C6")
    assert "(C6)" in issue.message


@both_ways("C7")
def test_the_partner_was_disqualified(desk: Bench, side: Side) -> None:
    one = lead(desk, side)
    desk.crm(other(side)).set_status("lead", one.there, "Unqualified" if side == "right" else "lost")
    one.convert()
    desk.sync()
    assert "C7" in desk.cases()
    one.agree()
    desk.settled()


@both_ways("C8")
@pytest.mark.parametrize("before", [True, False], ids=["tombstoned", "deleted in between"])
def test_the_partner_is_gone(desk: Bench, side: Side, before: bool) -> None:
    """No lead is made again; what the conversion made crosses as ordinary rows."""
    one = lead(desk, side)
    desk.crm(other(side)).delete("lead", one.there)
    if before:
        desk.settled()
    one.convert(create_opportunity=False)
    desk.settled()
    made = one.made(side)
    for entity in ("account", "contact"):
        assert desk.partner(side, entity, made[entity] or "") is not None, entity
    assert not desk.crm(other(side)).live("lead")
    assert desk.issues("C8")[0].kind == "report"
    assert "(C8)" in desk.issues("C8")[0].message


@both_ways("C9")
def test_both_converted(desk: Bench, side: Side) -> None:
    one = lead(desk, side)
    one.convert()
    desk.crm(other(side)).convert_lead(one.there)
    desk.sync()
    assert "C9" in desk.cases()
    one.agree()
    desk.settled()


@both_ways("C1")
def test_what_was_blank_at_the_first_look_and_is_filled_later_is_the_newer_edit(desk: Bench, side: Side) -> None:
    """Our call got lost, a person converted the lead over there, and the run dies once it has seen what came of it."""
    one, there = lead(desk, side), desk.crm(other(side))
    one.convert()
    desk.crm(side).edit("account", one.made(side)["account"] or "", city="Turin")
    there.lies = lambda kind, entity, native: "drop" if kind == "convert" else None
    desk.sync()
    there.lies = lambda kind, entity, native: None
    there.convert_lead(one.there)
    apply = desk.store.apply

    def falls(batch: Batch, *, lease: Lease) -> list[Issue]:
        news = apply(batch, lease=lease)
        if any(row.state == "done" for row in batch.conversions):
            raise Fell("the machine went down")
        return news

    desk.store.apply = falls  # type: ignore[method-assign]
    with pytest.raises(Fell):
        desk.sync()
    desk.store.apply = apply  # type: ignore[method-assign]
    there.edit("account", one.made(other(side))["account"] or "", city="Rome")
    desk.settled()
    for each in SIDES:
        assert desk.crm(each).read("account", one.made(each)["account"] or "")["city"] == "Rome"


@only("C4", "left")
def test_a_conversion_of_which_nothing_is_left_to_be_seen_is_not_told_as_ours(desk: Bench, side: Side) -> None:
    """Ours got lost, a person carried it out into another customer, and deleted that one before we looked."""
    known = customer(desk)
    one = lead(desk, side)
    one.convert(account_id=known.account[side], opportunity_id=known.deal[side], create_opportunity=False)
    desk.south.lies = lambda kind, entity, id: "drop" if kind == "convert" else None
    desk.sync()
    desk.south.lies = lambda kind, entity, id: None
    desk.south.convert_lead(one.there)
    desk.south.edit("lead", one.there, account_id=None, contact_id=None, opportunity_id=None)
    desk.settled()
    assert [row.state for row in desk.store.conversions()] == ["done"]
    assert not any(row.kind == "convert" for row in desk.store.journal())


@only("C1", "right")
def test_what_our_lost_conversion_made_is_known_though_its_customer_was_merged_away(desk: Bench, side: Side) -> None:
    """The CRM moves the lead and its results to the winner, in nobody's name. We made the rest all the same: it is in
    the journal, no other installation's doing, and which customer is right is for a person."""
    known, there = customer(desk), desk.crm(other(side))
    one = lead(desk, side)
    one.convert()
    there.lies = lambda kind, entity, id: "fall after" if kind == "convert" else None
    with pytest.raises(Fell):
        desk.sync()
    there.lies = lambda kind, entity, id: None
    made, winner = one.made(other(side)), known.account[other(side)]
    there.merge("account", made["account"] or "", winner)
    for entity, id in (("lead", one.there), ("contact", made["contact"]), ("opportunity", made["opportunity"])):
        there.read(entity, id or "")["account_id"] = winner
    desk.settled()
    assert {issue.cause for issue in desk.issues() if issue.kind == "held"} == {"C9", "first_run_conflict"}
    assert [row.state for row in desk.store.conversions()] == ["held"]
    assert [row.native_id for row in desk.store.journal() if row.kind == "convert"] == [one.there]
    for each in SIDES:
        assert len(desk.crm(each).live("contact")) == len(desk.crm(each).live("opportunity")) == 2


@only("C1", "left")
def test_a_conversion_of_somebody_else_into_a_customer_that_we_saved_last_is_not_ours(desk: Bench, side: Side) -> None:
    known = customer(desk)
    one = lead(desk, side)
    one.convert()
    desk.south.lies = lambda kind, entity, id: "drop" if kind == "convert" else None
    desk.sync()
    desk.south.lies = lambda kind, entity, id: None
    desk.south.convert_lead(one.there, account_id=known.account["right"])
    desk.settled()
    assert "C9" in desk.causes()
    assert not any(row.kind == "convert" for row in desk.store.journal())


@both_ways("C1")
def test_a_deal_that_was_deleted_before_its_conversion_crosses_is_left_out_and_crosses_once_it_is_back(
    desk: Bench, side: Side
) -> None:
    """The conversion was never refused by anybody: nothing is held."""
    one = lead(desk, side)
    one.convert()
    deal = one.made(side)["opportunity"] or ""
    desk.crm(side).delete("opportunity", deal)
    desk.settled()
    assert [row.state for row in desk.store.conversions()] == ["done"]
    made = one.made(other(side))
    assert made["account"]
    assert made["contact"]
    assert made["opportunity"] is None
    assert not desk.issues("C10")
    desk.crm(side).restore("opportunity", deal)
    desk.settled()
    there = desk.must(deal, "opportunity", side)
    assert desk.crm(other(side)).read("opportunity", there)["account_id"] == made["account"]


@both_ways("C10")
def test_a_customer_that_was_deleted_before_its_conversion_crosses_holds_it_until_it_is_back(
    desk: Bench, side: Side
) -> None:
    one = lead(desk, side)
    one.convert(create_opportunity=False)
    account = one.made(side)["account"] or ""
    desk.crm(side).delete("account", account)
    desk.settled()
    [issue] = desk.issues("C10")
    assert "was deleted" in issue.message
    assert issue.fix.startswith("Restore it there")
    assert desk.crm(other(side)).read("lead", one.there)["state"] == "open"
    desk.crm(side).restore("account", account)
    desk.store.release_issues(None, "a person", "it is back")
    desk.settled()
    assert one.made(other(side))["account"]
    assert not desk.issues("C10")


@both_ways("C9")
def test_both_converted_and_only_one_made_a_deal(desk: Bench, side: Side) -> None:
    one = lead(desk, side)
    one.convert()
    desk.crm(other(side)).convert_lead(one.there, create_opportunity=False)
    desk.settled()
    deal = one.made(side)["opportunity"]
    assert deal is not None
    there = desk.must(deal, "opportunity", side)
    accounts = one.made(other(side))
    assert desk.crm(other(side)).read("opportunity", there)["account_id"] == accounts["account"]


@both_ways("C9")
def test_both_converted_into_different_customers_is_for_a_person(desk: Bench, side: Side) -> None:
    known = customer(desk)
    one = lead(desk, side)
    one.convert(account_id=known.account[side])
    desk.crm(other(side)).convert_lead(one.there)
    desk.settled()
    [issue] = desk.issues("C9")
    assert (issue.kind, "(C9)" in issue.message) == ("held", True)
    assert all(row.state == "held" for row in desk.store.conversions())


@both_ways("C10")
def test_a_refusal_leaves_nothing_behind_and_is_tried_again(desk: Bench, side: Side) -> None:
    one = lead(desk, side)
    there = desk.crm(other(side))
    there.lies = lambda kind, entity, id: "refuse" if kind == "convert" else None
    one.convert()
    desk.settled()
    assert (there.live("account"), there.live("contact"), there.live("opportunity")) == ([], [], [])
    [issue] = [each for each in desk.issues() if each.kind == "failed"]
    assert "a rule of ours does not allow it" in issue.message
    assert {each.entity for each in desk.issues("claimed")} >= {"account", "contact"}  # C10: they wait
    there.lies = lambda kind, entity, id: None
    desk.store.release_issues(None, "ada", "the rule is gone")
    desk.settled()
    one.agree()
    assert desk.causes() == set()


@both_ways("C10")
def test_a_conversion_that_was_given_up_loses_no_deal_and_stays_held(desk: Bench, side: Side) -> None:
    one = lead(desk, side)
    there = desk.crm(other(side))
    there.lies = lambda kind, entity, id: "refuse" if kind == "convert" else None
    one.convert()
    desk.settled()
    assert there.live("opportunity") == []
    link = desk.link(side, "lead", one.here)
    assert link is not None
    desk.store.set_meta(LET_GO_META, json.dumps({link.id: "ada: the rule stays"}))
    refs = [Ref(side=at, entity="lead", id=link.id_on(at) or "") for at in SIDES]
    lease = desk.store.take_lease("cycle", 60)
    desk.store.apply(Batch(dirty=refs), lease=lease)
    desk.store.release(lease)
    desk.settled()
    assert [len(there.live(entity)) for entity in RESULTS] == [1, 1, 1]
    assert there.read("lead", one.there)["state"] == "open"
    [issue] = desk.issues("C10")
    assert issue.kind == "held"
    assert "ada: the rule stays" in issue.message
    desk.settled()
    assert len(there.live("opportunity")) == 1  # once
    # Converted by hand after all, into what is there: the two are linked, and nothing is doubled.
    there.lies = lambda kind, entity, id: None
    account, contact = (there.live(entity)[0].id for entity in ("account", "contact"))
    there.convert_lead(
        one.there,
        account_id=account,
        contact_id=contact,
        create_account=False,
        create_contact=False,
        create_opportunity=False,
    )
    desk.settled()
    assert [len(there.live(entity)) for entity in RESULTS] == [1, 1, 1]
    assert there.read("lead", one.there)["state"] == "converted"


@only("C11", "right")
def test_opened_again_is_held(desk: Bench, side: Side) -> None:
    one = lead(desk, side)
    one.convert()
    desk.settled()
    desk.south.set_status("lead", one.here, "contacted")
    desk.settled()
    assert desk.north.read("lead", one.there)["state"] == "converted"
    [issue] = desk.issues("C11")
    assert (issue.kind, "(C11)" in issue.message) == ("held", True)


@only("C12", "right")
def test_opened_again_and_qualified_again(desk: Bench, side: Side) -> None:
    one = lead(desk, side)
    one.convert()
    desk.settled()
    made = one.made(side)
    desk.south.set_status("lead", one.here, "contacted")
    desk.settled()
    desk.south.convert_lead(one.here, account_id=made["account"], contact_id=made["contact"])
    desk.sync()
    assert "C12" in desk.cases()
    desk.settled()
    deal = one.made(side)["opportunity"]
    assert deal != made["opportunity"]
    assert deal is not None
    assert desk.north.calls["lead", "convert"] == 1, "no second conversion on north (C12)"
    there = desk.must(deal, "opportunity", side)
    assert desk.north.read("opportunity", there)["account_id"] == one.made("left")["account"]
    assert [(row.epoch, row.case) for row in desk.store.conversions()] == [(0, "C1"), (1, "C12")]
    assert desk.causes() == set()


@only("C13", "right")
def test_opened_again_and_disqualified_is_reported(desk: Bench, side: Side) -> None:
    one = lead(desk, side)
    one.convert()
    desk.settled()
    deal = one.made("left")["opportunity"]
    desk.south.set_status("lead", one.here, "contacted")
    desk.settled()
    desk.south.set_status("lead", one.here, "lost")
    desk.settled()
    assert desk.north.read("lead", one.there)["state"] == "converted"
    assert desk.north.read("opportunity", deal or "")["state"] == "open"
    [issue] = desk.issues("C13")
    assert (issue.kind, "(C13)" in issue.message) == ("report", True)


@both_ways("C14")
def test_converted_edited_and_won_before_anybody_looked(desk: Bench, side: Side) -> None:
    one = lead(desk, side)
    one.convert()
    deal = one.made(side)["opportunity"]
    assert deal is not None
    won = {"amount": Decimal(700), "close_date": date(2026, 2, 2)}
    actual = {"actual": Decimal(700), "actual_date": date(2026, 2, 2)}
    status, columns = ("Closed Won", won) if side == "left" else ("won", actual)
    desk.crm(side).set_status("opportunity", deal, status, description="All at once", **columns)
    ran = desk.sync()
    kinds = [
        row.kind for row in reversed(desk.store.journal(run_id=ran.run_id)) if row.entity in ("lead", "opportunity")
    ]
    assert kinds[0] == "convert", "convert first (C14)"
    assert kinds[-1] == "win"
    ids = one.agree()["opportunity"]
    assert ids is not None
    there = desk.crm(other(side)).read("opportunity", ids[1])
    assert (there["state"], there["description"]) == ("won", "All at once")
    assert there["amount" if side == "right" else "actual"] == Decimal(700)
    desk.settled()


@both_ways("A3")
def test_an_opt_out_of_the_lead_reaches_the_contact_that_was_there(desk: Bench, side: Side) -> None:
    """Neither CRM carries it into a contact that exists; the more restrictive wins all the same."""
    known = customer(desk)
    for crm in (desk.north, desk.south):
        for record in crm.live("contact"):
            crm.edit("contact", record.id, no_calls=False)
    desk.settled()
    one = lead(desk, side, no_calls=True)
    one.convert(account_id=known.account[side], contact_id=known.contact[side])
    desk.settled()
    for at in SIDES:
        assert desk.crm(at).read("contact", known.contact[at])["no_calls"] is True, at


# --- before it is planned -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", SIDES)
def test_what_a_conversion_made_is_known_to_the_guard_where_it_is_not_the_opportunities_turn(
    desk: Bench, side: Side
) -> None:
    """Else a conversion goes unjudged, and alone: a plan would say that it waits for a row that nobody has read."""
    leads = [desk.lead_pair() for _ in range(3)]
    for left, right in leads:
        desk.crm(side).convert_lead(left if side == "left" else right)
    desk.engine.options = replace(
        desk.engine.options,
        entities=("account", "contact", "lead"),
        caps=Caps(conversions=Cap(count=2, percent=0)),
    )
    before = desk.crm(side).calls.copy()
    planned = desk.engine.plan()
    target = desk.engine.names[other(side)]
    assert planned.counts[target, "lead", "convert"] == len(leads)
    asked = desk.crm(side).calls - before
    assert asked["opportunity", "retrieve"] == 1, "one call for all of them"
    assert not desk.engine.sync().ruling.go
    desk.sync()
    for left, right in leads:
        for one, id in (("left", left), ("right", right)):
            assert desk.crm(one).read("lead", id)["state"] == "converted"

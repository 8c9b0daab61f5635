"""The options of `lifecycle.convert`, each value that is no default, between two whole companies."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from crmbridge.guard import Caps
from crmbridge.model import SIDES, Base, Entity, Shared, Side, other
from crmbridge.policy import Bucket, Close, Convert, CreateBy, Policies, Policy, ReadAs, Segment, When
from crmbridge.sync import Options
from tests.support.engine import Bench, bench, wanted

# What may become of a call: the worst two always, the others where there is time.
LIES = [
    "lose",
    "fall after",
    *(pytest.param(lie, marks=pytest.mark.slow) for lie in ("refuse", "drop", "later", "stale", "fall before")),
]
lies = pytest.mark.parametrize("lie", LIES)
RESULTS: tuple[Entity, ...] = ("account", "contact", "opportunity")
both_sides = pytest.mark.parametrize("side", SIDES, ids=["north to south", "south to north"])


@contextmanager
def chosen(*, close: Close | None = None, **convert: Any) -> Iterator[Bench]:
    policy = Policy(convert=Convert(**convert), close=close or Close())
    with bench("sqlite://", options=Options(policies=Policies(base=policy))) as desk:
        yield desk


def choose(desk: Bench, **convert: Any) -> None:
    """Another choice from now on."""
    desk.engine.options = replace(desk.engine.options, policies=Policies(base=Policy(convert=Convert(**convert))))


def lead(desk: Bench, side: Side, **columns: Any) -> tuple[str, str]:
    """A lead that both have: (where it is converted, the other one)."""
    left, right = desk.lead_pair(**columns)
    return (left, right) if side == "left" else (right, left)


def made(desk: Bench, side: Side, id: str) -> Mapping[Entity, str | None]:
    columns = desk.crm(side).read("lead", id)
    assert columns["state"] == "converted", f"{side} is not converted"
    return {entity: columns.get(f"{entity}_id") for entity in RESULTS}


def conversions(desk: Bench, side: Side) -> int:
    return desk.crm(side).calls["lead", "convert"]


def told(desk: Bench) -> str:
    """Everything that the last run said."""
    return "\n".join(f"{event.kind} {event.reason}" for event in desk.ran[-1].events)


# --- mirror -------------------------------------------------------------------------------------------------------


@both_sides
def test_a_conversion_that_is_not_mirrored_leaves_the_other_lead_and_brings_its_rows(side: Side) -> None:
    with chosen(mirror="never") as desk:
        here, there = lead(desk, side)
        desk.crm(side).convert_lead(here)
        desk.settled()
        assert conversions(desk, other(side)) == 0
        assert desk.crm(other(side)).read("lead", there)["state"] == "open"
        for entity, id in made(desk, side, here).items():
            assert id is not None
            desk.must(id, entity, side)
        assert not desk.issues("claimed"), "nothing waits for a mirror that never comes"
        [report] = desk.issues("not_mirrored")
        assert (report.kind, "lifecycle.convert.mirror: never" in report.message) == ("report", True)


@both_sides
def test_an_edit_on_the_lead_that_was_left_goes_to_what_the_other_became(side: Side) -> None:
    with chosen(mirror="never") as desk:
        here, there = lead(desk, side, phone="1")
        desk.crm(side).convert_lead(here)
        desk.settled()
        desk.crm(other(side)).edit("lead", there, phone="2")
        desk.settled()
        contact = made(desk, side, here)["contact"]
        assert desk.crm(side).read("contact", contact or "")["phone"] == "2"


def test_a_lead_that_came_converted_gets_no_partner_where_nothing_is_mirrored() -> None:
    with chosen(mirror="never") as desk:
        id = desk.north.add("lead", last_name="Berg", company="Berg AB", email="b@berg.example")
        desk.north.convert_lead(id)
        desk.settled()
        assert not desk.south.live("lead")
        deal = made(desk, "left", id)["opportunity"]
        assert desk.partner("left", "opportunity", deal or "")
        assert desk.issues("not_mirrored")[0].native_id == id


def test_a_lead_that_goes_alone_may_be_deleted() -> None:
    with chosen(mirror="never") as desk:
        id = desk.north.add("lead", last_name="Berg", company="Berg AB", email="b@berg.example")
        desk.north.convert_lead(id)
        desk.settled()
        desk.north.delete("lead", id)
        desk.settled()
        assert not desk.south.live("lead")


@pytest.mark.parametrize(("city", "crosses"), [("Kiel", True), ("Bonn", False)])
@both_sides
def test_only_conversions_that_an_expression_fits_are_mirrored(side: Side, city: str, crosses: bool) -> None:
    with chosen(mirror=When(when="in Kiel")) as desk:
        policies = replace(desk.engine.options.policies, expressions={"in Kiel": in_kiel})
        desk.engine.options = replace(desk.engine.options, policies=policies)
        here, there = lead(desk, side, city=city)
        desk.crm(side).convert_lead(here)
        desk.settled()
        assert desk.crm(other(side)).read("lead", there)["state"] == ("converted" if crosses else "open")
        for entity, id in made(desk, side, here).items():
            desk.must(id or "", entity, side)
        assert not desk.issues("claimed")


def in_kiel(entity: Entity, shared: Shared) -> bool:
    return shared.fields.get("city") == "Kiel"


def test_the_segment_that_decided_is_named() -> None:
    kiel = Segment(name="kiel", fits=in_kiel, overlay={"convert": {"mirror": "never"}})
    with chosen() as desk:
        desk.engine.options = Options(policies=Policies(segments=(kiel,)))
        (kiel_lead, _), (bonn_lead, bonn_there) = lead(desk, "left", city="Kiel"), lead(desk, "left", city="Bonn")
        desk.north.convert_lead(kiel_lead)
        desk.north.convert_lead(bonn_lead)
        desk.settled()
        assert desk.south.read("lead", bonn_there)["state"] == "converted"
        [report] = desk.issues("not_mirrored")
        assert "lifecycle.convert.mirror: never, segment kiel" in report.message


def test_mirrored_again_from_the_next_edit_on() -> None:
    """A change of mind reaches a conversion that was left: its rows are given to the other one."""
    with chosen(mirror="never") as desk:
        here, there = lead(desk, "left")
        desk.north.convert_lead(here)
        desk.settled()
        choose(desk, mirror="always")
        desk.south.edit("lead", there, rating="hot")
        desk.settled()
        assert {entity: desk.partner("left", entity, id or "") for entity, id in made(desk, "left", here).items()} == (
            made(desk, "right", there)
        )


# --- opportunity --------------------------------------------------------------------------------------------------


@both_sides
def test_a_conversion_never_makes_an_opportunity_and_the_deal_crosses_by_itself(side: Side) -> None:
    with chosen(opportunity="never") as desk:
        here, there = lead(desk, side)
        desk.crm(side).convert_lead(here)
        desk.sync()
        assert "lifecycle.convert.opportunity: never" in told(desk)
        desk.settled()
        assert made(desk, other(side), there)["opportunity"] is None
        deal = made(desk, side, here)["opportunity"]
        partner = desk.must(deal or "", "opportunity", side)
        account = made(desk, other(side), there)["account"]
        assert desk.crm(other(side)).read("opportunity", partner)["account_id"] == account


@both_sides
def test_a_conversion_always_makes_an_opportunity_and_it_crosses_back(side: Side) -> None:
    with chosen(opportunity="always") as desk:
        here, there = lead(desk, side)
        desk.crm(side).convert_lead(here, create_opportunity=False)
        desk.sync()
        assert "lifecycle.convert.opportunity: always" in told(desk)
        desk.settled()
        deal = made(desk, other(side), there)["opportunity"]
        assert desk.partner(other(side), "opportunity", deal or "")
        assert len(desk.crm(side).live("opportunity")) == 1


@both_sides
@lies
def test_a_lost_answer_ties_no_opportunity_that_was_not_wanted(side: Side, lie: Any) -> None:
    with chosen(opportunity="never") as desk:
        account = desk.north.add("account", name="Nordwind", city="Kiel")
        left, right = desk.deal_pair(account_id=account)
        deal = {"left": left, "right": right}
        accounts = {"left": account, "right": desk.must(account, "account")}
        here, there = lead(desk, side)
        desk.crm(side).convert_lead(here, account_id=accounts[side], opportunity_id=deal[side])
        fail_once(desk, other(side), "convert", lie)
        until_settled(desk)
        if lie == "refuse":
            desk.store.release_issues(None, "ada", "the rule is gone")
            until_settled(desk)
        assert made(desk, other(side), there)["opportunity"] is None
        assert made(desk, other(side), there)["account"] == accounts[other(side)]


def fail_once(desk: Bench, side: Side, kind: str, lie: Any) -> None:
    left = [lie]
    desk.crm(side).lies = lambda what, entity, id: left.pop() if what == kind and left else None


def until_settled(desk: Bench) -> None:
    """Through runs that break off."""
    from tests.support.engine import Fell

    for _ in range(8):
        try:
            desk.sync()
        except Fell:
            continue
        if not wanted(desk.engine.plan()) and not desk.store.open_intents():
            return
    raise AssertionError(f"still busy: {wanted(desk.engine.plan())}")


# --- create_by ----------------------------------------------------------------------------------------------------

US = CreateBy(account="us", contact="us", opportunity="us")


@both_sides
def test_what_we_make_beforehand_is_keyed_and_taken(side: Side) -> None:
    with chosen(create_by=US) as desk:
        here, there = lead(desk, side)
        desk.crm(other(side)).ours.clear()
        desk.crm(side).convert_lead(here)
        desk.sync()
        ours = [(kind, entity) for kind, entity, _ in desk.crm(other(side)).ours]
        before = ours[: ours.index(("convert", "lead"))]
        expected = {"account", "contact"} | ({"opportunity"} if side == "right" else set())
        assert {entity for kind, entity in before if kind == "create"} == expected
        assert "lifecycle.convert.create_by.account: us" in told(desk)
        desk.settled()
        for entity, id in made(desk, side, here).items():
            assert desk.must(id or "", entity, side) == made(desk, other(side), there)[entity]
            assert len(desk.crm(other(side)).live(entity)) == 1
            if other(side) == "left":
                assert desk.north.tables[entity][made(desk, "left", there)[entity] or ""].key == id


@both_sides
def test_opt_outs_are_on_the_contact_from_the_first_moment(side: Side) -> None:
    with chosen(create_by=US) as desk:
        here, _ = lead(desk, side, no_calls=True)
        desk.crm(side).convert_lead(here)
        contact = made(desk, side, here)["contact"] or ""
        desk.crm(side).edit("contact", contact, no_calls=False)
        desk.sync()
        [create] = [
            row
            for row in desk.store.journal(run_id=desk.ran[-1].run_id)
            if (row.kind, row.entity, row.side) == ("create", "contact", other(side))
        ]
        assert create.after["no_calls"] is True
        desk.settled()
        assert desk.crm(side).read("contact", contact)["no_calls"] is True, "and the more restrictive wins on both"


@both_sides
@pytest.mark.parametrize("kind", ["create", "convert"])
@lies
def test_nothing_is_made_twice_whatever_is_lost(side: Side, kind: str, lie: Any) -> None:
    with chosen(create_by=US) as desk:
        here, there = lead(desk, side)
        desk.crm(side).convert_lead(here)
        fail_once(desk, other(side), kind, lie)
        until_settled(desk)
        if lie == "refuse":
            desk.store.release_issues(None, "ada", "the rule is gone")
            until_settled(desk)
        for entity, id in made(desk, side, here).items():
            assert desk.must(id or "", entity, side) == made(desk, other(side), there)[entity]
            assert len(desk.crm(other(side)).live(entity)) == 1


def test_a_contact_of_ours_needs_an_account_of_ours() -> None:
    with chosen(create_by=CreateBy(contact="us")) as desk:
        here, _ = lead(desk, "right")
        desk.south.convert_lead(here)
        desk.sync()
        created = [entity for kind, entity, _ in desk.north.ours if kind == "create"]
        assert created == ["account", "contact"]
        desk.settled()


# --- contact only -------------------------------------------------------------------------------------------------


def test_a_contact_only_is_held_where_that_is_chosen() -> None:
    with chosen(contact_only="hold") as desk:
        here, there = lead(desk, "right", company="Acme")
        desk.south.convert_lead(here, create_account=False, create_opportunity=False)
        desk.settled()
        assert desk.north.read("lead", there)["state"] == "open"
        [issue] = desk.issues("C5")
        assert "lifecycle.convert.contact_only: hold" in issue.message


@pytest.mark.parametrize("company", ["Acme", None], ids=["with a company", "without"])
@pytest.mark.parametrize("deal", [True, False], ids=["with a deal", "without"])
def test_the_bucket_takes_a_contact_only_and_is_no_account_to_anybody(company: str | None, deal: bool) -> None:
    with chosen() as desk:
        bucket = desk.north.add("account", name="Consumers")
        choose(desk, contact_only=Bucket(bucket=bucket))
        here, there = lead(desk, "right", company=company, city="Ulm")
        desk.south.convert_lead(here, create_account=False, create_opportunity=deal, opportunity_name="A sale")
        desk.sync()
        assert f"lifecycle.convert.contact_only: {{bucket: {bucket}}}" in told(desk)
        desk.settled()
        assert made(desk, "left", there)["account"] == bucket
        assert not desk.south.live("account"), "the bucket stays where it is"
        contact = made(desk, "right", here)["contact"] or ""
        assert desk.south.read("contact", contact).get("account_id") is None
        partner = desk.must(contact, "contact", "right")
        assert desk.north.read("contact", partner)["account_id"] == bucket
        if deal:
            assert desk.partner("right", "opportunity", made(desk, "right", here)["opportunity"] or "")
        # A contact that gets an account of its own leaves the bucket.
        account = desk.south.add("account", name="Own Ltd", city="Ulm")
        desk.south.edit("contact", contact, account_id=account)
        desk.settled()
        assert desk.north.read("contact", partner)["account_id"] == desk.must(account, "account", "right")


def test_a_second_customer_of_the_bucket_does_not_end_the_first() -> None:
    with chosen() as desk:
        bucket = desk.north.add("account", name="Consumers")
        choose(desk, contact_only=Bucket(bucket=bucket))
        for n in range(2):
            here, _ = lead(desk, "right", last_name=f"Consumer{n}", company=None)
            desk.south.convert_lead(here, create_account=False, create_opportunity=False)
            desk.settled()
        assert {one.columns["account_id"] for one in desk.north.live("contact")} == {bucket}
        assert desk.link("left", "account", bucket) is None


LIKE_PERSON = "account named like the person"


@pytest.mark.parametrize("deal", [True, False], ids=["with a deal", "without"])
def test_a_person_without_a_company_gets_an_account_of_that_name(deal: bool) -> None:
    with chosen(contact_only=LIKE_PERSON) as desk:
        here, there = lead(desk, "right", first_name="Kay", last_name="Ash", company=None, city="Ulm")
        desk.south.convert_lead(here, create_account=False, create_opportunity=deal, opportunity_name="A sale")
        planned = wanted(desk.engine.plan())
        assert planned["north", "lead", "update"] == planned["north", "lead", "convert"] == 1
        desk.sync()
        assert f"lifecycle.convert.contact_only: {LIKE_PERSON}" in told(desk)
        desk.settled()
        account = made(desk, "left", there)["account"] or ""
        assert desk.north.read("account", account)["name"] == "Kay Ash"
        assert not desk.south.live("account"), "it stays where it is"
        contact = made(desk, "right", here)["contact"] or ""
        assert desk.south.read("contact", contact).get("account_id") is None
        assert desk.north.read("contact", desk.must(contact, "contact", "right"))["account_id"] == account
        assert desk.south.read("lead", here).get("company") is None, "the name is no company"
        if deal:
            assert desk.partner("right", "opportunity", made(desk, "right", here)["opportunity"] or "")
        # Neither an edit of the account nor one of the contact brings it over.
        desk.north.edit("account", account, phone="1")
        desk.south.edit("contact", contact, phone="2")
        desk.settled()
        assert not desk.south.live("account")
        assert desk.causes() == {"left_out"}, "told as what stays there: its account"


def test_a_company_goes_before_the_persons_name() -> None:
    with chosen(contact_only=LIKE_PERSON) as desk:
        here, there = lead(desk, "right", first_name="Kay", last_name="Ash", company="Acme")
        desk.south.convert_lead(here, create_account=False, create_opportunity=False)
        desk.settled()
        assert desk.north.read("account", made(desk, "left", there)["account"] or "")["name"] == "Acme"
        assert "update" not in [kind for kind, entity, _ in desk.north.ours if entity == "lead"]


@lies
@pytest.mark.parametrize("kind", ["update", "convert"])
def test_whatever_becomes_of_the_calls_there_is_one_account_of_that_name(lie: Any, kind: str) -> None:
    with chosen(contact_only=LIKE_PERSON) as desk:
        here, there = lead(desk, "right", first_name="Kay", last_name="Ash", company=None)
        desk.south.convert_lead(here, create_account=False, create_opportunity=False)
        left = [lie]
        desk.north.lies = lambda what, entity, id: left.pop() if what == kind and entity == "lead" and left else None
        until_settled(desk)
        if lie == "refuse":
            desk.store.release_issues(None, "ada", "the rule is gone")
            until_settled(desk)
        [account] = desk.north.live("account")
        assert account.columns["name"] == "Kay Ash"
        assert made(desk, "left", there)["account"] == account.id
        assert desk.south.read("lead", here).get("company") is None
        assert not desk.south.live("account")


def test_a_company_that_comes_while_the_conversion_is_refused_goes_over_the_name() -> None:
    with chosen(contact_only=LIKE_PERSON) as desk:
        here, there = lead(desk, "right", first_name="Kay", last_name="Ash", company=None)
        desk.south.convert_lead(here, create_account=False, create_opportunity=False)
        desk.north.lies = lambda kind, entity, id: "refuse" if kind == "convert" else None
        desk.settled()
        assert desk.north.read("lead", there)["company"] == "Kay Ash"
        assert desk.south.read("lead", here).get("company") is None
        desk.south.edit("lead", here, company="Acme")
        desk.north.lies = lambda kind, entity, id: None
        desk.store.release_issues(None, "ada", "the rule is gone")
        until_settled(desk)
        assert desk.north.read("account", made(desk, "left", there)["account"] or "")["name"] == "Acme"


def test_an_account_named_like_the_person_is_a_choice_of_a_segment() -> None:
    def fits(entity: Entity, shared: Shared) -> bool:
        return shared.fields.get("city") == "Ulm"

    with chosen() as desk:
        segment = Segment(name="shop", fits=fits, overlay={"convert": {"contact_only": LIKE_PERSON}})
        desk.engine.options = replace(desk.engine.options, policies=Policies(segments=(segment,)))
        inside = lead(desk, "right", first_name="Kay", last_name="Ash", company=None, city="Ulm")
        outside = lead(desk, "right", first_name="Lee", last_name="Oak", company=None, city="Bonn")
        for here, _ in (inside, outside):
            desk.south.convert_lead(here, create_account=False, create_opportunity=False)
        desk.settled()
        assert [one.columns["name"] for one in desk.north.live("account")] == ["Kay Ash"]
        assert desk.north.read("lead", outside[1])["state"] == "open"
        assert desk.causes() == {"C5", "left_out"}


def test_a_contact_that_exists_brings_its_own_account() -> None:
    with chosen(contact_only="account if company") as desk:
        account = desk.north.add("account", name="Nordwind")
        contact = desk.north.add("contact", last_name="Ash", email="k@n.example", account_id=account)
        desk.deal_pair(account_id=account, contact_id=contact)
        there = desk.must(contact, "contact")
        here, north = lead(desk, "right", company="Acme")
        desk.south.convert_lead(here, create_account=False, contact_id=there, create_opportunity=False)
        desk.settled()
        assert made(desk, "left", north)["account"] == account
        assert made(desk, "left", north)["contact"] == contact
        assert desk.partner("left", "account", account)


# --- qualified bare -----------------------------------------------------------------------------------------------


def test_a_lead_that_is_qualified_bare_is_converted_and_what_comes_of_it_crosses_back() -> None:
    with chosen(bare_qualified="convert") as desk:
        here, there = lead(desk, "right")
        desk.south.set_status("lead", here, "qualified")
        desk.sync()
        assert "C6" in desk.cases()
        assert "lifecycle.convert.bare_qualified: convert" in told(desk)
        desk.settled()
        results = made(desk, "left", there)
        assert results["opportunity"] is None
        for entity in ("account", "contact"):
            assert desk.partner("left", entity, results[entity] or ""), entity
        assert conversions(desk, "left") == 1
        assert desk.south.read("lead", here)["state"] == "converted"


def test_a_lead_that_is_qualified_bare_can_be_ignored() -> None:
    with chosen(bare_qualified="ignore") as desk:
        here, there = lead(desk, "right")
        desk.south.set_status("lead", here, "qualified", phone="8")
        desk.settled()
        assert desk.north.read("lead", there)["state"] == "open"
        assert desk.north.read("lead", there)["phone"] == "8"
        assert not desk.issues("C6")
        desk.south.set_status("lead", here, "contacted")
        desk.settled()
        assert desk.north.read("lead", there)["status"] == "Working", "open again, it is followed again"


# --- opened again -------------------------------------------------------------------------------------------------


def reopened(desk: Bench) -> tuple[str, str]:
    here, there = lead(desk, "right", phone="1")
    desk.south.convert_lead(here)
    desk.settled()
    desk.south.set_status("lead", here, "contacted")
    return here, there


def test_opened_again_it_can_be_left_and_its_edits_go_to_what_it_became() -> None:
    with chosen(reactivated="leave") as desk:
        here, there = reopened(desk)
        desk.settled()
        assert desk.north.read("lead", there)["state"] == "converted"
        [report] = desk.issues("C11")
        assert (report.kind, "lifecycle.convert.reactivated: leave" in report.message) == ("report", True)
        desk.south.edit("lead", here, phone="2")
        desk.settled()
        contact = made(desk, "left", there)["contact"] or ""
        assert desk.north.read("contact", contact)["phone"] == "2"
        assert desk.south.read("contact", desk.must(contact, "contact"))["phone"] == "2"


def test_opened_again_it_gets_a_new_lead_that_is_converted_in_its_time() -> None:
    with chosen(reactivated="new_lead") as desk:
        here, first = reopened(desk)
        results = made(desk, "left", first)
        desk.sync()
        assert "lifecycle.convert.reactivated: new_lead" in told(desk)
        desk.settled()
        second = desk.must(here, "lead", "right")
        assert second != first
        assert desk.north.read("lead", second)["status"] == "Working"
        assert desk.north.tables["lead"][second].key != desk.north.tables["lead"][first].key
        link = desk.link("right", "lead", here)
        assert link is not None
        assert (link.generation, link.epoch) == (2, 0)
        assert desk.partner("left", "lead", first) is None
        # The first one's results stay linked, and the second conversion is mirrored like any other.
        own = made_there(desk, here)
        desk.south.convert_lead(here, account_id=own["account"], contact_id=own["contact"])
        desk.settled()
        again = made(desk, "left", second)
        assert (again["account"], again["contact"]) == (results["account"], results["contact"])
        assert again["opportunity"] not in (None, results["opportunity"])
        assert conversions(desk, "left") == 2
        assert desk.causes() == set()


def made_there(desk: Bench, id: str) -> Mapping[Entity, str | None]:
    columns = desk.south.read("lead", id)
    return {entity: columns.get(f"{entity}_id") for entity in RESULTS}


@lies
def test_a_new_lead_is_made_once_whatever_is_lost(lie: Any) -> None:
    with chosen(reactivated="new_lead") as desk:
        here, first = reopened(desk)
        fail_once(desk, "left", "create", lie)
        until_settled(desk)
        if lie == "refuse":
            desk.store.release_issues(None, "ada", "the rule is gone")
            until_settled(desk)
        second = desk.must(here, "lead", "right")
        assert {one.id for one in desk.north.live("lead")} == {first, second}
        link = desk.link("right", "lead", here)
        assert link is not None
        assert link.generation == 2


# --- a label that contradicts its flag ----------------------------------------------------------------------------


def test_a_lead_whose_label_says_converted_is_converted_where_it_stands_and_then_mirrored() -> None:
    with chosen(contradiction="convert_here") as desk:
        here, there = lead(desk, "left")
        desk.north.edit("lead", here, status="Converted")
        planned = wanted(desk.engine.plan())
        assert planned["north", "lead", "convert"] == planned["south", "lead", "convert"] == 1
        desk.sync()
        assert "lifecycle.convert.contradiction: convert_here" in told(desk)
        desk.settled()
        results = made(desk, "left", here)
        assert results["opportunity"] is None
        for entity in ("account", "contact"):
            assert desk.must(results[entity] or "", entity) == made(desk, "right", there)[entity]
        assert (conversions(desk, "left"), conversions(desk, "right")) == (1, 1)
        assert desk.causes() == set()


@lies
def test_it_is_converted_where_it_stands_once_whatever_is_lost(lie: Any) -> None:
    with chosen(contradiction="convert_here") as desk:
        here, there = lead(desk, "left")
        desk.north.edit("lead", here, status="Converted")
        fail_once(desk, "left", "convert", lie)
        until_settled(desk)
        if lie == "refuse":
            [issue] = [one for one in desk.issues() if one.kind == "failed"]
            assert "a rule of ours does not allow it" in issue.message
            desk.store.release_issues(None, "ada", "the rule is gone")
            until_settled(desk)
        assert made(desk, "left", here)["account"]
        assert made(desk, "right", there)["account"]
        assert len(desk.north.live("account")) == len(desk.south.live("account")) == 1
        assert not desk.store.open_intents()


def test_a_lead_whose_label_says_converted_can_be_read_as_another_row() -> None:
    with chosen(contradiction=ReadAs(row="contacted")) as desk:
        here, there = lead(desk, "left")
        desk.north.edit("lead", here, status="Converted")
        desk.settled()
        assert desk.south.read("lead", there)["status"] == "contacted"
        assert desk.north.read("lead", here)["status"] == "Converted", "the label itself is left"
        assert desk.causes() == set()
        desk.south.set_status("lead", there, "lost")
        desk.settled()
        assert desk.north.read("lead", here)["status"] == "Unqualified"


# --- converted on both sides --------------------------------------------------------------------------------------


def test_converted_on_both_sides_is_held_and_nothing_is_linked() -> None:
    with chosen(both="hold") as desk:
        here, there = lead(desk, "left")
        desk.north.convert_lead(here)
        desk.south.convert_lead(there)
        desk.settled()
        [issue] = desk.issues("C9")
        assert (issue.kind, "lifecycle.convert.both: hold" in issue.message) == ("held", True)
        for side, id in (("left", here), ("right", there)):
            results = made(desk, side, id)
            for entity in ("account", "opportunity"):  # a key matched the contacts, as it would have anyway
                assert desk.link(side, entity, results[entity] or "") is None
        choose(desk, both="link")
        desk.store.release_issues(None, "ada", "they are the same")
        desk.settled()
        for entity, result in made(desk, "left", here).items():
            assert desk.must(result or "", entity) == made(desk, "right", there)[entity]


# --- late edits ---------------------------------------------------------------------------------------------------


@both_sides
@pytest.mark.parametrize("choice", ["redirect", "hold", "ignore"])
def test_what_becomes_of_an_edit_on_a_converted_lead(side: Side, choice: str) -> None:
    with chosen(late_edit=choice) as desk:
        here, _ = lead(desk, side, phone="1")
        desk.crm(side).convert_lead(here)
        desk.settled()
        desk.crm(side).edit("lead", here, phone="2")
        desk.settled()
        contact = made(desk, side, here)["contact"] or ""
        there = desk.must(contact, "contact", side)
        passed_on = desk.crm(other(side)).read("contact", there)["phone"] == "2"
        assert passed_on == (choice == "redirect")
        held = desk.issues("L12")
        assert bool(held) == (choice == "hold")
        if held:
            assert "lifecycle.convert.late_edit: hold" in held[0].message
            assert "phone" in held[0].message


# --- the partner is gone ------------------------------------------------------------------------------------------


@both_sides
@pytest.mark.parametrize("before", [True, False], ids=["tombstoned", "deleted in between"])
def test_a_lead_is_made_again_and_converted(side: Side, before: bool) -> None:
    with chosen(recreate_lead="yes") as desk:
        here, gone = lead(desk, side)
        desk.crm(other(side)).delete("lead", gone)
        if before:
            desk.settled()
        desk.crm(side).convert_lead(here)
        desk.sync()
        assert "lifecycle.convert.recreate_lead: yes" in told(desk)
        desk.settled()
        new = desk.must(here, "lead", side)
        assert new != gone
        for entity, id in made(desk, side, here).items():
            assert desk.must(id or "", entity, side) == made(desk, other(side), new)[entity]
            assert len(desk.crm(other(side)).live(entity)) == 1
        assert not desk.issues("C8")
        link = desk.link(side, "lead", here)
        assert link is not None
        assert link.generation == 2
        old = [one for one in desk.store.all_links() if one.entity == "lead" and not one.alive]
        assert [one.base for one in old] == [Base()]  # what erases the person has no way from them to it
        # The first one comes back: it stays alone.
        desk.crm(other(side)).restore("lead", gone)
        desk.settled()
        assert desk.must(here, "lead", side) == new


@both_sides
@pytest.mark.parametrize("kind", ["create", "convert"])
@lies
def test_it_is_made_again_once_whatever_is_lost(side: Side, kind: str, lie: Any) -> None:
    with chosen(recreate_lead="yes") as desk:
        here, gone = lead(desk, side)
        desk.crm(other(side)).delete("lead", gone)
        desk.crm(side).convert_lead(here)
        fail_once(desk, other(side), kind, lie)
        until_settled(desk)
        if lie == "refuse":
            desk.store.release_issues(None, "ada", "the rule is gone")
            until_settled(desk)
        [new] = [one.id for one in desk.crm(other(side)).live("lead")]
        assert desk.must(here, "lead", side) == new
        for entity in RESULTS:
            assert len(desk.crm(other(side)).live(entity)) == 1, entity


# --- over a disqualified one --------------------------------------------------------------------------------------


@both_sides
def test_a_disqualified_partner_is_not_converted_where_that_is_chosen(side: Side) -> None:
    with chosen(close=Close(over_disqualified="hold")) as desk:
        here, there = lead(desk, side)
        desk.crm(other(side)).set_status("lead", there, "Unqualified" if side == "right" else "lost")
        desk.crm(side).convert_lead(here)
        desk.settled()
        [issue] = desk.issues("C7")
        assert "lifecycle.close.over_disqualified: hold" in issue.message
        assert conversions(desk, other(side)) == 0
        desk.crm(other(side)).set_status("lead", there, "New" if side == "right" else "new")
        desk.settled()
        assert made(desk, other(side), there)["account"]
        assert not desk.issues("C7")


def test_the_guard_knows_what_is_made_beforehand() -> None:
    with chosen(create_by=US) as desk:
        here, _ = lead(desk, "right")
        desk.south.convert_lead(here)
        planned = wanted(desk.engine.plan())
        assert {place[1:] for place in planned} >= {
            ("account", "create"), ("contact", "create"), ("opportunity", "create"), ("lead", "convert"),
        }  # fmt: skip
        assert Caps() == desk.engine.options.caps

"""Who an opportunity without an account belongs to: `close.contact_customer` (O14) and `close.no_customer` (O15)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crmbridge.model import Entity, Refused, Side, other
from crmbridge.policy import Bucket, Close, Policies, Policy, Scope, Segment
from crmbridge.sync import Options
from tests.support.engine import Bench, Fell, Lie, bench, wanted

PLACEHOLDER = Policies(base=Policy(close=Close(no_customer="placeholder")))
both_sides = pytest.mark.parametrize("side", ["left", "right"], ids=["from north", "from south"])


@contextmanager
def desk(tmp_path: Path, policies: Policies = PLACEHOLDER) -> Iterator[Bench]:
    with bench(f"sqlite:///{tmp_path}/state.sqlite3", options=Options(policies=policies)) as made:
        yield made


def choose(one: Bench, policies: Policies) -> None:
    one.engine.options = Options(policies=policies)


def with_bucket(one: Bench) -> str:
    """South's opportunities whose customer is a contact without an account are for this account of north's."""
    bucket = one.north.add("account", name="Consumers")
    choose(one, Policies(base=Policy(close=Close(contact_customer=Bucket(bucket=bucket)))))
    return bucket


def private_deal(one: Bench, name: str = "Private") -> tuple[str, str]:
    contact = one.south.add(
        "contact", last_name=f"Boxer {name}", email=f"{name.lower().replace(' ', '-')}@acme.example"
    )
    return one.south.add("opportunity", name=name, contact_id=contact, customer="contact"), contact


def accounts(one: Bench, side: Side) -> list[str]:
    return [record.id for record in one.crm(side).live("account")]


def account_of(one: Bench, side: Side, deal: str) -> str | None:
    return one.crm(side).read("opportunity", deal).get("account_id")


# --- a contact is the customer (O14) ------------------------------------------------------------------------------


def test_the_bucket_takes_the_deals_of_contacts_without_an_account(tmp_path: Path) -> None:
    with desk(tmp_path, Policies()) as one:
        bucket = with_bucket(one)
        deals = [private_deal(one, name)[0] for name in ("First", "Second")]
        ran = one.sync()
        for deal in deals:
            assert account_of(one, "left", one.must(deal, "opportunity", "right")) == bucket
            assert account_of(one, "right", deal) is None, "it would flip the customer (O14)"
        assert any(f"(O14; lifecycle.close.contact_customer: {{bucket: {bucket}}})" in e.reason for e in ran.events)
        one.settled()
        assert accounts(one, "left") == [bucket]
        assert accounts(one, "right") == [], "the bucket stays where it is"
        assert one.issues() == []
        # An edit on either side brings nothing of it back.
        one.north.edit("opportunity", one.must(deals[0], "opportunity", "right"), description="Written there")
        one.south.edit("opportunity", deals[1], description="Written here")
        one.settled()
        assert account_of(one, "right", deals[0]) is None
        assert account_of(one, "left", one.must(deals[1], "opportunity", "right")) == bucket


@both_sides
def test_the_bucket_is_left_for_an_account_of_ones_own(tmp_path: Path, side: Side) -> None:
    with desk(tmp_path, Policies()) as one:
        with_bucket(one)
        here, _ = private_deal(one)
        one.settled()
        deals: dict[Side, str] = {"right": here, "left": one.must(here, "opportunity", "right")}
        account = one.crm(side).add("account", name="Own Ltd", city="Ulm")
        one.crm(side).edit("opportunity", deals[side], account_id=account)
        one.settled()
        partner = one.must(account, "account", side)
        assert account_of(one, other(side), deals[other(side)]) == partner


def test_a_bucket_that_is_not_there_is_told_in_the_words_of_the_crm(tmp_path: Path) -> None:
    with desk(tmp_path, Policies(base=Policy(close=Close(contact_customer=Bucket(bucket="no such"))))) as one:
        one.north.before_write = lambda write: _unknown(write.columns.get("account_id"))
        here, _ = private_deal(one)
        one.sync()
        assert one.partner("right", "opportunity", here) is None
        [issue] = one.issues("INVALID_CROSS_REFERENCE_KEY")
        assert issue.kind == "failed"


def _unknown(given: object) -> Refused | None:
    code = "INVALID_CROSS_REFERENCE_KEY"
    return Refused(code=code, message="invalid cross reference id") if given is not None else None


def test_the_bucket_never_crosses_even_where_all_accounts_do(tmp_path: Path) -> None:
    with desk(tmp_path, Policies()) as one:
        bucket = one.north.add("account", name="Consumers")
        close = Close(contact_customer=Bucket(bucket=bucket))
        choose(one, Policies(base=Policy(close=close, scope=Scope(account="all", contact="all"))))
        private_deal(one)
        one.settled()
        assert accounts(one, "right") == []


def test_the_bucket_of_a_segment_is_for_its_records_alone(tmp_path: Path) -> None:
    with desk(tmp_path, Policies()) as one:
        bucket = one.north.add("account", name="Consumers")
        shop = Segment(
            name="shop",
            fits=lambda entity, shared: str(shared.fields.get("name", "")).startswith("Shop"),
            overlay={"close": {"contact_customer": Bucket(bucket=bucket)}},
        )
        choose(one, Policies(segments=[shop]))
        inside, _ = private_deal(one, "Shop order")
        outside, _ = private_deal(one, "Project")
        one.settled()
        assert account_of(one, "left", one.must(inside, "opportunity", "right")) == bucket
        assert one.partner("right", "opportunity", outside) is None
        assert one.causes() == {"O14"}


def test_a_deal_that_was_held_crosses_once_the_contact_has_an_account(tmp_path: Path) -> None:
    with desk(tmp_path, Policies()) as one:
        contact = one.south.add("contact", last_name="Boxer", email="b@home.example")
        deal = one.south.add("opportunity", name="A bath", contact_id=contact, customer="contact")
        one.settled()
        assert one.causes() == {"O14"}
        one.south.edit("contact", contact, phone="1")
        one.settled()
        assert one.causes() == {"O14"}, "which is no account"
        one.south.edit("contact", contact, account_id=one.south.add("account", name="Acme", city="Ulm"))
        one.settled()
        assert one.partner("right", "opportunity", deal)
        assert one.issues() == []


# --- nobody is (O15) ----------------------------------------------------------------------------------------------


@both_sides
def test_one_placeholder_takes_all_deals_without_a_customer(tmp_path: Path, side: Side) -> None:
    with desk(tmp_path) as one:
        deals = [one.crm(side).add("opportunity", name=f"Nobody {n}") for n in range(3)]
        planned = wanted(one.engine.plan())
        name = one.crm(other(side)).name
        assert planned[name, "account", "create"] == 1, "it is counted, once"
        assert planned[name, "opportunity", "create"] == 3
        ran = one.sync()
        assert ran.counts[name, "account", "create"] == 1
        [placeholder] = accounts(one, other(side))
        assert one.crm(other(side)).read("account", placeholder)["name"] == "[no customer]"
        for deal in deals:
            assert account_of(one, other(side), one.must(deal, "opportunity", side)) == placeholder
            assert account_of(one, side, deal) is None
        assert any("(O15; lifecycle.close.no_customer: placeholder)" in event.reason for event in ran.events)
        one.settled()
        assert accounts(one, side) == [], "it never crosses"
        # Neither an edit nor a later deal makes another, or brings it back.
        there = one.must(deals[0], "opportunity", side)
        one.crm(other(side)).edit("opportunity", there, description="Written there")
        one.crm(other(side)).edit("account", placeholder, name="Somebody's name for it")
        late = one.crm(side).add("opportunity", name="Nobody again")
        one.settled()
        assert account_of(one, side, deals[0]) is None
        assert account_of(one, other(side), one.must(late, "opportunity", side)) == placeholder
        assert accounts(one, other(side)) == [placeholder]
        assert one.issues() == []


@both_sides
def test_the_placeholder_is_left_for_a_customer(tmp_path: Path, side: Side) -> None:
    with desk(tmp_path) as one:
        deals = [one.crm(side).add("opportunity", name=f"Nobody {n}") for n in range(2)]
        one.settled()
        account = one.crm(side).add("account", name="Own Ltd", city="Ulm")
        contact = one.crm(side).add("contact", last_name="Boxer", email="b@acme.example")
        one.crm(side).edit("opportunity", deals[0], account_id=account)
        one.crm(side).edit("opportunity", deals[1], contact_id=contact)
        one.settled()
        first, second = (one.must(deal, "opportunity", side) for deal in deals)
        assert account_of(one, other(side), first) == one.must(account, "account", side)
        assert account_of(one, other(side), second) is None, "the contact is the customer now"
        assert one.crm(other(side)).read("opportunity", second)["contact_id"] == one.must(contact, "contact", side)
        # And it comes back when both go.
        [placeholder] = [id for id in accounts(one, other(side)) if id != one.must(account, "account", side)]
        one.crm(side).edit("opportunity", deals[0], account_id=None)
        one.crm(side).edit("opportunity", deals[1], contact_id=None)
        one.settled()
        assert account_of(one, other(side), first) == account_of(one, other(side), second) == placeholder


@both_sides
def test_a_customer_that_is_named_where_the_placeholder_stands_crosses(tmp_path: Path, side: Side) -> None:
    with desk(tmp_path) as one:
        deal = one.crm(side).add("opportunity", name="Nobody")
        one.settled()
        there = one.must(deal, "opportunity", side)
        account = one.crm(other(side)).add("account", name="Own Ltd", city="Ulm")
        one.crm(other(side)).edit("opportunity", there, account_id=account)
        one.settled()
        assert account_of(one, side, deal) == one.must(account, "account", other(side))


def test_a_pair_whose_customer_goes_gets_the_placeholder(tmp_path: Path) -> None:
    with desk(tmp_path) as one:
        here, there = one.deal_pair()
        before = accounts(one, "right")
        one.north.edit("opportunity", here, account_id=None)
        ran = one.sync()
        [placeholder] = [id for id in accounts(one, "right") if id not in before]
        assert account_of(one, "right", there) == placeholder
        assert ran.counts["south", "account", "create"] == 1
        one.settled()
        assert account_of(one, "left", here) is None


@both_sides
@pytest.mark.parametrize("lie", ["lose", "drop", "fall before", "fall after", "later", "refuse"])
def test_whatever_becomes_of_its_making_there_is_one(tmp_path: Path, side: Side, lie: Lie) -> None:
    with desk(tmp_path) as one:
        crm, told = one.crm(other(side)), list[str]()

        def once(kind: str, entity: Entity, id: str | None) -> Lie | None:
            if entity != "account" or kind != "create" or told:
                return None
            told.append(kind)
            return lie

        crm.lies = once
        deals = [one.crm(side).add("opportunity", name=f"Nobody {n}") for n in range(2)]
        for _ in range(3):
            _sync(one)
            one.pass_days(2)
        one.settled()
        assert told
        [placeholder] = accounts(one, other(side))
        for deal in deals:
            assert account_of(one, other(side), one.must(deal, "opportunity", side)) == placeholder
        assert accounts(one, side) == []
        assert one.issues() == []
        assert not one.store.open_intents()


def _sync(one: Bench) -> None:
    try:
        one.sync()
    except Fell:
        one.pass_days(1)


@both_sides
def test_after_a_lost_store_the_same_one_is_found(tmp_path: Path, side: Side) -> None:
    with desk(tmp_path) as one:
        deal = one.crm(side).add("opportunity", name="Nobody")
        one.settled()
        [placeholder] = accounts(one, other(side))
        one.engine.store = one.store = one.open_store(f"sqlite:///{tmp_path}/another.sqlite3")
        one.engine.relink(by="test", why="the store was lost")
        late = one.crm(side).add("opportunity", name="Nobody again")
        one.settled()
        assert accounts(one, other(side)) == [placeholder]
        for each in (deal, late):
            assert account_of(one, other(side), one.must(each, "opportunity", side)) == placeholder
        assert accounts(one, side) == []
        assert one.issues() == []


def test_a_placeholder_that_was_deleted_gets_a_successor(tmp_path: Path) -> None:
    with desk(tmp_path) as one:
        one.north.add("opportunity", name="Nobody")
        one.settled()
        [first] = accounts(one, "right")
        one.south.delete("account", first)
        one.settled()
        late = one.north.add("opportunity", name="Nobody again")
        one.settled()
        [second] = accounts(one, "right")
        assert account_of(one, "right", one.must(late, "opportunity")) == second
        assert accounts(one, "left") == []


def test_it_reads_as_none_after_another_choice(tmp_path: Path) -> None:
    with desk(tmp_path) as one:
        here = one.north.add("opportunity", name="Nobody")
        one.settled()
        choose(one, Policies(base=Policy(scope=Scope(account="all"))))
        one.south.edit("opportunity", one.must(here, "opportunity"), description="Written there")
        one.settled()
        assert account_of(one, "left", here) is None
        assert accounts(one, "left") == []


def test_without_a_key_field_none_is_made(tmp_path: Path) -> None:
    """Nothing would keep it from being doubled."""
    policies = Options(policies=PLACEHOLDER)
    with bench(f"sqlite:///{tmp_path}/state.sqlite3", keyless=True, options=policies) as one:
        here = one.south.add("opportunity", name="Nobody")
        one.sync()
        assert one.partner("right", "opportunity", here) is None
        [issue] = one.issues("O15")
        assert (issue.kind, "key field" in issue.message) == ("held", True)
        assert accounts(one, "left") == []


def test_what_is_refused_is_not_sent_again_each_cycle(tmp_path: Path) -> None:
    with desk(tmp_path) as one:
        sent: list[str] = []

        def refuse(kind: str, entity: Entity, id: str | None) -> Lie | None:
            if entity != "account" or kind != "create":
                return None
            sent.append(kind)
            return "refuse"

        one.south.lies = refuse
        here = one.north.add("opportunity", name="Nobody")
        for _ in range(3):
            one.sync()
        assert one.partner("left", "opportunity", here) is None
        assert len(sent) == 1
        [issue] = one.issues("RULE")
        assert (issue.kind, issue.entity, issue.native_id) == ("failed", "opportunity", here)

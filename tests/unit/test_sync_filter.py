"""Which records take part, and fields that the mapping makes itself: between two whole companies."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from connectors.base import Conversion
from crmbridge.model import SIDES, Converted, Side, other
from tests.support.engine import MAPPINGS, Bench, bench, wanted

LEAD = MAPPINGS["lead.yaml"]
DEAL = MAPPINGS["opportunity.yaml"]


@contextmanager
def desk(tmp_path: Path, *, first_run: bool = False, **changes: str) -> Iterator[Bench]:
    mappings = {f"{name}.yaml": text for name, text in changes.items()}
    with bench(f"sqlite:///{tmp_path}/state.sqlite3", mappings=mappings, first_run=first_run) as made:
        yield made


def filtered(text: str, expression: str) -> str:
    return f"filter: {expression!r}\n{text}"


@pytest.fixture
def only_ulm(tmp_path: Path) -> Iterator[Bench]:
    with desk(tmp_path, lead=filtered(LEAD, 'city == "Ulm" && status != "contacted"')) as made:
        yield made


@pytest.mark.parametrize("side", SIDES)
def test_what_does_not_fit_is_not_created_across(only_ulm: Bench, side: Side) -> None:
    fits = only_ulm.crm(side).add("lead", last_name="Boxer", city="Ulm")
    not_here = only_ulm.crm(side).add("lead", last_name="Cutter", city="Bonn")
    nowhere = only_ulm.crm(side).add("lead", last_name="Diver")
    only_ulm.settled()
    assert only_ulm.partner(side, "lead", fits)
    assert len(only_ulm.crm(other(side)).live("lead")) == 1
    assert only_ulm.partner(side, "lead", not_here) is None
    assert only_ulm.issues() == []
    only_ulm.crm(side).edit("lead", nowhere, city="Ulm")  # now it fits
    only_ulm.settled()
    assert only_ulm.partner(side, "lead", nowhere)


@pytest.mark.parametrize("side", SIDES)
def test_what_does_not_fit_is_not_matched(only_ulm: Bench, side: Side) -> None:
    twin = {"last_name": "Boxer", "email": "b@acme.example"}
    here = only_ulm.crm(side).add("lead", city="Bonn", **twin)
    there = only_ulm.crm(other(side)).add("lead", city="Ulm", **twin)
    only_ulm.settled()
    assert only_ulm.partner(side, "lead", here) is None
    made = only_ulm.partner(other(side), "lead", there)
    assert made
    assert made != here


def test_a_pair_that_exists_goes_on(only_ulm: Bench) -> None:
    here, there = only_ulm.lead_pair(city="Ulm")
    only_ulm.north.edit("lead", here, city="Bonn", phone="7")
    only_ulm.settled()
    assert only_ulm.south.read("lead", there)["city"] == "Bonn"
    only_ulm.south.edit("lead", there, phone="8")
    only_ulm.settled()
    assert only_ulm.north.read("lead", here)["phone"] == "8"


def test_where_the_filter_fails_the_record_is_held_until_it_is_mended(tmp_path: Path) -> None:
    with desk(tmp_path, lead=filtered(LEAD, 'city.startsWith("U")')) as one:
        lead = one.north.add("lead", last_name="Boxer")
        one.sync()
        (issue,) = one.issues("filter_error")
        assert (issue.kind, issue.native_id, issue.field) == ("held", lead, "filter")
        assert "null" in issue.message
        assert "lead.yaml:1:9" in issue.fix
        assert not wanted(one.engine.plan())
        one.north.edit("lead", lead, city="Ulm")
        one.settled()
        assert one.partner("left", "lead", lead)
        assert one.issues() == []


def test_nothing_follows_from_what_does_not_fit(tmp_path: Path) -> None:
    """A deal that takes no part brings neither its account nor its contact across."""
    with desk(tmp_path, opportunity=filtered(DEAL, 'description == "big"')) as one:
        account = one.north.add("account", name="Nordwind", city="Kiel")
        deal = one.north.add("opportunity", name="Depot", account_id=account, description="small")
        one.settled()
        assert one.partner("left", "account", account) is None
        one.north.edit("opportunity", deal, description="big")
        one.settled()
        assert one.partner("left", "account", account)
        assert one.partner("left", "opportunity", deal)


def test_nobody_waits_for_a_parent_that_does_not_fit(tmp_path: Path) -> None:
    account = filtered(MAPPINGS["account.yaml"], 'city == "Ulm"')
    with desk(tmp_path, account=account) as one:
        customer = one.south.add("account", name="Nordwind", city="Kiel")
        deal = one.south.add("opportunity", name="Depot", account_id=customer)
        one.settled()
        assert one.partner("right", "account", customer) is None
        assert not [issue for issue in one.issues() if issue.kind == "waiting"]
        made = one.must(deal, "opportunity", "right")
        assert one.north.read("opportunity", made).get("account_id") is None
        assert one.causes() == {"left_out"}


@pytest.mark.parametrize("side", SIDES)
def test_a_conversion_of_a_lead_that_takes_no_part_claims_nothing(only_ulm: Bench, side: Side) -> None:
    """Nobody mirrors it, so what it made goes the ordinary way instead of waiting for ever."""
    crm = only_ulm.crm(side)
    lead = crm.add("lead", last_name="Cutter", company="Cutter & Co", city="Bonn", email="c@cutter.example")
    only_ulm.settled()
    made = crm._convert(Conversion(lead_id=lead), by="person")
    assert isinstance(made, Converted)
    assert made.opportunity_id is not None
    only_ulm.settled()
    assert not [issue for issue in only_ulm.issues() if issue.cause == "claimed"]
    assert only_ulm.partner(side, "opportunity", made.opportunity_id)
    assert only_ulm.partner(side, "lead", lead) is None


# --- fields that the mapping makes --------------------------------------------------------------------------------

MADE = LEAD.replace(
    "status:\n",
    "  managed: {south: managed, constant: crmbridge}\n"
    "  label: {south: label, compute: 'last_name + \", \" + city'}\n"
    "status:\n",
    1,
)


@pytest.fixture
def making(tmp_path: Path) -> Iterator[Bench]:
    with desk(tmp_path, lead=MADE) as made:
        yield made


def test_made_fields_are_there_from_the_start_and_follow(making: Bench) -> None:
    here, there = making.lead_pair(last_name="Boxer", city="Ulm")
    columns = making.south.read("lead", there)
    assert (columns["managed"], columns["label"]) == ("crmbridge", "Boxer, Ulm")
    assert "managed" not in making.north.read("lead", here)
    making.north.edit("lead", here, city="Kiel")
    ran = making.sync()
    assert making.south.read("lead", there)["label"] == "Boxer, Kiel"
    assert any("made here" in event.reason for event in ran.events if event.kind == "update")
    assert not wanted(making.engine.plan())


def test_an_edit_of_the_very_side_is_followed_in_the_same_pass(making: Bench) -> None:
    _, there = making.lead_pair(last_name="Boxer", city="Ulm")
    making.south.edit("lead", there, city="Bonn")
    making.sync()
    assert making.south.read("lead", there)["label"] == "Boxer, Bonn"
    assert not wanted(making.engine.plan())


def test_what_somebody_writes_there_is_put_right_and_never_read_across(making: Bench) -> None:
    here, there = making.lead_pair(last_name="Boxer", city="Ulm")
    making.south.edit("lead", there, managed="by hand", label="mine")
    making.settled()
    columns = making.south.read("lead", there)
    assert (columns["managed"], columns["label"]) == ("crmbridge", "Boxer, Ulm")
    assert "managed" not in making.north.read("lead", here)


def test_a_blank_input_makes_it_blank(making: Bench) -> None:
    here, there = making.lead_pair(last_name="Boxer", city="Ulm")
    making.north.edit("lead", here, city=None)
    making.settled()
    assert not making.south.read("lead", there)["label"]


def test_one_that_is_made_there_first_is_completed(making: Bench) -> None:
    lead = making.south.add("lead", last_name="Boxer", city="Ulm")
    making.settled()
    columns = making.south.read("lead", lead)
    assert (columns["managed"], columns["label"]) == ("crmbridge", "Boxer, Ulm")


def test_what_cannot_be_computed_holds_that_field_alone(tmp_path: Path) -> None:
    line = "  code: {south: code, convert: integer, compute: int(rating)}\n"
    with desk(tmp_path, lead=LEAD.replace("status:\n", f"{line}status:\n", 1)) as one:
        here, there = one.lead_pair(last_name="Boxer", rating="7")
        assert one.south.read("lead", there)["code"] == 7
        one.north.edit("lead", here, rating="hot", city="Ulm")
        one.settled()
        columns = one.south.read("lead", there)
        assert (columns["code"], columns["rating"], columns["city"]) == (7, "hot", "Ulm")
        (issue,) = one.issues("compute_error")
        assert (issue.kind, issue.field) == ("held", "code")
        one.north.edit("lead", here, rating="8")
        one.settled()
        assert one.south.read("lead", there)["code"] == 8
        assert one.issues() == []

"""Verify looks for itself: differences that no cycle has seen, pairs with open issues apart, sums that add up."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from crmbridge.cli.verify import document, plain_amount
from crmbridge.sync.hands import Only
from crmbridge.sync.verify import Alone, verify
from tests.support.engine import Bench, bench


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Bench]:
    with bench(f"sqlite:///{tmp_path / 'store.sqlite3'}") as one:
        yield one


def test_in_step_is_no_difference_and_nothing_is_written(company: Bench) -> None:
    company.lead_pair(owner_id="user-ada")
    company.deal_pair(amount=Decimal("10.50"))
    before = (company.north.ours[:], company.south.ours[:])
    found = verify(company.engine)
    assert (found.exit_code, found.differences, found.pairs) == (0, [], 3)  # lead, account, opportunity
    assert (company.north.ours, company.south.ours) == before
    told = document(found)
    assert told["not_linked"] == []
    totals = told["totals"]["opportunity"]["open"]
    assert totals["north"] == totals["south"]
    assert list(totals["north"]["sums"]["amount"].values()) == ["10.50"]


def test_what_no_cycle_has_read_yet_is_a_difference(company: Bench) -> None:
    left, right = company.lead_pair()
    left_deal, _ = company.deal_pair()
    company.south.edit("lead", right, phone="+1 212 555 0100")
    company.north.set_status("opportunity", left_deal, "Closed Won")
    found = verify(company.engine)
    assert found.exit_code == 1
    told = {(one.entity, one.field): (one.left, one.right) for one in found.differences}
    assert told["lead", "phone"] == (None, "+1 212 555 0100")
    assert told["opportunity", "state"] == ("won", "open")
    assert {one.ids["left"] for one in found.differences} == {left, left_deal}


def test_a_pair_with_an_open_issue_is_listed_apart(company: Bench) -> None:
    left, _ = company.lead_pair()
    company.south.lies = lambda kind, entity, id: "refuse" if kind == "update" else None
    company.north.edit("lead", left, phone="+1 212 555 0100")
    company.sync()
    found = verify(company.engine)
    assert (found.exit_code, found.differences) == (0, [])
    assert [one.field for one in found.in_issues] == ["phone"]
    assert [one.cause for one in found.held] == ["RULE"]


def test_a_linked_record_that_is_gone_is_a_difference(company: Bench) -> None:
    _, right = company.lead_pair()
    company.south.delete("lead", right)
    found = verify(company.engine)
    assert found.exit_code == 1
    assert [(one.field, one.left, one.right) for one in found.missing] == [("record", "there", "not there")]


def test_records_without_partner_are_counted_and_not_compared(company: Bench) -> None:
    company.north.add("account", name="Nobody's customer")
    company.lead_pair()
    found = verify(company.engine)
    assert found.exit_code == 0
    assert (found.totals["account", "any", "left"].records, found.totals["account", "any", "left"].linked) == (1, 0)


def test_each_record_without_partner_is_accounted_for(company: Bench) -> None:
    for _ in range(2):
        company.north.add("account", name="Ash", city="Ulm")
    company.south.add("account", name="Ash", city="Ulm")  # either of the two: held, all three
    company.north.add("account", name="Nobody's customer")  # reached by nothing that crosses
    company.lead_pair()
    company.north.add("lead", last_name="Read", company="Elm")
    company.engine.plan()
    company.north.add("lead", last_name="Unread", company="Elm")
    found = verify(company.engine)
    assert found.alone == {
        ("account", "left"): Alone(records=3, held=2, due=0, left_alone=1, other=0),
        ("account", "right"): Alone(records=1, held=1, due=0, left_alone=0, other=0),
        ("lead", "left"): Alone(records=2, held=0, due=1, left_alone=0, other=1),
        ("lead", "right"): Alone(records=0, held=0, due=0, left_alone=0, other=0),
    }
    assert found.exit_code == 0, "its first run is done: what is due is the day's work"
    told = {(one["entity"], one["on"]): one["records"] for one in document(found)["not_linked"]}
    assert told == {("account", "north"): 3, ("account", "south"): 1, ("lead", "north"): 2}


def test_a_first_run_that_left_records_to_the_next_sync_is_not_verified(tmp_path: Path) -> None:
    with bench(f"sqlite:///{tmp_path / 'store.sqlite3'}", first_run=True) as company:
        for number in range(2):
            company.north.add("lead", last_name=f"Person {number}", company="Elm")
        assert verify(company.engine).exit_code == 0, "nothing was begun, so nothing is half done"
        planned = company.engine.plan()
        half_done = verify(company.engine)
        assert (half_done.exit_code, half_done.differences, half_done.unfinished) == (1, [], ("lead",))
        told = document(half_done)
        assert (told["ok"], told["exit_code"], told["first_run_to_do"]) == (False, 1, ["lead"])
        company.engine.options = replace(company.engine.options, only=Only(limit=1))
        assert verify(company.engine).exit_code == 0, "a pilot leaves the others alone"
        company.engine.options = replace(company.engine.options, only=Only())
        company.engine.sync(approve=planned.plan_id, by="test", why="test")
        found = verify(company.engine)
        assert (found.exit_code, found.unfinished, found.pairs) == (0, (), 2)


def test_a_late_edit_of_a_converted_lead_lives_on_in_what_it_became(company: Bench) -> None:
    left, right = company.lead_pair()
    company.north.convert_lead(left)
    company.settled()
    company.south.edit("lead", right, phone="+1 212 555 0100")
    company.settled()
    found = verify(company.engine)
    assert found.differences == []
    assert found.kept_apart >= 1


def test_amounts_read_the_same_whatever_decimals_a_crm_gives() -> None:
    texts = [plain_amount(Decimal(text)) for text in ("5", "5.0", "5.000", "5.125", "1E+3", "0")]
    assert texts == ["5.00", "5.00", "5.00", "5.125", "1000.00", "0.00"]

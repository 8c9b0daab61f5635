"""Rows O1 to O21 of the life-cycle tables, each with its default, between two whole companies."""

from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crmbridge.model import SIDES, Side, other
from crmbridge.state.words import Batch
from tests.support.engine import Bench, Fell, bench

# What the two call the same things.
OPEN = {"left": "Analysis", "right": "develop"}
WON = {"left": "Closed Won", "right": "won"}
LOST = {"left": "Closed Lost", "right": "canceled"}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Bench]:
    with bench(f"sqlite:///{tmp_path}/state.sqlite3") as made:
        yield made


def both_ways(row: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("side", SIDES, ids=[f"{row} north to south", f"{row} south to north"])


def only(row: str, side: Side) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("side", [side], ids=[row])


def deal(desk: Bench, side: Side, **columns: Any) -> tuple[str, str]:
    """(id here, id there) of a deal that both have."""
    left, right = desk.deal_pair(**columns)
    return (left, right) if side == "left" else (right, left)


def told(desk: Bench, row: str) -> bool:
    """The last run gave this row as its reason."""
    return any(f"({row})" in event.reason for event in desk.ran[-1].events)


def value(desk: Bench, side: Side, id: str) -> tuple[Any, Any]:
    """Amount and date as they count in the record's state."""
    columns = desk.crm(side).read("opportunity", id)
    names = ("amount", "close_date")
    if side == "right":
        names = ("actual", "actual_date") if columns["state"] == "won" else ("estimated", "estimated_date")
    return columns.get(names[0]), columns.get(names[1])


def put(desk: Bench, side: Side, id: str, amount: int, day: date, **columns: Any) -> None:
    state = desk.crm(side).read("opportunity", id)["state"] if "state" not in columns else columns["state"]
    names = ("amount", "close_date")
    if side == "right":
        names = ("actual", "actual_date") if state == "won" else ("estimated", "estimated_date")
    desk.crm(side).edit("opportunity", id, **{names[0]: Decimal(amount), names[1]: day}, **columns)


def close(desk: Bench, side: Side, id: str, status: str, amount: int | None = None, day: date | None = None) -> None:
    desk.crm(side).set_status("opportunity", id, status)
    if amount is not None and day is not None:
        put(desk, side, id, amount, day)


@both_ways("O1")
def test_a_new_deal_takes_its_account_along(desk: Bench, side: Side) -> None:
    account = desk.crm(side).add("account", name="Acme", city="Ulm")
    here = desk.crm(side).add(
        "opportunity", name="Big", account_id=account, **desk.crm(side)._state("opportunity", OPEN[side])
    )
    ran = desk.sync()
    there = desk.crm(other(side)).read("opportunity", desk.must(here, "opportunity", side))
    assert (there["name"], there["account_id"]) == ("Big", desk.must(account, "account", side))
    assert there["status"] == OPEN[other(side)]
    assert any("(O1)" in event.reason for event in ran.events if event.kind == "create")


@both_ways("O2")
@pytest.mark.parametrize(
    ("left", "right"),
    [("Analysis", "develop"), ("Proposal", "propose"), ("Prospecting", "qualify")],
    ids=["forward", "skip", "back"],
)
def test_a_stage_moves(desk: Bench, side: Side, left: str, right: str) -> None:
    here, there = deal(desk, side)
    desk.crm(side).set_status("opportunity", here, OPEN[side])
    desk.settled()
    stage = {"left": left, "right": right}
    desk.crm(side).set_status("opportunity", here, stage[side])
    desk.sync()
    assert desk.crm(other(side)).read("opportunity", there)["status"] == stage[other(side)]
    assert stage[side] == OPEN[side] or "O2" in desk.cases()


def test_o2_the_finer_stage_stays_while_it_means_the_same(desk: Bench) -> None:
    here, there = desk.deal_pair()
    desk.north.set_status("opportunity", here, "Qualification")
    desk.settled()
    assert desk.south.read("opportunity", there)["status"] == "qualify"
    assert desk.north.read("opportunity", here)["status"] == "Qualification"


@both_ways("O3")
def test_a_stage_that_no_row_names_moves_nothing(desk: Bench, side: Side) -> None:
    here, there = deal(desk, side)
    desk.crm(side).edit("opportunity", here, status="Legal Review", description="Goes on")
    desk.settled()
    assert desk.crm(other(side)).read("opportunity", there)["status"] in ("qualify", "Prospecting")
    assert desk.crm(other(side)).read("opportunity", there)["description"] == "Goes on"
    [issue] = desk.issues("unmapped_status")  # O3
    assert "Legal Review" in issue.message
    assert "opportunity.yaml" in issue.fix


@only("O4", "right")
def test_on_hold_stays_where_it_is(desk: Bench, side: Side) -> None:
    here, there = deal(desk, side)
    desk.south.edit("opportunity", here, on_hold=True)
    desk.sync()
    assert desk.ran[-1].counts == {}
    assert desk.north.read("opportunity", there)["status"] == "Prospecting"
    desk.south.set_status("opportunity", here, "develop")  # a stage goes over, on hold or not
    desk.settled()
    assert desk.north.read("opportunity", there)["status"] == "Analysis"
    desk.north.set_status("opportunity", there, "Proposal")
    desk.settled()
    assert desk.south.read("opportunity", here)["on_hold"] is True


@both_ways("O5")
def test_an_edit_while_open(desk: Bench, side: Side) -> None:
    here, there = deal(desk, side)
    put(desk, side, here, 500, date(2026, 4, 1), description="Warm")
    desk.sync()
    assert told(desk, "O5")
    assert value(desk, other(side), there) == (Decimal(500), date(2026, 4, 1))
    assert desk.crm(other(side)).read("opportunity", there)["description"] == "Warm"


@only("O5", "left")
def test_a_calculated_amount_is_left_alone(desk: Bench, side: Side) -> None:
    here, there = deal(desk, side)
    desk.south.edit("opportunity", there, calculated=True, estimated=Decimal(90))
    desk.settled()
    assert desk.north.read("opportunity", here)["amount"] == Decimal(90)
    put(desk, side, here, 500, date(2026, 4, 1))
    desk.settled()
    assert value(desk, "right", there) == (Decimal(90), date(2026, 4, 1))
    [issue] = desk.issues("O5")
    assert "(O5)" in issue.message


@both_ways("O6")
def test_won(desk: Bench, side: Side) -> None:
    here, there = deal(desk, side, amount=Decimal(100), close_date=date(2026, 5, 1))
    close(desk, side, here, WON[side], 120, date(2026, 3, 3))
    desk.sync()
    assert "O6" in desk.cases()
    assert desk.crm(other(side)).read("opportunity", there)["status"] == WON[other(side)]
    assert value(desk, other(side), there) == (Decimal(120), date(2026, 3, 3))
    desk.settled()


@both_ways("O7")
def test_lost_leaves_the_amount_alone(desk: Bench, side: Side) -> None:
    here, there = deal(desk, side, amount=Decimal(100), close_date=date(2026, 5, 1))
    close(desk, side, here, LOST[side])
    desk.sync()
    assert "O7" in desk.cases()
    assert desk.crm(other(side)).read("opportunity", there)["status"] == LOST[other(side)]
    assert value(desk, other(side), there)[0] == Decimal(100)
    desk.settled()


@only("O7", "right")
def test_the_reason_of_a_loss_is_kept_for_the_way_back(desk: Bench, side: Side) -> None:
    here, there = deal(desk, side)
    close(desk, side, here, "out-sold")
    desk.settled()
    assert desk.north.read("opportunity", there)["status"] == "Closed Lost"
    desk.north.edit("opportunity", there, description="Price")
    desk.settled()
    assert desk.south.read("opportunity", here)["status"] == "out-sold"


@both_ways("O8")
@pytest.mark.parametrize(("first", "then"), [(WON, LOST), (LOST, WON)], ids=["won to lost", "lost to won"])
def test_won_and_lost_directly(desk: Bench, side: Side, first: dict[Side, str], then: dict[Side, str]) -> None:
    here, there = deal(desk, side, amount=Decimal(100), close_date=date(2026, 5, 1))
    close(desk, side, here, first[side])
    desk.settled()
    close(desk, side, here, then[side])
    desk.sync()
    assert desk.crm(other(side)).read("opportunity", there)["status"] == then[other(side)]
    assert ("O8" in desk.cases()) == (side == "left")  # only south has to go through open
    desk.settled()


@pytest.mark.parametrize("amount", [120, 150], ids=["as it was won", "corrected at the same time"])
def test_o8_what_counts_of_a_deal_that_was_won_and_is_lost_arrives_where_it_counts(desk: Bench, amount: int) -> None:
    """Of a won deal the actual values count, of a lost one the estimated: they are other columns on that side."""
    here, there = deal(desk, "left", amount=Decimal(100))
    close(desk, "left", here, WON["left"], 120, date(2026, 3, 3))
    desk.settled()
    assert value(desk, "right", there) == (120, date(2026, 3, 3))
    desk.north.edit("opportunity", here, amount=Decimal(amount))
    desk.north.set_status("opportunity", here, LOST["left"])
    desk.settled()
    assert desk.south.read("opportunity", there)["state"] == "lost"
    assert value(desk, "right", there) == (amount, date(2026, 3, 3))
    assert value(desk, "left", here) == (amount, date(2026, 3, 3)), "nothing of it came back"
    assert desk.store.open_issues() == []


@both_ways("O9")
def test_opened_again_goes_to_the_last_open_stage(desk: Bench, side: Side) -> None:
    here, there = deal(desk, side, amount=Decimal(100), close_date=date(2026, 5, 1))
    finer = {"left": "Qualification", "right": "qualify"}
    desk.crm(other(side)).set_status("opportunity", there, finer[other(side)])
    desk.settled()
    close(desk, side, here, WON[side], 120, date(2026, 3, 3))
    desk.settled()
    desk.crm(side).set_status("opportunity", here, finer[side])
    desk.sync()
    assert "O9" in desk.cases()
    assert desk.crm(other(side)).read("opportunity", there)["status"] == finer[other(side)]
    desk.settled()
    assert value(desk, "left", here if side == "left" else there) == value(
        desk, "right", there if side == "left" else here
    )


@both_ways("O10")
def test_amount_and_date_after_the_close_are_patched(desk: Bench, side: Side) -> None:
    here, there = deal(desk, side)
    close(desk, side, here, WON[side], 120, date(2026, 3, 3))
    desk.settled()
    put(desk, side, here, 130, date(2026, 3, 4))
    ran = desk.sync()
    assert told(desk, "O10")
    assert value(desk, other(side), there) == (Decimal(130), date(2026, 3, 4))
    assert {row.kind for row in desk.store.journal(run_id=ran.run_id)} == {"update"}, "never opened and won again (O10)"


@both_ways("O11")
def test_another_edit_after_the_close(desk: Bench, side: Side) -> None:
    here, there = deal(desk, side)
    close(desk, side, here, LOST[side])
    desk.settled()
    desk.crm(side).edit("opportunity", here, description="Came too late")
    desk.sync()
    assert told(desk, "O11")
    assert desk.crm(other(side)).read("opportunity", there)["description"] == "Came too late"


@both_ways("O12")
def test_the_owner_crosses(desk: Bench, side: Side) -> None:
    here, there = deal(desk, side, owner_id="user-person")
    desk.crm(side).edit("opportunity", here, owner_id="user-ada")
    desk.sync()
    assert told(desk, "O12")
    assert desk.crm(other(side)).read("opportunity", there)["owner_id"] == "user-ada"


@both_ways("O13")
def test_the_account_changes(desk: Bench, side: Side) -> None:
    here, there = deal(desk, side)
    account = desk.crm(side).add("account", name="Another", city="Bonn")
    desk.crm(side).edit("opportunity", here, account_id=account)
    desk.settled()
    assert any("(O13)" in event.reason for ran in desk.ran for event in ran.events)
    assert desk.crm(other(side)).read("opportunity", there)["account_id"] == desk.must(account, "account", side)


@only("O14", "right")
def test_the_customer_is_a_contact(desk: Bench, side: Side) -> None:
    account = desk.south.add("account", name="Acme", city="Ulm")
    contact = desk.south.add("contact", last_name="Boxer", email="b@acme.example", account_id=account)
    here = desk.south.add("opportunity", name="Private", contact_id=contact, customer="contact")
    desk.settled()
    there = desk.must(here, "opportunity", side)
    assert desk.north.read("opportunity", there)["account_id"] == desk.must(account, "account", side)
    assert desk.north.read("opportunity", there)["contact_id"] == desk.must(contact, "contact", side)
    assert any("(O14)" in event.reason for ran in desk.ran for event in ran.events)
    desk.north.edit("opportunity", there, description="Written there")
    desk.settled()
    assert desk.south.read("opportunity", here)["description"] == "Written there"
    assert desk.south.read("opportunity", here).get("account_id") is None, "it would flip the customer (O14)"
    # Until north gives it another account.
    another = desk.north.add("account", name="Another", city="Bonn")
    desk.north.edit("opportunity", there, account_id=another)
    desk.settled()
    assert desk.south.read("opportunity", here)["account_id"] == desk.must(another, "account")


@only("O14", "right")
def test_the_customer_is_a_contact_without_an_account(desk: Bench, side: Side) -> None:
    contact = desk.south.add("contact", last_name="Boxer", email="b@acme.example")
    here = desk.south.add("opportunity", name="Private", contact_id=contact, customer="contact")
    desk.settled()
    assert desk.partner(side, "opportunity", here) is None
    [issue] = desk.issues("O14")
    assert (issue.kind, "(O14)" in issue.message) == ("held", True)
    account = desk.south.add("account", name="Acme", city="Ulm")
    desk.south.edit("opportunity", here, account_id=account)
    desk.settled()
    assert desk.partner(side, "opportunity", here) is not None
    assert not desk.issues("O14")


@both_ways("O15")
def test_no_customer_at_all(desk: Bench, side: Side) -> None:
    here = desk.crm(side).add("opportunity", name="Nobody yet")
    ran = desk.sync()
    there = desk.must(here, "opportunity", side)
    assert desk.crm(other(side)).read("opportunity", there).get("account_id") is None
    assert any("(O15)" in event.reason for event in ran.events)


@both_ways("O16")
def test_the_contact_changes(desk: Bench, side: Side) -> None:
    here, there = deal(desk, side)
    contact = desk.crm(side).add("contact", last_name="Boxer", email="b@acme.example")
    desk.crm(side).edit("opportunity", here, contact_id=contact)
    desk.settled()
    assert any("(O16)" in event.reason for ran in desk.ran for event in ran.events)
    assert desk.crm(other(side)).read("opportunity", there)["contact_id"] == desk.must(contact, "contact", side)


@both_ways("O18")
def test_a_deleted_deal_is_kept_there(desk: Bench, side: Side) -> None:
    here, there = deal(desk, side)
    desk.crm(side).delete("opportunity", here)
    desk.settled()
    assert not desk.crm(other(side)).tables["opportunity"][there].deleted
    [issue] = desk.issues("O18")
    assert (issue.kind, "(O18)" in issue.message) == ("report", True)


@both_ways("O19")
def test_a_restored_deal_lives_again(desk: Bench, side: Side) -> None:
    here, there = deal(desk, side)
    desk.crm(side).delete("opportunity", here)
    desk.settled()
    desk.crm(side).restore("opportunity", here)
    desk.crm(side).set_status("opportunity", here, OPEN[side])
    desk.settled()
    assert desk.partner(side, "opportunity", here) == there
    assert desk.crm(other(side)).read("opportunity", there)["status"] == OPEN[other(side)]
    assert not desk.issues("O18")


@both_ways("O20")
def test_closed_here_while_the_stage_moved_there(desk: Bench, side: Side) -> None:
    here, there = deal(desk, side)
    close(desk, side, here, WON[side], 120, date(2026, 3, 3))
    desk.crm(other(side)).set_status("opportunity", there, OPEN[other(side)])  # later, and yet the state wins
    desk.settled()
    assert desk.crm(other(side)).read("opportunity", there)["status"] == WON[other(side)]
    assert desk.crm(side).read("opportunity", here)["status"] == WON[side]
    # The stage it had reached there is not forgotten (O20): opened again, it goes back to it.
    link = desk.link(side, "opportunity", here)
    assert link is not None
    assert link.last_open[other(side)] == OPEN[other(side)]


@only("O20", "left")
def test_closed_on_both_sides_differently_is_for_a_person(desk: Bench, side: Side) -> None:
    here, there = deal(desk, side)
    close(desk, "left", here, "Closed Won", 120, date(2026, 3, 3))
    close(desk, "right", there, "canceled")
    desk.settled()
    assert desk.north.read("opportunity", here)["state"] == "won"
    assert desk.south.read("opportunity", there)["state"] == "lost"
    [issue] = desk.issues("O20")
    assert (issue.kind, "(O20)" in issue.message) == ("held", True)
    close(desk, "right", there, "qualify")
    close(desk, "right", there, "won", 120, date(2026, 3, 3))  # somebody corrects one side
    desk.settled()
    assert not desk.issues("O20")


@only("O21", "right")
def test_the_flag_decides_and_not_the_label(desk: Bench, side: Side) -> None:
    here, there = deal(desk, side)
    desk.south.edit("opportunity", here, status="won")  # called won, and open all the same
    desk.settled()
    assert desk.north.read("opportunity", there)["state"] == "open"
    [issue] = desk.issues("O21")
    assert (issue.kind, "(O21)" in issue.message) == ("report", True)


@only("O9", "left")
def test_an_amount_that_only_the_other_column_has_is_filled_in(desk: Bench, side: Side) -> None:
    """South keeps what was expected beside what was won: opened again, the old figure comes back into sight."""
    here, there = deal(desk, side, amount=Decimal(20))
    close(desk, side, here, "Closed Won")
    desk.settled()
    desk.north.edit("opportunity", here, amount=None)
    desk.settled()
    assert value(desk, "right", there)[0] is None
    desk.north.set_status("opportunity", here, "Proposal")
    desk.settled()
    assert value(desk, "left", here) == value(desk, "right", there)


@only("O6", "right")
def test_won_without_an_amount_takes_the_other_sides(desk: Bench, side: Side) -> None:
    here, there = deal(desk, side, amount=Decimal(20))
    close(desk, side, here, "won")
    desk.settled()
    assert value(desk, "left", there)[0] == value(desk, "right", here)[0] == Decimal(20)


def _mirrored_unseen(desk: Bench, side: Side, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """A conversion on `side`, mirrored; the run ended before the two deals were first compared. The deals' ids."""
    lead, partner = desk.lead_pair() if side == "left" else reversed(desk.lead_pair())
    desk.crm(side).convert_lead(lead)
    _ends_after(desk, monkeypatch, lambda batch: any(row.state == "done" for row in batch.conversions))
    here, there = (
        str(desk.crm(at).read("lead", id)["opportunity_id"]) for at, id in ((side, lead), (other(side), partner))
    )
    return here, there


def _ends_after(desk: Bench, monkeypatch: pytest.MonkeyPatch, which: Callable[[Batch], bool]) -> None:
    """The machine goes down once such a batch is stored."""
    apply = desk.store.apply

    def falls(batch: Batch, **words: Any) -> Any:
        news = apply(batch, **words)
        if which(batch):
            raise Fell("the machine went down")
        return news

    with monkeypatch.context() as patch:
        patch.setattr(desk.store, "apply", falls)
        with pytest.raises(Fell):
            desk.sync()


def _wrote(kind: str, batch: Batch) -> bool:
    return any((one.entity, one.kind, one.state) == ("opportunity", kind, "done") for one in batch.close_intents)


@both_ways("O6")
def test_a_win_of_what_a_conversion_made_crosses_whoever_saved_last(
    desk: Bench, side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person was quicker than our first look, and the other deal was saved once more since, for another reason."""
    here, there = _mirrored_unseen(desk, side, monkeypatch)
    mine, theirs = desk.crm(side), desk.crm(other(side))
    close(desk, other(side), there, WON[other(side)], 30, date(2026, 3, 1))
    mine.edit("opportunity", here, name="saved last")
    desk.settled()
    assert mine.read("opportunity", here)["state"] == theirs.read("opportunity", there)["state"] == "won"
    assert value(desk, side, here)[0] == value(desk, other(side), there)[0] == Decimal(30)
    assert mine.read("opportunity", here)["name"] == theirs.read("opportunity", there)["name"] == "saved last"


@both_ways("O6")
def test_a_win_of_what_a_conversion_made_crosses_though_we_saved_that_since(
    desk: Bench, side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An update of ours went there, and the next run ended too before anything else was done."""
    here, there = _mirrored_unseen(desk, side, monkeypatch)
    close(desk, other(side), there, WON[other(side)], 30, date(2026, 3, 1))
    desk.crm(side).edit("opportunity", here, name="renamed")
    _ends_after(desk, monkeypatch, lambda batch: _wrote("update", batch))
    assert desk.crm(other(side)).read("opportunity", there)["name"] == "renamed"
    desk.settled()
    for at, id in ((side, here), (other(side), there)):
        assert desk.crm(at).read("opportunity", id)["state"] == "won"
        assert value(desk, at, id)[0] == Decimal(30)


@both_ways("O9")
def test_a_win_of_ours_is_taken_back_with_the_one_it_followed(
    desk: Bench, side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ended before the pair was agreed on; a later edit of the deal that we won makes it nobody's win."""
    here, there = _mirrored_unseen(desk, side, monkeypatch)
    close(desk, side, here, WON[side], 30, date(2026, 3, 1))
    _ends_after(desk, monkeypatch, lambda batch: _wrote("win", batch))
    desk.crm(side).set_status("opportunity", here, OPEN[side])
    desk.crm(other(side)).edit("opportunity", there, name="saved last")
    desk.settled()
    for at, id in ((side, here), (other(side), there)):
        assert (desk.crm(at).read("opportunity", id)["state"], desk.crm(at).read("opportunity", id)["name"]) == (
            "open",
            "saved last",
        )


@only("O6", "right")
def test_an_amount_typed_into_what_a_lost_conversion_made_is_kept_when_the_other_is_won_without_one(
    desk: Bench, side: Side
) -> None:
    """Our win saves it last; that it was a person's all the same is known from the first look."""
    lead, partner = desk.lead_pair() if side == "left" else reversed(desk.lead_pair())
    mine, theirs = desk.crm(side), desk.crm(other(side))
    mine.convert_lead(lead)
    theirs.lies = lambda kind, entity, id: "fall after" if kind == "convert" else None
    with pytest.raises(Fell):
        desk.sync()
    theirs.lies = lambda kind, entity, id: None
    here, there = (str(crm.read("lead", id)["opportunity_id"]) for crm, id in ((mine, lead), (theirs, partner)))
    put(desk, other(side), there, 30, date(2026, 3, 1))
    mine.set_status("opportunity", here, WON[side])
    desk.settled()
    assert mine.read("opportunity", here)["state"] == theirs.read("opportunity", there)["state"] == "won"
    assert value(desk, side, here)[0] == value(desk, other(side), there)[0] == Decimal(30)


@only("O9", "right")
def test_a_blank_that_comes_into_sight_is_filled_though_not_all_of_a_converted_pair_was_compared_yet(
    desk: Bench, side: Side
) -> None:
    """Its contact is one that the other CRM does not take, so the pair stays as the conversion left it."""
    there, here = desk.lead_pair()
    desk.south.convert_lead(here)
    desk.north.lies = lambda kind, entity, id: "refuse" if (kind, entity) == ("create", "contact") else None
    deal = str(desk.south.read("lead", here)["opportunity_id"])
    desk.south.edit("opportunity", deal, contact_id=desk.south.add("contact", last_name="Refused"))
    close(desk, side, deal, "won", 30, date(2026, 3, 1))
    desk.settled()
    theirs = str(desk.north.read("lead", there)["opportunity_id"])
    link = desk.link(side, "opportunity", deal)
    assert link is not None
    assert (link.mode, desk.north.read("opportunity", theirs)["amount"]) == ("converted", Decimal(30))
    desk.south.set_status("opportunity", deal, "qualify")
    desk.settled()
    assert value(desk, "right", deal)[0] == value(desk, "left", theirs)[0] == Decimal(30)

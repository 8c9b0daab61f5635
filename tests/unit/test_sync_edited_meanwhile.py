"""What people do between our write and the moment when a pair is first compared, or compared again: never lost.

Each of these was seen with real workers under SIGKILL.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crmbridge.model import SIDES, Entity, Side, other
from crmbridge.state.words import Batch
from crmbridge.sync.lost import Column, Found, judge
from tests.support.engine import US, Bench, Fell, Lie, bench


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Bench]:
    with bench(f"sqlite:///{tmp_path}/state.sqlite3") as made:
        yield made


def _lies_once(desk: Bench, side: Side, kind: str, entity: Entity, lie: Lie) -> None:
    """The first such call of ours meets this."""
    crm = desk.crm(side)

    def liar(what: str, of: Entity, id: str | None) -> Lie | None:
        del id
        if (what, of) != (kind, entity):
            return None
        crm.lies = lambda kind, entity, id: None
        return lie

    crm.lies = liar


def _falls_once(desk: Bench, side: Side, kind: str, entity: Entity, lie: Lie) -> None:
    """The machine goes down at the first such call of ours."""
    _lies_once(desk, side, kind, entity, lie)
    with pytest.raises(Fell):
        desk.sync()


def _converted(desk: Bench, side: Side) -> tuple[str, str]:
    """A lead of both, converted on one side only."""
    left, right = desk.lead_pair()
    here, there = (left, right) if side == "left" else (right, left)
    desk.crm(side).convert_lead(here)
    return here, there


@pytest.mark.parametrize("side", SIDES)
def test_a_later_edit_survives_a_crash_after_the_first_one_was_written_across(desk: Bench, side: Side) -> None:
    """Else our own write looks like somebody's edit, and the newer value is taken for the older one."""
    left, right = desk.deal_pair()
    here, there = (left, right) if side == "left" else (right, left)
    mine, theirs = desk.crm(side), desk.crm(other(side))
    mine.edit("opportunity", here, description="first")
    _falls_once(desk, other(side), "update", "opportunity", "fall after")
    mine.edit("opportunity", here, description="second")
    theirs.edit("opportunity", there, name="another field, edited later there")
    desk.settled()
    for crm, id in ((mine, here), (theirs, there)):
        assert crm.read("opportunity", id)["description"] == "second"
        assert crm.read("opportunity", id)["name"] == "another field, edited later there"


@pytest.mark.parametrize("side", SIDES)
def test_it_survives_a_run_that_ends_before_the_pair_is_settled(
    desk: Bench, side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base of what was written belongs into the transaction that closes the intent (reliability §3.5)."""
    left, right = desk.deal_pair()
    here, there = (left, right) if side == "left" else (right, left)
    mine, theirs = desk.crm(side), desk.crm(other(side))
    mine.edit("opportunity", here, description="first")
    apply = desk.store.apply
    closed = False

    def fails_after_the_close(batch: Batch, **words: Any) -> Any:
        nonlocal closed
        if closed:
            raise Fell("the machine went down")
        news = apply(batch, **words)
        closed = any(one.kind == "update" and one.state == "done" for one in batch.close_intents)
        return news

    with monkeypatch.context() as patch:
        patch.setattr(desk.store, "apply", fails_after_the_close)
        with pytest.raises(Fell):
            desk.sync()
    assert theirs.read("opportunity", there)["description"] == "first"
    mine.edit("opportunity", here, description="second")
    theirs.edit("opportunity", there, name="another field, edited later there")
    desk.settled()
    for crm, id in ((mine, here), (theirs, there)):
        assert crm.read("opportunity", id)["description"] == "second"
        assert crm.read("opportunity", id)["name"] == "another field, edited later there"


@pytest.mark.parametrize("lie", ["fall after", "lose"])
@pytest.mark.parametrize("side", SIDES)
def test_what_was_just_made_by_a_mirrored_conversion_may_be_edited_before_we_look(
    desk: Bench, side: Side, lie: Lie
) -> None:
    """The answer was lost, so nobody saw how the conversion made it; a blank origin takes a person's value."""
    here, there = _converted(desk, side)
    target = desk.crm(other(side))
    if lie == "fall after":
        _falls_once(desk, other(side), "convert", "lead", lie)
        opportunity = target.read("lead", there)["opportunity_id"]
        target.edit("opportunity", opportunity, description="written at once")
    else:
        target.lies = lambda kind, entity, id: "lose" if (kind, entity) == ("convert", "lead") else None
        desk.sync()
        target.lies = lambda kind, entity, id: None
        opportunity = target.read("lead", there)["opportunity_id"]
        target.edit("opportunity", opportunity, description="written at once")
    desk.settled()
    mine = desk.crm(side).read("opportunity", desk.crm(side).read("lead", here)["opportunity_id"])
    assert mine["description"] == "written at once"
    assert target.read("opportunity", opportunity)["description"] == "written at once"


@pytest.mark.parametrize("side", SIDES)
def test_what_is_typed_there_before_we_look_survives_a_later_edit_on_the_other_side(desk: Bench, side: Side) -> None:
    """Who saved last tells nothing of a field that only one of the two has."""
    here, there = _converted(desk, side)
    mine, target = desk.crm(side), desk.crm(other(side))
    _falls_once(desk, other(side), "convert", "lead", "fall after")
    deals = mine.read("lead", here)["opportunity_id"], target.read("lead", there)["opportunity_id"]
    target.edit("opportunity", deals[1], description="written at once")
    mine.edit("opportunity", deals[0], name="renamed a moment later")
    desk.settled()
    for crm, id in zip((mine, target), deals, strict=True):
        assert crm.read("opportunity", id)["description"] == "written at once"
        assert crm.read("opportunity", id)["name"] == "renamed a moment later"


@pytest.mark.parametrize("side", SIDES)
def test_a_value_typed_over_there_before_we_look_is_an_edit(desk: Bench, side: Side) -> None:
    """What the conversion made of the contact is known from the lead."""
    left, right = desk.lead_pair(phone="0731 1")
    here, there = (left, right) if side == "left" else (right, left)
    mine, target = desk.crm(side), desk.crm(other(side))
    mine.convert_lead(here)
    _falls_once(desk, other(side), "convert", "lead", "fall after")
    contacts = mine.read("lead", here)["contact_id"], target.read("lead", there)["contact_id"]
    assert [crm.read("contact", id)["phone"] for crm, id in zip((mine, target), contacts, strict=True)] == [
        "0731 1"
    ] * 2
    target.edit("contact", contacts[1], phone="0228 1")
    desk.settled()
    assert [crm.read("contact", id)["phone"] for crm, id in zip((mine, target), contacts, strict=True)] == [
        "0228 1"
    ] * 2


@pytest.mark.parametrize(
    ("entity", "field", "older", "newer"),
    [("account", "website", "older.example", "newer.example"), ("contact", "city", "Ulm", "Bonn")],
    ids=["no lead has it", "the lead has it blank"],
)
@pytest.mark.parametrize("side", SIDES)
def test_a_text_that_is_not_the_leads_is_typed_there_before_we_look(
    desk: Bench, side: Side, entity: Entity, field: str, older: str, newer: str
) -> None:
    """The conversion left it blank, so it is an edit, and newer than what the converted side's record shows."""
    here, there = _converted(desk, side)
    mine, target = desk.crm(side), desk.crm(other(side))
    ids = [mine.read("lead", here)[f"{entity}_id"]]
    mine.edit(entity, ids[0], **{field: older})
    _falls_once(desk, other(side), "convert", "lead", "fall after")
    ids.append(target.read("lead", there)[f"{entity}_id"])
    target.edit(entity, ids[1], **{field: newer})
    desk.settled()
    assert [crm.read(entity, id)[field] for crm, id in zip((mine, target), ids, strict=True)] == [newer] * 2


@pytest.mark.parametrize("side", SIDES)
def test_a_value_typed_here_is_not_undone_by_an_edit_of_another_field_there(desk: Bench, side: Side) -> None:
    left, right = desk.lead_pair(phone="0731 1")
    here, there = (left, right) if side == "left" else (right, left)
    mine, target = desk.crm(side), desk.crm(other(side))
    mine.convert_lead(here)
    _falls_once(desk, other(side), "convert", "lead", "fall after")
    contacts = mine.read("lead", here)["contact_id"], target.read("lead", there)["contact_id"]
    mine.edit("contact", contacts[0], phone="0228 1")
    target.edit("contact", contacts[1], city="Bonn")
    desk.settled()
    for crm, id in zip((mine, target), contacts, strict=True):
        assert crm.read("contact", id)["phone"] == "0228 1"
        assert crm.read("contact", id)["city"] == "Bonn"


@pytest.mark.parametrize(("lie", "rows"), [("fall before", 0), ("fall after", 1)])
@pytest.mark.parametrize("side", SIDES)
def test_the_journal_has_our_conversions_and_nobody_elses(desk: Bench, side: Side, lie: Lie, rows: int) -> None:
    """The answer was lost; by the time anybody looks the lead is converted: by whoever saved what came of it."""
    _, there = _converted(desk, side)
    _falls_once(desk, other(side), "convert", "lead", lie)
    if lie == "fall before":
        desk.crm(other(side)).convert_lead(there)
    desk.settled()
    assert [row.kind for row in desk.store.journal() if row.native_id == there].count("convert") == rows
    assert desk.store.open_intents() == []


@pytest.mark.parametrize("side", SIDES)
def test_what_was_just_made_may_be_won_before_we_look(desk: Bench, side: Side) -> None:
    here, there = _converted(desk, side)
    target = desk.crm(other(side))
    _falls_once(desk, other(side), "convert", "lead", "fall after")
    opportunity = target.read("lead", there)["opportunity_id"]
    target.set_status("opportunity", opportunity, "Closed Won" if other(side) == "left" else "won")
    desk.settled()
    mine = desk.crm(side).read("opportunity", desk.crm(side).read("lead", here)["opportunity_id"])
    assert mine["state"] == "won"
    assert target.read("opportunity", opportunity)["state"] == "won"


@pytest.mark.parametrize("side", SIDES)
def test_who_converts_right_before_our_call_did_it_and_not_we(desk: Bench, side: Side) -> None:
    """What it made is linked all the same; the journal tells of our own writes alone."""
    here, there = _converted(desk, side)
    mine, theirs = desk.crm(side), desk.crm(other(side))

    def is_faster(kind: str, entity: Entity, id: str | None) -> Lie | None:
        del entity, id
        if kind == "convert":
            theirs.lies = lambda kind, entity, id: None
            theirs.convert_lead(there, create_opportunity=False)
        return None

    theirs.lies = is_faster
    desk.settled()
    contact = mine.read("lead", here)["contact_id"]
    assert desk.partner(side, "contact", contact) == theirs.read("lead", there)["contact_id"]
    assert not any(row.kind == "convert" for row in desk.store.journal(side=other(side), native_id=there))
    assert desk.store.open_intents() == []


def test_an_update_that_may_still_land_is_not_counted_as_lost(desk: Bench) -> None:
    """Its answer is lost and it is not there yet, but the CRM is at it: it lands later, and the journal tells of it."""
    left, right = desk.lead_pair()
    desk.engine.options = replace(desk.engine.options, settle_seconds={"left": 600.0, "right": 600.0})
    desk.north.edit("lead", left, phone="1")
    _falls_once(desk, "right", "update", "lead", "fall before")
    for _ in range(2):
        desk.sync()
        assert [one.kind for one in desk.store.open_intents()] == ["update"]
        assert desk.south.read("lead", right).get("phone") is None, "nothing is sent again meanwhile"
    desk.south.edit("lead", right, by=US, phone="1")
    desk.settled()
    assert desk.store.open_intents() == []
    (row,) = desk.store.journal(side="right", native_id=right, limit=1)
    assert (row.kind, row.after) == ("update", {"phone": "1"})


def test_a_late_edit_of_a_converted_lead_waits_where_the_answer_of_an_update_was_lost(desk: Bench) -> None:
    """Two writes to one contact, of which the first may still land: nobody could tell any more what it left there."""
    left, _ = _converted(desk, "left")
    desk.settled()
    contact = desk.north.read("lead", left)["contact_id"]
    partner = desk.partner("left", "contact", contact)
    desk.engine.options = replace(desk.engine.options, settle_seconds={"left": 600.0, "right": 600.0})
    desk.north.edit("contact", contact, city="Ulm")
    _falls_once(desk, "right", "update", "contact", "fall before")
    desk.north.edit("lead", left, phone="late")
    desk.sync()
    assert [one.after for one in desk.store.open_intents()] == [{"city": "Ulm"}]
    assert desk.south.read("contact", partner).get("phone") is None
    desk.engine.options = replace(desk.engine.options, settle_seconds={"left": 0.0, "right": 0.0})
    desk.settled()
    found = desk.south.read("contact", partner)
    assert (found["city"], found["phone"]) == ("Ulm", "late")


@pytest.mark.parametrize(("kind", "lie"), [("update", "meddle"), ("win", "unseen")])
@pytest.mark.parametrize("side", SIDES)
def test_what_is_typed_over_a_write_of_ours_survives_a_step_of_ours_on_the_same_row(
    desk: Bench, side: Side, kind: str, lie: Lie
) -> None:
    """After the step the row was last saved by us; what it shows of the earlier write is a person's all the same."""
    left, right = desk.deal_pair(amount="10")
    here, there = (left, right) if side == "left" else (right, left)
    mine, theirs = desk.crm(side), desk.crm(other(side))
    mine.edit("opportunity", here, description="first")
    mine.set_status("opportunity", here, "Closed Won" if side == "left" else "won")
    _lies_once(desk, other(side), kind, "opportunity", lie)
    desk.settled()
    assert theirs.meddled == 1
    for crm, id in ((mine, here), (theirs, there)):
        assert crm.read("opportunity", id)["state"] == "won"
        assert crm.read("opportunity", id)["description"] == "by hand 1"


@pytest.mark.parametrize("more", [{}, {"rating": "Hot"}])
@pytest.mark.parametrize("lie", ["fall after", "fall before"])
@pytest.mark.parametrize("side", SIDES)
def test_what_is_typed_over_an_update_whose_answer_was_lost_is_the_later_edit(
    desk: Bench, side: Side, lie: Lie, more: dict[str, str]
) -> None:
    """Also where the record that the update came from is saved once more, for another reason, before anybody looks."""
    left, right = desk.lead_pair()
    here, there = (left, right) if side == "left" else (right, left)
    mine, theirs = desk.crm(side), desk.crm(other(side))
    mine.edit("lead", here, phone="first", **more)
    _falls_once(desk, other(side), "update", "lead", lie)
    theirs.edit("lead", there, phone="typed over")
    mine.edit("lead", here, city="Ulm")
    desk.settled()
    for crm, id in ((mine, here), (theirs, there)):
        found = crm.read("lead", id)
        assert {name: found.get(name) for name in ("phone", "city", *more)} == {
            "phone": "typed over",
            "city": "Ulm",
            **more,
        }


@pytest.mark.parametrize("side", SIDES)
def test_an_edit_read_before_the_lost_answer_was_looked_up_is_an_edit_of_what_had_arrived(
    desk: Bench, side: Side
) -> None:
    """Else what arrived counts as an edit over there, and as the newer one as soon as somebody saves that record."""
    left, right = desk.lead_pair()
    here, there = (left, right) if side == "left" else (right, left)
    mine, theirs = desk.crm(side), desk.crm(other(side))
    mine.edit("lead", here, phone="first")
    theirs.edit("lead", there, city="Ulm")

    def stale(kind: str, entity: Entity, id: str | None) -> Lie | None:
        if (kind, entity, id) != ("update", "lead", here):
            return None
        mine.lies = lambda kind, entity, id: None
        mine.edit("lead", here, phone="second")
        return "stale"

    mine.lies = stale
    _lies_once(desk, other(side), "update", "lead", "lose")
    desk.sync()
    theirs.edit("lead", there, rating="Hot")
    desk.settled()
    for crm, id in ((mine, here), (theirs, there)):
        found = crm.read("lead", id)
        assert {name: found.get(name) for name in ("phone", "city", "rating")} == {
            "phone": "second",
            "city": "Ulm",
            "rating": "Hot",
        }


@pytest.mark.parametrize("side", SIDES)
def test_what_an_update_did_not_bring_is_written_again_whatever_was_typed_beside_it(desk: Bench, side: Side) -> None:
    """It shows what was there before: that is no edit."""
    left, right = desk.lead_pair(rating="Cold")
    here, there = (left, right) if side == "left" else (right, left)
    mine, theirs = desk.crm(side), desk.crm(other(side))
    mine.edit("lead", here, phone="first", rating="Hot")
    _falls_once(desk, other(side), "update", "lead", "fall before")
    theirs.edit("lead", there, phone="typed over")
    desk.settled()
    for crm, id in ((mine, here), (theirs, there)):
        assert (crm.read("lead", id)["phone"], crm.read("lead", id)["rating"]) == ("typed over", "Hot")


@pytest.mark.parametrize(("kind", "here", "there"), [("win", "Closed Won", "won"), ("lose", "Closed Lost", "canceled")])
def test_a_step_whose_answer_was_lost_and_that_somebody_else_took_is_not_told_as_ours(
    desk: Bench, kind: str, here: str, there: str
) -> None:
    """The deal is won there, as it was to be, but by a person, at an amount of theirs; or lost, where nothing tells."""
    left, right = desk.deal_pair(amount="10")
    desk.north.edit("opportunity", left, amount="20")
    desk.north.set_status("opportunity", left, here)
    _falls_once(desk, "right", kind, "opportunity", "fall before")
    desk.south.edit("opportunity", right, amount="30")
    desk.south.set_status("opportunity", right, there)
    desk.settled()
    assert not any(row.kind == kind for row in desk.store.journal(side="right", native_id=right))
    assert desk.store.open_intents() == []
    state = "won" if kind == "win" else "lost"
    assert desk.north.read("opportunity", left)["state"] == desk.south.read("opportunity", right)["state"] == state


def _edited_at(desk: Bench, side: Side, id: str, *, phone: str, when: datetime) -> None:
    """By that CRM's clock."""
    crm = desk.crm(side)
    crm.edit("lead", id, phone=phone)
    crm.tables["lead"][id].modified_at = when


@pytest.mark.parametrize("minutes", [-5, 5])
@pytest.mark.parametrize("side", SIDES)
def test_which_of_two_edits_is_later_is_told_by_their_own_clocks_after_a_lost_update(
    desk: Bench, side: Side, minutes: int
) -> None:
    """Not by ours, which may be minutes away from both: here the clock of the side that was written to is ahead of it,
    or behind. What is newer by the CRMs' clocks stands."""
    left, right = desk.lead_pair()
    here, there = (left, right) if side == "left" else (right, left)
    mine, theirs = desk.crm(side), desk.crm(other(side))
    sent_at = desk.store.now() + timedelta(hours=2)  # both CRMs' clocks are far from ours
    _edited_at(desk, side, here, phone="sent", when=sent_at)
    _falls_once(desk, other(side), "update", "lead", "fall before")
    _edited_at(desk, other(side), there, phone="typed", when=sent_at + timedelta(minutes=minutes))
    desk.settled()
    newest = "typed" if minutes > 0 else "sent"
    assert {mine.read("lead", here)["phone"], theirs.read("lead", there)["phone"]} == {newest}


SENT, BEFORE = Column(as_sent=True, as_before=False), Column(as_sent=False, as_before=True)
NEITHER, SAME = Column(as_sent=False, as_before=False), Column(as_sent=True, as_before=True)


@pytest.mark.parametrize(
    ("columns", "by_others", "since", "arrived", "typed_over"),
    [
        ({"a": SENT, "b": SENT}, False, True, True, ""),
        ({"a": SENT, "b": NEITHER}, True, False, True, "b"),  # it arrived whole, so that was typed over it
        ({"a": SENT, "b": NEITHER}, False, True, True, ""),  # the CRM's own way of showing it
        ({"a": SENT, "b": BEFORE}, True, True, True, ""),
        ({"a": NEITHER, "b": SAME}, True, True, False, "a"),
        ({"a": NEITHER, "b": BEFORE}, True, True, False, "a"),
        ({"a": NEITHER}, True, False, False, ""),  # saved before ours was sent: ours was refused, and newest wins
        ({"a": BEFORE}, True, True, False, ""),
        ({"a": SAME}, False, False, True, ""),
    ],
)
def test_what_columns_tell_of_an_update_whose_answer_was_lost(
    columns: dict[str, Column], by_others: bool, since: bool, arrived: bool, typed_over: str
) -> None:
    assert judge(columns, by_others=by_others, since=since) == Found(arrived=arrived, typed_over=frozenset(typed_over))


@pytest.mark.parametrize("lie", ["fall after", "lose"])
@pytest.mark.parametrize("side", SIDES)
def test_a_lead_that_is_disqualified_right_after_it_was_made_stays_so(desk: Bench, side: Side, lie: Lie) -> None:
    """Its answer was lost; the one that it was made from is edited later, and has not moved."""
    mine, theirs = desk.crm(side), desk.crm(other(side))
    desk.sync()
    here = mine.add("lead", last_name="Ode", company="Acme", email="ode@example.com")
    if lie == "fall after":
        _falls_once(desk, other(side), "create", "lead", lie)
    else:
        _lies_once(desk, other(side), "create", "lead", lie)
        desk.sync()
    [made] = theirs.live("lead")
    theirs.set_status("lead", made.id, {"left": "Unqualified", "right": "lost"}[other(side)])
    mine.edit("lead", here, phone="0731 1")
    desk.settled()
    assert [crm.read("lead", id)["state"] for crm, id in ((mine, here), (theirs, made.id))] == ["disqualified"] * 2
    assert theirs.read("lead", made.id)["phone"] == "0731 1"

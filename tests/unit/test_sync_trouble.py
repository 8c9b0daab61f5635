"""One call of each kind that goes wrong in each way: done once, written down once, and nothing is left over."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import pytest

from connectors.base import Write
from crmbridge.model import SIDES, Entity, Link, Outcome, Side, Unknown, Written, other
from crmbridge.state.words import Batch, Issue, Lease
from tests.support.engine import Bench, Crm, Fell, Lie, bench, wanted

LIES: tuple[Lie, ...] = ("refuse", "lose", "drop", "later", "stale", "fall before", "fall after")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Bench]:
    with bench(f"sqlite:///{tmp_path}/state.sqlite3") as made:
        yield made


@dataclass(frozen=True, slots=True)
class Matter:
    """What a person does, the call of ours that it leads to, and how one sees on the other side that it was done."""

    entity: Entity
    call: str
    before: Callable[[Bench, Side], str]
    act: Callable[[Bench, Side, str], None]
    done: Callable[[Bench, Side, str], bool]


def _lead(desk: Bench, side: Side) -> str:
    return desk.lead_pair(phone="1")[0 if side == "left" else 1]


def _deal(desk: Bench, side: Side) -> str:
    return desk.deal_pair(amount=Decimal(10))[0 if side == "left" else 1]


def _there(desk: Bench, side: Side, entity: Entity, id: str) -> dict[str, object]:
    partner = desk.partner(side, entity, id)
    return desk.crm(other(side)).read(entity, partner) if partner else {}


def _win(desk: Bench, side: Side, id: str) -> None:
    amount = {"left": "amount", "right": "actual"}[side]
    desk.crm(side).set_status("opportunity", id, {"left": "Closed Won", "right": "won"}[side], **{amount: Decimal(12)})


MATTERS = {
    "create": Matter(
        "lead",
        "create",
        lambda desk, side: desk.crm(side).add("lead", last_name="Boxer", company="Acme"),
        lambda desk, side, id: None,
        lambda desk, side, id: _there(desk, side, "lead", id).get("last_name") == "Boxer",
    ),
    "update": Matter(
        "lead",
        "update",
        _lead,
        lambda desk, side, id: desk.crm(side).edit("lead", id, phone="2"),
        lambda desk, side, id: _there(desk, side, "lead", id).get("phone") == "2",
    ),
    "disqualify": Matter(
        "lead",
        "status",
        _lead,
        lambda desk, side, id: desk.crm(side).set_status("lead", id, {"left": "Unqualified", "right": "lost"}[side]),
        lambda desk, side, id: _there(desk, side, "lead", id).get("state") == "disqualified",
    ),
    "convert": Matter(
        "lead",
        "convert",
        _lead,
        lambda desk, side, id: desk.crm(side).convert_lead(id) and None,
        lambda desk, side, id: _there(desk, side, "lead", id).get("state") == "converted",
    ),
    "win": Matter(
        "opportunity",
        "win",
        _deal,
        _win,
        lambda desk, side, id: _there(desk, side, "opportunity", id).get("state") == "won",
    ),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("name", MATTERS)
def test_once_and_written_down_once(desk: Bench, name: str, lie: Lie) -> None:
    matter = MATTERS[name]
    side = SIDES[(list(MATTERS).index(name) + LIES.index(lie)) % 2]
    there = desk.crm(other(side))
    id = matter.before(desk, side)
    matter.act(desk, side, id)
    told: list[str] = []

    def lies(kind: str, entity: Entity, native: str | None) -> Lie | None:
        if kind == matter.call and entity == matter.entity and not told:
            told.append(kind)
            return lie
        return None

    there.lies = lies
    try:
        desk.sync()
    except Fell:
        assert lie.startswith("fall")
    assert told == [matter.call], "the call was made"
    if lie in ("refuse", "later"):
        assert not matter.done(desk, side, id)
    if lie == "refuse":
        [issue] = [each for each in desk.issues() if each.kind == "failed"]
        assert "a rule of ours does not allow it" in issue.message
        assert not [place for place in wanted(desk.engine.plan()) if place[1] == matter.entity], "not sent again"
        desk.store.release_issues(None, "ada", "the rule is gone")
    desk.settled()
    assert matter.done(desk, side, id)
    assert desk.issues() == []
    assert desk.store.open_intents() == []
    done = Counter((entity, native) for kind, entity, native in there.ours if kind == matter.call)
    assert set(done.values()) == {1}, f"{matter.call} was carried out {done}"
    for (entity, native), count in Counter((entity, native) for _, entity, native in there.ours).items():
        rows = desk.store.journal(side=other(side), native_id=native)
        assert len([row for row in rows if row.entity == entity]) == count, rows


@pytest.mark.parametrize("before", ["the read-back", "a lost answer is looked for", "the run that died is made good"])
@pytest.mark.parametrize("name", [name for name in MATTERS if name != "convert"])  # a converted lead is read-only
@pytest.mark.parametrize("side", SIDES)
def test_an_edit_right_after_our_write_is_an_edit(desk: Bench, side: Side, name: str, before: str) -> None:
    matter = MATTERS[name]
    there = desk.crm(other(side))
    id = matter.before(desk, side)
    matter.act(desk, side, id)
    lie: Lie = {"the read-back": "meddle", "a lost answer is looked for": "lose"}.get(before, "fall after")  # type: ignore[assignment]
    there.lies = lambda kind, entity, native: lie if kind == matter.call and not there.meddled else None
    try:
        desk.sync()
    except Fell:
        assert lie == "fall after"
    if lie != "meddle":
        [(_, entity, native)] = [one for one in there.ours if one[0] == matter.call and one[1] == matter.entity][-1:]
        there.meddle(entity, native)
    assert there.meddled == 1
    desk.settled()
    field = "description" if matter.entity == "opportunity" else "phone"
    assert _there(desk, side, matter.entity, id)[field] == "by hand 1"
    assert desk.crm(side).read(matter.entity, id)[field] == "by hand 1"
    assert desk.issues() == []


@pytest.mark.parametrize("side", SIDES)
def test_a_step_of_somebody_else_right_after_ours_is_followed(desk: Bench, side: Side) -> None:
    id = _deal(desk, side)
    there, statuses = desk.crm(other(side)), {"left": ("Analysis", "Proposal"), "right": ("develop", "propose")}
    desk.crm(side).set_status("opportunity", id, statuses[side][0])

    def meddle(entity: Entity, native: str) -> None:
        there.set_status(entity, native, statuses[other(side)][1])
        there.lies = lambda kind, entity, native: None

    there.meddle = meddle  # type: ignore[method-assign]
    there.lies = lambda kind, entity, native: "meddle" if kind == "stage" else None
    desk.settled()
    assert _there(desk, side, "opportunity", id)["status"] == statuses[other(side)][1]
    assert desk.crm(side).read("opportunity", id)["status"] == statuses[side][1]
    assert len([one for one in there.ours if one[0] == "stage"]) == 1


@pytest.mark.parametrize("side", SIDES)
def test_a_conversion_that_never_arrived_may_become_another_case(desk: Bench, side: Side) -> None:
    """The lead was disqualified there before anybody looked: C7, and not a run that stops at the ledger for ever."""
    id = _lead(desk, side)
    desk.crm(side).convert_lead(id)
    there = desk.crm(other(side))
    there.lies = lambda kind, entity, native: "fall before" if kind == "convert" else None
    with pytest.raises(Fell):
        desk.sync()
    there.lies = lambda kind, entity, native: None
    partner = desk.partner(side, "lead", id)
    assert partner is not None
    there.set_status("lead", partner, {"left": "Unqualified", "right": "lost"}[other(side)])
    desk.settled()
    assert there.read("lead", partner)["state"] == "converted"
    assert [(row.state, row.from_side) for row in desk.store.conversions()] == [("done", side)]


def test_a_conversion_that_was_undone_before_anybody_looked_is_not_carried_out_again(desk: Bench) -> None:
    lead = _lead(desk, "left")
    desk.north.convert_lead(lead)
    desk.south.lies = lambda kind, entity, native: "fall after" if kind == "convert" else None
    with pytest.raises(Fell):
        desk.sync()
    desk.south.lies = lambda kind, entity, native: None
    partner = desk.must(lead, "lead")
    desk.south.set_status("lead", partner, "new")  # opened again (C11)
    desk.settled()
    assert [kind for kind, _, _ in desk.south.ours if kind == "convert"] == ["convert"]
    assert desk.causes() == {"C11"}
    for entity in ("account", "contact", "opportunity"):
        made = desk.north.read("lead", lead)[f"{entity}_id"]
        assert desk.partner("left", entity, made) == desk.south.read("lead", partner)[f"{entity}_id"]


def test_nothing_more_is_sent_about_a_record_whose_answer_was_lost(desk: Bench) -> None:
    """Its account comes twice in a cycle; the second time somebody must look first, and that is the next run's."""
    account = desk.north.add("account", name="Acme", city="Ulm")
    desk.north.add("opportunity", name="Deal", account_id=account)
    calls: list[str] = []

    def lies(kind: str, entity: Entity, native: str | None) -> Lie | None:
        if entity == "account":
            calls.append(kind)
            return "drop"
        return None

    desk.south.lies = lies
    desk.sync()
    assert calls == ["create"]
    desk.south.lies = lambda kind, entity, native: None
    desk.settled()
    assert desk.partner("left", "account", account) is not None


def test_a_refused_create_is_no_trouble_any_more_once_a_merge_gave_the_record_a_partner(desk: Bench) -> None:
    linked, _ = desk.lead_pair()
    refused = desk.north.add("lead", last_name="Boxer", company="Acme")
    desk.south.lies = lambda kind, entity, native: "refuse" if kind == "create" else None
    desk.sync()
    assert desk.causes() == {"RULE"}
    desk.south.lies = lambda kind, entity, native: None
    desk.north.merge("lead", linked, refused)
    desk.settled()
    assert desk.partner("left", "lead", refused) is not None
    assert "RULE" not in desk.causes()


def test_a_value_that_cannot_be_written_at_creation_stays_an_issue_of_the_pair(desk: Bench) -> None:
    lead = desk.north.add("lead", last_name="Boxer", company="Acme", email="no address")
    desk.settled()
    there = desk.must(lead, "lead")
    assert desk.south.read("lead", there).get("email") is None
    [issue] = desk.issues("invalid_email")
    assert (issue.kind, issue.link_id is not None) == ("held", True)
    assert "no address" not in issue.message
    desk.north.edit("lead", lead, email="b@acme.example")
    desk.settled()
    assert desk.south.read("lead", there)["email"] == "b@acme.example"
    assert desk.issues() == []


@pytest.mark.slow
@pytest.mark.parametrize("side", SIDES)
def test_a_late_edit_of_a_converted_lead_survives_a_run_that_ends_at_any_commit(desk: Bench, side: Side) -> None:
    """It is written to the contact that the lead became, and from there to the contact's partner (L12)."""
    apply, number = desk.store.apply, 0
    left = [0]  # commits until the run breaks off

    def falls(batch: Batch, *, lease: Lease) -> list[Issue]:
        news = apply(batch, lease=lease)
        left[0] -= batch != Batch()
        if not left[0]:
            raise Fell("the machine went down")
        return news

    while left[0] <= 0:
        number += 1
        lead = desk.lead_pair(phone="0")[0 if side == "left" else 1]
        desk.crm(side).convert_lead(lead)
        desk.settled()
        desk.crm(side).edit("lead", lead, phone="late")
        desk.store.apply, left[0] = falls, number  # type: ignore[method-assign]
        with suppress(Fell):
            desk.sync()
        desk.store.apply = apply  # type: ignore[method-assign]
        desk.settled()
        phones = [one.columns["phone"] for each in SIDES for one in desk.crm(each).live("contact")]
        assert phones == ["late"] * 2 * number, f"ended after commit {number}"
    assert number > 3


def _sync_whose_writes_are_on_their_way(desk: Bench, theirs: Crm, monkeypatch: pytest.MonkeyPatch) -> list[Write]:
    """Nobody hears what becomes of them, and for ten minutes they may still land."""
    desk.engine.options = replace(desk.engine.options, settle_seconds={"left": 600.0, "right": 600.0})
    on_their_way: list[Write] = []

    def loses(writes: Sequence[Write]) -> list[Outcome]:
        on_their_way.extend(writes)
        return [Unknown(message="the connection broke") for _ in writes]

    with monkeypatch.context() as patch:
        patch.setattr(theirs, "write", loses)
        desk.sync()
    return on_their_way


@pytest.mark.parametrize("side", SIDES)
def test_a_create_that_may_still_land_is_waited_for(desk: Bench, side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody types the same lead over there meanwhile; to take that one would leave what lands without a partner."""
    mine, theirs = desk.crm(side), desk.crm(other(side))
    ada = {"last_name": "Ada", "company": "Ada Ltd", "email": "ada@example.com"}
    here = mine.add("lead", **ada)
    on_their_way = _sync_whose_writes_are_on_their_way(desk, theirs, monkeypatch)
    typed = theirs.add("lead", **ada)
    for _ in range(2):
        desk.sync()
        assert [one.kind for one in desk.store.open_intents()] == ["create"]
        assert desk.partner(side, "lead", here) is None

    [outcome] = theirs.write(on_their_way)
    assert isinstance(outcome, Written)
    desk.settled()
    assert desk.partner(side, "lead", here) == outcome.id
    assert [row.kind for row in desk.store.journal(side=other(side), native_id=outcome.id)] == ["create"]
    assert desk.partner(other(side), "lead", typed) not in (None, here)


@pytest.mark.parametrize("edited", ["there", "there, then here", "here, then there"])
@pytest.mark.parametrize("side", SIDES)
def test_an_edit_while_a_create_may_still_land_is_an_edit(
    desk: Bench, side: Side, edited: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cycles go on meanwhile and read the record as it is now; it is not what the new one was made from."""
    mine, theirs = desk.crm(side), desk.crm(other(side))
    ada = mine.add("lead", last_name="Ada", company="Ada Ltd", city="Turin")
    on_their_way = _sync_whose_writes_are_on_their_way(desk, theirs, monkeypatch)
    if edited != "here, then there":
        mine.edit("lead", ada, phone="1", city=None)
        desk.sync()
    [outcome] = theirs.write(on_their_way)
    assert isinstance(outcome, Written)
    if edited != "there":
        theirs.edit("lead", outcome.id, phone="2", city="Rome")
    if edited == "here, then there":
        mine.edit("lead", ada, phone="1", city=None)
    desk.settled()
    wanted = {"phone": "2", "city": "Rome"} if edited == "there, then here" else {"phone": "1", "city": None}
    for crm, id in ((mine, ada), (theirs, outcome.id)):
        assert {name: crm.read("lead", id)[name] for name in wanted} == wanted
    assert desk.issues() == []


@pytest.mark.parametrize("end", ["deleted", "merged", "merged the other way"])
def test_a_lost_create_whose_source_got_another_partner_is_left_to_a_person(desk: Bench, end: str) -> None:
    """A conversion does so with accounts: it links what it made on both sides. The run that looks for the created one
    must not stop at that, and neither must all that follow."""
    source = desk.south.add("lead", last_name="Ada", company="Ada Ltd", email="ada@example.com")
    desk.north.lies = lambda kind, entity, id: "fall after" if kind == "create" else None
    with suppress(Fell):
        desk.sync()
    desk.north.lies = lambda kind, entity, id: None
    assert [one.kind for one in desk.store.open_intents()] == ["create"]
    (made,) = (one.id for one in desk.north.live("lead"))
    rival = desk.north.add("lead", last_name="Rival", company="Rival Ltd", email="rival@example.com")
    link = Link(id="rival", entity="lead", left_id=rival, right_id=source, mode="matched", how="by somebody")
    lease = desk.store.take_lease("another", 60)
    desk.store.apply(Batch(links=[link]), lease=lease)

    desk.settled()
    assert desk.store.open_intents() == []
    assert desk.partner("right", "lead", source) == rival
    assert [one.native_id for one in desk.issues("ambiguous_match")] == [made]
    desk.north.edit("lead", made, phone="1")
    desk.settled()
    assert [one.native_id for one in desk.issues("ambiguous_match")] == [made]
    assert len(desk.south.live("lead")) == 1, "the one that is left over gets no partner of its own"

    if end == "deleted":
        desk.north.delete("lead", made)
    else:
        loser, winner = (made, rival) if end == "merged" else (rival, made)
        desk.north.merge("lead", loser, winner)
    desk.settled()
    assert desk.issues("ambiguous_match") == []
    assert desk.partner("right", "lead", source) == (made if end == "merged the other way" else rival)
    assert len(desk.south.live("lead")) == 1


def test_the_filler_of_a_create_is_known_again_after_a_lost_answer(tmp_path: Path) -> None:
    """South has no date; north wants one and gets ours, which never goes back as if a person had typed it."""
    text = """
entity: opportunity
north: {table: opportunity}
south: {table: opportunity}
match: [[account, name]]
fields:
  name: {north: name, south: name, required: true}
  account: {north: account_id, south: account_id, link: account}
  close_date: {north: close_date, south: estimated_date, convert: date, filler: {north: created + 90 days}}
stage:
  qualify: {state: open, north: Prospecting, south: qualify}
"""
    with bench(f"sqlite:///{tmp_path}/state.sqlite3", mappings={"opportunity.yaml": text}) as desk:
        deal = desk.south.add("opportunity", name="Deal")
        desk.north.lies = lambda kind, entity, native: "fall after" if kind == "create" else None
        with pytest.raises(Fell):
            desk.sync()
        desk.north.lies = lambda kind, entity, native: None
        desk.settled()
        there = desk.must(deal, "opportunity", "right")
        assert desk.north.read("opportunity", there)["close_date"] is not None
        desk.north.edit("opportunity", there, name="Big deal")
        desk.settled()
        assert desk.south.read("opportunity", deal).get("estimated_date") is None
        assert desk.south.read("opportunity", deal)["name"] == "Big deal"

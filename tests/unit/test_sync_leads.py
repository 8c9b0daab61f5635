"""Rows L1 to L15 of the life-cycle tables, each with its default, between two whole companies."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.base import Page
from crmbridge.model import SIDES, Side, other
from tests.support.engine import MAPPINGS, Bench, bench, wanted


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Bench]:
    with bench(f"sqlite:///{tmp_path}/state.sqlite3") as made:
        yield made


def both_ways(row: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("side", SIDES, ids=[f"{row} north to south", f"{row} south to north"])


def only(row: str, side: Side = "left") -> pytest.MarkDecorator:
    return pytest.mark.parametrize("side", [side], ids=[row])


def on(desk: Bench, side: Side, pair: tuple[str, str]) -> tuple[str, str]:
    """(id here, id there)"""
    del desk
    return pair if side == "left" else (pair[1], pair[0])


STATUS = {"left": {"contacted": "Working", "lost": "Unqualified"}, "right": {"contacted": "contacted", "lost": "lost"}}


@both_ways("L1")
def test_a_new_lead_is_created_there(desk: Bench, side: Side) -> None:
    lead = desk.crm(side).add("lead", last_name="Boxer", company="Acme", email="b@acme.example")
    ran = desk.sync()
    there = desk.must(lead, "lead", side)
    columns = desk.crm(other(side)).read("lead", there)
    assert (columns["last_name"], columns["company"], columns["state"]) == ("Boxer", "Acme", "open")
    assert any("(L1)" in event.reason for event in ran.events if event.kind == "create")
    assert not wanted(desk.engine.plan())


@both_ways("L1")
def test_a_new_lead_that_is_there_already_is_linked(desk: Bench, side: Side) -> None:
    """Matched by e-mail and name; blanks are filled both ways, what differs is left for one choice."""
    here = desk.crm(side).add("lead", last_name="Boxer", email="b@acme.example", phone="1")
    there = desk.crm(other(side)).add("lead", last_name="BOXER", email="B@acme.example", company="Acme")
    desk.settled()
    assert desk.partner(side, "lead", here) == there
    assert desk.crm(side).read("lead", here)["company"] == "Acme"
    assert desk.crm(other(side)).read("lead", there)["phone"] == "1"
    assert desk.crm(side).read("lead", here)["last_name"] == "Boxer"
    assert desk.causes() == {"first_run_conflict"}


@both_ways("L2")
def test_an_edit_crosses_alone(desk: Bench, side: Side) -> None:
    here, there = on(desk, side, desk.lead_pair())
    desk.crm(side).edit("lead", here, phone="2", rating="hot")
    desk.crm(other(side)).edit("lead", there, city="Ulm")
    ran = desk.sync()
    for crm, lead in ((desk.crm(side), here), (desk.crm(other(side)), there)):
        assert [crm.read("lead", lead).get(name) for name in ("phone", "rating", "city")] == ["2", "hot", "Ulm"]
    written = {name for event in ran.events if event.kind == "update" for name in event.fields}
    assert written == {"phone", "rating", "city"}
    assert all("(L2)" in event.reason for event in ran.events if event.kind == "update")


@both_ways("L3")
def test_an_open_status_crosses(desk: Bench, side: Side) -> None:
    here, there = on(desk, side, desk.lead_pair())
    desk.crm(side).set_status("lead", here, STATUS[side]["contacted"])
    desk.sync()
    assert desk.crm(other(side)).read("lead", there)["status"] == STATUS[other(side)]["contacted"]
    assert "L3" in desk.cases()


def test_l3_the_finer_status_stays_while_it_means_the_same(desk: Bench) -> None:
    here, there = desk.lead_pair()
    desk.north.set_status("lead", here, "Nurturing")
    desk.settled()
    assert desk.south.read("lead", there)["status"] == "contacted"
    desk.south.edit("lead", there, phone="9")
    desk.settled()
    assert desk.north.read("lead", here)["status"] == "Nurturing"


@pytest.mark.parametrize(
    ("reason", "native"),
    [
        ("lost", "lost"),
        ("cannot_contact", "cannot contact"),
        ("no_longer_interested", "no longer interested"),
        ("canceled", "canceled"),
    ],
    ids=["L4 lost", "L4 cannot contact", "L4 no longer interested", "L4 canceled"],
)
def test_disqualified_there_for_a_reason(desk: Bench, reason: str, native: str) -> None:
    """North has one status for all; the reason stays known for the way back."""
    here, there = desk.lead_pair()
    desk.south.set_status("lead", there, native)
    desk.settled()
    assert desk.north.read("lead", here)["status"] == "Unqualified"
    link = desk.link("left", "lead", here)
    assert link is not None
    assert link.base.left_axes.status == link.base.right_axes.status == reason
    desk.north.edit("lead", here, phone="5")
    desk.settled()
    assert desk.south.read("lead", there)["status"] == native


@only("L4")
def test_disqualified_here_gets_the_first_reason_there(desk: Bench, side: Side) -> None:
    here, there = desk.lead_pair()
    desk.crm(side).set_status("lead", here, "Unqualified")
    desk.sync()
    assert desk.south.read("lead", there)["status"] == "lost"
    assert "L4" in desk.cases()


@only("L4")
def test_disqualified_is_held_where_an_opportunity_hangs_on_the_lead(desk: Bench, side: Side) -> None:
    here, there = desk.lead_pair()
    desk.south.edit("lead", there, opportunity_id=desk.south.add("opportunity", name="Hangs on it"))
    desk.settled()
    desk.crm(side).set_status("lead", here, "Unqualified")
    desk.settled()
    assert desk.south.read("lead", there)["state"] == "open"
    assert "L4" in desk.causes()


@both_ways("L5")
def test_opened_again_goes_to_the_last_open_status(desk: Bench, side: Side) -> None:
    here, there = on(desk, side, desk.lead_pair())
    finer = {"left": "Nurturing", "right": "contacted"}[other(side)]
    desk.crm(other(side)).set_status("lead", there, finer)
    desk.settled()
    desk.crm(side).set_status("lead", here, STATUS[side]["lost"])
    desk.settled()
    assert desk.crm(other(side)).read("lead", there)["state"] == "disqualified"
    desk.crm(side).set_status("lead", here, STATUS[side]["contacted"])
    desk.sync()
    assert "L5" in desk.cases()
    assert desk.crm(other(side)).read("lead", there)["status"] == finer
    desk.settled()


@only("L6")
def test_a_label_that_contradicts_the_flag_is_reported_and_written_nowhere(desk: Bench, side: Side) -> None:
    here, there = desk.lead_pair()
    desk.crm(side).edit("lead", here, status="Converted", phone="7")  # says so, but nobody converted it
    desk.settled()
    assert desk.south.read("lead", there)["status"] == "new"
    assert desk.south.read("lead", there)["phone"] == "7"
    [issue] = desk.issues("L6")
    assert issue.kind == "report"
    assert "(L6)" in issue.message
    desk.crm(side).edit("lead", here, status="Working")
    desk.settled()
    assert desk.south.read("lead", there)["status"] == "contacted"
    assert not desk.issues("L6")


@both_ways("L7")
def test_the_owner_crosses_by_email_or_stays(desk: Bench, side: Side) -> None:
    here, there = on(desk, side, desk.lead_pair(owner_id="user-person"))
    desk.crm(side).edit("lead", here, owner_id="user-ada")
    ran = desk.sync()
    assert desk.crm(other(side)).read("lead", there)["owner_id"] == "user-ada"
    assert any("(L7)" in event.reason for event in ran.events)
    desk.crm(side).edit("lead", here, owner_id="a-queue", city="Bonn")
    desk.settled()
    assert desk.crm(other(side)).read("lead", there)["owner_id"] == "user-ada"
    assert desk.crm(other(side)).read("lead", there)["city"] == "Bonn"
    assert {issue.kind for issue in desk.issues("owner_not_user")} == {"report"}


def test_a_queue_and_a_team_are_one_owner_where_a_table_says_so(tmp_path: Path) -> None:
    table = 'values: {owners: {inbound: {north: "queue:Inbound", south: "team:Inbound Sales"}}}\n'
    text = MAPPINGS["lead.yaml"].replace("convert: user", "convert: user, values: owners")
    groups: dict[Side, tuple[str, ...]] = {"left": ("Inbound", "Other"), "right": ("Inbound Sales",)}
    with bench(f"sqlite:///{tmp_path}/state.sqlite3", mappings={"lead.yaml": text + table}, groups=groups) as desk:
        here, there = desk.lead_pair(owner_id="user-person")
        desk.north.edit("lead", here, owner_id="Inbound")
        desk.settled()
        assert desk.south.read("lead", there)["owner_id"] == "Inbound Sales"
        desk.south.edit("lead", there, owner_id="user-ada")
        desk.settled()
        assert desk.north.read("lead", here)["owner_id"] == "user-ada"
        desk.south.edit("lead", there, owner_id="Inbound Sales")
        desk.settled()
        assert desk.north.read("lead", here)["owner_id"] == "Inbound"
        assert not desk.issues()
        desk.north.edit("lead", here, owner_id="Other", city="Bonn")  # in no row: it stays, and that is told
        desk.settled()
        assert desk.south.read("lead", there)["owner_id"] == "Inbound Sales"
        assert desk.south.read("lead", there)["city"] == "Bonn"
        assert {issue.kind for issue in desk.issues("owner_not_user")} == {"report"}


@both_ways("L8")
def test_a_deleted_lead_ends_the_pair_and_is_listed(desk: Bench, side: Side) -> None:
    here, there = on(desk, side, desk.lead_pair())
    desk.crm(side).delete("lead", here)
    desk.settled()
    assert not desk.crm(other(side)).tables["lead"][there].deleted
    assert [issue.kind for issue in desk.issues("L8")] == ["report"]
    # A tombstone is never matched or created again, whatever happens to the one that stayed.
    desk.crm(other(side)).edit("lead", there, phone="3")
    desk.settled()
    assert desk.partner(other(side), "lead", there) is None
    assert len(desk.crm(side).live("lead")) == 0


@both_ways("L9")
def test_a_restored_lead_lives_again_with_its_partner(desk: Bench, side: Side) -> None:
    here, there = on(desk, side, desk.lead_pair())
    desk.crm(side).delete("lead", here)
    desk.settled()
    desk.crm(other(side)).edit("lead", there, phone="4")
    desk.settled()
    desk.crm(side).restore("lead", here)
    desk.settled()
    assert desk.partner(side, "lead", here) == there
    assert desk.crm(side).read("lead", here)["phone"] == "4"
    assert not desk.issues("L8")


@both_ways("L9")
def test_what_could_not_be_written_to_a_restored_lead_at_once_is_written_later(desk: Bench, side: Side) -> None:
    here, there = on(desk, side, desk.lead_pair())
    desk.crm(side).delete("lead", here)
    desk.settled()
    desk.crm(other(side)).edit("lead", there, phone="4")
    desk.settled()
    desk.crm(side).restore("lead", here)
    desk.crm(side).lies = lambda kind, entity, id: "later" if kind == "update" else None
    desk.sync()
    desk.crm(side).lies = lambda kind, entity, id: None
    desk.settled()
    assert desk.crm(side).read("lead", here)["phone"] == "4"


@both_ways("L10")
def test_merged_with_both_linked_is_for_a_person(desk: Bench, side: Side) -> None:
    loser, winner = desk.lead_pair(), desk.lead_pair()
    here, there = on(desk, side, loser), on(desk, other(side), winner)
    desk.crm(side).merge("lead", here[0], there[1])
    desk.settled()
    [issue] = desk.issues("L10")
    assert issue.kind == "held"
    assert "(L10)" in issue.message
    assert not desk.crm(other(side)).tables["lead"][here[1]].deleted
    # The person merges the partners as well: the matter is over.
    desk.crm(other(side)).merge("lead", here[1], there[0])
    desk.settled()
    assert not desk.issues("L10")
    assert desk.partner(side, "lead", there[1]) == there[0]


@both_ways("L11")
def test_merged_with_only_the_loser_linked_moves_the_link(desk: Bench, side: Side) -> None:
    loser, partner = on(desk, side, desk.lead_pair(phone="1"))
    winner = desk.crm(side).add("lead", last_name="Winner", company="Acme", city="Graz")
    desk.crm(side).merge("lead", loser, winner)
    desk.settled()
    assert desk.partner(side, "lead", winner) == partner
    assert len(desk.crm(other(side)).live("lead")) == 1, "no second partner for the winner (L11)"
    assert desk.crm(other(side)).read("lead", partner)["city"] == "Graz"  # blanks are filled
    assert desk.crm(side).read("lead", winner)["phone"] == "1"
    assert "first_run_conflict" in desk.causes()  # two names, and nobody has decided


def _converted(desk: Bench, side: Side) -> tuple[str, str]:
    here, there = on(desk, side, desk.lead_pair(city="Ulm", phone="1", rating="hot"))
    desk.crm(side).convert_lead(here)
    desk.settled()
    return here, there


@both_ways("L12")
def test_a_late_edit_goes_to_what_the_lead_became(desk: Bench, side: Side) -> None:
    here, there = _converted(desk, side)
    desk.crm(side).edit("lead", here, phone="2", company="Acme & Sons")
    desk.settled()
    for at, lead in ((side, here), (other(side), there)):
        crm = desk.crm(at)
        made = crm.read("lead", lead)
        assert crm.read("contact", made["contact_id"])["phone"] == "2"
        assert crm.read("account", made["account_id"])["name"] == "Acme & Sons"
    assert desk.crm(other(side)).read("lead", there)["phone"] == "1"  # never written to again
    assert desk.causes() == set()


@both_ways("L12")
def test_a_late_edit_is_held_where_it_has_no_place(desk: Bench, side: Side) -> None:
    here, there = _converted(desk, side)
    contact = desk.crm(other(side)).read("lead", there)["contact_id"]
    desk.crm(other(side)).edit("contact", contact, phone="3")
    desk.settled()
    desk.crm(side).edit("lead", here, phone="2", rating="cold")
    desk.settled()
    assert desk.crm(other(side)).read("contact", contact)["phone"] == "3"
    [issue] = desk.issues("L12")
    assert (issue.kind, "(L12)" in issue.message) == ("held", True)
    assert "phone: the contact has another value" in issue.message
    assert "rating: no field" in issue.message


@both_ways("L13")
def test_an_edit_of_the_partner_in_the_same_minutes_survives_the_conversion(desk: Bench, side: Side) -> None:
    here, there = on(desk, side, desk.lead_pair(phone="1"))
    desk.crm(side).convert_lead(here)
    desk.crm(other(side)).edit("lead", there, phone="2")
    desk.settled()
    for at, lead in ((side, here), (other(side), there)):
        crm = desk.crm(at)
        assert crm.read("contact", crm.read("lead", lead)["contact_id"])["phone"] == "2", "L13"
    assert desk.causes() == set()


@both_ways("L14")
def test_a_deleted_converted_lead_leaves_its_results_linked(desk: Bench, side: Side) -> None:
    here, there = _converted(desk, side)
    made = dict(desk.crm(side).read("lead", here))
    desk.crm(side).delete("lead", here)
    desk.settled()
    [issue] = desk.issues("L14")
    assert issue.kind == "report"
    assert "(L14)" in issue.message
    assert not desk.crm(other(side)).tables["lead"][there].deleted
    for entity in ("account", "contact", "opportunity"):
        assert desk.partner(side, entity, made[f"{entity}_id"]) is not None


@only("L15")
def test_a_converted_lead_that_is_merged_away_is_held(desk: Bench, side: Side) -> None:
    here, there = _converted(desk, side)
    made = dict(desk.crm(side).read("lead", here))
    winner = desk.crm(side).add("lead", last_name="Open", company="Master")
    desk.crm(side).merge("lead", here, winner)
    desk.settled()
    [issue] = desk.issues("L15")
    assert issue.kind == "held"
    assert "(L15)" in issue.message
    assert desk.south.read("lead", there)["state"] == "converted"
    assert desk.partner(side, "contact", made["contact_id"]) is not None
    assert desk.partner(side, "lead", winner) not in (None, there)  # a lead of its own


@both_ways("L11")
def test_the_winner_of_a_merge_had_lost_its_own_partner_before(desk: Bench, side: Side) -> None:
    loser, partner = on(desk, side, desk.lead_pair())
    winner, gone = on(desk, side, desk.lead_pair())
    desk.crm(other(side)).delete("lead", gone)
    desk.settled()
    desk.crm(side).merge("lead", loser, winner)
    desk.settled()
    assert desk.partner(side, "lead", winner) == partner


@only("L4")
def test_disqualified_on_both_sides_keeps_the_finer_reason(desk: Bench, side: Side) -> None:
    here, there = desk.lead_pair()
    desk.north.set_status("lead", here, "Unqualified")
    desk.south.set_status("lead", there, "cannot contact")  # later
    desk.settled()
    link = desk.link(side, "lead", here)
    assert link is not None
    assert link.base.left_axes.status == link.base.right_axes.status == "cannot_contact"
    assert desk.south.read("lead", there)["status"] == "cannot contact"


def test_a_lead_typed_into_both_crms_at_once_is_one_lead(desk: Bench) -> None:
    """North is read before south, and Salesforce only up to a minute ago: the twin there is not read yet."""
    desk.clock.now = datetime.now(UTC) - timedelta(minutes=10)
    person = {"last_name": "Twin", "company": "Twin Ltd", "email": "twin@example.com"}
    desk.south.add("lead", **person)
    changes = desk.south.changes

    def meanwhile(source: str, cursor: str | None) -> Iterator[Page]:
        if not desk.north.live("lead"):
            desk.north.add("lead", **person)
        return changes(source, cursor)

    desk.south.changes = meanwhile
    desk.sync()
    desk.settled()
    (left,), (right,) = desk.north.live("lead"), desk.south.live("lead")
    assert desk.partner("left", "lead", left.id) == right.id


def test_a_lead_that_was_just_typed_waits_for_nothing(desk: Bench) -> None:
    desk.clock.now = datetime.now(UTC) - timedelta(minutes=10)
    desk.south.add("lead", last_name="Single", company="Single Ltd", email="single@example.com")
    desk.sync()
    assert [lead.columns["last_name"] for lead in desk.north.live("lead")] == ["Single"]

"""A status or a stage that no row of the table names, and that was chosen to be nobody's concern (L3, O3)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crmbridge.model import Entity, Shared, Side, other
from crmbridge.policy import Move, Policies, Policy, Segment
from crmbridge.sync import Options
from tests.support.engine import Bench, bench

IGNORE = Policies(base=Policy(move=Move(unmapped="ignore")))
OWN = "in legal review"  # no row of either table names it
both_sides = pytest.mark.parametrize("side", ["left", "right"], ids=["on north", "on south"])
both_kinds = pytest.mark.parametrize("entity", ["lead", "opportunity"])
# A row of each table as both sides write it: at first, and after a move.
FIRST = {"lead": {"left": "New", "right": "new"}, "opportunity": {"left": "Prospecting", "right": "qualify"}}
MOVED = {"lead": {"left": "Working", "right": "contacted"}, "opportunity": {"left": "Proposal", "right": "propose"}}
CLOSED = {"lead": {"left": "Unqualified", "right": "lost"}, "opportunity": {"left": "Closed Won", "right": "won"}}


@contextmanager
def desk(tmp_path: Path, policies: Policies = IGNORE) -> Iterator[Bench]:
    with bench(f"sqlite:///{tmp_path}/state.sqlite3", options=Options(policies=policies)) as made:
        yield made


def pair(one: Bench, entity: Entity) -> dict[Side, str]:
    left, right = one.lead_pair() if entity == "lead" else one.deal_pair()
    return {"left": left, "right": right}


def stands(one: Bench, entity: Entity, ids: dict[Side, str]) -> dict[Side, str]:
    return {side: one.crm(side).read(entity, ids[side])["status"] for side in ("left", "right")}


@both_kinds
@both_sides
def test_by_default_it_is_told_and_nothing_is_moved(tmp_path: Path, side: Side, entity: Entity) -> None:
    with desk(tmp_path, Policies()) as one:
        ids = pair(one, entity)
        one.crm(side).set_status(entity, ids[side], OWN)
        one.settled()
        assert stands(one, entity, ids)[other(side)] == FIRST[entity][other(side)]
        assert one.causes() == {"unmapped_status"}


@both_kinds
@both_sides
def test_ignored_it_is_not_told_and_each_side_is_moved_on_by_the_other(
    tmp_path: Path, side: Side, entity: Entity
) -> None:
    with desk(tmp_path) as one:
        ids, there = pair(one, entity), other(side)
        one.crm(side).set_status(entity, ids[side], OWN)
        one.settled()
        assert stands(one, entity, ids) == {side: OWN, there: FIRST[entity][there]}
        assert one.causes() == set()
        # Other fields go on, and they make no move of it.
        name = "last_name" if entity == "lead" else "description"
        one.crm(side).edit(entity, ids[side], **{name: "Changed"})
        one.settled()
        assert one.crm(there).read(entity, ids[there])[name] == "Changed"
        assert stands(one, entity, ids) == {side: OWN, there: FIRST[entity][there]}
        # A move over there is followed, whoever was edited last.
        one.crm(there).set_status(entity, ids[there], MOVED[entity][there])
        one.crm(side).edit(entity, ids[side], **{name: "Changed again"})
        one.settled()
        assert stands(one, entity, ids) == MOVED[entity]
        assert one.causes() == set()


@both_kinds
@both_sides
def test_what_comes_out_of_it_again_is_a_move_like_any_other(tmp_path: Path, side: Side, entity: Entity) -> None:
    with desk(tmp_path) as one:
        ids = pair(one, entity)
        one.crm(side).set_status(entity, ids[side], OWN)
        one.settled()
        one.crm(side).set_status(entity, ids[side], MOVED[entity][side])
        one.settled()
        assert stands(one, entity, ids) == MOVED[entity]
        one.crm(side).set_status(entity, ids[side], OWN)
        one.settled()
        one.crm(side).set_status(entity, ids[side], CLOSED[entity][side])
        one.settled()
        assert stands(one, entity, ids) == CLOSED[entity], "closes cross all the same"


@both_kinds
@both_sides
def test_a_new_one_is_made_at_the_first_row(tmp_path: Path, side: Side, entity: Entity) -> None:
    with desk(tmp_path) as one:
        crm, there = one.crm(side), other(side)
        fields = {"last_name": "Neu", "company": "Neu AG"} if entity == "lead" else {"name": "Neu"}
        here = crm.add(entity, status=OWN, **fields)
        one.settled()
        ids: dict[Side, str] = {side: here, there: one.must(here, entity, side)}
        assert stands(one, entity, ids) == {side: OWN, there: FIRST[entity][there]}
        assert one.causes() == set()
        crm.set_status(entity, here, MOVED[entity][side])
        one.settled()
        assert stands(one, entity, ids) == MOVED[entity]


@both_sides
def test_what_was_closed_before_is_told_all_the_same(tmp_path: Path, side: Side) -> None:
    """Whether it is open again or closed in another way only its row could tell: the partner stays, and it is said."""
    with desk(tmp_path) as one:
        ids = pair(one, "lead")
        one.crm(side).set_status("lead", ids[side], CLOSED["lead"][side])
        one.settled()
        one.crm(side).set_status("lead", ids[side], OWN)
        one.settled()
        assert stands(one, "lead", ids)[other(side)] == CLOSED["lead"][other(side)]
        assert one.causes() == {"unmapped_status"}


@both_sides
def test_a_deal_that_is_opened_again_into_it_is_opened_there_too(tmp_path: Path, side: Side) -> None:
    with desk(tmp_path) as one:
        ids = pair(one, "opportunity")
        one.crm(side).set_status("opportunity", ids[side], CLOSED["opportunity"][side])
        one.settled()
        one.crm(side).set_status("opportunity", ids[side], OWN)
        one.settled()
        assert stands(one, "opportunity", ids) == {side: OWN, other(side): FIRST["opportunity"][other(side)]}
        assert one.causes() == set()


def test_a_segment_has_a_choice_of_its_own(tmp_path: Path) -> None:
    def in_kiel(entity: Entity, shared: Shared) -> bool:
        return shared.fields.get("city") == "Kiel"

    kiel = Segment(name="kiel", fits=in_kiel, by_entity={"lead": {"move": {"unmapped": "ignore"}}})
    with desk(tmp_path, Policies(segments=[kiel])) as one:
        for city in ("Kiel", "Bonn"):
            here, _ = one.lead_pair(last_name=f"Berg {city}", city=city)
            one.north.set_status("lead", here, OWN)
        one.settled()
        [issue] = one.issues("unmapped_status")
        told = one.engine.store.links([issue.link_id or ""])[issue.link_id or ""]
        assert one.north.read("lead", told.left_id or "")["city"] == "Bonn"


def test_the_choice_is_taken_back_and_it_is_told_again(tmp_path: Path) -> None:
    with desk(tmp_path) as one:
        here, _ = one.lead_pair()
        one.north.set_status("lead", here, OWN)
        one.settled()
        one.engine.options = Options(policies=Policies())
        one.north.edit("lead", here, phone="1")
        one.settled()
        assert one.causes() == {"unmapped_status"}

"""An edit in the very second of the version that our write goes by: no version tells of it, and it is not lost."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from crmbridge.model import SIDES, Entity, Side, other
from crmbridge.state.words import PUT_BACK, Batch
from tests.support.engine import US, Bench, Fell, Lie, bench


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Bench]:
    with bench(f"sqlite:///{tmp_path}/state.sqlite3") as made:
        yield made


def _lies(desk: Bench, side: Side, lies: Mapping[tuple[str, Entity], list[Lie | Callable[[str], None]]]) -> None:
    """What happens at calls of this kind, one after another; a function is somebody's edit in the same second."""

    def liar(kind: str, entity: Entity, id: str | None) -> Lie | None:
        due = lies.get((kind, entity))
        if not due:
            return None
        next_one = due.pop(0)
        if not callable(next_one):
            return next_one
        assert id is not None
        with desk.crm(side).same_second(entity, id):
            next_one(id)
        return None

    desk.crm(side).lies = liar


def _deal(desk: Bench, side: Side) -> tuple[str, str]:
    """Edited here, and saved there a moment later, for another reason."""
    left, right = desk.deal_pair(amount="10")
    here, there = (left, right) if side == "left" else (right, left)
    desk.crm(side).edit("opportunity", here, description="first")
    desk.crm(other(side)).edit("opportunity", there, owner_id="user-ada")
    return here, there


def _descriptions(desk: Bench, side: Side, here: str, there: str) -> list[Any]:
    mine, theirs = desk.crm(side), desk.crm(other(side))
    return [mine.read("opportunity", here)["description"], theirs.read("opportunity", there)["description"]]


@pytest.mark.parametrize("lies", [[], ["lose"], ["drop"], ["later"], ["stale"], ["stale", "stale", "stale", "drop"]])
@pytest.mark.parametrize("side", SIDES)
def test_what_was_typed_there_in_the_same_second_is_put_back_and_comes_across(
    desk: Bench, side: Side, lies: list[Lie]
) -> None:
    """Whatever becomes of the call that puts it back."""
    here, there = _deal(desk, side)
    _lies(desk, other(side), {("update", "opportunity"): ["unseen", *lies]})
    for _ in range(3):
        desk.sync()
    desk.settled()
    assert _descriptions(desk, side, here, there) == ["by hand 1", "by hand 1"]
    assert desk.store.open_intents() == []
    told = desk.store.journal(side=other(side), native_id=there)
    assert any("put back" in row.reason for row in told)
    overwrote = next(row for row in told if row.after.get("description") == "first")
    assert overwrote.before["description"] == "by hand 1", "the journal tells what was really there"


@pytest.mark.parametrize("side", SIDES)
def test_it_is_put_back_after_a_run_that_ended_in_between(
    desk: Bench, side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written down with what made it necessary."""
    here, there = _deal(desk, side)
    _lies(desk, other(side), {("update", "opportunity"): ["unseen"]})
    apply = desk.store.apply

    def falls_after_it_was_written_down(batch: Batch, **words: Any) -> Any:
        news = apply(batch, **words)
        if any(one.key == PUT_BACK for one in batch.open_intents):
            raise Fell("the machine went down")
        return news

    with monkeypatch.context() as patch:
        patch.setattr(desk.store, "apply", falls_after_it_was_written_down)
        with pytest.raises(Fell):
            desk.sync()
    assert _descriptions(desk, side, here, there) == ["first", "first"]
    desk.settled()
    assert _descriptions(desk, side, here, there) == ["by hand 1", "by hand 1"]


@pytest.mark.parametrize("side", SIDES)
def test_what_is_typed_over_it_meanwhile_is_the_later_edit(
    desk: Bench, side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = _deal(desk, side)
    _lies(desk, other(side), {("update", "opportunity"): ["unseen", "fall before"]})
    with pytest.raises(Fell):
        desk.sync()
    desk.crm(other(side)).edit("opportunity", there, description="typed later")
    desk.settled()
    assert _descriptions(desk, side, here, there) == ["typed later", "typed later"]


@pytest.mark.parametrize("side", SIDES)
def test_who_goes_on_typing_while_it_is_put_back_is_given_way(desk: Bench, side: Side) -> None:
    here, there = _deal(desk, side)
    theirs = desk.crm(other(side))
    _lies(
        desk,
        other(side),
        {
            ("update", "opportunity"): [
                "unseen",
                lambda id: theirs.edit("opportunity", id, description="and once more"),
            ]
        },
    )
    desk.settled()
    assert _descriptions(desk, side, here, there) == ["and once more", "and once more"]


@pytest.mark.parametrize("side", SIDES)
def test_an_edit_that_is_newer_by_the_rules_stays(desk: Bench, side: Side) -> None:
    """What was typed in the second of the version we went by is as old as that version."""
    left, right = desk.deal_pair(amount="10")
    here, there = (left, right) if side == "left" else (right, left)
    desk.crm(other(side)).edit("opportunity", there, owner_id="user-ada")
    desk.crm(side).edit("opportunity", here, description="newer")
    _lies(desk, other(side), {("update", "opportunity"): ["unseen"]})
    desk.settled()
    assert _descriptions(desk, side, here, there) == ["newer", "newer"]
    assert desk.crm(other(side)).meddled == 1


@pytest.mark.parametrize("side", SIDES)
def test_what_we_do_not_write_is_no_reason_to_write(desk: Bench, side: Side) -> None:
    here, there = _deal(desk, side)
    theirs = desk.crm(other(side))
    _lies(
        desk,
        other(side),
        {("update", "opportunity"): [lambda id: theirs.edit("opportunity", id, name="renamed in the same second")]},
    )
    desk.settled()
    assert _descriptions(desk, side, here, there) == ["first", "first"]
    assert desk.crm(side).read("opportunity", here)["name"] == "renamed in the same second"
    assert not any("put back" in row.reason for row in desk.store.journal())


@pytest.mark.parametrize("side", SIDES)
def test_what_the_crm_refuses_to_take_back_is_told(desk: Bench, side: Side) -> None:
    here, there = _deal(desk, side)
    _lies(desk, other(side), {("update", "opportunity"): ["unseen", "refuse"]})
    desk.sync()
    assert _descriptions(desk, side, here, there) == ["first", "first"]
    (issue,) = desk.issues("RULE")
    assert issue.kind == "failed"


@pytest.mark.parametrize("side", SIDES)
def test_a_stage_that_was_set_in_the_same_second_is_put_back(desk: Bench, side: Side) -> None:
    left, right = desk.deal_pair(amount="10")
    here, there = (left, right) if side == "left" else (right, left)
    mine, theirs = desk.crm(side), desk.crm(other(side))
    mine.set_status("opportunity", here, "Analysis" if side == "left" else "develop")
    theirs.edit("opportunity", there, description="saved for another reason")
    stage = "propose" if side == "left" else "Proposal"
    _lies(desk, other(side), {("stage", "opportunity"): [lambda id: theirs.set_status("opportunity", id, stage)]})
    desk.settled()
    assert theirs.read("opportunity", there)["status"] == stage
    assert mine.read("opportunity", here)["status"] == ("Proposal" if side == "left" else "propose")
    (moved,) = (row for row in desk.store.journal(side=other(side), native_id=there) if row.kind == "stage")
    assert moved.before["status"] == stage


@pytest.mark.parametrize("side", SIDES)
def test_our_own_write_in_that_second_is_nobodys_edit(desk: Bench, side: Side) -> None:
    here, there = _deal(desk, side)
    theirs = desk.crm(other(side))
    _lies(
        desk,
        other(side),
        {("update", "opportunity"): [lambda id: theirs.edit("opportunity", id, by=US, description="ours, late")]},
    )
    desk.settled()
    assert _descriptions(desk, side, here, there) == ["first", "first"]

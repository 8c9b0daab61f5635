"""The ping-pong guard (reliability §7): who writes a field to and fro is held, who edits is not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crmbridge.model import Side
from crmbridge.pingpong import Wrote, swinging
from tests.support.engine import Bench, bench


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Bench]:
    with bench(f"sqlite:///{tmp_path}/state.sqlite3") as made:
        yield made


def wrote(side: Side, after: Any, field: str = "rating") -> Wrote:
    return Wrote(side=side, field=field, after=after)


@pytest.mark.parametrize(
    ("writes", "held"),
    [
        ([wrote("right", 1), wrote("left", "Hot")] * 2, True),  # an automation on each side
        ([wrote("right", 1)] * 4, True),  # undone each time
        ([wrote("right", 1), wrote("right", 2)] * 2, True),  # to and fro on the one side
        ([wrote("right", 1), wrote("left", "Hot"), wrote("right", 1)], False),  # three
        ([wrote("right", n) for n in range(4)], False),  # somebody who works
        ([wrote("right", 1), wrote("left", "Hot"), wrote("right", 2), wrote("left", "Cold")], False),
        ([wrote("right", 1)] * 3 + [wrote("right", 1, "phone")], False),  # another field
    ],
)
def test_it_swings_or_it_is_edited(writes: list[Wrote], held: bool) -> None:
    assert swinging(writes) == (frozenset({"rating"}) if held else frozenset())


def play(world: Bench, left: str, right: str, rounds: int) -> None:
    """An automation of each side insists on its own value."""
    for number in range(rounds):
        crm, id, value = (world.north, left, "Hot") if number % 2 else (world.south, right, "Cold")
        if crm.read("lead", id).get("rating") != value:
            crm.edit("lead", id, rating=value)
        world.sync()


def test_a_field_that_two_automations_fight_for_is_held_and_named(world: Bench) -> None:
    left, right = world.lead_pair(rating="Hot")
    play(world, left, right, 4)
    writes = len(world.north.ours) + len(world.south.ours)
    play(world, left, right, 4)
    assert len(world.north.ours) + len(world.south.ours) == writes, "it was written for a fifth time"
    (issue,) = world.issues("ping_pong")
    assert (issue.kind, issue.field, issue.entity) == ("held", "rating", "lead")
    assert "rating" in issue.message
    assert "retry" in issue.fix


def test_other_fields_of_the_pair_go_on(world: Bench) -> None:
    left, right = world.lead_pair(rating="Hot")
    play(world, left, right, 6)
    world.north.edit("lead", left, phone="0711 1")
    world.sync()
    assert world.south.read("lead", right)["phone"] == "0711 1"
    assert world.issues("ping_pong")


def test_a_person_may_let_it_try_again(world: Bench) -> None:
    left, right = world.lead_pair(rating="Hot")
    play(world, left, right, 6)
    (issue,) = world.issues("ping_pong")
    world.store.release_issues([issue.id or 0], "me", "the automation is off")
    world.settled()
    assert world.north.read("lead", left)["rating"] == world.south.read("lead", right)["rating"]
    assert not world.issues("ping_pong")


def test_a_status_that_goes_to_and_fro_is_held(world: Bench) -> None:
    left, right = world.lead_pair()
    for number in range(8):
        crm, id, status = (world.north, left, "Working") if number % 2 else (world.south, right, "new")
        crm.set_status("lead", id, status)
        world.sync()
    assert [issue.field for issue in world.issues("ping_pong")] == ["status"]
    moves = [kind for kind, _, _ in (*world.north.ours, *world.south.ours) if kind == "status"]
    assert len(moves) == 4


def test_whoever_edits_often_is_not_held(world: Bench) -> None:
    left, right = world.lead_pair(phone="1")
    for number in range(8):
        world.north.edit("lead", left, phone=f"0711 {number}")
        world.sync()
    assert world.south.read("lead", right)["phone"] == "0711 7"
    assert not world.issues("ping_pong")

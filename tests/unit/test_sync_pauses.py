"""What is paused is read, told and not written; nothing of it is lost when it is resumed."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crmbridge.guard import Cap, Caps
from crmbridge.model import SIDES, Side, other
from crmbridge.pauses import PAUSED
from crmbridge.policy import DEFAULT, Policies
from tests.support.engine import Bench, bench, wanted


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Bench]:
    with bench(f"sqlite:///{tmp_path}/state.sqlite3") as made:
        yield made


def pause(desk: Bench, entity: Any = None, side: Side | None = None, *, reading: bool = False) -> None:
    desk.store.begin_pause(entity, side, reading=reading, by="ada", why="an upgrade")


def resume(desk: Bench) -> int:
    return desk.store.end_pauses([one.id for one in desk.store.pauses()], "ada", "done", desk.engine.names)


def waiting(desk: Bench) -> dict[tuple[str, str], int]:
    return {(one.entity, one.connection): one.count for one in desk.store.pause_queues()}


def quiet(desk: Bench) -> tuple[int, int]:
    return len(desk.north.ours), len(desk.south.ours)


@pytest.mark.parametrize("side", SIDES)
def test_edits_creates_and_moves_wait_and_are_written_afterwards(desk: Bench, side: Side) -> None:
    here, there = desk.lead_pair() if side == "left" else desk.lead_pair()[::-1]
    crm, beyond = desk.crm(side), desk.crm(other(side))
    second = desk.lead_pair()[0 if side == "left" else 1]
    pause(desk, "lead")
    before = quiet(desk)
    crm.edit("lead", here, phone="2")
    crm.set_status("lead", second, "Unqualified" if side == "left" else "lost")
    fresh = crm.add("lead", last_name="New", company="New", email="new@new.example")
    for _ in range(2):
        ran = desk.sync()
        assert quiet(desk) == before
        assert not wanted(ran), "the guard is not asked about what is not written"
    name = desk.engine.names[other(side)]
    assert waiting(desk) == {("lead", name): 3}
    oldest = min(one.oldest for one in desk.store.pause_queues())
    desk.sync()
    assert min(one.oldest for one in desk.store.pause_queues()) == oldest, "it waits since it began to"
    assert resume(desk) == 3
    desk.settled()
    assert beyond.read("lead", there)["phone"] == "2"
    assert desk.partner(side, "lead", fresh) is not None
    assert beyond.read("lead", desk.must(second, "lead", side))["state"] == "disqualified"
    assert waiting(desk) == {}
    assert desk.issues(PAUSED) == []


def test_other_kinds_of_records_go_on(desk: Bench) -> None:
    deal, there = desk.deal_pair()
    pause(desk, "lead")
    desk.north.edit("opportunity", deal, description="x")
    desk.sync()
    assert desk.south.read("opportunity", there)["description"] == "x"


def test_a_paused_side_is_read_and_the_other_one_still_written(desk: Bench) -> None:
    left, right = desk.lead_pair()
    pause(desk, side="right")
    desk.south.edit("lead", right, city="Ulm")
    desk.north.edit("lead", left, phone="3")
    desk.sync()
    assert desk.north.read("lead", left)["city"] == "Ulm", "it is still read"
    assert desk.south.read("lead", right).get("phone") is None
    resume(desk)
    desk.settled()
    assert desk.south.read("lead", right)["phone"] == "3"


def test_a_conversion_waits_where_anything_it_makes_is_paused(desk: Bench) -> None:
    left, right = desk.lead_pair()
    pause(desk, "account", "right")
    desk.north.convert_lead(left, create_opportunity=True)
    for _ in range(2):
        desk.sync()
    assert desk.south.read("lead", right)["state"] == "open"
    assert desk.south.live("account") == []
    assert ("lead", desk.engine.names["right"]) in waiting(desk)
    resume(desk)
    desk.settled()
    assert desk.south.read("lead", right)["state"] == "converted"
    assert len(desk.south.live("account")) == 1
    assert len(desk.north.live("account")) == 1


def test_the_last_edit_is_written_and_an_edit_taken_back_is_not(desk: Bench) -> None:
    left, right = desk.lead_pair(phone="1")
    pause(desk)
    for phone in ("2", "3"):
        desk.north.edit("lead", left, phone=phone)
        desk.sync()
    desk.north.edit("lead", left, phone="1")
    desk.sync()
    assert waiting(desk) == {}, "there is nothing to write any more"
    desk.north.edit("lead", left, phone="4")
    desk.sync()
    resume(desk)
    before = len(desk.south.ours)
    desk.settled()
    assert desk.south.read("lead", right)["phone"] == "4"
    assert len(desk.south.ours) == before + 1


def test_reading_may_be_paused_as_well(desk: Bench) -> None:
    left, right = desk.lead_pair()
    pause(desk, "lead", "left", reading=True)
    calls = dict(desk.north.calls)
    desk.north.edit("lead", left, phone="5")
    desk.sync()
    assert {key: n for key, n in desk.north.calls.items() if key[0] == "lead"} == {
        key: n for key, n in calls.items() if key[0] == "lead"
    }
    resume(desk)
    desk.settled()
    assert desk.south.read("lead", right)["phone"] == "5"


def test_a_pause_counts_from_the_next_batch_on(desk: Bench) -> None:
    """Somebody says stop while a cycle runs."""
    leads = [desk.lead_pair() for _ in range(2)]
    for left, _ in leads:
        desk.north.edit("lead", left, phone="6")
    desk.south.batch_size = 1
    honest = desk.south.lies

    def stop_after_one(kind: str, entity: Any, id: str | None) -> None:
        del kind, entity, id
        if not desk.store.pauses():
            pause(desk, "lead")

    desk.south.lies = stop_after_one
    desk.sync()
    desk.south.lies = honest
    assert sorted(desk.south.read("lead", right).get("phone") or "" for _, right in leads) == ["", "6"]
    resume(desk)
    desk.settled()
    assert all(desk.south.read("lead", right)["phone"] == "6" for _, right in leads)


def test_a_first_run_is_still_the_first_one_after_its_writes_were_paused(tmp_path: Path) -> None:
    with bench(f"sqlite:///{tmp_path}/state.sqlite3", first_run=True) as desk:
        desk.north.add("lead", last_name="A", company="B", email="a@b.example")
        pause(desk, "lead")
        assert desk.sync(approve_all=False).ruling.go
        resume(desk)
        ran = desk.sync(approve_all=False)
        assert not ran.ruling.go
        assert "first run of lead" in ran.ruling.reasons[0]


def test_a_removal_waits(desk: Bench) -> None:
    left, right = desk.lead_pair()
    base = replace(DEFAULT, remove=replace(DEFAULT.remove, delete="delete"))
    desk.engine.options = replace(desk.engine.options, policies=Policies(base=base))
    pause(desk, "lead")
    desk.north.delete("lead", left)
    desk.sync()
    assert not desk.south.tables["lead"][right].deleted
    assert waiting(desk) == {("lead", desk.engine.names["right"]): 1}
    resume(desk)
    desk.sync()
    assert desk.south.tables["lead"][right].deleted


def test_a_plan_shows_the_queue_and_so_does_a_sync_that_the_guard_stops(desk: Bench) -> None:
    left, right = desk.lead_pair()
    blanked = desk.lead_pair(email="b@b.example", last_name="Blank", phone="1", city="Ulm")[1]
    pause(desk, "lead", "right")
    desk.north.edit("lead", left, phone="7")
    desk.engine.plan()
    assert waiting(desk) == {("lead", "south"): 1}
    assert desk.south.read("lead", right).get("phone") is None
    desk.engine.options = replace(desk.engine.options, caps=Caps(blanks=Cap(count=0, percent=0)))
    desk.north.add("lead", last_name="New", company="New", email="n@n.example")
    desk.south.edit("lead", blanked, phone=None, city=None)
    assert not desk.engine.sync().ruling.go
    assert waiting(desk) == {("lead", "south"): 2}, "also where nothing at all was written"
    assert resume(desk) == 2

"""The brake: first runs need a yes, caps hold, and a yes is for the counts that were shown."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from crmbridge.guard import KINDS, Cap, Caps, judge
from crmbridge.sync import Options
from tests.support.engine import Bench, bench

PLACE = ("south", "lead", "create")
SMALL = Caps(creates=Cap(count=2, percent=10))


def test_a_first_run_needs_an_approved_plan_even_for_one_record() -> None:
    ruling = judge({PLACE: 1}, caps=Caps(), linked={}, first_run_of=frozenset({"lead"}))
    assert not ruling.go
    assert ruling.over == {PLACE: 1}
    assert "first run of lead" in ruling.reasons[0]
    assert judge({PLACE: 0}, caps=Caps(), linked={}, first_run_of=frozenset({"lead"})).go
    assert judge({PLACE: 1}, caps=Caps(), linked={}, first_run_of=frozenset({"account"})).go


@pytest.mark.parametrize(
    ("wanted", "linked", "go"),
    [(2, 0, True), (3, 0, False), (3, 30, True), (4, 30, False)],
    ids=["at the count", "over the count", "at the share", "over the share"],
)
def test_a_cap_is_the_larger_of_count_and_share(wanted: int, linked: int, go: bool) -> None:
    assert judge({PLACE: wanted}, caps=SMALL, linked={"lead": linked}).go == go


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_write_is_capped(kind: str) -> None:
    ruling = judge({("south", "lead", kind): 10_000}, caps=Caps(), linked={"lead": 100})
    assert not ruling.go
    assert kind in ruling.reasons[0]


@pytest.mark.parametrize(
    ("approved", "go"),
    [({PLACE: 5}, True), ({PLACE: 4}, False), ({}, False), ({("north", "lead", "create"): 5}, False)],
    ids=["as many", "fewer", "nothing", "another place"],
)
def test_a_yes_is_for_what_was_shown(approved: dict[tuple[str, str, str], int], go: bool) -> None:
    ruling = judge({PLACE: 5}, caps=SMALL, linked={}, first_run_of=frozenset({"lead"}), approved=approved)
    assert ruling.go == go


# --- the same through the engine ----------------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Bench]:
    with bench(f"sqlite:///{tmp_path}/state.sqlite3", options=Options(caps=SMALL), first_run=True) as made:
        yield made


def leads(desk: Bench, first: int, last: int) -> None:
    for n in range(first, last):
        desk.north.add("lead", last_name=f"Person{n}", company=f"Company{n}")


def test_nothing_is_written_before_somebody_said_yes(desk: Bench) -> None:
    leads(desk, 0, 2)
    stopped = desk.sync(approve_all=False)
    assert (stopped.ruling.go, stopped.exit_code, desk.south.live("lead")) == (False, 1, [])
    plan = desk.engine.plan()
    assert plan.counts == {PLACE: 2}
    leads(desk, 2, 3)  # one more than the plan told
    assert plan.plan_id is not None
    again = desk.engine.sync(approve=plan.plan_id, by="ada", why="looked at it")
    assert not again.ruling.go
    plan = desk.engine.plan()
    assert plan.plan_id is not None
    assert desk.engine.sync(approve=plan.plan_id, by="ada", why="looked at it").ruling.go
    assert len(desk.south.live("lead")) == 3
    stored = desk.store.plan(plan.plan_id)
    assert stored is not None
    assert (stored.approved_by, stored.why) == ("ada", "looked at it")


def test_later_runs_stop_at_the_cap_with_nothing_half_done(desk: Bench) -> None:
    desk.sync()
    leads(desk, 0, 2)
    assert desk.sync(approve_all=False).ruling.go
    leads(desk, 2, 5)
    stopped = desk.sync(approve_all=False)
    assert not stopped.ruling.go
    assert "over the cap" in stopped.ruling.reasons[0]
    assert len(desk.south.live("lead")) == 2
    assert desk.store.open_intents() == []
    assert stopped.plan_id is not None
    desk.engine.sync(approve=stopped.plan_id, by="ada", why="a fair was on")
    assert len(desk.south.live("lead")) == 5


def test_a_plan_counts_what_the_sync_then_does(desk: Bench) -> None:
    leads(desk, 0, 2)
    account = desk.north.add("account", name="Acme", city="Ulm")
    desk.north.add("opportunity", name="Deal", account_id=account, **desk.north._state("opportunity", "Closed Won"))
    plan = desk.engine.plan()
    ran = desk.sync()
    assert plan.counts == {**ran.counts, ("south", "opportunity", "close"): 1}


@pytest.mark.parametrize(("blanked", "go"), [(25, True), (26, False)])
def test_more_than_25_values_made_blank_in_a_run_need_a_person(tmp_path: Path, blanked: int, go: bool) -> None:
    with bench(f"sqlite:///{tmp_path}/state.sqlite3") as desk:
        for n in range(30):
            desk.north.add("lead", last_name=f"Person{n}", company=f"Company{n}", phone="1")
        desk.settled()
        for record in desk.north.live("lead")[:blanked]:
            desk.north.edit("lead", record.id, phone=None)
        ruling = desk.sync(approve_all=False).ruling
        assert ruling.go == go, ruling.reasons
        assert not ruling.over or set(ruling.over) == {("south", "lead", "blank")}
        assert sum(desk.south.read("lead", one.id)["phone"] is None for one in desk.south.live("lead")) == (
            blanked if go else 0
        )

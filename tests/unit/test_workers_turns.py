"""Workers keep to the schedules: what is due is synced, with its parents; what is quiet comes more seldom."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from crmbridge.model import ENTITIES, Entity
from crmbridge.schedule import Rhythm, read_hours
from crmbridge.state.schema import turn
from tests.support.engine import Bench, bench
from workers import schedule, turns


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Bench]:
    with bench(f"sqlite:///{tmp_path}/state.sqlite3") as made:
        yield made


def ago(desk: Bench, **minutes: float) -> None:
    """These were synced so long ago, the others a moment ago."""
    desk.store.note_turns(dict.fromkeys(ENTITIES, False))
    at = desk.store.now()
    with desk.store._database.writing("test") as connection:
        for entity, many in minutes.items():
            moment = at - timedelta(minutes=many)
            connection.execute(turn.update().where(turn.c.entity == entity).values(at=moment))


HOURLY: dict[Entity, Rhythm] = dict.fromkeys(ENTITIES, Rhythm(every=timedelta(hours=1)))


def test_only_what_is_due_is_synced_and_its_parents_with_it(desk: Bench) -> None:
    left, right = desk.lead_pair()
    deal, there = desk.deal_pair()
    ago(desk, opportunity=90)
    desk.north.edit("lead", left, phone="1")
    desk.north.edit("opportunity", deal, description="x")
    turns.narrow(desk.engine, desk.store, HOURLY)
    assert desk.engine.options.entities == ("account", "contact", "opportunity")
    desk.sync()
    assert desk.south.read("opportunity", there)["description"] == "x"
    assert desk.south.read("lead", right).get("phone") is None
    ago(desk, lead=90)
    turns.narrow(desk.engine, desk.store, HOURLY)
    assert desk.engine.options.entities == ("account", "contact", "lead")
    desk.sync()
    assert desk.south.read("lead", right)["phone"] == "1"


def test_a_conversion_crosses_whatever_was_due_first(desk: Bench) -> None:
    """What it made is seen before it, and is not doubled."""
    left, right = desk.lead_pair()
    desk.north.convert_lead(left, create_opportunity=True)
    for due in ("opportunity", "account", "contact", "lead", "opportunity", "lead", "opportunity"):
        ago(desk, **{due: 90})
        turns.narrow(desk.engine, desk.store, HOURLY)
        desk.sync()
    assert desk.south.read("lead", right)["state"] == "converted"
    for entity in ("account", "contact", "opportunity"):
        assert (len(desk.north.live(entity)), len(desk.south.live(entity))) == (1, 1), entity


def test_a_parent_outside_its_hours_is_read_and_its_edit_waits(desk: Bench) -> None:
    deal, _ = desk.deal_pair()
    account = desk.north.read("opportunity", deal)["account_id"]
    there = desk.must(account, "account")
    at = desk.store.now()
    closed = read_hours(f"{schedule_day(at.weekday() + 2)} 0:00-24:00 UTC")
    rhythms = {**HOURLY, "account": Rhythm(hours=closed)}
    ago(desk, opportunity=90)
    desk.north.edit("account", account, phone="7")
    turns.narrow(desk.engine, desk.store, rhythms)
    assert desk.engine.options.entities == ("contact", "opportunity")
    desk.sync()
    assert desk.south.read("account", there).get("phone") is None
    assert desk.store.backlog()["left", "account"] == 1, "it was read"
    ago(desk, account=90)
    turns.narrow(desk.engine, desk.store, HOURLY)
    desk.sync()
    assert desk.south.read("account", there)["phone"] == "7"


def schedule_day(number: int) -> str:
    return ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[number % 7]


def test_quiet_cycles_are_counted_and_an_edit_ends_the_count(desk: Bench) -> None:
    left, _ = desk.lead_pair()
    for _ in range(3):
        turns.note(desk.store, ENTITIES, desk.sync())
    assert all(one.quiet >= 2 for one in desk.store.turns().values())
    desk.north.edit("lead", left, phone="9")
    turns.note(desk.store, ENTITIES, desk.sync())
    quiet = {entity: one.quiet for entity, one in desk.store.turns().items()}
    assert quiet["lead"] == 0
    assert quiet["account"] >= 3


def test_a_worker_is_not_deaf_while_nothing_is_due(desk: Bench) -> None:
    desk.sync()
    run_ended_long_ago(desk)
    ago(desk)
    assert not schedule.overdue(desk.store, 1, HOURLY)
    assert schedule.due(desk.store, 1, HOURLY) == []
    ago(desk, lead=70)
    assert schedule.overdue(desk.store, 1, HOURLY)
    assert schedule.due(desk.store, 1, HOURLY) == [schedule.CYCLE]


def run_ended_long_ago(desk: Bench) -> None:
    from crmbridge.state.schema import run

    at: Any = desk.store.now() - timedelta(hours=3)
    with desk.store._database.writing("test") as connection:
        connection.execute(run.update().values(started_at=at, ended_at=at))

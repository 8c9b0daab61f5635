"""Once a day what the cursors missed is found by id and version, in few calls, and taken up as any change."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from crmbridge.model import ENTITIES, SIDES, Entity
from crmbridge.sync.reconcile import META, results
from tests.support.engine import Bench, bench

DAY = timedelta(days=1)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Bench]:
    with bench(f"sqlite:///{tmp_path / 'state.sqlite3'}") as made:
        made.engine.options = replace(made.engine.options, reconcile_every=DAY)
        yield made


def a_day_later(desk: Bench) -> None:
    kept = json.loads(desk.store.meta(META) or "{}")
    for some in kept.values():
        for one in some.values():
            one["at"] = "2025-12-31T00:00:00+00:00"
    desk.store.set_meta(META, json.dumps(kept))


def missed(desk: Bench) -> int:
    return sum(one.missed for some in results(desk.store).values() for one in some.values())


def hide(desk: Bench, entity: Entity, id: str) -> None:
    """As if its change had been committed late, behind the cursor."""
    desk.north.tables[entity][id].seen = 0


def test_an_ordinary_day_costs_one_call_a_table_and_finds_nothing(desk: Bench) -> None:
    desk.lead_pair()
    desk.deal_pair()
    assert set(results(desk.store)["left"]) == set(ENTITIES)
    a_day_later(desk)
    desk.sync()
    asked = {(side, entity): desk.crm(side).calls[entity, "reconcile"] for side in SIDES for entity in ENTITIES}
    assert set(asked.values()) == {1}
    assert missed(desk) == 0
    desk.sync()
    assert all(desk.crm(side).calls[entity, "reconcile"] == 1 for side, entity in asked), "once a day"


def test_a_change_that_the_cursor_missed_is_found_and_goes_across(desk: Bench) -> None:
    left, right = desk.lead_pair()
    desk.north.edit("lead", left, city="Bonn")
    new = desk.north.add("lead", last_name="Late", company="Late Ltd", email="late@example.com")
    hide(desk, "lead", left)
    hide(desk, "lead", new)
    desk.settled()
    assert desk.south.read("lead", right).get("city") != "Bonn"
    assert desk.partner("left", "lead", new) is None

    a_day_later(desk)
    desk.sync()
    assert missed(desk) == 2
    desk.settled()
    assert desk.south.read("lead", right)["city"] == "Bonn"
    assert desk.must(new, "lead")
    a_day_later(desk)
    desk.sync()
    assert missed(desk) == 0


def test_a_deletion_that_was_missed_is_found(desk: Bench) -> None:
    left, _ = desk.lead_pair()
    desk.north.delete("lead", left)
    hide(desk, "lead", left)
    desk.settled()
    assert desk.partner("left", "lead", left) is not None
    a_day_later(desk)
    desk.sync()
    assert results(desk.store)["left"]["lead"].missed == 1
    assert desk.partner("left", "lead", left) is None

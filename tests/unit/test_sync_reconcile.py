"""Once a day what the cursors missed is found by id and version, in few calls, and taken up as any change."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from crmbridge.model import ENTITIES, SIDES, Entity
from crmbridge.sync import rollcall
from crmbridge.sync.reconcile import META, results
from crmbridge.sync.rollcall import CAUSE as NOT_SHOWN
from crmbridge.sync.rollcall import Roll
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


# --- deletions that a CRM tells once -------------------------------------------------------------------------------


def unseen(desk: Bench, id: str) -> None:
    """Deleted on Dynamics, and its change feed never tells it."""
    desk.south.delete("lead", id)
    desk.south.tables["lead"][id].seen = 0


def roll(desk: Bench) -> Roll:
    return results(desk.store)["right"]["lead"].roll


def test_it_is_found_by_calling_the_roll_and_followed_as_any_deletion(desk: Bench) -> None:
    left, right = desk.lead_pair()
    others = [desk.lead_pair(email=f"{n}@b.example", last_name=f"No {n}")[0] for n in range(3)]
    unseen(desk, right)
    desk.settled()
    assert desk.partner("left", "lead", left) is not None
    a_day_later(desk)
    desk.sync()  # compares what changed
    desk.sync()  # calls the roll
    assert roll(desk).absent == (right,)
    assert desk.partner("left", "lead", left) is not None, "its reading may tell it a moment later"
    desk.sync()
    assert (roll(desk).asked, roll(desk).gone, roll(desk).is_over) == (4, 1, True)
    assert results(desk.store)["right"]["lead"].found == 1
    assert desk.partner("left", "lead", left) is None
    assert all(desk.partner("left", "lead", one) for one in others)
    assert desk.issues(NOT_SHOWN) == []


def test_a_deletion_that_its_reading_tells_meanwhile_was_not_missed(desk: Bench) -> None:
    left, right = desk.lead_pair()
    a_day_later(desk)
    desk.sync()
    honest = desk.south.changes
    desk.south.changes = lambda source, cursor: iter(())  # type: ignore[method-assign]
    desk.south.delete("lead", right)
    desk.sync()
    assert roll(desk).absent == (right,)
    desk.south.changes = honest  # type: ignore[method-assign]
    desk.sync()
    assert (roll(desk).gone, roll(desk).unclear, roll(desk).is_over) == (0, 0, True)
    assert desk.partner("left", "lead", left) is None


def test_without_proof_nothing_is_followed_and_a_person_is_told_until_it_is_shown_again(desk: Bench) -> None:
    """Lost access looks like a deletion."""
    left, right = desk.lead_pair()
    desk.south.may_read_all = False
    shown = desk.south.tables["lead"][right]
    unseen(desk, right)
    a_day_later(desk)
    for _ in range(3):
        desk.sync()
    assert (roll(desk).gone, roll(desk).unclear) == (0, 1)
    assert desk.partner("left", "lead", left) is not None
    [issue] = desk.issues(NOT_SHOWN)
    assert issue.native_id == right
    assert "organization level" in issue.fix

    shown.deleted = False
    a_day_later(desk)
    for _ in range(2):
        desk.sync()
    assert desk.issues(NOT_SHOWN) == []


def test_the_roll_is_called_a_slice_a_cycle(desk: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollcall, "SLICE", 2)
    monkeypatch.setattr(rollcall, "SLICES", 1)
    for number in range(5):
        desk.lead_pair(email=f"{number}@b.example", last_name=f"No {number}")
    a_day_later(desk)
    desk.sync()
    asked: list[int] = []
    while not roll(desk).is_over:
        desk.sync()
        asked.append(roll(desk).asked)
    assert asked == [2, 4, 5]
    assert desk.south.calls["lead", "roll"] == 3
    assert desk.north.calls["lead", "roll"] == 0, "there its log tells deletions"

"""After an expired delta link a whole table is read: what that does not show counts as deleted on proof alone."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from connectors.rollcall import Absent
from crmbridge.model import Entity
from crmbridge.policy import Policies, Policy, Remove
from crmbridge.sync import unseen
from crmbridge.sync.rollcall import CAUSE
from tests.support.engine import Bench, bench

LEAD: Final = frozenset({"lead"})


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Bench]:
    with bench(f"sqlite:///{tmp_path / 'state.sqlite3'}") as made:
        yield made


def roll(desk: Bench) -> int:
    """Calls that asked for ids."""
    return desk.south.calls["lead", "roll"]


def pairs(desk: Bench, count: int) -> list[tuple[str, str]]:
    lefts = [
        desk.north.add("lead", last_name=f"Person{n}", company=f"Company{n}", email=f"p{n}@c{n}.example")
        for n in range(count)
    ]
    desk.settled()
    return [(left, desk.must(left, "lead")) for left in lefts]


def test_a_record_that_is_really_gone_is_followed_and_costs_one_call(desk: Bench) -> None:
    (left, right), (stays, _) = pairs(desk, 2)
    desk.south.delete("lead", right)
    desk.south.expired = LEAD
    retrieved = desk.south.calls["lead", "retrieve"]
    desk.sync()
    assert desk.partner("left", "lead", left) is None
    assert desk.partner("left", "lead", stays) is not None
    assert roll(desk) == 1
    assert desk.south.calls["lead", "retrieve"] == retrieved
    desk.sync()
    assert roll(desk) == 1, "once told, it is not asked for again"


def test_a_compare_that_shows_all_asks_for_nobody(desk: Bench) -> None:
    pairs(desk, 3)
    desk.south.expired = LEAD
    desk.sync()
    assert roll(desk) == 0


def test_what_our_user_may_not_see_any_more_stays_a_pair_and_is_told(desk: Bench) -> None:
    (left, right), _ = pairs(desk, 2)
    desk.south.may_read_all = False
    desk.south.hidden = frozenset({right})
    desk.south.expired = LEAD
    desk.sync()
    assert desk.partner("left", "lead", left) == right
    [issue] = desk.issues(CAUSE)
    assert issue.native_id == right
    assert "our user may not read it" in issue.message
    assert "organization level" in issue.fix
    assert roll(desk) == 1
    desk.sync()
    assert roll(desk) == 1, "nor is it asked for in each cycle"

    # The right is given back: what was edited meanwhile no change feed tells any more.
    desk.south.edit("lead", right, phone="0800")
    desk.sync()
    desk.south.may_read_all, desk.south.hidden, desk.south.expired = True, frozenset(), LEAD
    desk.settled()
    assert desk.north.read("lead", left)["phone"] == "0800"
    assert desk.partner("left", "lead", left) == right


def test_one_that_moved_while_the_pages_were_read_is_taken_as_it_is_now(desk: Bench) -> None:
    (left, right), _ = pairs(desk, 2)
    honest = desk.south.changes

    def overlapping(source: str, cursor: str | None) -> Iterator[object]:
        """It is edited after its page would have come, and before the next."""
        for page in honest(source, cursor):
            if page.full:
                desk.south.edit("lead", right, phone="0800")
            yield replace(page, rows=[row for row in page.rows if row.ref.id != right])

    desk.south.changes = overlapping  # type: ignore[method-assign, assignment]
    desk.south.expired = LEAD
    desk.sync()
    desk.south.changes = honest  # type: ignore[method-assign]
    assert desk.partner("left", "lead", left) == right
    assert desk.north.read("lead", left)["phone"] == "0800"
    assert desk.issues() == []


def test_without_proof_a_record_without_a_partner_is_kept_and_nobody_is_troubled(desk: Bench) -> None:
    alone = desk.south.add("account", name="Alone")
    desk.settled()
    assert desk.link("right", "account", alone) is None
    desk.south.may_read_all = False
    desk.south.hidden, desk.south.expired = frozenset({alone}), frozenset({"account"})
    desk.sync()
    assert not desk.store.records("right", "account", [alone])[alone].row.deleted
    assert desk.issues() == []


def test_it_is_asked_in_shares_and_goes_on_after_a_kill(desk: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unseen, "SLICE", 2)
    monkeypatch.setattr(unseen, "SLICES", 2)
    made = pairs(desk, 7)
    for _, right in made[:6]:
        desk.south.delete("lead", right)
    asked: list[list[str]] = []
    honest = desk.south.absent
    falls = iter([False, True])

    def absent(entity: Entity, ids: list[str]) -> Absent:
        asked.append(list(ids))
        if next(falls, False):
            raise KeyboardInterrupt
        return honest(entity, ids)

    desk.south.absent = absent  # type: ignore[method-assign, assignment]
    desk.south.expired = LEAD
    with pytest.raises(KeyboardInterrupt):
        desk.sync()
    assert [len(some) for some in asked] == [2, 2]
    assert len(desk.store.unseen()) == 1
    desk.sync()
    desk.sync()
    assert asked[2] == asked[1], "what was not answered is asked again, and nothing else"
    assert len(set(itertools.chain(*asked))) == 6
    assert len(asked) == 4
    assert desk.store.unseen() == []
    assert [desk.partner("left", "lead", left) for left, _ in made[:6]] == [None] * 6
    assert desk.must(made[6][0], "lead")


def test_too_many_at_once_are_held_by_the_guard(desk: Bench) -> None:
    """Proved or not: that many deletions are carried out on the other side at a person's word alone."""
    desk.engine.options = replace(desk.engine.options, policies=Policies(base=Policy(remove=Remove(delete="delete"))))
    made = pairs(desk, 30)
    for _, right in made:
        desk.south.delete("lead", right)
    desk.south.expired = LEAD
    ran = desk.sync(approve_all=False)
    assert not ran.ruling.go
    assert "30 x delete of lead on north" in " ".join(ran.ruling.reasons)
    assert all(not desk.north.tables["lead"][left].deleted for left, _ in made)
    desk.sync()
    assert all(desk.north.tables["lead"][left].deleted for left, _ in made)

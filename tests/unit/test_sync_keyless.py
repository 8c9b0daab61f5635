"""An org without a key field: a lost answer doubles nothing, and what cannot be told is left to a person."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from crmbridge.errors import LeaseTaken
from crmbridge.model import Entity
from crmbridge.state.store import Store
from crmbridge.state.words import Batch, Issue, Lease, RunRow
from crmbridge.sync.alike import NO_KEY, UNSURE
from crmbridge.sync.hands import SEND_SECONDS, Hands
from tests.support.engine import US, Bench, Fell, Lie, bench, wanted


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Bench]:
    with bench(f"sqlite:///{tmp_path / 'state.sqlite3'}", keyless=True) as made:
        yield made


def lies(desk: Bench, lie: Lie | None, times: int = 1) -> None:
    """The next creates on north are answered so."""
    left = [times]

    def liar(kind: str, entity: Entity, id: str | None) -> Lie | None:
        if kind != "create" or not left[0]:
            return None
        left[0] -= 1
        return lie

    desk.north.lies = liar


def options(desk: Bench, **changes: object) -> None:
    desk.engine.options = replace(desk.engine.options, **changes)


def people(desk: Bench) -> list[str]:
    return sorted(one.columns["last_name"] for one in desk.north.live("lead"))


def new_lead(desk: Bench, name: str, **columns: object) -> str:
    return desk.south.add("lead", last_name=name, company=f"{name} Ltd", email=f"{name}@example.com", **columns)


@pytest.mark.parametrize("lie", ["lose", "fall after", "drop", "fall before"])
def test_a_lost_answer_doubles_nothing(desk: Bench, lie: Lie) -> None:
    right = new_lead(desk, "Ada")
    lies(desk, lie)
    try:
        desk.sync()
    except Fell:
        assert "fall" in lie
    desk.settled()
    assert people(desk) == ["Ada"]
    assert desk.must(right, "lead", "right")
    assert desk.store.open_intents() == []


def test_what_was_written_down_and_not_sent_for_long_is_not_sent_any_more(desk: Bench) -> None:
    """A worker that stood still in between would have its call land after others had counted it as never made."""
    times = iter([0.0, 0.0])
    hands: Hands = desk.engine._hands(RunRow(id="r", kind="sync", started_at=desk.store.now()), None)
    hands.clock = lambda: next(times, SEND_SECONDS + 0.1)
    hands.send_soon()
    hands.renew()  # at once: fine, and there is no hurry any more
    hands.renew()
    times = iter([0.0])
    hands.send_soon()
    with pytest.raises(LeaseTaken, match="it was not sent"):
        hands.renew()


@pytest.mark.parametrize("stood_still", [False, True])
def test_a_create_is_sent_right_after_it_was_written_down(desk: Bench, stood_still: bool) -> None:
    new_lead(desk, "Ada")
    now = 0.0
    desk.engine.clock = lambda: now
    kept = desk.store.apply

    def apply(batch: Batch, *, lease: Lease) -> list[Issue]:
        nonlocal now
        news = kept(batch, lease=lease)
        if batch.open_intents and stood_still:
            now += SEND_SECONDS + 1
        return news

    desk.store.apply = apply  # type: ignore[method-assign]  # frozen just after the commit
    if not stood_still:
        desk.sync()
        assert people(desk) == ["Ada"]
        return
    with pytest.raises(LeaseTaken):
        desk.sync()
    assert people(desk) == []
    desk.store.apply = kept  # type: ignore[method-assign]
    desk.settled()
    assert people(desk) == ["Ada"]


def test_while_the_call_may_still_land_nothing_is_sent_again(desk: Bench) -> None:
    options(desk, settle_seconds={"left": 600.0, "right": 120.0})
    right = new_lead(desk, "Ada")
    other = new_lead(desk, "ada")  # the same to the CRM, which compares without case
    lies(desk, "drop")
    for _ in range(3):
        desk.sync()
    assert people(desk) == []
    assert len(desk.store.open_intents()) == 1

    desk.north.add("lead", by=US, last_name="Ada", company="Ada Ltd", email="Ada@example.com")  # it lands late
    desk.north.ours.append(("create", "lead", desk.north.live("lead")[0].id))
    desk.settled()
    partners = {desk.partner("right", "lead", id) for id in (right, other)}
    assert len(partners - {None}) >= 1
    assert len(people(desk)) == len(partners - {None})
    assert desk.store.open_intents() == []


def test_hold_leaves_it_to_a_person(desk: Bench) -> None:
    options(desk, on_unknown={"left": "hold"})
    right = new_lead(desk, "Ada")
    lies(desk, "drop")
    desk.sync()
    desk.settled()
    assert people(desk) == []
    (issue,) = desk.issues(UNSURE)
    assert issue.native_id == right
    assert issue.id is not None
    desk.store.release_issues([issue.id], "ada", "it is not there")
    desk.settled()
    assert people(desk) == ["Ada"]


def test_what_fits_nothing_that_was_sent_is_for_a_person(desk: Bench) -> None:
    """An automation renamed it before anybody looked."""
    right = new_lead(desk, "Ada")
    lies(desk, "lose")
    desk.sync()
    desk.north.edit("lead", desk.north.live("lead")[0].id, by=US, last_name="ADA (web)")
    desk.sync()
    assert [issue.native_id for issue in desk.issues(UNSURE)] == [right]
    desk.settled()
    assert people(desk) == ["ADA (web)"]
    assert len(desk.south.live("lead")) == 1


def test_without_a_natural_key_nothing_is_made(desk: Bench) -> None:
    right = desk.south.add("lead", last_name="Ada")
    desk.settled()
    assert [issue.native_id for issue in desk.issues(NO_KEY)] == [right]
    assert people(desk) == []
    desk.south.edit("lead", right, company="Ada Ltd", city="Ulm")
    desk.settled()
    assert people(desk) == ["Ada"]
    assert desk.issues(NO_KEY) == []


def test_what_is_there_and_was_not_read_yet_is_taken(desk: Bench) -> None:
    """A horizon keeps the youngest changes from being read; the look before the call does not."""
    desk.sync()
    right = new_lead(desk, "Ada")
    read = desk.north.changes

    def late(source: str, cursor: str | None) -> object:
        if source == "lead" and not desk.north.live("lead"):
            desk.north.add("lead", last_name="Ada", company="Ada Ltd", email="Ada@example.com")
            return read("account", cursor)  # shows nothing of it
        return read(source, cursor)

    desk.north.changes = late  # pyright: ignore[reportAttributeAccessIssue]
    for _ in range(3):
        desk.sync()
    assert people(desk) == ["Ada"]
    assert desk.must(right, "lead", "right")


@pytest.mark.parametrize("seed", range(6))
def test_many_creates_among_lost_answers(desk: Bench, seed: int) -> None:
    rng = random.Random(seed)
    kinds: Sequence[Lie | None] = ("lose", "drop", "fall after", "fall before", "later", None)
    desk.north.lies = lambda kind, entity, id: rng.choice(kinds) if kind == "create" else None
    names = [f"Person{n}" for n in range(12)]
    for n, name in enumerate(names):
        new_lead(desk, name)
        if n % 3 == 2:
            with suppress(Fell):
                desk.sync()
    desk.north.lies = lambda kind, entity, id: None
    desk.settled()
    assert Counter(people(desk)) == Counter(names), f"seed {seed}"
    assert not wanted(desk.engine.plan())
    assert desk.store.open_intents() == []


def test_the_store_keeps_what_recovery_needs(desk: Bench) -> None:
    assert isinstance(desk.store, Store)
    new_lead(desk, "Ada")
    options(desk, settle_seconds={"left": 600.0})
    lies(desk, "drop")
    desk.sync()
    (intent,) = desk.store.open_intents()
    assert intent.key == "alike:email+last_name"
    assert intent.pre_version is not None

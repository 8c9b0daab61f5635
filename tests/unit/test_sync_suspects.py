"""A record that no worker survives: the others go on, it is left to a person, and a person frees it (reliability §5,
I13)."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from connectors.base import Write
from crmbridge.errors import CrmBridgeError
from crmbridge.state.words import ATTEMPTS_MAX, STOPPED
from crmbridge.sync import creates, phase, settle, updates
from crmbridge.sync.suspects import APART, DEATHS_META, GROUP, Portion, counted, portions, survived
from tests.support.engine import Bench, bench, wanted

MANY = GROUP + 5
Breaks = Callable[[pytest.MonkeyPatch, Bench, str, BaseException], None]


class Killed(BaseException):
    """SIGKILL, as far as one process can play it."""


class Defect(RuntimeError):
    """Something of ours that nobody thought of."""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Bench]:
    with bench(f"sqlite:///{tmp_path}/state.sqlite3") as made:
        yield made


# --- where it happens: each breaks at one record, known by its id on the left -----------------------------------------


def reading(patch: pytest.MonkeyPatch, desk: Bench, id: str, error: BaseException) -> None:
    real = phase.make_work

    def broken(view: Any, link: Any, rows: Any) -> Any:
        if link.left_id == id:
            raise error
        return real(view, link, rows)

    patch.setattr(phase, "make_work", broken)


def planning(patch: pytest.MonkeyPatch, desk: Bench, id: str, error: BaseException) -> None:
    real = phase.plan_life

    def broken(hands: Any, work: Any) -> Any:
        if work.link.left_id == id:
            raise error
        return real(hands, work)

    patch.setattr(phase, "plan_life", broken)


def writing(patch: pytest.MonkeyPatch, desk: Bench, id: str, error: BaseException) -> None:
    real, partner = desk.south.write, desk.partner("left", "lead", id)

    def broken(writes: list[Write]) -> Any:
        if any(write.kind == "update" and write.id == partner for write in writes):
            raise error
        return real(writes)

    patch.setattr(desk.south, "write", broken)


def building(patch: pytest.MonkeyPatch, desk: Bench, id: str, error: BaseException) -> None:
    real = updates._update_write  # pyright: ignore[reportPrivateUsage]

    def broken(hands: Any, view: Any, side: Any, work: Any, *more: Any) -> Any:
        if work.link.left_id == id:
            raise error
        return real(hands, view, side, work, *more)

    patch.setattr(updates, "_update_write", broken)


def settling(patch: pytest.MonkeyPatch, desk: Bench, id: str, error: BaseException) -> None:
    real = settle._settled_link  # pyright: ignore[reportPrivateUsage]

    def broken(hands: Any, view: Any, work: Any) -> Any:
        if work.link.left_id == id:
            raise error
        return real(hands, view, work)

    patch.setattr(settle, "_settled_link", broken)


def making(patch: pytest.MonkeyPatch, desk: Bench, id: str, error: BaseException) -> None:
    real = creates.put_new

    def broken(hands: Any, view: Any, side: Any, source: Any, *more: Any) -> Any:
        if source.row.ref.id == id:
            raise error
        return real(hands, view, side, source, *more)

    patch.setattr(creates, "put_new", broken)


# --- how it goes on ---------------------------------------------------------------------------------------------------


def dies(desk: Bench, error: type[BaseException]) -> bool:
    """One cycle; does it come to no end?"""
    try:
        with _no_last_words(desk) if error is Killed else _as_it_is():
            desk.sync()
    except error:
        return True
    return False


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


@contextmanager
def _no_last_words(desk: Bench) -> Iterator[None]:
    """Whoever is killed writes nothing down any more, and its lease is taken over at once, since it is dead."""
    held: list[Any] = []
    take, apply = desk.store.take_lease, desk.store.apply

    def taken(*words: Any, **more: Any) -> Any:
        held.append(take(*words, **more))
        return held[-1]

    def applied(batch: Any, *, lease: Any) -> Any:
        return () if isinstance(sys.exception(), Killed) else apply(batch, lease=lease)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desk.store, "take_lease", taken)
        patch.setattr(desk.store, "apply", applied)
        patch.setattr(desk.store, "end_run", lambda *words, **more: None)
        patch.setattr(desk.store, "release", lambda lease: None)
        yield_error: BaseException | None = None
        try:
            yield
        except Killed as error:
            yield_error = error
    for lease in held:
        desk.store.release(lease)
    if yield_error is not None:
        raise yield_error


def edited(desk: Bench, count: int = MANY) -> dict[str, str]:
    """Leads of both sides, each with a new phone on the left: left id -> right id."""
    made = [desk.north.add("lead", last_name=f"P{n}", company=f"C{n}", email=f"p{n}@c.example") for n in range(count)]
    desk.settled()
    for id in made:
        desk.north.edit("lead", id, phone="5")
    return {id: desk.must(id, "lead") for id in made}


@pytest.mark.parametrize(
    ("where", "how"),
    [
        (reading, Killed),
        (planning, Killed),
        (building, Killed),
        (building, Defect),
        (writing, Killed),
        (settling, Killed),
    ],
)
def test_the_others_go_on_and_it_is_left_to_a_person(
    desk: Bench, where: Breaks, how: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    pairs = edited(desk)
    poison, *others = pairs
    arrived: list[bool] = []
    with pytest.MonkeyPatch.context() as broken:
        where(broken, desk, poison, how("at this one"))
        while dies(desk, how):
            arrived.append(all(desk.south.read("lead", pairs[id]).get("phone") == "5" for id in others))
        assert len(arrived) == ATTEMPTS_MAX
        assert arrived[-1], "those that were at hand with it have arrived before it is given up"
        [issue] = desk.issues(STOPPED)
        assert [one.__dict__["pair"] for one in caplog.records if one.__dict__.get("cause") == STOPPED] == [
            issue.link_id
        ]
        link = desk.link("left", "lead", poison)
        assert link is not None
        assert (issue.kind, issue.link_id) == ("held", link.id)
        assert desk.ran[-1].exit_code == 1
        desk.sync()
        assert [one.id for one in desk.issues(STOPPED)] == [issue.id], "it is not tried again by itself"
    assert issue.id is not None
    desk.store.release_issues([issue.id], "ada", "mended")
    desk.settled()
    assert desk.south.read("lead", pairs[poison]).get("phone") == "5"
    assert desk.issues() == []
    assert json.loads(desk.store.meta(DEATHS_META) or "{}") == {}


@pytest.mark.parametrize("how", [Killed, Defect])
def test_a_new_record_is_left_to_a_person_as_well(desk: Bench, how: type[BaseException]) -> None:
    desk.settled()
    made = [desk.north.add("lead", last_name=f"P{n}", company=f"C{n}", email=f"p{n}@c.example") for n in range(MANY)]
    deaths = 0
    with pytest.MonkeyPatch.context() as broken:
        making(broken, desk, made[0], how("at this one"))
        while dies(desk, how):
            deaths += 1
        assert deaths == ATTEMPTS_MAX
        assert [issue.native_id for issue in desk.issues(STOPPED)] == [made[0]]
        assert len(desk.south.live("lead")) == MANY - 1
    desk.north.edit("lead", made[0], phone="7")  # an edit is worth another try
    desk.settled()
    assert len(desk.south.live("lead")) == MANY
    assert desk.issues() == []


def test_those_that_were_not_at_hand_wait_for_two_deaths(desk: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = edited(desk)
    monkeypatch.setattr("crmbridge.sync.suspects.NOTED", 3)
    monkeypatch.setattr("crmbridge.sync.hands.NOTED", 3)
    planning(monkeypatch, desk, next(iter(pairs)), Defect())
    assert [dies(desk, Defect) for _ in range(APART)] == [True] * APART
    assert dies(desk, Defect), "it is tried again, behind the others"
    news = [desk.south.read("lead", id).get("phone") == "5" for id in pairs.values()]
    assert news.count(False) <= 3


def test_a_death_that_was_nobody_s_fault_sets_nobody_apart(desk: Bench) -> None:
    pairs = edited(desk)
    with pytest.MonkeyPatch.context() as broken:
        writing(broken, desk, next(iter(pairs)), Killed())
        assert dies(desk, Killed)
    before = len(desk.south.ours)
    desk.sync()
    assert len(desk.south.ours) - before == MANY
    assert json.loads(desk.store.meta(DEATHS_META) or "{}") == {}
    assert wanted(desk.engine.plan()) == {}


@pytest.mark.parametrize("error", [CrmBridgeError("the CRM is away"), KeyboardInterrupt(), SoftTimeLimitExceeded()])
def test_what_stops_a_run_from_outside_is_no_death(desk: Bench, error: BaseException) -> None:
    pairs = edited(desk, 3)
    with pytest.MonkeyPatch.context() as broken:
        writing(broken, desk, next(iter(pairs)), error)
        for _ in range(ATTEMPTS_MAX + 1):
            assert dies(desk, type(error))
    desk.settled()
    assert desk.issues() == []
    assert desk.store.meta(DEATHS_META) in (None, "{}")


def test_a_cycle_of_other_records_says_nothing_of_these(desk: Bench) -> None:
    """Kinds of records may have schedules of their own."""
    deaths = {"lead 1": 1, "account 2": 1, "left contact 3": 1}
    assert survived(deaths, portions(deaths)[0], ["account"]) == {"lead 1": 1, "left contact 3": 1}
    assert survived(deaths, portions(deaths)[0], ["contact", "lead"]) == {"account 2": 1}


def test_the_least_likely_go_first_and_together() -> None:
    few = {f"lead {n:02}": APART for n in range(GROUP + 1)}
    deaths = {**few, "lead b": APART + 2, "lead a": APART + 1, "lead once": 1, "lead over": ATTEMPTS_MAX}
    others, *groups = portions(deaths)
    assert others.takes(["lead once"])
    assert others.takes(["lead never"])
    assert not any(others.takes([name]) for name in deaths if name != "lead once")
    assert [len(one.only or ()) for one in groups] == [GROUP, 1, 1, 1]
    assert [sorted(one.only or ()) for one in groups[2:]] == [["lead a"], ["lead b"]]
    assert not any(one.takes(["lead over"]) for one in groups)


def test_deaths_are_counted_by_record() -> None:
    assert counted({"lead 1": 1, "lead 2": 4}, ["lead 2", "lead 3"]) == {"lead 1": 1, "lead 2": 5, "lead 3": 1}
    assert survived({"lead 1": 3, "lead 2": 3}, Portion(only=frozenset({"lead 1"})), ["lead"]) == {"lead 2": 3}

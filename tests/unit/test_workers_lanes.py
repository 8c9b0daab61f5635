"""Hints for what is handed out: who is asked, who comes, and when a worker that nobody hears is told by it."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from crmbridge.state.store import Store
from crmbridge.sync.handed import FEW, HINTS_MAX
from workers import schedule


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store.open(f"sqlite:///{tmp_path}/state.sqlite3")) as one:
        yield one


def hand_out(store: Store, lanes: int) -> None:
    lease = store.take_lease("cycle", 600)
    store.hand_out(lease, "r", "m", {f"lane {n}": [f"pair {n}"] for n in range(lanes)})


@pytest.mark.parametrize(
    ("lanes", "asked"), [(0, 0), (FEW, 0), (FEW + 1, FEW + 1), (HINTS_MAX + 20, HINTS_MAX)], ids=str
)
def test_as_many_are_asked_as_there_are_lanes(store: Store, lanes: int, asked: int) -> None:
    hand_out(store, lanes)
    assert schedule.due(store, 60) == [schedule.LANES] * asked


def test_lanes_that_somebody_works_in_need_nobody(store: Store) -> None:
    hand_out(store, 6)
    for _ in range(3):
        assert store.claim_work("m", 60) is not None
    assert schedule.due(store, 60) == []
    assert store.waiting_work().lanes == 3


def test_work_that_nobody_begins_shows_a_deaf_worker(store: Store) -> None:
    hand_out(store, 6)
    assert not schedule.overdue(store, 60)
    _let_time_go_by(store, schedule.OVERDUE_SECONDS + 1)
    assert schedule.overdue(store, 60)
    assert store.claim_work("m", 60) is not None
    assert not schedule.overdue(store, 60), "somebody is at it"


def test_threads_of_one_process_have_an_engine_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workers import desk as desks

    class Opened:
        pass

    def open_(self: desks.Desk, seat: desks._Seat) -> None:  # pyright: ignore[reportPrivateUsage]
        seat.engine = Opened()  # pyright: ignore[reportAttributeAccessIssue]

    monkeypatch.setattr(desks.Desk, "_open_engine", open_)
    monkeypatch.setattr(desks.Desk, "_mark_now", lambda self: ())
    desk = desks.Desk(tmp_path / "crmbridge.yaml")
    both = threading.Barrier(2, timeout=60)
    used: list[object] = []

    def work() -> None:
        with desk.engine() as engine:
            used.append(engine)
            both.wait()

    for _ in range(2):
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(used) == 4
    assert len({id(one) for one in used}) == 2, "kept for the next task"
    assert used[0] is not used[1]


def _let_time_go_by(store: Store, seconds: float) -> None:
    with store._database.writing("test") as connection:  # pyright: ignore[reportPrivateUsage]
        connection.execute(
            sa.text("UPDATE work SET changed_at = strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now', :back)"),
            {"back": f"-{seconds} seconds"},
        )

"""What a call to a CRM asks of the store: little, and always what is so at that moment."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import event, select

from connectors.gate import SERVED, Passage, Told
from crmbridge.breaker import CLOSED
from crmbridge.budget import Rate, Standing
from crmbridge.model import ENTITIES, Entity
from crmbridge.schedule import Rhythm
from crmbridge.state.database import locked, now
from crmbridge.state.schema import lease
from crmbridge.state.store import Store
from crmbridge.sync.limits import BLOCK_CALLS, Allowance, Keeper
from workers import schedule

RHYTHMS: dict[Entity, Rhythm] = dict.fromkeys(ENTITIES, Rhythm(every=timedelta(hours=1)))
READ = Passage(kind="query", reads=True)


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """Those that are sent meanwhile; beginnings and ends of transactions are none."""
    sent: list[str] = []

    def note(_a: Any, _b: Any, statement: str, *_: Any) -> None:
        if not statement.startswith("BEGIN"):
            sent.append(statement)

    engine = store._database.engine  # pyright: ignore[reportPrivateUsage]
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


def nobody_waits(seconds: float) -> None:
    raise AssertionError(f"{seconds} s are to be waited")


def call(keeper: Keeper, told: Told = SERVED) -> None:
    keeper.enter(READ, nobody_waits)
    keeper.leave(READ, told)


def test_a_call_asks_once_how_things_stand(store: Store) -> None:
    """Breaker, block, the day and the clock in one; the day's calls are counted for many at a time."""
    keeper = Keeper(store=store, name="crm", allowance=Allowance(daily=100_000))
    call(keeper)  # counts the first ones
    with statements(store) as sent:
        for _ in range(BLOCK_CALLS - 1):
            call(keeper)
    assert len(sent) == BLOCK_CALLS - 1, sent
    with statements(store) as sent:
        call(keeper)
    assert len(sent) <= 4, sent


def test_a_call_with_a_pace_takes_its_turn_in_two(store: Store) -> None:
    rate = Rate(per_second=1000, burst=10_000)
    keeper = Keeper(store=store, name="crm", allowance=Allowance(rate=rate, daily=100_000))
    call(keeper)
    with statements(store) as sent:
        call(keeper)
    assert len(sent) <= 3, sent


def test_a_call_that_is_told_the_days_calls_asks_for_the_time(store: Store) -> None:
    keeper = Keeper(store=store, name="crm")
    told = Told(used=7, limit=15_000)
    call(keeper, told)
    with statements(store) as sent:
        call(keeper, told)
    assert len(sent) <= 2, sent


def test_a_tick_with_nothing_to_do_asks_a_few_things_however_many_connections_there_are(store: Store) -> None:
    for number in range(20):
        store.set_daily_calls(f"crm {number}", 1000)
    store.end_run(store.start_run("sync").id, "done")
    with statements(store) as sent:
        assert schedule.due(store, 3600, RHYTHMS) == []
    assert len(sent) <= 6, sent


def test_a_beat_is_one_statement_but_for_a_processs_first(store: Store) -> None:
    store.beat("tick")
    before = store.beats()
    with statements(store) as sent:
        store.beat("cycle")
    assert len(sent) == 1, sent
    (beat,) = store.beats()
    assert beat.what == "cycle"
    assert beat.at >= before[0].at


def test_what_another_worker_was_told_is_known_with_the_next_look(url: str, store: Store) -> None:
    assert store.every_limits() == {}
    fresh = store.limits("crm")
    assert (fresh.block, fresh.blocked_until, fresh.breaker, fresh.standing) == (None, None, CLOSED, Standing())
    with closing(Store.open(url)) as other:
        other.set_daily_calls("crm", 50)
        other.reserve_calls("crm", "bulk", requests=3, operations=4)
        other.reserve_calls("crm", "interactive", requests=1, operations=2)
        other.note_told_usage("crm", 30, 100)
        other.set_daily_calls("another", None)
        block = other.block_calls("crm", 600, "429")
        broken = other.report_breaker("crm", "trouble", "503")
    found = store.limits("crm")
    assert found.block == block
    assert found.blocked_until == block.until
    assert found.breaker == broken
    told = (found.standing.own, found.standing.allowed, found.standing.told_used, found.standing.told_limit)
    assert told == (6, 50, 30, 100)
    every = store.every_limits()
    assert list(every) == ["another", "crm"]
    assert (every["crm"].block, every["crm"].breaker) == (found.block, found.breaker)
    assert every["crm"].standing == found.standing
    assert (every["another"].block, every["another"].breaker, every["another"].standing) == (None, CLOSED, Standing())


def test_the_time_is_read_once_the_line_is_ours(url: str, store: Store) -> None:
    """Not when it was asked for: who waited for another's transaction has that behind them."""
    store.release(store.take_lease("run", 600))
    taken: list[Any] = []

    def take() -> None:
        with closing(Store.open(url)) as other:
            other.take_lease("run", 600)
            taken.append(other.lease_holder("run"))

    waiting = threading.Thread(target=take)
    with store._database.writing("held") as connection:  # pyright: ignore[reportPrivateUsage]
        mine = select(lease).where(lease.c.name == "run")
        assert connection.execute(locked(connection.dialect.name, mine)).one()
        waiting.start()
        time.sleep(1)  # it asks meanwhile; if this is not enough for it, it asks later, and nothing is proved
        let_go = now(connection)
    waiting.join(60)
    (_, _, since) = taken[0]
    assert since >= let_go

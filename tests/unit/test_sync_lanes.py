"""Conversions that several workers carry out at once: each once, whoever is killed or comes too late on the way."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crmbridge.errors import CrmBridgeError
from crmbridge.state.store import Store
from crmbridge.state.words import STOPPED
from crmbridge.sync import Engine
from tests.support.engine import Bench, Fell, Lie, bench, wanted

LEADS = 8


class Alone(BaseException):
    """Where a worker is when it is killed."""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/state.sqlite3"


@pytest.fixture
def desk(url: str) -> Iterator[Bench]:
    with bench(url) as made:
        made.engine.hint = lambda workers: None
        yield made


@contextmanager
def colleague(desk: Bench, url: str) -> Iterator[Engine]:
    """Another worker's engine over the same store and the same two companies."""
    with closing(desk.open_store(url)) as store:
        yield replace(desk.engine, store=store, _crew=None)


def converted_leads(desk: Bench, count: int = LEADS) -> list[str]:
    """Leads that both have, and that people have converted in the north since."""
    made = [desk.north.add("lead", last_name=f"P{n}", company=f"C{n}", email=f"p{n}@c.example") for n in range(count)]
    desk.settled()
    for lead in made:
        desk.north.convert_lead(lead)
    return made


def each_once(desk: Bench, leads: list[str]) -> None:
    """Both have as many of everything, each conversion is in the ledger once, and nothing is left to do."""
    for entity in ("account", "contact", "opportunity"):
        assert len(desk.north.live(entity)) == len(desk.south.live(entity)) == len(leads), entity
    conversions = Counter(one[2] for one in desk.south.ours if one[0] == "convert")
    assert set(conversions.values()) == {1}
    assert len(conversions) == len(leads)
    assert all(row.state == "done" for row in desk.store.conversions())
    assert len(desk.store.conversions()) == len(leads)
    assert desk.store.open_intents() == []
    assert wanted(desk.engine.plan()) == {}


def at_call(desk: Bench, nth: int, do: Callable[[], Lie | None]) -> None:
    """Something happens at the nth conversion that a worker asks the south for."""
    count = 0

    def lies(kind: str, entity: object, id: object) -> Lie | None:
        nonlocal count
        count += kind == "convert"
        return do() if kind == "convert" and count == nth else None

    desk.south.lies = lies


def test_the_lead_does_all_of_it_where_nobody_comes(desk: Bench) -> None:
    asked: list[int] = []
    desk.engine.hint = asked.append
    leads = converted_leads(desk)
    ran = desk.sync()
    assert asked == [LEADS - 1]
    assert ran.counts["south", "lead", "convert"] == LEADS
    each_once(desk, leads)
    assert sum(event.kind == "convert" for event in ran.events) == LEADS


def test_colleagues_take_part(desk: Bench, url: str) -> None:
    """While the first conversion is under way a colleague does the others; the run's account has them all."""
    leads = converted_leads(desk)
    with colleague(desk, url) as other:
        helped: list[int] = []
        at_call(desk, 1, lambda: helped.append(other.drain(60)))
        ran = desk.sync()
    assert helped == [LEADS - 1], "all but the one that was begun"
    assert ran.counts["south", "lead", "convert"] == LEADS
    each_once(desk, leads)


def test_side_by_side_in_threads(desk: Bench, url: str) -> None:
    leads = converted_leads(desk, 20)
    begun, over = threading.Event(), threading.Event()
    desk.engine.hint = lambda workers: begun.set()
    done: Counter[int] = Counter()
    failed: list[CrmBridgeError] = []

    def work(number: int) -> None:
        try:
            with colleague(desk, url) as other:
                begun.wait(60)
                while not over.is_set():
                    done[number] += other.drain(60)
        except CrmBridgeError as error:  # told below, not lost with its thread
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        ran = desk.sync()
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failed == []
    assert ran.counts["south", "lead", "convert"] == 20
    print(f"by colleagues: {dict(done)}")
    each_once(desk, leads)


def test_leads_of_one_customer_go_one_after_another(desk: Bench, url: str) -> None:
    account = desk.north.add("account", name="Acme", city="Ulm")
    desk.north.add("opportunity", name="Deal", account_id=account)
    leads = [desk.north.add("lead", last_name=f"P{n}", company="Acme", email=f"p{n}@c.example") for n in range(3)]
    desk.settled()
    for lead in leads:
        desk.north.convert_lead(lead, account_id=account, create_account=False)
    with colleague(desk, url) as other:
        helped: list[int] = []
        at_call(desk, 1, lambda: helped.append(other.drain(60)))
        desk.sync()
    assert helped == [0], "the others are in the same lane"
    assert len(desk.south.live("account")) == 1
    assert len(desk.south.live("contact")) == 3


@pytest.mark.parametrize("lie", ["fall before", "fall after"])
def test_a_colleague_is_killed_on_the_way(desk: Bench, url: str, lie: Lie) -> None:
    """Before its call has arrived, or after; its lane is somebody else's once the lease has ended."""
    leads = converted_leads(desk)
    with colleague(desk, url) as other:
        killed: list[str] = []

        def die() -> None:
            def last_words(kind: str, entity: object, id: str | None) -> Lie | None:
                if kind == "convert" and not killed:
                    killed.append(id or "")
                    return lie
                return None

            desk.south.lies = last_words
            with pytest.raises(Fell), _no_last_words(other.store):
                other.drain(60)
            _end_lanes(desk.store)

        at_call(desk, 1, die)
        desk.sync()
    assert killed
    desk.settled()
    each_once(desk, leads)


def test_the_lead_is_killed_and_a_colleague_goes_on(desk: Bench, url: str) -> None:
    leads = converted_leads(desk)

    def die() -> None:
        raise Alone

    at_call(desk, 3, die)
    with _no_last_words(desk.store), pytest.raises(Alone):
        desk.sync()
    desk.south.lies = lambda kind, entity, id: None
    with colleague(desk, url) as other:
        assert other.drain(60) == LEADS - 3, "but for two that were done and the one whose lane is still held"
    _end_lanes(desk.store)
    desk.settled()
    each_once(desk, leads)


def test_the_next_lead_leaves_alone_what_a_colleague_is_at(desk: Bench, url: str) -> None:
    leads = converted_leads(desk)

    def die() -> None:
        raise Alone

    at_call(desk, 1, die)
    with _no_last_words(desk.store), pytest.raises(Alone):
        desk.sync()
    with colleague(desk, url) as other:
        ran: list[Any] = []

        def next_cycle() -> None:
            desk.south.lies = lambda kind, entity, id: None
            ran.append(desk.sync())

        at_call(desk, 1, next_cycle)
        other.drain(60)
    assert ran[0].counts["south", "lead", "convert"] == LEADS - 2, "but for the dead one's and the colleague's"
    _end_lanes(desk.store)
    desk.settled()
    each_once(desk, leads)


def test_who_comes_back_too_late_writes_nothing(desk: Bench, url: str) -> None:
    """A colleague freezes in its call until its lane is another's: what it brings back is not recorded twice."""
    leads = converted_leads(desk)
    with colleague(desk, url) as other:

        def freeze() -> None:
            desk.south.lies = lambda kind, entity, id: None
            _end_lanes(desk.store)
            desk.engine.drain(60)  # takes all lanes, that one too, and finds the intent

        def come() -> None:
            at_call(desk, 1, freeze)
            other.drain(60)

        at_call(desk, 1, come)
        desk.sync()
    desk.settled()
    each_once(desk, leads)


def test_a_pair_that_stops_its_worker_is_left_to_a_person(desk: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    leads = converted_leads(desk)
    poison = desk.link("left", "lead", leads[0])
    assert poison is not None
    real = desk.south.converted

    def defect(order: Any) -> Any:
        if order.lead_id == poison.right_id:
            raise KeyError("a defect of ours")
        return type(desk.south).convert(desk.south, order)

    with monkeypatch.context() as broken:
        broken.setattr(desk.south, "convert", defect)
        broken.setattr(desk.south, "converted", real)
        desk.sync()
        [issue] = desk.issues(STOPPED)
        assert issue.link_id == poison.id
        assert len(desk.south.live("account")) == LEADS - 1, "all others have had their turn"
        desk.sync()
        assert [one.id for one in desk.issues(STOPPED)] == [issue.id], "it is not tried again by itself"
    assert issue.id is not None
    desk.store.release_issues([issue.id], "ada", "mended")
    desk.settled()
    each_once(desk, leads)
    assert desk.issues(STOPPED) == []


def test_a_crm_that_is_away_burns_no_attempts(desk: Bench) -> None:
    leads = converted_leads(desk)
    for _ in range(7):
        at_call(desk, 1, lambda: "fall before")
        with pytest.raises(Fell):
            desk.sync()
    desk.south.lies = lambda kind, entity, id: None
    desk.settled()
    assert desk.issues(STOPPED) == []
    each_once(desk, leads)


@contextmanager
def _no_last_words(store: Store) -> Iterator[None]:
    """As if killed: nothing is given back, nothing is noted."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("give_up_work", "leave_work", "end_run", "release"):
            patch.setattr(store, name, lambda *words, **more: None)
        yield
    if store.lease_holder("cycle"):
        _end(store, "cycle")


def _end_lanes(store: Store) -> None:
    """As if time had gone by for all lanes; the tests are one process, which is alive."""
    for name in _lanes(store):
        _end(store, name)


def _lanes(store: Store) -> list[str]:
    with store._database.reading() as connection:  # pyright: ignore[reportPrivateUsage]
        return list(connection.execute(sa.text("SELECT name FROM lease WHERE name LIKE 'lane:%'")).scalars())


def _end(store: Store, name: str) -> None:
    with store._database.writing("test") as connection:  # pyright: ignore[reportPrivateUsage]
        connection.execute(sa.text("UPDATE lease SET until = since WHERE name = :name"), {"name": name})

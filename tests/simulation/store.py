"""One SQLite database in memory for all workers of a simulation, seen by each through a door of its own.

A killed worker's door is shut: what Python still runs of it (`finally:`) reaches nothing, as after SIGKILL. SQLite's
clock is the simulation's. Doors also note under which fence something was written (I11).
"""

import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, bindparam, event, select
from sqlalchemy import Engine as SqlEngine
from sqlalchemy.pool import StaticPool

from crmbridge.state import leases
from crmbridge.state.database import Database, _told  # pyright: ignore[reportPrivateUsage]
from crmbridge.state.schema import lease
from crmbridge.state.store import Store
from crmbridge.state.words import Issue, Lease, WorkRow
from tests.simulation.scheduler import Killed


def open_database(now: Callable[[], datetime]) -> Database:
    """Empty, with its schema; `now` is what its clock shows."""
    database = Database("sqlite://")
    assert isinstance(database.engine.pool, StaticPool)

    def tell_time(connection: sqlite3.Connection, record: object) -> None:
        del record
        # SQLite's own function under its own name: every statement that asks for the time gets the virtual one.
        connection.create_function("strftime", 2, lambda form, moment: _written(now(), form), deterministic=False)

    _share_compiled(database.engine)
    event.listen(database.engine, "connect", tell_time)
    with database.engine.connect() as connection:
        _template().backup(connection.connection.driver_connection)
        connection.rollback()
    return database


def _written(at: datetime, form: str) -> str:
    """As SQLite writes it: its `%f` is seconds with milliseconds."""
    return at.strftime(form.replace("%f", f"%S.{at.microsecond // 1000:03}"))


def _share_compiled(engine: SqlEngine) -> None:
    """One simulation after another asks the same: its statements are compiled once a process, not once a company. What
    is compiled is kept by dialect, so all engines have one."""
    kept: Any = _FIRST.setdefault("engine", engine)
    own: Any = engine
    own.dialect = own.pool._dialect = kept.dialect
    own._compiled_cache = kept._compiled_cache


_FIRST: dict[str, SqlEngine] = {}


@cache
def _template() -> sqlite3.Connection:
    """A new store's content: making one costs more than most simulations."""
    store = Store.open("sqlite://")
    raw: Any = store._database.engine.raw_connection().driver_connection
    copy = sqlite3.connect(":memory:")
    raw.backup(copy)
    store.close()
    return copy


class Door(Database):
    """A worker's way to the shared database."""

    def __init__(self, shared: Database, alive: Callable[[], bool]) -> None:
        self.url, self.dialect, self.place, self.engine = shared.url, shared.dialect, shared.place, shared.engine
        self._alive = alive
        self._open = False
        self._reads: Connection | None = None

    def close(self) -> None:
        """The database outlives the worker."""

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """Nobody else has a turn while a door is open: a read needs no transaction of its own, which costs more than
        the read, and one connection does for all of them."""
        with self._passed(), _told(self.place):
            if self._reads is None:
                self._reads = self.engine.connect()
            yield self._reads

    @contextmanager
    def writing(self, name: str) -> Generator[Connection]:
        with self._passed(), super().writing(name) as connection:
            yield connection

    @contextmanager
    def _passed(self) -> Generator[None]:
        if not self._alive():
            raise Killed
        assert not self._open, "a transaction inside a transaction"
        self._open = True
        try:
            yield
        finally:
            self._open = False


class Takes:
    """Who took which lease last, as the simulation saw it: fences are what is tried, so they prove nothing."""

    def __init__(self) -> None:
        self._last: dict[str, Lease] = {}

    def note(self, taken: Lease) -> None:
        self._last[taken.name] = taken

    @contextmanager
    def in_turn(self, name: str) -> Generator[None]:
        """What is noted in here counts only if it comes to its end."""
        before = self._last.get(name)
        try:
            yield
        except BaseException:
            if before is not None:
                self._last[name] = before
            raise

    def is_over(self, held: Lease) -> bool:
        return self._last.get(held.name, held) is not held


_TAKES: WeakKeyDictionary[SqlEngine, Takes] = WeakKeyDictionary()  # by database: its doors share them


class WatchedStore(Store):
    """Notes each write under a lease that somebody else has taken since, or whose fence is not the newest (I11), and
    each conversion that became another one in the ledger after it was called (I3)."""

    def __init__(self, database: Database, late: Callable[[str], None]) -> None:
        super().__init__(database)
        self._late = late
        self._takes = _TAKES.setdefault(database.engine, Takes())

    def take_lease(self, name: str, seconds: float, *, owner: str | None = None) -> Lease:
        # Noted before the commit: who is frozen right after it would tell of it later than who has taken it since.
        with self._takes.in_turn(name), self._database.writing("take lease") as connection:
            taken = leases.take(connection, name, seconds, owner)
            self._takes.note(taken)
            return taken

    def claim_work(self, mapping: str, seconds: float, *, run_id: str | None = None) -> tuple[Lease, WorkRow] | None:
        claimed = super().claim_work(mapping, seconds, run_id=run_id)
        if claimed is not None:
            self._takes.note(claimed[0])
        return claimed

    def apply(self, batch: Any, *, lease: Lease) -> list[Issue]:
        late = self._late_under(lease)
        before = [self.conversion(one.lead_link, one.epoch) for one in batch.conversions]
        news = super().apply(batch, lease=lease)
        if late:
            self._late(f"I11: apply {late}")
        for was, now in zip(before, batch.conversions, strict=True):
            called = was is not None and was.state in ("called", "done")
            if was is not None and called and (was.case, was.from_side) != (now.case, now.from_side):
                self._late(
                    f"I3: conversion {now.epoch} of lead {now.lead_link} was {was.state} as {was.case} from the "
                    f"{was.from_side}, and is {now.state} as {now.case} from the {now.from_side}"
                )
        return news

    def save_page(self, side: Any, source: str, page: Any, *, lease: Lease | None = None) -> int:
        late = self._late_under(lease) if lease else ""
        count = super().save_page(side, source, page, lease=lease)
        if late:
            self._late(f"I11: page {late}")
        return count

    def _late_under(self, held: Lease) -> str:
        newest = self._newest(held)
        if newest != held.fence:
            return f"under fence {held.fence} of {held.name}, the newest is {newest}"
        return f"under {held.name}, which somebody else has taken since" if self._takes.is_over(held) else ""

    def _newest(self, held: Lease) -> int | None:
        with self._database.reading() as connection:
            return connection.execute(_FENCE, {"of_name": held.name}).scalar()


_FENCE = select(lease.c.fence).where(lease.c.name == bindparam("of_name"))

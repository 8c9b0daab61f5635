"""Rows with what the platform keeps beside them: the rowversion, the change log and indexes.

All of it is written through `put` and `remove`, and rolled back together with the rows.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from crmbridge.sandbox.core import Row, Tables
from crmbridge.sandbox.dynamics.ordering import Orders, fold
from crmbridge.sandbox.dynamics.pointers import POINTER, activities, pointer_of
from crmbridge.sandbox.dynamics.shape import Shape
from crmbridge.sandbox.dynamics.tables import Key

_FIRST_VERSION = 1_000_000
_USER, _SETTINGS = "systemuser", "usersettings"  # each user has settings, under the same id


@dataclass(slots=True, kw_only=True)
class Log:
    """The changes of one table in order of version. An entry counts only while the row still has that version."""

    versions: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    deleted_versions: list[int] = field(default_factory=list)
    deleted_ids: list[str] = field(default_factory=list)


class Store:
    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.tables = Tables()
        self.version = _FIRST_VERSION
        self.keys: dict[str, tuple[Key, ...]] = {name: table.keys for name, table in shape.tables.items()}
        self.metadata_version = _FIRST_VERSION
        self._logs: dict[str, Log] = {name: Log() for name in shape.tables}
        self._indexes: dict[tuple[str, str], dict[Any, dict[str, None]]] = {}
        self._indexed: dict[str, tuple[str, ...]] = {}
        self.orders = Orders(self.tables.table)
        self._activities = activities(shape)

    def transaction(self) -> AbstractContextManager[None]:
        return self.tables.transaction()

    def rows(self, table: str) -> Mapping[str, Row]:
        return self.tables.table(table)

    def get(self, table: str, key: str) -> Row | None:
        return self.tables.get(table, key)

    def put(self, table: str, key: str, row: Row) -> Row:
        """Insert or replace a row (a fresh dict, nulls left out) and give it the next rowversion."""
        self.version += 1
        row = {name: value for name, value in row.items() if value is not None}
        row["versionnumber"] = self.version
        before = self.tables.get(table, key)
        self._reindex(table, key, before, row)
        log = self._logs[table]
        log.versions.append(self.version)
        log.ids.append(key)
        self.tables.on_undo(lambda: self._forget(table, key, before, row))
        self.tables.put(table, key, row)
        if table in self._activities:
            self.put(POINTER, key, pointer_of(self.shape, table, row))
        if table == _USER and before is None and (settings := self.shape.tables.get(_SETTINGS)) is not None:
            self.put(_SETTINGS, key, {**settings.defaults, settings.key: key})
        return row

    def fill(self, table: str, rows: Mapping[str, Row]) -> None:
        """Many new rows before anybody asks, complete and without nulls; indexes and orders are made when asked for."""
        log = self._logs[table]
        for row in rows.values():
            self.version += 1
            row["versionnumber"] = self.version
            log.versions.append(self.version)
        log.ids += rows
        self.tables.fill(table, rows)
        for column in self._indexed.pop(table, ()):
            del self._indexes[table, column]
        self.orders.forget(table)
        if table in self._activities:
            self.fill(POINTER, {key: pointer_of(self.shape, table, row) for key, row in rows.items()})

    def remove(self, table: str, key: str) -> None:
        before = self.tables.table(table)[key]
        self.version += 1
        self._reindex(table, key, before, None)
        log = self._logs[table]
        log.deleted_versions.append(self.version)
        log.deleted_ids.append(key)
        self.tables.on_undo(lambda: self._revive(table, key, before))
        self.tables.drop(table, key)
        if table in self._activities and self.tables.get(POINTER, key) is not None:
            self.remove(POINTER, key)

    def _forget(self, table: str, key: str, before: Row | None, row: Row) -> None:
        self._logs[table].versions.pop()
        self._logs[table].ids.pop()
        self._reindex(table, key, row, before)

    def _revive(self, table: str, key: str, before: Row) -> None:
        self._logs[table].deleted_versions.pop()
        self._logs[table].deleted_ids.pop()
        self._reindex(table, key, None, before)

    # Indexes: made when first asked for, kept from then on.

    def find(self, table: str, column: str, value: Any) -> list[str]:
        """Ids of the rows whose column has the value, oldest first."""
        return list(self._index(table, column).get(fold(value), ()))

    def _index(self, table: str, column: str) -> dict[Any, dict[str, None]]:
        index = self._indexes.get((table, column))
        if index is None:
            index = {}
            for key, row in self.tables.table(table).items():
                if (value := row.get(column)) is not None:
                    index.setdefault(fold(value), {})[key] = None
            self._indexes[table, column] = index
            self._indexed[table] = (*self._indexed.get(table, ()), column)
        return index

    def _reindex(self, table: str, key: str, before: Row | None, after: Row | None) -> None:
        self.orders.moved(table, key, before, after)
        for column in self._indexed.get(table, ()):
            old = before.get(column) if before is not None else None
            new = after.get(column) if after is not None else None
            if old == new:
                continue
            index = self._indexes[table, column]
            if old is not None:
                index[fold(old)].pop(key, None)
            if new is not None:
                index.setdefault(fold(new), {})[key] = None

    # Change tracking

    def changed(self, table: str, after: int, until: int) -> Iterator[tuple[int, str]]:
        """(version, id) of the rows whose *last* change lies in (after, until], by version."""
        log = self._logs[table]
        rows = self.tables.table(table)
        for version, key in _between(log.versions, log.ids, after, until):
            row = rows.get(key)
            if row is not None and row["versionnumber"] == version:
                yield version, key

    def deleted(self, table: str, after: int, until: int) -> Iterator[tuple[int, str]]:
        log = self._logs[table]
        rows = self.tables.table(table)
        for version, key in _between(log.deleted_versions, log.deleted_ids, after, until):
            if key not in rows:  # a row made again with the same id is a change, not a deletion
                yield version, key

    def all_deleted(self, table: str) -> Iterable[str]:
        return dict.fromkeys(key for _, key in self.deleted(table, 0, self.version))


def _between(versions: Sequence[int], ids: Sequence[str], after: int, until: int) -> Iterator[tuple[int, str]]:
    """What a log holds of (after, until]; it may grow meanwhile."""
    for position in range(bisect_right(versions, after), len(versions)):
        if versions[position] > until:
            return
        yield versions[position], ids[position]

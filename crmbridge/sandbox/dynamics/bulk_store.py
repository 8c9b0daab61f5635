"""The way into an environment for rows by the million: one as a model, the others as complete as that one."""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any
from uuid import UUID

from crmbridge.sandbox.core import Row, World
from crmbridge.sandbox.dynamics.store import Store


class BulkStore:
    def __init__(self, store: Store, world: World, load: Callable[[str, Row], None]) -> None:
        self._store, self._world, self._load = store, world, load
        self._numbers = count(world.rng.getrandbits(47))

    def offered(self, table: str, column: str) -> Sequence[Any] | None:
        """The values of a choice; none where there is no such column."""
        found = self._store.shape.tables.get(table)
        held = found.columns.get(column) if found else None
        return None if held is None else [each.value for each in held.options]

    def room(self, table: str, column: str) -> int:
        return self._store.shape.tables[table].columns[column].max_length or 0

    def model(self, table: str, values: Row) -> Row:
        self._load(table, values)
        rows = self._store.rows(table)
        return rows[next(reversed(rows))]  # pyright: ignore[reportCallIssue, reportArgumentType, reportUnknownVariableType]

    def new_id(self, table: str) -> str:
        """Ascending, as sequential GUIDs are: rows that stand side by side in memory are then in one page."""
        return str(UUID(int=next(self._numbers) << 80 | self._world.rng.getrandbits(80), version=4))

    def fill(self, table: str, rows: list[Row]) -> None:
        key = self._store.shape.tables[table].key
        self._store.fill(table, {row[key]: row for row in rows})

    def finish(self) -> None:
        """Nothing in here is computed from other rows."""

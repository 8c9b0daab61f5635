"""Alternate keys as they stand: those of the shape and those made since, each with its index (dataverse-api §4.5).

An index is built in the background: a new key is Pending, then InProgress, then Active, or Failed where rows share its
values. How far it is follows from the clock, so that nothing has to run between two requests.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from crmbridge.sandbox.dynamics.store import Store, fold
from crmbridge.sandbox.dynamics.tables import Key, Table

_PENDING = timedelta(seconds=0.5)  # what a small table takes; on a real one it is minutes (unverified)
_BUILT = timedelta(seconds=1)


def keys_of(store: Store, now: datetime, table: Table) -> tuple[Key, ...]:
    """The table's keys as they stand now."""
    found = store.keys[table.name]
    if all(key.made is None for key in found):
        return found
    stand = tuple(_now(store, now, table, key) for key in found)
    if any(key.made is None and key is not before for key, before in zip(stand, found, strict=True)):
        keep(store, table, tuple(key if key.made is None else old for key, old in zip(stand, found, strict=True)))
    return stand


def _now(store: Store, now: datetime, table: Table, key: Key) -> Key:
    if key.made is None:
        return key
    age = now - key.made
    if age < _BUILT:
        return replace(key, status="Pending" if age < _PENDING else "InProgress")
    return replace(key, status="Failed" if _shared(store, table, key) else "Active", made=None)


def _shared(store: Store, table: Table, key: Key) -> bool:
    """Do two rows have the same values? Rows with an empty one are left out of the index."""
    seen: set[tuple[Any, ...]] = set()
    for row in store.rows(table.name).values():
        values = tuple(fold(row.get(name)) for name in key.columns)
        if None in values:
            continue
        if values in seen:
            return True
        seen.add(values)
    return False


def keep(store: Store, table: Table, found: tuple[Key, ...]) -> None:
    before, version = store.keys[table.name], store.metadata_version

    def undo() -> None:
        store.keys[table.name], store.metadata_version = before, version

    store.keys[table.name] = found
    store.metadata_version += 1
    store.tables.on_undo(undo)

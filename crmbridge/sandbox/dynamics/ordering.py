"""Rows in order, kept in order: what a page needs to begin anywhere in a large table without reading all of it.

Keys stand in chunks of bounded length, as in Grant Jenks's sortedcontainers: a place is found in two bisections, and
an insertion moves one chunk. An order is made when a query first asks for it, and follows every write from then on.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Any

from crmbridge.sandbox.core import Row

_CHUNK = 1000
Signature = tuple[tuple[str, bool], ...]  # (column, descending), most significant first; the primary key decides ties


@dataclass(frozen=True, slots=True)
class Descending:
    value: Any

    def __lt__(self, other: "Descending") -> bool:
        return other.value < self.value


def fold(value: Any) -> Any:
    """Text is compared without case: dataverse-api §2.4."""
    return value.casefold() if isinstance(value, str) else value


def part(value: Any) -> tuple[bool, Any]:
    """A value that may be null, for comparison: nulls come first when ascending."""
    return value is not None, fold(value)


def comparable(values: Sequence[Any], signature: Signature, key: str) -> tuple[Any, ...]:
    """What rows are compared by: the values of the order's columns, then the primary key."""
    parts = [
        Descending(part(value)) if descending else part(value)
        for value, (_, descending) in zip(values, signature, strict=True)
    ]
    return (*parts, key)


class Ordered:
    """Keys in chunks, ascending by what `signature` says of their rows."""

    def __init__(self, keys: list[str], signature: Signature, rows: Mapping[str, Row]) -> None:
        self._chunks = [keys[start : start + _CHUNK] for start in range(0, len(keys), _CHUNK)]
        self._signature = signature
        self._rows = rows
        self._pinned: tuple[str, Any] | None = None  # a key whose row is not what the order was told

    def _key(self, key: str) -> Any:
        if not self._signature:
            return key
        if self._pinned is not None and self._pinned[0] == key:
            return self._pinned[1]
        return key_of(self._rows[key], self._signature, key)

    def place(self, wanted: Any, *, after: bool = True) -> tuple[int, int]:
        """(chunk, position) of the first key behind `wanted`; without `after`, of the first not before it."""
        search = bisect_right if after else bisect_left
        chunk = search(self._chunks, wanted, key=lambda each: self._key(each[-1]))
        if chunk == len(self._chunks):
            return chunk, 0
        return chunk, search(self._chunks[chunk], wanted, key=self._key)

    def add(self, key: str, wanted: Any) -> None:
        chunk, position = self.place(wanted)
        if chunk == len(self._chunks):
            if not self._chunks:
                self._chunks.append([key])
                return
            chunk -= 1
            position = len(self._chunks[chunk])
        self._chunks[chunk].insert(position, key)
        if len(self._chunks[chunk]) > 2 * _CHUNK:
            whole = self._chunks[chunk]
            self._chunks[chunk : chunk + 1] = [whole[:_CHUNK], whole[_CHUNK:]]

    def remove(self, key: str, wanted: Any) -> None:
        self._pinned = (key, wanted)
        chunk, position = self.place(wanted, after=False)
        self._pinned = None
        del self._chunks[chunk][position]
        if not self._chunks[chunk]:
            del self._chunks[chunk]

    def walk(self, start: tuple[int, int] = (0, 0), stop: tuple[int, int] | None = None) -> Iterator[str]:
        """Keys from one place up to another; nothing is copied but the two chunks at the ends."""
        return chain.from_iterable(self._pieces(start, stop or (len(self._chunks), 0)))

    def _pieces(self, start: tuple[int, int], stop: tuple[int, int]) -> Iterator[Sequence[str]]:
        for number in range(start[0], min(stop[0] + 1, len(self._chunks))):
            chunk = self._chunks[number]
            low = start[1] if number == start[0] else 0
            high = stop[1] if number == stop[0] else len(chunk)
            yield chunk if low == 0 and high == len(chunk) else chunk[low:high]

    def distance(self, start: tuple[int, int], stop: tuple[int, int] | None) -> int:
        """How many keys lie between two places."""
        return sum(len(piece) for piece in self._pieces(start, stop or (len(self._chunks), 0)))


class Orders:
    """The orders of all tables that were asked for."""

    def __init__(self, rows: Callable[[str], Mapping[str, Row]]) -> None:
        self._rows = rows
        self._orders: dict[str, dict[Signature, Ordered]] = {}
        self._fresh: dict[str, dict[str, None]] = {}  # keys that the primary order does not hold yet

    def by(self, table: str, signature: Signature) -> Ordered:
        orders = self._orders.setdefault(table, {})
        found = orders.get(signature)
        fresh = self._fresh.pop(table, None)
        if fresh and () in orders:
            primary = orders[()]
            if len(fresh) > _CHUNK and len(fresh) * 20 > len(self._rows(table)):  # sorting anew is quicker
                orders[()] = Ordered(sorted(self._rows(table)), (), self._rows(table))
                found = orders.get(signature)
            else:
                for key in fresh:
                    primary.add(key, key)
        if found is None:
            found = orders[signature] = self._make(table, signature)
        return found

    def forget(self, table: str) -> None:
        """So much has changed that they are better made anew when asked for."""
        self._orders.pop(table, None)
        self._fresh.pop(table, None)

    def _make(self, table: str, signature: Signature) -> Ordered:
        rows = self._rows(table)
        keys = sorted(rows)
        for column, descending in reversed(signature):  # stable: the least significant first
            nulls = [key for key in keys if rows[key].get(column) is None]
            others = [(fold(value), key) for key in keys if (value := rows[key].get(column)) is not None]
            others.sort(key=itemgetter(0), reverse=descending)
            found = [key for _, key in others]
            keys = [*found, *nulls] if descending else [*nulls, *found]
        return Ordered(keys, signature, rows)

    def moved(self, table: str, key: str, before: Row | None, after: Row | None) -> None:
        """A row was written (or its writing undone): every order made so far follows."""
        orders = self._orders.get(table)
        if not orders:
            return
        for signature, order in orders.items():
            if not signature:
                self._moved_primary(table, order, key, before, after)
                continue
            old = key_of(before, signature, key) if before is not None else None
            new = key_of(after, signature, key) if after is not None else None
            if old == new:
                continue
            if old is not None:
                order.remove(key, old)
            if new is not None:
                order.add(key, new)

    def _moved_primary(self, table: str, order: Ordered, key: str, before: Row | None, after: Row | None) -> None:
        if before is None and after is not None:
            self._fresh.setdefault(table, {})[key] = None
        elif before is not None and after is None:
            fresh = self._fresh.get(table)
            if fresh and key in fresh:
                del fresh[key]
            else:
                order.remove(key, key)


def key_of(row: Row, signature: Signature, key: str) -> tuple[Any, ...]:
    return comparable([row.get(column) for column, _ in signature], signature, key)

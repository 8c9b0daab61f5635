"""The ids that a query found, page by page: a snapshot that costs nothing until it is read (salesforce-api §2.2).

An object's ids in the order in which its rows came are a list that only grows, so its length at one moment is a
snapshot of them; what was deleted by then is left out.
"""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

Entry = tuple[str, str]  # SystemModstamp and id
FEW: Final = 50  # entries that are put each in its place; more are sorted in at once


@dataclass(kw_only=True)
class Listing:
    """All ids of an object, deleted ones among them; kept up to date by the store."""

    ids: list[str] = field(default_factory=list)
    deleted: dict[str, None] = field(default_factory=dict)
    ascending: bool = True  # whether the order of arrival is also that of the ids

    def add(self, key: str, *, deleted: bool = False) -> None:
        if self.ids and key <= self.ids[-1]:
            self.ascending = False
        self.ids.append(key)
        if deleted:
            self.deleted[key] = None


@dataclass(kw_only=True)
class Stamps:
    """All rows of an object by (SystemModstamp, id). Entries of earlier stamps stay for a while, known as stale.

    Walks under way read this very list, so what lies before their end is changed in a copy only.
    """

    entries: list[Entry] = field(default_factory=list)
    stale: set[Entry] = field(default_factory=set)
    read_to: int = 0  # up to where walks read this list
    fresh: list[Entry] = field(default_factory=list)  # came out of order, and nobody has read since

    def add(self, entry: Entry) -> None:
        if entry in self.stale:  # an edit taken back
            self.stale.discard(entry)
        elif not self.fresh and (not self.entries or entry > self.entries[-1]):
            self.entries.append(entry)
        else:
            self.fresh.append(entry)

    def leave(self, entry: Entry) -> None:
        self.stale.add(entry)
        if len(self.stale) > len(self.entries) // 8 + 1000:
            self._settle()
            stale, self.stale = self.stale, set()
            self._anew([each for each in self.entries if each not in stale])

    def _settle(self) -> None:
        fresh, self.fresh = self.fresh, []
        if fresh and (len(fresh) > FEW or bisect_left(self.entries, min(fresh)) < self.read_to):
            self._anew(self.entries + fresh)
            self.entries.sort()
        else:
            for entry in fresh:
                insort(self.entries, entry)

    def _anew(self, entries: list[Entry]) -> None:
        self.entries, self.read_to = entries, 0

    def span(self, low: Entry, high: Entry) -> tuple[int, int]:
        """The places from `low` up to `high`, which is left out."""
        self._settle()
        start = bisect_left(self.entries, low)
        return start, max(start, bisect_left(self.entries, high))

    def between(self, low: Entry, high: Entry) -> Iterator[str]:
        """The ids there, as they are now."""
        start, end = self.span(low, high)
        entries, stale = self.entries, self.stale
        self.read_to = max(self.read_to, end)
        for place in range(start, end):
            if entries[place] not in stale:
                yield entries[place][1]


class Walk:
    """A snapshot of ids, cut by OFFSET and LIMIT, without what is named; listed only as far as it is asked for."""

    def __init__(
        self,
        source: Sequence[str] | Sequence[Entry],
        without: Collection[str] | Collection[Entry],
        span: tuple[int, int],
        *,
        skip: int = 0,
        limit: int | None = None,
    ) -> None:
        self._source = source
        self._without: frozenset[str | Entry] = frozenset(without)
        self._start, self._end = span
        self._skip = skip
        left = max(0, self._end - self._start - len(self._without) - skip)
        self._length = left if limit is None else min(left, limit)
        self._found: list[str] = []  # only where something is left out: the ids so far, and how far that is
        self._seen = self._start

    def __len__(self) -> int:
        return self._length

    def page(self, start: int, stop: int) -> Sequence[str]:
        start, stop = start + self._skip, min(stop, self._length) + self._skip
        if not self._without:
            return _ids(self._source[self._start + start : min(self._start + stop, self._end)])
        while len(self._found) < stop and self._seen < self._end:
            upto = min(self._end, self._seen + max(200, stop - len(self._found)))
            self._found += _ids([each for each in self._source[self._seen : upto] if each not in self._without])
            self._seen = upto
        return self._found[start:stop]


def _ids(entries: Sequence[str | Entry]) -> list[str]:
    return [each if isinstance(each, str) else each[1] for each in entries]


@dataclass(frozen=True)
class Listed:
    """Ids that are all known already."""

    ids: Sequence[str]

    def __len__(self) -> int:
        return len(self.ids)

    def page(self, start: int, stop: int) -> Sequence[str]:
        return self.ids[start:stop]


Ids = Walk | Listed

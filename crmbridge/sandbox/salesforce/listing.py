"""The ids that a query found, page by page: a snapshot that costs nothing until it is read (salesforce-api §2.2).

An object's ids in the order in which its rows came are a list that only grows, so its length at one moment is a
snapshot of them; what was deleted by then is left out.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

Entry = tuple[str, str]  # SystemModstamp and id
CHUNK: Final = 1000  # entries; twice as many are split


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


class Stamps:
    """Rows by (SystemModstamp, id), in chunks: an edit touches one, and a snapshot is the list of them.

    What a snapshot may read is never changed, only replaced: a chunk is written in place when no snapshot was taken
    since it was made.
    """

    def __init__(self, chunk: int = CHUNK) -> None:
        self._size = chunk
        self._chunks: list[list[Entry]] = []
        self._lasts: list[Entry] = []  # the greatest of each chunk
        self._made: list[int] = []  # how many snapshots there were when the chunk was made
        self._snapshots = 0

    def add(self, entry: Entry) -> None:
        at = bisect_left(self._lasts, entry)
        if at == len(self._chunks):  # behind all others, as most are
            if not self._chunks or len(self._chunks[-1]) >= self._size:
                self._chunks.append([])
                self._lasts.append(entry)
                self._made.append(self._snapshots)
            at = len(self._chunks) - 1
            self._own(at).append(entry)
            self._lasts[at] = entry
            return
        chunk = self._own(at)
        insort(chunk, entry)
        if len(chunk) > 2 * self._size:
            half = len(chunk) // 2
            self._chunks[at : at + 1] = [chunk[:half], chunk[half:]]
            self._lasts[at : at + 1] = [chunk[half - 1], chunk[-1]]
            self._made[at : at + 1] = [self._snapshots, self._snapshots]

    def drop(self, entry: Entry) -> None:
        at = bisect_left(self._lasts, entry)
        if at == len(self._chunks):
            return
        place = bisect_left(self._chunks[at], entry)
        if self._chunks[at][place] != entry:
            return
        chunk = self._own(at)
        del chunk[place]
        if chunk:
            self._lasts[at] = chunk[-1]
        else:
            del self._chunks[at], self._lasts[at], self._made[at]

    def _own(self, at: int) -> list[Entry]:
        if self._made[at] != self._snapshots:
            self._chunks[at] = list(self._chunks[at])
            self._made[at] = self._snapshots
        return self._chunks[at]

    def between(self, low: Entry, high: Entry, *, skip: int = 0, limit: int | None = None) -> "Stretch":
        """A snapshot of the entries from `low` up to `high`, which is left out."""
        self._snapshots += 1
        first = bisect_left(self._lasts, low)
        last = min(bisect_left(self._lasts, high), len(self._chunks) - 1)
        chunks = self._chunks[first : last + 1]
        if not chunks or low >= high:
            return Stretch([], 0, 0)
        start = bisect_left(chunks[0], low)
        end = sum(map(len, chunks)) - len(chunks[-1]) + bisect_left(chunks[-1], high)
        start = min(start + skip, max(start, end))
        return Stretch(chunks, start, end if limit is None else min(end, start + limit))


class Stretch:
    """Ids of a snapshot of stamps: places `start` to `end` in its chunks."""

    def __init__(self, chunks: list[list[Entry]], start: int, end: int) -> None:
        self._chunks = chunks
        self._ends = list(accumulate(map(len, chunks)))
        self._start, self._end = start, max(start, end)

    def __len__(self) -> int:
        return self._end - self._start

    def __iter__(self) -> Iterator[str]:
        return (key for _, key in self.entries(0, len(self)))

    def page(self, start: int, stop: int) -> Sequence[str]:
        return [key for _, key in self.entries(start, stop)]

    def entries(self, start: int, stop: int) -> Iterator[Entry]:
        start, stop = start + self._start, min(stop + self._start, self._end)
        at = bisect_right(self._ends, start)
        while start < stop:
            begin = self._ends[at] - len(self._chunks[at])
            yield from self._chunks[at][start - begin : stop - begin]
            start, at = self._ends[at], at + 1


class Walk:
    """A snapshot of a listing's ids, cut by OFFSET and LIMIT, without what is named; listed only as far as asked."""

    def __init__(self, listing: Listing, without: Collection[str], *, skip: int = 0, limit: int | None = None) -> None:
        self._source = listing.ids
        self._without = frozenset(without)
        self._end = len(listing.ids)
        self._skip = skip
        left = max(0, self._end - len(self._without) - skip)
        self._length = left if limit is None else min(left, limit)
        self._found: list[str] = []  # only where something is left out: the ids so far, and how far that is
        self._seen = 0

    def __len__(self) -> int:
        return self._length

    def page(self, start: int, stop: int) -> Sequence[str]:
        start, stop = start + self._skip, min(stop, self._length) + self._skip
        if not self._without:
            return self._source[start:stop]
        while len(self._found) < stop and self._seen < self._end:
            upto = min(self._end, self._seen + max(200, stop - len(self._found)))
            self._found += [key for key in self._source[self._seen : upto] if key not in self._without]
            self._seen = upto
        return self._found[start:stop]


@dataclass(frozen=True)
class Listed:
    """Ids that are all known already."""

    ids: Sequence[str]

    def __len__(self) -> int:
        return len(self.ids)

    def page(self, start: int, stop: int) -> Sequence[str]:
        return self.ids[start:stop]


Ids = Walk | Stretch | Listed

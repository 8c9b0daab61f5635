"""The ids that a query found, page by page: a snapshot that costs nothing until it is read (salesforce-api §2.2).

An object's ids in the order in which its rows came are a list that only grows, so its length at one moment is a
snapshot of them; what was deleted by then is left out.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field


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


class Walk:
    """Ids of a snapshot without those that `without` names, cut by OFFSET and LIMIT; listed only as far as asked."""

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


Ids = Walk | Listed

"""Records that a worker did not survive: left for the end, tried in ever fewer, at last left to a person (reliability
§5).

What is at hand is noted before the work at it. Who comes after a worker that was killed, or that met a defect of ours,
counts a death against all that was noted. Killed once says nothing (somebody switched the machine off); killed again,
the records wait until all others have had their turn, and then go a few at a time, and at last alone. After the fifth
death what was noted is left to a person. A run that ends, or that a CRM, the store or a person stops, counts against
nobody.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

from crmbridge.model import SIDES, Entity, Link, Ref
from crmbridge.state.store import Store
from crmbridge.state.words import ATTEMPTS_MAX, STOPPED, Batch, Intent, Issue, Lease, Pair, seen_as, stopped_issue

AT_HAND_META: Final = "at_hand"  # names of what the run under way works at
DEATHS_META: Final = "deaths"  # {name: runs that did not survive it}
NOTED: Final = 200  # so many are noted at once: one commit for as many as go in a call
APART: Final = 2  # deaths after which it waits for the others
GROUP: Final = 15  # of those that died so often; whoever died more often goes alone

T = TypeVar("T")
Deaths = Mapping[str, int]  # name of a pair, or of a record without one: entity and shared id, or `Ref` in words


@dataclass(frozen=True, slots=True)
class Portion:
    """What one pass of a cycle takes: all but some, or only some."""

    without: frozenset[str] = frozenset()
    only: frozenset[str] | None = None

    def takes(self, names: Collection[str]) -> bool:
        if self.only is not None and self.only.isdisjoint(names):
            return False
        return self.without.isdisjoint(names)


EVERYTHING: Final = Portion()


def counted(deaths: Deaths, at_hand: Iterable[str]) -> dict[str, int]:
    return {**deaths, **{name: deaths.get(name, 0) + 1 for name in at_hand}}


def portions(deaths: Deaths) -> list[Portion]:
    """A cycle's, in order: all others first, then those that may have killed it, the least likely first."""
    apart = sorted((n, name) for name, n in deaths.items() if APART <= n < ATTEMPTS_MAX)
    several = [name for n, name in apart if n == APART]
    groups = [frozenset(several[start : start + GROUP]) for start in range(0, len(several), GROUP)]
    groups += [frozenset([name]) for n, name in apart if n > APART]
    others = Portion(without=frozenset(name for name, n in deaths.items() if n >= APART))
    return [others, *(Portion(only=group) for group in groups)]


def survived(deaths: Deaths, portion: Portion, entities: Collection[Entity]) -> Deaths:
    """Once a portion of these kinds of records has come to its end."""
    over = portion.only if portion.only is not None else {name for name, n in deaths.items() if n < APART}
    return {name: n for name, n in deaths.items() if name not in over or name.split(" ")[-2] not in entities}


def given_up(deaths: Deaths) -> frozenset[str]:
    return frozenset(name for name, n in deaths.items() if n >= ATTEMPTS_MAX)


def name_of(link: Link) -> str:
    return f"{link.entity} {link.id}"


def of_intent(intent: Intent) -> set[str]:
    return {f"{intent.entity} {intent.link_id}"} if intent.link_id is not None else set()


def names_of(pair: Pair) -> tuple[str, ...]:
    if pair.link is not None:
        return (name_of(pair.link),)
    return tuple(str(one.row.ref) for one in (pair.left, pair.right) if one is not None)


def noting(
    note: Callable[[Iterable[str]], None], items: Iterable[T], names: Callable[[T], Iterable[str]]
) -> Iterator[T]:
    """The same items; some are noted before the first of them is handed on."""
    ahead = iter(items)
    while some := list(islice(ahead, NOTED)):
        note(name for item in some for name in names(item))
        yield from some


# --- in the store -------------------------------------------------------------------------------------------------


def take_stock(store: Store, lease: Lease) -> tuple[dict[str, int], list[Issue]]:
    """At the beginning of a run: counts what the one before did not survive, leaves to a person what did so too often,
    and gives another try to what a person released or edited since. Returns the deaths, and what was opened."""
    known = store.metas([AT_HAND_META, DEATHS_META])
    before: dict[str, int] = json.loads(known.get(DEATHS_META) or "{}")
    at_hand: list[str] = json.loads(known.get(AT_HAND_META) or "[]")
    deaths = counted(before, at_hand)
    told = _Stopped(store)
    deaths |= dict.fromkeys(told.freed([name for name, n in before.items() if n >= ATTEMPTS_MAX]), APART)
    issues = told.issues([name for name, n in deaths.items() if n >= ATTEMPTS_MAX and before.get(name, 0) < n])
    if not at_hand and deaths == before:
        return deaths, []
    meta = {AT_HAND_META: "", DEATHS_META: json.dumps(deaths)}
    return deaths, store.apply(Batch(issues=issues, meta=meta), lease=lease)


class _Stopped:
    """What is left to a person."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def issues(self, names: Sequence[str]) -> list[Issue]:
        links, refs = self._read(names)
        found = [stopped_issue(link.entity, ATTEMPTS_MAX, self._version(link), link_id=link.id) for link in links]
        return found + [stopped_issue(ref.entity, ATTEMPTS_MAX, self._version(ref), ref=ref) for ref in refs]

    def freed(self, names: Sequence[str]) -> list[str]:
        """Whose issue is closed or released, and what was edited since."""
        if not names:
            return []
        links, refs = self._read(names)
        open_ = {
            (issue.link_id, issue.native_id): issue.fingerprint
            for issue in self._store.issues_of([link.id for link in links], refs)
            if issue.cause == STOPPED
        }
        held = {name_of(link) for link in links if open_.get((link.id, None)) == self._version(link)}
        held |= {str(ref) for ref in refs if open_.get((None, ref.id)) == self._version(ref)}
        return [name for name in names if name not in held]

    def _read(self, names: Sequence[str]) -> tuple[list[Link], list[Ref]]:
        refs = [ref for name in names if (ref := Ref.of(name)) is not None]
        links = self._store.links([name.split(" ")[-1] for name in names if Ref.of(name) is None])
        return list(links.values()), refs

    def _version(self, one: Link | Ref) -> str:
        ids = {one.side: one.id} if isinstance(one, Ref) else {side: one.id_on(side) for side in SIDES}
        rows = [
            self._store.record(Ref(side=side, entity=one.entity, id=id)) if (id := ids.get(side)) else None
            for side in SIDES
        ]
        return seen_as(*(stored.row.version if stored is not None else "" for stored in rows))

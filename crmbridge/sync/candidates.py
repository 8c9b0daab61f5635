"""Who could be the twin of a few records, and who else claims that twin: all that `match` needs to see of a store with
a million records that have no partner.

Found is the whole of each group in which records meet under any key, so that what is decided about them is what would
be decided over all records.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from crmbridge.match import named, names
from crmbridge.model import SIDES, Entity, Ref, Seen, Side, other
from crmbridge.state.words import Stored
from crmbridge.sync.fitting import fits
from crmbridge.sync.hands import Hands
from crmbridge.sync.key_index import KeyIndex
from crmbridge.sync.suspects import noting
from crmbridge.sync.view import View

_RING = 500  # records whose neighbours are looked up together

Pool = dict[Side, dict[str, Seen]]


def candidates(hands: Hands, view: View, entity: Entity, due: Sequence[Ref]) -> Pool:
    """These records, and everybody without a partner who has to do with what becomes of them."""
    search = _Search(hands=hands, view=view, index=KeyIndex(hands=hands, entity=entity))
    if not search.index.is_good:
        for side in SIDES:
            search.take(hands.store.unlinked(side, entity))
        return search.pool(search.known)
    for side in SIDES:
        search.take(search.index.not_on_file(side))
    search.fetch(due)
    search.note_parts()
    return search.pool(search.reach([ref for ref in dict.fromkeys(due) if ref in search.known]))


def sharing(hands: Hands, view: View, seen: Seen, target: Side) -> list[Seen]:
    """Records of the other side that could be this one's twin, whoever else may claim them; by id."""
    entity = seen.row.ref.entity
    index = KeyIndex(hands=hands, entity=entity)
    if index.is_good:
        found = {one.row.ref.id: one for one in index.not_on_file(target)}
        holders = hands.store.key_holders(target, entity, index.keys.parts(seen.shared.fields))
        ids = {id for some in holders.values() for id in some} - found.keys()
        found |= hands.store.unlinked_among(target, entity, sorted(ids))
        if index.is_good:  # still: a cycle with another mapping may have begun to make it anew
            return list(view.see_all(found[id] for id in sorted(found)))
    return list(view.see_all(hands.store.unlinked(target, entity)))


@dataclass(kw_only=True)
class _Search:
    hands: Hands
    view: View
    index: KeyIndex
    known: dict[Ref, Seen] = field(default_factory=dict)
    _tried: set[Ref] = field(default_factory=set)  # read already, whether they take part or not
    _met: dict[tuple[str, ...], list[Ref]] = field(default_factory=lambda: defaultdict(list))
    _asked: set[tuple[Side, str]] = field(default_factory=set)  # by records of that side
    _unfiled: dict[Side, set[str]] = field(default_factory=dict)  # parts of what is not on file
    _on_file: dict[Side, bool] = field(default_factory=dict)

    def take(self, given: Iterable[Stored]) -> None:
        for seen in self.view.see_all(noting(self.hands.at_hand, given, lambda one: (str(one.row.ref),))):
            ref = seen.row.ref
            free = self.view.crosswalk.planned(ref) is None and str(ref) not in self.hands.untouchable
            if free and fits(self.hands, seen):
                self.known[ref] = seen
                for meeting in self._meeting(seen):
                    self._met[meeting].append(ref)
            self._tried.add(ref)

    def fetch(self, refs: Iterable[Ref]) -> None:
        ids: dict[Side, list[str]] = defaultdict(list)
        for ref in sorted(set(refs) - self._tried, key=str):
            ids[ref.side].append(ref.id)
            self._tried.add(ref)
        for side, some in ids.items():
            self.take(self.hands.store.unlinked_among(side, self.index.entity, some).values())

    def note_parts(self) -> None:
        """What the records that are known by now have in common with nobody on file."""
        self._on_file = {side: self.hands.store.has_keys(side, self.index.entity) for side in SIDES}
        self._unfiled = {side: set() for side in SIDES}
        if any(self._on_file.values()):
            for ref, seen in self.known.items():
                self._unfiled[ref.side].update(self._parts(seen))

    def reach(self, start: Sequence[Ref]) -> set[Ref]:
        """From these over everybody who meets one of them, and so on."""
        found, ahead = set(start), deque(start)
        walked: set[tuple[str, ...]] = set()
        while ahead:
            ring = [ahead.popleft() for _ in range(min(_RING, len(ahead)))]
            self._look_around(ring)
            for ref in ring:
                for meeting in self._meeting(self.known[ref]):
                    if meeting not in walked:
                        walked.add(meeting)
                        fresh = [one for one in self._met[meeting] if one not in found]
                        found.update(fresh)
                        ahead.extend(fresh)
        return found

    def pool(self, found: Iterable[Ref]) -> Pool:
        pool: Pool = {side: {} for side in SIDES}
        for ref in sorted(found, key=lambda ref: (ref.side, ref.id)):
            pool[ref.side][ref.id] = self.known[ref]
        return pool

    def _look_around(self, ring: Sequence[Ref]) -> None:
        """Reads who is on file with a part in common. One that nobody across has makes no twins: there, those of the
        same side are left where they are."""
        wanted: dict[Side, set[str]] = {side: set() for side in SIDES}
        partners: list[Ref] = []
        for ref in ring:
            seen = self.known[ref]
            wanted[ref.side].update(self._parts(seen), [named(ref.side, ref.id)])
            if seen.row.key:
                partners.append(Ref(side=other(ref.side), entity=ref.entity, id=seen.row.key))
        self.fetch(partners)
        for side in SIDES:
            there = other(side)
            parts = {part for part in wanted[side] if (side, part) not in self._asked}
            self._asked |= {(side, part) for part in parts}
            across = self._read(there, parts)
            self._read(side, {part for part in parts if part in across or part in self._unfiled[there]})

    def _read(self, side: Side, parts: set[str]) -> Mapping[str, list[str]]:
        if not parts or not self._on_file[side]:
            return {}
        entity = self.index.entity
        found = self.hands.store.key_holders(side, entity, parts)
        self.fetch(Ref(side=side, entity=entity, id=id) for ids in found.values() for id in ids)
        return found

    def _parts(self, seen: Seen) -> list[str]:
        """As `KeyIndex` keeps them."""
        return [*self.index.keys.parts(seen.shared.fields), *names(seen.row.ref.side, seen.row.key)]

    def _meeting(self, seen: Seen) -> list[tuple[str, ...]]:
        ref, key = seen.row.ref, seen.row.key
        found = [*self.index.keys.meeting(seen.shared.fields), ("our key", ref.side, ref.id)]
        return [*found, ("our key", other(ref.side), key)] if key else found

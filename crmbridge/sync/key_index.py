"""Parts of the match keys of records without a partner, kept in the store: so the one that could be a twin is found
without reading all of them (ADR 14).

The store promises that whoever is clean has its parts on file, or a line that says that it has not been looked at
(`state.match_keys`). By which mapping they were made is noted: under another one nothing is found by them, and the next
cycle makes them anew.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version

from crmbridge.match import FORMS, Keys, names, take_apart
from crmbridge.model import SIDES, Entity, Fields, Ref, Seen, Side
from crmbridge.state.match_keys import UNREAD
from crmbridge.state.words import Batch, Keyed, Stored
from crmbridge.sync.hands import Hands
from crmbridge.sync.suspects import noting
from crmbridge.sync.view import View
from crmbridge.sync.work import chunks

_CHUNK = 500  # records whose keys are written in one transaction


@cache
def _release() -> str:
    return version("crmbridge")


@dataclass(kw_only=True)
class KeyIndex:
    hands: Hands
    entity: Entity

    @cached_property
    def keys(self) -> Keys:
        compiled = self.hands.compiled.entities[self.entity]
        return take_apart(self.entity, compiled.match, {rule.name: rule for rule in compiled.rules})

    @property
    def is_good(self) -> bool:
        """Does what is on file follow from this mapping? Asked each time: another worker may take up a new one."""
        return not self.keys.whole and self.hands.store.meta(self._mark) == self._stamp

    @property
    def _mark(self) -> str:
        return f"match_keys:{self.entity}"

    @cached_property
    def _stamp(self) -> str:
        compiled = self.hands.compiled.entities[self.entity]
        used = {name for key in compiled.match for name in key}
        rules = sorted((rule.name, rule.kind, rule.link or "") for rule in compiled.rules if rule.name in used)
        told = (FORMS, _release(), self.hands.stamp, compiled.match, rules)
        return hashlib.sha256(repr(told).encode()).hexdigest()[:16]

    # --- writing ------------------------------------------------------------------------------------------------------

    def entry(self, seen: Seen) -> Keyed:
        return self._keyed(seen.row.ref, seen.row.key, seen.shared.fields)

    def refresh(self, view: View) -> None:
        """Looks at what nobody has looked at yet: everybody, if what is on file is of another mapping."""
        if self.keys.whole:
            return
        if self.is_good:
            for side in SIDES:
                ids = self.hands.store.key_holders(side, self.entity, [UNREAD]).get(UNREAD, [])
                for some in chunks(ids, _CHUNK):
                    there = self.hands.store.unlinked_among(side, self.entity, some)
                    gone = [Keyed(ref=Ref(side=side, entity=self.entity, id=id), parts=()) for id in some]
                    self._write(view, there.values(), [one for one in gone if one.ref.id not in there])
            return
        self.hands.record(Batch(meta={self._mark: ""}))  # nobody is to find half of it
        self.hands.progress.step(f"reading the match keys of {self.entity} records")
        for side in SIDES:
            self._read_all(view, side)
        self.hands.record(Batch(meta={self._mark: self._stamp}))

    def _read_all(self, view: View, side: Side) -> None:
        some: list[Stored] = []
        for stored in self.hands.store.unlinked(side, self.entity, due=False):
            some.append(stored)
            if len(some) >= _CHUNK:
                self._write(view, some)
                some = []
        self._write(view, some)

    def _write(self, view: View, given: Iterable[Stored], more: Sequence[Keyed] = ()) -> None:
        noted = noting(self.hands.at_hand, given, lambda one: (str(one.row.ref),))
        found = [self._keyed(one.row.ref, one.row.key, view.own_fields(one.row)) for one in noted]
        if found or more:
            self.hands.renew()
            self.hands.record(Batch(keyed=[*found, *more]))

    def _keyed(self, ref: Ref, key: str | None, fields: Fields) -> Keyed:
        return Keyed(ref=ref, parts=(*self.keys.parts(fields), *names(ref.side, key)))

    # --- reading ------------------------------------------------------------------------------------------------------

    def not_on_file(self, side: Side) -> Iterator[Stored]:
        """Records without a link that are not found by their parts: they are due, or nobody has looked at them yet."""
        store = self.hands.store
        yield from store.unlinked(side, self.entity, due=True)
        ids = store.key_holders(side, self.entity, [UNREAD]).get(UNREAD, [])
        for stored in store.unlinked_among(side, self.entity, ids).values():
            if not stored.dirty:
                yield stored


def entries(hands: Hands, given: Iterable[Seen]) -> list[Keyed]:
    """For the transaction by which these are done with. Of those that are left out the store says so itself."""
    by_entity: dict[Entity, list[Seen]] = defaultdict(list)
    for seen in given if not hands.dry else ():
        by_entity[seen.row.ref.entity].append(seen)
    found: list[Keyed] = []
    for entity, some in by_entity.items():
        index = KeyIndex(hands=hands, entity=entity)
        found += [index.entry(seen) for seen in some] if index.is_good else []
    return found


def places(given: Iterable[Seen]) -> list[tuple[Ref, str | None]]:
    """As `Batch.clean` names them: done with, unless they have changed since."""
    return [(seen.row.ref, seen.row.version) for seen in given]


def refresh(hands: Hands, view: View) -> None:
    for entity in hands.options.entities:
        if entity in hands.compiled.entities:
            KeyIndex(hands=hands, entity=entity).refresh(view)
    hands.at_hand()

"""After a change of the mapping: which records it affects. They are due again, all others are left alone.

A record is affected if either side reads differently than before, or if a rule or a gate that changed finds its two
sides apart.
What is affected is planned like any other change: shown by `crmbridge plan`, and capped by the guard.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, Final

import mapping
from crmbridge.model import SIDES, Entity, FieldRule, Link, Ref, Row, Shared, Side
from crmbridge.plan import is_blank
from crmbridge.state.words import Batch, Stored
from crmbridge.sync.hands import Hands
from crmbridge.sync.suspects import name_of, noting
from crmbridge.sync.view import View

VERSION_META: Final = "mapping"  # the version by which everything stored has been planned
_CHUNK: Final = 1000

Previous = Callable[[str], "mapping.Compiled | None"]  # by version; None: it is not known, or compiles no more


def replan(hands: Hands, view: View, version: str, previous: Previous) -> Counter[Entity]:
    """Marks what the change since the last run affects; how many records that are, by kind."""
    found: Counter[Entity] = Counter()
    before = hands.store.meta(VERSION_META)
    if before == version or not version:
        return found
    old = previous(before) if before is not None else None
    for entity, now in hands.compiled.entities.items() if before is not None else ():
        then = old.entities.get(entity) if old is not None else None
        refs: list[Ref] = []
        for ref in _affected(hands, view, entity, then, now):
            refs.append(ref)
            found[entity] += 1
            if len(refs) >= _CHUNK:
                hands.record(Batch(dirty=refs))
                refs = []
        if refs:
            hands.record(Batch(dirty=refs))
    hands.at_hand()
    hands.store.set_meta(VERSION_META, version)
    return found


def _affected(
    hands: Hands, view: View, entity: Entity, then: "mapping.CompiledEntity | None", now: "mapping.CompiledEntity"
) -> Iterator[Ref]:
    """One record of each pair, and each record without a partner. Without the old mapping: all of them."""
    compare = _Compare(view, then, now) if then is not None else None
    if compare is not None and compare.alike:
        return
    for links in _chunks(link for link in hands.store.all_links(entity) if link.alive):
        rows = {side: hands.store.records(side, entity, _ids(links, side)) for side in SIDES}
        for link in noting(hands.at_hand, links, lambda link: (name_of(link),)):
            pair: dict[Side, Stored | None] = {side: rows[side].get(link.id_on(side) or "") for side in SIDES}
            first = next((one for one in pair.values() if one is not None), None)
            apart = name_of(link) in hands.portion.without  # it may not survive being looked at here
            if first is not None and (compare is None or apart or compare.pair(link, pair)):
                yield first.row.ref
    for side in SIDES:
        for stored in noting(hands.at_hand, hands.store.unlinked(side, entity), lambda one: (str(one.row.ref),)):
            if compare is None or compare.single(stored.row):
                yield stored.row.ref


def _chunks(links: Iterator[Link]) -> Iterator[list[Link]]:
    some: list[Link] = []
    for link in links:
        some.append(link)
        if len(some) >= _CHUNK:
            yield some
            some = []
    if some:
        yield some


def _ids(links: list[Link], side: Side) -> list[str]:
    return [id for link in links if (id := link.id_on(side)) is not None]


class _Compare:
    """Two mappings of one kind of record, over what the store has of it."""

    def __init__(self, view: View, then: "mapping.CompiledEntity", now: "mapping.CompiledEntity") -> None:
        self._view, self._then, self._now = view, then, now
        self._structs = {side: mapping.row_struct(f"Then{side}", then.columns(side)) for side in SIDES}
        old, new = ({rule.name: rule for rule in one.rules} for one in (then, now))
        self._stricter = [rule for name, rule in new.items() if name in old and _terms(old[name]) != _terms(rule)]
        self._common = frozenset(old) & frozenset(new)
        self._gates = _gates(then) != _gates(now)
        # Who is a twin of whom, and who crosses at all, may have changed for everybody.
        self._pairing = then.match != now.match or _filter(then) != _filter(now)

    @property
    def alike(self) -> bool:
        """Nothing that is said of this kind of record has changed; a comment is nothing."""
        then, now = self._then.document, self._now.document
        return then is not None and now is not None and _said(then) == _said(now)

    def pair(self, link: Link, pair: Mapping[Side, Stored | None]) -> bool:
        seen: dict[Side, tuple[Shared, Shared]] = {
            side: self._both(one.row, link)
            for side, one in pair.items()
            if one is not None and one.row.values is not None
        }
        if any(self._differs(then, now) for then, now in seen.values()):
            return True
        if len(seen) < len(SIDES):
            return False
        here, there = (seen[side][1] for side in SIDES)
        if self._gates and (here.state, here.status) != (there.state, there.status):
            return True  # a move that was held may go on now
        left, right = here.fields, there.fields
        return any(not rule.same(left.get(rule.name), right.get(rule.name)) for rule in self._stricter)

    def single(self, row: Row) -> bool:
        return self._pairing or (row.values is not None and self._differs(*self._both(row, None)))

    def _both(self, row: Row, link: Link | None) -> tuple[Shared, Shared]:
        side = row.ref.side
        struct = self._structs[side]
        old: dict[str, Any] = {name: getattr(row.values, name, None) for name in struct.__struct_fields__}
        life, facts = self._view.hands.connectors[side].life(row), self._view.facts(link)
        hint = link.base.axes(side).status if link is not None else None
        then = self._then.get(side, replace(row, values=struct(**old)), life, facts, hint)
        return then, self._now.get(side, row, life, facts, hint)

    def _differs(self, then: Shared, now: Shared) -> bool:
        if (then.state, then.status, then.on_hold) != (now.state, now.status, now.on_hold):
            return True
        if any((name in then.fields) != (name in now.fields) for name in self._common):
            return True  # read now, or not any more: a value that no row named
        if any(then.fields[name] != now.fields[name] for name in self._common if name in now.fields):
            return True
        return any(not is_blank(value) for name, value in now.fields.items() if name not in self._common)


def _filter(one: "mapping.CompiledEntity") -> str | None:
    return one.document.filter if one.document is not None else None


def _gates(one: "mapping.CompiledEntity") -> object:
    return one.document.beside.gates if one.document is not None else None


def _said(document: "mapping.Document") -> tuple[object, ...]:
    return tuple(getattr(document, one.name) for one in fields(document) if one.name not in ("source", "version"))


def _terms(rule: FieldRule) -> tuple[object, ...]:
    return rule.rule, rule.sides, rule.restrictive

"""After a restore, or after another installation was stopped: find again what was made and the store does not know.

By what cannot be chance, in this order: the key that a create writes, the id that a create chooses, the ids that two
converted leads name, and then the mapping's own keys where exactly two records fit. Links alone are written, to the
store; no CRM is. What our user made and has no partner by any of these is held for a person: to make its partner might
double one (ADR 13).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, TypeVar

from crmbridge.ids import new_id
from crmbridge.match import Candidate, match
from crmbridge.model import ENTITIES, RESULTS, SIDES, Entity, Link, Ref, Row, Seen, Side, other, results_of
from crmbridge.state.words import Batch, Issue
from crmbridge.sync.creates import key_of
from crmbridge.sync.foreign import CAUSE
from crmbridge.sync.hands import Event, Hands
from crmbridge.sync.placeholder import ENTITY, found_again
from crmbridge.sync.view import View, link_ids
from crmbridge.sync.work import chunks

T = TypeVar("T")

LOST_PARTNER: Final = "no_partner_found"
# A record whose partner had to be made again has a key of the next generation; more than that nobody has seen.
GENERATIONS: Final = (1, 2, 3)
_CHUNK: Final = 500


@dataclass(slots=True, kw_only=True)
class Relinked:
    """What was found again, by what; and what was not."""

    run_id: str
    found: dict[str, int] = field(default_factory=dict[str, int])  # in words: by which evidence -> pairs
    ended: int = 0  # pairs whose partner was deleted meanwhile
    held: list[Issue] = field(default_factory=list[Issue])
    released: int = 0  # alarms that are over

    @property
    def exit_code(self) -> int:
        return 1 if self.held else 0


def relink(hands: Hands, view: View, *, by: str, why: str) -> Relinked:
    """The CRMs were read a moment ago; creates were off, and are on again once this has ended."""
    done = Relinked(run_id=hands.run.id)
    seeker = _Seeker(hands=hands, view=view, done=done)
    for side in SIDES if ENTITY in hands.options.entities and ENTITY in hands.compiled.entities else ():
        found_again(hands, side)
    for entity in ENTITIES:
        if entity in hands.options.entities and entity in hands.compiled.entities:
            hands.progress.step(f"finding partners of {entity} records")
            seeker.by_identity(entity)
            seeker.by_later_keys(entity)
    seeker.results_of_conversions()
    for entity in ENTITIES:
        if entity in hands.options.entities and entity in hands.compiled.entities:
            seeker.by_keys_of_the_mapping(entity)
            seeker.hold_what_is_left(entity)
    for issue in hands.store.open_issues(cause=CAUSE):
        if issue.id is not None:
            hands.store.close_issue(issue.id, by, why or "relinked")
            done.released += 1
    return done


@dataclass(kw_only=True)
class _Seeker:
    hands: Hands
    view: View
    done: Relinked

    def by_identity(self, entity: Entity) -> None:
        """Our key on a record names its partner; a chosen id follows from it."""
        for side in SIDES:
            for some in _some(self.hands.store.unlinked(side, entity)):
                keyed = {one.row.ref.id: (one.row.key, 1) for one in some if one.row.key}
                self._join(side, entity, keyed, "our key")
                bare = [one.row.ref.id for one in some if not one.row.key]
                self._join(side, entity, self._chosen(side, entity, bare), "the id that we chose")

    def by_later_keys(self, entity: Entity) -> None:
        """Where a partner had to be made again, the key follows from the partner's id but is not it."""
        for side in SIDES:
            keyed = {one.row.key: one.row.ref.id for one in self.hands.store.unlinked(side, entity) if one.row.key}
            if not keyed:
                continue
            for some in _some(self.hands.store.unlinked(other(side), entity)):
                found = {
                    one.row.ref.id: (keyed[key], generation)
                    for one in some
                    for generation in GENERATIONS[1:]
                    if (key := key_of(one.row.ref.id, generation)) in keyed
                }
                self._join(other(side), entity, found, "our key")

    def _chosen(self, side: Side, entity: Entity, ids: Sequence[str]) -> dict[str, tuple[str, int]]:
        """The ids that partners of these would have been made with, of those that were seen on the other side."""
        there, org = self.hands.connectors[other(side)], self.hands.identities[side].org_id
        wanted: dict[str, tuple[str, int]] = {}
        for id in ids:
            for generation in GENERATIONS:
                chosen = there.chosen_id(org, id, generation)
                if chosen is not None:
                    wanted[chosen] = (id, generation)
        found = self.hands.store.records(other(side), entity, list(wanted))
        return {id: (chosen, generation) for chosen, (id, generation) in wanted.items() if chosen in found}

    def _join(self, side: Side, entity: Entity, partners: Mapping[str, tuple[str, int]], how: str) -> None:
        there = self.hands.store.records(other(side), entity, [partner for partner, _ in partners.values()])
        taken = self.hands.store.links_by_native(other(side), entity, list(there))
        links: list[Link] = []
        for id, (partner, generation) in sorted(partners.items()):
            stored = there.get(partner)
            if stored is None or partner in taken:
                continue
            gone = stored.row.deleted or stored.row.merged_into is not None
            links.append(self._link(side, entity, id, partner, how, generation=generation, alive=not gone))
        self._keep(links, how)

    def results_of_conversions(self) -> None:
        """Both leads of a pair are converted: what they name on the two sides belongs together."""
        for some in _some(self.hands.store.all_links("lead")):
            rows = {side: self._rows(side, [link for link in some if link.alive]) for side in SIDES}
            for link in some:
                left, right = rows["left"].get(link.left_id or ""), rows["right"].get(link.right_id or "")
                if link.alive and left is not None and right is not None:
                    self._results(left, right)

    def _rows(self, side: Side, links: Sequence[Link]) -> dict[str, Row]:
        found = self.hands.store.records(side, "lead", [id for link in links if (id := link.id_on(side)) is not None])
        return {id: one.row for id, one in found.items() if one.row.values is not None and not one.row.deleted}

    def _results(self, left: Row, right: Row) -> None:
        lives = [self.hands.connectors[row.ref.side].life(row) for row in (left, right)]
        if any(life.state != "converted" for life in lives):
            return
        results = [results_of(life) for life in lives]
        for entity in RESULTS:
            here, there = (one[entity] for one in results)
            if here is None or there is None:
                continue
            known = self.hands.store.links_by_native("left", entity, [here])
            known |= self.hands.store.links_by_native("right", entity, [there])
            if not known:
                how = "the conversions of their leads"
                self._keep([self._link("left", entity, here, there, how)], how)

    def by_keys_of_the_mapping(self, entity: Entity) -> None:
        """Only where one of the two was last touched by us: what people made is paired by the next sync."""
        pools = {side: {one.row.ref.id: one for one in self._unlinked(side, entity)} for side in SIDES}
        if not any(self._ours(seen.row) for pool in pools.values() for seen in pool.values()):
            return
        compiled = self.hands.compiled.entities[entity]
        rules = {rule.name: rule for rule in compiled.rules}
        fits = match(entity, compiled.match, rules, *(map(_candidate, pools[side].values()) for side in SIDES))
        for left, right, key in fits.pairs:
            if self._ours(pools["left"][left].row) or self._ours(pools["right"][right].row):
                self._keep([self._link("left", entity, left, right, key)], "keys of the mapping")

    def hold_what_is_left(self, entity: Entity) -> None:
        issues: list[Issue] = []
        clean: list[tuple[Ref, str | None]] = []
        told = {(one.side, one.native_id) for one in self.hands.store.open_issues(entity=entity, cause=CAUSE)}
        for side in SIDES:
            for seen in self._unlinked(side, entity):
                row = seen.row
                if not self._ours(row) and (side, row.ref.id) not in told:
                    continue
                name, there = self.hands.names[side], self.hands.names[other(side)]
                message = (
                    f"It was written on {name} by crmbridge's own user, and no partner of it was found on {there}."
                )
                fix = (
                    "Name the partner: crmbridge resolve ISSUE --with ID. If there is none, `crmbridge retry ISSUE` "
                    "has one made."
                )
                issues.append(
                    self.hands.issue("held", cause=LOST_PARTNER, entity=entity, ref=row.ref, message=message, fix=fix)
                )
                clean.append((row.ref, row.version))
        self.hands.record(Batch(issues=issues, clean=clean))
        self.done.held += issues

    # --- small helpers --------------------------------------------------------------------------------------------

    def _unlinked(self, side: Side, entity: Entity) -> Iterator[Seen]:
        return self.view.see_all(self.hands.store.unlinked(side, entity))

    def _ours(self, row: Row) -> bool:
        return row.modified_by == self.hands.our_users[row.ref.side] or bool(row.key)

    def _link(
        self, side: Side, entity: Entity, id: str, partner: str, how: str, *, generation: int = 1, alive: bool = True
    ) -> Link:
        left, right = (id, partner) if side == "left" else (partner, id)
        return Link(
            id=new_id(),
            entity=entity,
            left_id=left,
            right_id=right,
            mode="matched",
            alive=alive,
            generation=generation,
            how=f"found again by {how}" if alive else f"ended: the partner, known by {how}, was deleted",
        )

    def _keep(self, links: Sequence[Link], how: str) -> None:
        for link in links:
            self.view.crosswalk.learn(link)
            if link.alive:
                self.done.found[how] = self.done.found.get(how, 0) + 1
            else:
                self.done.ended += 1
            self.hands.tell(
                Event(entity=link.entity, side=None, kind="link", link_id=link.id, ids=link_ids(link), reason=link.how)
            )
        refs = [
            Ref(side=side, entity=link.entity, id=id)
            for link in links
            if link.alive
            for side, id in link_ids(link).items()
            if id is not None
        ]
        for some in chunks(list(links), _CHUNK):
            self.hands.record(Batch(links=some))
        # Both have come into scope with their pair; the next sync compares them.
        self.hands.record(Batch(touched=refs, dirty=refs))


def _some(items: Iterable[T]) -> Iterator[list[T]]:
    left = iter(items)
    while found := list(islice(left, _CHUNK)):
        yield found


def _candidate(seen: Seen) -> Candidate:
    return Candidate(id=seen.row.ref.id, fields=seen.shared.fields)

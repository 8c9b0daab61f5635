"""Stored rows as the planner sees them: translated, with links resolved through the crosswalk."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

import mapping
from crmbridge.model import Axes, Entity, Fields, Link, Ref, Row, Seen, Shared, Side, Unlinked, Value, other
from crmbridge.policy import ReadAs
from crmbridge.stand_ins import native_of
from crmbridge.state.words import Stored
from crmbridge.sync.fallback import directories_for
from crmbridge.sync.hands import Hands
from crmbridge.sync.persons import as_contact

# Links are asked for one by one until so many have been; then all are read at once if there are not many more of them
# than were asked for, and else at twice as many. So a small cycle over many links reads few of them.
ASKED_MIN = 512
LOADED_FOR_ASKED = 8
_HAVE_ACCOUNT = frozenset({"contact", "opportunity"})


@dataclass(kw_only=True)
class Crosswalk:
    """Native id <-> shared id, both ways; links planned by a dry run are laid over the stored ones."""

    hands: Hands
    _shared: dict[tuple[Side, Entity, str], str | None] = field(default_factory=dict)
    _native: dict[tuple[Side, Entity, str], str | None] = field(default_factory=dict)
    _loaded: set[Entity] = field(default_factory=set)
    _asked: Counter[Entity] = field(default_factory=Counter)
    _planned: dict[tuple[Side, Entity, str], Link] = field(default_factory=dict)

    def shared_id(self, side: Side, entity: Entity, native_id: str) -> str | None:
        place = (side, entity, native_id)
        if place not in self._shared and not self._load(entity):
            link = self.hands.store.links_by_native(side, entity, [native_id]).get(native_id)
            self._shared[place] = link.id if link and link.alive else None
        return self._shared.get(place)

    def look_up(self, side: Side, entity: Entity, native_ids: Iterable[str]) -> None:
        """Has the shared ids of these at hand, in one call for all of them."""
        ids = [id for id in native_ids if (side, entity, id) not in self._shared]
        if not ids or entity in self._loaded:
            return
        links = self.hands.store.links_by_native(side, entity, ids)
        for id in ids:
            link = links.get(id)
            self._shared[(side, entity, id)] = link.id if link and link.alive else None

    def native_id(self, side: Side, entity: Entity, shared_id: str) -> str | None:
        stand_in = native_of(shared_id)
        if stand_in is not None:
            return stand_in
        place = (side, entity, shared_id)
        if place not in self._native and not self._load(entity):
            link = self.hands.store.links([shared_id]).get(shared_id)
            self._native[place] = link.id_on(side) if link and link.alive else None
        return self._native.get(place)

    def learn(self, link: Link) -> None:
        """A link that was just made, moved or ended."""
        for side in ("left", "right"):
            native = link.id_on(side)
            if native is None:
                continue
            self._shared[(side, link.entity, native)] = link.id if link.alive else None
            self._native[(side, link.entity, link.id)] = native if link.alive else None
            if self.hands.dry:
                self._planned[(side, link.entity, native)] = link

    def forget(self) -> None:
        """Others have made links meanwhile."""
        self._shared.clear()
        self._native.clear()
        self._loaded.clear()

    def planned(self, ref: Ref) -> Link | None:
        """A dry run's own link of this record."""
        return self._planned.get((ref.side, ref.entity, ref.id))

    def _load(self, entity: Entity) -> bool:
        """Are all of them at hand?"""
        if entity in self._loaded:
            return True
        self._asked[entity] += 1
        asked = self._asked[entity]
        if asked < ASKED_MIN or asked.bit_count() != 1:  # looked at again at each power of two
            return False
        many = asked * LOADED_FOR_ASKED
        if self.hands.store.count_links(entity, up_to=many) >= many:
            return False
        self._loaded.add(entity)
        for link in self.hands.store.all_links(entity):
            if link.alive:
                for side in ("left", "right"):
                    native = link.id_on(side)
                    if native is not None:
                        self._shared.setdefault((side, entity, native), link.id)
                        self._native.setdefault((side, entity, link.id), native)
        return True


@dataclass(kw_only=True)
class View:
    hands: Hands
    crosswalk: Crosswalk

    def facts(self, link: Link | None = None, *, whose: Seen | None = None) -> "mapping.Facts":
        """`whose`: the record that tells who stands in for an owner who is not there, before something is written."""
        return mapping.Facts(
            directory=self.hands.directories if whose is None else directories_for(self.hands, whose),
            shared_id=self.crosswalk.shared_id,
            native_id=self.crosswalk.native_id,
            fillers=link.fillers if link else {},
        )

    def see(self, row: Row, *, link: Link | None = None, hint: str | None = None, estimate: bool | None = None) -> Seen:
        """`estimate`: do the amounts that were expected go on to count once it is won (O6); None: as was chosen for
        this record."""
        seen = self._see(row, link, hint, estimate=estimate is True)
        if estimate is None and self._by_estimate(seen, seen):
            return self._see(row, link, hint, estimate=True)
        return seen

    def _by_estimate(self, seen: Seen, decides: Seen) -> bool:
        """Does a won record go on with the amounts expected, by what was chosen for `decides`?"""
        table = self.hands.compiled.entities[seen.row.ref.entity].sides[seen.row.ref.side]
        apart = seen.shared.state == "won" and table.estimate is not None
        return apart and self.hands.policy(decides).close.won_amount == "estimate"

    def _see(self, row: Row, link: Link | None, hint: str | None, *, estimate: bool) -> Seen:
        self.hands.stay()
        side, entity = row.ref.side, row.ref.entity
        row = self.hands.connectors[side].complete(row)
        life = self.hands.connectors[side].life(row)
        shared = self.hands.compiled.entities[entity].get(side, row, life, self.facts(link), hint, estimate=estimate)
        if life.customer_is_contact and "account" in shared.fields and shared.fields["account"] is None:
            account = self._account_of_customer(side, shared, link)
            shared = msgspec.structs.replace(shared, fields={**shared.fields, "account": account})
        ours = link.fillers.get(side) if link is not None and entity == "lead" else None
        if ours:
            shared = _without_fillers(shared, ours)
        seen = Seen(row=row, life=life, shared=shared)
        if shared.contradiction is not None and entity == "lead":
            return self._read_as(seen)
        seen = as_contact(self.hands, seen, self.crosswalk.shared_id)
        return self._without_bucket(seen) if self.hands.buckets and entity in _HAVE_ACCOUNT else seen

    def own_fields(self, row: Row) -> Fields:
        """What a record says without asking others: its links are left unresolved, which is quicker for many."""
        connector = self.hands.connectors[row.ref.side]
        row = connector.complete(row)
        compiled = self.hands.compiled.entities[row.ref.entity]
        facts = mapping.Facts(directory=self.hands.directories)
        return compiled.get(row.ref.side, row, connector.life(row), facts).fields

    def _read_as(self, lead: Seen) -> Seen:
        """A label that contradicts its flag, read as the row that was chosen; never against a flag that says more."""
        choice = self.hands.policy(lead).convert.contradiction
        rows = self.hands.compiled.entities["lead"].status_rows()
        state = rows.get(choice.row) if isinstance(choice, ReadAs) else None
        if not isinstance(choice, ReadAs) or state is None or lead.life.state not in (None, state):
            return lead
        shared = msgspec.structs.replace(lead.shared, state=state, status=choice.row, contradiction=None)
        return Seen(row=lead.row, life=lead.life, shared=shared)

    def _without_bucket(self, seen: Seen) -> Seen:
        """The account for all that have none of their own reads as none, and so never crosses by itself."""
        fields, side = seen.shared.fields, seen.row.ref.side
        blank: dict[str, Value] = {}
        for rule in self.hands.compiled.entities[seen.row.ref.entity].rules:
            value = fields.get(rule.name) if rule.link == "account" else None
            if isinstance(value, Unlinked):
                native: str | None = value.id
            else:
                native = self.crosswalk.native_id(side, "account", value) if isinstance(value, str) else None
            if native is not None and self.hands.is_bucket(native):
                blank[rule.name] = None
        if not blank:
            return seen
        shared = msgspec.structs.replace(seen.shared, fields={**fields, **blank})
        return Seen(row=seen.row, life=seen.life, shared=shared)

    def _account_of_customer(self, side: Side, shared: Shared, link: Link | None) -> Value:
        """The customer is a contact: the account is the contact's, read but never written there (O14).

        What was agreed on once stays, wherever the contact moves (A10)."""
        known = link.base.view(side).get("account") if link is not None else None
        contact = shared.fields.get("contact")
        if known is not None or contact is None:
            return known
        native = (
            contact.id if isinstance(contact, Unlinked) else self.crosswalk.native_id(side, "contact", str(contact))
        )
        stored = self.hands.store.records(side, "contact", [native]).get(native) if native else None
        if stored is None or stored.row.values is None:
            return None
        return self.see(stored.row).shared.fields.get("account")

    def see_pair(self, link: Link, left: Row, right: Row, *, source: Side | None = None) -> tuple[Seen, Seen]:
        """Both sides; where several status rows share a native value, the base's own row is kept if it fits.

        `source`: the side that was just written from; the other then reads as that side's row where it can."""
        first, second = self._both(link, left, right, source)
        estimate = self._by_estimate(second, first)
        if estimate != second.shared.estimate:  # a segment may show on the left side alone
            second = self.see(right, link=link, hint=second.shared.status, estimate=estimate)
        return first, second

    def _both(self, link: Link, left: Row, right: Row, source: Side | None) -> tuple[Seen, Seen]:
        if source is not None:
            here, there = (left, right) if source == "left" else (right, left)
            first = self.see(here, link=link, hint=_row_of(link.base.axes(source)))
            second = self.see(there, link=link, hint=first.shared.status)
            if first.shared.status != second.shared.status:
                # The source may be the one that cannot tell rows apart (the Develop trap).
                again = self.see(here, link=link, hint=second.shared.status)
                first = again if again.shared.status == second.shared.status else first
            return (first, second) if source == "left" else (second, first)
        if link.mode == "steady":
            return (
                self.see(left, link=link, hint=_row_of(link.base.left_axes)),
                self.see(right, link=link, hint=_row_of(link.base.right_axes)),
            )
        # No base yet: let the side that cannot tell rows apart follow the one that can.
        plain_left, plain_right = self.see(left, link=link), self.see(right, link=link)
        if plain_left.shared.status == plain_right.shared.status:
            return plain_left, plain_right
        hinted = self.see(left, link=link, hint=plain_right.shared.status)
        if hinted.shared.status == plain_right.shared.status:
            return hinted, plain_right
        return plain_left, self.see(right, link=link, hint=plain_left.shared.status)

    def see_all(self, stored: Iterable[Stored]) -> Iterator[Seen]:
        for one in stored:
            if one.row.values is not None and not one.row.deleted:
                yield self.see(one.row)


def _without_fillers(shared: Shared, ours: Mapping[str, str]) -> Shared:
    """What we wrote for want of a value reads as none, also where the mapping knows nothing of it (`sync.named`)."""
    blank = {name: None for name, text in ours.items() if shared.fields.get(name) == text}
    return msgspec.structs.replace(shared, fields={**shared.fields, **blank}) if blank else shared


def partner_of(link: Link, side: Side) -> str | None:
    return link.id_on(other(side))


def _row_of(axes: Axes) -> str | None:
    return axes.status


def link_ids(link: Link) -> Mapping[Side, str | None]:
    return {"left": link.left_id, "right": link.right_id}

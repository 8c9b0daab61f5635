"""Changes under our user's name that this store knows nothing of (ADR 13).

They mean one of two things: the store was put back from a backup and has forgotten what it did since, or a second
installation writes with the same user. In both cases a create may double what is there already, so nothing more is
written until a person has said which, and `relink` has taken up what was made.

It is judged from the pages that are read anyway, and costs no call. Ours is what an intent of the last day is about,
whatever came of it, and what goes with such a record: the results of a conversion, the children of an account that was
handed over or merged, the pair that is still being made. An automation that runs under our name because of a write of
ours is known by its place (the same record, its parent, its lead) or by touching nothing that is mapped. What a
deletion empties elsewhere is no evidence either.

On the day of a first run nearly every record is such a place. There a second installation is known by what it writes:
long after our last write, a record that stood as agreed has just the values that its partner was given by somebody
since, and no intent gave them to it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from connectors.base import Page
from crmbridge.errors import GuardError
from crmbridge.model import (
    ENTITIES,
    Entity,
    Fields,
    Life,
    Link,
    Ref,
    Row,
    Seen,
    Side,
    Unlinked,
    Value,
    attribute_name,
    other,
)
from crmbridge.state.store import Store
from crmbridge.state.words import Issue, Stored
from crmbridge.sync.echo import holds, places_of
from crmbridge.sync.hands import Hands
from crmbridge.sync.view import View

CAUSE: Final = "other_writer"
FIX: Final = (
    "If another installation runs with this user, stop it. Then, and after a store was put back from a backup: "
    "crmbridge relink."
)
# What follows from a write of ours (a flow's next step, a nightly job) has come by then.
OURS_FOR: Final = timedelta(days=1)
# An automation acts in the request that set it off, or a moment later; by the CRM's own clock.
MADE_ALONG: Final = timedelta(minutes=2)
# Calls that touch only what they name. Others (a conversion, a merge) fill and move records that no intent is about.
_PLAIN: Final = frozenset({"create", "update"})
TOLD_MAX: Final = 20  # records of one page; more of them say nothing more


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A row that our user changed near a write of ours, but long after it, and to what no intent says."""

    row: Row
    known: Stored  # as it was before
    fields: Fields  # what it shows now of what changed


def stop_if_found(store: Store) -> None:
    """Raises GuardError while somebody else's hand was seen and nobody has said what it was."""
    found = store.open_issues(cause=CAUSE)
    if found:
        some = ", ".join(sorted({f"{one.entity} {one.native_id}" for one in found})[:3])
        raise GuardError(
            f"Nothing is written: records changed under crmbridge's own user, and this store knows nothing of it "
            f"({len(found)} seen, such as {some}).",
            fix=FIX,
            code=CAUSE,
        )


def foreign(hands: Hands, view: View, side: Side, source: str, page: Page) -> tuple[list[Issue], list[Doubt]]:
    """Issues about rows of this page that our user changed and we did not; and rows that `copied` decides on once both
    sides are read. To be stored before the page is: then they are known."""
    entity: Entity | None = next((each for each in ENTITIES if each == source), None)
    us = hands.our_users[side]
    if entity is None:
        return [], []
    # A key that we alone write is evidence as well, whoever touched the row since.
    rows = [
        row for row in page.rows if not row.deleted and row.values is not None and (row.modified_by == us or row.key)
    ]
    gone = hands.store.erased([row.ref for row in rows])  # what was taken out at a person's word is not stored either
    rows = [row for row in rows if row.ref not in gone]
    if not rows:
        return [], []
    known = hands.store.records(side, entity, [row.ref.id for row in rows])
    rows = [row for row in rows if _moved(hands, row, known.get(row.ref.id), us)]
    strange, doubts = _unexplained(hands, view, side, entity, rows, known) if rows else ([], [])
    return [_issue(hands, row, known.get(row.ref.id)) for row in strange[:TOLD_MAX]], doubts


def copied(hands: Hands, view: View, doubts: Sequence[Doubt]) -> list[Issue]:
    """Issues about those that were given just what their partners were given by somebody since the two were agreed."""
    found = [doubt for doubt in doubts if _is_copy(hands, view, doubt)]
    return [_issue(hands, doubt.row, doubt.known) for doubt in found[:TOLD_MAX]]


def _is_copy(hands: Hands, view: View, doubt: Doubt) -> bool:
    """Two automations that do the same on both sides do it at any time, and not one right after the other's side was
    edited, before we saw it; so the partner must have been saved first, and by somebody else."""
    ref = doubt.row.ref
    there = other(ref.side)
    link = hands.store.links_by_native(ref.side, ref.entity, [ref.id]).get(ref.id)
    partner = link.id_on(there) if link is not None and link.alive and link.mode == "steady" else None
    stored = hands.store.records(there, ref.entity, [partner]).get(partner) if partner is not None else None
    if link is None or stored is None or stored.row.deleted or stored.row.values is None:
        return False
    if stored.row.modified_by == hands.our_users[there] or not _later(doubt.row, stored.row):
        return False
    shown = view.see(stored.row, link=link).shared.fields
    return all(
        name in shown
        and shown[name] != link.base.view(there).get(name)
        and _agree(hands, ref, name, value, shown[name])
        for name, value in doubt.fields.items()
    )


def _agree(hands: Hands, ref: Ref, name: str, here: Value, there: Value) -> bool:
    rule = next(rule for rule in hands.compiled.entities[ref.entity].rules if rule.name == name)
    return rule.same(here, there) if ref.side == "left" else rule.same(there, here)


def _moved(hands: Hands, row: Row, stored: Stored | None, us: str | None) -> bool:
    """Did our user change, or make, something that is mapped, as far as the store knows?"""
    if stored is None:
        return True
    old = stored.row
    if row.modified_by != us or old.version == row.version or old.values is None:
        return False
    connector, links = hands.connectors[row.ref.side], _links(hands, row)
    if not _same_life(connector.life(old), connector.life(row)):
        return True
    for column in hands.compiled.entities[row.ref.entity].columns(row.ref.side):
        name = attribute_name(column)
        now = getattr(row.values, name, None)
        if getattr(old.values, name, None) != now and not (now is None and column in links):
            return True
    return False


def _links(hands: Hands, row: Row) -> set[str]:
    """Columns that name other records. Who deletes such a record empties them everywhere, and the CRM does not put that
    down to anybody: the last to have saved the row may still be us."""
    compiled = hands.compiled.entities[row.ref.entity]
    ends = compiled.sides[row.ref.side].at(None).ends
    named = (ends.get(rule.name) for rule in compiled.rules if rule.link is not None)
    return {wire for end in named if end is not None for wire in end.wires}


def _same_life(old: Life, now: Life) -> bool:
    """Apart from records it named that are deleted."""
    return now == replace(
        old,
        account_id=now.account_id and old.account_id,
        contact_id=now.contact_id and old.contact_id,
        opportunity_id=now.opportunity_id and old.opportunity_id,
        origin_lead_id=now.origin_lead_id and old.origin_lead_id,
        customer_is_contact=now.customer_is_contact and old.customer_is_contact,
    )


def _unexplained(
    hands: Hands, view: View, side: Side, entity: Entity, rows: Sequence[Row], known: Mapping[str, Stored]
) -> tuple[list[Row], list[Doubt]]:
    own = {row.ref.id: {row.ref.id} | ({row.key} if row.key else set()) for row in rows}
    around = {row.ref.id: _around(hands, view, view.see(row), new=row.ref.id not in known) for row in rows}
    names = [name for some in (*own.values(), *around.values()) for name in some]
    ours = hands.store.intended(side, names, OURS_FOR)
    left = [row for row in rows if not (own[row.ref.id] | around[row.ref.id]) & ours]
    near = [row for row in rows if row not in left and row.ref.id in known and row.modified_by == hands.our_users[side]]
    if not left and not near:
        return [], []
    if any(intent.side == side for intent in hands.store.open_intents()):
        return [], []  # what a call made whose answer was lost is not known yet; when it is, all of it is read
    links = hands.store.links_by_native(side, entity, [row.ref.id for row in (*left, *near)])
    settled = [row for row in left if (link := links.get(row.ref.id)) is None or link.mode == "steady"]
    strange = [row for row in settled if row.ref.id in known or not _made_along(hands, view, row)]
    doubts = (
        _doubt(hands, view, row, known[row.ref.id], links.get(row.ref.id), own[row.ref.id] | around[row.ref.id])
        for row in near
    )
    return strange, [doubt for doubt in doubts if doubt is not None]


def _doubt(hands: Hands, view: View, row: Row, stored: Stored, link: Link | None, names: set[str]) -> Doubt | None:
    """Nothing of ours near it explains these values: neither a call that fills what it does not name, nor an automation
    at the moment of our write, nor an intent that gave them (its request may have landed late)."""
    side, entity = row.ref.side, row.ref.entity
    if link is None or not link.alive or link.mode != "steady" or not _later(row, stored.row, MADE_ALONG):
        return None
    us = hands.our_users[side]
    near = [one.row for each in ENTITIES for one in hands.store.records(side, each, sorted(names)).values()]
    if any(one.modified_by == us and not _later(row, one, MADE_ALONG) for one in near):
        return None
    intents = hands.store.intents_about(side, sorted(names), OURS_FOR)
    if any(intent.kind not in _PLAIN for intent in intents):
        return None
    before, now = view.see(stored.row, link=link), view.see(row, link=link)
    if not _same_life(before.life, now.life):
        return None
    was, agreed, ends = (
        before.shared.fields,
        link.base.view(side),
        hands.compiled.entities[entity].ends(side, now.shared),
    )
    moved = {name: value for name, value in now.shared.fields.items() if name in was and was[name] != value}
    for name in moved:
        columns = places_of(ends[name]) if name in ends else ()
        if name not in agreed or agreed[name] != was[name]:
            return None  # it was on its way already
        if any(column in one.after and holds(row, column, one.after[column]) for one in intents for column in columns):
            return None
    return Doubt(row=row, known=stored, fields=moved) if moved else None


def _later(row: Row, than: Row, by: timedelta = timedelta()) -> bool:
    return row.modified_at is not None and than.modified_at is not None and row.modified_at - than.modified_at > by


def _around(hands: Hands, view: View, seen: Seen, *, new: bool) -> set[str]:
    """Records whose writing may have touched this one: its lead, and what it hangs on. Under a parent that we wrote to
    a second installation may make new rows, so for these only the lead counts."""
    life = seen.life
    names = {life.origin_lead_id, None if new else seen.row.merged_into}
    if life.person_account:  # one record in two rows
        names |= {life.account_id, life.contact_id}
    if not new:
        names |= {life.account_id, life.contact_id, life.opportunity_id, *_parents(hands, view, seen)}
    return {name for name in names if name}


def _parents(hands: Hands, view: View, seen: Seen) -> Iterable[str]:
    side = seen.row.ref.side
    for rule in hands.compiled.entities[seen.row.ref.entity].rules:
        value = seen.shared.fields.get(rule.name) if rule.link is not None else None
        if isinstance(value, Unlinked):
            yield value.id
        elif isinstance(value, str) and rule.link is not None:
            native = view.crosswalk.native_id(side, rule.link, value)
            if native is not None:
                yield native


def _made_along(hands: Hands, view: View, row: Row) -> bool:
    """Was it made in the moment in which we wrote to its account or contact: by an automation, in our name?"""
    us, side = hands.our_users[row.ref.side], row.ref.side
    parents = list(_parents(hands, view, view.see(row)))
    for entity in ("account", "contact"):
        for stored in hands.store.records(side, entity, parents).values():
            at, made = stored.row.modified_at, row.created_at
            if stored.row.modified_by == us and at is not None and made is not None and abs(made - at) <= MADE_ALONG:
                return True
    return False


def _issue(hands: Hands, row: Row, known: Stored | None) -> Issue:
    what = "was changed" if known is not None else "was made"
    return hands.issue(
        "held",
        cause=CAUSE,
        entity=row.ref.entity,
        ref=Ref(side=row.ref.side, entity=row.ref.entity, id=row.ref.id),
        message=f"It {what} on {hands.names[row.ref.side]} under crmbridge's own user, and this store knows nothing of "
        "it: the store was put back from a backup, or another installation is writing. Nothing is written meanwhile.",
        fix=FIX,
    )

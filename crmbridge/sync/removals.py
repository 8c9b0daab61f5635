"""Removing what is left of a pair whose other record is gone: one record a call, and it ends the pair.

Before each call stands its intent; the tombstone is written together with the outcome (reliability §3). What a CRM
refuses leaves the pair alive, with the CRM's own words as an issue.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from connectors.base import Move, Removal
from crmbridge.model import SIDES, Entity, Link, Outcome, Ref, Refused, Row, Seen, Side, Stale, Unknown, Written, other
from crmbridge.removal import CLOSED, Fate, Kind, Left, fate_of
from crmbridge.state.words import Batch, Intent, IssuePlace, Stored
from crmbridge.sync.hands import Hands, fingerprint, jsonable, new_intent
from crmbridge.sync.pausing import pause_of, waits
from crmbridge.sync.view import View
from crmbridge.sync.work import (
    fresh_rows,
    journal,
    outcome_state,
    read_back,
    refusals,
    refused_issue,
    reply_text,
    work_event,
)

# What the guard counts a removal as: what ends a record is a deletion, also where another one takes it up.
_COUNTED: Final[Mapping[Kind, str]] = {
    "delete": "delete",
    "merge": "delete",
    "deactivate": "close",
    "disqualify": "disqualify",
    "lose": "close",
}
# What a CRM deletes along with one of these (A5); of a contact only the deals whose customer it is (A6).
_TAKEN_ALONG: Final[Mapping[Entity, tuple[Entity, ...]]] = {
    "account": ("contact", "opportunity"),
    "contact": ("opportunity",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One record to remove."""

    link: Link
    row: Row  # what is left
    kind: Kind
    case: str
    reason: str
    clean: Sequence[tuple[Ref, str | None]]
    into: str | None = None  # merge: the record that stays

    @property
    def side(self) -> Side:
        return self.row.ref.side


# --- deciding -----------------------------------------------------------------------------------------------------


def fates(hands: Hands, view: View, gone: Sequence[tuple[Link, Side]]) -> dict[str, Fate]:
    """By link: what becomes of the partners of records that were deleted on these sides."""
    children = _Children(hands=hands, view=view, gone=gone)
    found: dict[str, Fate] = {}
    for link, side in gone:
        id = link.id_on(other(side))
        stored = hands.store.records(other(side), link.entity, [id]).get(id) if id is not None else None
        if stored is None or stored.row.values is None:
            found[link.id] = Fate()  # never seen, or gone as well
            continue
        seen = view.see(stored.row, link=link, hint=link.base.axes(other(side)).status)
        left = Left(
            seen=seen,
            converted=was_converted(link, side) or seen.shared.state == "converted",
            name=hands.names[other(side)],
            deactivates=hands.powers[other(side)].deactivates,
            edited=_edited(hands, link, stored, seen),
            staying=lambda link=link: children.staying(link),
        )
        found[link.id] = fate_of(left, hands.policy(seen))
    return found


def was_converted(link: Link, side: Side) -> bool:
    return link.epoch > 0 or link.base.axes(side).state == "converted"


def _edited(hands: Hands, link: Link, stored: Stored, seen: Seen) -> bool:
    """Is it otherwise than it was when the two were last agreed? Look-ups empty themselves when a parent goes."""
    if not stored.dirty:
        return False
    side, now = seen.row.ref.side, seen.shared.fields
    base, axes = link.base.view(side), link.base.axes(side)
    moved = axes.state is not None and (seen.shared.state, seen.shared.status) != (axes.state, axes.status)
    rules = [rule for rule in hands.compiled.entities[link.entity].rules if rule.link is None and side in rule.sides]
    return moved or any(
        not rule.same(base[rule.name], now[rule.name]) for rule in rules if rule.name in base and rule.name in now
    )


@dataclass(kw_only=True)
class _Children:
    """Records that would go along with an account or a contact. One walk over the stored records serves all."""

    hands: Hands
    view: View
    gone: Sequence[tuple[Link, Side]]
    _found: dict[str, Counter[Entity]] | None = None

    def staying(self, parent: Link) -> Mapping[Entity, int]:
        if self._found is None:
            self._found = self._walk()
        return self._found[parent.id]

    def _walk(self) -> dict[str, Counter[Entity]]:
        found: dict[str, Counter[Entity]] = {link.id: Counter() for link, _ in self.gone}
        for side in SIDES:
            for entity in ("contact", "opportunity"):
                parents: dict[str, Entity] = {
                    link.id: link.entity
                    for link, gone in self.gone
                    if other(gone) == side and entity in _TAKEN_ALONG.get(link.entity, ())
                }
                below = list(self._below(side, entity, parents)) if parents else []
                for parent in self._stay([seen for _, seen in below], below):
                    found[parent][entity] += 1
        return found

    def _below(self, side: Side, entity: Entity, parents: Mapping[str, Entity]) -> Iterable[tuple[str, Seen]]:
        for seen in self.view.see_all(self.hands.store.all_records(side, entity)):
            if seen.row.merged_into is not None:
                continue
            for name in _TAKEN_ALONG:
                parent = seen.shared.fields.get(name)
                if isinstance(parent, str) and parents.get(parent) == name and _goes_with(name, seen):
                    yield parent, seen

    def _stay(self, rows: Sequence[Seen], below: Sequence[tuple[str, Seen]]) -> Iterable[str]:
        """Parents of those that are not gone on the other side, or are closed."""
        if not rows:
            return
        side, entity = rows[0].row.ref.side, rows[0].row.ref.entity
        links = self.hands.store.links_by_native(side, entity, [seen.row.ref.id for seen in rows])
        partners = {id: native for id, link in links.items() if (native := link.id_on(other(side))) is not None}
        there = self.hands.store.records(other(side), entity, list(partners.values()))
        for parent, seen in below:
            partner = there.get(partners.get(seen.row.ref.id, ""))
            gone = partner is not None and partner.row.deleted and partner.row.merged_into is None
            if not gone or seen.shared.state in CLOSED:
                yield parent


def _goes_with(parent: Entity, child: Seen) -> bool:
    return parent == "account" or child.life.customer_is_contact


# --- doing --------------------------------------------------------------------------------------------------------


def carry_out(hands: Hands, view: View, orders: Sequence[Order]) -> None:
    refused = refusals(hands, links=[order.link for order in orders])
    for order in orders:
        move = _move(hands, view, order)
        payload = _payload(order, move)
        if (order.link.id, _mark(order, payload)) in refused:
            continue  # its open issue stands
        pause = pause_of(hands, order.side, order.link.entity)
        if pause is not None:
            hands.record(Batch(issues=[waits(hands, pause, order.side, order.link.entity, link=order.link)]))
            continue
        if hands.dry:
            hands.count(order.side, order.link.entity, _COUNTED[order.kind])
            hands.removed.add(order.link.id)
            view.crosswalk.learn(replace(order.link, alive=False))
            _tell(hands, order)
            continue
        intent = _intent(hands, view, order, move, payload)
        hands.record(Batch(open_intents=[intent]))
        _settle(hands, view, order, intent, payload, _call(hands, order, move))


def _payload(order: Order, move: Move | None) -> dict[str, Any]:
    if move is not None:
        return {"status": move.status, **move.columns}
    return {"into": order.into} if order.kind == "merge" else {"statecode": 1} if order.kind == "deactivate" else {}


def _mark(order: Order, payload: Mapping[str, Any]) -> str:
    """What was refused is not sent again unchanged."""
    return fingerprint({"kind": order.kind, **payload})


def _move(hands: Hands, view: View, order: Order) -> Move | None:
    """Disqualified and lost are states of their own, reached as any other move; of deals the Canceled row, if any."""
    if order.kind not in ("disqualify", "lose"):
        return None
    compiled = hands.compiled.entities[order.link.entity]
    state = "lost" if order.kind == "lose" else "disqualified"
    life = hands.connectors[order.side].life(order.row)
    canceled = order.kind == "lose" and compiled.status_rows().get("canceled") == state
    status = "canceled" if canceled else compiled.row_for_state(order.side, state, life)
    native = compiled.status_for(order.side, status, life=life) if status is not None else None
    reason = compiled.reason_columns(order.side, status, order.row) if status is not None else {}
    return Move(
        kind="lose" if order.kind == "lose" else "status",
        entity=order.link.entity,
        id=order.row.ref.id,
        version=order.row.version,
        status=native,
        columns=reason,
        subject=order.reason,
        extras=order.row.extras,
    )


def _call(hands: Hands, order: Order, move: Move | None) -> Outcome:
    connector = hands.connectors[order.side]
    if move is not None:
        if move.status is None:
            return Refused(code="unmapped_status", message="the mapping names no status there for that")
        return connector.moves([move])[0]
    assert order.kind in ("delete", "merge", "deactivate")
    row = order.row
    return connector.remove(
        Removal(kind=order.kind, entity=row.ref.entity, id=row.ref.id, version=row.version, into=order.into)
    )


def _intent(hands: Hands, view: View, order: Order, move: Move | None, payload: Mapping[str, Any]) -> Intent:
    seen = view.see(order.row, link=order.link)
    state = {"state": "lost" if order.kind == "lose" else "disqualified"} if move is not None else {}
    return new_intent(
        hands,
        side=order.side,
        entity=order.link.entity,
        kind=order.kind if move is None else move.kind,
        link_id=order.link.id,
        native_id=order.row.ref.id,
        source_id=order.link.id_on(other(order.side)),
        key=order.into,
        reason=order.reason,
        before={"state": seen.shared.state, "status": jsonable(seen.life.status)},
        after={**state, **journal(payload)},
        pre_version=order.row.version,
    )


def _settle(
    hands: Hands, view: View, order: Order, intent: Intent, payload: Mapping[str, Any], outcome: Outcome
) -> None:
    hands.came_to(outcome_state(outcome), order.side, order.link.entity, _COUNTED[order.kind])
    if isinstance(outcome, Unknown):
        hands.leave_alone(order.link.id)  # the intent stays open; recovery looks first
        return
    if isinstance(outcome, Written):
        hands.record(_ended(hands, view, order, replace(intent, state="done", reply=reply_text(outcome)), outcome))
        _tell(hands, order)
        return
    closed = replace(intent, state=outcome_state(outcome), reply=reply_text(outcome))
    ref = order.row.ref
    if isinstance(outcome, Refused):
        mark = _mark(order, payload)
        issue = refused_issue(hands, outcome, order.link.entity, mark, link=order.link, ref=ref)
        hands.record(Batch(close_intents=[closed], issues=[issue]))
        return
    moved = [ref] if isinstance(outcome, Stale) else []
    hands.record(Batch(close_intents=[closed], rows=fresh_rows(hands, moved), dirty=moved))


def _ended(hands: Hands, view: View, order: Order, intent: Intent, outcome: Written) -> Batch:
    """The pair's end and the outcome, in one transaction."""
    row = order.row
    if order.kind in ("delete", "merge"):
        rows = [replace(row, deleted=True, values=None, merged_into=order.into, extras={})]
    else:
        rows = list(read_back(hands, order.side, row.ref.entity, [outcome]).values())
    clean = [place for place in order.clean if place[0] != row.ref]
    clean.extend((one.ref, one.version) for one in (rows or [row]))
    return ended(view, order.link, rows=rows, clean=clean, intent=intent)


def ended(
    view: View, link: Link, *, rows: Sequence[Row], clean: Sequence[tuple[Ref, str | None]], intent: Intent
) -> Batch:
    dead = replace(link, alive=False)
    view.crosswalk.learn(dead)
    over: IssuePlace = (link.entity, link.id, None, None, None)
    return Batch(rows=rows, links=[dead], clean=clean, close_intents=[intent], close_issues=[over])


def _tell(hands: Hands, order: Order) -> None:
    hands.tell(work_event(order.link, order.side, order.kind, order.reason, (), case=order.case))

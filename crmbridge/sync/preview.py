"""What a sync would make of one record or pair: both sides translated, and each write with its reason. Nothing is sent.

The same functions decide as in a sync. They run as in its dry pass, without a lease, and what they would have sent is
collected from the work. A record without a partner is shown as it would be made; that a sync first looks for its twin
among all the others is the caller's to tell.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from crmbridge.model import SIDES, Entity, Link, Problem, Row, Seen, Side
from crmbridge.sync.hands import Event
from crmbridge.sync.pairing import make_partners
from crmbridge.sync.phase import sync_pairs
from crmbridge.sync.view import View
from crmbridge.sync.work import Order, make_work

# Events that are no order: what is held, waits, or is only told.
_TOLD = frozenset({"held", "failed", "waiting", "report"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Previewed:
    """One record, or one pair."""

    entity: Entity
    link: Link | None
    seen: Mapping[Side, Seen]
    orders: tuple[Order, ...]
    events: tuple[Event, ...]

    @property
    def problems(self) -> tuple[tuple[Side, Problem], ...]:
        """What could not be read, by side."""
        return tuple((side, problem) for side, seen in self.seen.items() for problem in seen.shared.problems)


def preview_pair(view: View, link: Link, rows: Mapping[Side, Row]) -> Previewed:
    before = len(view.hands.events)
    work = make_work(view, link, {side: rows[side] for side in SIDES})
    seen = dict(work.seen)
    sync_pairs(view.hands, view, link.entity, [work])
    return Previewed(entity=link.entity, link=link, seen=seen, orders=tuple(work.orders), events=_events(view, before))


def preview_single(view: View, row: Row) -> Previewed:
    """As the record that would be made for it on the other side; without an order where nothing takes it into scope."""
    before, entity = len(view.hands.events), row.ref.entity
    seen = view.see(row)
    works = make_partners(view.hands, view, entity, [seen], view.hands.touched)
    return Previewed(
        entity=entity,
        link=None,
        seen={row.ref.side: seen},
        orders=tuple(order for work in works for order in work.orders),
        events=_events(view, before),
    )


def _events(view: View, before: int) -> tuple[Event, ...]:
    """Each once: a problem of a value is told when it is read and when it is written."""
    told = [event for event in view.hands.events[before:] if event.kind in _TOLD]
    return tuple({(event.kind, event.cause, event.fields, event.reason): event for event in told}.values())

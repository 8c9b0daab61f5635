"""What a sync would make of one record or pair: both sides translated, and each write with its reason. Nothing is sent.

The same functions decide as in a sync. They run as in its dry pass, without a lease, and what they would have sent is
collected from the work.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from crmbridge.model import SIDES, Entity, Link, Problem, Row, Seen, Side
from crmbridge.state.words import Stored
from crmbridge.sync.hands import TOLD, Event
from crmbridge.sync.pairing import pair_up
from crmbridge.sync.phase import sync_pairs
from crmbridge.sync.view import View
from crmbridge.sync.work import Order, make_work


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
    return preview_pairs(view, link.entity, [(link, rows)])[0]


def preview_pairs(view: View, entity: Entity, pairs: Sequence[tuple[Link, Mapping[Side, Row]]]) -> list[Previewed]:
    """Pairs of one kind, planned together."""
    hands = view.hands
    before = len(hands.events)
    works = [make_work(view, link, {side: rows[side] for side in SIDES}) for link, rows in pairs]
    seen = [dict(work.seen) for work in works]
    sync_pairs(hands, view, entity, works)
    told: dict[str | None, list[Event]] = {}
    for event in hands.events[before:]:
        told.setdefault(event.link_id, []).append(event)
    del hands.events[before:]
    return [
        Previewed(
            entity=entity,
            link=work.link,
            seen=both,
            orders=tuple(work.orders),
            events=_once(told.get(work.link.id, [])),
        )
        for work, both in zip(works, seen, strict=True)
    ]


def preview_single(view: View, row: Row) -> Previewed:
    """With the twin that the store knows, else as the record that would be made; else nothing takes it into scope.

    The twin is looked for among the records that the store has met, so only after a first plan."""
    hands, entity = view.hands, row.ref.entity
    before = len(hands.events)
    seen: Mapping[Side, Seen] = {row.ref.side: view.see(row)}
    stored = hands.store.record(row.ref)
    touched = row.ref in hands.touched or (stored is not None and stored.touched)
    works = pair_up(hands, view, entity, [Stored(row=row, dirty=True, touched=touched)])
    twins = [work for work in works if len(work.rows) == len(SIDES)]
    sync_pairs(hands, view, entity, twins)
    return Previewed(
        entity=entity,
        link=twins[0].link if twins else None,
        seen=twins[0].seen if twins else seen,
        orders=tuple(order for work in works for order in work.orders),
        events=_once(hands.events[before:]),
    )


def _once(events: Iterable[Event]) -> tuple[Event, ...]:
    """What is no order, each once: a problem of a value is told when it is read and when it is written."""
    told = [event for event in events if event.kind in TOLD]
    return tuple({(event.kind, event.cause, event.fields, event.reason): event for event in told}.values())

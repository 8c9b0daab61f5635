"""Once a day: did the cursors miss anything? By id and version, of all that changed since then (reliability §7).

A call tells 2,000 or 5,000 rows and nothing of their contents, so an ordinary day costs one call a table. What the
store does not have as the CRM has it is read in full and planned like any change. The count is kept; it should be 0.
Deletions are among the changes on Salesforce; elsewhere the linked records are called by their ids (rollcall.py).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

import msgspec

from connectors.base import Auditor, Known
from crmbridge.model import SIDES, Entity, Ref, Row, Side
from crmbridge.state.store import Store
from crmbridge.state.words import Batch, Stored
from crmbridge.sync import rollcall
from crmbridge.sync.hands import Event, Hands

CAUSE: Final = "missed_by_cursor"
META: Final = "reconcile"  # side -> entity -> Result
# Before the last time: what was committed late bears an early stamp.
OVERLAP: Final = timedelta(days=1)
# What is younger than this the cursors may still be waiting for.
SETTLED: Final = timedelta(minutes=15)
_CHUNK: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    at: str  # when, by the store's clock
    seen: int = 0  # rows that changed since
    missed: int = 0  # of these the store knew otherwise, or not at all
    roll: rollcall.Roll = field(default_factory=rollcall.Roll)  # are those still there that are linked?

    @property
    def found(self) -> int:
        """What no reading had shown, and was taken up."""
        return self.missed + self.roll.gone


def results(store: Store) -> dict[Side, dict[Entity, Result]]:
    """Of the last time, by side and kind of record."""
    kept = msgspec.json.decode(store.meta(META) or "{}", type=dict[Side, dict[Entity, Result]])
    return {side: kept.get(side, {}) for side in SIDES}


def note(store: Store, results: Mapping[Side, Mapping[Entity, Result]]) -> None:
    kept = {side: {entity: asdict(one) for entity, one in some.items()} for side, some in results.items()}
    store.set_meta(META, json.dumps(kept, sort_keys=True))


def reconcile(hands: Hands, every: timedelta) -> None:
    """What is due, after all tables were read. A table's first time only notes the day: it was read as a whole."""
    now, last = hands.store.now(), results(hands.store)
    changed = False
    for side in SIDES:
        connector = hands.connectors[side]
        for entity in hands.options.entities if isinstance(connector, Auditor) else ():
            if hands.store.cursor(side, entity) is None:
                continue
            before = last[side].get(entity)
            if before is not None and not before.roll.is_over:
                last[side][entity] = replace(before, roll=rollcall.go_on(hands, side, entity, before.roll, CAUSE))
                changed = True
                continue
            if before is not None and now - datetime.fromisoformat(before.at) < every:
                continue
            hands.progress.step(f"looking for {entity} records of {hands.names[side]} that were missed")
            seen, missed = (0, 0) if before is None else _table(hands, side, entity, datetime.fromisoformat(before.at))
            roll = rollcall.Roll() if before is None else rollcall.begun(hands, side)
            last[side][entity] = Result(at=now.isoformat(), seen=seen, missed=missed, roll=roll)
            changed = True
    if changed:
        note(hands.store, last)


def _table(hands: Hands, side: Side, entity: Entity, since: datetime) -> tuple[int, int]:
    connector = hands.connectors[side]
    assert isinstance(connector, Auditor)
    seen, missed = 0, 0
    for page in connector.known_since(entity, since - OVERLAP, SETTLED):
        for start in range(0, len(page), _CHUNK):
            some = page[start : start + _CHUNK]
            seen += len(some)
            missed += _take_up(hands, side, entity, some)
    return seen, missed


def _take_up(hands: Hands, side: Side, entity: Entity, page: Sequence[Known]) -> int:
    stored = hands.store.records(side, entity, [one.id for one in page])
    gone = hands.store.erased([Ref(side=side, entity=entity, id=one.id) for one in page])
    missed = [one for one in page if _differs(one, stored) and Ref(side=side, entity=entity, id=one.id) not in gone]
    if not missed:
        return 0
    rows = dict(hands.connectors[side].fetch(entity, [one.id for one in missed if not one.deleted]))
    rows |= {one.id: _deleted(side, entity, one) for one in missed if one.deleted}
    # Read a moment ago by somebody else's cursor, or gone since: then it was not missed.
    rows = {
        id: row for id, row in rows.items() if row.deleted or id not in stored or stored[id].row.version != row.version
    }
    refs = [row.ref for row in rows.values()]
    hands.record(Batch(rows=list(rows.values()), dirty=refs))
    for ref in refs:
        hands.tell(
            Event(
                entity=entity,
                side=side,
                kind="report",
                link_id=None,
                ids={side: ref.id},
                reason="Its change was not shown when the table was read; it is planned now.",
                cause=CAUSE,
            )
        )
    return len(refs)


def _differs(one: Known, stored: Mapping[str, Stored]) -> bool:
    there = stored.get(one.id)
    if there is None:
        return not one.deleted  # what came and went unseen concerns nobody
    return there.row.deleted != one.deleted if one.deleted else there.row.version != one.version


def _deleted(side: Side, entity: Entity, one: Known) -> Row:
    ref = Ref(side=side, entity=entity, id=one.id)
    return Row(ref=ref, version=one.version, created_at=None, modified_at=None, deleted=True)

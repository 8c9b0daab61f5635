"""What a table's reading from the start did not show: deleted, or only out of sight? (reliability §7)

Such a reading follows an expired delta link, or other columns to read, and no deletion is told by it. So these records
are asked for by their ids, a share with each cycle, before anything is planned. One that is shown after all is taken as
it is now: it moved while the pages were read, or our user had lost the right for a while. A deletion is followed if the
connector can prove it. Of the others those that are linked are told, as by the daily roll call, and stay as they are.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from connectors.rollcall import Absent, RollCaller
from crmbridge.model import Entity, Ref, Side
from crmbridge.state.unseen import Unseen
from crmbridge.state.words import Batch
from crmbridge.sync.hands import Hands
from crmbridge.sync.rollcall import deleted, told_of, unclear

SLICE: Final = 1000  # ids; with Dynamics two or three calls
SLICES: Final = 10  # in one cycle, of one table


def ask_for_unseen(hands: Hands, unseen: Unseen) -> int:
    """This cycle's share. Returns how many turned out to be otherwise than they are known."""
    changed = 0
    for _ in range(SLICES):
        hands.progress.step(f"asking {hands.names[unseen.side]} for {unseen.entity} records that it did not show")
        ids = hands.store.unseen_ids(unseen, SLICE)
        is_last = len(ids) < SLICE
        unseen = unseen if is_last else unseen.behind(ids[-1])
        found = _found(hands, unseen.side, unseen.entity, ids) if ids else Batch()
        hands.record(replace(found, meta=unseen.over if is_last else unseen.note))
        changed += len(found.rows)
        if is_last:
            break
    return changed


def _found(hands: Hands, side: Side, entity: Entity, ids: Sequence[str]) -> Batch:
    connector = hands.connectors[side]
    if isinstance(connector, RollCaller):
        absent = connector.absent(entity, ids)
        there = [id for id in ids if id not in absent.ids]
        shown = connector.fetch(entity, there) if there else {}
    else:
        shown = connector.fetch(entity, ids)
        absent = Absent(ids=frozenset(ids) - shown.keys())
    known = hands.store.records(side, entity, sorted(shown))
    rows = [row for id, row in sorted(shown.items()) if id not in known or known[id].row.version != row.version]
    rows += [deleted(Ref(side=side, entity=entity, id=id)) for id in sorted(absent.gone)]
    linked = hands.store.links_by_native(side, entity, sorted(absent.unclear))
    return Batch(
        rows=rows,
        dirty=[row.ref for row in rows],
        issues=[
            unclear(hands, Ref(side=side, entity=entity, id=id)) for id, link in sorted(linked.items()) if link.alive
        ],
        close_issues=told_of(hands, side, entity, shown),
    )

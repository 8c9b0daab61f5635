"""Pulling changes: every page goes into the store together with the cursor that covers it."""

from crmbridge.model import SIDES, Entity, Side
from crmbridge.state.words import Batch
from crmbridge.sync.foreign import Doubt, copied, foreign
from crmbridge.sync.hands import Hands
from crmbridge.sync.pausing import unread
from crmbridge.sync.unseen import ask_for_unseen
from crmbridge.sync.view import View


def observe(hands: Hands, view: View) -> dict[tuple[Side, str], int]:
    """Read all tables of both sides up to now, before anything is planned (claims need that). Returns changed rows."""
    changed: dict[tuple[Side, str], int] = {}
    doubts: list[Doubt] = []
    for side in SIDES:
        for source in sources(hands, side):
            hands.progress.step(f"reading {source} from {hands.names[side]}")
            cursor = hands.store.cursor(side, source)
            anew = cursor is None  # a read from the start shows what was there before us
            for page in hands.connectors[side].changes(source, cursor):
                anew = anew or page.full
                if not anew:
                    strange, doubtful = foreign(hands, view, side, source, page)
                    hands.record(Batch(issues=strange))
                    doubts += doubtful
                count = hands.store.save_page(side, source, page, lease=hands.lease)
                changed[side, source] = changed.get((side, source), 0) + count
    hands.record(Batch(issues=copied(hands, view, doubts)))
    for unseen in hands.store.unseen():
        if unseen.entity in sources(hands, unseen.side):
            found = ask_for_unseen(hands, unseen)
            changed[unseen.side, unseen.entity] = changed.get((unseen.side, unseen.entity), 0) + found
    return changed


def sources(hands: Hands, side: Side) -> tuple[str, ...]:
    names: list[str] = []
    paused = unread(hands)
    for entity in hands.options.reads:
        if (side, entity) in paused:
            continue
        names.append(entity)
        names.extend(name for name in hands.connectors[side].side_tables(entity) if name not in names)
    return tuple(names)


def fetch_missing(hands: Hands, side: Side, entity: Entity, ids: list[str]) -> None:
    """Rows that something points at and no page has shown yet: stored as observed, to be planned."""
    known = hands.store.records(side, entity, ids)
    missing = [id for id in ids if id not in known or known[id].row.values is None]
    if not missing:
        return
    rows = list(hands.connectors[side].fetch(entity, missing).values())
    hands.record(Batch(rows=rows, dirty=[row.ref for row in rows]))

"""After a crash or a lost answer: every intent without an outcome is looked up before anything is repeated.

reliability §3.4: keyed writes are read by their key; un-keyed life-cycle calls are polled, and absence counts only when
the server cannot be working on them any more (sent_at + settle).
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from crmbridge.model import SIDES, Link, Row, Side, attribute_name, other
from crmbridge.state.words import Batch, ConversionRow, Intent, Stored
from crmbridge.sync.convert import finish, found_converted
from crmbridge.sync.hands import Event, Hands, jsonable
from crmbridge.sync.view import View, link_ids
from crmbridge.sync.work import Work

# Longer than this a run does not stand still for one intent; the next run looks again.
WAIT_SECONDS_MAX = 10.0


def recover(hands: Hands, view: View, sleep: Callable[[float], None] = time.sleep) -> set[str]:
    """Resolve open intents. Returns shared ids that must be left alone in this run: their call may still land."""
    untouchable: set[str] = set()
    for intent in hands.store.open_intents():
        if not _resolve(hands, view, intent, sleep) and intent.link_id:
            untouchable.add(intent.link_id)
    return untouchable


def _resolve(hands: Hands, view: View, intent: Intent, sleep: Callable[[float], None]) -> bool:
    if intent.kind == "create":
        return _create(hands, view, intent)
    if intent.kind == "update":
        return _update(hands, intent)
    look = _convert if intent.kind == "convert" else _move
    if look(hands, view, intent):
        return True
    wait = _seconds_left(hands, intent)
    if wait > WAIT_SECONDS_MAX:
        return False
    if wait > 0:
        sleep(wait)
        if look(hands, view, intent):
            return True
    hands.record(Batch(close_intents=[replace(intent, state="lost", reply="never arrived")]))
    return True


def _seconds_left(hands: Hands, intent: Intent) -> float:
    settle = timedelta(seconds=hands.options.settle_seconds.get(intent.side, 0.0))
    sent = intent.sent_at or datetime.min.replace(tzinfo=hands.store.now().tzinfo)
    return (sent + settle - hands.store.now()).total_seconds()


def _create(hands: Hands, view: View, intent: Intent) -> bool:
    """Keyed on both systems: there under its key, or it never was."""
    connector = hands.connectors[intent.side]
    row: Row | None = None
    if intent.native_id is not None:
        row = connector.fetch(intent.entity, [intent.native_id]).get(intent.native_id)
    elif intent.key is not None:
        row = connector.fetch_by_key(intent.entity, [intent.key]).get(intent.key)
    if row is None:
        hands.record(Batch(close_intents=[replace(intent, state="lost", reply="never arrived")]))
        return True
    assert intent.link_id is not None
    assert intent.source_id is not None
    source = hands.store.records(other(intent.side), intent.entity, [intent.source_id]).get(intent.source_id)
    left, right = (row.ref.id, intent.source_id) if intent.side == "left" else (intent.source_id, row.ref.id)
    link = Link(
        id=intent.link_id,
        entity=intent.entity,
        left_id=left,
        right_id=right,
        mode="fresh",
        origin=other(intent.side),
        how=intent.reason,
        fillers=_fillers(hands, view, intent.side, source),
    )
    view.crosswalk.learn(link)
    done = replace(intent, state="done", native_id=row.ref.id, reply="adopted after a lost answer")
    over = (intent.entity, None, other(intent.side), intent.source_id, None)
    hands.record(Batch(rows=[row], links=[link], close_intents=[done], close_issues=[over]))
    _tell(hands, link, intent, "create")
    return True


def _update(hands: Hands, intent: Intent) -> bool:
    """Harmless to repeat with the same values: take what is there now, and let the next plan decide."""
    assert intent.native_id is not None
    row = hands.connectors[intent.side].fetch(intent.entity, [intent.native_id]).get(intent.native_id)
    landed = row is not None and all(_holds(row, name, value) for name, value in intent.after.items())
    state = replace(
        intent,
        state="done" if landed else "lost",
        reply="found done after a lost answer" if landed else "not found after a lost answer",
    )
    rows = [row] if row else []
    hands.record(Batch(rows=rows, dirty=[row.ref for row in rows], close_intents=[state]))
    return True


def _holds(row: Row, name: str, sent: Any) -> bool:
    """Does the row show what was sent? A lookup was noted as `entity:id`, and may read under another name."""
    for attribute in (attribute_name(name), f"_{name.lower()}_value"):
        if hasattr(row.values, attribute):
            value = getattr(row.values, attribute)
            if isinstance(value, Decimal) and isinstance(sent, str):
                return value == Decimal(sent)
            now = jsonable(value)
            return now == sent or (isinstance(sent, str) and sent.rpartition(":")[2] == now)
    return True  # not among the columns that are read


def _fillers(hands: Hands, view: View, side: Side, source: Stored | None) -> dict[Side, Mapping[str, str]]:
    """The fillers of a create whose answer was lost: the same values of the same record gave them."""
    if source is None or source.row.values is None:
        return {}
    shared = view.see(source.row).shared
    state = None if shared.state is None else "open"
    compiled = hands.compiled.entities[source.row.ref.entity]
    put = compiled.put(side, shared.fields, facts=view.facts(), current=None, life=None, state=state, whole=shared)
    return {side: put.fillers} if put.fillers else {}


def _convert(hands: Hands, view: View, intent: Intent) -> bool:
    assert intent.link_id is not None
    assert intent.native_id is not None
    link = hands.store.links([intent.link_id])[intent.link_id]
    source = other(intent.side)
    rows: dict[Side, Row] = {}
    for side in SIDES:
        id = link.id_on(side)
        assert id is not None
        rows[side] = hands.store.records(side, "lead", [id])[id].row
    seen = view.see_pair(link, rows["left"], rows["right"])
    work = Work(link=link, rows=rows, seen={"left": seen[0], "right": seen[1]})
    result = found_converted(hands, intent.side, intent.native_id, work.seen[source].life)
    if result is None:
        return False
    ledger = hands.store.conversion(link.id, link.epoch) or ConversionRow(
        lead_link=link.id, epoch=link.epoch, case="C1", from_side=source, state="called"
    )
    finish(hands, view, work, result, ledger, intent, source)
    if work.issues:
        hands.record(Batch(issues=work.issues))
    return True


def _move(hands: Hands, view: View, intent: Intent) -> bool:
    """A close, reopen, disqualification or stage move: is the record where it should have gone?"""
    assert intent.native_id is not None
    row = hands.connectors[intent.side].fetch(intent.entity, [intent.native_id]).get(intent.native_id)
    if row is None:
        return False
    life = hands.connectors[intent.side].life(row)
    shared = view.see(row).shared
    wanted_status = intent.after.get("status")
    there = shared.state == intent.after.get("state") and jsonable(life.status) == wanted_status
    if not there:
        return False
    done = replace(intent, state="done", reply="found done after a lost answer")
    hands.record(Batch(rows=[row], dirty=[row.ref], close_intents=[done]))
    if intent.link_id:
        link = hands.store.links([intent.link_id]).get(intent.link_id)
        if link:
            _tell(hands, link, intent, intent.kind)
    return True


def _tell(hands: Hands, link: Link, intent: Intent, kind: str) -> None:
    hands.tell(
        Event(
            entity=link.entity,
            side=intent.side,
            kind=kind,
            link_id=link.id,
            ids=link_ids(link),
            reason=f"{intent.reason} (found done after a lost answer)",
        )
    )

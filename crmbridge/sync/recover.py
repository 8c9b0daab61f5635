"""After a crash or a lost answer: every intent without an outcome is looked up before anything is repeated.

reliability §3.4: creates are read by their key, life-cycle calls are polled, and absence counts only when the server
cannot be working on them any more (sent_at + settle).
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from crmbridge.model import SIDES, Base, Converted, Link, Native, Ref, Row, Seen, Side, other
from crmbridge.state.words import PUT_BACK, Batch, ConversionRow, Intent
from crmbridge.sync import alike, here, placeholder
from crmbridge.sync.converted import finish, found_converted
from crmbridge.sync.creates import first_base, put_new
from crmbridge.sync.echo import holds, places_of, touched
from crmbridge.sync.hands import Event, Hands, jsonable
from crmbridge.sync.lost import Found, agreed_link, look_at
from crmbridge.sync.pairing import alone
from crmbridge.sync.putback import put_back_again
from crmbridge.sync.removals import ended
from crmbridge.sync.suspects import of_intent
from crmbridge.sync.view import View, link_ids
from crmbridge.sync.work import Work, journal, make_work

# Longer than this a run does not stand still for one intent; the next run looks again.
WAIT_SECONDS_MAX = 10.0


def recover(
    hands: Hands,
    view: View,
    sleep: Callable[[float], None] = time.sleep,
    mine: Callable[[Intent], bool] = lambda intent: True,
) -> set[str]:
    """Resolve open intents. Returns shared ids that must be left alone in this run: their call may still land, or
    somebody is at them in a lane. `mine`: only these."""
    untouchable: set[str] = set()
    for intent in filter(mine, hands.store.open_intents()):
        names, suspects = _names(intent), of_intent(intent)
        if intent.lease in hands.busy or intent.entity in hands.options.stopped:
            untouchable |= {intent.link_id} if intent.link_id else set()
        elif not hands.given_up.isdisjoint(suspects):
            untouchable |= names
        else:
            hands.at_hand(suspects)
            if not _resolve(hands, view, intent, sleep):
                untouchable |= names
    hands.at_hand()
    return untouchable | hands.untouchable  # of what was sent here another answer may have been lost


def _names(intent: Intent) -> set[str]:
    """Whose it is, as `hands.untouchable` tells it."""
    if intent.link_id is None:
        return set()
    source = str(Ref(side=other(intent.side), entity=intent.entity, id=intent.source_id or ""))
    return {intent.link_id, source} if intent.kind == "create" else {intent.link_id}  # there is no link yet


def _resolve(hands: Hands, view: View, intent: Intent, sleep: Callable[[float], None]) -> bool:
    keyed = intent.kind == "create" and not alike.is_marked(intent)
    look = _create if keyed else _LOOKS.get(intent.kind, _move)
    if look(hands, view, intent):
        return True
    wait = _seconds_left(hands, intent)
    if wait > WAIT_SECONDS_MAX:
        return False
    if wait > 0:
        sleep(wait)
        if look(hands, view, intent):
            return True
    if alike.is_marked(intent) and hands.options.on_unknown.get(intent.side) == "hold":
        alike.give_up(hands, intent, "`on_unknown: hold` leaves it to you.")
        return True
    lost = replace(intent, state="lost", reply="never arrived")
    hands.record(Batch(close_intents=[lost], conversions=_planned_again(hands, intent)))
    return True


def _planned_again(hands: Hands, intent: Intent) -> list[ConversionRow]:
    """A conversion that never happened may become another case of it: people go on working on both leads."""
    if intent.kind != "convert" or intent.link_id is None:
        return []
    epoch = hands.store.links([intent.link_id])[intent.link_id].epoch
    row = hands.store.conversion(intent.link_id, epoch)
    return [replace(row, state="planned")] if row is not None and row.state == "called" else []


def _seconds_left(hands: Hands, intent: Intent) -> float:
    settle = timedelta(seconds=hands.options.settle_seconds.get(intent.side, 0.0))
    sent = intent.sent_at or datetime.min.replace(tzinfo=hands.store.now().tzinfo)
    return (sent + settle - hands.store.now()).total_seconds()


def _create(hands: Hands, view: View, intent: Intent) -> bool:
    """Keyed on both systems: there under its key, or not there yet. To send it again at once would double nothing, but
    the next plan may want something else for its source (a twin was typed meanwhile), and then it lands as well."""
    connector = hands.connectors[intent.side]
    row: Row | None = None
    if intent.native_id is not None:
        row = connector.fetch(intent.entity, [intent.native_id]).get(intent.native_id)
    elif intent.key is not None:
        row = connector.fetch_by_key(intent.entity, [intent.key]).get(intent.key)
    if row is not None and placeholder.is_placeholder(intent):
        placeholder.adopt(hands, intent, row)
        return True
    return row is not None and _adopt(hands, view, intent, row)


def _alike(hands: Hands, view: View, intent: Intent) -> bool:
    """No key tells: is it among what our user has made since?"""
    found = alike.made(hands, intent)
    if found.doubt:
        alike.give_up(hands, intent, found.doubt, found.doubtful)
        return True
    return found.row is not None and _adopt(hands, view, intent, found.row)


def _adopt(hands: Hands, view: View, intent: Intent, row: Row) -> bool:
    assert intent.link_id is not None
    assert intent.source_id is not None
    source = hands.store.records(other(intent.side), intent.entity, [intent.source_id]).get(intent.source_id)
    left, right = (row.ref.id, intent.source_id) if intent.side == "left" else (intent.source_id, row.ref.id)
    if _has_partner(hands, intent):
        return _leave_over(hands, intent, row)
    taken = hands.store.links_by_native(intent.side, intent.entity, [row.ref.id]).get(row.ref.id)
    if taken is not None and taken.id != intent.link_id:
        done = replace(intent, state="done", native_id=row.ref.id, reply="made, and in another pair by now")
        hands.record(Batch(rows=[row], close_intents=[done]))
        return True
    half = hands.store.links([intent.link_id]).get(intent.link_id)  # of a lead that gets another partner
    link = Link(
        id=intent.link_id,
        entity=intent.entity,
        left_id=left,
        right_id=right,
        mode="fresh",
        origin=other(intent.side),
        generation=half.generation if half is not None else 1,
        how=intent.reason,
    )
    view.crosswalk.learn(link)
    if source is not None and source.row.values is not None:
        put = put_new(hands, view, intent.side, view.see(source.row))
        link = replace(link, fillers={intent.side: put.fillers} if put.fillers else {})
        pair: dict[Side, Row] = {intent.side: row, other(intent.side): source.row}
        work = make_work(view, link, pair)
        base = first_base(hands, work, intent.side, intent.after, put.problems)
        link = replace(link, base=_as_it_was_sent(hands, base, work.seen[intent.side], intent.after, put.columns))
    done = replace(intent, state="done", native_id=row.ref.id, reply="adopted after a lost answer")
    over = (intent.entity, None, other(intent.side), intent.source_id, None)
    hands.record(Batch(rows=[row], links=[link], close_intents=[done], close_issues=[over]))
    _tell(hands, link, intent, "create")
    return True


def _as_it_was_sent(hands: Hands, base: Base, made: Seen, sent: Mapping[str, Any], now: Native) -> Base:
    """The record it was made from may have been edited since, and read: cycles go on while a create may still land.
    What it would be made with otherwise now is no agreement, it is an edit of what was sent."""
    side, now = made.row.ref.side, journal(now)
    ends = hands.compiled.entities[made.row.ref.entity].ends(side, made.shared)
    here, there = dict(base.view(side)), dict(base.view(other(side)))
    for name in here.keys() & there.keys() & ends.keys():
        columns = places_of(ends[name])
        edited = next((one for one in columns if sent.get(one) != now.get(one)), None)
        if edited is None:
            continue
        if touched(hands, made.row) and not all(holds(made.row, one, sent.get(one)) for one in columns):
            here[name] = sent.get(edited)  # there it was edited as well
        there[name] = here[name]
    left, right = (here, there) if side == "left" else (there, here)
    return replace(base, left=left, right=right)


def _has_partner(hands: Hands, intent: Intent) -> bool:
    """Has the record that the create was made from been linked to another one since? A conversion may do so: it links
    what it made on both sides."""
    ids = [intent.source_id] if intent.source_id is not None else []
    found = hands.store.links_by_native(other(intent.side), intent.entity, ids)
    return any(link.alive and link.id != intent.link_id for link in found.values())


def _leave_over(hands: Hands, intent: Intent, row: Row) -> bool:
    """It was made, and nobody waits for it any more: for a person. It never gets a partner, however often it is edited,
    or there would be one more."""
    issue = hands.issue(
        "held",
        cause="ambiguous_match",
        entity=intent.entity,
        ref=row.ref,
        message=f"This record was made on {hands.names[intent.side]} for {intent.source_id}, its answer was lost, and "
        f"{intent.source_id} has got another partner since.",
        fix="Merge it there with that partner, or delete it.",
    )
    done = replace(intent, state="done", native_id=row.ref.id, reply="made, and not needed any more")
    link = alone(row.ref, "made, and its source has got another partner since")
    clean = [(row.ref, row.version)]
    hands.record(Batch(rows=[row], links=[link], close_intents=[done], issues=[issue], clean=clean))
    return True


def _update(hands: Hands, view: View, intent: Intent) -> bool:
    """Harmless to repeat with the same values: take what is there now, and let the next plan decide; what somebody has
    typed over it is told apart. As long as nobody has touched the record it may still land (reliability §4); then the
    CRM refuses it by its version."""
    assert intent.native_id is not None
    row = hands.connectors[intent.side].fetch(intent.entity, [intent.native_id]).get(intent.native_id)
    if intent.key == PUT_BACK:
        return put_back_again(hands, view, intent, row, may_land=_seconds_left(hands, intent) > 0)
    found = look_at(hands, intent, row) if row is not None else Found(arrived=False)
    # What goes in a call of its own has no precondition: it may land on any later version.
    apart = hands.connectors[intent.side].apart.get(intent.entity, frozenset())
    untouched = row is not None and (intent.pre_version in (None, row.version) or not apart.isdisjoint(intent.after))
    if not found.arrived and untouched and _seconds_left(hands, intent) > 0:
        return False
    ours = found.arrived and found.provable
    reply = "found done" if ours else "it is so, by us or by others: found" if found.arrived else "not found"
    state = replace(intent, state="done" if ours else "lost", reply=f"{reply} after a lost answer")
    rows = [row] if row else []
    told = rows if found.arrived or found.typed_over else []
    links = [link for one in told if (link := agreed_link(hands, view, intent, one, found)) is not None]
    hands.record(Batch(rows=rows, links=links, dirty=[row.ref for row in rows], close_intents=[state]))
    return True


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
    result = found_converted(hands, intent, work.seen[source].life)
    result = result or _undone_since(hands, intent)
    if result is None:
        return False
    ledger = hands.store.conversion(link.id, link.epoch) or ConversionRow(
        lead_link=link.id, epoch=link.epoch, case="C1", from_side=source, state="called"
    )
    finish(hands, view, work, result, ledger, intent, source)
    if work.issues:
        hands.record(Batch(issues=work.issues))
    return True


def _converted_here(hands: Hands, view: View, intent: Intent) -> bool:
    """A lead that was to be converted where it stands (L6): what came of it is mirrored as if a person had done it."""
    del view
    if not here.found_done(hands, intent) and _undone_since(hands, intent) is None:
        return False
    here.close(hands, intent, "found done after a lost answer")
    return True


def _undone_since(hands: Hands, intent: Intent) -> Converted | None:
    """The lead is open, but not as we left it, and rows name it as their origin: it was converted and opened again
    before we looked. To convert it once more would make everything twice; as it is, C11 tells a person."""
    assert intent.native_id is not None
    connector = hands.connectors[intent.side]
    row = connector.fetch("lead", [intent.native_id]).get(intent.native_id)
    if row is None or row.version == intent.pre_version:
        return None
    return connector.left_behind(intent.native_id)


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
    if not there or touched(hands, row):  # what nobody can prove to be ours is not told as ours
        return False
    done = replace(intent, state="done", reply="found done after a lost answer")
    link = hands.store.links([intent.link_id]).get(intent.link_id) if intent.link_id else None
    partner = hands.store.records(other(intent.side), intent.entity, [intent.source_id or ""]).values()
    if link is not None and any(one.row.deleted for one in partner):  # it was to end the pair
        clean = [(row.ref, row.version), *((one.row.ref, one.row.version) for one in partner)]
        hands.record(ended(view, link, rows=[row], clean=clean, intent=done))
    else:
        hands.record(Batch(rows=[row], dirty=[row.ref], close_intents=[done]))
    if link is not None:
        _tell(hands, link, intent, intent.kind)
    return True


def _removed(hands: Hands, view: View, intent: Intent) -> bool:
    """A deletion or a merge: is the record gone? Then so is the pair. Else the next plan decides anew."""
    assert intent.native_id is not None
    assert intent.link_id is not None
    row = hands.connectors[intent.side].fetch(intent.entity, [intent.native_id]).get(intent.native_id)
    if row is not None and row.merged_into is None:
        return False
    link = hands.store.links([intent.link_id])[intent.link_id]
    done = replace(intent, state="done", reply="found done after a lost answer")
    partners = hands.store.records(other(intent.side), intent.entity, [intent.source_id or ""]).values()
    clean = [(one.row.ref, one.row.version) for one in partners]
    hands.record(ended(view, link, rows=[], clean=clean, intent=done))
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


_LOOKS: Final[Mapping[str, Callable[[Hands, View, Intent], bool]]] = {
    "create": _alike,
    "convert": _convert,
    here.KIND: _converted_here,
    "delete": _removed,
    "merge": _removed,
    "update": _update,
    "deactivate": _update,
}

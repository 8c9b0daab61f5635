"""What a record tells of an update whose answer was lost, once people have gone on working on it.

Each column shows what was sent, or what was there before, or neither. An update is carried out whole or not at all, so
one column with what was sent, and not there before, tells that it arrived. Neither tells of somebody's edit. It is
later than ours if ours arrived, and also if the record was saved later than what ours was made from: then whoever
typed it typed over the newer value, whether ours was there to be seen or not. What shows as before is never taken for
an edit: it may not have been written (an opportunity's contact goes in a call of its own), and to write it again does
no harm.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from crmbridge.model import ENTITIES, SIDES, Fields, Link, Row, Seen, Side, Unlinked, Value, other
from crmbridge.plan import SAME_MOMENT, newest
from crmbridge.state.words import Intent
from crmbridge.sync.echo import holds, places_of, touched
from crmbridge.sync.hands import Hands
from crmbridge.sync.settle import agreed_by_now
from crmbridge.sync.view import View
from crmbridge.sync.work import journal


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """Of an update: what it shows now. Both are true where what was sent was there before."""

    as_sent: bool
    as_before: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    arrived: bool
    typed_over: frozenset[str] = frozenset()  # columns with an edit that is later than ours
    provable: bool = True  # that it was us: a lookup or a blank that somebody else saved may be a merge's doing


def judge(columns: Mapping[str, Column], *, by_others: bool, since: bool) -> Found:
    """`by_others`: somebody else was the last to save the record; `since`: later than what ours was made from."""
    proof = any(one.as_sent and not one.as_before for one in columns.values())
    arrived = proof or all(one.as_sent for one in columns.values())
    later = by_others and (proof or since)
    typed = {name for name, one in columns.items() if not (one.as_sent or one.as_before)} if later else set[str]()
    return Found(arrived=arrived, typed_over=frozenset(typed))


def look_at(hands: Hands, intent: Intent, row: Row) -> Found:
    columns = {
        name: Column(
            as_sent=holds(row, name, sent),
            as_before=name in intent.before and holds(row, name, intent.before[name]),
        )
        for name, sent in intent.after.items()
    }
    found = judge(columns, by_others=touched(hands, row), since=_since(hands, intent, row))
    told = [name for name, one in columns.items() if one.as_sent and not one.as_before]
    provable = not touched(hands, row) or not told or any(_is_telling(intent.after[name]) for name in told)
    return replace(found, provable=provable)


def _is_telling(sent: object) -> bool:
    """Not a lookup, and not a blank: these come about in other ways, too."""
    return sent is not None and not (isinstance(sent, str) and ":" in sent and sent.partition(":")[0] in ENTITIES)


def _since(hands: Hands, intent: Intent, row: Row) -> bool:
    """By the CRMs' clocks, as everywhere where the newest wins. Where nothing tells when the values that were sent had
    been typed, by our own clock, which may be minutes away from theirs, and by the partner as it is now."""
    if row.modified_at is not None and intent.source_at is not None:
        return row.modified_at - intent.source_at > SAME_MOMENT
    if row.modified_at is not None and intent.sent_at is not None and row.modified_at > intent.sent_at:
        return True
    partner = _partner(hands, intent)
    if partner is None:
        return False
    left, right = (row, partner) if intent.side == "left" else (partner, row)
    return newest(left, right, hands.our_users) == intent.side


def _partner(hands: Hands, intent: Intent) -> Row | None:
    """The record it was made from, as it was last read."""
    id = intent.source_id or ""
    stored = hands.store.records(other(intent.side), intent.entity, [id]).get(id)
    return stored.row if stored is not None and stored.row.values is not None else None


def agreed_link(hands: Hands, view: View, intent: Intent, row: Row, found: Found) -> Link | None:
    """The pair, with what both sides show alike as agreed on, and what was edited since, on either side, as an edit of
    what was sent."""
    link = hands.store.links([intent.link_id or ""]).get(intent.link_id or "")
    partner = _partner(hands, intent)
    if link is None or not link.alive or partner is None or row.values is None:
        return None
    if (link.id_on(intent.side), link.id_on(other(intent.side))) != (intent.native_id, intent.source_id):
        return None
    left, right = (row, partner) if intent.side == "left" else (partner, row)
    link = agreed_by_now(hands, view, link, left, right)
    seen = dict(zip(SIDES, view.see_pair(link, left, right, source=link.origin), strict=True))
    views: dict[Side, Fields] = _as_it_went(hands, view, link, intent, seen) if found.arrived else {}
    sent = _sent_values(hands, view, link, intent, seen, found.typed_over)
    return replace(
        link,
        base=replace(
            link.base,
            left={**link.base.left, **views.get("left", {}), **sent},
            right={**link.base.right, **views.get("right", {}), **sent},
        ),
    )


def _as_it_went(hands: Hands, view: View, link: Link, intent: Intent, seen: Mapping[Side, Seen]) -> dict[Side, Fields]:
    """What arrived is agreed on as it was sent. The partner may have been edited since, and read: what it gives
    otherwise by now is an edit of that."""
    here = seen[intent.side]
    ends = hands.compiled.entities[intent.entity].ends(intent.side, here.shared)
    shown, columns = dict[str, Value](), set[str]()
    for rule in hands.compiled.entities[intent.entity].rules:
        if rule.name not in ends or any(rule.name not in one.shared.fields for one in seen.values()):
            continue
        places, value = places_of(ends[rule.name]), here.shared.fields[rule.name]
        if isinstance(value, Unlinked) or rule.same(*(seen[side].shared.fields[rule.name] for side in SIDES)):
            continue
        if all(place in intent.after and holds(here.row, place, intent.after[place]) for place in places):
            shown[rule.name] = value
            columns.update(places)
    same = _sent_values(hands, view, link, intent, seen, frozenset(columns))
    return {intent.side: shown, other(intent.side): {name: same.get(name, value) for name, value in shown.items()}}


def _sent_values(
    hands: Hands, view: View, link: Link, intent: Intent, seen: Mapping[Side, Seen], columns: frozenset[str]
) -> dict[str, Value]:
    """Values of the fields that were sent in these columns: the partner's, where it still gives the same columns."""
    here, there = seen[intent.side], seen[other(intent.side)]
    compiled, found = hands.compiled.entities[intent.entity], dict[str, Value]()
    if not columns:
        return found
    for rule in compiled.rules:
        value = there.shared.fields.get(rule.name)
        if len(rule.sides) < len(SIDES) or rule.name not in there.shared.fields or isinstance(value, Unlinked):
            continue
        put = compiled.put(
            intent.side,
            {rule.name: value},
            facts=view.facts(link),
            current=here.row,
            life=here.life,
            state=here.shared.state,
            estimate=here.shared.estimate,
            whole=there.shared,
        )
        given = journal(put.columns)
        if columns & given.keys() and all(
            name in intent.after and intent.after[name] == now for name, now in given.items()
        ):
            found[rule.name] = value
    return found

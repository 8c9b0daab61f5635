"""What a read-back shows of our own write, and what of somebody's edit a moment later.

Between a call and the read after it, or a crash and the look that follows, people go on working. What they changed was
agreed on by nobody, and must not become part of a base.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from crmbridge.model import Fields, Row, Seen, Value, shown_as
from crmbridge.plan import is_blank
from crmbridge.sync.hands import Hands, jsonable
from mapping.end import End

_NOT_READ: Final = object()


def touched(hands: Hands, row: Row) -> bool:
    """Was somebody else the last to save it?"""
    return row.modified_by != hands.our_users[row.ref.side]


def changed_since(hands: Hands, seen: Seen, written: Fields, sent: Mapping[str, Any]) -> dict[str, Value]:
    """Fields that others changed since we wrote `written`, with what we wrote. `sent`: the columns it went as, as the
    journal keeps them; what a CRM merely shows in its own way is not in the result."""
    row, found = seen.row, dict[str, Value]()
    if not touched(hands, row):
        return found
    compiled = hands.compiled.entities[row.ref.entity]
    ends = compiled.ends(row.ref.side, seen.shared)
    for rule in compiled.rules:
        end = ends.get(rule.name)
        if end is None or rule.name not in written or rule.name not in seen.shared.fields:
            continue
        ours, now = written[rule.name], seen.shared.fields[rule.name]
        if rule.same(ours, now) if row.ref.side == "right" else rule.same(now, ours):
            continue
        ways = [column for column in places_of(end) if column in sent]
        as_sent = all(holds(row, column, sent[column]) for column in ways) if ways else not is_blank(ours)
        if not as_sent:
            found[rule.name] = ours
    return found


def places_of(end: End) -> tuple[str, ...]:
    """Where a field stands; an address or a name may take several together."""
    return end.parts or (end.column,)


def shown_as_ours(hands: Hands, seen: Seen, written: Fields, sent: Mapping[str, Any]) -> dict[str, Value]:
    """What the CRM makes of the fields we have written just now, from the read-back right after: there the last saver
    still tells us from others. A later write of ours to the same row hides them, so this is kept."""
    shown = {name: seen.shared.fields[name] for name in written if name in seen.shared.fields}
    return shown | changed_since(hands, seen, written, sent)


def read_elsewhere(hands: Hands, before: Seen, after: Seen) -> frozenset[str]:
    """Fields that stand in other columns since a step: what these show is no later state of what we wrote before."""
    compiled, side = hands.compiled.entities[after.row.ref.entity], after.row.ref.side
    then, now = compiled.ends(side, before.shared), compiled.ends(side, after.shared)
    return frozenset(
        name
        for name, end in now.items()
        if name in then and (then[name].column, then[name].parts) != (end.column, end.parts)
    )


def holds(row: Row, name: str, sent: Any) -> bool:
    """Does the row show what was sent? A lookup was noted as `entity:id`. What is not read is taken to be so."""
    value = shown_as(row.values, name, _NOT_READ)
    if value is _NOT_READ:
        return True
    if isinstance(value, Decimal) and isinstance(sent, str):
        return value == Decimal(sent)
    now = jsonable(value)
    return now == sent or (isinstance(sent, str) and sent.rpartition(":")[2] == now)

"""What a read-back shows of our own write, and what of somebody's edit a moment later.

Between a call and the read after it, or a crash and the look that follows, people go on working. What they changed was
agreed on by nobody, and must not become part of a base.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from crmbridge.model import Fields, Row, Seen, Value, attribute_name
from crmbridge.plan import is_blank
from crmbridge.sync.hands import Hands, jsonable


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
    ends = compiled.sides[row.ref.side].at(seen.shared.state).ends
    for rule in compiled.rules:
        end = ends.get(rule.name)
        if end is None or rule.name not in written or rule.name not in seen.shared.fields:
            continue
        ours, now = written[rule.name], seen.shared.fields[rule.name]
        if rule.same(ours, now) if row.ref.side == "right" else rule.same(now, ours):
            continue
        ways = [column for column in end.parts or (end.column,) if column in sent]
        as_sent = all(holds(row, column, sent[column]) for column in ways) if ways else not is_blank(ours)
        if not as_sent:
            found[rule.name] = ours
    return found


def holds(row: Row, name: str, sent: Any) -> bool:
    """Does the row show what was sent? A lookup was noted as `entity:id`, and may read under another name."""
    for attribute in (attribute_name(name), f"_{name.lower()}_value"):
        if hasattr(row.values, attribute):
            value = getattr(row.values, attribute)
            if isinstance(value, Decimal) and isinstance(sent, str):
                return value == Decimal(sent)
            now = jsonable(value)
            return now == sent or (isinstance(sent, str) and sent.rpartition(":")[2] == now)
    return True  # not among the columns that are read

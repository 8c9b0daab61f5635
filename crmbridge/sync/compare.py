"""What two mappings make of the same records: where they read otherwise, and where other writes would follow.

Each record is previewed under both. A difference is one field, or the place in its life, on one side; or one column
that would be written, or would not be.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from crmbridge.model import SIDES, Entity, Money, Row, Seen, Side, Unlinked, Value
from crmbridge.sync.creates import put_new
from crmbridge.sync.preview import Previewed
from crmbridge.sync.view import View
from crmbridge.sync.work import journal

What = Literal["reads", "writes", "would be made with"]
NOTHING: Final = "(not written)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Differs:
    """One difference in one record."""

    entity: Entity
    what: What
    side: Side  # where it is read, or written
    name: str  # field, or column
    before: Any
    after: Any
    ids: Mapping[Side, str]
    unread: bool = False  # the new mapping cannot read what the old one could, or did not look at


def differences(old: Previewed, new: Previewed) -> list[Differs]:
    """Of one pair under both mappings."""
    ids: dict[Side, str] = {side: seen.row.ref.id for side, seen in new.seen.items()}
    found = [
        one
        for side in SIDES
        if side in old.seen and side in new.seen
        for one in _reads(new.entity, ids, old.seen[side], new.seen[side])
    ]
    return found + list(_writes(new.entity, ids, _columns(old), _columns(new)))


def single_differences(old: View, new: View, before: Row, after: Row) -> list[Differs]:
    """Of one record without a partner, read under both; what is written is what a partner would be made with."""
    then, now = old.see(before), new.see(after)
    ids: dict[Side, str] = {after.ref.side: after.ref.id}
    target: Side = "right" if after.ref.side == "left" else "left"
    made: list[dict[tuple[Side, str], Any]] = [
        {(target, column): value for column, value in journal(put_new(view.hands, view, target, seen).columns).items()}
        for view, seen in ((old, then), (new, now))
    ]
    reads = list(_reads(after.ref.entity, ids, then, now))
    return reads + [
        Differs(entity=one.entity, what="would be made with", side=one.side, name=one.name, before=one.before,
                after=one.after, ids=ids)
        for one in _writes(after.ref.entity, ids, made[0], made[1])
    ]  # fmt: skip


def _reads(entity: Entity, ids: Mapping[Side, str], old: Seen, new: Seen) -> Iterator[Differs]:
    then, now = _shown(old), _shown(new)
    for name in dict.fromkeys([*then, *now]):
        before, after = then.get(name), now.get(name)
        if before != after:
            side = new.row.ref.side
            yield Differs(
                entity=entity, what="reads", side=side, name=name, before=before, after=after, ids=ids,
                unread=any(p.field == name and name not in new.shared.fields for p in new.shared.problems),
            )  # fmt: skip


def _shown(seen: Seen) -> dict[str, Any]:
    """Blank and not mapped are the same to people; what cannot be read is told as such."""
    axes: dict[str, Any] = {"state": seen.shared.state, "status": seen.shared.status}
    fields = {name: _plain(value) for name, value in seen.shared.fields.items() if value is not None}
    unread = {
        problem.field: f"({problem.cause})"
        for problem in seen.shared.problems
        if problem.field not in seen.shared.fields
    }
    return {**{name: value for name, value in axes.items() if value is not None}, **fields, **unread}


def _plain(value: Value) -> Any:
    if isinstance(value, Money):
        return f"{value.amount} {value.currency}"
    return f"({value.entity} {value.id})" if isinstance(value, Unlinked) else value


def _columns(one: Previewed) -> dict[tuple[Side, str], Any]:
    found: dict[tuple[Side, str], Any] = {}
    for order in one.orders:
        if not order.columns:
            found[order.side, f"({order.kind})"] = order.reason
        found |= {(order.side, column): value for column, value in order.columns.items()}
    return found


def _writes(
    entity: Entity, ids: Mapping[Side, str], old: Mapping[tuple[Side, str], Any], new: Mapping[tuple[Side, str], Any]
) -> Iterator[Differs]:
    for side, column in dict.fromkeys([*old, *new]):
        before, after = old.get((side, column), NOTHING), new.get((side, column), NOTHING)
        if before != after:
            yield Differs(entity=entity, what="writes", side=side, name=column, before=before, after=after, ids=ids)

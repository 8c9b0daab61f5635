"""A company's checkpoints: what must be filled before a record enters a row of its table, or is converted.

Neither CRM's API minds its own stage gates (lifecycle O2), so the gates of the mapping are kept here: the move is held,
everything else about the record goes on, and once the fields are filled the move goes through by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from crmbridge.lifecycle.plan import LifePlan
from crmbridge.model import Fields, Gate, Hold, Link, Seen, Shared, Side, State, Step, Value, other

CAUSE = "gate"


def guarded(
    plan: LifePlan, gates: Sequence[Gate], rows: Mapping[str, State], link: Link, seen: Mapping[Side, Seen]
) -> LifePlan:
    """The plan without the steps that a gate holds, and what follows them."""
    for number, step in enumerate(plan.steps):
        pair = _Pair(
            source=seen[other(step.side)].shared, target=seen[step.side].shared, before=link.base.view(other(step.side))
        )
        hold = _held(step, gates, rows, pair)
        if hold is not None:
            kept = plan.steps[:number]
            left = frozenset(one.side for one in kept)
            carried = {side: names for side, names in plan.carried.items() if side in left}
            return replace(plan, steps=kept, holds=(*plan.holds, hold), axes_settled=False, carried=carried)
    return plan


def first_row(gates: Sequence[Gate], rows: Mapping[str, State], source: Shared) -> str | None:
    """The row that a new partner may be made at: the source's own if no gate is in the way, else none."""
    row = source.status
    if row is None or _shut(gates, rows, row, _Pair(source=source, target=source, before={})) is not None:
        return None
    return row


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    source: Shared  # the side that moved
    target: Shared
    before: Fields  # what was agreed on, as the source shows it


def _held(step: Step, gates: Sequence[Gate], rows: Mapping[str, State], pair: _Pair) -> Hold | None:
    if step.kind == "convert":
        for gate in gates:
            hold = _judged(gate, "conversion", pair) if gate.row is None else None
            if hold is not None:
                return hold
        return None
    if step.kind == "adopt" or step.status is None or step.on_hold is not None:
        return None
    if (
        rows.get(step.status) == "open"
        and pair.target.state == "open"
        and _goes_back(rows, step.status, pair.target.status)
    ):
        return None
    return _shut(gates, rows, step.status, pair)


def _goes_back(rows: Mapping[str, State], to: str, now: str | None) -> bool:
    """A gate is gone through forwards: whoever stands behind it may always go back."""
    order = list(rows)
    return now in order and order.index(to) < order.index(now)


def _shut(gates: Sequence[Gate], rows: Mapping[str, State], row: str, pair: _Pair) -> Hold | None:
    order = list(rows)
    for gate in gates:
        if gate.row is None or gate.row not in order or row not in order:
            continue
        later = rows[row] == rows[gate.row] == "open" and order.index(gate.row) < order.index(row)
        hold = _judged(gate, row, pair) if gate.row == row or later else None
        if hold is not None:
            return hold
    return None


def _judged(gate: Gate, row: str, pair: _Pair) -> Hold | None:
    try:
        if not gate.fits(pair.source):
            return None
    except ValueError as error:
        return Hold(
            cause=CAUSE,
            field="status",
            message=f"The gate of {_name(gate)!r} could not be judged for this record: {error}.",
            fix="Correct the gate's `when:` in the mapping, or the record.",
        )
    missing = [name for name in gate.needs if _blank(_value(name, pair))]
    if not missing:
        return None
    one = len(missing) == 1
    own = f" {gate.message}" if gate.message else ""
    return Hold(
        cause=CAUSE,
        field="status",
        message=f"It does not go on to {row!r} on the other side: {', '.join(missing)} {'is' if one else 'are'} blank, "
        f"and the gate of {_name(gate)!r} needs {'it' if one else 'them'}.{own}",
        fix=f"Fill in {', '.join(missing)}; the move then goes through by itself.",
    )


def _value(name: str, pair: _Pair) -> Value:
    """As it will be once both sides agree: what one side lacks the other fills in, unless it was just emptied."""
    here, emptied = pair.source.fields.get(name), not _blank(pair.before.get(name))
    return pair.target.fields.get(name) if _blank(here) and not emptied else here


def _blank(value: Value) -> bool:
    return value is None or value == ""


def _name(gate: Gate) -> str:
    return gate.row or "conversion"

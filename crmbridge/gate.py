"""A company's checkpoints: what must be filled before a record enters a row of its table, or is converted.

Neither CRM's API minds its own stage gates (lifecycle O2), so the gates of the mapping are kept here: the move is held,
everything else about the record goes on, and once the fields are filled the move goes through by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from crmbridge.lifecycle import LifePlan
from crmbridge.model import Gate, Hold, Seen, Shared, Side, State, Step, Value, other

CAUSE = "gate"


def guarded(
    plan: LifePlan, gates: Sequence[Gate], rows: Mapping[str, State], seen: Mapping[Side, Seen]
) -> LifePlan:
    """The plan without the steps that a gate holds, and what follows them."""
    for number, step in enumerate(plan.steps):
        source, target = seen[other(step.side)].shared, seen[step.side].shared
        hold = _held(step, gates, rows, source, target)
        if hold is not None:
            kept = plan.steps[:number]
            left = frozenset(one.side for one in kept)
            carried = {side: names for side, names in plan.carried.items() if side in left}
            return replace(plan, steps=kept, holds=(*plan.holds, hold), axes_settled=False, carried=carried)
    return plan


def first_row(gates: Sequence[Gate], rows: Mapping[str, State], source: Shared) -> str | None:
    """The row that a new partner may be made at: the source's own if no gate is in the way, else none."""
    row = source.status
    if row is None or _shut(gates, rows, row, source, source) is not None:
        return None
    return row


def _held(step: Step, gates: Sequence[Gate], rows: Mapping[str, State], source: Shared, target: Shared) -> Hold | None:
    if step.kind == "convert":
        for gate in gates:
            hold = _judged(gate, "conversion", source, target) if gate.row is None else None
            if hold is not None:
                return hold
        return None
    if step.kind == "adopt" or step.status is None or step.on_hold is not None:
        return None
    if rows.get(step.status) == "open" and target.state == "open" and _goes_back(rows, step.status, target.status):
        return None
    return _shut(gates, rows, step.status, source, target)


def _goes_back(rows: Mapping[str, State], to: str, now: str | None) -> bool:
    """A gate is gone through forwards: whoever stands behind it may always go back."""
    order = list(rows)
    return now in order and order.index(to) < order.index(now)


def _shut(gates: Sequence[Gate], rows: Mapping[str, State], row: str, source: Shared, target: Shared) -> Hold | None:
    order = list(rows)
    for gate in gates:
        if gate.row is None or gate.row not in order or row not in order:
            continue
        later = rows[row] == rows[gate.row] == "open" and order.index(gate.row) < order.index(row)
        hold = _judged(gate, row, source, target) if gate.row == row or later else None
        if hold is not None:
            return hold
    return None


def _judged(gate: Gate, row: str, source: Shared, target: Shared) -> Hold | None:
    try:
        if not gate.fits(source):
            return None
    except ValueError as error:
        return Hold(
            cause=CAUSE,
            field="status",
            message=f"The gate of {_name(gate)!r} could not be judged for this record: {error}.",
            fix="Correct the gate's `when:` in the mapping, or the record.",
        )
    missing = [name for name in gate.needs if _blank(_value(name, source, target))]
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


def _value(name: str, source: Shared, target: Shared) -> Value:
    """The side that moved decides; a field it does not have, the other one may."""
    return source.fields[name] if name in source.fields else target.fields.get(name)


def _blank(value: Value) -> bool:
    return value is None or value == ""


def _name(gate: Gate) -> str:
    return gate.row or "conversion"



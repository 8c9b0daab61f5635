"""From a document to its compiled status or stage table, with what stands beside it."""

from collections.abc import Mapping
from typing import Any

from crmbridge.model import SIDES, Gate, Shared, Side
from mapping.axis import CONVERSION, GateDoc
from mapping.cel import EvaluationError
from mapping.described import DescriptionLike
from mapping.document import Document
from mapping.holding import Hold, make_hold
from mapping.reasons import Reasons, make_reasons
from mapping.record_types import column_of, fits
from mapping.status import StatusTable, status_table


def compile_axis(document: Document, described: Mapping[Side, DescriptionLike]) -> StatusTable | None:
    if not document.status:
        return None
    return status_table(
        document.status,
        {side: one.statuses for side, one in described.items()},
        reasons={side: made for side in SIDES if (made := _reasons(document, side, described.get(side))) is not None},
        holds={side: made for side in SIDES if (made := _hold(document, side, described.get(side))) is not None},
    )


def compile_gates(document: Document) -> tuple[Gate, ...]:
    return tuple(_gate(document, one) for one in document.beside.gates)


def axis_wires(document: Document, side: Side, description: DescriptionLike | None) -> dict[str, Any]:
    """Columns to read for these parts, each only where the mapping uses it."""
    wires: dict[str, Any] = {}
    if asks_for_record_type(document, side):
        wires[column_of(document.systems[side])] = str
    reasons, hold = _reasons(document, side, description), _hold(document, side, description)
    return {**wires, **(reasons.wires if reasons else {}), **(hold.wires if hold else {})}


def asks_for_record_type(document: Document, side: Side) -> bool:
    """Dynamics tells a record's process without a column."""
    if document.systems[side] == "dynamics":
        return False
    return side in document.beside.record_type or any(row.by_kind.get(side) for row in document.status)


def _reasons(document: Document, side: Side, description: DescriptionLike | None) -> Reasons | None:
    column = document.beside.reason.get(side)
    if column is None:
        return None
    return make_reasons(document.status, side, column, description.columns.get(column) if description else None)


def _hold(document: Document, side: Side, description: DescriptionLike | None) -> Hold | None:
    if document.entity != "opportunity":
        return None
    options = description.statuses if description else ()
    return make_hold(document.systems[side], document.beside.on_hold.get(side), options)


def _gate(document: Document, doc: GateDoc) -> Gate:
    check = fits(document, doc.when)

    def holds(shared: Shared) -> bool:
        try:
            return check(shared)
        except EvaluationError as error:
            raise ValueError(f"its expression {error}") from error

    return Gate(row=None if doc.row == CONVERSION else doc.row, needs=doc.needs, message=doc.message, fits=holds)

"""Fields that are made, not carried over: a constant, or what an expression makes of the other fields.

They are written where they differ and never read across. The planner asks for them once it knows how the pair's other
fields end up, so that a computed field follows an edit of either side in the same pass.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from math import isfinite
from typing import Any, Final

from crmbridge.model import Fields, Money, Problem, Side, Value
from mapping.cel import EvaluationError, Expression, compile_expression
from mapping.document import Document, FieldDoc
from mapping.literals import constant, is_textual
from mapping.people import fold_email
from mapping.transforms import CONVERTERS, Refusal

Derive = Callable[[Fields], Value | Problem]
# What an expression may use beside the fields.
AXES: Final[Mapping[str, str]] = {"state": "text", "status": "text", "on_hold": "boolean"}
_COMPUTABLE: Final = frozenset({"number", "integer", "boolean", "date", "datetime", "choice", "user", "money"})
# An amount is worked out as a decimal of the machine; no CRM keeps more of it than this (dataverse-api, precision).
_CENT: Final = Decimal("0.0001")


def names_for_expressions(document: Document, *, axes: bool) -> dict[str, str]:
    """Fields that an expression can use, with their kinds: no links, and none that is made itself."""
    kinds = {doc.name: doc.convert for doc in document.fields.values() if doc.convert != "link" and not doc.is_derived}
    return {**kinds, **AXES} if axes else kinds


def is_computable(kind: str) -> bool:
    return kind in _COMPUTABLE or is_textual(kind)


def derive(document: Document, doc: FieldDoc) -> Mapping[Side, Derive]:
    """Per side that it is written to; empty for a field that crosses. The check has looked for what is wrong."""
    makers: dict[Side, Derive] = {}
    for side in doc.columns:
        if side in doc.constant:
            makers[side] = _always(constant(document, doc, side, doc.constant[side]))
        elif side in doc.compute:
            expression = compile_expression(doc.compute[side], names_for_expressions(document, axes=False))
            makers[side] = _computed(document, doc, expression)
    return makers


def _always(value: Value) -> Derive:
    return lambda fields: value


def _computed(document: Document, doc: FieldDoc, expression: Expression) -> Derive:
    name = doc.name
    where = f"{document.source.place(('fields', name, 'compute'))}"
    table = document.values.get(doc.values or "")
    rows = {row.name for row in table.rows} if table is not None else None

    def problem(words: str) -> Problem:
        return Problem(
            cause="compute_error",
            field=name,
            message=f"{name} cannot be computed: {words}",
            fix=f"correct the expression at {where}, or the value that it stumbles over",
        )

    def compute(fields: Fields) -> Value | Problem:
        try:
            result = expression.value(fields)
        except EvaluationError as error:
            # A blank field makes the whole blank, unless the expression says what then.
            return None if any(fields.get(n) is None for n in expression.fields) else problem(str(error))
        try:
            value = _amount(document, doc, result, fields) if doc.convert == "money" else _as_kind(doc.convert, result)
        except _OtherCurrency as error:
            return problem(str(error))
        except (ValueError, Refusal):
            return problem(f"the result does not fit a field that is {doc.convert!r}")
        if rows is not None and doc.convert == "choice" and value is not None and value not in rows:
            return problem(f"the result is no row of {doc.values!r}")
        return value

    return compute


def _as_kind(kind: str, result: Any) -> Value:
    if result is None:
        return None
    if kind == "boolean":
        if not isinstance(result, bool):
            raise ValueError
        return result
    if isinstance(result, bool):
        raise ValueError
    if kind in ("number", "integer"):
        if not isinstance(result, int | float):
            raise ValueError
        return CONVERTERS[kind].get(None, None)(Decimal(str(result)))
    if isinstance(result, datetime):
        return CONVERTERS[kind].get(None, "UTC" if kind == "date" else None)(result)
    if not isinstance(result, str):
        raise ValueError
    if kind == "date":
        return date.fromisoformat(result) if result else None
    if kind == "datetime":
        return CONVERTERS[kind].get(None, None)(datetime.fromisoformat(result)) if result else None
    if kind == "choice":
        return result or None
    if kind == "user":
        return fold_email(result) or None
    return CONVERTERS[kind].get(None, None)(result)


class _OtherCurrency(Exception):
    """The record has amounts in another currency."""


def _amount(document: Document, doc: FieldDoc, result: Any, fields: Fields) -> Value:
    """A record has one currency for all of its amounts, so a computed one never brings another into it."""
    if result is None:
        return None
    if isinstance(result, bool) or not isinstance(result, int | float) or not isfinite(result):
        raise ValueError
    named = doc.currency or ""
    if named in document.fields:
        like = fields.get(named)
        currency = like.currency if isinstance(like, Money) else None
        if currency is None:
            return None
    else:
        currency = named
        amounts = (fields.get(one.name) for one in document.fields.values() if not one.is_derived)
        others = sorted({value.currency for value in amounts if isinstance(value, Money)} - {currency})
        if others:
            raise _OtherCurrency(f"the record is in {', '.join(others)}, and amounts are never converted to {currency}")
    return Money(Decimal(str(result)).quantize(_CENT).normalize() + 0, currency)

"""Which line of a mapping stands behind a value: the field's own, and the row of its table, status or stage."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from crmbridge.model import Side, Value
from mapping.document import Document, FieldDoc
from mapping.problem import Path, Place

STATUS_COLUMNS: Final = frozenset({"status", "Status", "StageName", "statuscode", "stepname", "salesstage"})
_CURRENCY: Final = frozenset({"CurrencyIsoCode", "transactioncurrencyid"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """What made a value."""

    field: str | None  # None: no line of the mapping, but crmbridge itself
    convert: str = ""
    rule: str = ""
    at: Place | None = None
    row_at: Place | None = None


def behind_field(document: Document, field: FieldDoc, value: Value = None) -> Behind:
    return Behind(
        field=field.name,
        convert=f"values: {field.values}" if field.values else field.convert,
        rule=rule_name(document, field.rule),
        at=document.source.place(("fields", field.name), key=True),
        row_at=_value_row(document, field, value),
    )


def behind_column(
    document: Document, side: Side, column: str, shared: Mapping[str, Value], status: str | None
) -> Behind:
    """`column` is one that would be written on a side; `shared` and `status` are what was to be said with it."""
    for field in document.fields.values():
        if side in field.columns and column in columns_of(field, side):
            return behind_field(document, field, shared.get(field.name))
    if column in STATUS_COLUMNS and document.axis is not None:
        at = status_place(document, status)
        return Behind(field=document.axis, convert="", at=at, row_at=at)
    if column in _CURRENCY:
        money = next((field for field in document.fields.values() if field.convert == "money"), None)
        if money is not None:
            return behind_field(document, money)
    return Behind(field=None)


def columns_of(field: FieldDoc, side: Side) -> tuple[str, ...]:
    return field.columns[side].all() if side in field.columns else ()


def status_place(document: Document, status: str | None) -> Place | None:
    if document.axis is None or status is None:
        return None
    return document.source.place((document.axis, status), key=True)


def rule_name(document: Document, rule: str) -> str:
    """With the connection's name in place of the side."""
    for side, name in document.names.items():
        rule = rule.replace(side, name)
    return rule


def _value_row(document: Document, field: FieldDoc, value: Any) -> Place | None:
    if field.values is None or not isinstance(value, str):
        return None
    path: Path = ("values", field.values, value)
    return document.source.place(path, key=True) if path in document.source.keys else None

"""Literals of queries: as columns keep them, and patterns of contains/startswith/endswith (dataverse-api §2.4)."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from odata_query import ast

from crmbridge.sandbox.dynamics.errors import DataverseError, bad_query
from crmbridge.sandbox.dynamics.shape import Column
from crmbridge.sandbox.dynamics.values import guid, stamp

_NUMBERS = frozenset({"Integer", "BigInt", "Money", "Decimal", "Double", "Picklist", "State", "Status"})
_EDM = {
    "String": "Edm.String", "Memo": "Edm.String", "MultiSelectPicklist": "Edm.String", "Boolean": "Edm.Boolean",
    "BigInt": "Edm.Int64", "Money": "Edm.Decimal", "Decimal": "Edm.Decimal", "Double": "Edm.Double",
    "Integer": "Edm.Int32", "Picklist": "Edm.Int32", "State": "Edm.Int32", "Status": "Edm.Int32",
    "Lookup": "Edm.Guid", "Owner": "Edm.Guid", "Customer": "Edm.Guid", "Uniqueidentifier": "Edm.Guid",
}  # fmt: skip


def edm_type(column: Column) -> str:
    if column.kind == "DateTime":
        return "Edm.Date" if column.date_only else "Edm.DateTimeOffset"
    return _EDM[column.kind]


def moment_of(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise bad_query(f"'{text}' is not a date or time.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def literal_value(column: Column, literal: Any) -> tuple[Any, bool]:
    """The literal as the column keeps values, and whether it lies between two whole seconds."""
    kind = column.kind
    if kind in {"String", "Memo", "MultiSelectPicklist"} and isinstance(literal, ast.String):
        return literal.val, False
    if kind in {"Lookup", "Owner", "Customer", "Uniqueidentifier"} and isinstance(literal, ast.GUID | ast.String):
        found = guid(literal.val)  # in quotes too: dataverse-api §2.4
        if found is not None:
            return found, False
    if kind in _NUMBERS and isinstance(literal, ast.Integer | ast.Float):
        return (float(literal.val) if kind == "Double" else Decimal(literal.val)), False
    if kind == "Boolean" and isinstance(literal, ast.Boolean):
        return literal.val == "true", False
    if kind == "DateTime" and isinstance(literal, ast.Date):
        return (literal.val if column.date_only else stamp(moment_of(literal.val))), False
    if kind == "DateTime" and isinstance(literal, ast.DateTime) and not column.date_only:
        moment = moment_of(literal.val)
        return stamp(moment), moment.microsecond > 0
    found_type = {"String": "Edm.String", "Integer": "Edm.Int32", "Float": "Edm.Decimal", "GUID": "Edm.Guid"}.get(
        type(literal).__name__, f"Edm.{type(literal).__name__}"
    )
    raise bad_query(
        "A binary operator with incompatible types was detected. Found operand types "
        f"'{edm_type(column)}' and '{found_type}' for operator kind 'Equal'."
    )


def text_value(column: Column, text: Any) -> Any:
    """A value of In/Between and of key segments: always text, whatever the column's type."""
    if not isinstance(text, str):
        raise bad_query("Values of 'PropertyValues' must be strings in double quotes.")  # dataverse-api §2.5
    try:
        if column.kind in _NUMBERS:
            return float(text) if column.kind == "Double" else Decimal(text)
        if column.kind == "DateTime":
            return text[:10] if column.date_only else stamp(moment_of(text))
        if column.is_lookup or column.kind == "Uniqueidentifier":
            found = guid(text.strip("{}"))
            if found is None:
                raise ValueError(text)
            return found
        if column.kind == "Boolean":
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
    except (ValueError, ArithmeticError, KeyError):
        raise bad_query(f"'{text}' does not fit the column '{column.name}'.") from None
    return text


def text_array(node: Any) -> list[Any]:
    try:
        found = json.loads(node.val)
    except (AttributeError, ValueError):
        found = None
    if not isinstance(found, list):
        raise bad_query("The parameter 'PropertyValues' must be a JSON array of strings.")
    return found


_LIKE = re.compile(r"\[[^\]]*\]|%|_")


def pattern(name: str, text: str) -> Callable[[str], bool]:
    """`% _ [ ]` act as in SQL's LIKE: dataverse-api §2.4."""
    text = text.casefold()
    if not _LIKE.search(text):
        if name == "contains":
            return lambda found: text in found.casefold()
        if name == "startswith":
            return lambda found: found.casefold().startswith(text)
        return lambda found: found.casefold().endswith(text)
    pieces: list[str] = []
    position = 0
    for match in _LIKE.finditer(text):
        pieces.append(re.escape(text[position : match.start()]))
        token = match[0]
        pieces.append({"%": ".*", "_": "."}.get(token) or _class(token))
        position = match.end()
    pieces.append(re.escape(text[position:]))
    body = "".join(pieces)
    body = body if name == "startswith" else f".*{body}"
    body = body if name == "endswith" else f"{body}.*"
    try:
        compiled = re.compile(body, re.DOTALL)
    except re.error as error:
        raise DataverseError(400, "0x80060888", f"The text '{text}' is no valid pattern: {error}") from None
    return lambda found: compiled.fullmatch(found.casefold()) is not None


def _class(token: str) -> str:
    inner = token[1:-1]
    negated = inner.startswith("^")
    inner = re.escape(inner.removeprefix("^")).replace(r"\-", "-")
    return f"[{'^' if negated else ''}{inner}]" if inner else re.escape(token)

"""Literals of queries: as columns keep them, and patterns of contains/startswith/endswith (dataverse-api §2.4)."""

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from odata_query import ast

from crmbridge.sandbox.dynamics.columns import Column
from crmbridge.sandbox.dynamics.errors import bad_query
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
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise bad_query(f"'{text}' is not a date or time.") from None


def literal_value(column: Column, literal: Any, operator: str = "Equal") -> tuple[Any, bool]:
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
        return literal.val.lower() == "true", False
    if kind == "DateTime" and isinstance(literal, ast.Date):
        moment = moment_of(literal.val)  # a day that the calendar lacks is refused here
        return (literal.val if column.date_only else stamp(moment)), False
    if kind == "DateTime" and isinstance(literal, ast.DateTime) and not column.date_only:
        moment = moment_of(literal.val)
        return stamp(moment), moment.microsecond > 0
    found_type = {"String": "Edm.String", "Integer": "Edm.Int32", "Float": "Edm.Decimal", "GUID": "Edm.Guid"}.get(
        type(literal).__name__, f"Edm.{type(literal).__name__}"
    )
    raise bad_query(
        "A binary operator with incompatible types was detected. Found operand types "
        f"'{edm_type(column)}' and '{found_type}' for operator kind '{operator}'."
    )


def text_value(column: Column, text: Any) -> Any:
    """A value of In/Between and of key segments: always text, whatever the column's type."""
    if not isinstance(text, str):
        raise bad_query("Values of 'PropertyValues' must be strings in double quotes.")  # dataverse-api §2.5
    try:
        if column.kind in _NUMBERS:
            number = Decimal(text.strip())
            if not number.is_finite():
                raise ValueError(text)
            return float(number) if column.kind == "Double" else number
        if column.kind == "DateTime":
            return date.fromisoformat(text[:10]).isoformat() if column.date_only else stamp(moment_of(text))
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
    """The list of a query function: JSON, whose texts may stand in single quotes too (dataverse-api §2.5)."""
    text = getattr(node, "val", "")
    try:
        found = json.loads(_SINGLE.sub(lambda match: match[0] if match[0][0] == '"' else f'"{match[1]}"', text))
    except (TypeError, ValueError, RecursionError):
        raise bad_query(
            "Invalid JSON. A comma character ',' was expected in scope 'Array'. Every two elements in an array and "
            "properties of an object must be separated by commas."
        ) from None
    if not isinstance(found, list):
        raise bad_query("The parameter 'PropertyValues' must be a JSON array of strings.")
    return found


_SINGLE = re.compile(r"""\"(?:\\.|[^"\\])*"|'([^'"]*)'""")


_LIKE = re.compile(r"\[[^\]]*\]|%+|_")


def pattern(name: str, text: str) -> Callable[[str], bool]:
    """`% _ [ ]` act as in SQL's LIKE: dataverse-api §2.4."""
    text = text.casefold()
    if not _LIKE.search(text):
        if name == "contains":
            return lambda found: text in found.casefold()
        if name == "like":
            return lambda found: found.casefold() == text
        if name == "startswith":
            return lambda found: found.casefold().startswith(text)
        return lambda found: found.casefold().endswith(text)
    text = f"%{text}" if name in {"contains", "endswith"} else text
    text = f"{text}%" if name in {"contains", "startswith"} else text
    stretches = [""]  # what stands between two %
    position = 0
    for match in _LIKE.finditer(text):
        stretches[-1] += re.escape(text[position : match.start()])
        found = match[0]
        if found[0] == "%":
            stretches.append("")
        else:
            stretches[-1] += "." if found == "_" else _class(found)
        position = match.end()
    stretches[-1] += re.escape(text[position:])
    # the first place where a stretch fits serves as well as any: so nothing is tried twice, whatever the pattern
    first, *middle = stretches[:-1] or [stretches[0]]
    body = first + "".join(f"(?>.*?{each})" for each in middle)
    if len(stretches) > 1:
        body += f".*{stretches[-1]}"
    try:
        compiled = re.compile(body, re.DOTALL)
    except re.error as error:
        raise bad_query(f"The text '{text}' is no valid pattern: {error}") from None  # dataverse-api §2.4
    return lambda found: compiled.fullmatch(found.casefold()) is not None


def _class(token: str) -> str:
    inner = token[1:-1]
    negated = inner.startswith("^")
    inner = re.escape(inner.removeprefix("^")).replace(r"\-", "-")
    return f"[{'^' if negated else ''}{inner}]" if inner else re.escape(token)

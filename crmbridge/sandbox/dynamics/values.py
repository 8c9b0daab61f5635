"""Values of columns: from JSON to what a row keeps, from there to the wire and to display text (dataverse-api §11).

Kept forms: money and decimals are Decimal, dates and times text in canonical form (so that text order is time order),
GUIDs lower case without braces, choices ints.
"""

import re
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Any

from crmbridge.sandbox.dynamics.columns import Column
from crmbridge.sandbox.dynamics.errors import DataverseError, bad_payload
from crmbridge.sandbox.dynamics.tables import Table

GUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
EMPTY_GUID = "00000000-0000-0000-0000-000000000000"
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?"
)  # dataverse-api §11; that minutes alone and a day alone are taken is (unverified)
_EARLIEST_YEAR = 1753
_INTEGER_LIMIT = 2**31
_DEFAULT_LENGTH = {"String": 100, "Memo": 2000}


def stamp(moment: datetime) -> str:
    return _stamp(moment.replace(microsecond=0))


@lru_cache(maxsize=1024)
def _stamp(second: datetime) -> str:
    """One text for all rows that are written in the same second: where a page has many of them, it is fetched once."""
    return f"{second.astimezone(UTC).isoformat()[:19]}Z"


def guid(text: object) -> str | None:
    """The canonical form, or None if `text` is no GUID; braces-free in any case."""
    return text.lower() if isinstance(text, str) and GUID.fullmatch(text) else None


def accept(table: Table, column: Column, value: Any, currency_precision: int = 2) -> Any:
    """The kept form of a JSON value for a column that is no lookup; refuses what the service refuses."""
    if value is None:
        return None
    match column.kind:
        case "String" | "Memo":
            return _text(table, column, value)
        case "Boolean":
            if not isinstance(value, bool):
                raise _mismatch(table, value, "Edm.Boolean")
            return value
        case "Integer" | "BigInt" | "Picklist" | "State" | "Status":
            return _integer(table, column, value)
        case "Money" | "Decimal" | "Double":
            return _number(table, column, value, currency_precision)
        case "DateTime":
            return _moment(table, column, value)
        case "Uniqueidentifier":
            found = guid(value)
            if found is None:
                raise _mismatch(table, value, "Edm.Guid")
            return found
        case "MultiSelectPicklist":
            return _choices(table, column, value)
        case "Lookup" | "Owner" | "Customer":
            raise AssertionError(f"{column.name} is a lookup; lookups are bound, not accepted")


def _mismatch(table: Table, value: object, expected: str) -> DataverseError:
    """In the words of OData's own reader, which shows the value as .NET does; of objects and lists (unverified)."""
    if isinstance(value, dict | list):
        node = "StartObject" if isinstance(value, dict) else "StartArray"
        text = f"An unexpected '{node}' node was found when reading from the JSON reader. A 'PrimitiveValue' node was "
        return bad_payload(table.set_name, text + "expected.")
    return bad_payload(table.set_name, f"Cannot convert the literal '{value}' to the expected type '{expected}'.")


def _text(table: Table, column: Column, value: Any) -> str | None:
    if not isinstance(value, str):
        raise _mismatch(table, value, "Edm.String")
    if _CONTROL.search(value):
        raise DataverseError(400, "0x80040278", f"Invalid Character in field '{column.name}' of '{table.name}'.")
    limit = column.max_length or _DEFAULT_LENGTH[column.kind]
    # counted in the units of UTF-16, as .NET and nvarchar do (unverified); never cut: dataverse-api §5, §10.3
    if len(value) > limit or (2 * len(value) > limit and len(value.encode("utf-16-le")) > 2 * limit):
        raise DataverseError(
            400,
            "0x80044331",
            f"A validation error occurred.  The length of the '{column.name}' attribute of the '{table.name}' entity "
            f"exceeded the maximum allowed length of '{limit}'.",
        )
    return value or None  # "" is stored as null (unverified)


def _integer(table: Table, column: Column, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):  # a label is never accepted
        raise _mismatch(table, value, "Edm.Int64" if column.kind == "BigInt" else "Edm.Int32")
    if column.is_choice:
        if column.option(value) is None:
            accepted = ",".join(str(option.value) for option in column.options)
            raise DataverseError(
                400,
                "0x8004431A",
                f"A validation error occurred.  The value {value} of '{column.name}' on record of type "
                f"'{table.name}' is "
                f"outside the valid range. Accepted Values: {accepted}",
            )
        return value
    lowest = -_INTEGER_LIMIT if column.minimum is None else column.minimum
    highest = _INTEGER_LIMIT - 1 if column.maximum is None else column.maximum
    if column.kind == "Integer" and not lowest <= value <= highest:
        raise _out_of_range(table, column)
    return value


def _out_of_range(table: Table, column: Column) -> DataverseError:
    return DataverseError(
        400,
        "0x80044330",
        f"A validation error occurred.  The value of '{column.name}' on record of type '{table.name}' is outside "
        "the valid "
        "range.",
    )


def _number(table: Table, column: Column, value: Any, currency_precision: int) -> Decimal | float:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise _mismatch(table, value, "Edm.Double" if column.kind == "Double" else "Edm.Decimal")
    number = value if isinstance(value, Decimal) else Decimal(str(value))
    if (column.minimum is not None and number < column.minimum) or (
        column.maximum is not None and number > column.maximum
    ):
        raise _out_of_range(table, column)
    if column.kind == "Double":
        return float(number)
    places = column.precision if column.precision is not None else currency_precision
    return rounded(number, places)


def rounded(number: Decimal, places: int) -> Decimal:
    """Extra digits are rounded, no error (unverified)."""
    return number.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)


def _moment(table: Table, column: Column, value: Any) -> str:
    expected = "Edm.Date" if column.date_only else "Edm.DateTimeOffset"
    if not isinstance(value, str):
        raise _mismatch(table, value, expected)
    try:
        if column.date_only:
            found = date.fromisoformat(value).isoformat()
            if len(value) != len("2026-11-30"):
                raise _mismatch(table, value, expected)
        elif _MOMENT.fullmatch(value) is None:
            raise _mismatch(table, value, expected)
        else:
            moment = datetime.fromisoformat(value)
            found = stamp(moment if moment.tzinfo else moment.replace(tzinfo=UTC))  # no offset = UTC
    except (ValueError, OverflowError):
        raise _mismatch(table, value, expected) from None
    if int(found[:4]) < _EARLIEST_YEAR:
        raise DataverseError(
            400, "0x80040239", f"DateTime is less than minumum value supported by CrmDateTime: {value}"
        )
    return found


def _choices(table: Table, column: Column, value: Any) -> str | None:
    if not isinstance(value, str) or not re.fullmatch(r"(-?\d+(,-?\d+)*)?", value):
        raise _mismatch(table, value, "Edm.String")
    picked = sorted({_integer_option(table, column, int(each)) for each in value.split(",") if each})
    return ",".join(map(str, picked)) or None


def _integer_option(table: Table, column: Column, value: int) -> int:
    if column.option(value) is None:
        raise _out_of_range(table, column)
    return value


def display(column: Column, value: Any, symbol: str = "$") -> str:
    """The FormattedValue annotation of an English (US) user in UTC; never meant to be parsed."""
    match column.kind:
        case "Picklist" | "State" | "Status":
            option = column.option(value)
            return option.label if option else str(value)
        case "MultiSelectPicklist":
            labels = (column.option(int(each)) for each in value.split(","))
            return "; ".join(option.label for option in labels if option)
        case "Boolean":
            return next(option.label for option in column.options if option.value == int(value))
        case "Money":
            return f"{'-' if value < 0 else ''}{symbol}{abs(value):,.2f}"
        case "Decimal" | "Double":
            return f"{value:,.{column.precision or 2}f}"
        case "Integer" | "BigInt":
            return f"{value:,}"
        case "DateTime":
            return _shown_moment(value, day_only=column.format == "DateOnly")
        case _:
            return str(value)


@lru_cache(maxsize=16_384)
def _shown_moment(value: str, *, day_only: bool) -> str:
    moment = datetime.fromisoformat(value)
    day = f"{moment.month}/{moment.day}/{moment.year}"
    if day_only:
        return day
    return f"{day} {(moment.hour - 1) % 12 + 1}:{moment.minute:02} {'AM' if moment.hour < 12 else 'PM'}"


def plain(value: Any) -> Any:
    """For JSON written by a plain encoder (the dump)."""
    return float(value) if isinstance(value, Decimal) else value


def has_annotation(column: Column) -> bool:
    """Text and GUID columns have no FormattedValue (dataverse-api §2.2)."""
    return column.kind not in {"String", "Memo", "Uniqueidentifier"}

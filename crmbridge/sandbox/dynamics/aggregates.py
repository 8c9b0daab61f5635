"""Groups of rows and what they amount to: for $apply, FetchXML and SQL alike (dataverse-api §2.9)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from crmbridge.sandbox.dynamics.columns import Column
from crmbridge.sandbox.dynamics.errors import DataverseError
from crmbridge.sandbox.dynamics.ordering import part
from crmbridge.sandbox.dynamics.store import fold
from crmbridge.sandbox.dynamics.values import display

ROWS_MAX = 50_000
FUNCTIONS = frozenset({"sum", "avg", "min", "max", "count", "countcolumn"})
DATE_PARTS = frozenset({"day", "week", "month", "quarter", "year", "fiscal-period", "fiscal-year"})
_NUMBERS = frozenset({"Integer", "BigInt", "Money", "Decimal", "Double"})
_AVERAGE_PLACES = Decimal(1).scaleb(-10)

Get = Callable[[Any], Any]  # of a joined row: what a column holds


class AggregateError(Exception):
    """The aggregate does not fit its column; each query language says it in its own words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    alias: str
    function: str
    column: Column | None = None  # None: count of rows
    get: Get | None = None
    distinct: bool = False

    def check(self) -> None:
        if self.function in {"count", "countcolumn"} or self.column is None:
            return
        fitting = _NUMBERS | ({"DateTime"} if self.function in {"min", "max"} else frozenset[str]())
        if self.column.kind not in fitting:
            raise AggregateError(f"The attribute '{self.column.name}' cannot be aggregated by '{self.function}'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    alias: str
    column: Column
    get: Get
    date_part: str | None = None

    def value(self, row: Any) -> Any:
        found = self.get(row)
        return found if found is None or self.date_part is None else date_part(self.date_part, found)


def aggregate(
    rows: Iterable[Any], groups: Sequence[Group], measures: Sequence[Measure], limit: int = ROWS_MAX
) -> list[dict[str, Any]]:
    """Values by alias, a row for each group, in order of the groups' values; without groups exactly one row."""
    for each in measures:
        each.check()
    members: dict[tuple[Any, ...], list[Any]] = {} if groups else {(): []}
    shown: dict[tuple[Any, ...], tuple[Any, ...]] = {(): ()}
    for number, row in enumerate(rows):
        if number == limit:  # dataverse-api §2.9, §10.3
            raise DataverseError(
                400, "0x8004E023", "AggregateQueryRecordLimit exceeded. Cannot perform this operation."
            )
        values = tuple(group.value(row) for group in groups)
        key = tuple(map(fold, values))
        shown.setdefault(key, values)
        members.setdefault(key, []).append(row)
    found: list[dict[str, Any]] = []
    for key in sorted(members, key=lambda key: tuple(map(part, key))):
        line = {group.alias: value for group, value in zip(groups, shown[key], strict=True)}
        line |= {each.alias: _measured(each, members[key]) for each in measures}
        found.append(line)
    return found


def _measured(measure: Measure, rows: Sequence[Any]) -> Any:
    get = measure.get
    if measure.function == "count" or get is None:
        return len(rows)
    values = [value for row in rows if (value := get(row)) is not None]
    if measure.function == "countcolumn":
        return len(set(map(fold, values))) if measure.distinct else len(values)
    if measure.function == "sum":
        return sum(values) if values else 0  # a sum of nothing but nulls is 0 (unverified)
    if not values:
        return None
    if measure.function == "avg":
        return _average(values)
    return min(values) if measure.function == "min" else max(values)


def _average(values: Sequence[Any]) -> Any:
    """The average of whole numbers is a whole number, as in SQL (dataverse-api §2.9's numbers)."""
    total: Any = sum(values)
    if isinstance(total, int):
        return -(-total // len(values)) if total < 0 else total // len(values)
    if isinstance(total, float):
        return total / len(values)
    return (total / len(values)).quantize(_AVERAGE_PLACES, rounding=ROUND_HALF_UP)


def date_part(name: str, moment: str) -> int | str:
    """Weeks begin on Sunday, the first is the one of January 1; a fiscal period reads as its label (unverified)."""
    year, month, day = int(moment[:4]), int(moment[5:7]), int(moment[8:10])
    match name:
        case "day":
            return day
        case "month":
            return month
        case "year" | "fiscal-year":
            return year
        case "quarter":
            return (month + 2) // 3
        case "week":
            first = date(year, 1, 1)
            return ((date(year, month, day) - first).days + first.isoweekday() % 7) // 7 + 1
        case _:
            return f"Quarter {(month + 2) // 3} FY{year}"


def shown(column: Column | None, function: str | None, value: Any, part_name: str | None = None) -> str:
    """The formatted value of a group or a measure."""
    if part_name == "fiscal-year":
        return f"FY{value}"
    if part_name is not None or function in {"count", "countcolumn"} or column is None:
        return f"{value:,}" if isinstance(value, int) else str(value)
    if function == "avg" and column.kind in {"Decimal", "Double"}:
        return f"{value:,.2f}"
    return display(column, value)

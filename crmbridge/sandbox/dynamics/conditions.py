"""What an operator asks of a column's value: for $filter's query functions, FetchXML and SQL (dataverse-api §2.5).

Operators have FetchXML's names. A test takes the value that a row keeps, None for null. A negative operator is the
opposite of its positive one, so that nulls satisfy it (unverified), as they satisfy `ne`; `not-between` is the
exception, as in SQL.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.dynamics import spans
from crmbridge.sandbox.dynamics.columns import Column
from crmbridge.sandbox.dynamics.errors import DataverseError
from crmbridge.sandbox.dynamics.literals import moment_of, pattern, text_value
from crmbridge.sandbox.dynamics.store import Store, fold
from crmbridge.sandbox.dynamics.tables import Table
from crmbridge.sandbox.dynamics.values import EMPTY_GUID

Test = Callable[[Any], bool]


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What an expression may refer to besides the row."""

    store: Store
    now: datetime
    user: str
    business_unit: str = EMPTY_GUID
    aliases: Mapping[str, str] | None = None  # @p1 -> literal


class ConditionError(Exception):
    """The operator does not fit its column or its values; each query language says it in its own words."""


_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt, "ge": operator.ge, "lt": operator.lt, "le": operator.le,
}  # fmt: skip
_OPPOSITES: Mapping[str, str] = {
    "ne": "eq", "neq": "eq", "not-like": "like", "not-begin-with": "begins-with", "not-end-with": "ends-with",
    "not-in": "in", "not-null": "null", "ne-userid": "eq-userid", "ne-businessid": "eq-businessid",
    "not-under": "under", "not-contain-values": "contain-values",
}  # fmt: skip
_TEXT: Mapping[str, str] = {"like": "like", "begins-with": "startswith", "ends-with": "endswith"}
_NUMBERED = frozenset({
    "in-fiscal-year", "in-fiscal-period", "in-fiscal-period-and-year", "in-or-before-fiscal-period-and-year",
    "in-or-after-fiscal-period-and-year",
})  # fmt: skip
DATES = frozenset({"on", "on-or-after", "on-or-before"})
_PEOPLE = frozenset({
    "eq-userid", "eq-businessid", "eq-userteams", "eq-useroruserteams", "eq-useroruserhierarchy",
    "eq-useroruserhierarchyandteams",
})  # fmt: skip
HIERARCHIES = frozenset({"under", "not-under", "eq-or-under", "above", "eq-or-above"})
LISTS = frozenset({"in", "not-in", "between", "not-between", "contain-values", "not-contain-values"})
BARE = frozenset({"null", "not-null", "eq-userlanguage", "ne-userid", "ne-businessid"}) | _PEOPLE | spans.NAMED
PAIRS = frozenset(name for name in _NUMBERED if name.endswith("and-year"))
MOMENTS = spans.NAMED | spans.COUNTED | DATES | _NUMBERED  # of columns of dates
KNOWN = BARE | LISTS | HIERARCHIES | MOMENTS | frozenset({*_COMPARISONS, *_OPPOSITES, *_TEXT, "eq"})


def condition(name: str, table: Table, column: Column, values: Sequence[Any], scope: Scope) -> Test:
    """The test of `column name values`; values are texts, as all query languages but $filter's operators have them."""
    opposite = _OPPOSITES.get(name)
    if opposite is not None:
        test = condition(opposite, table, column, values, scope)
        return lambda value: not test(value)
    _check_count(name, values)
    if name == "null":
        return lambda value: value is None
    if name == "eq" or name in _COMPARISONS:
        return _comparison(name, column, values[0])
    if name in _TEXT:
        if column.kind not in {"String", "Memo"}:
            raise ConditionError(f"the operator {name} needs a column of text")
        matches = pattern(_TEXT[name], str(values[0]))
        return lambda value: value is not None and matches(value)
    if name == "in":
        members = {fold(_value(column, each)) for each in values}
        return lambda value: fold(value) in members
    if name in {"between", "not-between"}:
        low, high = (fold(_value(column, each)) for each in values)
        inside = name == "between"
        return lambda value: value is not None and (low <= fold(value) <= high) is inside
    if name == "contain-values":
        if column.kind != "MultiSelectPicklist":
            raise ConditionError("the operator contain-values needs a column of several choices")
        wanted = {str(_whole(each)) for each in values}
        return lambda value: value is not None and not wanted.isdisjoint(value.split(","))
    if name in HIERARCHIES:
        members = _relatives(name, table, column, _value(column, values[0]), scope.store)
        return lambda value: value in members
    if name in _PEOPLE:
        members = _people(name, scope)
        if column.kind != "Uniqueidentifier" and not column.is_lookup:
            raise ConditionError(f"the operator {name} needs a column of unique identifiers")
        return lambda value: value in members
    if name == "eq-userlanguage":
        language = scope.store.shape.organization.language
        return lambda value: value == language
    return _temporal(name, column, values, scope)


def _check_count(name: str, values: Sequence[Any]) -> None:
    if name in BARE:
        fitting = not values
    elif name in {"between", "not-between"} or name in PAIRS:
        fitting = len(values) == 2
    elif name in LISTS:
        fitting = bool(values)
    else:
        fitting = len(values) == 1
    if not fitting:
        raise ConditionError(f"the operator {name} has {len(values)} values")


def _value(column: Column, text: Any) -> Any:
    try:
        return text_value(column, text)
    except DataverseError as error:
        raise ConditionError(error.message) from None


def _whole(text: Any) -> int:
    try:
        return int(str(text))
    except ValueError:
        raise ConditionError(f"'{text}' is no whole number") from None


def _comparison(name: str, column: Column, text: Any) -> Test:
    wanted = fold(_value(column, text))
    if name == "eq":
        return lambda value: value is not None and fold(value) == wanted
    if column.kind == "Boolean":
        raise ConditionError(f"the operator {name} does not order booleans")
    compare = _COMPARISONS[name]
    return lambda value: value is not None and compare(fold(value), wanted)


# Moments


def _temporal(name: str, column: Column, values: Sequence[Any], scope: Scope) -> Test:
    if column.kind != "DateTime":
        raise ConditionError(f"the operator {name} needs a column of dates")
    if name == "in-fiscal-period":
        period = _period(values[0])
        return lambda value: value is not None and (int(value[5:7]) + 2) // 3 == period
    low, high = spans.as_texts(_span(name, values, scope), date_only=column.date_only)
    if low is None and high is not None:
        return lambda value: value is not None and value < high
    if high is None:
        return lambda value: value is not None and value >= low
    return lambda value: value is not None and low <= value < high


def _span(name: str, values: Sequence[Any], scope: Scope) -> spans.Span:
    calendar = spans.Calendar(scope.now)
    found = calendar.named(name)
    if found is not None:
        return found
    if name in spans.COUNTED:
        number = _whole(values[0])
        if number < 1:
            raise ConditionError(f"the operator {name} needs a number above zero")
        found = calendar.counted(name, number)
    elif name in DATES:
        found = _day(name, values[0])
    elif name == "in-fiscal-year":
        found = spans.fiscal_year(_whole(values[0]))
    elif name in _NUMBERED:
        start, end = spans.fiscal_period(_period(values[0]), _whole(values[1]))
        found = (
            None if name.startswith("in-or-before") else start,
            None if name.startswith("in-or-after") else end,
        )
    if found is None:
        raise ConditionError(f"the operator {name} is unknown")
    return found


def _day(name: str, text: Any) -> spans.Span:
    try:
        day = moment_of(str(text)).replace(hour=0, minute=0, second=0, microsecond=0)
    except DataverseError as error:
        raise ConditionError(error.message) from None
    start, end = spans.whole_day(day)
    return None if name == "on-or-before" else start, None if name == "on-or-after" else end


def _period(text: Any) -> int:
    period = _whole(text)
    if not 1 <= period <= 4:
        raise ConditionError("a fiscal period is a number from 1 to 4")
    return period


# People


def _people(name: str, scope: Scope) -> frozenset[str]:
    if name == "eq-businessid":
        return frozenset({scope.business_unit})
    people: set[str] = set()
    if name != "eq-userteams":
        people.add(scope.user)
    if "hierarchy" in name:
        parent = scope.store.shape.tables["systemuser"].columns.get("parentsystemuserid")
        if parent is not None:
            people |= _below(scope.user, parent, scope.store, "systemuser")
    if "teams" in name:
        for member in [scope.user] if "hierarchy" not in name else list(people):
            people |= teams_of(member, scope.store)
    return frozenset(people)


def teams_of(user: str, store: Store) -> set[str]:
    """A user belongs to the default team of the business unit, and to whatever the membership table says."""
    found: set[str] = set()
    if "teammembership" in store.shape.tables:
        rows = store.rows("teammembership")
        found |= {str(rows[key].get("teamid")) for key in store.find("teammembership", "systemuserid", user)}
    unit = (store.get("systemuser", user) or {}).get("businessunitid")
    teams = store.rows("team")
    for key in store.find("team", "businessunitid", unit) if unit is not None else ():
        if teams[key].get("isdefault"):
            found.add(key)
    return found


# Hierarchies: a table whose rows have a parent of the same table


def parent_column(table: Table) -> Column | None:
    """The lookup that makes the table a hierarchy."""
    return next(
        (
            each
            for each in table.columns.values()
            if each.name.startswith("parent") and [target.table for target in each.targets] == [table.name]
        ),
        None,
    )


def _relatives(name: str, table: Table, column: Column, key: Any, store: Store) -> set[str]:
    parent = parent_column(table)
    if parent is None or column.name not in {table.key, parent.name}:
        raise ConditionError(f"the column {column.name} of {table.name} is not of a hierarchy")
    if name.endswith("under"):
        found = _below(key, parent, store, table.name)
    else:
        found: set[str] = set()
        row: Row | None = store.get(table.name, key)
        while row is not None and (above := row.get(parent.name)) is not None and above not in found:
            found.add(above)
            row = store.get(table.name, above)
    found.discard(key)
    return found | {key} if name.startswith("eq-or") else found


def _below(key: str, parent: Column, store: Store, table: str) -> set[str]:
    found: set[str] = set()
    waiting = [key]
    while waiting:
        for child in store.find(table, parent.name, waiting.pop()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found

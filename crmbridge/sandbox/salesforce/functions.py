"""Calls in a query: date functions, toLabel, convertCurrency, format, DISTANCE (salesforce-api §2.3, §5.4).

A resolved call is a column like any other: with a field that says its type, and a getter.
"""

from collections.abc import Callable
from datetime import UTC, date, tzinfo
from decimal import Decimal
from math import asin, cos, radians, sin, sqrt
from typing import Any, Final

import msgspec

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce import currency
from crmbridge.sandbox.salesforce.columns import Column, Scope, derived
from crmbridge.sandbox.salesforce.dates import DAY_FUNCTIONS
from crmbridge.sandbox.salesforce.errors import SfError
from crmbridge.sandbox.salesforce.formatting import formatted
from crmbridge.sandbox.salesforce.soql import at_spot, malformed
from crmbridge.sandbox.salesforce.soql_tree import Expression, FieldPath, Function, Value
from crmbridge.sandbox.salesforce.values import instant

AGGREGATES: Final = frozenset({"COUNT", "COUNT_DISTINCT", "SUM", "AVG", "MIN", "MAX"})
DATE_FUNCTIONS: Final = frozenset({*DAY_FUNCTIONS, "DAY_ONLY", "HOUR_IN_DAY"})
SHOWING: Final = frozenset({"TOLABEL", "FORMAT", "CONVERTCURRENCY"})  # these keep the field's name in the answer
_EARTH_RADIUS: Final = {"km": 6371.0, "mi": 3958.8}


def resolve(scope: Scope, expression: Expression) -> Column:
    """A field or a call as a column; INVALID_FIELD and MALFORMED_QUERY as §2.4 has them."""
    if isinstance(expression, FieldPath):
        return scope.column(expression)
    if expression.name == "DISTANCE":
        return _distance(scope, expression)
    return apply(scope, expression, resolve(scope, argument(scope, expression)))


def argument(scope: Scope, call: Function) -> Expression:
    """What a call is about (§2.3); convertTimezone() is a part of the date function around it."""
    if call.name in AGGREGATES or call.name == "GROUPING":  # the words are (unverified)
        raise malformed(scope.query.text, call.at, f"Aggregate function {call.name} is not allowed here")
    inner = call.inner
    if call.name not in DATE_FUNCTIONS and call.name not in SHOWING:
        raise malformed(scope.query.text, call.at, "unexpected token: '('")
    if isinstance(inner, Function) and inner.name == "CONVERTTIMEZONE" and call.name in DATE_FUNCTIONS:
        call, inner = inner, inner.inner
    if inner is None or len(call.args) != 1:
        raise malformed(scope.query.text, call.at, f"unexpected token: '{call.name}'")
    return inner


def apply(scope: Scope, call: Function, column: Column) -> Column:
    """The call's result, where the column that it is about is known."""
    match call.name:
        case "TOLABEL":
            return _label(scope, call, column)
        case "FORMAT":
            return _format(scope, call, column)
        case "CONVERTCURRENCY":
            return _convert(scope, call, column)
        case _:
            return _dated(scope, call, column)


def _unfit(scope: Scope, call: Function, column: Column) -> SfError:
    """§2.3: a function of another type of field; the words are (unverified)."""
    message = f"field '{column.field.name}' of type {column.field.type} does not support the function {call.name}"
    return at_spot(scope.query.text, call.at, message, "INVALID_FIELD")


def _dated(scope: Scope, call: Function, column: Column) -> Column:
    """§2.3: a datetime is read in UTC, with convertTimezone in the user's zone."""
    zoned = isinstance(call.inner, Function) and call.inner.name == "CONVERTTIMEZONE"
    zone = scope.store.shape.org.zone if zoned else None
    whole = column.field.type == "datetime"
    if not whole and (column.field.type != "date" or zoned or call.name in ("DAY_ONLY", "HOUR_IN_DAY")):
        raise _unfit(scope, call, column)
    get, kind = column.get, "date" if call.name == "DAY_ONLY" else "int"
    number, first = DAY_FUNCTIONS.get(call.name), scope.store.shape.org.fiscal_year_start_month

    def read(row: Row) -> Any:
        text = get(row)
        if text is None:
            return None
        if call.name == "HOUR_IN_DAY":
            return int(text[11:13]) if zone is None else instant(text).astimezone(zone).hour
        day = _day(text, zone)
        return day.isoformat() if number is None else number(day, first)

    return Column(field=derived(str(call), kind), get=read)


def _day(text: str, zone: tzinfo | None) -> date:
    if zone is None or zone is UTC or len(text) == 10:
        return date(int(text[:4]), int(text[5:7]), int(text[8:10]))
    return instant(text).astimezone(zone).date()


def _label(scope: Scope, call: Function, column: Column) -> Column:
    """§2.3: the label in place of a picklist's value."""
    if column.field.type not in ("picklist", "multipicklist"):
        raise _unfit(scope, call, column)
    labels: dict[Any, Any] = {value.value: value.label for value in column.field.picklist_values}
    get = column.get
    several = column.field.type == "multipicklist"

    def label(row: Row) -> Any:
        value = get(row)
        if value is None or not several:
            return labels.get(value, value)
        return ";".join(labels.get(part, part) for part in value.split(";"))

    field = msgspec.structs.replace(column.field, type="string", picklist_values=())
    return Column(field=field, get=label, holder=column.holder)


def _convert(scope: Scope, call: Function, column: Column) -> Column:
    """§5.4: amounts in the user's currency, where the org has several; the words otherwise are (unverified)."""
    org = scope.store.shape.org
    if column.field.type != "currency":
        raise _unfit(scope, call, column)
    if not org.multi_currency:
        raise malformed(scope.query.text, call.at, "convertCurrency needs an org with multiple currencies enabled")
    iso, get, holder, scale = own_currency(scope), column.get, column.holder, column.field.scale

    def convert(row: Row) -> Any:
        amount, where = get(row), holder(row)
        return None if amount is None or where is None else currency.converted(org, amount, where, iso, scale)

    return Column(field=column.field, get=convert, holder=column.holder)


def own_currency(scope: Scope) -> str:
    """The asking user's currency; the company's where the user has none."""
    users = scope.store.shape.object("User")
    user = scope.store.get(users, scope.asking.user) if users else None
    return str((user or {}).get("DefaultCurrencyIsoCode") or scope.store.shape.org.currency)


def _format(scope: Scope, call: Function, column: Column) -> Column:
    """§2.3: numbers, dates and money as the user's locale writes them."""
    org, inner = scope.store.shape.org, call.inner
    if column.field.type not in ("date", "datetime", "currency", "double", "int", "percent"):
        raise _unfit(scope, call, column)
    get, holder, field = column.get, column.holder, column.field
    theirs = isinstance(inner, Function) and inner.name == "CONVERTCURRENCY"
    iso = own_currency(scope)

    def show(row: Row) -> Any:
        value = get(row)
        code = iso if theirs else str((holder(row) or {}).get("CurrencyIsoCode") or org.currency)
        return None if value is None else formatted(org, field, value, code)

    return Column(field=msgspec.structs.replace(field, type="string"), get=show, holder=holder)


def _distance(scope: Scope, call: Function) -> Column:
    """DISTANCE(Address, GEOLOCATION(37.775,-122.418), 'mi'): along the sphere; a row without a place has none."""
    text, at = scope.query.text, call.at
    match call.args:
        case (
            FieldPath() as path,
            Function(name="GEOLOCATION", args=(Value(kind="number"), Value(kind="number")) as geo),
            Value(kind="string", value=unit),
        ):
            if unit not in _EARTH_RADIUS:
                raise malformed(
                    text, at, f"Invalid unit in DISTANCE: '{unit}'; it is 'mi' or 'km'"
                )  # §2.3 (unverified)
        case _:
            raise malformed(text, at, "unexpected token: 'DISTANCE'")  # §2.3
    column = scope.column(path)
    if column.field.type != "address":
        raise _unfit(scope, call, column)
    get = column.get
    there = (float(geo[0].value), float(geo[1].value))

    def measure(row: Row) -> Any:
        place = get(row)
        if place is None or place["latitude"] is None or place["longitude"] is None:
            return None
        here = (float(place["latitude"]), float(place["longitude"]))
        return Decimal(repr(_along_sphere(here, there) * _EARTH_RADIUS[unit]))

    return Column(field=derived(str(call), "double"), get=measure)


def _along_sphere(here: tuple[float, float], there: tuple[float, float]) -> float:
    """The haversine of two places, in radii."""
    (south, west), (north, east) = (tuple(map(radians, place)) for place in (here, there))
    chord = sin((north - south) / 2) ** 2 + cos(south) * cos(north) * sin((east - west) / 2) ** 2
    return 2 * asin(sqrt(min(1.0, chord)))


def innermost(expression: Expression | None) -> FieldPath | None:
    """The field that a call is about in the end."""
    while isinstance(expression, Function):
        expression = expression.inner
    return expression


def about(expression: Expression, change: Callable[[FieldPath], FieldPath]) -> Expression:
    """The same calls about another field."""
    if isinstance(expression, FieldPath):
        return change(expression)
    args = tuple(arg if isinstance(arg, Value) else about(arg, change) for arg in expression.args)
    return Function(expression.name, args, expression.at)

"""WHERE and HAVING as functions of a row, and what an index can spare of it (salesforce-api §2.3)."""

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce import currency, dates
from crmbridge.sandbox.salesforce.columns import Column, Scope, chosen
from crmbridge.sandbox.salesforce.errors import SfError
from crmbridge.sandbox.salesforce.ids import canonical, has_form
from crmbridge.sandbox.salesforce.listing import Entry
from crmbridge.sandbox.salesforce.schema import NUMBER, TEXT, Field
from crmbridge.sandbox.salesforce.semi_joins import SemiJoins
from crmbridge.sandbox.salesforce.soql import at_spot, malformed
from crmbridge.sandbox.salesforce.soql_tree import (
    Compare,
    Condition,
    DateLiteral,
    Every,
    Expression,
    FieldPath,
    Function,
    InList,
    Not,
    SemiJoin,
    Some,
    Value,
)
from crmbridge.sandbox.salesforce.store import fold
from crmbridge.sandbox.salesforce.values import instant, read_date, read_instant, stamp

Test = Callable[[Row], bool]
Resolve = Callable[[Expression], Column]


class Filters:
    """The conditions of one query; `resolve` says what a name means in it."""

    def __init__(self, scope: Scope, resolve: Resolve, semi_joins: SemiJoins) -> None:
        self._scope = scope
        self._resolve = resolve
        self._semi_joins = semi_joins

    # -- what an index spares ------------------------------------------------------------------------------------

    def narrow(self, condition: Condition) -> list[str] | None:
        """Ids among which every match must be, in order; None where no index helps."""
        match condition:
            case Every(parts):
                found = [ids for part in parts if (ids := self.narrow(part)) is not None]
                return min(found, key=len) if found else None
            case Some(parts):
                each = [self.narrow(part) for part in parts]
                return None if any(ids is None for ids in each) else sorted({key for ids in each if ids for key in ids})
            case Compare(FieldPath() as path, "=", Value(value=str() as text)):
                return self._look_up(path, [text])
            case InList(FieldPath() as path, values, False) if all(value.kind == "string" for value in values):
                return self._look_up(path, [value.value for value in values])
            case _:
                return None

    def _look_up(self, path: FieldPath, texts: Sequence[str]) -> list[str] | None:
        field = self._resolve(path).field if len(self._scope.plain(path)) == 1 else None
        if field is None or not (field.name == "Id" or field.indexed) or not all(texts):
            return None
        if field.type in ("id", "reference"):
            texts = [found for text in texts if (found := canonical(text))]
        if field.name == "Id":
            return sorted(set(texts))
        return sorted({key for text in texts for key in self._scope.store.find(self._scope.sobject, field.name, text)})

    def bounds(self, condition: Condition | None, name: str = "systemmodstamp") -> tuple[str | None, str | None]:
        """The span of SystemModstamp, or of ids, outside of which nothing can match."""
        match condition:
            case Every(parts):
                each = [self.bounds(part, name) for part in parts]
                lows, highs = [low for low, _ in each if low], [high for _, high in each if high]
                return max(lows, default=None), min(highs, default=None)
            case Some(parts):
                each = [self.bounds(part, name) for part in parts]
                lows, highs = [low for low, _ in each], [high for _, high in each]
                low = None if None in lows else min(low for low in lows if low)
                return low, None if None in highs else max(high for high in highs if high)
            case Compare(FieldPath() as path, operator, Value(kind="datetime" | "string" as kind, value=text)):
                if [part.lower() for part in self._scope.plain(path)] != [name]:
                    return None, None
                edge = read_instant(text) if kind == "datetime" else canonical(text)
                low = edge if operator in (">", ">=", "=") else None
                return low, edge if operator in ("<", "<=", "=") else None
            case _:
                return None, None

    def stamp_span(self, condition: Condition | None) -> tuple[Entry, Entry] | None:
        """Where all of the condition is from when to when; None where it says more than that."""
        parts = condition.parts if isinstance(condition, Every) else () if condition is None else (condition,)
        low, high = ("", ""), ("~", "~")
        for part in parts:
            if not isinstance(part, Compare) or not isinstance(part.path, FieldPath):
                return None
            value = part.value
            if not isinstance(value, Value) or value.kind != "datetime" or self.bounds(part) == (None, None):
                return None
            moment = read_instant(value.value) or ""
            self.test(part)  # a mistake in it is still one
            if part.operator in (">", ">=", "="):
                low = max(low, (moment, "~" if part.operator == ">" else ""))
            if part.operator in ("<", "<=", "="):
                high = min(high, (moment, "" if part.operator == "<" else "~"))
        return low, high

    # -- the test itself -----------------------------------------------------------------------------------------

    def test(self, condition: Condition) -> Test:
        match condition:
            case Every(parts):
                return _all([self.test(part) for part in parts])
            case Some(parts):
                tests = [self.test(part) for part in parts]
                return lambda row: any(test(row) for test in tests)
            case Not(inner):
                test = self.test(inner)
                return lambda row: not test(row)
            case InList(path, values, negated):
                return self._listed(path, values, negated=negated)
            case SemiJoin(path, inner, negated):
                column = self._filterable(path)
                ids, get = self._semi_joins.ids(self._scope, path, column.field, inner), column.get
                return lambda row: (get(row) in ids) is not negated
            case Compare(path, "LIKE", value):
                column = self._filterable(path)
                if column.field.type not in TEXT or column.field.type == "multipicklist":
                    raise self._wrong_operator(path, column.field)
                pattern, get = _like(value.value), column.get
                return lambda row: (text := get(row)) is not None and pattern.fullmatch(text) is not None
            case Compare(path, ("INCLUDES" | "EXCLUDES") as operator, values):
                return self._includes(path, values, negated=operator == "EXCLUDES")
            case Compare(path, operator, value):
                return self._compare(path, self._filterable(path), operator, value)

    def _listed(self, path: Expression, values: Sequence[Value], *, negated: bool) -> Test:
        column = self._filterable(path)
        spans = [self._span(path, column.field, value) for value in values if value.kind != "money"]
        key = column.key
        if len(spans) == len(values) and all(low == high for low, high in spans):
            wanted = {low for low, _ in spans}
            return lambda row: (key(row) in wanted) is not negated
        tests = [self._compare(path, column, "=", value) for value in values]
        return lambda row: any(test(row) for test in tests) is not negated

    def _includes(self, path: Expression, values: Sequence[Value], *, negated: bool) -> Test:
        """§2.3: `INCLUDES ('A;B','C')` is A and B, or C."""
        column = self._filterable(path)
        if column.field.type != "multipicklist":
            raise self._wrong_operator(path, column.field)
        wrong = next((value for value in values if value.kind != "string"), None)
        if wrong is not None:
            raise self._mistyped(path, "string", "")
        wanted = [set(chosen(value.value) or ()) for value in values]
        key = column.key
        return lambda row: any(want.issubset(key(row) or ()) for want in wanted) is not negated

    def _filterable(self, path: Expression) -> Column:
        column = self._resolve(path)
        if not column.field.filterable or column.field.type == "address":
            raise self._invalid(path, f"field '{_name(path)}' can not be filtered in a query call")
        if isinstance(path, Function) and path.name in ("CONVERTCURRENCY", "FORMAT"):
            raise self._malformed(path, f"unexpected token: '{path.name}'")  # for SELECT alone (§5.4)
        return column

    def _compare(self, path: Expression, column: Column, operator: str, value: Value) -> Test:
        if column.field.type in ("boolean", "multipicklist") and operator not in ("=", "!="):
            raise self._wrong_operator(path, column.field)
        if value.kind == "money":
            column, low = self._money(path, column, value)
            high = low
        else:
            low, high = self._span(path, column.field, value)
        key = column.key
        if low is None:
            if operator not in ("=", "!="):
                raise self._wrong_operator(path, column.field)
            return (lambda row: key(row) is None) if operator == "=" else (lambda row: key(row) is not None)
        if low == high:
            return _plain(key, operator, low)
        return _within(key, operator, low, high)

    def _money(self, path: Expression, column: Column, value: Value) -> tuple[Column, Decimal]:
        """§5.4: `Amount > USD5000` compares in the company's currency; with one currency there is no such thing."""
        org, (iso, amount) = self._scope.store.shape.org, value.value
        if not org.multi_currency:
            raise self._malformed(path, f"unexpected token: '{value.raw}'")
        if column.field.type != "currency":
            raise self._wrong_operator(path, column.field)
        rate = currency.rate(org, iso)
        if rate is None:
            raise self._invalid(path, f"Invalid currency code: {iso}", "INVALID_CURRENCY_ISO")  # §5.4
        get, holder = column.get, column.holder

        def corporate(row: Row) -> Any:
            found, where = get(row), holder(row)
            return None if found is None or where is None else currency.corporate(org, found, where)

        return Column(field=column.field, get=corporate, holder=holder), amount / rate

    def _span(self, path: Expression, field: Field, value: Value) -> tuple[Any, Any]:
        """A literal as the smallest and greatest value that equals it: a day is a span of a datetime field."""
        if value.kind == "null":
            return None, None
        if value.kind == "money":
            raise self._wrong_operator(path, field)
        if field.type in ("id", "reference"):
            if value.kind != "string":
                raise self._mistyped(path, "ID", "")
            found = canonical(value.value)
            if found is None and has_form(value.value):  # a recorded org: an id with a wrong suffix is nobody's
                return value.value, value.value
            if found is None and value.value:
                raise self._invalid(path, f"invalid ID field: {value.value}", "INVALID_QUERY_FILTER_OPERATOR")
            return found, found
        if field.type in ("date", "datetime"):
            return self._moment(path, field, value)
        if field.type == "boolean":
            if value.kind != "boolean":
                raise self._mistyped(path, "boolean", "not ")
            return value.value, value.value
        if field.type in NUMBER or field.type == "int":
            if value.kind != "number":
                raise self._mistyped(path, "double" if field.type != "int" else "int", "not ")
            return value.value, value.value
        if value.kind != "string":
            raise self._mistyped(path, "string", "")
        if not value.value:  # the empty text is null
            return None, None
        if field.type == "multipicklist":
            return chosen(value.value), chosen(value.value)
        text = value.value if field.case_sensitive else fold(value.value)
        return text, text

    def _moment(self, path: Expression, field: Field, value: Value) -> tuple[str, str]:
        kind = "date" if field.type == "date" else "dateTime"
        if value.kind == "relative" and isinstance(value.value, DateLiteral):
            org = self._scope.store.shape.org
            today = self._scope.asking.now.astimezone(org.zone).date()
            days = dates.span(value.value, today, org.fiscal_year_start_month)
            if days is None:
                raise self._malformed(path, f"unexpected token: '{value.raw}'")
            if field.type == "date":
                return days[0].isoformat(), dates.add_days(days[1], -1).isoformat()
            end = instant(dates.midnight(days[1], org.zone)) - timedelta(seconds=1)
            return dates.midnight(days[0], org.zone), stamp(end)
        # §2.3: a date field wants a date, a datetime field a datetime.
        if value.kind != kind.lower():
            raise self._mistyped(path, kind, "not ")
        found = read_date(value.value) if field.type == "date" else read_instant(value.value)
        if found is None or not str(dates.FIRST_DAY) <= found <= f"{dates.LAST_DAY}T~":  # §2.3: 1700 to 4000
            raise self._malformed(path, f"Invalid {kind.lower()}: {value.value}")
        return found, found

    # -- refusals ------------------------------------------------------------------------------------------------

    def _mistyped(self, path: Expression, kind: str, quotes: str) -> SfError:
        message = f"value of filter criterion for field '{_name(path)}' must be of type {kind} and should "
        return self._invalid(path, f"{message}{quotes}be enclosed in quotes")

    def _wrong_operator(self, path: Expression, field: Field) -> SfError:
        """§2.3: an operator that the field's type has not; the code is (unverified) for some types."""
        return self._invalid(path, f"invalid operator on {field.type} field", "INVALID_QUERY_FILTER_OPERATOR")

    def _invalid(self, path: Expression, message: str, code: str = "INVALID_FIELD") -> SfError:
        return at_spot(self._scope.query.text, path.at, message, code)

    def _malformed(self, path: Expression, message: str) -> SfError:
        return malformed(self._scope.query.text, path.at, message)


def _name(path: Expression) -> str:
    return path.parts[-1] if isinstance(path, FieldPath) else str(path)


def _all(tests: list[Test]) -> Test:
    if len(tests) == 2:
        first, second = tests
        return lambda row: first(row) and second(row)
    return lambda row: all(test(row) for test in tests)


def _plain(key: Callable[[Row], Any], operator: str, value: Any) -> Test:
    """Against one value; null is unequal to it (§2.3), and neither smaller nor greater."""
    match operator:
        case "=":
            return lambda row: key(row) == value
        case "!=":
            return lambda row: key(row) != value
        case "<":
            return lambda row: (found := key(row)) is not None and found < value
        case "<=":
            return lambda row: (found := key(row)) is not None and found <= value
        case ">":
            return lambda row: (found := key(row)) is not None and found > value
        case _:
            return lambda row: (found := key(row)) is not None and found >= value


def _within(key: Callable[[Row], Any], operator: str, low: Any, high: Any) -> Test:
    """Against a span: smaller is before it, greater is behind it."""
    match operator:
        case "=":
            return lambda row: (found := key(row)) is not None and low <= found <= high
        case "!=":
            return lambda row: (found := key(row)) is None or not low <= found <= high
        case "<":
            return lambda row: (found := key(row)) is not None and found < low
        case "<=":
            return lambda row: (found := key(row)) is not None and found <= high
        case ">":
            return lambda row: (found := key(row)) is not None and found > high
        case _:
            return lambda row: (found := key(row)) is not None and found >= low


def _like(pattern: str) -> re.Pattern[str]:
    """LIKE: % any run, _ any one character, both escapable, case ignored (§2.3)."""
    parts: list[str] = []
    chars = iter(pattern)
    for char in chars:
        if char == "\\":
            parts.append(re.escape(next(chars, "\\")))
        elif char != "%":
            parts.append("." if char == "_" else re.escape(char))
        elif not parts or parts[-1] != ".*":  # %% is %; a pattern of many runs must not take for ever
            parts.append(".*")
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL)

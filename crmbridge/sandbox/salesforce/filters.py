"""WHERE as functions of a row, and what an index can spare of it (salesforce-api §2.3)."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce import dates
from crmbridge.sandbox.salesforce.columns import Column, Scope
from crmbridge.sandbox.salesforce.errors import SfError
from crmbridge.sandbox.salesforce.ids import canonical
from crmbridge.sandbox.salesforce.schema import NUMBER, TEXT, Field
from crmbridge.sandbox.salesforce.soql import (
    Compare,
    Condition,
    DateLiteral,
    Every,
    FieldPath,
    InList,
    Not,
    Query,
    SemiJoin,
    Some,
    Value,
    at_spot,
    malformed,
)
from crmbridge.sandbox.salesforce.store import fold
from crmbridge.sandbox.salesforce.values import instant, read_date, read_instant, stamp

Test = Callable[[Row], bool]
Inner = Callable[[Query], set[Any]]  # what a semi-join's query selects


class Filters:
    """The conditions of one query, at one moment."""

    def __init__(self, scope: Scope, now: datetime, inner: Inner) -> None:
        self._scope = scope
        self._now = now
        self._inner = inner

    def narrow(self, condition: Condition) -> list[str] | None:
        """Ids among which every match must be, in order; None where no index helps."""
        match condition:
            case Every(parts):
                found = [ids for part in parts if (ids := self.narrow(part)) is not None]
                return min(found, key=len) if found else None
            case Some(parts):
                each = [self.narrow(part) for part in parts]
                return None if any(ids is None for ids in each) else sorted({key for ids in each if ids for key in ids})
            case Compare(path, "=", Value(value=str() as text)):
                return self._look_up(path, [text])
            case InList(path, values, False) if all(value.kind == "string" for value in values):
                return self._look_up(path, [value.value for value in values])
            case _:
                return None

    def _look_up(self, path: FieldPath, texts: Sequence[str]) -> list[str] | None:
        field = self._scope.column(path).field if len(self._scope.plain(path)) == 1 else None
        if field is None or not (field.name == "Id" or field.indexed) or not all(texts):
            return None
        if field.type in ("id", "reference"):
            texts = [found for text in texts if (found := canonical(text))]
        if field.name == "Id":
            return sorted(set(texts))
        return sorted({key for text in texts for key in self._scope.store.find(self._scope.sobject, field.name, text)})

    def bounds(self, condition: Condition | None) -> tuple[str | None, str | None]:
        """The span of SystemModstamp outside of which nothing can match."""
        match condition:
            case Every(parts):
                each = [self.bounds(part) for part in parts]
                lows, highs = [low for low, _ in each if low], [high for _, high in each if high]
                return max(lows, default=None), min(highs, default=None)
            case Some(parts):
                each = [self.bounds(part) for part in parts]
                lows, highs = [low for low, _ in each], [high for _, high in each]
                low = None if None in lows else min(low for low in lows if low)
                return low, None if None in highs else max(high for high in highs if high)
            case Compare(path, operator, Value(kind="datetime", value=text)):
                if [part.lower() for part in self._scope.plain(path)] != ["systemmodstamp"]:
                    return None, None
                moment = read_instant(text)
                low = moment if operator in (">", ">=", "=") else None
                return low, moment if operator in ("<", "<=", "=") else None
            case _:
                return None, None

    def test(self, condition: Condition) -> Test:
        match condition:
            case Every(parts):
                tests = [self.test(part) for part in parts]
                return lambda row: all(test(row) for test in tests)
            case Some(parts):
                tests = [self.test(part) for part in parts]
                return lambda row: any(test(row) for test in tests)
            case Not(inner):
                test = self.test(inner)
                return lambda row: not test(row)
            case InList(path, values, negated):
                column = self._filterable(path)
                spans = [self._span(path, column.field, value) for value in values]
                key = column.key
                if all(low == high for low, high in spans):
                    wanted = {low for low, _ in spans}
                    return lambda row: (key(row) in wanted) is not negated
                tests = [self._compare(path, column, "=", value) for value in values]
                return lambda row: any(test(row) for test in tests) is not negated
            case SemiJoin(path, inner, negated):
                return self._semi_join(path, inner, negated=negated)
            case Compare(path, "LIKE", value):
                column = self._filterable(path)
                if column.field.type not in TEXT:
                    raise self._invalid(path, f"invalid operator on {column.field.type} field")
                pattern, get = _like(value.value), column.get
                return lambda row: (text := get(row)) is not None and pattern.fullmatch(text) is not None
            case Compare(path, ("INCLUDES" | "EXCLUDES") as operator, values):
                column = self._filterable(path)
                wanted = [{part.casefold() for part in value.value.split(";")} for value in values]
                get, negated = column.get, operator == "EXCLUDES"

                def includes(row: Row) -> bool:
                    chosen = set((get(row) or "").casefold().split(";"))
                    return any(want <= chosen for want in wanted) is not negated

                return includes
            case Compare(path, operator, value):
                return self._compare(path, self._filterable(path), operator, value)

    def _filterable(self, path: FieldPath) -> Column:
        column = self._scope.column(path)
        if not column.field.filterable or column.field.type == "address":
            raise self._invalid(path, f"field '{path.parts[-1]}' can not be filtered in a query call")
        return column

    def _compare(self, path: FieldPath, column: Column, operator: str, value: Value) -> Test:
        low, high = self._span(path, column.field, value)
        key = column.key
        if low is None:
            if operator not in ("=", "!="):
                raise self._invalid(path, f"invalid operator on {column.field.type} field")
            return (lambda row: key(row) is None) if operator == "=" else (lambda row: key(row) is not None)

        def known(test: Callable[[Any], bool], null: bool) -> Test:
            return lambda row: null if (found := key(row)) is None else test(found)

        match operator:
            case "=":
                return known(lambda found: low <= found <= high, null=False)
            case "!=":  # §2.3: also the rows where the field is null
                return known(lambda found: not low <= found <= high, null=True)
            case "<":
                return known(lambda found: found < low, null=False)
            case "<=":
                return known(lambda found: found <= high, null=False)
            case ">":
                return known(lambda found: found > high, null=False)
            case _:
                return known(lambda found: found >= low, null=False)

    def _span(self, path: FieldPath, field: Field, value: Value) -> tuple[Any, Any]:
        """A literal as the smallest and greatest value that equals it: a day is a span of a datetime field."""

        def mistyped(kind: str, quotes: str) -> SfError:
            message = f"value of filter criterion for field '{path.parts[-1]}' must be of type {kind} and should "
            return self._invalid(path, f"{message}{quotes}be enclosed in quotes")

        if value.kind == "null":
            return None, None
        if value.kind == "money":
            raise self._invalid(path, "This sandbox does not serve currency literals; a real org does.")
        if field.type in ("id", "reference"):
            if value.kind != "string":
                raise mistyped("ID", "")
            found = canonical(value.value)
            if found is None and value.value:
                raise self._invalid(path, f"invalid ID field: {value.value}", "INVALID_QUERY_FILTER_OPERATOR")
            return found, found
        if field.type in ("date", "datetime"):
            return self._moment(path, field, value, mistyped)
        if field.type == "boolean":
            if value.kind != "boolean":
                raise mistyped("boolean", "not ")
            return value.value, value.value
        if field.type in NUMBER or field.type == "int":
            if value.kind != "number":
                raise mistyped("double" if field.type != "int" else "int", "not ")
            return value.value, value.value
        if value.kind != "string":
            raise mistyped("string", "")
        if not value.value:  # the empty text is null
            return None, None
        text = value.value if field.case_sensitive else fold(value.value)
        return text, text

    def _moment(
        self, path: FieldPath, field: Field, value: Value, mistyped: Callable[[str, str], SfError]
    ) -> tuple[str, str]:
        kind = "date" if field.type == "date" else "dateTime"
        if value.kind == "relative" and isinstance(value.value, DateLiteral):
            zone = self._scope.store.shape.org.zone
            days = dates.span(value.value, self._now.astimezone(zone).date())
            if days is None:
                raise self._malformed(path, f"unexpected token: '{value.raw}'")
            start, last = days[0], days[1] - timedelta(days=1)
            if field.type == "date":
                return start.isoformat(), last.isoformat()
            end = instant(dates.midnight(days[1], zone)) - timedelta(seconds=1)
            return dates.midnight(start, zone), stamp(end)
        # §2.3: a date field wants a date, a datetime field a datetime.
        if value.kind != kind.lower():
            raise mistyped(kind, "not ")
        found = read_date(value.value) if field.type == "date" else read_instant(value.value)
        if found is None:
            raise self._malformed(path, f"line 1:{path.at} no viable alternative at character '{value.value[0]}'")
        return found, found

    def _semi_join(self, path: FieldPath, inner: Query, *, negated: bool) -> Test:
        """§2.3: one id or reference column of another object."""
        column = self._filterable(path)
        if self._scope.store.shape.object(inner.source) is self._scope.sobject:
            raise self._malformed(path, "The inner and outer selects should not be on the same object type")
        if len(inner.items) != 1 or inner.order or inner.limit is not None:
            raise self._malformed(path, "semi join sub-selects select one field, without ORDER BY or LIMIT")
        if column.field.type not in ("id", "reference"):
            raise self._malformed(path, f"semi join needs an id or reference field, not {path}")
        ids, get = self._inner(inner), column.get
        return lambda row: (get(row) in ids) is not negated

    def _invalid(self, path: FieldPath, message: str, code: str = "INVALID_FIELD") -> SfError:
        return at_spot(self._scope.query.text, path.at, message, code)

    def _malformed(self, path: FieldPath, message: str) -> SfError:
        return malformed(self._scope.query.text, path.at, message)


def _like(pattern: str) -> re.Pattern[str]:
    """LIKE: % any run, _ any one character, both escapable, case ignored (§2.3)."""
    parts: list[str] = []
    chars = iter(pattern)
    for char in chars:
        if char == "\\":
            parts.append(re.escape(next(chars, "\\")))
        else:
            parts.append({"%": ".*", "_": "."}.get(char) or re.escape(char))
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL)

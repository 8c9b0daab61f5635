"""COUNT, SUM and the like, GROUP BY with ROLLUP and CUBE, HAVING (salesforce-api §2.1).

The groups are rows again: HAVING and ORDER BY look at them through columns as they do at an object's rows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import combinations
from typing import Any, Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce import currency
from crmbridge.sandbox.salesforce.columns import Column, Scope, derived
from crmbridge.sandbox.salesforce.errors import SfError, refuse
from crmbridge.sandbox.salesforce.functions import (
    AGGREGATES,
    DATE_FUNCTIONS,
    SHOWING,
    apply,
    argument,
    innermost,
    resolve,
)
from crmbridge.sandbox.salesforce.schema import NUMBER
from crmbridge.sandbox.salesforce.soql import at_spot, malformed
from crmbridge.sandbox.salesforce.soql_tree import Expression, FieldPath, Function, Query, Selected
from crmbridge.sandbox.salesforce.values import number

GROUPS_MAX: Final = 2000  # §2.1
GROUPED_FIELDS_MAX: Final = {"ROLLUP": 3, "CUBE": 3}
_TOTAL: Final = object()  # in a subtotal's key, where a field is summed over

Group = dict[str, Any]
Fold = Callable[[Sequence[Row]], Any]


def aggregated(query: Query) -> bool:
    """Whether a query answers groups, not rows."""
    return bool(query.group or query.having) or any(
        isinstance(item, Selected) and isinstance(item.expression, Function) and _folds(item.expression)
        for item in query.items
    )


def counts_alone(query: Query) -> bool:
    """`SELECT COUNT() FROM ...`: a number, no rows."""
    return len(query.items) == 1 and _is_plain_count(query.items[0])


def _is_plain_count(item: Any) -> bool:
    return (
        isinstance(item, Selected)
        and isinstance(item.expression, Function)
        and (item.expression.name == "COUNT" and not item.expression.args)
    )


def _folds(call: Function) -> bool:
    inner: Expression | None = call
    while isinstance(inner, Function):
        if inner.name in AGGREGATES or inner.name == "GROUPING":
            return True
        inner = inner.inner
    return False


class Groups:
    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._text = scope.query.text
        self._expressions, kind = self._listed()
        self._keys = [self._groupable(each) for each in self._expressions]
        self._names = {self._name(each): place for place, each in enumerate(self._expressions)}
        self._levels = _levels(len(self._keys), kind)
        self._folds: dict[str, Fold] = {}
        self._by_alias: dict[str, Column] = {}

    # -- what is grouped by --------------------------------------------------------------------------------------

    def _listed(self) -> tuple[tuple[Expression, ...], str]:
        group = self._scope.query.group
        first = group[0] if group else None
        if not isinstance(first, Function) or first.name not in GROUPED_FIELDS_MAX:
            return group, ""
        inner = tuple(arg for arg in first.args if isinstance(arg, FieldPath | Function))
        most = GROUPED_FIELDS_MAX[first.name]
        if len(group) > 1 or not inner or len(inner) != len(first.args):
            raise malformed(self._text, first.at, f"unexpected token: '{first.name}'")
        if len(inner) > most:  # the words are (unverified)
            raise malformed(self._text, first.at, f"GROUP BY {first.name} takes at most {most} fields")
        return inner, first.name

    def _groupable(self, expression: Expression) -> Column:
        """§2.3; the code of the refusal is that of a syntax error."""
        column = resolve(self._scope, expression)
        if isinstance(expression, Function):
            if expression.name not in DATE_FUNCTIONS:
                raise malformed(self._text, expression.at, f"unexpected token: '{expression.name}'")
        elif not column.field.groupable:
            message = f"field '{expression.parts[-1]}' can not be grouped in a query call"
            raise malformed(self._text, expression.at, message)
        return column

    def _name(self, expression: Expression) -> str:
        """One text for the same expression, however it is written."""
        if isinstance(expression, FieldPath):
            return ".".join(self._scope.plain(expression)).lower()
        args = ", ".join(
            self._name(arg) if isinstance(arg, FieldPath | Function) else arg.raw for arg in expression.args
        )
        return f"{expression.name}({args})".lower()

    # -- columns of a group --------------------------------------------------------------------------------------

    def column(self, expression: Expression) -> Column:
        """A grouped field, an aggregate, or an alias in HAVING and ORDER BY, as a column of the groups."""
        name = self._name(expression)
        place = self._names.get(name)
        if place is not None:
            return replace(self._keys[place], get=lambda group: group[name], own=False, holder=lambda group: group)
        if isinstance(expression, FieldPath):
            found = self._by_alias.get(str(expression).lower())
            if found is not None:
                return found
            return self._through_date(expression, name)
        if expression.name == "GROUPING":
            return self._grouping(expression)
        if expression.name in AGGREGATES:
            return self._aggregate(expression, name)
        if not _folds(expression):
            return self._through_date(expression, name)
        return apply(self._scope, expression, self.column(argument(self._scope, expression)))  # FORMAT(MIN(CloseDate))

    def _through_date(self, expression: Expression, name: str) -> Column:
        """§2.3: a date function of a date that is grouped by is known in each group; anything else is not."""
        resolve(self._scope, expression)  # an unknown field is told first
        if isinstance(expression, Function) and isinstance(path := expression.inner, FieldPath):
            place = self._names.get(self._name(path))
            if place is not None and (self._keys[place].field.type == "date" or expression.name in SHOWING):
                return apply(self._scope, expression, self.column(path))
        raise malformed(self._text, expression.at, f"Field must be grouped or aggregated: {expression}")

    def _grouping(self, call: Function) -> Column:
        """1 where a row is the total over this field."""
        inner = call.inner
        name = self._name(inner) if inner is not None else ""
        if name not in self._names or len(call.args) != 1:
            raise malformed(self._text, call.at, f"GROUPING needs a field of the GROUP BY: {call}")
        mark = f"grouping({name})"
        return Column(field=derived(str(call), "int"), get=lambda group: group[mark])

    def _aggregate(self, call: Function, name: str) -> Column:
        inner = call.inner
        shows = isinstance(inner, Function) and inner.name not in DATE_FUNCTIONS
        if inner is None or len(call.args) != 1 or shows:  # §2.1: COUNT() stands alone
            raise malformed(self._text, call.at, f"unexpected token: '{call.name}'")
        column = resolve(self._scope, inner)
        kind = column.field.type
        countable = column.field.aggregatable and kind not in ("boolean", "multipicklist", "address", "encryptedstring")
        summable = kind in NUMBER or kind == "int"
        if (
            not countable
            or (call.name in ("SUM", "AVG") and not summable)
            or (call.name in ("MIN", "MAX") and kind == "id")
        ):
            message = f"field {innermost(inner)} does not support aggregate operator {call.name}"
            raise malformed(self._text, call.at, message)
        org = self._scope.store.shape.org
        if kind == "currency" and org.multi_currency:  # §5.4: what is summed up is in the company's currency
            own, holder = column.get, column.holder

            def corporate(row: Row) -> Any:
                amount, where = own(row), holder(row)
                if amount is None or where is None:
                    return None
                return currency.converted(org, amount, where, org.currency, column.field.scale)

            column = replace(column, get=corporate)
        self._folds[name] = _folded(call.name, column)
        field = column.field
        if call.name in ("COUNT", "COUNT_DISTINCT"):
            field = derived(str(call), "int")
        elif call.name in ("SUM", "AVG"):
            field = derived(str(call), "double") if kind != "currency" else column.field
        return Column(field=field, get=lambda group: group[name], holder=lambda group: group)

    # -- what is shown -------------------------------------------------------------------------------------------

    def shown(self) -> list[tuple[str, Column]]:
        """Names and columns of the answer; those without a name are expr0, expr1 (§2.1)."""
        found: dict[str, Column] = {}
        unnamed = 0
        for item in self._scope.query.items:
            if not isinstance(item, Selected):
                message = "Grouped queries select fields and aggregates, no subqueries and no TYPEOF"
                raise malformed(self._text, item.source_at if isinstance(item, Query) else item.at, message)
            column = self.column(item.expression)
            name = item.alias
            if name is None and isinstance(item.expression, FieldPath):
                name = column.field.name
            if name is None:
                name, unnamed = f"expr{unnamed}", unnamed + 1
            if name.lower() in (each.lower() for each in found):
                raise malformed(self._text, item.at, f"duplicate alias: {name}")
            found[name] = column
            if item.alias:
                self._by_alias[item.alias.lower()] = column
        return list(found.items())

    def groups(self, rows: Sequence[Row]) -> Iterator[Group]:
        """Each group as a row: its keys, marks of subtotals, and everything that is folded."""
        names = list(self._names)
        for level in self._levels:
            buckets: dict[tuple[Any, ...], list[Row]] = {}
            keys = [column.key if place in level else _over for place, column in enumerate(self._keys)]
            if not self._keys:
                buckets[()] = list(rows)
            elif len(keys) == 1:
                key = keys[0]
                for row in rows:
                    buckets.setdefault((key(row),), []).append(row)
            else:
                for row in rows:
                    buckets.setdefault(tuple(key(row) for key in keys), []).append(row)
            for bucket in buckets.values():
                group: Group = {}
                for place, name in enumerate(names):
                    kept = place in level
                    group[name] = self._keys[place].get(bucket[0]) if kept else None
                    group[f"grouping({name})"] = 0 if kept else 1
                for name, fold in self._folds.items():
                    group[name] = fold(bucket)
                yield group


def too_many_groups() -> SfError:
    """§2.1: groups have no pages; the code is that of too many ids."""
    message = "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch"
    return refuse("EXCEEDED_ID_LIMIT", message)


def check_alone(query: Query) -> None:
    """§2.3: what may not stand beside an aggregate; the words are (unverified)."""
    first = query.items[0]
    at = first.source_at if isinstance(first, Query) else first.at
    if any(_is_plain_count(item) for item in query.items):
        if len(query.items) > 1 or query.group or query.having or query.order:
            raise malformed(query.text, at, "COUNT() stands alone, without other fields, GROUP BY, HAVING and ORDER BY")
        return
    if query.limit is not None and not query.group:
        raise at_spot(
            query.text,
            at,
            "Non-grouped query that uses overall aggregate functions cannot also use LIMIT",
            "MALFORMED_QUERY",
        )


def _over(_: Row) -> Any:
    return _TOTAL


def _levels(count: int, kind: str) -> tuple[frozenset[int], ...]:
    """All keys; with ROLLUP fewer and fewer from the right, with CUBE every choice of them."""
    everything = range(count)
    if kind == "ROLLUP":
        return tuple(frozenset(range(upto)) for upto in range(count, -1, -1))
    if kind == "CUBE":
        return tuple(frozenset(chosen) for size in range(count, -1, -1) for chosen in combinations(everything, size))
    return (frozenset(everything),)


def _folded(name: str, column: Column) -> Fold:
    """An aggregate of a group's rows; nulls do not count."""
    get, key, rank = column.get, column.key, column.rank

    def filled(rows: Sequence[Row]) -> list[Any]:
        return [value for row in rows if (value := get(row)) is not None]

    def edge(rows: Sequence[Row], pick: Callable[..., Row]) -> Any:
        known = [row for row in rows if get(row) is not None]
        return get(pick(known, key=rank)) if known else None

    match name:
        case "COUNT":
            return lambda rows: len(filled(rows))
        case "COUNT_DISTINCT":
            return lambda rows: len({key(row) for row in rows} - {None})
        case "SUM":
            return lambda rows: number(Decimal(sum(values))) if (values := filled(rows)) else None
        case "AVG":
            return lambda rows: _mean(values) if (values := filled(rows)) else None
        case "MIN":
            return lambda rows: edge(rows, min)
        case _:
            return lambda rows: edge(rows, max)


def _mean(values: Sequence[Any]) -> Decimal:
    """As a double tells it."""
    return number(Decimal(repr(float(Decimal(sum(values)) / len(values)))))

"""$filter: an OData expression compiled to a predicate over rows (dataverse-api §2.3-2.5).

Null never satisfies a comparison except `ne` (and `eq null`); text is compared without case.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from odata_query import ast
from odata_query.exceptions import ODataException
from odata_query.grammar import ODataLexer, ODataParser

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.dynamics.errors import bad_query, missing_property, not_served
from crmbridge.sandbox.dynamics.literals import literal_value, moment_of, pattern, text_array, text_value
from crmbridge.sandbox.dynamics.shape import Column, Table
from crmbridge.sandbox.dynamics.store import Store, fold
from crmbridge.sandbox.dynamics.values import EMPTY_GUID, stamp

Predicate = Callable[[Row], bool]
Getter = Callable[[Row], Any]


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What an expression may refer to besides the row."""

    store: Store
    now: datetime
    user: str
    business_unit: str = EMPTY_GUID
    aliases: Mapping[str, str] | None = None  # @p1 -> literal


@dataclass(frozen=True, kw_only=True)
class Filter:
    accepts: Predicate
    ids: Sequence[str] | None = None  # a superset of the matching ids where an index knows one


def compile_filter(text: str, table: Table, scope: Scope) -> Filter:
    return _Compiler(table, scope).filter(parse(text, scope.aliases or {}))


# Between quotes nothing is touched; arrays of query functions become text, parameter aliases their literal.
_PIECES = re.compile(r"'(?:[^']|'')*'|\[[^\]]*\]|@\w+")


def parse(text: str, aliases: Mapping[str, str]) -> Any:
    def replace(match: re.Match[str]) -> str:
        piece = match[0]
        if piece.startswith("["):
            return "'" + piece.replace("'", "''") + "'"
        if piece.startswith("@"):
            if piece not in aliases:
                raise bad_query(f"The parameter alias '{piece}' has no value in the request.")
            return aliases[piece]
        return piece

    prepared = _PIECES.sub(replace, text)
    try:
        return ODataParser().parse(ODataLexer().tokenize(prepared))
    except ODataException as error:
        raise bad_query(f"Syntax error in the expression '{text}': {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Operand:
    column: Column
    get: Getter
    table: Table
    direct: bool  # a column of the row itself, not of a related one


_COMPARE: Mapping[type, Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Lt: operator.lt, ast.LtE: operator.le,
}  # fmt: skip
_MIRROR: Mapping[type, type] = {ast.Gt: ast.Lt, ast.Lt: ast.Gt, ast.GtE: ast.LtE, ast.LtE: ast.GtE}


class _Compiler:
    def __init__(self, table: Table, scope: Scope, variable: str | None = None) -> None:
        self.table = table
        self.scope = scope
        self.store = scope.store
        self.variable = variable  # of any()/all(), naming a row of this table

    def filter(self, node: Any) -> Filter:
        match node:
            case ast.BoolOp():
                return self._boolean(node)
            case ast.UnaryOp(op=ast.Not()):
                inner = self.filter(node.operand).accepts
                return Filter(accepts=lambda row: not inner(row))
            case ast.Compare():
                return self._compare(node)
            case ast.Call():
                return self._call(node)
            case ast.CollectionLambda():
                return self._lambda(node)
            case ast.Identifier() | ast.Attribute():
                found = self._operand(node)
                if found.column.kind == "Boolean":
                    return Filter(accepts=lambda row: found.get(row) is True)
            case _:
                pass
        raise bad_query("The $filter expression must evaluate to a single boolean value.")

    def _boolean(self, node: ast.BoolOp) -> Filter:
        kind = type(node.op)
        parts: list[Filter] = []
        stack: list[Any] = [node]
        while stack:  # a chain of hundreds of `or` is one list, not a recursion
            each = stack.pop()
            if isinstance(each, ast.BoolOp) and type(each.op) is kind:
                stack.extend((each.right, each.left))
            else:
                parts.append(self.filter(each))
        tests = [part.accepts for part in parts]
        known = [part.ids for part in parts if part.ids is not None]
        if kind is ast.And:
            return Filter(
                accepts=lambda row: all(test(row) for test in tests),
                ids=min(known, key=len) if known else None,
            )
        return Filter(
            accepts=lambda row: any(test(row) for test in tests),
            ids=list(dict.fromkeys(key for ids in known for key in ids)) if len(known) == len(parts) else None,
        )

    # Operands

    def _operand(self, node: Any) -> _Operand:
        path: list[str] = []
        while isinstance(node, ast.Attribute):
            path.insert(0, node.attr)
            node = node.owner
        if not isinstance(node, ast.Identifier):
            raise not_served(f"the operand {type(node).__name__} in $filter")
        path.insert(0, ".".join((*node.namespace, node.name)))
        if self.variable is not None and path[0] == self.variable:
            path.pop(0)
        return resolve_path(path, self.table, self.store)

    def _compare(self, node: ast.Compare) -> Filter:
        kind, left, right = type(node.comparator), node.left, node.right
        if kind not in _COMPARE:
            raise not_served(f"the operator {kind.__name__.lower()} in $filter")
        if not isinstance(left, ast.Identifier | ast.Attribute):
            left, right, kind = right, left, _MIRROR.get(kind, kind)
        if not isinstance(left, ast.Identifier | ast.Attribute):
            raise not_served("a comparison without a column in $filter")
        operand = self._operand(left)
        if isinstance(right, ast.Identifier | ast.Attribute):
            return self._compare_columns(kind, operand, self._operand(right))
        if isinstance(right, ast.Null):
            if kind is ast.Eq:
                return Filter(accepts=lambda row: operand.get(row) is None)
            if kind is ast.NotEq:
                return Filter(accepts=lambda row: operand.get(row) is not None)
            return Filter(accepts=lambda _row: False)
        return self._compare_value(kind, operand, right)

    def _compare_columns(self, kind: type, left: _Operand, right: _Operand) -> Filter:
        compare, get, other = _COMPARE[kind], left.get, right.get

        def accepts(row: Row) -> bool:
            a, b = fold(get(row)), fold(other(row))
            if a is None or b is None:
                return kind is ast.NotEq and a is not b
            return compare(a, b)

        return Filter(accepts=accepts)

    def _compare_value(self, kind: type, operand: _Operand, literal: Any) -> Filter:
        value, fraction = literal_value(operand.column, literal)
        if fraction:  # rows have whole seconds: a literal between two seconds equals none of them
            if kind in (ast.Eq, ast.NotEq):
                wanted = kind is ast.NotEq
                return Filter(accepts=lambda _row: wanted)
            kind = {ast.GtE: ast.Gt, ast.Lt: ast.LtE}.get(kind, kind)
        get = operand.get
        text = operand.column.kind in {"String", "Memo"}
        value = fold(value) if text else value
        if kind is ast.NotEq:
            return Filter(accepts=lambda row: (fold(get(row)) if text else get(row)) != value)
        compare = _COMPARE[kind]

        def accepts(row: Row) -> bool:
            found = get(row)
            return found is not None and compare(found.casefold() if text else found, value)

        return Filter(accepts=accepts, ids=self._indexed(operand, [value]) if kind is ast.Eq else None)

    def _indexed(self, operand: _Operand, values: Iterable[Any]) -> Sequence[str] | None:
        if not operand.direct:
            return None
        column = operand.column
        if column.name == self.table.key:
            return [value for value in values if value in self.store.rows(self.table.name)]
        keyed = any(column.name in key.columns for key in self.table.keys)
        if not column.is_lookup and not keyed:
            return None
        return [key for value in values for key in self.store.find(self.table.name, column.name, value)]

    # Functions

    def _call(self, node: ast.Call) -> Filter:
        name = ".".join((*node.func.namespace, node.func.name))
        if name in {"contains", "startswith", "endswith"}:
            return self._text_function(name, node.args)
        prefix = "Microsoft.Dynamics.CRM."
        if not name.startswith(prefix):
            raise bad_query(f"An unknown function with name '{name}' was found.")
        return self._query_function(name.removeprefix(prefix), node.args)

    def _text_function(self, name: str, args: Sequence[Any]) -> Filter:
        if len(args) != 2 or not isinstance(args[1], ast.String):
            raise bad_query(
                f"No function signature for the function with name '{name}' matches the specified arguments."
            )
        operand = self._operand(args[0])
        if operand.column.kind not in {"String", "Memo"}:
            raise bad_query(
                f"No function signature for the function with name '{name}' matches the specified arguments. "
                f"The function signatures considered are: {name}(Edm.String Nullable=true, Edm.String Nullable=true)."
            )
        get, matches = operand.get, pattern(name, args[1].val)
        return Filter(accepts=lambda row: (found := get(row)) is not None and matches(found))

    def _query_function(self, name: str, args: Sequence[Any]) -> Filter:
        given = {arg.name.name: arg.param for arg in args if isinstance(arg, ast.NamedParam)}
        property_name = given.get("PropertyName")
        if not isinstance(property_name, ast.String):
            raise bad_query(f"The function 'Microsoft.Dynamics.CRM.{name}' needs the parameter 'PropertyName'.")
        path = property_name.val.split("/")
        column = self.table.columns.get(path[0])
        if column is not None:  # logical names of lookups are taken too (unverified)
            path[0] = column.wire
        operand = resolve_path(path, self.table, self.store)
        get = operand.get
        if name in {"In", "NotIn", "Between", "NotBetween"}:
            values = [text_value(operand.column, each) for each in text_array(given.get("PropertyValues"))]
            return self._set_function(name, operand, [fold(value) for value in values])
        if name in {"EqualUserId", "NotEqualUserId", "EqualBusinessId", "NotEqualBusinessId"}:
            own = self.scope.user if "User" in name else self.scope.business_unit
            wanted = not name.startswith("Not")
            return Filter(accepts=lambda row: (get(row) == own) is wanted)
        if operand.column.kind != "DateTime":
            raise bad_query(
                f"The function 'Microsoft.Dynamics.CRM.{name}' does not fit the column '{operand.column.name}'."
            )
        start, end = self._span(name, given)
        # half-open [start, end) over canonical text; DateOnly columns compare by day
        low = None if start is None else (start[:10] if operand.column.date_only else start)
        high = None if end is None else (end[:10] if operand.column.date_only else end)
        return Filter(
            accepts=lambda row: (
                (found := get(row)) is not None and (low is None or found >= low) and (high is None or found < high)
            )
        )

    def _set_function(self, name: str, operand: _Operand, values: list[Any]) -> Filter:
        get = operand.get
        if name in {"In", "NotIn"}:
            members = set(values)
            if name == "In":
                return Filter(accepts=lambda row: fold(get(row)) in members, ids=self._indexed(operand, members))
            return Filter(accepts=lambda row: fold(get(row)) not in members)
        if len(values) != 2:
            raise bad_query(f"The function 'Microsoft.Dynamics.CRM.{name}' needs two values.")
        low, high = values
        wanted = name == "Between"
        return Filter(accepts=lambda row: (found := fold(get(row))) is not None and (low <= found <= high) is wanted)

    def _span(self, name: str, given: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """The half-open time span of a date function, in UTC (the caller's zone; unverified for applications)."""
        now = self.scope.now.astimezone(UTC).replace(microsecond=0)
        today = now.replace(hour=0, minute=0, second=0)
        tomorrow = today + timedelta(days=1)
        until_now = stamp(now + timedelta(seconds=1))
        value = given.get("PropertyValue")
        if name in {"On", "OnOrAfter", "OnOrBefore"}:
            text = getattr(value, "val", None)
            if not isinstance(text, str):
                raise bad_query(f"The function 'Microsoft.Dynamics.CRM.{name}' needs the parameter 'PropertyValue'.")
            day = moment_of(text).replace(hour=0, minute=0, second=0, microsecond=0)
            after = stamp(day + timedelta(days=1))
            return (None if name == "OnOrBefore" else stamp(day), None if name == "OnOrAfter" else after)
        if name in _RELATIVE:
            unit, sign = _RELATIVE[name]
            if not isinstance(value, ast.Integer):
                raise bad_query(f"The function 'Microsoft.Dynamics.CRM.{name}' needs a number as 'PropertyValue'.")
            distance = unit * int(value.val)
            if sign == 0:  # older than
                return None, stamp(now - distance)
            if unit >= timedelta(days=1):
                return (stamp(today - distance), until_now) if sign < 0 else (stamp(now), stamp(tomorrow + distance))
            return (stamp(now - distance), until_now) if sign < 0 else (stamp(now), stamp(now + distance))
        month = today.replace(day=1)
        next_month = (month + timedelta(days=32)).replace(day=1)
        spans = {
            "Today": (today, tomorrow),
            "Yesterday": (today - timedelta(days=1), today),
            "Tomorrow": (tomorrow, tomorrow + timedelta(days=1)),
            "Last7Days": (today - timedelta(days=7), now + timedelta(seconds=1)),
            "Next7Days": (now, tomorrow + timedelta(days=7)),
            "ThisMonth": (month, next_month),
            "LastMonth": ((month - timedelta(days=1)).replace(day=1), month),
            "ThisYear": (month.replace(month=1), month.replace(month=1, year=month.year + 1)),
        }
        if name not in spans:
            raise not_served(f"the query function Microsoft.Dynamics.CRM.{name}")
        start, end = spans[name]
        return stamp(start), stamp(end)

    def _lambda(self, node: ast.CollectionLambda) -> Filter:
        owner = node.owner
        if not isinstance(owner, ast.Identifier):
            raise not_served("any/all over a path in $filter")
        referrer = self.store.shape.collection(self.table.name, owner.name)
        if referrer is None:
            raise missing_property(owner.name, self.table.name)
        related = self.store.shape.tables[referrer.table]
        store, key, column = self.store, self.table.key, referrer.column.name
        if node.lambda_ is None:
            return Filter(accepts=lambda row: bool(store.find(related.name, column, row[key])))
        inner = _Compiler(related, self.scope, node.lambda_.identifier.name).filter(node.lambda_.expression).accepts
        check = any if isinstance(node.operator, ast.Any) else all
        rows = store.rows(related.name)
        return Filter(
            accepts=lambda row: check(inner(rows[each]) for each in store.find(related.name, column, row[key]))
        )


_RELATIVE = {
    "LastXHours": (timedelta(hours=1), -1),
    "LastXDays": (timedelta(days=1), -1),
    "LastXWeeks": (timedelta(weeks=1), -1),
    "NextXHours": (timedelta(hours=1), 1),
    "NextXDays": (timedelta(days=1), 1),
    "NextXWeeks": (timedelta(weeks=1), 1),
    "OlderThanXMinutes": (timedelta(minutes=1), 0),
    "OlderThanXHours": (timedelta(hours=1), 0),
    "OlderThanXDays": (timedelta(days=1), 0),
    "OlderThanXWeeks": (timedelta(weeks=1), 0),
}


def resolve_path(path: Sequence[str], table: Table, store: Store) -> _Operand:
    """A column of the row, or of a row it points to (`parentaccountid/name`)."""
    steps: list[tuple[Column, str]] = []
    for name in path[:-1]:
        navigation = table.navigations.get(name)
        if navigation is None:
            raise missing_property(name, table.name)
        column, targets = navigation
        steps.append((column, targets[0].table))
        table = store.shape.tables[targets[0].table]
    column = table.by_wire.get(path[-1])
    if column is None:
        if path[-1] in table.navigations:
            raise bad_query(
                "A binary operator with incompatible types was detected. Found operand types "
                f"'Microsoft.Dynamics.CRM.{table.navigations[path[-1]][1][0].table}' and 'Edm.Guid' for operator "
                "kind 'Equal'."
            )
        raise missing_property(path[-1], table.name)
    name = column.name
    if not steps:
        return _Operand(column=column, get=lambda row: row.get(name), table=table, direct=True)

    def get(row: Row) -> Any:
        found: Row | None = row
        for step, target in steps:
            if step.polymorphic and found.get(step.type_key) != target:
                return None
            key = found.get(step.name)
            found = store.get(target, key) if key is not None else None
            if found is None:
                return None
        return found.get(name)

    return _Operand(column=column, get=get, table=table, direct=False)

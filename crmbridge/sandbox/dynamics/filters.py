"""$filter: an OData expression compiled to a predicate over rows (dataverse-api §2.3-2.5).

Null never satisfies a comparison except `ne` (and `eq null`); text is compared without case. `not` is the opposite of
what it stands before, so that nulls satisfy it too (unverified).
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from odata_query import ast
from odata_query.exceptions import ODataException
from odata_query.grammar import ODataLexer, ODataParser

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.dynamics.columns import Column
from crmbridge.sandbox.dynamics.conditions import ConditionError, Scope, condition
from crmbridge.sandbox.dynamics.errors import DataverseError, bad_query, missing_property
from crmbridge.sandbox.dynamics.literals import edm_type, literal_value, pattern, text_array, text_value
from crmbridge.sandbox.dynamics.query_functions import FUNCTIONS, Function
from crmbridge.sandbox.dynamics.store import Store, fold
from crmbridge.sandbox.dynamics.tables import Table

__all__ = ["Filter", "Operand", "Range", "Scope", "compile_filter", "parse", "resolve_path"]

Predicate = Callable[[Row], bool]
Getter = Callable[[Row], Any]
_DEPTH_MAX = 100  # of nesting; the real limit is unknown (unverified)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Bounds that every matching row keeps, both included; a superset of what matches."""

    column: str
    low: Any = None
    high: Any = None


@dataclass(frozen=True, kw_only=True)
class Filter:
    accepts: Predicate
    ids: Sequence[str] | None = None  # a superset of the matching ids where an index knows one
    ranges: tuple[Range, ...] = ()


def compile_filter(text: str, table: Table, scope: Scope) -> Filter:
    return _Compiler(table, scope).filter(parse(text, scope.aliases or {}))


# Between quotes nothing is touched; arrays of query functions become text, parameter aliases their literal.
_ARRAY = r"""\[(?:"(?:\\.|[^"\\])*"|'(?:[^'])*'|[^\]"'])*\]"""
_PIECES = re.compile(rf"'(?:[^']|'')*'|{_ARRAY}|@\w+")


def parse(text: str, aliases: Mapping[str, str]) -> Any:
    """dataverse-api §2.3, §2.4"""

    def replace(match: re.Match[str]) -> str:
        piece = match[0]
        if piece.startswith("["):
            return "'" + piece.replace("'", "''") + "'"
        if piece.startswith("@"):
            if piece not in aliases:
                raise bad_query(f"The parameter alias '{piece}' has no value in the request.")
            value = aliases[piece].strip()
            return "'" + value.replace("'", "''") + "'" if value.startswith("[") else value
        return piece

    return _parsed(_PIECES.sub(replace, text), text)


_PAIR = re.compile(r"PropertyValue1\s*=\s*(-?\d+)\s*,\s*PropertyValue2\s*=\s*(-?\d+)")
_QUOTED = re.compile(r"('(?:[^']|'')*')")


def _fitted(text: str) -> str:
    """What the parser does not take as it is: `not(`, `)and`, and a third named parameter."""
    pieces = _QUOTED.split(text)
    for number in range(0, len(pieces), 2):
        spaced = re.sub(r"\)(?=(?:and|or)\b)", ") ", re.sub(r"\bnot\(", "not (", pieces[number]))
        pieces[number] = _PAIR.sub(r"PropertyPair='\1,\2'", spaced)
    return "".join(pieces)


_VERSION_3 = re.compile(r"(?<![\w'])(?:guid|datetime)'(?:[^']|'')*'")


_WRONG_AT = re.compile(r"index=(\d+)")


def _syntax_error(error: Exception, text: str) -> DataverseError:
    """The service's words for what the parser found (dataverse-api §10.3)."""
    if (unknown := re.search(r"Unknown function: '([^']*)'", str(error))) is not None:
        return bad_query(f"An unknown function with name '{unknown[1]}' was found.")
    at = _WRONG_AT.search(str(error))
    return bad_query(f"Syntax error at position {at[1] if at else 0} in '{text}'.")


@lru_cache(maxsize=256)
def _parsed(prepared: str, text: str) -> Any:
    """dataverse-api §2.4, §10.3"""
    if prepared.replace("''", "").count("'") % 2:
        raise bad_query(f"There is an unterminated literal at position {text.rfind(chr(39))} in '{text}'.")
    if old := _VERSION_3.search(prepared):
        raise bad_query(f"Unrecognized 'Edm.String' literal {old[0]} at position {old.start()} in '{text}'.")
    try:
        found = ODataParser().parse(ODataLexer().tokenize(_fitted(prepared)))
    except (ODataException, AttributeError) as error:  # the parser trips over a third named parameter
        raise _syntax_error(error, text) from None
    except RecursionError:
        raise bad_query("The expression is nested too deeply.") from None  # text (unverified)
    if found is None:
        raise bad_query(f"Expression expected at position 0 in '{text}'.")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    column: Column
    get: Getter
    table: Table
    direct: bool  # a column of the row itself, not of a related one


_COMPARE: Mapping[type, Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Lt: operator.lt, ast.LtE: operator.le,
}  # fmt: skip
_MIRROR: Mapping[type, type] = {ast.Gt: ast.Lt, ast.Lt: ast.Gt, ast.GtE: ast.LtE, ast.LtE: ast.GtE}
_KINDS: Mapping[type, str] = {
    ast.Eq: "Equal", ast.NotEq: "NotEqual", ast.Gt: "GreaterThan", ast.GtE: "GreaterThanOrEqual",
    ast.Lt: "LessThan", ast.LtE: "LessThanOrEqual",
}  # fmt: skip
# What the parser knows and the service does not serve: dataverse-api §2.3; the texts' form is (unverified)
_NODES: Mapping[type, str] = {
    ast.Call: "SingleValueFunctionCall", ast.BinOp: "BinaryOperator", ast.UnaryOp: "UnaryOperator",
    ast.List: "Collection",
}  # fmt: skip
_NUMERIC = frozenset({"Edm.Int32", "Edm.Int64", "Edm.Decimal", "Edm.Double"})
_NAMESPACE = "Microsoft.Dynamics.CRM."


def _unsupported(node: Any) -> Exception:
    """dataverse-api §2.3"""
    return bad_query(f"The query node {_NODES.get(type(node), type(node).__name__)} is not supported.")


def _incompatible(left: str, right: str, kind: str) -> Exception:
    """dataverse-api §10.3"""
    return bad_query(
        f"A binary operator with incompatible types was detected. Found operand types '{left}' and '{right}' for "
        f"operator kind '{kind}'."
    )


def _names_a_query_function(node: Any) -> bool:
    stack = [node]
    while stack:
        each = stack.pop()
        if isinstance(each, ast.BoolOp):
            stack += (each.left, each.right)
        elif isinstance(each, ast.UnaryOp):
            stack.append(each.operand)
        elif isinstance(each, ast.Call) and each.func.namespace:
            return True
    return False


class _Compiler:
    def __init__(self, table: Table, scope: Scope, variable: str | None = None, depth: int = 0) -> None:
        self.table = table
        self.scope = scope
        self.store = scope.store
        self.variable = variable  # of any()/all(), naming a row of this table
        self.depth = depth

    def filter(self, node: Any) -> Filter:
        """dataverse-api §2.3"""
        self.depth += 1
        if self.depth > _DEPTH_MAX:
            raise bad_query("The node count limit of the query has been exceeded.")  # text (unverified)
        found = self._filter(node)
        self.depth -= 1
        return found

    def _filter(self, node: Any) -> Filter:
        """dataverse-api §2.3"""
        match node:
            case ast.BoolOp():
                return self._boolean(node)
            case ast.UnaryOp(op=ast.Not()):
                if _names_a_query_function(node.operand):  # a limitation that Microsoft documents, in its words
                    raise bad_query("Not operator along with the Custom Named Condition operators is not allowed")
                inner = self.filter(node.operand).accepts
                return Filter(accepts=lambda row: not inner(row))
            case ast.Compare():
                return self._compare(node)
            case ast.Call():
                return self._call(node)
            case ast.CollectionLambda():
                return self._lambda(node)
            case ast.Identifier() | ast.Attribute():
                get = self._operand(node)
                if get.column.kind == "Boolean":
                    value = get.get
                    return Filter(accepts=lambda row: value(row) is True)
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
                accepts=_every(tests),
                ids=min(known, key=len) if known else None,
                ranges=tuple(each for part in parts for each in part.ranges),
            )
        return Filter(
            accepts=lambda row: any(test(row) for test in tests),
            ids=list(dict.fromkeys(key for ids in known for key in ids)) if len(known) == len(parts) else None,
        )

    # Operands

    def _operand(self, node: Any) -> Operand:
        """dataverse-api §2.3"""
        path: list[str] = []
        while isinstance(node, ast.Attribute):
            path.insert(0, node.attr)
            node = node.owner
        if not isinstance(node, ast.Identifier):
            raise _unsupported(node)
        path.insert(0, ".".join((*node.namespace, node.name)))
        if self.variable is not None:
            if path[0] != self.variable or len(path) == 1:
                raise bad_query(f"Could not find a property named '{path[0]}' on the range variable '{self.variable}'.")
            path.pop(0)
        return resolve_path(path, self.table, self.store)

    def _compare(self, node: ast.Compare) -> Filter:
        kind, left, right = type(node.comparator), node.left, node.right
        if kind not in _COMPARE:
            raise bad_query(
                f"The query node {kind.__name__} is not supported."
            )  # dataverse-api §2.3; text (unverified)
        if not isinstance(left, ast.Identifier | ast.Attribute):
            left, right, kind = right, left, _MIRROR.get(kind, kind)
        if not isinstance(left, ast.Identifier | ast.Attribute):
            raise _unsupported(left if type(left) in _NODES else right)
        operand = self._operand(left)
        if isinstance(right, ast.Identifier | ast.Attribute):
            return self._compare_columns(kind, operand, self._operand(right))
        if isinstance(right, ast.Null):
            get = operand.get
            if kind is ast.Eq:
                return Filter(accepts=lambda row: get(row) is None)
            if kind is ast.NotEq:
                return Filter(accepts=lambda row: get(row) is not None)
            return Filter(accepts=lambda _row: False)
        if type(right) in _NODES:
            raise _unsupported(right)
        if operand.column.kind == "Boolean" and kind not in (ast.Eq, ast.NotEq):
            raise _incompatible("Edm.Boolean", "Edm.Boolean", _KINDS[kind])
        return self._compare_value(kind, operand, right)

    def _compare_columns(self, kind: type, left: Operand, right: Operand) -> Filter:
        types = edm_type(left.column), edm_type(right.column)
        if types[0] != types[1] and not set(types) <= _NUMERIC:
            raise _incompatible(*types, _KINDS[kind])
        if types[0] == "Edm.Boolean" and kind not in (ast.Eq, ast.NotEq):
            raise _incompatible(*types, _KINDS[kind])
        compare, get, other = _COMPARE[kind], left.get, right.get

        def accepts(row: Row) -> bool:
            a, b = fold(get(row)), fold(other(row))
            if a is None or b is None:
                return kind is ast.NotEq and a is not b
            return compare(a, b)

        return Filter(accepts=accepts)

    def _compare_value(self, kind: type, operand: Operand, literal: Any) -> Filter:
        value, fraction = literal_value(operand.column, literal, _KINDS[kind])
        if fraction:  # rows have whole seconds: a literal between two seconds equals none of them
            if kind in (ast.Eq, ast.NotEq):
                wanted = kind is ast.NotEq
                return Filter(accepts=lambda _row: wanted)
            kind = {ast.GtE: ast.Gt, ast.Lt: ast.LtE}.get(kind, kind)
        get = operand.get
        text = operand.column.kind in {"String", "Memo", "MultiSelectPicklist"}
        value = fold(value) if text else value
        if kind is ast.NotEq:
            return Filter(accepts=lambda row: (fold(get(row)) if text else get(row)) != value)
        compare, name = _COMPARE[kind], operand.column.name
        if text:
            accepts: Predicate = lambda row: (found := get(row)) is not None and compare(found.casefold(), value)  # noqa: E731
        elif operand.direct:  # the ordinary case, without a call in between
            accepts = lambda row: (found := row.get(name)) is not None and compare(found, value)  # noqa: E731
        else:
            accepts = lambda row: (found := get(row)) is not None and compare(found, value)  # noqa: E731
        low = value if kind in (ast.Eq, ast.Gt, ast.GtE) else None
        high = value if kind in (ast.Eq, ast.Lt, ast.LtE) else None
        return Filter(
            accepts=accepts,
            ids=self._indexed(operand, [value]) if kind is ast.Eq else None,
            ranges=(Range(column=name, low=low, high=high),) if operand.direct else (),
        )

    def _indexed(self, operand: Operand, values: Iterable[Any]) -> Sequence[str] | None:
        return indexed(self.table, operand.column, values, self.store) if operand.direct else None

    # Functions

    def _call(self, node: ast.Call) -> Filter:
        """dataverse-api §2.3, §2.5"""
        name = ".".join((*node.func.namespace, node.func.name))
        if name in {"contains", "startswith", "endswith"}:
            return self._text_function(name, node.args)
        if not name.startswith(_NAMESPACE):
            raise _unsupported(node)
        function = FUNCTIONS.get(name.removeprefix(_NAMESPACE))
        if function is None:
            raise bad_query(f"An unknown function with name '{name}' was found.")
        return self._query_function(name, function, node.args)

    def _text_function(self, name: str, args: Sequence[Any]) -> Filter:
        """dataverse-api §2.3"""
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

    def _query_function(self, name: str, function: Function, args: Sequence[Any]) -> Filter:
        """dataverse-api §2.5"""
        given = {arg.name.name: arg.param for arg in args if isinstance(arg, ast.NamedParam)}
        wanted = {"PropertyName", *_PARAMETERS[function.parameters]}
        property_name = given.get("PropertyName")
        if set(given) != wanted or len(given) != len(args) or not isinstance(property_name, ast.String):
            raise bad_query(
                f"The parameters of the function '{name}' are {', '.join(sorted(wanted))}; PropertyName is text."
            )
        path = property_name.val.split("/")
        if self.variable is not None and path[0] == self.variable:
            path.pop(0)
        if len(path) == 1 and (column := self.table.columns.get(path[0])) is not None:
            path[0] = column.wire  # logical names of lookups are taken too (unverified)
        operand = resolve_path(path or [""], self.table, self.store)
        values = self._arguments(name, function, given)
        try:
            test = condition(function.operator, operand.table, operand.column, values, self.scope)
        except ConditionError as error:
            raise bad_query(f"The function '{name}' cannot be used so: {error}.") from None  # text (unverified)
        get, ids = operand.get, None
        if function.operator == "in":
            ids = self._indexed(operand, [fold(text_value(operand.column, each)) for each in values])
        return Filter(accepts=lambda row: test(get(row)), ids=ids)

    def _arguments(self, name: str, function: Function, given: Mapping[str, Any]) -> list[Any]:
        """dataverse-api §2.5"""
        if function.parameters == "texts":
            return text_array(given["PropertyValues"])
        if function.parameters == "pair":
            return str(getattr(given["PropertyPair"], "val", "")).split(",")
        values = [given[each] for each in _PARAMETERS[function.parameters]]
        fits = _is_text if function.parameters == "text" else _is_number
        if not all(map(fits, values)):
            raise bad_query(f"The parameters of the function '{name}' have the wrong type.")
        return [each.val for each in values]

    # Collections

    def _lambda(self, node: ast.CollectionLambda) -> Filter:
        """dataverse-api §2.3: collections of the row, nested ones too, none behind a lookup."""
        owner = node.owner
        if (
            self.variable is not None
            and isinstance(owner, ast.Attribute)
            and owner.owner == ast.Identifier(self.variable)
        ):
            name = owner.attr
        elif isinstance(owner, ast.Identifier):
            name = owner.name
        else:
            raise bad_query("A collection behind a lookup cannot be used in $filter.")  # text (unverified)
        table, related = self.table, self._related(name)
        if node.lambda_ is None:
            if not isinstance(node.operator, ast.Any):
                raise bad_query("The 'all' operator needs an expression.")
            return Filter(accepts=lambda row: bool(related[1](row[table.key])))
        variable = node.lambda_.identifier.name
        inner = _Compiler(related[0], self.scope, variable, self.depth).filter(node.lambda_.expression).accepts
        check = any if isinstance(node.operator, ast.Any) else all
        find = related[1]
        rows = self.store.rows(related[0].name)
        return Filter(accepts=lambda row: check(inner(rows[each]) for each in find(row[table.key])))

    def _related(self, name: str) -> tuple[Table, Callable[[str], Sequence[str]]]:
        """The table behind a collection, and the keys of its rows by the key of one of ours."""
        store, shape, own = self.store, self.store.shape, self.table.name
        referrer = shape.collection(own, name)
        if referrer is not None:
            column = referrer.column.name
            return shape.tables[referrer.table], lambda key: store.find(referrer.table, column, key)
        association = shape.association(own, name)
        if association is None:
            raise missing_property(name, own)
        (_, here), (other, there) = association.sides(own)
        links = store.rows(association.table)
        return shape.tables[other], lambda key: [
            links[each][there] for each in store.find(association.table, here, key)
        ]


def _is_text(literal: Any) -> bool:
    return isinstance(literal, ast.String | ast.GUID)


def _is_number(literal: Any) -> bool:
    """In quotes too, as Microsoft's own samples send it (`@p2='1'`); without an alias that is (unverified)."""
    quoted = isinstance(literal, ast.String) and _DIGITS.fullmatch(literal.val) is not None
    return quoted or isinstance(literal, ast.Integer)


_DIGITS = re.compile(r"-?[0-9]+")


def indexed(table: Table, column: Column, values: Iterable[Any], store: Store) -> Sequence[str] | None:
    """Keys of the rows whose column has one of the values, where an index knows them."""
    values = dict.fromkeys(values)  # a value that is named twice finds its rows once
    if column.name == table.key:
        return [value for value in values if value in store.rows(table.name)]
    keyed = any(column.name in key.columns for key in store.keys[table.name])
    if not column.is_lookup and not keyed:
        return None
    return [key for value in values for key in store.find(table.name, column.name, value)]


_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "none": (), "text": ("PropertyValue",), "number": ("PropertyValue",), "texts": ("PropertyValues",),
    "pair": ("PropertyPair",),  # PropertyValue1 and PropertyValue2, see _fitted
}  # fmt: skip


def _every(tests: Sequence[Predicate]) -> Predicate:
    if len(tests) == 2:
        first, second = tests
        return lambda row: first(row) and second(row)
    return lambda row: all(test(row) for test in tests)


def resolve_path(path: Sequence[str], table: Table, store: Store) -> Operand:
    """A column of the row, or of a row it points to (`parentaccountid/name`): dataverse-api §2.3."""
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
        return Operand(column=column, get=lambda row: row.get(name), table=table, direct=True)

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

    return Operand(column=column, get=get, table=table, direct=False)

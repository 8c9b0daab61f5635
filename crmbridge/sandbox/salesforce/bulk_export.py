"""Queries in bulk: which ones are refused, and the flat table that a result is (salesforce-api §4.3)."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.aggregates import aggregated
from crmbridge.sandbox.salesforce.query import Engine
from crmbridge.sandbox.salesforce.schema import Field
from crmbridge.sandbox.salesforce.soql import parse
from crmbridge.sandbox.salesforce.soql_tree import Query
from crmbridge.sandbox.salesforce.store import Store

# Objects that the Bulk APIs leave out although queries serve them (an extract of what clients list: (unverified)).
UNSUPPORTED: Final = frozenset(
    {"AcceptedEventRelation", "CaseStatus", "ContractStatus", "EventWhoRelation", "RecentlyViewed", "TaskPriority"}
    | {"TaskStatus", "TaskWhoRelation", "UndecidedEventRelation", "DeclinedEventRelation"}
)
_QUOTED: Final = re.compile(r"'(?:\\.|[^'\\])*'")
_PLAIN: Final = 10_000_000  # from here on, and below a thousandth, numbers are told with an exponent (§4.2)


@dataclass(frozen=True, slots=True)
class Unsupported(Exception):
    """A query that runs elsewhere and not in bulk; each API has words of its own for it."""

    code: str  # as Bulk 1.0 spells it
    message: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """What a query shows as columns: their names as the org spells them, and a row's cells."""

    header: tuple[str, ...]
    cells: Callable[[Row], list[str]]
    record: Callable[[Row], dict[str, Any]]  # the same as REST shows it


def checked(store: Store, text: str, now: datetime, *, version: str, deleted: bool) -> Query:
    """The query, or why it is none for the Bulk API: `Unsupported`, or what every query is refused with (§2.4)."""
    query = parse(text)
    bare = _QUOTED.sub("''", text)
    if any(isinstance(item, Query) for item in query.items):
        raise Unsupported("FeatureNotEnabled", "Aggregate Relationships not supported in Bulk Query")
    for words, name in ((r"GROUP\s+BY", "GROUP BY"), (r"OFFSET\s+\d", "OFFSET"), (r"TYPEOF\s", "TYPEOF")):
        if re.search(rf"\b{words}", bare, re.IGNORECASE):  # §4.3; wording (unverified)
            raise Unsupported("FUNCTIONALITY_NOT_ENABLED", f"{name} not supported in Bulk Query")
    sobject = store.shape.object(query.source)
    if sobject is not None and sobject.name in UNSUPPORTED:
        raise Unsupported("InvalidEntity", f"Entity '{sobject.name}' is not supported by the Bulk API.")
    if aggregated(query):  # §4.3: no aggregate functions; wording (unverified)
        raise Unsupported("FUNCTIONALITY_NOT_ENABLED", "Aggregate functions not supported in Bulk Query")
    Engine(store, now, version=version, deleted=deleted).run(replace(query, limit=0))
    table(store, query, now, version=version)
    return query


def selected(store: Store, query: Query, now: datetime, *, version: str, deleted: bool) -> list[Row]:
    """The rows as they are now: a result stays what it was when the job ran."""
    found = Engine(store, now, version=version, deleted=deleted).run(query)
    rows = store.rows(found.sobject)
    return [rows[key] for key in found.ids]


def table(store: Store, query: Query, now: datetime, *, version: str) -> Table:
    """Columns in the order asked for (§4.3: since v50; before that by name)."""
    engine = Engine(store, now, version=version)
    project = engine.run(replace(query, limit=0)).project
    assert project is not None, "a query that was checked shows rows"
    columns: list[tuple[str, Callable[[Row], Any]]] = []
    for name, field, get in engine.columns(query):
        if field is not None:
            _whole(field)
        columns.append((name, get if field is None else _moment(field, get)))
    if float(version) < 50:
        columns.sort(key=lambda each: each[0].lower())
    getters = [get for _, get in columns]

    def cells(row: Row) -> list[str]:
        return [cell(get(row)) for get in getters]

    return Table(header=tuple(name for name, _ in columns), cells=cells, record=project)


def _whole(field: Field) -> None:
    """§4.3: the parts of an address are columns, the address is none."""
    if field.type in ("address", "location"):
        raise Unsupported("FUNCTIONALITY_NOT_ENABLED", "Selecting compound data not supported in Bulk Query")


def _moment(field: Field, get: Callable[[Row], Any]) -> Callable[[Row], Any]:
    if field.type != "datetime":
        return get

    def shown(row: Row) -> Any:
        value = get(row)
        return value.replace("+0000", "Z") if isinstance(value, str) else value  # §10

    return shown


def cell(value: Any) -> str:
    """Null is an empty cell, a large number has an exponent (§4.2, §4.3)."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return double(value)
    return str(value)


def double(value: Decimal) -> str:
    """§4.2: as Java tells a double: 50000.0, 12.5, 9.12260031E8."""
    if value == 0:
        return "0.0"
    sign, digits, exponent = value.normalize().as_tuple()
    assert isinstance(exponent, int), "no infinity is ever kept"
    text, minus = "".join(str(digit) for digit in digits), "-" if sign else ""
    power = len(text) - 1 + exponent
    if Decimal("0.001") <= abs(value) < _PLAIN:
        plain = f"{abs(value):f}"
        whole, _, part = plain.partition(".")
        return f"{minus}{whole}.{part.rstrip('0') or '0'}"
    return f"{minus}{text[0]}.{text[1:] or '0'}E{power}"

"""Running SOQL: only as many rows are looked at as needed (salesforce-api §2).

An equality on an id or an indexed field is a dictionary look-up; a range of SystemModstamp reads the sorted stamps; the
rest scans.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.columns import HINT, Column, Getter, Scope
from crmbridge.sandbox.salesforce.errors import refuse
from crmbridge.sandbox.salesforce.filters import Filters, Test
from crmbridge.sandbox.salesforce.projection import Project, Projection
from crmbridge.sandbox.salesforce.schema import SObject
from crmbridge.sandbox.salesforce.soql import Condition, FieldPath, Function, Ordering, Query, at_spot, malformed
from crmbridge.sandbox.salesforce.store import Store
from crmbridge.sandbox.salesforce.values import number, stamp

RECYCLE_BIN: Final = timedelta(days=15)  # §8.3
OFFSET_MAX: Final = 2000  # §2.3
GROUPS_MAX: Final = 2000  # §2.1
_PLAIN_FUNCTIONS: Final = ("TOLABEL", "FIELDS")  # all others aggregate


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a query selects: the ids of a snapshot and how to show a row, or finished aggregate rows."""

    sobject: SObject
    ids: tuple[str, ...] = ()
    project: Project | None = None
    finished: tuple[dict[str, Any], ...] | None = None  # aggregates: not pageable (§2.1)
    total: int


class Engine:
    """Queries one store at one moment; `deleted` is queryAll's view (§2.1)."""

    def __init__(self, store: Store, now: datetime, *, version: str = "59.0", deleted: bool = False) -> None:
        self._store = store
        self._now = now
        self._version = version
        self._deleted = deleted
        self._bin_opened = stamp(now - RECYCLE_BIN)

    def run(self, query: Query) -> Found:
        scope = self._scope(query)
        if query.offset > OFFSET_MAX:
            message = f"Maximum SOQL offset allowed is {OFFSET_MAX}"
            raise at_spot(query.text, query.source_at, message, "NUMBER_OUTSIDE_VALID_RANGE")
        if query.group or any(isinstance(item, Function) and item.name not in _PLAIN_FUNCTIONS for item in query.items):
            return self._aggregate(scope)
        project = Projection(scope, self._version, self._shown).compile()
        ids = tuple(row["Id"] for row in self._select(scope))
        return Found(sobject=scope.sobject, ids=ids, project=project, total=len(ids))

    def test(self, sobject: SObject, condition: Condition, text: str) -> Test:
        """A filter as a function of a row."""
        query = Query(text=text, items=(), source=sobject.name, source_at=0)
        return self._filters(Scope(store=self._store, sobject=sobject, query=query)).test(condition)

    def visible(self, row: Row) -> bool:
        """Deleted rows are there for queryAll alone, until the recycle bin is emptied (§8.3)."""
        if not row.get("IsDeleted"):
            return self._store.access is None or self._store.sees(row)
        there = self._deleted and row["SystemModstamp"] >= self._bin_opened and not row.get("_purged")
        return there and self._store.sees(row)

    def _scope(self, query: Query) -> Scope:
        sobject = self._store.shape.object(query.source)
        if sobject is None or not sobject.document.queryable:
            message = f"sObject type '{query.source}' is not supported. " + HINT.format(what="object", suffix="c")
            raise at_spot(query.text, query.source_at, message, "INVALID_TYPE")
        return Scope(store=self._store, sobject=sobject, query=query)

    def _filters(self, scope: Scope) -> Filters:
        return Filters(scope, self._now, self._values)

    # -- rows ----------------------------------------------------------------------------------------------------

    def _select(self, scope: Scope) -> list[Row]:
        query, filters = scope.query, self._filters(scope)
        test = filters.test(query.where) if query.where is not None else None
        orderings = [(scope.column(item.path), item) for item in query.order]
        for column, item in orderings:
            if not column.field.sortable:
                message = f"field '{item.path.parts[-1]}' can not be sorted in a query call"
                raise at_spot(query.text, item.path.at, message, "INVALID_FIELD")
        rows, in_order = self._candidates(scope, filters, orderings)
        chosen = (row for row in rows if self.visible(row) and (test is None or test(row)))
        wanted = None if query.limit is None else query.offset + query.limit
        if in_order or not orderings:
            return _take(chosen, wanted)[query.offset :]
        picked = list(chosen)
        for column, item in reversed(orderings):
            picked.sort(key=_sort_key(column.key, item), reverse=item.descending)
        return picked[query.offset : wanted]

    def _candidates(
        self, scope: Scope, filters: Filters, order: Sequence[tuple[Column, Ordering]]
    ) -> tuple[Iterable[Row], bool]:
        """As few rows as the filter's shape allows, and whether they come in the order asked for."""
        table, where = self._store.rows(scope.sobject), scope.query.where
        ids = filters.narrow(where) if where is not None else None
        if ids is not None:
            return [table[key] for key in ids if key in table], False
        low, high = filters.bounds(where)
        names = [column.field.name if column.own and not item.descending else "" for column, item in order]
        by_stamp = names in (["SystemModstamp"], ["SystemModstamp", "Id"])
        if low is not None or high is not None or by_stamp:
            return self._store.by_stamp(scope.sobject, low or "", high or "~"), by_stamp
        return list(table.values()), False

    def _shown(self, query: Query) -> list[dict[str, Any]]:
        """The rows of a child subquery, all at once."""
        found = self.run(query)
        if found.project is None:
            raise malformed(query.text, query.source_at, "a child subquery cannot aggregate")
        rows = self._store.rows(found.sobject)
        return [found.project(rows[key]) for key in found.ids]

    def _values(self, query: Query) -> set[Any]:
        """What a semi-join's query selects: the values of its one id or reference field (§2.3)."""
        scope, item = self._scope(query), query.items[0]
        column = scope.column(item) if isinstance(item, FieldPath) else None
        if column is None or column.field.type not in ("id", "reference"):
            raise malformed(query.text, query.source_at, "semi join sub-selects can only query id fields")
        return {column.get(row) for row in self._select(scope)} - {None}

    # -- aggregates ----------------------------------------------------------------------------------------------

    def _aggregate(self, scope: Scope) -> Found:
        query, first = scope.query, scope.query.items[0]
        if len(query.items) == 1 and isinstance(first, Function) and first.name == "COUNT" and first.path is None:
            return Found(sobject=scope.sobject, finished=(), total=len(self._select(scope)))
        groups = [scope.column(path) for path in query.group]
        for path, column in zip(query.group, groups, strict=True):
            if not column.field.groupable:
                message = f"field '{path.parts[-1]}' can not be grouped in a query call"
                raise malformed(query.text, path.at, message)
        makers = self._makers(scope)
        rows = self._select(replace(scope, query=replace(query, items=(), limit=None, offset=0)))
        buckets: dict[tuple[Any, ...], list[Row]] = {} if groups else {(): rows}
        for row in rows if groups else ():
            buckets.setdefault(tuple(column.key(row) for column in groups), []).append(row)
        if len(buckets) > GROUPS_MAX:
            message = f"A grouped query may answer at most {GROUPS_MAX} groups; narrow its WHERE."
            raise refuse("EXCEEDED_ID_LIMIT", message)
        finished = [
            {"attributes": {"type": "AggregateResult"}} | {key: make(bucket) for key, make in makers}
            for bucket in buckets.values()
        ]
        finished = finished[query.offset : None if query.limit is None else query.offset + query.limit]
        return Found(sobject=scope.sobject, finished=tuple(finished), total=len(finished))

    def _makers(self, scope: Scope) -> list[tuple[str, Callable[[list[Row]], Any]]]:
        """One function of a group's rows per selected item; those without a name are expr0, expr1 (§2.1)."""
        query = scope.query
        grouped = {str(path).lower() for path in query.group}
        makers: list[tuple[str, Callable[[list[Row]], Any]]] = []
        unnamed = 0
        for item in query.items:
            if isinstance(item, Function):
                makers.append((item.alias or f"expr{unnamed}", _folded(scope, item)))
                unnamed += item.alias is None
            elif isinstance(item, FieldPath) and str(item).lower() in grouped:
                column = scope.column(item)
                name = column.field.name if column.own else item.parts[-1]
                makers.append((name, lambda rows, get=column.get: get(rows[0])))
            else:
                shown = str(item) if isinstance(item, FieldPath) else item.source
                raise malformed(query.text, query.source_at, f"Field must be grouped or aggregated: {shown}")
        return makers


def _folded(scope: Scope, item: Function) -> Callable[[list[Row]], Any]:
    """An aggregate function of a group's rows; nulls do not count."""
    if item.path is None:
        raise malformed(scope.query.text, item.at, f"{item.name} needs a field")
    column = scope.column(item.path)
    get, key = column.get, column.key

    def filled(rows: list[Row]) -> list[Any]:
        return [value for row in rows if (value := get(row)) is not None]

    match item.name:
        case "COUNT":
            return lambda rows: len(filled(rows))
        case "COUNT_DISTINCT":
            return lambda rows: len({key(row) for row in rows} - {None})
        case "SUM":
            return lambda rows: number(Decimal(sum(values))) if (values := filled(rows)) else None
        case "AVG":
            return lambda rows: number(Decimal(sum(values)) / len(values)) if (values := filled(rows)) else None
        case "MIN":
            return lambda rows: min(filled(rows), default=None)
        case "MAX":
            return lambda rows: max(filled(rows), default=None)
        case _:
            message = f"This sandbox does not serve the function {item.name}; a real org may."
            raise malformed(scope.query.text, item.at, message)


def _sort_key(get: Getter, item: Ordering) -> Callable[[Row], tuple[bool, Any]]:
    """§2.3: nulls come first in both directions unless NULLS LAST; the flag keeps them apart from the values."""
    null_flag = item.nulls_last != item.descending

    def key(row: Row) -> tuple[bool, Any]:
        value = get(row)
        return (value is None) is null_flag, "" if value is None else value

    return key


def _take(rows: Iterable[Row], count: int | None) -> list[Row]:
    if count is None:
        return list(rows)
    taken: list[Row] = []
    for row in rows if count else ():
        taken.append(row)
        if len(taken) == count:
            break
    return taken

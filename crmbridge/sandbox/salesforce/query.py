"""Running SOQL: only as many rows are looked at as needed (salesforce-api §2).

An equality on an id or an indexed field is a dictionary look-up; a range of SystemModstamp reads the sorted stamps; all
rows in the order of their arrival are a list that is there already; the rest scans.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce import aggregates, permissions
from crmbridge.sandbox.salesforce.children import Children
from crmbridge.sandbox.salesforce.columns import HINT, Asking, Column, Getter, Scope
from crmbridge.sandbox.salesforce.errors import SfError
from crmbridge.sandbox.salesforce.filters import Filters, Resolve, Test
from crmbridge.sandbox.salesforce.functions import resolve
from crmbridge.sandbox.salesforce.listing import Ids, Listed, Walk
from crmbridge.sandbox.salesforce.projection import Projection, Shown, flat
from crmbridge.sandbox.salesforce.schema import Field, SObject
from crmbridge.sandbox.salesforce.semi_joins import SemiJoins, check_places
from crmbridge.sandbox.salesforce.soql import at_spot, malformed, too_complicated
from crmbridge.sandbox.salesforce.soql_tree import (
    Compare,
    Condition,
    Every,
    FieldPath,
    InList,
    Ordering,
    Query,
    SemiJoin,
    Source,
    Value,
    walk,
)
from crmbridge.sandbox.salesforce.store import Store
from crmbridge.sandbox.salesforce.values import stamp
from crmbridge.sandbox.shaping import rows_of

RECYCLE_BIN: Final = timedelta(days=15)  # §8.3
OFFSET_MAX: Final = 2000  # §2.3
ORDERED_FIELDS_MAX: Final = 32  # §2.3

BY_STAMP: Final = (["systemmodstamp"], ["systemmodstamp", "id"])  # what the index of stamps is sorted by

Sort = list[tuple[Getter, Ordering]]


NOTHING: Final = Listed(())


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a query selects: the ids of a snapshot and how to show a row, or finished aggregate rows."""

    sobject: SObject
    listed: Ids = NOTHING
    project: Shown | None = None
    finished: tuple[dict[str, Any], ...] | None = None  # aggregates: not pageable (§2.1)
    total: int
    deleted: bool = False  # ALL ROWS: what is deleted is shown too
    viewed: tuple[str, ...] = ()  # FOR VIEW, FOR REFERENCE: which moments of the rows that are shown move (§2.3)

    @property
    def ids(self) -> Sequence[str]:
        """All of them; `listed.page` is what costs nothing."""
        return self.listed.page(0, len(self.listed))


class Engine:
    """Queries one store at one moment for one user; `deleted` is queryAll's view (§2.1)."""

    def __init__(
        self,
        store: Store,
        now: datetime,
        *,
        version: str = "59.0",
        deleted: bool = False,
        user: str = "",
        blob_links: bool = False,
    ) -> None:
        self._store = store
        self._asking = Asking(now=now, version=version, user=user, blob_links=blob_links)
        self._deleted = deleted
        self._bin_opened = stamp(now - RECYCLE_BIN)

    def run(self, query: Query) -> Found:
        try:
            return self._run(query)
        except RecursionError:  # §2.3
            raise too_complicated() from None

    def _run(self, query: Query) -> Found:
        engine = self if not query.all_rows or self._deleted else self._over_all_rows()
        return engine.found(self._mine(query))

    def _over_all_rows(self) -> "Engine":
        """ALL ROWS is queryAll said in the statement (§2.1)."""
        asking = self._asking
        return Engine(
            self._store,
            asking.now,
            version=asking.version,
            deleted=True,
            user=asking.user,
            blob_links=asking.blob_links,
        )

    def found(self, query: Query) -> Found:
        scope = self.scope(query)
        check_places(query, query.where)
        if query.offset > OFFSET_MAX:
            message = f"Maximum SOQL offset allowed is {OFFSET_MAX}"
            raise at_spot(query.text, query.source_at, message, "NUMBER_OUTSIDE_VALID_RANGE")
        if aggregates.aggregated(query):
            return self._aggregate(scope)
        project = Projection(scope, Children(self, 0).column).compile()
        listed = self._listed(scope)
        views = tuple(f"Last{'Viewed' if view == 'VIEW' else 'Referenced'}Date" for view in query.views)
        viewed = tuple(name for name in views if name in scope.sobject.fields)
        return Found(
            sobject=scope.sobject,
            listed=listed,
            project=project,
            total=len(listed),
            viewed=viewed,
            deleted=self._deleted,
        )

    def columns(self, query: Query) -> list[tuple[str, Field | None, Getter]]:
        """A query's columns as one flat table."""
        return list(flat(self.scope(query)))

    def test(self, sobject: SObject, condition: Condition, text: str) -> Test:
        """A filter as a function of a row."""
        query = Query(text=text, items=(), sources=(Source((sobject.name,), None, 0),))
        scope = Scope(store=self._store, sobject=sobject, query=query, asking=self._asking)
        return self.filters(scope).test(condition)

    def visible(self, row: Row) -> bool:
        """Deleted rows are there for queryAll alone, until the recycle bin is emptied (§8.3)."""
        if not row.get("IsDeleted"):
            return self._store.access is None or self._store.sees(row)
        there = self._deleted and row["SystemModstamp"] >= self._bin_opened and not row.get("_purged")
        return there and self._store.sees(row)

    def seen(self, rows: Iterable[Row | None]) -> list[Row]:
        """Those that are there and visible; almost all of a page are, so it is asked without a call for each."""
        if self._sees_all:
            return [row for row in rows if row is not None and (not row.get("IsDeleted") or self.visible(row))]
        return [row for row in rows if row is not None and self.visible(row)]

    def shown(self, sobject: SObject, ids: Sequence[str]) -> list[Row]:
        """The visible rows of these ids."""
        rows = rows_of(self._store.rows(sobject), ids)
        if self._sees_all and not self._store.listing(sobject).deleted:
            return rows
        return self.seen(rows)

    def scope(self, query: Query) -> Scope:
        sobject = self._store.shape.object(query.source)
        if sobject is None or not sobject.document.queryable or len(query.sources[0].parts) > 1:
            raise self.no_such_object(query)
        if sobject.name in permissions.NAMES:
            permissions.refresh(self._store, sobject, self._asking.user)
        return Scope(store=self._store, sobject=sobject, query=query, asking=self._asking)

    def child_scope(self, inner: Query, child: SObject, outer: Scope) -> Scope:
        """A child subquery reads the child object, by whatever name the relationship goes."""
        source = replace(inner.sources[0], parts=(child.name,))
        return replace(outer, sobject=child, query=replace(inner, sources=(source,)))

    def no_such_object(self, query: Query) -> SfError:
        """§2.4."""
        asked = ".".join(query.sources[0].parts)
        message = f"sObject type '{asked}' is not supported. " + HINT.format(what="object", suffix="c")
        return at_spot(query.text, query.source_at, message, "INVALID_TYPE")

    def _mine(self, query: Query) -> Query:
        """USING SCOPE mine: what the asking user owns; everything: no less than without it."""
        if query.using is None:
            return query
        name, at = query.using
        if name.lower() == "everything":
            return replace(query, using=None)
        sobject = self._store.shape.object(query.source)
        if (
            name.lower() != "mine" or sobject is None or "OwnerId" not in sobject.fields
        ):  # §2.3; the code is (unverified)
            raise at_spot(query.text, at, f"The scope '{name}' is not supported here", "INVALID_QUERY_SCOPE")
        mine = Compare(FieldPath(("OwnerId",), at), "=", Value("string", self._asking.user))
        return replace(query, using=None, where=mine if query.where is None else Every((mine, query.where)))

    # -- rows ----------------------------------------------------------------------------------------------------

    def filters(self, scope: Scope, names: Resolve | None = None) -> Filters:
        return Filters(scope, names or (lambda each: resolve(scope, each)), SemiJoins(self._column, self._values))

    def _listed(self, scope: Scope) -> Ids:
        """The ids; all of an object's in an order that is there already are listed without looking at them."""
        sort = self.sort(scope, scope.query.order, lambda each: resolve(scope, each))
        walk = self._walk(scope) if self._sees_all else None
        return walk if walk is not None else Listed([row["Id"] for row in self._select(scope, sort)])

    def _walk(self, scope: Scope) -> Ids | None:
        query, order, store = scope.query, _order(scope), self._store
        listing, rows = store.listing(scope.sobject), store.rows(scope.sobject)
        if query.where is None and (not order or (order == ["id"] and listing.ascending)):
            hidden = listing.deleted
            if self._deleted:
                hidden = [key for key in hidden if not self.visible(rows[key])]
            return Walk(listing, hidden, skip=query.offset, limit=query.limit)
        if order not in BY_STAMP or "SystemModstamp" not in scope.sobject.fields:
            return None
        between = self.filters(scope).stamp_span(query.where)
        if between is None or (self._deleted and listing.deleted):
            return None
        return store.stamps(scope.sobject).between(*between, skip=query.offset, limit=query.limit)

    @property
    def _sees_all(self) -> bool:
        return self._store.access is None or self._store.access.sees_all

    def _select(self, scope: Scope, sort: Sort) -> list[Row]:
        query, filters = scope.query, self.filters(scope)
        test = filters.test(query.where) if query.where is not None else None
        rows, in_order = self._candidates(scope, filters)
        return self.chosen(query, rows, test, sort, in_order=in_order)

    def chosen(self, query: Query, rows: Iterable[Row], test: Test | None, sort: Sort, *, in_order: bool) -> list[Row]:
        """Those that are seen and fit, in the order asked for, from OFFSET up to LIMIT."""
        wanted = None if query.limit is None else query.offset + query.limit
        if wanted is not None and (in_order or not sort):
            visible = self.visible
            return _take((row for row in rows if visible(row) and (test is None or test(row))), wanted)[query.offset :]
        fitting = self.seen(rows if test is None else filter(test, rows))
        return (fitting if in_order or not sort else arranged(fitting, sort))[query.offset : wanted]

    def sort(self, scope: Scope, order: Sequence[Ordering], names: Resolve) -> Sort:
        """§2.3: what is sorted by."""
        text = scope.query.text
        if len(order) > ORDERED_FIELDS_MAX:  # the words are (unverified)
            raise malformed(text, order[-1].path.at, f"ORDER BY takes at most {ORDERED_FIELDS_MAX} fields")
        found: Sort = []
        for item in order:
            column = names(item.path)
            if not column.field.sortable or column.field.type in ("multipicklist", "address"):
                shown = item.path.parts[-1] if isinstance(item.path, FieldPath) else str(item.path)
                message = f"field '{shown}' can not be sorted in a query call"
                raise at_spot(text, item.path.at, message, "INVALID_FIELD")
            found.append((column.rank, item))
        return found

    def _candidates(self, scope: Scope, filters: Filters) -> tuple[Iterable[Row], bool]:
        """As few rows as the filter's shape allows, and whether they come in the order asked for."""
        table, query = self._store.rows(scope.sobject), scope.query
        ids = filters.narrow(query.where) if query.where is not None else None
        if ids is not None:
            return [table[key] for key in ids if key in table], False
        order = _order(scope)
        low, high = filters.bounds(query.where)
        if "SystemModstamp" in scope.sobject.fields and (low is not None or high is not None or order in BY_STAMP):
            return self._store.by_stamp(scope.sobject, low or "", high or "~"), order in BY_STAMP
        listing = self._store.listing(scope.sobject)
        if not listing.ascending:
            return list(table.values()), False
        low, high = filters.bounds(query.where, "id")
        start = bisect_left(listing.ids, low) if low else 0
        end = bisect_right(listing.ids, high) if high else len(listing.ids)
        return map(table.__getitem__, islice(listing.ids, start, end)), order == ["id"]

    def estimate(self, query: Query) -> tuple[int, int, tuple[str, ...]]:
        """Rows of the object, rows that are looked at, and the indexed fields that spare the others."""
        scope = self.scope(query)
        rows, filters = self._store.listing(scope.sobject), self.filters(scope)
        ids = filters.narrow(query.where) if query.where is not None else None
        if ids is not None:
            indexed = [name for name in self.filtered_by(query) if self._is_indexed(scope, name)]
            return len(rows.ids), len(ids), tuple(indexed)
        low, high = filters.bounds(query.where)
        if low is None and high is None:
            return len(rows.ids), len(rows.ids), ()
        count = sum(1 for _ in self._store.by_stamp(scope.sobject, low or "", high or "~"))
        return len(rows.ids), count, ("SystemModstamp",)

    def filtered_by(self, query: Query) -> tuple[str, ...]:
        """The object's own fields that WHERE names."""
        scope = self.scope(query)
        paths = [part.path for part, _ in walk(query.where) if isinstance(part, Compare | InList | SemiJoin)]
        own = [path for path in paths if isinstance(path, FieldPath) and len(scope.plain(path)) == 1]
        return tuple(dict.fromkeys(scope.column(path).field.name for path in own))

    def _is_indexed(self, scope: Scope, name: str) -> bool:
        field = scope.sobject.fields[name]
        return name == "Id" or field.indexed

    def _column(self, query: Query, path: FieldPath) -> Column:
        return self.scope(query).column(path)

    def _values(self, query: Query, path: FieldPath) -> AbstractSet[Any]:
        """What a semi-join's query selects: the values of its one id or reference field (§2.3)."""
        scope = self.scope(query)
        get = scope.column(path).get
        return {get(row) for row in self._select(scope, [])} - {None}

    # -- aggregates ----------------------------------------------------------------------------------------------

    def _aggregate(self, scope: Scope) -> Found:
        query, sobject = scope.query, scope.sobject
        aggregates.check_alone(query)
        if aggregates.counts_alone(query):
            return Found(sobject=sobject, finished=(), total=len(self._listed(scope)))
        groups = aggregates.Groups(scope)
        shown = groups.shown()
        test = self.filters(scope, groups.column).test(query.having) if query.having is not None else None
        sort = self.sort(scope, query.order, groups.column)
        plain = replace(scope, query=replace(query, limit=None, offset=0, order=()))
        found = [group for group in groups.groups(self._select(plain, [])) if test is None or test(group)]
        wanted = None if query.limit is None else query.offset + query.limit
        found = arranged(found, sort)[query.offset : wanted]
        if len(found) > aggregates.GROUPS_MAX:
            raise aggregates.too_many_groups()
        finished = tuple(
            {"attributes": {"type": "AggregateResult"}} | {name: column.get(group) for name, column in shown}
            for group in found
        )
        return Found(sobject=sobject, finished=finished, total=len(finished))


def _order(scope: Scope) -> list[str]:
    """The names that are sorted by, upwards; another order has names that no field has."""
    return [
        "-" if item.descending or not isinstance(item.path, FieldPath) else ".".join(scope.plain(item.path)).lower()
        for item in scope.query.order
    ]


def arranged(rows: list[Row], sort: Sort) -> list[Row]:
    """§2.3: the last field first, for sorting is stable."""
    for get, item in reversed(sort):
        rows.sort(key=_sort_key(get, item), reverse=item.descending)
    return rows


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

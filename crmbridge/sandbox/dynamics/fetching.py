"""FetchXML carried out: rows, aggregates, pages and their cookies (dataverse-api §2.9)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from crmbridge.sandbox.core import Reply, Row
from crmbridge.sandbox.dynamics import aggregates
from crmbridge.sandbox.dynamics.aggregates import AggregateError, Group, Measure
from crmbridge.sandbox.dynamics.answering import PAGE_ROWS_MAX, applied, counts, read_count
from crmbridge.sandbox.dynamics.apply import write_value
from crmbridge.sandbox.dynamics.columns import Column
from crmbridge.sandbox.dynamics.conditions import parent_column
from crmbridge.sandbox.dynamics.context import Context, answer
from crmbridge.sandbox.dynamics.errors import DataverseError, bad_query
from crmbridge.sandbox.dynamics.fetchxml import Attribute, Fetch, Order, fetch_error, parse_fetch
from crmbridge.sandbox.dynamics.filters import Operand
from crmbridge.sandbox.dynamics.joining import Joined, Slot, Source, check_links, column_of
from crmbridge.sandbox.dynamics.ordering import Descending, fold, part
from crmbridge.sandbox.dynamics.paging import annotation_cookie, read_inner
from crmbridge.sandbox.dynamics.projection import Names, Writer, column_writers, companion
from crmbridge.sandbox.dynamics.selection import Selection, Sort
from crmbridge.sandbox.dynamics.tables import Table

SIMPLE_PAGING_ROWS_MAX = 50_000
_ATTRIBUTE_NAME = "OData.Community.Display.V1.AttributeName"
_COOKIE = "Microsoft.Dynamics.CRM.fetchxmlpagingcookie"
_MORE = "Microsoft.Dynamics.CRM.morerecords"


@dataclass(frozen=True, kw_only=True)
class Result:
    """One page of a query."""

    context: str
    rows: Sequence[dict[str, Any]]
    more: bool
    cookie: str | None  # the inner one, where the next page can begin at a row
    total: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A column of the answer."""

    member: str
    slot: Slot
    column: Column
    aliased: bool = False


class Query:
    """A Fetch with its names looked up."""

    def __init__(self, ctx: Context, fetch: Fetch) -> None:
        check_links(fetch)
        self.ctx, self.fetch = ctx, fetch
        self.source = Source(ctx, fetch.entity)
        self.table = self.source.table
        self.size = min(fetch.count or ctx.prefer.page_size or PAGE_ROWS_MAX, PAGE_ROWS_MAX)

    def page(self, *, counted: bool) -> Result:
        return self._aggregated(counted=counted) if self.fetch.aggregate else self._listed(counted=counted)

    # Rows

    def _listed(self, *, counted: bool) -> Result:
        """dataverse-api §2.9"""
        shown = self._columns()
        sorts, places = self._sorts()
        alone = all(place.index == 0 for place in places)
        selection = Selection.of(self.ctx, self.table, self.source.selecting, sorts if alone else [])
        seekable = alone and self.source.single and not self.fetch.distinct
        after = None
        if self.fetch.cookie is not None and seekable:
            after = read_inner(self.fetch.cookie, selection.columns, self.table.key)
        joined = self._joined(selection.walk(after))
        if not alone:
            joined = iter(self._sorted(joined, sorts, places))
        writers = self._writers(shown)
        if self.fetch.distinct:
            joined = _distinct(joined, shown)
        start = 0 if after is not None else (self.fetch.page - 1) * self.size + self.fetch.offset
        if start + self.size > SIMPLE_PAGING_ROWS_MAX and start:  # code (unverified)
            raise fetch_error("Paging cookie is required when trying to retrieve a set of records on any high pages.")
        limit = self.size if self.fetch.top is None else self.fetch.top
        page = list(islice(joined, start, start + limit + 1))
        more = len(page) > limit and self.fetch.top is None
        page = page[:limit]
        total = self._total(selection, shown) if counted or self.fetch.total else None
        cookie = None
        if more and seekable:
            cookie = selection.cookie(self.fetch.page, page[0][0] or {}, page[-1][0] or {})
        names = ",".join(each.member for each in shown if each.slot.index == 0)
        etag = not self.fetch.distinct
        return Result(
            context=f"({names})",
            rows=[self._written(each, writers, etag=etag) for each in page],
            more=more,
            cookie=cookie,
            total=total,
        )

    def _joined(self, rows: Iterable[Row]) -> Iterator[Joined]:
        if self.source.plain:
            return zip(rows, strict=False)
        return (each for row in rows for each in self.source.joined(row))

    def _total(self, selection: Selection, shown: Sequence[Shown]) -> int:
        if self.source.plain and not self.fetch.distinct:
            return selection.count(PAGE_ROWS_MAX)
        joined = self._joined(selection.walk())
        if self.fetch.distinct:
            joined = _distinct(joined, shown)
        return sum(1 for _ in islice(joined, PAGE_ROWS_MAX + 1))

    def _columns(self) -> list[Shown]:
        """What the answer holds: the entity's key always, unless rows are to be distinct (dataverse-api §2.9)."""
        found: dict[str, Shown] = {}
        for slot in self.source.slots:
            attributes = slot.link.attributes
            whole = slot.link.everything or (slot.index == 0 and not attributes)
            columns = [(each, column_of(slot.table, each.name)) for each in attributes if not each.children]
            if whole:
                columns = [(Attribute(name=name), column) for name, column in slot.table.columns.items()]
            for attribute, column in columns:
                self._show(found, slot, attribute, column)
                extra = companion(slot.table, column)
                if extra is not None and slot.index == 0 and not self.fetch.distinct and attribute.alias is None:
                    self._show(found, slot, Attribute(name=extra.name), extra, again=True)
        key = self.table.columns[self.table.key]
        if not self.fetch.distinct and key.wire not in found:
            found[key.wire] = Shown(member=key.wire, slot=self.source.slots[0], column=key)
        return list(found.values())

    def _show(
        self, found: dict[str, Shown], slot: Slot, attribute: Attribute, column: Column, *, again: bool = False
    ) -> None:
        """dataverse-api §2.9: `alias.column` for columns of joined tables; an attribute's own alias goes before."""
        member = attribute.alias or (f"{slot.alias}.{column.name}" if slot.index else column.wire)
        if member in found:
            if attribute.alias is None or again:
                return
            raise fetch_error(f"The alias '{member}' is used twice.")
        found[member] = Shown(member=member, slot=slot, column=column, aliased=attribute.alias is not None)

    def _writers(self, shown: Sequence[Shown]) -> list[tuple[int, list[Writer]]]:
        """Null columns are left out of FetchXML's answers: dataverse-api §2.2."""
        found: list[tuple[int, list[Writer]]] = []
        for slot in self.source.slots:
            mine = [each for each in shown if each.slot is slot]
            writers = list(
                column_writers(self.ctx, slot.table, [(e.member, e.column) for e in mine], nulls=False) or ()
            )
            if self.ctx.prefer.wants(_ATTRIBUTE_NAME):
                writers = [*(_named(each) for each in mine if each.aliased), *writers]
            writers += [
                self._children(slot.table, each) for each in slot.link.attributes if each.children and each.alias
            ]
            if writers:
                found.append((slot.index, writers))
        return found

    def _children(self, table: Table, attribute: Attribute) -> Writer:
        """rowaggregate="CountChildren": how many rows have this one as their parent (dataverse-api §2.9)."""
        parent, store = parent_column(table), self.ctx.store
        if parent is None or attribute.name != table.key:
            raise fetch_error(f"CountChildren needs the key of a hierarchy, not {table.name}.{attribute.name}.")
        alias, column = attribute.alias or "", parent.name

        def write(found: dict[str, Any], row: Row) -> None:
            found[alias] = len(store.find(table.name, column, row[table.key]))

        return write

    def _written(self, joined: Joined, writers: Sequence[tuple[int, list[Writer]]], *, etag: bool) -> dict[str, Any]:
        root = joined[0] or {}
        found: dict[str, Any] = {"@odata.etag": f'W/"{root["versionnumber"]}"'} if etag else {}
        for index, each in writers:
            row = joined[index]
            if row is not None:
                for write in each:
                    write(found, row)
        return found

    # Order

    def _sorts(self) -> tuple[list[Sort], list[Slot]]:
        """Orders of the entity first, then those of links in the order of the query: dataverse-api §2.9."""
        sorts: list[Sort] = []
        places: list[Slot] = []
        for slot in self.source.slots:
            for order in slot.link.orders:
                place, column = self._ordered(slot, order)
                name = column.name
                operand = Operand(
                    column=column, get=lambda row, name=name: row.get(name), table=place.table, direct=True
                )
                sorts.append(Sort(name=name, operand=operand, descending=order.descending))
                places.append(place)
        return sorts, places

    def _ordered(self, slot: Slot, order: Order) -> tuple[Slot, Column]:
        """dataverse-api §2.9"""
        if order.alias is not None:
            for place in self.source.slots:
                for each in place.link.attributes:
                    if each.alias == order.alias:
                        return place, column_of(place.table, each.name)
            raise fetch_error(f"The alias '{order.alias}' of the order is not found.")
        place = self.source.slot(order.entity, slot)
        return place, column_of(place.table, order.attribute or "")

    def _sorted(self, joined: Iterable[Joined], sorts: Sequence[Sort], places: Sequence[Slot]) -> list[Joined]:
        key_name = self.table.key

        def key(each: Joined) -> tuple[Any, ...]:
            parts: list[Any] = []
            for sort, place in zip(sorts, places, strict=True):
                row = each[place.index]
                value = part(None if row is None else row.get(sort.operand.column.name))
                parts.append(Descending(value) if sort.descending else value)
            return (*parts, (each[0] or {}).get(key_name))

        return sorted(joined, key=key)

    # Aggregates

    def _aggregated(self, *, counted: bool) -> Result:
        """dataverse-api §2.9"""
        groups: list[Group] = []
        measures: list[Measure] = []
        attributes: dict[str, Attribute] = {}
        for slot in self.source.slots:
            if slot.link.everything:
                raise fetch_error("An aggregate query cannot have all-attributes.")
            for each in slot.link.attributes:
                column = column_of(slot.table, each.name)
                alias = each.alias or ""
                if alias in attributes:
                    raise fetch_error(f"The alias '{alias}' is used twice.")
                attributes[alias] = each
                if each.group:
                    self._check_group(column, each)
                    groups.append(
                        Group(alias=alias, column=column, get=_getter(slot, column), date_part=each.date_part)
                    )
                else:
                    measures.append(
                        Measure(
                            alias=alias,
                            function=each.aggregate or "",
                            column=column,
                            get=_getter(slot, column),
                            distinct=each.distinct,
                        )
                    )
        if not groups and not measures:
            raise fetch_error("An aggregate query needs attributes.")
        lines = self._lines(groups, measures)
        start = (self.fetch.page - 1) * self.size + self.fetch.offset
        limit = self.size if self.fetch.top is None else self.fetch.top
        page = lines[start : start + limit]
        names = Names(self.ctx)
        return Result(
            context=f"({','.join(attributes)})",
            rows=[self._line(line, groups, measures, names) for line in page],
            more=len(lines) > start + limit and self.fetch.top is None,
            cookie=None,
            total=len(lines) if counted or self.fetch.total else None,
        )

    def _check_group(self, column: Column, attribute: Attribute) -> None:
        """dataverse-api §2.9"""
        if column.kind == "DateTime" and attribute.date_part is None:
            raise fetch_error(f"Grouping by the date and time column '{column.name}' needs a dategrouping.")
        if column.kind != "DateTime" and attribute.date_part is not None:
            raise fetch_error(f"The dategrouping of '{column.name}' needs a column of dates.")

    def _lines(self, groups: Sequence[Group], measures: Sequence[Measure]) -> list[dict[str, Any]]:
        """dataverse-api §2.9; by aliases alone can groups be ordered"""
        orders = [order for slot in self.source.slots for order in slot.link.orders]
        known = {each.alias for each in (*groups, *measures)}
        for order in orders:
            if order.alias is None:
                raise fetch_error("An attribute can not be specified for an order of an aggregate query. Use an alias.")
            if order.alias not in known:
                raise fetch_error(f"The alias '{order.alias}' of the order is not found.")
        selection = Selection.of(self.ctx, self.table, self.source.selecting, [])
        limit = min(self.fetch.aggregate_limit or aggregates.ROWS_MAX, aggregates.ROWS_MAX)
        try:
            lines = aggregates.aggregate(self._joined(selection.walk()), groups, measures, limit)
        except AggregateError as error:
            raise fetch_error(f"{error}.") from None
        for order in reversed(orders):
            lines.sort(key=lambda line, name=order.alias or "": part(line[name]), reverse=order.descending)
        return lines

    def _line(
        self, line: Mapping[str, Any], groups: Sequence[Group], measures: Sequence[Measure], names: Names
    ) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for group in groups:
            write_value(self.ctx, names, found, group.alias, group.column, line[group.alias], date_part=group.date_part)
        for each in measures:
            write_value(self.ctx, names, found, each.alias, each.column, line[each.alias], function=each.function)
        return found


def _getter(slot: Slot, column: Column) -> Any:
    index, name = slot.index, column.name
    return lambda joined: None if (row := joined[index]) is None else row.get(name)


def _named(shown: Shown) -> Writer:
    label, name = f"{shown.member}@{_ATTRIBUTE_NAME}", shown.column.name

    def write(found: dict[str, Any], row: Row) -> None:
        if row.get(name) is not None:
            found[label] = name

    return write


def _distinct(joined: Iterable[Joined], shown: Sequence[Shown]) -> Iterator[Joined]:
    seen: set[tuple[Any, ...]] = set()
    for each in joined:
        values = tuple(
            None if (row := each[one.slot.index]) is None else fold(row.get(one.column.name)) for one in shown
        )
        if values not in seen:
            seen.add(values)
            yield each


def read_fetch(ctx: Context, table: Table, options: dict[str, str]) -> Reply:
    """`?fetchXml=`: dataverse-api §2.9"""
    if unwanted := sorted(set(options) - {"fetchXml", "$count"}):
        raise bad_query(f"The query parameter {unwanted[0]} is not supported together with fetchXml.")
    fetch = parse_fetch(options["fetchXml"])
    query = Query(ctx, fetch)
    if query.table is not table:  # code (unverified)
        raise DataverseError(
            400,
            "0x8006088a",
            f"The entity '{query.table.name}' of the FetchXML is not that of the set '{table.set_name}'.",
        )
    counted = read_count(options)
    found = query.page(counted=counted)
    body: dict[str, Any] = {"@odata.context": f"{ctx.base}/$metadata#{table.set_name}{found.context}"}
    if counted and found.total is not None:
        body["@odata.count"] = min(found.total, PAGE_ROWS_MAX)
    body |= counts(ctx, found.total)
    if found.more and found.cookie is not None and ctx.prefer.wants(_COOKIE):
        body[f"@{_COOKIE}"] = annotation_cookie(fetch.page + 1, found.cookie)
    if found.more and ctx.prefer.wants(_MORE):
        body[f"@{_MORE}"] = True
    body["value"] = found.rows
    return answer(body, headers=applied(ctx))

"""An entity with the tables joined to it, compiled: from a row to all rows of the join (dataverse-api §2.9).

A joined row is a tuple of rows, one place for each table in the order of the query, None where an outer join found
nothing.
"""

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.dynamics.columns import Column
from crmbridge.sandbox.dynamics.conditions import ConditionError, condition
from crmbridge.sandbox.dynamics.context import Context
from crmbridge.sandbox.dynamics.errors import DataverseError
from crmbridge.sandbox.dynamics.fetchxml import FILTER_JOINS, Condition, Fetch, Link, Where, fetch_error
from crmbridge.sandbox.dynamics.filters import Filter, Range, indexed
from crmbridge.sandbox.dynamics.literals import edm_type, text_value
from crmbridge.sandbox.dynamics.store import fold
from crmbridge.sandbox.dynamics.tables import Table

Joined = tuple[Row | None, ...]
Accepts = Callable[[Joined], bool]
LINKS_MAX = 15
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq, "gt": operator.gt, "ge": operator.ge, "lt": operator.lt, "le": operator.le,
}  # fmt: skip
_SEMI = frozenset({"exists", "in"})


def table_of(ctx: Context, name: str) -> Table:
    """dataverse-api §10.3"""
    table = ctx.shape.tables.get(name)
    if table is None:
        raise DataverseError(
            400,
            "0x80041102",
            f"The entity with a name = '{name}' with namemapping = 'Logical' was not found in the MetadataCache.",
        )
    ctx.access.demand(table, "read")
    return table


def column_of(table: Table, name: str) -> Column:
    """dataverse-api §10.3; columns have their logical names here, lookups too."""
    column = table.columns.get(name)
    if column is None:
        raise DataverseError(
            400,
            "0x80041103",
            f"'{table.name}' entity doesn't contain attribute with Name = '{name}' and NameMapping = 'Logical'.",
        )
    return column


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A table's place in joined rows."""

    index: int
    link: Link
    table: Table
    alias: str  # "" for the entity itself


@dataclass(frozen=True, slots=True, kw_only=True)
class _Join:
    parent: int
    column: str  # of the parent
    find: Callable[[Any], Iterable[Row]]
    kind: str
    accepts: Accepts | None  # with the joined row, the candidate at its end


class Source:
    """One entity and what is joined to it."""

    def __init__(self, ctx: Context, entity: Link) -> None:
        self.ctx = ctx
        self.slots: list[Slot] = []
        self._joins: list[_Join] = []
        self.single = True  # no row comes more than once
        later: list[tuple[Slot, Where]] = []
        self._add(entity, None, later)
        filters = [self._root_filter(each) for each in entity.where if not _elsewhere(each)]
        self.filter = _whole(filters)
        self.selecting = self.filter if filters else None
        self._after = [self._where(slot, each) for slot, each in later]

    @property
    def table(self) -> Table:
        return self.slots[0].table

    def _add(self, link: Link, parent: Slot | None, later: list[tuple[Slot, Where]]) -> None:
        """dataverse-api §2.9"""
        table = table_of(self.ctx, link.name)
        alias = "" if parent is None else link.alias or f"{link.name}{len(self.slots)}"
        if any(alias == each.alias for each in self.slots):
            raise fetch_error(f"The alias '{alias}' is used twice.")
        slot = Slot(index=len(self.slots), link=link, table=table, alias=alias)
        self.slots.append(slot)
        if parent is not None:
            self._join(slot, parent)
        later += [(slot, each) for each in link.where if _elsewhere(each)]
        for each in link.links:
            self._add(each, slot, later)

    def _join(self, slot: Slot, parent: Slot) -> None:
        """dataverse-api §2.9"""
        link = slot.link
        if link.kind in _SEMI and (link.attributes or link.everything):
            raise fetch_error(f"The link-type '{link.kind}' returns no columns of the linked entity.")
        find = finder(self.ctx, slot.table, column_of(slot.table, link.child))
        inside = [self._where(slot, each) for each in link.where if not _elsewhere(each)]
        if link.kind in _SEMI and link.links:
            raise fetch_error(f"The link-type '{link.kind}' holds no further links.")  # text (unverified)
        self.single &= link.child == slot.table.key or link.kind not in {"inner", "outer"}
        self._joins.append(
            _Join(
                parent=parent.index,
                column=column_of(parent.table, link.parent).name,
                find=find,
                kind=link.kind,
                accepts=_all(inside) if inside else None,
            )
        )

    # Rows

    def joined(self, row: Row) -> Iterable[Joined]:
        """Every row of the join that begins with `row`, which the entity's own filter accepted."""
        found: Iterable[Joined] = ((row,),)
        for join in self._joins:
            found = self._step(found, join)
        return found if not self._after else (each for each in found if all(test(each) for test in self._after))

    @property
    def plain(self) -> bool:
        return not self._joins and not self._after

    def _step(self, rows: Iterable[Joined], join: _Join) -> Iterator[Joined]:
        for joined in rows:
            start = joined[join.parent]
            value = start.get(join.column) if start is not None else None
            found = False
            for child in join.find(value) if value is not None else ():
                candidate = (*joined, child)
                if join.accepts is not None and not join.accepts(candidate):
                    continue
                found = True
                yield candidate if join.kind not in _SEMI else (*joined, None)
                if join.kind not in {"inner", "outer"}:
                    break
            if not found and join.kind in {"outer", "matchfirstrowusingcrossapply"}:
                yield (*joined, None)

    # Names

    def slot(self, name: str | None, default: Slot) -> Slot:
        """The place that an alias or a table's name means: dataverse-api §2.9."""
        if name is None:
            return default
        for each in self.slots:
            if name == each.alias or (each.index == 0 and name == self.table.name):
                return each
        for each in self.slots:
            if name == each.link.name:
                return each
        raise fetch_error(f"LinkEntity with name or alias {name} is not found")

    # Conditions

    def _root_filter(self, where: Where) -> Filter:
        """A filter of the entity itself over its rows alone, with what an index knows of it."""
        tests: list[Callable[[Row], bool]] = []
        ids: Sequence[str] | None = None
        ranges: list[Range] = []
        for each in where.parts:
            if not isinstance(each, Condition):
                accepts = self._part(self.slots[0], each)
                tests.append(lambda row, accepts=accepts: accepts((row,)))
                continue
            tests.append(self._row_test(self.table, each))
            if where.any_of or each.other is not None:
                continue
            column = column_of(self.table, each.attribute)
            if each.operator in {"eq", "in"} and ids is None:
                ids = indexed(self.table, column, [fold(_text(column, value)) for value in each.values], self.ctx.store)
            elif each.operator in {"gt", "ge", "lt", "le"} and column.kind in {"DateTime", "BigInt"}:
                bound = _text(column, each.values[0])
                low = bound if each.operator in {"gt", "ge"} else None
                ranges.append(Range(column=column.name, low=low, high=bound if low is None else None))
        if where.any_of:
            return Filter(accepts=lambda row: any(test(row) for test in tests)) if tests else Filter(accepts=_yes)
        return Filter(accepts=lambda row: all(test(row) for test in tests), ids=ids, ranges=tuple(ranges))

    def _row_test(self, table: Table, each: Condition) -> Callable[[Row], bool]:
        if each.other is not None:
            accepts = self._compared(self.slots[0], each)
            return lambda row: accepts((row,))
        test, name = self._test(table, each), each.attribute
        return lambda row: test(row.get(name))

    def _where(self, slot: Slot, where: Where) -> Accepts:
        tests = [self._part(slot, each) for each in where.parts]
        if not tests:
            return _yes
        if where.any_of:
            return lambda joined: any(test(joined) for test in tests)
        return _all(tests)

    def _part(self, slot: Slot, each: Condition | Where | Link) -> Accepts:
        if isinstance(each, Where):
            return self._where(slot, each)
        if isinstance(each, Link):
            return self._related(slot, each)
        if each.other is not None:
            return self._compared(slot, each)
        place = self.slot(each.entity, slot)
        test, name, index = self._test(place.table, each), each.attribute, place.index

        def accepts(joined: Joined) -> bool:
            row = joined[index] if index < len(joined) else None
            return test(None if row is None else row.get(name))

        return accepts

    def _test(self, table: Table, each: Condition) -> Callable[[Any], bool]:
        """dataverse-api §2.5, §2.9; the text is (unverified)"""
        column = column_of(table, each.attribute)
        try:
            return condition(each.operator, table, column, each.values, self.ctx.scope({}))
        except ConditionError as error:
            raise fetch_error(f"Condition for attribute '{table.name}.{column.name}': {error}.") from None
        except DataverseError as error:
            raise fetch_error(f"Condition for attribute '{table.name}.{column.name}': {error.message}") from None

    def _compared(self, slot: Slot, each: Condition) -> Accepts:
        """`valueof`: two columns of one type (dataverse-api §2.9)."""
        place = self.slot(each.entity, slot)
        alias, dot, name = (each.other or "").rpartition(".")
        other = self.slot(alias if dot else None, slot)
        left, right = column_of(place.table, each.attribute), column_of(other.table, name)
        if edm_type(left) != edm_type(right):
            raise fetch_error(f"The columns '{left.name}' and '{right.name}' have different types.")
        equal = each.operator in {"ne", "neq"}
        compare = _COMPARE["eq" if equal else each.operator]

        def accepts(joined: Joined) -> bool:
            rows = [joined[at.index] if at.index < len(joined) else None for at in (place, other)]
            a, b = (
                None if row is None else fold(row.get(column.name))
                for row, column in zip(rows, (left, right), strict=True)
            )
            if a is None or b is None:
                return equal and a is not b
            return compare(a, b) is not equal

        return accepts

    def _related(self, slot: Slot, link: Link) -> Accepts:
        """Links inside of filters. `all` means rows exist and none of them fits; `not all` means what `any` does, for
        all that their names say (Microsoft's reference of link-entity; dataverse-api §2.9).
        """
        if link.kind not in FILTER_JOINS or link.attributes or link.everything or link.orders:
            raise fetch_error("A link-entity inside of a filter returns no columns and has no order.")
        inner = Source(self.ctx, Link(name=link.name, where=link.where, links=link.links, alias=link.alias))
        find = finder(self.ctx, inner.table, column_of(inner.table, link.child))
        name, index, kind = column_of(slot.table, link.parent).name, slot.index, link.kind

        def fits(row: Row) -> bool:
            return inner.filter.accepts(row) and any(True for _ in inner.joined(row))

        def accepts(joined: Joined) -> bool:
            row = joined[index] if index < len(joined) else None
            value = None if row is None else row.get(name)
            rows = list(find(value)) if value is not None else []
            if kind == "not any":
                return not any(map(fits, rows))
            if kind == "all":
                return bool(rows) and not any(map(fits, rows))
            return any(map(fits, rows))

        return accepts


def _text(column: Column, value: str) -> Any:
    """The value that a condition which was compiled already compares with."""
    return text_value(column, value)


def _yes(_row: Any) -> bool:
    return True


def _all(tests: Sequence[Accepts]) -> Accepts:
    if len(tests) == 1:
        return tests[0]
    return lambda joined: all(test(joined) for test in tests)


def _whole(filters: Sequence[Filter]) -> Filter:
    """All of them; what is known of one is known of all."""
    if len(filters) == 1:
        return filters[0]
    tests = [each.accepts for each in filters]
    ids = next((each.ids for each in filters if each.ids is not None), None)
    ranges = tuple(bounds for each in filters for bounds in each.ranges)
    return Filter(accepts=lambda row: all(test(row) for test in tests), ids=ids, ranges=ranges)


def _elsewhere(where: Where) -> bool:
    """Is a condition in it about another table than the one it stands in? Then it is for after the join."""
    return any(
        (isinstance(each, Condition) and (each.entity is not None or "." in (each.other or "")))
        or (isinstance(each, Where) and _elsewhere(each))
        for each in where.parts
    )


def finder(ctx: Context, table: Table, column: Column) -> Callable[[Any], Iterable[Row]]:
    """Rows of a table by the value of a column, those that the user may see."""
    store, name, stored = ctx.store, column.name, ctx.store.rows(table.name)
    visible = ctx.access.visible(table)

    def by_key(value: Any) -> Iterable[Row]:
        row = stored.get(value)
        return () if row is None or (visible is not None and not visible(row)) else (row,)

    def by_column(value: Any) -> Iterable[Row]:
        rows = (stored[key] for key in store.find(table.name, name, value))
        return rows if visible is None else filter(visible, rows)

    return by_key if name == table.key else by_column


def check_links(fetch: Fetch) -> None:
    """dataverse-api §2.9; the code stands in Microsoft's page on joins"""

    def number(link: Link) -> int:
        return len(link.links) + sum(map(number, link.links))

    if number(fetch.entity) > LINKS_MAX:
        raise DataverseError(  # dataverse-api §2.9; code (unverified) by the sheet
            400, "0x8004430D", "Number of link entities in query exceeded maximum limit."
        )

"""Which rows of a table, and in what order: $filter and $orderby at work (dataverse-api §2.3, §2.8).

A page begins at a place in an order that the store keeps, so that the last page costs what the first one did.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.dynamics.columns import Column
from crmbridge.sandbox.dynamics.context import Context
from crmbridge.sandbox.dynamics.errors import bad_query
from crmbridge.sandbox.dynamics.filters import Filter, Operand, Range, compile_filter, resolve_path
from crmbridge.sandbox.dynamics.ordering import Descending, Ordered, Signature, comparable, fold
from crmbridge.sandbox.dynamics.paging import Place, inner_cookie, outer_cookie, read_inner, read_outer
from crmbridge.sandbox.dynamics.tables import Table
from crmbridge.sandbox.shaping import rows_of

_FEW = 50_000  # rows that are rather sorted anew than looked for along another order
_SMALL_TABLE = 2000


class _Top:
    """Stands behind every value of an order."""

    def __lt__(self, other: object) -> bool:
        return False


_TOP = _Top()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sort:
    name: str  # as the cookie has it
    operand: Operand
    descending: bool


def split_top(text: str, separator: str) -> list[str]:
    """Split outside parentheses and quotes; within the brackets of a list, texts stand in double quotes."""
    pieces = [""]
    depth, quote, lists = 0, "", 0
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char == "'" or (char == '"' and lists):
            quote = char
        else:
            depth += (char == "(") - (char == ")")
            lists += (char == "[") - (char == "]" and lists > 0)
        if char == separator and depth == 0 and not quote:
            pieces.append("")
        else:
            pieces[-1] += char
    return [piece.strip() for piece in pieces if piece.strip()]


def read_order(ctx: Context, table: Table, text: str) -> list[Sort]:
    """dataverse-api §2.3"""
    found: list[Sort] = []
    for piece in split_top(text, ","):
        path, _, direction = piece.partition(" ")
        direction = direction.strip()
        if direction not in {"", "asc", "desc"}:
            raise bad_query(f"Syntax error at position {text.find(direction)} in '{text}'.")
        if path.startswith("@"):
            raise bad_query(f"The parameter alias '{path}' has no value in the request.")
        operand = resolve_path(path.split("/"), table, ctx.store)
        found.append(Sort(name=path.replace("/", "."), operand=operand, descending=direction == "desc"))
    return found


class Selection:
    """A filter and an order over one table, compiled."""

    def __init__(
        self, ctx: Context, table: Table, options: Mapping[str, str], aliases: Mapping[str, str] | None = None
    ) -> None:
        aliases = aliases or {}
        ctx.access.demand(table, "read")
        text = options.get("$filter")
        found = compile_filter(text, table, ctx.scope(aliases)) if text is not None else None
        order = options.get("$orderby", "")
        if order.strip() and not all(map(str.strip, order.split(","))):
            raise bad_query(f"Expression expected at position {len(order.rstrip())} in '{order}'.")
        order = ",".join(_resolved(each, aliases) for each in split_top(order, ","))
        self._prepare(ctx, table, found, read_order(ctx, table, order))

    @classmethod
    def of(cls, ctx: Context, table: Table, found: Filter | None, order: Sequence[Sort]) -> "Selection":
        """From what another query language made of it."""
        made = cls.__new__(cls)
        ctx.access.demand(table, "read")
        made._prepare(ctx, table, found, order)
        return made

    def _prepare(self, ctx: Context, table: Table, found: Filter | None, order: Sequence[Sort]) -> None:
        self.ctx = ctx
        self.table = table
        self.filter = found
        self.order = order
        self.signature: Signature = tuple((each.operand.column.name, each.descending) for each in order)
        self.direct = all(each.operand.direct for each in order)
        self.accepts = _both(found.accepts if found else None, ctx.access.visible(table))
        self.columns: list[tuple[str, Column]] = [(each.name, each.operand.column) for each in order]

    # Rows

    def rows(self, among: Iterable[Row] | None = None) -> list[Row]:
        """All matching rows in order."""
        return list(self.walk(None, among))

    def walk(self, after: Place | None = None, among: Iterable[Row] | None = None) -> Iterator[Row]:
        """Matching rows in order, from behind a place."""
        few = among if among is not None else self._few()
        if few is None and not self.direct:
            few = self.ctx.store.rows(self.table.name).values()
        if few is not None:
            found = [row for row in few if self.accepts is None or self.accepts(row)]
            found.sort(key=self._key)
            start = 0 if after is None else bisect_right(found, self._key_at(after), key=self._key)
            return islice(found, start, None)
        stored = self.ctx.store.rows(self.table.name)
        keys = self._along(after)
        rows = map(stored.__getitem__, keys)
        return rows if self.accepts is None else filter(self.accepts, rows)

    def page(self, after: Place | None, limit: int, among: Iterable[Row] | None = None) -> list[Row]:
        if among is None and self.filter is None and self.accepts is None and self.direct:
            return rows_of(self.ctx.store.rows(self.table.name), list(islice(self._along(after), limit)))
        return list(islice(self.walk(after, among), limit))

    def count(self, limit: int, among: Sequence[Row] | None = None) -> int:
        """How many rows match; more than `limit` are not counted on."""
        few = among if among is not None else self._few()
        if few is None:
            stored = self.ctx.store.rows(self.table.name)
            if self.accepts is None:
                return min(len(stored), limit + 1)
            few = stored.values()
        accepts = self.accepts
        return sum(1 for _ in islice((row for row in few if accepts is None or accepts(row)), limit + 1))

    def _few(self) -> Sequence[Row] | None:
        """A superset of the matching rows where an index or a narrow range knows one."""
        if self.filter is None:
            return None
        stored = self.ctx.store.rows(self.table.name)
        if self.filter.ids is not None:
            return [stored[key] for key in self.filter.ids if key in stored]
        if len(stored) <= _SMALL_TABLE:
            return None
        for name in dict.fromkeys(each.column for each in self.filter.ranges):
            if self.table.columns[name].kind not in {"DateTime", "BigInt"}:
                continue
            if self.signature[:1] in (((name, False),), ((name, True),)):
                return None  # the order itself begins with that column
            along = self.ctx.store.orders.by(self.table.name, ((name, False),))
            start, stop = _between(along, self._range(name), descending=False)
            if along.distance(start, stop) <= _FEW:
                return [stored[key] for key in along.walk(start, stop)]
        return None

    def _along(self, after: Place | None) -> Iterator[str]:
        order = self.ctx.store.orders.by(self.table.name, self.signature)
        start, stop = (0, 0), None
        if self.signature and self.filter is not None:
            name, descending = self.signature[0]
            if (bounds := self._range(name)) is not None:
                start, stop = _between(order, bounds, descending=descending)
        if after is not None:
            start = max(start, order.place(self._key_at(after)))
        return order.walk(start, stop)

    def _range(self, name: str) -> Range | None:
        """The bounds that all conditions on a column leave."""
        ranges = [each for each in (self.filter.ranges if self.filter else ()) if each.column == name]
        if not ranges:
            return None
        low = max((each.low for each in ranges if each.low is not None), default=None)
        high = min((each.high for each in ranges if each.high is not None), default=None)
        return Range(column=name, low=low, high=high)

    # Places

    def values(self, row: Row) -> list[Any]:
        return [*(each.operand.get(row) for each in self.order), row[self.table.key]]

    def _key(self, row: Row) -> Any:
        key = row[self.table.key]
        return comparable([each.operand.get(row) for each in self.order], self.signature, key) if self.order else key

    def _key_at(self, place: Place) -> Any:
        return comparable(place.values, self.signature, place.key) if self.order else place.key

    def place(self, token: str) -> Place:
        return read_inner(read_outer(token), self.columns, self.table.key)

    def token(self, page: int, first: Row, last: Row) -> str:
        """The `$skiptoken` of the page behind these rows."""
        return outer_cookie(page + 1, self.cookie(page, first, last))

    def cookie(self, page: int, first: Row, last: Row) -> str:
        return inner_cookie(page, self.columns, self.table.key, self.values(first), self.values(last))


def _resolved(piece: str, aliases: Mapping[str, str]) -> str:
    """`@p4 desc`: an alias may stand for the column alone."""
    name, blank, direction = piece.partition(" ")
    return aliases.get(name, name) + blank + direction


def _both(first: Callable[[Row], bool] | None, second: Callable[[Row], bool] | None) -> Callable[[Row], bool] | None:
    if first is None or second is None:
        return first or second
    return lambda row: first(row) and second(row)


def _between(
    order: Ordered, bounds: Range | None, *, descending: bool
) -> tuple[tuple[int, int], tuple[int, int] | None]:
    """The places between which a range's rows stand, in an order whose first column it is of."""
    if bounds is None:
        return (0, 0), None
    low = (True,) if bounds.low is None else (True, fold(bounds.low))
    if descending:
        start = (0, 0) if bounds.high is None else order.place((Descending((True, fold(bounds.high))),), after=False)
        stop = order.place((Descending(low), _TOP))
        return start, stop
    start = order.place((low,), after=False)
    stop = None if bounds.high is None else order.place(((True, fold(bounds.high)), _TOP))
    return start, stop

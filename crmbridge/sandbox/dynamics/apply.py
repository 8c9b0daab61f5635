"""$apply: filter, groupby and aggregate, one after the other (dataverse-api §2.9)."""

import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from crmbridge.sandbox.core import Reply, Row
from crmbridge.sandbox.dynamics import aggregates
from crmbridge.sandbox.dynamics.aggregates import AggregateError, Group, Measure
from crmbridge.sandbox.dynamics.answering import PAGE_ROWS_MAX, applied, counts, read_count, read_top
from crmbridge.sandbox.dynamics.columns import Column
from crmbridge.sandbox.dynamics.context import Context, answer, link
from crmbridge.sandbox.dynamics.errors import bad_query
from crmbridge.sandbox.dynamics.filters import resolve_path
from crmbridge.sandbox.dynamics.ordering import Descending, part
from crmbridge.sandbox.dynamics.paging import malformed, outer_cookie
from crmbridge.sandbox.dynamics.projection import FORMATTED, LOOKUP_NAVIGATION, LOOKUP_TABLE, Names
from crmbridge.sandbox.dynamics.selection import Selection, split_top
from crmbridge.sandbox.dynamics.tables import Table

_STEP = re.compile(r"(\w+)\s*\((.*)\)", re.DOTALL)
_COUNT = re.compile(r"\$count\s+as\s+(\w+)")
_MEASURE = re.compile(r"([\w/]+)\s+with\s+(\w+)\s+as\s+(\w+)")
_METHODS = {"sum": "sum", "average": "avg", "min": "min", "max": "max", "countdistinct": "countcolumn"}
_OPTIONS = frozenset({"$apply", "$orderby", "$top", "$count", "$skiptoken"})
_PAGE = re.compile(r"<cookie pagenumber=\"(\d{1,6})\" pagingcookie=\"\" istracking=\"False\" />")


class Applied:
    """A $apply expression, compiled."""

    def __init__(self, ctx: Context, table: Table, text: str, aliases: Mapping[str, str]) -> None:
        """dataverse-api §2.9; the texts are (unverified)"""
        self.ctx, self.table = ctx, table
        self.groups: list[Group] = []
        self.measures: list[Measure] = []
        filters: list[str] = []
        steps = split_top(text, "/")
        for number, step in enumerate(steps):
            match = _STEP.fullmatch(step)
            name = match[1] if match else ""
            last = number == len(steps) - 1
            if match is not None and name == "filter" and not last:
                filters.append(f"({match[2]})")
            elif match is not None and name == "groupby" and last:
                self._group_by(match[2])
            elif match is not None and name == "aggregate" and last:
                self._aggregate(match[2])
            else:
                raise bad_query(f"'{step}' is not supported in $apply: filter(...)/groupby((...),aggregate(...)).")
        if not steps:
            raise bad_query("Expression expected at position 0 in ''.")
        names = [each.alias for each in chain(self.groups, self.measures)]
        if len(set(names)) < len(names):
            raise bad_query(f"A name occurs twice in $apply: '{text}'.")
        for each in self.measures:
            try:
                each.check()
            except AggregateError as error:
                raise bad_query(f"{error}.") from None
        self.selection = Selection(ctx, table, {"$filter": " and ".join(filters)} if filters else {}, aliases)

    def _group_by(self, text: str) -> None:
        """dataverse-api §2.9: no groups by moments; a column behind a lookup is named after its table."""
        pieces = split_top(text, ",")
        if not pieces or not (pieces[0].startswith("(") and pieces[0].endswith(")")) or len(pieces) > 2:
            raise bad_query(f"Syntax error in $apply: 'groupby({text})'.")
        for path in split_top(pieces[0][1:-1], ","):
            operand = resolve_path(path.split("/"), self.table, self.ctx.store)
            if operand.column.kind == "DateTime":
                raise bad_query(f"groupby of the date and time column '{path}' is not supported.")
            alias = path if operand.direct else f"{operand.table.name}_{operand.column.name}"
            self.groups.append(Group(alias=alias, column=operand.column, get=operand.get))
        if not self.groups:
            raise bad_query(f"Syntax error in $apply: 'groupby({text})'.")
        if len(pieces) == 2:
            match = _STEP.fullmatch(pieces[1])
            if match is None or match[1] != "aggregate":
                raise bad_query(f"Syntax error in $apply: '{pieces[1]}'.")
            self._aggregate(match[2])

    def _aggregate(self, text: str) -> None:
        """dataverse-api §2.9"""
        pieces = split_top(text, ",")
        for piece in pieces:
            if (count := _COUNT.fullmatch(piece)) is not None:
                self.measures.append(Measure(alias=count[1], function="count"))
                continue
            match = _MEASURE.fullmatch(piece)
            if match is None or match[2] not in _METHODS:
                raise bad_query(f"Syntax error in $apply: 'aggregate({piece})'.")
            operand = resolve_path(match[1].split("/"), self.table, self.ctx.store)
            function = _METHODS[match[2]]
            distinct = function == "countcolumn"
            self.measures.append(
                Measure(alias=match[3], function=function, column=operand.column, get=operand.get, distinct=distinct)
            )
        if not pieces:
            raise bad_query("Syntax error in $apply: 'aggregate()'.")

    def lines(self, order: str, among: Sequence[Row] | None = None) -> list[dict[str, Any]]:
        """The groups, ordered; ordering by what was aggregated is refused as the service does (dataverse-api §2.9)."""
        keys: list[tuple[str, bool]] = []
        for piece in split_top(order, ","):
            name, _, direction = piece.partition(" ")
            if name not in {each.alias for each in self.groups}:
                raise bad_query("The query node SingleValueOpenPropertyAccess is not supported")
            if direction.strip() not in {"", "asc", "desc"}:
                raise bad_query(f"Syntax error in $orderby: '{piece}'.")
            keys.append((name, direction.strip() == "desc"))
        found = aggregates.aggregate(self.selection.walk(None, among), self.groups, self.measures)
        found.sort(key=lambda line: [Descending(part(line[n])) if down else part(line[n]) for n, down in keys])
        return found

    def shown(self, line: Mapping[str, Any], names: Names) -> dict[str, Any]:
        """Columns of the table first, then what was aggregated, then columns behind lookups; nulls are left out."""
        found: dict[str, Any] = {}
        direct = [each for each in self.groups if each.alias == each.column.wire]
        for group in direct:
            write_value(self.ctx, names, found, group.alias, group.column, line[group.alias])
        for each in self.measures:
            write_value(self.ctx, names, found, each.alias, each.column, line[each.alias], function=each.function)
        for group in self.groups:
            if group not in direct and line[group.alias] is not None:
                found[group.alias] = line[group.alias]
        return found


def write_value(
    ctx: Context,
    names: Names,
    found: dict[str, Any],
    alias: str,
    column: Column | None,
    value: Any,
    *,
    function: str | None = None,
    date_part: str | None = None,
) -> None:
    """A group's or a measure's value with its annotations; nothing for null (dataverse-api §2.9)."""
    if value is None:
        return
    if column is not None and column.is_lookup and function is None:
        target = _target(ctx, column, value)
        if ctx.prefer.wants(FORMATTED) and (name := names.of(target.table, value)) is not None:
            found[f"{alias}@{FORMATTED}"] = name
        if ctx.prefer.wants(LOOKUP_NAVIGATION):
            found[f"{alias}@{LOOKUP_NAVIGATION}"] = target.navigation
        if ctx.prefer.wants(LOOKUP_TABLE):
            found[f"{alias}@{LOOKUP_TABLE}"] = target.table
    elif ctx.prefer.wants(FORMATTED) and (
        function is not None or date_part is not None or (column is not None and column.kind not in _WITHOUT_LABEL)
    ):
        found[f"{alias}@{FORMATTED}"] = aggregates.shown(column, function, value, date_part)
    found[alias] = value


_WITHOUT_LABEL = frozenset({"String", "Memo", "Uniqueidentifier"})


def _target(ctx: Context, column: Column, key: str) -> Any:
    return next((each for each in column.targets if ctx.store.get(each.table, key) is not None), column.targets[0])


def page_of(options: Mapping[str, str]) -> int:
    """Pages of groups are numbered: dataverse-api §2.8."""
    if "$skiptoken" not in options:
        return 1
    match = _PAGE.fullmatch(options["$skiptoken"])
    if match is None or int(match[1]) < 1:
        raise malformed()
    return int(match[1])


def read_apply(
    ctx: Context,
    table: Table,
    url: str,
    options: dict[str, str],
    aliases: Mapping[str, str],
    among: Sequence[Row] | None = None,
) -> Reply:
    """Groups of a table's rows, or of the rows related to another row: dataverse-api §2.9"""
    if unwanted := sorted(set(options) - _OPTIONS):
        raise bad_query(
            f"The query parameter {unwanted[0]} is not supported together with $apply."
        )  # text (unverified)
    compiled = Applied(ctx, table, options["$apply"], aliases)
    lines = compiled.lines(options.get("$orderby", ""), among)
    names = Names(ctx)
    body: dict[str, Any] = {"@odata.context": f"{ctx.base}/$metadata#{table.set_name}"}
    total = len(lines) if read_count(options) else None
    body |= counts(ctx, total)
    if total is not None:
        body["@odata.count"] = min(total, PAGE_ROWS_MAX)
    if "$top" in options and (top := read_top(options["$top"])) and ctx.prefer.page_size is None:
        lines = lines[:top]
    page, more = paged(ctx, lines, page_of(options))
    body["value"] = [compiled.shown(line, names) for line in page]
    if more:
        body["@odata.nextLink"] = link(
            url, {**options, **aliases, "$skiptoken": outer_cookie(page_of(options) + 1, "")}
        )
    return answer(body, headers=applied(ctx))


def paged(ctx: Context, lines: Sequence[Any], number: int) -> tuple[Sequence[Any], bool]:
    size = ctx.prefer.page_size or PAGE_ROWS_MAX
    start = (number - 1) * size
    return lines[start : start + size], len(lines) > start + size

"""Rows to JSON: projections with $select and $expand, collections, pages and single rows (dataverse-api §2)."""

import json
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import quote, unquote

from crmbridge.sandbox.core import Reply, Row
from crmbridge.sandbox.dynamics.context import Context, answer, link, no_content, query_options
from crmbridge.sandbox.dynamics.errors import bad_query, missing_property, not_served
from crmbridge.sandbox.dynamics.filters import compile_filter, resolve_path
from crmbridge.sandbox.dynamics.shape import Column, Referrer, Table, Target
from crmbridge.sandbox.dynamics.store import fold
from crmbridge.sandbox.dynamics.values import display, has_annotation

PAGE_ROWS_MAX = 5000
EXPANDS_MAX = 15
FORMATTED = "OData.Community.Display.V1.FormattedValue"
LOOKUP_TABLE = "Microsoft.Dynamics.CRM.lookuplogicalname"
LOOKUP_NAVIGATION = "Microsoft.Dynamics.CRM.associatednavigationproperty"


# Projections


@dataclass(frozen=True, slots=True, kw_only=True)
class Expand:
    navigation: str
    reference: bool  # nav/$ref
    options: Mapping[str, str]


def split_top(text: str, separator: str) -> list[str]:
    """Split outside parentheses and quotes."""
    pieces = [""]
    depth, quoted = 0, False
    for char in text:
        quoted ^= char == "'"
        if not quoted:
            depth += (char == "(") - (char == ")")
        if char == separator and depth == 0 and not quoted:
            pieces.append("")
        else:
            pieces[-1] += char
    return [piece.strip() for piece in pieces if piece.strip()]


def parse_expand(text: str) -> list[Expand]:
    found: list[Expand] = []
    for piece in split_top(text, ","):
        name, bracket, rest = piece.partition("(")
        if bracket and not rest.endswith(")"):
            raise bad_query(f"Syntax error in $expand: '{piece}'.")
        options: dict[str, str] = {}
        for option in split_top(rest.removesuffix(")"), ";"):
            key, _, value = option.partition("=")
            if key not in {"$select", "$filter", "$orderby", "$top", "$expand", "$count"}:
                raise bad_query(f"The option '{key}' inside $expand is not supported.")
            options[key] = value
        name, slash, suffix = name.strip().partition("/")
        if slash and suffix != "$ref":
            raise bad_query(f"Syntax error in $expand: '{piece}'.")
        found.append(Expand(navigation=name, reference=bool(slash), options=options))
    return found


def selected(table: Table, text: str | None) -> list[Column] | None:
    """The columns that an answer holds, those the server adds included; None = all."""
    if text is None or text.strip() in {"", "*"}:
        return None
    found: dict[str, Column] = {}
    for name in (piece.strip() for piece in text.split(",")):
        column = table.by_wire.get(name)
        if column is None:
            if name in table.navigations:  # dataverse-api §2.3
                raise bad_query(
                    f"The property '{name}' on type 'Microsoft.Dynamics.CRM.{table.name}' is a navigation property and "
                    "can not be used in $select."
                )
            raise missing_property(name, table.name)
        found[name] = column
        extra = _companion(table, column)
        if extra is not None:
            found.setdefault(extra.wire, extra)
    found.setdefault(table.key, table.columns[table.key])
    return list(found.values())


def _companion(table: Table, column: Column) -> Column | None:
    """Money brings its currency along, a part of an address the whole: dataverse-api §2.2."""
    if column.kind == "Money":
        return table.columns.get("transactioncurrencyid")
    for prefix in ("address1_", "address2_"):
        if column.name.startswith(prefix):
            return table.columns.get(f"{prefix}composite")
    return None


class Projection:
    """Compiled once per request, applied to each row."""

    def __init__(
        self, ctx: Context, table: Table, options: Mapping[str, str], *, etag: bool = True, nested: bool = False
    ) -> None:
        self.ctx = ctx
        self.table = table
        chosen = selected(table, options.get("$select"))
        self.columns = list(table.columns.values()) if chosen is None else chosen
        self.etag = etag
        self.context = "" if chosen is None else "(" + ",".join(c.wire for c in self._named(options["$select"])) + ")"
        prefer = ctx.prefer
        self.formatted = prefer.wants(FORMATTED)
        self.lookup_table = prefer.wants(LOOKUP_TABLE)
        self.lookup_navigation = prefer.wants(LOOKUP_NAVIGATION)
        self.plain = not (self.formatted or self.lookup_table or self.lookup_navigation)
        self.names = [(column.wire, column.name) for column in self.columns]
        # a systemuser's key is inherited from principal: dataverse-api §9.3
        self.principal = nested and table.name in {"systemuser", "team"}
        expands = parse_expand(options["$expand"]) if "$expand" in options else []
        if len(expands) > EXPANDS_MAX:
            raise bad_query(f"The number of $expand options exceeds the maximum of {EXPANDS_MAX}.")
        self.expands = [self._expander(each, nested=nested) for each in expands]

    def _named(self, select: str) -> list[Column]:
        return [self.table.by_wire[name.strip()] for name in select.split(",")]

    def __call__(self, row: Row) -> dict[str, Any]:
        found: dict[str, Any] = {"@odata.etag": f'W/"{row["versionnumber"]}"'} if self.etag else {}
        if self.principal:
            found["ownerid"] = row[self.table.key]
        if self.plain:
            for wire, name in self.names:
                found[wire] = row.get(name)
        else:
            for column in self.columns:
                self._annotated(found, column, row)
        for name, expand in self.expands:
            expand(found, name, row)
        return found

    def _annotated(self, found: dict[str, Any], column: Column, row: Row) -> None:
        value, wire = row.get(column.name), column.wire
        if value is not None:  # annotations come before the value that they describe: dataverse-api §2.2
            if column.is_lookup:
                target = row_target(column, row)
                if self.formatted and (name := self._name_of(target.table, value)) is not None:
                    found[f"{wire}@{FORMATTED}"] = name
                if self.lookup_navigation:
                    found[f"{wire}@{LOOKUP_NAVIGATION}"] = target.navigation
                if self.lookup_table:
                    found[f"{wire}@{LOOKUP_TABLE}"] = target.table
            elif self.formatted and has_annotation(column):
                found[f"{wire}@{FORMATTED}"] = display(
                    column, value, self._symbol(row) if column.kind == "Money" else "$"
                )
        found[wire] = value

    def _name_of(self, table: str, key: str) -> str | None:
        other = self.ctx.store.get(table, key)
        return other.get(self.ctx.shape.tables[table].primary_name) if other else None

    def _symbol(self, row: Row) -> str:
        currency = self.ctx.store.get("transactioncurrency", row.get("transactioncurrencyid", ""))
        return currency["currencysymbol"] if currency else "$"

    # $expand: dataverse-api §2.7

    def _expander(self, expand: Expand, *, nested: bool) -> tuple[str, Callable[[dict[str, Any], str, Row], None]]:
        navigation = self.table.navigations.get(expand.navigation)
        if navigation is not None:
            return expand.navigation, self._single(navigation[0], navigation[1], expand)
        referrer = self.ctx.shape.collection(self.table.name, expand.navigation)
        if referrer is None:
            raise missing_property(expand.navigation, self.table.name)
        if expand.reference:
            raise bad_query("Expand with $ref is only supported on lookup type navigation property.")
        if nested and {"$orderby", "$top"} & set(expand.options):
            raise _only_select_and_filter()
        return expand.navigation, self._many(referrer, expand)

    def _single(
        self, column: Column, targets: Sequence[Target], expand: Expand
    ) -> Callable[[dict[str, Any], str, Row], None]:
        if {"$orderby", "$top"} & set(expand.options):
            raise _only_select_and_filter()
        store, ctx = self.ctx.store, self.ctx
        projections: dict[str, Projection] = {}
        for target in targets[:1] if len(targets) == 1 or column.kind != "Owner" else targets:
            table = ctx.shape.tables[target.table]
            options = dict(expand.options)
            if column.kind == "Owner":  # the navigation's type is principal, which has ownerid alone
                options["$select"] = table.key
            projections[target.table] = Projection(ctx, table, options, etag=False, nested=True)

        def apply(found: dict[str, Any], name: str, row: Row) -> None:
            key = row.get(column.name)
            target = row_target(column, row).table if key is not None else ""
            other = store.get(target, key) if key is not None and target in projections else None
            if other is None:
                found[name] = None
            elif expand.reference:
                found[name] = {"@odata.id": ctx.url(ctx.shape.tables[target], key or "")}
            else:
                found[name] = projections[target](other)

        return apply

    def _many(self, referrer: Referrer, expand: Expand) -> Callable[[dict[str, Any], str, Row], None]:
        ctx, key = self.ctx, self.table.key
        related = ctx.shape.tables[referrer.table]
        listing = Listing(ctx, related, expand.options, {})
        top = int(expand.options["$top"]) if expand.options.get("$top", "").isdigit() else None
        query = dict(expand.options)

        def apply(found: dict[str, Any], name: str, row: Row) -> None:
            rows = listing.rows(_pointing(ctx, referrer, row[key]))
            found[name] = [listing.projection(each) for each in rows[:top]]
            url = f"{ctx.url(self.table, row[key])}/{name}"
            found[f"{name}@odata.nextLink"] = link(url, query) if query else url

        return apply


def _only_select_and_filter() -> Exception:
    return bad_query(
        "Only $select and $filter clause can be provided while doing $expand on many-to-one relationship or nested "
        "one-to-many relationship."
    )


def row_target(column: Column, row: Row) -> Target:
    """The target that a lookup's value belongs to."""
    if not column.polymorphic:
        return column.targets[0]
    kind = row.get(column.type_key)
    return next((each for each in column.targets if each.table == kind), column.targets[0])


def _pointing(ctx: Context, referrer: Referrer, key: str) -> list[Row]:
    """The rows whose lookup names `key` as a row of the referenced table."""
    rows = ctx.store.rows(referrer.table)
    found = (rows[each] for each in ctx.store.find(referrer.table, referrer.column.name, key))
    return [row for row in found if row_target(referrer.column, row).table == referrer.target.table]


# Collections


@dataclass(frozen=True, slots=True)
class _Descending:
    key: tuple[Any, ...]

    def __lt__(self, other: "_Descending") -> bool:
        return other.key < self.key


class Listing:
    """Filter, order and projection of one table, compiled."""

    def __init__(self, ctx: Context, table: Table, options: Mapping[str, str], aliases: Mapping[str, str]) -> None:
        self.ctx = ctx
        self.table = table
        self.projection = Projection(ctx, table, options)
        self.filter = compile_filter(options["$filter"], table, ctx.scope(aliases)) if options.get("$filter") else None
        self.order: list[tuple[Callable[[Row], Any], bool]] = []
        for piece in split_top(options.get("$orderby", ""), ","):
            path, _, direction = piece.partition(" ")
            direction = direction.strip()
            if direction not in {"", "asc", "desc"}:
                raise bad_query(f"Syntax error in $orderby: '{piece}'.")
            self.order.append((resolve_path(path.split("/"), table, ctx.store).get, direction == "desc"))

    def rows(self, among: Sequence[Row] | None = None) -> list[Row]:
        """Matching rows in order; by primary key where nothing else decides."""
        stored = self.ctx.store.rows(self.table.name)
        accepts = self.filter.accepts if self.filter else None
        if among is not None:
            found = [row for row in among if accepts is None or accepts(row)]
        elif self.filter is not None and self.filter.ids is not None:
            found = [
                row for key in self.filter.ids if (row := stored.get(key)) is not None and self.filter.accepts(row)
            ]
        else:
            found = [row for row in stored.values() if accepts is None or accepts(row)]
        found.sort(key=self.sort_key)
        return found

    def raw_key(self, row: Row) -> list[Any]:
        return [fold(get(row)) for get, _ in self.order] + [row[self.table.key]]

    def sort_key(self, row: Row) -> Any:
        return self.comparable(self.raw_key(row)) if self.order else row[self.table.key]

    def comparable(self, raw: Sequence[Any]) -> Any:
        if not self.order:
            return raw[0]
        parts: list[Any] = []
        for value, (_, descending) in zip(raw, self.order, strict=False):
            key = (0,) if value is None else (1, value)  # nulls first when ascending
            parts.append(_Descending(key) if descending else key)
        return (*parts, raw[-1])


def read_collection(ctx: Context, table: Table, url: str, among: Sequence[Row] | None = None) -> Reply:
    """One page of a table, or of the rows related to another row."""
    options, aliases = query_options(ctx.query)
    if "$apply" in options:
        raise not_served("$apply")
    listing = Listing(ctx, table, options, aliases)
    rows = listing.rows(among)
    total = len(rows)
    size = ctx.prefer.page_size or PAGE_ROWS_MAX
    number = 1
    more = False
    if "$skiptoken" in options:
        number, last = read_page_token(options["$skiptoken"])
        rows = rows[bisect_right(rows, listing.comparable(last), key=listing.sort_key) :]
    if "$top" in options and ctx.prefer.page_size is None:  # $top is ignored when maxpagesize is sent
        rows = rows[: _top(options["$top"])]
    if len(rows) > size:
        rows, more = rows[:size], True
    body: dict[str, Any] = {"@odata.context": f"{ctx.base}/$metadata#{table.set_name}{listing.projection.context}"}
    counted = options.get("$count") == "true"
    if ctx.prefer.wants("Microsoft.Dynamics.CRM.totalrecordcount"):
        body["@Microsoft.Dynamics.CRM.totalrecordcount"] = min(total, PAGE_ROWS_MAX) if counted else -1
        body["@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded"] = counted and total > PAGE_ROWS_MAX
        body["@Microsoft.Dynamics.CRM.globalmetadataversion"] = "1000000"
    if counted:
        body["@odata.count"] = min(total, PAGE_ROWS_MAX)  # at most 5000: dataverse-api §2.3
    body["value"] = [listing.projection(row) for row in rows]
    if more:
        token = page_token(number + 1, listing.raw_key(rows[-1]))
        body["@odata.nextLink"] = link(url, {**options, **aliases, "$skiptoken": token})
    return answer(body, headers=applied(ctx))


def applied(ctx: Context, *more: str) -> list[tuple[str, str]]:
    """The preferences that were honoured."""
    names = list(more)
    if ctx.prefer.page_size is not None:
        names.append(f"odata.maxpagesize={ctx.prefer.page_size}")
    if ctx.prefer.annotations:
        names.append(f'odata.include-annotations="{",".join(ctx.prefer.annotations)}"')
    return [("Preference-Applied", ",".join(names))] if names else []


def _top(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= PAGE_ROWS_MAX:
        raise bad_query(
            f"Invalid value '{text}' for $top query option found. It must be between 1 and {PAGE_ROWS_MAX}."
        )
    return int(text)


def page_token(number: int, last: Sequence[Any]) -> str:
    """The paging cookie: opaque to clients, percent-encoded twice inside as the real one is."""
    raw = json.dumps([{"d": str(value)} if isinstance(value, Decimal) else value for value in last])
    return f'<cookie pagenumber="{number}" pagingcookie="{quote(quote(raw, safe=""), safe="")}" istracking="False" />'


def read_page_token(token: str) -> tuple[int, list[Any]]:
    try:
        number = int(token.split('pagenumber="')[1].split('"')[0])
        raw = json.loads(unquote(unquote(token.split('pagingcookie="')[1].split('"')[0])))
        return number, [Decimal(value["d"]) if isinstance(value, dict) else value for value in raw]
    except (IndexError, ValueError, KeyError):
        raise bad_query("Malformed XML in the Paging Cookie") from None


def count_rows(ctx: Context, table: Table, among: Sequence[Row] | None = None) -> Reply:
    """`leads/$count`: digits after a byte order mark, at most 5000 (dataverse-api §2.8)."""
    options, aliases = query_options(ctx.query)
    total = min(len(Listing(ctx, table, options, aliases).rows(among)), PAGE_ROWS_MAX)
    return Reply(
        status=200,
        headers=(("Content-Type", "text/plain"), ("OData-Version", "4.0")),
        body=b"\xef\xbb\xbf" + str(total).encode(),
    )


# Single rows


def read_row(ctx: Context, table: Table, row: Row, url: str | None = None) -> Reply:
    options, _ = query_options(ctx.query)
    unwanted = set(options) - {"$select", "$expand"}
    if unwanted:
        raise bad_query(f"The query parameter {min(unwanted)} is not supported on a single entity.")
    known = ctx.header("if-none-match")
    if (
        known == f'W/"{row["versionnumber"]}"'
        and table.optimistic_concurrency
        and "$expand" not in options
        and not ctx.prefer.annotations
    ):  # dataverse-api §2.3
        return Reply(status=304, headers=(("OData-Version", "4.0"),))
    return answer(represent(ctx, table, row, options), headers=applied(ctx))


def represent(ctx: Context, table: Table, row: Row, options: Mapping[str, str]) -> dict[str, Any]:
    projection = Projection(ctx, table, options)
    context = f"{ctx.base}/$metadata#{table.set_name}{projection.context}/$entity"
    return {"@odata.context": context, **projection(row)}


def read_property(ctx: Context, table: Table, row: Row, name: str) -> Reply:
    """`accounts(id)/name`"""
    column = table.by_wire.get(name)
    if column is None:
        raise missing_property(name, table.name)
    value = row.get(column.name)
    if value is None:
        return no_content()
    context = f"{ctx.base}/$metadata#{table.set_name}({row[table.key]})/{name}"
    return answer({"@odata.context": context, "value": value})


def read_navigation(ctx: Context, table: Table, row: Row, name: str, *, reference: bool, count: bool = False) -> Reply:
    """`leads(id)/parentaccountid`, `accounts(id)/contact_customer_accounts`, `…/$ref`, `…/$count`"""
    single = table.navigations.get(name)
    url = f"{ctx.url(table, row[table.key])}/{name}"
    if single is not None:
        column, targets = single
        key = row.get(column.name)
        target = row_target(column, row)
        if key is None or target not in targets or (other := ctx.store.get(target.table, key)) is None:
            return no_content()  # (unverified): dataverse-api §2.3
        related = ctx.shape.tables[target.table]
        if reference:
            return answer({"@odata.context": f"{ctx.base}/$metadata#$ref", "@odata.id": ctx.url(related, key)})
        return read_row(ctx, related, other)
    referrer = ctx.shape.collection(table.name, name)
    if referrer is None:
        raise missing_property(name, table.name)
    related = ctx.shape.tables[referrer.table]
    among = _pointing(ctx, referrer, row[table.key])
    if count:
        return count_rows(ctx, related, among)
    if reference:
        return answer(
            {
                "@odata.context": f"{ctx.base}/$metadata#Collection($ref)",
                "value": [{"@odata.id": ctx.url(related, each[related.key])} for each in among],
            }
        )
    return read_collection(ctx, related, url, among)

"""Reads of collections and of single rows: pages, counts, properties and what lies below a row (dataverse-api §2)."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import islice
from typing import Any

from crmbridge.sandbox.core import Reply, Row
from crmbridge.sandbox.dynamics import apply, fetching, sql
from crmbridge.sandbox.dynamics.answering import PAGE_ROWS_MAX, applied, counts, plain_text, read_count, read_top
from crmbridge.sandbox.dynamics.columns import Column
from crmbridge.sandbox.dynamics.context import (
    JSON,
    Context,
    RowKey,
    Segment,
    answer,
    link,
    no_content,
    query_options,
    resolve_key,
)
from crmbridge.sandbox.dynamics.errors import bad_query, missing_row, missing_segment
from crmbridge.sandbox.dynamics.projection import Projection, parse_expand, related_rows, row_target
from crmbridge.sandbox.dynamics.selection import Selection
from crmbridge.sandbox.dynamics.tables import Table
from crmbridge.sandbox.dynamics.values import guid

__all__ = ["PAGE_ROWS_MAX", "Projection", "applied", "parse_expand", "read_collection", "represent"]

_STORED_QUERIES = {"savedQuery": "savedquery", "userQuery": "userquery"}


# Collections


def read_collection(ctx: Context, table: Table, url: str, among: Sequence[Row] | None = None) -> Reply:
    """One page of a table, or of the rows related to another row."""
    options, aliases = query_options(ctx.query)
    if (other := _other_language(ctx, table, url, options, aliases, among)) is not None:
        return other
    if unwanted := sorted(set(options) - _COLLECTION_OPTIONS):
        raise bad_query(f"The query parameter {unwanted[0]} is not supported on a collection.")  # dataverse-api §2.3
    counted = read_count(options)
    selection = Selection(ctx, table, options, aliases)
    projection = Projection(ctx, table, options)
    after = selection.place(options["$skiptoken"]) if "$skiptoken" in options else None
    size = ctx.prefer.page_size or PAGE_ROWS_MAX
    limit = size
    if "$top" in options and (top := read_top(options["$top"])) and ctx.prefer.page_size is None:
        limit = top  # ignored when maxpagesize is sent: dataverse-api §2.3
    rows = selection.page(after, limit + 1, among)
    more = len(rows) > limit and not ("$top" in options and ctx.prefer.page_size is None)
    rows = rows[:limit]
    body: dict[str, Any] = {"@odata.context": f"{ctx.base}/$metadata#{table.set_name}{projection.context}"}
    total = selection.count(PAGE_ROWS_MAX, among) if counted else None
    body |= counts(ctx, total)
    if total is not None:
        body["@odata.count"] = min(total, PAGE_ROWS_MAX)  # at most 5000: dataverse-api §2.3
    body["value"] = projection.page(rows)
    if more:
        token = selection.token(1 if after is None else after.page + 1, rows[0], rows[-1])
        body["@odata.nextLink"] = link(url, {**options, **aliases, "$skiptoken": token})
    return answer(body, headers=applied(ctx))


_COLLECTION_OPTIONS = frozenset({"$select", "$filter", "$orderby", "$top", "$expand", "$count", "$skiptoken"})


def _other_language(
    ctx: Context,
    table: Table,
    url: str,
    options: dict[str, str],
    aliases: dict[str, str],
    among: Sequence[Row] | None,
) -> Reply | None:
    """Queries that are no OData row query: dataverse-api §2.9."""
    named = [name for name in ("fetchXml", "sql", *_STORED_QUERIES, "$apply") if name in options]
    if not named:
        return None
    if len(named) > 1 or (among is not None and named[0] != "$apply"):  # text (unverified)
        raise bad_query(f"The query parameter {named[0]} cannot be used here.")
    if named[0] == "fetchXml":
        return fetching.read_fetch(ctx, table, options)
    if named[0] == "sql":
        return sql.read_sql(ctx, table, url, options)
    if named[0] == "$apply":
        return apply.read_apply(ctx, table, url, options, aliases, among)
    others = {name: value for name, value in options.items() if name != named[0]}
    return fetching.read_fetch(ctx, table, {**others, "fetchXml": _stored_query(ctx, named[0], options[named[0]])})


def _stored_query(ctx: Context, option: str, text: str) -> str:
    """The FetchXML of a view, of everybody's or of a user's own."""
    name, key = _STORED_QUERIES[option], guid(text)
    if key is None:
        raise bad_query(f"The value of the query parameter {option} is no GUID.")
    row = ctx.store.get(name, key) if name in ctx.shape.tables else None
    if row is None:
        raise missing_row(name, key)
    ctx.access.demand_row(ctx.shape.tables[name], row, "read")
    return row.get("fetchxml") or ""


def count_rows(ctx: Context, table: Table, among: Sequence[Row] | None = None) -> Reply:
    """`leads/$count`: digits after a byte order mark, at most 5000 (dataverse-api §2.8)."""
    options, aliases = query_options(ctx.query)
    if unwanted := sorted(set(options) - {"$filter"}):
        raise bad_query(f"The query parameter {unwanted[0]} is not supported with /$count.")  # text (unverified)
    total = Selection(ctx, table, options, aliases).count(PAGE_ROWS_MAX, among)
    return plain_text(str(min(total, PAGE_ROWS_MAX)))


# Single rows


def read_row(ctx: Context, table: Table, row: Row) -> Reply:
    """dataverse-api §2.2, §2.3"""
    options, _ = query_options(ctx.query)
    unwanted = set(options) - {"$select", "$expand"}
    if unwanted:
        raise bad_query(f"The query parameter {min(unwanted)} is not supported on a single entity.")
    ctx.access.demand_row(table, row, "read")
    known = ctx.header("if-none-match")
    if (
        known == f'W/"{row["versionnumber"]}"'
        and table.optimistic_concurrency
        and "$expand" not in options
        and not ctx.prefer.annotations
    ):  # dataverse-api §2.3
        return Reply(status=304, headers=(("Content-Type", JSON), ("OData-Version", "4.0")))
    return answer(represent(ctx, table, row, options), headers=applied(ctx))


def represent(ctx: Context, table: Table, row: Row, options: dict[str, str]) -> dict[str, Any]:
    projection = Projection(ctx, table, options)
    context = f"{ctx.base}/$metadata#{table.set_name}{projection.context}/$entity"
    return {"@odata.context": context, **projection(row)}


# Below a row


def read_below(ctx: Context, table: Table, row: Row, rest: Sequence[Segment]) -> Reply:
    """`leads(id)/subject`, `…/subject/$value`, `…/parentaccountid/name`, `accounts(id)/contact_customer_accounts`,
    `…/$ref`, `…/$count` (dataverse-api §2.3).
    """
    head, tail = rest[0], rest[1:]
    column = table.by_wire.get(head.name)
    if column is not None and head.name not in table.navigations and head.key is None:
        return _property(ctx, table, row, column, tail)
    ctx.access.demand_row(table, row, "read")
    if head.name in table.navigations:
        if head.key is not None:
            raise missing_segment(head.name)
        return _single(ctx, table, row, head.name, tail)
    related = related_rows(ctx, table, head.name)
    if related is None:
        raise missing_segment(head.name)
    among = related.rows(row[table.key])
    if head.key is not None:
        return _member(ctx, related.table, among, resolve_key(ctx, related.table, head.key), tail)
    names = [each.name for each in tail]
    if names == ["$count"]:
        return count_rows(ctx, related.table, among)
    if names == ["$ref"]:
        return _references(ctx, related.table, among)
    if names:
        raise missing_segment(names[0])
    return read_collection(ctx, related.table, f"{ctx.url(table, row[table.key])}/{head.name}", among)


def _property(ctx: Context, table: Table, row: Row, column: Column, tail: Sequence[Segment]) -> Reply:
    """`accounts(id)/name`: dataverse-api §2.3; an empty one answers 204 (unverified)."""
    ctx.access.demand_row(table, row, "read")
    names = [each.name for each in tail]
    if names not in ([], ["$value"]):
        raise missing_segment(names[0])
    options, _ = query_options(ctx.query)
    if options:
        raise bad_query(f"The query parameter {min(options)} is not supported on a property.")
    value = None if column.name in ctx.access.hidden(table) else row.get(column.name)
    if value is None:
        return no_content()
    if names:
        return plain_text(_raw(value))
    context = f"{ctx.base}/$metadata#{table.set_name}({row[table.key]})/{column.wire}"
    return answer({"@odata.context": context, "value": value})


def _raw(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _single(ctx: Context, table: Table, row: Row, name: str, tail: Sequence[Segment]) -> Reply:
    """`leads(id)/parentaccountid` and what lies below it; an empty one answers 204 (unverified): dataverse-api §2.3."""
    column, targets = table.navigations[name]
    key, target = row.get(column.name), row_target(column, row)
    if key is None or target not in targets or (other := ctx.store.get(target.table, key)) is None:
        return no_content()
    related = ctx.shape.tables[target.table]
    if [each.name for each in tail] == ["$ref"]:
        if options := query_options(ctx.query)[0]:
            raise bad_query(f"The query parameter {min(options)} is not supported with /$ref.")  # text (unverified)
        return answer({"@odata.context": f"{ctx.base}/$metadata#$ref", "@odata.id": ctx.url(related, key)})
    return read_below(ctx, related, other, tail) if tail else read_row(ctx, related, other)


def _member(ctx: Context, table: Table, among: Sequence[Row], key: RowKey, tail: Sequence[Segment]) -> Reply:
    """One row of a collection, if it is in there: dataverse-api §2.3."""
    found = next((row for row in among if row[table.key] == key.id), None)
    if found is None:
        raise missing_row(table.name, key.id or "")
    return read_below(ctx, table, found, tail) if tail else read_row(ctx, table, found)


def _references(ctx: Context, table: Table, among: Sequence[Row]) -> Reply:
    """`accounts(id)/contact_customer_accounts/$ref`: dataverse-api §2.3, §4.3."""
    options, aliases = query_options(ctx.query)
    if unwanted := sorted(set(options) - {"$filter", "$orderby", "$top"}):
        raise bad_query(f"The query parameter {unwanted[0]} is not supported with /$ref.")
    limit = read_top(options["$top"]) if "$top" in options else PAGE_ROWS_MAX
    rows = islice(Selection(ctx, table, options, aliases).walk(None, among), limit)
    return answer(
        {
            "@odata.context": f"{ctx.base}/$metadata#Collection($ref)",
            "value": [{"@odata.id": ctx.url(table, each[table.key])} for each in rows],
        }
    )

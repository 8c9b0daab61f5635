"""Create and update: rights, defaults, stamps, computed columns, rules, and what follows a write (dataverse-api §4).

Every function works inside the caller's transaction and raises DataverseError to refuse. `create_from` and
`update_from` are what a request asks for, with the rights of who asks; `create` and `update` are what the platform does
on the way.
"""

from collections.abc import Collection
from typing import Any

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.dynamics import associations, connections, platform_rows, pricing, processes, rules
from crmbridge.sandbox.dynamics.computed import complete
from crmbridge.sandbox.dynamics.context import Context
from crmbridge.sandbox.dynamics.errors import DataverseError, bad_query, missing_row
from crmbridge.sandbox.dynamics.headers import detection_asked
from crmbridge.sandbox.dynamics.payload import Changes, read_changes, set_lookup
from crmbridge.sandbox.dynamics.states import OPEN, follow_customer, forecast, settle_state
from crmbridge.sandbox.dynamics.tables import Table

_PRICED = frozenset({pricing.OPPORTUNITY, pricing.PRODUCT})


def create_from(
    ctx: Context, table: Table, body: dict[str, Any], forced: Row | None = None, *, by_key: Row | None = None
) -> Row:
    """A row from a request body, nested rows included.

    `forced` comes from the URL and wins over the body (primary key, navigation); values of an alternate key in the URL
    (`by_key`) give way to the body's (dataverse-api §4.5).
    """
    platform_rows.check(ctx.shape, table, "Create")
    ctx.access.demand(table, "create")
    changes = read_changes(ctx, table, body)
    for column, other, nested in changes.parents:  # deep insert: dataverse-api §4.1
        parent = create_from(ctx, other, nested)
        set_lookup(changes.values, column, other.name, parent[other.key])
    values = {**(by_key or {}), **changes.values, **(forced or {})}
    demand_for_new(ctx, table, values)
    row = create(ctx, table, values, detect_duplicates=detection_asked(ctx.headers))
    key: str = row[table.key]
    for referrer, bodies, existing in changes.children:
        other = ctx.shape.tables[referrer.table]
        link: Row = {}
        set_lookup(link, referrer.column, table.name, key)
        for nested in bodies:
            create_from(ctx, other, nested, link)
        for each in existing:
            update(ctx, other, each, dict(link))
    for association, bodies, existing in changes.associates:
        other = ctx.shape.tables[association.sides(table.name)[1][0]]
        for each in [*existing, *(create_from(ctx, other, nested)[other.key] for nested in bodies)]:
            associations.link(ctx, association, table.name, key, each)
    return ctx.store.rows(table.name)[key]


def update_from(ctx: Context, table: Table, key: str, body: dict[str, Any], address: Collection[str] = ()) -> Row:
    """`address`: columns of the alternate key in the URL; their values in the body are ignored (dataverse-api §4.5)."""
    platform_rows.check(ctx.shape, table, "Update")
    changes: Changes = read_changes(ctx, table, body)
    if changes.nested:  # dataverse-api §4.1 (unverified)
        raise bad_query("Deep update of navigation properties is not supported.")
    values = changes.values
    for name in (table.key, *address):
        values.pop(name, None)
    if not ctx.access.full:
        _demand_update(ctx, table, key, values)
    return update(ctx, table, key, values, detect_duplicates=detection_asked(ctx.headers))


def change(ctx: Context, table: Table, key: str, values: Row) -> Row:
    """An update of kept forms that a request asks for (a lookup set or cleared through `$ref`)."""
    platform_rows.check(ctx.shape, table, "Update")
    if not ctx.access.full:
        _demand_update(ctx, table, key, values)
    return update(ctx, table, key, values)


def _demand_update(ctx: Context, table: Table, key: str, values: Row) -> None:
    row = ctx.store.get(table.name, key)
    if row is None:
        raise missing_row(table.name, key)
    ctx.access.demand_row(table, row, "write")
    if "ownerid" in values and values["ownerid"] != row.get("ownerid"):
        ctx.access.demand_row(table, row, "assign")
    _demand_for_values(ctx, table, values, "update")


def _demand_for_values(ctx: Context, table: Table, values: Row, verb: str) -> None:
    if not ctx.access.full:
        ctx.access.demand_columns(table, values, verb)
        ctx.access.demand_links(table, values)


def demand_for_new(ctx: Context, table: Table, values: Row) -> None:
    """dataverse-api §4.4, §10.3 (the name of the privilege to backdate is (unverified))"""
    _demand_for_values(ctx, table, values, "create")
    if values.get("overriddencreatedon") is not None:
        ctx.access.demand_named("prvOverrideCreatedOnCreatedBy")


def create(
    ctx: Context,
    table: Table,
    values: Row,
    *,
    detect_duplicates: bool = False,
    by_message: bool = False,
    start: bool = True,
) -> Row:
    """`start` is off where a process must not begin by itself."""
    store = ctx.store
    if not by_message:  # columns that cannot be written are ignored without an error: dataverse-api §4.1 (unverified)
        frozen = table.frozen_on_create
        values = {name: value for name, value in values.items() if name not in frozen}
    key: str = values.get(table.key) or ctx.world.guid()
    if store.get(table.name, key) is not None:  # dataverse-api §10.3
        raise DataverseError(
            412, "0x80040237", f"Cannot insert duplicate key. A {table.name} with Id = {key} already exists."
        )
    settle_state(table, None, values, by_message=by_message)
    row: Row = {**table.defaults, **values}
    row[table.key] = key
    columns = table.columns
    _stamp(ctx, table, row, "created")
    _stamp(ctx, table, row, "modified")
    if "activitytypecode" in columns:
        row["activitytypecode"] = table.name
    if (moved := values.get("overriddencreatedon")) is not None:  # dataverse-api §4.4; the swap (unverified)
        row["createdon"], row["overriddencreatedon"] = moved, ctx.stamp
    if "ownerid" in columns and row.get("ownerid") is None:
        set_lookup(row, columns["ownerid"], "systemuser", ctx.user)
    _prepare(ctx, table, None, row, values, detect_duplicates=detect_duplicates)
    row = store.put(table.name, key, row)
    _follow(ctx, table, row)
    if start and not table.is_process:
        processes.start_first(ctx, table, row)
    return store.rows(table.name)[key]


def update(
    ctx: Context, table: Table, key: str, values: Row, *, detect_duplicates: bool = False, by_message: bool = False
) -> Row:
    before = ctx.store.get(table.name, key)
    if before is None:
        raise missing_row(table.name, key)
    if not by_message:
        frozen = table.frozen_on_update
        values = {name: value for name, value in values.items() if name not in frozen}
    settle_state(table, before, values, by_message=by_message)
    row = {**before, **values}
    if "statecode" in values and values["statecode"] != before.get("statecode"):
        forecast(row, values["statecode"])
        if table.is_process:
            row["completedon"] = None if values["statecode"] == OPEN else row.get("completedon") or ctx.stamp
    _stamp(ctx, table, row, "modified")
    _prepare(ctx, table, before, row, values, detect_duplicates=detect_duplicates)
    row = ctx.store.put(table.name, key, row)
    _follow(ctx, table, row)
    return ctx.store.rows(table.name)[key]


def _prepare(ctx: Context, table: Table, before: Row | None, row: Row, values: Row, *, detect_duplicates: bool) -> None:
    """Complete the row as it will be, and check it."""
    follow_customer(table, before or {}, row, values)
    if table.is_process:
        processes.check(ctx, table, before, row, values)
    elif table.name in _PRICED:
        pricing.prepare(ctx, table, before, row, values)
    elif table.name == connections.CONNECTION:
        connections.prepare(ctx, table, row)
    complete(ctx.store, table, row)
    rules.check(ctx, table, before, row, values, detect_duplicates=detect_duplicates)


def _follow(ctx: Context, table: Table, row: Row) -> None:
    """What a written row does to others."""
    if table.is_process:
        processes.write_salesstage(ctx, table, row)
    elif table.name == pricing.PRODUCT:
        pricing.follow(ctx, table, row)
    elif table.name == connections.CONNECTION:
        connections.mirror(ctx, table, row)


def _stamp(ctx: Context, table: Table, row: Row, verb: str) -> None:
    columns = table.columns
    if f"{verb}on" in columns:
        row[f"{verb}on"] = ctx.stamp
    if f"{verb}by" in columns:
        row[f"{verb}by"] = ctx.user
    if ctx.caller != ctx.user and f"{verb}onbehalfby" in columns:
        row[f"{verb}onbehalfby"] = ctx.caller
    elif verb == "modified":
        row.pop("modifiedonbehalfby", None)

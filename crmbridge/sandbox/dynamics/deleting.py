"""Deleting rows: what goes along, what is unlinked, what stands in the way (dataverse-api §4.3; lifecycle §5)."""

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.dynamics import platform_rows, pricing, sharing
from crmbridge.sandbox.dynamics.context import Context
from crmbridge.sandbox.dynamics.errors import DataverseError, missing_row
from crmbridge.sandbox.dynamics.payload import set_lookup
from crmbridge.sandbox.dynamics.states import follow_customer
from crmbridge.sandbox.dynamics.tables import Table


def delete(ctx: Context, table: Table, key: str) -> None:
    row = ctx.store.get(table.name, key)
    if row is None:
        raise missing_row(table.name, key)
    platform_rows.check(ctx.shape, table, "Delete")
    ctx.access.demand_row(table, row, "delete")
    _delete(ctx, table, key)


def _delete(ctx: Context, table: Table, key: str) -> None:
    row = ctx.store.get(table.name, key)
    if row is None:
        return  # gone already, by another way around
    ctx.store.remove(table.name, key)  # first, so that relations in a circle end
    for referrer in ctx.shape.referrers[table.name]:
        other, column = ctx.shape.tables[referrer.table], referrer.column
        for each in ctx.store.find(other.name, column.name, key):
            found = ctx.store.get(other.name, each)
            if found is None or column.target_of(found).table != table.name:
                continue
            if column.on_delete == "Restrict":
                raise DataverseError(
                    405,
                    "0x80040227",
                    "The object you tried to delete is associated with another object and cannot be deleted "
                    f"({other.name}).",
                )
            if column.on_delete == "Cascade":
                _delete(ctx, other, each)
            else:
                _unlink(ctx, other, found, column.name)
    for association in ctx.shape.associated[table.name]:
        for own_table, column_name in {association.left, association.right}:
            if own_table == table.name:
                for each in ctx.store.find(association.table, column_name, key):
                    ctx.store.remove(association.table, each)
    pricing.follow(ctx, table, row)
    sharing.forget(ctx, key)


def _unlink(ctx: Context, table: Table, row: Row, name: str) -> None:
    """The lookup goes, the row gets a new version; `modifiedon` stays (unverified)."""
    values: Row = {}
    set_lookup(values, table.columns[name], None, None)
    after = {**row, **values}
    follow_customer(table, row, after, values)
    ctx.store.put(table.name, row[table.key], after)

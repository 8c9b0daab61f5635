"""Many-to-many relationships: links are rows of an intersect table, made and undone through `$ref` (dataverse-api
§4.3).
"""

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.dynamics.context import Context
from crmbridge.sandbox.dynamics.errors import DataverseError, missing_row
from crmbridge.sandbox.dynamics.store import Store
from crmbridge.sandbox.dynamics.tables import Association, Table


def related(store: Store, association: Association, table: str, key: str) -> list[str]:
    """Ids on the other side of a row, oldest link first."""
    (_, own), (_, other) = association.sides(table)
    rows = store.rows(association.table)
    return [rows[each][other] for each in store.find(association.table, own, key)]


def link(ctx: Context, association: Association, table: str, key: str, other_key: str) -> None:
    """A second link of the same two rows is refused: dataverse-api §10.3 (that it is, is (unverified))."""
    if find(ctx.store, association, table, key, other_key) is not None:
        raise DataverseError(412, "0x80040237", "Cannot insert duplicate key.")
    _demand(ctx, association)
    add(ctx, association, table, key, other_key)


def add(ctx: Context, association: Association, table: str, key: str, other_key: str) -> None:
    (_, own), (_, other) = association.sides(table)
    between = ctx.shape.tables[association.table]
    row_key = ctx.world.guid()
    row: Row = {between.key: row_key, own: key, other: other_key}
    ctx.store.put(association.table, row_key, row)


def unlink(ctx: Context, association: Association, table: Table, key: str, other_key: str) -> None:
    """dataverse-api §4.3"""
    found = find(ctx.store, association, table.name, key, other_key)
    if found is None:
        raise missing_row(association.sides(table.name)[1][0], other_key)
    _demand(ctx, association)
    ctx.store.remove(association.table, found)


def find(store: Store, association: Association, table: str, key: str, other_key: str) -> str | None:
    (_, own), (_, other) = association.sides(table)
    rows = store.rows(association.table)
    return next((each for each in store.find(association.table, own, key) if rows[each][other] == other_key), None)


def _demand(ctx: Context, association: Association) -> None:
    """Append and append to, on both: dataverse-api §6.9."""
    for name in (association.left[0], association.right[0]):
        ctx.access.demand(ctx.shape.tables[name], "append")
        ctx.access.demand(ctx.shape.tables[name], "appendto")

"""Connections between rows: each has a twin that tells it from the other side (dataverse-api §9.4).

That the twin is kept in step with every write is (unverified).
"""

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.dynamics.context import Context
from crmbridge.sandbox.dynamics.errors import DataverseError
from crmbridge.sandbox.dynamics.tables import Table

CONNECTION = "connection"
_SIDES = (("record1", "record2"), ("record2", "record1"))


def prepare(ctx: Context, table: Table, row: Row) -> None:
    """The types of both ends, and which of the two rows is the first one: dataverse-api §9.4."""
    for side, _ in _SIDES:
        if row.get(f"{side}id") is None:  # (unverified)
            raise DataverseError(400, "0x80040203", f"The required column '{side}id' of {CONNECTION} is empty.")
        row[f"{side}objecttypecode"] = ctx.shape.tables[_kind(table, row, side)].code
    row.setdefault("ismaster", True)
    row["name"] = _name_of(ctx, table, row, "record2")


def mirror(ctx: Context, table: Table, row: Row) -> None:
    """Write the twin after its original."""
    twin = ctx.store.get(CONNECTION, row.get("relatedconnectionid") or "")
    if twin is None and not row.get("ismaster"):
        return
    key = ctx.world.guid() if twin is None else twin[table.key]
    other: Row = {**row, **(twin or {}), table.key: key, "relatedconnectionid": row[table.key], "ismaster": False}
    if not row.get("ismaster"):
        other["ismaster"] = True
    for side, opposite in _SIDES:
        for part in (f"{side}id", f"_{side}id_type", f"{side}roleid", f"{side}objecttypecode"):
            other[part] = row.get(part.replace(side, opposite))
    for name in (
        "description",
        "effectivestart",
        "effectiveend",
        "statecode",
        "statuscode",
        "modifiedon",
        "modifiedby",
    ):
        other[name] = row.get(name)
    other["name"] = _name_of(ctx, table, other, "record2")
    ctx.store.put(CONNECTION, key, other)
    if twin is None:
        ctx.store.put(CONNECTION, row[table.key], {**row, "relatedconnectionid": key})


def _kind(table: Table, row: Row, side: str) -> str:
    return row.get(f"_{side}id_type") or table.columns[f"{side}id"].targets[0].table


def _name_of(ctx: Context, table: Table, row: Row, side: str) -> str | None:
    target = ctx.shape.tables[_kind(table, row, side)]
    found = ctx.store.get(target.name, row.get(f"{side}id") or "")
    return found.get(target.primary_name) if found is not None else None

"""Filling an environment with rows in native columns: types are checked, life-cycle rules are not.

`_ref: name` names a row, `"@name"` in a lookup points to it. Other keys that begin with an underscore: `_x_type` (the
target table of a polymorphic lookup, else the table of the row it points to) and `_stage` (the name of the stage that a
lead or opportunity is on; null for no process). An open lead or opportunity without it is on the first stage.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.dynamics import processes
from crmbridge.sandbox.dynamics.context import Context
from crmbridge.sandbox.dynamics.payload import set_lookup
from crmbridge.sandbox.dynamics.shape import Column, Process, Table
from crmbridge.sandbox.dynamics.states import OPEN, follow_customer
from crmbridge.sandbox.dynamics.values import EMPTY_GUID, accept, guid, stamp
from crmbridge.sandbox.dynamics.writing import complete

STAGE = "_stage"


class LoadError(ValueError):
    """A row that does not fit the shape; the message names table, row and column."""


def load(ctx: Context, records: Mapping[str, Sequence[Row]], names: dict[str, tuple[str, str]]) -> None:
    """Add the rows; `names` (name -> table, id) is read and extended, so that later files can point to earlier ones."""
    prepared: list[tuple[Table, str, Row]] = []
    for table_name, rows in records.items():
        table = ctx.shape.tables.get(table_name)
        if table is None:
            raise LoadError(f"{table_name}: the shape has no such table")
        for source in rows:
            key = guid(source.get(table.key)) or ctx.world.guid()
            if (name := source.get("_ref")) is not None:
                if name in names:
                    raise LoadError(f"{table_name}: the name {name!r} is used twice")
                names[name] = (table.name, key)
            prepared.append((table, key, source))
    known = _Known(ctx, names, {(table.name, key) for table, key, _ in prepared})
    for table, key, source in prepared:
        _put(ctx, table, key, source, known)
    for table, key, source in prepared:
        _start_process(ctx, table, ctx.store.rows(table.name)[key], source)


class _Known:
    """Resolves what a lookup's value names."""

    def __init__(self, ctx: Context, names: Mapping[str, tuple[str, str]], coming: set[tuple[str, str]]) -> None:
        self.ctx = ctx
        self.names = names
        self.coming = coming

    def find(self, column: Column, value: str, declared: str | None) -> tuple[str, str] | None:
        if value.startswith("@"):
            return self.names.get(value[1:])
        key = guid(value)
        for target in column.targets:
            here = key is not None and (
                (target.table, key) in self.coming or self.ctx.store.get(target.table, key) is not None
            )
            if here and key is not None and declared in (None, target.table):
                return target.table, key
        if column.targets[0].table == "transactioncurrency":  # by ISO code, for people who write such files
            found = self.ctx.store.find("transactioncurrency", "isocurrencycode", value)
            return ("transactioncurrency", found[0]) if found else None
        return None


def _put(ctx: Context, table: Table, key: str, source: Row, known: _Known) -> None:
    now = stamp(ctx.now)
    row: Row = {column.name: column.default for column in table.columns.values() if column.default is not None}
    for name in ("createdon", "modifiedon"):
        if name in table.columns:
            row[name] = now
    for name in ("createdby", "modifiedby"):
        if name in table.columns:
            row[name] = ctx.user
    if "ownerid" in table.columns:
        set_lookup(row, table.columns["ownerid"], "systemuser", ctx.user)
    values: Row = {}
    for name, value in source.items():
        if not name.startswith("_"):
            _take(ctx, table, key, name, value, source, known, values)
    row.update(values)
    row[table.key] = key
    if table.state is not None:
        _settle(table, row)
    if "modifiedon" in table.columns and "createdon" in source and "modifiedon" not in source:
        row["modifiedon"] = row["createdon"]
    follow_customer(table, {}, row, values)
    complete(ctx.store, table, row)
    ctx.store.put(table.name, key, row)


def _take(ctx: Context, table: Table, key: str, name: str, value: Any, source: Row, known: _Known, values: Row) -> None:
    column = table.columns.get(name)
    place = f"{table.name} {source.get('_ref', key)}: {name}"
    if column is None:
        raise LoadError(f"{place}: the shape has no such column")
    if not column.is_lookup:
        number = Decimal(repr(value)) if isinstance(value, float) else value
        values[name] = accept(table, column, number, ctx.shape.organization.pricingdecimalprecision)
        return
    if value is None:
        return
    found = known.find(column, str(value), source.get(column.type_key))
    if found is None or not any(target.table == found[0] for target in column.targets):
        raise LoadError(f"{place}: {value!r} names no row of {', '.join(target.table for target in column.targets)}")
    set_lookup(values, column, *found)


def _settle(table: Table, row: Row) -> None:
    """State and status complete each other; a contradiction is a mistake in the file."""
    state, status = table.columns["statecode"], table.columns["statuscode"]
    if row.get("statecode") is None:
        chosen = status.option(row.get("statuscode"))
        row["statecode"] = chosen.state if chosen else state.options[0].value
    if row.get("statuscode") is None:
        option = state.option(row["statecode"])
        row["statuscode"] = option.default if option else None
    chosen = status.option(row["statuscode"])
    if chosen is None or chosen.state != row["statecode"]:
        raise LoadError(f"{table.name}: status {row['statuscode']} does not belong to state {row['statecode']}")


def _start_process(ctx: Context, table: Table, row: Row, source: Row) -> None:
    wanted = source.get(STAGE)
    first = ctx.shape.first_process(table.name)
    if first is None or (STAGE in source and wanted is None) or row.get("processid") == EMPTY_GUID:
        return
    if wanted is None and row.get("statecode", OPEN) != OPEN:
        return
    if processes.instances(ctx, table.name, row[table.key]):
        return  # the file brought one of its own
    process, position = _stage(ctx, first, table, wanted)
    processes.start(ctx, process, table, row, position, moment=row.get("modifiedon"))


def _stage(ctx: Context, first: Process, table: Table, wanted: str | None) -> tuple[Process, int]:
    if wanted is None:
        return first, 0
    candidates = [first, *(process for process in ctx.shape.processes.values() if process is not first)]
    for process in candidates:
        for position, stage in enumerate(process.stages):
            if stage.name == wanted and stage.table == table.name:
                return process, position
    raise LoadError(f"{table.name}: no process has a stage {wanted!r} on this table")

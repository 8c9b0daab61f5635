"""Filling an environment with rows in native columns: types are checked, life-cycle rules are not.

`_ref: name` names a row, `"@name"` in a lookup points to it. Other keys that begin with an underscore: `_x_type` (the
target table of a polymorphic lookup, else the table of the row it points to) and `_stage` (the name of the stage that a
lead or opportunity is on; null for no process). An open lead or opportunity without it is on the first stage.
`_roles` of a user or team names security roles; without it the shape's `default_roles` for people are given. A row of
an intersect table names its two rows by their keys.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from crmbridge.sandbox.core import BadRow, Row
from crmbridge.sandbox.dynamics import associations, processes
from crmbridge.sandbox.dynamics.columns import Column
from crmbridge.sandbox.dynamics.computed import complete
from crmbridge.sandbox.dynamics.context import Context
from crmbridge.sandbox.dynamics.errors import DataverseError
from crmbridge.sandbox.dynamics.payload import EXACT, set_lookup
from crmbridge.sandbox.dynamics.shape import Process
from crmbridge.sandbox.dynamics.states import OPEN, follow_customer
from crmbridge.sandbox.dynamics.tables import Table
from crmbridge.sandbox.dynamics.values import EMPTY_GUID, accept, guid

STAGE = "_stage"
ROLES = "_roles"
_ROLE_LINKS = {"systemuser": "systemuserroles_association", "team": "teamroles_association"}


class LoadError(ValueError):
    """A row that does not fit the shape; the message names table, row and column."""

    def __init__(self, message: str, column: str = "") -> None:
        super().__init__(message)
        self.column = column


def load(ctx: Context, records: Mapping[str, Sequence[Row]], names: dict[str, tuple[str, str]]) -> None:
    """Add the rows; `names` (name -> table, id) is read and extended, so that later files can point to earlier ones."""
    prepared: list[tuple[Table, str, Row]] = []
    for table_name, rows in records.items():
        table = ctx.shape.tables.get(table_name)
        if table is None:
            raise LoadError(f"{table_name}: the shape has no such table")
        for number, source in enumerate(rows, 1):
            given = source.get(table.key)
            key = guid(given) or ctx.world.guid()
            if given is not None and guid(given) is None:
                raise BadRow(table.name, number, table.key, f"{given!r} is no GUID.")
            if (name := source.get("_ref")) is not None:
                if name in names:
                    raise BadRow(table.name, number, "_ref", f"the name {name!r} is used twice")
                names[name] = (table.name, key)
            prepared.append((table, key, source))
    known = _Known(ctx, names, {(table.name, key) for table, key, _ in prepared})
    numbers: Counter[str] = Counter()
    for table, key, source in prepared:
        numbers[table.name] += 1
        try:
            _put(ctx, table, key, source, known)
        except (LoadError, DataverseError) as problem:
            column = problem.column if isinstance(problem, LoadError) else ""
            raise BadRow(table.name, numbers[table.name], column, str(problem)) from problem
    for table, key, source in prepared:
        _start_process(ctx, table, ctx.store.rows(table.name)[key], source)
        if table.name in _ROLE_LINKS:
            _give_roles(ctx, table, key, source)


def load_roles(ctx: Context, business_unit: str) -> None:
    """A row for each role of the shape; who holds it is a link."""
    for name in ctx.shape.roles:
        key = ctx.world.guid()
        ctx.store.put("role", key, {"roleid": key, "name": name, "businessunitid": business_unit})


def load_duplicate_rules(ctx: Context) -> None:
    """A row for each published rule of the shape, where the shape has the table (lifecycle §6)."""
    if "duplicaterule" not in ctx.shape.tables:
        return
    for rule in ctx.shape.duplicate_rules:
        key = ctx.world.guid()
        row: Row = {
            "duplicateruleid": key,
            "name": f"{rule.table} with the same {', '.join(rule.match)}",
            "baseentityname": rule.table,
            "matchingentityname": rule.against,
            "excludeinactiverecords": rule.exclude_inactive,
            "statecode": 1,
            "statuscode": 2,
        }
        ctx.store.put("duplicaterule", key, row)


def _give_roles(ctx: Context, table: Table, key: str, source: Row) -> None:
    association = ctx.shape.associations.get(_ROLE_LINKS[table.name])
    if association is None or associations.related(ctx.store, association, table.name, key):
        return
    names: Sequence[str] = source.get(ROLES, ctx.shape.default_roles["people"])
    for name in names:
        found = ctx.store.find("role", "name", name)
        if not found:
            raise LoadError(f"{table.name} {source.get('_ref', key)}: the shape has no role {name!r}")
        associations.add(ctx, association, table.name, key, found[0])


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
    now = ctx.stamp
    row: Row = dict(table.defaults)
    for name in ("createdon", "modifiedon"):
        if name in table.columns:
            row[name] = now
    if "ownerid" in table.columns:
        set_lookup(row, table.columns["ownerid"], "systemuser", ctx.user)
    values: Row = {}
    for name, value in source.items():
        if not name.startswith("_"):
            _take(ctx, table, key, name, value, source, known, values)
    author = values.get("createdby") or _author(ctx, table, values.get("ownerid"))
    row.update({name: author for name in ("createdby", "modifiedby") if name in table.columns})
    row.update(values)
    row[table.key] = key
    if table.state is not None:
        _settle(table, row)
    if "modifiedon" in table.columns and "createdon" in source and "modifiedon" not in source:
        row["modifiedon"] = row["createdon"]
    follow_customer(table, {}, row, values)
    complete(ctx.store, table, row)
    ctx.store.put(table.name, key, row)


def _author(ctx: Context, table: Table, owner: str | None) -> str:
    """Who made a loaded row: its owner, else any person. The application user is who logs in to work here, and would
    take the row for its own doing; it made the users, and what no person is there for."""
    if table.name == "systemuser":
        return ctx.user
    users = ctx.store.rows("systemuser")
    if owner is not None and owner in users and owner != ctx.user:
        return owner
    others = (key for key, user in users.items() if key != ctx.user and not user.get("isdisabled"))
    return next(others, ctx.user)


def _take(ctx: Context, table: Table, key: str, name: str, value: Any, source: Row, known: _Known, values: Row) -> None:
    column = table.columns.get(name)
    place = f"{table.name} {source.get('_ref', key)}: {name}"
    if column is None:
        raise LoadError(f"{place}: the shape has no such column", name)
    if not column.is_lookup:
        number = Decimal(repr(value)) if isinstance(value, float) else value
        try:
            values[column.name] = accept(table, column, number, EXACT)
        except DataverseError as problem:
            raise LoadError(f"{place}: {problem}", name) from problem
        return
    if value is None:
        return
    found = known.find(column, str(value), source.get(column.type_key))
    if found is None or not any(target.table == found[0] for target in column.targets):
        targets = ", ".join(target.table for target in column.targets)
        raise LoadError(f"{place}: {value!r} names no row of {targets}", name)
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

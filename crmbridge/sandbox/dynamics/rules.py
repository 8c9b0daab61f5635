"""Rules about a row as it will be: required columns, owner, keys, duplicates, declared plug-ins (dataverse-api §4.1,
§4.4, §4.5, §10.3).
"""

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.dynamics.context import Context
from crmbridge.sandbox.dynamics.errors import DataverseError
from crmbridge.sandbox.dynamics.filters import Filter, compile_filter
from crmbridge.sandbox.dynamics.key_index import keys_of
from crmbridge.sandbox.dynamics.shape import DuplicateRule, Rule, ShapeError
from crmbridge.sandbox.dynamics.store import fold
from crmbridge.sandbox.dynamics.tables import Table

OPEN = 0


def check_declared(ctx: Context) -> None:
    """A condition of the shape that cannot be read is told at once, not when a row is first written."""
    for at, rule in enumerate(ctx.shape.rules):
        try:
            _filter_of(ctx, rule, ctx.shape.tables[rule.table])
        except DataverseError as problem:
            raise ShapeError(f"{rule.when!r} is no condition: {problem.message}", ("rules", at, "when")) from None


def check(ctx: Context, table: Table, before: Row | None, row: Row, values: Row, *, detect_duplicates: bool) -> None:
    for name in table.enforced:
        if row.get(name) is None:  # code (unverified)
            raise DataverseError(400, "0x80040203", f"The required column '{name}' of {table.name} is empty.")
    if values.get("transactioncurrencyid", "") is None and any(row.get(c.name) is not None for c in table.money):
        raise DataverseError(  # dataverse-api §7.4
            400, "0x80048CFB", "The currency cannot be null when money values are present."
        )
    if "ownerid" in values and values["ownerid"] is not None and values["ownerid"] != ctx.user:
        ctx.access.check_owner(table, row["ownerid"], row.get("_ownerid_type") or "systemuser")
    if ctx.store.keys[table.name]:
        _check_keys(ctx, table, row, values)
    if detect_duplicates:
        refuse_duplicates(ctx, table, row)
    refuse_by_rule(ctx, table, row, "create" if before is None else "update")


def _check_keys(ctx: Context, table: Table, row: Row, values: Row) -> None:
    for key in keys_of(ctx.store, ctx.now, table):
        if key.status != "Active":
            continue  # an index that is not built yet holds nothing back (unverified)
        if not set(key.columns) & set(values) or any(row.get(name) is None for name in key.columns):
            continue
        first, *others = key.columns
        for other in ctx.store.find(table.name, first, row[first]):
            found = ctx.store.rows(table.name)[other]
            if other != row[table.key] and all(fold(found.get(name)) == fold(row[name]) for name in others):
                raise DataverseError(  # dataverse-api §4.5
                    412,
                    "0x80060892",
                    f"A record that has the attribute values {', '.join(key.columns)} already exists. The entity key "
                    f"{key.name} requires that this set of attributes contains unique values. Select unique "
                    "values and try again.",
                )


def refuse_duplicates(ctx: Context, table: Table, row: Row) -> None:
    """dataverse-api §4.4"""
    for rule in ctx.shape.duplicate_rules:
        if rule.table == table.name and _has_duplicate(ctx, rule, table, row):
            raise DataverseError(
                412,
                "0x80040333",
                "A record was not created or updated because a duplicate of the current record already exists.",
            )


def _has_duplicate(ctx: Context, rule: DuplicateRule, table: Table, row: Row) -> bool:
    wanted = [fold(row.get(name)) for name in rule.match]
    if any(value is None for value in wanted):
        return False
    own = row[table.key] if rule.against == table.name else None
    rows = ctx.store.rows(rule.against)
    return any(
        key != own
        and not (rule.exclude_inactive and rows[key].get("statecode", OPEN) != OPEN)
        and all(fold(rows[key].get(name)) == value for name, value in zip(rule.against_columns, wanted, strict=True))
        for key in ctx.store.find(rule.against, rule.against_columns[0], wanted[0])
    )


def refuse_by_rule(ctx: Context, table: Table, row: Row, verb: str) -> None:
    """Custom logic, declared in the shape; who may, leaves it out with a header (dataverse-api §4.4)."""
    for rule in ctx.shape.rules:
        if (
            rule.table == table.name
            and verb in rule.on
            and not ctx.bypasses_logic
            and _filter_of(ctx, rule, table).accepts(row)
        ):
            raise DataverseError(400, rule.code, rule.message)  # a plug-in's own text: dataverse-api §10.3


def _filter_of(ctx: Context, rule: Rule, table: Table) -> Filter:
    return compile_filter(rule.when, table, ctx.scope({}))

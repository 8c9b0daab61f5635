"""Create, update and delete: defaults, stamps, computed columns, keys, rules and cascades (dataverse-api §4).

Every function works inside the caller's transaction and raises DataverseError to refuse.
"""

from collections.abc import Collection
from decimal import Decimal
from typing import Any

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.dynamics import processes
from crmbridge.sandbox.dynamics.context import Context
from crmbridge.sandbox.dynamics.errors import DataverseError, missing_row
from crmbridge.sandbox.dynamics.filters import Filter, Scope, compile_filter
from crmbridge.sandbox.dynamics.payload import Changes, read_changes, set_lookup
from crmbridge.sandbox.dynamics.reading import row_target
from crmbridge.sandbox.dynamics.shape import DuplicateRule, Rule, Table
from crmbridge.sandbox.dynamics.states import OPEN, follow_customer, forecast, settle_state
from crmbridge.sandbox.dynamics.store import Store, fold
from crmbridge.sandbox.dynamics.values import rounded, stamp

PERMANENT = frozenset({"systemuser", "organization", "businessunit", "transactioncurrency", "workflow", "processstage"})


def create_from(ctx: Context, table: Table, body: dict[str, Any], forced: Row | None = None) -> Row:
    """A row from a request body, nested rows included; `forced` are values from the URL (key, navigation)."""
    changes = read_changes(ctx, table, body)
    for column, other, nested in changes.parents:
        parent = create_from(ctx, other, nested)
        set_lookup(changes.values, column, other.name, parent[other.key])
    row = create(ctx, table, changes.values | (forced or {}), detect_duplicates=detection_asked(ctx))
    for referrer, bodies in changes.children:
        for nested in bodies:
            link: Row = {}
            set_lookup(link, referrer.column, table.name, row[table.key])
            create_from(ctx, ctx.shape.tables[referrer.table], nested, link)
    return ctx.store.rows(table.name)[row[table.key]]


def update_from(ctx: Context, table: Table, key: str, body: dict[str, Any], address: Collection[str] = ()) -> Row:
    """`address`: columns of the alternate key in the URL; their values in the body are ignored (dataverse-api §4.5)."""
    changes: Changes = read_changes(ctx, table, body)
    if changes.parents or changes.children:
        raise DataverseError(400, "0x80060888", "Deep update of navigation properties is not supported.")
    for name in (table.key, *address):
        changes.values.pop(name, None)
    return update(ctx, table, key, changes.values, detect_duplicates=detection_asked(ctx))


def detection_asked(ctx: Context) -> bool:
    """Only an explicit `false` runs duplicate rules: dataverse-api §4.4"""
    return ctx.header("mscrm.suppressduplicatedetection").strip().lower() == "false"


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
    values = {name: value for name, value in values.items() if _writable(table, name, create=True) or by_message}
    key = values.get(table.key) or ctx.world.guid()
    if ctx.store.get(table.name, key) is not None:
        raise DataverseError(
            412, "0x80040237", f"Cannot insert duplicate key. A {table.name} with Id = {key} already exists."
        )
    settle_state(table, None, values, by_message=by_message)
    row: Row = {column.name: column.default for column in table.columns.values() if column.default is not None}
    row.update(values)
    row[table.key] = key
    now = stamp(ctx.now)
    _stamp(ctx, table, row, "created", now)
    _stamp(ctx, table, row, "modified", now)
    if (moved := values.get("overriddencreatedon")) is not None:  # dataverse-api §4.4; the swap (unverified)
        row["createdon"], row["overriddencreatedon"] = moved, now
    if "ownerid" in table.columns and row.get("ownerid") is None:
        set_lookup(row, table.columns["ownerid"], "systemuser", ctx.user)
    follow_customer(table, {}, row, values)
    if table.is_process:
        processes.check(ctx, table, None, row, values)
    complete(ctx.store, table, row)
    _check(ctx, table, None, row, values, detect_duplicates=detect_duplicates)
    row = ctx.store.put(table.name, key, row)
    if table.is_process:
        processes.write_salesstage(ctx, table, row)
    elif start:
        processes.start_first(ctx, table, row)
    return ctx.store.rows(table.name)[key]


def update(
    ctx: Context, table: Table, key: str, values: Row, *, detect_duplicates: bool = False, by_message: bool = False
) -> Row:
    before = ctx.store.get(table.name, key)
    if before is None:
        raise missing_row(table.name, key)
    values = {name: value for name, value in values.items() if by_message or _writable(table, name, create=False)}
    settle_state(table, before, values, by_message=by_message)
    row = {**before, **values}
    if "statecode" in values and values["statecode"] != before.get("statecode"):
        forecast(row, values["statecode"])
        if table.is_process:
            row["completedon"] = None if values["statecode"] == OPEN else row.get("completedon") or stamp(ctx.now)
    _stamp(ctx, table, row, "modified", stamp(ctx.now))
    follow_customer(table, before, row, values)
    if table.is_process:
        processes.check(ctx, table, before, row, values)
    complete(ctx.store, table, row)
    _check(ctx, table, before, row, values, detect_duplicates=detect_duplicates)
    row = ctx.store.put(table.name, key, row)
    if table.is_process:
        processes.write_salesstage(ctx, table, row)
    return row


def _writable(table: Table, name: str, *, create: bool) -> bool:
    """Columns that cannot be written are ignored without an error: dataverse-api §4.1 (unverified)"""
    if name.startswith("_") and name.endswith("_type"):
        name = name[1:-5]
    column = table.columns[name]
    return column.create if create else column.update


def _stamp(ctx: Context, table: Table, row: Row, verb: str, now: str) -> None:
    if f"{verb}on" in table.columns:
        row[f"{verb}on"] = now
    if f"{verb}by" in table.columns:
        row[f"{verb}by"] = ctx.user
    if f"{verb}onbehalfby" in table.columns:
        row[f"{verb}onbehalfby"] = ctx.caller if ctx.caller != ctx.user else None


# Columns that the platform keeps itself


def complete(store: Store, table: Table, row: Row) -> None:
    """Full name, address composites, owner's parts, currency, rate and base values."""
    columns = table.columns
    for column in columns.values():
        if column.computed == "full_name":
            parts = (row.get("firstname"), row.get("lastname"))  # fullnameconventioncode 1
            row[column.name] = " ".join(part for part in parts if part) or None
        elif column.computed == "address":
            row[column.name] = _composite(row, column.name.removesuffix("composite"))
    if "owninguser" in columns:
        owner, kind = row.get("ownerid"), row.get("_ownerid_type")
        row["owninguser"] = owner if kind == "systemuser" else None
        row["owningteam"] = owner if kind == "team" else None
        row["owningbusinessunit"] = (store.get(kind or "systemuser", owner or "") or {}).get("businessunitid")
    if "transactioncurrencyid" in columns and columns["transactioncurrencyid"].is_lookup:
        _complete_money(store, table, row)
    if row.get("isrevenuesystemcalculated") and table.name == "opportunity":
        row["estimatedvalue"] = row.get("totalamount")  # a written value is overwritten: dataverse-api §7.1


def _complete_money(store: Store, table: Table, row: Row) -> None:
    written = [column.name for column in table.money if row.get(column.name) is not None]
    if row.get("transactioncurrencyid") is None:
        if not written and table.columns["transactioncurrencyid"].required == "None":
            row["exchangerate"] = None
            return
        row["transactioncurrencyid"] = base_currency(store)
    currency = store.get("transactioncurrency", row["transactioncurrencyid"] or "") or {}
    rate: Decimal = currency.get("exchangerate", Decimal(1))
    row["exchangerate"] = rate
    for column in table.money:
        value = row.get(column.name)
        row[f"{column.name}_base"] = None if value is None else rounded(Decimal(value) / rate, 4)  # dataverse-api §7.4


def base_currency(store: Store) -> str | None:
    organization = next(iter(store.rows("organization").values()), {})
    return organization.get("basecurrencyid")


def _composite(row: Row, prefix: str) -> str | None:
    """As the recorded contact has it: street lines, then `City, State Zip`, then the country."""
    lines = [row.get(f"{prefix}line{number}") for number in (1, 2, 3)]
    place = ", ".join(part for part in (row.get(f"{prefix}city"), row.get(f"{prefix}stateorprovince")) if part)
    place = " ".join(part for part in (place, row.get(f"{prefix}postalcode")) if part)
    return "\r\n".join(part for part in (*lines, place, row.get(f"{prefix}country")) if part) or None


# Checks on the row as it will be


def _check(ctx: Context, table: Table, before: Row | None, row: Row, values: Row, *, detect_duplicates: bool) -> None:
    for column in table.columns.values():
        if column.required == "SystemRequired" and column.create and row.get(column.name) is None:  # code (unverified)
            raise DataverseError(400, "0x80040203", f"The required column '{column.name}' of {table.name} is empty.")
    cleared = "transactioncurrencyid" in values and values["transactioncurrencyid"] is None
    if cleared and any(row.get(column.name) is not None for column in table.money):  # dataverse-api §7.4
        raise DataverseError(400, "0x80048CFB", "The currency cannot be null when money values are present.")
    _check_owner(ctx, table, row, values)
    _check_keys(ctx, table, row, values)
    if detect_duplicates:
        refuse_duplicates(ctx, table, row)
    refuse_by_rule(ctx, table, row, "create" if before is None else "update")


def _check_owner(ctx: Context, table: Table, row: Row, values: Row) -> None:
    if values.get("ownerid") is None or row.get("_ownerid_type") != "systemuser":
        return
    user = ctx.store.get("systemuser", row["ownerid"])
    if user is not None and user.get("isdisabled"):  # status (unverified)
        raise DataverseError(
            403, "0x80040225", f"The specified user(Id = {row['ownerid']}) is disabled. Consider enabling this user."
        )


def _check_keys(ctx: Context, table: Table, row: Row, values: Row) -> None:
    for key in table.keys:
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
                    "values and try "
                    "again.",
                )


def refuse_duplicates(ctx: Context, table: Table, row: Row) -> None:
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
    for rule in ctx.shape.rules:
        if rule.table == table.name and verb in rule.on and _rule_filter(ctx, rule, table).accepts(row):
            raise DataverseError(400, rule.code, rule.message)  # a plug-in's own text: dataverse-api §10.3


def _rule_filter(ctx: Context, rule: Rule, table: Table) -> Filter:
    scope: Scope = ctx.scope({})
    return compile_filter(rule.when, table, scope)


# Delete


def delete(ctx: Context, table: Table, key: str) -> None:
    if ctx.store.get(table.name, key) is None:
        raise missing_row(table.name, key)
    if table.name in PERMANENT:  # (unverified)
        raise DataverseError(
            405, "0x80040800", f"The 'Delete' method does not support entities of type '{table.name}'."
        )
    _delete(ctx, table, key)


def _delete(ctx: Context, table: Table, key: str) -> None:
    for referrer in ctx.shape.referrers[table.name]:
        other, column = ctx.shape.tables[referrer.table], referrer.column
        for each in ctx.store.find(other.name, column.name, key):
            row = ctx.store.get(other.name, each)
            if row is None or row_target(column, row).table != table.name:
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
                _unlink(ctx, other, row, column.name)
    if ctx.store.get(table.name, key) is not None:
        ctx.store.remove(table.name, key)


def _unlink(ctx: Context, table: Table, row: Row, name: str) -> None:
    """The lookup goes, the row gets a new version; `modifiedon` stays (unverified)."""
    values: Row = {}
    set_lookup(values, table.columns[name], None, None)
    after = {**row, **values}
    follow_customer(table, row, after, values)
    ctx.store.put(table.name, row[table.key], after)

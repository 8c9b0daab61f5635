"""Columns that the platform keeps itself: full names, address composites, the parts of the owner and of the customer,
currency, rate and base values, types of polymorphic ends (dataverse-api §4.1, §6.2, §7.4, §9.3).
"""

from decimal import Decimal
from typing import Any

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.dynamics.columns import Column
from crmbridge.sandbox.dynamics.store import Store
from crmbridge.sandbox.dynamics.tables import Table
from crmbridge.sandbox.dynamics.values import rounded

_BASE_PLACES = 4  # dataverse-api §7.4
_ONE = Decimal(1)


def complete(store: Store, table: Table, row: Row) -> None:
    for name in table.full_names:
        row[name] = full_name(row, _convention(store))
    for name, prefix in table.composites:
        row[name] = _composite(row, prefix)
    columns = table.columns
    if "owninguser" in columns:
        owner, kind = row.get("ownerid"), row.get("_ownerid_type") or "systemuser"
        row["owninguser"] = owner if kind == "systemuser" else None
        row["owningteam"] = owner if kind == "team" else None
        holder = store.get(kind, owner) if owner is not None else None
        row["owningbusinessunit"] = holder.get("businessunitid") if holder is not None else None
    for name, customer, target in table.customer_parts:
        row[name] = row.get(customer) if columns[customer].target_of(row).table == target else None
    currency = columns.get("transactioncurrencyid")
    if currency is not None and currency.is_lookup:
        _complete_money(store, table, currency, row)


def _convention(store: Store) -> int:
    """An administrator may change it: dataverse-api §9.3."""
    organization = next(iter(store.rows("organization").values()), {})
    return organization.get("fullnameconventioncode", store.shape.organization.fullnameconvention)


def full_name(row: Row, convention: int) -> str | None:
    """By the organization's order of names (`fullnameconventioncode`): dataverse-api §6.2, §9.3."""
    first, middle, last = (row.get(name) for name in ("firstname", "middlename", "lastname"))
    initial = f"{middle[0]}." if middle else None
    before: tuple[str | None, ...]
    match convention:
        case 0:
            return _comma(last, first)
        case 2:
            return _comma(last, first, initial)
        case 3:
            before = (first, initial, last)
        case 4:
            return _comma(last, first, middle)
        case 5:
            before = (first, middle, last)
        case 6:
            before = (last, first)
        case 7:
            return "".join(part for part in (last, first) if part) or None
        case _:
            before = (first, last)
    return " ".join(part for part in before if part) or None


def _comma(last: str | None, *rest: str | None) -> str | None:
    given = " ".join(part for part in rest if part)
    return ", ".join(part for part in (last, given) if part) or None


def _composite(row: Row, prefix: str) -> str | None:
    """As the recorded contact has it: street lines, then `City, State Zip`, then the country."""
    get = row.get
    city, state, code = get(f"{prefix}city"), get(f"{prefix}stateorprovince"), get(f"{prefix}postalcode")
    place = ", ".join(part for part in (city, state) if part) if city or state else ""
    if code:
        place = f"{place} {code}" if place else code
    lines = (get(f"{prefix}line1"), get(f"{prefix}line2"), get(f"{prefix}line3"), place, get(f"{prefix}country"))
    return "\r\n".join(part for part in lines if part) or None


def _complete_money(store: Store, table: Table, currency: Column, row: Row) -> None:
    """The currency that money needs, its rate, precision and the base values: dataverse-api §6.2, §7.4, §11."""
    written = [column for column in table.money if row.get(column.name) is not None]
    key = row.get("transactioncurrencyid")
    if key is None:
        if not written and currency.required == "None":
            row["exchangerate"] = None
            return
        key = row["transactioncurrencyid"] = base_currency(store)
    facts = store.get("transactioncurrency", key) if key is not None else None
    rate: Decimal = facts.get("exchangerate", _ONE) if facts is not None else _ONE
    row["exchangerate"] = rate
    for column in table.money:
        value: Any = row.get(column.name)
        if value is None:
            row[column.base] = None
            continue
        if column.precision is None and facts is not None:  # PrecisionSource 2: the currency's
            value = row[column.name] = rounded(value, facts.get("currencyprecision", 2))
        row[column.base] = rounded(value / rate, _BASE_PLACES)


def base_currency(store: Store) -> str | None:
    organization = next(iter(store.rows("organization").values()), None)
    return organization.get("basecurrencyid") if organization is not None else None

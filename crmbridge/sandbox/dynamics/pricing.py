"""Money that the platform works out: amounts of opportunity products, totals, system-calculated revenue, and which
currencies go together (dataverse-api §7.1, §7.3, §7.4). How the totals add up is (unverified).
"""

from decimal import Decimal
from typing import Any

from crmbridge.sandbox.core import Reply, Row
from crmbridge.sandbox.dynamics.computed import complete
from crmbridge.sandbox.dynamics.context import Context, no_content
from crmbridge.sandbox.dynamics.errors import DataverseError
from crmbridge.sandbox.dynamics.payload import check_parameters, entity_reference
from crmbridge.sandbox.dynamics.tables import Table

PRODUCT, OPPORTUNITY, PRICE_LIST = "opportunityproduct", "opportunity", "pricelevel"
_ZERO = Decimal(0)


def prepare(ctx: Context, table: Table, before: Row | None, row: Row, values: Row) -> None:
    """Complete a row about to be written, or refuse its currency."""
    if table.name == PRODUCT:
        _price(ctx, row)
        return
    _check_currency(ctx, table, before, row, values)
    if row.get("isrevenuesystemcalculated") or (before is not None and _products(ctx, row)):
        _total(ctx, row)


def follow(ctx: Context, table: Table, row: Row) -> None:
    """A product was written or deleted: the opportunity's totals follow."""
    key = row.get("opportunityid")
    if table.name != PRODUCT or key is None:
        return
    opportunity = ctx.store.get(OPPORTUNITY, key)
    if opportunity is None:
        return
    changed = dict(opportunity)
    _total(ctx, changed)
    own = ctx.shape.tables[OPPORTUNITY]
    complete(ctx.store, own, changed)
    if any(changed.get(name) != opportunity.get(name) for name in changed):
        ctx.store.put(OPPORTUNITY, key, {**changed, "modifiedon": ctx.stamp, "modifiedby": ctx.user})


def _price(ctx: Context, row: Row) -> None:
    opportunity = ctx.store.get(OPPORTUNITY, row.get("opportunityid") or "")
    if opportunity is None:  # (unverified)
        raise DataverseError(400, "0x80040203", "An opportunity product needs its opportunity.")
    row["transactioncurrencyid"] = opportunity.get("transactioncurrencyid")
    base = _amount(row, "priceperunit") * _amount(row, "quantity")
    row["baseamount"] = base
    row["extendedamount"] = base - _amount(row, "manualdiscountamount") + _amount(row, "tax")


def _total(ctx: Context, opportunity: Row) -> None:
    products = _products(ctx, opportunity)
    discounts = sum((_amount(each, "manualdiscountamount") for each in products), _ZERO)
    lines = sum((_amount(each, "baseamount") for each in products), _ZERO) - discounts
    tax = sum((_amount(each, "tax") for each in products), _ZERO)
    share = lines * _amount(opportunity, "discountpercentage") / 100
    discount = _amount(opportunity, "discountamount") + share
    opportunity |= {
        "totallineitemamount": lines,
        "totallineitemdiscountamount": discounts,
        "totaltax": tax,
        "totaldiscountamount": discount,
        "totalamountlessfreight": lines - discount,
        "totalamount": lines - discount + _amount(opportunity, "freightamount") + tax,
    }
    if opportunity.get("isrevenuesystemcalculated"):  # a written value is overwritten: dataverse-api §7.1
        opportunity["estimatedvalue"] = opportunity["totalamount"]


def _products(ctx: Context, opportunity: Row) -> list[Row]:
    if PRODUCT not in ctx.shape.tables:
        return []
    rows = ctx.store.rows(PRODUCT)
    key = opportunity.get("opportunityid")
    return [rows[each] for each in ctx.store.find(PRODUCT, "opportunityid", key)] if key is not None else []


def _priced(ctx: Context, row: Row) -> bool:
    quotes = "quote" in ctx.shape.tables and ctx.store.find("quote", "opportunityid", row.get(f"{OPPORTUNITY}id"))
    return bool(quotes or _products(ctx, row))


def _amount(row: Row, name: str) -> Decimal:
    value: Any = row.get(name)
    return _ZERO if value is None else Decimal(value)


def _check_currency(ctx: Context, table: Table, before: Row | None, row: Row, values: Row) -> None:
    """The price list's currency is the row's; with products it cannot change: dataverse-api §7.4."""
    if not {"transactioncurrencyid", "pricelevelid"} & set(values):
        return
    currency = row.get("transactioncurrencyid")
    if before is not None and before.get("transactioncurrencyid") not in (None, currency) and _priced(ctx, row):
        raise DataverseError(
            400, "0x80048479", "The currency cannot be changed because this opportunity has Products or Quotes."
        )
    price_list = ctx.store.get(PRICE_LIST, row["pricelevelid"]) if row.get("pricelevelid") is not None else None
    if price_list is None or currency is None:
        return
    if price_list.get("transactioncurrencyid") != currency:
        raise DataverseError(
            400, "0x80048CF6", f"The currency of the {table.name} does not match the currency of the price list."
        )


def calculate_price(ctx: Context) -> Reply:
    """`CalculatePrice {"Target": …}`: dataverse-api §7.3."""
    ctx.note(OPPORTUNITY, "CalculatePrice")
    body = ctx.json()
    check_parameters(body, "CalculatePrice", frozenset({"Target"}))
    target = entity_reference(ctx, body.get("Target"), (OPPORTUNITY,))
    if target is None:
        raise DataverseError(400, "0x80040203", "CalculatePrice needs the parameter 'Target'.")
    table = ctx.shape.tables[OPPORTUNITY]
    row = dict(ctx.store.rows(OPPORTUNITY)[target[1]])
    ctx.access.demand_row(table, row, "write")
    _total(ctx, row)
    complete(ctx.store, table, row)
    ctx.store.put(OPPORTUNITY, target[1], {**row, "modifiedon": ctx.stamp, "modifiedby": ctx.user})
    return no_content()

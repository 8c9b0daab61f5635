"""Money: an amount and its currency are one value; the currency stands in the record, once for all its amounts."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from crmbridge.model import Directory, Money, NativeRef, Side, Value
from mapping.described import DescriptionLike
from mapping.end import Facts, Made, Setting, Shortcut, attribute
from mapping.transforms import Refusal, rounded

CURRENCY_COLUMN: Final[Mapping[str, str]] = {"salesforce": "CurrencyIsoCode", "dynamics": "transactioncurrencyid"}


CurrencyWriter = Callable[[str, Facts], dict[str, Any] | None]


def currency_wire(system: str, description: DescriptionLike | None) -> str | None:
    """Where a record's currency is read; a Salesforce org with one currency has no such field (salesforce-api §5.4)."""
    column = CURRENCY_COLUMN.get(system)
    if column is None or (system == "salesforce" and (description is None or column not in description.columns)):
        return None
    return column if system == "salesforce" else f"_{column}_value"


def make_money(setting: Setting) -> Made:
    side, column, system = setting.side, setting.column, setting.system
    here = setting.document.names[side]
    scale = setting.meta.scale if setting.meta else None
    wire = currency_wire(system, setting.description)
    raw = attribute(column)
    raw_currency = attribute(wire) if wire else None

    def currency_of(values: Any, facts: Facts) -> str:
        directory = facts.directory[side]
        native = raw_currency(values) if raw_currency else None
        if native is None:
            return directory.currency
        if system == "salesforce":
            return str(native)
        iso = directory.currencies.get(native)
        if iso is None:
            raise Refusal(
                "unknown_currency", f"its currency {native} is not among {here}'s", f"activate the currency in {here}"
            )
        return iso

    columns_of = currency_writer(system, wire, here, side)

    def read(values: Any, facts: Facts) -> Value:
        amount = raw(values)
        return None if amount is None else Money(amount, currency_of(values, facts))

    def write(value: Value, facts: Facts, current: Any) -> dict[str, Any]:
        if value is None:
            return {column: None}
        if not isinstance(value, Money):
            raise Refusal("not_money", "is not an amount of money", "use `convert: money` for this field")
        amount = rounded(value.amount, scale)
        if current is not None and currency_of(current, facts) == value.currency:
            known = raw_currency is None or raw_currency(current) is not None
            if known:
                return {column: amount}
        return {column: amount, **currency_columns(system, wire, here, value.currency, facts.directory[side])}

    wires: dict[str, Any] = {column: Decimal, **({wire: str} if wire else {})}
    if raw_currency is None:
        return wires, None, Shortcut(read, "money", side), Shortcut(write, "money", (scale, columns_of))
    return wires, None, read, Shortcut(write, "money", (scale, columns_of))


def currency_writer(system: str, wire: str | None, here: str, side: Side) -> CurrencyWriter:
    """`currency_columns`, worked out once per currency; None where the CRM cannot hold it."""
    seen: dict[str, tuple[Directory, dict[str, Any] | None]] = {}

    def columns_of(iso: str, facts: Facts) -> dict[str, Any] | None:
        directory = facts.directory[side]
        known = seen.get(iso)
        if known is not None and known[0] is directory:
            return known[1]
        try:
            found = currency_columns(system, wire, here, iso, directory)
        except Refusal:
            found = None
        seen[iso] = (directory, found)
        return found

    return columns_of


def currency_columns(system: str, wire: str | None, here: str, iso: str, directory: Directory) -> dict[str, Any]:
    """What to write so that a record has this currency; refused where the CRM cannot hold it."""
    if system == "dynamics":
        native = next((i for i, code in directory.currencies.items() if code == iso), None)
        if native is not None:
            return {CURRENCY_COLUMN[system]: NativeRef("currency", native)}
    elif directory.multi_currency and wire is not None:
        if not directory.currencies or iso in directory.currencies.values():
            return {wire: iso}
    elif iso == directory.currency:
        return {}
    raise Refusal(
        "currency_differs",
        f"the amount is in {iso}, which {here} does not have",
        f"activate {iso} in {here}; amounts are never converted",
    )

"""Money between currencies: rates of the org, what a row's amount is in another one (salesforce-api §5.4)."""

from decimal import ROUND_HALF_UP, Decimal

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.schema import Org
from crmbridge.sandbox.salesforce.values import number


def rate(org: Org, iso: str) -> Decimal | None:
    """Units of the currency for one of the company's own; None where the org does not know it."""
    if iso == org.currency:
        return Decimal(1)
    found = org.currencies.get(iso)
    return None if found is None else Decimal(str(found))


def corporate(org: Org, amount: Decimal, holder: Row) -> Decimal:
    """A row's amount in the company's currency."""
    return amount / (rate(org, str(holder.get("CurrencyIsoCode", org.currency))) or Decimal(1))


def converted(org: Org, amount: Decimal, holder: Row, iso: str, scale: int) -> Decimal:
    """A row's amount in another currency, rounded to the field's decimals."""
    if str(holder.get("CurrencyIsoCode", org.currency)) == iso:
        return amount
    exact = corporate(org, amount, holder) * (rate(org, iso) or Decimal(1))
    return number(exact.quantize(Decimal(1).scaleb(-scale), rounding=ROUND_HALF_UP))

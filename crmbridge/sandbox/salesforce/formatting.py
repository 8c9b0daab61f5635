"""What format() shows: values as the locale en_US writes them, the only one here (salesforce-api §2.3; unverified)."""

from datetime import date
from decimal import Decimal
from typing import Any

from crmbridge.sandbox.salesforce.schema import Field, Org
from crmbridge.sandbox.salesforce.values import instant


def formatted(org: Org, field: Field, value: Any, iso: str) -> str:
    """A date, a moment in the user's zone, money with its currency, a number with its thousands."""
    match field.type:
        case "date":
            return _date(date.fromisoformat(value))
        case "datetime":
            moment = instant(value).astimezone(org.zone)
            half = "PM" if moment.hour > 11 else "AM"
            return f"{_date(moment.date())}, {moment.hour % 12 or 12}:{moment.minute:02d} {half}"
        case "currency":
            amount = f"{abs(Decimal(value)):,.{field.scale}f}"
            sign = "-" if value < 0 else ""
            return f"{iso} {sign}{amount}" if org.multi_currency or iso != "USD" else f"{sign}${amount}"
        case "percent":
            return f"{Decimal(value):,.{field.scale}f}%"
        case _:
            return f"{Decimal(value):,.{field.scale}f}"


def _date(day: date) -> str:
    return f"{day.month}/{day.day}/{day.year}"

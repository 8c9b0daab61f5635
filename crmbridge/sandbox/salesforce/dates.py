"""Calendar arithmetic of SOQL's date literals and of the fiscal year (salesforce-api §2.3, §6.5)."""

from datetime import UTC, date, datetime, time, timedelta, tzinfo

from crmbridge.sandbox.salesforce.soql import DateLiteral
from crmbridge.sandbox.salesforce.values import stamp


def add_months(day: date, months: int) -> date:
    """The first of the month that many months later."""
    month = day.year * 12 + day.month - 1 + months
    return date(month // 12, month % 12 + 1, 1)


def quarter_start(day: date, first_month: int) -> date:
    return add_months(date(day.year, day.month, 1), -((day.month - first_month) % 12 % 3))


def quarter_end(day: date, first_month: int) -> date:
    """The last day of the fiscal quarter: the close date of an opportunity that a conversion makes (§6.5)."""
    return add_months(quarter_start(day, first_month), 3) - timedelta(days=1)


def fiscal(day: date, first_month: int) -> tuple[int, int]:
    """Fiscal year, named by the year in which it ends, and quarter."""
    year = day.year + (1 if first_month > 1 and day.month >= first_month else 0)
    return year, (day.month - first_month) % 12 // 3 + 1


def _unit(name: str, day: date) -> tuple[date, date]:
    """The day, week, month, quarter or year around a day, its end excluded."""
    match name:
        case "DAY":
            return day, day + timedelta(days=1)
        case "WEEK":  # weeks start on Sunday
            start = day - timedelta(days=(day.weekday() + 1) % 7)
            return start, start + timedelta(days=7)
        case "MONTH":
            return date(day.year, day.month, 1), add_months(day, 1)
        case "QUARTER":
            start = quarter_start(day, 1)
            return start, add_months(start, 3)
        case _:
            return date(day.year, 1, 1), date(day.year + 1, 1, 1)


def span(literal: DateLiteral, today: date) -> tuple[date, date] | None:
    """First day and the day after the last one; None where the literal is unknown."""
    day = timedelta(days=1)
    simple = {"TODAY": 0, "YESTERDAY": -1, "TOMORROW": 1}
    if literal.count is None and literal.name in simple:
        start = today + simple[literal.name] * day
        return start, start + day
    words = literal.name.split("_")
    if literal.count is None:
        if (
            len(words) != 2
            or words[0] not in ("LAST", "THIS", "NEXT")
            or words[1] not in ("WEEK", "MONTH", "QUARTER", "YEAR")
        ):
            return _ninety_days(literal.name, today)
        start, end = _unit(words[1], today)
        if words[0] == "LAST":
            return _unit(words[1], start - day)
        return _unit(words[1], end) if words[0] == "NEXT" else (start, end)
    count = literal.count
    if literal.name == "LAST_N_DAYS":  # §2.3: counts back n days and includes today
        return today - count * day, today + day
    if literal.name == "NEXT_N_DAYS":
        return today + day, today + (count + 1) * day
    if literal.name == "N_DAYS_AGO":
        return today - count * day, today - (count - 1) * day
    if len(words) == 3 and words[1] == "N" and words[2] in ("WEEKS", "MONTHS", "QUARTERS", "YEARS"):
        start, end = _unit(words[2][:-1], today)  # §2.3: these exclude the current unit
        edge = start if words[0] == "LAST" else end
        for _ in range(count):
            edge = _unit(words[2][:-1], edge - day)[0] if words[0] == "LAST" else _unit(words[2][:-1], edge)[1]
        return (edge, start) if words[0] == "LAST" else (end, edge)
    return None


def _ninety_days(name: str, today: date) -> tuple[date, date] | None:
    day = timedelta(days=1)
    if name == "LAST_90_DAYS":
        return today - 90 * day, today + day
    return (today + day, today + 91 * day) if name == "NEXT_90_DAYS" else None


def midnight(day: date, zone: tzinfo) -> str:
    """The stamp at which a day begins for the user (§2.3: date literals follow the user's time zone)."""
    return stamp(datetime.combine(day, time(), tzinfo=zone).astimezone(UTC))

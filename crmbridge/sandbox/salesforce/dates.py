"""Calendar arithmetic of SOQL's date literals and of the fiscal year (salesforce-api §2.3, §6.5)."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

from crmbridge.sandbox.salesforce.soql_tree import DateLiteral
from crmbridge.sandbox.salesforce.values import stamp

FIRST_DAY, LAST_DAY = date(1700, 1, 1), date(4000, 12, 31)  # §2.3
_DAY: Final = timedelta(days=1)
_MONTHS_OF: Final = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}


def add_months(day: date, months: int) -> date:
    """The first of the month that many months later, as far as the calendar of §2.3 goes."""
    month = day.year * 12 + day.month - 1 + months
    if month < FIRST_DAY.year * 12:
        return FIRST_DAY
    return LAST_DAY if month > LAST_DAY.year * 12 + 11 else date(month // 12, month % 12 + 1, 1)


def add_days(day: date, days: int) -> date:
    number = day.toordinal() + days
    return date.fromordinal(min(max(number, FIRST_DAY.toordinal()), LAST_DAY.toordinal()))


def quarter_start(day: date, first_month: int) -> date:
    return add_months(date(day.year, day.month, 1), -((day.month - first_month) % 12 % 3))


def quarter_end(day: date, first_month: int) -> date:
    """The last day of the fiscal quarter: the close date of an opportunity that a conversion makes (§6.5)."""
    return add_months(quarter_start(day, first_month), 3) - timedelta(days=1)


def fiscal(day: date, first_month: int) -> tuple[int, int]:
    """Fiscal year, named by the year in which it ends, and quarter."""
    year = day.year + (1 if first_month > 1 and day.month >= first_month else 0)
    return year, (day.month - first_month) % 12 // 3 + 1


def fiscal_month(day: date, first_month: int) -> int:
    return (day.month - first_month) % 12 + 1


def _start(unit: str, day: date, first_month: int) -> date:
    """The first day of the week, month, quarter or year around a day; a fiscal one where `first_month` says so."""
    match unit:
        case "DAY":
            return day
        case "WEEK":  # weeks start on Sunday
            return add_days(day, -((day.weekday() + 1) % 7))
        case "MONTH":
            return day.replace(day=1)
        case "QUARTER":
            return quarter_start(day, first_month)
        case _:
            return add_months(day, -((day.month - first_month) % 12))


def _step(unit: str, start: date, count: int) -> date:
    """The first day of the unit that many units later."""
    if unit in ("DAY", "WEEK"):
        return add_days(start, count * (7 if unit == "WEEK" else 1))
    return add_months(start, count * _MONTHS_OF[unit])


# Of the unit around today, which units before and after it a literal covers: from, to (excluded).
_PLAIN: Final[dict[str, tuple[int, int]]] = {"LAST": (-1, 0), "THIS": (0, 1), "NEXT": (1, 2)}
_COUNTED: Final[dict[str, Callable[[int], tuple[int, int]]]] = {
    "LAST_N": lambda n: (-n, 0),  # §2.3: these exclude the current unit
    "NEXT_N": lambda n: (1, n + 1),
    "AGO": lambda n: (-n, 1 - n),
}
_DAYS: Final[dict[str, tuple[int, int]]] = {
    "TODAY": (0, 1),
    "YESTERDAY": (-1, 0),
    "TOMORROW": (1, 2),
    "LAST_90_DAYS": (-90, 1),
    "NEXT_90_DAYS": (1, 91),
}


def span(literal: DateLiteral, today: date, first_month: int = 1) -> tuple[date, date] | None:
    """First day and the day after the last one; None where the literal is unknown."""
    found = _units(literal)
    if found is None:
        return None
    unit, (begin, end) = found
    fiscal_unit = unit.startswith("FISCAL_")
    unit = unit.removeprefix("FISCAL_")
    start = _start(unit, today, first_month if fiscal_unit else 1)
    return _step(unit, start, begin), _step(unit, start, end)


def _units(literal: DateLiteral) -> tuple[str, tuple[int, int]] | None:
    """The unit that a literal counts in, and from where to where."""
    name, count = literal.name, literal.count
    if count is None:
        if name in _DAYS:
            return "DAY", _DAYS[name]
        first, _, unit = name.partition("_")
        known = unit in ("WEEK", "MONTH", "QUARTER", "YEAR", "FISCAL_QUARTER", "FISCAL_YEAR")
        return (unit, _PLAIN[first]) if known and first in _PLAIN else None
    if name.startswith("N_") and name.endswith("S_AGO"):
        way, unit = "AGO", name[2:-5]
    else:
        way, unit = name[:6], name[7:-1]
        if name[6:7] != "_" or name[-1:] != "S":
            return None
    if unit not in ("DAY", "WEEK", "MONTH", "QUARTER", "YEAR", "FISCAL_QUARTER", "FISCAL_YEAR") or way not in _COUNTED:
        return None
    begin, end = _COUNTED[way](count)
    # §2.3: LAST_N_DAYS counts back n days and includes today.
    return unit, (begin, 1) if name == "LAST_N_DAYS" else (begin, end)


def midnight(day: date, zone: tzinfo) -> str:
    """The stamp at which a day begins for the user (§2.3: date literals follow the user's time zone)."""
    return stamp(datetime.combine(day, time(), tzinfo=zone).astimezone(UTC))


def week_in_year(day: date) -> int:
    """Weeks of seven days from January 1 on."""
    return (day.timetuple().tm_yday - 1) // 7 + 1


# What a date function makes of a day; those of the fiscal year need the month in which it starts.
DAY_FUNCTIONS: Final[dict[str, Callable[[date, int], int]]] = {
    "CALENDAR_MONTH": lambda day, _: day.month,
    "CALENDAR_QUARTER": lambda day, _: (day.month - 1) // 3 + 1,
    "CALENDAR_YEAR": lambda day, _: day.year,
    "DAY_IN_MONTH": lambda day, _: day.day,
    "DAY_IN_WEEK": lambda day, _: (day.weekday() + 1) % 7 + 1,  # Sunday is 1
    "DAY_IN_YEAR": lambda day, _: day.timetuple().tm_yday,
    "FISCAL_MONTH": fiscal_month,
    "FISCAL_QUARTER": lambda day, first: fiscal(day, first)[1],
    "FISCAL_YEAR": lambda day, first: fiscal(day, first)[0],
    "WEEK_IN_MONTH": lambda day, _: (day.day - 1) // 7 + 1,
    "WEEK_IN_YEAR": lambda day, _: week_in_year(day),
}

"""Spans of time that queries name: today, last week, the last seven days, the fiscal quarter (dataverse-api §2.5).

A span is half-open, in UTC. Weeks begin on Sunday. The fiscal year is the calendar year and its periods are quarters,
as in an organization whose settings nobody changed (unverified). Relative spans should follow the caller's time zone;
an application user's is UTC (unverified).
"""

from calendar import monthrange
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

Span = tuple[datetime | None, datetime | None]
_DAY = timedelta(days=1)
_FIRST = datetime(1753, 1, 1, tzinfo=UTC)  # dataverse-api §11: nothing is earlier
_LAST = datetime(9999, 12, 31, tzinfo=UTC)


def months_later(moment: datetime, months: int) -> datetime:
    """The same day of another month, or that month's last day."""
    number = moment.year * 12 + moment.month - 1 + months
    year, month = divmod(number, 12)
    if year < _FIRST.year:
        return _FIRST
    if year > _LAST.year:
        return _LAST
    return moment.replace(year=year, month=month + 1, day=min(moment.day, monthrange(year, month + 1)[1]))


def _moved(moment: datetime, by: timedelta) -> datetime:
    try:
        return moment + by
    except OverflowError:
        return _LAST if by > timedelta() else _FIRST


def _quarter(moment: datetime) -> datetime:
    return moment.replace(month=(moment.month - 1) // 3 * 3 + 1, day=1)


class Calendar:
    """What the words mean at one moment."""

    def __init__(self, now: datetime) -> None:
        self.now = now.astimezone(UTC).replace(microsecond=0)
        self.today = self.now.replace(hour=0, minute=0, second=0)
        self.tomorrow = self.today + _DAY
        self.week = self.today - timedelta(days=(self.today.weekday() + 1) % 7)
        self.month = self.today.replace(day=1)
        self.year = self.month.replace(month=1)
        self.period = _quarter(self.today)

    @property
    def _until_now(self) -> datetime:
        return self.now + timedelta(seconds=1)

    def named(self, name: str) -> Span | None:
        """A span that needs no number; None if there is none of that name."""
        found = _NAMED.get(name)
        return None if found is None else found(self)

    def counted(self, name: str, number: int) -> Span | None:
        """`last-x-days` and its kin; None if there is none of that name."""
        if name.startswith("olderthan-x-"):
            return None, self._distant(name.removeprefix("olderthan-x-"), -number, self.now)
        direction, _, unit = name.partition("-x-")
        if unit == "fiscal-years":
            later = months_later(self.year, 12)
            before = months_later(self.year, -12 * number)
            return (before, self.year) if direction == "last" else (later, months_later(later, 12 * number))
        if unit == "fiscal-periods":
            later = months_later(self.period, 3)
            before = months_later(self.period, -3 * number)
            return (before, self.period) if direction == "last" else (later, months_later(later, 3 * number))
        if direction not in {"last", "next"} or unit not in _UNITS:
            return None
        if unit == "hours":
            there = self._distant(unit, number if direction == "next" else -number, self.now)
            return (there, self._until_now) if direction == "last" else (self.now, there)
        if direction == "last":
            return self._distant(unit, -number, self.today), self._until_now
        return self.now, self._distant(unit, number, self.tomorrow)

    def _distant(self, unit: str, number: int, moment: datetime) -> datetime:
        if unit == "months":
            return months_later(moment, number)
        if unit == "years":
            return months_later(moment, 12 * number)
        try:
            return _moved(moment, _UNITS[unit] * number)
        except OverflowError:
            return _LAST if number > 0 else _FIRST


_UNITS: Mapping[str, timedelta] = {
    "minutes": timedelta(minutes=1), "hours": timedelta(hours=1), "days": _DAY, "weeks": timedelta(weeks=1),
    "months": timedelta(), "years": timedelta(),
}  # fmt: skip
COUNTED = frozenset(
    {f"{direction}-x-{unit}" for direction in ("last", "next") for unit in _UNITS if unit != "minutes"}
    | {f"{direction}-x-fiscal-{unit}" for direction in ("last", "next") for unit in ("years", "periods")}
    | {f"olderthan-x-{unit}" for unit in _UNITS}
)


def _around(
    start: Callable[[Calendar], datetime], step: Callable[[datetime, int], datetime]
) -> tuple[Callable[[Calendar], Span], Callable[[Calendar], Span], Callable[[Calendar], Span]]:
    """(last, this, next) of a unit."""
    return (
        lambda found: (step(start(found), -1), start(found)),
        lambda found: (start(found), step(start(found), 1)),
        lambda found: (step(start(found), 1), step(start(found), 2)),
    )


def _units() -> dict[str, Callable[[Calendar], Span]]:
    steps: dict[str, tuple[Callable[[Calendar], datetime], Callable[[datetime, int], datetime]]] = {
        "week": (lambda found: found.week, lambda moment, number: moment + 7 * number * _DAY),
        "month": (lambda found: found.month, months_later),
        "year": (lambda found: found.year, lambda moment, number: months_later(moment, 12 * number)),
        "fiscal-year": (lambda found: found.year, lambda moment, number: months_later(moment, 12 * number)),
        "fiscal-period": (lambda found: found.period, lambda moment, number: months_later(moment, 3 * number)),
    }
    named: dict[str, Callable[[Calendar], Span]] = {}
    for unit, (start, step) in steps.items():
        for word, span in zip(("last", "this", "next"), _around(start, step), strict=True):
            named[f"{word}-{unit}"] = span
    return named


_NAMED: Mapping[str, Callable[[Calendar], Span]] = {
    "today": lambda found: (found.today, found.tomorrow),
    "yesterday": lambda found: (found.today - _DAY, found.today),
    "tomorrow": lambda found: (found.tomorrow, found.tomorrow + _DAY),
    "last-seven-days": lambda found: (found.today - 7 * _DAY, found.now + timedelta(seconds=1)),
    "next-seven-days": lambda found: (found.now, found.tomorrow + 7 * _DAY),
    **_units(),
}
NAMED = frozenset(_NAMED)


def fiscal_year(year: int) -> Span:
    start = datetime(min(max(year, _FIRST.year), _LAST.year), 1, 1, tzinfo=UTC)
    return start, months_later(start, 12)


def fiscal_period(period: int, year: int) -> Span:
    """A quarter of a year; periods are numbered from 1."""
    start = months_later(datetime(min(max(year, _FIRST.year), _LAST.year), 1, 1, tzinfo=UTC), 3 * (period - 1))
    return start, months_later(start, 3)


def as_texts(span: Span, *, date_only: bool) -> tuple[str | None, str | None]:
    """As rows keep moments: text in canonical form. A column of days takes every day that the span touches."""
    start, end = span
    if date_only and end is not None and (end.hour or end.minute or end.second):
        end = end.replace(hour=0, minute=0, second=0) + _DAY
    length = 10 if date_only else None
    return (
        None if start is None else f"{start.isoformat()[:19]}Z"[:length],
        None if end is None else f"{end.isoformat()[:19]}Z"[:length],
    )


def whole_day(day: datetime) -> tuple[datetime, datetime]:
    return day, _moved(day, _DAY)

"""When is a kind of record due, and what runs beside it? Pure: how often, at which times, within which hours, and how
much more slowly while nothing happens.

Times on a clock are those of a zone. On a day whose clock is moved, an hour that there is not begins when the clock has
jumped, and one that there is twice counts twice; cron's fixed times run once on every day (as Debian's cron does).
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from crmbridge.model import ENTITIES, Entity

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES_OF_DAY: Final = 24 * 60
# What a record points at is looked at with it: an opportunity's customer, what a conversion takes.
PARENTS: Final[Mapping[Entity, tuple[Entity, ...]]] = {
    "account": (),
    "contact": ("account",),
    "lead": ("account", "contact"),
    "opportunity": ("account", "contact"),
}
_UNITS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_SPAN: Final = re.compile(r"(\d+) ?(second|minute|hour|day)s?")
_HOURS: Final = re.compile(r"([a-z]{3}(?:[-,][a-z]{3})*) (\d{1,2}):(\d\d)-(\d{1,2}):(\d\d) ([A-Za-z0-9_+\-/]+)")
_DAYS_AHEAD: Final = 15  # hours on one day a week, of which one falls into a gap of the clock
_DOUBLINGS_MAX: Final = 20  # a second has become twelve days


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """Business hours, by the clock of a zone. An end at or before the begin is on the next day."""

    days: frozenset[int]  # 0 is Monday; the day on which they begin
    begin: int  # minutes after midnight
    end: int  # up to 1440
    zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    text: str  # five fields
    zone: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """How often one kind of record is synced."""

    every: timedelta = timedelta(seconds=60)  # from the end of one cycle to the next
    cron: Cron | None = None  # instead of `every`
    hours: Hours | None = None
    idle: timedelta | None = None  # while nothing happens the pause doubles, up to this


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What the store knows of one kind of record's last cycle."""

    at: datetime  # when it ended
    quiet: int = 0  # so many in a row in which nothing had changed and nothing was written


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one cycle does."""

    sync: tuple[Entity, ...]
    read: tuple[Entity, ...]  # these are read; more than what is synced where a parent is outside its hours


# --- what people write --------------------------------------------------------------------------------------------


def read_span(text: str) -> timedelta:
    """`5 minutes`. ValueError tells how it is written."""
    found = _SPAN.fullmatch(text.strip())
    if found is None or not int(found[1]):
        raise ValueError("must be a time with its unit, such as 30 seconds, 5 minutes or 1 hour")
    span = timedelta(seconds=int(found[1]) * _UNITS[found[2]])
    if span > timedelta(days=366):
        raise ValueError("must be a year at most")
    return span


def read_hours(text: str) -> Hours:
    """`mon-fri 8:00-18:00 Europe/Berlin`."""
    found = _HOURS.fullmatch(" ".join(text.split()))
    if found is None:
        raise ValueError("must be days, times and a zone, such as mon-fri 8:00-18:00 Europe/Berlin")
    begin, end = (int(found[n]) * 60 + int(found[n + 1]) for n in (2, 4))
    if begin >= MINUTES_OF_DAY or end > MINUTES_OF_DAY or int(found[3]) > 59 or int(found[5]) > 59:
        raise ValueError("has a time that no clock shows; times go from 0:00 to 24:00")
    return Hours(days=_days(found[1].lower()), begin=begin, end=end, zone=_zone(found[6]))


def read_cron(text: str) -> Cron:
    """`*/10 6-20 * * mon-fri Europe/Berlin`: cron's five fields, and a zone (else UTC)."""
    fields = text.split()
    if len(fields) not in (5, 6):
        raise ValueError("must be cron's five fields and perhaps a zone, such as 0 6 * * mon-fri Europe/Berlin")
    cron = Cron(text=" ".join(fields[:5]), zone=_zone(fields[5]) if len(fields) == 6 else "UTC")
    try:
        if next(CronSim(cron.text, datetime(2024, 1, 1, tzinfo=UTC)), None) is None:
            raise ValueError("names a time that never comes")
    except CronSimError as error:
        raise ValueError(f"is not one of cron's times ({str(error).lower()})") from error
    return cron


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("names a zone that is not known; write one such as Europe/Berlin or UTC") from None
    return name


def _days(text: str) -> frozenset[int]:
    days: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            raise ValueError(f"has a day that is none of {', '.join(DAYS)}")
        start, count = DAYS.index(first), (DAYS.index(last or first) - DAYS.index(first)) % 7
        days |= {(start + n) % 7 for n in range(count + 1)}
    return frozenset(days)


# --- deciding -----------------------------------------------------------------------------------------------------


def next_due(rhythm: Rhythm, turn: Turn | None, now: datetime) -> datetime:
    """When it is due next; that moment may be past. What was never synced is due as soon as it may be."""
    if turn is None:
        return next_open(rhythm.hours, now)
    if rhythm.cron is None:
        return next_open(rhythm.hours, turn.at + pause_after(rhythm, turn.quiet))
    for at in _times(rhythm.cron, turn.at):
        if is_open(rhythm.hours, at):
            return at
    return next_open(rhythm.hours, turn.at)  # pragma: no cover - the settings refuse such a pair


def pause_after(rhythm: Rhythm, quiet: int) -> timedelta:
    """From the end of one cycle to the next."""
    if rhythm.idle is None:
        return rhythm.every
    return min(max(rhythm.idle, rhythm.every), rhythm.every * 2 ** min(quiet, _DOUBLINGS_MAX))


def _times(cron: Cron, after: datetime) -> Iterator[datetime]:
    for number, at in enumerate(CronSim(cron.text, after.astimezone(ZoneInfo(cron.zone)))):
        if number > MINUTES_OF_DAY * _DAYS_AHEAD:
            return
        yield at.astimezone(UTC)


def ever_open(cron: Cron, hours: Hours | None) -> bool:
    """Is there a time of it within the hours at all, looked for over two years of them?"""
    if hours is None:
        return True
    end = datetime(2026, 1, 1, tzinfo=UTC)
    for at in CronSim(cron.text, datetime(2024, 1, 1, tzinfo=ZoneInfo(cron.zone))):
        if is_open(hours, at):
            return True
        if at > end:
            return False
    return False


def is_open(hours: Hours | None, at: datetime) -> bool:
    if hours is None:
        return True
    clock = at.astimezone(ZoneInfo(hours.zone))
    minute = clock.hour * 60 + clock.minute
    if hours.begin < hours.end:
        return clock.weekday() in hours.days and hours.begin <= minute < hours.end
    return (clock.weekday() in hours.days and minute >= hours.begin) or (
        (clock.weekday() - 1) % 7 in hours.days and minute < hours.end
    )


def next_open(hours: Hours | None, at: datetime) -> datetime:
    """That moment, or the next one within the hours."""
    if hours is None or is_open(hours, at):
        return at
    today = at.astimezone(ZoneInfo(hours.zone)).date()
    for number in range(-1, _DAYS_AHEAD):
        for moment in _moments(today + timedelta(days=number), hours.begin, hours.zone):
            if moment >= at and is_open(hours, moment):
                return moment
    raise AssertionError("hours that never come")


def _moments(day: date, minute: int, zone: str) -> list[datetime]:
    """When a clock shows this, twice where it is set back; and when it is moved, for what opens by that."""
    shown = datetime.combine(day, time(minute // 60, minute % 60), ZoneInfo(zone))
    both = {shown.replace(fold=fold).astimezone(UTC) for fold in (0, 1)}
    return sorted(both | _jump(day, ZoneInfo(zone)))


def _jump(day: date, zone: ZoneInfo) -> set[datetime]:
    """The moment at which the clock is moved on this day, if it is."""
    low, high = (datetime.combine(day + timedelta(days=n), time(), zone).astimezone(UTC) for n in (0, 1))
    before = low.astimezone(zone).utcoffset()
    if high.astimezone(zone).utcoffset() == before:
        return set()
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return {high}


def batch(rhythms: Mapping[Entity, Rhythm], turns: Mapping[Entity, Turn], now: datetime) -> Batch:
    """What is due now, and its parents with it; those outside their hours are read only."""
    due: list[Entity] = [
        entity for entity in ENTITIES if entity in rhythms and next_due(rhythms[entity], turns.get(entity), now) <= now
    ]
    whole = with_parents(due)
    ready: tuple[Entity, ...] = tuple(
        entity for entity in whole if entity in due or entity not in rhythms or is_open(rhythms[entity].hours, now)
    )
    return Batch(sync=ready, read=whole)


def with_parents(entities: Collection[Entity]) -> tuple[Entity, ...]:
    return tuple(one for one in ENTITIES if one in entities or any(one in PARENTS[child] for child in entities))


def earliest(rhythms: Mapping[Entity, Rhythm], turns: Mapping[Entity, Turn], now: datetime) -> datetime:
    return min(next_due(rhythm, turns.get(entity), now) for entity, rhythm in rhythms.items())


def shortest_seconds(rhythms: Mapping[Entity, Rhythm]) -> float:
    """The pace that no cycle exceeds."""
    return min(1.0 if one.cron is not None else one.every.total_seconds() for one in rhythms.values())

"""How many calls a CRM gets from us, and who gets them when they are few. Pure; kept in `crmbridge.state.budget`.

Two limits: so many a second (a bucket that all workers share), and so many a day, of which each class of work has its
share: conversions and closes go on longest, what a person looks up comes next, reading and plain updates stop first
(reliability §8).

The bucket is the generic cell rate algorithm (ITU-T I.371): one number, the time at which it is full again. Times are
whole microseconds, so that Redis, SQL and Python count alike.
"""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Final, Literal

Work = Literal["life-cycle", "interactive", "bulk"]
WORKS: Final[tuple[Work, ...]] = ("life-cycle", "interactive", "bulk")
SHARES: Final[dict[Work, float]] = {"bulk": 0.80, "interactive": 0.90, "life-cycle": 0.95}  # of the day's calls
MICROSECONDS: Final = 1_000_000
DAY_SECONDS: Final = 86_400.0
# The org's own count is told with each answer. Older than this it is asked for once more, by an ordinary call: another
# program's calls fall out of a rolling day without our hearing of it.
TOLD_SECONDS_MAX: Final = 3600.0
FORECAST_SECONDS_MIN: Final = 900.0  # of a day: before, a rate says nothing

_doing: ContextVar[Work] = ContextVar("crmbridge_work", default="interactive")


@contextmanager
def doing(work: Work) -> Generator[None]:
    """The calls inside belong to this class of work; without it a person is waiting."""
    before = _doing.set(work)
    try:
        yield
    finally:
        _doing.reset(before)


def work_of_now() -> Work:
    return _doing.get()


# --- so many a second ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    per_second: float
    burst: int  # so many at once, after a pause

    @property
    def interval(self) -> int:
        """Microseconds that one call costs; rounded up, so that the rate is never exceeded."""
        return ceil(MICROSECONDS / self.per_second)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    granted: bool
    wait: int  # microseconds until the call may go out; not granted: until it could
    full_at: int  # microseconds since 1970 at which the bucket is full again


def take(full_at: int, now: int, rate: Rate, *, wait_max: int, cost: int = 1) -> Grant:
    """One call's place. Calls that wait have theirs already: they go out in the order in which they asked."""
    start = max(full_at, now)
    after = start + rate.interval * cost
    wait = max(0, after - rate.interval * rate.burst - now)
    if wait > wait_max:
        return Grant(granted=False, wait=wait, full_at=start)
    return Grant(granted=True, wait=wait, full_at=after)


def microseconds(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


# --- so many a day ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What one connection has used of its day (UTC)."""

    own: int = 0  # operations of ours today, as the CRM counts them
    allowed: int | None = None  # as set: `connections.NAME.daily_calls`
    told_used: int | None = None  # by the CRM: everybody's calls
    told_limit: int | None = None
    told_at: datetime | None = None

    def told(self, at: datetime) -> tuple[int, int] | None:
        """Used and limit by the CRM's own word, while it is fresh."""
        if self.told_used is None or not self.told_limit or self.told_at is None:
            return None
        fresh = at - self.told_at <= timedelta(seconds=TOLD_SECONDS_MAX)
        return (self.told_used, self.told_limit) if fresh else None


def used(standing: Standing, at: datetime) -> tuple[int, int] | None:
    """Used and limit of whatever is nearer to its end; None: no limit is known."""
    pairs = [pair for pair in (standing.told(at),) if pair is not None]
    if standing.allowed is not None:
        pairs.append((standing.own, standing.allowed))
    return max(pairs, key=lambda pair: pair[0] / max(pair[1], 1), default=None)


def may(work: Work, standing: Standing, at: datetime) -> bool:
    """Is there something left for this class of work?"""
    pair = used(standing, at)
    return pair is None or pair[0] < pair[1] * SHARES[work]


def left(work: Work, standing: Standing, at: datetime) -> int | None:
    """So many calls until this class of work stops; None: no limit is known."""
    pair = used(standing, at)
    return None if pair is None else max(0, ceil(pair[1] * SHARES[work]) - pair[0])


def next_look_at(standing: Standing, at: datetime) -> datetime:
    """When the day's calls are used up: the earliest moment at which it may be otherwise."""
    tomorrow = datetime(at.year, at.month, at.day, tzinfo=UTC) + timedelta(days=1)
    ends = [tomorrow]
    own_is_spent = standing.allowed is not None and standing.own >= standing.allowed * SHARES["life-cycle"]
    if standing.told(at) is not None and standing.told_at is not None and not own_is_spent:
        ends.append(standing.told_at + timedelta(seconds=TOLD_SECONDS_MAX, microseconds=1))
    return min(end for end in ends if end > at)


def forecast(standing: Standing, at: datetime) -> int | None:
    """Used at the day's end if we go on at today's rate; None: too early in the day to tell.

    The CRM's rolling day forgets yesterday's calls as well, which nobody counts for us: for it this is the careful
    side."""
    elapsed = (at - datetime(at.year, at.month, at.day, tzinfo=UTC)).total_seconds()
    if elapsed < FORECAST_SECONDS_MIN:
        return None
    pair = used(standing, at)
    now = standing.own if pair is None else pair[0]
    return now + round(standing.own / elapsed * (DAY_SECONDS - elapsed))

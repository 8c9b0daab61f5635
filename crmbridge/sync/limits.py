"""The gate that a connection's requests pass: breaker, block, the day's shares and the bucket, shared by all workers.

What is shared stands in the store; a bucket in Redis may say whose turn it is instead (`workers.bucket`). Nothing here
fails a record: what may not go out raises `LeftAlone`, and the work waits where it is.
"""

import logging
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from connectors.base import Connector
from connectors.gate import Passage, Told
from crmbridge import breaker as breakers
from crmbridge import budget, ids
from crmbridge.budget import MICROSECONDS, Grant, Rate, Work, doing, work_of_now
from crmbridge.errors import CrmBridgeError, LeaseTaken, LeftAlone, OutsideError
from crmbridge.model import SIDES, Side
from crmbridge.state.store import Store
from crmbridge.state.words import Limits

PATIENCE_SECONDS: Final = 2.0  # a longer block ends the run: the next one begins with what is most urgent
TURN_SECONDS_MAX: Final = 30.0  # for a place in the bucket
BLOCK_CALLS: Final = 20  # counted in one transaction; what is left of them is given back
TOLD_SECONDS: Final = 60.0  # the CRM's own count is stored so often, or when it has moved by half a percent
TOLD_SHARE: Final = 200

log = logging.getLogger(__name__)


class Bucket(Protocol):
    def take(self, connection: str, rate: Rate, *, wait_max: int) -> Grant | None:
        """Whose turn it is; None: not to be had at the moment, the store decides."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What was set for one connection."""

    rate: Rate | None = None  # None: no limit of ours
    daily: int | None = None  # calls a day; None: as many as the CRM lets us


@dataclass(slots=True)
class _Reserved:
    day: str = ""
    requests: int = 0
    operations: int = 0


@dataclass(kw_only=True)
class Keeper:
    """The gate of one connection, in one engine."""

    store: Store
    name: str  # of the connection
    allowance: Allowance = Allowance()
    bucket: Bucket | None = None
    patience_seconds: float = PATIENCE_SECONDS
    tries: bool = False  # a person looks whether it serves again: the breaker does not keep that back
    _who: str = field(default_factory=ids.new_id)
    _reserved: dict[Work, _Reserved] = field(default_factory=dict)
    _dirty: bool = True  # something about the breaker that a success would put right
    _told_at: datetime | None = None
    _told_used: int = -1

    def __post_init__(self) -> None:
        self.store.set_daily_calls(self.name, self.allowance.daily)

    # --- before -------------------------------------------------------------------------------------------------------

    def enter(self, passage: Passage, sleep: Callable[[float], None]) -> None:
        has_turn = passage.login or self.allowance.rate is None
        while True:
            limits = self.look()
            wait = self._block_left(limits)
            if wait == 0 and not has_turn:
                wait, has_turn = self._turn(), True
            if wait > 0:
                sleep(wait)
                continue  # somebody may have been asked to stay away meanwhile
            break
        if not passage.login:
            self._count(passage, limits)
        self._pass_breaker(passage, limits)

    def check(self, work: Work | None = None) -> Limits:
        """Raises LeftAlone if a call of this class of work (by default the one of now) would not get through."""
        limits = self.look()
        self._block_left(limits)
        if breakers.state(limits.breaker, limits.at) == "open":
            raise self._open(limits.breaker.until, limits.breaker.cause)
        if not budget.may(work or work_of_now(), limits.standing, limits.at):
            raise self._spent(limits, work or work_of_now())
        return limits

    def was_blocked_since(self, at: datetime) -> bool:
        until = self.look().blocked_until
        return until is not None and until > at

    def look(self) -> Limits:
        """How the connection stands, as all workers see it."""
        limits = self.store.limits(self.name)
        self._dirty = not limits.breaker.clean
        return limits

    def _block_left(self, limits: Limits) -> float:
        """Seconds that are worth waiting for."""
        if limits.block is None:
            return 0.0
        left = (limits.block.until - limits.at).total_seconds()
        if left <= self.patience_seconds:
            return max(left, 0.001)
        raise LeftAlone(
            f"{self.name} asked to be left alone until {limits.block.until:%Y-%m-%d %H:%M:%S} UTC "
            f"({limits.block.why}); nothing is sent until then.",
            fix="Nothing to do: the work goes on by itself, conversions first.",
            after_seconds=left,
            code="blocked",
        )

    def _turn(self) -> float:
        rate = self.allowance.rate
        assert rate is not None
        longest = int(TURN_SECONDS_MAX * MICROSECONDS)
        grant = self.bucket.take(self.name, rate, wait_max=longest) if self.bucket is not None else None
        if grant is None:
            grant = self.store.take_turn(self.name, rate, wait_max=longest)
        if grant.granted:
            return grant.wait / MICROSECONDS
        raise LeftAlone(
            f"{self.name}: its {rate.per_second:g} calls a second are taken for the next "
            f"{grant.wait / MICROSECONDS:.0f} seconds.",
            fix=f"It goes on by itself; connections.{self.name}.calls_per_second sets the pace.",
            after_seconds=grant.wait / MICROSECONDS,
            code="pace",
        )

    def _count(self, passage: Passage, limits: Limits) -> None:
        work = work_of_now()
        mine = self._reserved.setdefault(work, _Reserved())
        today = limits.at.date().isoformat()
        if mine.day not in ("", today):  # midnight: yesterday's are given back to yesterday
            self._give_back(work)
        if mine.requests < 1 or mine.operations < passage.operations:
            left = budget.left(work, limits.standing, limits.at)
            some = BLOCK_CALLS if left is None else min(BLOCK_CALLS, max(1, left // 10))
            day = self.store.reserve_calls(
                self.name,
                work,
                requests=some,
                operations=some - 1 + passage.operations,
            )
            if day is None:
                raise self._spent(limits, work)
            mine.day = day
            mine.requests += some
            mine.operations += some - 1 + passage.operations
        elif not budget.may(work, limits.standing, limits.at):
            raise self._spent(limits, work)
        mine.requests -= 1
        mine.operations -= passage.operations

    def _pass_breaker(self, passage: Passage, limits: Limits) -> None:
        if self.tries or breakers.state(limits.breaker, limits.at) == "closed":
            return
        verdict = self.store.ask_breaker(self.name, who=self._who, reads=passage.reads or passage.login)
        if not verdict.go:
            raise self._open(verdict.until, limits.breaker.cause)

    def _open(self, until: datetime | None, cause: str) -> LeftAlone:
        when = f"until {until:%H:%M:%S} UTC" if until is not None else "for the moment"
        return LeftAlone(
            f"{self.name} is in trouble ({cause or 'no answer'}) and left alone {when}; then one read tries it.",
            fix=f"See whether the CRM can be reached; for failed logins check connections.{self.name}.auth.",
            code="breaker",
        )

    def _spent(self, limits: Limits, work: Work) -> LeftAlone:
        pair = budget.used(limits.standing, limits.at) or (0, 0)
        share = budget.SHARES[work]
        return LeftAlone(
            f"{self.name}: {pair[0]} of the day's {pair[1]} calls are used; {work} work stops at {share:.0%}.",
            fix="It goes on when the CRM has calls again; `crmbridge status` tells what is left. "
            f"connections.{self.name}.daily_calls lowers what crmbridge may use.",
            code="budget",
        )

    # --- after --------------------------------------------------------------------------------------------------------

    def leave(self, passage: Passage, told: Told) -> None:
        if told.used is not None and told.limit:
            self._note_usage(told.used, told.limit)
        if told.blocked_seconds is not None:
            block = self.store.block_calls(self.name, told.blocked_seconds, _cause(passage, told.why))
            log.warning(
                "%s asks to be left alone until %s UTC (%s)",
                *(self.name, f"{block.until:%H:%M:%S}", block.why),
                extra={"action": "blocked", "connection": self.name, "seconds": told.blocked_seconds},
            )
        if told.trouble:
            self._trouble(passage, told.trouble)
        elif self._dirty and not (passage.login and (passage.reads or told.blocked_seconds is not None)):
            # Where to log in is told to everybody, and who is asked to wait has not logged in.
            self.store.report_breaker(self.name, "login served" if passage.login else "served")
            self._dirty = False

    def lost(self, passage: Passage, why: str) -> None:
        self._trouble(passage, why)

    def _trouble(self, passage: Passage, cause: str) -> None:
        if self.tries and not passage.login:
            return  # what a person tries out, such as a wrong address, keeps nobody's work back
        event = "login failed" if passage.login else "trouble"
        after = self.store.report_breaker(self.name, event, _cause(passage, cause))
        if after.until is not None and after.troubles == 0:
            log.warning(
                "%s is in trouble (%s): left alone until %s UTC",
                *(self.name, after.cause, f"{after.until:%H:%M:%S}"),
                extra={"action": "breaker_open", "connection": self.name},
            )
        self._dirty = True

    def _note_usage(self, used: int, limit: int) -> None:
        at = self.store.now()
        old = self._told_at is None or (at - self._told_at).total_seconds() > TOLD_SECONDS
        if not old and abs(used - self._told_used) < max(1, limit // TOLD_SHARE):
            return
        self.store.note_told_usage(self.name, used, limit)
        self._told_at, self._told_used = at, used

    # --- at the end ---------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """What was counted beforehand and not needed is given back. A process that is killed leaves it counted."""
        for work in list(self._reserved):
            self._give_back(work)

    def _give_back(self, work: Work) -> None:
        mine = self._reserved.pop(work)
        if mine.requests or mine.operations:
            self.store.give_back_calls(self.name, mine.day, work, requests=mine.requests, operations=mine.operations)
        self._reserved[work] = _Reserved()


def _cause(passage: Passage, why: str) -> str:
    return f"login: {why}" if passage.login else why


Keepers = Mapping[Side, Keeper]


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How a run goes, given what may be called."""

    first: bool = False  # conversions and closes before everything else
    only: bool = False  # ... and nothing else
    why: str = ""


def course(keepers: Keepers, connectors: Mapping[Side, Connector], *, was_left_alone: bool) -> Course:
    """At the start of a run. Raises LeftAlone if it has to wait as a whole; tries a CRM that was in trouble with one
    cheap read."""
    looks: dict[Side, Limits] = {side: keepers[side].check("life-cycle") for side in SIDES if side in keepers}
    for side, look in looks.items():
        if breakers.state(look.breaker, look.at) == "half-open":
            with doing("life-cycle"):
                try:
                    connectors[side].identity()
                except LeftAlone:
                    raise
                except OutsideError as error:
                    keepers[side].check("life-cycle")  # asked to be left alone, or in trouble anew: until when, and why
                    raise LeftAlone(
                        f"{keepers[side].name} still does not serve.", fix=error.fix, code="breaker"
                    ) from error
            looks[side] = keepers[side].look()
    short = [keepers[side].name for side, look in looks.items() if not budget.may("bulk", look.standing, look.at)]
    if short:
        why = f"{' and '.join(short)}: {budget.SHARES['bulk']:.0%} of the day's calls are used, conversions alone go on"
        return Course(first=True, only=True, why=why)
    return Course(first=was_left_alone)


def left_alone_by(keepers: Keepers, error: CrmBridgeError) -> LeftAlone | None:
    """Was a run ended by a limit or by trouble of a CRM as a whole? Then its work waits, and has not failed."""
    if isinstance(error, LeftAlone):
        return error
    if not isinstance(error, OutsideError) or isinstance(error, LeaseTaken):
        return None  # somebody has to act, or is at it
    for keeper in keepers.values():
        try:
            keeper.check("life-cycle")
        except LeftAlone as found:
            return found
    return None


@contextmanager
def told_apart(keepers: Keepers) -> Generator[None]:
    """What goes wrong inside since a CRM as a whole does not serve is told as that."""
    try:
        yield
    except CrmBridgeError as error:
        waits = left_alone_by(keepers, error)
        if waits is None or waits is error:
            raise
        raise waits from error


def resumes_at(every: Iterable[Limits]) -> datetime | None:
    """When a run may begin, as far as limits and breakers go; None: now. `every`: how all connections stand."""
    moments: list[datetime] = []
    for limits in every:
        if limits.block is not None:
            moments.append(limits.block.until)
        if limits.breaker.until is not None and limits.breaker.until > limits.at:
            moments.append(limits.breaker.until)
        if not budget.may("life-cycle", limits.standing, limits.at):
            moments.append(budget.next_look_at(limits.standing, limits.at))
    return max(moments, default=None)


def is_any_short(every: Iterable[Limits]) -> bool:
    """Are conversions all that goes on at some connection?"""
    return any(not budget.may("bulk", one.standing, one.at) for one in every)

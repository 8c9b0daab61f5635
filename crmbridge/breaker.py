"""When is a CRM in trouble left alone? A breaker per connection: closed, open for a while, one cheap read to see.

Pure: what happened goes in, the new state comes out; `crmbridge.state.breaker` keeps it for all workers. Only what says
that the CRM itself is in trouble counts: no connection, no answer in time, a server error. A 4xx is an answer, and the
refusal of a record is one too (reliability §8).
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

TROUBLES_MAX: Final = 5  # in a row
LOGINS_MAX: Final = 3  # failed in a row: a wrong secret that is tried on and on locks the user out
PAUSES: Final = (30.0, 60.0, 120.0, 300.0)  # seconds, by how often it opened without a success in between
PROBE_SECONDS: Final = 130.0  # who looks may die doing it; longer than a call may take

Event = Literal["served", "trouble", "login served", "login failed"]
State = Literal["closed", "open", "half-open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    troubles: int = 0  # in a row
    logins: int = 0  # failed in a row
    opened: int = 0  # so often in a row without a success in between
    until: datetime | None = None  # left alone until then; None: closed
    prober: str | None = None  # who looks whether it serves again
    probing_until: datetime | None = None
    cause: str = ""  # what opened it, in words

    @property
    def clean(self) -> bool:
        return self == Breaker()


CLOSED: Final = Breaker()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    go: bool
    until: datetime | None = None  # not before


def state(breaker: Breaker, at: datetime) -> State:
    if breaker.until is None:
        return "closed"
    return "open" if at < breaker.until else "half-open"


def ask(breaker: Breaker, at: datetime, *, who: str, reads: bool) -> tuple[Breaker, Verdict]:
    """May this call go out? Half-open, one worker may read; everything else waits for what comes of it."""
    now = state(breaker, at)
    if now == "closed":
        return breaker, Verdict(go=True)
    if now == "open":
        return breaker, Verdict(go=False, until=breaker.until)
    taken = breaker.prober not in (None, who) and breaker.probing_until is not None and breaker.probing_until > at
    if taken or not reads:
        return breaker, Verdict(go=False, until=breaker.probing_until if taken else at)
    return replace(breaker, prober=who, probing_until=at + timedelta(seconds=PROBE_SECONDS)), Verdict(go=True)


def report(breaker: Breaker, at: datetime, event: Event, cause: str = "") -> Breaker:
    """What came of a call. What was on its way when the breaker opened tells nothing new."""
    if state(breaker, at) == "open":
        return breaker
    match event:
        case "served":
            return CLOSED
        case "login served":
            return replace(breaker, logins=0)
        case "trouble":
            after = replace(breaker, troubles=breaker.troubles + 1)
        case "login failed":
            after = replace(breaker, logins=breaker.logins + 1)
    looked = breaker.until is not None
    if looked or after.troubles >= TROUBLES_MAX or after.logins >= LOGINS_MAX:
        pause = PAUSES[min(after.opened, len(PAUSES) - 1)]
        return Breaker(opened=after.opened + 1, until=at + timedelta(seconds=pause), cause=cause)
    return after

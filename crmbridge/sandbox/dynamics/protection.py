"""Service protection: sliding windows of requests and of execution time for each user, and a bound on requests at once
(dataverse-api §10.4).

Execution time is reckoned, not measured, so that the same requests always cost the same: a number of milliseconds for
each request and for each operation in it. How many requests are under way only the driver knows; it says so in the
request.
"""

import math
from collections import deque
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any

from crmbridge.sandbox.dynamics.errors import DataverseError
from crmbridge.sandbox.dynamics.shape import Organization

_CONCURRENCY_WAIT_SECONDS = 2  # "the wait is short": dataverse-api §10.4 (unverified)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    requests: int
    window_seconds: int
    execution_seconds: float
    concurrent: int
    dop_hint: int
    request_milliseconds: float
    operation_milliseconds: float

    @classmethod
    def of(cls, facts: Organization) -> "Limits":
        return cls(**{each.name: getattr(facts, each.name) for each in fields(cls)})

    def changed(self, wanted: dict[str, Any]) -> "Limits":
        """These limits with others in place of some; ValueError names what is none."""
        known = {each.name for each in fields(self)}
        for name, value in wanted.items():
            if name not in known:
                raise ValueError(f"{name}: unknown limit; known: {', '.join(sorted(known))}")
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e9:
                raise ValueError(f"{name}: a number that is not negative is expected")
        whole = {"requests", "window_seconds", "concurrent", "dop_hint"}
        return replace(self, **{name: int(value) if name in whole else value for name, value in wanted.items()})


@dataclass(slots=True, kw_only=True)
class _Used:
    """What one user has used: moments of requests, moments and seconds of execution, oldest first."""

    requests: deque[datetime] = field(default_factory=deque[datetime])
    execution: deque[tuple[datetime, float]] = field(default_factory=deque[tuple[datetime, float]])
    seconds: float = 0.0  # the sum of `execution`

    def slide(self, now: datetime, window: timedelta) -> None:
        """Forget what is older than the window, and what lies ahead of a clock that was set back."""
        while self.requests and not now - window < self.requests[0] <= now:
            self.requests.popleft()
        while self.execution and not now - window < self.execution[0][0] <= now:
            self.seconds -= self.execution.popleft()[1]
        if not self.execution:
            self.seconds = 0.0


class Protection:
    """The limits of one environment and what its users have used of them."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._used: dict[str, _Used] = {}

    def admit(self, user: str, now: datetime, concurrent: int) -> None:
        """Count a request, or refuse it. A refused one counts as well, so the wait grows while a client goes on."""
        limits, window = self.limits, timedelta(seconds=self.limits.window_seconds)
        if concurrent > limits.concurrent:
            raise _too_many(
                "0x80072326",
                f"Number of concurrent requests exceeded the limit of {limits.concurrent}.",
                _CONCURRENCY_WAIT_SECONDS,
            )
        used = self._used.setdefault(user, _Used())
        used.slide(now, window)
        over = len(used.requests) - limits.requests
        used.requests.append(now)
        if over >= 0:
            wait = used.requests[min(over, len(used.requests) - 1)] + window - now
            raise _too_many(
                "0x80072322",
                f"Number of requests exceeded the limit of {limits.requests} over time window of "
                f"{limits.window_seconds} seconds.",
                _whole_seconds(wait),
            )
        if used.seconds >= limits.execution_seconds:
            raise _too_many(
                "0x80072321",
                f"Combined execution time of incoming requests exceeded limit of "
                f"{limits.execution_seconds * 1000:,.0f}  milliseconds over time window of {limits.window_seconds} "
                "seconds. Decrease number of concurrent requests or reduce the duration of requests and try again "
                "later.",
                self._until_idle(used, now),
            )

    def _until_idle(self, used: _Used, now: datetime) -> int:
        """Seconds until enough of the execution time has left the window."""
        window, left = timedelta(seconds=self.limits.window_seconds), used.seconds
        for moment, seconds in used.execution:
            left -= seconds
            if left < self.limits.execution_seconds:
                return _whole_seconds(moment + window - now)
        return self.limits.window_seconds

    def charge(self, user: str, now: datetime, operations: int) -> None:
        """The execution time of a request that was carried out; operations of a batch cost in full."""
        limits = self.limits
        seconds = (limits.request_milliseconds + operations * limits.operation_milliseconds) / 1000
        used = self._used.setdefault(user, _Used())
        used.execution.append((now, seconds))
        used.seconds += seconds

    def remaining(self, user: str) -> tuple[int, float]:
        """(requests, seconds of execution) that are left."""
        used = self._used.get(user)
        if used is None:
            return self.limits.requests, float(self.limits.execution_seconds)
        requests = max(0, self.limits.requests - len(used.requests))
        return requests, max(0.0, self.limits.execution_seconds - used.seconds)


def _whole_seconds(wait: timedelta) -> int:
    return max(1, math.ceil(wait.total_seconds()))


def _too_many(code: str, message: str, wait: int) -> DataverseError:
    """dataverse-api §10.3, §10.4"""
    return DataverseError(429, code, message, (("Retry-After", str(wait)),))

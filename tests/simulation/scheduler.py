"""Virtual time and one heap: whatever happens in a simulation is an event on it, in one order for one seed.

Worker processes are greenlets. They run until they call `pause`, and then anything else may happen before they go on:
another worker's step, a person's edit, their own end.
"""

import hashlib
import heapq
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count

from greenlet import greenlet

BEGIN = datetime(2026, 1, 5, 8, tzinfo=UTC)


class VirtualClock:
    """What the CRMs, the store and the workers take for the time; only the scheduler moves it."""

    def __init__(self) -> None:
        self.seconds = 0.0  # since BEGIN

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.seconds)

    def real(self) -> datetime:
        return self.now()

    def monotonic(self) -> float:
        return self.seconds

    def epoch(self) -> float:
        return BEGIN.timestamp() + self.seconds


class Trace:
    """A digest of everything that happened; with `lines`, the end of the story as well."""

    def __init__(self, keep: int = 0) -> None:
        self._digest = hashlib.blake2b(digest_size=12)
        self._keep = keep
        self.lines: list[str] = []

    def add(self, at: float, text: str) -> None:
        line = f"{at:.3f} {text}"
        self._digest.update(line.encode())
        if self._keep:
            self.lines.append(line)
            if len(self.lines) > 2 * self._keep:
                del self.lines[: self._keep]

    @property
    def hash(self) -> str:
        return self._digest.hexdigest()


class Scheduler:
    def __init__(self, clock: VirtualClock, trace: Trace) -> None:
        self.clock, self.trace = clock, trace
        self.events = 0
        self._heap: list[tuple[float, int, str, Callable[[], None]]] = []
        self._numbers = count()

    def after(self, seconds: float, what: str, do: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (self.clock.seconds + seconds, next(self._numbers), what, do))

    def step(self, until: float | None = None) -> bool:
        """The next event; False if there is none (before that moment)."""
        if not self._heap or (until is not None and self._heap[0][0] > until):
            return False
        at, _, what, do = heapq.heappop(self._heap)
        self.clock.seconds = max(self.clock.seconds, at)
        self.events += 1
        self.trace.add(self.clock.seconds, what)
        do()
        return True

    def run_until(self, seconds: float) -> None:
        while self.step(seconds):
            pass
        self.clock.seconds = max(self.clock.seconds, seconds)


class Killed(BaseException):
    """What SIGKILL is in here: nothing may catch it, and what its `finally` does reaches neither store nor CRM."""


class Thread:
    """One greenlet on the scheduler."""

    def __init__(self, scheduler: Scheduler, name: str) -> None:
        self._scheduler, self.name = scheduler, name
        self._greenlet: greenlet | None = None
        self._life = 0
        self.alive = False

    def start(self, run: Callable[[], None], seconds: float = 0.0) -> None:
        self._life += 1
        self.alive = True
        self._greenlet = greenlet(run)
        self._wake_after(seconds, "starts")

    def _wake_after(self, seconds: float, why: str) -> None:
        life = self._life

        def wake() -> None:
            if life == self._life and self.alive and self._greenlet is not None:
                self._greenlet.switch()

        self._scheduler.after(seconds, f"{self.name} {why}", wake)

    @property
    def current(self) -> bool:
        return self._greenlet is not None and greenlet.getcurrent() is self._greenlet

    def pause(self, seconds: float, why: str = "goes on") -> None:
        """From within: let others have their turn."""
        assert self.current, f"{self.name} paused by somebody else"
        self._wake_after(seconds, why)
        parent = self._greenlet.parent if self._greenlet else None
        assert parent is not None
        parent.switch()
        if not self.alive:
            raise Killed

    def kill(self) -> None:
        """From within (then it does not return) or from outside."""
        self.alive = False
        if self.current:
            raise Killed
        if self._greenlet is not None and not self._greenlet.dead and self._greenlet:
            with suppress(Killed):
                self._greenlet.throw(Killed)

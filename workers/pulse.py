"""A worker's own pulse, in a thread of its main process: it gives a sign, ticks in case beat is away, looks how things
stand while the broker is (the tick that does it else comes by the broker), and ends the worker when nobody hears the
hints any more.

A worker may lose its connection to the broker without noticing (seen when brokers restart): it looks healthy, and
nothing is ever begun again. So it looks into the store: work that has been due for long, while the broker answers,
means that nobody hears the hints. Then it ends, and whoever supervises it starts it anew.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from threading import Event, RLock, Thread
from typing import Any, Final

from kombu.exceptions import OperationalError

from crmbridge.errors import CrmBridgeError
from workers import broker, cycle, outage, schedule
from workers.config import kombu_url
from workers.desk import Desk
from workers.logs import logger

PULSE_SECONDS: Final = 15.0  # three ticks
DEAF_PULSES: Final = 3  # in a row: hints were sent in the first ones, and nobody took them
GRACE_SECONDS: Final = 180.0  # what is under way comes to its end; then it is cut off, which loses nothing

_log: Any = logger("crmbridge.workers")


# Held while the pulse is in the middle of something, and while the pool forks: a process that is forked while another
# thread is importing, or has a database's lock, waits for that lock for ever (seen: a tick that hung in an import until
# its time limit). A pulse that hangs itself, on a store that does not answer, does not keep the pool from forking.
_still = RLock()
_FORK_WAITS_SECONDS: Final = 15.0  # a store's connection is given up after 10
_held: list[bool] = []


def _before_fork() -> None:
    _held.append(_still.acquire(timeout=_FORK_WAITS_SECONDS))


def _after_fork() -> None:
    if _held.pop():
        _still.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def leave() -> None:
    """As a supervisor would stop it; the hard way if it does not hear that either."""
    os.kill(os.getpid(), signal.SIGTERM)
    Event().wait(GRACE_SECONDS)
    os._exit(1)


class Pulse:
    def __init__(
        self, path: Path, send: Callable[[str], None], leave: Callable[[], None] = leave, seconds: float = PULSE_SECONDS
    ) -> None:
        self._path, self._send, self._leave, self._seconds = path, send, leave, seconds
        self._over = Event()
        self._unheard = 0
        self._thread = Thread(target=self._run, name="pulse", daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._over.set()

    def _run(self) -> None:
        while not self._over.wait(self._seconds):
            with _still:
                deaf = self.once()
            if deaf:
                self._leave()
                return

    def once(self) -> bool:
        """Has this worker gone deaf?"""
        # Opened and closed each time: nothing of it is there to be inherited when the pool forks.
        desk = Desk(self._path)
        try:
            desk.store.beat("worker")
            reached = self._reaches_broker(desk)
            for queue in cycle.tick(desk):
                self._send(queue)
            if self._nobody_hears(desk, reached):
                _log.warning("work is due, the broker answers and nobody begins; leaving", action="worker_deaf")
                return True
        except OperationalError:
            self._unheard = 0  # the broker is away: that is waited for
        except CrmBridgeError as error:
            self._unheard = 0
            _log.error(str(error), action="pulse_failed", code=error.code)
            outage.noticed(desk.settings, error)
        finally:
            desk.close()
        return False

    def _reaches_broker(self, desk: Desk) -> bool:
        url = desk.settings.broker_url()
        reached = url is None or broker.answers(desk.store, kombu_url(url))  # none: taken out since the worker began
        if not reached:
            cycle.watch(desk)
        return reached

    def _nobody_hears(self, desk: Desk, reached: bool) -> bool:
        schedules = desk.settings.schedules
        if not reached or not schedule.overdue(desk.store, schedules.every_seconds, schedules.rhythms):
            self._unheard = 0
            return False
        self._unheard += 1
        return self._unheard >= DEAF_PULSES

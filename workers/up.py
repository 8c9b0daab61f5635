"""`crmbridge up`: broker, scheduler and worker in one process tree, without services.

This process only watches: the work is done by one Celery worker with beat inside. A worker may exit when the broker
restarts (seen), or by itself when it has gone deaf (`workers.pulse`); so it is started again when it ends.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from crmbridge import settings as settings_module
from crmbridge import wiring
from crmbridge.errors import ConfigError, OutsideError
from crmbridge.settings import Settings
from crmbridge.settings.document import Schedules
from workers import broker, logs, own_broker
from workers.config import kombu_url, refuse_remapped_sigterm

GRACE_SECONDS: Final = 180.0  # a cycle under way is let to its end
KILL_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.2
RESTART_SECONDS: Final = (0.0, 1.0, 2.0, 5.0, 15.0, 30.0)
STEADY_SECONDS: Final = 60.0  # a worker that lived so long begins again with an empty account
DEATHS_MAX: Final = 10

_log: Any = logs.logger("crmbridge.up")


def up(settings: Settings, *, grace_seconds: float = GRACE_SECONDS) -> int:
    """Runs until SIGTERM or SIGINT; returns the signal that ended it."""
    if os.name != "posix":
        raise ConfigError("`crmbridge up` needs Linux or macOS.", fix="Here `crmbridge sync` can be scheduled instead.")
    refuse_remapped_sigterm()
    wiring.load_mapping(
        settings
    )  # what is wrong in the files is said here, once, and not by the worker again and again
    store = wiring.open_store(settings)
    store.close()
    logs.configure()
    with _signals() as caught, _broker(settings) as url:
        _log.info("up", action="up", store=store.place, broker=broker.without_password(url))
        tree = Tree(settings, url, caught)
        try:
            tree.watch()
        finally:
            tree.stop(grace_seconds)
    _log.info("down", action="down")
    return caught[0]


class Tree:
    """The worker, and what became of its predecessors."""

    def __init__(self, settings: Settings, url: str, caught: list[int]) -> None:
        self._settings = settings
        self._url = url
        self._caught = caught
        self._worker: subprocess.Popen[bytes] | None = None

    def watch(self) -> None:
        """Until a signal comes."""
        deaths = 0
        self._start()
        began = time.monotonic()
        while not self._caught:
            time.sleep(POLL_SECONDS)
            assert self._worker is not None
            code = self._worker.poll()
            now = time.monotonic()
            if code is None:
                continue
            if code in (ConfigError.exit_code, OutsideError.exit_code):
                raise OutsideError("The worker could not begin; what it said stands above.", code="worker")
            deaths = deaths + 1 if now - began < STEADY_SECONDS else 1
            if deaths > DEATHS_MAX:
                raise OutsideError(
                    f"The worker ended {deaths} times in a row (the last time with {code}).", code="worker"
                )
            pause = RESTART_SECONDS[min(deaths, len(RESTART_SECONDS)) - 1]
            _log.warning(f"the worker ended with {code}; it is started again", action="worker_ended", after=pause)
            self._pause(pause)
            if not self._caught:
                self._start()
                began = time.monotonic()

    def stop(self, grace_seconds: float) -> None:
        """A warm shutdown: the cycle under way ends, then the worker. A second signal does not wait for it."""
        worker = self._worker
        if worker is None or worker.poll() is not None:
            return
        signals_before = len(self._caught)
        worker.terminate()
        end = time.monotonic() + grace_seconds
        while worker.poll() is None and time.monotonic() < end and len(self._caught) == signals_before:
            time.sleep(POLL_SECONDS)
        if worker.poll() is None:
            # Cold: it may stop at any line. What was sent is written down; the next cycle looks what came of it.
            worker.send_signal(signal.SIGQUIT)
            try:
                worker.wait(KILL_SECONDS)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()

    def _start(self) -> None:
        environment = os.environ | {
            "CRMBRIDGE_CONFIG": str(self._settings.path),
            "CRMBRIDGE_PROFILE": self._settings.profile or "",
            "CRMBRIDGE_BROKER__URL": self._url,
        }
        command = [sys.executable, "-m", "celery", "--quiet", "-A", "workers.app", "worker", "--beat"]
        quiet = ["--loglevel", "INFO"]
        self._worker = subprocess.Popen(  # noqa: S603 - our own command line
            [*command, *quiet, "--hostname", f"crmbridge-{os.getpid()}@%h"],
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us to hear; the worker is stopped by us
            preexec_fn=own_broker.end_with_parent,  # noqa: PLW1509 - `up` has no threads
        )

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._caught and time.monotonic() < end:
            time.sleep(POLL_SECONDS)

    def _schedules(self) -> Schedules:
        """As they stand in the file by now; of a broken one the worker goes by the last good one, and so do we."""
        with contextlib.suppress(ConfigError):
            self._settings = settings_module.load(self._settings.path, profile=self._settings.profile)
        return self._settings.schedules


@contextmanager
def _broker(settings: Settings) -> Generator[str]:
    given = settings.broker_url()
    if given is None:
        with own_broker.embedded(broker_folder(settings)) as url:
            yield url
        return
    url = kombu_url(given)
    broker.ping(url)
    yield url


def broker_folder(settings: Settings) -> Path:
    """Beside the store if that is a file, else beside the settings."""
    start, colon, file = settings.store_url().partition("sqlite:///")
    beside = Path(file.partition("?")[0]).parent if colon and not start and ":memory:" not in file else settings.folder
    return beside / "crmbridge.broker"


@contextmanager
def _signals() -> Generator[list[int]]:
    """Signals that came, in order; handlers are put back at the end."""
    caught: list[int] = []

    def note(number: int, frame: object) -> None:
        del frame
        caught.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

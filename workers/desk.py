"""What one worker process keeps between tasks: the store, and an engine for each thread that is at work, while it is
worth keeping.

Opening an engine asks both CRMs for their descriptions, which an idle cycle must not do. It is opened anew when the
configuration has changed, when it has become old, and after any trouble.
"""

import threading
import time
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from crmbridge import settings as settings_module
from crmbridge import wiring
from crmbridge.errors import ConfigError, LeftAlone
from crmbridge.settings import Settings
from crmbridge.state.store import Store
from crmbridge.sync import Engine
from workers.bucket import RedisBucket, bucket_of
from workers.logs import logger

ENGINE_SECONDS_MAX: Final = 900  # fields, users and statuses that were added meanwhile are seen after so long

_log = logger("crmbridge.workers")

_Mark = tuple[object, ...]


class _Seat:
    """An engine, and what it was opened by. One thread at a time uses it."""

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.stack = ExitStack()
        self.mark: _Mark = ()
        self.until = 0.0

    def close(self) -> None:
        self.engine = None
        self.stack.close()


class Desk:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._settings: Settings | None = None
        self._store: Store | None = None
        self._seats: list[_Seat] = []  # that nobody sits at
        self._seen: _Mark = ()

    def after_fork(self) -> None:
        """In a new process nothing of the parent's is touched: its sockets are the parent's."""
        self._lock = threading.Lock()
        self._forget()

    @property
    def settings(self) -> Settings:
        """As they are now; of a file that was broken since, as they were before (the engine tells about it)."""
        stamp = self._stamp()
        if self._settings is None:
            self._settings = settings_module.load(self._path)
        elif stamp != self._seen:
            with suppress(ConfigError):
                self._settings = settings_module.load(self._path)
        self._seen = stamp
        return self._settings

    @property
    def store(self) -> Store:
        with self._lock:
            if self._store is None:
                self._store = wiring.open_store(self.settings)
            return self._store

    @contextmanager
    def engine(self) -> Generator[Engine]:
        with self._lock:
            seat = self._seats.pop() if self._seats else _Seat()
        try:
            mark = self._mark_now()
            if seat.engine is None or mark != seat.mark or time.monotonic() > seat.until:
                self._open_engine(seat)
                seat.mark, seat.until = mark, time.monotonic() + ENGINE_SECONDS_MAX
            assert seat.engine is not None
            try:
                yield seat.engine
            except LeftAlone:
                raise  # nothing is wrong with the engine, and opening one costs calls
            except BaseException:
                seat.close()
                raise
        finally:
            with self._lock:
                self._seats.append(seat)

    def _open_engine(self, seat: _Seat) -> None:
        """By the files as they are now. A broken one never replaces a good one: the engine goes on as it is, or is
        opened by the last version that a run went by; the next change of a file is looked at again."""
        stack = ExitStack()
        try:
            settings = settings_module.load(self._path)  # the file may have changed
            bucket = stack.enter_context(_bucket(settings))
            engine = stack.enter_context(wiring.open_engine(settings, bucket=bucket))
        except ConfigError as error:
            stack.close()
            self._tell_broken(error)
            if seat.engine is not None:
                return
            last = next(iter(self.store.mappings()), None)
            if error.code != "mapping" or last is None:
                raise
            bucket = stack.enter_context(_bucket(self.settings))
            engine = stack.enter_context(wiring.open_engine(self.settings, texts=last.texts, bucket=bucket))
        else:
            self._settings = settings
            self._tell_broken(None)
        seat.close()
        seat.engine, seat.stack = engine, stack

    def _tell_broken(self, error: ConfigError | None) -> None:
        """`crmbridge status` shows it for as long as it lasts."""
        told = "" if error is None else "\n".join(error.problems) or str(error)
        if (self.store.meta(wiring.BROKEN_META) or "") == told:
            return
        self.store.set_meta(wiring.BROKEN_META, told)
        if error is not None:
            _log.error(
                "the configuration is broken; the last good one stays in force",
                action="configuration_broken",
                problems=error.problems,
            )

    def close(self) -> None:
        for seat in self._seats:
            seat.close()
        if self._store is not None:
            self._store.close()
        self._forget()

    def _mark_now(self) -> _Mark:
        """Changes when a file of the configuration, or a decision about a whole field, changes."""
        folder = self.settings.mappings_folder
        return (*self._stamp(), *_stamps(sorted(folder.glob("*.y*ml"))), self.store.meta("choices"))

    def _stamp(self) -> _Mark:
        own = sorted(self._path.parent.glob(f"{self._path.stem}*{self._path.suffix}"))  # with those of profiles
        return _stamps([*own, self._path.parent / ".env"])


@contextmanager
def _bucket(settings: Settings) -> Generator[RedisBucket | None]:
    bucket = bucket_of(settings)
    try:
        yield bucket
    finally:
        if bucket is not None:
            bucket.close()


def _stamps(files: Iterable[Path]) -> _Mark:
    return tuple((str(file), file.stat().st_mtime_ns) for file in files if file.exists())

"""What one worker process keeps between tasks: the store, and an engine while it is worth keeping.

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


class Busy(Exception):
    """Another thread of this process runs a cycle."""


class Desk:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._settings: Settings | None = None
        self._store: Store | None = None
        self._engine: Engine | None = None
        self._stack = ExitStack()
        self._mark: _Mark = ()
        self._seen: _Mark = ()
        self._until = 0.0

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
        if self._store is None:
            self._store = wiring.open_store(self.settings)
        return self._store

    @contextmanager
    def engine(self) -> Generator[Engine]:
        if not self._lock.acquire(blocking=False):
            raise Busy
        try:
            mark = self._mark_now()
            if self._engine is None or mark != self._mark or time.monotonic() > self._until:
                self._open_engine()
                self._mark, self._until = mark, time.monotonic() + ENGINE_SECONDS_MAX
            assert self._engine is not None
            try:
                yield self._engine
            except LeftAlone:
                raise  # nothing is wrong with the engine, and opening one costs calls
            except BaseException:
                self._close_engine()
                raise
        finally:
            self._lock.release()

    def _open_engine(self) -> None:
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
            if self._engine is not None:
                return
            last = next(iter(self.store.mappings()), None)
            if error.code != "mapping" or last is None:
                raise
            bucket = stack.enter_context(_bucket(self.settings))
            engine = stack.enter_context(wiring.open_engine(self.settings, texts=last.texts, bucket=bucket))
        else:
            self._settings = settings
            self._tell_broken(None)
        self._close_engine()
        self._engine, self._stack = engine, stack

    def _tell_broken(self, error: ConfigError | None) -> None:
        """`crmbridge status` shows it for as long as it lasts."""
        told = "" if error is None else "\n".join((str(error), *error.problems))
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
        self._close_engine()
        if self._store is not None:
            self._store.close()
        self._forget()

    def _close_engine(self) -> None:
        self._engine = None
        self._stack.close()

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

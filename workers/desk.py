"""What one worker process keeps between tasks: the store, and an engine while it is worth keeping.

Opening an engine asks both CRMs for their descriptions, which an idle cycle must not do. It is opened anew when the
configuration has changed, when it has become old, and after any trouble.
"""

import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from crmbridge import settings as settings_module
from crmbridge import wiring
from crmbridge.settings import Settings
from crmbridge.state.store import Store
from crmbridge.sync import Engine

ENGINE_SECONDS_MAX: Final = 900  # fields, users and statuses that were added meanwhile are seen after so long

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
        self._until = 0.0

    def after_fork(self) -> None:
        """In a new process nothing of the parent's is touched: its sockets are the parent's."""
        self._lock = threading.Lock()
        self._forget()

    @property
    def settings(self) -> Settings:
        if self._settings is None:
            self._settings = settings_module.load(self._path)
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
                self._close_engine()
                self._settings = None  # the file may have changed
                self._engine = self._stack.enter_context(wiring.open_engine(self.settings))
                self._mark, self._until = mark, time.monotonic() + ENGINE_SECONDS_MAX
            try:
                yield self._engine
            except BaseException:
                self._close_engine()
                raise
        finally:
            self._lock.release()

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
        files = [self._path, self._path.parent / ".env", *sorted(folder.glob("*.y*ml"))]
        stamps = tuple((str(file), file.stat().st_mtime_ns) for file in files if file.exists())
        return (*stamps, self.store.meta("choices"))

"""What the lines of a log are about: the run, and the pair that is at work. Whoever knows it notes it here, and every
line that is written meanwhile bears it, also one of a connector that knows nothing of runs.

structlog has the same; it is not used here since importing it takes a fifth of a second of each command's time.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_NOTHING: Final[Mapping[str, str]] = {}
_now: ContextVar[Mapping[str, str]] = ContextVar("about", default=_NOTHING)


def now() -> Mapping[str, str]:
    return _now.get()


def note(**ids: str) -> None:
    """From now on, until the end of what it was noted within."""
    _now.set({**_now.get(), **ids})


@contextmanager
def within(**ids: str) -> Generator[None]:
    """What is noted inside is gone afterwards."""
    token = _now.set({**_now.get(), **ids})
    try:
        yield
    finally:
        _now.reset(token)

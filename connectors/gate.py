"""What every HTTP request of a connector passes: may it go out, and what did its answer say about limits and trouble?

The engine puts a gate of its own here, which all workers share through the store. Without one everything passes, and
the session waits out a short Retry-After by itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """What is about to be sent."""

    kind: str
    reads: bool  # it changes nothing
    operations: int = 1  # as the CRM counts them for the day: what is inside a batch

    @property
    def login(self) -> bool:
        return self.kind == "login"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What an answer said beside its content."""

    trouble: str = ""  # the CRM itself did not serve, in a few words: a server error, no refusal
    blocked_seconds: float | None = None  # asked to stay away so long
    why: str = ""  # ... in words
    used: int | None = None  # calls of the day, everybody's
    limit: int | None = None


SERVED: Final = Told()


class Gate(Protocol):
    @property
    def patience_seconds(self) -> float:
        """A longer Retry-After is not waited for with the call in hand."""
        ...

    def enter(self, passage: Passage, sleep: Callable[[float], None]) -> None:
        """Returns when the request may go out, or raises LeftAlone."""
        ...

    def leave(self, passage: Passage, told: Told) -> None:
        """An answer came; a login that was refused is `trouble` too, and one that is to wait is not."""
        ...

    def lost(self, passage: Passage, why: str) -> None:
        """No answer came."""
        ...


class OpenGate:
    patience_seconds = 60.0

    def enter(self, passage: Passage, sleep: Callable[[float], None]) -> None:
        del passage, sleep

    def leave(self, passage: Passage, told: Told) -> None:
        del passage, told

    def lost(self, passage: Passage, why: str) -> None:
        del passage, why


@runtime_checkable
class Gated(Protocol):
    """A connector whose requests go through a gate; one without a network has none."""

    def gated(self, gate: Gate) -> None: ...

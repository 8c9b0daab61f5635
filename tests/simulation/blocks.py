"""I14: no call while Retry-After runs. Counted at the transport, against what it answered and what the workers' gates
were told: a Retry-After that a connector does not pass on is a wish all the same.

A call counts by the moment at which it passed its gate: a process that is frozen right behind it cannot hear what
others are told meanwhile.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from connectors.gate import Passage, Told
from crmbridge.sync.limits import Keeper


@dataclass(kw_only=True)
class Blocks:
    """Of all workers: until when a CRM asked to be left alone, and since when all of them can know."""

    now: Callable[[], float] = lambda: 0.0
    note: Callable[[str], None] = lambda text: None
    calls: int = 0
    known: dict[str, list[tuple[float, float]]] = field(default_factory=dict[str, list[tuple[float, float]]])

    def told(self, name: str, heard: float, seconds: float) -> None:
        self.known.setdefault(name, []).append((self.now(), heard + seconds))

    def called(self, name: str, entered: float) -> None:
        self.calls += 1
        for since, until in self.known.get(name, ()):
            if since < entered < until - 0.002:  # the store's clock has milliseconds
                self.note(
                    f"I14: {name} was called at {entered:.1f} s, {until - entered:.1f} s before its Retry-After ended"
                )


class WatchedGate:
    """A worker's gate to one CRM, as the product's own stands there."""

    def __init__(self, keeper: Keeper, blocks: Blocks) -> None:
        self._keeper, self._blocks = keeper, blocks
        self._entered: float | None = None
        self._asked: float = 0.0  # to stay away, in seconds, by the answer on the wire

    @property
    def patience_seconds(self) -> float:
        return self._keeper.patience_seconds

    def enter(self, passage: Passage, sleep: Callable[[float], None]) -> None:
        self._entered = self._blocks.now()  # of the last look: who is frozen behind it cannot hear what others are told

        def waiting(seconds: float) -> None:
            sleep(seconds)
            self._entered = self._blocks.now()  # it looks again

        self._keeper.enter(passage, waiting)

    def leave(self, passage: Passage, told: Told) -> None:
        heard = self._blocks.now()
        self._keeper.leave(passage, told)
        seconds, self._asked = max(self._asked, told.blocked_seconds or 0.0), 0.0
        if seconds:
            self._blocks.told(self._keeper.name, heard, seconds)

    def lost(self, passage: Passage, why: str) -> None:
        self._asked = 0.0  # an answer that was cut off was not heard
        self._keeper.lost(passage, why)

    def answered(self, status: int, retry_after: str | None) -> None:
        self._asked = float(retry_after) if status == 429 and retry_after else 0.0

    def on_the_wire(self) -> None:
        if self._entered is None:
            self._blocks.note(f"I14: {self._keeper.name} was called past its gate")
        else:
            self._blocks.called(self._keeper.name, self._entered)
        self._entered = None

"""On hold, on one side: a yes/no column, a stage of its own, or Dynamics' own status (lifecycle O4)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mapping.axis import Holding
from mapping.described import OptionLike
from mapping.end import attribute
from mapping.vocabulary import fold, resolve

Native = str | int
# statuscode of an open Dynamics opportunity (dataverse-api §7.1)
IN_PROGRESS: Final = 1
ON_HOLD: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldWrite:
    """How to put a record on hold, or to take it off: a status, or columns."""

    status: Native | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    stage: bool = False  # the status is a stage: taken off by going back to the record's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One side that can say it."""

    wires: Mapping[str, Any] = field(default_factory=dict)
    raw: Callable[[Any], Any] | None = None  # of the yes/no column
    stage: Native | None = None
    on: HoldWrite
    off: HoldWrite

    def read(self, values: Any) -> bool:
        return self.raw is not None and values is not None and bool(self.raw(values))

    def is_stage(self, status: Native | None) -> bool:
        return self.stage is not None and status is not None and fold(status) == fold(self.stage)


def make_hold(system: str, holding: Holding | None, options: Sequence[OptionLike]) -> Hold | None:
    """None where the side cannot say it."""
    if holding is None:
        if system != "dynamics":
            return None
        # The connector reads it with the state.
        return Hold(on=HoldWrite(status=ON_HOLD), off=HoldWrite(status=IN_PROGRESS))
    if holding.column is not None:
        column = holding.column
        return Hold(
            wires={column: bool},
            raw=attribute(column),
            on=HoldWrite(columns={column: True}),
            off=HoldWrite(columns={column: False}),
        )
    assert holding.stage is not None
    fitting = resolve(holding.stage, [o for o in options if o.process is None and o.state in (None, "open")])
    stage = fitting[0].value if fitting else str(holding.stage)
    return Hold(stage=stage, on=HoldWrite(status=stage, stage=True), off=HoldWrite(stage=True))

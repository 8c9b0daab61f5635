"""What a person has paused: writes of one kind of record, of one side, or all. Reading goes on, unless that is paused
too; what would be written waits, and is planned anew from what both sides show when it is resumed."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from crmbridge.model import Entity, Side

PAUSED: Final = "paused"  # cause of the issues that tell what waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    id: int
    entity: Entity | None  # None: all kinds of records
    side: Side | None  # the side that is not written to; None: both
    reading: bool  # not even read
    since: datetime
    by: str
    why: str

    def covers(self, side: Side, entity: Entity) -> bool:
        return self.side in (None, side) and self.entity in (None, entity)


def paused(pauses: Iterable[Pause], side: Side, entity: Entity) -> Pause | None:
    """The oldest one that keeps this from being written."""
    return min((one for one in pauses if one.covers(side, entity)), key=lambda one: one.id, default=None)


def is_read(pauses: Iterable[Pause], side: Side, entity: Entity) -> bool:
    return not any(one.reading and one.covers(side, entity) for one in pauses)


def is_whole(pauses: Iterable[Pause], entity: Entity) -> bool:
    """Is nothing of this kind of record held back on either side?"""
    return all(one.entity not in (None, entity) for one in pauses)

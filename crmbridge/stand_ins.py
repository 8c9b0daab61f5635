"""What accounts are known by that stand in where an opportunity has no customer of its own.

They are of one side alone: a value says which one by its id there, and one that we make has a pair of its own that is
ended from the start, under an id that follows from its place, so that there is never a second one.
"""

import uuid
from collections.abc import Mapping
from typing import Final

from crmbridge.model import SIDES, Side

_SPACE: Final = uuid.UUID("0d3c8a51-0b0f-5c39-8a0d-5f3b7d0c9e42")
_SHARED: Final = "stand-in:"
# What a create is told as the partner's id: no record has it.
PARTNER: Final = "no customer"
# One that was deleted gets a successor; more often than that somebody means it.
GENERATIONS: Final = tuple(range(1, 10))
LINK_IDS: Final[Mapping[str, tuple[Side, int]]] = {
    str(uuid.uuid5(_SPACE, f"{side}:{generation}")): (side, generation) for side in SIDES for generation in GENERATIONS
}


def link_id(side: Side, generation: int) -> str:
    return str(uuid.uuid5(_SPACE, f"{side}:{generation}"))


def key(partner_org: str, generation: int) -> str:
    """What our key field holds; as long as a partner's id."""
    return str(uuid.uuid5(_SPACE, f"{partner_org}:{PARTNER}:{generation}"))


def as_shared(native: str) -> str:
    """A value for a look-up that is written, and never read."""
    return f"{_SHARED}{native}"


def native_of(shared: str) -> str | None:
    return shared.removeprefix(_SHARED) if shared.startswith(_SHARED) else None

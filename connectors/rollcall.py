"""Records that a CRM does not show any more: which, and whether that proves that they were deleted (reliability §7).

A row that is not shown may be gone, or our user may have lost the right to read it; both look the same. So a connector
that misses one says as well why it cannot be a matter of rights, or that it does not know.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from crmbridge.model import Entity


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    ids: frozenset[str]  # not shown, of those that were asked for, as they were given
    proof: str = ""  # why these were deleted, in words; empty: nobody knows
    hidden: frozenset[str] = frozenset()  # of these, those of which the CRM said that our user may not read them

    @property
    def gone(self) -> frozenset[str]:
        """Deleted, and that is proved."""
        return self.ids - self.hidden if self.proof else frozenset()

    @property
    def unclear(self) -> frozenset[str]:
        """Nobody knows why they are not shown."""
        return self.ids - self.gone


@runtime_checkable
class RollCaller(Protocol):
    """A connector whose CRM tells a deletion once and never again: asked by id, it says who is missing."""

    def absent(self, entity: Entity, ids: Sequence[str]) -> Absent: ...

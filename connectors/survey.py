"""What a survey of a CRM answers: counts of what breaks on the first day, and what could not be read.

The numbers are the rows of the table in docs/howto/check.md. Counts, never rows: a survey shows nobody's data.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from crmbridge.model import Entity


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Something that companies have and that stops, changes or slows what we do."""

    number: int
    what: str  # a sentence with its counts
    level: Literal["warning", "note"] = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    number: int
    what: str  # the question that stays open
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    seen: tuple[Seen, ...] = ()
    unread: tuple[Unread, ...] = ()
    owners: Mapping[Entity, Mapping[str, int]] = field(default_factory=dict)  # open records by native owner id
    currencies: Mapping[str, int] = field(default_factory=dict)  # open opportunities by native currency
    statuses: Mapping[Entity, Mapping[str | int, int]] = field(default_factory=dict)  # records by native status
    # Open records by native record type (None: without one) and native status or stage; only where there are types.
    types: Mapping[Entity, Mapping[tuple[str | None, str], int]] = field(default_factory=dict)
    unconverted: Mapping[str | int, int] = field(default_factory=dict)  # leads that are not, by native status


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """What a survey needs of the mapping."""

    # Keys by which twins are recognised, in native columns that can be grouped by.
    keys: Mapping[Entity, tuple[tuple[str, ...], ...]] = field(default_factory=dict)


def many(count: int, one: str, several: str) -> str:
    return f"{count:,} {one if count == 1 else several}"

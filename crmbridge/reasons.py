"""Reasons as the engine keeps them, and as people are told them.

A reason is stored with what was written: short, the same for both CRMs, with the row of the life-cycle tables that it
follows (`changed on the left (L2)`). Whoever shows one to a person says it with the connections' names.
"""

import re
from collections.abc import Mapping
from typing import Final, cast

from crmbridge.model import Side, other

_CASE: Final = re.compile(r" ?\(([LCOA]\d{1,2})\)")
_SIDE: Final = re.compile(r"\b(on|always|prefer) (?:the )?(left|right)\b")
# Where a step was taken from, and where it is carried out.
_PLACE: Final = re.compile(r"\b(won|lost|again|disqualified|converted|changed|hold) (there|here)\b")


def case_of(reason: str) -> str | None:
    """The row of the life-cycle tables that a reason names: L2, C9, O6 ..."""
    found = _CASE.search(reason)
    return found[1] if found else None


def for_people(reason: str, names: Mapping[Side, str], side: Side | None = None) -> str:
    """`names`: of the connections. `side`: where it is carried out; None: not known, or on both."""
    told = _SIDE.sub(lambda found: f"{found[1]} {names[cast('Side', found[2])]}", _CASE.sub("", reason))
    if side is None:
        return told
    where = {"here": names[side], "there": names[other(side)]}
    return _PLACE.sub(lambda found: f"{found[1]} on {where[found[2]]}", told)

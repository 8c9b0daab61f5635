"""Reasons as the engine keeps them, and as people are told them.

A reason is stored with what was written: short, the same for both CRMs, with the row of the life-cycle tables that it
follows (`changed on the left (L2)`). Whoever shows one to a person says it with the connections' names.
"""

import re
from typing import Final

_CASE: Final = re.compile(r"\(([LCOA]\d{1,2})\)")


def case_of(reason: str) -> str | None:
    """The row of the life-cycle tables that a reason names: L2, C9, O6 ..."""
    found = _CASE.search(reason)
    return found[1] if found else None

"""Does a field go to and fro? Two automations, or one that undoes what we write, would have us write for ever
(reliability §7). Decided from what was written lately, and from nothing else."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from crmbridge.model import Side

WINDOW: Final = timedelta(hours=24)
WRITES: Final = 4
VALUES: Final = 2  # on each side: a field that goes to and fro knows no third one


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrote:
    """One write of one field, in the order in which they happened."""

    side: Side
    field: str
    after: Any  # as the journal keeps it


def swinging(writes: Iterable[Wrote]) -> frozenset[str]:
    """Fields of one pair that were written so often within the window, with values that only come back.

    Somebody who corrects himself four times writes new values each time, and is let through. The sides are judged each
    in its own words: `Hot` here and `1` there may be the same."""
    by_field: dict[str, list[Wrote]] = defaultdict(list)
    for one in writes:
        by_field[one.field].append(one)
    return frozenset(name for name, some in by_field.items() if len(some) >= WRITES and _comes_back(some[-WRITES:]))


def _comes_back(some: list[Wrote]) -> bool:
    values: dict[Side, set[str]] = defaultdict(set)
    for one in some:
        values[one.side].add(repr(one.after))
    # On one side alone: two values in turn, or one that is undone each time. On both: each side has its own value.
    most = VALUES if len(values) == 1 else 1
    return all(len(seen) <= most for seen in values.values())

"""How alike two things are called: for questions only, never for a decision."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Final, TypeVar

from mapping.described import OptionLike
from mapping.draft_ends import DraftColumn

T = TypeVar("T")
ALIKE: Final = 0.72  # below, a proposal is noise
_OPTIONS_SHARED: Final = 0.6  # of the shorter list of choices
# What says nothing about a field's meaning: a maker's ending, a publisher's prefix.
_ENDING: Final = re.compile(r"__c$|code$|id$", re.IGNORECASE)
_PREFIX: Final = re.compile(r"^[a-z0-9]{2,8}_(?=[a-z])", re.IGNORECASE)


@lru_cache(maxsize=8192)
def plain(text: str) -> str:
    """`new_CustomerSegment` and `Customer Segment` are one name."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    bare = unicodedata.normalize("NFKD", parted).casefold()
    return "".join(c for c in bare if c.isalnum())


@lru_cache(maxsize=8192)
def bare_name(name: str) -> str:
    return plain(_PREFIX.sub("", _ENDING.sub("", name)))


@lru_cache(maxsize=65536)
def ratio(a: str, b: str) -> float:
    if not a or not b:
        return 0.0
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    return matcher.ratio() if matcher.quick_ratio() > ALIKE - 0.1 else 0.0


def columns_alike(left: DraftColumn, right: DraftColumn) -> float:
    """From 0 to 1, by names, labels, kind, length and choices."""
    names = max(ratio(a, b) for a in _names(left) for b in _names(right))
    shared = _shared_options(left.options, right.options)
    if shared >= _OPTIONS_SHARED:
        names = max(names, 0.6 + 0.3 * shared)
    kind = 0.05 if left.type == right.type else 0.0
    length = 0.03 if left.length is not None and left.length == right.length else 0.0
    return min(1.0, names + kind + length) if names >= ALIKE - 0.05 else 0.0


def _names(column: DraftColumn) -> set[str]:
    return {bare_name(column.name), plain(column.label)} - {""} or {""}


def _shared_options(left: Sequence[OptionLike], right: Sequence[OptionLike]) -> float:
    """How many of the shorter list's labels the other list has; lists of two say nothing."""
    a, b = ({plain(o.label) for o in options if o.active} for options in (left, right))
    shorter = min(len(a), len(b))
    return len(a & b) / shorter if shorter > 2 else 0.0


def nearest(label: str, options: Iterable[T]) -> tuple[T, float] | None:
    """The option whose label is most like this one, and how much."""
    best: tuple[T, float] | None = None
    for option in options:
        text = str(getattr(option, "label", option))
        score = 1.0 if plain(text) == plain(label) else ratio(plain(text), plain(label))
        if score >= ALIKE and (best is None or score > best[1]):
            best = (option, score)
    return best

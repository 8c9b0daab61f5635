"""Texts that stand in one column here and in several there: how they are put together, and taken apart again.

What is compared and kept is the *normal form* of the whole text, so that taking apart and putting together gives the
same text: parts without blanks at their ends, no empty part. Which part stood where is not part of the value; writing
keeps the parts that are there while they read as the wanted value (see `mapping.parts`).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

# Text, number of columns, what stands in them now (None: a new record) -> one text per column, "" for none.
Split = Callable[[str, int, Sequence[str] | None], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    separator: str
    normal: Callable[[str], str]
    split: Split


def joint_of(separator: str) -> Joint:
    """Parts between separators; what is over when the columns are full stays in the last one."""

    def normal(text: str) -> str:
        while True:  # taking a blank away may bring two separators together
            again = separator.join(part for piece in text.split(separator) if (part := piece.strip()))
            if again == text:
                return text
            text = again

    def split(text: str, count: int, now: Sequence[str] | None) -> list[str]:
        pieces = text.split(separator, count - 1)
        return pieces + [""] * (count - len(pieces))

    return Joint(separator=separator, normal=normal, split=split)


LINES: Final = joint_of("\n")


# --- names --------------------------------------------------------------------------------------------------------

# Words that belong to the last name that follows them, and to the one they follow.
_PARTICLES: Final = frozenset(
    ("af al av bin da das de del della den der di do dos du el ibn la le ten ter van von zu zum zur y").split()
)
_SUFFIXES: Final = frozenset("jr sr ii iii iv md phd esq".split())


def _name_normal(text: str) -> str:
    """One blank between words; `Berg, Ann` is `Ann Berg`, but `Berg, Jr.` stays."""
    words = " ".join(text.split())
    last, comma, first = words.partition(",")
    if comma and "," not in first and first.strip() and last.strip() and not _is_suffix(first):
        return f"{first.strip()} {last.strip()}"
    return words


def _is_suffix(word: str) -> bool:
    return re.sub(r"[.,\s]", "", word).casefold() in _SUFFIXES


def _name_split(text: str, count: int, now: Sequence[str] | None) -> list[str]:
    """First | last, or first | middle | last. A name that keeps one of its parts is taken apart at that part."""
    first, last = _around(text, now) or _by_words(text)
    if count == 2:
        return [first, last]
    first, _, middle = first.partition(" ")
    return [first, middle, last]


def _around(text: str, now: Sequence[str] | None) -> tuple[str, str] | None:
    if now is None:
        return None
    last, first = now[-1], " ".join(part for part in now[:-1] if part)
    if last and text.endswith(f" {last}"):
        return text.removesuffix(last).rstrip(), last
    if first and text.startswith(f"{first} "):
        return first, text.removeprefix(first).lstrip()
    return None


def _by_words(text: str) -> tuple[str, str]:
    words = text.split(" ")
    start = len(words) - 1  # where the last name begins
    while start > 1 and _is_suffix(words[start]):
        start -= 1
    while start > 1 and words[start - 1].casefold() in _PARTICLES:
        start -= 1
    return " ".join(words[:start]), " ".join(words[start:])


PERSON_NAME: Final = Joint(separator=" ", normal=_name_normal, split=_name_split)
JOINTS: Final = {"lines": LINES, "person_name": PERSON_NAME}

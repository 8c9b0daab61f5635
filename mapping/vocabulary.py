"""Closed vocabularies: rows of shared words, each with native values per side, compiled to look-ups.

Reading takes any native value of a row; writing keeps the finer value that is there while it still belongs to the row,
else takes the first. Labels are compared ignoring case, spacing and the kind of dash.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mapping.described import OptionLike
from mapping.document import NativeWord

_DASHES: Final = frozenset("−-")


def fold(text: object) -> str:
    """`Working – Contacted` and `working-contacted` are one label."""
    plain = unicodedata.normalize("NFKC", str(text)).casefold()
    return "".join("-" if c in _DASHES or unicodedata.category(c) == "Pd" else c for c in plain if not c.isspace())


def resolve(word: NativeWord, options: Iterable[OptionLike]) -> list[OptionLike]:
    """The options that an admin's word means: by exact value, else exact label, else loosely. Several if ambiguous."""
    candidates = list(options)
    loose = fold(word)
    for fits in (
        lambda o: o.value == word and type(o.value) is type(word),
        lambda o: o.label == word,
        lambda o: fold(o.label) == loose or fold(o.value) == loose,
    ):
        hits = [o for o in candidates if fits(o)]
        if hits:
            return hits
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """One side of a values table, by stable native values."""

    natives: Mapping[str, tuple[NativeWord, ...]]  # row -> values, the first is written
    rows: Mapping[NativeWord, tuple[str, ...]]  # exact native value -> rows that read it, in table order
    loose: Mapping[str, tuple[str, ...]]
    _seen: dict[NativeWord, tuple[str, ...]] = field(default_factory=dict)

    def read(self, native: NativeWord) -> tuple[str, ...]:
        found = self.rows.get(native)
        if found is None:
            found = self._seen.get(native)
            if found is None:
                found = self.loose.get(fold(native), ())
                if len(self._seen) < 4096:  # an unrestricted picklist may hold anything
                    self._seen[native] = found
        return found

    def write(self, row: str) -> NativeWord | None:
        natives = self.natives.get(row)
        return natives[0] if natives else None

    def belongs(self, native: NativeWord, row: str) -> bool:
        return row in self.read(native)


def vocabulary(rows: Mapping[str, Sequence[NativeWord]], options: Sequence[OptionLike]) -> Vocabulary:
    """Compiles one side: labels become the stable values of the CRM's options, where it told them."""
    natives: dict[str, tuple[NativeWord, ...]] = {}
    exact: dict[NativeWord, list[str]] = {}
    loose: dict[str, list[str]] = {}
    for row, words in rows.items():
        values: list[NativeWord] = []
        for word in words:
            hits = resolve(word, options)
            if hits:
                values += [o.value for o in hits if o.value not in values]
            elif not options:
                values.append(word)
            # The declared spellings are read too: an unrestricted picklist may hold the very text of the mapping.
            for text in (word, *(t for o in hits for t in (o.label, o.value))):
                _append(loose.setdefault(fold(text), []), row)
        natives[row] = tuple(values)
        for value in values:
            _append(exact.setdefault(value, []), row)
    return Vocabulary(
        natives=natives,
        rows={value: tuple(names) for value, names in exact.items()},
        loose={text: tuple(names) for text, names in loose.items()},
    )


def _append(names: list[str], row: str) -> None:
    if row not in names:
        names.append(row)

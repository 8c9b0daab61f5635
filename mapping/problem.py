"""What is wrong with a mapping, and where it stands: `file:line:column: path: message; did you mean ...? [code]`."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

# The way to a value: keys and list positions from the top of the document.
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    file: str
    line: int = 1  # from 1, as editors count
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One complaint about a mapping. Warnings are told; errors stop the mapping from being used.

    Notes are no complaint: `mapping.check` gives none, `mapping.notes` nothing else."""

    code: str  # stable, for scripts and for the page that explains it; all are in `mapping.codes`
    place: Place
    path: str
    message: str
    suggestion: str | None = None
    severity: Literal["error", "warning", "note"] = "error"

    def __str__(self) -> str:
        where = f"{self.place}: {self.path}: " if self.path else f"{self.place}: "
        meant = f"; did you mean {self.suggestion!r}?" if self.suggestion else ""
        return f"{where}{self.message}{meant} [{self.code}]"


def path_text(path: Path) -> str:
    """Entries of a list are counted from 1, as people do."""
    return ".".join(str(part + 1 if isinstance(part, int) else part) for part in path)


_ALIKE: Final = 0.65  # at 0.6 `phone` is meant to be `owner`


def closest(word: object, known: Iterable[object]) -> str | None:
    """The known word that was probably meant, whatever the case it was written in."""
    return nearest(word, [(str(one), str(one)) for one in known])


def nearest(word: object, spellings: Iterable[tuple[str, str]]) -> str | None:
    """What to write, of pairs of a spelling and that; of two alike spellings the later one counts."""
    by_folded = {spelling.casefold(): written for spelling, written in spellings}
    hits = difflib.get_close_matches(str(word).casefold(), by_folded, n=1, cutoff=_ALIKE)
    return by_folded[hits[0]] if hits else None


def quoted(word: object) -> str:
    """A value as the file has it: `true` is no text there, and not Python's True."""
    return str(word).lower() if isinstance(word, bool) else repr(word)

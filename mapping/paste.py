"""The row that the check offers for a status or stage that no row reads: good as it is, to be pasted and then bettered.

A row needs a value on both sides. The other side's unmapped value of the same name is taken; where there is none, the
one that another row of the same state writes, which that side then cannot tell apart; where there is no such row, an
unmapped one of that state.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, count
from typing import Final, cast

from crmbridge.model import SIDES, Side, State, other
from mapping.described import OptionLike
from mapping.document import Document, NativeWord
from mapping.status import fits_state
from mapping.vocabulary import fold

# Words that YAML, or an older reader of it, takes for something else than text.
_NOT_TEXT: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off"})


def row_to_paste(
    document: Document, side: Side, option: OptionLike, unread: Mapping[Side, Sequence[OptionLike]]
) -> str | None:
    """`unread`: what no row reads, by side. None where nothing of this state is known on the other side."""
    state, there = _state(option), other(side)
    free: dict[Side, list[OptionLike]] = {
        each: [one for one in unread.get(each, ()) if fits_state(one, state)] for each in SIDES
    }
    partner = _namesake(option, free[there])
    rows = [row for row in document.status if row.state == state and row.natives.get(there)]
    word = _native(partner) if partner is not None else rows[0].natives[there][0] if rows else None
    if word is None:  # the first of that state makes the row, the rest shares with it
        nameless = {each: [one for one in free[each] if not _namesake(one, free[other(each)])] for each in SIDES}
        spare = next(iter(nameless[there] or free[there]), None)
        if spare is None:
            return None
        word = _native(spare)
        partner = spare if nameless[there] and nameless[side][0] is option else None
    words = {side: yaml_word(_native(option)), there: yaml_word(word)}
    cells = [f"state: {state}", *(f"{document.names[each]}: {words[each]}" for each in SIDES)]
    if partner is None:
        cells.append(f"lossy: {document.names[there]}")
    return f"{free_name(option.label, (row.name for row in document.status))}: {{{', '.join(cells)}}}"


def _namesake(option: OptionLike, others: Sequence[OptionLike]) -> OptionLike | None:
    return next((one for one in others if fold(one.label) == fold(option.label)), None)


def _state(option: OptionLike) -> State:
    return cast("State", option.state or "open")


def _native(option: OptionLike) -> NativeWord:
    return option.value if isinstance(option.value, int) else option.label


def free_name(label: str, taken: Iterable[str], spare: str = "status") -> str:
    """A name of our own for a label; `spare` begins it where the label has no Latin letter to begin with."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", label.casefold()) if not unicodedata.combining(c))
    plain = re.sub(r"\W+", "_", bare, flags=re.ASCII).strip("_")
    name = plain if plain[:1].isalpha() else f"{spare}_{plain}".rstrip("_")
    known = set(taken)
    return next(each for each in chain((name,), (f"{name}_{number}" for number in count(2))) if each not in known)


def yaml_word(word: NativeWord) -> str:
    """As YAML writes it."""
    if not isinstance(word, str):
        return str(word)
    plain = re.fullmatch(r"[^\W\d][\w .&/-]*\w", word) and word.casefold() not in _NOT_TEXT
    return word if plain else json.dumps(word, ensure_ascii=False)

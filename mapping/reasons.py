"""The reason's column: what tells rows of one native status apart, read and written together with the status.

A row without reasons stands for all that the others do not name, blank among them. Where each row has some, a blank
leaves the base's row, else the first, and a value that no row names moves nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crmbridge.model import Side
from mapping.described import ColumnLike
from mapping.document import StatusRow
from mapping.end import attribute
from mapping.vocabulary import Vocabulary, vocabulary


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """One side's column."""

    column: str
    wires: Mapping[str, Any]
    words: Vocabulary  # row -> values; rows without a reason are not in it
    raw: Callable[[Any], Any]

    def narrow(self, rows: Sequence[str], values: Any) -> tuple[list[str], str | int | None]:
        """The rows of one native status that the reason leaves over; and the reason itself if no row names it."""
        declared = [row for row in rows if row in self.words.natives]
        native = self._native(values)
        if not declared:
            return list(rows), None
        others = [row for row in rows if row not in declared]
        if native is None:
            return others or list(rows), None
        named = [row for row in declared if row in self.words.read(native)]
        if named:
            return named, None
        return (others, None) if others else (list(rows), native)

    def columns(self, row: str, values: Any) -> dict[str, Any]:
        """Empty where what stands there says so already, or says nothing that counts."""
        native = self._native(values)
        wanted = self.words.write(row)
        if wanted is not None:
            stays = native is not None and row in self.words.read(native)
            return {} if stays else {self.column: wanted}
        # The row has no reason: one that stands for another row would tell the wrong story.
        return {self.column: None} if native is not None and self.words.read(native) else {}

    def _native(self, values: Any) -> Any:
        native = None if values is None else self.raw(values)
        return None if isinstance(native, str) and not native.strip() else native


def make_reasons(rows: Sequence[StatusRow], side: Side, column: str, meta: ColumnLike | None) -> Reasons:
    options = meta.options if meta else ()
    samples = [o.value for o in options] or [word for row in rows for word in row.reasons.get(side, ())]
    kinds = {type(each) for each in samples}
    wire: Any = kinds.pop() if len(kinds) == 1 and options else int | str
    named = {row.name: row.reasons[side] for row in rows if row.reasons.get(side)}
    return Reasons(column=column, wires={column: wire}, words=vocabulary(named, options), raw=attribute(column))

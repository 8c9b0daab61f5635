"""Rows as an answer shows them, thousands at a time, at about the price of encoding them.

A page of dicts costs more to make than to encode: each name is looked up, hashed and stored anew in every row. Here the
names are said once, as a `msgspec.Struct` per layout, and a row is one call with its values. The call is compiled, as
`dataclasses` and `namedtuple` compile theirs, because a subscript in compiled code costs half of what `dict.get` costs.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

import msgspec

from crmbridge.sandbox.core import Row


@dataclass(frozen=True, slots=True)
class Around:
    """A text around a column that every row has: a row's URL, its ETag."""

    before: str
    column: str
    after: str = ""


@dataclass(frozen=True, slots=True)
class Typed:
    """An object of its own that names a type and a URL: `{"type": ..., "url": ...}`."""

    type: str
    url: Around


class Made:
    """Values that the caller made, one for each row."""


MADE: Final = Made()
NOTHING: Final = ""  # the column that no row has: null in every record
Part = str | Around | Typed | Made  # a text is a column, shown as it stands and null where the row lacks it
Layout = tuple[tuple[str, Part], ...]  # names in the answer, in its order, with where their values come from


NEAR: Final = 50  # rows that are copied, made and encoded together, while they are in the processor's cache
VARIANTS_MAX: Final = 64
COMMA: Final = ord(",")
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_DECODER: Final = msgspec.json.Decoder(float_hook=Decimal)


class Shaper:
    """Writes the records of one layout."""

    def __init__(self, layout: Layout) -> None:
        self._parts = [part for _, part in layout]
        fields = [f"f{number}" for number in range(len(layout))]
        names = {field: name for field, (name, _) in zip(fields, layout, strict=True)}
        # Nothing in a record points back to it: the garbage collector need not look at it.
        record = msgspec.defstruct("Record", [(field, Any) for field in fields], rename=names, gc=False)
        self._known: dict[str, Any] = {"record": record}
        self._columns = frozenset(part for part in self._parts if isinstance(part, str) and part != NOTHING)
        self._made: dict[frozenset[str], Callable[..., list[Any]]] = {}  # by the columns that some row lacks

    def page(self, rows: Sequence[Row], *made: Iterable[Any]) -> msgspec.Raw:
        """A JSON list. `made` are the values, by row, of the parts that are `MADE`, in their order; they are read once.

        Nothing is kept from one page to the next: rows as they were sent would take as much memory as the rows, and
        cost more to keep than to make again.
        """
        values = [each if isinstance(each, list) else list(each) for each in made]
        sparse = self._lacking(rows[:NEAR])
        make = self._maker(sparse)
        page = bytearray()
        for start in range(0, len(rows), NEAR):
            near, beside = _fetched(rows[start : start + NEAR]), [each[start : start + NEAR] for each in values]
            try:
                records = make(near, *beside)
            except KeyError:
                sparse |= self._lacking(near)
                make = self._maker(sparse)
                records = make(near, *beside)
            end = max(0, len(page) - 1)
            _ENCODER.encode_into(records, page, end)
            if end:
                page[end] = COMMA  # where one list ended and the next one began
        return msgspec.Raw(page or b"[]")

    def _lacking(self, rows: Sequence[Row]) -> frozenset[str]:
        """The columns that not every one of the rows has."""
        return self._columns.difference(self._columns.intersection(*(row.keys() for row in rows)))

    def _maker(self, sparse: frozenset[str]) -> Callable[..., list[Any]]:
        found = self._made.get(sparse)
        if found is None:
            if len(self._made) >= VARIANTS_MAX:
                self._made.clear()
            found = self._made[sparse] = self._compiled(sparse)
        return found

    def _compiled(self, sparse: frozenset[str]) -> Callable[..., list[Any]]:
        made: list[str] = []
        values = ", ".join(self._expression(part, made, sparse) for part in self._parts)
        given = "".join(f", {name}" for name in made)
        source = f"zip(rows{given})" if made else "rows"
        text = f"lambda rows{given}: [record({values}) for {', '.join(['row', *made])} in {source}]"
        return eval(text, self._known)  # noqa: S307 - of names that the shape declares, each quoted

    def _expression(self, part: Part, made: list[str], sparse: frozenset[str]) -> str:
        match part:
            case Made():
                made.append(f"made{len(made)}")
                return made[-1]
            case Around():
                after = f" + {part.after!r}" if part.after else ""
                return f"{part.before!r} + str(row[{part.column!r}]){after}"
            case Typed():
                fields = [("url", str)]
                self._known["typed"] = msgspec.defstruct("Typed", fields, tag_field="type", tag=part.type, gc=False)
                return f"typed({self._expression(part.url, made, sparse)})"
            case _ if part == NOTHING:
                return "None"
            case _ if part in sparse:
                return f"row[{part!r}] if {part!r} in row else None"
            case _:
                return f"row[{part!r}]"


def rows_of(table: Mapping[str, Row], keys: Sequence[str]) -> list[Row]:
    """The rows of these keys, in their order, without those that are not there: a page's in one call.

    Keys of rows that were written lately are scattered over the table; look-ups one right after the other overlap.
    """
    if len(keys) > 1:
        try:
            return list(itemgetter(*keys)(table))
        except KeyError:
            pass  # some are gone: each is asked for
    return [row for key in keys if (row := table.get(key)) is not None]


def _fetched(rows: Sequence[Row]) -> list[Row]:
    """Copies, for what copying does on the way: it touches all values of a row in one tight loop.

    Values of rows that were written at different times lie all over the memory. Asked for by name, each is waited for
    by itself; touched one right after the other, many of them are on their way to the processor at once.
    """
    return list(map(dict.copy, rows))


@lru_cache(maxsize=256)
def shaper(layout: Layout) -> Shaper:
    """Kept, for pages of the same query come one after the other."""
    return Shaper(layout)


def plain(value: Any) -> Any:
    """Pages as lists of dicts, for who reads an answer instead of sending it."""
    if isinstance(value, msgspec.Raw):
        return _DECODER.decode(value)
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value

"""Rows as an answer shows them, thousands at a time, at about the price of encoding them.

A page of dicts costs more to make than to encode: each name is looked up, hashed and stored anew in every row. Here the
names are said once, as a `msgspec.Struct` per layout, and a row is one call with its values. The call is compiled, as
`dataclasses` and `namedtuple` compile theirs, because a subscript in compiled code costs half of what `dict.get` costs.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
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


KEPT_LAYOUTS_MAX: Final = 4
KEPT_ROWS_MAX: Final = 2_000_000  # of a layout
NEAR: Final = 100  # rows
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_DECODER: Final = msgspec.json.Decoder(float_hook=Decimal)


class Shaper:
    """Makes the records of one layout."""

    def __init__(self, layout: Layout) -> None:
        self._parts = [part for _, part in layout]
        fields = [f"f{number}" for number in range(len(layout))]
        names = {field: name for field, (name, _) in zip(fields, layout, strict=True)}
        # Nothing in a record points back to it: the garbage collector need not look at it.
        record = msgspec.defstruct("Record", [(field, Any) for field in fields], rename=names, gc=False)
        self._known: dict[str, Any] = {"record": record}
        self._columns = {part for part in self._parts if isinstance(part, str)}
        self._sparse = {NOTHING}  # columns that some row was seen to lack
        self._make = self._compiled()

    def __call__(self, rows: Sequence[Row], *made: Iterable[Any]) -> list[Any]:
        """`made` are the values, by row, of the parts that are `MADE`, in their order; they are read once."""
        values = [each if isinstance(each, list) else list(each) for each in made]
        try:
            return self._make(rows, *values)
        except KeyError:
            wanted = self._columns - self._sparse
            self._sparse |= {name for name in wanted if any(name not in row for row in rows)}
            self._make = self._compiled()
            return self._make(rows, *values)

    def _compiled(self) -> Callable[..., list[Any]]:
        made: list[str] = []
        values = ", ".join(self._expression(part, made) for part in self._parts)
        given = "".join(f", {name}" for name in made)
        source = f"zip(rows{given})" if made else "rows"
        text = f"lambda rows{given}: [record({values}) for {', '.join(['row', *made])} in {source}]"
        return eval(text, self._known)  # noqa: S307 - of names that the shape declares, each quoted

    def _expression(self, part: Part, made: list[str]) -> str:
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
                return f"typed({self._expression(part.url, made)})"
            case _ if part == NOTHING:
                return "None"
            case _ if part in self._sparse:
                return f"row[{part!r}] if {part!r} in row else None"
            case _:
                return f"row[{part!r}]"


@lru_cache(maxsize=256)
def shaper(layout: Layout) -> Shaper:
    """Kept, for pages of the same query come one after the other."""
    return Shaper(layout)


class _Sent(msgspec.Struct, gc=False):
    row: Row
    body: bytes


class Kept:
    """Rows of pages as they were sent, until they are written again: most of a table stays as it is between two reads.

    A row is never changed in place, so the same object means the same bytes.
    """

    def __init__(self) -> None:
        self._layouts: dict[Layout, dict[str, _Sent]] = {}  # by the key of the row

    def __deepcopy__(self, memo: dict[int, Any]) -> "Kept":
        """A copy of the world has rows of its own."""
        return Kept()

    def page(self, layout: Layout, names: Sequence[str], rows: Sequence[Row]) -> msgspec.Raw:
        """A JSON list of the rows, each with the key that it is known by. Nothing in the layout may be made."""
        known = self._known(layout)
        parts = [each.body for each, row in zip(map(known.get, names), rows) if each is not None and each.row is row]  # noqa: B905 (as long as each other)
        if len(parts) < len(rows):
            if len(known) > KEPT_ROWS_MAX:
                known.clear()
            self._encode(layout, known, names, rows)
            parts = [known[name].body for name in names]
        return msgspec.Raw(b"".join((b"[", b",".join(parts), b"]")))

    def _known(self, layout: Layout) -> dict[str, _Sent]:
        known = self._layouts.pop(layout, None)
        if known is None and len(self._layouts) >= KEPT_LAYOUTS_MAX:
            del self._layouts[next(iter(self._layouts))]  # the one that was asked for longest ago
        self._layouts[layout] = {} if known is None else known
        return self._layouts[layout]

    def _encode(self, layout: Layout, known: dict[str, _Sent], names: Sequence[str], rows: Sequence[Row]) -> None:
        sent = map(known.get, names)
        new = [pair for pair, old in zip(zip(names, rows), sent) if old is None or old.row is not pair[1]]  # noqa: B905
        make, encode = shaper(layout), _ENCODER.encode
        for start in range(0, len(new), NEAR):  # encoded while they are still in the processor's cache
            some = new[start : start + NEAR]
            records = make([row for _, row in some])
            known.update((name, _Sent(row, encode(record))) for (name, row), record in zip(some, records, strict=True))


def plain(value: Any) -> Any:
    """Records as dicts, for who reads an answer instead of sending it."""
    if isinstance(value, msgspec.Raw):
        return _DECODER.decode(value)
    if isinstance(value, msgspec.Struct):
        config = value.__struct_config__
        names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        shown = {name: plain(getattr(value, field)) for name, field in names}
        return shown if config.tag_field is None else {config.tag_field: config.tag, **shown}
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value

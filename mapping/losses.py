"""What a mapping has declared to lose: each line with the side that can tell less, and what is lost there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from crmbridge.model import SIDES, Side
from mapping.document import Document, FieldDoc, StatusRow, ValueRow
from mapping.problem import Path, Place, path_text, quoted
from mapping.vocabulary import fold


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    place: Place
    path: str
    side: str  # the connection's name
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.path}: {self.side}: {self.what}"


def losses(document: Document) -> list[Loss]:
    """In the order of the lines."""
    found = [loss for doc in document.fields.values() for loss in _of_field(document, doc)]
    for table in document.values.values():
        found += _of_rows(document, ("values", table.name), table.rows)
    found += _of_rows(document, (document.axis or "",), document.status)
    return sorted(found, key=lambda loss: (loss.place.file, loss.place.line, loss.place.column))


def _of_field(document: Document, doc: FieldDoc) -> Iterator[Loss]:
    for side in SIDES:
        if side in doc.lossy:
            match doc.convert:
                case "money" | "number":
                    what = "keeps fewer decimals; what is over is rounded there, and the other side's value stays"
                case "date":
                    what = "keeps the day without the time of day"
                case "person_name":
                    what = "has the name in one piece; which of its words are the last name is guessed"
                case _:
                    what = "can tell less than the other side"
            yield _loss(document, ("fields", doc.name), side, what)


def _of_rows(document: Document, path: Path, rows: Sequence[ValueRow]) -> Iterator[Loss]:
    for n, row in enumerate(rows):
        for side in SIDES:
            if side in row.lossy:
                yield _loss(document, (*path, row.name), side, _shared(row, rows[:n], side))


def _shared(row: ValueRow, earlier: Sequence[ValueRow], side: Side) -> str:
    words = row.natives.get(side, ())
    if not words:
        return "has no value of its own for this row"
    written = fold(words[0])
    twin = next((one for one in earlier if written in {fold(word) for word in one.natives.get(side, ())}), None)
    if twin is None:
        return f"writes {quoted(words[0])}, which it may write for another row as well"
    again = " unless the pair was in this row before" if isinstance(row, StatusRow) else ""
    return f"writes {quoted(words[0])}, which is read as {twin.name!r}{again}"


def _loss(document: Document, path: Path, side: Side, what: str) -> Loss:
    place = document.source.place((*path, "lossy"), key=True)
    return Loss(place=place, path=path_text(path), side=document.names[side], what=what)

"""The columns of a real record as an example gives them: named and worded as the mapping does it, and masked."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from crmbridge.model import Directory, Life, Row, Side, attribute_name, other
from mapping.described import DescriptionLike, OptionLike
from mapping.document import Document, FieldDoc, ValueRow
from mapping.end import End
from mapping.mask import Masker
from mapping.standing import standing_columns, status_written
from mapping.translate import CompiledEntity
from mapping.trial import plain, plain_number
from mapping.vocabulary import fold, resolve


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """What is needed to write down one kind of record of one side."""

    document: Document
    compiled: CompiledEntity
    side: Side
    masker: Masker
    directory: Directory = field(default_factory=Directory)
    description: DescriptionLike | None = None
    description_there: DescriptionLike | None = None  # of the other side

    def given(self, row: Row, life: Life) -> dict[str, Any]:
        """The columns to write under `given`, those of its life first."""
        columns: dict[str, Any] = self._life(life)
        table = self.compiled.sides[self.side]
        state = life.state
        for end in table.at(state).ends.values():
            doc = self.document.fields[end.name]
            for column, value in self._values(end, doc, row):
                if value is not None:
                    columns[column] = value
        return columns

    def _life(self, life: Life) -> dict[str, Any]:
        system, entity = self.document.systems[self.side], self.document.entity
        named = standing_columns(system, entity)
        column = status_written(system, entity, life.state)
        found: dict[str, Any] = {}
        if column is not None and life.status is not None:
            found[column] = self._status_word(life)
        flags: dict[str, Any] = {
            "IsConverted": life.state == "converted",
            "IsClosed": life.state in ("won", "lost"),
            "IsWon": life.state == "won",
            "RecordType": life.record_type,
            "statecode": {
                "open": "Open",
                "converted": "Qualified",
                "disqualified": "Disqualified",
                "won": "Won",
                "lost": "Lost",
            }.get(life.state or ""),
            "process": life.process,
        }
        return found | {name: value for name, value in flags.items() if name in named and value is not None}

    def _status_word(self, life: Life) -> Any:
        """As the mapping names it, so that a test needs no description; a stage's id would say nothing to people."""
        options = [
            one
            for one in (self.description.statuses if self.description else ())
            if life.process is None or one.process in (None, life.process)
        ]
        for row in self.document.status:
            word = _word_for(row, self.side, life.status, options)
            if word is not None:
                return word
        return next((one.label for one in options if one.value == life.status), life.status)

    # --- fields ---------------------------------------------------------------------------------------------------

    def _values(self, end: End, doc: FieldDoc, row: Row) -> Sequence[tuple[str, Any]]:
        wires = {wire: getattr(row.values, attribute_name(wire), None) for wire in end.wires}
        if end.parts:
            return [(column, self._masked(doc, wires.get(column))) for column in end.parts]
        native = next(iter(wires.values()), None)
        if native is None:
            return []
        match doc.convert:
            case "choice":
                return [(end.column, self._choice(end, doc, native))]
            case "user":
                email = self.directory.users.get(native)
                return [(end.column, self.masker.email(email) if email else None)]
            case "link":
                return [(end.column, self.masker.link(str(doc.link), str(native)))]
            case _:
                if self._is_offered(doc):
                    return [(end.column, native)]  # a word of the system, though it is mapped as text
                return [(end.column, self._masked(doc, native))]

    def _is_offered(self, doc: FieldDoc) -> bool:
        """Whether one of the two sides has it as a choice."""
        known: list[tuple[Side, DescriptionLike | None]] = [
            (self.side, self.description),
            (other(self.side), self.description_there),
        ]
        columns = [d.columns.get(doc.columns[side].column) for side, d in known if d and side in doc.columns]
        return any(column is not None and column.options for column in columns)

    def _choice(self, end: End, doc: FieldDoc, native: Any) -> Any:
        offered = self.description.columns.get(end.column) if self.description else None
        for row in self.document.values[doc.values or ""].rows:
            word = _word_for(row, self.side, native, offered.options if offered else ())
            if word is not None:
                return word
        return native

    def _masked(self, doc: FieldDoc, native: Any) -> Any:
        fillers = {fold(one.text) for one in doc.fillers.values() if one.text is not None}
        match native:
            case None | bool():
                return native
            case str() if not native.strip() or fold(native) in fillers or doc.convert == "country":
                return native
            case str() if doc.convert == "email":
                return self.masker.email(native)
            case str() if doc.convert == "phone":
                return self.masker.phone(native)
            case str() if doc.convert == "url":
                return self.masker.url(native)
            case str():
                return self.masker.text(native)
            case int() | Decimal():
                return plain_number(self.masker.number(native))
            case datetime() | date():
                return plain(self.masker.day(native))
            case _:
                return self.masker.text(str(native))


def _word_for(row: ValueRow, side: Side, native: Any, options: Sequence[OptionLike]) -> Any:
    """The mapping's own word for a native value."""
    for word in row.natives.get(side, ()):
        if word == native or any(one.value == native for one in resolve(word, options)):
            return word
        if isinstance(native, str) and fold(word) == fold(native):
            return word
    return None

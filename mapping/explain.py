"""A mapping in the words of people: the life cycle row by row, and each field with what happens to it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from crmbridge.model import SIDES, Entity, Side, State
from mapping.document import Document, FieldDoc, StatusRow
from mapping.problem import Place

# What people, or crmbridge, can do to a record: from state, to state, the word for it.
MOVES: Final[Mapping[Entity, tuple[tuple[State, State, str], ...]]] = {
    "lead": (
        ("open", "converted", "convert, qualify"),
        ("open", "disqualified", "disqualify"),
        ("disqualified", "open", "reactivate"),
    ),
    "opportunity": (
        ("open", "won", "win"),
        ("open", "lost", "lose"),
        ("won", "open", "reopen"),
        ("lost", "open", "reopen"),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the status or stage table."""

    name: str
    state: State
    words: Mapping[Side, tuple[str, ...]]  # by side, the one that is written first
    place: Place
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LifeCycle:
    entity: Entity
    axis: str  # status or stage
    names: Mapping[Side, str]
    rows: tuple[Row, ...]
    moves: tuple[tuple[State, State, str], ...]

    def of(self, state: State) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.state == state)

    @property
    def states(self) -> tuple[State, ...]:
        """In the order of a life: open first."""
        found = {row.state for row in self.rows} | {state for move in self.moves for state in move[:2]}
        order: tuple[State, ...] = ("open", "converted", "disqualified", "won", "lost")
        return tuple(state for state in order if state in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One field."""

    name: str
    columns: Mapping[Side, str]
    way: str  # how it is read and written
    winner: str
    place: Place
    notes: tuple[str, ...] = field(default=())


def life_cycle(document: Document) -> LifeCycle | None:
    """None where the kind of record has no life cycle (accounts, contacts)."""
    if document.axis is None or document.entity not in MOVES:
        return None
    return LifeCycle(
        entity=document.entity,
        axis=document.axis,
        names=document.names,
        rows=tuple(_row(document, row) for row in document.status),
        moves=MOVES[document.entity],
    )


def fields(document: Document) -> tuple[Line, ...]:
    return tuple(_line(document, one) for one in document.fields.values())


# --- rows ---------------------------------------------------------------------------------------------------------


def _row(document: Document, row: StatusRow) -> Row:
    assert document.axis is not None
    body: Mapping[str, Any] = document.source.data[document.axis][row.name]
    return Row(
        name=row.name,
        state=row.state,
        words={side: tuple(_words(body.get(document.names[side]))) for side in SIDES},
        place=document.source.place((document.axis, row.name), key=True),
        notes=tuple(_notes(document, row, body)),
    )


def _words(cell: Any) -> Iterator[str]:
    """As an admin wrote them: one word, a list, or words by record type or process."""
    if isinstance(cell, Mapping):
        for key, inner in cell.items():
            yield from (word if key == "any" else f"{word} ({key})" for word in _words(inner))
    elif isinstance(cell, list):
        for one in cell:
            yield from _words(one)
    elif cell is not None:
        yield str(cell)


def _notes(document: Document, row: StatusRow, body: Mapping[str, Any]) -> Iterator[str]:
    if row.state == "converted":
        yield "never written: it is handed to the CRM's own conversion"
    for side in SIDES:
        name = document.names[side]
        if side in row.lossy:
            same = [one.name for one in document.status if one is not row and _shares(one, row, side)]
            like = f" from {', '.join(same)}" if same else ""
            yield f"{name} cannot tell it{like}"
        if not row.natives.get(side) and row.state != "converted" and name not in body:
            yield f"has no value in {name}"
        reason = (body.get("reason") or {}).get(name) if isinstance(body.get("reason"), Mapping) else None
        if reason is not None:
            yield f"{name}: with the reason {' or '.join(_words(reason))}"


def _shares(one: StatusRow, row: StatusRow, side: Side) -> bool:
    return one.state == row.state and bool(set(one.natives.get(side, ())) & set(row.natives.get(side, ())))


# --- fields -------------------------------------------------------------------------------------------------------


def _line(document: Document, one: FieldDoc) -> Line:
    body: Mapping[str, Any] = document.source.data["fields"].get(one.name, {})
    columns: dict[Side, str] = {
        side: _column(body.get(document.names[side])) for side in SIDES if document.names[side] in body
    }
    if one.out_of_use:
        columns = {side: choice.column for side, choice in one.columns.items()}
    return Line(
        name=one.name,
        columns=columns,
        way=f"table {one.values}" if one.values else f"a link to its {one.link}" if one.link else one.convert,
        winner=_winner(document, one),
        place=document.source.place(("fields", one.name), key=True),
        notes=tuple(_field_notes(document, one)),
    )


def _column(cell: Any) -> str:
    if isinstance(cell, Mapping):
        return "; ".join(str(text) if key == "column" else f"{text} once {key}" for key, text in cell.items())
    return " + ".join(_words(cell))


def _winner(document: Document, one: FieldDoc) -> str:
    if one.constant:
        return "always the constant, never read across"
    if one.compute:
        return "computed from the other fields, never read across"
    if len(one.columns) < len(SIDES):
        return "read only where it is, never written across"
    left, right = (document.names[side] for side in SIDES)
    match one.rule:
        case "both":
            return "whoever edited it last"
        case "left" | "right":
            return f"always {document.names[one.rule]}"
        case "prefer left":
            return f"{left}, unless it is blank there"
        case "prefer right":
            return f"{right}, unless it is blank there"
        case "create only":
            return "written when a record is made, never afterwards"
        case "ask":
            return "a person decides each difference"


def _field_notes(document: Document, one: FieldDoc) -> Iterator[str]:
    if one.out_of_use:
        yield "out of use (A4)"
    if one.required:
        yield "needed: without it no record is made"
    if one.restrictive:
        yield "yes on one side makes it yes on both"
    for side in SIDES:
        name = document.names[side]
        if side in one.lossy:
            yield f"{name} keeps less of it"
        filler = one.fillers.get(side)
        if filler is not None:
            text = filler.text if filler.text is not None else f"the day {filler.days_after_creation} days after"
            yield f"where blank, {name} gets {text}, which reads as blank"
        if side in one.create:
            yield f"where blank, a new record in {name} gets {one.create[side]}"

"""A mapping document: what an admin wrote about one entity, typed, each part still knowing its place in the file."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from crmbridge.model import SIDES, Entity, RuleName, Side, State
from mapping.axis import Axis, Word, axis, native_words, row_reasons
from mapping.problem import Finding
from mapping.schema import table_key
from mapping.source import Source

# What an admin writes for a CRM's value: a label, an API name, a number.
NativeWord = str | int | bool
# A value that stands in the mapping itself.
Given = str | int | float | bool
Unmapped = Literal["hold", "ignore", "pass"]

_DATED_FILLER: Final = re.compile(r"created \+ (\d{1,4}) days?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnChoice:
    """Which column holds a field on one side; another one may count once the record is won or lost."""

    column: str
    by_state: Mapping[State, str] = field(default_factory=dict)
    parts: tuple[str, ...] = ()  # several columns that hold it together; `column` is the first

    def __str__(self) -> str:
        return ", ".join(self.parts) or self.column

    def all(self) -> tuple[str, ...]:
        return self.parts or (self.column, *self.by_state.values())

    def at(self, state: State | None) -> str:
        return self.by_state.get(state, self.column) if state else self.column


@dataclass(frozen=True, slots=True, kw_only=True)
class Filler:
    """What is written where a CRM wants a value and there is none. It reads as none and never goes back."""

    text: str | None = None
    days_after_creation: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDoc:
    name: str
    columns: Mapping[Side, ColumnChoice]
    convert: str = "text"
    values: str | None = None
    link: Entity | None = None
    rule: RuleName = "both"
    required: bool = False
    restrictive: bool = False
    lossy: frozenset[Side] = frozenset()
    fillers: Mapping[Side, Filler] = field(default_factory=dict)
    create: Mapping[Side, Given] = field(default_factory=dict)
    zone: str | None = None
    join: str | None = None  # what stands between the columns of a list
    constant: Mapping[Side, Given] = field(default_factory=dict)
    compute: Mapping[Side, str] = field(default_factory=dict)  # expressions
    currency: str | None = None  # of a computed amount: a code, or the field whose currency it has
    default: Mapping[Side, str] = field(default_factory=dict)  # who stands in for a person who is not there: e-mail
    inactive: Literal["leave", "default"] | None = None
    out_of_use: bool = False  # made of `inactive:` beside the fields (`mapping.out_of_use`)

    @property
    def is_derived(self) -> bool:
        """Made by the mapping: written where it differs, never read across."""
        return bool(self.constant or self.compute)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueRow:
    """One shared value and the native ones that mean it: the first is written, all are read."""

    name: str
    natives: Mapping[Side, tuple[NativeWord, ...]]
    lossy: frozenset[Side] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueTable:
    name: str
    rows: tuple[ValueRow, ...]
    unmapped: Unmapped = "hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRow(ValueRow):
    """`natives` are for every kind of record; `by_kind` for a record type or process of that name, instead of them."""

    state: State
    by_kind: Mapping[Side, Mapping[str, tuple[Word, ...]]] = field(default_factory=dict)
    reasons: Mapping[Side, tuple[Word, ...]] = field(default_factory=dict)  # values of the reason's column

    def words(self, side: Side, kind: str | None) -> tuple[Word, ...]:
        return self.by_kind.get(side, {}).get(kind or "", self.natives.get(side, ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    entity: Entity
    source: Source
    names: Mapping[Side, str]  # the connections' names
    systems: Mapping[Side, str]
    tables: Mapping[Side, str]
    match: tuple[tuple[str, ...], ...] = ()
    fields: Mapping[str, FieldDoc] = field(default_factory=dict)
    values: Mapping[str, ValueTable] = field(default_factory=dict)
    status: tuple[StatusRow, ...] = ()
    axis: str | None = None  # under which key the status rows stood: status or stage
    beside: Axis = field(default_factory=Axis)  # what stands beside these rows
    version: str | None = None
    filter: str | None = None  # an expression: records that do not fit are neither matched nor created across


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """All mappings of one configuration, with what is wrong in their shape."""

    connections: Mapping[str, str]  # name -> system, left first
    items: tuple[Document, ...] = ()
    findings: tuple[Finding, ...] = ()

    def __iter__(self) -> Iterator[Document]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def of(self, entity: Entity) -> Document | None:
        return next((d for d in self.items if d.entity == entity), None)


# --- from plain data to the typed document ------------------------------------------------------------------------


def sides_by_name(connections: Iterable[str]) -> dict[str, Side]:
    return dict(zip(connections, SIDES, strict=True))


def make_document(source: Source, data: dict[str, Any], connections: Mapping[str, str]) -> Document | None:
    sides = sides_by_name(connections)
    names: dict[Side, str] = {side: name for name, side in sides.items()}
    systems: dict[Side, str] = {sides[name]: system for name, system in connections.items()}
    tables: dict[Side, str] = {}
    for name, side in sides.items():
        table = data.get(name, {}).get(table_key(systems[side]))
        if table is not None:
            tables[side] = table
    if "entity" not in data or len(tables) < 2:
        return None  # the shape's complaints say why
    where = next((a for a in ("status", "stage") if a in data), None)
    return Document(
        entity=data["entity"],
        source=source,
        names=names,
        systems=systems,
        tables=tables,
        match=tuple(tuple(key) for key in data.get("match", ())),
        fields={name: _field(name, body, sides) for name, body in data.get("fields", {}).items()},
        values={name: value_table(name, table, sides) for name, table in data.get("values", {}).items()},
        status=tuple(
            _status_row(row, body, sides)
            for row, body in (data.get(where, {}) if where else {}).items()
            if "state" in body
        ),
        axis=where,
        beside=axis(data, sides),
        version=data.get("version"),
        filter=data.get("filter"),
    )


def value_table(name: str, body: dict[str, Any], sides: Mapping[str, Side]) -> ValueTable:
    return ValueTable(
        name=name,
        rows=tuple(_row(row, cells, sides) for row, cells in body.items() if row != "unmapped"),
        unmapped=body.get("unmapped", "hold"),
    )


def _field(name: str, body: dict[str, Any], sides: Mapping[str, Side]) -> FieldDoc:
    default = "link" if "link" in body else "choice" if "values" in body else "text"
    return FieldDoc(
        name=name,
        columns={sides[n]: _column(body[n]) for n in sides if n in body},
        convert=body.get("convert", default),
        values=body.get("values"),
        link=body.get("link"),
        rule=_rule(body.get("rule", "both"), sides),
        required=body.get("required", False),
        restrictive=body.get("restrictive", False),
        lossy=_lossy(body, sides),
        fillers={sides[n]: _filler(text) for n, text in body.get("filler", {}).items()},
        create=_by_side(body, "create", sides),
        zone=body.get("zone"),
        join=body.get("join"),
        constant=_by_side(body, "constant", sides),
        compute=_by_side(body, "compute", sides),
        currency=body.get("currency"),
        default={sides[n]: email for n, email in body.get("default", {}).items()},
        inactive=body.get("inactive"),
    )


def _column(body: str | list[str] | dict[str, str]) -> ColumnChoice:
    if isinstance(body, str):
        return ColumnChoice(column=body)
    if isinstance(body, list):
        return ColumnChoice(column=body[0], parts=tuple(body)) if body else ColumnChoice(column="")
    states: tuple[State, ...] = ("won", "lost")
    return ColumnChoice(column=body.get("column", ""), by_state={s: body[s] for s in states if s in body})


def _rule(text: str, sides: Mapping[str, Side]) -> RuleName:
    prefer, _, name = text.rpartition(" ")
    if name in sides:
        return cast("RuleName", f"{prefer} {sides[name]}".strip())
    return cast("RuleName", text)


def _lossy(body: dict[str, Any], sides: Mapping[str, Side]) -> frozenset[Side]:
    declared: str | list[str] = body.get("lossy", [])
    return frozenset(sides[n] for n in ([declared] if isinstance(declared, str) else declared))


def _by_side(body: dict[str, Any], key: str, sides: Mapping[str, Side]) -> dict[Side, Any]:
    """A value for each side; one alone is good for every side that the field has a column on."""
    given = body.get(key, {})
    if not isinstance(given, dict):
        return {side: given for name, side in sides.items() if name in body}
    return {sides[n]: value for n, value in given.items()}


def _filler(text: str) -> Filler:
    dated = _DATED_FILLER.fullmatch(text.strip())
    return Filler(days_after_creation=int(dated[1])) if dated else Filler(text=text)


def _row(name: str, body: dict[str, Any], sides: Mapping[str, Side]) -> ValueRow:
    natives: dict[Side, tuple[NativeWord, ...]] = {}
    for n, side in sides.items():
        if n in body:
            native = body[n]
            natives[side] = tuple(cast("list[NativeWord]", native)) if isinstance(native, list) else (native,)
    return ValueRow(name=name, natives=natives, lossy=_lossy(body, sides))


def _status_row(name: str, body: dict[str, Any], sides: Mapping[str, Side]) -> StatusRow:
    words: dict[Side, tuple[tuple[Word, ...] | None, Mapping[str, tuple[Word, ...]]]] = {
        side: native_words(body[n]) for n, side in sides.items() if n in body
    }
    natives: dict[Side, tuple[Word, ...]] = {side: plain for side, (plain, _) in words.items() if plain is not None}
    by_kind: dict[Side, Mapping[str, tuple[Word, ...]]] = {side: kinds for side, (_, kinds) in words.items() if kinds}
    return StatusRow(
        name=name,
        natives=natives,
        lossy=_lossy(body, sides),
        state=body["state"],
        by_kind=by_kind,
        reasons=row_reasons(body, sides),
    )

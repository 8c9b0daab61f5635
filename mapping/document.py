"""A mapping document: what an admin wrote about one entity, typed, each part still knowing its place in the file."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Final, Literal, cast

from crmbridge.model import SIDES, Entity, RuleName, Side, State
from mapping.axis import Axis, Word, axis, native_words, row_reasons
from mapping.problem import Finding
from mapping.schema import SHIPPED_CONNECTIONS, prune, schema, table_key
from mapping.source import Source, read_file, read_text

# What an admin writes for a CRM's value: a label, an API name, a number.
NativeWord = str | int | bool
Unmapped = Literal["hold", "ignore", "pass"]

NO_MAPPING: Final = "there is no mapping here; `crmbridge init` puts the shipped ones there"
_DATED_FILLER: Final = re.compile(r"created \+ (\d{1,4}) days?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnChoice:
    """Which column holds a field on one side; another one may count once the record is won or lost."""

    column: str
    by_state: Mapping[State, str] = field(default_factory=dict)

    def all(self) -> tuple[str, ...]:
        return (self.column, *self.by_state.values())

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
    create: Mapping[Side, str] = field(default_factory=dict)
    zone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
    join: str | None = None  # what stands between the columns of a list
    constant: Mapping[Side, Given] = field(default_factory=dict)
    compute: Mapping[Side, str] = field(default_factory=dict)  # expressions
    default: Mapping[Side, str] = field(default_factory=dict)  # who stands in for a person who is not there: e-mail
    inactive: Literal["leave", "default"] | None = None

    @property
    def is_derived(self) -> bool:
        """Made by the mapping: written where it differs, never read across."""
        return bool(self.constant or self.compute)
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
    state: State


    """`natives` are for every kind of record; `by_kind` for a record type or process of that name, instead of them."""

@dataclass(frozen=True, slots=True, kw_only=True)
    by_kind: Mapping[Side, Mapping[str, tuple[Word, ...]]] = field(default_factory=dict)
    reasons: Mapping[Side, tuple[Word, ...]] = field(default_factory=dict)  # values of the reason's column

    def words(self, side: Side, kind: str | None) -> tuple[Word, ...]:
        return self.by_kind.get(side, {}).get(kind or "", self.natives.get(side, ()))
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


@dataclass(frozen=True, slots=True, kw_only=True)
    beside: Axis = Axis()  # what stands beside these rows
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


def load(
    where: FilePath | str | Sequence[FilePath | str] | Mapping[str, str],
    connections: Mapping[str, str] | None = None,
) -> tuple[Documents, tuple[Finding, ...]]:
    """Reads a folder of mappings, some files, or texts by file name; `connections` is name -> system, left first."""
    connections = dict(connections or SHIPPED_CONNECTIONS)
    if len(connections) != 2:
        raise ValueError("a mapping is between exactly two connections")
    sources = list(_sources(where))
    documents: dict[Entity, Document] = {}
    findings: list[Finding] = []
    rules = schema(connections)
    for source in sources:
        if not source.findings or source.data is not None:
            data = prune(source, rules) if source.data is not None else None
            document = _document(source, data, connections) if isinstance(data, dict) else None
            if document is not None:
                twin = documents.setdefault(document.entity, document)
                if twin is not document:
                    source.complain(
                        ("entity",),
                        f"{document.entity} is mapped in {twin.source.file} already; put both into one file",
                        code="entity-twice",
                    )
        findings += source.findings
    if not sources:
        findings.append(Source(file=str(where)).finding((), NO_MAPPING, code="no-mapping"))
    loaded = Documents(connections=connections, items=tuple(documents.values()), findings=tuple(findings))
    return loaded, loaded.findings


def _sources(where: FilePath | str | Sequence[FilePath | str] | Mapping[str, str]) -> Iterable[Source]:
    if isinstance(where, Mapping):
        return [read_text(text, file=file) for file, text in where.items()]
    if isinstance(where, (str, FilePath)):
        path = FilePath(where)
        files = sorted([*path.glob("*.yaml"), *path.glob("*.yml")]) if path.is_dir() else [path]
        return [read_file(file) for file in files]
    return [read_file(FilePath(file)) for file in where]


# --- from plain data to the typed document ------------------------------------------------------------------------


def _document(source: Source, data: dict[str, Any], connections: Mapping[str, str]) -> Document | None:
    names: dict[Side, str] = dict(zip(SIDES, connections, strict=True))
    sides: dict[str, Side] = {name: side for side, name in names.items()}
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
        values={
            name: ValueTable(
                name=name,
                rows=tuple(_row(row, body, sides) for row, body in table.items() if row != "unmapped"),
                unmapped=table.get("unmapped", "hold"),
            )
            for name, table in data.get("values", {}).items()
        },
        status=tuple(
            _status_row(row, body, sides)
            for row, body in (data.get(where, {}) if where else {}).items()
            if "state" in body
        ),
        axis=where,
        beside=axis(data, sides),
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
        create=_create(body, sides),
        zone=body.get("zone"),
    )


def _column(body: str | dict[str, str]) -> ColumnChoice:
    if isinstance(body, str):
        return ColumnChoice(column=body)
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


def _create(body: dict[str, Any], sides: Mapping[str, Side]) -> dict[Side, str]:
    create: str | dict[str, str] = body.get("create", {})
    if isinstance(create, str):
        return {side: create for name, side in sides.items() if name in body}
    return {sides[n]: text for n, text in create.items()}


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
    words = {side: native_words(body[n]) for n, side in sides.items() if n in body}
    return StatusRow(
        name=name,
        natives={side: plain for side, (plain, _) in words.items() if plain is not None},
        lossy=_lossy(body, sides),
        state=body["state"],
        by_kind={side: by_kind for side, (_, by_kind) in words.items() if by_kind},
        reasons=row_reasons(body, sides),
    )

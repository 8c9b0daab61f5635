# ruff: noqa: E501 - tables read best unbroken
"""Made-up mappings over made-up metadata: documents that an admin could have written, rows that such CRMs could hold.

Everything follows from a seed. Each field is of one kind, with columns on both sides that may differ in what they can
hold; where they do, the loss is declared, as the check demands.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Final

import mapping
from connectors.base import Column, Description, Option
from crmbridge.model import SIDES, Entity, Life, NativeRef, Ref, Row, Side, State, attribute_name
from mapping.countries import country_name
from mapping.translate import CompiledEntity
from tests.support.mapping_bench import CREATED, DIRECTORY

NAMES: Final[Mapping[Side, str]] = {"left": "salesforce", "right": "dynamics"}
ZONES: Final = ("Europe/Stockholm", "Asia/Tokyo", "America/New_York", "UTC")
TEXTS: Final = (
    "Ann-Marie", "Bergström – Söhne", "a-b", "  padded ", "", "e\u0301", "日本 株式会社", "x" * 40, "tabs\tin", "line\r\nline", "0123",
    "O'Neil & Sons", "—", "N/A", "\u202eabc", "😀",
)  # fmt: skip
PHONES: Final = ("+46 8-123 45 67", "(650) 555-0100", "+1 650-555-0100", "08-555 123", "ext. 5")
URLS: Final = ("https://www.acme-tools.com/", "acme.com", "http://Acme.com/a-b", "x")
EMAILS: Final = ("a-b@x.org", "Ann@X.org", "nobody", "å@ö.se")
STATES: Final[Mapping[str, tuple[State, ...]]] = {
    "lead": ("open", "converted", "disqualified"),
    "opportunity": ("open", "won", "lost"),
}
NAMES_OF_PEOPLE: Final = (
    "Ann Berg",
    "Ann-Marie von der Heide",
    "Li",
    "Berg, Ann",
    "Juan de la Cruz Jr.",
    "  Ann   Berg ",
)


@dataclass(slots=True, kw_only=True)
class Made:
    """One field: its line, its columns, and the raw values that each side may hold."""

    name: str
    kind: str
    line: str
    columns: dict[Side, list[Column]]
    raws: dict[Side, Callable[[], Any]]
    lossy: set[Side] = field(default_factory=set)
    table: str = ""
    zone: str | None = None


@dataclass(slots=True, kw_only=True)
class World:
    entity: Entity
    text: str
    fields: list[Made]
    descriptions: dict[tuple[Side, Entity], Description]
    compiled: CompiledEntity
    structs: dict[Side, Any]
    rng: random.Random

    def row(self, side: Side, wire: Mapping[str, Any]) -> Row:
        values = self.structs[side](**{attribute_name(column): value for column, value in wire.items()})
        return Row(
            ref=Ref(side=side, entity=self.entity, id="1"),
            version="1",
            created_at=CREATED,
            modified_at=CREATED,
            values=values,
        )

    def drawn(self, side: Side) -> Row:
        """A row as this CRM could hold it."""
        wire: dict[str, Any] = {}
        for made in self.fields:
            for column in made.columns[side]:
                wire[column.name] = None if self.rng.random() < 0.15 else made.raws[side]()
        known = self.compiled.columns(side)
        if "_transactioncurrencyid_value" in known:
            wire["_transactioncurrencyid_value"] = self.rng.choice(["c-usd", "c-usd", "c-eur", None])
        return self.row(side, {column: value for column, value in wire.items() if column in known})

    def stored(self, side: Side, current: Row | None, columns: Mapping[str, Any]) -> Row:
        """The row as the CRM would show it after writing these columns."""
        known = self.compiled.columns(side)
        wire = {column: getattr(current.values, attribute_name(column)) for column in known} if current else {}
        for column, value in columns.items():
            if isinstance(value, NativeRef):
                wire[f"_{column}_value"] = value.id
            elif column in known:
                wire[column] = value
        return self.row(side, {column: value for column, value in wire.items() if column in known})

    def life(self, side: Side) -> Life:
        options = self.descriptions[side, self.entity].statuses
        if not options:
            return Life()
        option = self.rng.choice(options)
        return Life(state=option.state, status=option.value)  # type: ignore[arg-type]


def make_world(
    seed: int, *, kinds: tuple[str, ...] = (), extra: Mapping[str, str] | None = None, declare: bool = True
) -> World:
    """`kinds` are made one after the other instead of by chance; `extra`: for a kind, the name of another converter
    that stands in its line (a mutant); without `declare` no loss is declared."""
    document, descriptions, fields, entity, rng = draft(seed, kinds=kinds, extra=extra, declare=declare)
    documents, problems = mapping.load({f"{entity}.yaml": document})
    errors = [str(f) for f in (*problems, *mapping.check(documents, descriptions)) if f.severity == "error"]
    assert not errors, "\n".join([f"seed {seed}", document, *errors])
    compiled = mapping.compile(documents, descriptions=descriptions).entities[entity]
    structs = {side: mapping.row_struct(f"{side}_{seed}", compiled.columns(side)) for side in SIDES}
    return World(
        entity=entity,
        text=document,
        fields=fields,
        descriptions=descriptions,
        compiled=compiled,
        structs=structs,
        rng=rng,
    )


Draft = tuple[str, dict[tuple[Side, Entity], Description], list[Made], Entity, random.Random]


def draft(
    seed: int, *, kinds: tuple[str, ...] = (), extra: Mapping[str, str] | None = None, declare: bool = True
) -> Draft:
    rng = random.Random(seed)
    entities: tuple[Entity, ...] = ("account", "contact", "lead", "opportunity")
    entity = rng.choice(entities)
    chosen = kinds or tuple(rng.choice(tuple(KINDS)) for _ in range(rng.randint(1, 10)))
    fields = [KINDS[kind](rng, n) for n, kind in enumerate(chosen)]
    rows = [_table(rng, made) for made in fields if made.table]
    axis, statuses = _axis(rng, entity)
    lines = [
        f"entity: {entity}",
        f"salesforce: {{object: {entity.title()}}}",
        f"dynamics: {{table: {entity}}}",
        "fields:",
    ]
    for made in fields:
        line = made.line.replace("CONVERT", (extra or {}).get(made.kind, made.kind))
        if made.lossy and declare:
            line += f", lossy: [{', '.join(NAMES[side] for side in SIDES if side in made.lossy)}]"
        rule = rng.choice(["", "", "", ", rule: both", ", rule: prefer dynamics", ", rule: create only", ", rule: ask"])
        lines.append(f"  {made.name}: {{{line}{rule}}}")
    if rows:
        lines += [
            "values:",
            *(line if declare else line.replace(", lossy: dynamics", "") for row in rows for line in row),
        ]
    lines += axis if declare else [line.replace(", lossy: dynamics", "") for line in axis]
    descriptions: dict[tuple[Side, Entity], Description] = {}
    for side in SIDES:
        columns = {column.name: column for made in fields for column in made.columns[side]}
        if side == "right":
            columns["transactioncurrencyid"] = Column(
                name="transactioncurrencyid", type="lookup", targets=("transactioncurrency",)
            )
        descriptions[side, entity] = Description(entity=entity, table=entity, columns=columns, statuses=statuses[side])
    return "\n".join(lines) + "\n", descriptions, fields, entity, rng


# --- kinds --------------------------------------------------------------------------------------------------------


def _names(n: int) -> tuple[str, str, str]:
    return f"f{n}", f"F{n}__c", f"new_f{n}"


def _text(kind: str, samples: tuple[str, ...]) -> Callable[[random.Random, int], Made]:
    def make(rng: random.Random, n: int) -> Made:
        name, left, right = _names(n)

        def raw() -> str:
            if rng.random() < 0.6:
                return rng.choice(samples)
            return "".join(rng.choice("ab-–é 1.") for _ in range(rng.randint(1, 12)))

        return Made(
            name=name,
            kind=kind,
            line=f"salesforce: {left}, dynamics: {right}, convert: CONVERT",
            columns={
                "left": [Column(name=left, type="text", length=rng.choice((20, 40, 255)))],
                "right": [Column(name=right, type="text", length=rng.choice((20, 40, 255)))],
            },
            raws={"left": raw, "right": raw},
        )

    return make


def _number(rng: random.Random, n: int) -> Made:
    name, left, right = _names(n)
    scales: dict[Side, int] = {side: rng.choice((0, 1, 2, 4)) for side in SIDES}
    return _scaled(rng, name, "number", "number", {"left": left, "right": right}, scales)


def _money(rng: random.Random, n: int) -> Made:
    name, left, right = _names(n)
    scales: dict[Side, int] = {side: rng.choice((0, 2, 2, 4)) for side in SIDES}
    return _scaled(rng, name, "money", "money", {"left": left, "right": right}, scales)


def _scaled(
    rng: random.Random, name: str, kind: str, column: str, names: dict[Side, str], scales: dict[Side, int]
) -> Made:
    def raw(side: Side) -> Callable[[], Any]:
        return lambda: Decimal(rng.randint(-(10**7), 10**7)).scaleb(-scales[side])

    coarse: set[Side] = {side for side in SIDES if scales[side] < max(scales.values())}
    return Made(
        name=name,
        kind=kind,
        line=f"salesforce: {names['left']}, dynamics: {names['right']}, convert: CONVERT",
        columns={side: [Column(name=names[side], type=column, scale=scales[side])] for side in SIDES},
        raws={side: raw(side) for side in SIDES},
        lossy=coarse,
    )


def _integer(rng: random.Random, n: int) -> Made:
    name, left, right = _names(n)
    return Made(
        name=name,
        kind="integer",
        line=f"salesforce: {left}, dynamics: {right}, convert: CONVERT",
        columns={"left": [Column(name=left, type="integer")], "right": [Column(name=right, type="integer")]},
        raws=dict.fromkeys(SIDES, lambda: Decimal(rng.randint(-(10**6), 10**6))),
    )


def _boolean(rng: random.Random, n: int) -> Made:
    name, left, right = _names(n)
    return Made(
        name=name,
        kind="boolean",
        line=f"salesforce: {left}, dynamics: {right}, convert: CONVERT",
        columns={"left": [Column(name=left, type="boolean")], "right": [Column(name=right, type="boolean")]},
        raws=dict.fromkeys(SIDES, lambda: rng.random() < 0.5),
    )


def _day(rng: random.Random) -> date:
    return date(1950, 1, 1) + timedelta(days=rng.randint(0, 40_000))


def _instant(rng: random.Random) -> datetime:
    """As the wire decodes it: with an offset, mostly UTC."""
    offset = timezone(timedelta(hours=rng.choice((0, 0, 0, 2, -5, 9))))
    return datetime(1990, 1, 1, tzinfo=UTC).astimezone(offset) + timedelta(seconds=rng.randint(0, 10**9))


def _date(rng: random.Random, n: int) -> Made:
    name, left, right = _names(n)
    types: dict[Side, str] = {side: rng.choice(("date", "date", "datetime")) for side in SIDES}
    zone = rng.choice(ZONES) if "datetime" in types.values() else None

    def raw(side: Side) -> Callable[[], Any]:
        return (lambda: _instant(rng)) if types[side] == "datetime" else (lambda: _day(rng))

    lossy: set[Side] = {side for side in SIDES if types[side] == "date" and "datetime" in types.values()}
    return Made(
        name=name,
        kind="date",
        line=f"salesforce: {left}, dynamics: {right}, convert: CONVERT" + (f", zone: {zone}" if zone else ""),
        columns={
            "left": [Column(name=left, type=types["left"])],
            "right": [Column(name=right, type=types["right"])],
        },
        raws={side: raw(side) for side in SIDES},
        lossy=lossy,
        zone=zone,
    )


def _datetime(rng: random.Random, n: int) -> Made:
    name, left, right = _names(n)
    return Made(
        name=name,
        kind="datetime",
        line=f"salesforce: {left}, dynamics: {right}, convert: CONVERT",
        columns={"left": [Column(name=left, type="datetime")], "right": [Column(name=right, type="datetime")]},
        raws=dict.fromkeys(SIDES, lambda: _instant(rng)),
    )


def _several(kind: str, how: str) -> Callable[[random.Random, int], Made]:
    """One column on the left, several on the right."""

    def make(rng: random.Random, n: int) -> Made:
        name, left, right = _names(n)
        count = rng.randint(2, 3) if kind == "person_name" else rng.randint(2, 4)
        parts = [f"{right}_{m}" for m in range(count)]
        words = (
            NAMES_OF_PEOPLE
            if kind == "person_name"
            else ("Storgatan 1", "Box 5\nPort B", "a-b", "  x ", "one\ntwo\nthree\nfour\nfive", "A, B, C")
        )

        def whole() -> str:
            return rng.choice(words)

        def part() -> str:
            return rng.choice(("Ann", "Berg", "von Berg", "Port B", "a-b", " x ", "line\nline", "A, B"))

        return Made(
            name=name,
            kind=kind,
            line=f"salesforce: {left}, dynamics: [{', '.join(parts)}], {how}",
            columns={
                "left": [Column(name=left, type="text", length=255)],
                "right": [Column(name=each, type="text", length=100) for each in parts],
            },
            raws={"left": whole, "right": part},
            lossy={"left"} if kind == "person_name" else set(),
        )

    return make


def _choice(rng: random.Random, n: int) -> Made:
    name, left, right = _names(n)
    count = rng.randint(2, 7)
    labels = [f"{rng.choice(('Hot', 'Warm–ish', 'cold', 'Ny', '高'))} {m}" for m in range(count)]
    there = [Option(value=100 + m, label=f"Value-{m}") for m in range(count)]
    here = [Option(value=label, label=label) for label in labels]
    return Made(
        name=name,
        kind="choice",
        line=f"salesforce: {left}, dynamics: {right}, values: t_{name}",
        columns={
            "left": [Column(name=left, type="choice", options=tuple(here))],
            "right": [Column(name=right, type="choice", options=tuple(there), restricted=True)],
        },
        raws={"left": lambda: rng.choice([*labels, "?"]), "right": lambda: rng.choice([o.value for o in there])},
        table=f"t_{name}",
    )


def _table(rng: random.Random, made: Made) -> list[str]:
    """A row for each label on the left; on the right values of their own, shared ones (declared), and finer ones."""
    here = [o.label for o in made.columns["left"][0].options]
    free = [o.value for o in made.columns["right"][0].options]
    used: list[Any] = []
    rows = [f"  {made.table}:"]
    for m, label in enumerate(here):
        if used and (not free or rng.random() < 0.3):
            rows.append(f"    r{m}: {{salesforce: '{label}', dynamics: {rng.choice(used)}, lossy: dynamics}}")
            continue
        mine = [free.pop(0)]
        if free and len(free) > len(here) - m and rng.random() < 0.5:
            mine.append(free.pop(0))
        used.append(mine[0])
        rows.append(f"    r{m}: {{salesforce: '{label}', dynamics: [{', '.join(map(str, mine))}]}}")
    if free:  # what is left reads as the first row, and is never written
        rows[1] = rows[1].replace("]}", f", {', '.join(map(str, free))}]}}")
    return rows


KINDS: Final[Mapping[str, Callable[[random.Random, int], Made]]] = {
    "text": _text("text", TEXTS),
    "email": _text("email", EMAILS),
    "phone": _text("phone", PHONES),
    "url": _text("url", URLS),
    "country": _text("country", (*(str(country_name(code)) for code in ("SE", "US", "JP", "CI", "BO")), "Sverige", "us", "Utopia")),
    "number": _number,
    "integer": _integer,
    "money": _money,
    "boolean": _boolean,
    "date": _date,
    "datetime": _datetime,
    "choice": _choice,
    "lines": _several("lines", "convert: CONVERT"),
    "person_name": _several("person_name", "convert: CONVERT"),
    "joined": _several("joined", 'join: ", "'),
}  # fmt: skip


# --- status -------------------------------------------------------------------------------------------------------


def _axis(rng: random.Random, entity: Entity) -> tuple[list[str], dict[Side, tuple[Option, ...]]]:
    if entity not in STATES:
        return [], {"left": (), "right": ()}
    lines = ["status:" if entity == "lead" else "stage:"]
    left: list[Option] = []
    right: list[Option] = []
    for state in STATES[entity]:
        shared: list[int] = []
        for m in range(rng.randint(1, 4 if state == "open" else 2)):
            label = f"{state.title()}–{m}"
            flag = state if entity == "opportunity" or state == "converted" else None
            mine = [label, f"{label} too"] if rng.random() < 0.4 else [label]
            left += [Option(value=word, label=word, state=flag) for word in mine]
            number = len(right) + 1
            loss = ""
            if shared and state != "converted" and rng.random() < 0.4:
                number, loss = rng.choice(shared), ", lossy: dynamics"
            else:
                right.append(Option(value=number, label=f"{state} {number}", state=state))
                shared.append(number)
            words = ", ".join(f"'{word}'" for word in mine)
            lines.append(f"  {state}_{m}: {{state: {state}, salesforce: [{words}], dynamics: {number}{loss}}}")
    return lines, {"left": tuple(left), "right": tuple(right)}


def facts_of(**changes: Any) -> mapping.Facts:
    return mapping.Facts(**{"directory": DIRECTORY, **changes})

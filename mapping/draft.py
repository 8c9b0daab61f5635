"""Drafts of mapping files from what both systems say of themselves.

A draft decides what the standard fields, values and flags decide; it asks about everything else, in lines that are
commented out. Each line says how sure it is: `sure`, `likely` (look at it), `QUESTION` (does nothing until the # goes).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from crmbridge.model import ENTITIES, SIDES, Entity, Side
from mapping.draft_ends import DraftDescription, End, Ends, Line, wrapped, written
from mapping.draft_fields import Fields, draft_fields
from mapping.draft_standard import MATCH
from mapping.draft_statuses import draft_statuses
from mapping.schema import SHIPPED_CONNECTIONS, table_key

AXES: Final[Mapping[Entity, str]] = {"lead": "status", "opportunity": "stage"}
SHARED_FILE: Final = "values.yaml"
MAPPING_SCHEMA: Final = "mapping.schema.json"
VALUES_SCHEMA: Final = "values.schema.json"
_SCHEMA: Final = "# yaml-language-server: $schema=../"
_HOW: Final = (
    "# Drafted by `crmbridge mapping init` from what {left} and {right} say of themselves. Read it line by line:",
    "#   sure: standard on both sides   likely: look at it   QUESTION: does nothing until you take the # away",
    "# Then run `crmbridge check --live`.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafted:
    """One file."""

    file: str
    text: str
    fields: Sequence[Line] = ()
    values: Mapping[str, Sequence[Line]]
    statuses: Sequence[Line] = ()
    schema: str | None = None  # that its first line names, beside the folder

    @property
    def lines(self) -> list[Line]:
        return [*self.fields, *(line for rows in self.values.values() for line in rows), *self.statuses]

    def count(self, confidence: str) -> int:
        return sum(line.confidence == confidence for line in self.lines)


def draft(
    connections: Mapping[str, str],
    descriptions: Mapping[tuple[Side, Entity], DraftDescription],
    *,
    by_value: bool = False,
) -> list[Drafted]:
    """One file for each entity, and one for the tables that several of them use. `connections`: name -> system."""
    names: dict[Side, str] = dict(zip(SIDES, connections, strict=True))
    ends: dict[Entity, Ends] = {
        entity: {
            side: End(name=names[side], system=connections[names[side]], description=descriptions[side, entity])
            for side in SIDES
        }
        for entity in ENTITIES
    }
    fields: dict[Entity, Fields] = {entity: draft_fields(entity, ends[entity]) for entity in ENTITIES}
    shared = _shared(fields)
    files = [_file(entity, ends[entity], fields[entity], shared, connections, by_value=by_value) for entity in ENTITIES]
    return [*files, _values_file(shared, names, connections)] if shared else files


def _shared(fields: Mapping[Entity, Fields]) -> dict[str, list[Line]]:
    """Tables that two entities use and that came out the same for both."""
    found: dict[str, list[Line]] = {}
    for entity, drafted in fields.items():
        for name, lines in drafted.tables.items():
            twins = [each.tables[name] for other, each in fields.items() if other != entity and name in each.tables]
            if any(twin == lines for twin in twins):
                found.setdefault(name, lines)
    return {
        name: lines for name, lines in found.items()
        if all(each.tables.get(name, lines) == lines for each in fields.values())
    }  # fmt: skip


# --- the files ----------------------------------------------------------------------------------------------------


def _file(
    entity: Entity,
    ends: Ends,
    fields: Fields,
    shared: Mapping[str, Sequence[Line]],
    connections: Mapping[str, str],
    *,
    by_value: bool,
) -> Drafted:
    values = {name: lines for name, lines in fields.tables.items() if name not in shared}
    statuses = draft_statuses(entity, ends, by_value=by_value) if entity in AXES else []
    schema = _schema(MAPPING_SCHEMA, connections)
    rows = [*_head({side: ends[side].name for side in SIDES}, schema), f"entity: {entity}"]
    for side in SIDES:
        rows.append(f"{ends[side].name}: {{{table_key(ends[side].system)}: {ends[side].description.table}}}")
    rows += ["", *_match(entity, fields.active)]
    rows += ["fields:", *written(sorted(fields.lines, key=lambda line: not line.active)), *_alone(ends, fields)]
    rows += _tables(values, fields.asked_tables)
    if statuses:
        block = AXES[entity]
        rows += ["", f"{block}:" if any(line.active for line in statuses) else f"# {block}:", *_unopened(statuses)]
        rows += written(statuses)
    return Drafted(
        file=f"{entity}.yaml",
        text="\n".join(rows) + "\n",
        fields=fields.lines,
        values=values,
        statuses=statuses,
        schema=schema,
    )


def _values_file(
    shared: Mapping[str, Sequence[Line]], names: Mapping[Side, str], connections: Mapping[str, str]
) -> Drafted:
    schema = _schema(VALUES_SCHEMA, connections)
    rows = [*_head(names, schema), "# Tables of values that several files use.", *_tables(shared, {})[1:]]
    return Drafted(file=SHARED_FILE, text="\n".join(rows) + "\n", values=shared, schema=schema)


def _schema(file: str, connections: Mapping[str, str]) -> str | None:
    """The shipped schema has the shipped names of the connections."""
    return file if dict(connections) == dict(SHIPPED_CONNECTIONS) else None


def _head(names: Mapping[Side, str], schema: str | None) -> list[str]:
    return [*([f"{_SCHEMA}{schema}", "#"] if schema else []), *(line.format(**names) for line in _HOW)]


def _match(entity: Entity, active: set[str]) -> list[str]:
    keys = [key for key in MATCH[entity] if set(key) <= active]
    if not keys:
        return ["# QUESTION: by which fields is the same record recognised on both sides?", "# match: [[...]]", ""]
    note = (
        "# First run: how the same record is recognised on both sides, in this order; two hits are held for a person."
    )
    return [note, "match:", *(f"  - [{', '.join(key)}]" for key in keys), ""]


def _alone(ends: Ends, fields: Fields) -> list[str]:
    return [
        row
        for side in SIDES
        if fields.alone[side]
        for row in wrapped(
            f"# QUESTION: fields of your own in {ends[side].name} that have no counterpart: "
            f"{', '.join(fields.alone[side])}",
            "  ",
        )
    ]


def _unopened(statuses: Sequence[Line]) -> list[str]:
    """No flag tells an open status from another: where no name is known either, a person has to say."""
    if any(line.active and "state: open" in line.text for line in statuses):
        return []
    why = "# QUESTION: which of these are open? The check refuses a table without an open row: answer one below"
    return wrapped(why, "  ")


def _tables(values: Mapping[str, Sequence[Line]], asked: Mapping[str, Sequence[Line]]) -> list[str]:
    rows: list[str] = []
    if values or asked:
        rows += ["", "values:" if values else "# values:"]
    for name, lines in values.items():
        rows += [f"  {name}:", *written(sorted(lines, key=lambda line: not line.active), 4)]
    for name, lines in asked.items():
        rows += [f"  # {name}:", *_commented(lines)]
    return rows


def _commented(lines: Iterable[Line]) -> list[str]:
    """A table that nothing uses yet: all of it is a comment, to be taken in together with its field."""
    rows: list[str] = []
    for line in lines:
        rows += [f"  #   {line.text}"] if line.text else wrapped(f"# QUESTION: {line.comment}", "  ")
    return rows

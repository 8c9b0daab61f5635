"""Records of one's own from a folder: DIR/salesforce/Lead.csv, DIR/dynamics/lead.csv, or the same as .json.

One file per object or table, native columns in its first line. `_ref` names a row and `@name` in a lookup points to it,
in any file of the same CRM; ids that are given (`Id`, `leadid`) stay. An empty CSV cell is no value. A JSON file is a
list of objects. A mistake is told as file, line and column.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Final, Literal, get_args

from crmbridge.sandbox.core import BadRow, Crm, Row

Kind = Literal["text", "integer", "number", "boolean"]
KindOf = Callable[[str, str], Kind | None]  # of a column of a table; None: there is no such column
CELL_CHARACTERS_MAX: Final = 1_000_000
_BOOLEANS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class LoadError(ValueError):
    """A folder, file or row that cannot be loaded; the message names the place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Rows by table, and where each stands."""

    rows: Mapping[str, list[Row]]
    places: Mapping[str, list[str]]  # file:line, one for each row

    def told(self, problem: BadRow) -> LoadError:
        """The loader's complaint with the place in the file."""
        places = self.places.get(problem.table, [])
        place = places[problem.number - 1] if 0 < problem.number <= len(places) else problem.table
        column = f" column {problem.column}:" if problem.column else ""
        return LoadError(f"{place}:{column} {problem.message}")


def folders_of(directory: Path) -> dict[Crm, Path]:
    if not directory.is_dir():
        raise LoadError(f"{directory} is no folder; expected are {directory}/salesforce and {directory}/dynamics.")
    found: dict[Crm, Path] = {crm: directory / crm for crm in get_args(Crm) if (directory / crm).is_dir()}
    if not found:
        raise LoadError(f"{directory} holds neither a folder salesforce nor a folder dynamics.")
    return found


def read_folder(folder: Path, tables: Mapping[str, str], kind_of: KindOf) -> Loaded:
    """All files of one CRM; `tables` is how it spells its tables, by their names in lower case."""
    rows: dict[str, list[Row]] = {}
    places: dict[str, list[str]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in (".csv", ".json") or path.name.startswith("."):
            continue
        table = tables.get(path.stem.lower())
        if table is None:
            raise LoadError(f"{path}: the shape has no object or table {path.stem!r}.")
        reader = _csv_rows if path.suffix.lower() == ".csv" else _json_rows
        for line, row in reader(path, table, kind_of):
            rows.setdefault(table, []).append(row)
            places.setdefault(table, []).append(f"{path}:{line}")
    if not rows:
        raise LoadError(f"{folder} holds no rows: expected are files such as Lead.csv or lead.json.")
    return _ordered(rows, places)


def _ordered(rows: dict[str, list[Row]], places: dict[str, list[str]]) -> Loaded:
    """Tables whose rows others point to by `@name` come first, as far as that is possible."""
    homes = {row["_ref"]: table for table, those in rows.items() for row in those if "_ref" in row}
    before: dict[str, set[str]] = {table: set() for table in rows}
    for table, those in rows.items():
        for row in those:
            for value in row.values():
                if isinstance(value, str) and value.startswith("@"):
                    home = homes.get(value[1:])
                    if home is not None and home != table:
                        before[table].add(home)
    try:
        order = list(TopologicalSorter(before).static_order())
    except CycleError:
        order = list(rows)  # the CRM's own loader says what it cannot resolve
    return Loaded(rows={table: rows[table] for table in order}, places={table: places[table] for table in order})


# --- CSV ------------------------------------------------------------------------------------------------------------


def _csv_rows(path: Path, table: str, kind_of: KindOf) -> Iterator[tuple[int, Row]]:
    csv.field_size_limit(CELL_CHARACTERS_MAX)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            try:
                header = next(reader, None)
                if not header:
                    raise LoadError(f"{path}:1: the first line names the columns; it is empty.")
                kinds = _header(path, table, header, kind_of)
                line = reader.line_num + 1
                for cells in reader:
                    if cells:
                        if len(cells) != len(header):
                            raise LoadError(f"{path}:{line}: {len(cells)} cells for {len(header)} columns.")
                        yield line, _csv_row(f"{path}:{line}", header, kinds, cells)
                    line = reader.line_num + 1
            except csv.Error as problem:
                raise LoadError(f"{path}:{reader.line_num}: no CSV: {problem}.") from problem
    except (OSError, UnicodeDecodeError) as problem:
        raise LoadError(f"{path} cannot be read: {problem}") from problem


def _header(path: Path, table: str, header: list[str], kind_of: KindOf) -> list[Kind]:
    kinds: list[Kind] = []
    for name in header:
        kind = "text" if name.startswith("_") else kind_of(table, name)
        if kind is None:
            raise LoadError(f"{path}:1: column {name}: {table} has no such column.")
        if header.count(name) > 1:
            raise LoadError(f"{path}:1: column {name}: it is named twice.")
        kinds.append(kind)
    return kinds


def _csv_row(place: str, header: list[str], kinds: list[Kind], cells: list[str]) -> Row:
    row: Row = {}
    for name, kind, cell in zip(header, kinds, cells, strict=True):
        if cell == "":
            continue
        try:
            row[name] = _value(kind, cell)
        except (ValueError, KeyError):
            raise LoadError(f"{place}: column {name}: {cell[:40]!r} is no {kind}.") from None
    return row


def _value(kind: Kind, cell: str) -> Any:
    match kind:
        case "integer":
            return int(cell)
        case "number":
            number = float(cell)
            if number in (float("inf"), float("-inf")) or number != number:
                raise ValueError(cell)
            return int(cell) if cell.lstrip("+-").isdecimal() else number
        case "boolean":
            return _BOOLEANS[cell.strip().lower()]
        case "text":
            return cell


# --- JSON -----------------------------------------------------------------------------------------------------------


def _json_rows(path: Path, table: str, kind_of: KindOf) -> Iterator[tuple[int, Row]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise LoadError(f"{path} cannot be read: {problem}") from problem
    decoder = json.JSONDecoder()
    at, line, counted = _skip(text, 0, " \t\r\n"), 1, 0
    if text[at : at + 1] != "[":
        raise LoadError(f"{path}:1: a list of objects is expected.")
    at = _skip(text, at + 1, " \t\r\n")
    while text[at : at + 1] != "]":
        line, counted = line + text.count("\n", counted, at), at
        try:
            row, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as problem:
            raise LoadError(f"{path}:{problem.lineno}:{problem.colno}: no JSON: {problem.msg}.") from problem
        if not isinstance(row, dict):
            raise LoadError(f"{path}:{line}: an object is expected, a row by its columns.")
        for name in row:
            if not name.startswith("_") and name != "attributes" and kind_of(table, name) is None:
                raise LoadError(f"{path}:{line}: column {name}: {table} has no such column.")
        yield line, row
        at = _skip(text, at, " \t\r\n")
        if text[at : at + 1] == ",":
            at = _skip(text, at + 1, " \t\r\n")
        elif text[at : at + 1] != "]":
            line += text.count("\n", counted, at)
            raise LoadError(f"{path}:{line}: no JSON: a comma or the end of the list is expected.")


def _skip(text: str, at: int, characters: str) -> int:
    while at < len(text) and text[at] in characters:
        at += 1
    return at

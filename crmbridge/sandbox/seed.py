"""What a sandbox starts with: one of the shipped seeds, or a folder or file of one's own.

A folder may hold `salesforce.shape.yaml`, `dynamics.shape.yaml` (the org; without one the shipped shape) and
`salesforce.records.yaml`, `dynamics.records.yaml` (or `.json`, quicker for many rows): rows by object or table, in
native columns, with `_ref: name` to name a row and `"@name"` to point to it. A single file is the shape of one CRM, or
of both under the keys `salesforce` and `dynamics`, as `crmbridge capture` writes it.
`{today+21}` in a text is a date relative to the day the sandbox starts.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, get_args

from crmbridge.sandbox.core import Crm, Row
from crmbridge.sandbox.marks import UnreadableFile, read_yaml

SHAPES = Path(__file__).parent / "shapes"
SHIPPED: Mapping[str, tuple[str, ...]] = {  # later folders add rows
    "empty": ("empty",),
    "sample": ("empty", "sample"),
    "demo": ("empty", "sample", "demo"),
}

RELATIVE_DATE = re.compile(r"\{today(?P<days>[+-]\d+)?\}")
OLDEST_ROW = timedelta(days=60)  # sample rows were made two months ago, a few minutes apart
ROW_DISTANCE = timedelta(minutes=7)
STAMPS: Mapping[Crm, tuple[str, ...]] = {
    "salesforce": ("CreatedDate", "LastModifiedDate", "SystemModstamp"),
    "dynamics": ("createdon", "modifiedon"),
}


class SeedError(ValueError):
    """A seed that cannot be read; the message names the file and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    name: str
    shapes: Mapping[Crm, Path] = field(default_factory=dict[Crm, Path])  # a CRM that is absent has the shipped shape
    folders: tuple[Path, ...] = ()

    def records(self, crm: Crm, start: datetime) -> dict[str, list[Row]]:
        """Rows by table, dates resolved, with stamps where the file gives none."""
        merged: dict[str, list[Row]] = {}
        for folder in self.folders:
            for table, rows in _records_in(folder, crm).items():
                merged.setdefault(table, []).extend(resolve(row, start.date()) for row in rows)
        moment = start.replace(microsecond=0) - OLDEST_ROW
        for rows in merged.values():
            for row in rows:
                moment += ROW_DISTANCE
                created = row.get(STAMPS[crm][0], stamp(moment))
                for column in STAMPS[crm]:
                    row.setdefault(column, created)
        return merged


def _shapes_in(*folders: Path) -> dict[Crm, Path]:
    return {
        crm: found for folder in folders for crm in get_args(Crm) if (found := folder / f"{crm}.shape.yaml").exists()
    }


def find_seed(name: str | Path) -> Seed:
    """A shipped seed by its name, else a folder or file."""
    if str(name) in SHIPPED:
        folders = tuple(SHAPES / part for part in SHIPPED[str(name)])
        return Seed(name=str(name), shapes=_shapes_in(*folders), folders=folders)
    path = Path(name).expanduser()
    if path.is_dir():
        shapes = _shapes_in(path)
        if not shapes and not any(_records_file(path, crm) for crm in get_args(Crm)):
            raise SeedError(
                f"{path} holds no seed: expected are salesforce.shape.yaml, dynamics.shape.yaml, "
                "salesforce.records.yaml or dynamics.records.yaml (or .json)."
            )
        return Seed(name=str(path), shapes=shapes, folders=(path,))
    if path.is_file():
        return Seed(name=str(path), shapes=dict.fromkeys(_crms_of(path), path), folders=(SHAPES / "empty",))
    raise SeedError(
        f"There is no seed {str(name)!r}: give {', '.join(SHIPPED)}, or the path of a shape file or folder."
    )


def resolve(row: Row, today: date) -> Row:
    def day(match: re.Match[str]) -> str:
        return (today + timedelta(days=int(match["days"] or 0))).isoformat()

    return {key: RELATIVE_DATE.sub(day, value) if isinstance(value, str) else value for key, value in row.items()}


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _records_file(folder: Path, crm: Crm) -> Path | None:
    names = (f"{crm}.records.yaml", f"{crm}.records.json")
    return next((folder / name for name in names if (folder / name).exists()), None)


def _records_in(folder: Path, crm: Crm) -> dict[str, list[Row]]:
    path = _records_file(folder, crm)
    return {} if path is None else _read_records(path, path.stat().st_mtime_ns)


@cache
def _read_records(path: Path, version: int) -> dict[str, list[Row]]:
    """Read once per version of the file; callers copy the rows before they change them."""
    document: Any = _parse(path)
    if not isinstance(document, dict):
        raise SeedError(f"{path}: a mapping of tables to lists of rows is expected.")
    for table, rows in document.items():
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise SeedError(f"{path}: {table}: a list of rows is expected.")
    return document


def _crms_of(path: Path) -> list[Crm]:
    """Which CRMs a shape file describes: by its keys, by what it extends, or by being of the shipped kind."""
    document: Any = _parse(path)
    if isinstance(document, dict):
        both = [crm for crm in get_args(Crm) if isinstance(document.get(crm), dict)]
        if both:
            unknown = sorted(str(key) for key in document if key not in both)
            if unknown:
                raise SeedError(f"{path}: {unknown[0]}: only salesforce and dynamics can stand beside each other.")
            return both
        own_keys: dict[Crm, str] = {"salesforce": "org", "dynamics": "organization"}
        for crm, own_key in own_keys.items():
            if crm in (document.get("extends"), document.get("shape")) or own_key in document:
                return [crm]
        named = [key for key, value in document.items() if isinstance(value, dict) and "system" in value]
        if named:  # a capture of two orgs of one kind
            raise SeedError(
                f"{path} holds the shapes {', '.join(map(str, named))} by the names of their connections: call one of "
                "them salesforce or dynamics, and take its line `system:` and the other shape out."
            )
    raise SeedError(
        f"{path} does not say which CRM it shapes: begin it with `extends: salesforce` or `extends: dynamics`."
    )


def _parse(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.suffix == ".json" else read_yaml(path)
    except UnreadableFile as problem:
        raise SeedError(str(problem)) from problem
    except (OSError, ValueError, RecursionError) as problem:
        raise SeedError(f"{path} cannot be read: {problem}") from problem

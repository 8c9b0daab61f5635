"""Material from real orgs that lies beside the checkout; tests read it there and skip, with the reason, without it."""

import csv
import gzip
import json
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parents[2].parent / "shared" / "data"


def folder(name: str) -> Path:
    """A folder of the material; skips the test that asks for it where it is absent."""
    path = DATA / name
    if not path.is_dir():
        pytest.skip(f"{name} is not beside this checkout")
    return path


def document(path: Path) -> Any:
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8-sig") as file:
            return json.load(file)
    return json.loads(path.read_text(encoding="utf-8-sig"))


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """One JSON document a line, compressed."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


# --- crm-sales-opportunities: a company's pipeline, as it was ------------------------------------------------------


def table(name: str) -> list[dict[str, str]]:
    with (folder("crm-sales-opportunities") / f"{name}.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def day(text: str) -> date:
    return datetime.strptime(text, "%m/%d/%Y").date()  # noqa: DTZ007 - a day, not an instant


def email(agent: str) -> str:
    return f"{agent.replace(' ', '.').lower()}@crm.example"


# --- option sets: of Microsoft's own schema documents, and of a real Salesforce org --------------------------------


def cdm_options(name: str) -> dict[str, list[tuple[int, str, int | None]]]:
    """Column -> (value, label, state it belongs to) of one table in dv-cdm-sales-schema."""
    definition = document(folder("dv-cdm-sales-schema") / f"{name}.cdm.json.gz")["definitions"][0]
    found: dict[str, list[tuple[int, str, int | None]]] = {}
    for member in definition["hasAttributes"][0]["attributeGroupReference"]["members"]:
        kind = member.get("dataType") if isinstance(member, dict) else None
        if isinstance(kind, dict) and str(kind["dataTypeReference"]).startswith("listLookup"):
            (argument,) = kind["appliedTraits"][0]["arguments"]
            found[member["sourceName"]] = [
                (int(row[2]), row[1], int(row[4]) if len(row) > 4 else None)
                for row in argument["entityReference"]["constantValues"]
            ]
    return found


def describe(name: str) -> dict[str, Any]:
    """A real org's description of one object."""
    return document(folder("sf-describe") / f"{name}_describe.json.gz")

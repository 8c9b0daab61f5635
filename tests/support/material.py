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

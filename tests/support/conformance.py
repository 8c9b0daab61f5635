"""The conformance table of the sandbox: tests/conformance/*.yaml, one row per operation and rule of the two API sheets.

`python -m tests.support.conformance` writes it anew into docs/reference/sandbox-conformance.md.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

CHECKOUT: Final = Path(__file__).resolve().parents[2]
ROWS: Final = CHECKOUT / "tests" / "conformance"
PAGE: Final = CHECKOUT / "docs" / "reference" / "sandbox-conformance.md"
STANDINGS: Final = ("served", "refused", "not served")
SHEETS: Final = {"salesforce-api": "Salesforce", "dataverse-api": "Dynamics", "lifecycle": "Life cycle"}
NOTES: Final = ("client: ", "recording: ", "document: ", "unverified")
_START, _END = "<!-- table -->", "<!-- end of table -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    sheet: str
    section: str
    item: str
    standing: str
    evidence: tuple[str, ...]
    place: str  # file and number, for messages

    @property
    def tests(self) -> tuple[str, ...]:
        return tuple(one for one in self.evidence if not one.startswith(NOTES))

    @property
    def order(self) -> tuple[Any, ...]:
        numbers = tuple(int(part) for part in re.findall(r"\d+", self.section))
        return (list(SHEETS).index(self.sheet), numbers, self.item)


def rows() -> list[Row]:
    return sorted(_rows(), key=lambda row: row.order)


def _rows() -> Iterator[Row]:
    for file in sorted(ROWS.glob("*.yaml")):
        given: Any = YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8")) or []
        for number, one in enumerate(given, 1):
            place = f"{file.relative_to(CHECKOUT)}, row {number}"
            assert set(one) == {"sheet", "section", "item", "standing", "evidence"}, place
            evidence = one["evidence"] if isinstance(one["evidence"], list) else [one["evidence"]]
            words = {name: str(one[name]) for name in ("sheet", "section", "item", "standing")}
            yield Row(**words, evidence=tuple(str(each) for each in evidence), place=place)


def exists(test: str) -> bool:
    file, _, function = test.partition("::")
    return function.rpartition("::")[2] in _functions(file)


@cache
def _functions(file: str) -> frozenset[str]:
    path = CHECKOUT / file
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}
    # A state machine's test is a class made by its rules.
    return frozenset(names | {each.name for each in ast.walk(tree) if isinstance(each, ast.ClassDef)})


def table(found: list[Row]) -> str:
    lines: list[str] = []
    for sheet, title in SHEETS.items():
        mine = [row for row in found if row.sheet == sheet]
        counts = Counter(row.standing for row in mine)
        told = ", ".join(f"{counts[standing]} {standing}" for standing in STANDINGS if counts[standing])
        lines += [f"## {title}", "", f"{len(mine)} rows: {told}.", "", "| § | what | stands | evidence |"]
        lines += ["|---|---|---|---|"]
        lines += [f"| {row.section} | {_cell(row.item)} | {row.standing} | {_evidence(row)} |" for row in mine]
        lines.append("")
    return "\n".join(lines)


def _evidence(row: Row) -> str:
    notes = [_cell(one) for one in row.evidence if one.startswith(NOTES)]
    tests = [f"`{Path(one.partition('::')[0]).stem}::{one.rpartition('::')[2]}`" for one in row.tests]
    return "; ".join([*notes, *tests])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def with_table(page: str) -> str:
    before, _, rest = page.partition(_START)
    after = rest.partition(_END)[2]
    return f"{before}{_START}\n\n{table(rows())}\n{_END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{len(rows())} rows in {PAGE.relative_to(CHECKOUT)}")

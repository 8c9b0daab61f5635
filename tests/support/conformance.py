"""The conformance table of the sandbox: tests/conformance/*.yaml, one row per operation and rule of the two API sheets.

`python -m tests.support.conformance` writes it anew into docs/reference/sandbox-conformance.md; and into
docs/reference/sandbox.md what it comes to, part by part, with the closed lists of what is accepted without effect.
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

from crmbridge.sandbox.accepted import WITHOUT_EFFECT

CHECKOUT: Final = Path(__file__).resolve().parents[2]
ROWS: Final = CHECKOUT / "tests" / "conformance"
PAGE: Final = CHECKOUT / "docs" / "reference" / "sandbox-conformance.md"
OVERVIEW: Final = PAGE.with_name("sandbox.md")
STANDINGS: Final = ("served", "refused", "not served")
SHEETS: Final = {"salesforce-api": "Salesforce", "dataverse-api": "Dynamics", "lifecycle": "Life cycle"}
PARTS: Final = {
    "salesforce-api": {
        1: "logins and sessions", 2: "queries", 3: "records, collections, composite, headers", 4: "Bulk API",
        5: "describes, setup objects, fields, rules", 6: "SOAP, lead conversion", 7: "opportunities", 8: "changes",
        9: "errors, limits", 10: "formats", 12: "what clients send first", 13: "checklists",
    },
    "dataverse-api": {
        1: "logins", 2: "reading", 3: "change tracking", 4: "writing", 5: "metadata", 6: "leads", 7: "opportunities",
        8: "business process flows", 9: "accounts, contacts, people, money", 10: "errors, limits", 11: "formats",
        13: "what clients send first", 14: "checklist",
    },
    "lifecycle": {1: "conversion", 2: "states", 6: "refusals", 9: "where it overrules the others"},
}  # fmt: skip
NOTES: Final = ("client: ", "recording: ", "document: ", "unverified")
_TABLE = ("<!-- table -->", "<!-- end of table -->")
_SUMMARY = ("<!-- summary -->", "<!-- end of summary -->")
_CRMS: Final = {"salesforce": "Salesforce", "dynamics": "Dynamics"}


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


def summary(found: list[Row]) -> str:
    """Each part of the sheets with how much of it stands how, and on what evidence."""
    lines = [f"| | {' | '.join(STANDINGS)} | seen with a client | in a recording | in part unverified |"]
    lines += ["|---|--:|--:|--:|--:|--:|--:|"]
    for sheet, title in SHEETS.items():
        for part, name in PARTS[sheet].items():
            mine = [row for row in found if row.sheet == sheet and row.order[1][0] == part]
            counts = [sum(row.standing == standing for row in mine) for standing in STANDINGS]
            counts += [sum(any(one.startswith(note) for one in row.evidence) for row in mine) for note in _NOTED]
            where = f"[{title}](sandbox-conformance.md#{title.lower().replace(' ', '-')}), §{part}: {name}"
            lines.append(f"| {where} | {' | '.join(str(count or '') for count in counts)} |")
    return "\n".join([*lines, "", *_accepted(), ""])


_NOTED: Final = ("client: ", "recording: ", "unverified")


def _accepted() -> Iterator[str]:
    yield "Accepted, no effect:"
    yield ""
    yield "| CRM | header, parameter or part of a body | because |"
    yield "|---|---|---|"
    for crm, listed in WITHOUT_EFFECT.items():
        for name, why in listed.items():
            yield f"| {_CRMS[crm]} | {_cell(name)} | {_cell(why)} |"


def with_table(page: str) -> str:
    return _filled(page, _TABLE, table(rows()))


def with_summary(page: str) -> str:
    return _filled(page, _SUMMARY, summary(rows()))


def _filled(page: str, marks: tuple[str, str], text: str) -> str:
    start, end = marks
    before, _, rest = page.partition(start)
    return f"{before}{start}\n\n{text}\n{end}{rest.partition(end)[2]}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    OVERVIEW.write_text(with_summary(OVERVIEW.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{len(rows())} rows in {PAGE.relative_to(CHECKOUT)}, summed up in {OVERVIEW.relative_to(CHECKOUT)}")

"""Each rule of the sandbox says where it is written: a refusal stands beside a section of a fact sheet.

Where the sheets lie beside the checkout, the sections must exist, and a code that no sheet knows must be called
(unverified) at its place.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SANDBOX = Path(__file__).parents[2] / "crmbridge" / "sandbox"
SHEETS = Path(__file__).parents[2].parent / "shared" / "facts"
OWN_SHEET = {"salesforce": "salesforce-api", "dynamics": "dataverse-api"}
MODULES = [path for name in OWN_SHEET for path in sorted((SANDBOX / name).glob("*.py")) if path.name != "__init__.py"]
REFUSALS = {"refuse", "SfError", "Problem", "DataverseError", "bad_query", "bad_payload", "missing_row"}
SECTION = re.compile(r"(?:\b(salesforce-api|dataverse-api|lifecycle|reliability)\s+)?§(\d+(?:\.\d+)?)")
CODE = re.compile(r"[A-Z][A-Z]+(?:_[A-Z]+)+|0x8[0-9a-f]{7}")
NEAR_LINES = 4
# The sandbox's own words for what a real system would serve, and it does not.
OUR_OWN = {"NOT_SERVED_BY_SANDBOX"}


@dataclass(frozen=True)
class Refused:
    """One place that answers no."""

    module: Path
    line: int
    code: str | None
    context: str  # what a reader sees around it: the function, and the headlines of its class and module
    near: str

    def __str__(self) -> str:
        return f"{self.module.relative_to(SANDBOX.parent)}:{self.line}"


def refusals(path: Path) -> Iterator[Refused]:
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    tree = ast.parse(source)
    headline = ast.get_docstring(tree) or ""

    def walk(node: ast.AST, around: str, told: str) -> Iterator[Refused]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                yield from walk(child, around, f"{told}\n{ast.get_docstring(child) or ''}")
            elif isinstance(child, ast.FunctionDef):
                first = min([child.lineno, *(each.lineno for each in child.decorator_list)]) - 1
                yield from walk(child, "\n".join(lines[max(first - 1, 0) : child.end_lineno]), told)
            else:
                if isinstance(child, ast.Call) and name_of(child.func) in REFUSALS and around:
                    texts = [each.value for each in child.args if isinstance(each, ast.Constant)]
                    code = next((str(text) for text in texts if CODE.fullmatch(str(text))), None)
                    end = child.end_lineno or child.lineno
                    near = "\n".join(lines[max(child.lineno - 1 - NEAR_LINES, 0) : end + NEAR_LINES])
                    yield Refused(path, child.lineno, code, f"{told}\n{around}", near)
                yield from walk(child, around, told)

    yield from walk(tree, "", headline)


def name_of(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else ""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_refusal_names_its_section(path: Path) -> None:
    silent = [str(each) for each in refusals(path) if not SECTION.search(each.context)]
    assert silent == []


def test_there_is_something_to_look_at() -> None:
    found = [each for path in MODULES for each in refusals(path)]
    assert len(found) > 100
    assert len({each.code for each in found if each.code}) > 40


@pytest.mark.skipif(not SHEETS.is_dir(), reason="the fact sheets are not beside the checkout")
@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_section_exists(path: Path) -> None:
    known = {sheet.stem: sections(sheet) for sheet in SHEETS.glob("*.md")}
    missing: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        sheet = OWN_SHEET[path.parent.name]
        for named, section in SECTION.findall(line):
            sheet = named or sheet  # "lifecycle §2 and §9"
            if section not in known[sheet]:
                missing.append(f"{path.name}:{number}: {sheet} §{section}")
    assert missing == []


def sections(sheet: Path) -> set[str]:
    """Headlines, and the numbered sentences under them (reliability §3.4)."""
    found: set[str] = set()
    chapter = ""
    for line in sheet.read_text(encoding="utf-8").splitlines():
        if head := re.match(r"#+ (\d+(?:\.\d+)?)", line):
            found.add(head[1])
            chapter = head[1]
        elif chapter and (item := re.match(r"(\d+)\. ", line)):
            found.add(f"{chapter}.{item[1]}")
    return found


@pytest.mark.skipif(not SHEETS.is_dir(), reason="the fact sheets are not beside the checkout")
@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_code_is_in_a_sheet_or_said_to_be_unverified(path: Path) -> None:
    sheets = "\n".join(sheet.read_text(encoding="utf-8") for sheet in SHEETS.glob("*.md"))
    known = {code.lower() for code in CODE.findall(sheets)} | {code.lower() for code in OUR_OWN}
    unknown = [
        f"{each} {each.code}"
        for each in refusals(path)
        if each.code and each.code.lower() not in known and "(unverified)" not in each.near
    ]
    assert unknown == []

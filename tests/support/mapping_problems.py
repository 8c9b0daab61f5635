"""docs/reference/mapping-problems.md, from the table of codes: `python -m tests.support.mapping_problems` writes it."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mapping.codes import SECTIONS
from mapping.unreadable import NOT_YAML

CHECKOUT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = CHECKOUT / "docs" / "reference" / "mapping-problems.md"
HEAD: Final = """# Problems in a mapping

`crmbridge check` tells all of them at once. The word in brackets at the end of a line is the problem's code; it stays
the same when the sentence is bettered, and `crmbridge check --json` has it as `code`.
Entries of a list are counted from 1: `match.2.1` is the first field of the second key.

```text
mappings/lead.yaml:23:11: error: fields.email.salesfroce: unknown key; did you mean 'salesforce'? [unknown-key]
```

Whatever stands in a file, the answer is its problems or its use, never a traceback. `python -m
tests.support.mapping_fuzz` breaks files on purpose, and loads and checks each in a child with 200 MB and an alarm:
10,000 in every full test run; once, by hand, 50,000 of seed 31 (0 failures; 4,347 of them could be used, the others
told problems of 99 codes), then the first 45,000 of seed 32 (0 failures) and 5,000 of seed 33 (0 failures; 453 used,
103 codes): 100,000 in all.
"""
PARTS: Final = (
    "mapping/*.py",
    "crmbridge/settings/*.py",
    "crmbridge/segments.py",
    "crmbridge/cli/check.py",
    "crmbridge/cli/hints.py",
    "crmbridge/cli/named.py",
    "crmbridge/cli/segments.py",
)
# What makes a finding of a code, for the search through the sources.
_MAKERS: Final = frozenset({"Finding", "finding", "complain", "_complain_at", "_say", "say", "problem"})


def page() -> str:
    parts = [HEAD]
    for title, codes in SECTIONS.items():
        lines = [f"## {title}", "", "| code | what is wrong | for example | what to do |", "|---|---|---|---|"]
        lines += [f"| `{c}` | {row.cause} | {_cell(row.example)} | {row.fix} |" for c, row in codes.items()]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def told() -> dict[str, str]:
    """Every code that the program gives to a finding of a mapping -> where."""
    found = {code: "mapping/unreadable.py" for _, code, _ in NOT_YAML}
    for file in sorted(file for part in PARTS for file in CHECKOUT.glob(part)):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for word in _codes(node):
                found.setdefault(word, f"{file.relative_to(CHECKOUT)}:{getattr(node, 'lineno', 0)}")
    return found


def _codes(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        given = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
        given += node.args[:1] if name == "_say" else []
        for one in given:
            if name in _MAKERS or name.startswith("_"):
                yield from _texts(one)
    elif isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "code" for t in node.targets):
        yield from _texts(node.value)


def _texts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

"""What the on-call handbook must explain, taken from the program: causes of issues, codes of errors, kinds of alerts.

`python -m tests.support.oncall` writes the index of docs/howto/on-call/README.md anew.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from crmbridge.alerts import FIXES, KINDS
from crmbridge.oncall import PAGES, page_of
from tests.support import reference
from tests.support.reference import CHECKOUT

FOLDER: Final = CHECKOUT / "docs" / "howto" / "on-call"
INDEX: Final = FOLDER / "README.md"
# Rows of the life-cycle tables that stand at an issue.
CASE: Final = re.compile(r"[LCOA]\d+")
PARTS: Final = ("**What happened.**", "**How bad.**", "**What to do.**")
_BLOCK: Final = re.compile(r"(?<=<!-- index -->\n).*(?=<!-- end -->)", re.DOTALL)


def words() -> dict[str, str]:
    """Every cause and code -> where it is said: as a word, or by the name of a constant."""
    found = dict(reference.causes())
    constants: dict[str, set[str]] = {}
    named: list[tuple[str, str]] = []
    for file, tree in reference.sources():
        for node in ast.walk(tree):
            for name, value in _assigned(node):
                constants.setdefault(name, set()).add(value)
            if isinstance(node, ast.Call):
                where = f"{file.relative_to(CHECKOUT)}:{node.lineno}"
                named += [
                    (one.value.id, where)
                    for one in node.keywords
                    if one.arg == "cause" and isinstance(one.value, ast.Name) and one.value.id.isupper()
                ]
                found |= dict.fromkeys(_case_in_message(node), where)
    for name, where in named:
        values = constants.get(name, set()) if name != "CAUSE" else _own(where)
        for value in values:
            found.setdefault(value, where)
    return found


def _own(where: str) -> set[str]:
    tree = ast.parse((CHECKOUT / where.partition(":")[0]).read_text(encoding="utf-8"))
    own = {value for node in ast.walk(tree) for name, value in _assigned(node) if name == "CAUSE"}
    return own or {
        value for file, tree in reference.sources() for node in ast.walk(tree) for name, value in _assigned(node)
        if name == "CAUSE" and file.stem in ("foreign", "drift")
    }  # fmt: skip


def _assigned(node: ast.AST) -> Iterator[tuple[str, str]]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield from ((one.id, value.value) for one in targets if isinstance(one, ast.Name) and one.id.isupper())


def _case_in_message(node: ast.Call) -> Iterator[str]:
    """`Hold(cause=case, message="... (A7)")` and the like: the case stands in the sentence."""
    name = getattr(node.func, "id", "")
    if name not in ("Hold", "Report"):
        return
    for one in node.keywords:
        if one.arg == "message":
            for inner in ast.walk(one.value):
                if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                    yield from re.findall(r"\(([LCOA]\d+)\)", inner.value)


def sections(page: Path) -> dict[str, str]:
    """Anchor -> text of each section of a page."""
    text = page.read_text(encoding="utf-8")
    parts = re.split(r'^<a id="([\w-]+)"></a>\n', text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def index() -> str:
    lines = ["| alert | look | page |", "|---|---|---|"]
    lines += [f"| `{kind}` | `{FIXES[kind]}` | [alerts](alerts.md#{kind}) |" for kind in KINDS]
    lines += ["", "| cause or code | page |", "|---|---|"]
    causes = sorted({cause for one in PAGES.values() for some in one.values() for cause in some}, key=str.casefold)
    for cause in causes:
        target = page_of(cause).rpartition("/")[2]
        page, _, anchor = target.partition("#")
        lines.append(f"| `{cause}` | [{page.removesuffix('.md')}: {anchor.replace('-', ' ')}]({target}) |")
    return "\n".join(lines) + "\n"


def with_index(text: str) -> str:
    return _BLOCK.sub(lambda _: index(), text)


if __name__ == "__main__":
    INDEX.write_text(with_index(INDEX.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{sum(len(causes) for one in PAGES.values() for causes in one.values())} causes in {INDEX.name}")

"""Where a file that is no YAML has to be mended, and how: the parser says where it gave up, which is often below it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ruamel.yaml.error import MarkedYAMLError

from mapping.problem import Finding, Place

# What the parser says -> our code, and what a person does about it.
NOT_YAML: Final = (
    ("while scanning a quoted scalar", "quote-open", "close the quotation mark that is opened here"),
    ("while scanning an a", "character-reserved", "put quotes around a text that begins with & or *"),
    ("expected ',' or", "bracket-open", "close the bracket that is opened here, or add the comma that is missing"),
    ("but found '}'", "bracket-stray", "take this bracket away: nothing opens it; or put quotes around a text with it"),
    ("but found ']'", "bracket-stray", "take this bracket away: nothing opens it; or put quotes around a text with it"),
    ("expected the node content", "comma-stray", "write a value here, or take the comma away"),
    ("cannot start any token", "character-reserved", "indent with blanks, not tabs; put quotes around this text"),
    (
        "mapping values are not allowed",
        "colon-stray",
        "put quotes around a text with a colon in it, or write the colon that a line above lacks",
    ),
    ("could not find expected ':'", "colon-missing", "write a colon after the key"),
    ("found '<scalar>'", "text-stray", "put quotes around all of the text, or take what is over away"),
    ("expected <block end>", "indent-wrong", "indent this line as the lines that it belongs to"),
    ("did not find expected", "indent-wrong", "indent this line as the lines that it belongs to"),
    ("", "not-yaml", "mend this line or the one above it"),
)


def place_after(before: str, file: str) -> Place:
    return Place(file=file, line=before.count("\n") + 1, column=len(before) - before.rfind("\n"))


def not_yaml(error: MarkedYAMLError, file: str, lines: Sequence[str]) -> Finding:
    mark: Any = error.problem_mark or error.context_mark
    what = " ".join(str(error.problem or error.context or "cannot be parsed").split())
    said = f"{error.context or ''} {what}"
    code, advice = next((code, advice) for words, code, advice in NOT_YAML if words in said)
    begun = code in ("quote-open", "bracket-open") or "while scanning an a" in said
    if begun and error.context_mark is not None:
        mark = error.context_mark  # where it began: where it was missed is anywhere below
    place = Place(file=file, line=mark.line + 1, column=mark.column + 1) if mark else Place(file=file)
    odd = _ill_indented(code, lines, place.line, place.column)
    if odd is not None:
        code, place = "indent-wrong", Place(file=file, line=odd.line, column=odd.column)
        what, advice = "this line is indented unlike those that it belongs to", odd.advice
    return Finding(code=code, place=place, path="", message=f"not YAML: {what}; {advice}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Odd:
    line: int
    column: int
    advice: str


def _ill_indented(code: str, lines: Sequence[str], line: int, column: int) -> _Odd | None:
    """The line that is indented unlike the others: often not the one at which the parser gave up."""
    filled = [n for n, text in enumerate(lines, 1) if text.strip() and not text.lstrip().startswith("#")]
    if line not in filled or not filled.index(line):
        return None
    at = filled.index(line)
    depth = {n: len(lines[n - 1]) - len(lines[n - 1].lstrip(" ")) for n in filled}
    above = filled[at - 1]

    def odd(number: int, *like: int) -> _Odd:
        others = " and ".join(f"line {one}" for one in like)
        return _Odd(line=number, column=depth[number] + 1, advice=f"indent it as {others}")

    if code == "colon-stray":  # a key below a complete line, so that it is taken for more of its value
        key = re.fullmatch(r"\s*[\w.-]+", lines[line - 1][: column - 1])
        whole = re.match(r"\s*(- )?[\w.-]+:\s+[^#\s]", lines[above - 1])
        return odd(line, above) if key and whole and depth[line] > depth[above] else None
    if code != "indent-wrong":
        return None
    before = filled[at - 2] if at > 1 else None
    after = filled[at + 1] if at + 1 < len(filled) else None
    if before is not None and depth[above] < depth[line] == depth[before]:
        return odd(above, before, line)  # the lines around it agree
    first = before is None or depth[before] < depth[line]
    if first and depth[above] > depth[line] and after is not None and depth[after] == depth[line]:
        return odd(above, line, after)  # the first of its brothers
    return None

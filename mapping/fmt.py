"""Tidies the text of a mapping and changes nothing of what it says: values and comments stay byte by byte.

Done is little: no blanks at the end of a line, one line feed at the end of the file, one blank after `:` and `,` in a
map or list that stands on one line and none inside its brackets, and one order for the keys of a field's or a row's
line. All else, line breaks and indentation above all, is the author's. What comes out is read again and compared before
it counts.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from mapping.source import Source, read_text

# Order in a field's line, between the connections and what is unknown here.
FIELD_KEYS: Final = (
    "column",
    "won",
    "lost",
    "convert",
    "values",
    "link",
    "join",
    "constant",
    "compute",
    "currency",
    "rule",
    "required",
    "restrictive",
    "lossy",
    "filler",
    "create",
    "default",
    "inactive",
    "zone",
)
_AXES: Final = frozenset({"status", "stage"})
_Span = tuple[int, int]


class NotFormatted(Exception):
    """The text cannot be formatted; `problems` say why, with their places."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def formatted(text: str, *, file: str, names: Sequence[str]) -> str:
    """`names`: of the connections, left first. Raises NotFormatted for what is no sound YAML."""
    before = read_text(text, file=file)
    if before.findings:
        raise NotFormatted([str(finding) for finding in before.findings])
    node = _compose(text)
    tidy = _tidy(_replaced(text, list(_changes(text, node, names))))
    after = read_text(tidy, file=file)
    if after.findings or not _equal(before, after) or comments(text) != comments(tidy):
        raise NotFormatted([f"{file}: formatting would change what it says, so it is left as it is"])
    return tidy


def comments(text: str) -> list[str]:
    """All comments in their order; `#` inside of a value is none."""
    spans = list(_scalars(_compose(text)))
    found: list[str] = []
    for match in re.finditer(r"(?m)(?:^|(?<=[ \t]))#[^\r\n]*", text):
        if not any(start <= match.start() < end for start, end in spans):
            found.append(match[0].rstrip())
    return found


def _equal(before: Source, after: Source) -> bool:
    """Equal, with fields and rows in the same order: it means something, that of a line's keys does not."""
    return before.data == after.data and _order(before.data) == _order(after.data)


def _order(data: Any) -> Any:
    """Names in their order: of sections, of fields, tables and rows of statuses, of the rows of each table."""
    if not isinstance(data, dict):
        return None
    sections = {key: list(part) if isinstance(part, dict) else None for key, part in data.items()}
    tables: Any = data.get("values")
    rows = [list(table) for table in tables.values() if isinstance(table, dict)] if isinstance(tables, dict) else []
    return list(sections.items()), rows


def _compose(text: str) -> Any:
    return YAML(typ="safe", pure=True).compose(text)


def _scalars(node: Any) -> Iterator[_Span]:
    """Where values stand, quotes and blocks included."""
    if isinstance(node, ScalarNode):
        yield node.start_mark.index, node.end_mark.index
    elif isinstance(node, SequenceNode):
        for item in node.value:
            yield from _scalars(item)
    elif isinstance(node, MappingNode):
        for key, value in node.value:
            yield from _scalars(key)
            yield from _scalars(value)


# --- maps and lists on one line -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    start: int
    end: int
    text: str


class _LeaveIt(Exception):
    """A form that is not ours to touch."""


def _changes(text: str, node: Any, names: Sequence[str], path: tuple[str, ...] = ()) -> Iterator[_Change]:
    """Of outermost flow collections; those that go over several lines stay as they are."""
    if isinstance(node, MappingNode | SequenceNode) and node.flow_style:
        start, end = node.start_mark.index, node.end_mark.index
        if "\n" in text[start:end] or "\r" in text[start:end]:
            return
        try:
            yield _Change(start=start, end=end, text=_render(text, node, names, path))
        except _LeaveIt:
            return
    elif isinstance(node, MappingNode):
        for key, value in node.value:
            yield from _changes(text, value, names, (*path, str(key.value)))
    elif isinstance(node, SequenceNode):
        for item in node.value:
            yield from _changes(text, item, names, (*path, "-"))


def _render(text: str, node: Any, names: Sequence[str], path: tuple[str, ...]) -> str:
    if isinstance(node, ScalarNode):
        word = text[node.start_mark.index : node.end_mark.index]
        if not word.strip():
            raise _LeaveIt  # `{a: , b}`: nothing stands there
        return word.rstrip()
    if isinstance(node, SequenceNode):
        return f"[{', '.join(_render(text, item, names, (*path, '-')) for item in node.value)}]"
    cells = {
        str(key.value): f"{_render(text, key, names, path)}: {_render(text, value, names, (*path, str(key.value)))}"
        for key, value in node.value
    }
    return f"{{{', '.join(cells[key] for key in _ordered(list(cells), names, path))}}}"


def _ordered(keys: list[str], names: Sequence[str], path: tuple[str, ...]) -> list[str]:
    order = _order_at(names, path)
    if order is None:
        return keys
    known = [key for key in order if key in keys]
    return known + [key for key in keys if key not in known]


def _order_at(names: Sequence[str], path: tuple[str, ...]) -> Sequence[str] | None:
    match path:
        case ("fields", _):
            return (*names, *FIELD_KEYS)
        case ("fields", _, "filler" | "create" | "constant" | "compute" | "default"):
            return names
        case ("values", _, _):
            return (*names, "lossy")
        case (axis, _) if axis in _AXES:
            return ("state", *names, "reason", "lossy")
        case _:
            return None


def _replaced(text: str, changes: Sequence[_Change]) -> str:
    parts: list[str] = []
    place = 0
    for change in sorted(changes, key=lambda one: one.start):
        parts += [text[place : change.start], change.text]
        place = change.end
    return "".join([*parts, text[place:]])


# --- ends of lines, end of the file -------------------------------------------------------------------------------


def _tidy(text: str) -> str:
    """Blanks at the end of a line inside of a value belong to it."""
    inside: set[int] = set()
    open_end = False  # the last value goes over lines, and a line feed more would belong to it
    for start, end in _scalars(_compose(text)):
        first, last = text.count("\n", 0, start), text.count("\n", 0, end)
        inside |= set(range(first, last))
        if end >= len(text) and last > first:
            open_end = True
            inside.add(last)
    lines = text.split("\n")
    return_at_end = "\r" if any(line.endswith("\r") for line in lines[:-1]) else ""
    kept = [line if number in inside else _trimmed(line) for number, line in enumerate(lines)]
    while len(kept) > 1 and not kept[-1].strip() and len(kept) - 2 not in inside:
        kept.pop()
    whole = "\n".join(kept)
    if whole.endswith("\n") or open_end or not whole.strip():
        return whole
    return f"{whole.removesuffix(chr(13))}{return_at_end}\n"


def _trimmed(line: str) -> str:
    bare = line.rstrip(" \t\r")
    return f"{bare}\r" if line.endswith("\r") else bare


def changed_lines(before: str, after: str) -> list[int]:
    """Lines of `before` that are otherwise in `after`; none is added or moved, blank ones at the end may be gone."""
    old, new = before.split("\n"), after.split("\n")
    found = [number for number, (a, b) in enumerate(zip(old, new, strict=False), 1) if a != b]
    found += [number for number in range(len(new), len(old)) if number not in found]
    return sorted(found) or ([len(old)] if before != after else [])

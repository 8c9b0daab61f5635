"""A life cycle as a picture: Mermaid text for Markdown pages, SVG for everything else."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from crmbridge.model import SIDES, State
from mapping.explain import LifeCycle, Row

# --- Mermaid ------------------------------------------------------------------------------------------------------


def mermaid(life: LifeCycle) -> str:
    """A state diagram; rows carry the words of both CRMs."""
    lines = ["stateDiagram-v2", "    direction LR"]
    first = next(iter(life.of("open")), None)
    if first is not None:
        lines.append("    [*] --> s_open")
    for state in life.states:
        lines.append(f'    state "{state}" as s_{state} {{')
        rows = life.of(state)
        for row in rows:
            lines.append(f'        state "{_mermaid_text(_summary(life, row))}" as {state}_{row.name}')
        if state == "open":
            lines += [f"        {state}_{a.name} --> {state}_{b.name}" for a, b in pairwise(rows)]
        lines.append("    }")
    lines += [f"    s_{one} --> s_{two} : {verb}" for one, two, verb in life.moves]
    return "\n".join(lines) + "\n"


def _summary(life: LifeCycle, row: Row) -> str:
    words = ", ".join(f"{life.names[side]} {'/'.join(row.words[side]) or '-'}" for side in SIDES)
    return f"{row.name} ({words})"


_MERMAID: Final = str.maketrans({"#": "#35;", '"': "#quot;", ";": "#59;", "\n": " "})


def _mermaid_text(text: str) -> str:
    """Mermaid ends a label at a quote and a statement at a semicolon, and reads entities such as `#quot;`."""
    return text.translate(_MERMAID)


# --- SVG ----------------------------------------------------------------------------------------------------------

_COLORS: Final[dict[State, str]] = {
    "open": "#e8f0fe",
    "converted": "#e6f4ea",
    "won": "#e6f4ea",
    "disqualified": "#fce8e6",
    "lost": "#fce8e6",
}
_CHAR: Final = 6.6  # px a character of 12 px sans-serif takes at most on average
_LINE: Final = 16
_PAD: Final = 12
_GAP: Final = 190  # between the open box and the ends: room for the verbs
_STEP: Final = 26  # between two boxes, or two rows of the open one


def svg(life: LifeCycle) -> str:
    """One picture that needs nothing beside it: open rows on the left in their order, the ends on the right."""
    opened: State = "open"
    ends: list[State] = [state for state in life.states if state != opened]
    open_width, open_height = _size(life, opened)
    end_sizes: dict[State, tuple[int, int]] = {state: _size(life, state) for state in ends}
    end_width = max((width for width, _ in end_sizes.values()), default=0)
    ends_height = sum(height for _, height in end_sizes.values()) + _STEP * max(len(ends) - 1, 0)
    height = max(open_height, ends_height) + 2 * _PAD
    width = _PAD + open_width + (_GAP + end_width if ends else 0) + _PAD
    title = f"{life.entity}: {life.axis}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label={quoteattr(_clean(title))} font-family="sans-serif" font-size="12">',
        f"<title>{escape(_clean(title))}</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#444"/></marker></defs>',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        *_box(life, opened, _PAD, _PAD, open_width, max(open_height, ends_height)),
    ]
    y = _PAD
    for state in ends:
        _, box_height = end_sizes[state]
        left, right = _PAD + open_width, _PAD + open_width + _GAP
        parts += _box(life, state, right, y, end_width, box_height)
        out = [verb for one, two, verb in life.moves if (one, two) == ("open", state)]
        back = [verb for one, two, verb in life.moves if (one, two) == (state, "open")]
        middle = y + box_height // 2
        arrows = [(verb, left, right, False) for verb in out] + [(verb, right, left, True) for verb in back]
        first = middle - (len(arrows) - 1) * _STEP // 2
        for n, (verb, start, end, dashed) in enumerate(arrows):
            parts += _arrow(start, end, first + n * _STEP, verb, dashed=dashed)
        y += box_height + _STEP
    return "\n".join([*parts, "</svg>"]) + "\n"


def _lines(life: LifeCycle, row: Row) -> list[str]:
    return [row.name, *(f"{life.names[side]}: {', '.join(row.words[side]) or '-'}" for side in SIDES)]


def _size(life: LifeCycle, state: State) -> tuple[int, int]:
    rows = life.of(state)
    texts = [state, *(text for row in rows for text in _lines(life, row))]
    width = round(max(_width(text) for text in texts)) + 4 * _PAD
    between = _STEP if state == "open" else _PAD
    height = 2 * _LINE + sum(_row_height(life, row) for row in rows) + between * max(len(rows) - 1, 0) + _PAD
    return width, max(height, 4 * _LINE)


def _width(text: str) -> float:
    """Wide letters (Japanese, Chinese, Korean) take a whole em."""
    return sum(12 if ord(c) > 0x2E80 else _CHAR for c in text)


def _row_height(life: LifeCycle, row: Row) -> int:
    return len(_lines(life, row)) * _LINE + _PAD


def _box(life: LifeCycle, state: State, x: int, y: int, width: int, height: int) -> Iterator[str]:
    yield (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{_COLORS[state]}" stroke="#888"/>'
        f'<text x="{x + _PAD}" y="{y + 20}" font-weight="bold">{escape(state)}</text>'
    )
    top, rows = y + 2 * _LINE, life.of(state)
    for n, row in enumerate(rows):
        row_height = _row_height(life, row)
        yield from _row_box(_lines(life, row), x + _PAD, top, width - 2 * _PAD, row_height)
        bottom = top + row_height
        if state == "open" and n + 1 < len(rows):
            middle = x + width // 2
            yield (
                f'<line x1="{middle}" y1="{bottom}" x2="{middle}" y2="{bottom + _STEP}" stroke="#444" '
                'marker-end="url(#tip)"/>'
            )
        top = bottom + (_STEP if state == "open" else _PAD)


def _row_box(lines: Sequence[str], x: int, y: int, width: int, height: int) -> Iterator[str]:
    yield f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="5" fill="#ffffff" stroke="#bbb"/>'
    for n, line in enumerate(lines):
        weight = ' font-weight="bold"' if n == 0 else ' fill="#333"'
        yield f'<text x="{x + _PAD}" y="{y + 18 + n * _LINE}"{weight}>{escape(_clean(line))}</text>'


def _arrow(start: int, end: int, y: int, verb: str, *, dashed: bool) -> Iterator[str]:
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    yield f'<line x1="{start}" y1="{y}" x2="{end}" y2="{y}" stroke="#444"{dash} marker-end="url(#tip)"/>'
    yield f'<text x="{(start + end) // 2}" y="{y - 5}" text-anchor="middle" fill="#444">{escape(verb)}</text>'


def _clean(text: str) -> str:
    """Without the characters that XML has no place for."""
    return re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]", "", text)

"""What a draft is made of: the two systems as they describe themselves, and lines with how sure each of them is."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, TypeVar

from crmbridge.model import SIDES, Side
from mapping.described import ColumnLike, OptionLike
from mapping.document import NativeWord
from mapping.paste import yaml_word

Confidence = Literal["sure", "likely", "question"]
T = TypeVar("T")
WIDTH: Final = 120


class DraftOption(OptionLike, Protocol):
    @property
    def default(self) -> bool: ...


class DraftColumn(ColumnLike, Protocol):
    @property
    def label(self) -> str: ...


class DraftDescription(Protocol):
    @property
    def table(self) -> str: ...
    @property
    def columns(self) -> Mapping[str, DraftColumn]: ...
    @property
    def statuses(self) -> Sequence[DraftOption]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """One connection, and what it has for one entity."""

    name: str
    system: str
    description: DraftDescription


Ends = Mapping[Side, End]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a draft. A question is written as a comment: it decides nothing until a person takes the # away."""

    name: str
    confidence: Confidence
    comment: str
    text: str = ""  # as YAML; a question may have none
    columns: Mapping[Side, str] = field(default_factory=dict[Side, str])  # of a field

    @property
    def active(self) -> bool:
        return self.confidence != "question"


def written(lines: Iterable[Line], indent: int = 2) -> list[str]:
    """As they stand in the file: the confidence behind the line, or above where that would be too wide."""
    found: list[str] = []
    pad = " " * indent
    for line in lines:
        if line.active:
            # A label may hold a line break; a comment may not.
            note = f"# {line.confidence}: {' '.join(line.comment.split())}"
            whole = f"{pad}{line.text}  {note}"
            if len(whole) <= WIDTH:
                found.append(whole)
            else:
                found += [*wrapped(note, pad), *(f"{pad}{row}" for row in folded(line.text, WIDTH - indent))]
        else:
            found += wrapped(f"# QUESTION: {line.comment}", pad)
            found += [f"{pad}# {row}" for row in (folded(line.text, WIDTH - indent - 2) if line.text else ())]
    return found


def folded(text: str, width: int) -> list[str]:
    """`name: {a: 1, b: 2}` as it is, or a line for each key where it is too wide."""
    name, _, body = text.partition(": ")
    if len(text) <= width:
        return [text]
    if len(body) + 2 <= width:
        return [f"{name}:", f"  {body}"]
    rows, depth, quoted, start = [f"{name}:"], 0, False, 1
    for at, sign in enumerate(body):
        quoted ^= sign == '"' and body[at - 1] != "\\"
        depth += 0 if quoted else (sign in "{[") - (sign in "}]")
        if (sign == "," and depth == 1 and not quoted) or at == len(body) - 1:
            rows.append(f"  {body[start:at].strip()}")
            start = at + 1
    return rows


def wrapped(note: str, pad: str) -> list[str]:
    """A comment in lines that fit."""
    rows: list[str] = []
    row = pad + "#"
    for part in note.removeprefix("# ").split():
        if len(row) + 1 + len(part) > WIDTH and row.strip() != "#":
            rows.append(row)
            row = pad + "#"
        row += f" {part}"
    return [*rows, row]


def each_side(make: Callable[[Side], T]) -> dict[Side, T]:
    return {"left": make("left"), "right": make("right")}


def sides_that(test: Callable[[Side], bool]) -> list[Side]:
    return [side for side in SIDES if test(side)]


# --- words as YAML ------------------------------------------------------------------------------------------------


def words(natives: Sequence[NativeWord]) -> str:
    return yaml_word(natives[0]) if len(natives) == 1 else f"[{', '.join(map(yaml_word, natives))}]"


def cells(**parts: str) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in parts.items() if value) + "}"


def named(sides: Iterable[Side], ends: Ends) -> str:
    """Connections by their names: as `lossy:` wants them."""
    chosen = set(sides)
    names = [ends[side].name for side in SIDES if side in chosen]
    return "" if not names else names[0] if len(names) == 1 else f"[{', '.join(names)}]"


def told(option: OptionLike) -> str:
    """A value for a comment: its label, and itself where that says more."""
    return f"'{option.label}'" if str(option.value) == option.label else f"'{option.label}' ({option.value})"

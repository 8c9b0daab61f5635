"""One field on one side, as closures compiled once: how it is read from a row, written to it, and when it stays.

An `End` whose value stands in one column and needs nothing else is *plain*: the translation calls its getter directly.
The others (links, users, money, choices) read from their surroundings, which come in as `Facts`.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from crmbridge.model import Directory, Entity, Side, Value, attribute_name
from mapping.described import ColumnLike, DescriptionLike
from mapping.document import Document, FieldDoc, Filler
from mapping.transforms import Get, Refusal, Same


def _no_id(side: Side, entity: Entity, native_id: str) -> str | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What translation must know besides the row itself."""

    directory: Mapping[Side, Directory] = field(default_factory=dict)
    shared_id: Callable[[Side, Entity, str], str | None] = _no_id  # native id -> shared id
    native_id: Callable[[Side, Entity, str], str | None] = _no_id  # shared id -> native id
    fillers: Mapping[Side, Mapping[str, str]] = field(default_factory=dict)  # texts we wrote as fillers, per field


class Ignored(Exception):
    """A value that the mapping says to leave alone: neither a value nor a problem."""


@dataclass(frozen=True, slots=True, eq=False)
class Shortcut:
    """A function, and what compiled code may do itself in the usual case (getting.py, putting.py know the kinds)."""

    slow: Callable[..., Any]
    kind: str
    detail: Any = None

    def __call__(self, *given: Any) -> Any:
        return self.slow(*given)


Read = Callable[[Any, Facts], Value]
Write = Callable[[Value, Facts, Any], dict[str, Any]]  # value, facts, current values or None
Plain = tuple[Callable[[Any], Any], Get, Value]  # attribute getter, get, the value of an empty column
Keeps = Callable[[Any, Value, Facts], bool]  # does what stands there already mean this value?
Made = tuple[dict[str, Any], Plain | None, Read, Write]  # wires, and the ways to read and write


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    name: str
    column: str  # as the mapping names it
    wires: Mapping[str, Any]  # what to read, with types
    plain: Plain | None
    read: Read
    write: Write
    keeps: Keeps
    required: bool = False
    createable: bool = True
    updateable: bool = True
    filler: Filler | None = None
    template: str | None = None
    initial: Callable[[Facts, date | None], Value] | None = None  # what a new record has where there is no value
    length: int | None = None
    parts: tuple[str, ...] = ()  # several columns hold it together
    owner: bool = False
    choice: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where an end stands: everything its makers need."""

    document: Document
    field: FieldDoc
    side: Side
    column: str
    meta: ColumnLike | None
    description: DescriptionLike | None
    same: Same

    @property
    def system(self) -> str:
        return self.document.systems[self.side]

    @property
    def name(self) -> str:
        return self.field.name


def attribute(wire: str) -> Callable[[Any], Any]:
    return operator.attrgetter(attribute_name(wire))


def value_keeps(read: Read, same: Same) -> Keeps:
    def keeps(values: Any, wanted: Value, facts: Facts) -> bool:
        try:
            return same(read(values, facts), wanted)
        except (Refusal, Ignored):
            return False

    return keeps

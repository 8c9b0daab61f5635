"""What translation needs to know of a CRM's metadata: the shape of a connector's description, without importing it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from crmbridge.model import Entity, Side
from mapping.problem import closest, nearest


class OptionLike(Protocol):
    @property
    def value(self) -> str | int: ...
    @property
    def label(self) -> str: ...
    @property
    def state(self) -> str | None: ...
    @property
    def active(self) -> bool: ...
    @property
    def process(self) -> str | None: ...
    @property
    def process_name(self) -> str | None: ...


class ColumnLike(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def length(self) -> int | None: ...
    @property
    def scale(self) -> int | None: ...
    @property
    def required(self) -> bool: ...
    @property
    def createable(self) -> bool: ...
    @property
    def updateable(self) -> bool: ...
    @property
    def restricted(self) -> bool: ...
    @property
    def options(self) -> Sequence[OptionLike]: ...
    @property
    def targets(self) -> Sequence[str]: ...


class RecordTypeLike(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def active(self) -> bool: ...
    @property
    def available(self) -> bool: ...
    @property
    def offers(self) -> Mapping[str, Sequence[str]] | None: ...


class DescriptionLike(Protocol):
    @property
    def table(self) -> str: ...
    @property
    def columns(self) -> Mapping[str, ColumnLike]: ...
    @property
    def statuses(self) -> Sequence[OptionLike]: ...
    @property
    def record_types(self) -> Sequence[RecordTypeLike]: ...


Descriptions = Mapping[tuple[Side, Entity], DescriptionLike]


def a_field(kind: str) -> str:
    """`an integer field`."""
    return f"{'an' if kind[:1] in 'aeio' else 'a'} {kind} field"


def column_meant(word: object, columns: Mapping[str, ColumnLike]) -> str | None:
    """The API name whose spelling, or whose label, is nearest to the word."""
    labels = [(column.label, name) for name, column in columns.items() if column.label]
    return nearest(word, [*labels, *((name, name) for name in columns)])


def option_meant(word: object, options: Iterable[OptionLike]) -> str | None:
    """The label or the value in letters that is nearest to the word, of what may be chosen."""
    active = [one for one in options if one.active]
    values = [one.value for one in active if isinstance(one.value, str)]
    return closest(word, [*values, *(one.label for one in active)])


def record_type_meant(word: object, types: Iterable[RecordTypeLike]) -> str | None:
    """The developer name whose spelling, or whose label, is nearest to the word."""
    known = list(types)
    return nearest(word, [*((one.label, one.name) for one in known), *((one.name, one.name) for one in known)])

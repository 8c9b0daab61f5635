"""What a SOQL statement is made of, once it is read (salesforce-api §2.3); a node knows its place in the statement."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class FieldPath:
    """A field, or a field of a parent: `Owner.Email`; `at` is its place in the statement."""

    parts: tuple[str, ...]
    at: int

    def __str__(self) -> str:
        return ".".join(self.parts)


@dataclass(frozen=True, slots=True)
class DateLiteral:
    """`TODAY`, `LAST_N_DAYS:7`."""

    name: str
    count: int | None


@dataclass(frozen=True, slots=True)
class Value:
    """A literal: what it is and the Python value, so that a filter can tell a date from a text."""

    kind: Literal["string", "number", "datetime", "date", "boolean", "null", "relative", "money"]
    value: Any
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Function:
    """A call: `COUNT(Id)`, `CALENDAR_YEAR(convertTimezone(CreatedDate))`; the name in upper case."""

    name: str
    args: tuple["Expression | Value", ...]
    at: int

    @property
    def inner(self) -> "Expression | None":
        """The one field or call that it is about."""
        first = self.args[0] if self.args else None
        return None if isinstance(first, Value) else first

    def __str__(self) -> str:
        return f"{self.name}({', '.join(arg.raw if isinstance(arg, Value) else str(arg) for arg in self.args)})"


Expression = FieldPath | Function


@dataclass(frozen=True, slots=True)
class Selected:
    """One item between SELECT and FROM that is a field or a call."""

    expression: Expression
    alias: str | None

    @property
    def at(self) -> int:
        return self.expression.at


@dataclass(frozen=True, slots=True)
class Typeof:
    """`TYPEOF Owner WHEN User THEN Email WHEN Group THEN Name ELSE Id END`."""

    path: FieldPath
    whens: tuple[tuple[str, tuple[FieldPath, ...]], ...]
    otherwise: tuple[FieldPath, ...] | None

    @property
    def at(self) -> int:
        return self.path.at


@dataclass(frozen=True, slots=True)
class Compare:
    path: Expression
    operator: str  # = != < > <= >= LIKE INCLUDES EXCLUDES
    value: Any  # Value, or a tuple of them for INCLUDES and EXCLUDES


@dataclass(frozen=True, slots=True)
class InList:
    path: Expression
    values: tuple[Value, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class SemiJoin:
    path: Expression
    query: "Query"
    negated: bool


@dataclass(frozen=True, slots=True)
class Not:
    inner: "Condition"


@dataclass(frozen=True, slots=True)
class Every:
    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Some:
    parts: tuple["Condition", ...]


Condition = Compare | InList | SemiJoin | Not | Every | Some


@dataclass(frozen=True, slots=True)
class Ordering:
    path: Expression
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, slots=True)
class Source:
    """`Account a`; in a second place `a.Owner o`, a name for a parent; in a subquery a relationship."""

    parts: tuple[str, ...]
    alias: str | None
    at: int

    @property
    def name(self) -> str:
        return self.parts[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    text: str
    items: "tuple[Selected | Typeof | Query, ...]"
    sources: tuple[Source, ...]
    where: Condition | None = None
    group: tuple[Expression, ...] = ()
    having: Condition | None = None
    order: tuple[Ordering, ...] = ()
    limit: int | None = None
    offset: int = 0
    using: tuple[str, int] | None = None  # the scope's name and its place
    views: tuple[str, ...] = ()  # VIEW, REFERENCE
    all_rows: bool = False

    @property
    def source(self) -> str:
        return self.sources[0].name

    @property
    def source_at(self) -> int:
        return self.sources[0].at

    @property
    def alias(self) -> str | None:
        return self.sources[0].alias


def walk(condition: Condition | None) -> Iterator[tuple[Condition, tuple[Condition, ...]]]:
    """Every part of a condition with what it stands in, outermost first; without recursion."""
    waiting: list[tuple[Condition, tuple[Condition, ...]]] = [] if condition is None else [(condition, ())]
    while waiting:
        part, around = waiting.pop()
        yield part, around
        inner = part.parts if isinstance(part, Every | Some) else (part.inner,) if isinstance(part, Not) else ()
        waiting += [(each, (*around, part)) for each in reversed(inner)]

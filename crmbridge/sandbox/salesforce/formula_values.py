"""Formulas: their values, what they depend on, and what may be wrong with them (lifecycle §6, salesforce-api §5.1)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, DivisionByZero, InvalidOperation, Overflow
from typing import Any, Final

from lark import Tree

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.schema import NUMBER, Field

_EXPONENT_MAX: Final = 64
DIGITS_MAX: Final = 40  # a number that grows beyond is no value, as an error in Salesforce


class FormulaError(ValueError):
    """What is wrong with a formula, and at which character of it (from 1)."""

    def __init__(self, message: str, column: int = 1) -> None:
        super().__init__(message)
        self.column = column


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What a formula sees: the row as it would be saved, as it stood, and the world around it."""

    row: Row
    before: Row | None = None
    today: date
    find: Callable[[str, str], Row | None]  # object name and id: the row
    user: str = ""  # the running user's id


Evaluate = Callable[[Moment], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """A field of a parent that a formula reads."""

    object: str
    field: str
    path: tuple[tuple[str, str], ...]  # objects and their lookups, from the formula's own object on


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A compiled formula, with what its value depends on."""

    kind: str  # text, number, boolean, date, datetime, picklist, multipicklist, id, null
    evaluate: Evaluate
    reads: frozenset[str] = frozenset()  # the row's own fields
    through: frozenset["Reach"] = frozenset()  # fields of parents, and the way to them
    volatile: bool = False  # another value tomorrow, without any save
    of_save: bool = False  # asks what the save changes, so it makes no sense for a value that is kept


def wrong(node: Any, message: str) -> FormulaError:
    at = node.meta.start_pos if isinstance(node, Tree) and not node.meta.empty else 0
    return FormulaError(message, at + 1)


def kind_of(found: Field) -> str:
    if found.type in NUMBER or found.type == "int":
        return "number"
    if found.type in ("reference", "id"):
        return "id"
    return found.type if found.type in ("boolean", "date", "datetime", "picklist", "multipicklist") else "text"


def scaled(found: Field, get: Evaluate) -> Evaluate:
    """A percentage of 50 counts as 0.5 in a formula."""
    if found.type != "percent":
        return get
    return lambda at: None if (value := get(at)) is None else Decimal(value) / 100


# -- values --------------------------------------------------------------------------------------------------------


def same(one: Any, other: Any) -> bool:
    """Blank text and no value are the same thing."""
    return (None if one == "" else one) == (None if other == "" else other)


ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _power(base: Decimal, exponent: Decimal) -> Decimal:
    if abs(exponent) > _EXPONENT_MAX:
        raise Overflow
    return base**exponent


ARITHMETIC: Final[dict[str, Callable[[Decimal, Decimal], Decimal]]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "^": _power,
}


def computed(apply: Callable[[Decimal, Decimal], Decimal], one: Any, other: Any) -> Decimal | None:
    """A blank part, a division by zero, a number beyond all sense: no value."""
    if one is None or other is None:
        return None
    try:
        value = apply(Decimal(one), Decimal(other))
    except (DivisionByZero, InvalidOperation, Overflow):
        return None
    return value if value.is_finite() and abs(value.adjusted()) < DIGITS_MAX else None


def day_of(text: Any) -> date | None:
    return date.fromisoformat(text[:10]) if text else None


def days_between(one: Any, other: Any) -> Decimal | None:
    first, second = day_of(one), day_of(other)
    return Decimal((first - second).days) if first and second else None


def shifted(text: Any, days: Any, sign: int) -> str | None:
    day = day_of(text)
    if day is None or days is None:
        return None
    try:
        return (day + timedelta(days=sign * int(days))).isoformat()
    except OverflowError:
        return None


def logical(parts: list[Evaluate], *, any_of: bool) -> tuple[str, Evaluate]:
    if any_of:
        return "boolean", lambda at: any(part(at) for part in parts)
    return "boolean", lambda at: all(part(at) for part in parts)

"""The functions that formulas may call: each checks its arguments when the shape is loaded (lifecycle §6)."""

import re
from collections.abc import Callable
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, DivisionByZero, InvalidOperation, Overflow
from typing import Any, Final, Protocol

from crmbridge.sandbox.salesforce.formula_values import (
    DIGITS_MAX,
    Evaluate,
    Moment,
    day_of,
    kind_of,
    logical,
    same,
    scaled,
    wrong,
)
from crmbridge.sandbox.salesforce.schema import Field

_Made = tuple[str, Evaluate]  # what kind of value, and how it is found


class Compiler(Protocol):
    """What compiles a function's arguments, and takes down what the formula needs."""

    volatile: bool
    of_save: bool

    def compile(self, node: Any) -> tuple[str, Evaluate]: ...

    def of(self, node: Any, *kinds: str) -> Evaluate: ...

    def field(self, node: Any) -> tuple[Field, Evaluate]: ...


def _anything(compiler: Compiler, node: Any) -> Evaluate:
    return compiler.compile(node)[1]


def _is_blank(compiler: Compiler, arguments: list[Any]) -> _Made:
    if arguments[0].data == "path" and not str(arguments[0].children[0]).startswith("$"):
        name = str(arguments[0].children[0]).upper()
        if name not in ("TRUE", "FALSE", "NULL"):
            _, get = compiler.field(arguments[0])  # a blank number is blank here, even where it counts as zero
            return "boolean", lambda at: get(at) in (None, "")
    inner = _anything(compiler, arguments[0])
    return "boolean", lambda at: inner(at) in (None, "")


def _blank_value(compiler: Compiler, arguments: list[Any]) -> _Made:
    kind, other = compiler.compile(arguments[1])
    blank = _is_blank(compiler, arguments[:1])[1]
    one = compiler.of(arguments[0], kind)
    return kind, lambda at: other(at) if blank(at) else one(at)


def _is_pick(compiler: Compiler, arguments: list[Any]) -> _Made:
    found, get = compiler.field(arguments[0])
    if found.type != "picklist":
        raise wrong(arguments[0], f"ISPICKVAL needs a picklist field; {found.name} is {found.type}")
    value = compiler.of(arguments[1], "text")
    return "boolean", lambda at: (get(at) or "") == (value(at) or "")


def _includes(compiler: Compiler, arguments: list[Any]) -> _Made:
    found, get = compiler.field(arguments[0])
    if found.type != "multipicklist":
        raise wrong(arguments[0], f"INCLUDES needs a multi-select picklist; {found.name} is {found.type}")
    value = compiler.of(arguments[1], "text")
    return "boolean", lambda at: value(at) in (get(at) or "").split(";")


def _text(compiler: Compiler, arguments: list[Any]) -> _Made:
    kind, inner = compiler.compile(arguments[0])
    if kind == "multipicklist" or kind == "boolean":
        raise wrong(arguments[0], f"incorrect parameter type for TEXT: {kind}")
    return "text", lambda at: "" if (value := inner(at)) is None else _shown(value)


def _shown(value: Any) -> str:
    if isinstance(value, Decimal):
        text = format(value.normalize(), "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    return str(value)


def _if(compiler: Compiler, arguments: list[Any]) -> _Made:
    test = compiler.of(arguments[0], "boolean")
    (kind, then), (other_kind, otherwise) = compiler.compile(arguments[1]), compiler.compile(arguments[2])
    _alike(arguments[2], kind, other_kind, "IF")
    return (other_kind if kind == "null" else kind), lambda at: then(at) if test(at) else otherwise(at)


def _alike(node: Any, kind: str, other: str, name: str) -> None:
    kinds = {"text" if each == "id" else each for each in (kind, other)} - {"null"}
    if kinds & {"picklist", "multipicklist"}:
        raise wrong(node, "picklist fields are only supported in ISPICKVAL, CASE, TEXT, ISBLANK and the like")
    if len(kinds) > 1:
        raise wrong(node, f"incorrect parameter type for {name}: expected {kind}, found {other}")


def _case(compiler: Compiler, arguments: list[Any]) -> _Made:
    if len(arguments) % 2:
        raise wrong(arguments[-1], "CASE needs pairs of value and result, and a result for all others")
    _, subject = compiler.compile(arguments[0])
    pairs: list[tuple[Evaluate, Evaluate]] = []
    kind, otherwise = compiler.compile(arguments[-1])
    for value, result in zip(arguments[1:-1:2], arguments[2:-1:2], strict=True):
        result_kind, made = compiler.compile(result)
        _alike(result, kind, result_kind, "CASE")
        kind = result_kind if kind == "null" else kind
        pairs.append((_anything(compiler, value), made))

    def chosen(at: Moment) -> Any:
        actual = subject(at)
        result = next((result for value, result in pairs if same(actual, value(at))), otherwise)
        return result(at)

    return kind, chosen


def _is_changed(compiler: Compiler, arguments: list[Any]) -> _Made:
    compiler.of_save = True
    found = _own(compiler, arguments[0], "ISCHANGED")
    return "boolean", lambda at: at.before is not None and at.before.get(found.name) != at.row.get(found.name)


def _prior_value(compiler: Compiler, arguments: list[Any]) -> _Made:
    compiler.of_save = True
    found = _own(compiler, arguments[0], "PRIORVALUE")
    # of a new row the value itself, as in Salesforce
    return kind_of(found), scaled(found, lambda at: (at.row if at.before is None else at.before).get(found.name))


def _own(compiler: Compiler, node: Any, name: str) -> Field:
    found, _ = compiler.field(node)
    if "." in str(node.children[0]):
        raise wrong(node, f"{name} takes a field of the record itself")
    return found


def _is_new(compiler: Compiler, arguments: list[Any]) -> _Made:
    compiler.of_save = True
    return "boolean", lambda at: at.before is None


def _today(compiler: Compiler, arguments: list[Any]) -> _Made:
    compiler.volatile = True
    return "date", lambda at: at.today.isoformat()


def _text_test(test: Callable[[str, str], bool]) -> Callable[[Compiler, list[Any]], _Made]:
    def make(compiler: Compiler, arguments: list[Any]) -> _Made:
        one, other = compiler.of(arguments[0], "text"), compiler.of(arguments[1], "text")
        return "boolean", lambda at: test(one(at) or "", other(at) or "")

    return make


def _text_change(change: Callable[..., str | None], *kinds: str) -> Callable[[Compiler, list[Any]], _Made]:
    def make(compiler: Compiler, arguments: list[Any]) -> _Made:
        parts = [compiler.of(node, kind) for node, kind in zip(arguments, kinds, strict=True)]
        blanks = ["" if kind == "text" else Decimal(0) for kind in kinds]
        return "text", lambda at: change(*(part(at) or blank for part, blank in zip(parts, blanks, strict=True)))

    return make


def _number_change(change: Callable[..., Decimal]) -> Callable[[Compiler, list[Any]], _Made]:
    def make(compiler: Compiler, arguments: list[Any]) -> _Made:
        parts = [compiler.of(node, "number") for node in arguments]

        def value(at: Moment) -> Decimal | None:
            numbers = [part(at) for part in parts]
            if any(each is None for each in numbers):
                return None
            try:
                return change(*(Decimal(each) for each in numbers))
            except (DivisionByZero, InvalidOperation, Overflow):
                return None

        return "number", value

    return make


def _round(value: Decimal, places: Decimal) -> Decimal:
    if abs(places) > DIGITS_MAX:
        raise InvalidOperation
    return value.quantize(Decimal(1).scaleb(-int(places)), rounding=ROUND_HALF_UP)


def _floor(value: Decimal) -> Decimal:
    return (value // 1) - (1 if value < 0 and value % 1 else 0)


def _mod(value: Decimal, divisor: Decimal) -> Decimal:
    return value - divisor * _floor(value / divisor)


def _length(compiler: Compiler, arguments: list[Any]) -> _Made:
    inner = compiler.of(arguments[0], "text")
    return "number", lambda at: Decimal(len(inner(at) or ""))


def _value(compiler: Compiler, arguments: list[Any]) -> _Made:
    inner = compiler.of(arguments[0], "text")

    def read(at: Moment) -> Decimal | None:
        text = (inner(at) or "").strip()
        return Decimal(text) if re.fullmatch(r"[+-]?\d{1,18}(\.\d{1,18})?", text) else None

    return "number", read


def _part_of_date(part: Callable[[date], int]) -> Callable[[Compiler, list[Any]], _Made]:
    def make(compiler: Compiler, arguments: list[Any]) -> _Made:
        inner = compiler.of(arguments[0], "date")
        return "number", lambda at: Decimal(part(day)) if (day := day_of(inner(at))) else None

    return make


def _date(compiler: Compiler, arguments: list[Any]) -> _Made:
    parts = [compiler.of(node, "number") for node in arguments]

    def made(at: Moment) -> str | None:
        numbers = [part(at) for part in parts]
        try:
            return date(*(int(each) for each in numbers)).isoformat()
        except (TypeError, ValueError, OverflowError):
            return None

    return "date", made


def _date_value(compiler: Compiler, arguments: list[Any]) -> _Made:
    inner = compiler.of(arguments[0], "datetime", "date", "text")

    def made(at: Moment) -> str | None:
        try:
            return date.fromisoformat(str(inner(at))[:10]).isoformat()
        except ValueError:
            return None

    return "date", made


def _every(compiler: Compiler, arguments: list[Any]) -> _Made:
    return logical([compiler.of(node, "boolean") for node in arguments], any_of=False)


def _some(compiler: Compiler, arguments: list[Any]) -> _Made:
    return logical([compiler.of(node, "boolean") for node in arguments], any_of=True)


def _not(compiler: Compiler, arguments: list[Any]) -> _Made:
    inner = compiler.of(arguments[0], "boolean")
    return "boolean", lambda at: not inner(at)


def _cut(text: str, start: Decimal, count: Decimal) -> str:
    at = max(int(start), 1) - 1
    return text[at : at + max(int(count), 0)]


FUNCTIONS: Final[dict[str, tuple[int, int, Callable[[Compiler, list[Any]], _Made]]]] = {
    "AND": (1, 1000, _every),
    "OR": (1, 1000, _some),
    "NOT": (1, 1, _not),
    "IF": (3, 3, _if),
    "CASE": (4, 1000, _case),
    "ISBLANK": (1, 1, _is_blank),
    "ISNULL": (1, 1, _is_blank),
    "BLANKVALUE": (2, 2, _blank_value),
    "NULLVALUE": (2, 2, _blank_value),
    "ISPICKVAL": (2, 2, _is_pick),
    "INCLUDES": (2, 2, _includes),
    "TEXT": (1, 1, _text),
    "VALUE": (1, 1, _value),
    "ISCHANGED": (1, 1, _is_changed),
    "PRIORVALUE": (1, 1, _prior_value),
    "ISNEW": (0, 0, _is_new),
    "TODAY": (0, 0, _today),
    "DATE": (3, 3, _date),
    "DATEVALUE": (1, 1, _date_value),
    "YEAR": (1, 1, _part_of_date(lambda day: day.year)),
    "MONTH": (1, 1, _part_of_date(lambda day: day.month)),
    "DAY": (1, 1, _part_of_date(lambda day: day.day)),
    "LEN": (1, 1, _length),
    "CONTAINS": (2, 2, _text_test(lambda one, other: other in one)),
    "BEGINS": (2, 2, _text_test(lambda one, other: one.startswith(other))),
    "LEFT": (2, 2, _text_change(lambda text, count: text[: max(int(count), 0)], "text", "number")),
    "RIGHT": (2, 2, _text_change(lambda text, count: text[-int(count) :] if count >= 1 else "", "text", "number")),
    "MID": (3, 3, _text_change(_cut, "text", "number", "number")),
    "TRIM": (1, 1, _text_change(lambda text: text.strip(), "text")),
    "UPPER": (1, 1, _text_change(lambda text: text.upper(), "text")),
    "LOWER": (1, 1, _text_change(lambda text: text.lower(), "text")),
    "SUBSTITUTE": (3, 3, _text_change(lambda text, old, new: text.replace(old, new) if old else text, *["text"] * 3)),
    "ABS": (1, 1, _number_change(Decimal.copy_abs)),
    "ROUND": (2, 2, _number_change(_round)),
    "FLOOR": (1, 1, _number_change(_floor)),
    "CEILING": (1, 1, _number_change(lambda value: -_floor(-value))),
    "MOD": (2, 2, _number_change(_mod)),
    "MIN": (1, 1000, _number_change(lambda *values: min(values))),
    "MAX": (1, 1000, _number_change(lambda *values: max(values))),
}

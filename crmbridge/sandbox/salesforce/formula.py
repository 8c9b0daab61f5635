"""Formulas: the small, safe language of validation rules and formula fields (lifecycle §6, salesforce-api §5.1).

A text is parsed, checked against the object's fields and compiled to a function of a row, all when the shape is loaded;
whatever is not understood is a mistake of the shape, never of a request. Nothing of Python is reachable from a formula.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal, DivisionByZero, InvalidOperation, Overflow
from functools import cache
from pathlib import Path
from typing import Any, Final

from lark import Lark, Tree
from lark.exceptions import UnexpectedInput

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.schema import NUMBER, Field, Shape, SObject

FORMULA_LENGTH_MAX: Final = 3900  # characters, as in Salesforce's own editor (unverified)
HOPS_MAX: Final = 10  # lookups in one path
_TEXTS: Final = ("text", "id")
_EXPONENT_MAX: Final = 64
_DIGITS_MAX: Final = 40  # a number that grows beyond is no value, as an error in Salesforce


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


@dataclass(kw_only=True)
class _Compiler:
    shape: Shape
    sobject: SObject
    blank_is_zero: bool
    reads: set[str] = field(default_factory=set[str])
    through: set[Reach] = field(default_factory=set[Reach])
    volatile: bool = False
    of_save: bool = False

    def compile(self, node: Any) -> tuple[str, Evaluate]:
        match node.data:
            case "number":
                value = Decimal(str(node.children[0]))
                return "number", lambda _: value
            case "text":
                text = _unquoted(str(node.children[0]))
                return "text", lambda _: text
            case "path":
                return self._path(node)
            case "call":
                return self._call(node)
            case "any_of" | "all_of":
                return _logical([self.of(part, "boolean") for part in node.children], any_of=node.data == "any_of")
            case "negation":
                inner = self.of(node.children[0], "boolean")
                return "boolean", lambda at: not inner(at)
            case "signed":
                inner = self.of(node.children[1], "number")
                return "number", (lambda at: -value if (value := inner(at)) is not None else None) if str(
                    node.children[0]
                ) == "-" else inner
            case "comparison":
                return self._comparison(node)
            case _:
                return self._arithmetic(node)

    def of(self, node: Any, *kinds: str) -> Evaluate:
        """A part that must be of one of these kinds; blank fits everywhere."""
        kind, evaluate = self.compile(node)
        if kind in kinds or kind == "null" or (kind in _TEXTS and "text" in kinds):
            return evaluate
        if kind in ("picklist", "multipicklist"):
            raise _wrong(node, "picklist fields are only supported in ISPICKVAL, CASE, TEXT, ISBLANK and the like")
        raise _wrong(node, f"expected {' or '.join(kinds)}, found {kind}")

    # -- fields --------------------------------------------------------------------------------------------------

    def _path(self, node: Any) -> tuple[str, Evaluate]:
        parts = str(node.children[0]).split(".")
        first = parts[0].upper()
        if len(parts) == 1 and first in ("TRUE", "FALSE"):
            return "boolean", (lambda _: True) if first == "TRUE" else (lambda _: False)
        if len(parts) == 1 and first == "NULL":
            return "null", lambda _: None
        if first.startswith("$"):
            return self._global(node, first, parts)
        found, get = self.field(node)
        return _kind(found), self._blank(found, get)

    def _blank(self, found: Field, get: Evaluate) -> Evaluate:
        if found.type == "boolean":
            return lambda at: bool(get(at))
        if self.blank_is_zero and _kind(found) == "number":
            return lambda at: get(at) or Decimal(0)
        return get

    def field(self, node: Any) -> tuple[Field, Evaluate]:
        """The field that a path names, and how its value is reached."""
        if node.data != "path" or str(node.children[0]).startswith("$"):
            raise _wrong(node, "a field is expected")
        *hops, last = str(node.children[0]).split(".")
        sobject, lookups, path = self.sobject, list[tuple[str, str]](), list[tuple[str, str]]()
        if len(hops) > HOPS_MAX:
            raise _wrong(node, f"a path may follow at most {HOPS_MAX} lookups")
        for hop in hops:
            name, _, wanted = hop.partition(":")
            reference = sobject.relations.get(name.lower())
            targets = reference.reference_to if reference else ()
            chosen = wanted or next((each for each in ("User", *targets) if each in targets), "")
            target = self.shape.object(chosen) if chosen in targets else None
            if reference is None or target is None:
                raise _wrong(node, f"field {hop} does not exist on {sobject.name}; check spelling")
            if not lookups:
                self.reads.add(reference.name)
            path.append((sobject.name, reference.name))
            lookups.append((reference.name, target.name))
            sobject = target
        found = sobject.field(last)
        if found is None or found.type in ("address", "base64", "anyType"):
            raise _wrong(node, f"field {last} does not exist on {sobject.name} or cannot be used in a formula")
        name = found.name
        if not lookups:
            self.reads.add(name)
            return found, _scaled(found, lambda at: at.row.get(name))
        self.through.add(Reach(object=sobject.name, field=name, path=tuple(path)))
        return found, _scaled(found, lambda at: _follow(at, lookups).get(name))

    def _global(self, node: Any, first: str, parts: list[str]) -> tuple[str, Evaluate]:
        """`$User.…`, `$Profile.Name`, `$RecordType.DeveloperName`: who saves, and as what."""
        name = {"$USER": "User", "$PROFILE": "Profile", "$RECORDTYPE": "RecordType"}.get(first)
        sobject = self.shape.object(name) if name else None
        found = sobject.field(parts[1]) if sobject and len(parts) == 2 else None
        if found is None or name is None:
            raise _wrong(node, f"{'.'.join(parts)} is not known; known are fields of $User, $Profile and $RecordType")
        self.of_save = self.of_save or name != "RecordType"
        self.reads.add("RecordTypeId")
        key = found.name

        def get(at: Moment) -> Any:
            if name == "RecordType":
                return (at.find("RecordType", at.row.get("RecordTypeId") or "") or {}).get(key)
            user = at.find("User", at.user) or {}
            row = user if name == "User" else at.find("Profile", user.get("ProfileId") or "") or {}
            return row.get(key)

        return _kind(found), self._blank(found, get)

    # -- operators -----------------------------------------------------------------------------------------------

    def _comparison(self, node: Any) -> tuple[str, Evaluate]:
        left, operator, right = node.children
        (kind, one), (other_kind, other) = self.compile(left), self.compile(right)
        for part, each in ((left, kind), (right, other_kind)):
            if each in ("picklist", "multipicklist"):
                raise _wrong(part, "picklist fields are only supported in ISPICKVAL, CASE, TEXT, ISBLANK and the like")
        kinds = {"text" if each == "id" else each for each in (kind, other_kind)} - {"null"}
        if len(kinds) > 1:
            raise _wrong(node, f"incorrect types for operator '{operator}': {kind} and {other_kind}")
        match str(operator):
            case "=" | "==":
                return "boolean", lambda at: _same(one(at), other(at))
            case "<>" | "!=":
                return "boolean", lambda at: not _same(one(at), other(at))
            case order:
                if kinds & {"boolean"}:
                    raise _wrong(node, f"incorrect types for operator '{order}': {kind} and {other_kind}")
                test = _ORDERS[order]

                def ordered(at: Moment) -> bool:  # nothing is smaller or larger than a blank
                    a, b = one(at), other(at)
                    return a is not None and b is not None and test(a, b)

                return "boolean", ordered

    def _arithmetic(self, node: Any) -> tuple[str, Evaluate]:
        left, token, right = node.children
        operator = str(token)
        kind, one = self.compile(left)
        if operator == "&" or (operator == "+" and kind in _TEXTS):
            one, other = self.of(left, "text"), self.of(right, "text")
            return "text", lambda at: (one(at) or "") + (other(at) or "")
        if kind == "date" and operator in "+-":
            other_kind, other = self.compile(right)
            if other_kind == "date" and operator == "-":
                return "number", lambda at: _days(one(at), other(at))
            days = self.of(right, "number")
            sign = 1 if operator == "+" else -1
            return "date", lambda at: _shifted(one(at), days(at), sign)
        one, other = self.of(left, "number"), self.of(right, "number")
        apply = _ARITHMETIC[operator]
        return "number", lambda at: _computed(apply, one(at), other(at))

    # -- functions -----------------------------------------------------------------------------------------------

    def _call(self, node: Any) -> tuple[str, Evaluate]:
        name = str(node.children[0]).upper()
        arguments = [part for part in node.children[1:] if part is not None]
        known = _FUNCTIONS.get(name)
        if known is None:
            raise _wrong(node, f"function {node.children[0]} is not served here; served are {', '.join(_FUNCTIONS)}")
        least, most, make = known
        if not least <= len(arguments) <= most:
            wanted = f"{least}" if least == most else f"{least} or more" if most > 99 else f"{least} to {most}"
            raise _wrong(node, f"incorrect number of parameters for {name}: expected {wanted}, found {len(arguments)}")
        return make(self, arguments)


def compile_formula(shape: Shape, sobject: SObject, text: str, *, blank_is_zero: bool = False) -> Expression:
    """The formula as a function of a row; raises `FormulaError` where it makes no sense on this object."""
    if len(text) > FORMULA_LENGTH_MAX:
        raise FormulaError(f"a formula has at most {FORMULA_LENGTH_MAX} characters, this one {len(text)}")
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        column = error.pos_in_stream + 1 if error.pos_in_stream is not None else len(text)
        raise FormulaError("syntax error", column) from None
    compiler = _Compiler(shape=shape, sobject=sobject, blank_is_zero=blank_is_zero)
    try:
        kind, evaluate = compiler.compile(tree)
    except RecursionError:
        raise FormulaError("the formula is nested too deeply") from None
    return Expression(
        kind=kind,
        evaluate=evaluate,
        reads=frozenset(compiler.reads),
        through=frozenset(compiler.through),
        volatile=compiler.volatile,
        of_save=compiler.of_save,
    )


@cache
def _parser() -> Lark:
    grammar = (Path(__file__).parent / "formula.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", propagate_positions=True, maybe_placeholders=False)


def _wrong(node: Any, message: str) -> FormulaError:
    at = node.meta.start_pos if isinstance(node, Tree) and not node.meta.empty else 0
    return FormulaError(message, at + 1)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), text[1:-1])


def _kind(found: Field) -> str:
    if found.type in NUMBER or found.type == "int":
        return "number"
    if found.type in ("reference", "id"):
        return "id"
    return found.type if found.type in ("boolean", "date", "datetime", "picklist", "multipicklist") else "text"


def _scaled(found: Field, get: Evaluate) -> Evaluate:
    """A percentage of 50 counts as 0.5 in a formula."""
    if found.type != "percent":
        return get
    return lambda at: None if (value := get(at)) is None else Decimal(value) / 100


def _follow(at: Moment, lookups: list[tuple[str, str]]) -> Mapping[str, Any]:
    row: Row = at.row
    for reference, target in lookups:
        key = row.get(reference)
        parent = at.find(target, key) if key else None
        if parent is None:
            return {}
        row = parent
    return row


# -- values --------------------------------------------------------------------------------------------------------


def _same(one: Any, other: Any) -> bool:
    """Blank text and no value are the same thing."""
    return (None if one == "" else one) == (None if other == "" else other)


_ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _power(base: Decimal, exponent: Decimal) -> Decimal:
    if abs(exponent) > _EXPONENT_MAX:
        raise Overflow
    return base**exponent


_ARITHMETIC: Final[dict[str, Callable[[Decimal, Decimal], Decimal]]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "^": _power,
}


def _computed(apply: Callable[[Decimal, Decimal], Decimal], one: Any, other: Any) -> Decimal | None:
    """A blank part, a division by zero, a number beyond all sense: no value."""
    if one is None or other is None:
        return None
    try:
        value = apply(Decimal(one), Decimal(other))
    except (DivisionByZero, InvalidOperation, Overflow):
        return None
    return value if value.is_finite() and abs(value.adjusted()) < _DIGITS_MAX else None


def _day(text: Any) -> date | None:
    return date.fromisoformat(text[:10]) if text else None


def _days(one: Any, other: Any) -> Decimal | None:
    first, second = _day(one), _day(other)
    return Decimal((first - second).days) if first and second else None


def _shifted(text: Any, days: Any, sign: int) -> str | None:
    day = _day(text)
    if day is None or days is None:
        return None
    try:
        return (day + timedelta(days=sign * int(days))).isoformat()
    except OverflowError:
        return None


def _logical(parts: list[Evaluate], *, any_of: bool) -> tuple[str, Evaluate]:
    if any_of:
        return "boolean", lambda at: any(part(at) for part in parts)
    return "boolean", lambda at: all(part(at) for part in parts)


# -- the functions served ------------------------------------------------------------------------------------------

_Made = tuple[str, Evaluate]


def _anything(compiler: _Compiler, node: Any) -> Evaluate:
    return compiler.compile(node)[1]


def _is_blank(compiler: _Compiler, arguments: list[Any]) -> _Made:
    if arguments[0].data == "path" and not str(arguments[0].children[0]).startswith("$"):
        name = str(arguments[0].children[0]).upper()
        if name not in ("TRUE", "FALSE", "NULL"):
            _, get = compiler.field(arguments[0])  # a blank number is blank here, even where it counts as zero
            return "boolean", lambda at: get(at) in (None, "")
    inner = _anything(compiler, arguments[0])
    return "boolean", lambda at: inner(at) in (None, "")


def _blank_value(compiler: _Compiler, arguments: list[Any]) -> _Made:
    kind, other = compiler.compile(arguments[1])
    blank = _is_blank(compiler, arguments[:1])[1]
    one = compiler.of(arguments[0], kind)
    return kind, lambda at: other(at) if blank(at) else one(at)


def _is_pick(compiler: _Compiler, arguments: list[Any]) -> _Made:
    found, get = compiler.field(arguments[0])
    if found.type != "picklist":
        raise _wrong(arguments[0], f"ISPICKVAL needs a picklist field; {found.name} is {found.type}")
    value = compiler.of(arguments[1], "text")
    return "boolean", lambda at: (get(at) or "") == (value(at) or "")


def _includes(compiler: _Compiler, arguments: list[Any]) -> _Made:
    found, get = compiler.field(arguments[0])
    if found.type != "multipicklist":
        raise _wrong(arguments[0], f"INCLUDES needs a multi-select picklist; {found.name} is {found.type}")
    value = compiler.of(arguments[1], "text")
    return "boolean", lambda at: value(at) in (get(at) or "").split(";")


def _text(compiler: _Compiler, arguments: list[Any]) -> _Made:
    kind, inner = compiler.compile(arguments[0])
    if kind == "multipicklist" or kind == "boolean":
        raise _wrong(arguments[0], f"incorrect parameter type for TEXT: {kind}")
    return "text", lambda at: "" if (value := inner(at)) is None else _shown(value)


def _shown(value: Any) -> str:
    if isinstance(value, Decimal):
        text = format(value.normalize(), "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    return str(value)


def _if(compiler: _Compiler, arguments: list[Any]) -> _Made:
    test = compiler.of(arguments[0], "boolean")
    (kind, then), (other_kind, otherwise) = compiler.compile(arguments[1]), compiler.compile(arguments[2])
    _alike(arguments[2], kind, other_kind, "IF")
    return (other_kind if kind == "null" else kind), lambda at: then(at) if test(at) else otherwise(at)


def _alike(node: Any, kind: str, other: str, name: str) -> None:
    kinds = {"text" if each == "id" else each for each in (kind, other)} - {"null"}
    if kinds & {"picklist", "multipicklist"}:
        raise _wrong(node, "picklist fields are only supported in ISPICKVAL, CASE, TEXT, ISBLANK and the like")
    if len(kinds) > 1:
        raise _wrong(node, f"incorrect parameter type for {name}: expected {kind}, found {other}")


def _case(compiler: _Compiler, arguments: list[Any]) -> _Made:
    if len(arguments) % 2:
        raise _wrong(arguments[-1], "CASE needs pairs of value and result, and a result for all others")
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
        return (
            next((result(at) for value, result in pairs if _same(actual, value(at))), None)
            if any(_same(actual, value(at)) for value, _ in pairs)
            else otherwise(at)
        )

    return kind, chosen


def _is_changed(compiler: _Compiler, arguments: list[Any]) -> _Made:
    compiler.of_save = True
    found = _own(compiler, arguments[0], "ISCHANGED")
    return "boolean", lambda at: at.before is not None and at.before.get(found.name) != at.row.get(found.name)


def _prior_value(compiler: _Compiler, arguments: list[Any]) -> _Made:
    compiler.of_save = True
    found = _own(compiler, arguments[0], "PRIORVALUE")
    # of a new row the value itself, as in Salesforce
    return _kind(found), _scaled(found, lambda at: (at.row if at.before is None else at.before).get(found.name))


def _own(compiler: _Compiler, node: Any, name: str) -> Field:
    found, _ = compiler.field(node)
    if "." in str(node.children[0]):
        raise _wrong(node, f"{name} takes a field of the record itself")
    return found


def _is_new(compiler: _Compiler, arguments: list[Any]) -> _Made:
    compiler.of_save = True
    return "boolean", lambda at: at.before is None


def _today(compiler: _Compiler, arguments: list[Any]) -> _Made:
    compiler.volatile = True
    return "date", lambda at: at.today.isoformat()


def _text_test(test: Callable[[str, str], bool]) -> Callable[[_Compiler, list[Any]], _Made]:
    def make(compiler: _Compiler, arguments: list[Any]) -> _Made:
        one, other = compiler.of(arguments[0], "text"), compiler.of(arguments[1], "text")
        return "boolean", lambda at: test(one(at) or "", other(at) or "")

    return make


def _text_change(change: Callable[..., str | None], *kinds: str) -> Callable[[_Compiler, list[Any]], _Made]:
    def make(compiler: _Compiler, arguments: list[Any]) -> _Made:
        parts = [compiler.of(node, kind) for node, kind in zip(arguments, kinds, strict=True)]
        blanks = ["" if kind == "text" else Decimal(0) for kind in kinds]
        return "text", lambda at: change(*(part(at) or blank for part, blank in zip(parts, blanks, strict=True)))

    return make


def _number_change(change: Callable[..., Decimal]) -> Callable[[_Compiler, list[Any]], _Made]:
    def make(compiler: _Compiler, arguments: list[Any]) -> _Made:
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
    if abs(places) > _DIGITS_MAX:
        raise InvalidOperation
    return value.quantize(Decimal(1).scaleb(-int(places)), rounding=ROUND_HALF_UP)


def _floor(value: Decimal) -> Decimal:
    return (value // 1) - (1 if value < 0 and value % 1 else 0)


def _mod(value: Decimal, divisor: Decimal) -> Decimal:
    return value - divisor * _floor(value / divisor)


def _length(compiler: _Compiler, arguments: list[Any]) -> _Made:
    inner = compiler.of(arguments[0], "text")
    return "number", lambda at: Decimal(len(inner(at) or ""))


def _value(compiler: _Compiler, arguments: list[Any]) -> _Made:
    inner = compiler.of(arguments[0], "text")

    def read(at: Moment) -> Decimal | None:
        text = (inner(at) or "").strip()
        return Decimal(text) if re.fullmatch(r"[+-]?\d{1,18}(\.\d{1,18})?", text) else None

    return "number", read


def _part_of_date(part: Callable[[date], int]) -> Callable[[_Compiler, list[Any]], _Made]:
    def make(compiler: _Compiler, arguments: list[Any]) -> _Made:
        inner = compiler.of(arguments[0], "date")
        return "number", lambda at: Decimal(part(day)) if (day := _day(inner(at))) else None

    return make


def _date(compiler: _Compiler, arguments: list[Any]) -> _Made:
    parts = [compiler.of(node, "number") for node in arguments]

    def made(at: Moment) -> str | None:
        numbers = [part(at) for part in parts]
        try:
            return date(*(int(each) for each in numbers)).isoformat()
        except (TypeError, ValueError, OverflowError):
            return None

    return "date", made


def _date_value(compiler: _Compiler, arguments: list[Any]) -> _Made:
    inner = compiler.of(arguments[0], "datetime", "date", "text")

    def made(at: Moment) -> str | None:
        try:
            return date.fromisoformat(str(inner(at))[:10]).isoformat()
        except ValueError:
            return None

    return "date", made


def _every(compiler: _Compiler, arguments: list[Any]) -> _Made:
    return _logical([compiler.of(node, "boolean") for node in arguments], any_of=False)


def _some(compiler: _Compiler, arguments: list[Any]) -> _Made:
    return _logical([compiler.of(node, "boolean") for node in arguments], any_of=True)


def _not(compiler: _Compiler, arguments: list[Any]) -> _Made:
    inner = compiler.of(arguments[0], "boolean")
    return "boolean", lambda at: not inner(at)


def _cut(text: str, start: Decimal, count: Decimal) -> str:
    at = max(int(start), 1) - 1
    return text[at : at + max(int(count), 0)]


_FUNCTIONS: Final[dict[str, tuple[int, int, Callable[[_Compiler, list[Any]], _Made]]]] = {
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

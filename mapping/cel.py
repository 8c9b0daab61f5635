"""Expressions of the mapping in CEL, over the fields of a shared record: `source != "web" && amount > 1000`.

The library is Google's (extra `expr`). It types an expression when it is compiled, bounds what one may cost, and knows
neither Decimal nor our dates: an amount of money comes as the number of its amount and `<field>_currency`, a date as
ISO text, what is blank as null. No function of ours is registered in it: that leaks memory with each call.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from crmbridge.errors import ConfigError
from crmbridge.model import Money, Unlinked, Value
from mapping.cel_blanks import Blank, Failed, Outcome, outcomes
from mapping.cel_tree import Node, part, tree
from mapping.problem import closest

CURRENCY_SUFFIX: Final = "_currency"
LENGTH_MAX: Final = 2000
# Kinds that are no text. Numbers are not typed beforehand: `amount > 3` would be refused, since 3 is no decimal.
_NUMBERS: Final = frozenset({"number", "integer", "money"})
_SAMPLES: Final[Mapping[str, Any]] = {
    "number": 1.5,
    "money": 1.5,
    "integer": 2,
    "boolean": True,
    "date": "2026-01-31",
    "datetime": "2026-01-31T08:00:00Z",
}
# Words of the language itself: a field of that name cannot be asked, and may not stop others from being asked.
_TAKEN: Final = frozenset(
    "type bool int uint double string bytes list map null_type dyn true false null in as break const continue else for "
    "function if import let loop namespace package return var void while".split()
)
_ALWAYS_MEANT: Final = frozenset({"true", "false", "null", "in"})  # `x != null` asks no field called null
_LITERAL: Final = re.compile(r'"(?:\\.|[^"\\])*"' + r"|'(?:\\.|[^'\\])*'")
_IDENTIFIER: Final = re.compile(r"(?<![.\w])[a-z_]\w*")
_TOLD: Final = re.compile(r"ERROR: <input>:(\d+):(\d+): ([^\n]*)")
_OVERLOAD: Final = re.compile(r"found no matching overload for '(.+?)' applied to '\((.*)\)'")
_WORDS: Final[Mapping[str, str]] = {
    "string": "text",
    "int": "a whole number",
    "uint": "a whole number",
    "double": "a number with decimals",
    "bool": "yes/no",
    "null_type": "null",
    "timestamp": "an instant",
    "duration": "a duration",
    "dyn": "any value",
}


class ExpressionError(Exception):
    """An expression that cannot be used, known before any record is seen."""

    def __init__(self, message: str, *, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.suggestion = suggestion


class EvaluationError(Exception):
    """An expression that failed on a record. The message holds no value of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    text: str
    used: tuple[str, ...]  # names of fields, and of their currencies
    fields: frozenset[str]  # the same without currencies
    returns: str  # the library's name of the type, dyn where it cannot be known
    _program: Any

    def value(self, record: Mapping[str, Any]) -> Any:
        """None, bool, int, float, str, datetime or a list; raises EvaluationError."""
        return _run(self._program, {name: _plain(record, name) for name in self.used})

    def outcomes(self, kinds: Mapping[str, str], *, filled: Iterable[str] = ()) -> Iterator[Outcome]:
        """Whatever may come of it, by the fields that are blank; `filled`: names that are not."""

        def whose(name: str) -> str | None:
            if name not in self.used or kinds.get(name) == "boolean":  # a blank box is no
                return None
            return name if name in kinds else name.removesuffix(CURRENCY_SUFFIX)  # blank as its amount is

        solid = frozenset(field for name in filled if (field := whose(name)) is not None)
        return outcomes(tree(self._program.serialize()), whose, solid)

    def gives(self) -> str:
        """The kind of its result, in words."""
        return _type_words(self.returns)

    def check_condition(self) -> None:
        if self.returns not in ("BOOL", "DYN", "google.protobuf.BoolValue"):
            raise ExpressionError(f"gives {self.gives()}, not yes or no; compare it with something")
        if any(one.value == Blank("") and not one.blank for one in self.outcomes({}) if "null" in self.text):
            raise ExpressionError("may give null, which is neither yes nor no; write true or false instead")

    def holds(self, record: Mapping[str, Any]) -> bool:
        result = self.value(record)
        if not isinstance(result, bool):
            raise EvaluationError(f"gave {_name_of(result)}, not yes or no")
        return result


def predicate(text: str, names: Mapping[str, str] | Iterable[str]) -> Callable[[Mapping[str, Any]], bool]:
    """`names`: field names, with their kinds (`convert`) where these are known. The callable takes shared values and
    raises EvaluationError where the expression fails on them. Raises ExpressionError for what cannot be used."""
    expression = compile_expression(text, names)
    expression.check_condition()
    return expression.holds


def compile_expression(text: str, names: Mapping[str, str] | Iterable[str]) -> Expression:
    kinds = dict(names) if isinstance(names, Mapping) else dict.fromkeys(names, "any")
    kinds = {name: kind for name, kind in kinds.items() if name not in _TAKEN}
    known = {**kinds, **{f"{name}{CURRENCY_SUFFIX}": "text" for name, kind in kinds.items() if kind == "money"}}
    taken = (_TAKEN - _ALWAYS_MEANT).intersection(names)
    if len(text) > LENGTH_MAX:
        raise ExpressionError(f"is longer than {LENGTH_MAX} characters; what needs that much logic is a converter")
    _library()
    bare = _LITERAL.sub(lambda literal: '"' * len(literal[0]), text)
    for word in _IDENTIFIER.finditer(bare):
        if word[0] in taken and not bare[word.end() :].lstrip().startswith("("):  # string(…) is the language's own
            raise ExpressionError(
                f"{_where(text, word.start())}: {word[0]!r} is a word of the expressions themselves, so a field of "
                "that name cannot be asked; give the field another name in the mapping"
            )
    try:
        checked = _environment(tuple(sorted(known.items()))).compile(text)
        program = _run_environment(tuple(sorted(known))).compile(text)
    except RuntimeError as error:
        raise _explained(str(error), text, known) from None
    used = tuple(name for name in dict.fromkeys(_IDENTIFIER.findall(bare)) if name in known)
    fields = frozenset(n if n in kinds else n.removesuffix(CURRENCY_SUFFIX) for n in used)
    made = Expression(text=text, used=used, fields=fields, returns=checked.return_type().name(), _program=program)
    _try_out(made, known)
    return made


def blank_troubles(expression: Expression, kinds: Mapping[str, str]) -> list[str]:
    """Fields on which a condition fails where they are blank, alone or beside others."""
    found: list[str] = []
    while True:
        # A field that was found counts as filled from then on, so that it does not hide another one.
        stumbles = (_stumbles(one) for one in expression.outcomes(kinds, filled=found))
        name = next((name for name in stumbles if name is not None), None)
        if name is None:
            return sorted(found, key=expression.used.index)
        found.append(name)


def _stumbles(outcome: Outcome) -> str | None:
    match outcome.value:
        case Failed(name) | Blank(name):
            return name or min(outcome.blank, default=None)
        case _:
            return None


# --- the library --------------------------------------------------------------------------------------------------


def _library() -> Any:
    try:
        from cel_expr_python import cel
    except ImportError as error:
        raise ConfigError(
            "expressions (filter, compute, when) need a library that is not installed here.",
            fix="Install crmbridge with the extra expr: pip install 'crmbridge[expr]'. It does not exist for musl.",
            code="expr",
        ) from error
    return cel


@lru_cache(maxsize=64)
def _environment(names: tuple[tuple[str, str], ...]) -> Any:
    """For checking: each name has the type of its kind, and may be null."""
    cel = _library()
    text = cel.Type.AbstractType("google.protobuf.StringValue")
    yes_no = cel.Type.AbstractType("google.protobuf.BoolValue")
    types = {
        name: yes_no if kind == "boolean" else cel.Type.DYN if kind in _NUMBERS or kind == "any" else text
        for name, kind in names
    }
    return cel.NewEnv(variables=types)


@lru_cache(maxsize=64)
def _run_environment(names: tuple[str, ...]) -> Any:
    """For running: values are taken as they come, since a typed variable refuses null."""
    cel = _library()
    return cel.NewEnv(variables=dict.fromkeys(names, cel.Type.DYN))


def _run(program: Any, data: Mapping[str, Any]) -> Any:
    result = program.eval(data=data)
    if result.type().name() == "ERROR":  # errors are values in CEL
        raise EvaluationError(_failure(str(result.value())))
    return result.plain_value()


def _plain(record: Mapping[str, Any], name: str) -> Any:
    if name in record:
        return _native(record[name])
    money = record.get(name.removesuffix(CURRENCY_SUFFIX)) if name.endswith(CURRENCY_SUFFIX) else None
    return money.currency if isinstance(money, Money) else None


def _native(value: Value) -> Any:
    if isinstance(value, Money):
        return float(value.amount)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return value.id if isinstance(value, Unlinked) else value


# --- what went wrong, in words ------------------------------------------------------------------------------------


def _where(text: str, position: int) -> str:
    before = text[:position]
    column = position - before.rfind("\n")
    return f"line {before.count(chr(10)) + 1}, character {column}" if "\n" in text else f"character {column}"


def _explained(told: str, text: str, known: Mapping[str, str]) -> ExpressionError:
    found = _TOLD.search(told)
    if found is None:
        return ExpressionError("cannot be understood as an expression")
    line, column, what = int(found[1]), int(found[2]), found[3].split(" [")[0]
    where = f"character {column}" if "\n" not in text else f"line {line}, character {column}"
    name = re.match(r"undeclared reference to '([^']*)'", what)
    if name:
        called = re.search(rf"\b{re.escape(name[1])}\s*\(", text)
        if called:
            return ExpressionError(f"{where}: there is no function {name[1]!r}")
        return ExpressionError(
            f"{where}: there is no field {name[1]!r} here that an expression can use",
            suggestion=closest(name[1], known),
        )
    overload = _OVERLOAD.match(what)
    if overload:
        blank = "; write dyn(null) for the null" if overload[1] == "_?_:_" and "null_type" in overload[2] else ""
        return ExpressionError(f"{where}: {_misfit(overload[1], overload[2])}{blank}")
    if what.startswith("Syntax error"):
        if "<EOF>" in what:
            return ExpressionError(f"{where}: the expression ends too early")
        near = text.split("\n")[line - 1][max(column - 1, 0) :][:12]
        return ExpressionError(f"{where}: cannot be understood at {near!r}")
    return ExpressionError(f"{where}: {what}")


def _misfit(operator: str, types: str) -> str:
    words = " and ".join(_type_words(each.strip()) for each in types.split(",") if each.strip())
    sign = operator.strip("_").replace("_", " ").strip() or operator
    return f"`{sign}` does not go with {words}"


def _type_words(name: str) -> str:
    bare = re.sub(r"^wrapper\((.*)\)$", r"\1", name.strip())
    bare = {"google.protobuf.StringValue": "string", "google.protobuf.BoolValue": "bool"}.get(bare, bare)
    return _WORDS.get(bare.casefold(), bare)


def _name_of(result: Any) -> str:
    names = {bool: "yes/no", int: "a whole number", float: "a number", str: "text", type(None): "null"}
    return names.get(type(result), type(result).__name__)


def _failure(told: str) -> str:
    """Without the data: the library's messages name types, conversions may quote what they could not convert."""
    overload = re.search(r"No matching overloads found : (\S*?)\(([^)]*)\)", told)
    if overload:
        types = overload[2].replace("int64", "int")
        return _misfit(overload[1] or "the function", types)
    for sign, words in (
        ("divide by zero", "divides by zero"),
        ("modulus by zero", "divides by zero"),
        ("regular expression", "has a regular expression that is wrong"),
        ("conversion failed", "a value cannot be converted"),
        ("No matching overloads", "a value is of another kind than the expression expects"),
        ("overflow", "a number is too large"),
    ):
        if sign in told:
            return words
    return "it could not be worked out"


def _sample(kind: str) -> Any:
    return _SAMPLES.get(kind, "text")


def _try_out(expression: Expression, known: Mapping[str, str]) -> None:
    """Numbers and constants are not typed beforehand, so what cannot go together is found by evaluation: of the whole,
    and of each part that the whole may leave out."""
    if any(known[name] == "any" for name in expression.used):
        return
    samples = {name: _sample(known[name]) for name in expression.used}
    serialized = expression._program.serialize()  # pyright: ignore[reportPrivateUsage]
    environment = _run_environment(tuple(sorted(known)))
    for node in _left_out(tree(serialized)):
        try:
            _run(environment.deserialize(part(serialized, node)), samples)
        except EvaluationError as error:
            message = str(error)
            if "does not go with" in message or "regular expression" in message:
                decimals = "a number with decimals" in message and "a whole number" in message
                hint = "; write whole numbers with a point, e.g. 2.0" if decimals else ""
                raise ExpressionError(message + hint) from None


def _left_out(node: Node) -> Iterator[Node]:
    """The whole, and what stands beside `&&` and `||` and behind `?` in it. A loop's variable has no sample."""
    yield node
    if node.word in ("_&&_", "_||_", "_?_:_", "!_"):
        for each in node.parts:
            yield from _left_out(each)

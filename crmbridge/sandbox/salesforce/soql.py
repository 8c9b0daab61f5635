"""SOQL texts as trees: grammar, nodes, and errors in Salesforce's words (salesforce-api §2.3, §2.4)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final, Literal

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken, VisitError

from crmbridge.sandbox.salesforce.errors import SfError, refuse

STATEMENT_LENGTH_MAX: Final = 100_000
_ESCAPES: Final = {"'": "'", '"': '"', "\\": "\\", "n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
# Words of SOQL that the grammar leaves out; FROM Lead USING SCOPE reads `USING` as an alias and stops at the next word.
_NOT_HERE: Final = frozenset({"HAVING", "SCOPE", "SECURITY_ENFORCED", "USER_MODE", "DATA", "UPDATE", "ROWS"})
_CONTEXT: Final = 60  # characters of the statement shown on each side of the spot


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
class Compare:
    path: FieldPath
    operator: str  # = != < > <= >= LIKE INCLUDES EXCLUDES
    value: Any  # Value, or a tuple of them for INCLUDES and EXCLUDES


@dataclass(frozen=True, slots=True)
class InList:
    path: FieldPath
    values: tuple[Value, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class SemiJoin:
    path: FieldPath
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
class Function:
    name: str
    path: FieldPath | None
    alias: str | None
    at: int


@dataclass(frozen=True, slots=True)
class Ordering:
    path: FieldPath
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    text: str
    items: tuple["FieldPath | Function | Query", ...]
    source: str
    source_at: int
    alias: str | None = None
    where: Condition | None = None
    group: tuple[FieldPath, ...] = ()
    order: tuple[Ordering, ...] = ()
    limit: int | None = None
    offset: int = 0


def at_spot(text: str, at: int, message: str, code: str) -> SfError:
    """§2.4: a newline, the text around the spot, a caret line, row and column, then the sentence."""
    row = text.count("\n", 0, at) + 1
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    line, column = text[start : end if end >= 0 else len(text)], at - start
    cut = max(0, column - _CONTEXT)
    shown, caret = line[cut : column + _CONTEXT], " " * (column - cut) + "^"
    return refuse(code, f"\n{shown}\n{caret}\nERROR at Row:{row}:Column:{column + 1}\n{message}")


def malformed(text: str, at: int, message: str) -> SfError:
    return at_spot(text, at, message, "MALFORMED_QUERY")


def unquote(text: str, *, like: bool = False) -> str:
    """A string literal's value; in LIKE the escapes of % and _ stay for the pattern (§2.3)."""

    def escape(found: re.Match[str]) -> str:
        char = found.group(1)
        if char[0] == "u":
            return chr(int(char[1:], 16))
        if char in ("%", "_") and like:
            return f"\\{char}"
        if char not in _ESCAPES:
            raise ValueError(char)
        return "\\\\" if like and char == "\\" else _ESCAPES[char]

    return re.sub(r"\\(u[0-9A-Fa-f]{4}|.)", escape, text[1:-1], flags=re.DOTALL)


@v_args(inline=True)
class _Build(Transformer[Token, Any]):
    """Lark's tree as our nodes; `children` below are positional, absent optional parts are None."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def start(self, query: Query) -> Query:
        return query

    def condition_only(self, condition: Condition) -> Condition:
        return condition

    def path(self, *names: Token) -> FieldPath:
        return FieldPath(tuple(str(name) for name in names), names[0].start_pos or 0)

    def field(self, path: FieldPath) -> FieldPath:
        return path

    def call(self, name: Token, path: FieldPath | None, alias: Token | None) -> Function:
        return Function(str(name).upper(), path, str(alias) if alias else None, name.start_pos or 0)

    def children(self, query: Query) -> Query:
        return query

    def typeof(self, token: Token) -> None:
        raise malformed(self._text, token.start_pos or 0, "This sandbox does not serve TYPEOF; a real org does.")

    def items(self, *items: Any) -> tuple[Any, ...]:
        return items

    def where(self, _: Token, condition: Condition) -> tuple[str, Any]:
        return "where", condition

    def all_of(self, *parts: Any) -> Every:
        return Every(tuple(part for part in parts if not isinstance(part, Token)))

    def any_of(self, *parts: Any) -> Some:
        return Some(tuple(part for part in parts if not isinstance(part, Token)))

    def negation(self, _: Token, inner: Condition) -> Not:
        return Not(inner)

    def group_of(self, inner: Condition) -> Condition:
        return inner

    def compare(self, path: FieldPath, operator: Token, value: Value) -> Compare:
        return Compare(path, "!=" if operator == "<>" else str(operator), value)

    def like(self, path: FieldPath, _: Token, pattern: Token) -> Compare:
        return Compare(path, "LIKE", Value("string", self._string(pattern, like=True)))

    def is_in(self, path: FieldPath, _: Token, choice: Any) -> InList | SemiJoin:
        return self._membership(path, choice, negated=False)

    def not_in(self, path: FieldPath, _not: Token, _in: Token, choice: Any) -> InList | SemiJoin:
        return self._membership(path, choice, negated=True)

    def _membership(self, path: FieldPath, choice: Any, *, negated: bool) -> InList | SemiJoin:
        return SemiJoin(path, choice, negated) if isinstance(choice, Query) else InList(path, choice, negated)

    def semi_join(self, query: Query) -> Query:
        return query

    def includes(self, path: FieldPath, _: Token, values: tuple[Value, ...]) -> Compare:
        return Compare(path, "INCLUDES", values)

    def excludes(self, path: FieldPath, _: Token, values: tuple[Value, ...]) -> Compare:
        return Compare(path, "EXCLUDES", values)

    def literals(self, *values: Value) -> tuple[Value, ...]:
        return values

    def literal(self, token: Token) -> Value:
        match token.type:
            case "STRING":
                return Value("string", self._string(token), str(token))
            case "NUMBER":
                return Value("number", Decimal(token), str(token))
            case "TRUE" | "FALSE":
                return Value("boolean", token.type == "TRUE", str(token))
            case "NULL":
                return Value("null", None, str(token))
            case "DATETIME":
                return Value("datetime", str(token), str(token))
            case "DATE":
                return Value("date", str(token), str(token))
            case _:
                return Value("money", str(token), str(token))

    def date_literal(self, name: Token, count: Token | None) -> Value:
        raw = str(name) if count is None else f"{name}:{count}"
        return Value("relative", DateLiteral(str(name).upper(), None if count is None else int(count)), raw)

    def _string(self, token: Token, *, like: bool = False) -> str:
        try:
            return unquote(str(token), like=like)
        except ValueError as error:
            raise malformed(self._text, token.start_pos or 0, f"Illegal string escape: \\{error}") from None

    def group(self, _group: Token, _by: Token, *paths: FieldPath) -> tuple[str, Any]:
        return "group", paths

    def order(self, _order: Token, _by: Token, *orderings: Ordering) -> tuple[str, Any]:
        return "order", orderings

    def ordering(self, path: FieldPath, direction: Token | None, *nulls: Token | None) -> Ordering:
        last = any(token is not None and token.type == "LAST" for token in nulls)
        return Ordering(path, direction is not None and direction.type == "DESC", last)

    def limit(self, _: Token, count: Token) -> tuple[str, Any]:
        return "limit", int(Decimal(count))

    def offset(self, _: Token, count: Token) -> tuple[str, Any]:
        return "offset", int(Decimal(count))

    def view(self, *_: Token) -> tuple[str, Any]:
        return "view", None

    def query(
        self, _s: Token, items: Any, _f: Token, source: Token, alias: Token | None, *clauses: tuple[str, Any]
    ) -> Query:
        given = {name: value for name, value in clauses if name != "view"}
        found = Query(text=self._text, items=items, source=str(source), source_at=source.start_pos or 0, **given)
        if alias is None:
            return found
        return Query(
            text=self._text, items=items, source=str(source), source_at=source.start_pos or 0, alias=str(alias), **given
        )


@cache
def _parser() -> Lark:
    grammar = Path(__file__).with_name("soql.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", start=["start", "condition_only"], maybe_placeholders=True)


def _parse(text: str, start: str) -> Any:
    if len(text) > STATEMENT_LENGTH_MAX:
        raise refuse("MALFORMED_QUERY", f"SOQL statements can't be longer than {STATEMENT_LENGTH_MAX:,} characters.")
    try:
        tree = _parser().parse(text, start=start)
        return _Build(text).transform(tree)
    except UnexpectedEOF:
        raise malformed(text, len(text), "unexpected token: <EOF>") from None
    except UnexpectedToken as error:
        end = error.token.type == "$END"
        if str(error.token).upper() in _NOT_HERE:
            message = f"This sandbox does not serve {str(error.token).upper()}; a real org does."
            raise malformed(text, error.token.start_pos or 0, message) from None
        at = len(text) if end else error.token.start_pos or 0
        raise malformed(text, at, f"unexpected token: '{'<EOF>' if end else error.token}'") from None
    except UnexpectedCharacters as error:
        at = error.pos_in_stream or 0
        raise malformed(text, at, f"unexpected token: '{text[at]}'") from None
    except UnexpectedInput:
        raise malformed(text, 0, "unexpected token") from None
    except VisitError as error:
        if isinstance(error.orig_exc, SfError):
            raise error.orig_exc from None
        raise


@lru_cache(maxsize=512)
def parse(text: str) -> Query:
    """The statement as a tree; MALFORMED_QUERY where it is none."""
    return _parse(text, "start")


@lru_cache(maxsize=512)
def parse_condition(text: str) -> Condition:
    """What may stand after WHERE, alone: the language of the shape's rules."""
    return _parse(text, "condition_only")


def walk(condition: Condition | None) -> Sequence[Condition]:
    """The condition with all its parts."""
    match condition:
        case None:
            return []
        case Every(parts) | Some(parts):
            return [condition, *(inner for part in parts for inner in walk(part))]
        case Not(inner):
            return [condition, *walk(inner)]
        case _:
            return [condition]

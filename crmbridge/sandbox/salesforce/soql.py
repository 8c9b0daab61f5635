"""SOQL texts as trees: the grammar read, and errors in Salesforce's words (salesforce-api §2.3, §2.4)."""

import re
from decimal import Decimal
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

from lark import Lark, Token, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken, VisitError
from lark.visitors import Transformer_NonRecursive

from crmbridge.sandbox.salesforce.errors import SfError, refuse
from crmbridge.sandbox.salesforce.soql_tree import (
    Compare,
    Condition,
    DateLiteral,
    Every,
    Expression,
    FieldPath,
    Function,
    InList,
    Not,
    Ordering,
    Query,
    Selected,
    SemiJoin,
    Some,
    Source,
    Typeof,
    Value,
    walk,
)

STATEMENT_LENGTH_MAX: Final = 100_000
STRING_LENGTH_MAX: Final = 4000  # a string literal of a WHERE (§2.3)
NESTING_MAX: Final = 50  # conditions within conditions; where a real org stops is (unverified)
_ESCAPES: Final = {"'": "'", '"': '"', "\\": "\\", "n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_CONTEXT: Final = 60  # characters of the statement shown on each side of the spot


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


def too_complicated() -> SfError:
    """§2.3: an over-complex statement; its words are (unverified)."""
    message = "Query is either selecting too many fields or the filter conditions are too complicated."
    return refuse("QUERY_TOO_COMPLICATED", message)


def unquote(text: str, *, like: bool = False) -> str:
    """A string literal's value; in LIKE the escapes of % and _ stay for the pattern (§2.3)."""

    def escape(found: re.Match[str]) -> str:
        char = found.group(1)
        if char[0] == "u" and len(char) > 1:
            return chr(int(char[1:], 16))
        if char in ("%", "_") and like:
            return f"\\{char}"
        if char not in _ESCAPES:
            raise ValueError(char)
        return "\\\\" if like and char == "\\" else _ESCAPES[char]

    return re.sub(r"\\(u[0-9A-Fa-f]{4}|.)", escape, text[1:-1], flags=re.DOTALL)


@v_args(inline=True)
class _Build(Transformer_NonRecursive[Token, Any]):
    """Lark's tree as our nodes; absent optional parts are None."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def start(self, query: Query) -> Query:
        return query

    def condition_only(self, condition: Condition) -> Condition:
        return condition

    # -- names and calls -----------------------------------------------------------------------------------------

    def path(self, *names: Token) -> FieldPath:
        return FieldPath(tuple(str(name) for name in names), names[0].start_pos or 0)

    def call(self, name: Token, *args: Any) -> Function:
        given = tuple(arg for arg in args if arg is not None)
        return Function(str(name).upper(), given, name.start_pos or 0)

    def source(self, *tokens: Token | None) -> Source:
        *names, word, alias = tokens
        if word is not None and alias is None:
            raise malformed(self._text, word.start_pos or 0, "unexpected token: 'AS'")
        first = names[0]
        assert first is not None, "a source has a name"
        return Source(tuple(str(name) for name in names), str(alias) if alias else None, first.start_pos or 0)

    def using(self, _using: Token, _scope: Token, name: Token) -> tuple[str, Any]:
        return "using", (str(name), name.start_pos or 0)

    # -- SELECT --------------------------------------------------------------------------------------------------

    def items(self, *items: Any) -> tuple[Any, ...]:
        return items

    def selected(self, expression: Expression, alias: Token | None) -> Selected:
        return Selected(expression, str(alias) if alias else None)

    def children(self, query: Query) -> Query:
        return query

    def fields(self, *paths: FieldPath) -> tuple[FieldPath, ...]:
        return paths

    def when(self, _when: Token, name: Token, _then: Token, fields: tuple[FieldPath, ...]) -> Any:
        return str(name), fields

    def typeof(self, _typeof: Token, path: FieldPath, *rest: Any) -> Typeof:
        *whens, _else, otherwise, _end = rest
        return Typeof(path, tuple(whens), otherwise)

    # -- conditions ----------------------------------------------------------------------------------------------

    def where(self, _: Token, condition: Condition) -> tuple[str, Any]:
        return "where", condition

    def having(self, _: Token, condition: Condition) -> tuple[str, Any]:
        return "having", condition

    def all_of(self, *parts: Any) -> Every:
        return Every(tuple(part for part in parts if not isinstance(part, Token)))

    def any_of(self, *parts: Any) -> Some:
        return Some(tuple(part for part in parts if not isinstance(part, Token)))

    def negation(self, _: Token, inner: Condition) -> Not:
        return Not(inner)

    def group_of(self, inner: Condition) -> Condition:
        return inner

    def compare(self, path: Expression, operator: Token, value: Value) -> Compare:
        return Compare(path, "!=" if operator == "<>" else str(operator), value)

    def like(self, path: Expression, _: Token, pattern: Value) -> Compare:
        raw = pattern.raw
        return Compare(path, "LIKE", Value("string", self._string(raw, path.at, like=True), raw))

    def is_in(self, path: Expression, _: Token, choice: Any) -> InList | SemiJoin:
        return self._membership(path, choice, negated=False)

    def not_in(self, path: Expression, _not: Token, _in: Token, choice: Any) -> InList | SemiJoin:
        return self._membership(path, choice, negated=True)

    def _membership(self, path: Expression, choice: Any, *, negated: bool) -> InList | SemiJoin:
        return SemiJoin(path, choice, negated) if isinstance(choice, Query) else InList(path, choice, negated)

    def semi_join(self, query: Query) -> Query:
        return query

    def includes(self, path: Expression, _: Token, values: tuple[Value, ...]) -> Compare:
        return Compare(path, "INCLUDES", values)

    def excludes(self, path: Expression, _: Token, values: tuple[Value, ...]) -> Compare:
        return Compare(path, "EXCLUDES", values)

    def literals(self, *values: Value) -> tuple[Value, ...]:
        return values

    def literal(self, token: Token) -> Value:
        raw = str(token)
        match token.type:
            case "STRING":
                # Of a LIKE pattern only the escapes differ; it is read again with its operator.
                like = raw.replace("\\%", "").replace("\\_", "") != raw
                return Value("string", self._string(raw, token.start_pos or 0, like=like), raw)
            case "NUMBER":
                return Value("number", Decimal(token), raw)
            case "TRUE" | "FALSE":
                return Value("boolean", token.type == "TRUE", raw)
            case "NULL":
                return Value("null", None, raw)
            case "DATETIME":
                return Value("datetime", raw, raw)
            case "DATE":
                return Value("date", raw, raw)
            case _:
                return Value("money", (raw[:3], Decimal(raw[3:])), raw)

    def date_literal(self, name: Token, count: Token | None) -> Value:
        raw = str(name) if count is None else f"{name}:{count}"
        if count is not None and not str(count).isdigit():
            raise malformed(self._text, count.start_pos or 0, f"unexpected token: '{count}'")
        return Value("relative", DateLiteral(str(name).upper(), None if count is None else int(count)), raw)

    def bind(self, path: FieldPath) -> Value:
        raise malformed(self._text, path.at, "Bind variables only allowed in Apex code")

    def _string(self, raw: str, at: int, *, like: bool = False) -> str:
        try:
            text = unquote(raw, like=like)
        except ValueError as error:
            raise malformed(self._text, at, f"Illegal string escape: \\{error}") from None
        if len(text) > STRING_LENGTH_MAX:  # §2.3; the words are (unverified)
            raise malformed(self._text, at, f"String literals can't be longer than {STRING_LENGTH_MAX:,} characters.")
        return text

    # -- the clauses behind --------------------------------------------------------------------------------------

    def with_(self, _: Token, *names: Token) -> tuple[str, Any]:
        """§2.3: what enforces or ignores the user's access belongs to Apex; data categories belong to articles."""
        first = str(names[0]).upper()
        if first in ("SECURITY_ENFORCED", "USER_MODE", "SYSTEM_MODE"):
            raise malformed(self._text, names[0].start_pos or 0, f"{first} not allowed in this context")
        raise malformed(self._text, names[0].start_pos or 0, f"unexpected token: '{names[0]}'")

    def group(self, _group: Token, _by: Token, *paths: Expression) -> tuple[str, Any]:
        return "group", paths

    def order(self, _order: Token, _by: Token, *orderings: Ordering) -> tuple[str, Any]:
        return "order", orderings

    def ordering(self, path: Expression, direction: Token | None, *nulls: Token | None) -> Ordering:
        last = any(token is not None and token.type == "LAST" for token in nulls)
        return Ordering(path, direction is not None and direction.type == "DESC", last)

    def limit(self, _: Token, count: Token) -> tuple[str, Any]:
        return "limit", self._count(count)

    def offset(self, _: Token, count: Token) -> tuple[str, Any]:
        return "offset", self._count(count)

    def _count(self, token: Token) -> int:
        if not str(token).isdigit():
            raise malformed(self._text, token.start_pos or 0, f"unexpected token: '{token}'")
        return int(token)

    def view(self, _: Token, kind: Token) -> tuple[str, Any]:
        return "views", kind.type

    def for_update(self, _: Token, update: Token) -> tuple[str, Any]:
        """§2.3: locking is for Apex alone; the words are those of the other Apex clauses (unverified)."""
        raise malformed(self._text, update.start_pos or 0, "FOR UPDATE not allowed in this context")

    def tracking(self, update: Token, kind: Token) -> tuple[str, Any]:
        """§2.3: counts of articles, which this org has not; (unverified) in its words."""
        raise malformed(self._text, update.start_pos or 0, f"UPDATE {kind.type} not allowed in this context")

    def all_rows(self, *_: Token) -> tuple[str, Any]:
        return "all_rows", True

    def query(self, _select: Token, items: Any, _from: Token, *rest: Any) -> Query:
        clauses = [part for part in rest if isinstance(part, tuple)]
        sources = tuple(part for part in rest if isinstance(part, Source))
        given = {name: value for name, value in clauses if name != "views"}
        views = tuple(value for name, value in clauses if name == "views")
        return Query(text=self._text, items=items, sources=sources, views=views, **given)


@cache
def _parser() -> Lark:
    grammar = Path(__file__).with_name("soql.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", start=["start", "condition_only"], maybe_placeholders=True)


def _parse(text: str, start: str) -> Any:
    if len(text) > STATEMENT_LENGTH_MAX:  # §2.3
        raise refuse("MALFORMED_QUERY", f"SOQL statements cannot be longer than {STATEMENT_LENGTH_MAX} characters.")
    try:
        tree = _parser().parse(text, start=start)
        return _Build(text).transform(tree)
    except UnexpectedEOF:
        raise malformed(text, len(text), "unexpected token: '<EOF>'") from None
    except UnexpectedToken as error:
        end = error.token.type == "$END"
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


def _shallow(condition: Condition | None) -> None:
    if any(len(around) > NESTING_MAX for _, around in walk(condition)):
        raise too_complicated()


@lru_cache(maxsize=512)
def parse(text: str) -> Query:
    """The statement as a tree; MALFORMED_QUERY where it is none."""
    query: Query = _parse(text, "start")
    waiting = [query]
    while waiting:
        each = waiting.pop()
        _shallow(each.where)
        _shallow(each.having)
        waiting += [item for item in each.items if isinstance(item, Query)]
        waiting += [part.query for part, _ in walk(each.where) if isinstance(part, SemiJoin)]
    return query


@lru_cache(maxsize=512)
def parse_condition(text: str) -> Condition:
    """What may stand after WHERE, alone: the language of the shape's rules."""
    condition: Condition = _parse(text, "condition_only")
    _shallow(condition)
    return condition

"""A SOSL statement read: what is looked for, in which fields, and what is to be shown of what is found.

The sheet does not describe it; this is SOSL as its reference has it, without WITH clauses, and each word of a text is
matched as it stands: no stems, synonyms or spelling (unverified how a real org breaks texts into words).

Errors have the shapes of salesforce-api §9.1.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import translate
from typing import Final

from crmbridge.sandbox.salesforce.errors import SfError, not_served, refuse

RESULTS_MAX: Final = 2000
SCOPES: Final = ("ALL", "NAME", "EMAIL", "PHONE", "SIDEBAR")
_HEAD: Final = re.compile(r"\s*FIND\s*\{((?:\\.|[^}\\])*)\}", re.IGNORECASE | re.DOTALL)
_SCOPE: Final = re.compile(r"\s+IN\s+(\w+)\s+FIELDS\b", re.IGNORECASE)
_RETURNING: Final = re.compile(r"\s+RETURNING\s+", re.IGNORECASE)
_LIMIT: Final = re.compile(r"\s*\bLIMIT\s+(\d{1,9})\s*", re.IGNORECASE)
_NAME: Final = re.compile(r"\s*(\w+)\s*")
_BRACKETS: Final = re.compile(r"'(?:\\.|[^'\\])*'|[()]")
_TOKEN: Final = re.compile(r'"((?:\\.|[^"\\])*)"|([()])|((?:\\.|[^\s()"\\])+)')
_WORD: Final = re.compile(r"[^\W_]+(?:['.@_-][^\W_]+)*")

Matcher = Callable[[list[str]], bool]  # of the words of one text, in lower case


@dataclass(frozen=True, slots=True, kw_only=True)
class Returning:
    """One object of RETURNING; `rest` is what stands behind the fields, as in SOQL."""

    name: str
    fields: str
    rest: str

    @property
    def soql(self) -> str:
        return f"SELECT {self.fields or 'Id'} FROM {self.name} {self.rest}".rstrip()  # noqa: S608 - it is parsed here


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    term: str
    scope: str = "ALL"
    returning: tuple[Returning, ...] = ()  # none: the ids of all objects that can be searched
    limit: int = RESULTS_MAX


def malformed(message: str) -> SfError:
    return refuse("MALFORMED_SEARCH", message)  # code and texts (unverified)


def parse(text: str) -> Search:
    head = _HEAD.match(text)
    if head is None:
        raise malformed("No search term found. The search term must be enclosed in braces.")
    at, scope = head.end(), "ALL"
    if found := _SCOPE.match(text, at):
        at, scope = found.end(), found[1].upper()
        if scope not in SCOPES:
            raise malformed(f"unexpected token: {found[1]}")  # (unverified), as below
    returning: list[Returning] = []
    if found := _RETURNING.match(text, at):
        at = found.end()
        while True:
            one, at = _one(text, at)
            returning.append(one)
            if at >= len(text) or text[at] != ",":
                break
            at += 1
    limit = RESULTS_MAX
    if found := _LIMIT.match(text, at):
        at, limit = found.end(), min(int(found[1]), RESULTS_MAX)
    rest = text[at:].strip()
    if re.match(r"(WITH|UPDATE|USING)\b", rest, re.IGNORECASE):
        raise not_served(f"the clause {rest.split()[0].upper()} of a search")
    if rest:
        raise malformed(f"unexpected token: {rest.split()[0]}")
    return Search(term=head[1], scope=scope, returning=tuple(returning), limit=limit)


def _one(text: str, at: int) -> tuple[Returning, int]:
    """An object, perhaps with parentheses that hold fields and clauses; and the place behind it and its blanks."""
    found = _NAME.match(text, at)
    if found is None:
        raise malformed("unexpected token: <EOF>" if at >= len(text) else f"unexpected token: {text[at]}")
    name, at = found[1], found.end()
    if text[at : at + 1] != "(":
        return Returning(name=name, fields="", rest=""), at
    end = _closing(text, at)
    inside = text[at + 1 : end]
    clause = re.search(r"(?:^|\s)(?:WHERE|ORDER\s+BY|LIMIT|OFFSET|USING)\b", inside, re.IGNORECASE)
    fields, rest = (inside, "") if clause is None else (inside[: clause.start()], inside[clause.start() :].strip())
    after = len(text) - len(text[end + 1 :].lstrip())
    return Returning(name=name, fields=fields.strip(), rest=rest), after


def _closing(text: str, at: int) -> int:
    """Where the parenthesis that opens at `at` closes; texts in quotes hold what they like."""
    depth = 0
    for found in _BRACKETS.finditer(text, at):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth == 0:
            return found.start()
    raise malformed("unexpected token: <EOF>")


def matcher(term: str) -> Matcher:
    """AND, OR, AND NOT, parentheses, "phrases", * and ?; words side by side must all be there."""
    tokens = [_token(found) for found in _TOKEN.finditer(term)]
    letters = re.sub(r"\\(.)|[*?\s\"()]", r"\1", term)
    if len(letters) < 2:
        raise malformed(f"search term must be longer than one character: {term}")
    if re.sub(r"\\.", "", term).count('"') % 2:
        raise malformed('unexpected token: "')  # (unverified), as below
    reader = _Reader(iter([*tokens, ("end", "")]))
    try:
        found = reader.either()
    except RecursionError:
        raise malformed("The search term is nested too deep.") from None
    if reader.kind != "end":
        raise malformed(f"unexpected token: {reader.value}")
    return found


def _token(found: re.Match[str]) -> tuple[str, str]:
    if found[1] is not None:
        return "phrase", found[1]
    if found[2] is not None:
        return found[2], found[2]
    return (found[3].upper(), found[3]) if found[3].upper() in ("AND", "OR", "NOT") else ("word", found[3])


class _Reader:
    def __init__(self, tokens: Iterator[tuple[str, str]]) -> None:
        self._tokens = tokens
        self.kind, self.value = next(tokens)

    def _next(self) -> str:
        value = self.value
        self.kind, self.value = next(self._tokens)
        return value

    def _close(self) -> None:
        if self.kind != ")":
            raise malformed("unexpected token: <EOF>")
        self._next()

    def either(self) -> Matcher:
        parts = [self._both()]
        while self.kind == "OR":
            self._next()
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else lambda words: any(part(words) for part in parts)

    def _both(self) -> Matcher:
        parts = [self._part()]
        while self.kind in ("AND", "NOT", "word", "phrase", "("):
            if self.kind == "AND":
                self._next()
            parts.append(self._part())
        return parts[0] if len(parts) == 1 else lambda words: all(part(words) for part in parts)

    def _part(self) -> Matcher:
        if self.kind == "NOT":
            self._next()
            inner = self._part()
            return lambda words: not inner(words)
        if self.kind == "(":
            self._next()
            inner = self.either()
            self._close()
            return inner
        if self.kind not in ("word", "phrase"):
            raise malformed(f"unexpected token: {self.value or '<EOF>'}")
        return _phrase(self._next())


def _phrase(text: str) -> Matcher:
    """Words that follow each other; a word may have wildcards."""
    wanted = [re.compile(translate(part), re.DOTALL) for part in _patterns(text)]

    def found(words: list[str]) -> bool:
        starts = range(len(words) - len(wanted) + 1)
        return any(all(each.match(words[at + n]) for n, each in enumerate(wanted)) for at in starts)

    return found


def _patterns(text: str) -> list[str]:
    """As `fnmatch` reads them: a wildcard that was escaped stands for itself, and a bracket always does."""
    literal = re.sub(r"\\(.)", lambda each: f"[{each[1]}]" if each[1] in "*?" else each[1], text.replace("[", ""))
    return [part.lower() for part in literal.split()]


def words(text: str) -> list[str]:
    """A text's words as they stand, and the parts of those that hold dots, hyphens or an at sign."""
    found: list[str] = []
    for word in _WORD.findall(text.lower()):
        found.append(word)
        if not word.isalnum():
            found += re.findall(r"[^\W_]+", word)
    return found

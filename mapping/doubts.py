"""What can be used and is probably not meant, above all an expression that asks for what its field never is.

`crmbridge check` tells these beside `mapping.check`. All are warnings, so none stops a mapping from being used.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from crmbridge.errors import ConfigError
from crmbridge.model import SIDES, Entity
from mapping.cel import CURRENCY_SUFFIX, ExpressionError, blank_troubles, compile_expression
from mapping.countries import country_code
from mapping.derived import names_for_expressions
from mapping.described import Descriptions
from mapping.document import Document, ValueRow
from mapping.literals import is_textual
from mapping.people import fold_email, is_group, people
from mapping.problem import Finding, Path, closest
from mapping.vocabulary import fold

# The objects and tables that crmbridge moves. A mapping names its own for the reader; no other is ever asked.
OBJECTS: Final[Mapping[str, Mapping[Entity, str]]] = {
    "salesforce": {"account": "Account", "contact": "Contact", "lead": "Lead", "opportunity": "Opportunity"},
    "dynamics": {"account": "account", "contact": "contact", "lead": "lead", "opportunity": "opportunity"},
}
_STATES: Final[Mapping[Entity, tuple[str, ...]]] = {
    "lead": ("open", "converted", "disqualified"),
    "opportunity": ("open", "won", "lost"),
}
_NUMBERS: Final = frozenset({"number", "integer", "money"})
_ROWS_MAX: Final = 12  # so many are listed

_TEXT: Final = r"(?P<text>\"[^\"\\]*\"|'[^'\\]*')"
_NAME: Final = r"(?<![\w.\"'])(?P<name>[a-z_]\w*)"
_SIGN: Final = r"\s*(?P<sign>[=!<>]=|[<>])\s*"
# `name == "text"`, `"text" == name` and `name in ["text", …]`.
_COMPARED: Final = (re.compile(_NAME + _SIGN + _TEXT), re.compile(_TEXT + _SIGN + _NAME + r"(?!\w)"))
_LISTED: Final = re.compile(_NAME + r"\s+in\s+\[(?P<list>[^\]\[]*)\]")
_MORE: Final = frozenset("+-*/.[(")  # what stands beside such a sign is only a part of what is compared
_ANY_TEXT: Final = re.compile(_TEXT)
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_BEGINNING: Final = re.compile(r"\d{4}(-\d\d){0,2}(T\d\d(:\d\d){0,2}Z?)?")  # enough for `<` and `>`
_SLOT: Final = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Never:
    """A field is compared with what it never is. `instead`: what was probably meant, if that can be told."""

    field: str
    text: str
    why: str
    instead: str | None = None
    otherwise: str = ""

    @property
    def message(self) -> str:
        return f"{self.field} is never {self.text!r}: {self.why}"


def doubts(document: Document, descriptions: Descriptions | None = None) -> list[Finding]:
    """Warnings. Without descriptions only what the file alone tells."""
    return [
        *_objects(document),
        *_expressions(document),
        *_blanks(document),
        *_one_sided(document),
        *_texts_for_new_records(document, descriptions or {}),
    ]


def nevers(document: Document, expression: str) -> Iterator[Never]:
    """The comparisons of an expression over this mapping's records whose outcome no record changes."""
    kinds = names_for_expressions(document, axes=True)
    for name, sign, text in _comparisons(expression):
        never = _never(document, kinds, name, sign, text)
        if never is not None:
            yield never


def _comparisons(expression: str) -> Iterator[tuple[str, str, str]]:
    for pattern in _COMPARED:
        for found in pattern.finditer(expression):
            before, behind = expression[: found.start()].rstrip()[-1:], expression[found.end() :].lstrip()[:1]
            if before not in _MORE - {"(", "["} and behind not in _MORE:
                yield found["name"], found["sign"], found["text"][1:-1]
    for found in _LISTED.finditer(expression):
        for each in _ANY_TEXT.finditer(found["list"]):
            yield found["name"], "==", each["text"][1:-1]


def _never(document: Document, kinds: Mapping[str, str], name: str, sign: str, text: str) -> Never | None:
    exactly = sign in ("==", "!=")
    kind = kinds.get(name)
    if kind is None:
        amount = name.removesuffix(CURRENCY_SUFFIX)
        if kinds.get(amount) != "money" or amount == name or re.fullmatch(r"[A-Z]{3}", text):
            return None
        return _is_never(name, text, "a currency is its code", meant=text.upper() if len(text) == 3 else None)
    if name in ("state", "status") and document.axis is None:
        return _is_never(name, text, f"only leads and opportunities have one, no {document.entity}", do="take it out")
    if name == "state":
        return _one_of(name, text, dict.fromkeys(_STATES.get(document.entity, ()), ()), "a state is one of")
    if name == "status":
        return _one_of(name, text, _rows(document.status), f"rows of `{document.axis}:` are")
    if kind == "choice":
        table = document.values.get(document.fields[name].values or "")
        if table is None or table.unmapped == "pass":
            return None
        return _one_of(name, text, _rows(table.rows), f"rows of values.{table.name} are")
    if kind == "country":
        code = country_code(text)
        return None if code in (None, text) else _is_never(name, text, "a country is its two-letter code", meant=code)
    if kind in _NUMBERS:
        return _is_never(name, text, "a number stands without quotes", do=f"write {name} {sign} {text}")
    if kind in ("date", "datetime"):
        wanted = _BEGINNING if not exactly else _DAY if kind == "date" else _INSTANT
        example = "2026-12-31" if kind == "date" else "2026-12-31T08:00:00Z"
        return None if wanted.fullmatch(text) else _is_never(name, text, f"a {kind} is a text such as {example}")
    return _person(document, name, text) if kind == "user" else None


def _rows(rows: Iterable[ValueRow]) -> Mapping[str, Iterable[object]]:
    """Each row's name, with the words that the two systems have for it."""
    return {row.name: [word for words in row.natives.values() for word in words] for row in rows}


def _one_of(name: str, text: str, words: Mapping[str, Iterable[object]], what: str) -> Never | None:
    if not words or text in words:
        return None
    named = next((row for row, native in words.items() if fold(text) in {fold(word) for word in native}), None)
    known = list(words)
    more = ", …" if len(known) > _ROWS_MAX else ""
    why = f"{what} {', '.join(known[:_ROWS_MAX])}{more}"
    return _is_never(name, text, why, meant=named or closest(text, known), do="write one of them")


def _person(document: Document, name: str, text: str) -> Never | None:
    known = people(document, document.fields[name])
    meant = known.rows.get(text) or fold_email(text)
    meant = known.shared["left"].get(meant, known.shared["right"].get(meant, meant))
    if "@" not in meant and not is_group(meant):
        return _is_never(name, text, "a person is an e-mail address")
    if meant == text:
        return None
    return _is_never(name, text, "a person is the e-mail address of the left side, in small letters", meant=meant)


def _is_never(name: str, text: str, why: str, *, meant: str | None = None, do: str = "write it so") -> Never:
    return Never(field=name, text=text, why=why, instead=meant, otherwise=do)


# --- where expressions stand --------------------------------------------------------------------------------------


def _expressions(document: Document) -> Iterator[Finding]:
    for path, text in _texts(document.source.data):
        for never in nevers(document, text):
            yield document.source.finding(
                path,
                never.message,
                code="value-never",
                suggestion=never.instead,
                otherwise=never.otherwise,
                warning=True,
            )


def _blanks(document: Document) -> Iterator[Finding]:
    """Gates and record types whose expression fails on a blank; of the filter `mapping.check` tells it."""
    names = names_for_expressions(document, axes=True)
    for path, text in _texts(document.source.data):
        if path[0] not in ("gates", "record_type"):
            continue
        try:
            expression = compile_expression(text, names)
        except (ExpressionError, ConfigError):
            continue  # an error that the check tells
        for name in blank_troubles(expression, names):
            yield document.source.finding(
                path,
                f"fails where {name} is blank, and then the record is held; say what a blank means, "
                f"e.g. `{name} != null && …`",
                code="expression-blank",
                warning=True,
            )


def _one_sided(document: Document) -> Iterator[Finding]:
    """A filter that leaves out all records of a side, since they have no such field."""
    names = names_for_expressions(document, axes=True)
    try:
        expression = compile_expression(document.filter or "true", names)
    except (ExpressionError, ConfigError):
        return  # an error that the check tells
    for name in expression.fields & document.fields.keys():
        for side in SIDES:
            if side in document.fields[name].columns or not document.fields[name].columns:
                continue
            if any(one.value is True for one in expression.outcomes(names) if name in one.blank):
                continue  # it says what becomes of records without it
            there = document.names[side]
            yield document.source.finding(
                ("filter",),
                f"{name} has no column in {there}, so it is blank in all records of {there}, and none of them fits; "
                f"give it a column there, or let the filter say `{name} == null || …`",
                code="filter-one-sided",
                warning=True,
            )


def _texts(data: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """All expressions of a file, with their places."""
    yield from _said(("filter",), data.get("filter"))
    for name, body in _parts(data.get("fields")):
        yield from _said(("fields", name, "compute"), body.get("compute"))
    for row, body in _parts(data.get("gates")):
        yield from _said(("gates", row, "when"), body.get("when"))
    for name, body in _parts(data.get("record_type")):
        choices: list[Any] = body["when"] if isinstance(body.get("when"), list) else []
        for number, choice in enumerate(choices):
            yield from _said(("record_type", name, "when", number, "if"), choice.get("if"))


def _said(path: Path, value: object) -> Iterator[tuple[Path, str]]:
    """One text, or one per side."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        yield from (((*path, str(side)), text) for side, text in value.items() if isinstance(text, str))


def _parts(section: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(section, Mapping):
        yield from ((str(name), body) for name, body in section.items() if isinstance(body, Mapping))


# --- objects, and texts for new records ---------------------------------------------------------------------------


def _objects(document: Document) -> Iterator[Finding]:
    for side in SIDES:
        own, named = OBJECTS[document.systems[side]][document.entity], document.tables[side]
        if named != own:
            key = "object" if document.systems[side] == "salesforce" else "table"
            yield document.source.finding(
                (document.names[side], key),
                f"{named!r} is not asked: {document.entity} records are those of {own}, and no other object is moved",
                code="object-not-asked",
                suggestion=own,
                warning=True,
            )


def _texts_for_new_records(document: Document, descriptions: Descriptions) -> Iterator[Finding]:
    for doc in document.fields.values():
        for side, text in doc.create.items() if is_textual(doc.convert) else ():
            path: Path = ("fields", doc.name, "create")
            if isinstance(document.source.data["fields"][doc.name].get("create"), Mapping):
                path = (*path, document.names[side])
            rest = _SLOT.sub("", str(text))
            if "{" in rest or "}" in rest:
                yield document.source.finding(
                    path,
                    "has a bracket without its partner, which is written as it stands; write the name of a field "
                    "between { and }",
                    code="slot-open",
                    warning=True,
                )
            description = descriptions.get((side, document.entity))
            column = description.columns.get(doc.columns[side].column) if description and side in doc.columns else None
            if column is not None and column.length is not None and len(rest) > column.length:
                yield document.source.finding(
                    path,
                    f"has {len(rest)} characters, and {column.name} takes {column.length}; shorten it, else each "
                    "record without a value is held",
                    code="create-too-long",
                    warning=True,
                )

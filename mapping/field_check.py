"""What is wrong with columns in a list, with values that the mapping gives itself, with people and with expressions."""

from collections.abc import Iterator, Mapping
from typing import Final

from crmbridge.errors import ConfigError
from crmbridge.model import SIDES, Side
from mapping.cel import Expression, ExpressionError, blank_troubles, compile_expression
from mapping.derived import is_computable, names_for_expressions
from mapping.document import Document, FieldDoc
from mapping.joints import JOINTS
from mapping.laws import lossy_hint
from mapping.literals import WrongLiteral, constant, initial, is_textual
from mapping.people import GROUP_KINDS, is_group
from mapping.problem import Finding, Path, closest, quoted
from mapping.transforms import CONVERTERS

# Keys that mean nothing for a field that the mapping makes.
_NOT_DERIVED: Final = ("rule", "required", "restrictive", "lossy", "filler", "create", "link", "default", "inactive")
_NAME_PARTS: Final = (2, 3)
CORRECT_IT: Final = "correct the expression there"


def field_findings(document: Document, doc: FieldDoc) -> Iterator[Finding]:
    yield from _converter(document, doc)
    yield from _parts(document, doc)
    yield from _create(document, doc)
    yield from _people(document, doc)
    if doc.currency is not None and not (doc.compute and doc.convert == "money"):
        message = "is for a computed amount (`convert: money` with `compute:`); take it out"
        yield document.source.finding(("fields", doc.name, "currency"), message, code="currency-misplaced", key=True)
    if doc.is_derived:
        yield from _derived(document, doc)


def document_findings(document: Document) -> Iterator[Finding]:
    if document.filter is not None:
        yield from _filter(document, document.filter)
    for n, key in enumerate(document.match):
        for m, name in enumerate(key):
            if name in document.fields and document.fields[name].is_derived:
                yield document.source.finding(
                    ("match", n, m),
                    f"{name!r} is made here, so it recognises nobody; take it out",
                    code="match-derived",
                )


def _converter(document: Document, doc: FieldDoc) -> Iterator[Finding]:
    if doc.convert in CONVERTERS and not CONVERTERS.built_in(doc.convert):
        try:
            CONVERTERS[doc.convert]
        except ConfigError as error:
            yield document.source.finding(
                ("fields", doc.name, "convert"), f"{error.message}; {error.fix}", code="converter-broken"
            )


# --- several columns ----------------------------------------------------------------------------------------------


def _parts(document: Document, doc: FieldDoc) -> Iterator[Finding]:
    path: Path = ("fields", doc.name)
    source = document.source
    lists: dict[Side, tuple[str, ...]] = {side: choice.parts for side, choice in doc.columns.items() if choice.parts}
    if not lists:
        if doc.join is not None:
            yield source.finding(
                (*path, "join"), "is for a list of columns, such as `[address1_line1, address1_line2]`; take it out",
                code="join-without-list",
            )  # fmt: skip
        return
    if doc.join is None and doc.convert not in JOINTS:
        yield source.finding(
            path,
            "a list of columns needs `convert: lines`, `convert: person_name`, or `join:` with what stands between",
            code="list-without-join",
            key=True,
        )
    elif doc.join is not None and doc.convert != "text":
        yield source.finding(
            (*path, "join"),
            f"does not go with `convert: {doc.convert}`; take one of the two out",
            code="join-and-convert",
        )
    if doc.fillers:
        yield source.finding((*path, "filler"), "is for one column; take it out", code="filler-and-list", key=True)
    for side, parts in lists.items():
        name = document.names[side]
        for n, column in enumerate(parts):
            if column in parts[:n]:
                message = f"{column} stands in this list already; name it once"
                yield source.finding((*path, name, n), message, code="list-column-twice")
        if doc.convert == "person_name" and len(parts) not in _NAME_PARTS:
            message = f"a name has two or three columns: first, (middle,) last; found {len(parts)}"
            yield source.finding((*path, name), message, code="name-parts")
    yield from _name_loss(document, doc, lists)


def _name_loss(document: Document, doc: FieldDoc, lists: Mapping[Side, object]) -> Iterator[Finding]:
    whole: list[Side] = [side for side in doc.columns if side not in lists]
    if doc.convert == "person_name" and lists and whole and whole[0] not in doc.lossy:
        name = document.names[whole[0]]
        yield document.source.finding(
            ("fields", doc.name),
            f"{name} has the name in one column, so which of its words are the last name is guessed when it is edited "
            f"there; if that is good enough, add `{lossy_hint(doc.lossy, name, document.names)}` to this line",
            code="name-loss-undeclared",
            key=True,
        )


# --- values that stand in the mapping -----------------------------------------------------------------------------


def _at(document: Document, doc: FieldDoc, key: str, side: Side) -> Path:
    """Where a value for this side stands: alone, or under the side's name."""
    path: Path = ("fields", doc.name, key)
    under = (*path, document.names[side])
    return under if under in document.source.values else path


def _create(document: Document, doc: FieldDoc) -> Iterator[Finding]:
    for side, given in doc.create.items():
        if is_textual(doc.convert) and isinstance(given, str) and "{" in given:
            continue  # filled in for each record
        if doc.convert == "choice" and doc.values not in document.values:
            continue  # the missing table is told
        try:
            initial(document, doc, side, given)
        except WrongLiteral as wrong:
            yield document.source.finding(
                _at(document, doc, "create", side), wrong.message, suggestion=wrong.suggestion, code="create-misfit"
            )


def _derived(document: Document, doc: FieldDoc) -> Iterator[Finding]:
    path, source = ("fields", doc.name), document.source
    if doc.constant and doc.compute:
        yield source.finding((*path, "compute"), "is computed or constant, not both; take one out", code="made-twice")
    for key in _NOT_DERIVED:
        if (*path, key) in source.keys:
            yield source.finding(
                (*path, key),
                "means nothing for a field that is made here; take it out",
                code="made-and-ruled",
                key=True,
            )
    made: set[Side] = {*doc.constant, *doc.compute}
    for side in SIDES:
        name = document.names[side]
        if side in made and side not in doc.columns:
            key = "constant" if side in doc.constant else "compute"
            yield source.finding(
                _at(document, doc, key, side),
                "the field has no column there; give it one, or take this out",
                code="made-without-column",
            )
        elif side in doc.columns and side not in made:
            yield source.finding(
                (*path, name),
                f"nothing says what is written to {name}; a field that is made never crosses: take this column out, "
                "or map it in a line of its own",
                code="made-one-sided",
                key=True,
            )
    for side, given in doc.constant.items():
        try:
            constant(document, doc, side, given)
        except WrongLiteral as wrong:
            yield source.finding(
                _at(document, doc, "constant", side), wrong.message, suggestion=wrong.suggestion, code="constant-misfit"
            )
    yield from _currency(document, doc)
    for side, text in doc.compute.items():
        yield from _computed(document, doc, _at(document, doc, "compute", side), text)


def _currency(document: Document, doc: FieldDoc) -> Iterator[Finding]:
    """A computed amount has a currency, and all that the mapping makes on one record have the same."""
    path, source = ("fields", doc.name), document.source
    if not doc.compute or doc.convert != "money":
        return
    amounts = [one.name for one in document.fields.values() if one.convert == "money" and not one.is_derived]
    like = f", or the name of the field whose currency it has: {', '.join(amounts)}" if amounts else ""
    if doc.currency is None:
        yield source.finding(
            (*path, "compute"),
            f"a computed amount needs its currency; add `currency:` with its code, such as EUR{like}",
            code="currency-missing",
        )
    elif not doc.currency.isupper() and doc.currency not in amounts:
        yield source.finding(
            (*path, "currency"),
            f"{doc.currency!r} is no field with an amount; write a code such as EUR{like}",
            suggestion=closest(doc.currency, amounts),
            code="currency-unknown",
        )
    elif doc.currency.isupper():
        codes = {one.currency for one in document.fields.values() if one.compute and one.convert == "money"}
        others = sorted(code for code in codes if code and code.isupper() and code != doc.currency)
        if others:
            yield source.finding(
                (*path, "currency"),
                f"a record has one currency, and another line computes an amount in {', '.join(others)}; keep one",
                code="currency-several",
            )


# --- expressions --------------------------------------------------------------------------------------------------


def _computed(document: Document, doc: FieldDoc, path: Path, text: str) -> Iterator[Finding]:
    if not is_computable(doc.convert):
        message = f"a field that is {doc.convert!r} cannot be computed; use another `convert`, or take this out"
        yield document.source.finding(path, message, code="compute-misfit")
        return
    try:
        expression = compile_expression(text, names_for_expressions(document, axes=False))
    except (ExpressionError, ConfigError) as error:
        yield _expression_finding(document, path, error)
        return
    yes_no, numeric = doc.convert == "boolean", doc.convert in ("number", "integer", "money")
    gives = expression.returns
    wanted = ("BOOL", "google.protobuf.BoolValue") if yes_no else ("INT", "UINT", "DOUBLE") if numeric else None
    dated = doc.convert in ("date", "datetime")
    textual = ("STRING", "google.protobuf.StringValue", *(("TIMESTAMP",) if dated else ()))
    if gives not in ("DYN", "NULL", *(wanted or textual)):
        yield document.source.finding(
            path,
            f"gives {expression.gives()}, which does not fit a field that is {doc.convert!r}; change one of the two"
            + ("; `string(…)` makes a text" if wanted is None else ""),
            code="compute-misfit",
        )


def _filter(document: Document, text: str) -> Iterator[Finding]:
    names = names_for_expressions(document, axes=True)
    try:
        expression = compile_expression(text, names)
        expression.check_condition()
    except (ExpressionError, ConfigError) as error:
        yield _expression_finding(document, ("filter",), error)
        return
    yield from _blanks(document, expression, names)


def _blanks(document: Document, expression: Expression, names: Mapping[str, str]) -> Iterator[Finding]:
    for name in blank_troubles(expression, names):
        yield document.source.finding(
            ("filter",),
            f"fails where {name} is blank, and such a record is held; say what a blank means, "
            f"e.g. `{name} != null && …`",
            code="filter-blank",
            warning=True,
        )


def _expression_finding(document: Document, path: Path, error: ExpressionError | ConfigError) -> Finding:
    if isinstance(error, ConfigError):
        return document.source.finding(path, f"{error.message} {error.fix}", code="expression-library")
    return document.source.finding(
        path,
        error.message,
        suggestion=error.suggestion,
        otherwise=CORRECT_IT,
        code="expression-wrong",
    )


# --- people -------------------------------------------------------------------------------------------------------


def _people(document: Document, doc: FieldDoc) -> Iterator[Finding]:
    path, source = ("fields", doc.name), document.source
    if doc.convert != "user":
        for key in ("default", "inactive"):
            if (*path, key) in source.keys and not doc.is_derived:
                message = "is for people; add `convert: user`, or take it out"
                yield source.finding((*path, key), message, code="person-key-misplaced", key=True)
        return
    for side, email in doc.default.items():
        here = (*path, "default", document.names[side])
        if side not in doc.columns:
            yield source.finding(
                here, "the field has no column there; give it one, or take this out", code="default-without-column"
            )
        elif is_group(email):
            yield from _group(document, side, email, here)
        elif "@" not in email:
            yield source.finding(here, f"{email!r} is no e-mail address; write the user's", code="person-not-email")
    table = document.values.get(doc.values or "")
    for row in table.rows if table is not None else ():
        for side, words in row.natives.items():
            here = ("values", doc.values or "", row.name, document.names[side])
            for word in words:
                if is_group(word):
                    yield from _group(document, side, str(word), here)
                elif "@" not in str(word):
                    message = (
                        f"{quoted(word)} is no e-mail address; a table for people names users by theirs, so write it"
                    )
                    yield source.finding(here, message, code="person-not-email")


def _group(document: Document, side: Side, word: str, path: Path) -> Iterator[Finding]:
    """A queue stands in Salesforce, a team in Dynamics."""
    name, system = document.names[side], document.systems[side]
    kind, colon, called = word.partition(":")
    wanted = GROUP_KINDS.get(system)
    if not called.strip():
        message = f"{word!r} names none; write its name or its id behind the colon"
        yield document.source.finding(path, message, code="group-unnamed")
    elif wanted is not None and f"{kind.strip().lower()}{colon}" != wanted:
        message = f"{word!r}: in {name} records belong to users and {wanted[:-1]}s; write `{wanted}{called.strip()}`"
        yield document.source.finding(path, message, code="group-wrong-kind")

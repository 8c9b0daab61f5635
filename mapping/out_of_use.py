"""Accounts and contacts that are out of use (lifecycle A4): Dynamics has a state for it, Salesforce none.

`inactive:` beside the fields names a column for a side that has none: yes or no, or a choice with the words for both.
It becomes a field of its own, `inactive`, and is merged, written and told as any other.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from crmbridge.model import INACTIVE, SIDES, Side, Value
from mapping.axis import InactiveDoc, Word
from mapping.described import ColumnLike, DescriptionLike, Descriptions, a_field, column_meant, option_meant
from mapping.document import ColumnChoice, Document, FieldDoc
from mapping.end import Facts, Made, Setting, attribute
from mapping.problem import Finding, Path, quoted
from mapping.vocabulary import fold, resolve

# Dynamics' own state of accounts and contacts (lifecycle §2). The status that goes with it is the connector's affair.
_STATE: Final = InactiveDoc(column="statecode", active=(0,), inactive=(1,))
_KINDS: Final = frozenset({"account", "contact"})


def with_inactive(document: Document) -> Document:
    """The document with the field, where the mapping asks for one; a field of that name is complained about later."""
    if not document.beside.inactive or document.entity not in _KINDS or INACTIVE in document.fields:
        return document
    ends = _ends(document)
    columns: dict[Side, ColumnChoice] = {side: ColumnChoice(column=one.column) for side, one in ends.items()}
    made = FieldDoc(name=INACTIVE, columns=columns, convert="boolean", out_of_use=True)
    source = document.source
    source.keys[("fields", INACTIVE)] = source.place((INACTIVE,), key=True)
    for side in columns:
        source.keys[("fields", INACTIVE, document.names[side])] = source.place((INACTIVE, document.names[side]))
    return replace(document, fields={**document.fields, INACTIVE: made})


def late_sides(document: Document, doc: FieldDoc) -> frozenset[Side]:
    """Dynamics makes every record active (dataverse-api §4.2: only the open state is taken at creation)."""
    systems = document.systems
    return frozenset(side for side in doc.columns if doc.out_of_use and systems[side] == "dynamics")


def make_inactive(setting: Setting) -> Made:
    one, column = _ends(setting.document)[setting.side], setting.column
    on, off = (_values(words, setting.meta) for words in (one.inactive, one.active))
    known, loose, raw = set(on), {fold(word) for word in (*one.inactive, *on)}, attribute(column)

    def get(native: Any) -> bool:
        return native in known or fold(native) in loose

    def read(values: Any, facts: Facts) -> Value:
        native = raw(values)
        return native is not None and get(native)

    def write(value: Value, facts: Facts, current: Any) -> dict[str, Any]:
        return {column: on[0] if value else off[0]}

    kinds = {type(each) for each in (*on, *off)}
    return {column: kinds.pop() if len(kinds) == 1 else str}, (raw, get, False), read, write


def _ends(document: Document) -> Mapping[Side, InactiveDoc]:
    own: dict[Side, InactiveDoc] = {side: _STATE for side in SIDES if document.systems[side] == "dynamics"}
    return {**document.beside.inactive, **own}


def _values(words: tuple[Word, ...], meta: ColumnLike | None) -> tuple[Word, ...]:
    """Words as the stable values of the CRM's options, where it told them."""
    options = meta.options if meta is not None else ()
    found = tuple(o.value for word in words for o in resolve(word, options))
    return found or words


# --- what is wrong with it ----------------------------------------------------------------------------------------


def inactive_findings(document: Document) -> Iterator[Finding]:
    """From the document alone."""
    given, source = document.beside.inactive, document.source
    if not given:
        return
    if document.entity not in _KINDS:
        message = "is for accounts and contacts; take it out"
        yield source.finding((INACTIVE,), message, code="axis-misplaced", key=True)
        return
    doc = document.fields.get(INACTIVE)
    if doc is not None and not doc.out_of_use:
        message = "this name is taken by what `inactive:` makes; give the field another one"
        yield source.finding(("fields", INACTIVE), message, code="name-taken", key=True)
    for side, one in given.items():
        name = document.names[side]
        path: Path = (INACTIVE, name)
        if document.systems[side] == "dynamics":
            message = f"{name} has a state of its own for that, which is used; take this out"
            yield source.finding(path, message, code="on-hold-known")
            continue
        both = {fold(word) for word in one.active} & {fold(word) for word in one.inactive}
        if both:
            message = f"{min(both)!r} stands for both, in use and out of use; take it out of one of them"
            yield source.finding(path, message, code="inactive-ambiguous")
        for field in document.fields.values():
            choice = field.columns.get(side)
            if choice is not None and not field.out_of_use and one.column in choice.all():
                message = f"{one.column} belongs to the field {field.name!r} as well; take it out of one of the two"
                yield source.finding(path, message, code="column-twice")
    lacking = [document.names[side] for side in SIDES if side not in _ends(document)]
    if lacking:
        yield source.finding(
            (INACTIVE,),
            f"{lacking[0]} cannot say it, so it stays where it is; name a column for {lacking[0]} too",
            code="on-hold-one-sided",
            key=True,
            warning=True,
        )


def inactive_live(document: Document, descriptions: Descriptions) -> Iterator[Finding]:
    """Against what the CRMs have."""
    for side, one in document.beside.inactive.items():
        description = descriptions.get((side, document.entity))
        if description is not None and document.entity in _KINDS and document.systems[side] != "dynamics":
            yield from _live(document, document.names[side], one, document.tables[side], description)


def _live(
    document: Document, name: str, one: InactiveDoc, table: str, description: DescriptionLike
) -> Iterator[Finding]:
    path, source, meta = (INACTIVE, name), document.source, description.columns.get(one.column)
    if meta is None:
        yield source.finding(
            path,
            f"{name}'s {table} has no field {one.column!r}; name one that it has and that our user may see",
            code="column-unknown",
            suggestion=column_meant(one.column, description.columns),
        )
        return
    if not meta.updateable:
        message = f"{one.column} cannot be written in {name}; name a column that our user may edit"
        yield source.finding(path, message, code="inactive-not-writable")
    if (meta.type == "boolean") != (all(isinstance(word, bool) for word in (*one.active, *one.inactive))):
        if meta.type == "boolean":
            message = f"{one.column} is a yes/no field in {name}; write `{name}: {one.column}`"
        else:
            message = (
                f"{one.column} is {a_field(meta.type)} in {name}; write "
                f"`{name}: {{column: {one.column}, active: …, inactive: …}}`"
            )
        yield source.finding(path, message, code="inactive-misfit")
        return
    for key, words in (("active", one.active), ("inactive", one.inactive)) if meta.options else ():
        if not resolve(words[0], meta.options):
            yield source.finding(
                (*path, key),
                f"{name} has no value {quoted(words[0])}",
                code="value-unknown",
                suggestion=option_meant(words[0], meta.options),
                otherwise="write a label or value that it has",
            )

"""The third layer of the check: a document against what the two CRMs really have."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from crmbridge.model import ENTITIES, SIDES, Side, State
from mapping.axis_live import hold_stages
from mapping.described import (
    ColumnLike,
    DescriptionLike,
    Descriptions,
    OptionLike,
    a_field,
    column_meant,
    option_meant,
)
from mapping.document import Document, FieldDoc, NativeWord, StatusRow
from mapping.kinds import kinds_named, options_of
from mapping.laws import lossy_hint, value_losses
from mapping.paste import row_to_paste
from mapping.problem import Finding, Path, path_text, quoted
from mapping.status import fits_state
from mapping.transforms import CONVERTERS, loads, scale_loss
from mapping.vocabulary import fold, resolve

SPARE_MAX: Final = 5  # statuses that are named as what a missing one may be called now
FITS: Final[Mapping[str, frozenset[str]]] = {
    "link": frozenset({"lookup"}),
    "user": frozenset({"lookup"}),
    "record_type": frozenset({"lookup"}),
    "money": frozenset({"money", "number"}),
    "choice": frozenset({"choice", "boolean", "text"}),
}
_NATURAL: Final[Mapping[str, str]] = {
    "text": "convert: text",
    "number": "convert: number",
    "integer": "convert: integer",
    "money": "convert: money",
    "date": "convert: date",
    "datetime": "convert: datetime",
    "boolean": "convert: boolean",
    "choice": "values: TABLE",
    "lookup": "link: ENTITY",
    "id": "convert: text",
}
_USERS: Final = frozenset({"user", "systemuser"})  # the tables of people
# Columns that the connectors fill by themselves, so no field needs to feed them.
_FED: Final = frozenset(
    {"Status", "StageName", "CurrencyIsoCode", "OwnerId"}
    | {"statecode", "statuscode", "ownerid", "transactioncurrencyid", "salesstage", "customerid"}
)

# Columns that count in the states of an opportunity; None: in every other.
_VARIANTS: Final[tuple[State | None, ...]] = (None, "won", "lost")
# Labels that people read as "converted", in the languages of the shipped vocabularies (lifecycle §6, row 5).
_CALLED_CONVERTED: Final = re.compile(r"(?<!un)(?<!dis)(convert|qualif|konverti|kvalificer)", re.IGNORECASE)
_CALLED_NOT_CONVERTED: Final = re.compile(r"\b(not|non|nicht|inte|ej|ikke|no)\b", re.IGNORECASE)

Spoiled = Callable[[Path], bool]


def live(document: Document, descriptions: Descriptions, spoiled: Spoiled) -> Iterator[Finding]:
    """Without descriptions only the laws over the document's own words are checked."""
    described: dict[Side, DescriptionLike] = {
        side: descriptions[side, document.entity] for side in SIDES if (side, document.entity) in descriptions
    }
    for doc in document.fields.values():
        if not doc.out_of_use and not spoiled(("fields", doc.name)) and loads(doc.convert):
            for side in doc.columns:
                if side in described:
                    yield from _columns(document, doc, side, described[side], locked=_locked(doc, described))
            yield from _losses(document, doc, described)
            yield from _zone(document, doc, described)
    for side, description in described.items():
        yield from _unfed(document, side, description)
    yield from _tables(document, described, spoiled)
    yield from _statuses(document, described, spoiled)


# --- columns ------------------------------------------------------------------------------------------------------


def _locked(doc: FieldDoc, described: Mapping[Side, DescriptionLike]) -> bool:
    """Can neither side be written?"""
    return all(
        side in described
        and side in doc.columns
        and any(
            (meta := described[side].columns.get(column)) is not None and not meta.createable and not meta.updateable
            for column in doc.columns[side].all()
        )
        for side in SIDES
    )


def _columns(
    document: Document, doc: FieldDoc, side: Side, description: DescriptionLike, *, locked: bool
) -> Iterator[Finding]:
    name, table = document.names[side], document.tables[side]
    path: Path = ("fields", doc.name, name)
    for part, column in _parts(doc, side):
        here = (*path, *part)
        meta = description.columns.get(column)
        if meta is None:
            yield document.source.finding(
                here,
                f"{name}'s {table} has no field {column!r}",
                code="column-unknown",
                suggestion=column_meant(column, description.columns),
                otherwise="write the API name of one that it has, or give our user the right to see it",
            )
            continue
        yield from _kind(document, doc, here, name, meta)
        if _is_written(doc, side) and not meta.createable and not meta.updateable:
            do = f"add `rule: {name}`, so that it is only read from there"
            if doc.is_derived:
                do = "take it out"
            elif locked:
                do = "so is the column on the other side, and nothing can cross; take one of the two out"
            yield document.source.finding(here, f"{column} is read only in {name}; {do}", code="column-read-only")
        elif _is_written(doc, side) and not meta.updateable and doc.rule != "create only":
            yield document.source.finding(
                here,
                f"{column} can be written in {name} only when a record is made: later changes of it are held; "
                "add `rule: create only`",
                code="column-create-only",
                warning=True,
            )
        filler = doc.fillers.get(side)
        if filler and filler.text and meta.length is not None and len(filler.text) > meta.length:
            yield document.source.finding(
                (*path[:2], "filler", name),
                f"is longer than {column} ({meta.length}); shorten it",
                code="filler-too-long",
            )


def _parts(doc: FieldDoc, side: Side) -> Iterator[tuple[Path, str]]:
    choice = doc.columns[side]
    if choice.parts:
        yield from (((n,), column) for n, column in enumerate(choice.parts))
        return
    yield (("column",) if choice.by_state else ()), choice.column
    yield from (((state,), column) for state, column in choice.by_state.items())


def _is_written(doc: FieldDoc, side: Side) -> bool:
    return doc.is_derived or (len(doc.columns) == len(SIDES) and doc.rule != side)


def _kind(document: Document, doc: FieldDoc, path: Path, name: str, meta: ColumnLike) -> Iterator[Finding]:
    fits = FITS.get(doc.convert) or CONVERTERS[doc.convert].fits
    if meta.type == "multichoice":
        yield document.source.finding(
            path,
            f"{meta.name} holds several choices at once in {name}; those are not synced; take the field out",
            code="column-several-choices",
        )
        return
    if meta.type not in _NATURAL:
        return  # a kind of column we know nothing about
    suits = meta.type in fits
    numbered = meta.type == "choice" and any(isinstance(o.value, int) for o in meta.options)
    if suits and not (doc.convert in CONVERTERS and numbered):
        targets = {target.casefold() for target in meta.targets}
        wanted = "users" if doc.convert == "user" else doc.link
        if targets and doc.convert != "record_type" and not targets & (_USERS if doc.convert == "user" else {doc.link}):
            yield document.source.finding(
                path,
                f"{meta.name} points at {', '.join(meta.targets)}, not at {wanted}; name the column that does",
                code="link-target",
            )
        return
    kind = "a choice of numbers" if numbered else a_field(meta.type)
    yield document.source.finding(
        path,
        f"{meta.name} is {kind} in {name}; {doc.convert!r} cannot hold it; " + _instead(meta),
        code="type-misfit",
    )


def _instead(meta: ColumnLike) -> str:
    targets = {target.casefold() for target in meta.targets}
    linked = next((entity for entity in ENTITIES if entity in targets), None)
    if targets and not targets & _USERS and linked is None:
        return f"records of {', '.join(meta.targets)} are not synced, so take the field out"
    natural = "convert: user" if targets & _USERS else f"link: {linked}" if linked else _NATURAL[meta.type]
    return f"use `{natural}`"


def _losses(document: Document, doc: FieldDoc, described: Mapping[Side, DescriptionLike]) -> Iterator[Finding]:
    """Fewer decimals, or a day for an instant: refused until it is declared."""
    loss = scale_loss if doc.convert == "money" else CONVERTERS[doc.convert].loss if doc.convert in CONVERTERS else None
    if loss is None or any(side not in described or side not in doc.columns for side in SIDES):
        return
    decimal = doc.convert in ("money", "number")
    code = "decimals-undeclared" if decimal else "time-undeclared" if doc.convert == "date" else "loss-undeclared"
    told: set[tuple[Side, str]] = set()
    for state in _VARIANTS:
        left, right = (described[side].columns.get(doc.columns[side].at(state)) for side in SIDES)
        if left is None or right is None:
            continue
        pairs: tuple[tuple[Side, ColumnLike, ColumnLike], ...] = (("right", left, right), ("left", right, left))
        for side, source, target in pairs:
            words, name = loss(source, target), document.names[side]
            if words and side not in doc.lossy and _is_written(doc, side) and (side, target.name) not in told:
                told.add((side, target.name))
                yield document.source.finding(
                    ("fields", doc.name),
                    f"{target.name} in {name} {words}; "
                    f"if that loss is meant, add `{lossy_hint(doc.lossy, name, document.names)}` to this line",
                    code=code,
                    key=True,
                )


def _zone(document: Document, doc: FieldDoc, described: Mapping[Side, DescriptionLike]) -> Iterator[Finding]:
    """A day on an instant is midnight somewhere: in Europe it is the day before for half of the readers."""
    for side, choice in doc.columns.items():
        meta = described[side].columns.get(choice.column) if side in described else None
        if doc.convert == "date" and doc.zone is None and meta is not None and meta.type == "datetime":
            yield document.source.finding(
                ("fields", doc.name, document.names[side]),
                f"{meta.name} is an instant in {document.names[side]}, and whose day it is depends on the place: "
                "it is counted in UTC; add `zone:`, e.g. `zone: Europe/Berlin`",
                code="zone-missing",
                warning=True,
            )


def _unfed(document: Document, side: Side, description: DescriptionLike) -> Iterator[Finding]:
    fed = {c for doc in document.fields.values() if side in doc.columns for c in doc.columns[side].all()}
    for column in description.columns.values():
        if column.required and column.createable and column.name not in fed and column.name not in _FED:
            name = document.names[side]
            yield document.source.finding(
                ("fields",),
                f"{name} needs {column.name} for a new {document.entity}, and no field feeds it: creating one there "
                "will be refused; map it, or give it a `create:` text",
                code="column-unfed",
                key=True,
                warning=True,
            )


# --- values -------------------------------------------------------------------------------------------------------


def _tables(document: Document, described: Mapping[Side, DescriptionLike], spoiled: Spoiled) -> Iterator[Finding]:
    for table in document.values.values():
        users = [doc for doc in document.fields.values() if doc.values == table.name]
        path: Path = ("values", table.name)

        def options(side: Side, users: Sequence[FieldDoc] = users) -> Sequence[OptionLike]:
            for doc in users:
                meta = described[side].columns.get(doc.columns[side].column) if _has(side, doc) else None
                if meta is not None and meta.options:
                    return meta.options
            return ()

        def _has(side: Side, doc: FieldDoc) -> bool:
            return side in described and side in doc.columns

        yield from value_losses(document, path, table.rows, options, spoiled)
        for side in SIDES:
            known = options(side)
            if not known:
                continue
            read: set[object] = set()
            for row in table.rows:
                if spoiled((*path, row.name)):
                    continue
                here: Path = (*path, row.name, document.names[side])
                for n, word in enumerate(row.natives.get(side, ())):
                    hits = resolve(word, known)
                    read.update(o.value for o in hits)
                    yield from _judge_word(document, side, here, word, hits, known, written=n == 0)
            if table.unmapped == "hold" and not spoiled(path):  # it may be meant by the row that is broken
                for option in known:
                    if option.active and option.value not in read:
                        yield _unmapped(
                            document, side, path, option, f"a row of {path_text(path)}", code="value-unmapped"
                        )


def _judge_word(
    document: Document,
    side: Side,
    path: Path,
    word: NativeWord,
    hits: Sequence[OptionLike],
    known: Sequence[OptionLike],
    *,
    written: bool,
) -> Iterator[Finding]:
    name = document.names[side]
    if len({o.value for o in hits}) > 1:
        several = ", ".join(str(o.value) for o in hits)
        yield document.source.finding(
            path,
            f"{quoted(word)} means several values of {name} ({several}); give the value itself",
            code="value-ambiguous",
        )
    elif not hits and written:  # one that is only read may be a spelling from older data
        yield document.source.finding(
            path,
            f"{name} has no value {quoted(word)}",
            code="value-unknown",
            suggestion=option_meant(word, known),
            otherwise="write a label or value that it has",
        )
    elif hits and written and not hits[0].active:
        yield document.source.finding(
            path,
            f"{quoted(word)} is switched off in {name}; put another value first, or have it switched on",
            code="value-inactive",
            warning=True,
        )


def _unmapped(document: Document, side: Side, path: Path, option: OptionLike, where: str, *, code: str) -> Finding:
    name = document.names[side]
    value = "" if str(option.value) == option.label else f" ({option.value})"
    process = f" of process {option.process}" if option.process else ""
    return document.source.finding(
        path,
        f"{name}'s {option.label!r}{value}{process} is not mapped: records that have it are held; add it to {where}",
        code=code,
        key=True,
        warning=True,
    )


def statuses(document: Document, descriptions: Descriptions) -> dict[Side, Sequence[OptionLike]]:
    return {
        side: descriptions[side, document.entity].statuses for side in SIDES if (side, document.entity) in descriptions
    }


def _statuses(document: Document, described: Mapping[Side, DescriptionLike], spoiled: Spoiled) -> Iterator[Finding]:
    if document.axis is None or not document.status:
        return
    path: Path = (document.axis,)

    def options(side: Side) -> Sequence[OptionLike]:
        return described[side].statuses if side in described else ()

    yield from value_losses(document, path, document.status, options, spoiled)
    broken = spoiled(path)
    unread: dict[Side, list[OptionLike]] = {}
    for side in SIDES:
        known = options(side)
        if not known:
            continue
        held = hold_stages(document, side, known)
        read = {_meaning(o) for o in known if o.process is None and o.value in held}
        named = kinds_named(document.status, side)
        judged: list[tuple[StatusRow, NativeWord, list[OptionLike], Sequence[OptionLike], bool, str | None]] = []
        for row in document.status:
            if spoiled((*path, row.name)):
                continue
            for kind in (None, *named):
                mine = options_of(kind, named, known)
                for n, word in enumerate(row.words(side, kind)):
                    hits = _stage_hits(row, word, mine)
                    read.update(_meaning(o) for o in hits if fits_state(o, row.state))
                    if kind is None or kind in row.by_kind.get(side, {}):
                        judged.append((row, word, hits, mine, n == 0, kind))
        yield from _called_converted(document, side, known)
        unread[side] = [o for o in known if o.active and _meaning(o) not in read]
        for row, word, hits, mine, written, kind in judged:
            free = [o for o in unread[side] if o in mine and not broken]
            yield from _judge_status(document, side, row, word, hits, mine, free, written=written, kind=kind)
    for side, left_out in unread.items() if not broken else ():  # it may be meant by the row that is broken
        for option in left_out:
            paste = row_to_paste(document, side, option, unread)
            where = f"a row of `{document.axis}:`" + (f", or paste `{paste}` at its end" if paste else "")
            yield _unmapped(document, side, path, option, where, code="status-unmapped")


def _meaning(option: OptionLike) -> tuple[str | None, str | None, object]:
    """Dynamics numbers a stage and a closed reason alike: 3 is the stage Close, and Won."""
    return option.process, option.state, option.value


def _called_converted(document: Document, side: Side, known: Sequence[OptionLike]) -> Iterator[Finding]:
    """A status that people read as converted, whose flag says otherwise: who has it was never converted (L6)."""
    for option in known:
        called = _CALLED_CONVERTED.search(option.label) and not _CALLED_NOT_CONVERTED.search(option.label)
        if document.entity == "lead" and option.active and called and option.state != "converted":
            yield document.source.finding(
                (document.axis or "",),
                f"{document.names[side]}'s {option.label!r} is called converted, but its flag says it is not: leads "
                "that have it were never converted; have the flag or the name corrected there",
                code="converted-not-flagged",
                key=True,
                warning=True,
            )


def _stage_hits(row: StatusRow, word: NativeWord, known: Sequence[OptionLike]) -> list[OptionLike]:
    """What a word means in each process; options of the row's own state are looked at first."""
    hits: list[OptionLike] = []
    for process in dict.fromkeys(o.process for o in known):
        of_process = [o for o in known if o.process == process]
        fitting = resolve(word, [o for o in of_process if fits_state(o, row.state)])
        hits += fitting or resolve(word, of_process)
    return hits


def _judge_status(
    document: Document,
    side: Side,
    row: StatusRow,
    word: NativeWord,
    hits: Sequence[OptionLike],
    known: Sequence[OptionLike],
    free: Sequence[OptionLike],
    *,
    written: bool,
    kind: str | None,
) -> Iterator[Finding]:
    """`free`: those that no row reads; where a word is gone, one of them is probably its new name."""
    name = document.names[side]
    here: Path = (document.axis or "", row.name, name, *((kind,) if kind is not None else ()))
    fitting = [o for o in hits if fits_state(o, row.state)]
    if hits and not fitting:
        flag = hits[0].state or "not converted"
        yield document.source.finding(
            here,
            f"the row says {row.state}, but {name}'s own flag makes {quoted(word)} {flag}; "
            "move it to a row of that state",
            code="status-against-flag",
        )
    elif not hits and written:
        spare = list(dict.fromkeys(o.label for o in free if fits_state(o, row.state)))[:SPARE_MAX]
        renamed = f"; was it renamed? No row has {', '.join(map(repr, spare))} yet" if spare else ""
        yield document.source.finding(
            here,
            f"{name} has no status {quoted(word)}",
            code="status-unknown",
            suggestion=option_meant(word, [o for o in known if fits_state(o, row.state)]),
            otherwise=f"write a label or value that it has{renamed}",
        )
    elif fitting and written and not any(o.active for o in fitting):
        yield document.source.finding(
            here,
            f"{quoted(word)} is switched off in {name}; put another status first, or have it switched on",
            code="status-inactive",
            warning=True,
        )
    for process in dict.fromkeys(o.process for o in fitting):
        values = {o.value for o in fitting if o.process == process}
        if len(values) > 1 and fold(word):
            several = ", ".join(str(v) for v in values)
            yield document.source.finding(
                here,
                f"{quoted(word)} means several values of {name} ({several}); give the value itself",
                code="status-ambiguous",
            )

"""What stands beside the status or stage table, against what the two CRMs really have."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from crmbridge.model import SIDES, Side
from mapping.axis_compiler import asks_for_record_type
from mapping.described import (
    DescriptionLike,
    Descriptions,
    OptionLike,
    RecordTypeLike,
    a_field,
    column_meant,
    option_meant,
    record_type_meant,
)
from mapping.document import Document, StatusRow
from mapping.holding import make_hold
from mapping.kinds import is_process, kinds_named
from mapping.problem import Finding, Path, closest, quoted
from mapping.record_types import column_of
from mapping.status import fits_state
from mapping.vocabulary import fold, resolve

# Labels that people read as "won", in the languages of the shipped vocabularies (lifecycle §6, row 5).
_CALLED_WON: Final = re.compile(r"\b(won|win|gewonnen|vunnen|vunnit|gagn[ée]e?|ganad[ao]|vundet|受注)\b", re.IGNORECASE)
_STATUS_FIELDS: Final = {"lead": "Status", "opportunity": "StageName"}


def axis_live(document: Document, descriptions: Descriptions) -> Iterator[Finding]:
    for side in SIDES:
        description = descriptions.get((side, document.entity))
        if description is None:
            continue
        yield from _reason(document, side, description)
        yield from _on_hold(document, side, description)
        yield from _kinds(document, side, description)
        yield from _record_type(document, side, description)
        yield from _converted_status(document, side, description)
        yield from _flags(document, side, description)


# --- columns ------------------------------------------------------------------------------------------------------


def _reason(document: Document, side: Side, description: DescriptionLike) -> Iterator[Finding]:
    column = document.beside.reason.get(side)
    if column is None:
        return
    name = document.names[side]
    meta = description.columns.get(column)
    if meta is None:
        yield _no_column(document, ("reason", name), side, column, description)
        return
    if not meta.updateable:
        yield document.source.finding(
            ("reason", name),
            f"{column} cannot be written in {name}; name a column that our user may edit",
            code="reason-not-writable",
        )
    if not meta.options:
        return
    read: set[object] = set()
    for row in document.status:
        for n, word in enumerate(row.reasons.get(side, ())):
            hits = resolve(word, meta.options)
            read.update(one.value for one in hits)
            if not hits and n == 0:
                yield document.source.finding(
                    (document.axis or "", row.name, "reason", name),
                    f"{column} in {name} has no value {quoted(word)}; write a label or value that it has",
                    code="reason-unknown",
                    suggestion=option_meant(word, meta.options),
                )
    for option in meta.options:
        if option.active and option.value not in read:
            yield document.source.finding(
                ("reason", name),
                f"{name}'s {option.label!r} of {column} is in no row: a record that has it, with a status whose rows "
                "are told apart by it, is held; add it to the reasons of a row",
                code="reason-unmapped",
                key=True,
                warning=True,
            )


def _on_hold(document: Document, side: Side, description: DescriptionLike) -> Iterator[Finding]:
    holding = document.beside.on_hold.get(side)
    if holding is None:
        return
    name = document.names[side]
    path: Path = ("on_hold", name)
    if holding.column is not None:
        meta = description.columns.get(holding.column)
        if meta is None:
            yield _no_column(document, path, side, holding.column, description)
        elif meta.type != "boolean":
            yield document.source.finding(
                path,
                f"{holding.column} is {a_field(meta.type)} in {name}; on hold needs a yes/no field",
                code="on-hold-not-boolean",
            )
        return
    if description.statuses and not hold_stages(document, side, description.statuses):
        stages = [o for o in description.statuses if o.state in (None, "open")]
        yield document.source.finding(
            (*path, "stage"),
            f"{name} has no open stage {holding.stage!r}; write one that it has",
            code="on-hold-stage-unknown",
            suggestion=option_meant(holding.stage, stages),
        )


def hold_stages(document: Document, side: Side, options: Sequence[OptionLike]) -> list[object]:
    """The stage that says nothing but that a record is on hold: it needs no row."""
    holding = document.beside.on_hold.get(side)
    if holding is None or holding.stage is None:
        return []
    hold = make_hold(document.systems[side], holding, options)
    values = [o.value for o in options if hold is not None and o.value == hold.stage]
    return list(values)


def _no_column(document: Document, path: Path, side: Side, column: str, description: DescriptionLike) -> Finding:
    return document.source.finding(
        path,
        f"{document.names[side]}'s {document.tables[side]} has no field {column!r}; name one that it has and that our "
        "user may see",
        code="column-unknown",
        suggestion=column_meant(column, description.columns),
    )


# --- record types and processes -----------------------------------------------------------------------------------


def _kinds(document: Document, side: Side, description: DescriptionLike) -> Iterator[Finding]:
    """Names of kinds that are not there, and statuses that a record type does not offer."""
    name, dynamics = document.names[side], document.systems[side] == "dynamics"
    processes = {o.process_name or o.process or "": o for o in description.statuses if o.process is not None}
    types = {one.name: one for one in description.record_types}
    for row in document.status:
        for kind in row.by_kind.get(side, {}):
            path: Path = (document.axis or "", row.name, name, kind)
            if dynamics:
                if not any(is_process(option, kind) for option in processes.values()):
                    yield document.source.finding(
                        path,
                        f"{name} has no business process {kind!r} for {document.entity} records; write its name",
                        code="process-unknown",
                        suggestion=closest(kind, processes),
                        key=True,
                    )
            elif not _type_named(kind, description.record_types):
                yield _no_type(document, path, side, kind, types, key=True)
    if dynamics or not asks_for_record_type(document, side):
        return
    if not types:
        return
    for one in description.record_types:
        yield from _offered(document, side, one, description)


def _offered(document: Document, side: Side, one: RecordTypeLike, description: DescriptionLike) -> Iterator[Finding]:
    """What would be written to records of this type, but is not among its choices (the API takes it all the same)."""
    offered = (one.offers or {}).get(_STATUS_FIELDS.get(document.entity, ""))
    if offered is None or not one.active:
        return
    kind = next((k for k in kinds_named(document.status, side) if fold(k) == fold(one.name)), None)
    for row in document.status:
        words = row.words(side, kind)
        hits = resolve(words[0], [o for o in description.statuses if fits_state(o, row.state)]) if words else []
        if row.state == "converted" or not hits or hits[0].value in offered:
            continue
        own = kind is not None and kind in row.by_kind.get(side, {})
        yield document.source.finding(
            (document.axis or "", row.name, document.names[side], *((kind,) if own and kind else ())),
            f"the record type {one.name} does not offer {words[0]!r}, which would be written to its records; "
            f"give the row a word for it: `{one.name}: …`",
            code="record-type-lacks-status",
            warning=True,
        )


def _record_type(document: Document, side: Side, description: DescriptionLike) -> Iterator[Finding]:
    rule = document.beside.record_type.get(side)
    if rule is None:
        return
    name = document.names[side]
    types = {one.name: one for one in description.record_types}
    for word in dict.fromkeys(rule.names()):
        found = _type_named(word, description.record_types)
        if found is None:
            yield _no_type(document, ("record_type", name), side, word, types)
        elif not found.active or not found.available:
            why = "switched off" if not found.active else "not available to our user"
            yield document.source.finding(
                ("record_type", name),
                f"the record type {found.name} is {why}: creating records of it will be refused; "
                "have that changed, or name another",
                code="record-type-unavailable",
            )
    column = column_of(document.systems[side])
    if types and column not in description.columns:
        yield _no_column(document, ("record_type", name), side, column, description)


def _type_named(word: str, known: Sequence[RecordTypeLike]) -> RecordTypeLike | None:
    return next((one for one in known if fold(one.name) == fold(word)), None)


def _no_type(
    document: Document, path: Path, side: Side, word: str, types: dict[str, RecordTypeLike], *, key: bool = False
) -> Finding:
    name, table = document.names[side], document.tables[side]
    known = f"it has {', '.join(types)}" if types else "it has none"
    return document.source.finding(
        path,
        f"{name}'s {table} has no record type {quoted(word)} ({known}); write a developer name, not a label or an id",
        code="record-type-unknown",
        suggestion=record_type_meant(word, types.values()),
        key=key,
    )


def _converted_status(document: Document, side: Side, description: DescriptionLike) -> Iterator[Finding]:
    """A conversion needs a status that the lead's record type offers; two of them are a choice for the mapping."""
    converted = [o for o in description.statuses if o.state == "converted"]
    if document.entity != "lead" or document.systems[side] == "dynamics" or not converted:
        return
    name = document.names[side]
    path: Path = (document.axis or "",)
    row = next((row for row in document.status if row.state == "converted"), None)
    here: Path = (*path, row.name) if row is not None else path
    for one in (*description.record_types, None):
        if one is not None and (one.offers is None or not one.active):
            continue
        if one is None and description.record_types:
            break  # who has no record type has the page of the usual one
        offered = None if one is None else (one.offers or {}).get(_STATUS_FIELDS["lead"])
        able = [o for o in converted if offered is None or o.value in offered]
        of = f"the record type {one.name}" if one is not None else name
        if not able:
            yield document.source.finding(
                here,
                f"{of} has no converted status: its leads cannot be converted in {name}; have one added to it there",
                code="converted-status-none",
                key=True,
                warning=True,
            )
            continue
        chosen = _chosen(row, side, one, converted)
        if chosen is not None and not any(o.value == chosen.value for o in able):
            names = ", ".join(o.label for o in able)
            yield document.source.finding(
                here,
                f"{of} does not offer {chosen.label!r} as a converted status, so {name} will refuse to convert its "
                f"leads; it offers {names}: give it that in this row",
                code="converted-status-not-offered",
                key=True,
                warning=True,
            )
        elif chosen is None and len(able) > 1:
            names = ", ".join(o.label for o in able)
            yield document.source.finding(
                here,
                f"{of} has several converted statuses ({names}); say in the row of state converted which one "
                "conversions give",
                code="converted-status-open",
                key=True,
                warning=True,
            )


def _chosen(
    row: StatusRow | None, side: Side, one: RecordTypeLike | None, converted: Sequence[OptionLike]
) -> OptionLike | None:
    if row is None:
        return None
    kinds = row.by_kind.get(side, {})
    kind = next((k for k in kinds if one is not None and fold(k) == fold(one.name)), None)
    words = row.words(side, kind)
    hits = resolve(words[0], converted) if words else []
    return hits[0] if hits else None


# --- flags --------------------------------------------------------------------------------------------------------


def _flags(document: Document, side: Side, description: DescriptionLike) -> Iterator[Finding]:
    """A stage that people call won and the CRM does not: its deals are not won for anybody who counts (O21)."""
    if document.entity != "opportunity":
        return
    for option in description.statuses:
        if option.active and _CALLED_WON.search(option.label) and option.state != "won" and not _negated(option.label):
            yield document.source.finding(
                (document.axis or "",),
                f"{document.names[side]}'s {option.label!r} is called won, but its flag says {option.state}: "
                "its opportunities count as that on both sides; have the flag or the name corrected there",
                code="won-not-flagged",
                key=True,
                warning=True,
            )
        elif option.active and option.state == "won" and _CALLED_LOST.search(option.label):
            yield document.source.finding(
                (document.axis or "",),
                f"{document.names[side]}'s {option.label!r} is called lost, but its flag says won: its opportunities "
                "are won on both sides; have the flag or the name corrected there",
                code="lost-flagged-won",
                key=True,
                warning=True,
            )


_CALLED_LOST: Final = re.compile(
    r"\b(lost|lose|verloren|f[öo]rlorad|f[öo]rlorat|perdue?|perdid[ao]|tabt|cancell?ed|失注)\b", re.IGNORECASE
)
_NEGATION: Final = re.compile(r"\b(not|no|nicht|inte|ej|ikke|non|pas|back)\b", re.IGNORECASE)


def _negated(label: str) -> bool:
    return bool(_NEGATION.search(label))

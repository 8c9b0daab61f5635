"""The status or stage table, played through: every place on one side is put on the other and read back.

Nothing may go back and forth: what was put must be read as the row that it was put for, and putting that row back must
leave the first side as it was. Each state that a record can be in must have a row to go to.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from crmbridge.model import SIDES, Entity, Life, Side, State, other
from mapping.described import OptionLike
from mapping.document import Document
from mapping.problem import Finding
from mapping.status import StatusTable, status_table

# A lead's conversion needs no row: its status is the CRM's own affair.
NEEDED: Final[Mapping[Entity, tuple[State, ...]]] = {
    "lead": ("open", "disqualified"),
    "opportunity": ("open", "won", "lost"),
}
_SAID: Final[Mapping[State, str]] = {"disqualified": "disqualified", "won": "won", "lost": "lost"}
# Salesforce has no flag that tells an open lead from a disqualified one.
_FLAGLESS: Final = ("salesforce", "lead")


def cycle_findings(document: Document, options: Mapping[Side, Sequence[OptionLike]]) -> Iterator[Finding]:
    """`options` are empty where a side was not described; then the mapping's own words are played through."""
    if document.axis is None or not document.status:
        return
    yield from _states(document)
    table = status_table(document.status, options)
    for side in SIDES:
        told: set[str] = set()
        for life in _lives(document, side, options.get(side, ())):
            for row, back in _unstable(document, table, side, life, options):
                if row in told:
                    continue
                told.add(row)
                here, there = document.names[side], document.names[other(side)]
                yield document.source.finding(
                    (document.axis, row),
                    f"does not hold still: {here}'s {life.status!r} is written to {there} and comes back as {back}; "
                    "give each row a value of its own on both sides",
                    code="status-ping-pong",
                    key=True,
                )


def _states(document: Document) -> Iterator[Finding]:
    for state in NEEDED.get(document.entity, ()):
        if state != "open" and all(row.state != state for row in document.status):
            article = "an" if document.entity == "opportunity" else "a"
            yield document.source.finding(
                (document.axis or "",),
                f"no row has `state: {state}`: {article} {document.entity} that is {_SAID[state]} on one side cannot "
                "become that on the other, and is held; add such a row",
                code="state-without-row",
                key=True,
                warning=True,
            )


def _lives(document: Document, side: Side, options: Sequence[OptionLike]) -> Iterator[Life]:
    """Where a record may stand on a side, by the CRM's own options, else by the words of the mapping."""
    if options:
        for option in options:
            yield Life(state=_state(option.state), status=option.value, process=option.process)
        return
    flagless = (document.systems[side], document.entity) == _FLAGLESS
    for row in document.status:
        for kind in (None, *row.by_kind.get(side, {})):
            record_type = kind if document.systems[side] == "salesforce" else None
            process = kind if document.systems[side] != "salesforce" and row.state == "open" else None
            for word in row.words(side, kind):
                state = None if flagless and row.state != "converted" else row.state
                yield Life(state=state, status=word, record_type=record_type, process=process)


def _state(flag: str | None) -> State | None:
    states: tuple[State, ...] = ("open", "converted", "disqualified", "won", "lost")
    return next((state for state in states if state == flag), None)


def _unstable(
    document: Document, table: StatusTable, side: Side, life: Life, options: Mapping[Side, Sequence[OptionLike]]
) -> Iterator[tuple[str, str]]:
    """Rows that change on their way to the other side and back: the row, and what it comes back as."""
    there = other(side)
    standing = table.read(side, life, None)
    row = standing.status
    if row is None or standing.contradiction or standing.unmapped or table.rows[row] == "converted":
        return
    flagless = (document.systems[there], document.entity) == _FLAGLESS
    for partner in (None, *_samples(document, there, options.get(there, ()))):
        native = table.native(there, row, life=partner, last_open=None)
        if native is None:
            continue  # a process without such a stage: its records stay where they are
        kinds = partner or Life()
        after = replace(
            kinds,
            status=native,
            state=None if flagless else table.rows[row],
            process=kinds.process if table.rows[row] == "open" else None,
        )
        again = table.read(there, after, row)
        if again.status != row:
            yield row, repr(again.status) if again.status else "a value that no row reads"
        elif table.native(side, row, life=life, last_open=None) != life.status:
            yield row, repr(table.native(side, row, life=life, last_open=None))


def _samples(document: Document, side: Side, options: Sequence[OptionLike]) -> list[Life]:
    """One place for each kind of record and state: where the partner may stand before it is written to."""
    found: dict[tuple[object, ...], Life] = {}
    for life in _lives(document, side, options):
        found.setdefault((life.state, life.process, life.record_type), life)
    return list(found.values())

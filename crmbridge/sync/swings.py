"""The ping-pong guard: fields that were written to and fro within a day are held before they are written once more."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from crmbridge.lifecycle.plan import LifePlan
from crmbridge.model import SIDES, Entity, Side, Update
from crmbridge.pingpong import WINDOW, WRITES, Wrote, swinging
from crmbridge.state.words import JournalRow
from crmbridge.sync.hands import Hands
from crmbridge.sync.work import Work

PING_PONG: Final = "ping_pong"
STATUS: Final = "status"  # state, status and reason are one field
_FIX: Final = (
    "Find the automation that changes it back in one of the two, and end it, or let one side alone decide with "
    "`rule:` in the mapping. Then: crmbridge retry ISSUE"
)
# What a life-cycle step writes is its status; its other columns go along.
_FIELDS_ALONE: Final = frozenset({"update", "create"})


def hold_swings(
    hands: Hands, works: Sequence[Work], due: Sequence[tuple[Work, Update]], lives: Mapping[str, LifePlan]
) -> tuple[list[tuple[Work, Update]], set[str]]:
    """Updates without the fields that swing, and the pairs whose status does. One look at the journal for all pairs
    that something is planned for."""
    stepping = {work.link.id for work in works if (life := lives.get(work.link.id)) is not None and life.steps}
    asked = {work.link.id for work, _ in due} | stepping
    if not asked:
        return list(due), set()
    lately = hands.store.written_lately(sorted(asked), WINDOW, WRITES)
    held: dict[str, set[str]] = defaultdict(set)
    released: dict[str, set[str]] = defaultdict(set)
    for issue in hands.store.issues_of(sorted(asked)):
        if issue.cause == PING_PONG and issue.link_id is not None and issue.field is not None:
            (released if issue.released_by is not None else held)[issue.link_id].add(issue.field)
    entities: dict[str, Entity] = {work.link.id: work.entity for work in works}
    for link_id, rows in lately.items():
        fields = swinging(_writes(hands, entities[link_id], rows))
        held[link_id] |= fields - released[link_id]
    kept: list[tuple[Work, Update]] = []
    for work, update in due:
        stopped = held[work.link.id] & set(update.fields)
        for name in sorted(stopped):
            _hold(hands, work, name)
        fields = {name: value for name, value in update.fields.items() if name not in stopped}
        if fields or not update.fields:
            kept.append((work, replace(update, fields=fields) if stopped else update))
    swinging_status = {link_id for link_id in stepping if STATUS in held[link_id]}
    for work in works:
        if work.link.id in swinging_status:
            work.axes_settled = False
            _hold(hands, work, STATUS)
    return kept, swinging_status


def _hold(hands: Hands, work: Work, name: str) -> None:
    work.unsettled.add(name)
    work.issues.append(
        hands.issue(
            "held",
            cause=PING_PONG,
            entity=work.entity,
            link=work.link,
            field=name,
            message=f"{name} was written {WRITES} times within a day, and always to the same values: something changes "
            "it back.",
            fix=_FIX,
        )
    )


def _writes(hands: Hands, entity: Entity, rows: Sequence[JournalRow]) -> Iterator[Wrote]:
    names = {side: _names(hands, entity, side) for side in SIDES}
    for row in rows:
        if row.kind not in _FIELDS_ALONE:
            yield Wrote(side=row.side, field=STATUS, after=row.after.get("status", row.after.get("state")))
            continue
        values: dict[str, dict[str, object]] = defaultdict(dict)
        for column, value in row.after.items():
            if column in names[row.side]:
                values[names[row.side][column]][column] = value
        for name, after in values.items():
            yield Wrote(side=row.side, field=name, after=after)


def _names(hands: Hands, entity: Entity, side: Side) -> dict[str, str]:
    """Column -> the field that is kept there."""
    document = hands.compiled.entities[entity].document
    if document is None:
        return {}
    return {
        column: name
        for name, field in document.fields.items()
        if side in field.columns
        for column in field.columns[side].all()
    }

"""Once a day, where a CRM tells a deletion once and never again: are all linked records still there? (reliability §7)

A slice with each cycle, so that none is held up by it. What is not shown is asked for again in the next cycle, when the
table has been read once more: a deletion that its reading tells was not missed. It is followed only if the connector
can prove it; else a person is told, and the pair stays as it is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from connectors.rollcall import RollCaller
from crmbridge.model import Entity, Ref, Row, Side
from crmbridge.state.words import Batch, Issue, IssuePlace
from crmbridge.sync.hands import Event, Hands

CAUSE: Final = "not_shown"
SLICE: Final = 2000  # ids; ten reads in one call
SLICES: Final = 5  # in one cycle, of one table


@dataclass(frozen=True, slots=True, kw_only=True)
class Roll:
    """How far the call is."""

    after: str | None = None  # the last id that was called; None: it is over
    asked: int = 0
    absent: tuple[str, ...] = ()  # not shown a cycle ago
    gone: int = 0  # deleted, and nobody had told
    unclear: int = 0  # not shown, and nobody knows why

    @property
    def is_over(self) -> bool:
        return self.after is None and not self.absent


def begun(hands: Hands, side: Side) -> Roll:
    return Roll(after="" if isinstance(hands.connectors[side], RollCaller) else None)


def go_on(hands: Hands, side: Side, entity: Entity, roll: Roll, cause: str) -> Roll:
    """This cycle's share. `cause`: what a deletion that was found is told as."""
    caller = hands.connectors[side]
    assert isinstance(caller, RollCaller), "a roll was begun where nobody calls it"
    roll = _second_look(hands, caller, side, entity, roll, cause)
    absent: list[str] = []
    after, asked = roll.after, roll.asked
    for _ in range(SLICES):
        if after is None:
            break
        hands.progress.step(f"looking whether {entity} records of {hands.names[side]} are still there")
        ids = hands.store.linked_natives(side, entity, after, SLICE)
        known = _living(hands, side, entity, ids)
        if known:
            missing = caller.absent(entity, known).ids
            absent += sorted(missing)
            _shown_again(hands, side, entity, [id for id in known if id not in missing])
        asked += len(known)
        after = ids[-1] if len(ids) == SLICE else None
    return replace(roll, after=after, asked=asked, absent=tuple(absent))


def _living(hands: Hands, side: Side, entity: Entity, ids: Sequence[str]) -> list[str]:
    """Those that are there as far as we know."""
    stored = hands.store.records(side, entity, ids)
    return [id for id in ids if id in stored and not stored[id].row.deleted and not stored[id].row.merged_into]


def _second_look(hands: Hands, caller: RollCaller, side: Side, entity: Entity, roll: Roll, cause: str) -> Roll:
    known = _living(hands, side, entity, roll.absent)
    found = caller.absent(entity, known) if known else None
    if found is None or not found.ids:
        return roll
    kept = [Ref(side=side, entity=entity, id=id) for id in sorted(found.unclear)]
    if kept:
        hands.record(Batch(issues=[unclear(hands, ref) for ref in kept]))
    refs = [Ref(side=side, entity=entity, id=id) for id in sorted(found.gone)]
    if refs:
        hands.record(Batch(rows=[deleted(ref) for ref in refs], dirty=refs))
    for ref in refs:
        reason = f"Its deletion was not shown when the table was read; {found.proof}. It is planned now."
        hands.tell(
            Event(entity=entity, side=side, kind="report", link_id=None, ids={side: ref.id}, reason=reason, cause=cause)
        )
    return replace(roll, gone=roll.gone + len(refs), unclear=roll.unclear + len(kept))


def unclear(hands: Hands, ref: Ref) -> Issue:
    """A linked record that is not shown, and nobody knows why: it is told, and stays as it is."""
    name = hands.names[ref.side]
    return hands.issue(
        "report",
        cause=CAUSE,
        entity=ref.entity,
        link=hands.store.links_by_native(ref.side, ref.entity, [ref.id]).get(ref.id),
        ref=ref,
        message=f"{name} does not show it any more, and told no deletion: it is gone, or our user may not read it.",
        fix=f"Give our user Read on {ref.entity} at the organization level there (crmbridge setup): what is then still "
        "not shown was deleted, and is followed the next day.",
    )


def _shown_again(hands: Hands, side: Side, entity: Entity, ids: Sequence[str]) -> None:
    over = told_of(hands, side, entity, ids)
    if over:
        hands.record(Batch(close_issues=over))


def told_of(hands: Hands, side: Side, entity: Entity, shown: Iterable[str]) -> list[IssuePlace]:
    """What is over for these."""
    ids = frozenset(shown)
    issues = hands.store.open_issues(entity=entity, cause=CAUSE, side=side) if ids else []
    return [(entity, one.link_id, one.side, one.native_id, CAUSE) for one in issues if one.native_id in ids]


def deleted(ref: Ref) -> Row:
    return Row(ref=ref, version="", created_at=None, modified_at=None, deleted=True)

"""One linked pair on its way through a phase, and what every kind of write shares: issues, read-backs, replies."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import mapping
from crmbridge.model import (
    ENTITIES,
    SIDES,
    Converted,
    Entity,
    Later,
    Link,
    Outcome,
    Problem,
    Ref,
    Refused,
    Row,
    Seen,
    Side,
    Stale,
    State,
    Update,
    Value,
    Written,
    other,
)
from crmbridge.state.words import IntentState, Issue, Pair
from crmbridge.sync.hands import Event, Hands, jsonable
from crmbridge.sync.view import View, link_ids

T = TypeVar("T")
Place = tuple[State | None, str | None]  # state, row of the status or stage table
Refusals = frozenset[tuple[str, str]]  # (shared or native id, fingerprint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a dry run would have sent."""

    side: Side
    kind: str  # create, update, convert, or a step's kind
    columns: Mapping[str, Any]  # as the journal would keep them
    reason: str
    why: Mapping[str, str] = field(default_factory=dict)  # field -> rule that decided


@dataclass(kw_only=True)
class Work:
    """One linked pair on its way through a phase."""

    link: Link
    rows: dict[Side, Row]
    seen: dict[Side, Seen]
    unsettled: set[str] = field(default_factory=set)
    axes_settled: bool = True
    open: bool = False  # something is left to try: the pair stays due
    skipped: bool = False  # refused before and not due again: its open issue stands
    moved: bool = False  # the record changed under us: planned again in the next round
    source: Side | None = None  # the side a step took its state from
    late: tuple[Update, ...] = ()  # edits for a lead that is converted: they go to what it became (L12)
    issues: list[Issue] = field(default_factory=list)
    wrote: bool = False
    planned: dict[Side, Seen] = field(default_factory=dict)  # what the plan was made from
    written: dict[Side, dict[str, Value]] = field(default_factory=lambda: {"left": {}, "right": {}})  # by us
    # What of it the CRM made of it, seen right after each write: a later one of ours would hide who changed it since.
    shown: dict[Side, dict[str, Value]] = field(default_factory=lambda: {"left": {}, "right": {}})
    now: dict[Side, Seen] = field(default_factory=dict)  # what both sides show once all is pushed
    stepped: dict[Side, Place] = field(default_factory=dict)  # where our steps moved a side
    put_back: set[Side] = field(default_factory=set)  # where we gave back what somebody typed: not our own values
    orders: list[Order] = field(default_factory=list[Order])  # of a dry run

    @property
    def entity(self) -> Entity:
        return self.link.entity


def is_ended(pair: Pair) -> bool:
    """Is one of its records gone or merged away, or was it before?"""
    if pair.link is None:
        return False
    rows = [stored.row for stored in (pair.left, pair.right) if stored is not None]
    return not pair.link.alive or any(row.deleted or row.merged_into for row in rows)


def make_work(view: View, link: Link, rows: dict[Side, Row]) -> Work:
    left, right = view.see_pair(link, rows["left"], rows["right"])
    seen: dict[Side, Seen] = {"left": left, "right": right}
    return Work(link=link, rows=rows, seen=seen, planned=dict(seen))


def work_event(
    link: Link, side: Side | None, kind: str, reason: str, fields: tuple[str, ...], *, case: str | None = None
) -> Event:
    return Event(
        entity=link.entity,
        side=side,
        kind=kind,
        link_id=link.id,
        ids=link_ids(link),
        reason=reason,
        cause=case,
        fields=fields,
    )


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def problem_issues(
    hands: Hands, entity: Entity, problems: Iterable[Problem], *, link: Link | None = None, ref: Ref | None = None
) -> list[Issue]:
    return [
        hands.issue(
            "report" if problem.cause in mapping.NOTES else "held",
            cause=problem.cause,
            entity=entity,
            link=link,
            ref=ref,
            field=problem.field,
            message=problem.message,
            fix=problem.fix,
        )
        for problem in problems
    ]


def refused_issue(
    hands: Hands,
    outcome: Refused,
    entity: Entity,
    mark: str,
    *,
    link: Link | None = None,
    ref: Ref | None = None,
) -> Issue:
    """The CRM's own words; retried later, or at once when the record, the mapping or the schema changes. Values that
    are not taken are retried only then: they would be refused again (reliability §8)."""
    side = ref.side if ref and link else other(ref.side) if ref else None
    where = hands.names[side] if side else "the other side"
    again = f"crmbridge retry --cause {outcome.code} --why REASON"
    mark = hands.stamped(mark)
    if outcome.lasting and mark and link is not None and ref is not None:
        mark = f"{mark}{_AS_OF}{_version(hands, ref) or ''}"  # what a rule looks at may not be among what was sent
    issue = hands.issue(
        "failed",
        cause=outcome.code,
        entity=entity,
        link=link,
        ref=ref,
        field=outcome.fields[0] if outcome.fields else None,
        message=f"{where} refused it: {outcome.message}",
        fix=f"Correct the record: it is then sent again by itself. Once a rule there was changed: {again}."
        if outcome.lasting
        else f"Correct the record or the rule there; it is tried again by itself, or at once with: {again}.",
        fingerprint=mark,
    )
    return replace(issue, lasting=outcome.lasting)


def refusals(hands: Hands, *, links: Iterable[Link] = (), refs: Iterable[Ref] = ()) -> Refusals:
    """What was refused and is not due again: sent unchanged it would only be refused again."""
    issues = hands.store.issues_of([link.id for link in links], refs)
    return frozenset(
        (id, mark)
        for issue, mark in standing(hands, issues)
        for id in (issue.link_id, issue.native_id)
        if id is not None
    )


def standing(hands: Hands, issues: Sequence[Issue]) -> list[tuple[Issue, str]]:
    """Issues with the fingerprint of what was refused, of those that are not to be sent again yet: before their time,
    once all tries are used up, or since the values are not taken. Another mapping or other columns over there are a
    reason to try at once, and for values also a newer edit of the record that they were sent to (reliability §8)."""
    if not issues:
        return []
    now = hands.store.now()
    found: list[tuple[Issue, str]] = []
    edited = _edited(hands, issues)
    for issue in issues:
        mark, _, stamp = issue.fingerprint.partition(_AS_OF)[0].partition("@")
        waits = issue.kind in ("held", "failed") if issue.next_try_at is None else issue.next_try_at > now
        if mark and waits and (not stamp or stamp == hands.stamp) and issue.id not in edited:
            found.append((issue, mark))
    return found


_AS_OF: Final = "~"  # between a fingerprint and the version of the record that values were sent to


def _edited(hands: Hands, issues: Sequence[Issue]) -> set[int | None]:
    """Issues about values, of records that have another version than when these were refused."""
    noted: dict[tuple[Side, Entity], dict[str, list[Issue]]] = {}
    for issue in issues:
        if _AS_OF in issue.fingerprint and issue.side is not None and issue.native_id is not None:
            noted.setdefault((issue.side, issue.entity), {}).setdefault(issue.native_id, []).append(issue)
    return {
        issue.id
        for (side, entity), by_id in noted.items()
        for id, stored in hands.store.records(side, entity, sorted(by_id)).items()
        for issue in by_id[id]
        if issue.fingerprint.partition(_AS_OF)[2] != stored.row.version
    }


def _version(hands: Hands, ref: Ref) -> str | None:
    stored = hands.store.records(ref.side, ref.entity, [ref.id]).get(ref.id)
    return stored.row.version if stored is not None else None


def read_back(hands: Hands, side: Side, entity: Entity, outcomes: Iterable[Outcome]) -> dict[str, Row]:
    """Rows as the CRM now shows them: from the answers where it gives them, else one more read."""
    rows: dict[str, Row] = {}
    missing: list[str] = []
    for outcome in outcomes:
        if isinstance(outcome, Written):
            if outcome.row is not None:
                rows[outcome.id] = outcome.row
            else:
                missing.append(outcome.id)
    if missing:
        rows |= hands.connectors[side].fetch(entity, missing)
    return rows


def fresh_rows(hands: Hands, refs: Sequence[Ref]) -> list[Row]:
    rows: list[Row] = []
    for side in SIDES:
        for entity in ENTITIES:
            ids = [ref.id for ref in refs if ref.side == side and ref.entity == entity]
            if ids:
                rows.extend(hands.connectors[side].fetch(entity, ids).values())
    return rows


def journal(columns: Mapping[str, Any]) -> dict[str, Any]:
    return {name: jsonable(value) for name, value in columns.items()}


def outcome_state(outcome: Outcome) -> IntentState:
    """An intent whose outcome is Unknown stays open; told is what is known by then: its answer was lost."""
    match outcome:
        case Written() | Converted():
            return "done"
        case Refused():
            return "refused"
        case Stale():
            return "stale"
        case Later():
            return "later"
        case _:
            return "lost"


def reply_text(outcome: Outcome) -> str:
    if isinstance(outcome, Refused):
        return f"{outcome.code}: {outcome.message}"
    if isinstance(outcome, Written):
        return "adopted" if outcome.adopted else "written"
    return getattr(outcome, "message", "") or type(outcome).__name__.lower()

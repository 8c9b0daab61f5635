"""Carrying out decisions: intent first, one call, then everything it changed in one transaction (reliability §3).

A dry run goes the same way, but for the call and the store: it counts, and lays planned links over the crosswalk.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import mapping
from connectors.base import Write
from crmbridge.model import (
    ENTITIES,
    SIDES,
    Base,
    Create,
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
    Unknown,
    Update,
    Written,
    attribute_name,
    other,
)
from crmbridge.plan import settled_base
from crmbridge.state.words import Batch, Intent, IntentState, Issue, IssuePlace
from crmbridge.sync.hands import Event, Hands, fingerprint, jsonable, new_intent
from crmbridge.sync.view import View, link_ids

T = TypeVar("T")
Refusals = frozenset[tuple[str, str]]  # (shared or native id, fingerprint)

# A create without a state cannot be right; any other problem holds one field and lets the rest go on.
UNMAPPED_STATUS = "unmapped_status"


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

    @property
    def entity(self) -> Entity:
        return self.link.entity


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRecord:
    """A create that is due."""

    create: Create
    source: Seen
    generation: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A create that can be sent."""

    record: NewRecord
    link: Link
    write: Write
    problems: tuple[Problem, ...]


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


# --- creates ------------------------------------------------------------------------------------------------------


def push_creates(hands: Hands, view: View, entity: Entity, records: Sequence[NewRecord]) -> list[Work]:
    """Create partners; returns the new pairs (mode fresh), ready for their life-cycle steps."""
    done: list[Work] = []
    for side in SIDES:
        mine = [record for record in records if record.create.side == side]
        for chunk in chunks(mine, hands.connectors[side].batch_size):
            done.extend(_create_chunk(hands, view, entity, side, chunk))
    return done


def _create_chunk(hands: Hands, view: View, entity: Entity, side: Side, records: Sequence[NewRecord]) -> list[Work]:
    compiled, connector = hands.compiled.entities[entity], hands.connectors[side]
    ready: list[_Ready] = []
    issues: list[Issue] = []
    refused = refusals(hands, refs=[record.source.row.ref for record in records])
    for record in records:
        source = record.source
        put = compiled.put(
            side,
            record.create.fields,
            facts=view.facts(),
            current=None,
            life=None,
            state=None if source.shared.state is None else "open",
            whole=source.shared,
        )
        problems = (*source.shared.problems, *put.problems)
        if put.blocked or any(problem.cause == UNMAPPED_STATUS for problem in problems):
            issues.extend(problem_issues(hands, entity, problems, ref=source.row.ref))
            continue
        if (source.row.ref.id, fingerprint(put.columns)) in refused:
            continue
        link = Link(
            id=str(uuid.uuid4()),
            entity=entity,
            left_id=source.row.ref.id if source.row.ref.side == "left" else None,
            right_id=source.row.ref.id if source.row.ref.side == "right" else None,
            mode="fresh",
            origin=other(side),
            generation=record.generation,
            fillers={side: put.fillers} if put.fillers else {},
            how=record.create.reason,
        )
        chosen = connector.chosen_id(hands.identities[other(side)].org_id, source.row.ref.id, record.generation)
        write = Write(kind="create", entity=entity, id=chosen, key=source.row.ref.id, columns=put.columns)
        ready.append(_Ready(record=record, link=link, write=write, problems=put.problems))
        hands.count(side, entity, "create")
    if hands.dry:
        return [_planned(hands, view, one, side) for one in ready]
    intents = [
        new_intent(
            hands,
            side=side,
            entity=entity,
            kind="create",
            link_id=one.link.id,
            native_id=one.write.id,
            source_id=one.record.source.row.ref.id,
            key=one.write.key,
            reason=one.record.create.reason,
            after=journal(one.write.columns),
        )
        for one in ready
    ]
    hands.record(Batch(open_intents=intents, issues=issues))
    if not ready:
        return []
    outcomes = connector.write([one.write for one in ready])
    return _settle_creates(hands, view, side, ready, intents, outcomes)


def _settle_creates(
    hands: Hands,
    view: View,
    side: Side,
    ready: Sequence["_Ready"],
    intents: Sequence[Intent],
    outcomes: Sequence[Outcome],
) -> list[Work]:
    entity = ready[0].link.entity
    rows = read_back(hands, side, entity, outcomes)
    closed: list[Intent] = []
    links: list[Link] = []
    stored: list[Row] = []
    issues: list[Issue] = []
    over: list[IssuePlace] = []
    works: list[Work] = []
    for one, intent, outcome in zip(ready, intents, outcomes, strict=True):
        record, source = one.record, one.record.source.row
        if isinstance(outcome, Written):
            made = _with_id(one.link, side, outcome.id)
            links.append(made)
            closed.append(replace(intent, state="done", native_id=outcome.id, reply=reply_text(outcome)))
            over.append((entity, None, source.ref.side, source.ref.id, None))
            view.crosswalk.learn(made)
            row = rows.get(outcome.id)
            if row is not None:
                stored.append(row)
                pair: dict[Side, Row] = {side: row, other(side): source}
                work = make_work(view, made, pair)
                # What could not be written is not agreed on; it stays an issue of the pair.
                work.issues.extend(problem_issues(hands, entity, one.problems, link=made, ref=source.ref))
                work.unsettled |= {problem.field for problem in one.problems if problem.cause not in mapping.NOTES}
                works.append(work)
            hands.tell(work_event(made, side, "create", record.create.reason, tuple(record.create.fields)))
        elif isinstance(outcome, Unknown):
            hands.leave_alone(one.link.id, str(source.ref))  # the intent stays open; recovery looks first
        else:
            closed.append(replace(intent, state=outcome_state(outcome), reply=reply_text(outcome)))
            if isinstance(outcome, Refused):
                mark = fingerprint(one.write.columns)
                issues.append(refused_issue(hands, outcome, entity, mark, ref=source.ref))
    hands.record(Batch(rows=stored, links=links, close_intents=closed, issues=issues, close_issues=over))
    return works


def _planned(hands: Hands, view: View, one: "_Ready", side: Side) -> Work:
    """A dry run's stand-in for the new record: what is planned for the source's state is counted as well."""
    record, link = one.record, one.link
    problem_issues(hands, link.entity, one.problems, ref=record.source.row.ref)
    made = _with_id(link, side, f"planned:{link.id}")
    view.crosswalk.learn(made)
    hands.tell(work_event(made, side, "create", record.create.reason, tuple(record.create.fields)))
    closing = {"won": "close", "lost": "close", "disqualified": "disqualify", "converted": "convert"}
    kind = closing.get(record.source.shared.state or "")
    if kind:
        hands.count(side, link.entity, kind)
    return Work(link=made, rows={other(side): record.source.row}, seen={other(side): record.source})


# --- updates ------------------------------------------------------------------------------------------------------


def push_updates(hands: Hands, view: View, due: Sequence[tuple[Work, Update]]) -> None:
    """Field updates of linked pairs, batched per side; outcomes are noted in each Work."""
    for side in SIDES:
        mine = [(work, update) for work, update in due if update.side == side]
        for chunk in chunks(mine, hands.connectors[side].batch_size):
            _update_chunk(hands, view, side, chunk)


def _update_chunk(hands: Hands, view: View, side: Side, due: Sequence[tuple[Work, Update]]) -> None:
    ready: list[tuple[Work, Update, Write]] = []
    links: list[Link] = []
    refused = refusals(hands, links=[work.link for work, _ in due])
    for work, update in due:
        write, link = _update_write(hands, view, side, work, update, refused)
        if write is None:
            continue
        if link is not work.link:
            work.link = link
            links.append(link)
        ready.append((work, update, write))
        hands.count(side, work.entity, "update")
        blanks = sum(1 for value in update.fields.values() if value is None)
        if blanks:
            hands.count(side, work.entity, "blank", blanks)
    if hands.dry:
        for work, update, _ in ready:
            hands.tell(work_event(work.link, side, "update", update.reason, tuple(update.fields)))
        return
    if not ready:
        return
    intents = [
        new_intent(
            hands,
            side=side,
            entity=work.entity,
            kind="update",
            link_id=work.link.id,
            native_id=write.id,
            source_id=work.link.id_on(other(side)),
            reason=update.reason,
            before=journal(_as_they_were(work.rows[side], _sent(hands, side, write))),
            after=journal(_sent(hands, side, write)),
            pre_version=write.version,
        )
        for work, update, write in ready
    ]
    hands.record(Batch(open_intents=intents, links=links))
    outcomes = hands.connectors[side].write([write for _, _, write in ready])
    rows: dict[str, Row] = {}
    for entity in ENTITIES:
        mine = [o for (work, _, _), o in zip(ready, outcomes, strict=True) if work.entity == entity]
        rows |= read_back(hands, side, entity, mine)
    closed: list[Intent] = []
    issues: list[Issue] = []
    stored: list[Row] = []
    moved: list[Ref] = []
    for (work, update, write), intent, outcome in zip(ready, intents, outcomes, strict=True):
        names = tuple(update.fields)
        if isinstance(outcome, Written):
            row = rows.get(outcome.id)
            if row is not None:
                work.rows[side] = row if row.extras else replace(row, extras=work.rows[side].extras)
                stored.append(row)
            work.wrote = True
            closed.append(replace(intent, state="done", reply=reply_text(outcome)))
            hands.tell(work_event(work.link, side, "update", update.reason, names))
            continue
        work.unsettled |= set(names)
        work.open = True
        if isinstance(outcome, Unknown):
            hands.leave_alone(work.link.id)
            continue
        closed.append(replace(intent, state=outcome_state(outcome), reply=reply_text(outcome)))
        if isinstance(outcome, Refused):
            ref = work.rows[side].ref
            work.issues.append(
                refused_issue(hands, outcome, work.entity, fingerprint(write.columns), link=work.link, ref=ref)
            )
        if isinstance(outcome, Stale):
            work.moved = True
            moved.append(work.rows[side].ref)
    stored.extend(fresh_rows(hands, moved))
    hands.record(Batch(rows=stored, dirty=moved, close_intents=closed, issues=issues))


def _update_write(
    hands: Hands, view: View, side: Side, work: Work, update: Update, refused: Refusals
) -> tuple[Write | None, Link]:
    row, seen, link = work.rows[side], work.seen[side], work.link
    put = hands.compiled.entities[work.entity].put(
        side,
        update.fields,
        facts=view.facts(link),
        current=seen.row,
        life=seen.life,
        state=seen.shared.state,
        whole=work.seen[other(side)].shared,
    )
    held = {problem.field for problem in put.problems if problem.cause not in mapping.NOTES}
    work.issues.extend(problem_issues(hands, work.entity, put.problems, link=link, ref=row.ref))
    work.unsettled |= held
    # A record made by a conversion gets our key with its first write, so that it can always be found again.
    keyed = link.mode == "converted" and link.origin != side and hands.connectors[side].key_field is not None
    key = link.id_on(other(side)) if keyed else None
    if not put.columns and key is None:
        return None, link
    if (link.id, fingerprint(put.columns)) in refused:
        work.unsettled |= set(update.fields)
        work.open = work.skipped = True
        return None, link
    if put.fillers:
        fillers = {**link.fillers, side: {**link.fillers.get(side, {}), **put.fillers}}
        link = replace(link, fillers=fillers)
    write = Write(kind="update", entity=work.entity, id=row.ref.id, key=key, version=row.version, columns=put.columns)
    return write, link


# --- settling -----------------------------------------------------------------------------------------------------


def settle(hands: Hands, view: View, works: Iterable[Work]) -> None:
    """New bases, in one transaction per batch; what is left open stays due."""
    if hands.dry:
        return
    todo = [work for work in works if not work.moved]
    for chunk in chunks(todo, 200):
        links: list[Link] = []
        clean: list[tuple[Ref, str | None]] = []
        issues: list[Issue] = []
        over: list[IssuePlace] = []
        for work in chunk:
            links.append(_settled_link(view, work))
            if not work.skipped:
                over.append((work.entity, work.link.id, None, None, None))
            issues.extend(work.issues)
            if not work.open:
                clean.extend((row.ref, row.version) for row in work.rows.values())
        hands.record(Batch(links=links, clean=clean, issues=issues, close_issues=over))


def _settled_link(view: View, work: Work) -> Link:
    left, right = work.rows.get("left"), work.rows.get("right")
    if left is None or right is None:
        return work.link
    seen_left, seen_right = view.see_pair(work.link, left, right, source=work.source or work.link.origin)
    base: Base = settled_base(
        work.link.base, seen_left.shared, seen_right.shared, frozenset(work.unsettled), axes_settled=work.axes_settled
    )
    last_open: dict[Side, str] = dict(work.link.last_open)
    now: dict[Side, Seen] = {"left": seen_left, "right": seen_right}
    for side, seen in now.items():
        if seen.shared.state == "open" and seen.life.status is not None:
            last_open[side] = str(seen.life.status)
    mode = work.link.mode if work.open and work.link.mode != "steady" else "steady"
    return replace(work.link, base=base, mode=mode, last_open=last_open)


# --- shared by all of them ----------------------------------------------------------------------------------------


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
    """The CRM's own words; retried later, or at once when the record, the mapping or the schema changes."""
    side = ref.side if ref and link else other(ref.side) if ref else None
    where = hands.names[side] if side else "the other side"
    return hands.issue(
        "failed",
        cause=outcome.code,
        entity=entity,
        link=link,
        ref=ref,
        field=outcome.fields[0] if outcome.fields else None,
        message=f"{where} refused it: {outcome.message}",
        fix="Correct the record or the rule there; it is tried again by itself, or with: crmbridge retry ISSUE.",
        fingerprint=mark,
    )


def refusals(hands: Hands, *, links: Iterable[Link] = (), refs: Iterable[Ref] = ()) -> Refusals:
    """What was refused and is not due again: sent unchanged it would only be refused again."""
    now = hands.store.now()
    return frozenset(
        (id, issue.fingerprint)
        for issue in hands.store.issues_of([link.id for link in links], refs)
        if issue.next_try_at is not None and issue.next_try_at > now
        for id in (issue.link_id, issue.native_id)
        if id is not None
    )


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


def make_work(view: View, link: Link, rows: dict[Side, Row]) -> Work:
    left, right = view.see_pair(link, rows["left"], rows["right"])
    return Work(link=link, rows=rows, seen={"left": left, "right": right})


def _with_id(link: Link, side: Side, id: str) -> Link:
    return replace(link, left_id=id) if side == "left" else replace(link, right_id=id)


def _sent(hands: Hands, side: Side, write: Write) -> dict[str, Any]:
    """All columns of a write, the one that holds our key among them."""
    field = hands.connectors[side].key_field
    return {**write.columns, **({field: write.key} if field is not None and write.key is not None else {})}


def _as_they_were(row: Row, columns: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: getattr(row.values, attribute_name(name), getattr(row.values, f"_{name}_value", None)) for name in columns
    }


def journal(columns: Mapping[str, Any]) -> dict[str, Any]:
    return {name: jsonable(value) for name, value in columns.items()}


def outcome_state(outcome: Outcome) -> IntentState:
    match outcome:
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

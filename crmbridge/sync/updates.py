"""Field updates of linked pairs, batched per side; outcomes are noted in each Work."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import mapping
from connectors.base import Write
from crmbridge.model import (
    ENTITIES,
    SIDES,
    Link,
    Problem,
    Ref,
    Refused,
    Row,
    Side,
    Stale,
    Unknown,
    Update,
    Written,
    other,
    shown_as,
)
from crmbridge.pauses import paused
from crmbridge.plan import saved_by_others
from crmbridge.state.words import Batch, Intent, IntentState, Issue
from crmbridge.sync.customer import for_update
from crmbridge.sync.hands import Hands, fingerprint, new_intent
from crmbridge.sync.pausing import hold_back
from crmbridge.sync.putback import PutBack, as_it_was, put_back, to_put_back, typed_over
from crmbridge.sync.settle import just_written
from crmbridge.sync.suspects import name_of
from crmbridge.sync.view import View
from crmbridge.sync.work import (
    Order,
    Refusals,
    Work,
    chunks,
    fresh_rows,
    journal,
    outcome_state,
    problem_issues,
    read_back,
    refusals,
    refused_issue,
    reply_text,
    work_event,
)


def push_updates(hands: Hands, view: View, due: Sequence[tuple[Work, Update]]) -> None:
    """Field updates of linked pairs, batched per side; outcomes are noted in each Work."""
    for side in SIDES:
        mine = [(work, update) for work, update in due if update.side == side]
        for chunk in chunks(mine, hands.connectors[side].batch_size):
            _update_chunk(hands, view, side, chunk)


def _update_chunk(hands: Hands, view: View, side: Side, due: Sequence[tuple[Work, Update]]) -> None:
    ready: list[tuple[Work, Update, Write]] = []
    links: list[Link] = []
    hands.at_hand(name_of(work.link) for work, _ in due)
    refused = refusals(hands, links=[work.link for work, _ in due])
    pauses = hands.store.pauses()
    for work, update in due:
        if work.link.id in hands.untouchable:  # an earlier call may still land: nothing is written over it
            work.unsettled |= set(update.fields)
            work.open = True
            continue
        write, link = _update_write(hands, view, side, work, update, refused)
        if write is None:
            continue
        pause = paused(pauses, side, work.entity)
        if pause is not None:
            hold_back(hands, work, pause, side)
            work.unsettled |= set(update.fields)
            continue
        parts = [(update, write)] if hands.dry else _parts(hands, side, work, update, write)
        due_parts = [(work, one, part) for one, part in parts if not _is_refused(work, one, part, refused)]
        if due_parts and link is not work.link:
            work.link = link
            links.append(link)
        ready += due_parts
    if hands.dry:
        for work, update, write in ready:
            columns = journal(_sent(hands, side, write))
            work.orders.append(Order(side=side, kind="update", columns=columns, reason=update.reason, why=update.why))
            _count(hands, side, work, update, "done")
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
            source_at=saved_by_others(work.rows[other(side)], hands.our_users[other(side)]),
            reason=update.reason,
            before=journal(_as_they_were(hands.connectors[side].complete(work.rows[side]), _sent(hands, side, write))),
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
    stored: dict[Ref, Row] = {}
    moved: dict[Ref, None] = {}
    agreed: dict[str, Link] = {}
    counted: set[str] = set()
    back: list[PutBack] = []
    for (work, update, write), intent, outcome in zip(ready, intents, outcomes, strict=True):
        names = tuple(update.fields)
        _count(hands, side, work, update, outcome_state(outcome), again=work.link.id in counted)
        counted.add(work.link.id)
        if isinstance(outcome, Written):
            row = rows.get(outcome.id)
            typed = typed_over(hands, view, work, side, outcome, row, intent.after)
            if typed:
                back.append(to_put_back(hands, work, side, outcome.id, typed, row))
            if row is not None:
                work.rows[side] = row if row.extras else replace(row, extras=work.rows[side].extras)
                stored[row.ref] = row
            work.wrote = True
            work.written[side] |= update.fields
            if row is not None:
                work.link = just_written(hands, view, work, side, update.fields, journal(write.columns))
                agreed[work.link.id] = work.link
            if outcome.unchanged:
                closed.append(replace(intent, state="stale", reply="it was so already"))
                continue
            closed.append(replace(as_it_was(intent, outcome), state="done", reply=reply_text(outcome)))
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
            moved[work.rows[side].ref] = None
    stored |= {row.ref: row for row in fresh_rows(hands, list(moved))}
    hands.record(
        Batch(
            rows=list(stored.values()),
            links=list(agreed.values()),
            dirty=list(moved),
            open_intents=[one.intent for one in back],
            close_intents=closed,
            issues=issues,
        )
    )
    put_back(hands, view, side, back)


def _is_refused(work: Work, update: Update, write: Write, refused: Refusals) -> bool:
    """It was refused as it is now, and waits for its time or for a person."""
    if (work.link.id, fingerprint(write.columns)) not in refused:
        return False
    work.unsettled |= set(update.fields)
    work.open = work.skipped = True
    return True


def _parts(hands: Hands, side: Side, work: Work, update: Update, write: Write) -> list[tuple[Update, Write]]:
    """A column that goes in a call of its own has an intent of its own: what came of it is known by itself."""
    apart = hands.connectors[side].apart.get(work.entity, frozenset()) & write.columns.keys()
    if not apart:
        return [(update, write)]
    ends = hands.compiled.entities[work.entity].ends(side, work.seen[side].shared)
    names = {name for name, end in ends.items() if apart & {*end.parts, *end.wires, end.column}}
    fields = {name: value for name, value in update.fields.items() if name not in names}
    columns = {name: value for name, value in write.columns.items() if name not in apart}
    found = [(replace(update, fields=fields), replace(write, columns=columns))] if columns or write.key else []
    row = hands.connectors[side].complete(work.rows[side])
    for column in sorted(apart):
        mine = {
            name: value for name, value in update.fields.items() if column in {*ends[name].wires, ends[name].column}
        }
        alone = replace(write, key=None, columns={column: write.columns[column]}, expected=_as_they_were(row, [column]))
        found.append((replace(update, fields=mine), alone))
    return found


def _count(hands: Hands, side: Side, work: Work, update: Update, state: IntentState, *, again: bool = False) -> None:
    """`again`: another part of a record that is counted already."""
    if not again:
        hands.came_to(state, side, work.entity, "update")
    blanks = sum(1 for value in update.fields.values() if value is None)
    if blanks:
        hands.came_to(state, side, work.entity, "blank", blanks)


def _update_write(
    hands: Hands, view: View, side: Side, work: Work, update: Update, refused: Refusals
) -> tuple[Write | None, Link]:
    row, seen, link = work.rows[side], work.seen[side], work.link
    belongs = for_update(hands, view, work, side, update.fields, refused)
    work.issues.extend(belongs.issues)
    if not belongs.ready:
        work.unsettled |= set(update.fields)
        work.open = True
        return None, link
    put = hands.compiled.entities[work.entity].put(
        side,
        belongs.fields,
        facts=view.facts(link, whose=work.seen["left"]),
        current=seen.row,
        life=seen.life,
        state=seen.shared.state,
        estimate=seen.shared.estimate,
        whole=work.seen[other(side)].shared,
    )
    held = {problem.field for problem in put.problems if problem.cause not in mapping.NOTES}
    work.issues.extend(problem_issues(hands, work.entity, put.problems, link=link, ref=row.ref))
    work.unsettled |= held
    key = missing_key(hands, work, side)
    columns = {**put.columns, **record_type(hands, work, side)}
    if not columns and key is None:
        return None, link
    if put.fillers:
        fillers = {**link.fillers, side: {**link.fillers.get(side, {}), **put.fillers}}
        link = replace(link, fillers=fillers)
    write = Write(kind="update", entity=work.entity, id=row.ref.id, key=key, version=row.version, columns=columns)
    return write, link


def missing_key(hands: Hands, work: Work, side: Side) -> str | None:
    """A record made by a conversion gets our key with its first write, so that it can always be found again."""
    key = work.link.id_on(other(side))
    keyed = _made_by_conversion(work, side) and hands.connectors[side].key_field is not None
    return key if keyed and work.rows[side].key != key else None


def record_type(hands: Hands, work: Work, side: Side) -> Mapping[str, Any]:
    """A conversion gives what it makes the usual record type; the mapping's own comes with the first write."""
    if not _made_by_conversion(work, side):
        return {}
    compiled, source = hands.compiled.entities[work.entity], work.seen[other(side)].shared
    found = compiled.record_type_of(side, source, work.rows[side])
    if not isinstance(found, Problem):
        return found
    work.issues.extend(problem_issues(hands, work.entity, [found], link=work.link, ref=work.rows[side].ref))
    return {}


def _made_by_conversion(work: Work, side: Side) -> bool:
    return work.link.mode == "converted" and work.link.origin != side


def _sent(hands: Hands, side: Side, write: Write) -> dict[str, Any]:
    """All columns of a write, the one that holds our key among them."""
    field = hands.connectors[side].key_field
    return {**write.columns, **({field: write.key} if field is not None and write.key is not None else {})}


def _as_they_were(row: Row, columns: Iterable[str]) -> dict[str, Any]:
    return {name: shown_as(row.values, name) for name in columns}

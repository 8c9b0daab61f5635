"""Life-cycle steps other than conversions, many to a call: statuses, closes, reopens, stages (lifecycle §3, §4).

All intents of a batch are written before its one call; results come by position, and everything that a batch changed is
settled in one transaction (reliability §3).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from typing import Any, Final, Literal

import mapping
from connectors.base import Move
from crmbridge.model import (
    SIDES,
    Fields,
    Link,
    Money,
    Outcome,
    Ref,
    Refused,
    Row,
    Seen,
    Side,
    Stale,
    State,
    Step,
    Unknown,
    Written,
    other,
)
from crmbridge.pauses import Pause, paused
from crmbridge.plan import is_blank
from crmbridge.state.words import Batch, Intent
from crmbridge.sync.echo import read_elsewhere, shown_as_ours, touched
from crmbridge.sync.hands import Hands, fingerprint, jsonable, new_intent
from crmbridge.sync.pausing import hold_back
from crmbridge.sync.putback import PutBack, put_back, to_put_back, typed_over
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

# What the guard counts a step as; all others are updates.
_KINDS: Final[Mapping[str, Literal["win", "lose", "reopen", "stage"]]] = {
    "win": "win",
    "lose": "lose",
    "reopen": "reopen",
    "stage": "stage",
    "hold": "stage",  # back to the stage it stood at
}
_COUNTED: Final[Mapping[str, str]] = {"win": "close", "lose": "close", "reopen": "reopen", "disqualify": "disqualify"}


_There = Literal["there"]  # nothing to do: what stands there means this already


@dataclass(frozen=True, slots=True, kw_only=True)
class _Due:
    """A step that is due, and the order that carries it out."""

    work: Work
    step: Step
    move: Move
    payload: Mapping[str, Any]  # what the journal keeps of it, and what a refusal is remembered by


def push_steps(hands: Hands, view: View, due: Sequence[tuple[Work, Step]]) -> list[Work]:
    """At most one step of each pair. Returns the pairs whose next step may follow."""
    done: list[Work] = []
    for side in SIDES:
        mine = [(work, step) for work, step in due if step.side == side]
        for chunk in chunks(mine, hands.connectors[side].moves_at_once):
            done.extend(_push_chunk(hands, view, side, chunk))
    return done


def _push_chunk(hands: Hands, view: View, side: Side, some: Sequence[tuple[Work, Step]]) -> list[Work]:
    hands.at_hand(name_of(work.link) for work, _ in some)
    refused = refusals(hands, links=[work.link for work, _ in some])
    pauses = hands.store.pauses()
    due: list[_Due] = []
    there: list[Work] = []
    for work, step in some:
        one = _due(hands, view, work, step, refused, paused(pauses, side, work.entity))
        if one == "there":
            there.append(work)
        elif one is not None:
            due.append(one)
    if hands.dry:
        for one in due:
            step, columns = one.step, journal(one.payload)
            one.work.orders.append(Order(side=side, kind=step.kind, columns=columns, reason=step.reason))
            hands.count(side, one.work.entity, _COUNTED.get(step.kind, "update"))
            hands.tell(work_event(one.work.link, side, one.step.kind, one.step.reason, (), case=one.step.case))
        return [*there, *(one.work for one in due)]
    if not due:
        return there
    intents = [_intent(hands, one) for one in due]
    hands.record(Batch(open_intents=intents))
    outcomes = hands.connectors[side].moves([one.move for one in due])
    return [*there, *_settle_moves(hands, view, side, due, intents, outcomes)]


def _due(
    hands: Hands, view: View, work: Work, step: Step, refused: Refusals, pause: Pause | None
) -> _Due | _There | None:
    side, seen = step.side, work.seen[step.side]
    move = _move(hands, view, work, step)
    if not isinstance(move, Move):
        return move
    payload = {"status": move.status, **move.columns}
    if move.actual_value is not None:
        payload["actual_value"] = move.actual_value
    if (work.link.id, fingerprint(payload)) in refused:
        work.axes_settled, work.open, work.skipped = False, True, True
        return None
    if pause is not None:
        work.axes_settled = False
        hold_back(hands, work, pause, side)
        return None
    work.source = other(side)
    sticky = hands.compiled.entities[work.entity].sticky(side, seen.shared, seen.life)
    if sticky is not None:
        # Even where it was reached only after the pair was last settled (O20).
        work.link = replace(work.link, last_open={**work.link.last_open, side: sticky})
    return _Due(work=work, step=step, move=move, payload=payload)


def _intent(hands: Hands, one: _Due) -> Intent:
    work, side = one.work, one.step.side
    row, seen = work.rows[side], work.seen[side]
    return new_intent(
        hands,
        side=side,
        entity=work.entity,
        kind=one.move.kind,
        link_id=work.link.id,
        native_id=row.ref.id,
        source_id=work.link.id_on(other(side)),
        key=str(one.move.status),
        reason=one.step.reason,
        before=_words(seen),
        after={"state": _target_state(hands, work, one.step), **journal(one.payload)},
        pre_version=row.version,
    )


def _words(seen: Seen) -> dict[str, Any]:
    return {"state": seen.shared.state, "status": jsonable(seen.life.status)}


def _settle_moves(
    hands: Hands,
    view: View,
    side: Side,
    due: Sequence[_Due],
    intents: Sequence[Intent],
    outcomes: Sequence[Outcome],
) -> list[Work]:
    rows = read_back(hands, side, due[0].work.entity, outcomes)
    done: list[Work] = []
    stored: list[Row] = []
    links: list[Link] = []
    moved: list[Ref] = []
    closed: list[Intent] = []
    back: list[PutBack] = []
    for one, intent, outcome in zip(due, intents, outcomes, strict=True):
        work, step = one.work, one.step
        hands.came_to(outcome_state(outcome), side, work.entity, _COUNTED.get(step.kind, "update"))
        if isinstance(outcome, Written):
            there = work.seen[other(side)].shared.fields
            written = {name: there[name] for name in step.fields if name in there}
            row = rows.get(outcome.id)
            was = intent.before
            typed = typed_over(hands, view, work, side, outcome, row, intent.after, step=step)
            if outcome.before is not None and outcome.before.values != work.rows[side].values:
                was = _words(view.see(outcome.before, link=work.link))  # also where somebody moved it unseen
            if typed:
                back.append(to_put_back(hands, work, side, outcome.id, typed, row))
            if row is not None:
                row = row if row.extras else replace(row, extras=work.rows[side].extras)
                before = work.seen[side]
                work.rows[side] = row
                hint, estimate = work.seen[other(side)].shared.status, _by_estimate(hands, work)
                work.seen[side] = view.see(row, link=work.link, hint=hint, estimate=estimate)
                stored.append(row)
                _leave_blanks_open(work, step)
                _see_ours(hands, work, side, before, written, journal(one.move.columns))
            work.wrote = True
            work.stepped[side] = (_target_state(hands, work, step), _target_row(hands, work, step))
            work.written[side] |= written
            done.append(work)
            links.append(work.link)
            if outcome.adopted and row is not None and touched(hands, row):  # somebody was quicker
                closed.append(replace(intent, state="stale", reply="it was so already"))
                continue
            closed.append(replace(intent, state="done", before=was, reply=reply_text(outcome)))
            hands.tell(work_event(work.link, side, step.kind, step.reason, step.fields, case=step.case))
            continue
        work.axes_settled, work.open = False, True
        if isinstance(outcome, Unknown):
            hands.leave_alone(work.link.id)  # the intent stays open; recovery looks first
            continue
        closed.append(replace(intent, state=outcome_state(outcome), reply=reply_text(outcome)))
        if isinstance(outcome, Refused):
            work.issues.append(
                refused_issue(
                    hands, outcome, work.entity, fingerprint(one.payload), link=work.link, ref=work.rows[side].ref
                )
            )
        if isinstance(outcome, Stale):
            work.moved = True
            moved.append(work.rows[side].ref)
    stored.extend(fresh_rows(hands, moved))
    hands.record(
        Batch(
            rows=stored,
            dirty=moved,
            links=links,
            open_intents=[one.intent for one in back],
            close_intents=closed,
        )
    )
    put_back(hands, view, side, back)
    return done


def _see_ours(hands: Hands, work: Work, side: Side, before: Seen, written: Fields, sent: Mapping[str, Any]) -> None:
    """What the step wrote, as the CRM shows it; and what was written earlier where it stands elsewhere since."""
    now, shown = work.seen[side], work.shown[side]
    moved = read_elsewhere(hands, before, now) & shown.keys() & now.shared.fields.keys()
    shown |= {name: now.shared.fields[name] for name in moved}
    shown |= shown_as_ours(hands, now, written, sent)


def _leave_blanks_open(work: Work, step: Step) -> None:
    """A closed opportunity may keep its amount in another column than an open one. Where the side that moved first has
    none, what the other one shows now was never agreed on, and is filled in by the next cycle: it leaves the base
    there. Where the two were never compared since a conversion it stays, and tells what the conversion made there from
    what a person has typed since."""
    source = other(step.side)
    here, there = work.seen[source].shared.fields, work.seen[step.side].shared.fields
    blank = {name for name in step.fields if is_blank(here.get(name)) and not is_blank(there.get(name))}
    if not blank:
        return
    base = work.link.base
    agreed = blank & base.view(source).keys()
    views: dict[Side, Fields] = {
        source: {**base.view(source), **dict.fromkeys(agreed)},
        step.side: {name: value for name, value in base.view(step.side).items() if name not in agreed},
    }
    work.link = replace(work.link, base=replace(base, left=views["left"], right=views["right"]))
    work.unsettled |= blank
    work.open = True


def _move(hands: Hands, view: View, work: Work, step: Step) -> Move | _There | None:
    side, row, seen = step.side, work.rows[step.side], work.seen[step.side]
    compiled = hands.compiled.entities[work.entity]
    there = work.seen[other(side)].shared
    status = _target_row(hands, work, step)
    if status is None:
        return None  # a mapping without an open row moves nothing
    hold = compiled.hold(side)
    if step.on_hold is not None and hold is not None and not (hold.off.stage and not step.on_hold):
        return _hold_move(work, step, hold.on if step.on_hold else hold.off)
    if seen.shared.on_hold and there.on_hold and hold is not None and hold.is_stage(seen.life.status):
        work.source = other(side)  # its stage says that it is on hold, and nothing else: read as this from now on
        return "there"
    last_open = work.link.last_open.get(side) if step.kind in {"reopen", "reactivate", "hold"} else None
    native = compiled.status_for(side, status, life=seen.life, last_open=last_open)
    if native is None:
        work.axes_settled = False
        work.issues.append(
            hands.issue(
                "held",
                cause="unmapped_status",
                entity=work.entity,
                link=work.link,
                ref=row.ref,
                field="status",
                message=f"'{status}' has no value on {hands.names[side]} ({step.case}).",
                fix="Add one to that row of the mapping's status or stage table.",
            )
        )
        return None
    reason = compiled.reason_columns(side, status, seen.row)
    if native == seen.life.status and not reason and _target_state(hands, work, step) == seen.shared.state:
        work.source = other(side)  # the value there already means this, so it is read as this from now on
        return "there"
    wanted: Fields = {
        name: there.fields[name]
        for name in step.fields
        if there.fields.get(name) is not None and not (name == "amount" and seen.life.amount_calculated)  # O5
    }
    state = "won" if step.kind == "win" else "lost" if step.kind == "lose" else "open"
    put = compiled.put(
        side,
        wanted,
        facts=view.facts(work.link),
        current=seen.row,
        life=seen.life,
        state=state,
        estimate=_by_estimate(hands, work),
        whole=there,
    )
    work.issues.extend(problem_issues(hands, work.entity, put.problems, link=work.link, ref=row.ref))
    amount, day = there.fields.get("amount"), there.fields.get("close_date")
    return Move(
        kind=_KINDS.get(step.kind, "status"),
        entity=work.entity,
        id=row.ref.id,
        version=row.version,
        status=native,
        columns={**put.columns, **reason},
        actual_value=amount.amount if step.kind == "win" and isinstance(amount, Money) else None,
        # A date travels as noon UTC, so that no time zone makes another day of it (O6).
        actual_date=datetime.combine(day, time(12), UTC)
        if step.kind in {"win", "lose"} and isinstance(day, date)
        else None,
        subject=step.reason,
        cancel_close=hands.policy(work.seen["left"]).close.cancel_close_activity == "yes",
        extras=row.extras,
    )


def _by_estimate(hands: Hands, work: Work) -> bool:
    return hands.policy(work.seen["left"]).close.won_amount == "estimate"


def _hold_move(work: Work, step: Step, write: mapping.HoldWrite) -> Move:
    row = work.rows[step.side]
    return Move(
        kind="status",
        entity=work.entity,
        id=row.ref.id,
        version=row.version,
        status=write.status,
        columns=write.columns,
        subject=step.reason,
        extras=row.extras,
    )


def _target_row(hands: Hands, work: Work, step: Step) -> str | None:
    return step.status or hands.compiled.entities[work.entity].first_open()


def _target_state(hands: Hands, work: Work, step: Step) -> State | None:
    status = _target_row(hands, work, step)
    return None if status is None else hands.compiled.entities[work.entity].state_of(status)

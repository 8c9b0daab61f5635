"""What somebody typed and we overwrote unseen is given back.

A version that tells seconds (Salesforce's LastModifiedDate) lets a write pass although somebody saved the record within
the second it was read in. The CRM shows what stood there right before our write; where that is neither what the plan
was made from nor ours, and the plan would have been another one with it, it is written back. Our own value counts as
agreed on, so what was typed is an edit to the next comparison, and goes across by the ordinary rules.

The intent for it is written down in the transaction that closes our write: a run that ends in between leaves it to
recovery.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from connectors.base import Write
from crmbridge.model import (
    ENTITIES,
    Later,
    Link,
    Native,
    Ref,
    Refused,
    Row,
    Side,
    Stale,
    Step,
    Unknown,
    Written,
    attribute_name,
    other,
)
from crmbridge.plan import plan_fields
from crmbridge.state.words import PUT_BACK, Batch, Intent
from crmbridge.sync.echo import holds, touched
from crmbridge.sync.hands import Event, Hands, fingerprint, jsonable, new_intent
from crmbridge.sync.living import plan_life
from crmbridge.sync.persons import rules_of
from crmbridge.sync.scope import has_ended
from crmbridge.sync.view import View, link_ids
from crmbridge.sync.work import (
    Work,
    fresh_rows,
    journal,
    make_work,
    outcome_state,
    read_back,
    refused_issue,
    reply_text,
)

REASON: Final = "typed in the same second as the version we went by, and overwritten unseen: put back"
# Somebody may be typing on, and is given way each time; then the next run has it.
ROUNDS_MAX: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBack:
    """An edit to be given back, and how it is written down."""

    intent: Intent
    write: Write
    work: Work | None = None  # None: from recovery, where nothing is planned yet


def typed_over(
    hands: Hands,
    view: View,
    work: Work,
    side: Side,
    outcome: Written,
    after: Row | None,
    sent: Mapping[str, Any],
    step: Step | None = None,
) -> Native:
    """Columns that somebody had typed into since the version that our write went by, with what stood there. To be asked
    while the pair still has the row it was planned from. `sent`: what the intent says; `step`: ours, if it was one."""
    before, version = outcome.before, work.rows[side]
    if before is None or not touched(hands, before):
        return {}
    found = {
        name: value
        for name, value in _moved(outcome.columns, version, before).items()
        if after is None or _is_gone(hands, name, value, after, sent)
    }
    return _not_ours_all_the_same(hands, view, work, before, found, step) if found else {}


def as_it_was(intent: Intent, outcome: Written) -> Intent:
    """For the journal: what stood in the columns right before, where the CRM showed it."""
    if outcome.before is None:
        return intent
    known = {name for name in outcome.columns if name in intent.before}
    values, names = outcome.before.values, {name: attribute_name(name) for name in known}
    shown = {name: jsonable(getattr(values, a)) for name, a in names.items() if hasattr(values, a)}
    return replace(intent, before={**intent.before, **shown})


def _moved(columns: Sequence[str], version: Row, before: Row) -> Native:
    names = {name: attribute_name(name) for name in columns}
    known = {name: a for name, a in names.items() if hasattr(version.values, a) and hasattr(before.values, a)}
    return {
        name: getattr(before.values, a)
        for name, a in known.items()
        if getattr(before.values, a) != getattr(version.values, a)
    }


def _is_gone(hands: Hands, name: str, typed: Any, after: Row, sent: Mapping[str, Any]) -> bool:
    """Does our value stand where his was? It may be the same one, and it may have been typed over again since."""
    if getattr(after.values, attribute_name(name), typed) == typed:
        return False
    ours = sent[name] if name in sent else sent.get("status")  # a step's status has no column of its own there
    return not touched(hands, after) or holds(after, name, ours)


def _not_ours_all_the_same(
    hands: Hands, view: View, work: Work, before: Row, typed: Native, step: Step | None
) -> Native:
    """Without what would have been written just the same had it been seen: by the rules the other side's edit wins."""
    side = before.ref.side
    row = before if before.extras else replace(before, extras=work.rows[side].extras)
    partner = work.planned.get(other(side), work.seen[other(side)]).row  # not as an update of ours has left it since
    again = make_work(view, work.link, {side: row, other(side): partner})
    plan = plan_fields(
        work.entity,
        rules_of(hands, again.seen),
        work.link,
        again.seen["left"],
        again.seen["right"],
        our_users=hands.our_users,
        choices=hands.options.choices,
        ended=lambda ref: has_ended(hands, ref),
    )
    written = {name for update in plan.updates if update.side == side for name in update.fields}
    ends = hands.compiled.entities[work.entity].ends(side, again.seen[side].shared)
    fields = {
        column: name
        for name, end in ends.items()
        for column in (*end.parts, *end.wires, *([end.column] if end.column else []))
    }
    stepped = step is not None and not any(
        (one.side, one.kind, one.status) == (side, step.kind, step.status) for one in plan_life(hands, again).steps
    )
    return {
        column: value
        for column, value in typed.items()
        if (fields[column] not in written if column in fields else stepped)
    }


def to_put_back(hands: Hands, work: Work, side: Side, id: str, typed: Native, after: Row | None) -> PutBack:
    intent = _intent(hands, work.link, side, id, journal(typed), after)
    return PutBack(intent=intent, write=_write(intent, typed), work=work)


def _intent(hands: Hands, link: Link, side: Side, id: str, typed: Mapping[str, Any], after: Row | None) -> Intent:
    ours = {name: getattr(after.values, attribute_name(name), None) for name in typed} if after is not None else {}
    return new_intent(
        hands,
        side=side,
        entity=link.entity,
        kind="update",
        link_id=link.id,
        native_id=id,
        source_id=link.id_on(other(side)),
        key=PUT_BACK,
        reason=REASON,
        before=journal(ours),
        after=typed,
        pre_version=after.version if after is not None else None,
    )


def _write(intent: Intent, columns: Native) -> Write:
    return Write(kind="update", entity=intent.entity, id=intent.native_id, version=intent.pre_version, columns=columns)


def put_back(hands: Hands, view: View, side: Side, due: Sequence[PutBack]) -> None:
    """What was written down is sent; what cannot be now stays written down, and the next run has it."""
    for _ in range(ROUNDS_MAX):
        for one in due:
            if one.intent.pre_version is None:  # what our write came to could not be read
                hands.leave_alone(one.intent.link_id)
        due = [one for one in due if one.intent.pre_version is not None]
        if not due:
            return
        keeper = hands.keepers.get(side)
        if keeper is not None:
            keeper.check()
        due = _send(hands, view, side, due)
    for one in due:
        hands.leave_alone(one.intent.link_id)


def _send(hands: Hands, view: View, side: Side, due: Sequence[PutBack]) -> list[PutBack]:
    """Returns what is to be put back again, since somebody was at it in the meantime."""
    outcomes = hands.connectors[side].write([one.write for one in due])
    rows: dict[str, Row] = {}
    for entity in ENTITIES:
        mine = [outcome for one, outcome in zip(due, outcomes, strict=True) if one.intent.entity == entity]
        rows |= read_back(hands, side, entity, mine)
    stored: list[Row] = []
    closed: list[Intent] = []
    again: list[PutBack] = []
    stale: list[PutBack] = []
    for one, outcome in zip(due, outcomes, strict=True):
        intent, work = one.intent, one.work
        hands.came_to(outcome_state(outcome), side, intent.entity, "update")
        if isinstance(outcome, Later | Unknown):
            hands.leave_alone(intent.link_id)
            continue
        intent = as_it_was(intent, outcome) if isinstance(outcome, Written) else intent
        closed.append(replace(intent, state=outcome_state(outcome), reply=reply_text(outcome)))
        if isinstance(outcome, Written):
            row = rows.get(outcome.id)
            typed = typed_over(hands, view, work, side, outcome, row, intent.after) if work is not None else {}
            if work is not None and typed:
                again.append(to_put_back(hands, work, side, outcome.id, typed, row))
            if row is not None:
                stored.append(row)
            if work is not None:
                work.put_back.add(side)
                if row is not None:
                    work.rows[side] = row if row.extras else replace(row, extras=work.rows[side].extras)
            _tell(hands, intent)
        elif isinstance(outcome, Stale):
            stale.append(one)
        elif isinstance(outcome, Refused) and work is not None:
            mark, ref = fingerprint(one.write.columns), work.rows[side].ref
            work.issues.append(refused_issue(hands, outcome, work.entity, mark, link=work.link, ref=ref))
    fresh = fresh_rows(hands, [_ref(one.intent) for one in stale])
    again += _still_gone(hands, stale, fresh)
    hands.record(
        Batch(
            rows=[*stored, *fresh],
            dirty=[_ref(one) for one in closed],
            open_intents=[one.intent for one in again],
            close_intents=closed,
        )
    )
    return again


def _still_gone(hands: Hands, stale: Sequence[PutBack], fresh: Sequence[Row]) -> list[PutBack]:
    """The record was saved again since: what still shows our value is tried once more."""
    rows = {row.ref: row for row in fresh}
    found: list[PutBack] = []
    for one in stale:
        row = rows.get(_ref(one.intent))
        if row is None:
            continue
        left = [name for name in one.intent.after if holds(row, name, one.intent.before.get(name))]
        if left:
            after = {name: one.intent.after[name] for name in left}
            intent = replace(new_intent(hands, **_words(one.intent)), after=after, pre_version=row.version)
            columns = {name: one.write.columns[name] for name in left}
            found.append(PutBack(intent=intent, write=_write(intent, columns), work=one.work))
        if one.work is not None:
            one.work.rows[row.ref.side] = row
    return found


def put_back_again(hands: Hands, view: View, intent: Intent, row: Row | None, *, may_land: bool) -> bool:
    """After a crash, or where nobody knows whether it was: what still shows our value is put back now. What shows
    neither was typed over since, and that edit stays."""
    left = _still_ours(intent, row) if row is not None else []
    if row is None or row.values is None or not left:
        done = row is not None and any(holds(row, name, typed) for name, typed in intent.after.items())
        reply = "found done after a lost answer" if done else "not needed any more"
        rows = [row] if row is not None else []
        closed = replace(intent, state="done" if done else "lost", reply=reply)
        hands.record(Batch(rows=rows, dirty=[one.ref for one in rows], close_intents=[closed]))
        return True
    if may_land:
        return False
    lost = replace(intent, state="lost", reply="never arrived")
    again = replace(
        new_intent(hands, **_words(intent)),
        after={name: intent.after[name] for name in left},
        before={name: jsonable(getattr(row.values, attribute_name(name), None)) for name in left},
        pre_version=row.version,
    )
    types = hands.compiled.entities[intent.entity].columns(intent.side)
    columns = {
        name: msgspec.convert(intent.after[name], types[name] | None) if name in types else intent.after[name]
        for name in left
    }
    hands.record(Batch(rows=[row], open_intents=[again], close_intents=[lost]))
    put_back(hands, view, intent.side, [PutBack(intent=again, write=_write(again, columns))])
    return True


def _still_ours(intent: Intent, row: Row) -> list[str]:
    gone = [name for name, typed in intent.after.items() if not holds(row, name, typed)]
    return [name for name in gone if not intent.before or holds(row, name, intent.before[name])]


def _words(intent: Intent) -> dict[str, Any]:
    names = ("side", "entity", "kind", "link_id", "native_id", "source_id", "key", "reason", "before", "after")
    return {name: getattr(intent, name) for name in names}


def _ref(intent: Intent) -> Ref:
    return Ref(side=intent.side, entity=intent.entity, id=intent.native_id or "")


def _tell(hands: Hands, intent: Intent) -> None:
    link = hands.store.links([intent.link_id or ""]).get(intent.link_id or "")
    hands.tell(
        Event(
            entity=intent.entity,
            side=intent.side,
            kind="update",
            link_id=intent.link_id,
            ids=link_ids(link) if link is not None else {intent.side: intent.native_id},
            reason=intent.reason,
            fields=tuple(intent.after),
        )
    )

"""The account that stands in for a customer there is none of, where `close.no_customer: placeholder` is chosen (O15).

One on each side that needs it, made as any other record: intent first, under a key or a chosen id that follows from
its place, so that a crash, a lost answer and a second store all find the same one. It has a pair that is ended from the
start, so it never crosses; it reads as no account (`View`), so it never comes back.
"""

from dataclasses import dataclass, replace
from typing import Final

import mapping
from connectors.base import Write
from crmbridge import stand_ins
from crmbridge.model import (
    Entity,
    Fields,
    Link,
    Outcome,
    Problem,
    Ref,
    Refused,
    Row,
    Shared,
    Side,
    Unknown,
    Written,
    other,
)
from crmbridge.state.words import Batch, Intent, Issue, IssueKind
from crmbridge.sync import alike
from crmbridge.sync.hands import Hands, fingerprint, new_intent, same_id
from crmbridge.sync.pausing import pause_of, waits
from crmbridge.sync.view import View
from crmbridge.sync.work import (
    Refusals,
    journal,
    outcome_state,
    problem_issues,
    read_back,
    refused_issue,
    reply_text,
    work_event,
)

ENTITY: Final[Entity] = "account"
NAME: Final = "[no customer]"  # people may rename it: it is known by its id
_HOW: Final = "stands in for a customer that there is none of (O15)"


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """The account, by its id; or why the opportunity has to do without a partner for now."""

    native: str | None = None
    issues: tuple[Issue, ...] = ()


def placeholder(hands: Hands, view: View, side: Side, asks: Ref, link: Link | None, refused: Refusals) -> StandIn:
    """The placeholder on that side, made if there is none yet. `asks`: the opportunity that needs it, of the other
    side; `link`: its pair, if it has one; `refused`: what was refused for it and is not due again."""
    known = hands.stand_ins.get(side)
    if known is not None:
        return StandIn(native=known)
    number, native = _there(hands, side)
    if native is not None:
        hands.stand_ins[side] = native
        return StandIn(native=native)
    if number is None:
        return _held(hands, side, asks, link, "has been deleted too often to be made again")
    own = _new_link(side, number)
    if own.id in hands.untouchable:
        return _unanswered(hands, side, asks, link)
    if ENTITY not in hands.compiled.entities or ENTITY not in hands.options.entities:
        return _held(hands, side, asks, link, "cannot be made, since accounts are not synced")
    if alike.witness(hands.connectors[side]) is not None:
        return _held(hands, side, asks, link, "cannot be made without a key field, which keeps it from being doubled")
    pause = pause_of(hands, side, ENTITY)
    if pause is not None:
        return StandIn(issues=(waits(hands, pause, side, asks.entity, ref=asks),))
    put = _put(hands, view, side)
    if put.blocked:
        return StandIn(issues=tuple(problem_issues(hands, asks.entity, _of_account(put.problems), link=link, ref=asks)))
    if {(asks.id, mark := fingerprint(put.columns)), (link.id if link else "", mark)} & refused:
        return StandIn()
    if hands.dry:
        return StandIn(native=_planned(hands, own, side))
    org = hands.identities[other(side)].org_id
    write = Write(
        kind="create",
        entity=ENTITY,
        id=hands.connectors[side].chosen_id(org, stand_ins.PARTNER, number),
        key=stand_ins.key(org, number),
        columns=put.columns,
    )
    return _made(hands, own, side, write, asks, link)


def is_placeholder(intent: Intent) -> bool:
    return intent.kind == "create" and intent.link_id in stand_ins.LINK_IDS


def adopt(hands: Hands, intent: Intent, row: Row) -> None:
    """It was made, and the answer was lost."""
    assert intent.link_id is not None
    side, number = stand_ins.LINK_IDS[intent.link_id]
    done = replace(intent, state="done", native_id=row.ref.id, reply="adopted after a lost answer")
    hands.record(keep(hands, _new_link(side, number), row, intent=done))
    _tell(hands, _at(_new_link(side, number), side, row.ref.id), side, f"{intent.reason} (found after a lost answer)")


def found_again(hands: Hands, side: Side) -> list[Row]:
    """Placeholders that the store knows as records and not as what they are: it was put back from a backup."""
    org, connector = hands.identities[other(side)].org_id, hands.connectors[side]
    chosen = {connector.chosen_id(org, stand_ins.PARTNER, number): number for number in stand_ins.GENERATIONS}
    keys = {stand_ins.key(org, number): number for number in stand_ins.GENERATIONS}
    rows: list[Row] = []
    for one in hands.store.unlinked(side, ENTITY):
        number = chosen.get(one.row.ref.id) or keys.get(one.row.key or "")
        if number is not None:
            hands.record(keep(hands, _new_link(side, number), one.row))
            rows.append(one.row)
    return rows


def keep(hands: Hands, link: Link, row: Row, *, intent: Intent | None = None) -> Batch:
    """What the store is to know once it is there."""
    hands.stand_ins[row.ref.side] = row.ref.id
    hands.buckets.add(same_id(row.ref.id))
    return Batch(
        rows=[row],
        links=[_at(link, row.ref.side, row.ref.id)],
        close_intents=[intent] if intent is not None else [],
        clean=[(row.ref, row.version)],
    )


# --- parts --------------------------------------------------------------------------------------------------------


def _there(hands: Hands, side: Side) -> tuple[int | None, str | None]:
    """The one that is there; else the number of the one to be made, None if there have been too many."""
    links = hands.store.links([stand_ins.link_id(side, number) for number in stand_ins.GENERATIONS])
    for number in stand_ins.GENERATIONS:
        link = links.get(stand_ins.link_id(side, number))
        if link is None:
            return number, None
        native = link.id_on(side)
        if native is None:
            continue  # a merge made it somebody's own account
        stored = hands.store.records(side, ENTITY, [native]).get(native)
        if stored is None or not (stored.row.deleted or stored.row.merged_into):
            return number, native
    return None, None


def _new_link(side: Side, number: int) -> Link:
    return Link(
        id=stand_ins.link_id(side, number),
        entity=ENTITY,
        left_id=None,
        right_id=None,
        origin=other(side),
        alive=False,
        generation=number,
        how=_HOW,
    )


def _at(link: Link, side: Side, native: str) -> Link:
    return replace(link, left_id=native) if side == "left" else replace(link, right_id=native)


def _put(hands: Hands, view: View, side: Side) -> mapping.Put:
    compiled = hands.compiled.entities[ENTITY]
    fields: Fields = {rule.name: NAME for rule in compiled.rules if rule.name == "name" and side in rule.sides}
    return compiled.put(
        side, fields, facts=view.facts(), current=None, life=None, state=None, whole=Shared(fields=fields)
    )


def _of_account(problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    return tuple(
        replace(problem, message=f"The placeholder account cannot be made: {problem.message}") for problem in problems
    )


def _made(hands: Hands, own: Link, side: Side, write: Write, asks: Ref, link: Link | None) -> StandIn:
    intent = new_intent(
        hands,
        side=side,
        entity=ENTITY,
        kind="create",
        link_id=own.id,
        native_id=write.id,
        key=write.key,
        reason=_HOW,
        after=journal(write.columns),
    )
    hands.record(Batch(open_intents=[intent]))
    outcome: Outcome = hands.connectors[side].write([write])[0]
    hands.came_to(outcome_state(outcome), side, ENTITY, "create")
    if isinstance(outcome, Unknown):
        hands.leave_alone(own.id)  # the intent stays open; recovery looks first
        return _unanswered(hands, side, asks, link)
    closed = replace(intent, state=outcome_state(outcome), reply=reply_text(outcome))
    if not isinstance(outcome, Written):
        hands.record(Batch(close_intents=[closed]))
        if not isinstance(outcome, Refused):
            return _waits(hands, side, asks, link, f": {reply_text(outcome)}")
        mark = fingerprint(write.columns)
        return StandIn(issues=(refused_issue(hands, outcome, asks.entity, mark, link=link, ref=asks),))
    row = read_back(hands, side, ENTITY, [outcome]).get(outcome.id)
    done = replace(closed, native_id=outcome.id)
    if row is None:
        hands.stand_ins[side] = outcome.id
        hands.buckets.add(same_id(outcome.id))
        hands.record(Batch(links=[_at(own, side, outcome.id)], close_intents=[done]))
    else:
        hands.record(keep(hands, own, row, intent=done))
    _tell(hands, _at(own, side, outcome.id), side, _HOW)
    return StandIn(native=outcome.id)


def _planned(hands: Hands, own: Link, side: Side) -> str:
    native = f"planned:{own.id}"
    hands.stand_ins[side] = native
    hands.buckets.add(same_id(native))
    hands.count(side, ENTITY, "create")
    _tell(hands, _at(own, side, native), side, _HOW)
    return native


def _tell(hands: Hands, link: Link, side: Side, reason: str) -> None:
    hands.tell(work_event(link, side, "create", reason, ("name",), case="O15"))


def _unanswered(hands: Hands, side: Side, asks: Ref, link: Link | None) -> StandIn:
    return _waits(hands, side, asks, link, ", whose making was not answered yet.")


def _waits(hands: Hands, side: Side, asks: Ref, link: Link | None, why: str) -> StandIn:
    message = f"Waits for the placeholder account on {hands.names[side]}{why}"
    return _not_yet(hands, asks, link, "waiting", "waiting", message)


def _held(hands: Hands, side: Side, asks: Ref, link: Link | None, why: str) -> StandIn:
    message = (
        "The opportunity has neither account nor contact, and the placeholder account on "
        f"{hands.names[side]} {why} (O15; lifecycle.close.no_customer: placeholder)."
    )
    fix = "Give it an account or a contact; it is then synced by itself. Or choose no_customer: try."
    return _not_yet(hands, asks, link, "held", "O15", message, fix)


def _not_yet(
    hands: Hands, asks: Ref, link: Link | None, kind: IssueKind, cause: str, message: str, fix: str = ""
) -> StandIn:
    issue = hands.issue(kind, cause=cause, entity=asks.entity, link=link, ref=asks, message=message, fix=fix)
    return StandIn(issues=(issue,))

"""A lead whose status says converted, though it is not: converted where it stands (L6, `contradiction: convert_here`).

It is the CRM's own conversion, guarded by the lead: it cannot happen twice. What comes of it is seen as if a person had
converted it, and mirrored from there.
"""

from dataclasses import replace

from connectors.base import Conversion
from crmbridge.lifecycle.conversions import mirrors
from crmbridge.model import Converted, Refused, Stale, Step, Unknown, other, results_of
from crmbridge.state.words import Batch, Intent
from crmbridge.sync.fallback import directories_for
from crmbridge.sync.hands import Event, Hands, fingerprint, new_intent
from crmbridge.sync.pausing import hold_back, pause_of
from crmbridge.sync.view import View, link_ids
from crmbridge.sync.work import Order, Work, outcome_state, refusals, refused_issue

KIND = "convert_here"  # of its intents


def convert_here(hands: Hands, view: View, work: Work, step: Step) -> bool:
    """True never: the pair is planned anew from what the conversion made."""
    del view
    side, row, policy = step.side, work.rows[step.side], hands.policy(work.seen["left"])
    order = Conversion(
        lead_id=row.ref.id,
        lead_version=row.version,
        create_opportunity=policy.convert.opportunity == "always",  # nothing tells that one is wanted
        status=hands.compiled.entities["lead"].converted_status(side, work.seen[side].life),
        record_type=work.seen[side].life.record_type,
        owner_id=_owner(hands, work, step),
    )
    mark = fingerprint({"order": repr(replace(order, lead_version=None))})
    work.axes_settled = False
    if (work.link.id, mark) in refusals(hands, links=[work.link]):
        work.open = work.skipped = True
        return False
    pause = pause_of(hands, side, "lead")
    if pause is not None:
        hold_back(hands, work, pause, side)
        return False
    if hands.dry:
        hands.count(side, "lead", "convert")
        if mirrors(policy, work.seen[side], hands.true_for):
            hands.count(other(side), "lead", "convert")  # its mirror, which follows in the same run
        work.orders.append(Order(side=side, kind="convert", columns={}, reason=step.reason))
        hands.tell(_event(work, step))
        return False
    intent = new_intent(
        hands,
        side=side,
        entity="lead",
        kind=KIND,
        link_id=work.link.id,
        native_id=row.ref.id,
        key=row.ref.id,
        reason=step.reason,
        before={"state": work.seen[side].shared.state},
        after={"state": "converted"},
        pre_version=row.version,
    )
    hands.record(Batch(open_intents=[intent]))
    outcome = hands.connectors[side].convert(order)
    if isinstance(outcome, Converted) or (isinstance(outcome, Unknown) and found_done(hands, intent)):
        close(hands, intent, "converted")
        hands.count(side, "lead", "convert")
        hands.tell(_event(work, step))
        work.moved = True
        return False
    hands.came_to(outcome_state(outcome), side, "lead", "convert")
    work.open = True
    if isinstance(outcome, Unknown):
        hands.leave_alone(work.link.id)  # the intent stays open; recovery looks first
        return False
    reply = f"{outcome.code}: {outcome.message}" if isinstance(outcome, Refused) else getattr(outcome, "message", "")
    if isinstance(outcome, Refused):
        work.issues.append(refused_issue(hands, outcome, "lead", mark, link=work.link, ref=row.ref))
    work.moved = isinstance(outcome, Stale)
    state = "refused" if isinstance(outcome, Refused) else "stale" if work.moved else "later"
    rows = list(hands.connectors[side].fetch("lead", [row.ref.id]).values()) if work.moved else []
    closed = replace(intent, state=state, reply=reply)
    hands.record(Batch(close_intents=[closed], rows=rows, dirty=[one.ref for one in rows]))
    return False


def found_done(hands: Hands, intent: Intent) -> bool:
    """After a lost answer: is the lead converted by now?"""
    assert intent.native_id is not None
    return isinstance(hands.connectors[intent.side].converted(intent.native_id), Converted)


def close(hands: Hands, intent: Intent, reply: str) -> None:
    """Done; the lead as it is now is stored and due, and with it what the conversion made: seen later, by itself, it
    would be a record that bears our name and that nobody wrote down."""
    assert intent.native_id is not None
    connector = hands.connectors[intent.side]
    rows = list(connector.fetch("lead", [intent.native_id]).values())
    for made in [results_of(connector.life(row)) for row in rows]:
        for entity, id in made.items():
            if id is not None and id not in hands.store.records(intent.side, entity, [id]):
                rows.extend(connector.fetch(entity, [id]).values())
    done = replace(intent, state="done", reply=reply)
    hands.record(Batch(rows=rows, dirty=[row.ref for row in rows], close_intents=[done]))


def _owner(hands: Hands, work: Work, step: Step) -> str | None:
    """A queue cannot own what a conversion makes; then it is the fallback."""
    directory = directories_for(hands, work.seen["left"])[step.side]
    owner = work.seen[step.side].shared.fields.get("owner")
    known = directory.user_ids.get(owner) if isinstance(owner, str) else None
    return known or directory.default_owner


def _event(work: Work, step: Step) -> Event:
    return Event(
        entity="lead",
        side=step.side,
        kind="convert",
        link_id=work.link.id,
        ids=link_ids(work.link),
        reason=step.reason,
        cause=step.case,
    )

"""Mirroring one conversion: the other CRM converts its own lead, ids of what exists are given, results are linked.

Exactly once, because both conversions are guarded by the lead itself and because the ledger's row (lead link, epoch)
is unique; a lost answer is followed by reading the lead, never by a second call first (reliability §4).
"""

from collections.abc import Mapping
from dataclasses import replace

from crmbridge.model import (
    Converted,
    Entity,
    Ref,
    Refused,
    Side,
    Stale,
    Step,
    Unknown,
    other,
    results_of,
)
from crmbridge.state.words import Batch, ConversionRow, Intent, IssuePlace
from crmbridge.sync.converted import BEFOREHAND, EXISTING, NEW, event_of, finish, found_converted, link_of
from crmbridge.sync.hands import Hands, fingerprint, new_intent
from crmbridge.sync.named import give_name
from crmbridge.sync.pausing import hold_back, pause_of
from crmbridge.sync.person_holds import made_hold, result_hold
from crmbridge.sync.premade import make_beforehand
from crmbridge.sync.view import View
from crmbridge.sync.ways import Way, case_of, decide_ways, order_for
from crmbridge.sync.work import Order, Work, refused_issue, standing


def mirror(hands: Hands, view: View, work: Work, step: Step) -> bool:
    """Carry out one conversion. True when both sides are converted and linked; otherwise the work tells why not."""
    target, source = step.side, other(step.side)
    ways = decide_ways(hands, view, work, source)
    person = result_hold(hands, work, source) or made_hold(hands, work, ways, target)
    if person is not None:
        _postpone(hands, work, [Way(hold=person)], source)
        return False
    blocked = [way for way in ways.values() if way.wait or way.hold]
    if blocked:
        _postpone(hands, work, blocked, source)
        return False
    made: list[Entity] = [entity for entity, way in ways.items() if way.create]
    pause = pause_of(hands, target, "lead", *made)
    if pause is not None:
        work.axes_settled = False
        hold_back(hands, work, pause, target)
        return False
    account = ways["account"]
    if account.named is not None and not give_name(hands, view, work, target, account.named, account.option):
        return False
    ways = make_beforehand(hands, view, work, ways, source)
    late = [way for way in ways.values() if way.wait]
    if late:
        _postpone(hands, work, late, source)
        return False
    case = case_of(step.case, work.seen[source], ways)
    order = order_for(hands, view, work, ways, target)
    mark = fingerprint({"order": repr(replace(order, lead_version=None)), "lead": work.rows[source].version})
    if _tried_before(hands, work, mark):
        work.axes_settled, work.open, work.skipped = False, True, True
        return False
    if hands.dry:
        hands.count(target, "lead", "convert")
        _plan_results(hands, view, work, ways, source)
        work.orders.append(Order(side=target, kind="convert", columns={}, reason=_reason(step, case, ways)))
        hands.tell(event_of(work.link, target, "convert", _reason(step, case, ways), case))
        return True
    ledger = hands.store.conversion(work.link.id, work.link.epoch)
    if ledger is not None and ledger.state == "done":
        return True
    intent = new_intent(
        hands,
        side=target,
        entity="lead",
        kind="convert",
        link_id=work.link.id,
        native_id=order.lead_id,
        source_id=work.rows[source].ref.id,
        key=order.lead_id,
        reason=_reason(step, case, ways),
        before={"state": work.seen[target].shared.state},
        after={
            "state": "converted",
            "account": order.account_id,
            "contact": order.contact_id,
            "opportunity": order.opportunity_id,
        },
        pre_version=order.lead_version,
    )
    bare = [hands.policy(work.seen["left"]).says("convert.bare_qualified")] if case == "C6" else []
    chosen = [*bare, *_chosen(ways)]
    row = ConversionRow(
        lead_link=work.link.id,
        epoch=work.link.epoch,
        case=case,
        from_side=source,
        state="called",
        detail={
            **{entity: _newness(way) for entity, way in ways.items() if entity != "opportunity" or way.made},
            **({"chosen": chosen} if chosen else {}),
        },
    )
    pairs = [way.pair for way in ways.values() if way.pair]
    for pair in pairs:
        view.crosswalk.learn(pair)
    hands.record(Batch(open_intents=[intent], conversions=[row], links=pairs))
    outcome = hands.connectors[target].convert(order)
    return _after_call(hands, view, work, outcome, intent, row, mark, source)


def adopt(hands: Hands, view: View, work: Work, step: Step) -> bool:
    """Both sides converted on their own (C9): link the results pairwise."""
    target, source = step.side, other(step.side)
    life = work.seen[target].life
    if hands.dry:
        hands.tell(event_of(work.link, target, "adopt", step.reason, step.case))
        return True
    if step.case == "C12":
        return _again(hands, work, step)
    result = Converted(
        lead_id=work.rows[target].ref.id,
        account_id=life.account_id,
        contact_id=life.contact_id,
        opportunity_id=life.opportunity_id,
        adopted=True,
    )
    detail = {"account": EXISTING, "contact": EXISTING, "both": True}
    row = ConversionRow(
        lead_link=work.link.id, epoch=work.link.epoch, case="C9", from_side=source, state="called", detail=detail
    )
    return finish(hands, view, work, result, row, None, source)


def _again(hands: Hands, work: Work, step: Step) -> bool:
    """Converted a second time: a Salesforce lead cannot be, so only what is new now goes over, as ordinary rows."""
    side, ids = step.side, results_of(work.seen[step.side].life)
    made = [Ref(side=side, entity=entity, id=id) for entity, id in ids.items() if id is not None]
    row = ConversionRow(
        lead_link=work.link.id,
        epoch=work.link.epoch,
        case=step.case,
        from_side=side,
        state="done",
        detail={side: {"lead": work.rows[side].ref.id, **ids}},
    )
    work.link = replace(work.link, epoch=work.link.epoch + 1)
    over: list[IssuePlace] = [(ref.entity, None, ref.side, ref.id, "claimed") for ref in made]
    hands.record(Batch(conversions=[row], links=[work.link], touched=made, dirty=made, close_issues=over))
    hands.tell(event_of(work.link, side, "adopt", step.reason, step.case))
    return True


def _after_call(
    hands: Hands,
    view: View,
    work: Work,
    outcome: object,
    intent: Intent,
    row: ConversionRow,
    mark: str,
    source: Side,
) -> bool:
    target = other(source)
    if isinstance(outcome, Unknown):  # look; recovery goes on looking where this is too early
        seen = found_converted(hands, intent, work.seen[source].life)
        if seen is not None:
            hands.count(target, "lead", "convert")
            return finish(hands, view, work, seen, row, intent, source)
        hands.came_to("lost", target, "lead", "convert")
        hands.leave_alone(work.link.id)
        work.axes_settled, work.open = False, True
        return False
    if isinstance(outcome, Converted):
        hands.count(target, "lead", "convert")
        return finish(hands, view, work, outcome, row, intent, source)
    work.axes_settled, work.open = False, True
    if isinstance(outcome, Refused):
        # Nothing was made; the rows on the converted side stay claimed (C10).
        hands.came_to("refused", target, "lead", "convert")
        work.issues.append(refused_issue(hands, outcome, "lead", mark, link=work.link, ref=work.rows[target].ref))
        closed = replace(intent, state="refused", reply=f"{outcome.code}: {outcome.message}")
        hands.record(Batch(close_intents=[closed], conversions=[replace(row, state="held")]))
        return False
    stale = isinstance(outcome, Stale)
    hands.came_to("stale" if stale else "later", target, "lead", "convert")
    closed = replace(intent, state="stale" if stale else "later", reply=getattr(outcome, "message", ""))
    rows = list(hands.connectors[target].fetch("lead", [work.rows[target].ref.id]).values()) if stale else []
    work.moved = stale
    hands.record(
        Batch(
            close_intents=[closed],
            rows=rows,
            dirty=[fresh.ref for fresh in rows],
            conversions=[replace(row, state="planned")],
        )
    )
    return False


def _postpone(hands: Hands, work: Work, blocked: list[Way], source: Side) -> None:
    work.axes_settled = False
    touched: list[Ref] = []
    for way in blocked:
        if way.wait:
            work.open = True
            work.issues.append(
                hands.issue(
                    "waiting",
                    cause="waiting",
                    entity="lead",
                    link=work.link,
                    ref=work.rows[source].ref,
                    message=f"The conversion waits for {way.wait.waits_for}.",
                )
            )
            if way.wait.ref:
                touched.append(way.wait.ref)
        elif way.hold:
            work.issues.append(
                hands.issue(
                    "held",
                    cause=way.hold.cause,
                    entity="lead",
                    link=work.link,
                    message=way.hold.message,
                    fix=way.hold.fix,
                )
            )
    if touched:
        hands.record(Batch(touched=touched, dirty=touched))


def _plan_results(hands: Hands, view: View, work: Work, ways: Mapping[Entity, Way], source: Side) -> None:
    """A dry run: what the conversion would make counts as linked for what is planned after it."""
    for entity, native in results_of(work.seen[source].life).items():
        if native and not ways[entity].given:
            link = link_of(entity, source, native, f"planned:{native}", alive=True, how="planned")
            view.crosswalk.learn(link)
    del hands


def _tried_before(hands: Hands, work: Work, mark: str) -> bool:
    issues = hands.store.open_issues(entity="lead", link_id=work.link.id)
    return any(before == mark for _, before in standing(hands, issues))


def _newness(way: Way) -> str:
    return BEFOREHAND if way.made else EXISTING if way.given else NEW


def _reason(step: Step, case: str, ways: Mapping[Entity, Way]) -> str:
    parts = [f"{entity} {_how(way)}" for entity, way in ways.items()]
    told = "".join(f"; {option}" for option in _chosen(ways) if option not in step.reason)
    reason = step.reason if case == step.case else f"converted there, so converted here ({case})"
    return f"{reason}: {', '.join(parts)}{told}"


def _chosen(ways: Mapping[Entity, Way]) -> list[str]:
    """Options that decided how something comes about, in words."""
    return list(dict.fromkeys(way.option for way in ways.values() if way.option))


def _how(way: Way) -> str:
    return BEFOREHAND if way.made else "new" if way.create else "given" if way.given else "none"

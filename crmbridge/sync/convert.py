"""Mirroring one conversion: the other CRM converts its own lead, ids of what exists are given, results are linked.

Exactly once, because both conversions are guarded by the lead itself and because the ledger's row (lead link, epoch)
is unique; a lost answer is followed by reading the lead, never by a second call first (reliability §4).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from connectors.base import Conversion
from crmbridge.model import (
    RESULTS,
    SIDES,
    Converted,
    Entity,
    Life,
    Link,
    Ref,
    Refused,
    Row,
    Side,
    Stale,
    Step,
    Unknown,
    other,
    results_of,
)
from crmbridge.plan import settled_base
from crmbridge.state.words import Batch, ConversionRow, Intent, IssuePlace
from crmbridge.sync.born import as_made
from crmbridge.sync.echo import touched
from crmbridge.sync.hands import Event, Hands, fingerprint, new_id, new_intent
from crmbridge.sync.observe import fetch_missing
from crmbridge.sync.pausing import hold_back, pause_of
from crmbridge.sync.persons import made_hold, result_hold
from crmbridge.sync.premade import make_beforehand
from crmbridge.sync.view import View, link_ids
from crmbridge.sync.ways import Way, case_of, decide_ways, order_for
from crmbridge.sync.work import Order, Work, refused_issue, stands

# How a result came about, as the ledger keeps it.
NEW, EXISTING, BEFOREHAND = "new", "existing", "made beforehand"


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
        hands.tell(_event(work.link, target, "convert", _reason(step, case, ways), case))
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
        hands.tell(_event(work.link, target, "adopt", step.reason, step.case))
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
    hands.tell(_event(work.link, side, "adopt", step.reason, step.case))
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


# --- after the call -----------------------------------------------------------------------------------------------


def found_converted(hands: Hands, intent: Intent, life: Life) -> Converted | None:
    """What came of a conversion whose answer was lost; None if nothing is known (yet). `life`: the partner's.

    Dynamics ties an opportunity that was there before in a call of its own (C4). If that one is missing the order is
    given again: a converted lead is not converted twice, only tied."""
    target, lead_id = intent.side, intent.native_id
    assert lead_id is not None
    found = hands.connectors[target].converted(lead_id)
    if not isinstance(found, Converted):
        return None
    if found.opportunity_id is not None or life.opportunity_id is None:
        return found
    if "opportunity" in intent.after:
        partner: str | None = intent.after["opportunity"]
    else:  # written down before the order was kept whole
        links = hands.store.links_by_native(other(target), "opportunity", [life.opportunity_id])
        link = links.get(life.opportunity_id)
        partner = link.id_on(target) if link is not None and link.alive else None
    if partner is None:
        return found
    order = Conversion(
        lead_id=lead_id,
        account_id=found.account_id,
        contact_id=found.contact_id,
        opportunity_id=partner,
        create_account=False,
        create_contact=False,
        create_opportunity=False,
    )
    tied = hands.connectors[target].convert(order)
    return tied if isinstance(tied, Converted) else None


def finish(
    hands: Hands,
    view: View,
    work: Work,
    result: Converted,
    row: ConversionRow,
    intent: Intent | None,
    source: Side,
) -> bool:
    """One transaction: ledger done, results linked, bases, journal (lifecycle §1.3)."""
    target = other(source)
    here, there = results_of(work.seen[source].life), results_of(result)
    links: list[Link] = []
    ends: dict[Side, dict[Entity, str | None]] = {source: here, target: there}
    for entity in RESULTS:
        made, clash = _result_link(hands, entity, here[entity], there[entity], source, row)
        if clash:
            if intent is not None and result.adopted:  # ours would have made new ones, or taken what it was given
                intent = replace(intent, state="stale")
            return _clash(hands, work, clash, row, intent)
        if made:
            links.append(made)
    # The conversion may have filled blanks of what it was given (lifecycle §1.1), so all of it is read anew.
    read = hands.connectors[target].fetch_many(
        {"lead": [result.lead_id], **{entity: [id] for entity in RESULTS if (id := there[entity]) is not None}}
    )
    rows = [row for found in read.values() for row in found.values()]
    if intent is not None and result.adopted and _somebody_elses(hands, rows, row, intent):
        intent = replace(intent, state="stale")
    for entity in RESULTS:
        id = here[entity]
        if id is not None:
            fetch_missing(hands, source, entity, [id])
    lead_row = read.get("lead", {}).get(result.lead_id)
    if lead_row is not None:
        work.rows[target] = lead_row
    seen_left, seen_right = view.see_pair(work.link, work.rows["left"], work.rows["right"], source=source)
    work.seen = {"left": seen_left, "right": seen_right}
    work.planned = dict(work.seen)  # the conversion itself is what changed
    base = settled_base(work.link.base, seen_left.shared, seen_right.shared, frozenset(work.unsettled))
    work.link = replace(work.link, base=base, mode="steady", epoch=work.link.epoch + 1)
    work.wrote = True
    ids: dict[Side, Mapping[str, str | None]] = {
        source: {"lead": work.rows[source].ref.id, **here},
        target: {"lead": result.lead_id, **there},
    }
    ledger = replace(row, state="done", detail={**row.detail, "left": ids["left"], "right": ids["right"]})
    touched = [
        Ref(side=side, entity=entity, id=id)
        for entity in RESULTS
        for side in SIDES
        if (id := ends[side][entity]) is not None and not (here[entity] is None and _was_there(row, entity))
    ]
    over: list[IssuePlace] = [(ref.entity, None, ref.side, ref.id, None) for ref in touched]
    over.append(("lead", work.link.id, None, None, None))
    for link in links:
        view.crosswalk.learn(link)
    links = [
        as_made(
            hands,
            view,
            link,
            read.get(link.entity, {}).get(link.id_on(target) or ""),
            lead=None if _was_there(row, link.entity) else work.seen[target],
        )
        for link in links
    ]
    hands.record(
        Batch(
            rows=rows,
            links=[*links, work.link],
            conversions=[ledger],
            close_intents=[_closed(intent, "adopted" if result.adopted else "converted")] if intent else [],
            touched=touched,
            dirty=[*touched, *_filled(hands, row, here, there, target)],
            close_issues=over,
        )
    )
    kind = "adopt" if row.case == "C9" else "convert"
    hands.tell(_event(work.link, target, kind, _told(row, source, hands), row.case))
    return True


def _filled(
    hands: Hands,
    row: ConversionRow,
    here: Mapping[Entity, str | None],
    there: Mapping[Entity, str | None],
    target: Side,
) -> list[Ref]:
    """What was there before and belongs to a pair, though the converted side names nothing of the kind (a contact
    without a company, into a customer's): the conversion has filled its blanks, which go across by the rules."""
    found: list[Ref] = []
    for entity in RESULTS:
        id = there[entity]
        if id is None or here[entity] is not None or not _was_there(row, entity):
            continue
        link = hands.store.links_by_native(target, entity, [id]).get(id)
        if link is not None and link.alive:
            found.append(Ref(side=target, entity=entity, id=id))
    return found


def _somebody_elses(hands: Hands, rows: Sequence[Row], ledger: ConversionRow, intent: Intent) -> bool:
    """Found converted, and neither the lead nor what was made of it was last saved by us: somebody was faster, so it is
    no write of ours and has no line in the journal. It may as well be ours, if an answer was lost on the way. What was
    tied to an opportunity that was there was tied by us."""
    if intent.after.get("opportunity") is not None:
        return False
    made = [row for row in rows if row.ref.entity == "lead" or not _was_there(ledger, row.ref.entity)]
    return bool(made) and all(touched(hands, row) for row in made)


def _closed(intent: Intent, reply: str) -> Intent:
    return replace(intent, state="done" if intent.state == "sent" else intent.state, reply=reply)


def _was_there(row: ConversionRow, entity: Entity) -> bool:
    """Did the conversion take what was there already? Where people converted on both sides nobody knows (C9)."""
    return row.case != "C9" and row.detail.get(entity) in {EXISTING, BEFOREHAND}


def _result_link(
    hands: Hands, entity: Entity, here: str | None, there: str | None, source: Side, row: ConversionRow
) -> tuple[Link | None, str | None]:
    """The link of one result, or why there can be none."""
    target, both = other(source), bool(row.detail.get("both"))
    if there is None:
        return None, None
    linked_there = hands.store.links_by_native(target, entity, [there]).get(there)
    if here is None:
        # The other CRM made what it cannot do without (an account for a contact-only lead): it stays there alone.
        if linked_there is not None or not hands.powers[target].needs_account or entity != "account":
            return None, None
        if row.case == "C6" or _was_there(row, entity):
            return None, None  # nobody decided against it (C6), or it is a customer of its own
        return _link(entity, target, there, None, alive=False, how="made by a conversion, has no counterpart"), None
    linked_here = hands.store.links_by_native(source, entity, [here]).get(here)
    if any(one is not None and not one.alive for one in (linked_here, linked_there)):
        return None, None  # one of the two lost its partner before: a tombstone is never linked again
    ends = (Ref(side=source, entity=entity, id=here), Ref(side=target, entity=entity, id=there))
    if hands.store.erased(ends):
        return None, None
    if linked_here is not None and linked_here.alive:
        if linked_here.id_on(target) == there:
            return None, None
        return None, f"The {entity} it was converted into is linked to another one."
    if linked_there is not None and linked_there.alive:
        return None, f"The {entity} on the other side is linked to another one."
    link = _link(entity, source, here, there, alive=True, how="made by the same conversion")
    return replace(link, mode="matched" if both else "converted", origin=None if both else source), None


def _clash(hands: Hands, work: Work, message: str, row: ConversionRow, intent: Intent | None) -> bool:
    """Converted into another customer than here: a person decides which is right (C9)."""
    work.axes_settled = False
    work.issues.append(
        hands.issue(
            "held",
            cause="C9",
            entity="lead",
            link=work.link,
            message=f"Both leads are converted, but into different customers. {message} (C9)",
            fix="Merge the customers in one CRM, then: crmbridge retry ISSUE.",
        )
    )
    closed = [_closed(intent, "converted into another customer")] if intent else []
    hands.record(Batch(conversions=[replace(row, state="held")], close_intents=closed))
    return False


def _link(entity: Entity, side: Side, id: str, partner: str | None, *, alive: bool, how: str) -> Link:
    left, right = (id, partner) if side == "left" else (partner, id)
    return Link(id=new_id(), entity=entity, left_id=left, right_id=right, alive=alive, how=how)


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
            link = _link(entity, source, native, f"planned:{native}", alive=True, how="planned")
            view.crosswalk.learn(link)
    del hands


def _tried_before(hands: Hands, work: Work, mark: str) -> bool:
    now = hands.store.now()
    return any(
        stands(hands, issue, now) == mark for issue in hands.store.open_issues(entity="lead", link_id=work.link.id)
    )


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


def _told(row: ConversionRow, source: Side, hands: Hands) -> str:
    if row.case == "C9":
        return "converted on both sides; results linked pairwise (C9)"
    return (
        f"converted on {hands.names[source]}, so converted here ({row.case}): "
        f"account {row.detail.get('account')}, contact {row.detail.get('contact')}"
        + "".join(f"; {option}" for option in row.detail.get("chosen", ()))
    )


def _event(link: Link, side: Side, kind: str, reason: str, case: str) -> Event:
    return Event(entity="lead", side=side, kind=kind, link_id=link.id, ids=link_ids(link), reason=reason, cause=case)

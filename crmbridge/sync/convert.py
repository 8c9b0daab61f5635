"""Mirroring one conversion: the other CRM converts its own lead, ids of what exists are given, results are linked.

Exactly once, because both conversions are guarded by the lead itself and because the ledger's row (lead link, epoch)
is unique; a lost answer is followed by reading the lead, never by a second call first (reliability §4).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

from connectors.base import Conversion
from crmbridge.match import Candidate, match
from crmbridge.model import (
    SIDES,
    Converted,
    Entity,
    Hold,
    Link,
    Money,
    Ref,
    Refused,
    Seen,
    Side,
    Stale,
    Step,
    Unknown,
    Unlinked,
    Wait,
    other,
)
from crmbridge.plan import settled_base
from crmbridge.state.words import Batch, ConversionRow, Intent, IssuePlace
from crmbridge.sync.hands import Event, Hands, fingerprint, new_intent
from crmbridge.sync.observe import fetch_missing
from crmbridge.sync.push import Work, refused_issue
from crmbridge.sync.view import View, link_ids

RESULTS: tuple[Literal["account"], Literal["contact"], Literal["opportunity"]] = ("account", "contact", "opportunity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How one of the three results comes about on the other side, decided before the call (lifecycle §1.2)."""

    given: str | None = None  # native id there
    create: bool = False
    pair: Link | None = None  # a match made now, to be linked
    wait: Wait | None = None
    hold: Hold | None = None
    why: str = "none wanted"


def mirror(hands: Hands, view: View, work: Work, step: Step) -> bool:
    """Carry out one conversion. True when both sides are converted and linked; otherwise the work tells why not."""
    target, source = step.side, other(step.side)
    ways = decide_ways(hands, view, work, source)
    blocked = [way for way in ways.values() if way.wait or way.hold]
    if blocked:
        _postpone(hands, work, blocked, source)
        return False
    case = case_of(step.case, work.seen[source], ways)
    order = order_for(hands, view, work, ways, target)
    mark = fingerprint({"order": repr(replace(order, lead_version=None)), "lead": work.rows[source].version})
    if _tried_before(hands, work, mark):
        work.axes_settled, work.open, work.skipped = False, True, True
        return False
    hands.count(target, "lead", "convert")
    if hands.dry:
        _plan_results(hands, view, work, ways, source)
        hands.tell(_event(work.link, target, "convert", _reason(case, ways), case))
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
        reason=_reason(case, ways),
        before={"state": work.seen[target].shared.state},
        after={"state": "converted", "account": order.account_id, "contact": order.contact_id},
        pre_version=order.lead_version,
    )
    row = ConversionRow(
        lead_link=work.link.id,
        epoch=work.link.epoch,
        case=case,
        from_side=source,
        state="called",
        detail={"account": _newness(ways["account"]), "contact": _newness(ways["contact"])},
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
    detail = {"account": "existing", "contact": "existing", "both": True}
    row = ConversionRow(
        lead_link=work.link.id, epoch=work.link.epoch, case="C9", from_side=source, state="called", detail=detail
    )
    return finish(hands, view, work, result, row, None, source)


def _again(hands: Hands, work: Work, step: Step) -> bool:
    """Converted a second time: a Salesforce lead cannot be, so only what is new now goes over, as ordinary rows."""
    side, life = step.side, work.seen[step.side].life
    ids: dict[Entity, str | None] = {
        "account": life.account_id,
        "contact": life.contact_id,
        "opportunity": life.opportunity_id,
    }
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
        seen = hands.connectors[target].converted(work.rows[target].ref.id)
        if isinstance(seen, Converted):
            return finish(hands, view, work, seen, row, intent, source)
        work.axes_settled, work.open = False, True
        return False
    if isinstance(outcome, Converted):
        return finish(hands, view, work, outcome, row, intent, source)
    work.axes_settled, work.open = False, True
    if isinstance(outcome, Refused):
        # Nothing was made; the rows on the converted side stay claimed (C10).
        work.issues.append(refused_issue(hands, outcome, "lead", mark, link=work.link, ref=work.rows[target].ref))
        closed = replace(intent, state="refused", reply=f"{outcome.code}: {outcome.message}")
        hands.record(Batch(close_intents=[closed], conversions=[replace(row, state="held")]))
        return False
    stale = isinstance(outcome, Stale)
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


# --- before the call ----------------------------------------------------------------------------------------------


def decide_ways(hands: Hands, view: View, work: Work, source: Side) -> Mapping[Entity, Way]:
    life = work.seen[source].life
    ids: dict[Entity, str | None] = {
        "account": life.account_id,
        "contact": life.contact_id,
        "opportunity": life.opportunity_id,
    }
    ways: dict[Entity, Way] = {}
    for entity in RESULTS:
        native = ids[entity]
        if native is None:
            ways[entity] = Way()
            continue
        if not hands.dry:
            fetch_missing(hands, source, entity, [native])
        ways[entity] = _way(hands, view, work, source, entity, native, ways)
    if ways["account"].create and ways["contact"].given:
        ways["contact"] = Way(
            hold=Hold(
                cause="C3",
                message="The contact exists on the other side, but under another account than the conversion's.",
                fix="Move the contact there to the right account, or link the accounts, then retry.",
            )
        )
    return ways


def _way(
    hands: Hands,
    view: View,
    work: Work,
    source: Side,
    entity: Entity,
    native: str,
    ways: Mapping[Entity, Way],
) -> Way:
    target = other(source)
    planned = view.crosswalk.planned(Ref(side=source, entity=entity, id=native))
    link = planned or hands.store.links_by_native(source, entity, [native]).get(native)
    if link is not None:
        partner = link.id_on(target)
        if link.alive and partner is not None:
            return Way(given=partner, why="already linked")
        message = (
            f"The {entity} of this conversion has lost its partner on {hands.names[target]}; it was deleted there."
        )
        return Way(hold=Hold(cause="C3", message=message, fix="Restore it there, or convert the lead by hand."))
    stored = hands.store.records(source, entity, [native]).get(native)
    if stored is None or stored.row.values is None or stored.row.deleted:
        message = f"The {entity} of this conversion cannot be read on {hands.names[source]}."
        return Way(hold=Hold(cause="C10", message=message, fix="Give our user the right to read it, then retry."))
    seen = view.see(stored.row)
    if not made_by(work.seen[source], seen):
        ref = Ref(side=source, entity=entity, id=native)
        return Way(wait=Wait(waits_for=f"its {entity}, which is older than the conversion", ref=ref))
    if entity == "opportunity":
        return Way(create=True, why="new")
    return _matched(hands, view, seen, target, entity, ways)


def made_by(lead: Seen, result: Seen) -> bool:
    """Did this conversion make the row, or was it there before? Dynamics tells by the row's own lookup; Salesforce only
    by dates (a date without time, in the organization's zone): a day's slack errs on the harmless side, because a row
    of the same day is still matched before anything is created."""
    if result.life.origin_lead_id is not None:
        return result.life.origin_lead_id == lead.row.ref.id
    if lead.life.converted_at is None or result.row.created_at is None:
        return False
    return result.row.created_at >= lead.life.converted_at - timedelta(days=1)


def _matched(hands: Hands, view: View, seen: Seen, target: Side, entity: Entity, ways: Mapping[Entity, Way]) -> Way:
    compiled = hands.compiled.entities[entity]
    there = list(view.see_all(hands.store.unlinked(target, entity)))
    found = match(
        entity,
        compiled.match,
        {rule.name: rule for rule in compiled.rules},
        [Candidate(id=seen.row.ref.id, fields=seen.shared.fields)],
        [Candidate(id=one.row.ref.id, fields=one.shared.fields) for one in there],
    )
    if found.held:
        ids = ", ".join(found.held[0].right)
        return Way(
            hold=Hold(
                cause="ambiguous_match",
                message=f"Several {entity}s on {hands.names[target]} could be the one of this conversion: {ids}.",
                fix="Choose one: crmbridge resolve ISSUE --with ID.",
            )
        )
    if not found.pairs:
        return Way(create=True, why="new")
    partner = found.pairs[0][1]
    if entity == "contact":
        account = ways["account"].given
        belongs = next(one for one in there if one.row.ref.id == partner).shared.fields.get("account")
        native = (
            belongs.id
            if isinstance(belongs, Unlinked)
            else view.crosswalk.native_id(target, "account", belongs)
            if isinstance(belongs, str)
            else None
        )
        if native != account:
            return Way(
                hold=Hold(
                    cause="C3",
                    message=f"The matching contact on {hands.names[target]} belongs to another account.",
                    fix="Move it to the conversion's account, or link the accounts, then retry.",
                )
            )
    side = seen.row.ref.side
    link = Link(
        id=_new_id(),
        entity=entity,
        left_id=seen.row.ref.id if side == "left" else partner,
        right_id=partner if side == "left" else seen.row.ref.id,
        mode="matched",
        how=f"matched by {found.pairs[0][2]} for a conversion",
    )
    return Way(given=partner, pair=link, why=f"matched by {found.pairs[0][2]}")


def order_for(hands: Hands, view: View, work: Work, ways: Mapping[Entity, Way], target: Side) -> Conversion:
    source = other(target)
    life = work.seen[source].life
    opportunity: Seen | None = None
    if life.opportunity_id:
        stored = hands.store.records(source, "opportunity", [life.opportunity_id]).get(life.opportunity_id)
        opportunity = view.see(stored.row) if stored and stored.row.values is not None else None
    fields = opportunity.shared.fields if opportunity else {}
    amount, name = fields.get("amount"), fields.get("name")
    directory = hands.directories[target]
    currency = amount.currency if isinstance(amount, Money) else hands.directories[source].currency
    needs_account = hands.powers[target].needs_account
    return Conversion(
        lead_id=work.rows[target].ref.id,
        lead_version=work.rows[target].version,
        account_id=ways["account"].given,
        contact_id=ways["contact"].given,
        opportunity_id=ways["opportunity"].given,
        # A contact-only qualification still needs an account where the CRM cannot do without (§1.5).
        create_account=ways["account"].create or (needs_account and life.account_id is None),
        create_contact=ways["contact"].create or (needs_account and life.contact_id is None),
        create_opportunity=ways["opportunity"].create,
        opportunity_name=str(name) if name and ways["opportunity"].create else None,
        status=hands.compiled.entities["lead"].converted_status(target),
        owner_id=_owner(hands, target, fields.get("owner"), work.seen[source].shared.fields.get("owner")),
        currency_id=next((id for id, iso in directory.currencies.items() if iso == currency), None),
    )


def _owner(hands: Hands, target: Side, *emails: object) -> str | None:
    directory = hands.directories[target]
    for email in emails:
        if isinstance(email, str) and email in directory.user_ids:
            return directory.user_ids[email]
    return directory.default_owner


def case_of(case: str, lead: Seen, ways: Mapping[Entity, Way]) -> str:
    if case == "C7":
        return case
    if ways["opportunity"].given:
        return "C4"
    if lead.life.account_id is None:
        return "C5"
    if ways["account"].given or ways["contact"].given:
        return "C3"
    return case


# --- after the call -----------------------------------------------------------------------------------------------


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
    life = work.seen[source].life
    here: dict[Entity, str | None] = {
        "account": life.account_id,
        "contact": life.contact_id,
        "opportunity": life.opportunity_id,
    }
    there: dict[Entity, str | None] = {
        "account": result.account_id,
        "contact": result.contact_id,
        "opportunity": result.opportunity_id,
    }
    links: list[Link] = []
    ends: dict[Side, dict[Entity, str | None]] = {source: here, target: there}
    for entity in RESULTS:
        made, clash = _result_link(
            hands, entity, here[entity], there[entity], source, both=bool(row.detail.get("both"))
        )
        if clash:
            return _clash(hands, work, clash, row, intent)
        if made:
            links.append(made)
    # The conversion may have filled blanks of what it was given (lifecycle §1.1), so all of it is read anew.
    read = hands.connectors[target].fetch_many(
        {"lead": [result.lead_id], **{entity: [id] for entity in RESULTS if (id := there[entity]) is not None}}
    )
    rows = [row for found in read.values() for row in found.values()]
    for entity in RESULTS:
        id = here[entity]
        if id is not None:
            fetch_missing(hands, source, entity, [id])
    lead_row = read.get("lead", {}).get(result.lead_id)
    if lead_row is not None:
        work.rows[target] = lead_row
    seen_left, seen_right = view.see_pair(work.link, work.rows["left"], work.rows["right"], source=source)
    work.seen = {"left": seen_left, "right": seen_right}
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
        if (id := ends[side][entity]) is not None
    ]
    over: list[IssuePlace] = [(ref.entity, None, ref.side, ref.id, None) for ref in touched]
    over.append(("lead", work.link.id, None, None, None))
    for link in links:
        view.crosswalk.learn(link)
    hands.record(
        Batch(
            rows=rows,
            links=[*links, work.link],
            conversions=[ledger],
            close_intents=[replace(intent, state="done", reply="adopted" if result.adopted else "converted")]
            if intent
            else [],
            touched=touched,
            dirty=touched,
            close_issues=over,
        )
    )
    kind = "adopt" if row.case == "C9" else "convert"
    hands.tell(_event(work.link, target, kind, _told(row, source, hands), row.case))
    return True


def _result_link(
    hands: Hands, entity: Entity, here: str | None, there: str | None, source: Side, *, both: bool
) -> tuple[Link | None, str | None]:
    """The link of one result, or why there can be none."""
    target = other(source)
    if there is None:
        return None, None
    linked_there = hands.store.links_by_native(target, entity, [there]).get(there)
    if here is None:
        # The other CRM made what it cannot do without (an account for a contact-only lead): it stays there alone.
        if linked_there is not None or not hands.powers[target].needs_account or entity != "account":
            return None, None
        return _link(entity, target, there, None, alive=False, how="made by a conversion, has no counterpart"), None
    linked_here = hands.store.links_by_native(source, entity, [here]).get(here)
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
    closed = [replace(intent, state="done", reply="converted into another customer")] if intent else []
    hands.record(Batch(conversions=[replace(row, state="held")], close_intents=closed))
    return False


def _link(entity: Entity, side: Side, id: str, partner: str | None, *, alive: bool, how: str) -> Link:
    left, right = (id, partner) if side == "left" else (partner, id)
    return Link(id=_new_id(), entity=entity, left_id=left, right_id=right, alive=alive, how=how)


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
    life = work.seen[source].life
    ids: dict[Entity, str | None] = {
        "account": life.account_id,
        "contact": life.contact_id,
        "opportunity": life.opportunity_id,
    }
    for entity, native in ids.items():
        if native and not ways[entity].given:
            link = _link(entity, source, native, f"planned:{native}", alive=True, how="planned")
            view.crosswalk.learn(link)
    del hands


def _tried_before(hands: Hands, work: Work, mark: str) -> bool:
    now = hands.store.now()
    return any(
        issue.fingerprint == mark and issue.next_try_at is not None and issue.next_try_at > now
        for issue in hands.store.open_issues(entity="lead", link_id=work.link.id)
    )


def _newness(way: Way) -> str:
    return "existing" if way.given else "new"


def _reason(case: str, ways: Mapping[Entity, Way]) -> str:
    parts = [f"{entity} {'new' if way.create else 'given' if way.given else 'none'}" for entity, way in ways.items()]
    return f"converted there, so converted here ({case}): {', '.join(parts)}"


def _told(row: ConversionRow, source: Side, hands: Hands) -> str:
    if row.case == "C9":
        return "converted on both sides; results linked pairwise (C9)"
    return (
        f"converted on {hands.names[source]}, so converted here ({row.case}): "
        f"account {row.detail.get('account')}, contact {row.detail.get('contact')}"
    )


def _event(link: Link, side: Side, kind: str, reason: str, case: str) -> Event:
    return Event(entity="lead", side=side, kind=kind, link_id=link.id, ids=link_ids(link), reason=reason, cause=case)


def _new_id() -> str:
    import uuid

    return str(uuid.uuid4())

"""What a mirrored conversion came to: who did it, what it made and took on each side, and how that is kept.

In one transaction: the ledger's row, the links of the results, the bases, the journal (lifecycle §1.3).
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
    Row,
    Side,
    other,
    results_of,
)
from crmbridge.plan import settled_base
from crmbridge.state.words import Batch, ConversionRow, Intent, IssuePlace
from crmbridge.sync.born import as_made
from crmbridge.sync.echo import touched
from crmbridge.sync.hands import Event, Hands, new_id
from crmbridge.sync.observe import fetch_missing
from crmbridge.sync.view import View, link_ids
from crmbridge.sync.work import Work

# How a result came about, as the ledger keeps it.
NEW, EXISTING, BEFOREHAND = "new", "existing", "made beforehand"


def found_converted(hands: Hands, intent: Intent, life: Life) -> Converted | None:
    """What came of a conversion whose answer was lost; None if nothing is known (yet). `life`: the partner's.

    Dynamics ties an opportunity that was there before in a call of its own (C4). If that one is missing the order is
    given again: a converted lead is not converted twice, only tied."""
    target, lead_id = intent.side, intent.native_id
    assert lead_id is not None
    found = hands.connectors[target].converted(lead_id)
    if not isinstance(found, Converted):
        return None
    if found.opportunity_id is not None or life.opportunity_id is None or not _is_as_called(intent, found):
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


def _is_as_called(intent: Intent, found: Converted) -> bool:
    """Somebody else may have converted it into another customer: nothing of this one is tied to it."""
    return all(intent.after.get(entity) in (None, results_of(found)[entity]) for entity in ("account", "contact"))


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
            return _clash(hands, work, clash, row, intent, result)
        if made:
            links.append(made)
    # The conversion may have filled blanks of what it was given (lifecycle §1.1), so all of it is read anew.
    read = _read_anew(hands, target, result)
    rows = _flat(read)
    if intent is not None and result.adopted and _somebody_elses(hands, rows, row, intent, result):
        intent = replace(intent, state="lost")
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
            origin=_as_read(hands, source, link),
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
    hands.tell(event_of(work.link, target, kind, _told(row, source, hands), row.case))
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


def _as_read(hands: Hands, side: Side, link: Link) -> Row | None:
    id = link.id_on(side)
    stored = hands.store.records(side, link.entity, [id]).get(id) if id is not None else None
    return stored.row if stored is not None else None


def _read_anew(hands: Hands, side: Side, result: Converted) -> Mapping[Entity, Mapping[str, Row]]:
    ids: dict[Entity, list[str]] = {
        entity: [id] for entity, id in results_of(result).items() if entity in RESULTS and id is not None
    }
    return hands.connectors[side].fetch_many({"lead": [result.lead_id], **ids})


def _flat(read: Mapping[Entity, Mapping[str, Row]]) -> list[Row]:
    return [row for found in read.values() for row in found.values()]


def _somebody_elses(
    hands: Hands, rows: Sequence[Row], ledger: ConversionRow, intent: Intent, result: Converted
) -> bool:
    """Found converted, and neither the lead nor what was made of it was last saved by us: somebody was faster, so it is
    no write of ours and has no line in the journal. It may as well be ours, if an answer was lost on the way. What is
    tied to the opportunity that was given was tied by us."""
    given = intent.after.get("opportunity")
    if given is not None and given == result.opportunity_id:
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
        return link_of(entity, target, there, None, alive=False, how="made by a conversion, has no counterpart"), None
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
    link = link_of(entity, source, here, there, alive=True, how="made by the same conversion")
    return replace(link, mode="matched" if both else "converted", origin=None if both else source), None


def _clash(
    hands: Hands, work: Work, message: str, row: ConversionRow, intent: Intent | None, result: Converted
) -> bool:
    """Converted into another customer than here: a person decides which is right (C9). Ours may have made it, and
    somebody merged the customer away before we looked: what is left of it is to be known as ours."""
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
    batch = Batch(conversions=[replace(row, state="held")])
    if intent is not None:
        rows = _flat(_read_anew(hands, intent.side, result))
        # The lead tells alone: the other customer may well have been saved by us last.
        if result.adopted and not any(one.ref.entity == "lead" and not touched(hands, one) for one in rows):
            intent = replace(intent, state="lost")
        closed = [_closed(intent, "converted into another customer")]
        batch = replace(batch, rows=rows, dirty=[one.ref for one in rows], close_intents=closed)
    hands.record(batch)
    return False


def link_of(entity: Entity, side: Side, id: str, partner: str | None, *, alive: bool, how: str) -> Link:
    left, right = (id, partner) if side == "left" else (partner, id)
    return Link(id=new_id(), entity=entity, left_id=left, right_id=right, alive=alive, how=how)


def _told(row: ConversionRow, source: Side, hands: Hands) -> str:
    if row.case == "C9":
        return "converted on both sides; results linked pairwise (C9)"
    return (
        f"converted on {hands.names[source]}, so converted here ({row.case}): "
        f"account {row.detail.get('account')}, contact {row.detail.get('contact')}"
        + "".join(f"; {option}" for option in row.detail.get("chosen", ()))
    )


def event_of(link: Link, side: Side, kind: str, reason: str, case: str) -> Event:
    return Event(entity="lead", side=side, kind=kind, link_id=link.id, ids=link_ids(link), reason=reason, cause=case)

"""How each result of a conversion comes about on the other side, decided before the call (lifecycle §1.2).

What exists is given by its id; what is new is made by the other CRM's own conversion; what was there before the
conversion is synced the ordinary way first; what could be several is for a person.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from connectors.base import Conversion
from crmbridge.ids import new_id
from crmbridge.lifecycle.conversions import LIKE_PERSON, becomes_person, person_name, with_opportunity
from crmbridge.match import Candidate, match
from crmbridge.model import (
    RESULTS,
    SIDES,
    Entity,
    Hold,
    Link,
    Money,
    Ref,
    Seen,
    Side,
    Unlinked,
    Wait,
    other,
    results_of,
)
from crmbridge.plan import is_blank
from crmbridge.policy import Bucket, Policy
from crmbridge.sync.candidates import sharing
from crmbridge.sync.fallback import directories_for
from crmbridge.sync.hands import Hands
from crmbridge.sync.observe import fetch_missing
from crmbridge.sync.persons import as_contact, is_person, other_half
from crmbridge.sync.view import View
from crmbridge.sync.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How one of the three results comes about on the other side, decided before the call (lifecycle §1.2)."""

    given: str | None = None  # native id there
    create: bool = False
    made: bool = False  # made by us beforehand, to be given (`create_by: us`)
    named: str | None = None  # made by the conversion, once the lead there has this for a company
    person: bool = False  # made by the conversion as a person account
    pair: Link | None = None  # a match made now, to be linked
    wait: Wait | None = None
    hold: Hold | None = None
    why: str = "none wanted"
    option: str = ""  # the choice that decided, in words, where it is not the usual one


def decide_ways(hands: Hands, view: View, work: Work, source: Side) -> Mapping[Entity, Way]:
    if hands.identities[source].person_accounts and not hands.dry:
        _look_whether_person(hands, view, work, source)
    life, policy = work.seen[source].life, hands.policy(work.seen["left"])
    ids = results_of(life)
    ways: dict[Entity, Way] = {}
    for entity in RESULTS:
        native = ids[entity]
        if entity == "opportunity" and policy.convert.opportunity != "as source":
            wanted = with_opportunity(work.seen[source], policy)
            if native is None or not wanted:  # what A has crosses as an ordinary record, and so does what B makes
                ways[entity] = Way(create=wanted, why="as chosen", option=policy.says("convert.opportunity"))
                continue
        if native is None:
            ways[entity] = Way()
            continue
        if not hands.dry:
            fetch_missing(hands, source, entity, [native])
        ways[entity] = _way(hands, view, work, source, entity, native, ways)
    if hands.powers[other(source)].needs_account and life.account_id is None:
        ways["account"] = _account_needed(hands, view, work, ways["contact"], source, policy)
    if ways["account"].create and ways["contact"].given:
        ways["contact"] = Way(
            hold=Hold(
                cause="C3",
                message="The contact exists on the other side, but under another account than the conversion's.",
                fix="Move the contact there to the right account, or link the accounts, then retry.",
            )
        )
    return ways


def _look_whether_person(hands: Hands, view: View, work: Work, source: Side) -> None:
    """A person account may not have been read yet when the lead was."""
    account = work.seen[source].life.account_id
    if account is not None:
        fetch_missing(hands, source, "account", [account])
        work.seen[source] = as_contact(hands, work.seen[source], view.crosswalk.shared_id)


def _account_needed(hands: Hands, view: View, work: Work, contact: Way, source: Side, policy: Policy) -> Way:
    """Converted into a contact only, where the other CRM cannot do without an account (lifecycle §1.5).

    A contact that exists there brings its own; else the bucket, or one that the conversion makes by itself."""
    target = other(source)
    if contact.given is not None:
        person = other_half(hands, Ref(side=target, entity="contact", id=contact.given))
        if person is not None:
            return Way(given=person, why="the person account's own")
        stored = hands.store.records(target, "contact", [contact.given]).get(contact.given)
        if stored is not None and stored.row.values is not None:
            own = _native(view, target, view.see(stored.row).shared.fields.get("account"))
            if own is not None:
                return Way(given=own, why="the contact's own")
    choice = policy.convert.contact_only
    persons = all(becomes_person(work.seen[side].shared, policy, hands.powers[target]) for side in SIDES)
    if persons and contact.given is None:
        return Way(person=True, why="a person account", option=policy.says("convert.person_accounts"))
    if isinstance(choice, Bucket):
        return Way(given=choice.bucket, why="the bucket", option=policy.says("convert.contact_only"))
    nameless = all(is_blank(work.seen[side].shared.fields.get("company")) for side in SIDES)
    if choice == LIKE_PERSON and nameless:
        name = person_name(work.seen[source].shared)
        return Way(named=name, why="named like the person", option=policy.says("convert.contact_only"))
    return Way()


def _native(view: View, side: Side, account: object) -> str | None:
    """A contact's account, by its id on that side."""
    if isinstance(account, Unlinked):
        return account.id
    return view.crosswalk.native_id(side, "account", account) if isinstance(account, str) else None


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
    if stored is not None and stored.row.deleted:
        if entity == "opportunity":
            return Way(why="deleted since")  # a conversion is one without it too; restored, it crosses by itself (O1)
        message = f"The {entity} of this conversion was deleted or merged away on {hands.names[source]}."
        return Way(hold=Hold(cause="C10", message=message, fix="Restore it there, or convert the lead by hand."))
    if stored is None or stored.row.values is None:
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
    there = sharing(hands, view, seen, target)
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
        if _native(view, target, belongs) != account:
            return Way(
                hold=Hold(
                    cause="C3",
                    message=f"The matching contact on {hands.names[target]} belongs to another account.",
                    fix="Move it to the conversion's account, or link the accounts, then retry.",
                )
            )
    side = seen.row.ref.side
    link = Link(
        id=new_id(),
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
    contact = ways["contact"].given
    person = contact is not None and is_person(hands, Ref(side=target, entity="contact", id=contact))
    return Conversion(
        lead_id=work.rows[target].ref.id,
        lead_version=work.rows[target].version,
        account_id=ways["account"].given,
        contact_id=None if person else ways["contact"].given,  # it comes with its account (§6.2, unverified)
        opportunity_id=ways["opportunity"].given,
        # A contact-only qualification still needs an account where the CRM cannot do without (§1.5).
        create_account=ways["account"].create or (needs_account and life.account_id is None),
        create_contact=ways["contact"].create or (needs_account and life.contact_id is None),
        create_opportunity=ways["opportunity"].create,
        opportunity_name=str(name) if name and ways["opportunity"].create else None,
        status=hands.compiled.entities["lead"].converted_status(target, work.seen[target].life),
        record_type=work.seen[target].life.record_type,
        owner_id=_owner(hands, work, target, fields.get("owner"), work.seen[source].shared.fields.get("owner")),
        as_person=ways["account"].person,
        currency_id=next((id for id, iso in directory.currencies.items() if iso == currency), None),
    )


def _owner(hands: Hands, work: Work, target: Side, *emails: object) -> str | None:
    directory = directories_for(hands, work.seen["left"])[target]
    for email in emails:
        if isinstance(email, str) and email in directory.user_ids:
            return directory.user_ids[email]
    return directory.default_owner


def case_of(case: str, lead: Seen, ways: Mapping[Entity, Way]) -> str:
    if case == "C7":
        return case
    if case == "C6":
        return case
    given = {entity for entity, way in ways.items() if way.given and not way.made}
    if "opportunity" in given:
        return "C4"
    if lead.life.account_id is None:
        return "C5"
    if given & {"account", "contact"}:
        return "C3"
    return case

"""Who an opportunity belongs to on the other side, where it has no account of its own (O14, O15).

Nobody, as a rule. Where it was chosen, an account stands in that is there for this alone: it is written, and reads as
none, so it never crosses and never comes back. It is left as soon as the opportunity gets a customer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from crmbridge.model import SIDES, Entity, Fields, Hold, Link, Ref, Seen, Side, Unlinked, attribute_name, other
from crmbridge.policy import Bucket, Policy
from crmbridge.stand_ins import as_shared
from crmbridge.state.words import Issue
from crmbridge.sync.hands import Hands
from crmbridge.sync.person_holds import deal_hold
from crmbridge.sync.persons import is_person, other_half, takes_part
from crmbridge.sync.placeholder import placeholder
from crmbridge.sync.view import View
from crmbridge.sync.work import Refusals, Work

_DEAL: Entity = "opportunity"
_FIELDS = frozenset({"account", "contact"})
NO_ACCOUNT: Final = "O14"


@dataclass(frozen=True, slots=True, kw_only=True)
class Belongs:
    """What to write, with an account that stands in; or nothing of it yet, and why."""

    fields: Fields
    issues: tuple[Issue, ...] = ()
    ready: bool = True


def customer_hold(hands: Hands, view: View, seen: Seen) -> Hold | None:
    """A new opportunity whose customer is a contact, and nothing tells which account it is for where one is needed
    (O14); or that has nobody (O15); or a person account."""
    person = deal_hold(hands, seen)
    if person is not None:
        return person
    close = hands.policy(seen).close
    if seen.row.ref.entity != _DEAL or seen.shared.fields.get("account") is not None:
        return None
    if not seen.life.customer_is_contact:
        return _without_customer(hands, seen) if close.no_customer == "hold" else None
    choice = close.contact_customer
    if not hands.powers[other(seen.row.ref.side)].needs_account or choice not in ("hold", "person_account"):
        return None
    if _person_account(hands, view, seen, seen.shared.fields.get("contact")) is not None:
        return None
    if close.contact_customer == "person_account":
        return _no_person(hands, view, seen)
    return Hold(
        cause=NO_ACCOUNT,
        message="The customer of this opportunity is a contact without an account (O14).",
        fix="Give the contact, or the opportunity, an account; it is then synced by itself.",
    )


def _customer(view: View, deal: Seen) -> Ref | None:
    """The contact, as a record of the deal's own side."""
    contact, side = deal.shared.fields.get("contact"), deal.row.ref.side
    native = contact.id if isinstance(contact, Unlinked) else None
    if isinstance(contact, str):
        native = view.crosswalk.native_id(side, "contact", contact)
    return Ref(side=side, entity="contact", id=native) if native is not None else None


def freed(hands: Hands, view: View) -> list[Ref]:
    """Held deals whose customer has been edited since: it may have an account by now."""
    held: dict[Side, list[str]] = {side: [] for side in SIDES}
    for issue in hands.store.open_issues(cause=NO_ACCOUNT):
        if issue.side is not None and issue.native_id is not None and issue.link_id is None:
            held[issue.side].append(issue.native_id)
    if not any(held.values()):
        return []
    pairs = hands.store.pending("contact")
    edited = {stored.row.ref for pair in pairs for stored in (pair.left, pair.right) if stored is not None}
    if not edited:
        return []
    found: list[Ref] = []
    for side, ids in held.items():
        for stored in hands.store.records(side, _DEAL, ids).values() if ids else ():
            contact = view.own_fields(stored.row).get("contact") if stored.row.values is not None else None
            if isinstance(contact, Unlinked) and Ref(side=side, entity="contact", id=contact.id) in edited:
                found.append(stored.row.ref)
    return found


def _no_person(hands: Hands, view: View, deal: Seen) -> Hold | None:
    """A deal that is to be a person account's, whose contact is none there and does not become one."""
    contact, side = _customer(view, deal), other(deal.row.ref.side)
    name = hands.names[side]
    if _becomes_person(hands, deal):
        if isinstance(deal.shared.fields.get("contact"), Unlinked) or contact in becoming_persons(hands, view):
            return None  # it is made first; by a dry run, in mind alone
        why, fix = f"on {name} it is an ordinary contact", f"Make it a person account on {name}"
    elif hands.identities[side].person_accounts:
        why, fix = "person accounts are not synced", "Choose `convert: {person_accounts: on}`"
    else:
        why, fix = f"{name} has no person accounts", "Choose another word for `close.contact_customer`"
    return Hold(
        cause=NO_ACCOUNT,
        message=f"The customer of this opportunity is a contact without an account, and {why} "
        f"(O14; {hands.policy(deal).says('close.contact_customer')}).",
        fix=f"{fix}, or give the contact, or the opportunity, an account; it is then synced by itself.",
    )


def _becomes_person(hands: Hands, deal: Seen) -> bool:
    """Is a new contact that is this new deal's customer made as a person account?"""
    return (
        deal.life.customer_is_contact
        and deal.shared.fields.get("account") is None
        and hands.identities[other(deal.row.ref.side)].person_accounts
        and takes_part(hands, deal)
        and hands.policy(deal).close.contact_customer == "person_account"
    )


def becoming_persons(hands: Hands, view: View) -> frozenset[Ref]:
    """Contacts that are made as person accounts, since a deal that has no partner yet is theirs."""
    if hands.persons is None:
        policies = hands.options.policies.every(_DEAL)
        chosen = any(policy.close.contact_customer == "person_account" for policy in policies)
        hands.persons = frozenset(_customers(hands, view) if chosen else ())
    return hands.persons


def _customers(hands: Hands, view: View) -> Iterator[Ref]:
    for pair in hands.store.pending(_DEAL):
        for stored in (pair.left, pair.right) if pair.link is None else ():
            if stored is None or stored.row.values is None or stored.row.deleted:
                continue
            deal = view.see(stored.row)
            contact = deal.shared.fields.get("contact")
            if isinstance(contact, Unlinked) and _becomes_person(hands, deal):
                yield Ref(side=stored.row.ref.side, entity="contact", id=contact.id)


def _without_customer(hands: Hands, seen: Seen) -> Hold | None:
    if seen.shared.fields.get("contact") is not None:
        return None
    return Hold(
        cause="O15",
        message="The opportunity has neither account nor contact, so none is made on the other side "
        f"(O15; {hands.policy(seen).says('close.no_customer')}).",
        fix="Give it an account or a contact; it is then synced by itself.",
    )


def because(hands: Hands, source: Seen) -> str:
    """The option that decides who a new one belongs to, in words; empty where none does."""
    fields, policy = source.shared.fields, hands.policy(source)
    option = _option(hands, policy, source, fields.get("contact")) if fields.get("account") is None else None
    return f"; {policy.says(option)}" if option else ""


def for_new(hands: Hands, view: View, source: Seen, fields: Fields, refused: Refusals) -> Belongs:
    """Of a record that is to be made on the other side."""
    known = source.shared.fields
    if known.get("account") is not None or not _has_account(hands, source, other(source.row.ref.side)):
        return Belongs(fields=fields)
    stands = _stands_in(hands, view, hands.policy(source), source, known.get("contact"), None, refused)
    return _with(fields, stands) if stands is not None else Belongs(fields=fields)


def for_update(hands: Hands, view: View, work: Work, side: Side, fields: Fields, refused: Refusals) -> Belongs:
    """Of a pair: when its customer goes, or comes."""
    source, there = work.seen[other(side)], work.seen[side]
    known = {**there.shared.fields, **fields}
    if _FIELDS.isdisjoint(fields) or known.get("account") is not None or not _has_account(hands, source, side):
        return Belongs(fields=fields)
    policy = hands.policy(work.seen["left"])
    stands = _stands_in(hands, view, policy, source, known.get("contact"), work.link, refused)
    if stands is not None:
        return _with(fields, stands)
    return Belongs(fields={**fields, "account": None} if _has_stand_in(hands, there) else fields)


def _with(fields: Fields, stands: Belongs) -> Belongs:
    return Belongs(fields={**fields, **stands.fields}, issues=stands.issues, ready=stands.ready)


def _stands_in(
    hands: Hands, view: View, policy: Policy, source: Seen, contact: object, link: Link | None, refused: Refusals
) -> Belongs | None:
    person = _person_account(hands, view, source, contact)
    if person is not None:
        return Belongs(fields={"account": as_shared(person)})
    option, choice = _option(hands, policy, source, contact), policy.close.contact_customer
    if option is None:
        return None
    if option == "close.contact_customer" and isinstance(choice, Bucket):
        return Belongs(fields={"account": as_shared(choice.bucket)})
    found = placeholder(hands, view, other(source.row.ref.side), source.row.ref, link, refused)
    if found.native is None:
        return Belongs(fields={}, issues=found.issues, ready=False)
    return Belongs(fields={"account": as_shared(found.native)})


def _person_account(hands: Hands, view: View, source: Seen, contact: object) -> str | None:
    """Whose customer is a person account on the other side: that account, by its id there."""
    side = other(source.row.ref.side)
    if source.row.ref.entity != _DEAL or not isinstance(contact, str) or not takes_part(hands, source):
        return None
    native = view.crosswalk.native_id(side, "contact", contact)
    return other_half(hands, Ref(side=side, entity="contact", id=native)) if native is not None else None


def _option(hands: Hands, policy: Policy, source: Seen, contact: object) -> str | None:
    """Which option has an account stand in for it on the other side, if any."""
    if source.row.ref.entity != _DEAL:
        return None
    close = policy.close
    if source.life.customer_is_contact:
        needed = hands.powers[other(source.row.ref.side)].needs_account
        return "close.contact_customer" if needed and isinstance(close.contact_customer, Bucket) else None
    return "close.no_customer" if contact is None and close.no_customer == "placeholder" else None


def _has_account(hands: Hands, source: Seen, side: Side) -> bool:
    """Does the mapping write the account of an opportunity there?"""
    if source.row.ref.entity != _DEAL:
        return False
    return any(rule.name == "account" and side in rule.sides for rule in hands.compiled.entities[_DEAL].rules)


def _has_stand_in(hands: Hands, there: Seen) -> bool:
    """Does an account that reads as none stand there? (`View` has taken it out of the fields.)"""
    on = there.row.ref.side
    end = hands.compiled.entities[_DEAL].ends(on, there.shared).get("account")
    wires = end.wires if end is not None else ()
    found = (getattr(there.row.values, attribute_name(wire), None) for wire in wires)
    return any(
        isinstance(native, str)
        and (hands.is_bucket(native) or is_person(hands, Ref(side=on, entity="account", id=native)))
        for native in found
    )

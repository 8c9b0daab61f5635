"""Salesforce's person accounts: an account and a contact in one record (lifecycle §1.5).

Where `convert.person_accounts` is `on`, such a record is a contact without an account for the other side: its account
takes no part by itself, an opportunity of it is the contact's, a conversion into it made a contact only. What goes back
names the account again. `off`, it takes part in nothing (`person_holds`). The connectors tell which records they are
(`Life.person_account`), and each record's own choice counts.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import msgspec

from crmbridge.model import SIDES, Entity, FieldRule, Ref, Seen, Side, Unlinked, Value
from crmbridge.sync.hands import Hands

SharedId = Callable[[Side, Entity, str], str | None]  # native to shared id


def is_person(hands: Hands, ref: Ref) -> bool:
    """Is this account or contact, as far as the store knows it, one of a person account?"""
    return _halves(hands, ref) is not None


def other_half(hands: Hands, ref: Ref) -> str | None:
    """The contact of a person account, or a person contact's account, by its native id."""
    return _halves(hands, ref) or None


def _halves(hands: Hands, ref: Ref) -> str | None:
    """None for what is no person account; empty where the other half is not known."""
    if ref.entity not in ("account", "contact") or not hands.identities[ref.side].person_accounts:
        return None
    stored = hands.store.records(ref.side, ref.entity, [ref.id]).get(ref.id)
    if stored is None:
        return None
    life = hands.connectors[ref.side].life(stored.row)
    return (life.contact_id or life.account_id or "") if life.person_account else None


def takes_part(hands: Hands, seen: Seen) -> bool:
    """Are person accounts synced, as far as this record goes?"""
    return hands.policy(seen).convert.person_accounts == "on"


def left_alone(hands: Hands, seen: Seen) -> bool:
    """A person account that is not synced, or the account of one that is."""
    return seen.life.person_account and (seen.row.ref.entity == "account" or not takes_part(hands, seen))


def as_contact(hands: Hands, seen: Seen, shared_id: SharedId) -> Seen:
    """The record as the other side is to see it: with a contact wherever it names a person account."""
    if not hands.identities[seen.row.ref.side].person_accounts or not takes_part(hands, seen):
        return seen
    match seen.row.ref.entity:
        case "contact" if seen.life.person_account:
            return _with(seen, dict.fromkeys(_links(hands, "contact", "account")))
        case "opportunity":
            return _with(seen, _customer(hands, seen, shared_id))
        case "lead" if seen.life.account_id is not None:
            account = Ref(side=seen.row.ref.side, entity="account", id=seen.life.account_id)
            return replace(seen, life=replace(seen.life, account_id=None)) if is_person(hands, account) else seen
        case _:
            return seen


def _customer(hands: Hands, deal: Seen, shared_id: SharedId) -> Mapping[str, Value]:
    """Of an opportunity whose account is a person account: no account, and its contact where none is named."""
    side, fields = deal.row.ref.side, deal.shared.fields
    found: dict[str, Value] = {}
    for name in _links(hands, "opportunity", "account"):
        value = fields.get(name)
        half = other_half(hands, Ref(side=side, entity="account", id=value.id)) if isinstance(value, Unlinked) else None
        if half is None:
            continue
        found[name] = None
        person = shared_id(side, "contact", half) or Unlinked("contact", half)
        found |= {one: person for one in _links(hands, "opportunity", "contact")[:1] if fields.get(one) is None}
    return found


def _links(hands: Hands, entity: Entity, to: Entity) -> list[str]:
    return [rule.name for rule in hands.compiled.entities[entity].rules if rule.link == to]


def _with(seen: Seen, fields: Mapping[str, Value]) -> Seen:
    if not fields:
        return seen
    return replace(seen, shared=msgspec.structs.replace(seen.shared, fields={**seen.shared.fields, **fields}))


def rules_of(hands: Hands, seen: Mapping[Side, Seen]) -> tuple[FieldRule, ...]:
    """The mapping's rules as they hold for a pair: a person account has no account that could be changed."""
    rules = hands.rules(seen["left"])
    person = any(seen[side].life.person_account for side in SIDES)
    return tuple(rule for rule in rules if rule.link != "account") if person else rules

"""Salesforce's person accounts: an account and a contact in one record, which are not synced (lifecycle §1.5).

Such a record takes part in nothing: it gets no partner, neither a twin that is there already nor one of ours, and what
hangs on it is held for a person instead of crossing without its customer. A conversion that Salesforce would answer
with a person account is held as well. `View` and the connectors tell which records they are (`Life.person_account`).
"""

from collections.abc import Mapping
from typing import Final

from crmbridge.model import Entity, Hold, Ref, Seen, Side, Unlinked, attribute_name, results_of
from crmbridge.sync.hands import Hands
from crmbridge.sync.ways import Way
from crmbridge.sync.work import Work

CAUSE: Final = "person_account"
_FIX: Final = "Work on it in both systems by hand, or give it an ordinary account."


def is_person(hands: Hands, ref: Ref) -> bool:
    """Is this account or contact, as far as the store knows it, one of a person account?"""
    if ref.entity not in ("account", "contact") or not hands.identities[ref.side].person_accounts:
        return False
    stored = hands.store.records(ref.side, ref.entity, [ref.id]).get(ref.id)
    return stored is not None and hands.connectors[ref.side].life(stored.row).person_account


def twin_hold(hands: Hands, seen: Seen, twin: Seen, key: str) -> Hold:
    """Two records are the same by a key, and one of them is a person account."""
    person = seen if seen.life.person_account else twin
    return Hold(
        cause=CAUSE,
        message=f"It is the same by {key} as {twin.row.ref.id} on {hands.names[twin.row.ref.side]}, and on "
        f"{hands.names[person.row.ref.side]} it is a person account, which is not synced.",
        fix=_FIX,
    )


def deal_hold(hands: Hands, deal: Seen) -> Hold | None:
    """A new opportunity whose customer is a person account."""
    account = deal.shared.fields.get("account")
    if deal.row.ref.entity != "opportunity" or not isinstance(account, Unlinked):
        return None
    if not is_person(hands, Ref(side=deal.row.ref.side, entity="account", id=account.id)):
        return None
    return Hold(
        cause=CAUSE,
        message="The account of this opportunity is a person account, which is not synced, so it would cross without "
        "a customer.",
        fix="Give it an ordinary account, or make its partner by hand: crmbridge resolve ISSUE --with ID.",
    )


def result_hold(hands: Hands, work: Work, source: Side) -> Hold | None:
    """A conversion into a person account (C5)."""
    for entity, native in results_of(work.seen[source].life).items():
        if native is not None and is_person(hands, Ref(side=source, entity=entity, id=native)):
            policy = hands.policy(work.seen["left"])
            return Hold(
                cause="C5",
                message="The lead was converted into a person account, which is not synced "
                f"(C5; {policy.says('convert.person_accounts')}).",
                fix="Convert the lead on the other side by hand.",
            )
    return None


def made_hold(hands: Hands, work: Work, ways: Mapping[Entity, Way], target: Side) -> Hold | None:
    """A lead without a company, which that org would convert into a person account (salesforce-api §6.5)."""
    if not hands.identities[target].person_accounts or ways["account"].given is not None:
        return None
    if ways["account"].named is not None:
        return None  # it gets one first
    if not _no_company(hands, work, target):
        return None
    policy = hands.policy(work.seen["left"])
    return Hold(
        cause="C5",
        message=f"The lead on {hands.names[target]} has no company, so its conversion would make a person account, "
        f"which is not synced (C5; {policy.says('convert.person_accounts')}).",
        fix="Fill in the company there; the conversion is then carried out by itself.",
    )


def _no_company(hands: Hands, work: Work, target: Side) -> bool:
    """Does the CRM itself see none? What stands in for one reads as none here, and is one there."""
    end = hands.compiled.entities["lead"].sides[target].at(work.seen[target].shared.state).ends.get("company")
    wires = end.wires if end is not None else ()
    return any(getattr(work.rows[target].values, attribute_name(wire), "") is None for wire in wires)

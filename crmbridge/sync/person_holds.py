"""What a person account holds up (lifecycle §1.5): one that is not synced (`convert.person_accounts: off`) gets no
partner, neither a twin that is there already nor one of ours, and what hangs on it waits for a person instead of
crossing without its customer. A conversion that would make one where the other side made an ordinary account waits too.
"""

from collections.abc import Mapping
from typing import Final

from crmbridge.model import Entity, Hold, Ref, Seen, Side, Unlinked, attribute_name, results_of
from crmbridge.sync.hands import Hands
from crmbridge.sync.persons import is_person, takes_part
from crmbridge.sync.ways import Way
from crmbridge.sync.work import Work

CAUSE: Final = "person_account"
_FIX: Final = "Work on it in both systems by hand, or give it an ordinary account."


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
    if takes_part(hands, work.seen["left"]):
        return None
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
    if ways["account"].named is not None or ways["account"].person:
        return None  # it gets one first, or is to become one
    if not _no_company(hands, work, target):
        return None
    policy = hands.policy(work.seen["left"])
    why = (
        "and it became an ordinary account on the other side"
        if takes_part(hands, work.seen["left"])
        else "which is not synced"
    )
    return Hold(
        cause="C5",
        message=f"The lead on {hands.names[target]} has no company, so its conversion would make a person account, "
        f"{why} (C5; {policy.says('convert.person_accounts')}).",
        fix="Fill in the company there; the conversion is then carried out by itself.",
    )


def _no_company(hands: Hands, work: Work, target: Side) -> bool:
    """Does the CRM itself see none? What stands in for one reads as none here, and is one there."""
    end = hands.compiled.entities["lead"].ends(target, work.seen[target].shared).get("company")
    wires = end.wires if end is not None else ()
    return any(getattr(work.rows[target].values, attribute_name(wire), "") is None for wire in wires)

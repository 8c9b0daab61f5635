"""Conversions: which are mirrored, into what, and what a converted lead leaves behind (C1-C14, L12, L13)."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from crmbridge.lifecycle.plan import LifePlan, holding
from crmbridge.lifecycle.powers import Powers
from crmbridge.model import SIDES, Entity, Hold, Link, Report, Seen, Shared, Side, Step, other
from crmbridge.policy import DEFAULT, Bucket, Policy

# The cause of what is told of conversions that `convert.mirror` leaves alone.
NOT_MIRRORED = "not_mirrored"


# The choice of `convert.contact_only` for people who have no company.
LIKE_PERSON: Final = "account named like the person"


# Its choice of a person account, with or without a company.
PERSON: Final = "person_account"


def mirrors(policy: Policy, lead: Seen, true_for: Callable[[object, Seen], bool]) -> bool:
    """Is this lead's conversion carried out on the other side? What it made waits while that cannot be told."""
    choice = policy.convert.mirror
    return choice == "always" or policy.undecided is not None or true_for(choice, lead)


def not_mirrored(policy: Policy) -> Report:
    return Report(
        cause=NOT_MIRRORED,
        message="The lead was converted; no lead is converted on the other side for it, and what it made is synced as "
        f"ordinary records ({policy.says('convert.mirror')}).",
    )


def left_unmirrored(policy: Policy) -> LifePlan:
    return LifePlan(reports=(not_mirrored(policy),), heirs=True)


def plan_let_go(by: str) -> LifePlan:
    """A person has given up a conversion that the other CRM refuses: what it made crosses as ordinary records (C10)."""
    hold = Hold(
        cause="C10",
        message="The lead is not converted here, and what it became there is synced as ordinary records; so decided "
        f"{by} (C10).",
        fix="Convert it here by hand, into these records, and the two are linked; or: crmbridge resolve ISSUE.",
    )
    return LifePlan(holds=(hold,), axes_settled=False, heirs=True)


def both_converted(link: Link, seen: Mapping[Side, Seen], policy: Policy) -> LifePlan:
    known = [side for side in SIDES if link.base.axes(side).state == "converted"]
    if len(known) == len(SIDES):
        return LifePlan()
    fresh: Side = "right" if known == ["left"] else "left"
    if link.epoch:
        again = Step(
            case="C12",
            kind="adopt",
            side=fresh,
            reason="opened again and converted again; what it made this time is new on the other side, "
            "whose lead is not converted twice (C12)",
        )
        return LifePlan(steps=(again,))
    if policy.convert.both == "hold":
        return holding(
            "C9",
            f"The lead was converted on both sides; what that made was not linked ({policy.says('convert.both')}).",
            "Compare what the two became. To link it pairwise choose both: link, then: crmbridge retry ISSUE.",
        )
    step = Step(
        case="C9",
        kind="adopt",
        side=fresh,
        status=seen[fresh].shared.status,
        reason="converted on both sides; the results are linked pairwise (C9)",
    )
    return LifePlan(steps=(step,))


def one_converted(
    link: Link,
    seen: Mapping[Side, Seen],
    side: Side,
    powers: Mapping[Side, Powers],
    mirror_since: datetime | None,
    policy: Policy,
) -> LifePlan:
    target, life, there = other(side), seen[side].life, seen[other(side)].shared
    if link.epoch:
        return _reactivated(there, policy, target)
    bare = is_bare(seen[side], powers[side])
    if bare and policy.convert.bare_qualified == "ignore":
        return LifePlan(heirs=True)  # its status says so, and that is all there is to it
    if bare and policy.convert.bare_qualified == "hold":
        return holding(
            "C6",
            "The lead is qualified, but nothing was made of it: no account, no contact, no opportunity.",
            "Reactivate and qualify it properly, or close it as disqualified; then it is mirrored.",
        )
    if mirror_since is not None and life.converted_at is not None and life.converted_at < mirror_since:
        return holding(
            "before_mirror_since",
            "The lead was converted before mirroring began, so the conversion is not carried out on the other side.",
            "Convert it there by hand, or set an earlier lifecycle.mirror_since.",
        )
    if powers[target].needs_account and not life.account_id:
        held = _without_account(seen[side], policy, powers[target])
        if held is not None:
            return held
    case = conversion_case(seen[side], policy)
    if bare:
        case = "C6"
    reason = f"converted there, so converted here ({case}{_because(case, policy)})"
    if there.state == "disqualified":
        if policy.close.over_disqualified == "hold":
            return holding(
                "C7",
                "The lead was converted, but its partner is disqualified, so it is not converted "
                f"({policy.says('close.over_disqualified')}).",
                "Open the partner again, then it is converted; or convert it by hand.",
            )
        case, reason = "C7", "converted there; disqualified here, so opened again and converted (C7)"
    return LifePlan(steps=(Step(case=case, kind="convert", side=target, reason=reason),))


def is_bare(lead: Seen, powers: Powers) -> bool:
    """Qualified by its status alone: nothing was made of it, nothing is named (C6)."""
    life = lead.life
    return powers.converts_bare and not (life.account_id or life.contact_id or life.opportunity_id)


def _without_account(lead: Seen, policy: Policy, powers: Powers) -> LifePlan | None:
    """The other CRM cannot convert without an account: is there a way, or is it held (C5)?"""
    choice = policy.convert.contact_only
    if becomes_person(lead.shared, policy, powers):
        return None
    if choice == PERSON:
        return holding(
            "C5",
            "The lead was qualified into a contact only and is to become a person account; the other CRM has none, or "
            f"they are not synced ({policy.says('convert.contact_only')}; {policy.says('convert.person_accounts')}).",
            "Have person accounts switched on there and choose person_accounts: on, or choose another contact_only.",
        )
    if choice == "hold":
        return holding(
            "C5",
            "The lead was qualified into a contact only, and the other CRM needs an account "
            f"({policy.says('convert.contact_only')}).",
            "Give the contact an account, or convert the lead by hand, then retry.",
        )
    if choice == LIKE_PERSON and person_name(lead.shared) is not None:
        return None
    if not isinstance(choice, Bucket) and lead.shared.fields.get("company") in {None, ""}:
        return holding(
            "C5",
            "The lead was qualified into a contact only and has no company; the other CRM needs an account.",
            "Fill in the company on the lead, or give the contact an account, then retry.",
        )
    return None


def becomes_person(lead: Shared, policy: Policy, powers: Powers) -> bool:
    """Is it converted into a person account, where there are any: somebody without a company, or whoever it is?"""
    on = powers.makes_persons and policy.convert.person_accounts == "on"
    return on and (policy.convert.contact_only == PERSON or lead.fields.get("company") in {None, ""})


def person_name(lead: Shared) -> str | None:
    """What the person of a lead is called: an account may be named so."""
    whole = lead.fields.get("full_name")
    parts = [whole] if whole else [lead.fields.get("first_name"), lead.fields.get("last_name")]
    return " ".join(part.strip() for part in parts if isinstance(part, str) and part.strip()) or None


def _because(case: str, policy: Policy) -> str:
    """The option that decided, where it is not the usual one."""
    if case == "C6":
        return f"; {policy.says('convert.bare_qualified')}"
    return "" if policy.convert.opportunity == "as source" else f"; {policy.says('convert.opportunity')}"


def conversion_case(source: Seen, policy: Policy = DEFAULT) -> str:
    """C1 or C2 by what the conversion made; C3 to C5 are told apart by the executor, which knows the links."""
    return "C1" if with_opportunity(source, policy) else "C2"


def with_opportunity(source: Seen, policy: Policy) -> bool:
    choice = policy.convert.opportunity
    return choice == "always" or (choice == "as source" and source.life.opportunity_id is not None)


def _reactivated(there: Shared, policy: Policy, opened: Side) -> LifePlan:
    """Both were converted, and one was opened again: a Salesforce lead can never follow (C11, C13)."""
    if there.state == "disqualified":
        report = Report(
            cause="C13",
            message="The lead was opened again after its conversion and then disqualified; the other side stays "
            "converted, its opportunity is not closed (C13).",
        )
        return LifePlan(reports=(report,))
    if policy.convert.reactivated == "leave":
        left = Report(
            cause="C11",
            message="The lead was opened again after its conversion; the other side stays converted, and edits go to "
            f"what it became (C11; {policy.says('convert.reactivated')}).",
        )
        return LifePlan(reports=(left,), heirs=True)
    if policy.convert.reactivated == "new_lead":
        again = Step(
            case="C11",
            kind="new_lead",
            side=other(opened),
            reason="opened again after its conversion, so it gets a new lead here "
            f"(C11; {policy.says('convert.reactivated')})",
        )
        return LifePlan(steps=(again,), axes_settled=False)
    held = holding(
        "C11",
        "The lead was opened again after its conversion; a converted lead on the other side cannot be opened again.",
        "Qualify it again, or leave it: edits then go to its contact, account and opportunity by hand.",
    )
    # What is seen is settled: that it is open now tells a later conversion from the first one (C12).
    return replace(held, axes_settled=True)


def recreates(lead: Seen, policy: Policy, mirror_since: datetime | None) -> bool:
    """A lead was converted whose partner is gone: does it get a new one, to be converted (C8)?

    Whether its conversion is mirrored at all (`mirrors`) is not asked here."""
    converted_at = lead.life.converted_at
    early = mirror_since is not None and converted_at is not None and converted_at < mirror_since
    return policy.convert.recreate_lead == "yes" and not early


def plan_orphan_conversion() -> Report:
    """A lead was converted whose partner is gone, and no lead is made for it (default `recreate_lead: no`)."""
    return Report(
        cause="C8",
        message="The lead was converted, and its partner on the other side is gone; what it made is synced as ordinary "
        "records (C8).",
    )


_ADDRESS = frozenset({"street", "city", "region", "postal_code", "country"})


def late_places(name: str, has: Callable[[Entity, str], bool]) -> tuple[tuple[Entity, str], ...]:
    """Where a converted lead's field lives on: as the CRMs' own conversion carries it (L12, L13).

    `has`: does the mapping of that entity have a field of that shared name."""
    if name == "company":
        return (("account", "name"),) if has("account", "name") else ()
    order: tuple[Entity, ...] = ("contact", "account", "opportunity")
    found: tuple[tuple[Entity, str], ...] = tuple((entity, name) for entity in order if has(entity, name))
    return tuple(one for one in found if one[0] != "opportunity") if name in _ADDRESS else found[:1]

"""What an event in one CRM's life cycle does in the other: pure functions from (base, left, right) to legal steps.

The cases carry the ids of the life-cycle tables in docs/reference/lifecycle.md (L1-L15 leads, C1-C14 conversions,
O1-O21 opportunities, A1-A10 accounts and contacts), each with its default. Labels never decide, flags do.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from crmbridge.model import (
    INACTIVE,
    SIDES,
    Axes,
    Entity,
    Hold,
    Link,
    Report,
    Seen,
    Shared,
    Side,
    Step,
    other,
)
from crmbridge.policy import DEFAULT, Bucket, Policy

# The cause of what is told of conversions that `convert.mirror` leaves alone.
NOT_MIRRORED = "not_mirrored"
# The choice of `convert.contact_only` for people who have no company.
LIKE_PERSON: Final = "account named like the person"
# Its choice of a person account, with or without a company.
PERSON: Final = "person_account"
# The fields that close and reopen carry along, so that amount and date of a won deal arrive with it (O6, O9).
CLOSE_FIELDS = ("amount", "close_date")


@dataclass(frozen=True, slots=True, kw_only=True)
class Powers:
    """What the system on one side can do in a life cycle; from the connector's system, not from configuration."""

    reactivates_leads: bool  # Dynamics: a qualified lead can be opened again; Salesforce: never
    converts_bare: bool  # Dynamics: a lead can be "qualified" without making anything
    needs_account: bool  # Salesforce: a conversion needs an account
    takes_opportunity: bool  # Salesforce: convertLead takes an existing opportunity
    closes_through_open: bool  # Dynamics: won <-> lost only through open
    deactivates: bool  # Dynamics: an account or a contact can be inactive; Salesforce has no such state
    rows_tell_origin: bool  # Dynamics: a row names the lead it was made from; Salesforce: only the lead names its rows
    # Salesforce, in an org that has them: a lead without a company becomes a person account (salesforce-api §6.5).
    makes_persons: bool = False


SALESFORCE = Powers(
    reactivates_leads=False,
    converts_bare=False,
    needs_account=True,
    takes_opportunity=True,
    closes_through_open=False,
    deactivates=False,
    rows_tell_origin=False,
)
DYNAMICS = Powers(
    reactivates_leads=True,
    converts_bare=True,
    needs_account=False,
    takes_opportunity=False,
    closes_through_open=True,
    deactivates=True,
    rows_tell_origin=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LifePlan:
    steps: tuple[Step, ...] = ()
    holds: tuple[Hold, ...] = ()
    reports: tuple[Report, ...] = ()
    axes_settled: bool = True  # False: the base keeps its axes, so that the matter is seen again
    carried: Mapping[Side, frozenset[str]] = field(default_factory=dict)  # side -> fields its steps write
    heirs: bool = False  # edits meant for a converted lead go to what it became, though the other is not converted


# --- leads --------------------------------------------------------------------------------------------------------


def plan_lead(
    link: Link,
    left: Seen,
    right: Seen,
    *,
    powers: Mapping[Side, Powers],
    last_edit: Side | None,
    mirror_since: datetime | None = None,
    policy: Policy = DEFAULT,
    true_for: Callable[[object, Seen], bool] = lambda choice, lead: False,
) -> LifePlan:
    """Steps for a linked pair of leads. `true_for`: is this choice a `{when: …}` that is true for the lead?"""
    seen: Mapping[Side, Seen] = {"left": left, "right": right}
    converted = {side: seen[side].shared.state == "converted" for side in SIDES}
    if converted["left"] and converted["right"]:
        return _both_converted(link, seen, policy)
    for side in SIDES:
        if converted[side]:
            if not link.epoch and not mirrors(policy, seen[side], true_for):
                return _not_mirrored(policy)
            return _one_converted(link, seen, side, powers, mirror_since, policy)
    return _open_leads(link, seen, last_edit, policy)


def mirrors(policy: Policy, lead: Seen, true_for: Callable[[object, Seen], bool]) -> bool:
    """Is this lead's conversion carried out on the other side?"""
    choice = policy.convert.mirror
    return choice == "always" or true_for(choice, lead)


def not_mirrored(policy: Policy) -> Report:
    return Report(
        cause=NOT_MIRRORED,
        message="The lead was converted; no lead is converted on the other side for it, and what it made is synced as "
        f"ordinary records ({policy.says('convert.mirror')}).",
    )


def _not_mirrored(policy: Policy) -> LifePlan:
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


def _both_converted(link: Link, seen: Mapping[Side, Seen], policy: Policy) -> LifePlan:
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
        return _held(
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


def _one_converted(
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
        return _held(
            "C6",
            "The lead is qualified, but nothing was made of it: no account, no contact, no opportunity.",
            "Reactivate and qualify it properly, or close it as disqualified; then it is mirrored.",
        )
    if mirror_since is not None and life.converted_at is not None and life.converted_at < mirror_since:
        return _held(
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
            return _held(
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
        return _held(
            "C5",
            "The lead was qualified into a contact only and is to become a person account; the other CRM has none, or "
            f"they are not synced ({policy.says('convert.contact_only')}; {policy.says('convert.person_accounts')}).",
            "Have person accounts switched on there and choose person_accounts: on, or choose another contact_only.",
        )
    if choice == "hold":
        return _held(
            "C5",
            "The lead was qualified into a contact only, and the other CRM needs an account "
            f"({policy.says('convert.contact_only')}).",
            "Give the contact an account, or convert the lead by hand, then retry.",
        )
    if choice == LIKE_PERSON and person_name(lead.shared) is not None:
        return None
    if not isinstance(choice, Bucket) and lead.shared.fields.get("company") in {None, ""}:
        return _held(
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
    held = _held(
        "C11",
        "The lead was opened again after its conversion; a converted lead on the other side cannot be opened again.",
        "Qualify it again, or leave it: edits then go to its contact, account and opportunity by hand.",
    )
    # What is seen is settled: that it is open now tells a later conversion from the first one (C12).
    return replace(held, axes_settled=True)


def is_ignored(shared: Shared, there: Shared, policy: Policy) -> bool:
    """Is it open where no row of the table reaches, and is that nobody's concern (L3, O3)? What is disqualified there
    is another matter: only a row could tell whether it is open again. A deal's flag tells (O9)."""
    chosen = policy.move.unmapped == "ignore" and shared.status is None and shared.contradiction is None
    return chosen and shared.state == "open" and there.state in {"open", "won", "lost"}


def _has_moved(link: Link, seen: Mapping[Side, Seen], side: Side, policy: Policy) -> bool:
    """Since the pair was agreed on; to stand at what is ignored is no move, as long as it was open before."""
    here, base = seen[side].shared, link.base.axes(side)
    passed_over = base.state == "open" and is_ignored(here, seen[other(side)].shared, policy)
    return not passed_over and not _same_axes(here, base)


def _open_leads(link: Link, seen: Mapping[Side, Seen], last_edit: Side | None, policy: Policy) -> LifePlan:
    reports = tuple(
        Report(cause="L6", message=f"{text} Nothing of it is written to the other side (L6).")
        for side in SIDES
        if (text := seen[side].shared.contradiction)
    )
    contradicted: set[Side] = {side for side in SIDES if seen[side].shared.contradiction}
    if link.mode == "matched" or (link.mode == "steady" and _never_agreed(link)):
        return _states_at_first_sight(seen, reports, frozenset(contradicted))
    if contradicted and policy.convert.contradiction == "convert_here":
        return _converted_here(contradicted, policy)
    changed: dict[Side, bool] = {
        side: _has_moved(link, seen, side, policy) and side not in contradicted for side in SIDES
    }
    # A partner that was just made follows the record it was made from.
    source = link.origin if link.mode == "fresh" else _source(changed, last_edit)
    if source is None and not contradicted:
        return _known_difference(seen, reports)
    if source is None or source in contradicted or _agree(seen):
        return LifePlan(reports=reports)
    target = other(source)
    if target in contradicted:
        return LifePlan(reports=reports, axes_settled=False)
    status = seen[source].shared.status
    if status is None:  # unmapped: the translation's own issue tells which value
        ignored = is_ignored(seen[source].shared, seen[target].shared, policy)
        return LifePlan(reports=reports, axes_settled=ignored)
    now, there = seen[source].shared.state, seen[target].shared.state
    if now == "disqualified":
        if seen[target].life.opportunity_id:
            return _held(
                "L4",
                "The lead was disqualified, but on the other side an opportunity hangs on it.",
                "Close or move that opportunity, then retry.",
                reports,
            )
        step = Step(case="L4", kind="disqualify", side=target, status=status, reason="disqualified there (L4)")
    elif there == "disqualified":
        step = Step(case="L5", kind="reactivate", side=target, status=status, reason="opened again there (L5)")
    else:
        step = Step(case="L3", kind="status", side=target, status=status, reason="status changed there (L3)")
    return LifePlan(steps=(step,), reports=reports)


def _converted_here(contradicted: Collection[Side], policy: Policy) -> LifePlan:
    """The label was meant: the lead is converted where it stands, and that conversion is then mirrored."""
    step = Step(
        case="L6",
        kind="convert_here",
        side="left" if "left" in contradicted else "right",
        reason=f"its status says converted, so it is converted here (L6; {policy.says('convert.contradiction')})",
    )
    return LifePlan(steps=(step,), axes_settled=False)


# --- opportunities ------------------------------------------------------------------------------------------------


def plan_opportunity(
    link: Link,
    left: Seen,
    right: Seen,
    *,
    powers: Mapping[Side, Powers],
    last_edit: Side | None,
    holds: bool = False,
    policy: Policy = DEFAULT,
) -> LifePlan:
    """Steps for a linked pair of opportunities. `holds`: both sides can say that one is on hold."""
    seen: Mapping[Side, Seen] = {"left": left, "right": right}
    reports = tuple(
        Report(cause="O21", message=f"{text} The flag decides (O21).")
        for side in SIDES
        if (text := seen[side].shared.contradiction)
    )
    if link.mode == "matched" or (link.mode == "steady" and _never_agreed(link)):
        return _states_at_first_sight(seen, reports, frozenset())
    if link.mode in {"fresh", "converted"} and link.origin is not None:
        # The partner was just made: the origin's state is the wanted one. But nothing is made closed: if it is, and we
        # were not the last to save it, a person was quicker than our first look.
        made = other(link.origin)
        closed_there = last_edit == made and seen[made].shared.state in {"won", "lost"}
        if closed_there and seen[link.origin].shared.state == "open":
            return _opportunity_toward(link.origin, seen, powers, reports, holds=holds, policy=policy)
        return _opportunity_toward(made, seen, powers, reports, holds=holds, policy=policy)
    changed: dict[Side, bool] = {side: _has_moved(link, seen, side, policy) for side in SIDES}
    # Where one side cannot say that it is on hold, that alone moves nothing (O4).
    for side in SIDES:
        base = link.base.axes(side)
        if (
            not holds
            and changed[side]
            and seen[side].shared.state == base.state
            and seen[side].shared.status == base.status
        ):
            changed[side] = False
    if _agree(seen, holds=holds):
        return LifePlan(reports=reports)
    if changed["left"] and changed["right"]:
        closed: list[Side] = [side for side in SIDES if seen[side].shared.state in {"won", "lost"}]
        if len(closed) == len(SIDES):
            return _held(
                "O20",
                "The opportunity was closed on both sides, differently.",
                "Correct one side; the other then follows.",
                reports,
            )
        if len(closed) == 1:  # state beats stage (O20)
            return _opportunity_toward(other(closed[0]), seen, powers, reports, holds=holds, policy=policy)
    source = _source(changed, last_edit)
    if source is None:
        return _known_difference(seen, reports)
    return _opportunity_toward(other(source), seen, powers, reports, holds=holds, policy=policy)


def _opportunity_toward(
    target: Side,
    seen: Mapping[Side, Seen],
    powers: Mapping[Side, Powers],
    reports: tuple[Report, ...],
    *,
    holds: bool,
    policy: Policy,
) -> LifePlan:
    wanted, there = seen[other(target)].shared, seen[target].shared
    if _agree(seen, holds=holds):
        return LifePlan(reports=reports)
    # An unmapped stage (O3): the translation's own issue names the value. Opening again needs none (O9).
    if wanted.status is None and not (wanted.state == "open" and there.state in {"won", "lost"}):
        return LifePlan(reports=reports, axes_settled=is_ignored(wanted, there, policy))
    steps, carries = _opportunity_steps(target, wanted, there, powers[target])
    if holds and wanted.state == "open" and wanted.on_hold != (there.on_hold and there.state == "open"):
        steps = (*steps, _hold_step(target, wanted))
    carried: dict[Side, frozenset[str]] = {target: frozenset(CLOSE_FIELDS)} if carries else {}
    return LifePlan(steps=steps, reports=reports, carried=carried)


def _opportunity_steps(target: Side, wanted: Shared, there: Shared, powers: Powers) -> tuple[tuple[Step, ...], bool]:
    """The legal way from `there` to `wanted`, and whether amount and date go along with it."""
    if wanted.state == "open":
        if there.state == "open" and wanted.status == there.status:
            return (), False  # only whether it is on hold differs
        if there.state == "open":
            step = Step(case="O2", kind="stage", side=target, status=wanted.status, reason="stage changed there (O2)")
            return (step,), False
        step = Step(
            case="O9",
            kind="reopen",
            side=target,
            status=wanted.status,
            fields=CLOSE_FIELDS,
            reason="opened again there (O9)",
        )
        return (step,), True
    if there.state == wanted.state:
        step = Step(
            case="O11", kind="status", side=target, status=wanted.status, reason="reason changed after the close (O11)"
        )
        return (step,), False
    won = wanted.state == "won"
    close = Step(
        case="O6" if won else "O7",
        kind="win" if won else "lose",
        side=target,
        status=wanted.status,
        fields=CLOSE_FIELDS if won else (),  # a lost deal's amount is not written over the other side's (O7)
        reason="won there (O6)" if won else "lost there (O7)",
    )
    if there.state in {"won", "lost"} and powers.closes_through_open:
        through = Step(
            case="O8",
            kind="reopen",
            side=target,
            fields=() if won else CLOSE_FIELDS,  # what counts of a lost deal stands where an open one has it
            reason="won and lost meet only through open (O8)",
        )
        return (through, close), True
    return (close,), won


def _hold_step(target: Side, wanted: Shared) -> Step:
    return Step(
        case="O4",
        kind="hold",
        side=target,
        status=wanted.status,
        on_hold=wanted.on_hold,
        reason="put on hold there (O4)" if wanted.on_hold else "taken off hold there (O4)",
    )


# --- creates and edits: which row of the tables it is -------------------------------------------------------------


def create_case(source: Seen) -> str:
    """The row that a new record falls under; whether it crosses at all is the scope's affair (A1)."""
    fields = source.shared.fields
    match source.row.ref.entity:
        case "lead":
            return "L1"
        case "opportunity" if source.life.customer_is_contact:
            return "O14"  # the account is the contact's
        case "opportunity" if fields.get("account") is None and fields.get("contact") is None:
            return "O15"  # it is created without a customer
        case "opportunity":
            return "O1"
        case "contact" if fields.get("account") is None:
            return "A9"
        case _:
            return "A1"


def edit_case(entity: Entity, names: Collection[str], *, closed: bool, currency: bool = False) -> str:
    """The row that an update falls under."""
    if set(names) == {"owner"} and entity in {"lead", "opportunity"}:
        return "L7" if entity == "lead" else "O12"
    if entity == "lead":
        return "L2"
    if entity in {"account", "contact"}:
        if INACTIVE in names:
            return "A4"
        return "A10" if entity == "contact" and "account" in names else "A2"
    if closed:  # closed records are edited as they are, never opened for it
        return "O10" if not set(names).isdisjoint(CLOSE_FIELDS) else "O11"
    if currency:
        return "O17"
    return "O13" if "account" in names else "O16" if "contact" in names else "O5"


# --- accounts and contacts, deletions and merges ------------------------------------------------------------------

_DELETED_CASE: Mapping[Entity, str] = {"account": "A5", "contact": "A6", "lead": "L8", "opportunity": "O18"}


def plan_deleted(entity: Entity, *, converted: bool = False, along: Mapping[Entity, int] | None = None) -> Report:
    """Deletions are unlinked and reported, not propagated (default `delete: keep`).

    `along`: how many linked records went with it; they are one matter, not many (A5, A6)."""
    case = deleted_case(entity, converted=converted)
    kept = "the records made of it stay linked; " if converted else ""
    gone = told_count(along or {})
    group = f", and {gone} with it" if gone else ""
    stay = "what was linked to them on the other side stays" if gone else "the one on the other side stays"
    return Report(cause=case, message=f"The {entity} was deleted on one side{group}; {kept}{stay} ({case}).")


def deleted_case(entity: Entity, *, converted: bool) -> str:
    return "L14" if entity == "lead" and converted else _DELETED_CASE[entity]


def told_count(counts: Mapping[Entity, int]) -> str:
    return " and ".join(f"{count} {_plural(entity, count)}" for entity, count in counts.items() if count)


def _plural(entity: Entity, count: int) -> str:
    return entity if count == 1 else "opportunities" if entity == "opportunity" else f"{entity}s"


def plan_merged(entity: Entity, *, winner_linked: bool, converted: bool = False) -> Hold | None:
    """Only the loser linked: its link moves to the winner (L11). Both linked: a person decides (L10, A8)."""
    if entity == "lead" and converted:
        return Hold(
            cause="L15",
            message="A converted lead was merged into another one; its partner stays converted, and so do the records "
            "made of it (L15).",
            fix="Nothing is undone by itself: correct the partner there by hand, then: crmbridge resolve ISSUE.",
            whole=True,
        )
    if not winner_linked:
        return None
    case = "L10" if entity == "lead" else "A8"
    return Hold(
        cause=case,
        message=f"Two {entity}s were merged on one side; both have a partner on the other side ({case}).",
        fix="Merge the two partners there as well; children then follow by themselves.",
        whole=True,
    )


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


# --- late edits of converted leads --------------------------------------------------------------------------------

_ADDRESS = frozenset({"street", "city", "region", "postal_code", "country"})


def late_places(name: str, has: Callable[[Entity, str], bool]) -> tuple[tuple[Entity, str], ...]:
    """Where a converted lead's field lives on: as the CRMs' own conversion carries it (L12, L13).

    `has`: does the mapping of that entity have a field of that shared name."""
    if name == "company":
        return (("account", "name"),) if has("account", "name") else ()
    order: tuple[Entity, ...] = ("contact", "account", "opportunity")
    found: tuple[tuple[Entity, str], ...] = tuple((entity, name) for entity in order if has(entity, name))
    return tuple(one for one in found if one[0] != "opportunity") if name in _ADDRESS else found[:1]


# --- small helpers ------------------------------------------------------------------------------------------------


def _states_at_first_sight(
    seen: Mapping[Side, Seen], reports: tuple[Report, ...], contradicted: frozenset[Side]
) -> LifePlan:
    """The first coupling changes no state: equal states are agreement, others wait for a person (lifecycle §8)."""
    if contradicted:
        return LifePlan(reports=reports)
    if seen["left"].shared.state == seen["right"].shared.state:
        return _known_difference(seen, reports)
    return _held(
        "state_differs",
        f"The two are the same record, but {seen['left'].shared.state} on one side and "
        f"{seen['right'].shared.state} on the other; a first coupling closes and reopens nothing.",
        "Bring one side to the other's state by hand.",
        reports,
    )


def _known_difference(seen: Mapping[Side, Seen], reports: tuple[Report, ...]) -> LifePlan:
    """In the same state, but at another status or stage, and nobody has moved either since: shown until somebody does.

    What is seen is settled, so that the next move on either side is followed."""
    left, right = seen["left"].shared, seen["right"].shared
    if left.state != right.state or left.status == right.status or None in (left.status, right.status):
        return LifePlan(reports=reports)
    hold = Hold(
        cause="first_run_conflict",
        field="status",
        message=f"It is at '{left.status}' on one side and '{right.status}' on the other, and there is no earlier "
        "agreement; neither was changed.",
        fix="Set one of them to the other's; from then on each change is followed.",
    )
    return LifePlan(holds=(hold,), reports=reports)


def _held(case: str, message: str, fix: str, reports: tuple[Report, ...] = ()) -> LifePlan:
    return LifePlan(
        holds=(Hold(cause=case, message=f"{message} ({case})", fix=fix),), reports=reports, axes_settled=False
    )


def _never_agreed(link: Link) -> bool:
    return link.base.left_axes.state is None and link.base.right_axes.state is None


def _same_axes(shared: Shared, axes: Axes) -> bool:
    return (shared.state, shared.status, shared.on_hold) == (axes.state, axes.status, axes.on_hold)


def _agree(seen: Mapping[Side, Seen], *, holds: bool = False) -> bool:
    left, right = seen["left"].shared, seen["right"].shared
    return (left.state, left.status) == (right.state, right.status) and (not holds or left.on_hold == right.on_hold)


def _source(changed: Mapping[Side, bool], last_edit: Side | None) -> Side | None:
    if changed["left"] and changed["right"]:
        return last_edit or "left"
    return "left" if changed["left"] else "right" if changed["right"] else None

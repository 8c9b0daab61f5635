"""Steps for a linked pair of leads (L3-L6, L9, and where a conversion is due)."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from crmbridge.lifecycle.conversions import both_converted, left_unmirrored, mirrors, one_converted
from crmbridge.lifecycle.plan import (
    LifePlan,
    agree,
    follows_origin,
    has_moved,
    holding,
    is_ignored,
    known_difference,
    never_agreed,
    source_of,
    states_at_first_sight,
)
from crmbridge.lifecycle.powers import Powers
from crmbridge.model import SIDES, Link, Report, Seen, Side, Step, other
from crmbridge.policy import DEFAULT, Policy


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
    quicker: bool = False,
) -> LifePlan:
    """Steps for a linked pair of leads. `true_for`: is this choice a `{when: …}` that is true for the lead? `quicker`:
    a person disqualified what was made before the two were agreed on."""
    seen: Mapping[Side, Seen] = {"left": left, "right": right}
    converted = {side: seen[side].shared.state == "converted" for side in SIDES}
    if converted["left"] and converted["right"]:
        return both_converted(link, seen, policy)
    for side in SIDES:
        if converted[side]:
            if not link.epoch and not mirrors(policy, seen[side], true_for):
                return left_unmirrored(policy)
            return one_converted(link, seen, side, powers, mirror_since, policy)
    return _open_leads(link, seen, last_edit, policy, quicker)


def _open_leads(
    link: Link, seen: Mapping[Side, Seen], last_edit: Side | None, policy: Policy, quicker: bool
) -> LifePlan:
    reports = tuple(
        Report(cause="L6", message=f"{text}. Nothing of it is written to the other side (L6).")
        for side in SIDES
        if (text := seen[side].shared.contradiction)
    )
    contradicted: set[Side] = {side for side in SIDES if seen[side].shared.contradiction}
    if link.mode == "matched" or (link.mode == "steady" and never_agreed(link)):
        return states_at_first_sight(seen, reports, frozenset(contradicted))
    if contradicted and policy.convert.contradiction == "convert_here":
        return _converted_here(contradicted, policy)
    changed: dict[Side, bool] = {
        side: has_moved(link, seen, side, policy) and side not in contradicted for side in SIDES
    }
    source = source_of(changed, last_edit)
    if link.origin is not None and follows_origin(link):
        source = other(link.origin) if quicker else link.origin
    if source is None and not contradicted:
        return known_difference(seen, reports)
    if source is None or source in contradicted or agree(seen):
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
            return holding(
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

"""Steps for a linked pair of opportunities (O2-O10, O20, O21)."""

from collections.abc import Mapping

from crmbridge.lifecycle.plan import (
    CLOSE_FIELDS,
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
from crmbridge.model import SIDES, Link, Report, Seen, Shared, Side, Step, other
from crmbridge.policy import DEFAULT, Policy


def plan_opportunity(
    link: Link,
    left: Seen,
    right: Seen,
    *,
    powers: Mapping[Side, Powers],
    last_edit: Side | None,
    holds: bool = False,
    policy: Policy = DEFAULT,
    quicker: bool = False,
) -> LifePlan:
    """Steps for a linked pair of opportunities. `holds`: both sides can say that one is on hold. `quicker`: a person
    closed what was made before the two were agreed on."""
    seen: Mapping[Side, Seen] = {"left": left, "right": right}
    reports = tuple(
        Report(cause="O21", message=f"{text} The flag decides (O21).")
        for side in SIDES
        if (text := seen[side].shared.contradiction)
    )
    if link.mode == "matched" or (link.mode == "steady" and never_agreed(link)):
        return states_at_first_sight(seen, reports, frozenset())
    if link.origin is not None and follows_origin(link):
        target = link.origin if quicker else other(link.origin)
        return _opportunity_toward(target, seen, powers, reports, holds=holds, policy=policy)
    changed: dict[Side, bool] = {side: has_moved(link, seen, side, policy) for side in SIDES}
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
    if agree(seen, holds=holds):
        return LifePlan(reports=reports)
    if changed["left"] and changed["right"]:
        closed: list[Side] = [side for side in SIDES if seen[side].shared.state in {"won", "lost"}]
        if len(closed) == len(SIDES):
            return holding(
                "O20",
                "The opportunity was closed on both sides, differently.",
                "Correct one side; the other then follows.",
                reports,
            )
        if len(closed) == 1:  # state beats stage (O20)
            return _opportunity_toward(other(closed[0]), seen, powers, reports, holds=holds, policy=policy)
    source = source_of(changed, last_edit)
    if source is None:
        return known_difference(seen, reports)
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
    if agree(seen, holds=holds):
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

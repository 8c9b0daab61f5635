"""What is to become of a pair's state, and what leads and opportunities share on the way there."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from crmbridge.model import Axes, Hold, Link, Report, Seen, Shared, Side, Step, other
from crmbridge.policy import Policy

# The fields that close and reopen carry along, so that amount and date of a won deal arrive with it (O6, O9).
CLOSE_FIELDS = ("amount", "close_date")
CLOSED = frozenset({"won", "lost", "disqualified"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LifePlan:
    steps: tuple[Step, ...] = ()
    holds: tuple[Hold, ...] = ()
    reports: tuple[Report, ...] = ()
    axes_settled: bool = True  # False: the base keeps its axes, so that the matter is seen again
    carried: Mapping[Side, frozenset[str]] = field(default_factory=dict)  # side -> fields its steps write
    heirs: bool = False  # edits meant for a converted lead go to what it became, though the other is not converted


def states_at_first_sight(
    seen: Mapping[Side, Seen], reports: tuple[Report, ...], contradicted: frozenset[Side]
) -> LifePlan:
    """The first coupling changes no state: equal states are agreement, others wait for a person (lifecycle §8)."""
    if contradicted:
        return LifePlan(reports=reports)
    if seen["left"].shared.state == seen["right"].shared.state:
        return known_difference(seen, reports)
    return holding(
        "state_differs",
        f"The two are the same record, but {seen['left'].shared.state} on one side and "
        f"{seen['right'].shared.state} on the other; a first coupling closes and reopens nothing.",
        "Bring one side to the other's state by hand.",
        reports,
    )


def known_difference(seen: Mapping[Side, Seen], reports: tuple[Report, ...]) -> LifePlan:
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


def holding(case: str, message: str, fix: str, reports: tuple[Report, ...] = ()) -> LifePlan:
    return LifePlan(
        holds=(Hold(cause=case, message=f"{message} ({case})", fix=fix),), reports=reports, axes_settled=False
    )


def is_ignored(shared: Shared, there: Shared, policy: Policy) -> bool:
    """Is it open where no row of the table reaches, and is that nobody's concern (L3, O3)? What is disqualified there
    is another matter: only a row could tell whether it is open again. A deal's flag tells (O9)."""
    chosen = policy.move.unmapped == "ignore" and shared.status is None and shared.contradiction is None
    return chosen and shared.state == "open" and there.state in {"open", "won", "lost"}


def has_moved(link: Link, seen: Mapping[Side, Seen], side: Side, policy: Policy) -> bool:
    """Since the pair was agreed on; to stand at what is ignored is no move, as long as it was open before."""
    here, base = seen[side].shared, link.base.axes(side)
    passed_over = base.state == "open" and is_ignored(here, seen[other(side)].shared, policy)
    return not passed_over and not _same_axes(here, base)


def never_agreed(link: Link) -> bool:
    return link.base.left_axes.state is None and link.base.right_axes.state is None


def follows_origin(link: Link) -> bool:
    """The partner was just made, and the two were never agreed on: the origin's state is the wanted one."""
    return link.mode in {"fresh", "converted"} and link.origin is not None and never_agreed(link)


def closed_before_agreed(link: Link, seen: Mapping[Side, Seen]) -> bool:
    """Nothing is made closed: so what was made is, while its origin is open, since somebody closed it meanwhile."""
    if link.origin is None or not follows_origin(link):
        return False
    made = seen[other(link.origin)].shared.state
    return seen[link.origin].shared.state == "open" and made in CLOSED


def _same_axes(shared: Shared, axes: Axes) -> bool:
    return (shared.state, shared.status, shared.on_hold) == (axes.state, axes.status, axes.on_hold)


def agree(seen: Mapping[Side, Seen], *, holds: bool = False) -> bool:
    left, right = seen["left"].shared, seen["right"].shared
    return (left.state, left.status) == (right.state, right.status) and (not holds or left.on_hold == right.on_hold)


def source_of(changed: Mapping[Side, bool], last_edit: Side | None) -> Side | None:
    if changed["left"] and changed["right"]:
        return last_edit or "left"
    return "left" if changed["left"] else "right" if changed["right"] else None

"""What an admin chose about moves, closes and who is master, laid over the plan of a pair: steps taken out, or held.

The plan itself (`lifecycle`) says what would be legal and due; here stands what of it is wanted: cases L3 to L5, O2, O9
to O11, and the options of docs/reference/settings.md.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from crmbridge.lifecycle.plan import CLOSE_FIELDS, LifePlan, is_ignored
from crmbridge.model import Hold, Problem, Seen, Shared, Side, Step, Update, other
from crmbridge.policy import Policy

CLOSED: Final = frozenset({"won", "lost"})
# Causes of a status or stage, or its reason, that no row of the table names.
UNMAPPED: Final = frozenset({"unmapped_status", "unmapped_reason"})
# Steps that may be held: the option, the case, what happened, what to do.
_HELD: Final[Mapping[str, tuple[str, str, str]]] = {
    "L4": ("move.disqualify", "The lead was disqualified there", "Disqualify it here by hand, or open it again there."),
    "L5": ("move.reopen", "The lead was opened again there", "Open it here by hand, or disqualify it there again."),
    "O9": ("close.reopen", "The opportunity was opened again there", "Open it here by hand, or close it there again."),
    "O11": ("close.after_close", "Its reason was changed there after the close", "Change it here by hand."),
}


def as_chosen(plan: LifePlan, policy: Policy, names: Mapping[Side, str]) -> LifePlan:
    """The plan of a pair without the steps that are not wanted. `names`: of the connections, for people."""
    if not plan.steps:
        return plan
    # What is converted where it stands is the master's own lead: nothing crosses yet (L6).
    if policy.master is not None and any(s.side == policy.master and s.kind != "convert_here" for s in plan.steps):
        return _not_master(plan, policy.master, names[policy.master])
    first = plan.steps[0]
    if _stays_away(first, policy):
        return replace(plan, steps=(), carried={})
    held = _held(first, policy)
    return plan if held is None else replace(plan, steps=(), carried={}, holds=(*plan.holds, held), axes_settled=False)


def _not_master(plan: LifePlan, master: Side, name: str) -> LifePlan:
    """A move on the side that is not the master is not carried out on the master: it is held, and undone by nobody."""
    told = ", ".join(dict.fromkeys(step.case for step in plan.steps if step.side == master))
    held = Hold(
        cause="not_master",
        field="status",
        message=f"It was moved where {name} is not ({told}), but {name} is master of it, so nothing was done there.",
        fix=f"Make the move on {name}, or undo it; the master's next move is followed.",
    )
    return replace(plan, steps=(), carried={}, holds=(*plan.holds, held), axes_settled=False)


def _stays_away(step: Step, policy: Policy) -> bool:
    """Status and stage of open records may go one way, or not at all (L3, O2); what is seen is then settled."""
    if step.case not in {"L3", "O2"}:
        return False
    way = policy.move.status if step.case == "L3" else policy.move.stage
    return way == "off" or way == step.side


def _held(step: Step, policy: Policy) -> Hold | None:
    known = _HELD.get(step.case)
    if known is None:
        return None
    option, happened, fix = known
    says = policy.says(option)
    if not says.split(", segment")[0].endswith(": hold"):
        return None
    return Hold(
        cause=step.case,
        field="status",
        message=f"{happened}, and nothing was done here ({step.case}; {says}).",
        fix=fix,
    )


def keeps_status(policy: Policy, entity: str) -> bool:
    """Do the two sides keep open statuses or stages of their own, so that a difference is as it should be?"""
    way = policy.move.status if entity == "lead" else policy.move.stage
    return way != "both"


def problems_to_tell(here: Shared, there: Shared, policy: Policy) -> tuple[Problem, ...]:
    """What could not be read of a record, without the status or stage that was chosen to be nobody's concern (O3)."""
    if not is_ignored(here, there, policy):
        return here.problems
    return tuple(problem for problem in here.problems if problem.cause not in UNMAPPED)


def held_after_close(update: Update, seen: Mapping[Side, Seen], policy: Policy) -> Hold | None:
    """`after_close: hold`: what was edited after the close goes no further by itself (O10, O11)."""
    closed = seen[update.side].shared.state in CLOSED and seen[other(update.side)].shared.state in CLOSED
    if policy.close.after_close != "hold" or not closed or not update.fields:
        return None
    case = "O10" if _any(update.fields, CLOSE_FIELDS) else "O11"
    names = ", ".join(sorted(update.fields))
    return Hold(
        cause=case,
        field=names if len(update.fields) == 1 else None,
        message=f"Edited after the close: {names}. Nothing was written ({case}; {policy.says('close.after_close')}).",
        fix="Make the same edit on the other side by hand, or undo it.",
    )


def _any(fields: Collection[str], names: Collection[str]) -> bool:
    return not set(fields).isdisjoint(names)

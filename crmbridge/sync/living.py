"""What the life cycle asks of one pair, as its mapping's gates and the chosen options leave it."""

from crmbridge.chosen import as_chosen
from crmbridge.gate import guarded
from crmbridge.lifecycle.conversions import plan_let_go
from crmbridge.lifecycle.leads import plan_lead
from crmbridge.lifecycle.opportunities import plan_opportunity
from crmbridge.lifecycle.plan import CLOSED, LifePlan, closed_before_agreed
from crmbridge.model import SIDES, Side, other
from crmbridge.plan import newest
from crmbridge.policy import Policy
from crmbridge.sync.hands import Hands
from crmbridge.sync.work import Work


def plan_life(hands: Hands, work: Work) -> LifePlan:
    left, right = work.seen["left"], work.seen["right"]
    policy = hands.policy(left)
    last_edit = policy.master or newest(left.row, right.row, hands.our_users)
    free = _life_of(hands, work, last_edit, policy)
    compiled = hands.compiled.entities[work.entity]
    life = guarded(free, compiled.gates, compiled.status_rows(), work.link, work.seen)
    # A pair that was just made follows its origin until it stands where that does.
    work.open = work.open or (life is not free and work.link.mode != "steady")
    return as_chosen(life, policy, hands.names)


def _life_of(hands: Hands, work: Work, last_edit: Side | None, policy: Policy) -> LifePlan:
    left, right = work.seen["left"], work.seen["right"]
    if work.entity == "lead" and work.link.id in hands.let_go and not work.link.epoch:
        converted = [seen for seen in (left, right) if seen.shared.state == "converted"]
        if len(converted) == 1:
            return plan_let_go(hands.let_go[work.link.id])
    if work.entity == "lead":
        return plan_lead(
            work.link,
            left,
            right,
            powers=hands.powers,
            last_edit=last_edit,
            mirror_since=hands.options.mirror_since,
            policy=policy,
            true_for=hands.true_for,
            quicker=_was_quicker(hands, work),
        )
    if work.entity == "opportunity":
        compiled = hands.compiled.entities[work.entity]
        holds = all(compiled.hold(side) is not None for side in SIDES)
        return plan_opportunity(
            work.link,
            left,
            right,
            powers=hands.powers,
            last_edit=last_edit,
            holds=holds,
            policy=policy,
            quicker=_was_quicker(hands, work),
        )
    return LifePlan()


def _was_quicker(hands: Hands, work: Work) -> bool:
    """Did a person close what we made before its pair was agreed on? Who saved it last, and when, is no evidence: that
    may have been any edit, ours too. The journal is: it tells of each close of ours, and none was ours."""
    link = work.link
    if link.origin is None or not closed_before_agreed(link, work.seen):
        return False
    made = other(link.origin)
    lines = hands.store.journal(link_id=link.id, side=made, native_id=link.id_on(made))
    return all((line.after or {}).get("state") not in CLOSED for line in lines)

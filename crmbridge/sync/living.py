"""What the life cycle asks of one pair, as its mapping's gates and the chosen options leave it."""

from crmbridge.chosen import as_chosen
from crmbridge.gate import guarded
from crmbridge.lifecycle.conversions import plan_let_go
from crmbridge.lifecycle.leads import plan_lead
from crmbridge.lifecycle.opportunities import plan_opportunity
from crmbridge.lifecycle.plan import LifePlan
from crmbridge.model import SIDES, Side
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
        )
    if work.entity == "opportunity":
        compiled = hands.compiled.entities[work.entity]
        holds = all(compiled.hold(side) is not None for side in SIDES)
        return plan_opportunity(
            work.link, left, right, powers=hands.powers, last_edit=last_edit, holds=holds, policy=policy
        )
    return LifePlan()

"""What a conversion is to take is made beforehand, where `convert.create_by` says `us` (lifecycle §1.2).

Made as any other record: under a key, with an intent; then the conversion is given its id. A contact or an opportunity
needs an account to belong to, so that is then made by us as well. Dynamics cannot qualify into an opportunity: there it
is always the CRM's own conversion that makes one.
"""

from collections.abc import Mapping
from dataclasses import replace

from crmbridge.lifecycle.conversions import late_places
from crmbridge.lifecycle.powers import Powers
from crmbridge.model import RESULTS, Entity, Ref, Side, Value, Wait, other, results_of
from crmbridge.plan import plan_create
from crmbridge.policy import Policy
from crmbridge.sync.creates import NewRecord, push_creates
from crmbridge.sync.hands import Hands
from crmbridge.sync.scope import will_link
from crmbridge.sync.view import View
from crmbridge.sync.ways import Way
from crmbridge.sync.work import Work


def by_us(policy: Policy, powers: Powers, ways: Mapping[Entity, Way], entity: Entity) -> bool:
    """Is this new result made beforehand? `powers`: what the CRM can do that converts."""
    mine: dict[Entity, bool] = {
        "account": policy.convert.create_by.account == "us",
        "contact": policy.convert.create_by.contact == "us",
        "opportunity": policy.convert.create_by.opportunity == "us" and powers.takes_opportunity,
    }
    if not ways[entity].create:
        return False
    if entity == "account":
        return mine["account"] or any(mine[one] and ways[one].create for one in ("contact", "opportunity"))
    has_account = ways["account"].given is not None or ways["account"].create
    return mine[entity] and (has_account or not powers.needs_account)


def make_beforehand(
    hands: Hands, view: View, work: Work, ways: Mapping[Entity, Way], source: Side
) -> Mapping[Entity, Way]:
    """The ways, with what we make for them given; one that could not be made now is to be waited for."""
    policy, powers = hands.policy(work.seen["left"]), hands.powers[other(source)]
    ids, done = results_of(work.seen[source].life), dict(ways)
    for entity in RESULTS:
        native = ids[entity]
        if native is None or not by_us(policy, powers, ways, entity):  # without one there is nothing to make it from
            continue
        yes = _yes(hands, work, other(source), entity)
        done[entity] = _made(hands, view, Ref(side=source, entity=entity, id=native), policy, yes)
        if done[entity].wait is not None:
            break  # what comes after it belongs to it
    return done


def _yes(hands: Hands, work: Work, target: Side, entity: Entity) -> Mapping[str, Value]:
    """A conversion copies no checkbox and no opt-out into what it is given (lifecycle §1.1), so they are made with it:
    refused on either lead is refused; any other yes is taken from the lead that is about to be converted."""

    def has(of: Entity, name: str) -> bool:
        one = hands.compiled.entities.get(of)
        return one is not None and any(rule.name == name and target in rule.sides for rule in one.rules)

    found: dict[str, Value] = {}
    for rule in hands.compiled.entities["lead"].rules:
        leads = work.seen.values() if rule.restrictive else (work.seen[target],)
        if rule.kind != "boolean" or not any(lead.shared.fields.get(rule.name) for lead in leads):
            continue
        found |= {place: True for of, place in late_places(rule.name, has) if of == entity}
    return found


def _made(hands: Hands, view: View, ref: Ref, policy: Policy, yes: Mapping[str, Value]) -> Way:
    target, entity = other(ref.side), ref.entity
    wait = Way(wait=Wait(waits_for=f"its {entity}, which is made beforehand"))
    stored = hands.store.records(ref.side, entity, [ref.id]).get(ref.id)
    if stored is None or str(ref) in hands.untouchable:  # an earlier call may still land
        return wait
    seen = view.see(stored.row)
    option = policy.says(f"convert.create_by.{entity}")
    plan = plan_create(
        hands.rules(seen),
        seen,
        reason=f"new {entity}, made for the conversion that takes it ({option})",
        will_link=lambda parent: will_link(hands, view, parent),
    )
    if plan.create is None:
        return replace(wait, wait=plan.waits[0])
    create = replace(plan.create, fields={**plan.create.fields, **yes})
    push_creates(hands, view, entity, [NewRecord(create=create, source=seen)])
    shared = view.crosswalk.shared_id(ref.side, entity, ref.id)
    made = view.crosswalk.native_id(target, entity, shared) if shared is not None else None
    return wait if made is None else Way(given=made, made=True, why="made beforehand", option=option)

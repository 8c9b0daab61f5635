"""Which pairs may be worked at side by side: those that share no account, contact or opportunity on either side.

Two conversions into one account lock the same row in the CRM, and may both want to make what only one of them should;
so they go one after another, in one lane.
"""

from collections.abc import Iterable, Mapping, Sequence

from crmbridge.model import SIDES, Entity, Ref, Seen, Side, Unlinked, other, results_of
from crmbridge.policy import Bucket
from crmbridge.sync.hands import Hands
from crmbridge.sync.view import View
from crmbridge.sync.work import Work


def lanes_of(shares: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Pairs by what each of them has a share in: those of different lanes have nothing in common, not even through
    others. The order is the given one: within a lane, and of the lanes by their first pair."""
    above: dict[str, str] = {}

    def top(one: str) -> str:
        while above[one] != one:
            above[one] = one = above[above[one]]
        return one

    first_with: dict[str, str] = {}
    for one, things in shares.items():
        above[one] = one
        for thing in things:
            above[top(one)] = top(first_with.setdefault(thing, one))
    lanes: dict[str, list[str]] = {}
    for one in shares:
        lanes.setdefault(top(one), []).append(one)
    return list(lanes.values())


def shares_of(hands: Hands, view: View, works: Sequence[Work]) -> dict[str, frozenset[str]]:
    """What each pair has a share in, in words that are the same for the same thing on whichever side it is named."""
    named = {work.link.id: _named(view, work) for work in works}
    named = _with_parents(hands, view, named)
    names = _names(hands, {ref for refs in named.values() for ref in refs})
    return {
        work.link.id: frozenset({names[ref] for ref in named[work.link.id]} | _bucket(hands, work)) for work in works
    }


def _named(view: View, work: Work) -> set[Ref]:
    """What both records point at: what they were converted into, and who their mapping says they belong to."""
    refs: set[Ref] = set()
    for side in SIDES:
        seen = work.seen[side]
        refs |= {Ref(side=side, entity=entity, id=id) for entity, id in results_of(seen.life).items() if id}
        refs |= _links_of(view, seen)
    return refs


def _links_of(view: View, seen: Seen) -> set[Ref]:
    side, refs = seen.row.ref.side, set[Ref]()
    for rule in view.hands.compiled.entities[seen.row.ref.entity].rules:
        value = seen.shared.fields.get(rule.name) if rule.link is not None else None
        if isinstance(value, Unlinked):
            refs.add(Ref(side=side, entity=value.entity, id=value.id))
        elif isinstance(value, str) and rule.link is not None:
            native = view.crosswalk.native_id(side, rule.link, value)
            refs |= {Ref(side=side, entity=rule.link, id=native)} if native is not None else set()
    return refs


def _with_parents(hands: Hands, view: View, named: Mapping[str, set[Ref]]) -> dict[str, set[Ref]]:
    """A contact brings its account, an opportunity its account and contact."""
    parents: dict[Ref, set[Ref]] = {}
    everything = {ref for refs in named.values() for ref in refs}
    for side in SIDES:
        for entity in ("contact", "opportunity"):
            ids = sorted(ref.id for ref in everything if (ref.side, ref.entity) == (side, entity))
            for stored in hands.store.records(side, entity, ids).values():
                if stored.row.values is not None:
                    parents[stored.row.ref] = _links_of(view, view.see(stored.row))
    return {id: refs | {parent for ref in refs for parent in parents.get(ref, ())} for id, refs in named.items()}


def _names(hands: Hands, refs: Iterable[Ref]) -> dict[Ref, str]:
    """The pair's shared id where there is one, so that both of its records are one thing."""
    by_place: dict[tuple[Side, Entity], list[str]] = {}
    for ref in refs:
        by_place.setdefault((ref.side, ref.entity), []).append(ref.id)
    names: dict[Ref, str] = {}
    for (side, entity), ids in by_place.items():
        links = hands.store.links_by_native(side, entity, ids)
        for id in ids:
            link = links.get(id)
            names[Ref(side=side, entity=entity, id=id)] = link.id if link is not None else f"{side} {entity} {id}"
    return names


def _bucket(hands: Hands, work: Work) -> set[str]:
    """The account for all that have none of their own is one row as well."""
    choice = hands.policy(work.seen["left"]).convert.contact_only
    if not isinstance(choice, Bucket):
        return set()
    without: list[Side] = [side for side in SIDES if work.seen[side].life.account_id is None]
    return {f"bucket on {other(side)}" for side in without if hands.powers[other(side)].needs_account}

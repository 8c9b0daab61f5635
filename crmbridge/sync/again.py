"""A second partner for a lead whose first one cannot follow it: converted for good (C11), or gone (C8).

The old pair ends and lets the record go, and a new pair of one record is written down in the same transaction; the
record that it lacks is then made as any other, under a key of the next generation. So wherever a run breaks off, the
next one goes on from there, and nothing is made twice.
"""

from collections.abc import Sequence
from dataclasses import replace

from crmbridge.ids import new_id
from crmbridge.lifecycle.cases import create_case
from crmbridge.model import ENTITIES, Base, Link, Row, Side, Step, other
from crmbridge.plan import plan_create
from crmbridge.state.words import Batch, Pair
from crmbridge.sync.creates import NewRecord, push_creates
from crmbridge.sync.hands import Hands
from crmbridge.sync.scope import will_link
from crmbridge.sync.view import View
from crmbridge.sync.work import Work


def is_half(pair: Pair) -> bool:
    """A living pair whose second record is still to be made."""
    return pair.link is not None and pair.link.alive and None in (pair.link.left_id, pair.link.right_id)


def new_lead(hands: Hands, view: View, work: Work, step: Step) -> bool:
    """Opened again after its conversion: the converted lead stays alone, a new one takes its place (C11)."""
    stays = other(step.side)
    half = let_go(hands, view, work.link, stays, why=step.reason)
    made = make_partners_again(hands, view, [(half, work.rows[stays])])
    work.orders.extend(order for one in made for order in one.orders)
    work.moved = True  # the old pair is over; the new one has its turn in the next round
    return False


def let_go(hands: Hands, view: View, link: Link, stays: Side, *, why: str) -> Link:
    """End the pair, and begin the new one that the record on side `stays` goes on in."""
    id, rest = link.id_on(stays), f"{link.how}; {why}"
    assert id is not None
    ended = replace(link, alive=False, base=Base(), how=rest)  # nothing to compare with any more, and nobody's data
    ended = replace(ended, left_id=None) if stays == "left" else replace(ended, right_id=None)
    half = Link(
        id=new_id(),
        entity=link.entity,
        left_id=id if stays == "left" else None,
        right_id=id if stays == "right" else None,
        mode="fresh",
        origin=stays,
        generation=link.generation + 1,
        how=why,
    )
    view.crosswalk.learn(ended)
    view.crosswalk.learn(half)
    hands.record(Batch(links=[ended, half], close_issues=[(link.entity, link.id, None, None, None)]))
    return half


def make_partners_again(hands: Hands, view: View, halves: Sequence[tuple[Link, Row]]) -> list[Work]:
    """Make what half pairs lack."""
    records: list[NewRecord] = []
    for link, row in halves:
        if str(row.ref) in hands.untouchable or link.id in hands.untouchable:
            continue
        seen = view.see(row, link=link)
        reason = link.how or f"new {link.entity} on the other side ({create_case(seen)})"
        plan = plan_create(hands.rules(seen), seen, reason=reason, will_link=lambda ref: will_link(hands, view, ref))
        if plan.create is not None:  # else it waits for a parent, and is looked at again in the next run
            records.append(NewRecord(create=plan.create, source=seen, generation=link.generation, link=link))
    works: list[Work] = []
    for entity in ENTITIES:
        mine = [record for record in records if record.source.row.ref.entity == entity]
        works.extend(push_creates(hands, view, entity, mine) if mine else [])
    return works

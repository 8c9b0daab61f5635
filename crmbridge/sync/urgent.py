"""Conversions and closes before everything else: when calls are few, and after a CRM was left alone for a while.

Only pairs that are linked already, and of them only those with such a step; whatever else is due keeps its turn. What
a conversion needs and does not find yet waits for the ordinary course (`ways.py` decides that, not the order).
"""

from typing import Final

from crmbridge.budget import doing
from crmbridge.model import Entity, Step
from crmbridge.sync.again import is_half
from crmbridge.sync.hands import Hands
from crmbridge.sync.living import plan_life
from crmbridge.sync.phase import due_pairs, is_selected, sync_pairs
from crmbridge.sync.view import View
from crmbridge.sync.work import Work, is_ended, make_work

ENTITIES: Final[tuple[Entity, ...]] = ("lead", "opportunity")
# Kinds of steps that people wait for; moves between open states are plain changes.
URGENT: Final = frozenset({"convert", "adopt", "convert_here", "new_lead", "win", "lose", "reopen", "disqualify"})


def run_urgent(hands: Hands, view: View) -> None:
    for entity in ENTITIES:
        if entity not in hands.options.entities:
            continue
        hands.progress.step(f"conversions and closes of {entity} records")
        with doing("life-cycle"):
            sync_pairs(hands, view, entity, _due(hands, view, entity))
        hands.at_hand()


def _due(hands: Hands, view: View, entity: Entity) -> list[Work]:
    works: list[Work] = []
    for pair in due_pairs(hands, entity):
        if pair.link is None or pair.left is None or pair.right is None or not is_selected(hands, view, pair):
            continue
        if pair.link.id in hands.untouchable or is_ended(pair) or is_half(pair):
            continue
        if pair.left.row.values is None or pair.right.row.values is None:
            continue
        work = make_work(view, pair.link, {"left": pair.left.row, "right": pair.right.row})
        if any(is_urgent(step) for step in plan_life(hands, work).steps):
            works.append(work)
    return works


def is_urgent(step: Step) -> bool:
    return step.kind in URGENT

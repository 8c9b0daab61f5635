"""What the conversions of this cycle made and no page has shown yet, asked for before anything is planned.

Where it is the leads' turn and not the opportunities', nobody reads those. A dry pass that does not know them takes the
conversion for one that waits: then the guard would not judge it, and no other worker could help with it.
"""

from collections.abc import Mapping

from crmbridge.budget import doing
from crmbridge.model import SIDES, Entity, Life, Side, other, results_of
from crmbridge.state.words import Batch, Pair, Stored
from crmbridge.sync.hands import Hands


def fetch_results(hands: Hands) -> None:
    """At most a call for each side. A row that is not to be had keeps its conversion waiting, as before."""
    if "lead" not in hands.options.entities:
        return
    wanted: dict[Side, dict[Entity, dict[str, None]]] = {side: {} for side in SIDES}
    for pair in hands.store.pending("lead"):
        lives = _lives(hands, pair)
        for side, life in lives.items():
            if life.state != "converted" or lives[other(side)].state == "converted":
                continue
            for entity, id in results_of(life).items():
                if id is not None:
                    wanted[side].setdefault(entity, {})[id] = None
    for side, ids in wanted.items():
        missing: dict[Entity, list[str]] = {
            entity: found for entity in ids if (found := _unseen(hands, side, entity, [*ids[entity]]))
        }
        if missing:
            with doing("life-cycle"):
                read = hands.connectors[side].fetch_many(missing)
            rows = [row for found in read.values() for row in found.values()]
            hands.record(Batch(rows=rows, dirty=[row.ref for row in rows]))


def _lives(hands: Hands, pair: Pair) -> Mapping[Side, Life]:
    """Of a linked pair that is there on both sides; else nothing."""
    if pair.link is None or not pair.link.alive or pair.link.id in hands.untouchable:
        return {}
    lives: dict[Side, Life] = {}
    both: dict[Side, Stored | None] = {"left": pair.left, "right": pair.right}
    for side, stored in both.items():
        if stored is None or stored.row.values is None or stored.row.deleted:
            return {}
        connector = hands.connectors[side]
        lives[side] = connector.life(connector.complete(stored.row))
    return lives


def _unseen(hands: Hands, side: Side, entity: Entity, ids: list[str]) -> list[str]:
    known = hands.store.records(side, entity, ids)
    return [id for id in ids if id not in known or known[id].row.values is None]

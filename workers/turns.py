"""Whose turn it is: narrows a cycle to what its schedule says is due, and notes afterwards what was synced and whether
anything happened. The arithmetic is `crmbridge.schedule`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from crmbridge import schedule
from crmbridge.model import ENTITIES, Entity
from crmbridge.state.store import Store
from crmbridge.sync import Engine, Outcome

Rhythms = Mapping[Entity, schedule.Rhythm]
_TOLD: Final = frozenset({"held", "failed", "waiting", "report"})  # events that are no work done


def narrow(engine: Engine, store: Store, rhythms: Rhythms) -> None:
    """Only what is due is synced, with its parents."""
    batch = schedule.batch(rhythms, store.turns(), store.now())
    engine.options = replace(engine.options, entities=batch.sync, reading=batch.read)


def note(store: Store, entities: tuple[Entity, ...], outcome: Outcome) -> None:
    """A cycle that came to its end. One that did not leaves everything due."""
    side_tables = any(count and source not in ENTITIES for (_, source), count in outcome.changed.items())
    busy = {event.entity for event in outcome.events if event.kind not in _TOLD}
    busy |= {source for (_, source), count in outcome.changed.items() if count}
    store.note_turns({entity: not side_tables and entity not in busy for entity in entities})

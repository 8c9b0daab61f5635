"""Has a CRM's schema changed under us? What a mapping names is compared with what it was when it was last gone by.

A field that is gone, or of another type, stops its kind of record before anything of it is written; others go on."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from crmbridge.model import Entity, Side

SHAPE_META: Final = "shape:"  # + entity: what its mapped fields were, as JSON
DRIFT_META: Final = "schema_drift"  # JSON: entity -> sentences; what is stopped now
CAUSE: Final = "schema_drift"
GONE: Final = ""

Types = Mapping[Side, Mapping[str, str]]  # side -> column -> type; GONE where the CRM shows no such column (any more)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the mapped fields of one kind of record are."""

    terms: str  # hash of what the mapping says of this kind: who changes that has looked at the types
    types: Types


def drifted(before: Shape | None, now: Shape, names: Mapping[Side, str], entity: Entity) -> tuple[str, ...]:
    """In words, what is no longer as it was; nothing where the mapping was changed to it, or is new."""
    if before is None:
        return ()
    told: list[str] = []
    for side, columns in now.types.items():
        for column, type_ in sorted(columns.items()):
            was = before.types.get(side, {}).get(column, GONE)
            if was in (GONE, type_):
                continue
            if type_ == GONE:
                told.append(
                    f"{names[side]}: {entity} has no field {column} any more, or our user may not see it; "
                    "it is in the mapping."
                )
            elif before.terms == now.terms:
                told.append(f"{names[side]}: {entity}.{column} was {was}, and is {type_} now.")
    return tuple(told)


def fix(entity: Entity) -> str:
    return (
        f"Bring the field back, or take it out of the mapping of {entity}. If the new type is right: "
        f"crmbridge mapping accept {entity}"
    )


def told(text: str | None) -> dict[Entity, tuple[str, ...]]:
    """What `DRIFT_META` holds."""
    kept: dict[Entity, list[str]] = json.loads(text or "{}")
    return {entity: tuple(sentences) for entity, sentences in kept.items()}


def needed_for_conversions(stopped: Iterable[Entity]) -> frozenset[Entity]:
    """A conversion makes or takes these at once: it waits for all of them."""
    return frozenset(stopped) & {"account", "contact", "opportunity"}

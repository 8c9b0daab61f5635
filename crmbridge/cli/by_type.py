"""Open records by their record type, held to what the types offer (lifecycle §6, row 4)."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crmbridge.model import Entity

if TYPE_CHECKING:
    from connectors.base import Description


@dataclass(frozen=True, slots=True, kw_only=True)
class ByType:
    """Open records of each record type, by its developer name."""

    each: "Counter[str]"
    closed_to_us: "Counter[str]"
    no_converted: "Counter[str]"
    astray: "Counter[str]"  # at a status or stage that their type does not offer


def by_type(entity: Entity, counts: Mapping[tuple[str | None, str], int], description: "Description") -> ByType:
    """Of what the type is not known to offer nothing is said."""
    kinds = {one.id: one for one in description.record_types}
    converted = {one.value for one in description.statuses if one.state == "converted"}
    told = ByType(each=Counter(), closed_to_us=Counter(), no_converted=Counter(), astray=Counter())
    for (id, status), count in counts.items():
        kind = kinds.get(id) if id is not None else None
        name = kind.name if kind is not None else "none"
        told.each[name] += count
        if kind is None:
            continue
        if not kind.available:
            told.closed_to_us[name] += count
        offered = (kind.offers or {}).get("Status" if entity == "lead" else "StageName")
        if offered is None:
            continue
        if status not in offered:
            told.astray[name] += count
        if entity == "lead" and not converted & set(offered):
            told.no_converted[name] += count
    return told

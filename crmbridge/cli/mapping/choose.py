"""Which records a preview is about: those that a person names, or a sample; their rows are read live."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

from crmbridge.cli.find import candidates, find
from crmbridge.errors import ConfigError
from crmbridge.model import ENTITIES, SIDES, Entity, Link, Ref, Row, Side

if TYPE_CHECKING:
    from crmbridge.settings import Settings
    from crmbridge.sync.cycle import Engine

T = TypeVar("T")
# The first letters of a Salesforce id tell the object (salesforce-api §5).
_PREFIXES: Final[Mapping[str, Entity]] = {"001": "account", "003": "contact", "00Q": "lead", "006": "opportunity"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A pair, or a record without a partner, with what the CRMs show of it now."""

    entity: Entity
    link: Link | None
    rows: Mapping[Side, Row] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        return len(self.rows) == len(SIDES)


def named(engine: "Engine", settings: "Settings", texts: Sequence[str]) -> list[Chosen]:
    """Raises ConfigError for a record that neither the store nor a CRM knows."""
    return _read(engine, [_one(engine, settings, text) for text in texts])


def sample(engine: "Engine", count: int, entities: Sequence[Entity]) -> list[Chosen]:
    """So many of each kind: spread over what the store knows, else from the first page that the CRMs show."""
    found: list[Chosen] = []
    for entity in entities:
        links = spread([link for link in engine.store.all_links(entity) if link.alive], count)
        if links:
            found += _read(engine, [(entity, link, None) for link in links])
        else:
            found += _first_page(engine, entity, count)
    return found


def again(engine: "Engine", entity: Entity, chosen: Sequence[Chosen]) -> dict[Side, Mapping[str, Row]]:
    """The same records of one kind as another engine reads them, by id: with the columns of its mapping."""
    return {
        side: engine.connectors[side].fetch(entity, [one.rows[side].ref.id for one in chosen if side in one.rows])
        for side in SIDES
    }


def spread(items: Sequence[T], count: int) -> list[T]:
    """So many of them, evenly over the whole; the same ones each time."""
    if len(items) <= count:
        return list(items)
    return [items[number * len(items) // count] for number in range(count)]


def _one(engine: "Engine", settings: "Settings", text: str) -> tuple[Entity, Link | None, Ref | None]:
    try:
        found = find(engine.store, settings, text)
    except ConfigError as unknown:
        for side in SIDES:
            for candidate in candidates(text):
                ref = _ask(engine, side, candidate)
                if ref is not None:
                    return ref.entity, None, ref
        raise unknown
    return found.entity, found.link, found.ref


def _ask(engine: "Engine", side: Side, id: str) -> Ref | None:
    """A native id that the store has not met yet, where it looks like one of that system's."""
    if engine.connectors[side].system == "dynamics":
        entities: list[Entity] = [entity for entity in ENTITIES if entity in engine.compiled.entities and len(id) == 36]
    else:
        entities = [entity for prefix, entity in _PREFIXES.items() if id.startswith(prefix) and len(id) == 18]
    if not entities:
        return None
    rows = engine.connectors[side].fetch_many({entity: [id] for entity in entities})
    return next((row.ref for entity in entities for row in rows.get(entity, {}).values()), None)


def _read(engine: "Engine", wanted: Sequence[tuple[Entity, Link | None, Ref | None]]) -> list[Chosen]:
    """All in as few calls as the CRMs allow."""
    ids: dict[Side, dict[Entity, list[str]]] = {side: {} for side in SIDES}
    for entity, link, ref in wanted:
        for side in SIDES:
            id = link.id_on(side) if link else ref.id if ref and ref.side == side else None
            if id is not None:
                ids[side].setdefault(entity, []).append(id)
    rows = {side: engine.connectors[side].fetch_many(mine) if mine else {} for side, mine in ids.items()}
    chosen: list[Chosen] = []
    for entity, link, ref in wanted:
        found: dict[Side, Row] = {}
        for side in SIDES:
            id = link.id_on(side) if link else ref.id if ref and ref.side == side else None
            row = rows[side].get(entity, {}).get(id) if id is not None else None
            if row is not None and row.values is not None and not row.deleted:
                found[side] = row
        chosen.append(Chosen(entity=entity, link=link, rows=found))
    return chosen


def _first_page(engine: "Engine", entity: Entity, count: int) -> list[Chosen]:
    """Half of them from each side, from one page each; nothing is known of partners yet."""
    found: list[Chosen] = []
    for side, share in zip(SIDES, (count - count // 2, count // 2), strict=True):
        rows = islice(_live_rows(engine, side, entity), share)
        found += [Chosen(entity=entity, link=None, rows={side: row}) for row in rows]
    return found


def _live_rows(engine: "Engine", side: Side, entity: Entity) -> Iterator[Row]:
    for page in engine.connectors[side].changes(entity, None):
        live = [row for row in page.rows if row.values is not None and not row.deleted]
        yield from live
        if live:
            return

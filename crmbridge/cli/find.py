"""A record by what people have at hand: a shared id, a native id, a CRM's URL, or `entity:e-mail`."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from crmbridge.errors import ConfigError
from crmbridge.model import ENTITIES, SIDES, Entity, Link, Ref, Row, Side, attribute_name

if TYPE_CHECKING:
    from crmbridge.settings import Settings
    from crmbridge.state.store import Store

_GUID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_SALESFORCE_ID: Final = re.compile(r"(?<![A-Za-z0-9])([A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?)(?![A-Za-z0-9])")
_CHECK_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    entity: Entity
    link: Link | None
    ref: Ref | None

    def id_on(self, side: Side) -> str | None:
        if self.link is not None:
            return self.link.id_on(side)
        return self.ref.id if self.ref and self.ref.side == side else None

    def row(self, store: "Store", side: Side) -> Row | None:
        """As last read."""
        id = self.id_on(side)
        stored = store.record(Ref(side=side, entity=self.entity, id=id)) if id else None
        return stored.row if stored else None


def find(store: "Store", settings: "Settings", text: str) -> Found:
    entity, colon, email = text.partition(":")
    if colon and entity in ENTITIES:
        hits = _by_email(store, settings, entity, email)
    else:
        hits = [
            Found(entity=entity, link=link, ref=ref)
            for candidate in candidates(text)
            for entity, link, ref in store.find_record(candidate)
        ]
    unique = {hit.link.id if hit.link else hit.ref: hit for hit in hits}
    if not unique:
        raise ConfigError(
            f"No record is known as {text!r}.",
            fix="RECORD is a shared id, a native id, a CRM URL or entity:e-mail; what was made a moment ago is known "
            "after the next plan or sync.",
        )
    if len(unique) > 1:
        names = ", ".join(str(hit.link.id if hit.link else hit.ref) for hit in hits)
        raise ConfigError(f"{text!r} means {len(unique)} records: {names}.", fix="Give one of these ids.")
    return hits[0]


def candidates(text: str) -> list[str]:
    """Ids that a text may mean; of a URL the last one that looks like an id."""
    text = text.strip()
    found = [text]
    guids = _GUID.findall(text)
    if guids:
        found.append(guids[-1].lower())
    found += [whole_id(one) for one in reversed(_SALESFORCE_ID.findall(text)) if any(c.isdigit() for c in one)]
    return list(dict.fromkeys(found))


def whole_id(text: str) -> str:
    """A Salesforce id's 15 letters with the three that make it safe where case is lost (salesforce-api §5)."""
    if len(text) != 15:
        return text
    parts = (text[0:5], text[5:10], text[10:15])
    return text + "".join(_CHECK_LETTERS[sum(c.isupper() << n for n, c in enumerate(part))] for part in parts)


def _by_email(store: "Store", settings: "Settings", entity: Entity, email: str) -> list[Found]:
    from crmbridge import wiring

    document = next((one for one in wiring.load_mapping(settings) if one.entity == entity), None)
    field = document.fields.get("email") if document else None
    if field is None:
        raise ConfigError(f"The mapping of {entity} has no field 'email' to look by.", fix="Give an id instead.")
    wanted = email.strip().casefold()
    refs: list[Ref] = []
    for side, choice in field.columns.items():
        name = attribute_name(choice.column)
        for stored in store.all_records(side, entity):
            value = getattr(stored.row.values, name, None)
            if isinstance(value, str) and value.strip().casefold() == wanted and not stored.row.deleted:
                refs.append(stored.row.ref)
    hits: list[Found] = []
    for side in SIDES:
        mine = [ref for ref in refs if ref.side == side]
        links = store.links_by_native(side, entity, [ref.id for ref in mine])
        hits += [Found(entity=entity, link=links.get(ref.id), ref=ref) for ref in mine]
    return hits

"""Record types of an object: their developer names behind the ids that rows hold, and which choices each offers (§5.1).

The describe that is read anyway names them. What they offer is told by the layouts alone: one call more, made only
where an object has record types and a status that depends on them.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from connectors.base import RecordType
from connectors.salesforce import protocol, soql
from connectors.salesforce.client import Client
from connectors.salesforce.rows import OBJECTS
from crmbridge.errors import AccessError, RefusedError
from crmbridge.model import Entity

COLUMN: Final = "RecordTypeId"
# The choices that are of interest: which status or stage the records of a type may have.
_STATUS: Final[Mapping[Entity, str]] = {"lead": "Status", "opportunity": "StageName"}


class RecordTypeInfo(msgspec.Struct, kw_only=True):
    recordTypeId: str  # noqa: N815 - the wire's names
    developerName: str = ""  # noqa: N815
    name: str = ""
    active: bool = True
    available: bool = True
    master: bool = False


class _Infos(msgspec.Struct):
    recordTypeInfos: list[RecordTypeInfo] = []  # noqa: N815


class _Choice(msgspec.Struct):
    value: str
    active: bool = True


class _Picklist(msgspec.Struct):
    picklistName: str  # noqa: N815
    picklistValues: list[_Choice] = []  # noqa: N815


class _Mapping(msgspec.Struct):
    recordTypeId: str  # noqa: N815
    picklistsForRecordType: list[_Picklist] | None = None  # noqa: N815


class _Layouts(msgspec.Struct):
    recordTypeMappings: list[_Mapping] = []  # noqa: N815


class RecordTypes:
    """What was told of them so far."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[Entity, tuple[RecordType, ...]] = {}
        self._strange: set[str] = set()  # ids that were looked for in vain

    def told(self, entity: Entity, infos: Sequence[RecordTypeInfo]) -> tuple[RecordType, ...]:
        """Of a describe. The master stands for having none."""
        mine = [each for each in infos if not each.master]
        offers = self._offers(entity) if mine and entity in _STATUS else {}
        self._known[entity] = tuple(
            RecordType(
                id=soql.id18(each.recordTypeId),
                name=each.developerName,
                label=each.name,
                active=each.active,
                available=each.available,
                offers=offers.get(soql.id18(each.recordTypeId)),
            )
            for each in mine
        )
        return self._known[entity]

    def name_of(self, entity: Entity, id: str) -> str | None:
        id = soql.id18(id)
        found = self._find(entity, id)
        if found is None and id not in self._strange:  # made since we last asked
            self._ask(entity)
            found = self._find(entity, id)
            if found is None:
                self._strange.add(id)  # the master's, or one that our user may not see
        return found.name if found is not None else None

    def offers(self, entity: Entity, name: str | None, column: str) -> tuple[str, ...] | None:
        """None where it is not known: then everything is offered, as far as we can tell."""
        if name is None:
            return None
        if entity not in self._known:
            self._ask(entity)
        found = next((each for each in self._known[entity] if each.name == name), None)
        return found.offers.get(column) if found is not None and found.offers is not None else None

    def _find(self, entity: Entity, id: str) -> RecordType | None:
        return next((each for each in self._known.get(entity, ()) if each.id == id), None)

    def _ask(self, entity: Entity) -> None:
        answer = self._client.read(protocol.describe(OBJECTS[entity]))
        self.told(entity, msgspec.json.decode(answer.body, type=_Infos).recordTypeInfos)

    def _offers(self, entity: Entity) -> dict[str, dict[str, tuple[str, ...]]]:
        try:
            answer = self._client.read(protocol.layouts(OBJECTS[entity]))
        except (AccessError, RefusedError):
            return {}  # a user who may not see layouts; then nobody can say what a record type offers
        column = _STATUS[entity]
        return {
            soql.id18(each.recordTypeId): {
                one.picklistName: tuple(choice.value for choice in one.picklistValues if choice.active)
                for one in each.picklistsForRecordType or ()
                if one.picklistName == column
            }
            for each in msgspec.json.decode(answer.body, type=_Layouts).recordTypeMappings
        }

"""What we want in a Salesforce org: the key field on the four objects, and our user's rights, none too many.

The key field is made through the Tooling API (CustomField). The fact sheet does not describe it: path, body and answer
are (unverified) there, so whatever is not plainly done is handed to a person with the clicks that do the same. A field
that was made so is visible to nobody until a permission set says so (unverified), and that is a person's decision.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from connectors.base import Description
from connectors.salesforce import protocol, soql
from connectors.salesforce.client import Client
from connectors.salesforce.protocol import Call, Meaning
from connectors.salesforce.rows import OBJECTS
from connectors.setup import OUR_USER, State, Wish
from crmbridge.errors import CrmBridgeError, TryLater
from crmbridge.model import ENTITIES, Entity

LABEL: Final = "crmbridge id"
KEY_LENGTH: Final = 36
NEEDED: Final = {
    "PermissionsApiEnabled": "API Enabled",
    "PermissionsConvertLeads": "Convert Leads",
    "PermissionsViewSetup": "View Setup and Configuration",
}
TOO_MUCH: Final = {
    "PermissionsModifyAllData": "Modify All Data",
    "PermissionsAuthorApex": "Author Apex",
    "PermissionsManageUsers": "Manage Users",
}
VIEW_ALL: Final = "PermissionsViewAllRecords"
WORDS: Final = "View All Records"
_SEES_ALL: Final = ("PermissionsViewAllData",)  # more than is needed, and enough
_MODIFIES_ALL: Final = ("PermissionsModifyAllData",)
_ACCESS, _OBJECTS = "UserPermissionAccess", "ObjectPermissions"
_OWN_SET: Final = "Setup, Permission Sets, crmbridge"
_TAKE_AWAY: Final = f"Take away: {_OWN_SET}, or the user's profile."


class _Answer(msgspec.Struct):
    success: bool = False


class _Records(msgspec.Struct):
    records: list[dict[str, Any]] = []


class _Field(msgspec.Struct):
    name: str


class _Described(msgspec.Struct):
    fields: list[_Field]


class Setup:
    def __init__(self, client: Client, key_field: str | None, describe: Callable[[Entity], Description]) -> None:
        self._client, self._key_field, self._describe = client, key_field, describe

    def wishes(self, user_id: str) -> list[Wish]:
        return [*(wish for entity in ENTITIES for wish in self._object(entity)), *self.rights(user_id)]

    # --- fields -----------------------------------------------------------------------------------------------------

    def _object(self, entity: Entity) -> list[Wish]:
        table = OBJECTS[entity]
        try:
            description = self._describe(entity)
        except TryLater:
            raise  # nobody is called now, so nothing is known
        except CrmBridgeError as error:
            return [Wish(where=table, what="the object", state="unread", how=error.message)]
        found = [self._key(table, description)] if self._key_field else []
        for able, right in (("createable", "Create"), ("updateable", "Edit")):
            usable = any(getattr(column, able) for column in description.columns.values())
            state: State = "there" if usable else "by hand"
            how = "" if usable else f"{_OWN_SET}, Object Settings, {table}: {right}."
            found.append(Wish(where=table, what=f"right to {right.lower()}", state=state, how=how))
        return found

    def _key(self, table: str, description: Description) -> Wish:
        name = self._key_field or ""
        what = f"key field {name} (Text {KEY_LENGTH}, External ID, Unique)"
        column = description.columns.get(name)
        if description.key_field:
            return Wish(where=table, what=what, state="there", name=name)
        if column is None:
            return Wish(where=table, what=what, state="missing", how=_clicks(table, name), name=name)
        length = f"{column.length} characters long" if column.length else "there"
        how = (
            f"It is {length}, but not a unique external id of {KEY_LENGTH} characters: Setup, Object Manager, {table}, "
            f"Fields & Relationships, {name}, Edit: length {KEY_LENGTH}; tick External ID and Unique, any case."
        )
        return Wish(where=table, what=what, state="by hand", how=how, name=name)

    # --- rights -----------------------------------------------------------------------------------------------------

    def rights(self, user_id: str) -> list[Wish]:
        """One call, and two more where the org has not all of these permissions."""
        columns = (*NEEDED, *TOO_MUCH, *_SEES_ALL)
        asked = [_permissions(columns), _on_objects(user_id)]
        try:
            body = self._client.read(protocol.composite_read(asked)).body
            general, objects = (_rows(*part) for part in protocol.composite_bodies(body, len(asked)))
            if isinstance(general, str) and "INVALID_FIELD" in general:
                general = self._known_permissions(columns)
        except TryLater:
            raise  # nobody is called now, so nothing is known
        except (CrmBridgeError, msgspec.DecodeError) as error:
            general = objects = error.message if isinstance(error, CrmBridgeError) else "the answer was not understood"
        return [*_in_general(general), *_on_each(general, objects)]

    def _known_permissions(self, columns: Sequence[str]) -> list[dict[str, Any]] | str:
        """Of those that this org knows: one that belongs to a feature may be missing."""
        known = msgspec.json.decode(self._client.read(protocol.describe(_ACCESS)).body, type=_Described)
        there = {each.name for each in known.fields}
        answer = self._client.run(_permissions([name for name in columns if name in there]))
        return _rows(self._client.meaning(answer), answer.body)

    # --- making -----------------------------------------------------------------------------------------------------

    def make(self, wish: Wish) -> Wish:
        call = protocol.create_field(wish.where, field_document(wish.where, wish.name))
        try:
            answer = self._client.run(call)
            what = self._client.meaning(answer)
        except TryLater:
            raise  # nobody is called now, so nothing is known
        except CrmBridgeError as error:  # a lost answer, too: the next look tells
            how = f"{error.message} If it is not there: {_clicks(wish.where, wish.name)}"
            return replace(wish, state="by hand", how=how)
        if what.kind != "done" or not _done(answer.body):
            return replace(wish, state="by hand", how=f"{what.message or what.code} {_clicks(wish.where, wish.name)}")
        where = f"{_OWN_SET}, Object Settings, {wish.where}, {wish.name}"
        how = f"Now let our user see and edit it: {where}: Read and Edit Access."
        return replace(wish, state="made", how=how)


def _permissions(columns: Sequence[str]) -> Call:
    return protocol.query(f"{soql.select(columns, _ACCESS)} LIMIT 1", _ACCESS)


def _on_objects(user_id: str) -> Call:
    """Of the user's permission sets, that of the profile among them. These objects are none of the fact sheet's, so all
    of the question is (unverified)."""
    sets = soql.select(("PermissionSetId",), "PermissionSetAssignment", f"AssigneeId = {soql.text(user_id)}")
    where = f"{soql.any_of('SobjectType', OBJECTS.values())} AND ParentId IN ({sets})"
    return protocol.query(soql.select(("SobjectType", VIEW_ALL), _OBJECTS, where), _OBJECTS)


def _rows(what: Meaning, body: bytes) -> list[dict[str, Any]] | str:
    """Or why there are none."""
    if what.kind != "done":
        return f"{what.message.rpartition(' ERROR at ')[2]} ({what.code})"
    return msgspec.json.decode(body, type=_Records).records


def _in_general(rights: list[dict[str, Any]] | str) -> Iterator[Wish]:
    if isinstance(rights, str) or not rights:
        what = f"{', '.join(NEEDED.values())}, and not {' or '.join(TOO_MUCH.values())}"
        why = rights if isinstance(rights, str) else "no answer"
        yield Wish(where=OUR_USER, what=what, state="unread", how=f"{_OWN_SET}, System Permissions. ({why})")
        return
    held = rights[0]
    for name, words in NEEDED.items():
        state: State = "unread" if name not in held else "there" if held[name] is True else "by hand"
        how = "" if state == "there" else f"{_OWN_SET}, System Permissions: {words}."
        yield Wish(where=OUR_USER, what=words, state=state, how=how)
    for name, words in TOO_MUCH.items():
        if name not in held:
            how = f"It must not be there: {_OWN_SET}, or the user's profile."
            yield Wish(where=OUR_USER, what=f"no {words}", state="unread", how=how)
        elif held[name] is True:
            yield Wish(where=OUR_USER, what=words, state="too much", how=_TAKE_AWAY)


def _on_each(general: list[dict[str, Any]] | str, objects: list[dict[str, Any]] | str) -> Iterator[Wish]:
    """View All on the objects, or what contains it: without it a record that our user may not see looks deleted."""
    held = general[0] if not isinstance(general, str) and general else {}
    everywhere = any(held.get(name) is True for name in (*_SEES_ALL, *_MODIFIES_ALL))
    seen = {each.get("SobjectType") for each in objects if each.get(VIEW_ALL)} if not isinstance(objects, str) else None
    for entity in ENTITIES:
        table = OBJECTS[entity]
        clicks = f"{_OWN_SET}, Object Settings, {table}: View All Records."
        if everywhere or (seen is not None and table in seen):
            yield Wish(where=table, what=WORDS, state="there")
        elif seen is None:
            yield Wish(where=table, what=WORDS, state="unread", how=f"{clicks} ({objects})")
        else:
            yield Wish(where=table, what=WORDS, state="by hand", how=clicks)


def field_document(table: str, name: str) -> dict[str, object]:
    metadata = {
        "type": "Text",
        "label": LABEL,
        "description": "The id of the partner record; written by crmbridge alone.",
        "length": KEY_LENGTH,
        "externalId": True,
        "unique": True,
        "caseSensitive": False,
        "required": False,
    }
    return {"FullName": f"{table}.{name}", "Metadata": metadata}


def _done(body: bytes) -> bool:
    try:
        return msgspec.json.decode(body, type=_Answer).success
    except msgspec.DecodeError:
        return False


def _clicks(table: str, name: str) -> str:
    bare = name.removesuffix("__c")
    return (
        f"Setup, Object Manager, {table}, Fields & Relationships, New: Text; label {LABEL}, length {KEY_LENGTH}, field "
        f"name {bare}; tick External ID and Unique (case insensitive); visible and editable for our permission set."
    )

"""What we want in a Salesforce org: the key field on the four objects, and our user's rights, none too many.

The key field is made through the Tooling API (CustomField). The fact sheet does not describe it: path, body and answer
are (unverified) there, so whatever is not plainly done is handed to a person with the clicks that do the same. A field
that was made so is visible to nobody until a permission set says so (unverified), and that is a person's decision.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import msgspec

from connectors.base import Description
from connectors.salesforce import protocol, soql
from connectors.salesforce.client import Client
from connectors.salesforce.rows import OBJECTS
from connectors.setup import State, Wish
from crmbridge.errors import CrmBridgeError, TryLater
from crmbridge.model import ENTITIES, Entity

USER: Final = "our user"
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
_OWN_SET: Final = "Setup, Permission Sets, crmbridge"


class _Answer(msgspec.Struct):
    success: bool = False


class _Rights(msgspec.Struct):
    records: list[dict[str, bool | dict[str, str]]] = []


class Setup:
    def __init__(self, client: Client, key_field: str | None, describe: Callable[[Entity], Description]) -> None:
        self._client, self._key_field, self._describe = client, key_field, describe

    def wishes(self) -> list[Wish]:
        return [*(wish for entity in ENTITIES for wish in self._object(entity)), *self.rights()]

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
        how = f"{_OWN_SET}, Object Settings, {table}: View All Records; describe does not tell, so look once."
        found.append(Wish(where=table, what="View All Records", state="unread", how=how))
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

    def rights(self) -> list[Wish]:
        columns = (*NEEDED, *TOO_MUCH)
        call = protocol.query(f"{soql.select(columns, 'UserPermissionAccess')} LIMIT 1", "UserPermissionAccess")
        try:
            rights = msgspec.json.decode(self._client.read(call).body, type=_Rights).records[0]
        except TryLater:
            raise  # nobody is called now, so nothing is known
        except (CrmBridgeError, msgspec.DecodeError, IndexError) as error:
            told = error.message if isinstance(error, CrmBridgeError) else "the answer was not understood"
            why = told.rpartition(" ERROR at ")[2]
            what = f"{', '.join(NEEDED.values())}, and not {' or '.join(TOO_MUCH.values())}"
            return [Wish(where=USER, what=what, state="unread", how=f"{_OWN_SET}, System Permissions. ({why})")]
        found = [
            Wish(
                where=USER,
                what=words,
                state="there" if rights.get(name) is True else "by hand",
                how="" if rights.get(name) is True else f"{_OWN_SET}, System Permissions: {words}.",
            )
            for name, words in NEEDED.items()
        ]
        found += [
            Wish(where=USER, what=words, state="too much", how=f"Take it away: {_OWN_SET}, or the user's profile.")
            for name, words in TOO_MUCH.items()
            if rights.get(name) is True
        ]
        return found

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

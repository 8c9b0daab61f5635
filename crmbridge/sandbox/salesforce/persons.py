"""Person accounts: an account and its one contact that are the same person (salesforce-api §6.5).

The org's setting `person_accounts` brings them. Facts that the fact sheet has not are from the Object Reference
("Account", "IsPersonAccount Fields"), from help.salesforce.com 000386207 and 005305352, and from what users of real
orgs showed in public threads; whatever none of them says is (unverified).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.overlay import ABSENT
from crmbridge.sandbox.salesforce.errors import SfError, not_served, refuse
from crmbridge.sandbox.salesforce.schema import Field, Shape, SObject

Complete = Callable[[str, Mapping[str, Any]], dict[str, Any]]  # a field of a shape with its defaults
Find = Callable[[str, str], Row | None]  # object name and id: the row

PERSON_TYPE: Final = "PersonAccount"  # the record type that the feature brings
_NAMES: Final = ("LastName", "FirstName", "Salutation", "MiddleName", "Suffix")
# What both rows have under one name; beside the parts of the name it is (unverified).
_SHARED: Final = (*_NAMES, "Phone", "Fax", "Description", "OwnerId", "CurrencyIsoCode")
_STAMPS: Final = ("CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById", "SystemModstamp")
_CONTACTS_OWN: Final = frozenset(
    "Id IsDeleted MasterRecordId AccountId RecordTypeId IsPersonAccount Name PhotoUrl Jigsaw JigsawContactId "
    "CleanStatus IsEmailBounced ReportsToId LastActivityDate LastViewedDate LastReferencedDate".split()
).union(_STAMPS)
# What a column of the contact is and the account's, which only shows it, is not.
_NOT_SHOWN: Final = ("childRelationshipName", "deletedWithParent", "formula", "summary", "defaultValue")


# -- columns -------------------------------------------------------------------------------------------------------


def account_column(name: str) -> str | None:
    """What the account calls a column of its person contact; none where it does not show it."""
    if name in _CONTACTS_OWN:
        return None
    if name in _SHARED:
        return name
    return f"{name.removesuffix('__c')}__pc" if name.endswith("__c") else f"Person{name}"


def of_persons_alone(name: str) -> bool:
    """Whether a column of Account is for person accounts only."""
    return name in _NAMES or name.endswith("__pc") or (name.startswith("Person") and not name.endswith("__c"))


def shown(field: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The account's column for one of the contact's; both as a description has them."""
    item = {**field, "name": name, "idLookup": False, "nameField": False, "restrictedDelete": False}
    item = {key: value for key, value in item.items() if key not in _NOT_SHOWN}
    if field["type"] == "boolean":
        item["defaultValue"] = False  # a business account's is false, not null (unverified)
    else:
        item |= {"nillable": True, "defaultedOnCreate": False}
    if field.get("compoundFieldName") not in (None, "Name"):
        item["compoundFieldName"] = f"Person{field['compoundFieldName']}"
    if control := field.get("controllerName"):
        item["controllerName"] = account_column(control)
    if relation := field.get("relationshipName"):
        custom = relation.endswith("__r")
        item["relationshipName"] = f"{relation.removesuffix('__r')}__pr" if custom else f"Person{relation}"
    return item


def shown_field(field: Field) -> Field | None:
    """As `shown`, for a field that is added to Contact in a living org."""
    name = account_column(field.name)
    return msgspec.convert(shown(msgspec.to_builtins(field), name), Field) if name is not None else None


def with_persons(objects: dict[str, dict[str, Any]], complete: Complete) -> None:
    """What the feature adds to a shape; what the shape declares itself stands, and stays away where it says so."""
    account, contact = objects.get("Account"), objects.get("Contact")
    if account is None or contact is None:
        return  # told when all is read: every org has both
    flag = {"type": "boolean", "label": "Is Person Account", "readOnly": True}
    _add(contact, {"IsPersonAccount": complete("IsPersonAccount", flag)})
    if "AccountId" in contact["fields"]:
        contact["fields"]["AccountId"]["deletedWithParent"] = True
    link = {"type": "reference", "referenceTo": ["Contact"], "label": "Contact ID", "readOnly": True}
    added = {"PersonContactId": complete("PersonContactId", link), "IsPersonAccount": complete("IsPersonAccount", flag)}
    for field in contact["fields"].values():
        if (name := account_column(field["name"])) is not None:
            added[name] = shown(field, name)
    account["recordTypes"] = _kinds(account.get("recordTypes") or ())
    named = {"type": "reference", "referenceTo": ["RecordType"], "label": "Record Type ID"}
    _add(account, added | {"RecordTypeId": complete("RecordTypeId", named)})
    if "RecordType" in objects:
        given = {"type": "boolean", "label": "Is Person Type", "readOnly": True}
        _add(objects["RecordType"], {"IsPersonType": complete("IsPersonType", given)})
    if company := objects.get("Lead", {}).get("fields", {}).get("Company"):
        company.update(nillable=True, permissionable=True)  # a lead without one is a person's (§6.5)


def _kinds(declared: Iterable[Any]) -> list[Any]:
    """Account's record types with the one that the feature brings, unless the shape has it or another of the kind."""
    kinds = [
        {**kind, "person": True} if isinstance(kind, dict) and kind.get("developerName") == PERSON_TYPE else kind
        for kind in declared
    ]
    if any(isinstance(kind, dict) and kind.get("person") for kind in kinds):
        return kinds
    return [*kinds, {"developerName": PERSON_TYPE, "name": "Person Account", "person": True}]


def _add(item: dict[str, Any], fields: Mapping[str, dict[str, Any]]) -> None:
    """The parts of a name stand behind the name, all else comes last."""
    new = {name: field for name, field in fields.items() if name not in item["fields"] and name not in item[ABSENT]}
    parts = {name: new.pop(name) for name in _NAMES if name in new}
    ordered: dict[str, Any] = {}
    for name, field in item["fields"].items():
        ordered[name] = field
        if name == "Name":
            ordered |= parts
    item["fields"] = {**ordered, **parts, **new}


# -- decisions -----------------------------------------------------------------------------------------------------


def no_person_contact() -> SfError:
    """In real orgs seen for a delete, and for a file that is linked to one; elsewhere (unverified)."""
    return refuse("INVALID_PERSON_ACCOUNT_OPERATION", "cannot reference person contact", [])


def _bad_names(table: str, names: Iterable[str]) -> SfError:
    wrong = list(names)
    message = f"{table}: bad field names on insert/update call: {', '.join(wrong)}"
    return refuse("INVALID_FIELD_FOR_INSERT_UPDATE", message, wrong)


def meant(values: Mapping[str, Any]) -> bool:
    """Whether a new account without a record type is a person's: it has a last name, and no name of its own."""
    return values.get("LastName") is not None and "Name" not in values


@dataclass(frozen=True, kw_only=True)
class Persons:
    """What holds in an org with person accounts."""

    shape: Shape
    find: Find

    def is_person_type(self, key: str | None) -> bool:
        kind = self.find("RecordType", key or "") or {}
        return bool(kind.get("IsPersonType")) and kind.get("SobjectType") == "Account"

    def is_person(self, name: str, key: Any) -> bool:
        return bool(key) and bool((self.find(name, key) or {}).get("IsPersonAccount"))

    def admit(self, sobject: SObject, row: Row, before: Row | None, values: Mapping[str, Any]) -> None:
        """Refuses what a save may not do; `row` is what there is before `values` are written into it."""
        match sobject.name:
            case "Account" if before is None:
                _account_may_hold(values, person=self.is_person_type(row.get("RecordTypeId")))
            case "Account":
                self._stays_what_it_is(row, values)
                _account_may_hold(values, person=bool(row.get("IsPersonAccount")))
            case "Contact" if before is not None and before.get("IsPersonAccount"):
                if "AccountId" in values:  # in one public thread (b2c-crm-sync, issue 14) the text begins "Account:"
                    raise _bad_names("Contact", ["AccountId"])
                if "RecordTypeId" in values:
                    raise refuse("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", [])
            case "Contact" if self.is_person("Account", values.get("AccountId")):  # code and text (unverified)
                raise refuse("INVALID_PERSON_ACCOUNT_OPERATION", "cannot reference person account", ["AccountId"])
            case "ContentDocumentLink" if self.is_person("Contact", values.get("LinkedEntityId")):
                raise no_person_contact()
            case _:
                pass

    def _stays_what_it_is(self, row: Row, values: Mapping[str, Any]) -> None:
        person = bool(row.get("IsPersonAccount"))
        if "RecordTypeId" not in values or self.is_person_type(values["RecordTypeId"]) == person:
            return
        if len(values) > 1:
            message = "Cannot specify any additional fields when marrying or separating a Person-Account"
            raise refuse("INVALID_FIELD_FOR_INSERT_UPDATE", message, [])
        kinds = ("a person account into a business account", "a business account into a person account")
        raise not_served(f"the change of {kinds[not person]}")

    def missing(self, sobject: SObject, row: Row) -> list[str]:
        """Required columns that are empty; which of an account's are, hangs on which of the two it is."""
        empty = [field.name for field in sobject.required if row.get(field.name) is None]
        if sobject.name != "Account":
            return empty
        if not row.get("IsPersonAccount"):
            return [name for name in empty if not of_persons_alone(name)]
        nameless = ["LastName"] if row.get("LastName") is None else []
        return nameless + [name for name in empty if name not in ("Name", "LastName")]

    def twin(self, sobject: SObject, row: Row) -> tuple[SObject, Row] | None:
        """The other row of a person, where it is there already."""
        if sobject.name not in ("Account", "Contact") or not row.get("IsPersonAccount"):
            return None
        name, by = ("Contact", "PersonContactId") if sobject.name == "Account" else ("Account", "AccountId")
        found = self.find(name, row.get(by) or "")
        return None if found is None else (self.shape.objects[name], found)

    def carried(self, sobject: SObject, row: Row, other: Row) -> Row:
        """The other row as it is when this one stands as it does: the same values, the same stamps.

        What formulas of the contact give is computed anew by whoever keeps it.
        """
        changed = dict(other)
        for ours, theirs in [*self._pairs(sobject), *((name, name) for name in (*_STAMPS, "Name"))]:
            if row.get(ours) is None:
                changed.pop(theirs, None)
            else:
                changed[theirs] = row[ours]
        return changed

    def _pairs(self, sobject: SObject) -> Iterator[tuple[str, str]]:
        """Column of this object and of the other."""
        account, contact = self.shape.objects["Account"], self.shape.objects["Contact"]
        for field in contact.fields.values():
            name = account_column(field.name)
            if name is None or name not in account.fields:
                continue
            yield (field.name, name) if sobject.name == "Contact" else (name, field.name)

    def told_as(self, sobject: SObject, names: Iterable[str]) -> list[str]:
        """Columns of the other row in the words of this object, for whoever saved this one."""
        words = {theirs: ours for ours, theirs in self._pairs(sobject)}
        return [words.get(name, name) for name in names]

    def contact_of(self, account: Row) -> Row:
        """The contact that is made with an account; it has no record type (unverified)."""
        own = {"Id": account["PersonContactId"], "AccountId": account["Id"], "IsPersonAccount": True}
        contact = self.shape.objects["Contact"]
        seen = {name: account[name] for name in ("LastViewedDate", "LastReferencedDate") if name in account}
        filled = self.carried(self.shape.objects["Account"], account, {})
        return {**contact.defaults, "IsDeleted": False, **seen, **filled, **own}


def _account_may_hold(values: Mapping[str, Any], *, person: bool) -> None:
    """A person's name is made of its parts; a business account has nothing that is a person's."""
    wrong = [name for name in values if (name == "Name" if person else of_persons_alone(name))]
    if wrong:
        raise _bad_names("Account", wrong)


def persons_of(shape: Shape, find: Find) -> Persons | None:
    return Persons(shape=shape, find=find) if shape.org.person_accounts else None

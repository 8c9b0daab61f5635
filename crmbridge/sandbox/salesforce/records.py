"""Saving, deleting, restoring and merging records, one at a time, each whole or not at all (salesforce-api §3.1, §8.3).

Every method raises `SfError` for what Salesforce would refuse and leaves nothing behind then; callers that save many
records decide what one refusal means for the others.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.behaviour import derive
from crmbridge.sandbox.salesforce.errors import Problem, SfError, not_found, refuse
from crmbridge.sandbox.salesforce.ids import Sequence as IdSequence
from crmbridge.sandbox.salesforce.ids import canonical
from crmbridge.sandbox.salesforce.query import RECYCLE_BIN
from crmbridge.sandbox.salesforce.rules import Rulebook
from crmbridge.sandbox.salesforce.schema import Field, SObject
from crmbridge.sandbox.salesforce.store import Store
from crmbridge.sandbox.salesforce.values import instant, read, stamp

MERGE_MAX: Final = 3  # §8.3: the master and two more
_AUDIT: Final = (
    "CreatedDate",
    "CreatedById",
    "LastModifiedDate",
    "LastModifiedById",
)  # §6.6, on insert, with the permission
_CONVERTED: Final = ("ConvertedDate", "ConvertedAccountId", "ConvertedContactId", "ConvertedOpportunityId")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who saves, and what the request's headers ask for."""

    user: str
    version: str = "59.0"
    auto_assign: bool = True  # §3.5: the active assignment rule runs unless the header says FALSE
    allow_duplicates: bool = False
    rules: bool = True  # off: validation and duplicate rules are skipped, as at a conversion without validation
    apart: str = ""  # a row that duplicate rules do not find: the lead under conversion


class Records:
    def __init__(self, store: Store, sequence: IdSequence, now: Callable[[], datetime]) -> None:
        self._store = store
        self._shape = store.shape
        self._sequence = sequence
        self._now = now
        self._rules = Rulebook(store)

    # -- looking up ----------------------------------------------------------------------------------------------

    def fetch(self, sobject: SObject, text: str) -> Row:
        """A live row by its id, or the refusal of §3.1."""
        key = canonical(text)
        if key is None:
            raise refuse("MALFORMED_ID", f"malformed id {text}")
        row = self._store.get(sobject, key)
        if row is None:
            raise not_found()
        if row.get("IsDeleted"):
            raise refuse("ENTITY_IS_DELETED", "entity is deleted", [])
        return row

    def external_field(self, sobject: SObject, name: str) -> Field:
        field = sobject.field(name)
        if field is None or not (field.external_id or field.id_lookup):
            message = f"Provided external ID field does not exist or is not accessible: {name}"
            raise refuse("NOT_FOUND", message)
        return field

    def by_external_id(self, sobject: SObject, field: Field, value: Any) -> list[Row]:
        kept = read(field, value)
        found = (
            self._store.get(sobject, key)
            for key in ([kept] if field.name == "Id" else self._store.find(sobject, field.name, kept))
        )
        rows = [row for row in found if row is not None and not row.get("IsDeleted")]
        return [row for row in rows if row[field.name] == kept] if field.case_sensitive else rows

    # -- saving --------------------------------------------------------------------------------------------------

    def create(self, sobject: SObject, given: Mapping[str, Any], caller: Caller) -> str:
        if not sobject.document.createable:
            message = f"entity type cannot be inserted: {sobject.document.label}"
            raise refuse("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message, [])
        values = self._read(sobject, given, creating=True)
        self._lead_may_be_converted(sobject, values)
        return self._save(sobject, self.blank(sobject, caller.user), None, values, caller)

    def blank(self, sobject: SObject, owner: str) -> Row:
        """A new row with an id and the platform's defaults, not saved yet."""
        row: Row = {"Id": self._sequence.next(sobject.document.key_prefix), **self.defaults(sobject)}
        if "OwnerId" in sobject.fields:
            row["OwnerId"] = owner
        return row

    def defaults(self, sobject: SObject) -> Row:
        """What the platform fills in where nobody says otherwise."""
        row: Row = dict(sobject.defaults)
        if "RecordTypeId" in sobject.fields and (default := self._default_record_type(sobject)):
            row["RecordTypeId"] = default
        return row

    def update(self, sobject: SObject, row: Row, given: Mapping[str, Any], caller: Caller) -> str:
        if not sobject.document.updateable:
            message = f"entity type cannot be updated: {sobject.document.label}"
            raise refuse("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message, [])
        values = self._read(sobject, given, creating=False)
        if row.get("IsConverted") and not self._shape.org.edit_converted_leads:
            raise refuse("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead", [])  # §6.4
        return self._save(sobject, dict(row), row, values, caller)

    def write(self, sobject: SObject, row: Row, before: Row | None, caller: Caller) -> None:
        """Put a row that the platform made or changed: stamped, completed and checked, but no field is read-only."""
        self._complete(sobject, row, before, set(), caller)

    def _save(self, sobject: SObject, row: Row, before: Row | None, values: Mapping[str, Any], caller: Caller) -> str:
        if sobject.name == "Opportunity" and row.get("HasOpportunityLineItem"):
            values = {name: value for name, value in values.items() if name != "Amount"}  # §7: silently ignored
        blank = [name for name, value in values.items() if value is None and not sobject.fields[name].nillable]
        defaulted = [name for name in blank if sobject.fields[name].defaulted_on_create]
        if defaulted and before is not None:
            raise refuse("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(defaulted)}]", defaulted)
        for name, value in values.items():
            if name in defaulted:
                continue  # on insert the default stays
            if value is None:
                row.pop(name, None)
            else:
                row[name] = value
        if caller.auto_assign and (owner := self._rules.assigned_owner(sobject)):
            row["OwnerId"] = owner
        if row.get("OwnerId") != (before or {}).get("OwnerId"):
            self.owner_may_own(sobject, row.get("OwnerId"))
        with self._store.tables.transaction():
            self._complete(sobject, row, before, values.keys(), caller)
            self._after(sobject, row, before, caller)
        return row["Id"]

    def _complete(self, sobject: SObject, row: Row, before: Row | None, given: Any, caller: Caller) -> None:
        now = stamp(self._now())
        missing = [field.name for field in sobject.required if row.get(field.name) is None]
        if missing:
            raise refuse("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", missing)
        if sobject.name == "CampaignMember" and not (row.get("LeadId") or row.get("ContactId")):
            raise refuse("REQUIRED_FIELD_MISSING", "Required fields are missing: [LeadId]", ["LeadId"])
        derive(self._shape, sobject, row, before, given, now)
        if before is None:
            row.setdefault("CreatedDate", now)
            row.setdefault("CreatedById", caller.user)
            row.setdefault("LastModifiedDate", now)
            row.setdefault("LastModifiedById", caller.user)
        else:
            row.update(LastModifiedDate=now, LastModifiedById=caller.user)
        row["SystemModstamp"] = now  # §8.1: moves on every save, never settable
        changed = [name for name, value in row.items() if before is None or before.get(name) != value]
        if caller.rules:
            self._rules.validate(sobject, row, before, self._now())
            self._rules.duplicates(
                sobject,
                row,
                changed,
                self._now(),
                allow=caller.allow_duplicates,
                version=caller.version,
                apart=caller.apart,
            )
        self._unique(sobject, row, changed)
        self._store.put(sobject, row)

    # -- checks --------------------------------------------------------------------------------------------------

    def _read(self, sobject: SObject, given: Mapping[str, Any], *, creating: bool) -> dict[str, Any]:
        """The request's values as they are kept, by canonical field name; all that is wrong with them at once."""
        values: dict[str, Any] = {}
        read_only: list[str] = []
        problems: list[Problem] = []
        audit = (*_AUDIT, *_CONVERTED) if creating and self._shape.org.set_audit_fields else ()
        for name, value in given.items():
            if name == "attributes":
                continue
            field = sobject.field(name)
            reference = sobject.relations.get(name.lower()) if field is None else None
            if field is None and reference is None:
                # §3.1: DML says "on sobject of type", a query says "on entity".
                raise refuse("INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject.name}")
            writable = field or reference
            assert writable is not None
            if not (writable.createable if creating else writable.updateable) and writable.name not in audit:
                read_only.append(writable.name)
                continue
            try:
                if reference is not None:
                    values[reference.name] = self._foreign_key(reference, value)
                elif field is not None:
                    values[field.name] = read(field, value)
                    self._reference(field, values[field.name])
            except SfError as error:
                if error.problems[0].code == "JSON_PARSER_ERROR":
                    raise  # the request cannot be read at all
                problems += error.problems
        if read_only:
            message = (
                f"Unable to create/update fields: {', '.join(read_only)}. Please check the security settings of this "
                "field and verify that it is read/write for your profile or permission set."
            )
            problems.insert(
                0, Problem(code="INVALID_FIELD_FOR_INSERT_UPDATE", message=message, fields=tuple(read_only))
            )
        if problems:
            raise SfError(problems)
        return values

    def _reference(self, field: Field, key: str | None) -> None:
        """The row that a lookup names must be there, alive and of the right kind (§9.2)."""
        if field.type != "reference" or key is None:
            return
        targets = [found for name in field.reference_to if (found := self._shape.object(name))]
        if len(targets) < len(field.reference_to):
            return  # an object this sandbox does not hold: any well-formed id passes
        if key[:3] not in {target.document.key_prefix for target in targets}:
            message = f"{field.label}: id value of incorrect type: {key}"
            raise refuse("FIELD_INTEGRITY_EXCEPTION", message, [field.name])
        row = next((row for target in targets if (row := self._store.get(target, key))), None)
        if row is None:
            raise refuse("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [])
        if row.get("IsDeleted"):
            raise refuse("ENTITY_IS_DELETED", "entity is deleted", [])

    def _foreign_key(self, reference: Field, value: Any) -> str | None:
        """§3.1: a lookup by the parent's external id, `{"Account": {"Key__c": "a-1"}}`."""
        if value is None:
            return None
        parts = {key: part for key, part in value.items() if key != "attributes"} if isinstance(value, dict) else {}
        targets = [found for name in reference.reference_to if (found := self._shape.object(name))]
        if len(parts) != 1 or not targets:
            message = f"{reference.label}: give one external id field of the parent, or the id in {reference.name}"
            raise refuse("INVALID_FIELD", message, [reference.name])
        (name, key), target = next(iter(parts.items())), targets[-1]
        found = self.by_external_id(target, self.external_field(target, name), key)
        if len(found) != 1:
            # wording (unverified)
            raise refuse(
                "INVALID_FIELD", f"Foreign key external ID: {key} not found for field {name} in entity {target.name}"
            )
        return found[0]["Id"]

    def _lead_may_be_converted(self, sobject: SObject, values: Mapping[str, Any]) -> None:
        """§6.6: IsConverted on insert needs the permission to set audit fields (the refusal's code is unverified)."""
        if sobject.name == "Lead" and values.get("IsConverted") and not self._shape.org.set_audit_fields:
            message = "Unable to create/update fields: IsConverted. Please check the security settings of this field."
            raise refuse("INVALID_FIELD_FOR_INSERT_UPDATE", message, ["IsConverted"])

    def owner_may_own(self, sobject: SObject, owner: str | None) -> None:
        """§5.3: inactive or wrong-type users own nothing; of groups only queues do."""
        field = sobject.fields.get("OwnerId")
        if field is None or owner is None:
            return
        self._reference(field, owner)
        user = self._store.get(self._shape.objects["User"], owner)
        if user is not None and not user.get("IsActive"):
            message = f"operation performed with inactive user [{owner}] as owner of {sobject.document.label.lower()}"
            raise refuse("INACTIVE_OWNER_OR_USER", message, ["OwnerId"])
        if user is not None and user.get("UserType") != "Standard":
            message = "Operation not valid for this user type"
            raise refuse("OP_WITH_INVALID_USER_TYPE_EXCEPTION", message, ["OwnerId"])
        group = self._store.get(self._shape.objects["Group"], owner) if user is None else None
        if group is not None and group.get("Type") != "Queue":
            raise refuse("FIELD_INTEGRITY_EXCEPTION", f"Owner ID: id value of incorrect type: {owner}", ["OwnerId"])

    def _unique(self, sobject: SObject, row: Row, changed: Sequence[str]) -> None:
        for name in changed:
            field = sobject.fields.get(name)
            if field is None or not field.unique:
                continue
            for key in self._store.find(sobject, name, row[name]):
                other = self._store.get(sobject, key)
                if key == row["Id"] or other is None or other.get("IsDeleted"):
                    continue
                if field.case_sensitive and other[name] != row[name]:
                    continue
                # §9.2: the id in the text has 15 characters
                message = f"duplicate value found: {name} duplicates value on record with id: {key[:15]}"
                raise refuse("DUPLICATE_VALUE", message, [])

    def _default_record_type(self, sobject: SObject) -> str | None:
        names = [item.developer_name for item in sobject.document.record_types if item.default]
        rows = self._store.rows(self._shape.objects["RecordType"]).values()
        return next(
            (r["Id"] for r in rows if r.get("SobjectType") == sobject.name and r.get("DeveloperName") in names), None
        )

    # -- what a save does to other rows --------------------------------------------------------------------------

    def _after(self, sobject: SObject, row: Row, before: Row | None, caller: Caller) -> None:
        if sobject.name == "Opportunity" and before is None and row.get("ContactId"):
            # §5.3: ContactId on create makes the primary contact role.
            self.add_role(row["Id"], row["ContactId"], primary=True, caller=caller)
        if sobject.name == "OpportunityContactRole" and (row["IsPrimary"] or (before or {}).get("IsPrimary")):
            self._primary_changed(row)

    def add_role(self, opportunity: str, contact: str, *, primary: bool, caller: Caller) -> str:
        sobject = self._shape.objects["OpportunityContactRole"]
        role = {"OpportunityId": opportunity, "ContactId": contact, "IsPrimary": primary}
        return self.create(sobject, role, caller)

    def _primary_changed(self, role: Row) -> None:
        """One primary role per opportunity (§5.3), whose contact it shows; its stamp stays (unverified)."""
        sobject, opportunities = self._shape.objects["OpportunityContactRole"], self._shape.objects["Opportunity"]
        primary = role["ContactId"] if role["IsPrimary"] and not role.get("IsDeleted") else None
        for key in self._store.find(sobject, "OpportunityId", role["OpportunityId"]) if primary else ():
            other = self._store.rows(sobject)[key]
            if key != role["Id"] and other["IsPrimary"] and not other.get("IsDeleted"):
                self._store.put(sobject, {**other, "IsPrimary": False, "SystemModstamp": stamp(self._now())})
        opportunity = self._store.get(opportunities, role["OpportunityId"])
        if opportunity is not None:
            kept = {name: value for name, value in opportunity.items() if name != "ContactId"}
            self._store.put(opportunities, kept if primary is None else {**kept, "ContactId": primary})

    # -- deleting, restoring, merging ----------------------------------------------------------------------------

    def delete(self, sobject: SObject, row: Row, caller: Caller) -> None:
        """Soft, with the children that hang on it (§8.3)."""
        if not sobject.document.deletable:  # the code (unverified)
            raise refuse("CANNOT_DELETE_ENTITY", f"entity type cannot be deleted: {sobject.document.label}", [])
        if sobject.name == "Account":
            self._no_closed_won(row)
        with self._store.tables.transaction():
            self._remove(sobject, row, caller, root=row["Id"])

    def _no_closed_won(self, account: Row) -> None:
        opportunities = self._shape.objects["Opportunity"]
        rows = [
            self._store.rows(opportunities)[key] for key in self._store.find(opportunities, "AccountId", account["Id"])
        ]
        won = [found["Name"] for found in rows if found["IsWon"] and not found.get("IsDeleted")]
        if won:  # §7, message (unverified)
            message = (
                f"Your attempt to delete {account['Name']} could not be completed because it is associated with the "
                f"following closed won opportunities.: {', '.join(sorted(won))}"
            )
            raise refuse("DELETE_FAILED", message, [])

    def _remove(self, sobject: SObject, row: Row, caller: Caller, *, root: str, master: str | None = None) -> None:
        if master is None:  # a merge moves the children instead
            for child, reference in self._shape.children.get(sobject.name, ()):
                if reference.deleted_with_parent:
                    for key in self._store.find(child, reference.name, row["Id"]):
                        below = self._store.get(child, key)
                        if below is not None and not below.get("IsDeleted"):
                            self._remove(child, below, caller, root=root)
        now = stamp(self._now())
        gone = {**row, "IsDeleted": True, "SystemModstamp": now, "LastModifiedDate": now, "_root": root}
        gone["LastModifiedById"] = caller.user
        if master is not None:
            gone["MasterRecordId"] = master
        self._store.put(sobject, gone)
        if sobject.name == "OpportunityContactRole" and row["IsPrimary"]:
            self._primary_changed(gone)

    def undelete(self, text: str, caller: Caller) -> str:
        """Back from the recycle bin with the same id, and what its deletion took along (§8.3)."""
        key = canonical(text)
        sobject = self._shape.by_prefix.get(key[:3]) if key else None
        row = self._store.get(sobject, key) if sobject and key else None
        if row is None or sobject is None or key is None:
            raise refuse("INVALID_ID_FIELD", "invalid cross reference id", [])
        opened = self._now() - RECYCLE_BIN
        if not row.get("IsDeleted") or not sobject.document.undeletable or instant(row["SystemModstamp"]) < opened:
            raise refuse("UNDELETE_FAILED", "Entity is not in the recycle bin", [])  # wording (unverified)
        now = stamp(self._now())
        with self._store.tables.transaction():
            for name in self._shape.objects:
                item = self._shape.objects[name]
                for found in list(self._store.rows(item).values()):
                    if found.get("IsDeleted") and found.get("_root") == key:
                        back = {k: v for k, v in found.items() if k not in ("_root", "MasterRecordId")}
                        back |= {
                            "IsDeleted": False,
                            "SystemModstamp": now,
                            "LastModifiedDate": now,
                            "LastModifiedById": caller.user,
                        }
                        self._unique(item, back, list(back))
                        self._store.put(item, back)
        return key

    def empty_bin(self, text: str) -> str:
        """Out of the recycle bin for good, with what its deletion took along (§8.3; texts (unverified))."""
        key = canonical(text)
        sobject = self._shape.by_prefix.get(key[:3]) if key else None
        row = self._store.get(sobject, key) if sobject and key else None
        if row is None or sobject is None or key is None:
            raise refuse("INVALID_ID_FIELD", "invalid cross reference id", [])
        if not row.get("IsDeleted"):
            raise refuse("INVALID_ID_FIELD", "Record is not in the recycle bin", [])  # §8.3
        with self._store.tables.transaction():
            for item in self._shape.objects.values():
                for found in [found for found in self._store.rows(item).values() if found.get("_root") == key]:
                    self._store.drop(item, found["Id"])
        return key

    def merge(
        self, sobject: SObject, master: Row, losers: Sequence[str], given: Mapping[str, Any], caller: Caller
    ) -> tuple[list[str], list[str]]:
        """Losers are deleted and name their master, their children move to it (§8.3); ids of losers and moved rows."""
        if not sobject.document.mergeable:
            raise refuse("INVALID_TYPE", f"entity type cannot be merged: {sobject.name}", [])
        if not losers or len(losers) >= MERGE_MAX:  # §8.3; the code (unverified)
            raise refuse(
                "INVALID_NUM_RECORDS", f"A merge takes a master and one or two more records, not {len(losers)}.", []
            )
        if master.get("IsConverted"):  # lifecycle §2: may be a loser, never the master
            raise refuse("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead", [])
        rows = [self.fetch(sobject, key) for key in losers]
        if master["Id"] in {row["Id"] for row in rows}:
            raise refuse("INVALID_ID_FIELD", "a record cannot be merged with itself", [])
        moved: list[str] = []
        now = stamp(self._now())
        with self._store.tables.transaction():
            for row in rows:
                for child, reference in self._shape.children.get(sobject.name, ()):
                    if reference.name == "MasterRecordId":
                        continue
                    for key in self._store.find(child, reference.name, row["Id"]):
                        below = self._store.rows(child)[key]
                        # a moved child's SystemModstamp moves, its LastModifiedDate does not (unverified)
                        self._store.put(child, {**below, reference.name: master["Id"], "SystemModstamp": now})
                        moved.append(key)
                self._remove(sobject, row, caller, root=row["Id"], master=master["Id"])
            self.update(sobject, self.fetch(sobject, master["Id"]), given, caller)
        return [row["Id"] for row in rows], moved

    # -- windows (§8.2) ------------------------------------------------------------------------------------------

    def changed_between(self, sobject: SObject, start: str, end: str, *, deleted: bool) -> list[Row]:
        return [row for row in self._store.by_stamp(sobject, start, end) if bool(row.get("IsDeleted")) is deleted]


def overdue(row: Row, since: datetime) -> bool:
    """§3.5: If-Unmodified-Since compares whole seconds, so two writes in the same second pass."""
    return instant(row["LastModifiedDate"]) - since >= timedelta(seconds=1)

"""Saving records, one at a time, each whole or not at all (salesforce-api §3.1, §8.3).

Every method raises `SfError` for what Salesforce would refuse and leaves nothing behind then; callers that save many
records decide what one refusal means for the others. What ends a record's life is in `removal.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.addresses import settle
from crmbridge.sandbox.salesforce.behaviour import derive
from crmbridge.sandbox.salesforce.caller import Caller
from crmbridge.sandbox.salesforce.contention import Contention
from crmbridge.sandbox.salesforce.derived import Derived, Plan
from crmbridge.sandbox.salesforce.errors import Problem, SfError, no_access, no_external_id, not_found, refuse
from crmbridge.sandbox.salesforce.ids import Sequence as IdSequence
from crmbridge.sandbox.salesforce.ids import canonical
from crmbridge.sandbox.salesforce.opportunities import Opportunities
from crmbridge.sandbox.salesforce.persons import Persons, meant, persons_of
from crmbridge.sandbox.salesforce.picklists import wrong_values
from crmbridge.sandbox.salesforce.query import RECYCLE_BIN
from crmbridge.sandbox.salesforce.record_types import RecordTypes
from crmbridge.sandbox.salesforce.removal import Removal
from crmbridge.sandbox.salesforce.rules import Rulebook
from crmbridge.sandbox.salesforce.schema import Field, Permission, SObject
from crmbridge.sandbox.salesforce.store import Store
from crmbridge.sandbox.salesforce.values import instant, read, stamp, unreadable

_AUDIT: Final = (
    "CreatedDate",
    "CreatedById",
    "LastModifiedDate",
    "LastModifiedById",
)  # §6.6, on insert, with the permission
_CONVERTED: Final = ("ConvertedDate", "ConvertedAccountId", "ConvertedContactId", "ConvertedOpportunityId")


class Records:
    def __init__(self, store: Store, sequence: IdSequence, now: Callable[[], datetime]) -> None:
        self._store = store
        self._shape = store.whole
        self._sequence = sequence
        self._now = now
        plan = Plan(self._shape)
        self.persons = persons_of(self._shape, self._find)
        self.derived = Derived(store, plan, self._today, self._summed_up, self.persons)
        self.contention = Contention(now=now)
        self._rules = Rulebook(store, plan, self.derived)
        self.record_types = RecordTypes(store)
        self.opportunities = Opportunities(self, store, sequence, now)
        self._removal = Removal(self, store, now)

    def _today(self) -> date:
        return self._now().astimezone(self._shape.org.zone).date()

    def may(self, permission: Permission) -> bool:
        """Whether the running user has it; the platform has every one."""
        return self._store.access is None or self._store.access.has(permission)

    # -- looking up ----------------------------------------------------------------------------------------------

    def fetch(self, sobject: SObject, text: str) -> Row:
        """A live row by its id, or the refusal of §3.1."""
        key = canonical(text)
        if key is None:
            raise refuse("MALFORMED_ID", f"malformed id {text}")
        row = self._store.get(sobject, key)
        if row is None or not self._store.sees(row):  # lifecycle §6: what is not shared is not there
            raise not_found()
        if row.get("IsDeleted"):
            if row.get("_purged") or instant(row["SystemModstamp"]) < self._now() - RECYCLE_BIN:  # §8.3: gone
                raise not_found()
            raise refuse("ENTITY_IS_DELETED", "entity is deleted", [])
        return row

    def named(self, sobject: SObject, text: str) -> Row:
        """As `fetch`; among many records an id that is not there is INVALID_CROSS_REFERENCE_KEY (§9.2)."""
        try:
            return self.fetch(sobject, text)
        except SfError as error:
            if error.problems[0].code == "NOT_FOUND":
                raise refuse("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", []) from None
            raise

    def external_field(self, sobject: SObject, name: str) -> Field:
        field = sobject.field(name)
        if field is None or not (field.external_id or field.id_lookup):
            raise no_external_id(name)
        return field

    def by_external_id(self, sobject: SObject, field: Field, value: Any) -> list[Row]:
        kept = read(field, value)
        found = (
            self._store.get(sobject, key)
            for key in ([kept] if field.name == "Id" else self._store.find(sobject, field.name, kept))
        )
        rows = [row for row in found if row is not None and not row.get("IsDeleted") and self._store.sees(row)]
        return [row for row in rows if row[field.name] == kept] if field.case_sensitive else rows

    # -- saving --------------------------------------------------------------------------------------------------

    def create(self, sobject: SObject, given: Mapping[str, Any], caller: Caller) -> str:
        whole, seen = self._both(sobject)
        if not whole.document.createable:
            message = f"entity type cannot be inserted: {whole.document.label}"
            raise refuse("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message, [])
        if not seen.document.createable:
            raise no_access()
        values = self._read(seen, given, creating=True)
        self._lead_may_be_converted(whole, values)
        values |= self.person_type_of(whole, values, caller.user)
        return self._save(whole, self.blank(whole, caller.user, values.get("RecordTypeId")), None, values, caller)

    def _both(self, sobject: SObject) -> tuple[SObject, SObject]:
        """The object itself, and as the running user sees it."""
        whole = self._shape.objects[sobject.name]
        if self._store.access is None:
            return whole, whole
        seen = self._store.shape.objects.get(sobject.name)
        if seen is None:
            raise not_found()  # §9.2: as an object that is not there
        return whole, seen

    def blank(self, sobject: SObject, owner: str, record_type: str | None = None) -> Row:
        """A new row with an id and the platform's defaults, not saved yet."""
        row: Row = {
            "Id": self._sequence.next(sobject.document.key_prefix),
            **self.defaults(sobject, record_type, owner),
        }
        if "OwnerId" in sobject.fields:
            row["OwnerId"] = owner
        if "CurrencyIsoCode" in sobject.fields:  # §5.4: the user's own currency
            user = self._store.get(self._shape.objects["User"], owner) or {}
            row["CurrencyIsoCode"] = user.get("DefaultCurrencyIsoCode", row.get("CurrencyIsoCode"))
        return row

    def defaults(self, sobject: SObject, record_type: str | None = None, user: str = "") -> Row:
        """What the platform fills in where nobody says otherwise, for records of this user."""
        row: Row = dict(sobject.defaults)
        if sobject.document.record_types:
            key = record_type or self.record_types.default(sobject, user)
            if key is not None:
                row["RecordTypeId"] = key
                kind = self.record_types.of(sobject, row)
                row |= kind.defaults if kind else {}
        return row

    def update(self, sobject: SObject, row: Row, given: Mapping[str, Any], caller: Caller) -> str:
        whole, seen = self._both(sobject)
        if not whole.document.updateable:
            message = f"entity type cannot be updated: {whole.document.label}"
            raise refuse("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message, [])
        access = self._store.access
        if not seen.document.updateable or (access is not None and not access.edits(whole, row)):
            raise no_access()
        values = self._read(seen, given, creating=False)
        if row.get("IsConverted") and not self._edits_converted_leads():
            raise refuse("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead", [])  # §6.4
        return self._save(whole, dict(row), row, values, caller)

    def _edits_converted_leads(self) -> bool:
        access = self._store.access
        return self._shape.org.edit_converted_leads or (access is not None and access.has("edit_converted_leads"))

    def _sets_audit_fields(self) -> bool:
        access = self._store.access
        return self._shape.org.set_audit_fields or (access is not None and access.has("set_audit_fields"))

    def write(self, sobject: SObject, row: Row, before: Row | None, caller: Caller) -> None:
        """Put a row that the platform made or changed: stamped, completed and checked, but no field is read-only."""
        if self.contention.any_held:
            self.contention.check(self.locked_with(sobject, row, before))
        self._complete(sobject, row, before, set(), caller)

    def _save(self, sobject: SObject, row: Row, before: Row | None, values: Mapping[str, Any], caller: Caller) -> str:
        if self.persons is not None:
            self.persons.admit(sobject, row, before, values)
        if sobject.name == "Opportunity" and row.get("HasOpportunityLineItem"):
            if values.get("Pricebook2Id") not in (None, row.get("Pricebook2Id")):  # §7; code and text (unverified)
                message = "Price Book: cannot be changed while the opportunity has products"
                raise refuse("FIELD_INTEGRITY_EXCEPTION", message, ["Pricebook2Id"])
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
        if caller.auto_assign and (owner := self._rules.assigned_owner(sobject, row, caller.assignment_rule)):
            row["OwnerId"] = owner
        if row.get("OwnerId") != (before or {}).get("OwnerId"):
            self.owner_may_own(sobject, row.get("OwnerId"))
        if values.get("RecordTypeId") and "RecordTypeId" in sobject.fields:
            self.record_types.may_be(sobject, values["RecordTypeId"])
        if self.contention.any_held:
            self.contention.check(self.locked_with(sobject, row, before))
        with self._store.tables.transaction():
            self._complete(sobject, row, before, values.keys(), caller)
            self._after(sobject, row, before, caller)
        return row["Id"]

    def locked_with(self, sobject: SObject, row: Row, before: Row | None) -> list[str | None]:
        """§9.2: a save locks the row, and the parents that it hangs on: a contact's account, an opportunity's too."""
        parents = [field.name for field in sobject.fields.values() if field.deleted_with_parent]
        return [
            row["Id"],
            row.get("PersonContactId"),
            *(each.get(name) for name in parents for each in (row, before or {})),
        ]

    def _complete(self, sobject: SObject, row: Row, before: Row | None, given: Any, caller: Caller) -> None:
        made = before is None and self.begin_person(sobject, row)
        began = self.contention.began(sobject.name)
        now = stamp(began)
        if sobject.address_prefixes:
            # what the platform copies comes as texts: their codes are found (§6.5)
            texts = given or {name for name, value in row.items() if before is None or before.get(name) != value}
            if problems := settle(self._shape.countries, sobject, row, before, texts):
                raise SfError(problems)  # §10
        missing = self._missing(sobject, row)
        if missing:
            raise refuse("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", missing)
        if sobject.name == "CampaignMember" and not (row.get("LeadId") or row.get("ContactId")):
            raise refuse("REQUIRED_FIELD_MISSING", "Required fields are missing: [LeadId]", ["LeadId"])
        if sobject.name == "CampaignMember" and before is None and self._is_member(sobject, row):
            raise refuse("DUPLICATE_VALUE", "Already a campaign member.", [])  # §5.3; (unverified)
        derive(self._shape, sobject, row, before, given, now, self._find)
        if before is None:
            row.setdefault("CreatedDate", now)
            row.setdefault("CreatedById", caller.user)
            row.setdefault("LastModifiedDate", now)
            row.setdefault("LastModifiedById", caller.user)
        else:
            row.update(LastModifiedDate=now, LastModifiedById=caller.user)
        row["SystemModstamp"] = now  # §8.1: moves on every save, never settable
        if "LastViewedDate" in sobject.fields:  # recorded orgs: who saves a row has seen it, who reads it has not
            row["LastViewedDate"] = row["LastReferencedDate"] = now
        self.derived.compute(sobject, row)
        changed = [name for name, value in row.items() if before is None or before.get(name) != value]
        if sobject.narrowed:
            kind = self.record_types.of(sobject, row)
            if problems := wrong_values(sobject, row, set(changed), kind):
                raise SfError(problems)  # §5.1
        if caller.rules:
            self._rules.validate(sobject, row, before, self._now(), caller.user)
            self._rules.duplicates(
                sobject,
                row,
                changed,
                self._now(),
                creating=before is None,
                allow=caller.allow_duplicates,
                version=caller.version,
                apart=caller.apart,
                details=caller.duplicate_details,
            )
        self.unique(sobject, row, changed)
        self.put(sobject, row, before)
        if self.persons is not None:
            self._other_row(self.persons, sobject, row, made=made)

    def _missing(self, sobject: SObject, row: Row) -> list[str]:
        if self.persons is not None:
            return self.persons.missing(sobject, row)
        return [field.name for field in sobject.required if row.get(field.name) is None]

    def _is_member(self, sobject: SObject, row: Row) -> bool:
        who = "LeadId" if row.get("LeadId") else "ContactId"
        others = self._store.referring(sobject, who, row[who])
        return any(other["CampaignId"] == row["CampaignId"] and not other.get("IsDeleted") for other in others)

    def put(self, sobject: SObject, row: Row, before: Row | None) -> None:
        """Keep a row, and whatever is computed from it elsewhere."""
        self._store.put(sobject, row)
        if self.derived.active:
            self.derived.follow(sobject, row, before)

    def _summed_up(self, parent: SObject, row: Row, before: Row) -> None:
        """A roll-up changed: the parent's rules are asked, its stamp moves, but nobody has edited it (§8.1)."""
        row = {**row, "SystemModstamp": stamp(self._now())}
        self.derived.compute(parent, row)
        self._rules.validate(parent, row, before, self._now(), row.get("LastModifiedById", ""))
        self.put(parent, row, before)

    def _find(self, name: str, key: str) -> Row | None:
        return self._store.tables.get(name, key)

    # -- checks --------------------------------------------------------------------------------------------------

    def _read(self, sobject: SObject, given: Mapping[str, Any], *, creating: bool) -> dict[str, Any]:
        """The request's values as they are kept, by canonical field name; all that is wrong with them at once."""
        values: dict[str, Any] = {}
        seen: dict[str, Field | None] = {}  # and the lookup, where the parent is told by another key than its id
        read_only: list[str] = []
        problems: list[Problem] = []
        audit = (*_AUDIT, *_CONVERTED) if creating and self._sets_audit_fields() else ()
        for name, value in given.items():
            if name == "attributes":
                self._attributes_fit(sobject, value)
                continue
            field = sobject.field(name)
            reference = sobject.relations.get(name.lower()) if field is None else None
            if field is None and reference is None:
                # §3.1: DML says "on sobject of type", a query says "on entity".
                raise refuse("INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject.name}")
            writable = field or reference
            assert writable is not None
            if writable.name in seen:  # wording of the first (unverified)
                twice = f"Duplicate field {writable.name} specified"
                if (reference is None) is not (seen[writable.name] is None):
                    known = reference or seen[writable.name]
                    assert known is not None
                    twice = (
                        f"Cannot specify both an external ID reference {known.relationship_name} "
                        f"and a salesforce id, {known.name}"
                    )
                raise refuse("INVALID_FIELD", twice, [writable.name])
            seen[writable.name] = reference
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

    def _attributes_fit(self, sobject: SObject, attributes: Any) -> None:
        """A record says of itself what it is, or nothing (code and wording (unverified))."""
        if not isinstance(attributes, dict):
            raise unreadable("attributes", attributes)
        kind = attributes.get("type", sobject.name)
        if not isinstance(kind, str) or kind.lower() != sobject.name.lower():
            raise refuse("INVALID_TYPE", f"The record is of type {kind}, where {sobject.name} is expected.")

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
        if not self._store.sees(row):
            message = f"insufficient access rights on cross-reference id: {key[:15]}"
            raise refuse("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", message, [])
        if row.get("IsDeleted"):
            raise refuse("ENTITY_IS_DELETED", "entity is deleted", [])

    def _foreign_key(self, reference: Field, value: Any) -> str | None:
        """§3.1: a lookup by the parent's external id, `{"Account": {"Key__c": "a-1"}}`."""
        if value is None:
            return None
        parts = {key: part for key, part in value.items() if key != "attributes"} if isinstance(value, dict) else {}
        attributes = value.get("attributes") if isinstance(value, dict) else None
        kind = attributes.get("type") if isinstance(attributes, dict) else None
        targets = [found for name in reference.reference_to if (found := self._shape.object(name))]
        targets = [found for found in targets if kind is None or found.name.lower() == str(kind).lower()]
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
        if sobject.name == "Lead" and values.get("IsConverted") and not self._sets_audit_fields():
            message = "Unable to create/update fields: IsConverted. Please check the security settings of this field."
            raise refuse("INVALID_FIELD_FOR_INSERT_UPDATE", message, ["IsConverted"])

    def owner_may_own(self, sobject: SObject, owner: str | None) -> None:
        """§5.3: inactive or wrong-type users own nothing; of groups only queues do."""
        field = sobject.fields.get("OwnerId")
        if field is None or owner is None:
            return
        self._reference(field, owner)
        user = self._store.get(self._shape.objects["User"], owner)
        if user is not None and not user.get("IsActive") and not self._inactive_owners():
            message = f"operation performed with inactive user [{owner}] as owner of {sobject.document.label.lower()}"
            raise refuse("INACTIVE_OWNER_OR_USER", message, ["OwnerId"])
        if user is not None and user.get("UserType") != "Standard":
            message = "Operation not valid for this user type"
            raise refuse("OP_WITH_INVALID_USER_TYPE_EXCEPTION", message, ["OwnerId"])
        group = self._store.get(self._shape.objects["Group"], owner) if user is None else None
        if group is not None and group.get("Type") != "Queue":
            raise refuse("FIELD_INTEGRITY_EXCEPTION", f"Owner ID: id value of incorrect type: {owner}", ["OwnerId"])
        if group is not None and not self._queue_holds(sobject, owner):
            message = "Queue not associated with this SObject type"  # wording (unverified)
            raise refuse("INVALID_CROSS_REFERENCE_KEY", message, ["OwnerId"])

    def _inactive_owners(self) -> bool:
        """Permission "Update Records with Inactive Owners"."""
        access = self._store.access
        return access is not None and access.has("inactive_owners")

    def _queue_holds(self, sobject: SObject, queue: str) -> bool:
        """A queue holds the objects that QueueSobject names; one that names none holds what may have a queue at all."""
        supported = self._shape.objects.get("QueueSobject")
        rows = self._store.referring(supported, "QueueId", queue) if supported else []
        names = {row.get("SobjectType") for row in rows if not row.get("IsDeleted")}
        return not names or sobject.name in names

    def unique(self, sobject: SObject, row: Row, changed: Sequence[str]) -> None:
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
                if (sobject.name, name) == ("User", "Username"):  # §5.3: unique everywhere; the wording (unverified)
                    message = "Duplicate Username. The username already exists in this or another organization."
                    raise refuse("DUPLICATE_USERNAME", message, [name])  # (unverified)
                # §9.2: the id in the text has 15 characters
                message = f"duplicate value found: {name} duplicates value on record with id: {key[:15]}"
                raise refuse("DUPLICATE_VALUE", message, [])

    # -- what a save does to other rows --------------------------------------------------------------------------

    def _after(self, sobject: SObject, row: Row, before: Row | None, caller: Caller) -> None:
        if sobject.name == "Opportunity":
            self.opportunities.saved(row, before, caller)
        if sobject.name == "Opportunity" and before is None and row.get("ContactId"):
            # §5.3: ContactId on create makes the primary contact role.
            self.opportunities.add_role(row["Id"], row["ContactId"], primary=True, caller=caller)
        if sobject.name == "ContentNote" and (documents := self._shape.objects.get("ContentDocument")):
            # a note is a file too, under the same id (the fact sheet does not know notes: (unverified))
            shared = {name: value for name, value in row.items() if name in documents.fields}
            self.put(documents, shared, self._store.get(documents, row["Id"]))
        if sobject.name == "OpportunityContactRole" and (row["IsPrimary"] or (before or {}).get("IsPrimary")):
            self.opportunities.primary_changed(row)

    # -- person accounts -----------------------------------------------------------------------------------------

    def person_type_of(self, sobject: SObject, values: Mapping[str, Any], user: str = "") -> Row:
        """The record type of a new account that has none and is a person's; nothing for any other row."""
        if self.persons is None or sobject.name != "Account" or values.get("RecordTypeId") or not meant(values):
            return {}
        return {"RecordTypeId": self.record_types.of_persons(user)}

    def begin_person(self, sobject: SObject, row: Row) -> bool:
        """A new person account names the contact that is to be made with it; whether there is one to make."""
        if self.persons is None or sobject.name != "Account" or row.get("PersonContactId"):
            return False
        if not self.persons.is_person_type(row.get("RecordTypeId")):
            return False
        row["IsPersonAccount"] = True
        row["PersonContactId"] = self._sequence.next(self._shape.objects["Contact"].document.key_prefix)
        return True

    def _other_row(self, persons: Persons, sobject: SObject, row: Row, *, made: bool) -> None:
        """A new person's contact is made; what a save made of the other row is what could be saved there itself."""
        if made:
            contact = persons.contact_of(row)
            self.derived.compute(self._shape.objects["Contact"], contact)
            self.put(self._shape.objects["Contact"], contact, None)
        found = persons.twin(sobject, row)
        if found is None:
            return
        other, twin = found
        if missing := persons.told_as(sobject, persons.missing(other, twin)):
            raise refuse("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", missing)
        self.unique(other, twin, list(twin))

    # -- what ends a record's life -------------------------------------------------------------------------------

    def delete(self, sobject: SObject, row: Row, caller: Caller) -> None:
        """Soft, with the children that hang on it (§8.3)."""
        self._removal.delete(*self._both(sobject), row, caller)

    def undelete(self, text: str, caller: Caller) -> str:
        """Back from the recycle bin with the same id, and what its deletion took along (§8.3)."""
        return self._removal.undelete(text, caller)

    def empty_bin(self, text: str) -> str:
        """Out of the recycle bin for good, with what its deletion took along (§8.3)."""
        return self._removal.purge(text)

    def merge(
        self, sobject: SObject, master: Row, losers: Sequence[str], given: Mapping[str, Any], caller: Caller
    ) -> tuple[list[str], list[str]]:
        """Losers are deleted and name their master, their children move to it (§8.3); ids of losers and moved rows."""
        return self._removal.merge(*self._both(sobject), master, losers, given, caller)

    # -- windows (§8.2) ------------------------------------------------------------------------------------------

    def changed_between(self, sobject: SObject, start: str, end: str, *, deleted: bool) -> list[Row]:
        rows = self._store.by_stamp(sobject, start, end)
        return [row for row in rows if bool(row.get("IsDeleted")) is deleted and self._store.sees(row)]


def overdue(row: Row, since: datetime) -> bool:
    """§3.5: If-Unmodified-Since compares whole seconds, so two writes in the same second pass."""
    return instant(row["LastModifiedDate"]) - since >= timedelta(seconds=1)

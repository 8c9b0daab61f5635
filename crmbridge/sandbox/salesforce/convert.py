"""convertLead: one lead becomes an account, a contact and, if wanted, an opportunity; all of it or nothing.

salesforce-api §6, corrected by lifecycle §1 and §9. The lead is the guard: it is checked and marked in the same
transaction that makes the rows, so a second call cannot make them twice.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.behaviour import derive
from crmbridge.sandbox.salesforce.dates import quarter_end
from crmbridge.sandbox.salesforce.errors import SfError, no_access, refuse
from crmbridge.sandbox.salesforce.ids import canonical
from crmbridge.sandbox.salesforce.persons import account_column, no_person_contact
from crmbridge.sandbox.salesforce.records import Caller, Records
from crmbridge.sandbox.salesforce.schema import TEXT, Field, SObject
from crmbridge.sandbox.salesforce.store import Store
from crmbridge.sandbox.salesforce.values import read, stamp

LEADS_PER_CALL_MAX: Final = 100  # §6.2
_OWNED_BY_USERS: Final = (
    "Converted objects can only be owned by users.  If the lead is not owned by a user, you must specify a user for "
    "the Owner field."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadConvert:
    """What the caller asks for one lead; an empty text is an element that was nil or absent (§6.2)."""

    lead: str
    status: str
    account: str = ""
    contact: str = ""
    opportunity: str = ""
    opportunity_name: str = ""
    owner: str = ""
    without_opportunity: bool = False
    overwrite_lead_source: bool = False
    bypass_account_duplicates: bool = False  # passes what the duplicate header would (documented as internal use)
    bypass_contact_duplicates: bool = False
    truncate: bool = False  # AllowFieldTruncationHeader: what is too long for the target is cut (§6.4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    lead: str
    account: str
    contact: str
    opportunity: str | None


class Converter:
    def __init__(self, store: Store, records: Records) -> None:
        self._store = store
        self._records = records
        self._shape = store.shape
        objects = store.shape.objects
        self._lead, self._account, self._contact = objects["Lead"], objects["Account"], objects["Contact"]
        self._opportunity, self._role = objects["Opportunity"], objects["OpportunityContactRole"]

    def convert(self, ask: LeadConvert, caller: Caller, now: datetime) -> Converted:
        self._permitted(ask)
        lead = self._convertible(ask)
        self._contradictions(ask)
        # lifecycle §6: without "Require Validation" rules of both kinds are skipped; the lead is not its own duplicate.
        platform = replace(caller, rules=self._shape.conversion.require_validation, apart=lead["Id"], auto_assign=False)
        account = self._existing(self._account, ask.account)
        contact = self._existing(self._contact, ask.contact)
        person = self._becomes_person(lead, account)
        if person and contact is not None:  # §6.2: the account alone is given; code and text (unverified)
            raise no_person_contact()
        opportunity = self._existing(self._opportunity, ask.opportunity)
        for row in (contact, opportunity):  # §6.2, §9: both must belong to the account
            if row is not None and (account is None or row.get("AccountId") != account["Id"]):
                raise refuse("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [])
        owner = self._owner(ask, lead)
        with self._store.platform(), self._store.tables.transaction():
            passing = replace(platform, allow_duplicates=platform.allow_duplicates or ask.bypass_account_duplicates)
            if person:
                account_id, contact_id = self._merge_person(ask, lead, account, owner, passing)
            else:
                account_id = self._merge(self._account, lead, account, owner, passing, {}, truncate=ask.truncate)
                passing = replace(platform, allow_duplicates=platform.allow_duplicates or ask.bypass_contact_duplicates)
                contact_id = self._merge_contact(ask, lead, contact, owner, passing, account_id)
            opportunity_id = self._give_opportunity(
                ask, lead, opportunity, owner, platform, account_id, contact_id, now
            )
            self._campaigns(lead, contact_id, now)
            holder = account_id if person else contact_id  # no file is linked to a person contact
            self._activities(lead, contact_id, opportunity_id or account_id, holder, owner, now)
            self._close(lead, ask, account_id, contact_id, opportunity_id, platform, now)
        return Converted(lead=lead["Id"], account=account_id, contact=contact_id, opportunity=opportunity_id)

    # -- may it be converted? ------------------------------------------------------------------------------------

    def _permitted(self, ask: LeadConvert) -> None:
        """§6.4: "Convert Leads", edit on leads, and create or edit on what comes of them."""
        wanted = [(self._lead, True), (self._account, bool(ask.account)), (self._contact, bool(ask.contact))]
        if not ask.without_opportunity:
            wanted.append((self._opportunity, bool(ask.opportunity)))
        if not self._records.may("convert_leads"):
            raise no_access()
        for sobject, edited in wanted:
            seen = self._store.shape.objects.get(sobject.name)
            if seen is None or not (seen.document.updateable if edited else seen.document.createable):
                raise no_access()

    def _convertible(self, ask: LeadConvert) -> Row:
        lead = self._existing(self._lead, ask.lead)
        if lead is None:
            raise refuse("REQUIRED_FIELD_MISSING", "Required fields are missing: [leadId]", ["leadId"])
        if lead["IsConverted"]:
            raise refuse("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead", [])
        known = {status.value for status in self._shape.lead_statuses if status.converted}
        offered = self._offered(self._lead, lead, "Status")
        if ask.status not in known or (offered and ask.status not in offered):
            raise refuse("INVALID_STATUS", f"invalid convertedStatus: {ask.status}", [])
        return lead

    def _contradictions(self, ask: LeadConvert) -> None:
        """Arguments that exclude or need each other (§6.2; wording (unverified))."""
        if ask.contact and not ask.account:
            raise refuse("REQUIRED_FIELD_MISSING", "Required fields are missing: [accountId]", ["accountId"])
        if ask.opportunity and not ask.account:
            raise refuse("REQUIRED_FIELD_MISSING", "Required fields are missing: [accountId]", ["accountId"])
        if ask.without_opportunity and (ask.opportunity or ask.opportunity_name):
            name = "opportunityId" if ask.opportunity else "opportunityName"
            raise refuse("INVALID_FIELD", f"{name} must be empty when doNotCreateOpportunity is true", [name])
        if ask.opportunity and ask.opportunity_name:
            raise refuse(
                "INVALID_FIELD", "opportunityName must be empty when opportunityId is given", ["opportunityName"]
            )
        if ask.overwrite_lead_source and not ask.contact:
            raise refuse("INVALID_FIELD", "overwriteLeadSource needs a contactId", ["overwriteLeadSource"])

    def _existing(self, sobject: SObject, text: str) -> Row | None:
        if not text:
            return None
        key = canonical(text)
        if key is None:
            raise refuse("INVALID_ID_FIELD", f"invalid cross reference id: {text}", [])
        row = self._store.get(sobject, key)
        if row is None:
            raise refuse("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [])
        access = self._store.access
        if access is not None and not access.edits(sobject, row):  # §6.4: neither the lead nor a target is out of reach
            if sobject is self._lead:
                raise no_access()
            message = f"insufficient access rights on cross-reference id: {key[:15]}"
            raise refuse("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", message, [])
        if row.get("IsDeleted"):
            raise refuse("ENTITY_IS_DELETED", "entity is deleted", [])
        return row

    def _owner(self, ask: LeadConvert, lead: Row) -> str:
        """New rows belong to ownerId or the lead's owner; a queue cannot own them (§6.2). The code is unverified."""
        given = canonical(ask.owner) if ask.owner else lead["OwnerId"]
        users = self._shape.objects["User"]
        if given is None:
            raise refuse("INVALID_ID_FIELD", f"invalid cross reference id: {ask.owner}", [])
        if given[:3] != users.document.key_prefix:
            raise refuse("UNKNOWN_EXCEPTION", _OWNED_BY_USERS, [])
        if not ask.account or not ask.contact or not (ask.without_opportunity or ask.opportunity):
            self._records.owner_may_own(self._account, given)
        return given

    # -- what becomes of it --------------------------------------------------------------------------------------

    def _mapped(self, target: SObject, lead: Row, *, existing: bool, truncate: bool = False) -> Row:
        """The lead's values under the target's names; those that the target cannot hold are dropped or refused."""
        values: Row = {}
        for source, name in self._shape.conversion.mapping.get(target.name, {}).items():
            field = target.fields.get(name)
            if field is None or lead.get(source) is None:
                continue
            if existing and field.type == "boolean":
                continue  # lifecycle §1.1: a checkbox is never empty, so never copied; opt-outs neither
            try:
                values[name] = read(field, _cut(field, lead[source]) if truncate else lead[source])
            except SfError as error:
                if error.problems[0].code != "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST":
                    raise
                # §6.5: a picklist value unknown on the target is dropped silently (secondary)
        return values

    def _merge(
        self,
        target: SObject,
        lead: Row,
        row: Row | None,
        owner: str,
        caller: Caller,
        extra: dict[str, Any],
        *,
        truncate: bool,
    ) -> str:
        """Make the row, or fill only what is empty in the one that is there (§6.5)."""
        values = self._mapped(target, lead, existing=row is not None, truncate=truncate)
        return self._written(target, values, row, owner, caller, extra)["Id"]

    def _written(
        self,
        target: SObject,
        values: Row,
        row: Row | None,
        owner: str,
        caller: Caller,
        extra: Row,
        record_type: str | None = None,
    ) -> Row:
        if row is None:
            made = {**self._records.blank(target, owner, record_type), **values, **extra}
            self._records.write(target, made, None, caller)
            return made
        filled = {**row, **{name: value for name, value in values.items() if row.get(name) is None}, **extra}
        if filled != row:
            self._records.write(target, filled, row, caller)
        return filled

    def _becomes_person(self, lead: Row, account: Row | None) -> bool:
        """§6.5: a lead without a company does, unless it goes into an account that is there; that one stays what it is.

        Of a lead with a company that goes into a person account, and the reverse, it is (unverified).
        """
        if self._records.persons is None:
            return False
        return not lead.get("Company") if account is None else bool(account.get("IsPersonAccount"))

    def _merge_person(
        self, ask: LeadConvert, lead: Row, row: Row | None, owner: str, caller: Caller
    ) -> tuple[str, str]:
        """The ids of the person account and of its contact: what goes to both goes to the account, which shows both.

        That both mappings apply is (unverified).
        """
        existing = row is not None
        values = self._mapped(self._account, lead, existing=existing, truncate=ask.truncate)
        mapped = self._mapped(self._contact, lead, existing=existing, truncate=ask.truncate)
        values |= {shown: value for name, value in mapped.items() if (shown := account_column(name)) is not None}
        kind = self._records.record_types.of_persons(owner)
        done = self._written(self._account, values, row, owner, caller, {}, kind)
        return done["Id"], done["PersonContactId"]

    def _merge_contact(
        self, ask: LeadConvert, lead: Row, row: Row | None, owner: str, caller: Caller, account: str
    ) -> str:
        extra: dict[str, Any] = {"AccountId": account} if row is None else {}
        if row is not None and ask.overwrite_lead_source and lead.get("LeadSource"):
            extra["LeadSource"] = lead["LeadSource"]
        return self._merge(self._contact, lead, row, owner, caller, extra, truncate=ask.truncate)

    def _give_opportunity(
        self,
        ask: LeadConvert,
        lead: Row,
        row: Row | None,
        owner: str,
        caller: Caller,
        account: str,
        contact: str,
        now: datetime,
    ) -> str | None:
        if ask.without_opportunity:
            return None
        if row is not None:  # §6.5: it keeps its stage, close date and name
            if self._shape.conversion.contact_role_on_existing_opportunity:
                self._ensure_role(row["Id"], contact, caller)
            return row["Id"]
        made = self._records.blank(self._opportunity, owner)
        name = self._opportunity.fields["Name"]
        named = ask.opportunity_name or lead.get("Company") or lead["Name"]
        today = now.astimezone(self._shape.org.zone).date()
        made |= self._mapped(self._opportunity, lead, existing=False, truncate=ask.truncate)
        made |= {
            "Name": read(name, _cut(name, named) if ask.truncate else named),
            "AccountId": account,
            "StageName": self._first_stage(made),
            "CloseDate": quarter_end(today, self._shape.org.fiscal_year_start_month).isoformat(),
        }
        if (campaign := self._latest_campaign(lead)) is not None:
            made["CampaignId"] = campaign
        if "CurrencyIsoCode" in self._opportunity.fields and lead.get("CurrencyIsoCode"):
            made["CurrencyIsoCode"] = lead["CurrencyIsoCode"]
        self._records.write(self._opportunity, made, None, caller)
        self._records.opportunities.add_role(made["Id"], contact, primary=True, caller=caller)
        return made["Id"]

    def _first_stage(self, opportunity: Row) -> str:
        """The first value of the stage picklist, of the record type's process if it has one (§6.5)."""
        offered = self._offered(self._opportunity, opportunity, "StageName")
        active = [stage.value for stage in self._shape.opportunity_stages if stage.active]
        return next(value for value in (offered or active))

    def _offered(self, sobject: SObject, row: Row, field: str) -> tuple[str, ...]:
        kind = self._store.get(self._shape.objects["RecordType"], row.get("RecordTypeId", ""))
        name = kind["DeveloperName"] if kind else None
        return next((t.picklists.get(field, ()) for t in sobject.document.record_types if t.developer_name == name), ())

    def _ensure_role(self, opportunity: str, contact: str, caller: Caller) -> None:
        rows = [self._store.rows(self._role)[key] for key in self._store.find(self._role, "OpportunityId", opportunity)]
        rows = [row for row in rows if not row.get("IsDeleted")]
        if not any(row["ContactId"] == contact for row in rows):
            self._records.opportunities.add_role(
                opportunity, contact, primary=not any(row["IsPrimary"] for row in rows), caller=caller
            )

    def _members(self, lead: Row) -> list[Row]:
        members = self._shape.objects.get("CampaignMember")
        if members is None:
            return []
        rows = [self._store.rows(members)[key] for key in self._store.find(members, "LeadId", lead["Id"])]
        return [row for row in rows if not row.get("IsDeleted")]

    def _latest_campaign(self, lead: Row) -> str | None:
        members = sorted(self._members(lead), key=lambda row: (row["CreatedDate"], row["Id"]))
        return members[-1]["CampaignId"] if members else None

    def _campaigns(self, lead: Row, contact: str, now: datetime) -> None:
        """§5.3: a member row gets the contact and keeps the lead (unverified)."""
        for row in self._members(lead):
            members = self._shape.objects["CampaignMember"]
            self._records.put(members, {**row, "ContactId": contact, "SystemModstamp": stamp(now)}, row)

    def _activities(self, lead: Row, contact: str, thing: str, holder: str, owner: str, now: datetime) -> None:
        """§6.5: tasks, events and notes move; open activities follow the new owner (lifecycle §1.4)."""
        moved = {"SystemModstamp": stamp(now)}
        for name, moves in (
            ("Task", {"WhoId": contact, "WhatId": thing}),
            ("Event", {"WhoId": contact, "WhatId": thing}),
            ("ContentDocumentLink", {"LinkedEntityId": holder}),
            ("Attachment", {"ParentId": holder}),  # (unverified)
        ):
            sobject = self._shape.objects.get(name)
            reference = next(iter(moves))
            for row in self._store.referring(sobject, reference, lead["Id"]) if sobject else ():
                if sobject is None or row.get("IsDeleted"):
                    continue
                changed = {**row, **moves, **moved}
                if name == "Task" and not row.get("IsClosed"):
                    changed["OwnerId"] = owner
                derive(self._shape, sobject, changed, row, moves.keys(), stamp(now), self._store.tables.get)
                self._records.put(sobject, changed, row)

    def _close(
        self,
        lead: Row,
        ask: LeadConvert,
        account: str,
        contact: str,
        opportunity: str | None,
        caller: Caller,
        now: datetime,
    ) -> None:
        today: date = now.astimezone(self._shape.org.zone).date()
        done: Row = {
            **lead,
            "IsConverted": True,
            "ConvertedDate": today.isoformat(),
            "ConvertedAccountId": account,
            "ConvertedContactId": contact,
            "Status": ask.status,
            "IsUnreadByOwner": False,  # (unverified)
        }
        if opportunity is not None:
            done["ConvertedOpportunityId"] = opportunity
        self._records.write(self._lead, done, lead, caller)


def _cut(field: Field, value: Any) -> Any:
    """§6.4: a text as long as the field takes, for whoever asks for it."""
    return value[: field.length] if isinstance(value, str) and field.type in TEXT and field.length else value

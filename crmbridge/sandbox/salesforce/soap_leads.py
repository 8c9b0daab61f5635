"""convertLead over SOAP: what may be asked for, lead by lead (salesforce-api §6.2, §6.3)."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from crmbridge.sandbox.salesforce import soap, soap_headers, soap_results
from crmbridge.sandbox.salesforce.convert import LEADS_PER_CALL_MAX, Converter, LeadConvert
from crmbridge.sandbox.salesforce.errors import SfError, refuse
from crmbridge.sandbox.salesforce.records import Records
from crmbridge.sandbox.salesforce.soap_bridge import Bridge
from crmbridge.sandbox.salesforce.store import Store

# §6.2: for the platform's own use; a caller that fills them would expect something to come of it.
_INTERNAL: Final = ("accountRecord", "contactRecord", "opportunityRecord", "relatedPersonAccountRecord")
_KNOWN: Final = frozenset(
    "accountId bypassAccountDedupeCheck bypassContactDedupeCheck contactId convertedStatus doNotCreateOpportunity "
    "leadId opportunityId opportunityName overwriteLeadSource ownerId relatedPersonAccountId "
    "sendNotificationEmail".split()
)


class SoapLeads:
    def __init__(self, store: Store, records: Records, now: Callable[[], datetime]) -> None:
        self._store = store
        self._converter = Converter(store, records)
        self._now = now

    def convert(self, bridge: Bridge) -> str:
        items = bridge.call.operation.all("leadConverts")
        bridge.log.note("convertLead", "Lead")
        bridge.log.operations += [("Lead", "convertLead")] * len(items)
        if len(items) > LEADS_PER_CALL_MAX:
            message = f"At most {LEADS_PER_CALL_MAX} leads can be converted in one call."
            raise refuse("EXCEEDED_LEAD_CONVERT_LIMIT", message)
        for item in items:
            _check(item)
        return "".join(self._one(item, bridge) for item in items)

    def _one(self, item: soap.Element, bridge: Bridge) -> str:
        ask = LeadConvert(
            lead=item.value("leadId"),
            status=item.value("convertedStatus"),
            account=item.value("accountId"),
            contact=item.value("contactId"),
            opportunity=item.value("opportunityId"),
            opportunity_name=item.value("opportunityName"),
            owner=item.value("ownerId"),
            without_opportunity=item.flag("doNotCreateOpportunity"),
            overwrite_lead_source=item.flag("overwriteLeadSource"),
            bypass_account_duplicates=item.flag("bypassAccountDedupeCheck"),
            bypass_contact_duplicates=item.flag("bypassContactDedupeCheck"),
            truncate=soap_headers.truncates(bridge.call),
        )  # sendNotificationEmail: no mail is ever sent
        try:
            if person := item.value("relatedPersonAccountId"):  # §6.2: person accounts only
                raise refuse("INVALID_CROSS_REFERENCE_KEY", f"invalid cross reference id: {person}", [])
            with self._store.tables.transaction():
                return soap_results.lead_converted(self._converter.convert(ask, bridge.caller, self._now()))
        except SfError as error:
            return soap_results.lead_refused(ask.lead, error, bridge.version)


def _check(item: soap.Element) -> None:
    """§6.2: elements in any order, but none that a LeadConvert has not got (wording (unverified))."""
    for child in item.children:
        if child.name in _INTERNAL:
            if child.children or (child.text or "").strip():
                raise refuse("INVALID_FIELD", f"{child.name} is for internal use")
        elif child.name not in _KNOWN:
            raise soap.ClientFault(f"Element {{urn:partner.soap.sforce.com}}{child.name} invalid at this location")

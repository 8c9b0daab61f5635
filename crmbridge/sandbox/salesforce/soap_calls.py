"""The SOAP calls of a session: rows, convertLead, merge, undelete, and who and when (salesforce-api §6, §8.3)."""

from collections.abc import Callable
from datetime import datetime

from crmbridge.sandbox.salesforce import soap
from crmbridge.sandbox.salesforce.ask import Log
from crmbridge.sandbox.salesforce.convert import LEADS_PER_CALL_MAX, Converter, LeadConvert
from crmbridge.sandbox.salesforce.errors import SfError, refuse
from crmbridge.sandbox.salesforce.records import Caller, Records
from crmbridge.sandbox.salesforce.soap_rows import SoapRows
from crmbridge.sandbox.salesforce.store import Store
from crmbridge.sandbox.salesforce.values import stamp


class SoapCalls:
    """Each item of a call succeeds or fails alone (§6.2); an answer is the content of its response element."""

    def __init__(
        self, store: Store, records: Records, rows: SoapRows, org_id: str, now: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._shape = store.shape
        self._records = records
        self._rows = rows
        self._converter = Converter(store, records)
        self._org_id = org_id
        self._now = now

    def answer(self, call: soap.Call, caller: Caller, log: Log) -> str:
        operation = call.operation
        match operation.name:
            case "query" | "queryAll":
                return self._rows.query(call, caller, log, deleted=operation.name == "queryAll")
            case "queryMore":
                return self._rows.more(call, log)
            case "create":
                return self._rows.create(call, caller, log)
            case "convertLead":
                return self._convert(operation, caller, log)
            case "merge":
                return "".join(self._merge(item, caller, log) for item in operation.all("request"))
            case "undelete":
                ids = [(item.text or "").strip() for item in operation.all("ids")]
                return "".join(self._undelete(key, caller, log) for key in ids)
            case "getServerTimestamp":
                log.category = "metadata"
                return soap.timestamp_result(stamp(self._now()).replace("+0000", "Z"))
            case "getUserInfo":
                log.category = "metadata"
                row = self._store.rows(self._shape.objects["User"])[caller.user]
                version = int(caller.version.removesuffix(".0"))
                return f"<result>{soap.user_info(self._shape.org, self._org_id, row, version)}</result>"
            case name:
                message = f"This sandbox does not serve the SOAP call {name}; a real org may."
                raise refuse("FUNCTIONALITY_NOT_ENABLED", message)

    def _convert(self, operation: soap.Element, caller: Caller, log: Log) -> str:
        items = operation.all("leadConverts")
        log.note("convertLead", "Lead")
        log.operations += [("Lead", "convertLead")] * len(items)
        if len(items) > LEADS_PER_CALL_MAX:
            message = f"At most {LEADS_PER_CALL_MAX} leads can be converted in one call."
            raise refuse("EXCEEDED_LEAD_CONVERT_LIMIT", message)
        return "".join(self._convert_one(item, caller) for item in items)

    def _convert_one(self, item: soap.Element, caller: Caller) -> str:
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
        )
        try:
            with self._store.tables.transaction():
                return soap.lead_result(self._converter.convert(ask, caller, self._now()))
        except SfError as error:
            return soap.lead_refused(ask.lead, error)

    def _merge(self, item: soap.Element, caller: Caller, log: Log) -> str:
        master = item.first("masterRecord")
        kind, key, fields = soap.record(master) if master else ("", "", {})
        losers = [(found.text or "").strip() for found in item.all("recordToMergeIds")]
        log.note("merge", kind)
        log.operations.append((kind, "merge"))
        try:
            sobject = self._shape.object(kind)
            if sobject is None:
                raise refuse("INVALID_TYPE", f"sObject type '{kind}' is not supported.")
            with self._store.tables.transaction():
                row = self._records.fetch(sobject, key)
                merged, moved = self._records.merge(sobject, row, losers, fields, caller)
            return soap.merge_result(row["Id"], merged, moved, None)
        except SfError as error:
            return soap.merge_result(None, (), (), error)

    def _undelete(self, key: str, caller: Caller, log: Log) -> str:
        sobject = self._shape.by_prefix.get(key[:3])
        log.note("undelete", sobject.name if sobject else "")
        log.operations.append((log.table, "undelete"))
        try:
            with self._store.tables.transaction():
                return soap.save_result(self._records.undelete(key, caller), None)
        except SfError as error:
            return soap.save_result(None, error)

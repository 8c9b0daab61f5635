"""The SOAP calls of a session (salesforce-api §6, §8): rows, queries, conversion, merge, descriptions, windows.

Each item of a call succeeds or fails alone (§6.2) unless AllOrNoneHeader says otherwise; an answer is the content of
its response element.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from crmbridge.sandbox.salesforce import soap, soap_describe, soap_headers, soap_results
from crmbridge.sandbox.salesforce.auth import Auth
from crmbridge.sandbox.salesforce.errors import ROLLED_BACK, SfError, Undo, refuse
from crmbridge.sandbox.salesforce.records import Records
from crmbridge.sandbox.salesforce.soap_bridge import Bridge, whole_call
from crmbridge.sandbox.salesforce.soap_leads import SoapLeads
from crmbridge.sandbox.salesforce.soap_records import SoapRecords
from crmbridge.sandbox.salesforce.soap_rows import SoapRows, instant
from crmbridge.sandbox.salesforce.soap_user import user_info
from crmbridge.sandbox.salesforce.store import Store
from crmbridge.sandbox.salesforce.values import stamp

RECORDS_MAX: Final = 200  # §9.4
READ_MAX: Final = 2000
DESCRIBES_MAX: Final = 100  # the WSDL's own maxOccurs
# §6: calls of the partner WSDL that this sandbox leaves out, and says so.
LEFT_OUT: Final = frozenset(
    "process sendEmail resetPassword describeLayout describeSoftphoneLayout describeTabs describeAllTabs "
    "describeDataCategoryGroups describeDataCategoryGroupStructures describeDataCategoryMappings "
    "describeKnowledgeSettings describeGlobalTheme describeTheme describeApprovalLayout describePathAssistants "
    "describeSearchLayouts describeSearchableEntities describeSearchScopeOrder describeCompactLayouts "
    "describePrimaryCompactLayouts describeQuickActions describeQuickActionsForRecordType "
    "describeAvailableQuickActions describeAppMenu describeVisualForce describeNouns retrieveQuickActionTemplates "
    "performQuickActions sendEmailMessage renderEmailTemplate renderStoredEmailTemplate quickActionTemplateInfo "
    "deleteByExample findDuplicates findDuplicatesByIds changeOwnPassword executeListView".split()
)
_ROWS: Final = frozenset({"query", "queryAll", "queryMore", "search", "retrieve", "merge"})
Result = Mapping[str, Any]


class SoapCalls:
    def __init__(self, store: Store, records: Records, auth: Auth, now: Callable[[], datetime]) -> None:
        self._store = store
        self._shape = store.shape
        self._records = records
        self._auth = auth
        self._now = now
        self._read = SoapRecords(store.shape)
        self._rows = SoapRows(store)
        self._leads = SoapLeads(store, records, now)

    def answer(self, bridge: Bridge, origin: str) -> str:
        operation, log = bridge.call.operation, bridge.log
        soap_headers.check(bridge.call)
        if bridge.call.enterprise and operation.name in _ROWS:  # whose rows have a form of their own
            raise soap.not_served(f"{operation.name} of the enterprise API")
        match operation.name:
            case "query" | "queryAll" as kind:
                return f'<result xsi:type="QueryResult">{self._query(bridge, kind)}</result>'
            case "queryMore":
                body = bridge.query(("query", operation.value("queryLocator")))
                return f'<result xsi:type="QueryResult">{self._rows.page(body)}</result>'
            case "search":
                return self._search(bridge)
            case "retrieve":
                return self._retrieve(bridge)
            case "create" | "update" | "upsert" as kind:
                return self._save(bridge, kind)
            case "delete":
                return self._delete(bridge)
            case "undelete" | "emptyRecycleBin" as kind:
                return self._bin(bridge, kind)
            case "convertLead":
                return self._leads.convert(bridge)
            case "merge":
                items = [*operation.all("request"), *operation.all("mergeRequests")]  # one client calls it so
                return "".join(self._merge(bridge, item) for item in items)
            case "getUpdated" | "getDeleted" as kind:
                return self._window(bridge, kind)
            case "describeSObject" | "describeSObjects" | "describeGlobal" as kind:
                return self._describe(bridge, kind, origin)
            case "getServerTimestamp":
                log.category = "metadata"
                return f"<result>{soap.text('timestamp', instant(stamp(self._now())))}</result>"
            case "getUserInfo":
                log.category = "metadata"
                row = self._store.rows(self._shape.objects["User"])[bridge.user]
                return f"<result>{user_info(self._shape.org, self._auth.org_id, row, bridge.version)}</result>"
            case "logout":
                log.category = "login"
                self._auth.revoke(bridge.call.session)
                return ""
            case "invalidateSessions":
                log.category = "login"
                return "".join(self._invalidate(token) for token in operation.values("sessionIds"))
            case "setPassword":
                log.category = "login"
                self._auth.set_password(operation.value("userId"), operation.value("password"))
                return "<result/>"
            case name if name in LEFT_OUT:
                raise soap.not_served(name)
            case _:
                raise soap.no_operation(operation)

    # -- reading -------------------------------------------------------------------------------------------------

    def _query(self, bridge: Bridge, kind: str) -> str:
        return self._rows.page(bridge.query((kind,), q=bridge.call.operation.value("queryString")))

    def _search(self, bridge: Bridge) -> str:
        """Each row in an element of its own; since when an answer has an id is (unverified)."""
        body = bridge.query(("search",), q=bridge.call.operation.value("searchString"))
        rows: Any = body["searchRecords"] if isinstance(body, Mapping) else body
        found = "".join(f"<searchRecords>{self._rows.record('record', row)}</searchRecords>" for row in rows)
        named = soap.text("queryId", "") if isinstance(body, Mapping) else ""
        return f"<result>{named}{found}</result>"

    def _retrieve(self, bridge: Bridge) -> str:
        """A nil result in the place of an id that is not there."""
        operation = bridge.call.operation
        sobject = self._read.type_of(operation.value("sObjectType"))
        ids = _ids(operation)
        _few(len(ids), READ_MAX)
        names = [name.strip() for name in operation.value("fieldList").split(",") if name.strip()]
        if not names:
            raise refuse("MISSING_ARGUMENT", "fieldList names no field")  # §9.2; the text (unverified)
        parts = ("composite", "sobjects", sobject.name)
        rows = bridge.send("POST", parts, given={"ids": ids, "fields": names})
        bridge.log.note("retrieve", sobject.name)
        return "".join('<result xsi:nil="true"/>' if row is None else self._rows.record("result", row) for row in rows)

    def _window(self, bridge: Bridge, kind: str) -> str:
        """§8.2, in the order of the WSDL."""
        operation = bridge.call.operation
        sobject = self._read.type_of(operation.value("sObjectType"))
        span = {"start": operation.value("startDate"), "end": operation.value("endDate")}
        body = bridge.send("GET", ("sobjects", sobject.name, kind.removeprefix("get").lower()), options=span)
        if kind == "getUpdated":
            items = "".join(soap.text("ids", key) for key in body["ids"])
            dates = ("latestDateCovered",)
        else:
            items = "".join(
                f"<deletedRecords>{soap.many({'deletedDate': instant(row['deletedDate']), 'id': row['id']})}"
                "</deletedRecords>"
                for row in body["deletedRecords"]
            )
            dates = ("earliestDateAvailable", "latestDateCovered")
        return f"<result>{items}{soap.many({name: instant(body[name]) for name in dates})}</result>"

    def _describe(self, bridge: Bridge, kind: str, origin: str) -> str:
        if kind == "describeGlobal":
            body = bridge.send("GET", ("sobjects",))
            return f"<result>{soap_describe.everything(body, bridge.version)}</result>"
        names = bridge.call.operation.values("sObjectType")
        _few(len(names), DESCRIBES_MAX)
        found = [self._read.type_of(name) for name in names[:1] if kind == "describeSObject"] or [
            self._read.type_of(name) for name in names
        ]
        bodies = [bridge.send("GET", ("sobjects", sobject.name, "describe")) for sobject in found]
        return "".join(f"<result>{soap_describe.description(body, bridge.version, origin)}</result>" for body in bodies)

    # -- writing -------------------------------------------------------------------------------------------------

    def _save(self, bridge: Bridge, kind: str) -> str:
        call, operation = bridge.call, bridge.call.operation
        elements, truncate = operation.all("sObjects"), soap_headers.truncates(call)
        bridge.log.note(kind, elements[0].value("type") or elements[0].kind if elements else "")
        _few(len(elements), RECORDS_MAX)
        items = [self._read.item(element, truncate=truncate, enterprise=call.enterprise) for element in elements]
        given = {"allOrNone": soap_headers.all_or_none(call), "records": items}
        if kind == "upsert":
            return self._upsert(bridge, items, given)
        if not items:
            return ""
        results = bridge.send("POST" if kind == "create" else "PATCH", ("composite", "sobjects"), given=given)
        bridge.log.note(kind, items[0]["attributes"]["type"])
        whole_call(results)
        return "".join(soap_results.saved(result, bridge.version) for result in results)

    def _upsert(self, bridge: Bridge, items: Sequence[Mapping[str, Any]], given: Mapping[str, Any]) -> str:
        name = bridge.call.operation.value("externalIDFieldName")
        if not items:
            return ""
        sobject = self._read.type_of(items[0]["attributes"]["type"])
        field = sobject.field(name)
        if field is None or not (field.external_id or field.id_lookup):  # §3.1; the code over SOAP (unverified)
            raise refuse(
                "INVALID_FIELD",
                f"Field name provided, {name} is not an External ID or indexed field for {sobject.name}",
            )
        results = bridge.send("PATCH", ("composite", "sobjects", sobject.name, field.name), given=given)
        bridge.log.note("upsert", sobject.name)
        whole_call(results)
        return "".join(soap_results.saved(result, bridge.version, upsert=True) for result in results)

    def _delete(self, bridge: Bridge) -> str:
        ids = [key.replace(",", " ") for key in _ids(bridge.call.operation)]
        _few(len(ids), RECORDS_MAX)
        whole = str(soap_headers.all_or_none(bridge.call)).lower()
        options = {"ids": ",".join(key or "-" for key in ids), "allOrNone": whole}
        results = bridge.send("DELETE", ("composite", "sobjects"), options=options) if ids else []
        bridge.log.note("delete", bridge.log.table)
        return "".join(soap_results.saved(result, bridge.version) for result in results)

    def _bin(self, bridge: Bridge, kind: str) -> str:
        """§8.3: back from the recycle bin, or out of it for good."""
        ids = _ids(bridge.call.operation)
        _few(len(ids), RECORDS_MAX)
        bridge.log.note(kind)
        for key in ids:
            sobject = self._shape.by_prefix.get(key[:3])
            bridge.log.note(kind, sobject.name if sobject else "")
            bridge.log.operations.append((bridge.log.table, kind))
        caller = bridge.caller
        actions = {
            "undelete": lambda key: self._records.undelete(key, caller),
            "emptyRecycleBin": self._records.empty_bin,
        }
        results: list[Result] = []
        try:
            with self._store.tables.transaction():
                results = [self._one(actions[kind], key) for key in ids]
                if soap_headers.all_or_none(bridge.call) and not all(result["success"] for result in results):
                    raise Undo
        except Undo:
            undone = {"success": False, "errors": [ROLLED_BACK.listed()]}
            results = [undone if result["success"] else result for result in results]
        return "".join(soap_results.saved(result, bridge.version) for result in results)

    def _one(self, action: Callable[[str], str], key: str) -> Result:
        try:
            with self._store.tables.transaction():
                return {"id": action(key), "success": True, "errors": []}
        except SfError as error:
            return {"success": False, "errors": soap_results.told(error)}

    def _merge(self, bridge: Bridge, item: soap.Element) -> str:
        """§8.3: a master and one or two more; each request succeeds or fails alone."""
        master = item.first("masterRecord") or soap.Element(name="masterRecord", text=None, children=())
        sobject = self._read.type_of(master.value("type"))
        bridge.log.note("merge", sobject.name)
        bridge.log.operations.append((sobject.name, "merge"))
        try:
            fields = self._read.fields(sobject, master, truncate=soap_headers.truncates(bridge.call))
            with self._store.tables.transaction():
                row = self._records.fetch(sobject, master.value("Id"))
                losers = item.values("recordToMergeIds")
                merged, moved = self._records.merge(sobject, row, losers, fields, bridge.caller)
            return soap_results.merged(row["Id"], merged, moved, None, bridge.version)
        except SfError as error:
            whole_call([{"errors": soap_results.told(error)}])
            return soap_results.merged(None, (), (), error, bridge.version)

    # -- sessions ------------------------------------------------------------------------------------------------

    def _invalidate(self, token: str) -> str:
        if self._auth.revoke(token):
            return f"<result>{soap.text('success', True)}</result>"
        problem = refuse("INVALID_SESSION_ID", "The session is not valid")  # §1.4; the text (unverified)
        return f"<result>{soap_results.errors(soap_results.told(problem), 0)}{soap.text('success', False)}</result>"


def _ids(operation: soap.Element) -> list[str]:
    """As the WSDL calls them, or as one client does, which real orgs understand (unverified)."""
    return [*operation.values("ids"), *operation.values("id")]


def _few(count: int, most: int) -> None:
    if count > most:  # §9.4; the code is that of the Collections (§3.2)
        message = f"record limit reached. cannot submit more than {most} records into this call"
        raise refuse("EXCEEDED_ID_LIMIT", message)

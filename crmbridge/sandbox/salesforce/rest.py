"""The REST API below /services/data/vNN.0: rows, queries, describe, windows, limits (salesforce-api §2, §3, §5, §8).

A top-level request and a composite's subrequest are the same `Ask`; collections and composite live in `batches.py`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any, Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce import describe
from crmbridge.sandbox.salesforce.ask import Answer, Ask, allow
from crmbridge.sandbox.salesforce.errors import not_found, not_served, refuse
from crmbridge.sandbox.salesforce.ids import Sequence as IdSequence
from crmbridge.sandbox.salesforce.ids import canonical
from crmbridge.sandbox.salesforce.query import Engine, Found
from crmbridge.sandbox.salesforce.records import Records, overdue
from crmbridge.sandbox.salesforce.schema import SObject
from crmbridge.sandbox.salesforce.soql import parse
from crmbridge.sandbox.salesforce.store import Store
from crmbridge.sandbox.salesforce.values import address, instant, read_instant, stamp

PAGE_SIZE_MIN, PAGE_SIZE_MAX = 200, 2000  # §2.1
CURSOR_LIFE: Final = timedelta(days=2)  # §2.2
UPDATED_REACH: Final = timedelta(days=30)  # §8.2
DELETED_REACH: Final = timedelta(days=15)
ETAG_OBJECTS: Final = ("Account",)  # §3.5
# What a real org has below the version and this sandbox has not.
_NOT_HERE: Final = frozenset(
    "actions analytics appMenu async-queries chatter commerce connect consent dedupe domino emailConnect eventSchemas "
    "folders graphql identity iot jobs knowledgeManagement licensing localizedvalue parameterizedSearch payments "
    "process quickActions recent search sfdc_edge support tabs theme tooling ui-api wave".split()
)


@dataclass(kw_only=True)
class _Cursor:
    found: Found
    size: int
    born: datetime
    kind: str
    deleted: bool
    version: str


class Rest:
    def __init__(
        self, store: Store, records: Records, sequence: IdSequence, now: Callable[[], datetime], used: Callable[[], int]
    ) -> None:
        self.store = store
        self.records = records
        self.now = now
        self._sequence = sequence
        self._used = used
        self._born = now()
        self._cursors: dict[str, _Cursor] = {}

    def answer(self, ask: Ask) -> Answer:
        """Everything but collections and composite."""
        match ask.parts:
            case ():
                return self._resources(ask)
            case ("query" | "queryAll",):
                return self._query(ask, deleted=ask.parts[0] == "queryAll")
            case ("query" | "queryAll", locator):
                return self._more(ask, locator)
            case ("limits",):
                return self._limits(ask)
            case ("limits", "recordCount"):
                return self._counts(ask)
            case ("sobjects",):
                allow(ask, "GET")
                ask.log.note("describe")
                ask.log.category = "metadata"
                return Answer(body=describe.everything(self.store.shape, ask.version))
            case ("sobjects", name, *rest):
                return self._sobject(ask, self.sobject(name), rest)
            case (("actions"), "standard", "convertLead"):  # §6.1: there is no such thing, whatever others' mocks say
                raise not_found()
            case (first, *_) if first in _NOT_HERE:
                raise not_served(f"/{'/'.join(ask.parts[:2])}")
            case _:
                raise not_found()

    def sobject(self, name: str) -> SObject:
        found = self.store.shape.object(name)
        if found is None:
            raise not_found()  # §9.2: INVALID_TYPE on object URLs is 404
        return found

    # -- rows ----------------------------------------------------------------------------------------------------

    def _sobject(self, ask: Ask, sobject: SObject, rest: Sequence[str]) -> Answer:
        if sobject.document.setup:
            ask.log.category = "metadata"
        match rest:
            case []:
                allow(ask, "GET", "POST")
                return self._create(ask, sobject) if ask.method == "POST" else self._about(ask, sobject)
            case ["describe"]:
                return self._describe(ask, sobject)
            case ["updated" | "deleted"]:
                return self._window(ask, sobject, deleted=rest[0] == "deleted")
            case ["describe" | "listviews" | "quickActions" | "defaultValues", *_]:
                raise not_served(f"/sobjects/{sobject.name}/{'/'.join(rest)}")
            case ["Id" | "id"]:
                allow(ask, "POST")  # §3.1: insert through the upsert resource
                return self._create(ask, sobject)
            case [key]:
                allow(ask, "GET", "HEAD", "PATCH", "DELETE")
                return self._row(ask, sobject, key)
            case [name, *value]:
                if canonical(name) and sobject.field(name) is None:
                    raise not_served(f"relationships by URL such as /sobjects/{sobject.name}/{{id}}/{value[0]}")
                allow(ask, "GET", "HEAD", "PATCH", "DELETE")
                return self._by_external_id(ask, sobject, name, "/".join(value))
            case _:
                raise not_found()

    def _about(self, ask: Ask, sobject: SObject) -> Answer:
        ask.log.note("describe", sobject.name)
        ask.log.category = "metadata"
        return Answer(body={"objectDescribe": describe.summary(sobject, ask.version), "recentItems": []})

    def _create(self, ask: Ask, sobject: SObject) -> Answer:
        ask.log.note("create", sobject.name)
        key = self.records.create(sobject, ask.document(), ask.caller)
        location = f"/services/data/v{ask.version}/sobjects/{sobject.name}/{key}"
        return Answer(status=201, body={"id": key, "success": True, "errors": []}, headers=(("Location", location),))

    def _row(self, ask: Ask, sobject: SObject, key: str) -> Answer:
        if ask.method in ("GET", "HEAD"):
            ask.log.note("retrieve", sobject.name)
            return self._show(ask, sobject, self.records.fetch(sobject, key))
        if ask.method == "DELETE":
            ask.log.note("delete", sobject.name)
            self.records.delete(sobject, self.records.fetch(sobject, key), ask.caller)
            return Answer(status=204, empty=True)
        ask.log.note("update", sobject.name)
        given = ask.document()
        row = self.records.fetch(sobject, key)
        self.unmodified(ask, sobject, row)
        self.records.update(sobject, row, given, ask.caller)
        return Answer(status=204, empty=True)

    def _by_external_id(self, ask: Ask, sobject: SObject, name: str, value: str) -> Answer:
        ask.log.note(
            {"GET": "retrieve", "HEAD": "retrieve", "DELETE": "delete"}.get(ask.method, "upsert"), sobject.name
        )
        external = self.records.external_field(sobject, name)
        rows = self.records.by_external_id(sobject, external, value)
        if len(rows) > 1:  # §3.1: the records' paths, nothing written
            return Answer(
                status=300, body=[f"/services/data/v{ask.version}/sobjects/{sobject.name}/{row['Id']}" for row in rows]
            )
        if ask.method == "PATCH":
            return self._upsert(ask, sobject, external.name, value, rows[0] if rows else None)
        if not rows:
            raise not_found()
        return self._row(ask, sobject, rows[0]["Id"])

    def _upsert(self, ask: Ask, sobject: SObject, name: str, value: str, row: Row | None) -> Answer:
        given = ask.document()
        if any(key.lower() == name.lower() for key in given):
            message = f"The {name} field should not be specified in the sobject data."
            raise refuse("INVALID_FIELD", message, [name])
        if row is not None:
            self.unmodified(ask, sobject, row)
            self.records.update(sobject, row, given, ask.caller)
            if int(ask.version.partition(".")[0]) < 46:  # §3.1
                return Answer(status=204, empty=True)
            return Answer(body={"id": row["Id"], "success": True, "errors": [], "created": False})
        if name == "Id" or ask.options.get("updateOnly", "").lower() == "true":
            raise not_found()
        key = self.records.create(sobject, {**given, name: value}, ask.caller)
        return Answer(status=201, body={"id": key, "success": True, "errors": [], "created": True})

    def show(self, sobject: SObject, row: Row, names: Sequence[str] | None, version: str) -> dict[str, Any]:
        """A row with the fields asked for, nulls included; all of them without a list (§3.1)."""
        fields = list(sobject.fields.values())
        if names is not None:
            fields = []
            for name in names:
                found = sobject.field(name)
                if found is None:
                    raise refuse("INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject.name}")
                fields.append(found)
        url = f"/services/data/v{version}/sobjects/{sobject.name}/{row['Id']}"
        shown: dict[str, Any] = {"attributes": {"type": sobject.name, "url": url}}
        for item in fields:
            shown[item.name] = address(row, item.name) if item.type == "address" else row.get(item.name)
        return shown

    def _show(self, ask: Ask, sobject: SObject, row: Row) -> Answer:
        names = ask.options.get("fields")
        shown = self.show(sobject, row, [name.strip() for name in names.split(",")] if names else None, ask.version)
        headers = (("Last-Modified", format_datetime(instant(row["LastModifiedDate"]), usegmt=True)),)
        if sobject.name in ETAG_OBJECTS:
            headers += (("ETag", etag(row)),)
        since = header_date(ask, "if-modified-since")
        if since is not None and instant(row["LastModifiedDate"]) <= since:
            return Answer(status=304, headers=headers, empty=True)
        if sobject.name in ETAG_OBJECTS and ask.headers.get("if-none-match") == etag(row):
            return Answer(status=304, headers=headers, empty=True)
        return Answer(body=shown, headers=headers, empty=ask.method == "HEAD")

    def unmodified(self, ask: Ask, sobject: SObject, row: Row) -> None:
        """§3.5: 412 when somebody saved the row after the given second; the error body is (unverified)."""
        since = header_date(ask, "if-unmodified-since")
        match = ask.headers.get("if-match") if sobject.name in ETAG_OBJECTS else None
        if (since is not None and overdue(row, since)) or (match not in (None, "*") and match != etag(row)):
            raise refuse("PRECONDITION_FAILED", "The record was modified after the time given in the request.")

    # -- queries -------------------------------------------------------------------------------------------------

    def _query(self, ask: Ask, *, deleted: bool) -> Answer:
        allow(ask, "GET")
        kind = "queryAll" if deleted else "query"
        ask.log.note(kind)
        if asked := {"explain", "columns"} & ask.options.keys():
            raise not_served(f"the option {asked.pop()} of a query")
        text = ask.options.get("q", "")
        if not text:
            raise refuse("MALFORMED_QUERY", "A query string has to be specified")
        query = parse(text)
        ask.log.table = query.source
        engine = Engine(self.store, self.now(), version=ask.version, deleted=deleted)
        found = engine.run(query)
        ask.log.note(kind, found.sobject.name)
        if found.sobject.document.setup or found.sobject.name == "User":  # who is who, not business data
            ask.log.category = "metadata"
        if found.finished is not None:
            return Answer(body={"totalSize": found.total, "done": True, "records": list(found.finished)})
        size = _batch_size(ask)
        cursor = _Cursor(found=found, size=size, born=self.now(), kind=kind, deleted=deleted, version=ask.version)
        locator = ""
        if found.total > size:
            locator = self._sequence.next("0r8")  # §2.1: 18 characters of today
            self._cursors[locator] = cursor
        return self._page(cursor, locator, 0)

    def _more(self, ask: Ask, locator: str) -> Answer:
        allow(ask, "GET")
        key, _, offset = locator.partition("-")
        cursor = self._cursors.get(key)
        ask.log.note("query", cursor.found.sobject.name if cursor else "")
        if cursor is None or not offset.isdigit() or self.now() - cursor.born > CURSOR_LIFE:
            self._cursors.pop(key, None)
            raise refuse("INVALID_QUERY_LOCATOR", "invalid query locator")
        ask.log.note(cursor.kind, cursor.found.sobject.name)
        return self._page(cursor, key, int(offset))

    def _page(self, cursor: _Cursor, locator: str, offset: int) -> Answer:
        """§2.2: a snapshot of ids; rows deleted since vanish, values are those of now (unverified)."""
        found, end = cursor.found, offset + cursor.size
        project = found.project
        assert project is not None, "only queries that show rows have pages"
        view = Engine(self.store, self.now(), deleted=cursor.deleted)
        rows = (self.store.get(found.sobject, key) for key in found.ids[offset:end])
        records = [project(row) for row in rows if row is not None and view.visible(row)]
        done = end >= found.total
        body: dict[str, Any] = {"totalSize": found.total, "done": done}
        if not done:
            body["nextRecordsUrl"] = f"/services/data/v{cursor.version}/query/{locator}-{end}"
        return Answer(body={**body, "records": records})

    # -- metadata and limits -------------------------------------------------------------------------------------

    def _resources(self, ask: Ask) -> Answer:
        allow(ask, "GET")
        ask.log.note("versions")
        ask.log.category = "metadata"
        root = f"/services/data/v{ask.version}"
        names = ("sobjects", "query", "queryAll", "limits", "composite")
        return Answer(body={name: f"{root}/{name}" for name in names} | {"identity": "/services/oauth2/userinfo"})

    def _describe(self, ask: Ask, sobject: SObject) -> Answer:
        allow(ask, "GET")
        ask.log.note("describe", sobject.name)
        ask.log.category = "metadata"
        changed = (("Last-Modified", format_datetime(self._born.replace(microsecond=0), usegmt=True)),)
        since = header_date(ask, "if-modified-since")
        if since is not None and self._born.replace(microsecond=0) <= since:
            return Answer(status=304, headers=changed, empty=True)
        return Answer(body=describe.description(self.store, sobject, ask.version), headers=changed)

    def _limits(self, ask: Ask) -> Answer:
        allow(ask, "GET")
        ask.log.note("limits")
        ask.log.category = "metadata"
        most = self.store.shape.org.daily_api_requests
        jobs = {"Max": most, "Remaining": most}
        return Answer(
            body={
                "DailyApiRequests": {"Max": most, "Remaining": max(0, most - self._used())},
                "DailyBulkApiBatches": jobs,
                "DailyBulkV2QueryJobs": {"Max": 10_000, "Remaining": 10_000},
                "DailyBulkV2QueryFileStorageMB": {"Max": 976_562, "Remaining": 976_562},
                "DataStorageMB": {"Max": 1024, "Remaining": 1024},
                "FileStorageMB": {"Max": 1024, "Remaining": 1024},
            }
        )

    def _counts(self, ask: Ask) -> Answer:
        allow(ask, "GET")
        ask.log.note("limits")
        ask.log.category = "metadata"
        names = [name for name in ask.options.get("sObjects", "").split(",") if name] or list(self.store.shape.objects)
        known = [found for name in names if (found := self.store.shape.object(name))]
        live = {item.name: sum(not row.get("IsDeleted") for row in self.store.rows(item).values()) for item in known}
        return Answer(body={"sObjects": [{"count": count, "name": name} for name, count in live.items()]})

    # -- changed and deleted in a window (§8.2) ------------------------------------------------------------------

    def _window(self, ask: Ask, sobject: SObject, *, deleted: bool) -> Answer:
        allow(ask, "GET")
        ask.log.note("deleted" if deleted else "updated", sobject.name)
        now = self.now()
        start, end = (_minute(ask.options.get(name, "")) for name in ("start", "end"))
        reach = DELETED_REACH if deleted else UPDATED_REACH
        if end - start < timedelta(minutes=1) or start < now - reach:
            message = f"startDate must be before endDate by more than a minute and not older than {reach.days} days"
            raise refuse("INVALID_REPLICATION_DATE", message)
        covered = min(end, now.replace(second=0, microsecond=0))
        last = stamp(end - timedelta(seconds=1))
        rows = self.records.changed_between(sobject, stamp(start), last, deleted=deleted)
        if not deleted:
            return Answer(body={"ids": sorted(row["Id"] for row in rows), "latestDateCovered": stamp(covered)})
        gone = [{"id": row["Id"], "deletedDate": row["SystemModstamp"]} for row in rows]
        earliest = stamp((now - reach).replace(second=0, microsecond=0))
        return Answer(
            body={"deletedRecords": gone, "earliestDateAvailable": earliest, "latestDateCovered": stamp(covered)}
        )


def etag(row: Row) -> str:
    return f'"{row["Id"]}{instant(row["SystemModstamp"]).timestamp():.0f}"'


def header_date(ask: Ask, name: str) -> datetime | None:
    text = ask.headers.get(name)
    if text is None:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:  # §3.5: a bad date is 400; the code is (unverified)
        raise refuse(
            "INVALID_HEADER_VALUE", f"{name}: {text} is no HTTP date such as Sat, 31 Jan 2026 09:15:22 GMT"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _batch_size(ask: Ask) -> int:
    found = re.search(r"batchSize\s*=\s*(\d+)", ask.headers.get("sforce-query-options", ""), re.IGNORECASE)
    return min(max(int(found.group(1)), PAGE_SIZE_MIN), PAGE_SIZE_MAX) if found else PAGE_SIZE_MAX


def _minute(text: str) -> datetime:
    moment = read_instant(text.replace(" ", "+"))
    if moment is None:
        raise refuse(
            "INVALID_REPLICATION_DATE", f"{text or 'an empty date'} is no date such as 2026-01-31T00:00:00+00:00"
        )
    return instant(moment).replace(second=0)

"""query, queryAll, queryMore and create of the partner API: rows as XML sObjects (salesforce-api §2.1, §2.2, §3.2).

Pages are those of REST: a snapshot of ids, a locator, at least 200 rows a page. A child subquery is not served here.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from crmbridge.sandbox.salesforce import soap
from crmbridge.sandbox.salesforce.ask import Log
from crmbridge.sandbox.salesforce.errors import SfError, refuse
from crmbridge.sandbox.salesforce.ids import Sequence as IdSequence
from crmbridge.sandbox.salesforce.query import Engine, Found
from crmbridge.sandbox.salesforce.records import Caller, Records
from crmbridge.sandbox.salesforce.rest import CURSOR_LIFE, PAGE_SIZE_MAX, PAGE_SIZE_MIN
from crmbridge.sandbox.salesforce.soql import parse
from crmbridge.sandbox.salesforce.store import Store

RECORDS_PER_CALL_MAX: Final = 200  # §3.2; the SOAP guide names the same number (unverified)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cursor:
    found: Found
    size: int
    born: datetime
    kind: str
    deleted: bool


class SoapRows:
    def __init__(self, store: Store, records: Records, sequence: IdSequence, now: Callable[[], datetime]) -> None:
        self._store = store
        self._records = records
        self._sequence = sequence
        self._now = now
        self._cursors: dict[str, _Cursor] = {}

    def query(self, call: soap.Call, caller: Caller, log: Log, *, deleted: bool) -> str:
        kind = "queryAll" if deleted else "query"
        query = parse(call.operation.value("queryString"))
        log.note(kind, query.source)
        found = Engine(self._store, self._now(), version=caller.version, deleted=deleted).run(query)
        log.note(kind, found.sobject.name)
        if found.finished is not None:
            raise refuse("FUNCTIONALITY_NOT_ENABLED", "This sandbox serves no aggregates over SOAP; a real org does.")
        cursor = _Cursor(found=found, size=_size(call), born=self._now(), kind=kind, deleted=deleted)
        locator = ""
        if found.total > cursor.size:
            locator = self._sequence.next("01g")  # §2.2: the old form of a locator
            self._cursors[locator] = cursor
        return self._page(cursor, locator, 0)

    def more(self, call: soap.Call, log: Log) -> str:
        key, _, offset = call.operation.value("queryLocator").partition("-")
        cursor = self._cursors.get(key)
        log.note(cursor.kind if cursor else "query", cursor.found.sobject.name if cursor else "")
        if cursor is None or not offset.isdigit() or self._now() - cursor.born > CURSOR_LIFE:  # §2.2
            self._cursors.pop(key, None)
            raise refuse("INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._page(cursor, key, int(offset))

    def _page(self, cursor: _Cursor, locator: str, offset: int) -> str:
        found, end = cursor.found, offset + cursor.size
        assert found.project is not None, "aggregates were refused"
        view = Engine(self._store, self._now(), deleted=cursor.deleted)
        rows = (self._store.get(found.sobject, key) for key in found.ids[offset:end])
        shown = [found.project(row) for row in rows if row is not None and view.visible(row)]
        done = end >= found.total
        records = "".join(f"<records>{_sobject(row)}</records>" for row in shown)
        return soap.query_result(done, None if done else f"{locator}-{end}", records, found.total)

    def create(self, call: soap.Call, caller: Caller, log: Log) -> str:
        items = call.operation.all("sObjects")
        log.note("create", items[0].value("type") if items else "")
        log.operations += [(item.value("type"), "create") for item in items]
        if len(items) > RECORDS_PER_CALL_MAX:  # the code is that of the SOAP guide (unverified)
            message = f"record limit reached. cannot submit more than {RECORDS_PER_CALL_MAX} records in this operation"
            raise refuse("EXCEEDED_MAX_SIZE_REQUEST", message)
        return "".join(self._create_one(item, caller) for item in items)

    def _create_one(self, item: soap.Element, caller: Caller) -> str:
        kind, _, fields = soap.record(item)
        try:
            sobject = self._store.shape.object(kind)
            if sobject is None:
                raise refuse("INVALID_TYPE", f"sObject type '{kind}' is not supported.")
            with self._store.tables.transaction():
                return soap.save_result(self._records.create(sobject, fields, caller), None)
        except SfError as error:  # each row by itself, as in a collection: §3.2
            return soap.save_result(None, error)


def _size(call: soap.Call) -> int:
    options = call.headers.first("QueryOptions")
    text = options.value("batchSize") if options else ""
    return min(max(int(text), PAGE_SIZE_MIN), PAGE_SIZE_MAX) if re.fullmatch(r"\d+", text) else PAGE_SIZE_MAX


def _sobject(row: Mapping[str, Any]) -> str:
    """Type and id first, then the fields, all in the sObject namespace."""
    kind = row["attributes"]["type"]
    parts = [soap.sobject_text("type", kind), soap.sobject_text("Id", row.get("Id"))]
    for name, value in row.items():
        if name in ("attributes", "Id"):
            continue
        if isinstance(value, Mapping):
            if "records" in value:
                raise refuse("FUNCTIONALITY_NOT_ENABLED", "This sandbox serves no child subqueries over SOAP.")
            parts.append(soap.sobject_parent(name, _sobject(value)))
        else:
            parts.append(soap.sobject_text(name, value))
    return "".join(parts)

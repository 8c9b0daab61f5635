"""The resources `query` and `queryAll`: pages and locators, column metadata, plans (salesforce-api §2.1, §2.2)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.ask import Answer, Ask, allow
from crmbridge.sandbox.salesforce.column_metadata import metadata
from crmbridge.sandbox.salesforce.errors import refuse
from crmbridge.sandbox.salesforce.ids import Sequence
from crmbridge.sandbox.salesforce.plans import plan
from crmbridge.sandbox.salesforce.query import Engine, Found
from crmbridge.sandbox.salesforce.recent import Recent
from crmbridge.sandbox.salesforce.soql import parse
from crmbridge.sandbox.salesforce.store import Store
from crmbridge.sandbox.salesforce.values import stamp

PAGE_SIZE_MIN, PAGE_SIZE_MAX = 200, 2000  # §2.1
CURSOR_LIFE: Final = timedelta(days=2)  # §2.2


@dataclass(kw_only=True)
class _Cursor:
    found: Found
    size: int
    born: datetime
    kind: str
    deleted: bool
    version: str


class Queries:
    def __init__(self, store: Store, sequence: Sequence, now: Callable[[], datetime], recent: Recent) -> None:
        self._store = store
        self._recent = recent
        self._sequence = sequence
        self._now = now
        self._cursors: dict[str, _Cursor] = {}

    def first(self, ask: Ask, *, deleted: bool) -> Answer:
        """The first page; what is to be said about the query instead, where that is asked for."""
        allow(ask, "GET")
        kind = "queryAll" if deleted else "query"
        ask.log.note(kind)
        text = ask.options.get("q", "") or ask.options.get("explain", "")
        if not text:
            raise refuse("MALFORMED_QUERY", "A query string has to be specified")  # §2.4
        query = parse(text)
        ask.log.table = query.source
        engine = Engine(
            self._store,
            self._now(),
            version=ask.version,
            deleted=deleted,
            user=ask.user,
            blob_links=ask.blob_links,
        )
        if ask.options.get("explain"):
            ask.log.category = "metadata"
            return Answer(body=plan(engine, query))
        if ask.options.get("columns", "").lower() == "true":
            ask.log.category = "metadata"
            return Answer(body=metadata(engine, query))
        found = engine.run(query)
        ask.log.note(kind, found.sobject.name)
        if found.sobject.document.setup or found.sobject.name == "User":  # who is who, not business data
            ask.log.category = "metadata"
        if found.finished is not None:
            return Answer(body={"totalSize": found.total, "done": True, "records": list(found.finished)})
        size = batch_size(ask)
        cursor = _Cursor(found=found, size=size, born=self._now(), kind=kind, deleted=deleted, version=ask.version)
        locator = ""
        if found.total > size:
            locator = self._sequence.next("0r8")  # §2.1: 18 characters of today
            self._cursors[locator] = cursor
        return self._page(ask, cursor, locator, 0)

    def more(self, ask: Ask, locator: str) -> Answer:
        """A further page, as often as it is asked for (§2.2)."""
        allow(ask, "GET")
        key, _, offset = locator.partition("-")
        cursor = self._cursors.get(key)
        ask.log.note("query", cursor.found.sobject.name if cursor else "")
        if cursor is None or not re.fullmatch(r"[0-9]{1,9}", offset) or self._now() - cursor.born > CURSOR_LIFE:
            self._cursors.pop(key, None)
            raise refuse("INVALID_QUERY_LOCATOR", "invalid query locator")
        ask.log.note(cursor.kind, cursor.found.sobject.name)
        return self._page(ask, cursor, key, int(offset))

    def _page(self, ask: Ask, cursor: _Cursor, locator: str, offset: int) -> Answer:
        """§2.2: a snapshot of ids; rows deleted since vanish, values are those of now (unverified)."""
        found, end = cursor.found, offset + cursor.size
        project = found.project
        assert project is not None, "only queries that show rows have pages"
        view = Engine(self._store, self._now(), deleted=cursor.deleted or found.deleted)
        rows = view.shown(found.sobject, found.listed.page(offset, end))
        done = end >= found.total
        body: dict[str, Any] = {"totalSize": found.total, "done": done}
        if not done:
            body["nextRecordsUrl"] = f"/services/data/v{cursor.version}/query/{locator}-{end}"
        answer = Answer(body={**body, "records": project.page(rows)})
        if found.viewed:
            self._viewed(ask.user, found, rows)
        return answer

    def _viewed(self, user: str, found: Found, rows: list[Row]) -> None:
        """§2.3: FOR VIEW and FOR REFERENCE move these moments and no other, for all users alike (unverified); the rows
        are among those that the user has seen lately, the first of them as the latest (unverified)."""
        now = stamp(self._now())
        for row in reversed(rows):
            self._store.put(found.sobject, {**row, **dict.fromkeys(found.viewed, now)})
            self._recent.see(user, found.sobject, row["Id"])


def batch_size(ask: Ask) -> int:
    found = re.search(r"batchSize\s*=\s*([0-9]{1,9})", ask.headers.get("sforce-query-options", ""), re.IGNORECASE)
    return min(max(int(found.group(1)), PAGE_SIZE_MIN), PAGE_SIZE_MAX) if found else PAGE_SIZE_MAX

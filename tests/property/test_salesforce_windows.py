"""Reading by windows loses nothing: late commits, equal stamps, pages, reads that break off, cursors that die.

The server here is a list of rows that answers queryAll; a transaction may take minutes, and then its rows appear with
the stamp of its beginning (salesforce-api §8.1).
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qs, urlsplit

import requests
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from connectors.base import TablePlan
from connectors.salesforce import soql
from connectors.salesforce.auth import SalesforceConfig
from connectors.salesforce.connector import SalesforceConnector
from mapping.rows import row_struct
from tests.support.replay import Replay, Said

START = datetime(2026, 1, 31, 9, tzinfo=UTC)
TRANSACTION_SECONDS_MAX = 600
PAGE_ROWS = 3


@dataclass
class Server:
    now: datetime = START
    rows: dict[str, datetime] = field(default_factory=dict)  # id -> stamp
    cursors: dict[str, tuple[Sequence[str], datetime]] = field(default_factory=dict)
    calls: int = 0

    def answer(self, request: requests.PreparedRequest) -> Said:
        self.calls += 1
        parts = urlsplit(request.url or "")
        if "q=" in parts.query:
            statement = parse_qs(parts.query)["q"][0]
            return self._page([each for each in self._order() if self._fits(each, statement)])
        locator = parts.path.rpartition("/")[2]
        if locator not in self.cursors:
            body = b'[{"message":"invalid query locator","errorCode":"INVALID_QUERY_LOCATOR"}]'
            return Said(status=400, body=body, headers=self._headers())
        return self._page(self.cursors[locator][0])

    def _order(self) -> list[str]:
        return sorted(self.rows, key=lambda each: (self.rows[each], each))

    def _fits(self, row_id: str, statement: str) -> bool:
        stamp = soql.instant(self.rows[row_id])
        until = re.search(r"SystemModstamp < (\S+)", statement)
        if until and stamp >= until[1]:
            return False
        if found := re.search(r"SystemModstamp > (\S+) OR \(SystemModstamp = \S+ AND Id > '(\w+)'\)", statement):
            return (stamp, row_id) > (found[1], found[2])
        found = re.search(r"SystemModstamp >= (\S+)", statement)
        return found is None or stamp >= found[1]

    def _page(self, ids: Sequence[str]) -> Said:
        """A cursor keeps ids; values are read when the page is asked for (salesforce-api §2.2)."""
        page, rest = ids[:PAGE_ROWS], ids[PAGE_ROWS:]
        body: dict[str, object] = {
            "totalSize": len(ids),
            "done": not rest,
            "records": [self._record(each) for each in page],
        }
        if rest:
            locator = f"0r8{len(self.cursors)}-{PAGE_ROWS}"
            self.cursors[locator] = (rest, self.now)
            body["nextRecordsUrl"] = f"/services/data/v62.0/query/{locator}"
        return Said(body=json.dumps(body).encode(), headers=self._headers())

    def _record(self, row_id: str) -> dict[str, object]:
        stamp = soql.instant(self.rows[row_id]).replace("Z", "+0000")
        return {"Id": row_id, "IsDeleted": False, "LastModifiedDate": stamp, "SystemModstamp": stamp}

    def _headers(self) -> dict[str, str]:
        return {"Date": format_datetime(self.now, usegmt=True)}


class Windows(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.server = Server()
        self.stored: dict[str, str] = {}  # what an engine would have: id -> version
        self.cursor: str | None = None
        self.open: list[tuple[datetime, str]] = []  # transactions under way: begun at, row
        config = SalesforceConfig(
            name="sf", url="https://acme.my.salesforce.com", flow="access_token", access_token="t", key_field=None
        )
        self.crm = SalesforceConnector(config, "left", adapter=Replay(self.server.answer))
        row_type = row_struct("Account", self.crm.system_columns("account"))
        self.crm.configure([TablePlan(entity="account", table="Account", columns=(), row_type=row_type)])

    @initialize(count=st.integers(0, 8))
    def begin(self, count: int) -> None:
        for n in range(count):
            self.server.rows[f"001xx{n:010d}AAA"] = START - timedelta(days=1)  # all of one moment

    @rule(seconds=st.sampled_from([0, 1, 30, 61, 200]))
    def time_passes(self, seconds: int) -> None:
        self.server.now += timedelta(seconds=seconds)
        for begun, row_id in list(self.open):
            if self.server.now - begun > timedelta(seconds=TRANSACTION_SECONDS_MAX - 200):
                self._commit(begun, row_id)

    @rule(n=st.integers(0, 12))
    def somebody_saves(self, n: int) -> None:
        self._commit(self.server.now, f"001xx{n:010d}AAA")

    @rule(n=st.integers(0, 12))
    def a_long_transaction_begins(self, n: int) -> None:
        self.open.append((self.server.now, f"001xx{n:010d}AAA"))

    @rule(data=st.data())
    def a_long_transaction_ends(self, data: st.DataObject) -> None:
        if self.open:
            self._commit(*data.draw(st.sampled_from(self.open)))

    def _commit(self, begun: datetime, row_id: str) -> None:
        if (begun, row_id) in self.open:
            self.open.remove((begun, row_id))
        # A row is locked while a transaction holds it: stamps of one row never go back.
        if begun >= self.server.rows.get(row_id, begun):
            self.server.rows[row_id] = begun

    @rule(pages=st.integers(1, 3), save=st.sampled_from([None, 0, 4, 9]), dies=st.booleans())
    def a_read_that_may_break_off(self, pages: int, save: int | None, dies: bool) -> None:
        for n, page in enumerate(self.crm.changes("account", self.cursor)):
            for row in page.rows:
                self.stored[row.ref.id] = row.version
            self.cursor = page.cursor  # stored together with its rows
            if n + 1 >= pages:
                return
            if save is not None:
                self.somebody_saves(save)
            if dies:
                self.server.cursors.clear()

    @invariant()
    def nothing_is_invented(self) -> None:
        assert set(self.stored) <= set(self.server.rows)

    def teardown(self) -> None:
        for begun, row_id in list(self.open):
            self._commit(begun, row_id)
        self.server.now += timedelta(seconds=61)
        for _ in range(2):  # what broke off is read to its end, then on to now
            for page in self.crm.changes("account", self.cursor):
                for row in page.rows:
                    self.stored[row.ref.id] = row.version
                self.cursor = page.cursor
        assert self.stored == {row_id: soql.instant(stamp) for row_id, stamp in self.server.rows.items()}
        calls = self.server.calls
        (page,) = [page for page in self.crm.changes("account", self.cursor) if page.last]
        if self.server.calls == calls + 1:
            assert not page.rows  # one call, nothing new


TestWindows = Windows.TestCase
TestWindows.settings = settings(max_examples=80, stateful_step_count=25, deadline=None)

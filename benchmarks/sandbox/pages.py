"""How long a page takes: the sandbox against the baseline, rows edited before every read."""

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any
from urllib.parse import quote

from benchmarks.sandbox.client import Client
from benchmarks.sandbox.process import Server, server
from benchmarks.sandbox.rows import DYNAMICS_COLUMNS, SALESFORCE_COLUMNS

EDITED_SHARE = 100  # one row of so many is edited before each read
READS = 15
ENDS = 7  # reads of the first page, and of the last


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Milliseconds of one request: by the client's watch, and of the server's CPU."""

    wall: float
    cpu: float


@dataclass(frozen=True, kw_only=True)
class Pages:
    """The costs of one way to read all rows."""

    name: str
    size: int
    bytes: int  # of a page
    sandbox: Sequence[Cost]
    baseline: Sequence[Cost]  # rows whose columns have to be picked
    ready: Sequence[Cost]  # rows that are ready to be sent
    first: Sequence[Cost]
    last: Sequence[Cost]

    def ratio(self, against: Sequence[Cost], what: Callable[[Cost], float]) -> float:
        """The middle of the ratios: both were read in the same moment, as quick or slow as the machine then was."""
        return median(what(mine) / what(theirs) for mine, theirs in zip(self.sandbox, against, strict=True))

    def middle(self, costs: Sequence[Cost], what: Callable[[Cost], float]) -> float:
        return median(map(what, costs))

    def drift(self, what: Callable[[Cost], float]) -> float:
        """The last page against the first: the middle of the ratios, for both were read in the same moment."""
        return median(what(last) / what(first) for first, last in zip(self.first, self.last, strict=True))


def timed(served: Server, client: Client, url: str) -> tuple[Cost, bytes]:
    used = served.cpu()
    began = time.perf_counter()
    found = client.get(url)
    wall = time.perf_counter() - began
    return Cost(wall=1000 * wall, cpu=1000 * (served.cpu() - used)), found


class Salesforce:
    size, key, following, edited = 2000, "records", "nextRecordsUrl", "City"
    _data = "/services/data/v60.0"

    def __init__(self, connect: dict[str, Any]) -> None:
        self.url = connect["salesforce"]["url"]
        self.headers = {"Authorization": f"Bearer {connect['salesforce']['access_token']}"}
        self.client = Client(self.url, self.headers)
        self._rng = random.Random(3)
        self._ids: list[str] = []

    def _query(self, soql: str) -> str:
        return f"{self.url}{self._data}/query?q={quote(soql)}"

    def ways(self, columns: Sequence[str] = SALESFORCE_COLUMNS) -> dict[str, str]:
        chosen = ", ".join(columns)
        return {
            "a query, its pages": self._query(f"SELECT {chosen} FROM Lead"),
            "by SystemModstamp from a moment on": self._query(
                f"SELECT {chosen} FROM Lead WHERE SystemModstamp >= 2020-01-01T00:00:00Z ORDER BY SystemModstamp, Id"
            ),
        }

    def filled(self) -> list[str]:
        """The columns that leads have values in, and those that are asked for."""
        fields = json.loads(self.client.get(f"{self._data}/sobjects/Lead/describe"))["fields"]
        names = ", ".join(field["name"] for field in fields if field["type"] != "address")
        rows = json.loads(self.client.get(self._query(f"SELECT {names} FROM Lead LIMIT 500")))["records"]
        return _filled(rows, SALESFORCE_COLUMNS)

    def urls(self, first: str, count: int) -> list[str]:
        locator, _, size = json.loads(self.client.get(first))["nextRecordsUrl"].rpartition("-")
        return [first, *(f"{locator}-{start}" for start in range(int(size), count, int(size)))]

    def create(self, body: bytes) -> bytes:
        return self.client.send("POST", f"{self._data}/composite/sobjects", body)

    def edit(self, count: int) -> None:
        if not self._ids:
            path: str | None = self._query("SELECT Id FROM Lead")
            while path:
                page = json.loads(self.client.get(path))
                self._ids += [row["Id"] for row in page["records"]]
                path = page.get("nextRecordsUrl")
        for keys in _batched(self._rng.sample(self._ids, count), 200):
            records = [
                {"attributes": {"type": "Lead"}, "id": key, "City": f"City {self._rng.randrange(10**6)}"}
                for key in keys
            ]
            body = json.dumps({"allOrNone": False, "records": records}).encode()
            results = json.loads(self.client.send("PATCH", f"{self._data}/composite/sobjects", body))
            assert all(result["success"] for result in results), results


class Dynamics:
    size, key, following, edited = 5000, "value", "@odata.nextLink", "address1_city"

    def __init__(self, connect: dict[str, Any]) -> None:
        self.url = connect["dynamics"]["url"]
        self.headers = {
            "Authorization": f"Bearer {connect['dynamics']['access_token']}",
            "Prefer": f"odata.maxpagesize={self.size}",
        }
        self.client = Client(self.url, self.headers)
        self._rng = random.Random(3)
        self._ids: list[str] = []

    def ways(self, columns: Sequence[str] = DYNAMICS_COLUMNS) -> dict[str, str]:
        leads = f"{self.url}/api/data/v9.2/leads?$select={','.join(columns)}"
        return {"a collection, its pages": leads, "by modifiedon": f"{leads}&$orderby=modifiedon%20asc,leadid%20asc"}

    def filled(self) -> list[str]:
        rows = json.loads(self.client.get(f"{self.url}/api/data/v9.2/leads?$top=500"))["value"]
        return _filled(rows, DYNAMICS_COLUMNS)

    def urls(self, first: str, count: int) -> list[str]:
        found: list[str] = []
        url: str | None = first
        while url:
            found.append(url)
            page = json.loads(self.client.get(url))
            if len(found) == 1:
                self._ids = []
            self._ids += [row["leadid"] for row in page["value"]]
            url = page.get("@odata.nextLink")
        return found

    def create(self, body: bytes) -> bytes:
        return self.client.send("POST", f"{self.url}/api/data/v9.2/leads/Microsoft.Dynamics.CRM.CreateMultiple", body)

    def edit(self, count: int) -> None:
        kind = "Microsoft.Dynamics.CRM.lead"
        for keys in _batched(self._rng.sample(self._ids, count), 1000):
            targets = [
                {"@odata.type": kind, "leadid": key, "address1_city": f"City {self._rng.randrange(10**6)}"}
                for key in keys
            ]
            path = f"{self.url}/api/data/v9.2/leads/Microsoft.Dynamics.CRM.UpdateMultiple"
            self.client.send("POST", path, json.dumps({"Targets": targets}).encode())


def measure(served: Server, crm: Salesforce | Dynamics, count: int) -> Iterator[Pages]:
    """Each way to read: distinct pages, one hundredth of all rows edited before each read."""
    edits, rng = count // EDITED_SHARE, random.Random(5)
    whole = crm.ways(crm.filled())
    for name, first in crm.ways().items():
        urls = crm.urls(first, count)[: count // crm.size]  # whole pages alone
        chosen = rng.sample(range(1, len(urls) - 1), min(READS, len(urls) - 2))
        given = {
            "url": first, "all": whole[name], "headers": crm.headers, "key": crm.key, "following": crm.following,
            "edited": crm.edited,
        }  # fmt: skip
        mine: list[Cost] = []
        theirs: list[Cost] = []
        ready: list[Cost] = []
        with server("baseline", json.dumps(given)) as base:
            crm.client.close()  # idle for so long that the server has ended it: a new one comes with the next request
            plain = Client(base.told["url"])
            size = 0
            for place in chosen:
                crm.edit(edits)
                cost, found = timed(served, crm.client, urls[place])
                mine.append(cost)
                plain.get(f"/edit?count={edits}")
                start = place * crm.size
                cost, same = timed(base, plain, f"/?start={start}&stop={start + crm.size}")
                theirs.append(cost)
                start = (place + 1) % len(urls) * crm.size  # another page: this one's values have just been read
                cost, _ = timed(base, plain, f"/?start={start}&stop={start + crm.size}&ready=1")
                ready.append(cost)
                size = len(found)
                assert abs(len(same) - size) < size / 20, (len(same), size)
            plain.close()
        ends: dict[int, list[Cost]] = {0: [], len(urls) - 1: []}
        for _ in range(ENDS):
            for place, costs in ends.items():
                crm.edit(edits)
                costs.append(timed(served, crm.client, urls[place])[0])
        first_page, last_page = ends.values()
        yield Pages(
            name=name, size=crm.size, bytes=size, sandbox=mine, baseline=theirs, ready=ready, first=first_page,
            last=last_page,
        )  # fmt: skip


def _filled(rows: Sequence[dict[str, Any]], asked: Sequence[str]) -> list[str]:
    values = {name for row in rows for name, value in row.items() if value is not None and "@" not in name}
    return [*asked, *sorted(values - {*asked, "attributes"})]


def _batched(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))

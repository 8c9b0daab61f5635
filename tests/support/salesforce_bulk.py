"""Bulk jobs on the bench: an upload from beginning to end, results as rows."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from crmbridge.sandbox.core import Reply
from tests.support.salesforce_org import VERSION, Answered, Bench

JOBS = f"/services/data/v{VERSION}/jobs"


def table(body: bytes, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(body.decode(), newline=""), delimiter=delimiter))


def sheet(rows: Sequence[Mapping[str, Any]], delimiter: str = ",", ending: str = "\n") -> bytes:
    names = list(dict.fromkeys(name for row in rows for name in row))
    stream = StringIO(newline="")
    writer = csv.DictWriter(stream, names, delimiter=delimiter, lineterminator=ending)
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()


@dataclass(kw_only=True)
class Ingest:
    """One ingest job of Bulk 2.0."""

    org: Bench
    id: str

    def put(self, body: bytes, kind: str = "text/csv") -> Reply:
        return self.org.send("PUT", f"{JOBS}/ingest/{self.id}/batches", body, {"content-type": kind})

    def set(self, state: str) -> Answered:
        return self.org.rest("PATCH", f"jobs/ingest/{self.id}", {"state": state})

    def info(self) -> dict[str, Any]:
        return self.org.rest("GET", f"jobs/ingest/{self.id}").body

    def results(self, which: str) -> Reply:
        return self.org.send("GET", f"{JOBS}/ingest/{self.id}/{which}")

    def rows(self, which: str) -> list[dict[str, str]]:
        reply = self.results(which)
        assert reply.status == 200, reply.body
        return table(reply.body)

    @property
    def errors(self) -> list[str]:
        return [row["sf__Error"] for row in self.rows("failedResults")]


def job(org: Bench, operation: str = "insert", name: str = "Lead", **more: Any) -> Ingest:
    made = org.rest("POST", "jobs/ingest", {"object": name, "operation": operation, **more})
    assert made.status == 200, made.body
    return Ingest(org=org, id=made.body["id"])


def load(org: Bench, rows: Sequence[Mapping[str, Any]] | bytes, operation: str = "insert", **more: Any) -> Ingest:
    """Upload and close; the next request finds it done."""
    made = job(org, operation, **more)
    assert made.put(rows if isinstance(rows, bytes) else sheet(rows)).status == 201
    assert made.set("UploadComplete").body["state"] == "UploadComplete"
    return made


def query(org: Bench, soql: str, operation: str = "query", **more: Any) -> str:
    made = org.rest("POST", "jobs/query", {"operation": operation, "query": soql, **more})
    assert made.status == 200, made.body
    assert made.body["state"] == "UploadComplete"
    return made.body["id"]


def page(org: Bench, key: str, options: str = "") -> Reply:
    return org.send("GET", f"{JOBS}/query/{key}/results{options}")

"""The same cycle at different numbers of workers: both companies and the store are put back in between."""

import json
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from crmbridge.settings import load
from tests.support import postgres
from tests.support.project import Project, project

LATENCY_SECONDS = 0.2
WORKER = (sys.executable, "-m", "benchmarks.scale.worker")
RUN_SECONDS_MAX = 3600
GUARD = "guard: {creates: 1000000, updates: 1000000, conversions: 1000000}\nschedules: {every_seconds: 1}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    workers: int
    seconds: float
    cpu: float  # of the worker with the cycle
    requests: int  # as the CRMs counted them, of all workers, opening their engines included
    done: int  # conversions in the ledger, or pairs written


@dataclass(kw_only=True)
class Stage:
    one: Project
    cluster: postgres.Cluster
    store: str  # database as it was before the cycle

    def run(self, workers: int, *, latency: float) -> Took:
        self.one.box.control.restore()
        self.one.box.control.forget_calls()
        name = f"run_{workers}"
        self.cluster.run(f"DROP DATABASE IF EXISTS {name}")
        self.cluster.run(f"CREATE DATABASE {name} TEMPLATE {self.store}")
        self.one.env["CRMBRIDGE_STORE__URL"] = self.cluster.url(name)
        if latency:
            for crm in ("salesforce", "dynamics"):
                self.one.box.control.add_fault(crm=crm, fault="slow", seconds=latency, times=None)
        told, end = self.one.folder / f"told-{workers}.json", self.one.folder / f"end-{workers}"
        for file in (told, end):
            file.unlink(missing_ok=True)
        log = (self.one.folder / f"workers-{workers}.log").open("w")
        quiet: dict[str, Any] = {"stdout": log, "stderr": subprocess.STDOUT}
        helpers = [self.one.start_program(*WORKER, "help", str(end), **quiet) for _ in range(workers - 1)]
        lead = self.one.start_program(*WORKER, "lead", str(told), **quiet)
        code = lead.wait(RUN_SECONDS_MAX)
        end.touch()
        for helper in helpers:
            helper.wait(60)
        log.close()
        assert code == 0, (self.one.folder / f"workers-{workers}.log").read_text()
        took = json.loads(told.read_text())
        assert took["outcome"].startswith("done"), took
        calls = [call for call in self.one.box.control.raw_calls() if call["category"] == "data"]
        return Took(
            workers=workers,
            seconds=took["seconds"],
            cpu=took["cpu"],
            requests=len(calls),
            done=_sum(took["counts"]),
        )


@contextmanager
def stage(folder: Path, cluster: postgres.Cluster) -> Generator[Stage]:
    with project(folder, seed="empty") as one:
        one.add(GUARD)
        one.env["CRMBRIDGE_STORE__URL"] = cluster.new_database()
        one.first_run()
        yield Stage(one=one, cluster=cluster, store="")


def leads_on_both(at: Stage, count: int) -> list[str]:
    """Typed in on Salesforce, and brought over."""
    person = at.one.salesforce()
    records = [
        {"LastName": f"Lead {n}", "Company": f"Firm {n}", "Email": f"lead{n}@many.example"} for n in range(count)
    ]
    ids = _save(person, "POST", records)
    at.one.settle()
    return ids


def converted(at: Stage, ids: Sequence[str]) -> None:
    person = at.one.salesforce()
    for id in ids:
        person.convert(id)
    _ready(at)


def changed(at: Stage, ids: Sequence[str]) -> None:
    _save(at.one.salesforce(), "PATCH", [{"id": id, "City": "Aarhus", "Title": "CEO"} for id in ids])
    _ready(at)


def _ready(at: Stage) -> None:
    at.one.pass_time()
    at.one.box.control.snapshot()
    url = load(at.one.settings, env=at.one.environment()).store_url()
    at.store = urlsplit(url).path.lstrip("/")


def _save(person: Any, method: str, records: Sequence[dict[str, Any]]) -> list[str]:
    ids: list[str] = []
    for start in range(0, len(records), 200):
        some = [{"attributes": {"type": "Lead"}, **record} for record in records[start : start + 200]]
        results = person._call(method, "composite/sobjects", {"allOrNone": True, "records": some})
        assert all(result["success"] for result in results), results[0]
        ids += [result["id"] for result in results]
    return ids


def _sum(counts: Any) -> int:
    return sum(count for entities in counts.values() for kinds in entities.values() for count in kinds.values())

"""How many rows a second Collections and CreateMultiple take, over HTTP."""

import json
import time
from dataclasses import dataclass
from itertools import islice
from typing import Any

from benchmarks.sandbox.pages import Dynamics, Salesforce
from benchmarks.sandbox.process import Server
from benchmarks.sandbox.rows import leads

ROUNDS = 5


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Rows a second in the best of several rounds; by the watch the client's own work is in it."""

    name: str
    wall: float
    cpu: float  # of the server's own CPU seconds


def measure(served: Server, crm: Salesforce | Dynamics) -> Rate:
    salesforce = isinstance(crm, Salesforce)
    size, calls = (200, 25) if salesforce else (1000, 5)
    rows = leads("salesforce" if salesforce else "dynamics", ROUNDS * size * calls, seed=99)
    best_wall = best_cpu = 0.0
    for _ in range(ROUNDS):
        # encoded beforehand: the client's own work is not what is measured
        bodies = [
            json.dumps(_body([_own(row) for row in islice(rows, size)], salesforce=salesforce)).encode()
            for _ in range(calls)
        ]
        used, began = served.cpu(), time.perf_counter()
        for body in bodies:
            answer = crm.create(body)
            assert answer.count(b'"success":true') == size or not salesforce, answer[:300]
        wall, cpu = time.perf_counter() - began, served.cpu() - used
        best_wall, best_cpu = max(best_wall, size * calls / wall), max(best_cpu, size * calls / cpu)
    name = f"Collections create, {size} a call" if salesforce else f"CreateMultiple, {size} a call"
    return Rate(name=name, wall=best_wall, cpu=best_cpu)


def _own(row: dict[str, Any]) -> dict[str, Any]:
    """What a client sends: ids and stamps are the server's."""
    stamps = {"CreatedDate", "SystemModstamp", "createdon", "modifiedon", "leadid", "_stage"}
    return {name: value for name, value in row.items() if name not in stamps}


def _body(rows: list[dict[str, Any]], *, salesforce: bool) -> dict[str, Any]:
    if salesforce:
        return {"allOrNone": False, "records": [{"attributes": {"type": "Lead"}, **row} for row in rows]}
    return {"Targets": [{"@odata.type": "Microsoft.Dynamics.CRM.lead", **row} for row in rows]}

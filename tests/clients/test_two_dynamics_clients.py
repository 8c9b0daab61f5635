"""The same work, by chance, through Microsoft's Python client and through dynamics-web-api leaves the same rows."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest

from tests.clients.harness import Running, drive_node, drive_python, running

NAMES = {"account": "name", "contact": "lastname", "lead": "lastname", "opportunity": "name"}
TEXTS = ("plain", "Ümläut & <tag>", "'quoted' \"twice\"", "日本語", "two\nlines", None)
STEPS = 25
MOMENTS = ("createdon", "modifiedon", "activestagestartedon", "versionnumber")  # the clock goes on between the two

Row = dict[str, Any]


class Work:
    """Steps that may be taken: (verb, table, rows), each row with an id of ours."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.alive: dict[str, list[str]] = {table: [] for table in NAMES}
        self.made = 0

    def step(self) -> tuple[str, str, list[Row]]:
        verb = self.rng.choice(["create", "create", "update", "update", "upsert", "delete"])
        table = "lead" if verb == "upsert" else self.rng.choice(list(NAMES))
        if (verb, table) == ("delete", "account"):  # others would go with it
            verb = "update"
        if verb in {"update", "delete"} and not self.alive[table]:
            verb = "create"
        if verb == "create":
            return verb, table, [self._new(table) for _ in range(self.rng.randint(2, 5))]
        if verb == "upsert":
            keys = self.rng.sample(range(8), self.rng.randint(2, 3))
            return verb, table, [{"crmbridge_externalid": f"k{key}", **self._values(table)} for key in keys]
        keys = self.rng.sample(self.alive[table], min(len(self.alive[table]), self.rng.randint(1, 3)))
        if verb == "delete":
            self.alive[table] = [key for key in self.alive[table] if key not in keys]
            return verb, table, [{f"{table}id": key} for key in keys]
        return verb, table, [{f"{table}id": key, **self._values(table)} for key in keys]

    def _new(self, table: str) -> Row:
        self.made += 1
        key = str(uuid5(NAMESPACE_URL, f"{table}-{self.made}"))
        self.alive[table].append(key)
        return {f"{table}id": key, **self._values(table), NAMES[table]: f"{table} {self.made}"}

    def _values(self, table: str) -> Row:
        rng = self.rng
        bind = {}
        if self.alive["account"] and table in {"lead", "opportunity"}:
            bind["parentaccountid@odata.bind"] = f"/accounts({rng.choice(self.alive['account'])})"
        offered: dict[str, Row] = {
            "account": {"telephone1": rng.choice(TEXTS), "numberofemployees": rng.choice([0, 7, None])},
            "contact": {"firstname": rng.choice(TEXTS), "birthdate": rng.choice(["1970-02-28", None])},
            "lead": {"jobtitle": rng.choice(TEXTS), "estimatedamount": rng.choice([0, 2.5, None])},
            "opportunity": {"description": rng.choice(TEXTS), "estimatedvalue": rng.choice([0, 2500.75, None])},
        }
        return {**offered[table], **bind}


@pytest.fixture(scope="module")
def box() -> Iterator[Running]:
    with running() as box:
        box.control.snapshot("start")
        yield box


def rows_of(box: Running) -> dict[str, list[Row]]:
    """Rows by what they are about: ids that the environment gave are not compared, nor is the time."""
    dump = box.control.dump()["dynamics"]
    known: dict[str, str] = {}
    for table, name in NAMES.items():
        known |= {row[f"{table}id"]: f"{table} {row[name]}" for row in dump[table] if "reason" not in row}
    found: dict[str, list[Row]] = {}
    for table in NAMES:
        kept = ({name: value for name, value in row.items() if name not in MOMENTS} for row in dump[table])
        rows = [{name: known.get(str(value), value) for name, value in row.items()} for row in kept]
        found[table] = sorted(rows, key=lambda row: json.dumps(row, sort_keys=True, default=str))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_two_dynamics_clients_leave_the_same_rows(box: Running, tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    work = Work(seed)
    path = tmp_path / "work.json"
    path.write_text(json.dumps([work.step() for _ in range(STEPS)]), encoding="utf-8")
    box.control.restore("start")
    assert drive_python(box, "dataverse", "dv_work.py", tmp_path, str(path)) == STEPS
    left = rows_of(box)
    box.control.restore("start")
    assert drive_node(box, "dynamics-web-api-work.cjs", tmp_path, str(path)) == STEPS
    assert rows_of(box) == left
    assert sum(map(len, left.values())) > STEPS

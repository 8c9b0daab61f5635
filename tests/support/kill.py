"""The demo's second cycle, to be killed at any of its sends, receives and commits, and what is left compared.

The state before that cycle is made once: the sandbox keeps it as a snapshot, the store as a copied folder.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from crmbridge.demo.run import new_demo
from crmbridge.sandbox.server import Box, running_sandbox

KILLED = -9
RUNS_MAX = 4  # syncs after the kill; the last one has found nothing to do
RUN_SECONDS_MAX = 120

Dump = Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]
Picture = dict[tuple[str, str], dict[str, Any]]  # (table, name of the row) -> what it says


@dataclass(frozen=True, kw_only=True)
class Place:
    """One of the numbered places, and which of its kind it is."""

    number: int
    label: str  # "send POST lead QualifyLead", "committed apply"
    nth: int  # the first of this label is 1

    def __str__(self) -> str:
        return f"{self.number} ({self.label}, no. {self.nth})"


@dataclass(frozen=True, kw_only=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Both companies on the evening of their day, before the cycle that brings them in step."""

    box: Box
    evening: Path  # the folder as it was then
    tries: Path
    known: frozenset[str]  # ids of all rows that were there then
    numbers: Iterator[int]

    def set_up(self) -> Path:
        """Everything as it was; returns the folder of this try."""
        self.box.control.restore()
        folder = self.tries / str(next(self.numbers))
        shutil.copytree(self.evening, folder)
        return folder

    def sync(self, folder: Path, *, kill_at: Place | None = None, log: Path | None = None) -> Ran:
        env = {name: value for name, value in os.environ.items() if not name.startswith("CRMBRIDGE_")}
        if kill_at is not None:
            env["CRMBRIDGE_CRASH_AT"] = f"{kill_at.label}#{kill_at.nth}"
        if log is not None:
            env["CRMBRIDGE_CRASH_LOG"] = str(log)
        ran = subprocess.run(
            [sys.executable, "-m", "crmbridge", "--config", str(folder / "crmbridge.yaml"), "sync", "--json"],
            env=env,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS_MAX,
            check=False,
        )
        return Ran(code=ran.returncode, out=ran.stdout, err=ran.stderr)

    def sync_until_done(self, folder: Path) -> list[Ran]:
        """As often as something is written; what is held or refused does not count, it waits for people."""
        runs: list[Ran] = []
        for _ in range(RUNS_MAX):
            runs.append(self.sync(folder))
            assert runs[-1].code in (0, 1), f"exit {runs[-1].code}\n{runs[-1].err}\n{runs[-1].out}"
            if not runs[-1].document["counts"]:
                return runs
        raise AssertionError(f"still busy after {RUNS_MAX} runs: {[run.document['counts'] for run in runs]}")

    def picture(self) -> Picture:
        return picture(self.box.control.dump(), self.known)

    def operations(self, kind: str) -> int:
        """How often the CRMs were asked for it since the last time the calls were forgotten."""
        return sum(
            kind == what
            for call in self.box.control.raw_calls()
            for what in ([each[1] for each in call["operations"]] or [call["kind"]])
        )


@contextmanager
def evening(directory: Path) -> Iterator[Stage]:
    with running_sandbox("demo") as box:
        demo = new_demo(directory / "evening", box.connect, lambda _: None)
        demo.before()
        demo.first_run()
        demo.day()
        box.control.forget_calls()
        box.control.snapshot()
        yield Stage(
            box=box,
            evening=demo.folder,
            tries=directory / "tries",
            known=frozenset(ids_in(box.control.dump())),
            numbers=count(1),
        )


def places(log: Path) -> list[Place]:
    found: list[Place] = []
    seen: dict[str, int] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        number, _, label = line.partition(" ")
        seen[label] = seen.get(label, 0) + 1
        found.append(Place(number=int(number), label=label, nth=seen[label]))
    return found


# --- the store ------------------------------------------------------------------------------------------------------


def ask(folder: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "crmbridge.sqlite3")) as connection:
        return connection.execute(statement).fetchall()


def left_open(folder: Path) -> list[tuple[Any, ...]]:
    """Intents whose outcome nobody knows."""
    return ask(folder, "SELECT kind, entity, side, native_id FROM intent WHERE state = 'sent'")


def conversions_in_journal(folder: Path) -> list[tuple[Any, ...]]:
    """How often each lead was converted by us, by link."""
    return ask(folder, "SELECT link_id, count(*) FROM journal WHERE kind = 'convert' GROUP BY link_id")


def ledger(folder: Path) -> list[tuple[Any, ...]]:
    return ask(folder, "SELECT state, count(*) FROM conversion GROUP BY state ORDER BY state")


# --- pictures -------------------------------------------------------------------------------------------------------

# How a row is called whose id came about by chance: columns of its own, or ids of rows that are named already.
NAMES: Mapping[str, Sequence[str]] = {
    "Account": ("Name",),
    "Contact": ("Email", "Name"),
    "Lead": ("Email", "Name"),
    "Opportunity": ("Name",),
    "account": ("name",),
    "contact": ("emailaddress1", "fullname"),
    "lead": ("emailaddress1", "fullname"),
    "opportunity": ("name",),
    "OpportunityContactRole": ("OpportunityId", "ContactId"),
    "opportunityclose": ("_opportunityid_value", "subject", "statecode"),
    "leadtoopportunitysalesprocess": ("_leadid_value", "_opportunityid_value"),
    "opportunitysalesprocess": ("_opportunityid_value",),
}
IDS = {
    "account": "accountid",
    "contact": "contactid",
    "lead": "leadid",
    "opportunity": "opportunityid",
    "opportunityclose": "activityid",
    "leadtoopportunitysalesprocess": "businessprocessflowinstanceid",
    "opportunitysalesprocess": "businessprocessflowinstanceid",
}
STAMPS = {
    *("CreatedDate", "LastModifiedDate", "SystemModstamp", "LastActivityDate", "LastViewedDate"),
    *("LastReferencedDate", "LastStageChangeDate", "ConvertedDate"),
    *("createdon", "modifiedon", "versionnumber", "activestagestartedon", "lastonholdtime", "onholdtime"),
}


def rows_of(dump: Dump) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(table, id, row) of everything that a cycle can change."""
    for crm in ("salesforce", "dynamics"):
        for table in NAMES:
            for row in dump[crm].get(table, ()):
                yield table, row[IDS.get(table, "Id")], row


def ids_in(dump: Dump) -> Iterator[str]:
    return (id for _, id, _ in rows_of(dump))


def picture(dump: Dump, known: frozenset[str]) -> Picture:
    """Every row under its name, without stamps; ids that came about by chance are replaced by names."""
    names: dict[str, str] = {}
    taken: dict[tuple[str, str], int] = {}
    for table in NAMES:  # in this order: a row's name may be made of the names of others
        for found, id, row in rows_of(dump):
            if found != table or id in known:
                continue
            parts = [str(names.get(row[column], row[column])) for column in NAMES[table]]
            name = f"{table} {' / '.join(parts)}"
            taken[table, name] = taken.get((table, name), 0) + 1
            names[id] = name if taken[table, name] == 1 else f"{name}, no. {taken[table, name]}"
    return {
        (table, names.get(id, id)): {
            column: _named(names, value) if isinstance(value, str) else value
            for column, value in row.items()
            if column not in STAMPS
        }
        for table, id, row in rows_of(dump)
    }


def _named(names: Mapping[str, str], value: str) -> str:
    """An id, also at the end of an address (the photo's)."""
    start, slash, last = value.rpartition("/")
    return f"{start}{slash}{names.get(last, last)}"


def compare(wanted: Picture, found: Picture) -> list[str]:
    """What is different, in words."""
    lines = [f"missing: {' '.join(key)}" for key in wanted.keys() - found.keys()]
    lines += [f"too many: {' '.join(key)}" for key in found.keys() - wanted.keys()]
    for key in wanted.keys() & found.keys():
        for column in wanted[key].keys() | found[key].keys():
            here, there = wanted[key].get(column), found[key].get(column)
            if here != there:
                lines.append(f"{' '.join(key)}: {column} is {there!r}, not {here!r}")
    return sorted(lines)

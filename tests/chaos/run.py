"""One run: start everything, let people work while processes die, wait until it is quiet, judge, tell."""

import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg

from crmbridge.state.store import Store
from tests.chaos import world
from tests.chaos.harm import Harmer
from tests.chaos.judge import Verdict, World, judge
from tests.chaos.people import Journey, People
from tests.chaos.plan import Plan
from tests.chaos.services import Crew, Redis
from tests.chaos.stage import stage
from tests.support import postgres
from tests.support.project import Project

_CLOCK_STEP: Final = 20.0  # per second of ours, so that what was edited is old enough to be read
_QUIET_STEP: Final = 15 * 60.0
_QUIET_CYCLES: Final = 3  # in a row that write nothing
_HOLDERS: Final = "SELECT pid FROM lease WHERE owner IS NOT NULL AND until > clock_timestamp() AND name <> 'tick'"
_WARM_SECONDS: Final = 180.0
_WRITES: Final = (
    "create",
    "update",
    "upsert",
    "delete",
    "convertlead",
    "qualifylead",
    "winopportunity",
    "loseopportunity",
)


@dataclass(kw_only=True)
class Report:
    plan: Plan
    verdict: Verdict
    seconds: float
    quiet_after: float
    cycles: int
    counts: Counter[str]  # harm done and processes ended
    faults: dict[str, int]
    deeds: Counter[str]
    conversions: int
    calls: dict[str, int]
    writes_when_quiet: int
    held: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return self.verdict.clean and not self.writes_when_quiet and not self.held and not self.notes

    def __str__(self) -> str:
        plan, verdict = self.plan, self.verdict
        numbers = verdict.numbers
        kills = {name: self.counts[name] for name in ("kill child", "kill group", "kill parent") if self.counts[name]}
        lines = [
            f"seed {plan.seed}, {plan.pool}, {plan.acks} acknowledgements, "
            + ("leases and settle as delivered" if plan.production else f"lease {world.LEASE_SECONDS:g} s"),
            f"time               {self.seconds:.0f} s, then quiet after {self.quiet_after:.0f} s",
            f"SIGKILLs           {sum(kills.values())} of workers ({_words(kills)}), "
            f"{self.counts['kill at work']} of them in the middle of a cycle",
            f"SIGSTOPs           {self.counts['stop']}, each held a lease and was thawed after its end",
            f"Redis              {self.counts['redis']} times killed and empty again",
            f"PostgreSQL         {self.counts['postgres']} immediate restarts",
            f"faults             {_words(self.faults)}",
            f"people             {_words(self.deeds)}",
            f"conversions        {self.conversions} by people, {verdict.mirrored} mirrored in their right shape",
            f"calls              {_words(self.calls)}",
            f"cycles             {self.cycles} brought to an end",
            f"judged             {_words(numbers)}",
            f"lost               {len(verdict.lost)}",
            f"doubled            {len(verdict.doubled)}",
            f"wrong              {len(verdict.wrong)}",
            f"held for people    {self.held}",
            f"writes when quiet  {self.writes_when_quiet}",
        ]
        for name in ("lost", "doubled", "wrong"):
            lines += [f"  {name}: {line}" for line in getattr(verdict, name)[:20]]
        return "\n".join([*lines, *self.notes])


def _words(counts: "dict[str, int] | Counter[str]") -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


def run(plan: Plan, folder: Path | None = None) -> Report:
    with stage(plan, folder) as made:
        made.project.env["CRMBRIDGE_STORE__URL"] = made.cluster.new_database()
        made.project.env["CRMBRIDGE_BROKER__URL"] = made.redis.url
        return _Run(plan, made.folder, made.project, made.redis, made.cluster).through()


class _Run:
    def __init__(self, plan: Plan, folder: Path, project: Project, redis: Redis, cluster: postgres.Cluster) -> None:
        self.plan = plan
        self.folder = folder
        self.project = project
        self.control = project.box.control
        self.redis = redis
        self.cluster = cluster
        self.database = project.env["CRMBRIDGE_STORE__URL"].partition("@/")[2].partition("?")[0]
        self.crew = Crew(project, "workers.app", plan.pool, folder / "workers.log", beat=True)
        self.began = time.monotonic()
        self._clock_at = 0.0

    def through(self) -> Report:
        self.project.first_run()
        known = World(self.control.dump()).ids()
        self.control.forget_calls()
        harms = self.plan.harms()
        harmer = Harmer(self.crew, self.redis, self.cluster, self._holders, self.tend, self._lease_seconds())
        done = 0

        def allowed() -> int:
            return self.plan.conversions * (done + 1) // (len(harms) + 1) if harms else self.plan.conversions

        people = People(self.project, random.Random(f"people {self.plan.seed}"), allowed)
        try:
            self._say("the workers are started")
            self._wait("a first cycle", lambda: self._cycles() >= 1, _WARM_SECONDS)
            world.arm(self.control, self.plan.seed)
            people.start()
            self._say("people and harm begin")
            self.began = time.monotonic()
            for harm in harms:
                self._pause(harm.gap)
                harmer.do(harm)
                done += 1
                if done % 20 == 0:
                    self._say(f"{done}/{len(harms)} harms, {len(people.done)} conversions, {self._cycles()} cycles")
            done = len(harms)
            self._wait("all conversions", lambda: len(people.done) >= self.plan.conversions, 1800.0)
            faults = world.fired(self.control)
            self.control.clear_faults()
            people.finish()
            while any(one.frozen_until for one in self.crew.workers):
                self._pause(0.2)
            seconds = time.monotonic() - self.began
            self._say(f"harm is done after {seconds:.0f} s; {len(people.done)} conversions; waiting for quiet")
            quiet_after, notes = self._quiet()
            calls = self._calls_of_ours()
            writes = self._writes_when_quiet()
            self._say("it is quiet")
        finally:
            people.halt()
            self.crew.stop()
        self._say("all have stopped")
        return self._report(people, known, harmer, faults, seconds, quiet_after, calls, writes, notes)

    def _lease_seconds(self) -> float:
        return world.PRODUCTION_LEASE_SECONDS if self.plan.production else world.LEASE_SECONDS

    # --- time ---------------------------------------------------------------------------------------------------------

    def tend(self) -> None:
        """Called all the time: the supervisor's round, and the clock of the world."""
        self.crew.tend()
        now = time.monotonic()
        if now - self._clock_at >= 1:
            self._clock_at = now
            self.control.advance(_CLOCK_STEP)

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while True:
            self.tend()
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(0.1, left))

    def _wait(self, what: str, test: Any, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not test():
            assert time.monotonic() < end, f"{what}: not within {seconds:g} s; see {self.folder}\n{self._standstill()}"
            self._pause(0.5)

    def _standstill(self) -> str:
        """What the store says of who works and what is waited for."""
        asked = (
            "SELECT now(), id, outcome, started_at, ended_at FROM run ORDER BY started_at DESC LIMIT 12",
            "SELECT name, owner, pid, until FROM lease",
            "SELECT name, pid, what, at FROM heartbeat",
            "SELECT * FROM breaker",
            "SELECT connection, blocked_until, blocked_why FROM budget",
            "SELECT state, count(*) FROM work GROUP BY state",
            "SELECT pid, state, wait_event, query_start, left(query, 90) FROM pg_stat_activity",
        )
        told = [f"workers: {[(one.name, one.pids()) for one in self.crew.workers]}"]
        for query in asked:
            told += [query, *(f"   {row}" for row in self.cluster.run(query, self.database))]
        return "\n".join(told)

    def _say(self, words: str) -> None:
        print(f"[{time.monotonic() - self.began:6.0f} s] {words}", flush=True)

    # --- the store ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _store(self) -> Iterator[Store]:
        store = Store.open(self.project.env["CRMBRIDGE_STORE__URL"])
        try:
            yield store
        finally:
            store.close()

    def _holders(self) -> set[int]:
        try:
            return {int(pid) for [pid] in self.cluster.run(_HOLDERS, self.database)}
        except psycopg.Error:  # just restarted
            return set()

    def _ended(self) -> list[Any]:
        """Cycles that came to their end, newest first."""
        with self._store() as store:
            return [run for run in store.runs() if run.kind == "sync" and run.outcome.startswith("done")]

    def _cycles(self) -> int:
        try:
            rows = self.cluster.run(
                "SELECT count(*) FROM run WHERE kind = 'sync' AND outcome LIKE 'done%'", self.database
            )
            return int(rows[0][0])
        except psycopg.Error:  # it was just restarted
            return 0

    # --- the end ------------------------------------------------------------------------------------------------------

    def _quiet(self) -> tuple[float, list[str]]:
        began = time.monotonic()
        seen = self._cycles()
        while time.monotonic() - began < self.plan.quiet_seconds:
            self.control.advance(_QUIET_STEP)
            count = self._cycles()
            self._wait("one more cycle", lambda count=count: self._cycles() >= count + 2, 300.0)
            latest = self._ended()[: self._cycles() - seen]
            if len(latest) >= _QUIET_CYCLES and not any(run.counts for run in latest[:_QUIET_CYCLES]):
                with self._store() as store:
                    if not store.open_intents() and not store.open_issues(kind="waiting"):
                        return time.monotonic() - began, []
        return time.monotonic() - began, [f"NOT QUIET after {self.plan.quiet_seconds:g} s"]

    def _calls_of_ours(self) -> dict[str, int]:
        return {crm: self.control.calls()[crm]["totals"]["requests"] for crm in ("salesforce", "dynamics")}

    def _writes_when_quiet(self) -> int:
        """What two more cycles write, by the CRMs' own ledger: nobody else is at work any more."""
        self.control.forget_calls()
        count = self._cycles()
        self._wait("two more cycles", lambda: self._cycles() >= count + 2, 300.0)
        return sum(
            kind.lower().removeprefix("collections_") in _WRITES
            for call in self.control.raw_calls()
            for kind in ([each[1] for each in call["operations"]] or [call["kind"]])
        )

    def _report(
        self,
        people: People,
        known: set[str],
        harmer: Harmer,
        faults: dict[str, int],
        seconds: float,
        quiet_after: float,
        calls: dict[str, int],
        writes: int,
        notes: list[str],
    ) -> Report:
        with self._store() as store:
            dump = self.control.dump()
            verdict = judge(dump, store, people.journeys, known=known, ours=_our_users(dump, store))
            issues = [one for kind in ("held", "failed", "waiting") for one in store.open_issues(kind=kind)]
            mine = _of_people(issues, store, people.journeys)
            notes += [f"  open: {one.kind} {one.cause} {one.entity}: {one.message}" for one in mine[:20]]
            cycles = self._cycles()
        notes += self._verified()
        self._keep_evidence(dump, people)
        return Report(
            plan=self.plan,
            verdict=verdict,
            seconds=seconds,
            quiet_after=quiet_after,
            cycles=cycles,
            counts=self.crew.counts + harmer.counts,
            faults=faults,
            deeds=people.deeds + Counter({"calls of theirs repeated": people.repeated}),
            conversions=len(people.done),
            calls=calls,
            writes_when_quiet=writes,
            held=len(mine),
            notes=notes,
        )

    def _verified(self) -> list[str]:
        """crmbridge's own comparison and plan, which must agree with the judge."""
        planned = self.project.run("plan", "--json")
        verified = self.project.run("verify", "--json")
        notes: list[str] = []
        (self.folder / "verify.json").write_text(verified.out)
        if planned.code != 0 or planned.json["counts"]:
            notes.append(f"  plan: {planned}")
        if verified.code != 0:
            notes.append(f"  verify: {verified}")
        return notes

    def _keep_evidence(self, dump: Any, people: People) -> None:
        """For whoever looks into a run that was not clean; the folder of `--keep` stays."""
        (self.folder / "dump.json").write_bytes(msgspec.json.encode(dump))
        (self.folder / "diary.jsonl").write_text("".join(json.dumps(line) + "\n" for line in people.diary))
        with (self.folder / "store.jsonl").open("w", encoding="utf-8") as file:
            for table in ("link", "intent", "journal", "issue", "conversion", "run", "record"):
                for [row] in self.cluster.run(f"SELECT row_to_json(t) FROM {table} t", self.database):
                    file.write(json.dumps({"table": table} | row) + "\n")


def _our_users(dump: Any, store: Store) -> dict[str, str]:
    """Who made what the journal says that we made."""
    found = World(dump)
    ours: dict[str, str] = {}
    for row in store.journal():
        if row.kind == "create" and row.native_id:
            crm = "salesforce" if row.side == "left" else "dynamics"
            table = row.entity.title() if row.side == "left" else row.entity
            made = found.tables[table].get(row.native_id)
            if made is not None:
                ours[crm] = made["CreatedById"] if row.side == "left" else made["_createdby_value"]
    return ours


def _of_people(issues: list[Any], store: Store, journeys: list[Journey]) -> list[Any]:
    """Matters about what people did in this run; the sample's own stay what they were."""
    names = {one.lead for one in journeys}
    for one in journeys:
        if one.results:
            names |= {one.results.account or "", one.results.contact or "", one.results.opportunity or ""}
    links = {link.id for link in store.all_links() if {link.left_id, link.right_id} & names}
    return [one for one in issues if one.link_id in links or one.native_id in names]

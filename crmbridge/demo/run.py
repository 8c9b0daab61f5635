"""The demo's course: sandbox, first run, a day at two companies, a second cycle, the proof, a third cycle.

The sandbox runs as a process of its own, as it would for a customer's trial; people's edits are ordinary API calls.
"""

import json
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from crmbridge import private
from crmbridge.cli.start import copy_shipped, shipped_config
from crmbridge.demo.day import Announced, Company, a_day, morning, qualify_early, reactivate, work_leads
from crmbridge.demo.people import DynamicsPerson, SalesforcePerson
from crmbridge.errors import ConfigError, OutsideError
from crmbridge.model import SIDES, Entity, Side
from crmbridge.settings import Settings, load
from crmbridge.state.words import ConversionRow, Issue
from crmbridge.sync import Engine, Outcome
from crmbridge.sync.verify import Difference, verify
from crmbridge.wiring import open_engine

INGRID = "ingrid.solberg@northfield.example"
STEP_SECONDS = 15 * 60  # the sandbox's clock between two cycles: past every horizon and overlap
TIMEOUT_SECONDS = 30.0

Say = Callable[[str], None]
Calls = Mapping[str, Mapping[str, Mapping[str, int]]]  # CRM -> table -> kind -> HTTP requests


@dataclass(kw_only=True)
class Demo:
    """A demo company: its folder (crmbridge.yaml, mappings, store), its sandbox, its people."""

    folder: Path
    connection: Mapping[str, Any]  # what `crmbridge sandbox --json` printed
    company: Company
    say: Say
    outcomes: list[Outcome] = field(default_factory=list)

    # --- steps, in order; the journeys in tests call them one by one ----------------------------------------------

    def before(self) -> None:
        work_leads(self.company)
        self.pass_time()

    def first_run(self) -> Outcome:
        outcome = self.cycle()
        # Twins that are spelled differently: one choice for the whole field, made by a person.
        for name in ("account.name", "contact.first_name"):
            self.command("resolve", "--field", name, "--prefer", "salesforce", "--why", "it is the better kept one")
        qualify_early(self.company)
        self.pass_time()
        self.cycle()
        return outcome

    def day(self) -> None:
        morning(self.company)
        self.pass_time()
        # The account team's pull comes first: it sees the account of a lead that nobody has read yet.
        self.cycle(entities=("account", "contact", "opportunity"))
        a_day(self.company)
        reactivate(self.company)
        self.pass_time()

    def cycle(self, *, entities: tuple[Entity, ...] | None = None) -> Outcome:
        with open_engine(self.settings(), entities=entities) as engine:
            outcome = engine.sync(approve_all=True, by="demo", why="the demo approves its own plans")
        self.outcomes.append(outcome)
        return outcome

    def command(self, *words: str) -> None:
        """A command as a person types it."""
        command = [sys.executable, "-m", "crmbridge", "--config", str(self.folder / "crmbridge.yaml"), *words]
        subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own command line

    def settings(self) -> Settings:

        return load(self.folder / "crmbridge.yaml")

    # --- the sandbox's control port -------------------------------------------------------------------------------

    def pass_time(self) -> None:
        self.control("POST", "/clock", {"advance_seconds": STEP_SECONDS})

    def data_calls(self) -> Calls:
        """All so far, logins and metadata apart."""
        answer = self.control("GET", "/calls")
        return {crm: answer[crm]["requests"]["data"] for crm in ("salesforce", "dynamics")}

    def control(self, method: str, path: str, body: Any = None) -> Any:
        return control(self.connection["control_url"], method, path, body)


def control(url: str, method: str, path: str, body: Any = None) -> Any:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.request(method, url + path, json=body, timeout=TIMEOUT_SECONDS)
    if not answer.ok:
        raise OutsideError(f"The sandbox's control port refused {method} {path}: {answer.text[:200]}")
    return answer.json()


# --- setting up ---------------------------------------------------------------------------------------------------


@contextmanager
def started_sandbox(directory: Path, seed: str = "demo") -> Generator[Mapping[str, Any], None, None]:
    """The sandbox as a process, gone when the block is left; yields how to connect."""
    command = [sys.executable, "-m", "crmbridge", "sandbox", "--port", "0", "--seed", seed, "--json"]
    with ExitStack() as stack:
        with _no_interrupt():
            process = stack.enter_context(
                subprocess.Popen(  # noqa: S603 - our own command line
                    [*command, "--state-dir", str(directory)], stdout=subprocess.PIPE, text=True
                )
            )
            stack.callback(_stop, process)
        yield _connection(process)


@contextmanager
def _no_interrupt() -> Generator[None, None, None]:
    """A Ctrl-C within the block waits for its end; a process that is started there never sees one.

    A terminal's Ctrl-C goes to both: the demo stops the sandbox, which would else stop under the demo's last calls, or
    tell of it in its own words; and one in the middle of Popen would leave a sandbox that nobody knows of.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.wait(timeout=TIMEOUT_SECONDS)


def _connection(process: subprocess.Popen[str]) -> Mapping[str, Any]:
    """What it prints as soon as it can be used."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        try:
            return json.loads(text)
        except ValueError:
            continue
    # What is missing on this machine, the sandbox has said itself, on stderr.
    code = process.wait()
    kind = ConfigError if code == ConfigError.exit_code else OutsideError
    raise kind(f"The sandbox did not start (exit code {code}); what it said stands above.")


def write_project(folder: Path, connection: Mapping[str, Any]) -> None:
    """crmbridge.yaml and .env of a company whose two CRMs are this sandbox."""
    salesforce, dynamics = connection["salesforce"], connection["dynamics"]
    copy_shipped(shipped_config(), folder)
    authority = urlsplit(dynamics["authority"])
    (folder / "crmbridge.yaml").write_text(
        f"""\
connections:
  salesforce:
    system: salesforce
    url: {salesforce["https_url"]}
    login_url: {salesforce["https_url"]}
    auth:
      flow: client_credentials
      client_id: {salesforce["client_id"]}
      client_secret: ${{env:DEMO_SALESFORCE_SECRET}}
    ca_file: {connection["ca_path"]}
    default_owner: {INGRID}
    request_limit_seconds: 1
  dynamics:
    system: dynamics
    url: {dynamics["https_url"]}
    login_url: {authority.scheme}://{authority.netloc}
    auth:
      flow: client_secret
      tenant_id: {dynamics["tenant_id"]}
      client_id: {dynamics["client_id"]}
      client_secret: ${{env:DEMO_DYNAMICS_SECRET}}
    ca_file: {connection["ca_path"]}
    default_owner: {INGRID}
    request_limit_seconds: 1
""",
        "utf-8",
    )
    private.write_text(
        folder / ".env",
        f"DEMO_SALESFORCE_SECRET={salesforce['client_secret']}\nDEMO_DYNAMICS_SECRET={dynamics['client_secret']}\n",
    )


def new_demo(folder: Path, connection: Mapping[str, Any], say: Say) -> Demo:
    people = {
        crm: control(connection["control_url"], "POST", "/people", {"crm": crm, "email": INGRID})
        for crm in ("salesforce", "dynamics")
    }
    company = Company(
        salesforce=SalesforcePerson(url=connection["salesforce"]["url"], token=people["salesforce"]["access_token"]),
        dynamics=DynamicsPerson(url=connection["dynamics"]["url"], token=people["dynamics"]["access_token"]),
        today=datetime.now(UTC).date(),
        wait=lambda seconds: control(connection["control_url"], "POST", "/clock", {"advance_seconds": seconds}),
    )
    write_project(folder, connection)
    return Demo(folder=folder, connection=connection, company=company, say=say)


# --- the whole of it ----------------------------------------------------------------------------------------------


def run_demo(*, say: Say) -> dict[str, Any]:
    """Everything, in a folder of its own that goes when it is over. Returns the document of `demo --json`."""
    with tempfile.TemporaryDirectory(prefix="crmbridge-demo-") as text:
        folder = Path(text)
        say("Starting a sandbox of both CRMs ...")
        with started_sandbox(folder / "sandbox") as connection:
            return go_through(new_demo(folder / "company", connection, say))


def go_through(demo: Demo) -> dict[str, Any]:
    """All steps in order, told as they happen; the sandbox and the folder are left as they are at the end."""
    say = demo.say
    say("\n== First run: what is the same on both sides, what is missing where")
    demo.before()
    first = demo.first_run()
    for key, count in sorted(first.by_key.items()):
        say(f"   {count:3} x matched by {key}")
    for place, count in sorted(first.counts.items()):
        say(f"   {count:3} x {place[2]} {place[1]} on {place[0]}")
    say("\n== A day at two companies")
    demo.day()
    for event in demo.company.announced:
        say(f"   {event.crm:10} {event.entity:11} {event.what}")
    say("\n== Second cycle: what became of it")
    before = demo.data_calls()
    second = demo.cycle()
    _print_events(second, say)
    calls = _since(before, demo.data_calls())
    document = proof(demo)
    say("\n== Calls of the second cycle, per CRM, table and kind")
    for crm, tables in calls.items():
        for table, kinds in sorted(tables.items()):
            say(f"   {crm:10} {table or '-':35} {', '.join(f'{kind} {n}' for kind, n in sorted(kinds.items()))}")
    _print_proof(document, say)
    say("\n== Third cycle: nothing to do")
    demo.pass_time()
    before = demo.data_calls()
    third = demo.cycle()
    idle = _by_table(_since(before, demo.data_calls()))
    say(f"   writes planned: {sum(third.counts.values())}")
    for crm, tables in idle.items():
        say(f"   {crm:10} data calls: {', '.join(f'{table} {n}' for table, n in sorted(tables.items()))}")
    document |= {"calls": calls, "idle_calls": idle}
    document["ok"] = document["ok"] and not third.counts
    say("\n" + ("Everything announced has happened." if document["ok"] else "NOT everything announced has happened."))
    return document


def _print_events(outcome: Outcome, say: Say) -> None:
    for event in outcome.events:
        if event.kind == "report" and event.cause == "no_such_user":
            continue
        where = {side: event.ids.get(side) or "-" for side in SIDES}
        say(f"   {event.kind:11} {event.entity:11} {where['left']:>18} = {where['right']:<36} {event.reason}")


def _print_proof(document: Mapping[str, Any], say: Say) -> None:
    say("\n== Held, and what to do")
    for held in document["held"]:
        say(f"   {held['record']}: {held['cause']}\n      -> {held['fix']}")
    say("\n== Proof: every field of every linked pair")
    say(f"   pairs compared: {document['pairs']}")
    say(f"   differences: {len(document['differences'])}")
    for difference in document["differences"]:
        say(f"   {difference}")
    for failure in document["failures"]:
        say(f"   NOT AS ANNOUNCED: {failure}")


# --- proof --------------------------------------------------------------------------------------------------------


def proof(demo: Demo) -> dict[str, Any]:
    """What happened to each announced event, and whether both CRMs agree field by field."""

    with open_engine(demo.settings()) as engine:
        verdict = verify(engine)
        issues = [issue for kind in ("held", "failed") for issue in engine.store.open_issues(kind=kind)]
        ledger = {row.lead_link: row for row in engine.store.conversions()}
        conversions = [_conversion(engine, ledger, event) for event in demo.company.announced if event.conversion]
        failures = [text for event in demo.company.announced if (text := _failure(engine, ledger, issues, event))]
        held = [_held(engine, issue) for issue in issues]
    return {
        "ok": not failures and verdict.exit_code == 0,
        "conversions": conversions,
        "differences": [_difference(engine, one) for one in (*verdict.differences, *verdict.missing)],
        "held": held,
        "failures": failures,
        "pairs": verdict.pairs,
    }


def _conversion(engine: Engine, ledger: Mapping[str, ConversionRow], event: Announced) -> dict[str, Any]:
    side: Side = "left" if engine.names["left"] == event.crm else "right"
    link = engine.store.links_by_native(side, "lead", [event.id]).get(event.id)
    row = ledger.get(link.id) if link else None
    document: dict[str, Any] = {
        "from": event.crm,
        "what": event.what,
        "case": row.case if row else event.case,
        "outcome": event.expected,
        "account": event.account,
        "contact": event.contact,
        "opportunity": event.opportunity,
    }
    for one in SIDES:
        ids = row.detail.get(one) if row and row.state == "done" else None
        if ids is None and link is not None:
            ids = _ids_of(engine, one, link.id_on(one))
        document[engine.names[one]] = {
            name: (ids or {}).get(name) for name in ("lead", "account", "contact", "opportunity")
        }
    return document


def _ids_of(engine: Engine, side: Side, lead_id: str | None) -> dict[str, str | None]:
    if lead_id is None:
        return {}
    stored = engine.store.records(side, "lead", [lead_id]).get(lead_id)
    life = engine.connectors[side].life(stored.row) if stored else None
    return {
        "lead": lead_id,
        "account": life.account_id if life else None,
        "contact": life.contact_id if life else None,
        "opportunity": life.opportunity_id if life else None,
    }


def _failure(
    engine: Engine, ledger: Mapping[str, ConversionRow], issues: Sequence[Issue], event: Announced
) -> str | None:
    """None if the event came out as announced, else what is wrong."""
    side: Side = "left" if engine.names["left"] == event.crm else "right"
    entity: Any = event.entity
    link = engine.store.links_by_native(side, entity, [event.id]).get(event.id)
    if link is None or not link.alive:
        return f"{event.what}: {event.id} has no partner"
    mine = [issue for issue in issues if issue.link_id == link.id]
    if event.expected == "converted":
        row = ledger.get(link.id)
        if row is None or row.state != "done":
            return f"{event.what}: not mirrored ({', '.join(issue.message for issue in mine) or 'no reason given'})"
        if event.case is not None and row.case != event.case:
            return f"{event.what}: was case {row.case}, not {event.case}"
        return None
    if event.expected == "held":
        return (
            None if any(issue.cause == event.case for issue in mine) else f"{event.what}: was not held as {event.case}"
        )
    if event.expected == "refused":
        return None if any(issue.kind == "failed" for issue in mine) else f"{event.what}: was not refused"
    return f"{event.what}: {mine[0].message}" if mine else None


def _difference(engine: Engine, one: Difference) -> dict[str, Any]:
    ids = {engine.names[side]: one.ids[side] for side in SIDES}
    return {"entity": one.entity, "ids": ids, "field": one.field, "left": str(one.left), "right": str(one.right)}


def _held(engine: Engine, issue: Issue) -> dict[str, Any]:
    ids: dict[str, str | None] = {engine.names[side]: None for side in SIDES}
    if issue.link_id is not None and (link := engine.store.links([issue.link_id]).get(issue.link_id)):
        ids = {engine.names[side]: link.id_on(side) for side in SIDES}
    elif issue.side is not None:
        ids[engine.names[issue.side]] = issue.native_id
    where = next((f"{name} {id}" for name, id in ids.items() if id is not None), issue.link_id)
    return {
        "record": f"{issue.entity} {where}",
        "ids": ids,
        "cause": issue.cause,
        "message": issue.message,
        "fix": issue.fix,
    }


def _since(before: Calls, after: Calls) -> Calls:
    """What was called in between."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for crm, tables in after.items():
        for table, kinds in tables.items():
            more = Counter(kinds) - Counter(before[crm].get(table, {}))
            if more:
                found.setdefault(crm, {})[table] = dict(more)
    return found


def _by_table(calls: Calls) -> dict[str, dict[str, int]]:
    return {crm: {table: sum(kinds.values()) for table, kinds in tables.items()} for crm, tables in calls.items()}

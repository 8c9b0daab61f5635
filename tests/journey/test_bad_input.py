"""Bad input: one clear message, what to do, the right exit code, and nothing lost. Real processes, real HTTP."""

import json
import resource
import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.project import Project, Ran, project, stop, wait_until

pytestmark = pytest.mark.journey

LEADS = 12


@pytest.fixture
def sample(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path, seed="sample") as one:
        yield one


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path, seed="empty") as one:
        yield one


@pytest.fixture
def running(empty: Project) -> Project:
    """Both CRMs in step with a few leads; the first run is behind us."""
    person = empty.salesforce()
    for number in range(LEADS):
        person.create("Lead", LastName=f"Person {number}", Company=f"Company {number}", Email=f"p{number}@x.example")
    empty.pass_time()
    empty.first_run()
    assert (empty.count("salesforce", "Lead"), empty.count("dynamics", "lead")) == (LEADS, LEADS)
    empty.pass_time()
    return empty


def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def told(ran: Ran, code: int, *words: str) -> None:
    """The exit code and the words, and no traceback."""
    assert ran.code == code, ran
    for word in words:
        assert word in ran.err + ran.out, f"{word!r} is not said\n{ran}"
    assert "Traceback" not in ran.err + ran.out, ran
    assert "an error of its own" not in ran.err, ran


def nothing_lost(one: Project, leads: int = LEADS) -> None:
    """In step again by itself: nothing missing, nothing twice."""
    settled = one.settle()
    assert settled.code == 0, settled
    document = one.verify()
    assert document["differences"] == []
    assert (one.count("salesforce", "Lead"), one.count("dynamics", "lead")) == (leads, leads)


# --- configuration: exit 2 ------------------------------------------------------------------------------------------


def test_unknown_keys_and_fields_are_named_all_at_once_with_line_and_what_was_meant(empty: Project) -> None:
    empty.change("lifecycle:", "lifecicle:")
    told(empty.run("plan"), 2, "crmbridge.yaml:", "lifecicle: unknown key; did you mean 'lifecycle'?")
    empty.change("lifecicle:", "lifecycle:")
    empty.change("dynamics: jobtitle", "dynamic: jobtitle", "mappings/lead.yaml")
    empty.change("dynamics: mobilephone", "dynamics: mobilfone", "mappings/contact.yaml")
    ran = empty.run("check", "--live")
    told(
        ran, 2, "lead.yaml:", "did you mean 'dynamics'?", "contact.yaml:", "'mobilfone'", "did you mean 'mobilephone'?"
    )
    empty.change("dynamic: jobtitle", "dynamics: jobtitle", "mappings/lead.yaml")
    ran = empty.run("sync", "--json")
    told(ran, 2, "mobilfone", "crmbridge check")
    assert ran.json["error"]["problems"]
    assert empty.count("salesforce", "Lead") == 0


def test_duplicate_keys_are_refused_with_both_places(empty: Project) -> None:
    empty.add("store: {url: 'sqlite:///a.sqlite3'}\nstore: {url: 'sqlite:///b.sqlite3'}\n")
    told(empty.run_here("check"), 2, "crmbridge.yaml:", "store")
    empty.change("store: {url: 'sqlite:///b.sqlite3'}\n", "")
    told(empty.run_here("check"), 0)
    empty.change("fields:\n", "fields:\n  title: {salesforce: Title, dynamics: jobtitle}\n", "mappings/lead.yaml")
    told(empty.run("sync"), 2, "lead.yaml:", "title")


def test_no_settings_no_command_no_secret(empty: Project, tmp_path: Path) -> None:
    told(empty.run("--config", str(tmp_path / "nowhere.yaml"), "sync"), 2, "nowhere.yaml", "crmbridge init")
    told(empty.run("snyc"), 2, "Did you mean 'sync'?")
    (empty.folder / ".env").write_text("", encoding="utf-8")
    told(empty.run_here("check"), 2, "SALESFORCE_SECRET", "DYNAMICS_SECRET")
    told(empty.run("sync"), 2, "SALESFORCE_SECRET", ".env")


# --- outside: exit 4 ------------------------------------------------------------------------------------------------


def test_a_wrong_secret_names_the_connection_and_never_the_secret(running: Project) -> None:
    before = (running.folder / ".env").read_text(encoding="utf-8")
    for name, connection in (("SALESFORCE_SECRET", "salesforce"), ("DYNAMICS_SECRET", "dynamics")):
        right = next(line for line in before.splitlines() if line.startswith(name))
        running.change(right, f"{name}=wrong-and-private", ".env")
        ran = running.run("sync")
        told(ran, 4, connection)
        assert "wrong-and-private" not in ran.err + ran.out
        (running.folder / ".env").write_text(before, encoding="utf-8")
    nothing_lost(running)


def test_an_unreachable_host_is_named_and_the_next_sync_goes_on(running: Project) -> None:
    running.salesforce().create("Lead", LastName="Late", Company="Late", Email="late@x.example")
    url, port = running.box.connect["dynamics"]["url"], free_port()
    running.change(f"url: {url}", f"url: http://localhost:{port}")
    told(running.run("sync"), 4, "dynamics", f"localhost:{port}")
    told(running.run_here("check", "--live"), 4, f"localhost:{port}")
    running.change(f"url: http://localhost:{port}", f"url: {url}")
    nothing_lost(running, LEADS + 1)


def test_a_broker_that_is_down_and_one_of_another_kind(empty: Project) -> None:
    port = free_port()
    down = {"CRMBRIDGE_BROKER__URL": f"redis://user:private@127.0.0.1:{port}/0"}
    ran = empty.run("up", env=down)
    told(ran, 4, f"127.0.0.1:{port}", "broker.url")
    assert "private" not in ran.err + ran.out
    told(empty.run("check", "--live", env=down), 4, f"127.0.0.1:{port}")
    told(empty.run("up", env={"CRMBRIDGE_BROKER__URL": "amqp://127.0.0.1"}), 2, "amqp", "redis://")


def test_a_token_that_expires_in_mid_run_is_fetched_anew(running: Project) -> None:
    running.salesforce().create("Lead", LastName="Late", Company="Late", Email="late@x.example")
    running.pass_time()
    expired = {"name": "status", "status": 401, "code": "INVALID_SESSION_ID"}
    running.box.control.add_fault(crm="salesforce", path_regex="FROM Lead ", action=expired)
    running.box.control.add_fault(crm="dynamics", body_regex="Late", action={"name": "status", "status": 401})
    ran = running.run("sync")
    told(ran, 0)
    assert all(fault["fired"] for fault in running.box.control.faults())
    # And one that is not given a new one: that is said, once.
    running.box.control.clear_faults()
    running.box.control.add_fault(crm="dynamics", times=None, action={"name": "status", "status": 401})
    told(running.run("sync"), 4, "dynamics")
    running.box.control.clear_faults()
    nothing_lost(running, LEADS + 1)


def test_a_storm_of_429_is_sat_out_or_told(running: Project) -> None:
    for number in range(3):
        running.salesforce().create("Lead", LastName=f"Late {number}", Company="Late", Email=f"late{number}@x.example")
    running.pass_time()
    slow_down = {"name": "status", "status": 429, "retry_after": 1}
    storm = running.box.control.add_fault(crm="dynamics", table="lead", times=2, action=slow_down)
    told(running.run("sync"), 0)
    assert next(fault for fault in running.box.control.faults() if fault["id"] == storm)["fired"] == 2
    running.box.control.clear_faults()
    long_pause = {"name": "status", "status": 429, "retry_after": 45}
    running.box.control.add_fault(crm="dynamics", times=None, action=long_pause)
    told(running.run("sync"), 4, "dynamics")
    running.box.control.clear_faults()
    # The CRM's word holds for every run until then, though it would answer again by now.
    told(running.run("sync"), 4, "dynamics asked to be left alone until")
    wait_until("it may be asked again", lambda: not _left_alone(running), seconds=120)
    nothing_lost(running, LEADS + 3)


def _left_alone(one: Project) -> bool:
    document = one.run_here("status", "--json").json
    return any(limits["blocked_until"] for limits in document["limits"].values())


def test_a_full_disk_stops_the_run_before_it_sends_and_the_next_goes_on(sample: Project) -> None:
    planned = sample.run_here("plan", "--json")
    room = sample.store.stat().st_size + 96 * 1024

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    ran = sample.run("sync", "--approve", planned.json["plan"], preexec_fn=no_room)
    told(ran, 4, "crmbridge.sqlite3", "disk")
    done = sample.run_here("sync", "--approve", planned.json["plan"], "--json")
    assert done.code in (0, 1), done
    if not done.json["go"]:  # what is left is another plan than the one approved
        done = sample.run_here("sync", "--approve", done.json["plan"], "--json")
    sample.settle()
    assert sample.verify()["differences"] == []
    for crm, table, name in (("salesforce", "Lead", "Email"), ("dynamics", "lead", "emailaddress1")):
        mails = [row[name] for row in sample.box.control.dump()[crm][table] if row.get(name)]
        assert len(mails) == len(set(mails)), f"{crm}: a lead was made twice"


def test_a_second_sync_at_once_is_sent_away_and_says_who_is_at_work(running: Project) -> None:
    running.box.control.add_fault(crm="salesforce", path_regex="FROM Lead ", action={"name": "slow", "seconds": 30})
    first = running.start("sync")
    wait_until("the first one is at work", lambda: running.run_here("status", "--json").json["at_work"])
    told(running.run("sync"), 4, f"process {first.pid}", "Wait for it to end")
    running.box.control.clear_faults()
    assert stop(first, signal.SIGKILL).code == -signal.SIGKILL
    nothing_lost(running)  # a dead process's lease does not stand in the way


def test_another_organization_than_the_store_belongs_to_stops_all_writing(running: Project) -> None:
    with closing(sqlite3.connect(running.store)) as store, store:
        store.execute("UPDATE meta SET value = '00D000000000000AAA sandbox' WHERE name = 'org:left'")
    running.salesforce().create("Lead", LastName="Late", Company="Late", Email="late@x.example")
    running.pass_time()
    told(running.run("sync"), 4, "salesforce", "00D000000000000AAA", "store.url")
    assert running.count("dynamics", "lead") == LEADS


def test_ctrl_c_says_that_the_next_sync_goes_on(running: Project) -> None:
    person = running.salesforce()
    for number in range(5):
        person.create("Lead", LastName=f"Late {number}", Company="Late", Email=f"late{number}@x.example")
    running.pass_time()
    # In the middle of writing: the leads are made, and the answer is on its way.
    running.box.control.add_fault(crm="dynamics", body_regex="Late", action={"name": "slow", "seconds": 30})
    process = running.start("sync")
    wait_until("the write has come", lambda: any(fault["fired"] for fault in running.box.control.faults()))
    ran = stop(process, signal.SIGINT)
    told(ran, 130, "Interrupted", "the next sync goes on")
    nothing_lost(running, LEADS + 5)
    assert "interrupted" in {run["outcome"] for run in running.run_here("runs", "--json").json["runs"]}


# --- records: exit 1, the others go on ------------------------------------------------------------------------------


def held(one: Project) -> list[dict[str, Any]]:
    ran = one.run_here("issues", "--json")
    assert ran.code == 1, ran
    return ran.json["causes"]


def test_a_status_that_the_mapping_does_not_know_holds_its_record_alone(empty: Project) -> None:
    row = "  contacted: {state: open, salesforce: Working - Contacted, dynamics: Contacted}\n"
    empty.change(row, "", "mappings/lead.yaml")
    told(empty.run_here("check", "--live"), 0, "'Working - Contacted' is not mapped", "'Contacted'")
    person = empty.salesforce()
    person.create("Lead", LastName="Plain", Company="Plain", Status="Open - Not Contacted")
    person.create("Lead", LastName="Unknown", Company="Unknown", Status="Working - Contacted")
    empty.pass_time()
    empty.first_run()
    causes = held(empty)
    assert [cause["count"] for cause in causes] == [1]
    assert "Working - Contacted" in json.dumps(causes)
    assert causes[0]["fix"]
    empty.change("status:\n", f"status:\n{row}", "mappings/lead.yaml")
    told(empty.run_here("retry", "--all", "--why", "corrected"), 0)
    nothing_lost(empty, 2)


def test_a_required_field_that_is_blank_and_a_value_the_target_lacks(running: Project) -> None:
    # Dynamics wants no last name by API, Salesforce does; LeadSource is a free text for the API of Salesforce.
    colleague = running.dynamics()
    nameless = colleague.create("leads", subject="No name", companyname="No name")
    fair = running.salesforce().create("Lead", LastName="Fair", Company="Fair", LeadSource="Trade Fair of the Moon")
    running.pass_time()
    ran = running.run("sync")
    told(ran, 1, "required_blank", "unmapped_value")
    by_cause = {cause["cause"]: cause for cause in held(running)}
    assert by_cause["required_blank"]["issues"][0]["record"]["native_id"] == nameless
    assert "lead_source" in json.dumps(by_cause["unmapped_value"])
    assert "Trade Fair of the Moon" in json.dumps(by_cause["unmapped_value"]), "the value is what the admin must map"
    colleague.update("leads", nameless, lastname="Named")
    running.salesforce().update("Lead", fair, LeadSource="Web")
    nothing_lost(running, LEADS + 2)

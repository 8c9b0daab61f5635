"""Canary secrets and personal data appear in no log, Redis key or value, task, traceback, message or process list.

A real run: sandbox, worker and beat at DEBUG, a broker whose whole traffic is watched, leads with canaries in every
text field, and failures on the way (refused logins, refused records, cut answers).
"""

import base64
import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from crmbridge.cli.error_handler import DEBUG_VARIABLE, report
from tests.support.project import CHECKOUT, Project, project, stop, wait_until
from workers import logs, own_broker

# What strangers wrote; each is looked for as it is, in base64 and percent-encoded parts it would still show.
PEOPLE = {
    "LastName": "Zzcanarylastname",
    "FirstName": "Zzcanaryfirst",
    "Company": "Zzcanarycompany Ltd",
    "Email": "zzcanary.mail@canary.example",
    "Phone": "+47 22 99 88 77",
    "Street": "Zzcanarystreet 7",
    "Description": "Zzcanarytext with a secret of the customer",
}
# One at a time: each write and each login of the worker meets one of them.
FAULTS = (
    {"crm": "dynamics", "fault": "answer_lost", "method": "POST"},
    {
        "crm": "dynamics",
        "fault": "refused",
        "body_regex": "Zzcanary",
        "code": "0x80040265",
        "message": "The name 'Zzcanarylastname' is refused",
    },
    {"crm": "salesforce", "fault": "expired_token", "path_regex": "FROM Lead "},
    {"crm": "salesforce", "fault": "half_page", "path_regex": "FROM Lead "},
)
CANARY = re.compile(r"zzcanary|22\s?99\s?88\s?77", re.IGNORECASE)


@dataclass(frozen=True)
class Seen:
    log: str
    traffic: str
    keys: str
    processes: str
    said: str
    secrets: tuple[str, ...]
    synced: int
    fired: tuple[bool, ...]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("canaries")
    with project(folder, seed="sample") as company, own_broker.embedded(folder / "broker") as url:
        company.add(f"schedules: {{every_seconds: 1}}\nbroker: {{url: '{url}'}}\n")
        yield _watched(company, url)


def _watched(company: Project, url: str) -> Seen:
    person = company.salesforce()
    for number in range(3):
        person.create("Lead", **{**PEOPLE, "Email": f"zzcanary{number}@canary.example"})
    said = [str(company.first_run())]
    path = re.sub(r"^redis\+socket://|\?.*$", "", url)
    server = redis.Redis(unix_socket_path=path)
    traffic = company.folder / "traffic"
    log = (company.folder / "worker.log").open("w")
    env = {"CRMBRIDGE_CONFIG": str(company.settings)}
    with log, traffic.open("w") as heard:
        cli = own_broker.find_server().with_name(own_broker.find_server().name.replace("server", "cli"))
        watcher = (
            _monitor(path, heard)
            if not cli.exists()
            else subprocess.Popen([cli, "-s", path, "MONITOR"], stdout=heard, stderr=subprocess.DEVNULL)
        )
        worker = company.start_program(
            *(sys.executable, "-m", "celery", "-A", "workers.app", "worker", "--beat", "--loglevel", "DEBUG"),
            env=env,
            stdout=log,
            stderr=log,
        )
        try:
            control = company.box.control
            for number, fault in enumerate(FAULTS):
                person.create("Lead", **{**PEOPLE, "Email": f"zzcanary.more{number}@canary.example"})
                control.add_fault(**fault)
                company.pass_time()
                time.sleep(1.5)
            wait_until("leads are mirrored", lambda: _mirrored(company) >= 6, seconds=120)
            fired = [bool(fault["fired"]) for fault in control.faults()]
            processes = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
            keys = "\n".join(_everything(server))
        finally:
            ended = stop(worker)
            watcher.send_signal(signal.SIGTERM)
            watcher.wait(10)
        said.append(str(ended))
    for words in (["issues"], ["status"], ["runs"], ["sync"], ["verify"]):
        ran = company.run_here(*words)
        said.append(ran.err)
        if words != ["verify"]:  # verify shows what differs, to the person who asked
            said.append(ran.out)
    company.change("SALESFORCE_SECRET=", "SALESFORCE_SECRET=wrong-", ".env")
    said.append(str(company.run("sync")))
    connect = company.box.connect
    secrets = [connect[crm]["client_secret"] for crm in ("salesforce", "dynamics")]
    return Seen(
        log=(company.folder / "worker.log").read_text(),
        traffic=_read(traffic.read_text(errors="replace")),
        keys=_read(keys),
        processes=processes,
        said="\n".join(said),
        secrets=(*secrets, f"wrong-{secrets[0]}"),
        synced=_mirrored(company),
        fired=tuple(fired),
    )


def _monitor(path: str, heard: object) -> "subprocess.Popen[bytes]":
    """MONITOR by hand, where no client program came with the server."""
    program = (
        "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\ns.sendall(b'MONITOR\\r\\n')\n"
        "while True:\n d=s.recv(65536)\n if not d: break\n sys.stdout.buffer.write(d)\n sys.stdout.flush()\n"
    )
    return subprocess.Popen([sys.executable, "-c", program, path], stdout=heard, stderr=subprocess.DEVNULL)  # type: ignore[call-overload]


def _read(text: str) -> str:
    """With what stands in it in base64, as kombu writes its messages."""
    parts = re.findall(r"[A-Za-z0-9+/]{16,}={0,2}", text)
    return text + "\n".join(
        base64.b64decode(part + "==").decode("utf-8", "replace") for part in parts if len(part) % 4 != 1
    )


def _mirrored(company: Project) -> int:
    rows = company.box.control.dump()["dynamics"]["lead"]
    return sum("zzcanary" in str(row.get("lastname", "")).lower() for row in rows)


def _everything(server: "redis.Redis") -> Iterator[str]:
    for key in server.scan_iter():
        yield repr(key)
        with contextlib.suppress(redis.ResponseError):
            yield repr(server.dump(key))
        for read in (server.get, lambda key: server.lrange(key, 0, -1), server.hgetall, server.smembers):
            with contextlib.suppress(redis.ResponseError):
                yield repr(read(key))


pytestmark = [pytest.mark.timeout(600)]


@pytest.mark.slow
@pytest.mark.journey
class TestARealRun:
    def test_it_was_one(self, seen: Seen) -> None:
        assert seen.synced >= 6
        assert "http_call" in seen.log  # DEBUG it was
        assert "crmbridge.tick" in seen.traffic
        assert seen.keys
        assert all(seen.fired)

    @pytest.mark.parametrize("where", ["log", "traffic", "keys", "processes", "said"])
    def test_no_person(self, seen: Seen, where: str) -> None:
        assert CANARY.findall(getattr(seen, where)) == []

    @pytest.mark.parametrize("where", ["log", "traffic", "keys", "processes", "said"])
    def test_no_secret_and_no_token(self, seen: Seen, where: str) -> None:
        text = getattr(seen, where)
        assert [secret[:4] for secret in seen.secrets if secret in text] == []
        assert re.findall(r"Bearer [\w.!-]{8}|eyJ[\w-]+\.eyJ|00D\w{12,15}!\S{5}|<sessionId>", text) == []


# --- what nobody expected -----------------------------------------------------------------------------------------


def _fails() -> None:
    name = "Zzcanarylastname"
    secret = "canary-token-123456"
    raise KeyError(f"{name} {secret}")


def _caught() -> BaseException:
    try:
        try:
            _fails()
        except KeyError as error:
            raise RuntimeError(f"while at {error}") from error
    except RuntimeError as error:
        return error
    raise AssertionError


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(DEBUG_VARIABLE, raising=False)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.mark.parametrize("terminal", [False, True], ids=["file", "terminal"])
@pytest.mark.parametrize("way", ["celery", "ours", "library"])
def test_an_unexpected_error_in_a_worker_logs_places_and_no_values(
    quiet: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, way: str, terminal: bool
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    logs.configure(logging.DEBUG)
    error = _caught()
    told = (type(error), error, error.__traceback__)
    if way == "celery":  # as celery.app.trace does
        data = {"name": "crmbridge.drain", "id": "1", "description": "raised unexpected", "exc": repr(error)}
        data |= {"traceback": "Zzcanarylastname", "args": "()", "kwargs": "{}"}
        words = "Task %(name)s[%(id)s] %(description)s: %(exc)s"
        logging.getLogger("celery.app.trace").error(words, data, exc_info=told, extra={"data": data})
    elif way == "ours":
        logs.logger("crmbridge.workers").error("it failed", action="x", exc_info=error)
    else:
        logging.getLogger("some.library").error("it failed", exc_info=told)
    text = capsys.readouterr().err
    assert "RuntimeError" in text
    assert "test_secrets_and_people.py" in text
    assert not re.search("zzcanary|canary-token", text, re.IGNORECASE)


@pytest.mark.parametrize("terminal", [False, True], ids=["file", "terminal"])
def test_a_log_line_cannot_be_forged(
    quiet: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    logs.configure(logging.INFO)
    forged = "Acme\n2026-01-01T00:00:00Z [error] all is lost \x1b[31m\x9b2J\r\u202e"
    logging.getLogger("some.library").warning("said %s", forged)
    logs.logger("crmbridge.workers").warning(forged, value=forged)
    text = capsys.readouterr().err
    assert len(text.splitlines()) == 2
    ours = re.sub(r"\x1b\[[\d;]*m", "", text) if terminal else text  # the colours of our own renderer
    assert not re.search("[\x1b\x9b\r\u202e]", ours)
    assert "\x1b[31m\\x9b" not in text


def test_a_crash_report_names_places_and_no_values() -> None:
    text = report(_caught())
    assert "RuntimeError" in text
    assert "in _fails" in text
    assert not re.search("zzcanary|canary-token", text, re.IGNORECASE)
    assert str(Path.home()) not in text
    assert str(CHECKOUT) not in text


@pytest.mark.parametrize("field", ["client_secret", "password", "security_token", "refresh_token", "access_token"])
def test_a_configuration_shows_no_secret_of_its_own(field: str) -> None:
    from connectors.salesforce.auth import SalesforceConfig

    assert "canary-secret" not in repr(SalesforceConfig(name="sf", url="https://x.example", **{field: "canary-secret"}))


def test_tasks_carry_the_name_of_a_queue_at_most() -> None:
    """Arguments end up in headers, logs and events: whatever task there is takes no more than a queue's name."""
    import ast

    tree = ast.parse((CHECKOUT / "workers" / "tasks.py").read_text())
    takes = {
        each.name: [arg.arg for arg in each.args.args]
        for each in tree.body
        if isinstance(each, ast.FunctionDef) and each.decorator_list
    }
    assert takes == {"tick": [], "drain": ["queue"]}
    assert os.environ.get("CRMBRIDGE_DEBUG") is None

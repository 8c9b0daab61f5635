"""Alerts on their way: gathered from a real store, sent over real sockets, tried again when a channel fails."""

import hashlib
import hmac
import json
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from crmbridge import notify
from crmbridge.settings import load
from crmbridge.state import schema
from crmbridge.state.store import Store
from crmbridge.state.words import Batch, Issue
from tests.unit.test_settings_schedules import CONNECTIONS
from workers import alerting, logs, schedule

SECRET = "s3cr3t-of-the-hook"


class Hook(ThreadingHTTPServer):
    """Takes alerts; answers as it is told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/alerts"


class _Handler(BaseHTTPRequestHandler):
    server: Hook  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append((dict(self.headers), content))
        self.send_response(self.server.status)
        if self.server.status == 302:
            self.send_header("Location", self.server.url + "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[Hook]:
    server = Hook()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    one = Store.open(f"sqlite:///{tmp_path / 'store.sqlite3'}")
    yield one
    one.close()


def settings(tmp_path: Path, text: str) -> Any:
    (tmp_path / "crmbridge.yaml").write_text(CONNECTIONS + text)
    return load(tmp_path / "crmbridge.yaml", env={"HOOK_SECRET": SECRET, "SECRET": "x"})


def with_hook(tmp_path: Path, hook: Hook, more: str = "") -> Any:
    channel = f"{{webhook: '{hook.url}', secret: '${{env:HOOK_SECRET}}'}}"
    return settings(tmp_path, f"alerts:\n  channels:\n    ops: {channel}\n{more}")


def guard_stops(store: Store) -> None:
    run = store.start_run("sync")
    store.end_run(run.id, "stopped by the guard")
    schedule.note_stopped(store, schedule.Stopped(run_id=run.id, reasons=("600 x create of lead on dynamics",)))


def alerts_due_now(store: Store) -> None:
    with store._database.writing("test") as connection:
        connection.execute(schema.alert_message.update().values(due_at=store.now() - timedelta(seconds=1)))


# --- from the store to a channel ------------------------------------------------------------------------------------


def test_a_stop_by_the_guard_is_told_once_signed_and_told_over(tmp_path: Path, store: Store, hook: Hook) -> None:
    given = with_hook(tmp_path, hook)
    guard_stops(store)
    for _ in range(3):
        alerting.look(store, given)
        alerting.send_due(store, given)
    ((headers, content),) = hook.taken
    body = json.loads(content)
    assert (body["event"], body["kind"], body["alarm"]) == ("raised", "guard", "guard")
    assert "600 x create of lead on dynamics" in body["message"]
    assert body["installation"] == store.installation_id()
    at, _, mark = headers[notify.SIGNATURE].partition(",v1=")
    signed = f"{at.removeprefix('t=')}.".encode() + content
    assert mark == hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()

    schedule.note_stopped(store, None)
    alerting.look(store, given)
    alerting.send_due(store, given)
    assert json.loads(hook.taken[-1][1])["event"] == "over"
    assert store.alarms() == []
    assert store.alerts_waiting() == []


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What the workers' log says."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    logs.configure()
    yield lambda: capsys.readouterr().err
    root.handlers[:], root.level = before


def test_a_channel_that_fails_is_tried_again_and_nothing_is_told_twice(
    tmp_path: Path, store: Store, hook: Hook, log: Callable[[], str]
) -> None:
    given = with_hook(tmp_path, hook)
    guard_stops(store)
    alerting.look(store, given)
    hook.status = 503
    assert alerting.send_due(store, given) == 0
    (waiting,) = store.alerts_waiting()
    assert waiting.error == "it answered 503"
    assert alerting.send_due(store, given) == 0, "it is not due again yet"
    assert len(hook.taken) == 1
    hook.status = 200
    alerts_due_now(store)
    assert alerting.send_due(store, given) == 1
    assert store.alerts_waiting() == []
    said = log()
    assert "alert_not_sent" in said
    assert SECRET not in said


def test_an_alert_whose_sender_died_is_sent_by_the_next_one(tmp_path: Path, store: Store, hook: Hook) -> None:
    given = with_hook(tmp_path, hook)
    guard_stops(store)
    alerting.look(store, given)
    assert len(store.take_alerts(5)) == 1  # and then it dies
    assert alerting.send_due(store, given) == 0
    alerts_due_now(store)
    assert alerting.send_due(store, given) == 1


def test_an_alert_is_never_carried_to_another_place(tmp_path: Path, store: Store, hook: Hook) -> None:
    given = with_hook(tmp_path, hook)
    hook.status = 302
    guard_stops(store)
    alerting.look(store, given)
    assert alerting.send_due(store, given) == 0
    assert len(hook.taken) == 1, "a redirect is not followed"
    assert store.alerts_waiting()[0].error == "it answered 302"


def test_a_yesterday_alert_is_given_up(tmp_path: Path, store: Store, hook: Hook) -> None:
    given = with_hook(tmp_path, hook)
    hook.status = 500
    guard_stops(store)
    alerting.look(store, given)
    with store._database.writing("test") as connection:
        long_ago = store.now() - timedelta(days=2)
        connection.execute(schema.alert_message.update().values(made_at=long_ago, due_at=long_ago))
    assert alerting.send_due(store, given) == 0
    assert store.alerts_waiting() == []


def test_a_secret_that_leads_nowhere_keeps_the_alert(tmp_path: Path, store: Store, hook: Hook) -> None:
    with_hook(tmp_path, hook)
    given = load(tmp_path / "crmbridge.yaml", env={"SECRET": "x"})
    guard_stops(store)
    alerting.look(store, given)
    assert alerting.send_due(store, given) == 0
    assert "HOOK_SECRET is not set" in store.alerts_waiting()[0].error


def test_one_worker_looks_at_a_time(tmp_path: Path, store: Store, hook: Hook) -> None:
    given = with_hook(tmp_path, hook)
    guard_stops(store)
    alerting.watch(store, given)
    schedule.note_stopped(store, None)
    alerting.watch(store, given)  # a moment later, of another process
    assert len(hook.taken) == 1


# --- what is gathered -----------------------------------------------------------------------------------------------


def test_silence_counts_only_while_a_cycle_is_due(tmp_path: Path, store: Store) -> None:
    hourly = settings(tmp_path, "schedules: {every: 1 hour}\n")
    run = store.start_run("sync")
    store.end_run(run.id, "done")
    store.note_turns(dict.fromkeys(("account", "contact", "lead", "opportunity"), False))
    assert alerting.gather(store, hourly).silence is None
    with store._database.writing("test") as connection:
        long_ago = store.now() - timedelta(hours=5)
        connection.execute(schema.turn.update().values(at=long_ago))
        connection.execute(schema.run.update().values(started_at=long_ago, ended_at=long_ago))
    silence = alerting.gather(store, hourly).silence
    assert silence is not None
    assert timedelta(hours=3, minutes=55) < silence < timedelta(hours=4, minutes=5), "since one was due"


def test_failed_cycles_are_silence(tmp_path: Path, store: Store) -> None:
    given = settings(tmp_path, "")
    run = store.start_run("sync")
    store.end_run(run.id, "failed: OutsideError")
    with store._database.writing("test") as connection:
        long_ago = store.now() - timedelta(hours=5)
        connection.execute(schema.run.update().values(started_at=long_ago))
        connection.execute(schema.turn.insert(), [
            {"entity": entity, "at": long_ago, "quiet": 0} for entity in ("account", "contact", "lead", "opportunity")
        ])  # fmt: skip
    silence = alerting.gather(store, given).silence
    assert silence is not None
    assert silence > timedelta(hours=4)


def test_alerts_hold_no_values_of_records(tmp_path: Path, store: Store, hook: Hook) -> None:
    given = with_hook(tmp_path, hook, "  rules: [{when: other_writer}]\n")
    lease = store.take_lease("cycle", 60)
    canary = "Kari Canary <kari@canary.example>"
    store.apply(
        Batch(issues=[Issue(kind="held", cause="other_writer", entity="lead", link_id=None, side="left",
                            native_id="00Q1", message=canary, field="last_name")]),
        lease=lease,
    )  # fmt: skip
    alerting.look(store, given)
    alerting.send_due(store, given)
    ((_, content),) = hook.taken
    assert b"canary" not in content
    assert b"Kari" not in content


# --- e-mail and command ---------------------------------------------------------------------------------------------


@contextmanager
def smtp() -> Iterator[tuple[int, list[Any]]]:
    from aiosmtpd.controller import Controller

    taken: list[Any] = []

    class Keep:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
            taken.append(envelope)
            return "250 OK"

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(Keep(), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield port, taken
    finally:
        controller.stop()


def test_an_e_mail_arrives(tmp_path: Path, store: Store) -> None:
    with smtp() as (port, taken):
        given = settings(
            tmp_path,
            "alerts:\n  channels:\n    mail: {email: [on.call@x.example], sender: crmbridge@x.example, "
            f"server: '127.0.0.1:{port}', encryption: none}}\n",
        )
        guard_stops(store)
        alerting.look(store, given)
        assert alerting.send_due(store, given) == 1, store.alerts_waiting()
    (envelope,) = taken
    assert envelope.rcpt_tos == ["on.call@x.example"]
    message = message_from_bytes(envelope.content, policy=policy.default)
    assert message["Subject"].startswith("crmbridge guard raised: the guard stopped")
    assert "docs/howto/on-call/alerts.md#guard" in message.get_content()


def test_a_mail_server_without_encryption_is_not_given_the_password(tmp_path: Path, store: Store) -> None:
    with smtp() as (port, taken):
        given = settings(
            tmp_path,
            "alerts:\n  channels:\n    mail: {email: [a@x.example], sender: b@x.example, user: u, "
            f"password: '${{env:HOOK_SECRET}}', server: '127.0.0.1:{port}'}}\n",
        )
        guard_stops(store)
        alerting.look(store, given)
        assert alerting.send_due(store, given) == 0
        assert taken == []
    assert "did not take it" in store.alerts_waiting()[0].error


def test_a_command_gets_it_without_a_shell_and_without_our_secrets(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    out = tmp_path / "out.json"
    script = tmp_path / "page.py"
    script.write_text(
        "import json, os, sys\n"
        f"json.dump([sys.argv[1:], dict(os.environ), json.load(sys.stdin)], open({str(out)!r}, 'w'))\n"
    )
    given = settings(
        tmp_path, f"alerts:\n  channels:\n    page: {{command: ['{sys.executable}', '{script}', '$(id); x']}}\n"
    )
    guard_stops(store)
    alerting.look(store, given)
    assert alerting.send_due(store, given) == 1, store.alerts_waiting()
    words, environment, body = json.loads(out.read_text())
    assert words == ["$(id); x"]
    assert SECRET not in environment.values()
    assert environment["CRMBRIDGE_ALERT_KIND"] == body["kind"] == "guard"


def test_a_command_that_fails_or_is_not_there_is_told(tmp_path: Path) -> None:
    body = {"kind": "guard", "event": "raised", "message": "x"}
    with pytest.raises(notify.NotTold, match="ended with 3"):
        notify.tell(notify.Command(argv=(sys.executable, "-c", "raise SystemExit(3)")), body)
    with pytest.raises(notify.NotTold, match="cannot be run"):
        notify.tell(notify.Command(argv=("/nowhere/page",)), body)
    with pytest.raises(notify.NotTold, match="does not answer"):
        notify.tell(notify.Webhook(url="http://127.0.0.1:9/x"), body)


# --- the command ----------------------------------------------------------------------------------------------------


def test_people_try_their_channels_and_see_what_is_out_of_order(
    tmp_path: Path, hook: Hook, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from crmbridge.cli.error_handler import run

    monkeypatch.setenv("HOOK_SECRET", SECRET)
    monkeypatch.setenv("SECRET", "x")
    with_hook(tmp_path, hook, "    page: {command: [/nowhere/page]}\n")
    config = ["--config", str(tmp_path / "crmbridge.yaml")]

    def said(*words: str, code: int) -> str:
        assert run([*config, *words]) == code
        told = capsys.readouterr()
        return told.out + told.err

    assert "ops: taken" in (out := said("alerts", "test", code=4))
    assert "page: NOT taken: /nowhere/page cannot be run" in out
    assert json.loads(hook.taken[0][1])["event"] == "test"
    assert "there are: ops, page" in said("alerts", "test", "--channel", "opps", code=2)
    assert "Nothing is out of order" in said("alerts", "show", code=0)
    store = Store.open(load(tmp_path / "crmbridge.yaml").store_url())
    guard_stops(store)
    store.close()
    shown = said("alerts", "check", code=1)
    assert "ALARM guard: the guard stopped the last cycle" in shown
    assert "docs/howto/on-call/alerts.md#guard" in shown
    assert json.loads(hook.taken[-1][1])["event"] == "raised"
    assert "not sent yet" in shown, "the pager did not take it"
    document = json.loads(said("status", "--json", code=0))
    assert [one["kind"] for one in document["alarms"]] == ["guard"]
    assert "ALARM guard" in said("status", code=0)

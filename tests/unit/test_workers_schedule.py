"""When the next cycle is due, what a tick and a drain make of trouble, and how Celery is set."""

import contextlib
import json
import logging
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from crmbridge import about
from crmbridge.errors import AccessError, ConfigError, CrmBridgeError, LeaseTaken, LeftAlone, OutsideError
from crmbridge.guard import Ruling
from crmbridge.settings import load
from crmbridge.settings.document import Schedules
from crmbridge.state.store import Store
from crmbridge.state.words import RunRow
from crmbridge.sync import Options, Outcome
from workers import broker, cycle, logs, own_broker, schedule
from workers.config import (
    TICK_SECONDS,
    VISIBILITY_SECONDS,
    celery_settings,
    key_prefix,
    kombu_url,
    refuse_remapped_sigterm,
)
from workers.schedule import Stopped, next_cycle_at

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def a_run(outcome: str, *, id: str = "r", minutes_ago: float = 0, kind: str = "sync") -> RunRow:
    at = NOON - timedelta(minutes=minutes_ago)
    return RunRow(id=id, kind=kind, started_at=at, ended_at=None if outcome == "" else at, outcome=outcome)


def seconds(*runs: RunRow, every: float = 60, stopped: Stopped | None = None) -> float | None:
    at = next_cycle_at(runs, every_seconds=every, stopped=stopped)
    return None if at is None else (at - NOON).total_seconds()


# --- the pace -------------------------------------------------------------------------------------------------------


def test_the_pace() -> None:
    assert seconds() is None, "nothing was run yet: at once"
    assert seconds(a_run("done")) == 60
    assert seconds(a_run("done"), every=5) == 5
    assert seconds(a_run("done", kind="plan")) is None, "a plan is no cycle"
    assert seconds(a_run("done", kind="verify"), a_run("done", minutes_ago=1)) == 0
    assert seconds(a_run("interrupted")) is None, "it goes on where that one stopped"
    assert seconds(a_run("")) is None, "whoever began it is dead, else the lease says so"


def test_failures_slow_it_down_and_a_success_forgets_them() -> None:
    failed = a_run("failed: OutsideError")
    paces = [seconds(*[failed] * count, a_run("done"), every=5) for count in range(1, 7)]
    assert paces == [5, 30, 60, 120, 300, 300]
    assert seconds(a_run("done"), failed, failed, failed, every=5) == 5
    assert seconds(failed, failed, every=600) == 600, "never faster than asked for"
    long = a_run("failed: SoftTimeLimitExceeded")
    assert seconds(long, long, long, every=5) == 5, "much to do is no failure"


def test_a_cycle_stopped_by_the_guard_waits_for_a_person() -> None:
    stopped = Stopped(run_id="r", reasons=("first run",))
    assert seconds(a_run("done"), every=5, stopped=stopped) == schedule.STOPPED_SECONDS
    assert seconds(a_run("done", id="approved"), a_run("done"), every=5, stopped=stopped) == 5


# --- tick and drain -------------------------------------------------------------------------------------------------


@dataclass
class PaperDesk:
    """A desk with a real store, and an engine that ends as it is told."""

    store: Store
    ending: Any = None
    cycles: int = 0
    settings: Any = field(default_factory=lambda: SimpleNamespace(schedules=Schedules(every_seconds=60)))
    options: Options = Options()  # noqa: RUF009 - frozen

    @contextlib.contextmanager
    def engine(self) -> Generator[Any]:
        if isinstance(self.ending, CrmBridgeError):
            raise self.ending  # a login that fails while the engine is put together, for one
        yield self

    def sync(self, *, by: str) -> Outcome:
        lease = self.store.take_lease("cycle", 60)
        run = self.store.start_run("sync", lease=lease)
        self.cycles += 1
        ruling = self.ending if isinstance(self.ending, Ruling) else Ruling(go=True)
        self.store.end_run(run.id, "done")
        self.store.release(lease)
        return Outcome(
            run_id=run.id, plan_id="p1", dry=False, ruling=ruling, first_run=frozenset(), counts={}, by_key={},
            events=(), issues=(), calls={},
        )  # fmt: skip


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[PaperDesk]:
    store = Store.open(f"sqlite:///{tmp_path / 'store.sqlite3'}")
    yield PaperDesk(store)
    store.close()


def test_one_tick_of_two_beats_counts(desk: Any) -> None:
    assert cycle.tick(desk) == ["cycle"]
    assert cycle.tick(desk) == [], "the other beat's, a moment later"


def test_a_hint_that_comes_twice_makes_one_cycle(desk: Any) -> None:
    cycle.drain(desk, "cycle")
    cycle.drain(desk, "cycle")
    assert desk.cycles == 1
    cycle.drain(desk, "a queue of a newer version")
    assert desk.cycles == 1


def test_another_worker_at_it_is_no_trouble(desk: Any) -> None:
    lease = desk.store.take_lease("cycle", 60)
    cycle.drain(desk, "cycle")
    assert cycle.tick(desk) == []
    assert desk.cycles == 0
    desk.store.release(lease)
    desk.ending = LeaseTaken("Another run is at work.")  # it came between the look and the work
    cycle.drain(desk, "cycle")
    assert desk.store.runs() == []


def test_trouble_before_a_cycle_begins_leaves_a_run_so_that_the_next_try_comes_later(desk: Any) -> None:
    desk.ending = AccessError("The login was refused.")
    cycle.drain(desk, "cycle")
    (run,) = desk.store.runs()
    assert run.outcome == "failed: AccessError: The login was refused."
    assert schedule.due(desk.store, 60) == []
    assert schedule.due(desk.store, 0) == ["cycle"]


@pytest.mark.parametrize(
    ("ending", "action", "begun"),
    [
        pytest.param(AccessError("The login was refused."), "cycle_failed", False, id="fails before it begins"),
        pytest.param(AccessError("The login was refused."), "cycle_failed", True, id="fails"),
        pytest.param(LeftAlone("north asked for it"), "cycle_waits", False, id="waits before it begins"),
        pytest.param(LeftAlone("north asked for it"), "cycle_waits", True, id="waits"),
        pytest.param(SoftTimeLimitExceeded(), "cycle_stopped", True, id="takes too long"),
    ],
)
def test_every_line_of_a_cycle_bears_its_run(
    desk: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    ending: Exception,
    action: str,
    begun: bool,
) -> None:
    def sync(*, by: str) -> Outcome:
        run = desk.store.start_run("sync")
        about.note(run=run.id)
        logging.getLogger("connectors.http").warning("repeated", extra={"action": "http_repeat"})
        desk.store.end_run(run.id, "failed")
        raise ending

    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    logs.configure()
    if begun:
        monkeypatch.setattr(desk, "sync", sync)
    else:
        desk.ending = ending
    before = about.now().get("run")
    cycle.drain(desk, "cycle")
    logs.logger("crmbridge.workers").warning("later", action="later")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (run,) = desk.store.runs()
    expected = [("http_repeat", run.id)] * begun + [(action, run.id), ("later", before)]
    assert [(line["action"], line.get("run")) for line in lines] == expected


def test_a_stop_by_the_guard_is_said_once(desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    desk.settings.schedules = Schedules.model_construct(every_seconds=0)
    desk.ending = Ruling(go=False, reasons=("600 x create of lead",))
    cycle.drain(desk, "cycle")
    assert schedule.due(desk.store, 0) == []
    schedule.note_stopped(desk.store, Stopped(run_id="long ago", reasons=desk.ending.reasons))
    cycle.drain(desk, "cycle")
    assert desk.cycles == 2
    assert capsys.readouterr().err.count("crmbridge sync --approve p1") == 1
    desk.ending = None
    schedule.note_stopped(desk.store, Stopped(run_id="long ago", reasons=()))
    cycle.drain(desk, "cycle")
    assert schedule.stopped(desk.store) is None


# --- how Celery is set ----------------------------------------------------------------------------------------------

SETTINGS = """\
connections:
  salesforce:
    system: salesforce
    url: https://x.my.salesforce.com
    auth: {flow: client_credentials, client_id: a, client_secret: "${env:SECRET}"}
  dynamics:
    system: dynamics
    url: https://x.crm.dynamics.com
    auth: {flow: client_secret, tenant_id: a, client_id: b, client_secret: "${env:SECRET}"}
"""


def settings(tmp_path: Path, **env: str) -> Any:
    (tmp_path / "crmbridge.yaml").write_text(SETTINGS)
    return load(tmp_path / "crmbridge.yaml", env=env)


def test_tasks_carry_references_and_may_run_twice(tmp_path: Path) -> None:
    conf = celery_settings(settings(tmp_path, CRMBRIDGE_BROKER__URL="rediss://u:p@h:6380/1"))
    assert conf["accept_content"] == ["json"]
    assert conf["result_backend"] is None
    assert conf["task_acks_late"]
    assert conf["task_soft_time_limit"] < conf["task_time_limit"] < VISIBILITY_SECONDS
    assert list(conf["beat_schedule"]) == ["tick"]
    assert conf["beat_schedule"]["tick"]["options"]["expires"] >= TICK_SECONDS
    assert conf["broker_use_ssl"]
    assert cycle.TICK_LEASE_SECONDS < TICK_SECONDS
    with pytest.raises(ConfigError, match=r"broker\.url is not set"):
        celery_settings(settings(tmp_path))


def test_sigterm_stays_what_lets_a_cycle_come_to_its_end() -> None:
    refuse_remapped_sigterm({})
    refuse_remapped_sigterm({"REMAP_SIGTERM": ""})
    with pytest.raises(ConfigError, match=r"REMAP_SIGTERM is set in the environment \(SIGQUIT\)") as raised:
        refuse_remapped_sigterm({"REMAP_SIGTERM": "SIGQUIT"})
    assert "Unset REMAP_SIGTERM" in raised.value.fix


def test_the_prefix_belongs_to_the_store_and_holds_no_password(tmp_path: Path) -> None:
    def of(url: str) -> str:
        return key_prefix(settings(tmp_path, CRMBRIDGE_STORE__URL=url))

    assert of("postgresql://a:one@db/crm") == of("postgresql+psycopg://b:two@db/crm")
    assert of("postgresql://a:one@db/crm") != of("postgresql://a:one@db/other")


def test_addresses_of_brokers() -> None:
    assert kombu_url("valkey://h:1/0") == "redis://h:1/0"
    assert kombu_url("unix:///run/r.sock?db=2") == "redis+socket:///run/r.sock?virtual_host=2"
    assert kombu_url("redis+socket:///run/r.sock?virtual_host=0") == "redis+socket:///run/r.sock?virtual_host=0"
    for url in ("amqp://h", "redis://a:1,b:2/0", "nothing"):
        with pytest.raises(ConfigError):
            kombu_url(url)


# --- the embedded broker --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["near", "a long name " * 12])  # longer than a socket's path may be
def test_the_embedded_broker_serves_once_and_leaves_nothing_behind(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    with own_broker.embedded(folder) as url:
        assert broker.ping(url) == "noeviction"
        with pytest.raises(OutsideError, match="Another `crmbridge up` is at work here"), own_broker.embedded(folder):
            pass
        assert broker.ping(url) == "noeviction", "the second one has not harmed the first"
    with own_broker.embedded(folder):  # what is left behind does not stand in the way
        pass


def test_without_any_server_the_three_ways_out_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_broker.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(own_broker.shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match=r"crmbridge\[embedded\].*broker.url.*crmbridge sync"):
        own_broker.find_server()

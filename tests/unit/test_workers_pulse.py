"""A worker's pulse: a sign, a tick where beat is away, and an end where nobody hears the hints."""

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest
from kombu.exceptions import OperationalError

from crmbridge.model import ENTITIES
from crmbridge.settings import load
from crmbridge.state.schema import lease, run, turn
from crmbridge.state.store import Store
from tests.support.metrics import SETTINGS
from workers import alerting, broker, own_broker, schedule
from workers.metrics import not_ready
from workers.pulse import DEAF_PULSES, Pulse


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    text = (
        SETTINGS + f"store: {{url: 'sqlite:///{tmp_path}/state.sqlite3'}}\nbroker: {{url: 'redis://127.0.0.1:9/0'}}\n"
    )
    (tmp_path / "crmbridge.yaml").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{folder}/state.sqlite3")
    yield opened
    opened.close()


@pytest.fixture
def a_broker() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="crmbridge-") as short, own_broker.embedded(Path(short)) as url:
        yield url


def last_ran(store: Store, minutes_ago: float) -> None:
    began = store.start_run("sync")
    store.end_run(began.id, "done")
    store.note_turns(dict.fromkeys(ENTITIES, False))
    at = store.now() - timedelta(minutes=minutes_ago)
    with store._database.writing("test") as connection:
        connection.execute(run.update().values(started_at=at, ended_at=at))
        connection.execute(turn.update().values(at=at))


def later(store: Store) -> None:
    """As if the last look at how things stand were a while ago."""
    with store._database.writing("test") as connection:
        connection.execute(lease.update().where(lease.c.name == alerting.LEASE).values(until=store.now()))


def leaves_after(pulse: Pulse) -> int | None:
    return next((number for number in range(1, DEAF_PULSES + 3) if pulse.once()), None)


def make(folder: Path, sent: list[str]) -> Pulse:
    return Pulse(folder / "crmbridge.yaml", sent.append)


def test_it_gives_a_sign_and_sends_hints_without_any_beat(folder: Path, store: Store) -> None:
    sent: list[str] = []
    make(folder, sent).once()
    assert sent == [schedule.CYCLE], "nothing was run yet: due at once"
    assert store.beats() != []


def test_it_leaves_when_the_broker_answers_and_nobody_begins(
    folder: Path, store: Store, a_broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRMBRIDGE_BROKER__URL", a_broker)
    last_ran(store, minutes_ago=60)
    assert leaves_after(make(folder, [])) == DEAF_PULSES


def test_it_stays_while_the_broker_is_away(folder: Path, store: Store) -> None:
    last_ran(store, minutes_ago=60)
    assert leaves_after(make(folder, [])) is None

    def no_broker(queue: str) -> None:
        raise OperationalError(f"no {queue}")

    assert leaves_after(Pulse(folder / "crmbridge.yaml", no_broker)) is None


def test_it_tells_of_a_broker_that_is_away_and_of_its_return(
    folder: Path, store: Store, a_broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tick that looks how things stand comes by the broker itself."""
    last_ran(store, minutes_ago=0.1)
    pulse = make(folder, [])
    pulse.once()
    assert [reason.partition(", for")[0] for reason in not_ready(store)] == ["the broker does not answer"]
    assert not_ready(store, here=socket.gethostname()) == [], "the container is well"
    assert store.alarms() == [], "a few seconds are nothing to wake somebody for"

    store.set_meta(broker.AWAY_META, (store.now() - timedelta(minutes=6)).isoformat())
    later(store)
    pulse.once()
    (alarm,) = store.alarms()
    assert (alarm.key, alarm.message) == (
        "broker",
        "the broker does not answer, for 6 minutes by now: workers begin no cycle",
    )

    monkeypatch.setenv("CRMBRIDGE_BROKER__URL", a_broker)
    pulse.once()
    assert not_ready(store) == []
    alerting.look(store, load(folder / "crmbridge.yaml"))  # by the tick, which comes again
    assert store.alarms() == []


def test_it_stays_while_nothing_is_overdue(
    folder: Path, store: Store, a_broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRMBRIDGE_BROKER__URL", a_broker)
    last_ran(store, minutes_ago=0.1)
    assert leaves_after(make(folder, [])) is None


def test_it_stays_while_a_cycle_is_under_way(
    folder: Path, store: Store, a_broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRMBRIDGE_BROKER__URL", a_broker)
    last_ran(store, minutes_ago=60)
    store.take_lease("cycle", 600)
    assert leaves_after(make(folder, [])) is None


PROGRAM = """
import signal, sys, time
from workers import pulse
pulse.GRACE_SECONDS = 0.5
signal.signal(signal.SIGTERM, lambda *_: print("asked", flush=True))
pulse.leave()
"""


def test_leaving_is_asked_first_and_then_done() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, ran.stdout) == (1, "asked\n")


FORKS = """
import os, sys, threading, time
from pathlib import Path
from workers import pulse

begun, done = threading.Event(), []
class Store:
    def beat(self, what):
        begun.set()
        time.sleep(1)
        done.append(what)
class Desk:
    store = Store()
    def __init__(self, path): pass
    def close(self): pass
pulse.Desk, pulse.cycle.tick = Desk, lambda desk: []
pulse.Pulse._reaches_broker, pulse.Pulse._nobody_hears = lambda self, desk: True, lambda self, desk, reached: False
one = pulse.Pulse(Path("."), print, seconds=0.01)
one.begin()
begun.wait()
pid = os.fork()  # as the pool does for each of its processes
if not pid:
    os._exit(7 if done else 8)
one.end()
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_no_process_is_forked_while_the_pulse_is_in_the_middle_of_something() -> None:
    """It would wait for ever for a lock that the pulse had: an import's, a library's."""
    ran = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, ran.stdout) == (0, "7\n"), ran


def test_a_deaf_worker_is_left_by_its_pulse(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    left = Event()
    monkeypatch.setattr(Pulse, "once", lambda self: True)
    Pulse(folder / "crmbridge.yaml", print, left.set, seconds=0.01).begin()
    assert left.wait(30)

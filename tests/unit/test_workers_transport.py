"""A connection to the broker that was given up is a lost connection, not a defect that ends the worker."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from workers import logs

GIVEN_UP = """
import sys
from pathlib import Path
from kombu.connection import Connection
from workers import own_broker, transport
if sys.argv[2] == "ours":
    transport.use()
with own_broker.embedded(Path(sys.argv[1])) as url:
    connection = Connection(url)
    queue = connection.SimpleQueue("hints")
    queue.put({"a": 1})
    message = queue.get(timeout=5)  # in hand, not acknowledged
    connection._do_close_transport()  # as `collect` leaves it when the broker has vanished
    connection.close()
    print("closed")
"""

ADDRESSES = """
import sys
from pathlib import Path
from kombu.connection import Connection
from workers import own_broker, transport
transport.use()
for url in ("redis://h/0", "rediss://h/0", "redis+socket:///tmp/x?virtual_host=0"):
    print("ours" if isinstance(Connection(url).transport, transport.Transport) else f"{url} is not")
with own_broker.embedded(Path(sys.argv[1])) as url, Connection(url) as connection:
    queue = connection.SimpleQueue("hints")
    queue.put({"a": 1})
    queue.get(timeout=5).ack()
    print("sent")
"""


@pytest.mark.parametrize(("whose", "ends"), [("kombu's", False), ("ours", True)])
def test_closing_what_was_given_up(tmp_path: Path, whose: str, ends: bool) -> None:
    """The first case states what this is for: if kombu mends it, ours can go."""
    done = subprocess.run(
        [sys.executable, "-c", GIVEN_UP, str(tmp_path / "redis"), whose], capture_output=True, text=True, timeout=60
    )
    assert ("closed" in done.stdout) is ends, done
    assert ("has no attribute 'hostname'" in done.stderr) is not ends, done


def test_every_address_of_ours_goes_by_it(tmp_path: Path) -> None:
    """In a process of its own, as a worker is: kombu remembers what an address once led to."""
    done = subprocess.run(
        [sys.executable, "-c", ADDRESSES, str(tmp_path / "redis")], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["ours", "ours", "ours", "sent"], done


def test_beat_says_in_one_line_that_the_broker_is_away(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    logs.configure()
    try:
        stack = ['  File "x.py", line 1, in y\n'] * 30
        logging.getLogger("celery.beat").error(
            "Message Error: %s\n%s", OSError("connecting to redis: refused"), stack, exc_info=True
        )
    finally:
        root.handlers[:], root.level = before
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1, said
    assert "connecting to redis: refused; the next tick is sent when the broker serves again" in said
    assert "x.py" not in said


def test_a_hint_that_cannot_be_acknowledged_is_no_disaster(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    logs.configure()
    try:
        logging.getLogger("celery.worker.request").critical("Couldn't ack %r, reason:%r", "1", OSError(), exc_info=True)
    finally:
        root.handlers[:], root.level = before
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1, said
    assert "went away before a hint was acknowledged" in said
    assert "critical" not in said

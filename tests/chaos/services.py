"""What the workers need, and the workers: processes that are killed, frozen and started again."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.project import Project, wait_until
from workers import own_broker

_RESTART_SECONDS: Final = 0.3
_FAST: Final = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO")


class Redis:
    """A server that keeps nothing: killed and started again it is empty."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._path = folder / "redis.sock"
        self.url = f"redis+socket://{self._path}?virtual_host=0"
        self.kills = 0
        self._process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        options = {"port": "0", "unixsocket": str(self._path), "dir": str(self._folder), "save": "", "appendonly": "no"}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [str(own_broker.find_server()), *words], stdout=log, stderr=log, preexec_fn=own_broker.end_with_parent
            )
        wait_until("Redis answers", lambda: self._ask(b"PING").startswith(b"+PONG"), seconds=30, every=0.02)
        return process

    def _ask(self, words: bytes) -> bytes:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(1)
                client.connect(str(self._path))
                client.sendall(words + b"\r\n")
                return client.recv(64)
        except OSError:
            return b""

    def kill(self, *, away: float = 0.0) -> None:
        self._process.kill()
        self._process.wait()
        self._path.unlink(missing_ok=True)
        time.sleep(away)
        self._process = self._start()
        self.kills += 1

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)


@dataclass(kw_only=True)
class Worker:
    """One place at the supervisor's, and the process that is in it now."""

    name: str
    command: Sequence[str]
    process: "subprocess.Popen[str] | None" = None
    ended_at: float = 0.0
    frozen_until: float | None = None
    groups: list[int] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def children(self) -> list[int]:
        return children(self.pid) if self.alive else []

    def pids(self) -> set[int]:
        return {self.pid, *self.children()} if self.alive else set()


class Crew:
    """Starts what has ended, thaws what was frozen long enough, and counts."""

    def __init__(self, project: Project, app: str, pool: str, log: Path, *, beat: bool) -> None:
        self._project = project
        self._log = log.open("a", encoding="utf-8")
        self.counts: Counter[str] = Counter()
        celery = (sys.executable, "-m", "celery", "--quiet", "-A", app)
        worker = (*celery, "worker", "--pool", pool, *_FAST)
        self.workers = [Worker(name=name, command=(*worker, "-n", f"{name}@%h")) for name in ("w1", "w2")]
        self.beats = [Worker(name="beat", command=(*celery, "beat"))] if beat else []
        self.resting = False  # at the end nothing is started again

    def tend(self) -> None:
        now = time.monotonic()
        for one in (*self.workers, *self.beats):
            if one.frozen_until is not None and now >= one.frozen_until:
                self.thaw(one)
            if one.alive or self.resting:
                continue
            if one.process is not None and not one.ended_at:
                self.counts[f"ended with {one.process.returncode}"] += 1
                one.ended_at = now
            if one.process is None or now - one.ended_at >= _RESTART_SECONDS:
                one.process = self._project.start_program(
                    *one.command,
                    stdout=self._log,
                    stderr=self._log,
                    start_new_session=True,
                    preexec_fn=own_broker.end_with_parent,
                )
                one.ended_at, one.frozen_until = 0.0, None
                one.groups.append(one.process.pid)

    def thaw(self, one: Worker) -> None:
        one.frozen_until = None
        _signal_group(one.groups[-1], signal.SIGCONT)

    def freeze(self, one: Worker, seconds: float) -> None:
        _signal_group(one.pid, signal.SIGSTOP)
        one.frozen_until = time.monotonic() + seconds

    def stop(self) -> None:
        """As a supervisor stops them; whatever has been left behind as an orphan goes too."""
        self.resting = True
        for one in (*self.beats, *self.workers):
            if one.frozen_until is not None:
                self.thaw(one)
            if one.alive:
                os.kill(one.pid, signal.SIGTERM)
        for one in (*self.beats, *self.workers):
            if one.process is not None:
                try:
                    one.process.wait(60)
                except subprocess.TimeoutExpired:
                    self.counts["did not stop"] += 1
            for pid in orphans(one.groups):
                os.kill(pid, signal.SIGKILL)
            if one.process is not None:
                one.process.wait()
        self._log.close()


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # all of it has ended
        os.killpg(group, number)


def children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


def orphans(groups: Sequence[int]) -> list[int]:
    """Celery's processes of these groups: the number of a group that ended may be somebody else's by now."""
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            group = int((entry / "stat").read_text().rpartition(")")[2].split()[2])
            if group in groups and b"celery" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue  # it ended meanwhile
    return found

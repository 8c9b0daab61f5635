"""Processes of this benchmark: started, asked for their CPU time and memory, and stopped."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_REST_SECONDS = 0.01
_PAGE_BYTES = resource.getpagesize()


def resident(pid: int | str = "self") -> int:
    """Bytes of memory that a process holds now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


@dataclass(frozen=True, kw_only=True)
class Server:
    pid: int
    told: dict[str, Any]  # its first line

    def cpu(self) -> float:
        """Seconds of CPU that it has used; a process has a clock of its own: clock_getcpuclockid(3).

        It is right to the microsecond only once the process rests; while it runs, it is right to a tick.
        """
        time.sleep(_REST_SECONDS)
        return time.clock_gettime((~self.pid << 3) | 2)

    def resident(self) -> int:
        return resident(self.pid)


@contextmanager
def server(module: str, *arguments: str) -> Generator[Server, None, None]:
    """A process of this package that serves until the block ends."""
    command = [sys.executable, "-m", f"benchmarks.sandbox.{module}", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{module} did not start")
        yield Server(pid=process.pid, told=json.loads(line))
    finally:
        process.stdin.close()
        process.wait(30)

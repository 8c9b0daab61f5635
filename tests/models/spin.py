"""spin over docs/models: every state within the bounds, and a counterexample for each guard that is taken out.

For people: `make models`, or `python -m tests.models.spin`. Needs spin and gcc: on Debian `apt-get install spin gcc`.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

FOLDER: Final = Path(__file__).resolve().parents[2] / "docs" / "models"
SECONDS_MAX: Final = 240  # of one run; on an idle machine each takes less than 60
MEMORY_MB_MAX: Final = 1024

Way = Literal["safe", "finished", "shortest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One run of spin, and what it must say."""

    id: str
    model: str
    way: Way
    switches: tuple[str, ...] = ()
    violated: str | None = None  # the assertion that must fail; None: nothing may


_DOUBLED: Final = {"write_protocol": "(rows<=1)", "mirrored_conversion": "((made+by_person)<=1)"}
_OLD_FENCE: Final = "(holder==_pid)"

CHECKS: Final[tuple[Check, ...]] = tuple(
    check
    for model, doubled in _DOUBLED.items()
    for check in (
        Check(id=f"{model}-safe", model=model, way="safe"),
        Check(id=f"{model}-finished", model=model, way="finished", switches=("CRASHES=1",)),
        Check(id=f"{model}-no-intent", model=model, way="shortest", switches=("NO_INTENT",), violated=doubled),
        Check(id=f"{model}-no-fence", model=model, way="shortest", switches=("NO_FENCE",), violated=_OLD_FENCE),
        Check(
            id=f"{model}-no-fence-doubles",
            model=model,
            way="shortest",
            switches=("NO_FENCE", "ONLY_DOUBLES"),
            violated=doubled,
        ),
        Check(id=f"{model}-no-settle", model=model, way="shortest", switches=("NO_SETTLE",), violated=doubled),
    )
)

_COMPILED: Final[dict[Way, tuple[str, ...]]] = {
    "safe": ("-DSAFETY", "-DNOCLAIM"),
    "finished": ("-DNFAIR=3",),
    "shortest": ("-DSAFETY", "-DNOCLAIM", "-DBFS"),
}
_RUN: Final[dict[Way, tuple[str, ...]]] = {
    "safe": ("-m100000",),
    "finished": ("-a", "-f", "-m1000000"),  # acceptance cycles under weak fairness
    "shortest": (),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    complete: bool
    violated: str | None  # what failed, in spin's words
    states: int
    steps: int  # of the deepest path, or of the counterexample
    memory_mb: float
    seconds: float
    trace: tuple[str, ...]  # "worker 58 [(1)]": process, line, statement
    text: str


def missing() -> list[str]:
    return [tool for tool in ("spin", "gcc") if shutil.which(tool) is None]


def run(check: Check) -> Said:
    with tempfile.TemporaryDirectory(prefix="crmbridge-model-") as name:
        folder = Path(name)
        for path in FOLDER.glob("*.pml"):
            shutil.copy(path, folder)
        switches = [f"-D{switch}" for switch in check.switches]
        file = f"{check.model}.pml"
        _do(folder, ["spin", *switches, "-a", file])
        _do(
            folder,
            [
                "gcc",
                "-O2",
                "-w",
                "-DCOLLAPSE",
                f"-DMEMLIM={MEMORY_MB_MAX}",
                *_COMPILED[check.way],
                "-o",
                "pan",
                "pan.c",
            ],
        )
        began = time.monotonic()
        text = _do(folder, ["./pan", *_RUN[check.way]])
        seconds = time.monotonic() - began
        trail = folder / f"{file}.trail"
        trace = _do(folder, ["spin", *switches, "-t", "-p", file]) if trail.exists() else ""
    failed = re.search(r"^pan:\d+: (.+?) \(at depth \d+\)", text, re.MULTILINE)
    reached = re.search(r"depth reached (\d+)", text)
    return Said(
        complete="Search not completed" not in text and "errors: 0" in text,
        violated=failed[1].removeprefix("assertion violated ") if failed else None,
        states=int(_number(text, r"^ *(\S+) states, stored")),
        steps=int(reached[1]) if reached else 0,
        memory_mb=_number(text, r"([\d.]+)\s+total actual memory usage"),
        seconds=seconds,
        trace=tuple(
            f"{process} {line} {step}"
            for process, line, step in re.findall(r"proc +\d+ \((.+?):\d+\) \S+?:(\d+) \(state \d+\)\t(.+)", trace)
        ),
        text=text,
    )


def _do(folder: Path, command: Sequence[str]) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    if done.returncode and command[0] != "./pan":  # pan tells in words what it found
        raise AssertionError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def _number(text: str, pattern: str) -> float:
    found = re.search(pattern, text, re.MULTILINE)
    assert found is not None, text
    return float(found[1])


def wrong(check: Check, said: Said) -> str | None:
    """None: it came out as it must."""
    if check.violated is None and (said.violated or not said.complete):
        return f"{said.violated or 'the search was not completed'}\n{said.text}\n" + "\n".join(said.trace)
    if check.violated is not None and said.violated != check.violated:
        return f"wanted a counterexample of {check.violated}, got {said.violated}\n{said.text}"
    return None


def main() -> int:
    if tools := missing():
        print(f"Not there: {', '.join(tools)}. On Debian and Ubuntu: apt-get install spin gcc")
        return 2
    bad = 0
    for check in CHECKS:
        said = run(check)
        fault = wrong(check, said)
        bad += fault is not None
        result = f"counterexample of {said.steps} steps to {said.violated}" if said.violated else "no violation"
        print(
            f"{check.id:<38} {said.states:>9,} states  {said.memory_mb:>5.0f} MB {said.seconds:>5.1f} s  {result}"
            + (f"\nWRONG: {fault}" if fault else ""),
            flush=True,
        )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

"""Both CRMs as a process of their own that is never killed: the world, and through its control port the judge."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, cast

from crmbridge.sandbox.control_client import Control
from crmbridge.sandbox.server import Box
from tests.chaos.plan import Plan
from tests.support.project import CHECKOUT, Project, make_project
from workers.own_broker import end_with_parent

# The server never works longer on a request than `_LIMIT_SECONDS`, so that a lost call counts as never executed 1 s
# after (reliability §3); callers give up before that, so that some calls land after their caller gave up.
LIMIT_SECONDS: Final = 10.0
LEASE_SECONDS: Final = 12.0
_CALL_SECONDS: Final = 6.0
PACE: Final = f"lease={LEASE_SECONDS:g} renew=1 call={_CALL_SECONDS:g} tick=1"
PRODUCTION_LEASE_SECONDS: Final = 150.0
_LATE_SECONDS: Final = 8.0  # after the caller's deadline, before the server's limit

_LATENCY_SECONDS: Final = 0.1

_MORE_SETTINGS: Final = """\
schedules: {every_seconds: 1}
guard: {creates: 100000, updates: 100000, conversions: 100000, closes: 100000, blanks: 100000}
"""

FAULTS: Final = (
    {"fault": "answer_lost", "rate": 0.03},
    {"fault": "connection_lost", "rate": 0.01},
    {"fault": "connection_reset", "rate": 0.01},
    {"fault": "timeout_after_commit", "method": "POST", "rate": 0.01, "seconds": _LATE_SECONDS},
    {"fault": "slow", "method": "POST", "rate": 0.01, "seconds": _LATE_SECONDS, "when": "before_commit"},
    {"fault": "unavailable", "rate": 0.01},
    {"fault": "throttled", "rate": 0.005, "retry_after": 1},
    {"fault": "slow", "method": "POST", "rate": 1.0, "seconds": _LATENCY_SECONDS},  # what nothing else befell
)


@contextmanager
def world(folder: Path, plan: Plan) -> Iterator[Project]:
    """The sandbox, and a working folder that points at it."""
    command = [sys.executable, "-m", "crmbridge", "sandbox", "--port", "0", "--json", "--state-dir", str(folder / "ca")]
    with (folder / "sandbox.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            preexec_fn=end_with_parent,
        )
    try:
        connect = _announced(process)
        with closing(Control(connect["control_url"])) as control:
            # No core of it is in this process: what is not asked through the control port is not known.
            made = make_project(folder / "project", Box(connect=connect, control=control, sandbox=cast("Any", None)))
            made.add(_MORE_SETTINGS)
            if plan.production:
                _as_delivered(made)
            else:
                made.change("request_limit_seconds: 5", f"request_limit_seconds: {LIMIT_SECONDS:g}")
                made.env["CRMBRIDGE_TEST_PACE"] = PACE
            made.env["CRMBRIDGE_TEST_ACKS"] = plan.acks
            try:
                yield made
            finally:
                made.end_processes()
    finally:
        process.terminate()
        process.communicate(timeout=30)  # and its pipe is closed


def _as_delivered(made: Project) -> None:
    text = made.settings.read_text(encoding="utf-8")
    kept = [line for line in text.splitlines() if "request_limit_seconds" not in line]
    made.settings.write_text("\n".join(kept) + "\n", encoding="utf-8")


def _announced(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line.rstrip() == "}":
            return json.loads("".join(lines))
    raise AssertionError(f"the sandbox did not start: {''.join(lines)}")


def arm(control: Control, seed: int) -> None:
    """Answers are lost, late or refused, on both sides, for us and for the people."""
    rules = [{"crm": crm, **rule} for crm in ("salesforce", "dynamics") for rule in FAULTS]
    control._ask("POST", "/faults", {"seed": seed, "faults": rules})


def fired(control: Control) -> dict[str, int]:
    counts: dict[str, int] = {}
    for rule in control.faults():
        if rule.get("seconds") != _LATENCY_SECONDS:
            counts[rule["fault"]] = counts.get(rule["fault"], 0) + rule["fired"]
    return counts

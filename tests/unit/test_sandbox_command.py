"""`crmbridge sandbox` as a command: what it prints, how it stops, and how it fails."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import requests
from click.testing import CliRunner

from crmbridge.cli.sandbox import sandbox_command

COMMAND = [sys.executable, "-c", "from crmbridge.cli.sandbox import sandbox_command; sandbox_command()"]


@pytest.fixture
def process() -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [*COMMAND, "--port", "0", "--seed", "empty", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        yield running
        running.kill()


@pytest.mark.parametrize(("signal_number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_prints_one_document_serves_and_stops_on_a_signal(
    process: "subprocess.Popen[str]", signal_number: signal.Signals, code: int
) -> None:
    assert process.stdout is not None
    assert process.stderr is not None
    lines: list[str] = []
    while not lines or lines[-1].rstrip() != "}":
        lines.append(process.stdout.readline())
        assert lines[-1], process.stderr.read()
    connect = json.loads("".join(lines))
    with requests.Session() as session:  # its idle connection must not hold the sandbox up
        session.trust_env = False
        answer = session.get(connect["salesforce"]["url"] + "/services/data", timeout=10)
        assert answer.json()[-1]["version"] >= "66.0"
        while process.poll() is None:  # a terminal's Ctrl-C comes as often as it is pressed
            process.send_signal(signal_number)
            time.sleep(0.0005)
        assert process.returncode == code
    assert process.stdout.read() == ""
    assert process.stderr.read() == ""


def test_interrupted_before_it_serves_it_has_nothing_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("crmbridge.cli.sandbox._serve", interrupted)
    result = CliRunner().invoke(sandbox_command, ["--seed", "empty"])
    assert (result.exit_code, result.output) == (130, "")


def test_a_taken_port_ends_with_4() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        result = CliRunner().invoke(sandbox_command, ["--port", str(other.getsockname()[1]), "--seed", "empty"])
    assert result.exit_code == 4
    assert "is taken by another program" in result.stderr
    assert "--port 0" in result.stderr
    assert result.stdout == ""


def test_an_unknown_seed_ends_with_2() -> None:
    result = CliRunner().invoke(sandbox_command, ["--seed", "/no/such/thing"])
    assert result.exit_code == 2
    assert "There is no seed '/no/such/thing'" in result.stderr


def test_a_missing_extra_ends_with_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "crmbridge.sandbox.server", raising=False)
    result = CliRunner().invoke(sandbox_command, ["--seed", "empty"])
    assert result.exit_code == 2
    assert result.stderr == "The sandbox needs the package 'uvicorn': pip install 'crmbridge[sandbox]'.\n"

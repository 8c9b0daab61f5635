"""A working folder that points at a running sandbox, and the `crmbridge` program run in it as a real process."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from crmbridge.cli.error_handler import run as run_program
from crmbridge.demo.people import DynamicsPerson, SalesforcePerson
from crmbridge.sandbox.server import Box, running_sandbox
from crmbridge.state.store import Store

CHECKOUT = Path(__file__).resolve().parents[2]
RUN_SECONDS_MAX = 240
STEP_SECONDS = 15 * 60
INGRID = "ingrid.solberg@northfield.example"

SETTINGS = """\
connections:
  salesforce:
    system: salesforce
    url: {salesforce[url]}
    login_url: {salesforce[url]}
    request_limit_seconds: 5
    auth: {{flow: client_credentials, client_id: {salesforce[client_id]}, client_secret: "${{env:SALESFORCE_SECRET}}"}}
  dynamics:
    system: dynamics
    url: {dynamics[url]}
    login_url: {identity}
    ca_file: {ca_path}
    request_limit_seconds: 5
    auth:
      flow: client_secret
      tenant_id: {dynamics[tenant_id]}
      client_id: {dynamics[client_id]}
      client_secret: "${{env:DYNAMICS_SECRET}}"
lifecycle:
  mirror_since: 2020-01-01
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def __str__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


@dataclass(frozen=True, slots=True)
class Project:
    folder: Path
    box: Box
    env: dict[str, str] = field(default_factory=dict)
    processes: list[subprocess.Popen[str]] = field(default_factory=list, repr=False)

    @property
    def settings(self) -> Path:
        return self.folder / "crmbridge.yaml"

    @property
    def store(self) -> Path:
        return self.folder / "crmbridge.sqlite3"

    def change(self, before: str, after: str, file: str = "crmbridge.yaml") -> None:
        """Replace a text in a file of the project; it must stand there."""
        path = self.folder / file
        text = path.read_text(encoding="utf-8")
        assert before in text, f"{before!r} does not stand in {file}"
        path.write_text(text.replace(before, after), encoding="utf-8")

    def add(self, text: str) -> None:
        with self.settings.open("a", encoding="utf-8") as file:
            file.write(text)

    def start(self, *words: str, env: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
        """The program as a process of its own; the caller waits for it."""
        return self.start_program(sys.executable, "-m", "crmbridge", *words, env=env, **options)

    def start_program(self, *words: str, env: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            words,
            cwd=self.folder,
            env=self.environment() | dict(env or {}),
            stdin=subprocess.DEVNULL,
            stdout=options.pop("stdout", subprocess.PIPE),
            stderr=options.pop("stderr", subprocess.PIPE),
            text=True,
            **options,
        )
        self.processes.append(process)
        return process

    def end_processes(self) -> None:
        """Whatever a failed test left running."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def run(self, *words: str, env: Mapping[str, str] | None = None, **options: Any) -> Ran:
        process = self.start(*words, env=env, **options)
        try:
            out, err = process.communicate(timeout=RUN_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"crmbridge {' '.join(words)} did not end\n{out}\n{err}") from None
        return Ran(process.returncode, out, err)

    def run_here(self, *words: str) -> Ran:
        """The same in this process, for what is only a means in a test: it saves the imports."""
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, self.environment(), clear=True),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = run_program(["--config", str(self.settings), *words])
        return Ran(code, out.getvalue(), err.getvalue())

    def environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("CRMBRIDGE_")}
        return ours | {"PYTHONPATH": str(CHECKOUT), "COLUMNS": "200", "NO_COLOR": "1"} | self.env

    # --- what people do -----------------------------------------------------------------------------------------

    def salesforce(self, email: str = INGRID) -> SalesforcePerson:
        token = self.box.control.people("salesforce", email)["access_token"]
        return SalesforcePerson(url=self.box.connect["salesforce"]["url"], token=token)

    def dynamics(self, email: str = INGRID) -> DynamicsPerson:
        token = self.box.control.people("dynamics", email)["access_token"]
        return DynamicsPerson(url=self.box.connect["dynamics"]["url"], token=token)

    def pass_time(self) -> None:
        """Past every overlap and horizon of the connectors."""
        self.box.control.advance(STEP_SECONDS)

    # --- what comes of it ---------------------------------------------------------------------------------------

    def count(self, crm: str, table: str) -> int:
        """Live records, from the control port."""
        rows = self.box.control.dump()[crm][table]
        return sum(not row.get("IsDeleted") for row in rows)

    def settle(self, rounds: int = 4) -> Ran:
        """Sync until a cycle writes nothing; the last one. Time passes in between, so that everything is seen."""
        ran: Ran | None = None
        for _ in range(rounds):
            self.pass_time()
            ran = self.run_here("sync", "--json")
            assert ran.code in (0, 1), ran
            assert ran.json["go"], ran
            if not ran.json["counts"]:
                return ran
        raise AssertionError(f"still writing after {rounds} cycles: {ran}")

    def verify(self) -> Any:
        """Both sides agree; the document of `crmbridge verify`."""
        ran = self.run_here("verify", "--json")
        assert ran.code == 0, ran
        return ran.json

    def first_run(self) -> Ran:
        """Plan, and have it carried out."""
        planned = self.run_here("plan", "--json")
        assert planned.code == 0, planned
        done = self.run_here("sync", "--approve", planned.json["plan"], "--why", "test", "--json")
        assert done.code in (0, 1), done
        assert done.json["go"], done
        return done


@contextmanager
def project(folder: Path, *, seed: str | Path = "sample") -> Iterator[Project]:
    """A sandbox of its own, and a folder as `crmbridge init` makes it."""
    with running_sandbox(seed, state_dir=folder / "sandbox") as box:
        made = make_project(folder / "project", box)
        try:
            yield made
        finally:
            made.end_processes()


def make_project(folder: Path, box: Box) -> Project:
    folder.mkdir(parents=True)
    shutil.copytree(CHECKOUT / "config" / "mappings", folder / "mappings")
    identity = box.connect["dynamics"]["authority"].rpartition("/")[0]
    (folder / "crmbridge.yaml").write_text(SETTINGS.format(**box.connect, identity=identity), encoding="utf-8")
    secrets = {
        "SALESFORCE_SECRET": box.connect["salesforce"]["client_secret"],
        "DYNAMICS_SECRET": box.connect["dynamics"]["client_secret"],
    }
    text = "".join(f"{name}={value}\n" for name, value in secrets.items())
    (folder / ".env").write_text(text, encoding="utf-8")
    return Project(folder, box)


def wait_until(what: str, test: Callable[[], Any], *, seconds: float = 180, every: float = 0.1) -> Any:
    """Until `test` gives something true; the last answer is returned."""
    end = time.monotonic() + seconds
    while True:
        answer = test()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds:g} s")
        time.sleep(every)


def stop(process: subprocess.Popen[str], number: int = signal.SIGTERM, *, seconds: float = 120) -> Ran:
    """Signal it and wait; what it printed comes along."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"it did not stop within {seconds:g} s\n{out}\n{err}") from None
    return Ran(process.returncode, out or "", err or "")


def partner_of(store: Store, id: str) -> str:
    """The record on the other side that it is linked to."""
    [(_, link, _)] = store.find_record(id)
    assert link is not None, f"{id} was never linked"
    assert link.alive, f"the pair of {id} has ended"
    there = link.right_id if link.left_id == id else link.left_id
    assert there is not None, f"{id} has no partner"
    return there

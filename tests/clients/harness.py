"""A sandbox as a process of its own, and other people's clients as processes of theirs, each told where it is.

A driver is a small script of ours around somebody's client, under tests/clients/drivers; it does what its arguments
name and prints one JSON document. The tests judge by that and by the rows which the sandbox then holds.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
import requests

from crmbridge.sandbox.control_client import Control
from tests.clients import environments

ORG = Path(__file__).parent / "org"
DRIVERS = Path(__file__).parent / "drivers"
CHECKOUT = Path(__file__).resolve().parents[2]
RUN_SECONDS_MAX = 240
STOP_SECONDS_MAX = 20
COLLECTION_MAX = 200  # rows of a Collections request: salesforce-api §3.2
BULK_MAX = 1000  # rows of a CreateMultiple request: dataverse-api §4.7
PERSON = "nora.client@northfield.example"  # who edits between a client's two looks


@dataclass(frozen=True, slots=True)
class Running:
    """A sandbox process: how to connect, and its control port."""

    connect: dict[str, Any]
    control: Control

    def rows(self, crm: str, table: str) -> list[dict[str, Any]]:
        """What is there, without the deleted."""
        found = self.control.dump()[crm][table]
        return [row for row in found if not row.get("IsDeleted") and row.get("reason") != "deleted"]

    def deleted(self, crm: str, table: str) -> list[dict[str, Any]]:
        return [
            row for row in self.control.dump()[crm][table] if row.get("IsDeleted") or row.get("reason") == "deleted"
        ]

    # A person's edits are ordinary calls with that person's token.

    def salesforce(self, method: str, path: str, body: Any = None) -> Any:
        return self._ask("salesforce", method, f"/services/data/v62.0/{path}", body)

    def dynamics(self, method: str, path: str, body: Any = None) -> Any:
        return self._ask("dynamics", method, f"/api/data/v9.2/{path}", body)

    def _ask(self, crm: str, method: str, path: str, body: Any) -> Any:
        token = self.control.people(crm, PERSON)["access_token"]
        with requests.Session() as session:
            session.trust_env = False
            url = self.connect[crm]["url"] + path
            answer = session.request(
                method, url, json=body, headers={"Authorization": f"Bearer {token}"}, timeout=RUN_SECONDS_MAX
            )
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def fill_salesforce(self, table: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """Ids of the new rows."""
        made: list[str] = []
        for start in range(0, len(rows), COLLECTION_MAX):
            records = [{"attributes": {"type": table}, **row} for row in rows[start : start + COLLECTION_MAX]]
            results = self.salesforce("POST", "composite/sobjects", {"allOrNone": True, "records": records})
            made += [each["id"] for each in results]
        return made

    def fill_dynamics(self, table: str, collection: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        made: list[str] = []
        for start in range(0, len(rows), BULK_MAX):
            typed = {"@odata.type": f"Microsoft.Dynamics.CRM.{table}"}
            targets = [{**typed, **row} for row in rows[start : start + BULK_MAX]]
            path = f"{collection}/Microsoft.Dynamics.CRM.CreateMultiple"
            made += self.dynamics("POST", path, {"Targets": targets})["Ids"]
        return made


@contextmanager
def running(seed: str | Path = ORG) -> Generator[Running, None, None]:
    """`crmbridge sandbox` with its CONNECT proxy, on free ports, until the block ends."""
    command = [sys.executable, "-m", "crmbridge", "sandbox", "--port", "0", "--proxy", "--seed", str(seed), "--json"]
    process = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    try:
        connect = _document(process)
        with closing(Control(connect["control_url"])) as control:
            yield Running(connect, control)
    finally:
        process.terminate()
        process.wait(STOP_SECONDS_MAX)
        if process.stdout is not None:
            process.stdout.close()


def _document(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """The connect document, which is printed once every port answers."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line.rstrip() == "}":
            found = json.loads("".join(lines))
            if "control_url" in found:
                return found
    raise AssertionError(f"the sandbox did not start; it printed {''.join(lines)!r}")


# --- clients ---------------------------------------------------------------------------------------------------------


def python_client(name: str) -> Path:
    try:
        return environments.python_of(name)
    except environments.Missing as reason:
        absent(str(reason))


def node_client() -> environments.NodeEnvironment:
    try:
        return environments.node_environment()
    except environments.Missing as reason:
        absent(str(reason))


def absent(reason: str) -> NoReturn:
    """A client that is not there: a failure in continuous integration, elsewhere a skip with the reason."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def settings(box: Running, home: Path, *, proxy: bool = False, path: Sequence[Path] = ()) -> dict[str, str]:
    """What a client's process is told: the sandbox's authority, and with `proxy` its proxy; nothing else of ours."""
    authority = box.connect["ca_path"]
    found = {
        "PATH": os.pathsep.join([*map(str, path), os.environ.get("PATH", os.defpath)]),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PYTHONUTF8": "1",
        "SANDBOX": json.dumps(box.connect),
        "REQUESTS_CA_BUNDLE": authority,
        "SSL_CERT_FILE": authority,
        "NODE_EXTRA_CA_CERTS": authority,
    }
    if proxy:
        found |= {"HTTPS_PROXY": box.connect["proxy_url"], "NO_PROXY": "127.0.0.1,localhost"}
    return found


def drive_python(
    box: Running, environment: str, driver: str, home: Path, *words: str, proxy: bool = False, **more: str
) -> Any:
    """What the driver printed, as JSON; it runs in the client's own environment."""
    python = python_client(environment)
    told = settings(box, home, proxy=proxy, path=[python.parent]) | more
    return _printed([python, DRIVERS / driver, *words], told, home)


def drive_node(box: Running, driver: str, home: Path, *words: str, **more: str) -> Any:
    client = node_client()
    told = settings(box, home, path=[client.node.parent]) | {"NODE_PATH": str(client.modules)} | more
    return _printed([client.node, DRIVERS / driver, *words], told, home)


def drive_cli(box: Running, driver: str, home: Path, **more: str) -> Any:
    """The Salesforce CLI: our driver runs `sf` with the Node that it wants."""
    client = node_client()
    told = settings(box, home, path=[client.node.parent]) | more
    told |= {"NODE": str(client.node), "CLI": str(client.modules / "@salesforce" / "cli" / "bin" / "run.js")}
    return _printed([sys.executable, DRIVERS / driver], told, home, 2 * RUN_SECONDS_MAX)


def _printed(
    command: Sequence[str | Path], told: Mapping[str, str], home: Path, seconds_max: int = RUN_SECONDS_MAX
) -> Any:
    done = subprocess.run(
        command, cwd=home, env=dict(told), capture_output=True, text=True, timeout=seconds_max, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-8000:]}"
    found = json.loads(done.stdout)
    return Seen(found) if isinstance(found, dict) else found


def fails(drive: Callable[[], Any]) -> str:
    """What a client said that ended without doing what it was asked."""
    with pytest.raises(AssertionError) as ended:
        drive()
    return str(ended.value)


class Seen(dict[str, Any]):
    """What a driver saw, by step; a step that failed fails the test that looks at it."""

    def __getitem__(self, step: str) -> Any:
        found = super().__getitem__(step)
        if isinstance(found, dict) and set(found) == {"raised"}:
            pytest.fail(f"{step}: {found['raised']}", pytrace=False)
        return found

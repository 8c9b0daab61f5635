"""The tutorial, followed step by step: its files, its commands and its script do what it says."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crmbridge.sandbox.server import Box, running_sandbox

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = (CHECKOUT / "docs" / "tutorial.md").read_text(encoding="utf-8")
PORTS = {
    "https://localhost:8101": ("salesforce", "https_url"),
    "https://localhost:8103": ("dynamics", "https_url"),
    "http://localhost:8102": ("dynamics", "url"),
}
VARIABLES = {
    "SALESFORCE_CLIENT_ID": ("salesforce", "client_id"),
    "SALESFORCE_CLIENT_SECRET": ("salesforce", "client_secret"),
    "DYNAMICS_TENANT_ID": ("dynamics", "tenant_id"),
    "DYNAMICS_CLIENT_ID": ("dynamics", "client_id"),
    "DYNAMICS_CLIENT_SECRET": ("dynamics", "client_secret"),
}


def _block(kind: str, number: int = 0) -> str:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[number]


def _typed(pattern: str) -> list[list[str]]:
    """Commands of the tutorial, as a shell splits them."""
    import shlex

    shell = "\n".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    return [shlex.split(line) for line in re.findall(rf"^crmbridge {pattern}.*$", shell, re.MULTILINE)]


class Reader:
    """Somebody who does what the tutorial says."""

    def __init__(self, folder: Path, box: Box) -> None:
        self.folder, self.connect = folder, box.connect

    def here(self, text: str) -> str:
        """The tutorial's addresses are those of this sandbox."""
        for port, (crm, key) in PORTS.items():
            text = text.replace(port, self.connect[crm][key])
        text = text.replace("https://localhost:8105", self.connect["dynamics"]["authority"].rpartition("/")[0])
        text = text.replace("http://localhost:8106", self.connect["control_url"])
        return text.replace("../sandbox/ca.pem", str(self.connect["ca_path"]))

    def types(self, *words: str, code: int = 0) -> str:
        ran = subprocess.run(
            [sys.executable, *words] if words[0] == "-c" else [sys.executable, "-m", *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), "COLUMNS": "200", "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        assert ran.returncode == code, (words, ran.stdout, ran.stderr)
        return ran.stdout


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    with running_sandbox("sample", state_dir=tmp_path / "sandbox") as box:
        yield Reader(tmp_path, box)


@pytest.mark.slow
def test_the_tutorial_is_true(reader: Reader) -> None:
    (init,) = _typed("init")
    made = _block("text", 1).splitlines()
    assert reader.types(*init).splitlines()[: len(made) + 1] == [*made, ""]
    reader.folder /= "work"
    (reader.folder / "crmbridge.yaml").write_text(reader.here(_block("yaml")), encoding="utf-8")
    secrets = {name: reader.connect[crm][key] for name, (crm, key) in VARIABLES.items()}
    assert re.findall(r"^(\w+)=\.\.\.$", PAGE, re.MULTILINE) == list(secrets)
    (reader.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in secrets.items()), "utf-8")

    live = reader.types(*_typed("check --live")[0])
    for line in _block("text", 2).splitlines():
        text, where = line.partition(": ")[2].partition(", organization")[0], line.partition(":")[0]
        if where != "store":
            assert text in live, line

    planned = json.loads(reader.types("crmbridge", "plan", "--json"))
    printed = reader.types(*_typed("plan")[0])
    assert "needs an approved plan" in printed
    reader.types("crmbridge", "sync", "--approve", planned["plan"], "--why", "read by Ingrid", code=1)

    issues = json.loads(reader.types("crmbridge", "issues", "--json", code=1))
    assert {one["cause"]: one["count"] for one in issues["causes"] if one["entity"] == "account"} == {
        "ambiguous_match": 3,
        "first_run_conflict": 3,
    }
    resolved = _typed("resolve")
    assert len(resolved) == 3
    for words in resolved:
        reader.types(*words)

    converted = reader.types("-c", reader.here(_block("python"))).split()[0]
    synced = json.loads(reader.types("crmbridge", "sync", "--json", code=1))
    assert synced["counts"]["salesforce"]["lead"]["convert"] == 1
    shown = json.loads(reader.types("crmbridge", "show", converted, "--json"))
    assert shown["agreed"]["salesforce"]["state"] == "converted"
    reader.types("crmbridge", "why", converted, "email")
    assert json.loads(reader.types("crmbridge", "verify", "--json"))["differences"] == []

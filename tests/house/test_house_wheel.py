"""The wheel: four packages, the shipped configuration, nothing else; and what is installed from it works."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# One worker builds and installs the wheel for all of them.
pytestmark = pytest.mark.xdist_group("wheel")

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGES = {"crmbridge", "connectors", "mapping", "workers"}
MADE_BY_INIT = {
    "crmbridge.yaml",
    ".env.example",
    *(f"{name}.schema.json" for name in ("mapping", "values", "examples", "crmbridge")),
    *(f"mappings/{name}.yaml" for name in ("account", "contact", "lead", "lead.examples", "opportunity")),
}
SHIPPED = MADE_BY_INIT | {
    *(str(file.relative_to(CHECKOUT / "config")) for file in CHECKOUT.glob("config/examples/**/*") if file.is_file()),
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    ran = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_holds_four_packages_and_the_shipped_configuration(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith((".dist-info", ".data"))} == PACKAGES
    shared = [name.partition("/share/crmbridge/")[2] for name in names if ".data/data/" in name]
    assert set(shared) == SHIPPED
    assert any(name.endswith("soql.lark") for name in names), "the sandbox's grammar is missing"
    assert any(name.endswith("shapes/salesforce.yaml") for name in names), "the sandbox's shapes are missing"
    assert any(name.endswith("migrations/env.py") for name in names), "the store's migrations are missing"
    assert not [name for name in names if "tests/" in name or name.endswith((".pyc", ".sqlite3"))]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of programs of a fresh environment that has only the wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    pip = [folder / "venv" / "bin" / "python", "-m", "pip", "--quiet", "install"]
    ran = subprocess.run([*pip, str(wheel)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    yield folder / "venv" / "bin"
    shutil.rmtree(folder, ignore_errors=True)


def _crmbridge(programs: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    command = [programs / "crmbridge", *words]
    return subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_init_works_from_an_installed_wheel(installed: Path, tmp_path: Path) -> None:
    made = _crmbridge(installed, tmp_path, "init", "work")
    assert made.returncode == 0, made.stderr
    work = tmp_path / "work"
    assert {str(file.relative_to(work)) for file in work.rglob("*") if file.is_file()} == MADE_BY_INIT
    # What is shipped is right but for the secrets that only the operator has.
    checked = _crmbridge(installed, work, "check")
    assert checked.returncode == 2, checked
    assert "SALESFORCE_CLIENT_ID" in checked.stderr + checked.stdout
    assert "Traceback" not in checked.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("command", ["sandbox", "demo"])
def test_what_an_extra_is_needed_for_says_so(installed: Path, tmp_path: Path, command: str) -> None:
    ran = _crmbridge(installed, tmp_path, command)
    assert ran.returncode == 2, ran
    assert "crmbridge[sandbox]" in ran.stderr
    assert "Traceback" not in ran.stderr

"""What other repositories take from this one, hooks for pre-commit and a GitHub Action: each command is carried out."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.project import CHECKOUT

HOOKS: list[Mapping[str, Any]] = YAML(typ="safe", pure=True).load((CHECKOUT / ".pre-commit-hooks.yaml").read_text())
ACTION: Mapping[str, Any] = YAML(typ="safe", pure=True).load((CHECKOUT / "action.yml").read_text())
STEPS = [step for step in ACTION["runs"]["steps"] if step.get("name") in ("Check", "Try the examples")]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """What `crmbridge init` makes, without a secret."""
    for name in ("crmbridge.yaml", "mappings"):
        source = CHECKOUT / "config" / name
        shutil.copytree(source, tmp_path / name) if source.is_dir() else shutil.copy(source, tmp_path)
    return tmp_path


def carried_out(command: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    bin_folder = Path(sys.executable).parent
    path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), "PYTHONPATH": str(CHECKOUT), **env},
        capture_output=True,
        text=True,
        check=False,
    )


COMMANDS = [
    *(pytest.param(hook["entry"], id=hook["id"]) for hook in HOOKS),
    *(pytest.param(step["run"], id=step["name"]) for step in STEPS),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_it_passes_on_what_is_shipped_without_a_secret(command: str, repository: Path) -> None:
    done = carried_out(command, repository, PROFILE="")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [each for each in COMMANDS if "fmt" not in str(each.values)])
def test_it_fails_on_a_broken_mapping(command: str, repository: Path) -> None:
    lead = repository / "mappings" / "lead.yaml"
    lead.write_text(lead.read_text().replace("convert: email", "convert: emial"))
    done = carried_out(command, repository, PROFILE="")
    assert done.returncode == 2, done
    assert "did you mean 'email'?" in done.stdout + done.stderr


def test_the_action_names_the_profile_where_one_is_given(repository: Path) -> None:
    (repository / "crmbridge.test.yaml").write_text("guard: {creates: 5}\n")
    done = carried_out(STEPS[0]["run"], repository, PROFILE="test")
    assert done.returncode == 0, done.stderr
    assert "Profile test" in done.stdout


def test_hooks_have_what_pre_commit_asks_for() -> None:
    assert {hook["id"] for hook in HOOKS} == {"crmbridge-check", "crmbridge-test", "crmbridge-fmt"}
    for hook in HOOKS:
        assert {"id", "name", "entry", "language"} <= set(hook)

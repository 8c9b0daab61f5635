"""The models of docs/models hold within their bounds, and stop holding when a guard is taken out (ADR 0003, 0004)."""

import os
import re

import pytest

from tests.models import spin

ROOT = spin.FOLDER.parents[1]


@pytest.fixture(scope="module")
def tools() -> None:
    if missing := spin.missing():
        reason = f"{' and '.join(missing)} not on this machine: apt-get install spin gcc"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.mark.slow
@pytest.mark.parametrize("check", spin.CHECKS, ids=[check.id for check in spin.CHECKS])
def test_every_state_within_the_bounds(tools: None, check: spin.Check) -> None:
    said = spin.run(check)
    print(f"{check.id}: {said.states:,} states, {said.memory_mb:.0f} MB, {said.seconds:.1f} s")
    assert spin.wrong(check, said) is None
    assert said.memory_mb < spin.MEMORY_MB_MAX


def test_a_step_of_the_models_is_a_name_of_the_code() -> None:
    """A comment like `recover._create` names a module and what stands in it; a renamed function shows here."""
    named = set[tuple[str, str]]()
    for path in spin.FOLDER.glob("*.pml"):
        named |= set(re.findall(r"\b([a-z]+)\.(_?[a-z]\w+)\b(?!\.)", path.read_text(encoding="utf-8")))
    named -= {(module, name) for module, name in named if name in {"pml", "md", "py"}}
    modules = {path.stem: path for folder in ("sync", "state") for path in (ROOT / "crmbridge" / folder).glob("*.py")}
    absent = [
        f"{module}.{name}"
        for module, name in sorted(named)
        if module in modules and not re.search(rf"\b(def|class) {name}\b", modules[module].read_text(encoding="utf-8"))
    ]
    assert named
    assert absent == []


def test_the_page_has_every_run_and_its_states() -> None:
    """docs/explanation/reliability.md tells what `make models` prints: the runs by their ids, each with its states."""
    page = (ROOT / "docs" / "explanation" / "reliability.md").read_text(encoding="utf-8")
    assert [check.id for check in spin.CHECKS if not re.search(rf"^\| `{check.id}` \| [\d,]+ \|", page, re.M)] == []

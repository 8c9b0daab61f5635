"""What comes along with us is listed, and each exception from the security rules of the linter says why."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support import sbom

PROJECT = tomllib.loads((sbom.ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_bill_of_materials_names_what_we_depend_on_and_no_tool_of_ours() -> None:
    made = sbom.document()
    assert made["bomFormat"] == "CycloneDX"
    versions = {canonicalize_name(one["name"]): one["version"] for one in made["components"]}
    direct = {canonicalize_name(Requirement(line).name) for line in PROJECT["project"]["dependencies"]}
    assert direct <= set(versions)
    assert {"celery", "requests", "sqlalchemy", "kombu", "certifi", "psycopg"} <= set(versions)
    assert not {"pytest", "ruff", "hypothesis", "basedpyright", "cyclonedx-bom"} & set(versions)
    assert all(one["purl"].startswith("pkg:pypi/") for one in made["components"])
    refs = {one["bom-ref"] for one in made["components"]} | {made["metadata"]["component"]["bom-ref"]}
    assert {one["ref"] for one in made["dependencies"]} <= refs


def test_the_security_rules_are_on_for_all_that_is_installed() -> None:
    lint = PROJECT["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    assert [rule for rule in lint["ignore"] if rule.startswith("S") and rule[1:].isdigit()] == ["S101"]
    assert [glob for glob, rules in lint["per-file-ignores"].items() if "S" in rules] == ["tests/**", "benchmarks/**"]


def test_each_exception_from_them_says_why() -> None:
    silent: list[str] = []
    found = 0
    for folder in ("crmbridge", "connectors", "mapping", "workers"):
        for path in (sbom.ROOT / folder).rglob("*.py"):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                excused = re.search(r"#\s*noqa:?\s*(.*)", line)
                if excused and re.match(r"(?:[A-Z]+\d+,?\s*)*S\d{3}|$", excused[1]):
                    found += 1
                    words = re.sub(r"^(?:[A-Z]+\d+,?\s*)*", "", excused[1]).strip(" -()")
                    if len(words.split()) < 2:
                        silent.append(f"{path.relative_to(sbom.ROOT)}:{number}")
    assert found
    assert silent == []

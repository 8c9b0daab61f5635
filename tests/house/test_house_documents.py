"""Documents: links lead somewhere, examples are accepted, and the README's commands are those of the Makefile."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from ruamel.yaml import YAML

import mapping
from crmbridge.settings import load
from mapping.source import read_text

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = sorted([*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md"), *(CHECKOUT / "benchmarks").glob("*.md")])
NAMES = [str(page.relative_to(CHECKOUT)) for page in PAGES]
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def _blocks(page: Path, kind: str) -> Iterator[str]:
    text = page.read_text(encoding="utf-8")
    yield from re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def _anchors(page: Path) -> set[str]:
    """As GitHub makes them of headlines, and those that were set by hand."""
    text = page.read_text(encoding="utf-8")
    heads = re.findall(
        r"^#{1,6} (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    made = {re.sub(r"[^\w\- ]", "", head.replace("`", "").lower()).replace(" ", "-") for head in heads}
    return made | set(re.findall(r'<a id="([^"]+)">', text))


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{target}: there is no {file.name}"
        if anchor:
            assert anchor in _anchors(file), f"{target}: no such headline"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    """A path from the checkout, or from `crmbridge/` as people say it."""
    tops = "|".join(one.name for top in (CHECKOUT, CHECKOUT / "crmbridge") for one in top.iterdir() if one.is_dir())
    named = re.findall(rf"`((?:{tops})/[\w./-]+\.(?:py|txt|md))`", page.read_text(encoding="utf-8"))
    assert not [one for one in named if not (CHECKOUT / one).exists() and not (CHECKOUT / "crmbridge" / one).exists()]


def test_every_document_is_reached_from_the_readme() -> None:
    reached, ahead = set[Path](), [CHECKOUT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        for target in re.findall(r"\]\(([^)\s#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                ahead.append((page.parent / target).resolve())
    assert not [str(page.relative_to(CHECKOUT)) for page in PAGES if page.resolve() not in reached]


def test_the_readmes_mapping_is_accepted() -> None:
    (block, *_) = _blocks(CHECKOUT / "README.md", "yaml")
    assert len(block.splitlines()) == 10
    documents, findings = mapping.load({"lead.yaml": block})
    assert not findings
    assert not [str(finding) for finding in mapping.check(documents) if finding.severity == "error"]


def test_the_readmes_commands_are_the_makefiles() -> None:
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    (block, *_) = _blocks(CHECKOUT / "README.md", "sh")
    commands = re.findall(r"^make ([\w-]+)", block, re.MULTILINE)
    assert commands == ["demo", "test"]
    continuous = (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8")
    for command in commands:
        assert re.search(rf"^{command}:", makefile, re.MULTILINE)
        assert f"step make {command}\n" in continuous


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_yaml_in_documents_is_yaml(page: Path) -> None:
    for block in _blocks(page, "yaml"):
        source = read_text(dedent(block), file=page.name)
        assert not source.findings, [str(finding) for finding in source.findings]


def test_the_settings_of_the_documents_are_accepted(tmp_path: Path) -> None:
    """Sections of crmbridge.yaml that the documents show, each laid over the one that `init` makes."""
    shipped = (CHECKOUT / "config" / "crmbridge.yaml").read_text(encoding="utf-8")
    sections = {"store", "broker", "guard", "schedules", "alerts", "lifecycle", "only", "connections"}
    tried = 0
    for page in (CHECKOUT / "docs").rglob("*.md"):
        for block in _blocks(page, "yaml"):
            shown: Any = YAML(typ="safe", pure=True).load(dedent(block))
            if not isinstance(shown, dict) or not set(shown) <= sections:
                continue
            whole: Any = YAML(typ="safe", pure=True).load(shipped)
            connections = whole["connections"]
            for name, value in shown.get("connections", {}).items():
                connections[name] = {**connections[name], **value}
            whole.update({key: value for key, value in shown.items() if key != "connections"})
            for connection in connections.values():
                connection.pop("ca_file", None)  # the tutorial's sandbox is not running here
            file = tmp_path / "crmbridge.yaml"
            file.write_text(json.dumps(whole), encoding="utf-8")
            names = re.findall(r"\$\{env:(\w+)\}", file.read_text(encoding="utf-8"))
            load(file, env=dict.fromkeys(names, "x"))
            tried += 1
    assert tried >= 5


def test_the_fields_that_documents_show_are_accepted() -> None:
    """Lines of a mapping, each laid over the shipped lead or opportunity mapping."""
    texts = {
        name: (CHECKOUT / "config" / "mappings" / f"{name}.yaml").read_text(encoding="utf-8")
        for name in ("account", "contact", "lead", "opportunity")
    }
    for page in (CHECKOUT / "docs").rglob("*.md"):
        for block in _blocks(page, "yaml"):
            shown: Any = YAML(typ="safe", pure=True).load(dedent(block))
            if not isinstance(shown, dict) or not shown or set(shown) - {"fields", "values", "status", "match"}:
                continue
            whole: Any = YAML(typ="safe", pure=True).load(texts["lead"])
            for key, value in shown.items():
                whole[key] = {**whole[key], **value} if isinstance(value, dict) and key != "status" else value
            merged = {**texts, "lead": json.dumps(whole)}  # JSON is YAML, and keeps the order of rows
            documents, findings = mapping.load({f"{name}.yaml": text for name, text in merged.items()})
            problems = [str(one) for one in (*findings, *mapping.check(documents)) if one.severity == "error"]
            assert not problems, (page.name, problems)

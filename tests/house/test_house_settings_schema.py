"""The schema of crmbridge.yaml explains every key, and underlines nothing that our own pages tell people to write."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from crmbridge import settings
from crmbridge.errors import ConfigError
from crmbridge.model import ENTITIES
from crmbridge.settings.explained import meanings
from mapping.source import read_text
from tests.support.reference import CHECKOUT, SETTINGS_PAGE, explained_schema

SCHEMA = explained_schema()
KNOWN = jsonschema_rs.validator_for(SCHEMA)
SHIPPED = (CHECKOUT / "config" / "crmbridge.yaml").read_text(encoding="utf-8")
KEYS = tuple(SCHEMA["properties"])
CONNECTIONS = {
    name: f"  {name}: {{system: {name}, url: https://a.test, auth: {{flow: access_token, access_token: '${{env:T}}'}}}}"
    for name in ("salesforce", "dynamics")
}
# They show what is refused, or a connection without its login, which the next block adds.
PARTS = {"docs/reference/mapping-problems.md", "docs/howto/connect-salesforce.md"}
SECTION = re.compile(rf"(?:{'|'.join(KEYS)}):")


def _nodes(node: Any, way: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        yield way, node
        for key, inner in node.items():
            yield from _nodes(inner, f"{way}/{key}")
    elif isinstance(node, list):
        for inner in node:
            yield from _nodes(inner, way)


def test_no_key_is_without_a_description() -> None:
    keys = [
        (f"{way}/{key}", inner)
        for way, node in _nodes(SCHEMA, "")
        for key, inner in node.get("properties", {}).items()
        if not way.endswith("/properties")  # a key of ours that is called so
    ]
    assert len(keys) > 400
    assert [way for way, key in keys if not key.get("description")] == []


def test_no_value_of_a_choice_is_without_one() -> None:
    choices = [(way, node) for way, node in _nodes(SCHEMA, "") if "enum" in node and set(node["enum"]) != set(ENTITIES)]
    assert len(choices) > 100
    for way, choice in choices:
        said = choice.get("markdownEnumDescriptions", [])
        assert len(said) == len(choice["enum"]), way
        assert all(said), way


def test_each_word_of_the_reference_explains_something() -> None:
    """A row whose key is no longer there, or is written otherwise, would be shown nowhere."""
    shown = {_plain(node["description"]) for _, node in _nodes(SCHEMA, "") if isinstance(node.get("description"), str)}
    told = meanings(SETTINGS_PAGE.read_text(encoding="utf-8"))
    assert [key for key, said in told.items() if _plain(said) not in shown] == []


def _plain(said: str) -> str:
    return " ".join(said.replace("`", "").split())


# --- what is legal is not underlined ------------------------------------------------------------------------------


def _examples() -> Iterator[tuple[str, str]]:
    """Settings as our pages show them: whole blocks, what stands in a sentence, the shipped file's own comments."""
    for page in sorted([CHECKOUT / "README.md", *(CHECKOUT / "docs").rglob("*.md")]):
        text, name = page.read_text(encoding="utf-8"), str(page.relative_to(CHECKOUT))
        for block in re.findall(r"^```ya?ml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            tops = re.findall(r"^(\w+):", block, re.MULTILINE)
            if tops and set(tops) <= set(KEYS):
                yield name, block
        for line in re.findall(r"`(\w+: \{[^`]*\})`", text):
            if SECTION.match(line) and "…" not in line and "..." not in line:
                yield name, line + "\n"
    for file in sorted((CHECKOUT / "config").rglob("crmbridge*.yaml")):
        yield str(file.relative_to(CHECKOUT)), file.read_text(encoding="utf-8")
    lines = SHIPPED.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("# ") and SECTION.match(line[2:]):
            for block in _uncommented(lines[number:]):
                yield f"config/crmbridge.yaml:{number + 1}", block


def _uncommented(lines: list[str]) -> list[str]:
    """A section of comments; where a key stands there twice, one for each."""
    found: list[list[str]] = [[]]
    for line in lines:
        if not line.startswith("# "):
            break
        key = re.match(r" +\w+:", line[2:])
        if key and any(one.startswith(key[0]) for one in found[-1]):
            found.append([one for one in found[-1] if not one.startswith(key[0])])
        found[-1].append(line[2:])
    return ["\n".join(block) + "\n" for block in found]


EXAMPLES = list(_examples())


@pytest.mark.parametrize(("place", "text"), EXAMPLES, ids=[f"{place}-{n}" for n, (place, _) in enumerate(EXAMPLES)])
def test_what_our_pages_show_is_not_underlined(tmp_path: Path, place: str, text: str) -> None:
    text = _whole(text)
    file = tmp_path / "crmbridge.yaml"
    file.write_text(text, encoding="utf-8")
    for secret in re.findall(r"\$\{file:([^}]+)\}", text) + re.findall(r"^ +ca_file: (\S+)", text, re.MULTILINE):
        (tmp_path / secret).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / secret).write_text("x", encoding="utf-8")
    environment = dict.fromkeys(re.findall(r"\$\{env:(\w+)\}", text), "x")
    if place in PARTS:
        with pytest.raises(ConfigError):
            settings.load(file, environment)
        return
    settings.load(file, environment)
    KNOWN.validate(read_text(text, file="crmbridge.yaml").data)


def _whole(text: str) -> str:
    """With both connections; one of a profile, which is laid over another, stands for itself elsewhere."""
    data = read_text(text, file="crmbridge.yaml").data
    given = {name: one for name, one in (data.get("connections") or {}).items() if "system" in one}
    if not given:
        text = re.sub(r"^connections:\n(?: .*\n)*", "", text, flags=re.MULTILINE)
        return "connections:\n" + "\n".join(CONNECTIONS.values()) + "\n" + text
    more = [line for name, line in CONNECTIONS.items() if name not in given][: 2 - len(given)]
    return text.replace("connections:\n", "\n".join(["connections:", *more, ""]), 1)


def test_such_examples_are_found() -> None:
    said = " ".join(text for _, text in EXAMPLES)
    assert len(EXAMPLES) > 15
    for one in ('cron: "*/10', "hours: mon-fri", "idle: up to", "modified_since", "person_accounts"):
        assert one in said

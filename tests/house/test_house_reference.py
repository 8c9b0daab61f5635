"""The reference tells all there is, and nothing that there is not."""

import ast
import re
from datetime import timedelta
from typing import Any, get_args

import pytest

from crmbridge.alerts import Event
from crmbridge.cli.group import COMMANDS
from crmbridge.state.schema import metadata
from crmbridge.sync import logged
from tests.support import reference
from tests.support.reference import CHECKOUT, DOCS

ERRORS = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
SETTINGS = (DOCS / "reference" / "settings.md").read_text(encoding="utf-8")
LIFE = (DOCS / "reference" / "lifecycle.md").read_text(encoding="utf-8")
CASES = [
    f"{kind}{number}" for kind, last in (("L", 15), ("C", 14), ("O", 21), ("A", 10)) for number in range(1, last + 1)
]


def _words(page: str) -> set[str]:
    return {word for quoted in re.findall(r"`([^`\n]+)`", page) for word in (quoted, *quoted.split())}


def test_every_table_of_the_store_is_described() -> None:
    page = (DOCS / "reference" / "store.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `(\w+)` \| [^|]+ \|$", page, re.MULTILINE)) == sorted(metadata.tables)


def test_every_action_of_the_log_is_explained() -> None:
    events = set(get_args(Event)) - {"test"}  # that one a command sends
    said = {f"alert_{event}" for event in events} | {action for _, action, _ in logged.SAID.values()}
    for file in (one for top in ("crmbridge", "connectors", "workers") for one in (CHECKOUT / top).rglob("*.py")):
        if "sandbox" in file.parts:
            continue  # it has actions of its own
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            words = [one.value for one in node.keywords if one.arg == "action"] if isinstance(node, ast.Call) else []
            if isinstance(node, ast.Dict):
                keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
                words = [value for key, value in zip(keys, node.values, strict=True) if key == "action"]
            said |= {one.value for one in words if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    page = (DOCS / "reference" / "log.md").read_text(encoding="utf-8").partition("## One record")[2]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| [^|]+ \| [^|]+ \|$", page, re.MULTILINE)
    assert {word for row in rows for word in re.findall(r"`(\w+)`", row)} == said


def test_help_of_every_command_is_the_programs_own() -> None:
    page = reference.COMMANDS_PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE)[: len(COMMANDS)] == list(COMMANDS)
    assert page == reference.with_options(page), "run: python -m tests.support.reference"


def test_every_command_has_one_line_that_is_true() -> None:
    for name, (_, line) in COMMANDS.items():
        assert reference.command(name).name == name
        assert line.endswith(".")


def _shown(default: Any) -> str:
    if default is ...:
        return "required"
    if default in (None, ()):
        return "none"
    if isinstance(default, timedelta):
        return f"`{default.days} days`"
    return re.sub(r"^Address\((.*)\)$", r"`\1`", repr(default)) if not isinstance(default, str) else f"`{default}`"


CHOSEN = tuple(
    f"lifecycle.{group}" for group in ("convert.", "close.", "move.", "remove.", "scope.", "owner.", "consent")
)


# Parts of sections with names of somebody's own; that each key is told, test_house_settings_schema.py says.
WITHOUT_DEFAULT = ("segments.", "alerts.rules.", "alerts.channels.", "connections.NAME.auth.")


def test_every_setting_is_there_with_its_default() -> None:
    rows: dict[str, str] = dict(re.findall(r"^\| `([\w.]+)` \| ([^|]+?) \|", SETTINGS, re.MULTILINE))
    rows = {key: said for key, said in rows.items() if not key.startswith((*WITHOUT_DEFAULT, *CHOSEN))}
    wanted: dict[str, list[str]] = {}
    for key, default in reference.settings_keys():
        if not key.startswith("connections.NAME.auth."):
            wanted.setdefault(key, []).append(_shown(default))
    assert set(rows) == {*wanted, "connections.NAME.auth"}
    for key, defaults in wanted.items():
        assert rows[key].split(";")[0].strip() == defaults[0], key


@pytest.mark.parametrize(("key", "default"), list(reference.choices()))
def test_every_choice_of_the_life_cycle_is_there_with_its_default_first(key: str, default: str | None) -> None:
    found = re.search(rf"^\| `{re.escape(key)}` \| ([^|]+?) \|", SETTINGS, re.MULTILINE)
    assert found, key
    wanted = "as the mapping's rule says" if default is None else f"`{default}`"
    assert found[1].split(", ")[0] == wanted


def test_every_key_of_every_login_flow_is_there() -> None:
    keys = {key.rpartition(".")[2] for key, _ in reference.settings_keys() if ".auth." in key}
    flows = re.findall(r"^\| (?:Salesforce|Dynamics|Salesforce, Dynamics) \| `\w+` \| (.+) \|$", SETTINGS, re.MULTILINE)
    assert keys - {"flow"} <= _words(" ".join(flows))


@pytest.mark.parametrize("word", sorted(reference.causes()))
def test_every_cause_and_code_is_explained(word: str) -> None:
    assert word in re.findall(r"`([^`\n]+)`", ERRORS), f"{word} is said at {reference.causes()[word]}"


@pytest.mark.parametrize("case", CASES)
def test_every_case_of_the_life_cycle_is_there(case: str) -> None:
    assert re.search(rf"^\| {case} \|", LIFE, re.MULTILINE)


def test_messages_name_only_commands_and_settings_that_exist() -> None:
    known = {key.split(".", 2)[2] for key, _ in reference.settings_keys() if key.startswith("connections.NAME.")}
    known = {key.removeprefix("auth.") for key in known} | {"auth", "NAME"}
    said: list[str] = []
    for file, _ in reference.sources():
        text = file.read_text(encoding="utf-8")
        where = file.relative_to(CHECKOUT)
        said += [f"{where}: crmbridge {word}" for word in _commands(text) if word not in COMMANDS]
        said += [
            f"{where}: connections.*.{key}"
            for key in re.findall(r"connections\.(?:\{[^}]+\}|NAME)\.(?:auth\.)?([a-z_]+)", text)
            if key not in known
        ]
    assert not said


def _commands(text: str) -> list[str]:
    """Words after `crmbridge` where a person is told to type something."""
    return re.findall(r"(?:`|: |with )crmbridge ([a-z]+)\b(?= ?(?:--|[A-Z{`\"']|\.\"))", text)


def test_documents_name_only_commands_that_exist() -> None:
    for page in [CHECKOUT / "README.md", *DOCS.rglob("*.md")]:
        text = page.read_text(encoding="utf-8")
        shell = "\n".join(re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
        typed = re.findall(r"`crmbridge ([a-z]+)\b", text) + re.findall(r"\bcrmbridge ([a-z]+)\b", shell)
        assert set(typed) <= set(COMMANDS), page.name

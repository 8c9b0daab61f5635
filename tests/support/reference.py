"""What the reference must say, taken from the program itself: commands, settings, and the words it gives as causes.

`python -m tests.support.reference` writes the options of all commands anew into docs/reference/commands.md, and the
schema of crmbridge.yaml, which explains keys in the reference's words, into config/crmbridge.schema.json.
"""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from crmbridge.cli.breakers import BREAKERS
from crmbridge.cli.group import COMMANDS, LateGroup, cli
from crmbridge.policy import DEFAULT
from crmbridge.settings.connections import DYNAMICS_FLOWS, SALESFORCE_FLOWS, DynamicsConnection, SalesforceConnection
from crmbridge.settings.document import Settings
from crmbridge.settings.explained import meanings
from crmbridge.settings.schema import settings_schema
from mapping.codes import CODES

CHECKOUT = Path(__file__).resolve().parents[2]
DOCS = CHECKOUT / "docs"
COMMANDS_PAGE = DOCS / "reference" / "commands.md"
SETTINGS_PAGE = DOCS / "reference" / "settings.md"
SETTINGS_SCHEMA = CHECKOUT / "config" / "crmbridge.schema.json"
# A mapping's problems have a page of their own, and so has what breaks on the first day.
ELSEWHERE = {*CODES, *(one.code for one in BREAKERS.values())}
_BLOCK = re.compile(r"<!-- options: ([\w ]+) -->\n(.*?)<!-- end -->", re.DOTALL)


# --- commands -----------------------------------------------------------------------------------------------------


def command(name: str) -> click.Command:
    """`show`, or one of a group's: `mapping test`."""
    found: click.Command = cli
    for part in name.split():
        assert isinstance(found, LateGroup)
        found = found.real(part)
    return found


def options(name: str) -> str:
    """A command's usage, arguments and options as Markdown, in the words of its help."""
    one = command(name)
    context = click.Context(one, info_name=name, parent=click.Context(cli, info_name="crmbridge"))
    usage = " ".join(["crmbridge", name, *one.collect_usage_pieces(context)])
    lines = ["```text", usage, "```", "", *_text(one.help or "").splitlines(), ""]
    rows = [record for parameter in one.params if (record := _row(parameter, context))]
    if rows:
        lines += ["| option | what it does |", "|---|---|", *rows]
    return "\n".join(lines).rstrip() + "\n"


def _row(parameter: click.Parameter, context: click.Context) -> str | None:
    record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
    if record is None:
        return None
    names, what = (_text(part).replace("|", "\\|") for part in record)
    return f"| `{names}` | {what} |"


def _text(text: str) -> str:
    return "\n".join(" ".join(line.split()) for line in text.strip().splitlines())


def with_options(page: str) -> str:
    return _BLOCK.sub(lambda hit: f"<!-- options: {hit[1]} -->\n{options(hit[1])}<!-- end -->", page)


# --- settings -----------------------------------------------------------------------------------------------------


def settings_keys() -> Iterator[tuple[str, Any]]:
    """Every key with its default; `...` where one must be given."""
    yield from _keys(Settings, "")
    for system in (SalesforceConnection, DynamicsConnection):
        yield from _keys(system, "connections.NAME.")
    for flow in (*SALESFORCE_FLOWS, *DYNAMICS_FLOWS):
        yield from _keys(flow, "connections.NAME.auth.")


def _keys(model: type[BaseModel], way: str) -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _keys(inner, f"{way}{name}.")
        elif name not in {"connections", "auth"}:
            yield f"{way}{name}", ... if field.is_required() else field.get_default(call_default_factory=True)


def explained_schema() -> dict[str, Any]:
    """The schema of crmbridge.yaml as it is shipped."""
    return settings_schema(meanings(SETTINGS_PAGE.read_text(encoding="utf-8")))


def choices() -> Iterator[tuple[str, str]]:
    """Every option of the life cycle with its default."""
    for group in fields(DEFAULT):
        chosen = getattr(DEFAULT, group.name)
        if group.name in {"master", "segment", "undecided"}:
            continue
        if not is_dataclass(chosen):
            yield f"lifecycle.{group.name}", chosen
        for one in fields(chosen) if is_dataclass(chosen) else ():
            value = getattr(chosen, one.name)
            for name, inner in vars_of(value) if is_dataclass(value) else [("", value)]:
                yield f"lifecycle.{group.name}.{one.name}{name}", inner


def vars_of(value: Any) -> list[tuple[str, Any]]:
    return [(f".{one.name}", getattr(value, one.name)) for one in fields(value)]


# --- words --------------------------------------------------------------------------------------------------------

_PACKAGES = ("crmbridge", "connectors", "mapping", "workers")
_STRANGERS = {"sandbox", "demo"}  # the sandbox speaks the vendors' codes; the demo is a play
_NAMED = {"cause", "code"}
# Functions whose first or second word is a cause.
_TELLERS = {"Refusal": 0, "_held": 0, "_refuse": 1}


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for package in _PACKAGES:
        for file in sorted((CHECKOUT / package).rglob("*.py")):
            if not _STRANGERS & set(file.relative_to(CHECKOUT).parts) and file.name != "memory.py":
                yield file, ast.parse(file.read_text(encoding="utf-8"))


def causes() -> dict[str, str]:
    """Every word that the program itself gives as cause or code -> where."""
    found: dict[str, str] = {}
    for file, tree in sources():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            told = [keyword.value for keyword in node.keywords if keyword.arg in _NAMED]
            told += node.args[_TELLERS[name] : _TELLERS[name] + 1] if name in _TELLERS else []
            for one in told:
                for word in set(_words(one)) - ELSEWHERE:
                    found.setdefault(word, f"{file.relative_to(CHECKOUT)}:{node.lineno}")
    return found


def _words(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _words(node.body)
        yield from _words(node.orelse)


if __name__ == "__main__":
    COMMANDS_PAGE.write_text(with_options(COMMANDS_PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    SETTINGS_SCHEMA.write_text(json.dumps(explained_schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{len(COMMANDS)} commands in {COMMANDS_PAGE.relative_to(CHECKOUT)}")

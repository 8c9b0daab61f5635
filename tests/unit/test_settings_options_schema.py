"""An editor that goes by the JSON Schema of `lifecycle:` and `segments:` takes what the program takes, and no other."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import jsonschema_rs
import pytest

from crmbridge import settings
from crmbridge.errors import ConfigError
from crmbridge.model import ENTITIES
from crmbridge.policy import Policy
from crmbridge.settings.options import OWN
from crmbridge.settings.schema import settings_schema
from mapping.source import read_file

CONNECTIONS = """\
connections:
  sf: {system: salesforce, url: https://a.my.salesforce.com, auth: {flow: access_token, access_token: "${env:T}"}}
  crm: {system: dynamics, url: https://a.crm.dynamics.com, auth: {flow: client_secret, tenant_id: t, client_id: c,
    client_secret: "${env:T}"}}
"""
KNOWN = jsonschema_rs.validator_for(settings_schema())
WORDS = {
    "always", "never", "as source", "crm", "us", "account if company", "account named like the person",
    "person_account", "hold", "off", "on", "convert", "ignore", "leave", "new_lead", "report", "convert_here", "link",
    "redirect", "yes", "no", "actual", "estimate", "patch", "mirror", "no_account", "try", "placeholder", "create",
    "match only", "both", "sf", "primary", "keep", "ask", "delete", "disqualify", "lose", "deactivate", "resume",
    "touched", "all", "create only", "restrictive", "source", "nonsense",
}  # fmt: skip
SECTIONS: tuple[dict[str, Any], ...] = ({"when": "true"}, {"bucket": "x"}, {"as": "new"}, {"other": "x"})


NAMES = {("move", "status"), ("move", "stage"), ("move", "inactive")}  # a connection's name may stand there: any text


def options(kind: type = Policy, way: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, hint in get_type_hints(kind).items():
        if way or name not in OWN:
            inner = hasattr(hint, "__dataclass_fields__")
            yield from options(hint, (*way, name)) if inner else [(*way, name)]


def agree(folder: Path, lines: dict[str, Any]) -> bool:
    """Whether the program and the schema think the same of these settings."""
    file = folder / "crmbridge.yaml"
    file.write_text(CONNECTIONS + "".join(f"{key}: {json.dumps(value)}\n" for key, value in lines.items()))
    try:
        settings.load(file, {"T": "x"})
    except ConfigError:
        taken = False
    else:
        taken = True
    return KNOWN.is_valid(read_file(file).data) == taken


def nested(way: tuple[str, ...], value: Any) -> Any:
    for name in reversed(way):
        value = {name: value}
    return value


@pytest.mark.parametrize("way", list(options()), ids=".".join)
def test_the_schema_takes_what_the_program_takes(tmp_path: Path, way: tuple[str, ...]) -> None:
    if way[-1] == "fallback":
        assert agree(tmp_path, {"lifecycle": nested(way, {"crm": "a@b.example"})})
        return
    for value in ("both", "off", "sf", {"when": "true"}) if way in NAMES else (*sorted(WORDS), *SECTIONS, True):
        assert agree(tmp_path, {"lifecycle": nested(way, value)}), value


@pytest.mark.parametrize("entity", ENTITIES)
def test_what_means_nothing_for_a_kind_of_records_is_refused_by_both(tmp_path: Path, entity: str) -> None:
    for way in options():
        for value in ("off",) if way in NAMES else ("hold", "yes", "off", "lose", "deactivate", "touched"):
            assert agree(tmp_path, {"lifecycle": nested((entity, *way), value)}), (way, value)


def test_segments_are_known_too(tmp_path: Path) -> None:
    good = {
        "entities": ["lead"],
        "when": "true",
        "master": {"first": "sf", "cut_over": "2026-12-01", "then": "crm"},
        "lifecycle": {"convert": {"mirror": "never"}, "lead": {"remove": {"delete": "ask"}}},
    }
    assert agree(tmp_path, {"segments": {"dach": good}})
    assert KNOWN.is_valid(read_file(tmp_path / "crmbridge.yaml").data)
    wrong: tuple[dict[str, Any], ...] = (
        {"entities": ["leads"]},
        {"master": {"frist": "sf"}},
        {"lifecycle": {"close": {"won_amount": "estimates"}}},
        {"wen": "true"},
    )
    for change in wrong:
        assert agree(tmp_path, {"segments": {"dach": {**good, **change}}}), change
        assert not KNOWN.is_valid(read_file(tmp_path / "crmbridge.yaml").data)

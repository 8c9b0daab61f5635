"""The shape of a mapping document: one JSON Schema, which editors show and the checker walks.

Only the handful of keywords used here is understood by the walker; where a value may be of several kinds the branch is
chosen by the value's type, so that one mistake gives one complaint.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from mapping.axis_schema import axis_keys, native_by_kind, row_keys
from mapping.examples_schema import KEY as EXAMPLES
from mapping.examples_schema import examples_schema
from mapping.field_schema import column_list, field_keys, given_by_name, top_keys
from mapping.problem import Path, closest
from mapping.source import Source
from mapping.transforms import CONVERTERS

STATES: Final[Mapping[str, tuple[str, ...]]] = {
    "status": ("open", "converted", "disqualified"),
    "stage": ("open", "won", "lost"),
}
SHIPPED_CONNECTIONS: Final[Mapping[str, str]] = {"salesforce": "salesforce", "dynamics": "dynamics"}
# Kinds of values that need to know the record's surroundings; the others are plain converters.
CONTEXT_KINDS: Final = ("choice", "money", "record_type", "user")
NAME: Final = "^[a-z][a-z0-9_]*$"

_Schema = dict[str, Any]
_NATIVE: Final[_Schema] = {
    "description": "a label or value; the first of a list is written, all are read",
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "integer"},
        {"type": "boolean"},
        {"type": "array", "minItems": 1, "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
    ],
}


def schema(connections: Mapping[str, str] | None = None) -> _Schema:
    """The JSON Schema of a mapping between these connections (name -> system)."""
    systems = dict(connections or SHIPPED_CONNECTIONS)
    names = list(systems)
    natives = {name: {"$ref": "#/$defs/native", "description": f"value in {name}"} for name in names}
    lossy = {
        "anyOf": [{"type": "string", "enum": names}, {"type": "array", "items": {"type": "string", "enum": names}}]
    }
    text_by_name = _object({name: {"type": "string"} for name in names})
    rules = ["both", *names, *(f"prefer {name}" for name in names), "create only", "ask"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "crmbridge mapping",
        "description": f"How one kind of record corresponds in {' and '.join(names)}.",
        **_object(
            {
                "entity": {
                    "type": "string",
                    "enum": ["account", "contact", "lead", "opportunity"],
                    "description": "the kind of record this file is about",
                },
                **{name: _table(system) for name, system in systems.items()},
                "match": {
                    "type": "array",
                    "description": "first run: how twins are recognised, in order; two hits hold",
                    "items": {"type": "array", "minItems": 1, "items": {"type": "string"}},
                },
                "fields": {
                    "type": "object",
                    "propertyNames": {"pattern": NAME},
                    "additionalProperties": {"$ref": "#/$defs/field"},
                },
                "values": {
                    "type": "object",
                    "propertyNames": {"pattern": NAME},
                    "additionalProperties": {"$ref": "#/$defs/values"},
                },
                **{
                    axis: {
                        "type": "object",
                        "propertyNames": {"pattern": NAME},
                        "additionalProperties": {"$ref": f"#/$defs/{axis}"},
                    }
                    for axis in STATES
                },
                **axis_keys(names),
                **top_keys(),
                EXAMPLES: examples_schema(names),
            },
            required=("entity", *names, "fields"),
        ),
        "$defs": {
            "native": _NATIVE,
            "native_by_kind": native_by_kind(_NATIVE),
            "column": {
                "description": "the field's name in this system (a Dynamics lookup: its navigation property)",
                "anyOf": [
                    {"type": "string", "minLength": 1},
                    _object(
                        {
                            "column": {"type": "string", "minLength": 1},
                            "won": {"type": "string", "description": "the column that counts once it is won"},
                            "lost": {"type": "string", "description": "the column that counts once it is lost"},
                        },
                        required=("column",),
                    ),
                    column_list(),
                ],
            },
            "field": _object(
                {
                    **{name: {"$ref": "#/$defs/column"} for name in names},
                    "convert": {
                        "type": "string",
                        "enum": sorted({*CONVERTERS, *CONTEXT_KINDS}),
                        "description": "how the value is read and written; text if left out",
                    },
                    "values": {"type": "string", "description": "name of a table under `values:`"},
                    "link": {
                        "type": "string",
                        "enum": ["account", "contact", "lead", "opportunity"],
                        "description": "the value is another record",
                    },
                    "rule": {"type": "string", "enum": rules, "description": "who wins; both if left out"},
                    "required": {"type": "boolean", "description": "a record without it is not created"},
                    "restrictive": {
                        "type": "boolean",
                        "description": "consent: true on one side makes it true on both",
                    },
                    "lossy": {**lossy, "description": "which side can tell less; a loss must be declared"},
                    "filler": {
                        **text_by_name,
                        "description": "written where a value is needed and there is none; reads as none. "
                        "Text, or `created + 90 days`",
                    },
                    "create": {
                        **given_by_name(names),
                        "description": "written at creation only, where there is no value: a text with {field} in it, "
                        "a row of the table of values, a number, true or false, a date",
                    },
                    **field_keys(names),
                    "zone": {"type": "string", "description": "time zone of a date kept as an instant"},
                }
            ),
            "values": {
                "type": "object",
                "propertyNames": {"pattern": NAME},
                "properties": {
                    "unmapped": {
                        "type": "string",
                        "enum": ["hold", "ignore", "pass"],
                        "description": "what to do with a value that is not in this table; hold if left out",
                    }
                },
                "additionalProperties": _object({**natives, "lossy": lossy}),
            },
            **{
                axis: _object(
                    {
                        "state": {"type": "string", "enum": list(states)},
                        **row_keys(natives, names),
                        "lossy": {**lossy, "description": "which side cannot tell this row from an earlier one"},
                    },
                    required=("state",),
                )
                for axis, states in STATES.items()
            },
        },
    }


def _object(properties: _Schema, *, required: tuple[str, ...] = ()) -> _Schema:
    needed: _Schema = {"required": list(required)} if required else {}
    return {"type": "object", "additionalProperties": False, "properties": properties, **needed}


def _table(system: str) -> _Schema:
    key = table_key(system)
    return {**_object({key: {"type": "string", "minLength": 1}}, required=(key,)), "description": f"the {key} to sync"}


def table_key(system: str) -> str:
    return "object" if system == "salesforce" else "table"


# --- the walk -----------------------------------------------------------------------------------------------------


def prune(source: Source, rules: _Schema) -> Any:
    """The data without what has the wrong shape; each cut is a complaint of the source."""
    defs: Mapping[str, _Schema] = rules["$defs"]

    def walk(value: Any, rule: _Schema, path: Path) -> tuple[bool, Any]:
        if "$ref" in rule:
            rule = defs[str(rule["$ref"]).rpartition("/")[2]]
        if "anyOf" in rule:
            branches: list[_Schema] = rule["anyOf"]
            fit = next((b for b in branches if _is(value, b["type"])), None)
            if fit is None:
                return wrong(path, value, " or ".join(_WORDS[b["type"]] for b in branches))
            rule = fit
        if rule["type"] == "array" and rule["items"].get("type") == "array" and isinstance(value, str):
            return flat(path, [word.strip() for word in value.split(",")])
        if not _is(value, rule["type"]):
            return wrong(path, value, _WORDS[rule["type"]])
        if rule["type"] == "object":
            return True, walk_object(value, rule, path)
        if rule["type"] == "array":
            least, most = rule.get("minItems", 0), rule.get("maxItems", len(value))
            if value and not least <= len(value) <= most:
                wanted = f"{least} to {most}" if "maxItems" in rule else f"at least {least}"
                source.complain(path, f"has {len(value)} entries; write {wanted}", code="list-length")
                return False, None
            if len(value) < least:
                source.complain(path, "is empty; give it an entry, or take the key away", code="list-empty")
                return False, None
            if rule["items"].get("type") == "array" and value and all(isinstance(item, str) for item in value):
                return flat(path, value)
            kept = [walk(item, rule["items"], (*path, n)) for n, item in enumerate(value)]
            return all(ok for ok, _ in kept), [item for ok, item in kept if ok]
        if rule.get("minLength") and not value:
            source.complain(path, "is empty; write a value, or take the key away", code="text-empty")
            return False, None
        if "enum" in rule and value not in rule["enum"]:
            known = ", ".join(str(v) for v in rule["enum"])
            source.complain(
                path, f"{value!r} is not one of {known}", code="unknown-word", suggestion=closest(value, rule["enum"])
            )
            return False, None
        return True, value

    def walk_object(value: dict[str, Any], rule: _Schema, path: Path) -> dict[str, Any]:
        properties: Mapping[str, _Schema] = rule.get("properties", {})
        further: Any = rule.get("additionalProperties")
        pattern: str | None = rule.get("propertyNames", {}).get("pattern")
        kept: dict[str, Any] = {}
        for key, item in value.items():
            here = (*path, key)
            if key in properties:
                ok, inner = walk(item, properties[key], here)
            elif not further:
                known = ", ".join(properties)
                source.complain(
                    here,
                    "unknown key",
                    code="unknown-key",
                    suggestion=closest(key, properties),
                    otherwise=f"here may stand {known}",
                    key=True,
                )
                continue
            elif pattern and not re.fullmatch(pattern, key):
                source.complain(
                    here,
                    "a name is lower case letters, digits and _, starting with a letter",
                    code="name-malformed",
                    key=True,
                )
                continue
            elif further is True:  # anything: somebody else looks at it
                ok, inner = True, item
            else:
                ok, inner = walk(item, further, here)
            if ok:
                kept[key] = inner
        for key in rule.get("required", ()):
            if key not in value:
                source.complain(path, f"{key!r} is missing; add it", code="key-missing", key=True)
        return kept

    def flat(path: Path, words: list[str]) -> tuple[bool, Any]:
        """Words where lists of words belong: brackets are missing, and where they belong says what is meant."""
        together, apart = f"[[{', '.join(words)}]]", f"[{', '.join(f'[{word}]' for word in words)}]"
        choice = (
            f"`{together}` if all of them must agree, `{apart}` if one is enough" if len(words) > 1 else f"`{apart}`"
        )
        source.complain(path, f"is a list of lists: write {choice}", code="list-flat")
        return False, None

    def wrong(path: Path, value: Any, expected: str) -> tuple[bool, Any]:
        if path in source.refused:
            return False, None
        code = "value-missing" if value is None else "wrong-kind"
        source.complain(path, f"expected {expected}, found {_kind(value)}", code=code)
        return False, None

    return walk(source.data, rules, ())[1]


_WORDS: Final[Mapping[str, str]] = {
    "object": "keys with values",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


def _is(value: Any, kind: str) -> bool:
    match kind:
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case _:
            return isinstance(value, bool)


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, float):
        return "a number with decimals"
    return next(words for kind, words in _WORDS.items() if _is(value, kind))

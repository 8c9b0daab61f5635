"""The shape of what a mapping says about a field beside its columns, and of the file of shared tables."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

_Schema = dict[str, Any]

_TEXT: Final[_Schema] = {"type": "string", "minLength": 1}
_GIVEN: Final[list[_Schema]] = [_TEXT, {"type": "boolean"}, {"type": "number"}]


def column_list() -> _Schema:
    return {
        "type": "array",
        "minItems": 2,
        "maxItems": 8,
        "items": _TEXT,
        "description": "several columns that hold the value together; say how by `convert: lines`, "
        "`convert: person_name` or `join:`",
    }


def given_by_name(names: Iterable[str]) -> _Schema:
    """A value for all sides, or one for each."""
    return {"anyOf": [*_GIVEN, _closed({name: {"anyOf": _GIVEN} for name in names})]}


def field_keys(names: Iterable[str]) -> _Schema:
    names = list(names)
    return {
        "join": {
            "type": "string",
            "minLength": 1,
            "description": "what stands between the columns of a list",
        },
        "constant": {
            **given_by_name(names),
            "description": "always this: written where it differs, never read across",
        },
        "compute": {
            "anyOf": [_TEXT, _closed(dict.fromkeys(names, _TEXT))],
            "description": "an expression (CEL) over the other fields; written where it differs, never read across",
        },
        "currency": {
            "type": "string",
            "pattern": "^([A-Z]{3}|[a-z][a-z0-9_]*)$",
            "description": "of a computed amount: its code, such as EUR, or the field whose currency it has",
            "examples": ["EUR", "amount"],
        },
        "default": {
            **_closed(dict.fromkeys(names, _TEXT)),
            "description": "who stands in for an owner who is not there: a user's e-mail, a `queue:` or a `team:`",
        },
        "inactive": {
            "type": "string",
            "enum": ["leave", "default"],
            "description": "what happens where the person is switched off there: leave who is there, or the default",
        },
    }


def top_keys() -> _Schema:
    return {
        "version": {"type": "string", "description": "your own name for this state of the file; shown with each run"},
        "filter": {
            **_TEXT,
            "description": "an expression (CEL) over the shared record; a record that does not fit is neither matched "
            "nor created on the other side; a pair that exists goes on",
        },
    }


def shared_schema(entity_schema: Mapping[str, Any]) -> _Schema:
    """The JSON Schema of values.yaml: tables for all mappings."""
    return {
        "$schema": entity_schema["$schema"],
        "title": "crmbridge shared values",
        "description": "Tables of values that all mappings may use.",
        **_closed({"values": entity_schema["properties"]["values"], "version": entity_schema["properties"]["version"]}),
        "required": ["values"],
        "$defs": {name: entity_schema["$defs"][name] for name in ("native", "values")},
    }


def _closed(properties: _Schema) -> _Schema:
    return {"type": "object", "additionalProperties": False, "properties": properties}

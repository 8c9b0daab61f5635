"""The shape of examples, in a mapping and in the file beside it."""

from collections.abc import Iterable
from typing import Any, Final

KEY: Final = "examples"
SHARED: Final = "shared"

_Schema = dict[str, Any]


def examples_schema(names: Iterable[str]) -> _Schema:
    """Of the key `examples:`; the columns and fields inside are looked at when an example is tried."""
    names = list(names)
    record: _Schema = {"type": "object", "additionalProperties": True}
    natives: _Schema = {name: {**record, "description": f"columns of {name}"} for name in names}
    shared: _Schema = {**record, "description": "fields of the mapping; also state and status or stage"}
    return {
        "type": "array",
        "description": "given this, expect that: tried by `crmbridge mapping test`",
        "items": {
            **_object(
                {
                    "name": {"type": "string", "minLength": 1, "description": "what it shows, for people"},
                    "given": {
                        **_object({**natives, SHARED: shared}),
                        "description": "one record: the columns of one side, or the shared record",
                    },
                    "there": {
                        **_object(natives),
                        "description": "the record on the other side, where there is one already",
                    },
                    "expect": _object(
                        {
                            SHARED: shared,
                            **natives,
                            "held": {**record, "description": "fields that do not cross, each with its cause"},
                            "crosses": {"type": "boolean", "description": "whether the filter lets it take part"},
                        }
                    ),
                    "currency": {"type": "string", "minLength": 3, "description": "of both sides; USD if left out"},
                }
            ),
            "required": ["name", "given", "expect"],
        },
    }


def examples_file_schema(names: Iterable[str]) -> _Schema:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "crmbridge examples",
        "description": "Examples of one mapping, beside its file.",
        **_object({KEY: examples_schema(names)}),
        "required": [KEY],
        "$defs": {},
    }


def _object(properties: _Schema) -> _Schema:
    return {"type": "object", "additionalProperties": False, "properties": properties}

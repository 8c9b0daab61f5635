"""The shape of what stands beside the status or stage table (`mapping.axis`)."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

_Schema = dict[str, Any]

TEXT: Final[_Schema] = {"type": "string", "minLength": 1}


def axis_keys(names: Iterable[str]) -> _Schema:
    """Keys at the top of a mapping document."""
    names = list(names)
    return {
        "reason": {
            **_closed(dict.fromkeys(names, TEXT)),
            "description": "the column that tells rows with one and the same native status apart; it is read and "
            "written together with the status",
        },
        "on_hold": {
            **_closed(
                {
                    name: {
                        "anyOf": [
                            {**TEXT, "description": "a yes/no column"},
                            _closed({"stage": TEXT}, required=("stage",)),
                        ]
                    }
                    for name in names
                }
            ),
            "description": "how a side without an on-hold state of its own says it: a yes/no column, or {stage: …}",
        },
        "inactive": {
            **_closed(
                {
                    name: {
                        "anyOf": [
                            {**TEXT, "description": "a yes/no column: yes is out of use"},
                            _closed(
                                {
                                    "column": TEXT,
                                    "active": {"$ref": "#/$defs/native"},
                                    "inactive": {"$ref": "#/$defs/native"},
                                },
                                required=("column", "active", "inactive"),
                            ),
                        ]
                    }
                    for name in names
                }
            ),
            "description": "where a side without an inactive state of its own says that an account or a contact is out "
            "of use: a yes/no column, or a choice with the words for both",
        },
        "gates": {
            "type": "object",
            "additionalProperties": _closed(
                {
                    "needs": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string"},
                        "description": "fields of this mapping that must be filled",
                    },
                    "when": {**TEXT, "description": "only for records for which this expression is true"},
                    "message": {**TEXT, "description": "what people are told"},
                },
                required=("needs",),
            ),
            "description": "checkpoints: a record enters this row, or a later open one, on the other side only with "
            "these fields filled; `conversion` stands for a lead's conversion",
        },
        "record_type": {
            **_closed(
                {
                    name: {
                        "anyOf": [
                            {**TEXT, "description": "a record type's developer name"},
                            _closed(
                                {
                                    "when": {
                                        "type": "array",
                                        "minItems": 1,
                                        "items": _closed({"if": TEXT, "use": TEXT}, required=("if", "use")),
                                        "description": "the first whose expression is true is used",
                                    },
                                    "else": TEXT,
                                }
                            ),
                        ]
                    }
                    for name in names
                }
            ),
            "description": "the record type that a record gets when it is made there, by developer name",
        },
    }


def row_keys(natives: Mapping[str, _Schema], names: Iterable[str]) -> _Schema:
    """Keys of a row: its native words, which may depend on the kind of the record, and its reasons."""
    return {
        **{name: {**native, "$ref": "#/$defs/native_by_kind"} for name, native in natives.items()},
        "reason": {
            **_closed({name: {"$ref": "#/$defs/native"} for name in names}),
            "description": "values of the reason's column that mean this row; the first is written, all are read",
        },
    }


def native_by_kind(native: _Schema) -> _Schema:
    """A native word, or a map of them by record type or process, with `any` for all others."""
    return {
        "description": "a label or value; or a map of them by record type or process, with `any` for all others",
        "anyOf": [
            *native["anyOf"],
            {"type": "object", "minProperties": 1, "additionalProperties": {"$ref": "#/$defs/native"}},
        ],
    }


def _closed(properties: _Schema, *, required: tuple[str, ...] = ()) -> _Schema:
    needed: _Schema = {"required": list(required)} if required else {}
    return {"type": "object", "additionalProperties": False, "properties": properties, **needed}

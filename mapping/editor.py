"""The JSON Schema as editors want it: every key explained, with examples; with a CRM's description, its own names too.

The walker of `mapping.schema` needs none of this, so it is laid over that schema and checks nothing by itself.
"""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any, Final

from crmbridge.model import SIDES, Entity, Side
from mapping.described import Descriptions, OptionLike
from mapping.examples_schema import examples_file_schema
from mapping.field_schema import shared_schema
from mapping.schema import SHIPPED_CONNECTIONS, STATES, schema

_Schema = dict[str, Any]

# What a key is for, where its schema does not say it: by the name of the key, whatever it stands in.
_SAID: Final[Mapping[str, str]] = {
    "object": "API name of the Salesforce object",
    "table": "logical name of the Dynamics table",
    "fields": "one line for each field, good for both directions; the names are your own",
    "values": "tables of values for choices: native words or numbers of both sides that mean the same",
    "status": "the places in a lead's life, and which native words mean them",
    "stage": "the places in an opportunity's life, and which native words mean them",
    "state": "what the place means for the life cycle",
    "column": "the column that counts while it is open",
    "if": "an expression (CEL) over the fields of the record",
    "use": "developer name of the record type",
    "else": "developer name of the record type of all others",
    "expect": "what comes of it: the shared record, or native columns of the other side",
    "lossy": "which side cannot tell this row from an earlier one",
    "reason": "the values of the column of reasons that mean this row",
}
_EXAMPLES: Final[Mapping[str, list[Any]]] = {
    "object": ["Lead", "Opportunity", "Account", "Contact"],
    "table": ["lead", "opportunity", "account", "contact"],
    "match": [[["email", "last_name"], ["last_name", "company", "postal_code"]]],
    "fields": [{"last_name": {"salesforce": "LastName", "dynamics": "lastname", "required": True}}],
    "filter": ['source != "imported" && state == "open"'],
    "version": ["2026-11"],
    "join": [", "],
    "compute": ['street + ", " + city'],
    "create": ["{company} - {last_name}"],
    "zone": ["Europe/Stockholm"],
    "default": [{"salesforce": "sales@acme.example"}],
    "if": ['source == "partner"'],
    "needs": [["amount", "close_date"]],
    "message": ["A proposal needs an amount and a date."],
}


def editor_schema(
    connections: Mapping[str, str] | None = None,
    descriptions: Descriptions | None = None,
    entity: Entity | None = None,
) -> _Schema:
    """For all kinds of records; with `descriptions` for one, with the columns and statuses that both sides have."""
    names = dict(connections or SHIPPED_CONNECTIONS)
    made = _explained(schema(names), names)
    if descriptions is not None and entity is not None:
        made["properties"]["entity"] = {**made["properties"]["entity"], "enum": [entity]}
        for side, name in zip(SIDES, names, strict=True):
            if (side, entity) in descriptions:
                _know(made, side, name, descriptions, entity)
    return made


def editor_values_schema(connections: Mapping[str, str] | None = None) -> _Schema:
    """Of values.yaml."""
    names = dict(connections or SHIPPED_CONNECTIONS)
    return _explained(shared_schema(schema(names)), names)


def editor_examples_schema(connections: Mapping[str, str] | None = None) -> _Schema:
    """Of *.examples.yaml."""
    names = dict(connections or SHIPPED_CONNECTIONS)
    return _explained(examples_file_schema(names), names)


def _explained(rules: _Schema, names: Iterable[str]) -> _Schema:
    made = deepcopy(rules)
    _explain(made, set(names))
    return made


def _explain(node: Any, names: set[str]) -> None:
    """Fills in what a key is for, at every depth."""
    if not isinstance(node, dict):
        return
    for key, inner in node.get("properties", {}).items():
        if not isinstance(inner, dict):
            continue
        said = f"in {key}" if key in names else _SAID.get(key)
        if said is not None:
            inner.setdefault("description", said)
        if key in _EXAMPLES and "enum" not in inner:
            inner.setdefault("examples", _EXAMPLES[key])
    for part in ("properties", "$defs"):
        for inner in node.get(part, {}).values():
            _explain(inner, names)
    for part in ("additionalProperties", "items"):
        _explain(node.get(part), names)
    for inner in node.get("anyOf", ()):
        _explain(inner, names)


def _know(made: _Schema, side: Side, name: str, descriptions: Descriptions, entity: Entity) -> None:
    """This org's columns and words of one side."""
    found = descriptions[side, entity]
    columns = {
        "type": "string",
        "enum": sorted(found.columns),
        "markdownEnumDescriptions": [_about(found.columns[column]) for column in sorted(found.columns)],
    }
    defs = made["$defs"]
    known = deepcopy(defs["column"])
    for branch in known["anyOf"]:
        match branch.get("type"):
            case "string":
                branch.update(columns)
            case "object":
                branch["properties"] = {key: {**rule, **columns} for key, rule in branch["properties"].items()}
            case "array":
                branch["items"] = {**branch["items"], **columns}
            case _:
                pass
    defs[f"column_{name}"] = known
    field = defs["field"]["properties"]
    field[name] = {**field[name], "$ref": f"#/$defs/column_{name}"}
    for axis, states in STATES.items():
        row = defs[axis]["properties"].get(name)
        words = _words(found.statuses, states)
        if row is not None and words:
            row["examples"] = words


def _about(column: Any) -> str:
    parts = [f"**{column.label}**" if getattr(column, "label", "") else "", column.type]
    parts += [f"{column.length} characters"] if column.length else []
    parts += ["required"] if column.required else []
    parts += [] if column.createable or column.updateable else ["read only"]
    return ", ".join(part for part in parts if part)


def _words(options: Iterable[OptionLike], states: Iterable[str]) -> list[str | int]:
    """Labels, each once; what the flags say belongs to another axis is left out."""
    mine = [one for one in options if one.state is None or one.state in states]
    return list(dict.fromkeys(one.label for one in mine))

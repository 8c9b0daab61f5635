"""The JSON Schema of crmbridge.yaml for editors, made of the settings' own models; `check` judges the file."""

from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from crmbridge.settings.document import Settings
from crmbridge.settings.options_schema import lifecycle_schema, segments_schema

_TEXT: Final[JsonSchemaValue] = {"type": "string"}
_SAID: Final = {
    "connections": "exactly two: the left and the right system, by the names that the mappings have for them",
    "lifecycle": "what is chosen for the life cycle: docs/reference/lifecycle.md",
    "segments": "parts of the records with choices of their own: docs/reference/lifecycle.md",
}


def settings_schema() -> dict[str, Any]:
    made = Settings.model_json_schema(schema_generator=_AsWritten)
    made["$schema"] = GenerateJsonSchema.schema_dialect
    made["title"] = "crmbridge settings"
    keys = made["properties"]
    keys["lifecycle"], keys["segments"] = lifecycle_schema(), segments_schema()
    for name, rule in keys.items():
        said = {"description": _SAID[name]} if name in _SAID else {}
        # A section may stand there with all of its keys commented out.
        keys[name] = rule if name == "connections" else {"anyOf": [rule, {"type": "null"}]}
        keys[name] = {**keys[name], **said}
    return made


class _AsWritten(GenerateJsonSchema):
    """Values as they stand in the file: references, days and spans of time are texts there. Defaults are left out."""

    def is_instance_schema(self, schema: Any) -> JsonSchemaValue:
        return dict(_TEXT)

    def timedelta_schema(self, schema: Any) -> JsonSchemaValue:
        return dict(_TEXT)

    def datetime_schema(self, schema: Any) -> JsonSchemaValue:
        return dict(_TEXT)

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

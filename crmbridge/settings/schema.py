"""The JSON Schema of crmbridge.yaml for editors, made of the settings' own models; `check` judges the file."""

from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from crmbridge.settings.document import Settings
from crmbridge.settings.explained import Meanings, explained
from crmbridge.settings.options_schema import lifecycle_schema, segments_schema

_TEXT: Final[JsonSchemaValue] = {"type": "string"}


def settings_schema(said: Meanings | None = None) -> dict[str, Any]:
    """With what the reference says of each key (`meanings`), for people; without it, it takes and refuses the same."""
    made = Settings.model_json_schema(schema_generator=_AsWritten)
    made["$schema"] = GenerateJsonSchema.schema_dialect
    made["title"] = "crmbridge settings"
    keys = made["properties"]
    keys["lifecycle"], keys["segments"] = lifecycle_schema(), segments_schema()
    del made["$defs"]["Lifecycle"]  # the model knows one of its keys only
    for name, rule in keys.items():
        # A section may stand there with all of its keys commented out.
        keys[name] = rule if name == "connections" else {"anyOf": [rule, {"type": "null"}]}
    if said is not None:
        explained(made, said)
    return made


class _AsWritten(GenerateJsonSchema):
    """Values as they stand in the file: what the program makes something of (a reference, a span of time, business
    hours) is a text there. Defaults are left out, and so are titles that only repeat a key."""

    def is_instance_schema(self, schema: Any) -> JsonSchemaValue:
        return dict(_TEXT)

    def dataclass_schema(self, schema: Any) -> JsonSchemaValue:
        return dict(_TEXT)

    def timedelta_schema(self, schema: Any) -> JsonSchemaValue:
        return dict(_TEXT)

    def datetime_schema(self, schema: Any) -> JsonSchemaValue:
        return dict(_TEXT)

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

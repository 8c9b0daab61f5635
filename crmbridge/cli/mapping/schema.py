"""`crmbridge mapping schema`: JSON Schemas by which an editor completes and explains, with this org's own names."""

import json
from pathlib import Path

import rich_click as click

from crmbridge.cli.context import Place
from crmbridge.cli.mapping.common import json_option, shape_option
from crmbridge.cli.mapping.init import described
from crmbridge.model import ENTITIES


@click.command("schema")
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where they are written; the folder above the mappings if left out.",
)
@shape_option
@json_option
@click.pass_obj
def schema(place: Place, out: Path | None, shape: Path | None, as_json: bool) -> None:
    """Write one JSON Schema for each kind of record, with the fields and statuses that both systems have, and those of
    values.yaml and of the examples.

    Name it in the first line of a mapping, and the editor completes, explains and underlines as you type. Asks both
    systems, or reads --shape FILE.
    """
    from mapping.editor import editor_examples_schema, editor_schema, editor_values_schema

    connections, descriptions, mappings = described(place, shape)
    folder = out or mappings.parent
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[str, str] = {}
    schemas = {
        **{entity: editor_schema(connections, descriptions, entity) for entity in ENTITIES},
        "values": editor_values_schema(connections),
        "examples": editor_examples_schema(connections),
    }
    for name, made in schemas.items():
        file = folder / f"{name}.schema.json"
        file.write_text(f"{json.dumps(made, indent=1, ensure_ascii=False)}\n", encoding="utf-8")
        written[name] = str(file)
    if as_json:
        from crmbridge.cli.output import print_json

        print_json({"written": written})
        return
    from crmbridge.cli.output import say

    for name, path in written.items():
        say(f"{path}")
        file = "*.examples.yaml" if name == "examples" else f"{name}.yaml"
        say(f"  first line of {file}:  # yaml-language-server: $schema=../{name}.schema.json")

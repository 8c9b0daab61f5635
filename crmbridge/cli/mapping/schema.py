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
    """Write one JSON Schema for each kind of record, with the fields and statuses that both systems have.

    Name it in the first line of a mapping, and the editor completes, explains and underlines as you type. Asks both
    systems, or reads --shape FILE.
    """
    from mapping.editor import editor_schema

    connections, descriptions, mappings = described(place, shape)
    folder = out or mappings.parent
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[str, str] = {}
    for entity in ENTITIES:
        file = folder / f"{entity}.schema.json"
        text = json.dumps(editor_schema(connections, descriptions, entity), indent=1, ensure_ascii=False)
        file.write_text(f"{text}\n", encoding="utf-8")
        written[entity] = str(file)
    if as_json:
        from crmbridge.cli.output import print_json

        print_json({"written": written})
        return
    from crmbridge.cli.output import say

    for entity, path in written.items():
        say(f"{path}")
        say(f"  first line of {entity}.yaml:  # yaml-language-server: $schema=../{entity}.schema.json")

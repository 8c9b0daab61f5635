"""`crmbridge mapping init`: drafts of all mapping files, from what both systems say of themselves."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from crmbridge.cli.context import Place
from crmbridge.cli.mapping.common import json_option
from crmbridge.errors import ConfigError
from crmbridge.model import ENTITIES, Entity, Side

if TYPE_CHECKING:
    from mapping.draft import Drafted
    from mapping.draft_ends import Line

FOLDER_DEFAULT = "mappings"


@click.command("init")
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--shape",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draft for the systems in this file of `crmbridge capture`, instead of asking both.",
)
@click.option("--by-value", is_flag=True, help="Write stages by their ids, so that renaming one changes nothing.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@json_option
@click.pass_obj
def init(place: Place, directory: Path | None, shape: Path | None, by_value: bool, force: bool, as_json: bool) -> None:
    """Draft all mapping files from what both systems say of themselves, with a confidence and a comment per line.

    Standard fields, values and statuses are decided; everything else is a QUESTION: a line that is commented out and
    does nothing until you take the # away. Files go to DIR, or else to the mappings folder of crmbridge.yaml, and the
    schemas that they name for editors above it. What is there is not overwritten.
    """
    from mapping.draft import draft

    connections, descriptions, usual = described(place, shape)
    files = draft(connections, descriptions, by_value=by_value)
    folder = directory or usual
    _write(folder, files, force=force)
    schemas = _write_schemas(folder.parent, files)
    if as_json:
        from crmbridge.cli.output import print_json

        print_json(
            {
                "directory": str(folder.resolve()),
                "files": [_told(one, connections) for one in files],
                "schemas": schemas,
            }
        )
        return
    _say(folder, files)
    from crmbridge.cli.output import say

    for schema in schemas:
        say(f"Made {schema} for your editor: the files name it in their first line.")


def described(place: Place, shape: Path | None) -> tuple[dict[str, str], Any, Path]:
    """Connections, what each has, and where mappings usually are."""
    from crmbridge import wiring

    if shape is None:
        settings = place.settings()
        with wiring.open_to_ask(settings) as connectors:
            found: dict[tuple[Side, Entity], Any] = {
                (side, entity): connector.describe(entity)
                for side, connector in connectors.items()
                for entity in ENTITIES
            }
        return wiring.connections(settings), found, settings.mappings_folder
    from crmbridge.cli.shape import describe_shape

    try:
        settings = place.settings(secrets=False)
    except ConfigError as error:
        if error.code != "no_settings" or place.config is not None:
            raise
        return (*describe_shape(shape), Path(FOLDER_DEFAULT))
    return (*describe_shape(shape, wiring.connections(settings)), settings.mappings_folder)


def _write(folder: Path, files: "Sequence[Drafted]", *, force: bool) -> None:
    there = [str(folder / one.file) for one in files if (folder / one.file).exists()]
    if there and not force:
        raise ConfigError(
            f"{', '.join(there)} {'exists' if len(there) == 1 else 'exist'} already; nothing was written.",
            fix="Name another folder, such as `crmbridge mapping init drafts`, or say --force to replace them.",
            code="mapping_init",
        )
    folder.mkdir(parents=True, exist_ok=True)
    for one in files:
        draft = folder / f".{one.file}.new"  # a file that is there is whole, whatever happens meanwhile
        draft.write_text(one.text, encoding="utf-8")
        draft.replace(folder / one.file)


def _write_schemas(folder: Path, files: "Sequence[Drafted]") -> list[str]:
    """What the drafts name for editors and `crmbridge init` has not put there; what is there is left alone."""
    from mapping.draft import VALUES_SCHEMA
    from mapping.editor import editor_schema, editor_values_schema

    made: list[str] = []
    for name in sorted({one.schema for one in files if one.schema}):
        file = folder / name
        if not file.exists():
            document = editor_values_schema() if name == VALUES_SCHEMA else editor_schema()
            file.write_text(f"{json.dumps(document, indent=1, ensure_ascii=False)}\n", encoding="utf-8")
            made.append(str(file))
    return made


def _told(one: "Drafted", connections: dict[str, str]) -> dict[str, Any]:
    left, right = connections

    def line(each: "Line", part: str) -> dict[str, Any]:
        columns = {left: each.columns.get("left"), right: each.columns.get("right")} if part == "fields" else {}
        return {"name": each.name, "part": part, "confidence": each.confidence, "comment": each.comment, **columns}

    return {
        "file": one.file,
        **{name: one.count(name) for name in ("sure", "likely", "question")},
        "lines": [
            *(line(each, "fields") for each in one.fields),
            *(line(each, f"values.{table}") for table, rows in one.values.items() for each in rows),
            *(line(each, "statuses") for each in one.statuses),
        ],
    }


def _say(folder: Path, files: "Sequence[Drafted]") -> None:
    from crmbridge.cli.output import say, table

    columns = ("sure", "likely", "question")
    rows = [(str(folder / one.file), *(one.count(name) for name in columns)) for one in files]
    table(("file", "sure", "likely", "questions"), rows, right=("sure", "likely", "questions"))
    asked = sum(one.count("question") for one in files)
    if asked:
        say("A question is a line that is commented out: it does nothing until you take the # away.")
    say("Read the files, then run `crmbridge check --live`.")

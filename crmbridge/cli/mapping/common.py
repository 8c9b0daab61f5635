"""What the commands below `crmbridge mapping` share: options, and the documents they work on."""

from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import rich_click as click

from crmbridge.cli.context import Place
from crmbridge.errors import ConfigError
from crmbridge.model import ENTITIES, Entity

if TYPE_CHECKING:
    from mapping import Document, Documents
    from mapping import Place as MappingPlace

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
ENTITY: Final = click.Choice(ENTITIES)


shape_option = click.option(
    "--shape",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="What both systems have, from this file of `crmbridge capture`; nothing is asked.",
)


def offline(place: Place) -> "Documents":
    """The mappings, where nothing is connected to: secrets need not be there."""
    import mapping
    from crmbridge.settings.outline import outline

    found = outline(place.config, profile=place.profile)
    documents, _ = mapping.load(found.mappings_folder, connections=found.connections, profile=found.profile)
    return sound(documents)


def sound(documents: "Documents") -> "Documents":
    """Raises ConfigError with every problem of shape at once."""
    errors = tuple(str(one) for one in documents.findings if one.severity == "error")
    if errors:
        raise ConfigError(
            f"The mapping has {len(errors)} problem{'s' if len(errors) > 1 else ''}:\n" + "\n".join(errors),
            problems=errors,
            fix="Correct the lines named and run `crmbridge check` again.",
            code="mapping",
        )
    return documents


def one_of(documents: "Documents", entity: str) -> "Document":
    document = documents.of(cast("Entity", entity))
    if document is None:
        raise ConfigError(
            f"There is no mapping of {entity}.", fix="`crmbridge init` puts the shipped ones into mappings/."
        )
    return document


def plain_place(place: "MappingPlace") -> str:
    """`mappings/lead.yaml:23`, as an editor takes it: seen from the working directory where it is below that."""
    file = Path(place.file)
    here = Path.cwd()
    return f"{file.relative_to(here) if file.is_absolute() and file.is_relative_to(here) else file}:{place.line}"

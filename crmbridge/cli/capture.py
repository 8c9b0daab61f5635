"""`crmbridge capture`: the shape of both connected systems in one file, for a sandbox to serve. No records."""

import io
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import rich_click as click

from crmbridge import private
from crmbridge.cli.context import Place
from crmbridge.errors import ConfigError

if TYPE_CHECKING:
    from connectors.base import Captured, Connector
    from crmbridge.settings import Settings

FILE_DEFAULT: Final = "shape.yaml"
WIDTH: Final = 120


@click.command("capture")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=FILE_DEFAULT,
    show_default=True,
    help="The file to write; `-` prints it.",
)
@click.option(
    "--also",
    multiple=True,
    metavar="NAME",
    help="An object or table that is neither of the shipped shape nor custom; repeatable.",
)
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document: the file, and notes by connection.")
@click.pass_obj
def capture(place: Place, out: Path, also: tuple[str, ...], force: bool, as_json: bool) -> int:
    """Write down what both systems are made of: objects, fields, choices, statuses, processes; no records.

    The file names only what differs from the shapes that crmbridge ships. `crmbridge sandbox --seed FILE` serves it.
    """
    from crmbridge import wiring
    from crmbridge.cli.output import many, print_json, say

    settings = place.settings()
    printed = str(out) == "-"
    if printed and as_json:
        raise ConfigError("--json tells of a file; --out - writes none.", fix="Give one of the two.", code="capture")
    if out.exists() and not printed and not force:
        raise ConfigError(f"{out} exists already.", fix="Choose another --out, or say --force.", code="capture")
    found: dict[str, Captured] = {}
    with wiring.open_to_ask(settings) as connectors:
        for connector in connectors.values():
            found[connector.name] = _captured(connector, also)
    text = written(settings, found, datetime.now(UTC))
    if printed:
        click.echo(text, nl=False)
    else:
        draft = out.with_name(f".{out.name}.new")  # a file that is there is whole, whatever happens meanwhile
        private.write_text(draft, text)
        draft.replace(out)
    if as_json:
        print_json({"file": str(out), "notes": {name: list(one.notes) for name, one in found.items()}})
        return 0
    for name, one in found.items():
        for note in one.notes:
            click.echo(f"{name}: {note}", err=True)
    if not printed:
        notes = sum(len(one.notes) for one in found.values())
        say(f"{out}: {' and '.join(found)}, {many(len(text.splitlines()), 'line')}, {many(notes, 'note')}.")
        say(f"`crmbridge sandbox --seed {out}` serves it.")
    return 0


def _captured(connector: "Connector", also: tuple[str, ...]) -> "Captured":
    from connectors.base import Capturer

    if not isinstance(connector, Capturer):
        raise ConfigError(
            f"{connector.name}: a shape cannot be captured from a system of the kind {connector.system!r}.",
            fix="Salesforce and Dynamics 365 Sales have one.",
            code="capture",
        )
    return connector.capture(shipped(connector.system), also)


def shipped(system: str) -> Mapping[str, Any]:
    """The usual shape, as the sandbox ships it: a file of the package, read as data."""
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(Path(__file__).parents[1] / "sandbox" / "shapes" / f"{system}.yaml")


def keys(settings: "Settings") -> dict[str, str]:
    """The file's key of each connection: its system, or its name where both are of one kind."""
    systems = {name: settings.connections[name].system for name in settings.names}
    alike = len(set(systems.values())) < len(systems)
    return {name: name if alike else system for name, system in systems.items()}


def written(settings: "Settings", found: "Mapping[str, Captured]", now: datetime) -> str:
    """The file: where and when in comments, then the shapes in a stable order."""
    from ruamel.yaml import YAML

    named = keys(settings)
    document: dict[str, Any] = {}
    lines = [
        f"# What the connected systems are made of, captured by crmbridge on {now:%Y-%m-%d}, {now:%H:%M} UTC.",
        "# No records. It names what differs from the shipped shapes, as each connection's user sees it. Read it",
        "# before you share it: labels, formulas, help texts are your own. `crmbridge sandbox --seed FILE` serves it.",
    ]
    for name, one in found.items():
        connection = settings.connections[name]
        lines.append(f"# {named[name]}: connection {name}, {_host(connection.url)}")
        lines += [f"#   note: {' '.join(note.split())}" for note in one.notes]
        system = {} if named[name] == connection.system else {"system": connection.system}
        document[named[name]] = {**system, **one.shape}
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = None
    writer.width = WIDTH
    writer.allow_unicode = True
    writer.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]
    stream = io.StringIO()
    writer.dump(document, stream)
    return "\n".join(lines) + "\n\n" + stream.getvalue()


def _host(url: str) -> str:
    from urllib.parse import urlsplit

    return urlsplit(url).hostname or "-"

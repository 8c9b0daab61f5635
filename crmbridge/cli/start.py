"""`crmbridge init`: a working folder with everything an admin edits."""

import shutil
import site
import sys
from pathlib import Path
from typing import Final

import rich_click as click

from crmbridge.errors import ConfigError

SCHEMAS: Final = ("mapping.schema.json", "values.schema.json", "examples.schema.json", "crmbridge.schema.json")
SHIPPED: Final = ("crmbridge.yaml", ".env.example", *SCHEMAS, "mappings")


@click.command("init")
@click.argument("directory", metavar="[DIR]", default=".", type=click.Path(path_type=Path, file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print what was made as one JSON document.")
def init(directory: Path, as_json: bool) -> None:
    """Make a working folder: crmbridge.yaml, mappings/ and .env.example. What is there already is left alone."""
    made, kept = copy_shipped(shipped_config(), directory)
    if as_json:
        from crmbridge.cli.output import print_json

        print_json({"directory": str(directory.resolve()), "made": made, "kept": kept})
        return
    for name in made:
        click.echo(f"made  {directory / name}")
    for name in kept:
        click.echo(f"kept  {directory / name} (it was there already)")
    click.echo(
        "\nNext: fill in the connections in crmbridge.yaml, copy .env.example to .env and put the secrets there; then\n"
        "  crmbridge check          what is wrong in the files\n"
        "  crmbridge check --live   the same, with both CRMs asked\n"
        "  crmbridge plan           what a first run would do"
    )


def shipped_config() -> Path:
    """Where this installation keeps the configuration it ships: share/crmbridge of a wheel, config/ of a checkout."""
    checkout = Path(__file__).resolve().parents[2]
    places = [checkout / "config"] if (checkout / "pyproject.toml").exists() else []
    places += [Path(root) / "share" / "crmbridge" for root in (sys.prefix, site.getuserbase())]
    for place in places:
        if (place / "mappings").is_dir():
            return place
    raise ConfigError(
        f"The configuration that crmbridge ships is missing; looked in {', '.join(map(str, places))}.",
        fix="Install crmbridge again.",
    )


def copy_shipped(source: Path, target: Path) -> tuple[list[str], list[str]]:
    """Returns the names made and the names that were there already; nothing is overwritten."""
    made: list[str] = []
    kept: list[str] = []
    files = [file for name in SHIPPED for file in _files(source / name)]
    for file in files:
        name = file.relative_to(source)
        if (target / name).exists():
            kept.append(str(name))
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target / name)
        made.append(str(name))
    return made, kept


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]

"""`crmbridge mapping fmt`: tidies mapping files byte by byte; values and comments never change."""

from collections.abc import Sequence
from pathlib import Path

import rich_click as click

from crmbridge.cli.context import Place
from crmbridge.cli.mapping.common import json_option
from crmbridge.errors import ConfigError
from crmbridge.model import SIDES

SUFFIXES = (".yaml", ".yml")


@click.command("fmt")
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--check", is_flag=True, help="Change nothing; exit 1 if there is something to tidy.")
@json_option
@click.pass_obj
def fmt(place: Place, files: tuple[Path, ...], check: bool, as_json: bool) -> int:
    """Tidy mapping files: blanks, and the order of the keys in a line. Values and comments never change.

    Without FILE all of the mappings folder, examples and shared values included; with it, no crmbridge.yaml is needed.
    Line breaks, indentation and the order of the lines stay as they are.
    """
    from mapping.fmt import changed_lines

    wanted, names = _wanted(place, files)
    texts = _formatted(wanted, names)
    touched = [(file, before, after) for file, before, after in texts if before != after]
    if not check:
        for file, _, after in touched:
            _write(file, after)
    lines = {str(file): changed_lines(before, after) for file, before, after in touched}
    code = int(check and bool(touched))
    if as_json:
        from crmbridge.cli.output import print_json

        print_json({"ok": code == 0, "exit_code": code, "checked": len(wanted), "changed": lines, "written": not check})
        return code
    for name, numbers in lines.items():
        first = numbers[0]
        more = f" and {len(numbers) - 1} more" if len(numbers) > 1 else ""
        click.echo(f"{name}:{first}: {'would be' if check else 'was'} tidied{more}")
    if not touched:
        click.echo("Nothing to tidy.")
    return code


def _wanted(place: Place, files: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The files, and what the connections are called, whose keys come first in a line."""
    from crmbridge.settings.outline import outline

    try:
        found = outline(place.config, profile=place.profile)
    except ConfigError as error:
        if error.code != "no_settings" or place.config is not None or not files:
            raise
        return list(files), _connections_beside(files[0])
    folder = found.mappings_folder
    wanted = list(files) or sorted(file for file in folder.glob("*") if file.suffix in SUFFIXES)
    if not wanted:
        raise ConfigError(f"There is no mapping in {folder}.", fix="`crmbridge init` puts the shipped ones there.")
    return wanted, list(found.connections)


def _connections_beside(file: Path) -> list[str]:
    """As the mappings of its folder name them: values and examples say nothing of that themselves."""
    from mapping.source import read_file

    for one in (file, *sorted(each for each in file.parent.glob("*") if each.suffix in SUFFIXES)):
        data = read_file(one).data
        ends = {str(name): part for name, part in data.items() if isinstance(part, dict)} if data else {}
        names = [name for name, part in ends.items() if {"object", "table"} & part.keys()]
        if len(names) == len(SIDES):
            return names
    return []


def _formatted(files: Sequence[Path], names: Sequence[str]) -> list[tuple[Path, str, str]]:
    """All or none: what cannot be read is told before anything is written."""
    from mapping.fmt import NotFormatted, formatted

    texts: list[tuple[Path, str, str]] = []
    problems: list[str] = []
    for file in files:
        try:
            before = file.read_bytes().decode("utf-8")
            texts.append((file, before, formatted(before, file=str(file), names=names)))
        except UnicodeDecodeError as error:
            problems.append(f"{file}: is not UTF-8 text (byte {error.start}); save it as UTF-8")
        except NotFormatted as problem:
            problems += problem.problems
    if problems:
        count = len(problems)
        raise ConfigError(
            f"Nothing was tidied: there {'is a problem' if count == 1 else f'are {count} problems'}.",
            problems=tuple(problems),
            fix="Correct the lines named.",
            code="mapping",
        )
    return texts


def _write(file: Path, text: str) -> None:
    """Whole or not at all, with the rights that it had."""
    target = file.resolve()  # a link stays one
    fresh = target.with_name(f".{target.name}.fmt")
    fresh.write_bytes(text.encode("utf-8"))
    fresh.chmod(target.stat().st_mode)
    fresh.replace(target)

"""`crmbridge mapping versions` and `rollback`: by which mapping the runs went, and the way back to one of them."""

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from crmbridge.cli.context import Place
from crmbridge.cli.mapping.common import json_option
from crmbridge.cli.mapping.which import too_many, versions_called
from crmbridge.errors import ConfigError

if TYPE_CHECKING:
    from crmbridge.state.words import MappingRow


@click.command("versions")
@json_option
@click.pass_obj
def versions(place: Place, as_json: bool) -> None:
    """List the mappings by which runs went, the newest first. Asks the store and the files only."""
    from crmbridge import wiring
    from mapping import version_of

    settings = place.settings()
    with place.store() as store:
        rows, runs = store.mappings(), store.runs()
    texts = wiring.mapping_texts(settings)
    broken: ConfigError | None = None
    now = ""
    try:
        now = version_of(texts, wiring.load_mapping(settings, texts)).id
    except ConfigError as error:  # just then a way back is looked for
        broken = error
    documents = [
        {
            "version": row.id,
            "label": row.label,
            "first_used_at": row.first_used_at,
            "runs": sum(run.mapping == row.id for run in runs),
            "in_the_files": row.id == now,
            "files": sorted(row.texts),
        }
        for row in rows
    ]
    if as_json:
        from crmbridge.cli.output import print_json

        print_json({"versions": documents, "files_are": now or None})
        return
    from crmbridge.cli.output import say, table

    table(
        ["version", "called", "first used (UTC)", "runs", ""],
        [
            [
                *(one[name] for name in ("version", "label", "first_used_at", "runs")),
                "the files now" if one["in_the_files"] else "",
            ]
            for one in documents
        ],
        right=["runs"],
    )
    if broken is not None:
        say("The files are broken (`crmbridge check`). To go back: crmbridge mapping rollback VERSION")
    elif all(row.id != now for row in rows):
        say(f"The files are {now}; no run went by it yet. `crmbridge mapping diff` says what it would change.")


@click.command("rollback")
@click.argument("version", metavar="VERSION")
@json_option
@click.pass_obj
def rollback(place: Place, version: str, as_json: bool) -> None:
    """Write the mapping files of an earlier VERSION back into the folder: its id in `crmbridge mapping versions`, the
    beginning of it, or what it is called.

    What stands there now is kept beside it with the ending .before-rollback (then .before-rollback-2, and so on);
    nothing is written to a CRM. The next plan shows what the way back changes.
    """
    settings = place.settings()
    with place.store() as store:
        wanted = find(store.mappings(), version)
    written, kept = write_back(settings.mappings_folder, wanted)
    if as_json:
        from crmbridge.cli.output import print_json

        print_json({"version": wanted.id, "written": written, "kept": kept})
        return
    from crmbridge.cli.output import say

    say(f"The mapping is {wanted.id} again: {', '.join(written) or 'nothing had to be written'}.")
    for file in kept:
        say(f"What stood there is kept as {file}")
    say("`crmbridge plan` says what that changes; workers take it up with their next cycle.")


def find(rows: "list[MappingRow]", version: str) -> "MappingRow":
    hits = versions_called(version, rows)
    if len(hits) == 1:
        return hits[0]
    why = too_many(hits) if hits else "no version begins with it or is called so"
    raise ConfigError(f"Which version is {version!r}: {why}.", fix="`crmbridge mapping versions` lists them.")


def write_back(folder: Path, wanted: "MappingRow") -> tuple[list[str], list[str]]:
    """Files that were not part of that version go as well, since they would be read."""
    from mapping import read_texts

    now = read_texts(folder)
    written: list[str] = []
    kept: list[str] = []
    for name in sorted({*now, *wanted.texts}):
        text = wanted.texts.get(name)
        if text == now.get(name):
            continue
        file = folder / name
        if file.exists():
            kept.append(_keep(file).name)
        if text is None:
            file.unlink()
            written.append(f"{name} taken away")
        else:
            _replace(file, text)
            written.append(name)
    return written, kept


def _keep(file: Path) -> Path:
    """A copy beside it, never over one of an earlier way back: perhaps no version has what is in that one."""
    text = file.read_bytes()
    names = (f"{file.name}.before-rollback{'' if number == 1 else f'-{number}'}" for number in count(1))
    saved = next(one for one in map(file.with_name, names) if not one.exists() or one.read_bytes() == text)
    saved.write_bytes(text)
    return saved


def _replace(file: Path, text: str) -> None:
    """Whole or not at all: a worker may read it at any moment."""
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_text(text, encoding="utf-8", newline="")
    fresh.replace(file)

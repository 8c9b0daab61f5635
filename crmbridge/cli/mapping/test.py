"""`crmbridge mapping test`: tries the examples that are kept with the mappings, and shows what came out otherwise."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from crmbridge.cli.context import Place
from crmbridge.cli.mapping.common import json_option, offline, plain_place, shape_option
from crmbridge.errors import ConfigError

if TYPE_CHECKING:
    from mapping import Document, Documents
    from mapping.examples import Example
    from mapping.trial import Miss, Trial


@click.command("test")
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@shape_option
@json_option
@click.pass_obj
def test(place: Place, files: tuple[Path, ...], shape: Path | None, as_json: bool) -> int:
    """Try the examples of the mappings: given this, is that what comes of it?

    Examples stand under `examples:`, in a mapping or beside it (lead.examples.yaml for lead.yaml); FILE is one of these
    files, and without any all are tried. No CRM is asked. Labels that only a CRM can turn into numbers need --shape.
    Exits 1 if an example fails.
    """
    import mapping
    from mapping.given import Reader
    from mapping.trial import run

    documents = offline(place)
    descriptions = _described(documents, shape)
    compiled = mapping.compile(documents, descriptions=descriptions or None)
    trials: list[Trial] = []
    for document, examples in _examples(documents, files):
        mine = {side: one for (side, entity), one in descriptions.items() if entity == document.entity}
        reader = Reader(document=document, compiled=compiled.entities[document.entity], descriptions=mine)
        trials += [run(reader, example) for example in examples]
    failed = [trial for trial in trials if trial.misses]
    if as_json:
        from crmbridge.cli.output import print_json

        print_json({"ok": not failed, "exit_code": int(bool(failed)), "examples": [_document(one) for one in trials]})
    else:
        _print(trials)
    return int(bool(failed))


def _described(documents: "Documents", shape: Path | None) -> dict[Any, Any]:
    if shape is None:
        return {}
    from crmbridge.cli.shape import describe_shape

    return describe_shape(shape, documents.connections)[1]


def _examples(documents: "Documents", files: Sequence[Path]) -> Iterator[tuple["Document", "list[Example]"]]:
    """Raises ConfigError with all that is wrong in their shape."""
    from mapping.examples import beside, examples_of
    from mapping.source import read_file

    left = {file.resolve() for file in files}
    problems: list[str] = []
    found: list[tuple[Document, list[Example]]] = []
    for document in documents:
        own, near = Path(document.source.file).resolve(), beside(document.source.file).resolve()
        if not files or own in left:
            found.append((document, examples_of(document)[0]))
        if near.is_file() and (not files or near in left or own in left):
            examples, findings = examples_of(document, read_file(beside(document.source.file)))
            problems += [str(finding) for finding in findings if finding.severity == "error"]
            found.append((document, examples))
        left -= {own, near}
    if left:
        names = ", ".join(sorted(str(file) for file in left))
        raise ConfigError(
            f"{names} is no file of these mappings, and none of their examples.",
            fix="Examples lie beside their mapping: lead.examples.yaml beside lead.yaml.",
        )
    if problems:
        raise ConfigError(
            f"The examples have {len(problems)} problem{'s' if len(problems) > 1 else ''}:\n" + "\n".join(problems),
            problems=tuple(problems),
            fix="Correct the lines named.",
            code="mapping",
        )
    yield from found


def _document(trial: "Trial") -> dict[str, Any]:
    return {
        "name": trial.example.name,
        "at": plain_place(trial.example.place),
        "ok": not trial.misses,
        "misses": [
            {
                "at": plain_place(miss.at),
                "what": miss.what,
                "expected": miss.expected,
                "found": miss.found,
                "by": plain_place(miss.rule) if miss.rule else None,
                "note": miss.note,
            }
            for miss in trial.misses
        ],
    }


def _print(trials: "Sequence[Trial]") -> None:
    from crmbridge.cli.output import many, say

    for trial in trials:
        sign = "FAILED" if trial.misses else "ok    "
        say(f"{sign} {plain_place(trial.example.place)}: {trial.example.name}")
        for miss in trial.misses:
            for line in _lines(miss):
                say(line)
    failed = sum(bool(trial.misses) for trial in trials)
    if not trials:
        say("There is no example yet. `crmbridge mapping capture RECORD` writes one from a record, masked.")
    else:
        say(f"{many(len(trials), 'example')}, {f'{failed} failed' if failed else 'all as expected'}.")


def _lines(miss: "Miss") -> Iterator[str]:
    """The place first, so that an editor or a terminal makes a link of it."""
    place = f"  {plain_place(miss.at)}: "
    if miss.expected is None and miss.found is None:
        yield f"{place}{f'{miss.what}: ' if miss.what else ''}{miss.note}"
        return
    yield f"{place}{miss.what}"
    yield f"      expected  {_shown(miss.expected)}"
    by = f"   ({plain_place(miss.rule)})" if miss.rule else ""
    yield f"      found     {_shown(miss.found)}{by}"
    if miss.note:
        yield f"      {miss.note}"


def _shown(value: Any) -> str:
    return "blank" if value is None else repr(value) if isinstance(value, str) else str(value)

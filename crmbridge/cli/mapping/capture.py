"""`crmbridge mapping capture`: an example from a real record, masked, at the end of the examples beside the mapping."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from crmbridge.cli.context import Place
from crmbridge.cli.mapping.common import json_option
from crmbridge.errors import ConfigError
from crmbridge.model import SIDES, Entity, Side, other

if TYPE_CHECKING:
    from crmbridge.cli.mapping.choose import Chosen
    from crmbridge.sync.cycle import Engine
    from mapping import CompiledEntity, Document

_KEY_BYTES = 32


@click.command("capture")
@click.argument("record", metavar="RECORD")
@click.option("--print", "only_print", is_flag=True, help="Show it, and write nothing.")
@json_option
@click.pass_obj
def capture(place: Place, record: str, only_print: bool, as_json: bool) -> None:
    """Write an example from a real record, masked, behind those beside its mapping (lead.examples.yaml).

    RECORD is a shared id, a native id, a CRM URL or entity:e-mail. A native id or URL gives one example, of that side;
    else there is one of each side. Names, addresses, e-mails, phones, texts, numbers and days are replaced by made-up
    ones of the same shape; choices, countries and yes/no stay. What is expected is what the mapping makes of it now.
    """
    import mapping
    from crmbridge import wiring
    from crmbridge.cli.mapping.choose import named
    from mapping.examples import beside

    settings = place.settings()
    documents = wiring.load_mapping(settings)
    with place.engine() as engine:
        [chosen] = named(engine, settings, [record])
        document = next(one for one in documents if one.entity == chosen.entity)
        compiled = mapping.compile(documents).entities[chosen.entity]  # as `mapping test` has it, without any CRM
        entries = _entries(engine, document, compiled, chosen, record)
    file = beside(document.source.file)
    text = file.read_bytes().decode("utf-8") if file.is_file() else ""
    made = _appended(text, _numbered(entries, text), file)
    if not only_print:
        _write(file, made)
    _tell(file, text, made, len(entries), written=not only_print, as_json=as_json)


def _entries(
    engine: "Engine", document: "Document", compiled: "CompiledEntity", chosen: "Chosen", record: str
) -> list[dict[str, Any]]:
    from crmbridge.cli.find import candidates
    from mapping.mask import Masker

    if not chosen.rows:
        raise ConfigError("No CRM shows that record any more.", fix="Name another one.")
    named_ids = {row.ref.id for row in chosen.rows.values()} & set(candidates(record))
    masker = Masker(key=secrets.token_bytes(_KEY_BYTES))
    return [
        _entry(engine, document, compiled, chosen, side, masker)
        for side in SIDES
        if side in chosen.rows and (not named_ids or chosen.rows[side].ref.id in named_ids)
    ]


def _entry(
    engine: "Engine", document: "Document", compiled: "CompiledEntity", chosen: "Chosen", side: Side, masker: Any
) -> dict[str, Any]:
    """Tried once, to learn what comes of it, and once more, to see that it holds."""
    from mapping.captured import Capture
    from mapping.given import Reader
    from mapping.trial import run

    names = document.names
    connector = engine.connectors[side]
    row = connector.complete(chosen.rows[side])
    taker = Capture(
        document=document,
        compiled=compiled,
        side=side,
        masker=masker,
        directory=connector.directory(),
        description=connector.describe(chosen.entity),
        description_there=engine.connectors[other(side)].describe(chosen.entity),
    )
    given = taker.given(row, connector.life(row))
    entry: dict[str, Any] = {"name": f"captured from {names[side]}", "given": {names[side]: given}, "expect": {}}
    reader = Reader(document=document, compiled=compiled)
    directory = connector.directory()
    if directory.currency != "USD":
        entry["currency"] = directory.currency
    first = run(reader, _example(document, {**entry, "expect": {"crosses": True}}))
    if any(miss.what.startswith(names[side]) for miss in first.misses):
        raise ConfigError(
            "The record cannot be written down so that it is read again without its CRM.",
            problems=tuple(f"{miss.what}: {miss.note}" for miss in first.misses),
            fix="Write the example by hand, with the numbers of its choices.",
        )
    entry["expect"] = _expect(document, chosen.entity, side, first)
    left = run(reader, _example(document, entry)).misses
    assert not left, [(miss.what, miss.note) for miss in left]
    return entry


def _expect(document: "Document", entity: Entity, side: Side, trial: Any) -> dict[str, Any]:
    """Values, not blanks; what does not cross, with its cause; that the filter leaves it out, if it does."""
    shared = {name: value for name, value in trial.shared.items() if value is not None}
    written = {column: value for column, value in trial.natives[other(side)].items() if value is not None}
    held = {miss.what.removeprefix("held."): miss.found for miss in trial.misses if miss.what.startswith("held.")}
    left_out = any(miss.what == "crosses" for miss in trial.misses)
    return {
        "shared": shared,
        document.names[other(side)]: written,
        **({"held": held} if held else {}),
        **({"crosses": False} if left_out else {}),
    }


def _example(document: "Document", entry: Mapping[str, Any]) -> Any:
    """As it will be read from the file."""
    from mapping.examples import examples_of
    from mapping.source import read_text
    from mapping.yaml_lines import append

    source = read_text(append("", "examples", [entry], file="captured"), file="captured")
    examples, findings = examples_of(document, source)
    assert not findings, [str(one) for one in findings]
    return examples[0]


# --- the file -----------------------------------------------------------------------------------------------------


def _numbered(entries: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """`captured from salesforce 3`: names are told apart by people."""
    known = text.count("name: captured from ")
    return [{**entry, "name": f"{entry['name']} {known + n}"} for n, entry in enumerate(entries, 1)]


def _appended(text: str, entries: list[dict[str, Any]], file: Path) -> str:
    from mapping.yaml_lines import NotAppended, append, item

    try:
        return append(text, "examples", entries, file=str(file))
    except NotAppended as problem:
        lines = "\n".join(line for entry in entries for line in item(entry, 2))
        raise ConfigError(
            f"Nothing was written to {file}: {problem}.", fix=f"Add these lines there by hand:\n{lines}"
        ) from problem


def _write(file: Path, text: str) -> None:
    """Whole or not at all."""
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_bytes(text.encode("utf-8"))
    if file.exists():
        fresh.chmod(file.stat().st_mode)
    fresh.replace(file)


def _tell(file: Path, before: str, after: str, count: int, *, written: bool, as_json: bool) -> None:
    added = after[len(before) :] if after.startswith(before) else after
    start = before.count("\n") + 1
    if as_json:
        from crmbridge.cli.output import print_json

        print_json({"file": str(file), "line": start, "examples": count, "written": written, "text": added})
        return
    click.echo(added, nl=False)
    if written:
        from crmbridge.cli.output import seen_from_here

        place = f"{seen_from_here(str(file))}:{start}"
        click.echo(f"Written to {place}. Look through it before you show it to others.", err=True)

"""`crmbridge mapping explain`: the life cycle and each field, as tables in words, or the life cycle as a diagram."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from crmbridge.cli.context import Place
from crmbridge.cli.mapping.common import ENTITY, json_option, offline, one_of, plain_place
from crmbridge.errors import ConfigError
from crmbridge.model import SIDES

if TYPE_CHECKING:
    from mapping import Document
    from mapping.explain import LifeCycle


@click.command("explain")
@click.argument("entity", metavar="[ENTITY]", required=False, type=ENTITY)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "mermaid", "svg"]),
    default="table",
    show_default=True,
    help="Tables in words, or the life cycle as a diagram.",
)
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where a diagram is written; on stdout if left out.",
)
@json_option
@click.pass_obj
def explain(place: Place, entity: str | None, form: str, out: Path | None, as_json: bool) -> None:
    """Show the life cycle and its rows, as a table or a diagram; with ENTITY, also what happens to each field.

    ENTITY is account, contact, lead or opportunity. Reads the mapping files only, and asks no CRM.
    """
    from mapping.explain import life_cycle

    documents = offline(place)
    wanted = [one_of(documents, entity)] if entity else [one for one in documents if life_cycle(one) is not None]
    if form == "table":
        if out is not None:
            raise click.UsageError("--out is for --format mermaid or svg; send a table to a file with `>`.")
        _tables(wanted, fields=entity is not None, as_json=as_json)
        return
    diagrams = {one.entity: _diagram(one, form) for one in wanted}
    if form == "svg" and len(diagrams) > 1 and not as_json:
        raise click.UsageError(f"One picture at a time; add one of {', '.join(diagrams)}.")
    if out is not None:
        out.write_text("\n".join(diagrams.values()), encoding="utf-8")
    if as_json:
        from crmbridge.cli.output import print_json

        print_json({"format": form, "file": str(out) if out else None, "diagrams": diagrams})
    elif out is None:
        click.echo("\n".join(diagrams.values()), nl=False)
    else:
        click.echo(f"wrote {out}")


def _diagram(document: "Document", form: str) -> str:
    from mapping.diagram import mermaid, svg
    from mapping.explain import life_cycle

    life = life_cycle(document)
    if life is None:
        raise ConfigError(
            f"An {document.entity} has no life cycle to draw.",
            fix="Leads and opportunities have; or use --format table.",
        )
    return mermaid(life) if form == "mermaid" else svg(life)


def _tables(documents: "list[Document]", *, fields: bool, as_json: bool) -> None:
    from crmbridge.cli.output import print_json
    from mapping.explain import life_cycle

    lives = {one.entity: life_cycle(one) for one in documents}
    if as_json:
        print_json(
            {
                "entities": {
                    one.entity: {
                        "life_cycle": _life_document(life) if (life := lives[one.entity]) else None,
                        "fields": _field_documents(one) if fields else None,
                    }
                    for one in documents
                }
            }
        )
        return
    for one in documents:
        life = lives[one.entity]
        if life is not None:
            _print_life(life)
        if fields:
            _print_fields(one)


def _life_document(life: "LifeCycle") -> dict[str, Any]:
    return {
        "axis": life.axis,
        "rows": [
            {
                "row": row.name,
                "state": row.state,
                **{life.names[side]: list(row.words[side]) for side in SIDES},
                "notes": list(row.notes),
                "at": plain_place(row.place),
            }
            for row in life.rows
        ],
        "moves": [{"from": one, "to": two, "verb": verb} for one, two, verb in life.moves],
    }


def _field_documents(document: "Document") -> list[dict[str, Any]]:
    from mapping.explain import fields

    return [
        {
            "field": line.name,
            **{document.names[side]: line.columns.get(side) for side in SIDES},
            "convert": line.way,
            "wins": line.winner,
            "notes": list(line.notes),
            "at": plain_place(line.place),
        }
        for line in fields(document)
    ]


def _print_life(life: "LifeCycle") -> None:
    from crmbridge.cli.output import head, say, table

    head(f"{life.entity}: {life.axis}")
    table(
        ["state", "row", *(life.names[side] for side in SIDES), "notes", "at"],
        [
            [
                row.state,
                row.name,
                *(row.words[side] for side in SIDES),
                row.notes,
                plain_place(row.place),
            ]
            for state in life.states
            for row in life.of(state)
        ],
    )
    say("The first word of a cell is the one that is written; all are read.")
    for state in life.states:
        moves = [f"{verb} (to {two})" for one, two, verb in life.moves if one == state]
        say(f"  {state}: {'; '.join(moves) or 'stays; a conversion is not undone across'}")
    say()


def _print_fields(document: "Document") -> None:
    from crmbridge.cli.output import table
    from mapping.explain import fields

    table(
        ["field", *(document.names[side] for side in SIDES), "read and written as", "who wins", "notes", "at"],
        [
            [
                line.name,
                *(line.columns.get(side) for side in SIDES),
                line.way,
                line.winner,
                line.notes,
                plain_place(line.place),
            ]
            for line in fields(document)
        ],
        title=f"{document.entity}: fields",
    )

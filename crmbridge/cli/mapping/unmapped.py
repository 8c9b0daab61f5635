"""`crmbridge mapping unmapped`: values that records have and no row reads, with counts and the line to paste."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import rich_click as click

from crmbridge.cli.context import Place
from crmbridge.cli.mapping.common import ENTITY, json_option, plain_place
from crmbridge.model import ENTITIES, SIDES, Entity, Life, Row, Side

if TYPE_CHECKING:
    from crmbridge.sync.cycle import Engine
    from mapping.described import DescriptionLike
    from mapping.unmapped import Counting, Met

_CHUNK = 500
SAMPLE = 200  # of each kind, where nothing was read yet


@click.command("unmapped")
@click.option("--entity", type=ENTITY, help="One kind of record only.")
@click.option("--sample", "count", metavar="N", type=click.IntRange(1, 100_000), help="Read N of each kind live.")
@json_option
@click.pass_obj
def unmapped(place: Place, entity: str | None, count: int | None, as_json: bool) -> None:
    """List the values that records have and no row of the mapping reads, with the line to paste for each.

    All records that the store knows are looked at, as last read; where there is none yet, and with --sample, some of
    each kind are read live. A line to paste is good as it is, and there to be bettered.
    """
    from crmbridge import wiring
    from mapping.unmapped import Counting

    documents = {one.entity: one for one in wiring.load_mapping(place.settings())}
    told: list[dict[str, Any]] = []
    looked_at: dict[Entity, int] = {}
    with place.engine() as engine:
        descriptions = wiring.describe(engine.connectors)
        for one in ENTITIES:
            if one not in documents or entity not in (None, one):
                continue
            mine: dict[Side, DescriptionLike] = {side: descriptions[side, one] for side in SIDES}
            counting = Counting(document=documents[one], compiled=engine.compiled.entities[one], descriptions=mine)
            for rows in _rows(engine, one, count):
                _count(engine, counting, rows)
            looked_at[one] = counting.records
            told += [_document(one, met, engine.names) for met in counting.found()]
    if as_json:
        from crmbridge.cli.output import print_json

        print_json({"looked_at": looked_at, "unmapped": told})
        return
    _print(told, looked_at)


def _count(engine: "Engine", counting: "Counting", rows: Mapping[Side, Row]) -> None:
    """A pair, or one record."""
    whole: dict[Side, Row] = {side: engine.connectors[side].complete(row) for side, row in rows.items()}
    lives: dict[Side, Life] = {side: engine.connectors[side].life(row) for side, row in whole.items()}
    for side, row in whole.items():
        counting.add(row, lives[side])
    if len(whole) == len(SIDES):
        counting.add_pair(whole, lives)


def _rows(engine: "Engine", entity: Entity, count: int | None) -> Iterator[Mapping[Side, Row]]:
    """Pairs, then records without a partner."""
    from crmbridge.cli.mapping.choose import sample

    if count is not None or not any(engine.store.count_records(side, entity) for side in SIDES):
        for chosen in sample(engine, count or SAMPLE, [entity]):
            yield chosen.rows
        return
    links = [link for link in engine.store.all_links(entity) if link.alive]
    for start in range(0, len(links), _CHUNK):
        some = links[start : start + _CHUNK]
        stored = {
            side: engine.store.records(side, entity, [id for link in some if (id := link.id_on(side)) is not None])
            for side in SIDES
        }
        for link in some:
            found: dict[Side, Row] = {}
            for side in SIDES:
                one = stored[side].get(link.id_on(side) or "")
                if one is not None and one.row.values is not None and not one.row.deleted:
                    found[side] = one.row
            yield found
    for side in SIDES:
        for one in engine.store.unlinked(side, entity):
            if one.row.values is not None and not one.row.deleted:
                yield {side: one.row}


def _document(entity: Entity, met: "Met", names: Mapping[Side, str]) -> dict[str, Any]:
    return {
        "entity": entity,
        "field": met.field,
        "on": names[met.side],
        "column": met.column or None,
        "value": met.value,
        "label": met.label,
        "records": met.count,
        "becomes": met.unmapped,
        "table": met.table,
        "paste_after": plain_place(met.after),
        "line": met.line,
        "beside": met.beside or None,
    }


def _print(told: list[dict[str, Any]], looked_at: dict[Entity, int]) -> None:
    from crmbridge.cli.output import many, say, table

    table(
        ["kind", "field", "on", "value", "called", "records", "most partners have", "they are"],
        [
            [
                *(one[name] for name in ("entity", "field", "on", "value", "label", "records", "beside")),
                _WORDS[one["becomes"]],
            ]
            for one in told
        ],
        right=["records"],
    )
    lines: dict[tuple[str, str], list[str]] = {}
    for one in told:
        some = lines.setdefault((one["paste_after"], one["table"]), [])
        if one["line"] not in some:
            some.append(one["line"])
    for (after, name), some in lines.items():
        say(f"behind {after}, under {name}:")
        for line in some:
            say(f"    {line}")
    for one in told:
        if not one["beside"] and "lossy:" in one["line"]:
            say(f"{one['label']!r}: no partner tells what it means; the other value of that line is a guess.")
    seen = ", ".join(f"{many(number, entity)}" for entity, number in looked_at.items())
    say(f"{many(len(told), 'value')} unmapped, in {seen or 'no records'}.")


_WORDS = {"hold": "held", "ignore": "left as they are", "pass": "handed over as they are"}

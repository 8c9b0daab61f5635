"""`crmbridge pause` and `resume`: writes of one kind of record, of one side, or all wait; with who and why."""

import getpass
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import rich_click as click

from crmbridge.cli.context import Place, names
from crmbridge.errors import ConfigError
from crmbridge.model import ENTITIES, SIDES, Entity, Side, other

if TYPE_CHECKING:
    from crmbridge.pauses import Pause
    from crmbridge.state.pauses import Queue

_entity = click.option("--entity", type=click.Choice(ENTITIES), help="Only this kind of record.")
_side = click.option("--side", "connection", metavar="NAME", help="Only writes to this connection.")
_by = click.option("--by", default=None, metavar="NAME", help="Who says so; default: the user of this system.")
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.command("pause")
@_entity
@_side
@click.option("--reading", is_flag=True, help="Do not even read it. Without this only writes wait.")
@click.option("--why", required=True, metavar="TEXT", help="Kept with it, and shown by `status`.")
@_by
@_json
@click.pass_obj
def pause(
    place: Place,
    entity: Entity | None,
    connection: str | None,
    reading: bool,
    why: str,
    by: str | None,
    as_json: bool,
) -> None:
    """Let writes wait, from the next batch on: of one kind of record, to one connection, or all of them.

    Nothing is lost: what changes meanwhile is read and waits, and is planned anew after `crmbridge resume`. What was
    sent already is still looked up.
    """
    if not why.strip():
        raise ConfigError("--why is empty.", fix="Say why, for those who find it paused: --why 'Salesforce upgrade'.")
    connections = names(place.settings())
    side = _side_of(connection, connections)
    with place.store() as store:
        made = store.begin_pause(entity, side, reading=reading, by=by or getpass.getuser(), why=why)
        queues = [one for one in store.pause_queues() if _is_of(one, [made], connections)]
        due = _due(store.backlog(), [made])
    if as_json:
        from crmbridge.cli.output import print_json

        queued = [queue_document(one) for one in queues]
        print_json({"ok": True, "paused": pause_document(made, connections), "queues": queued, "records_due": due})
    else:
        from crmbridge.cli.output import many

        go_on = " ".join(["crmbridge resume", *_options(made, connections)])
        click.echo(f"Paused: {pause_words(made, connections)}. `crmbridge status` tells how much waits.")
        if due:
            click.echo(f"{many(due, 'record')} due at this moment: what they lead to waits from now on.")
        for one in queues:
            click.echo(f"{many(one.count, 'write')} of {one.entity} records to {one.connection} waiting already.")
        click.echo(f"To go on: {go_on}")


@click.command("resume")
@_entity
@_side
@click.option("--why", default="", metavar="TEXT", help="Kept with it.")
@_by
@_json
@click.pass_obj
def resume(
    place: Place, entity: Entity | None, connection: str | None, why: str, by: str | None, as_json: bool
) -> None:
    """Go on with what was paused: as it was given to `pause`, or all of it. The next cycle writes what waited."""
    connections = names(place.settings())
    side = _side_of(connection, connections)
    with place.store() as store:
        known = store.pauses()
        everything = entity is None and side is None
        chosen = [one for one in known if everything or (one.entity, one.side) == (entity, side)]
        if known and not chosen:
            listed = "; ".join(" ".join(_options(one, connections)) or "everything" for one in known)
            raise ConfigError("That is not paused.", fix=f"Paused are: {listed}. `crmbridge resume` ends all of them.")
        freed = store.end_pauses([one.id for one in chosen], by or getpass.getuser(), why, connections)
        left = store.pauses()
        due = _due(store.backlog(), chosen)
    if as_json:
        from crmbridge.cli.output import print_json

        print_json(
            {
                "ok": True,
                "resumed": [pause_document(one, connections) for one in chosen],
                "writes": freed,
                "records_due": due,
                "paused": [pause_document(one, connections) for one in left],
            }
        )
        return
    from crmbridge.cli.output import many

    if not chosen:
        click.echo("Nothing is paused.")
        return
    for one in chosen:
        click.echo(f"Resumed: {pause_words(one, connections)}, paused since {one.since:%Y-%m-%d %H:%M} UTC.")
    planned = many(freed, "write") if freed else "No write that was planned"
    click.echo(f"{planned} waited; {many(due, 'record')} due. The next cycle goes on with what is still to be written.")
    for one in left:
        click.echo(f"Still paused: {pause_words(one, connections)}.")


def _due(backlog: Mapping[tuple[str, Entity], int], pauses: "Sequence[Pause]") -> int:
    """Records that were read and are not in step, and whose partners these pauses keep from being written."""
    return sum(
        backlog.get((other(side), entity), 0)
        for side in SIDES
        for entity in ENTITIES
        if any(one.covers(side, entity) for one in pauses)
    )


def _is_of(queue: "Queue", pauses: "Sequence[Pause]", connections: Mapping[Side, str]) -> bool:
    return any(
        one.covers(side, queue.entity) for one in pauses for side in SIDES if connections[side] == queue.connection
    )


def _side_of(connection: str | None, connections: Mapping[Side, str]) -> Side | None:
    if connection is None:
        return None
    side: Side | None = next((side for side in SIDES if connections[side] == connection), None)
    if side is None:
        raise ConfigError(
            f"--side {connection}: there is no such connection; there are {' and '.join(connections.values())}.",
            fix="Write one of them.",
        )
    return side


def pause_document(one: "Pause", connections: Mapping[Side, str]) -> dict[str, Any]:
    return {
        "entity": one.entity,
        "connection": connections[one.side] if one.side else None,
        "reading": one.reading,
        "since": one.since,
        "by": one.by,
        "why": one.why,
    }


def queue_document(one: "Queue") -> dict[str, Any]:
    return {"entity": one.entity, "connection": one.connection, "writes": one.count, "oldest": one.oldest}


def pause_words(one: "Pause", connections: Mapping[Side, str]) -> str:
    what = f"writes of {one.entity} records" if one.entity else "all writes"
    where = f" to {connections[one.side]}" if one.side else ""
    return f"{what}{where}{', and reading' if one.reading else ''}"


def _options(one: "Pause", connections: Mapping[Side, str]) -> list[str]:
    entity = [f"--entity {one.entity}"] if one.entity else []
    return [*entity, *([f"--side {connections[one.side]}"] if one.side else [])]

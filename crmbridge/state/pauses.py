"""Pauses, with who, when and why; and how much waits for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from crmbridge.model import ENTITIES, Entity, Side
from crmbridge.pauses import PAUSED, Pause, paused
from crmbridge.state.database import now
from crmbridge.state.schema import issue, pause

_COLUMNS = (pause.c.id, pause.c.entity, pause.c.side, pause.c.reading, pause.c.since, pause.c.by, pause.c.why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """Writes of one kind of record to one connection, which wait since that is paused."""

    entity: Entity
    connection: str
    count: int
    oldest: datetime


def begin(
    connection: Connection, entity: Entity | None, side: Side | None, *, reading: bool, by: str, why: str
) -> Pause:
    """The same one again only notes who says so now; what has begun stays as old as it is."""
    values = {"entity": entity, "side": side, "reading": reading, "by": by, "why": why}
    known = next((one for one in in_force(connection) if (one.entity, one.side) == (entity, side)), None)
    if known is None:
        connection.execute(insert(pause), values | {"since": now(connection)})
    else:
        connection.execute(update(pause).where(pause.c.id == known.id).values(values))
    return next(one for one in in_force(connection) if (one.entity, one.side) == (entity, side))


def end(connection: Connection, ids: Sequence[int], by: str, why: str, names: Mapping[Side, str]) -> int:
    """Returns how many writes waited for these alone. Their records are due, and planned anew in the next cycle."""
    at = now(connection)
    values = {"ended_at": at, "ended_by": by, "ended_why": why}
    connection.execute(update(pause).where(pause.c.id.in_(ids), pause.c.ended_at.is_(None)).values(values))
    left, freed = in_force(connection), 0
    over = {"closed_at": at, "closed_by": by, "closed_why": f"resumed: {why}" if why else "resumed"}
    for side, name in names.items():
        for entity in ENTITIES:
            if paused(left, side, entity) is None:
                mine = (issue.c.cause == PAUSED, issue.c.entity == entity, issue.c.field == name)
                freed += connection.execute(
                    update(issue).where(issue.c.closed_at.is_(None), *mine).values(over)
                ).rowcount
    return freed


def in_force(connection: Connection) -> list[Pause]:
    return [Pause(**line) for line in connection.execute(_IN_FORCE).mappings()]


_IN_FORCE = select(*_COLUMNS).where(pause.c.ended_at.is_(None)).order_by(pause.c.id)


def queues(connection: Connection) -> list[Queue]:
    statement = (
        select(issue.c.entity, issue.c.field, func.count().label("number"), func.min(issue.c.opened_at).label("oldest"))
        .where(issue.c.closed_at.is_(None), issue.c.cause == PAUSED)
        .group_by(issue.c.entity, issue.c.field)
        .order_by(issue.c.entity, issue.c.field)
    )
    return [
        Queue(entity=line.entity, connection=line.field, count=line.number, oldest=line.oldest)
        for line in connection.execute(statement)
    ]

"""For those on call: turns of the schedule, who is at work, how much is waiting, and what went wrong last."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, select, update

from crmbridge.model import Entity
from crmbridge.schedule import Turn
from crmbridge.state.database import Clock, now, put
from crmbridge.state.schema import heartbeat, issue, record, turn

HEARTBEAT_KEPT: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    name: str
    host: str
    pid: int
    what: str  # tick, drain ...
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Open issues of one cause."""

    cause: str
    kind: str
    entity: Entity
    count: int
    oldest: datetime
    newest: datetime  # last seen


# --- turns ----------------------------------------------------------------------------------------------------------


def turns(connection: Connection) -> dict[Entity, Turn]:
    return {line.entity: Turn(at=line.at, quiet=line.quiet) for line in connection.execute(_TURNS)}


_TURNS = select(turn)


def note_turns(connection: Connection, quiet: Mapping[Entity, bool]) -> None:
    """After a cycle: what it synced, and was there nothing to do for it?"""
    before, at = turns(connection), now(connection)
    statement = put(connection.dialect.name, turn)
    for entity, nothing in sorted(quiet.items()):
        old = before[entity].quiet if entity in before else 0
        connection.execute(statement, {"entity": entity, "at": at, "quiet": old + 1 if nothing else 0})


# --- heartbeats -----------------------------------------------------------------------------------------------------


def beat(connection: Connection, what: str) -> None:
    """With a process's first beat go those of processes that ended long ago."""
    host, pid = socket.gethostname(), os.getpid()
    line = {"name": f"{host}:{pid}", "host": host, "pid": pid, "what": what}
    again = {"of_name": line["name"], "new_what": what}
    if connection.execute(_BEAT_AGAIN, again, execution_options={"preserve_rowcount": True}).rowcount == 0:
        at = now(connection)
        connection.execute(put(connection.dialect.name, heartbeat), line | {"at": at})
        connection.execute(_STALE_BEATS, {"before": at - HEARTBEAT_KEPT})


_BEAT_AGAIN = (
    update(heartbeat).where(heartbeat.c.name == bindparam("of_name")).values(what=bindparam("new_what"), at=Clock())
)
_STALE_BEATS = delete(heartbeat).where(heartbeat.c.at < bindparam("before"))


def beats(connection: Connection) -> list[Beat]:
    """The newest first."""
    lines = connection.execute(select(heartbeat).order_by(heartbeat.c.at.desc(), heartbeat.c.name)).mappings()
    return [Beat(**line) for line in lines]


# --- what is open ---------------------------------------------------------------------------------------------------


def groups(connection: Connection) -> list[Group]:
    """Open issues by cause, kind and kind of record."""
    oldest, newest = func.min(issue.c.opened_at).label("oldest"), func.max(issue.c.seen_at).label("newest")
    statement = (
        select(issue.c.cause, issue.c.kind, issue.c.entity, func.count().label("number"), oldest, newest)
        .where(issue.c.closed_at.is_(None))
        .group_by(issue.c.cause, issue.c.kind, issue.c.entity)
        .order_by(issue.c.cause, issue.c.kind, issue.c.entity)
    )
    return [
        Group(
            cause=line.cause, kind=line.kind, entity=line.entity, count=line.number,
            oldest=line.oldest, newest=line.newest,
        )
        for line in connection.execute(statement)
    ]  # fmt: skip


def backlog(connection: Connection) -> dict[tuple[str, Entity], int]:
    """Records that were read and not yet planned, or wait for something: (side, entity) -> how many."""
    statement = select(record.c.side, record.c.entity, func.count().label("number")).where(record.c.dirty.is_(True))
    lines = connection.execute(statement.group_by(record.c.side, record.c.entity))
    return {(line.side, line.entity): line.number for line in lines}

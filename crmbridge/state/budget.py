"""Calls that went to each CRM: how many of the day's, when the next one's turn is, until when there are none at all.

One row per connection, locked while it is read and changed, so that all workers count as one. The decisions are
`crmbridge.budget`'s; the time is the database's.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from crmbridge import budget as rules
from crmbridge.budget import Grant, Rate, Standing, Work, microseconds
from crmbridge.state.database import insert, now
from crmbridge.state.schema import budget, usage
from crmbridge.state.words import Block, Used

_EMPTY = {"full_at": 0, "blocked_until": None, "blocked_why": "", "told_used": None, "told_limit": None, "daily": None}


def take_turn(connection: Connection, name: str, rate: Rate, *, wait_max: int, at: datetime | None = None) -> Grant:
    line = _locked(connection, name)
    grant = rules.take(line.full_at, microseconds(at or now(connection)), rate, wait_max=wait_max)
    if grant.granted:
        connection.execute(update(budget).where(budget.c.connection == name).values(full_at=grant.full_at))
    return grant


def standing(connection: Connection, name: str, at: datetime) -> Standing:
    line = connection.execute(select(budget).where(budget.c.connection == name)).one_or_none()
    day = (usage.c.connection == name, usage.c.day == _day(at))
    own = connection.execute(select(func.sum(usage.c.operations)).where(*day)).scalar() or 0
    if line is None:
        return Standing(own=int(own))
    told = {"told_used": line.told_used, "told_limit": line.told_limit, "told_at": line.told_at}
    return Standing(own=int(own), allowed=line.daily, **told)


def reserve(connection: Connection, name: str, work: Work, *, requests: int, operations: int) -> str | None:
    """Counts them as used, before they are made; the day they count for, or None if this class of work has to stop."""
    _locked(connection, name)
    at = now(connection)
    if not rules.may(work, standing(connection, name, at), at):
        return None
    _add(connection, name, _day(at), work, requests, operations)
    return _day(at)


def give_back(connection: Connection, name: str, day: str, work: Work, *, requests: int, operations: int) -> None:
    _add(connection, name, day, work, -requests, -operations)


def used(connection: Connection, name: str, at: datetime) -> list[Used]:
    lines = connection.execute(
        select(usage).where(usage.c.connection == name, usage.c.day == _day(at)).order_by(usage.c.work)
    )
    return [Used(work=line.work, requests=line.requests, operations=line.operations) for line in lines]


def note_told(connection: Connection, name: str, told_used: int, told_limit: int) -> None:
    _locked(connection, name)
    values = {"told_used": told_used, "told_limit": told_limit, "told_at": now(connection)}
    connection.execute(update(budget).where(budget.c.connection == name).values(values))


def block(connection: Connection, name: str, seconds: float, why: str) -> Block:
    """From now on; an earlier word that reaches further stands."""
    line = _locked(connection, name)
    until = now(connection) + timedelta(seconds=seconds)
    if line.blocked_until is not None and line.blocked_until >= until:
        return Block(until=line.blocked_until, why=line.blocked_why)
    values = {"blocked_until": until, "blocked_why": why[:200]}
    connection.execute(update(budget).where(budget.c.connection == name).values(values))
    return Block(until=until, why=why[:200])


def blocked(connection: Connection, name: str) -> Block | None:
    """The last one, which may be over."""
    line = connection.execute(select(budget).where(budget.c.connection == name)).one_or_none()
    if line is None or line.blocked_until is None:
        return None
    return Block(until=line.blocked_until, why=line.blocked_why)


def set_daily(connection: Connection, name: str, daily: int | None) -> None:
    if _locked(connection, name).daily != daily:
        connection.execute(update(budget).where(budget.c.connection == name).values(daily=daily))


def names(connection: Connection) -> list[str]:
    return list(connection.execute(select(budget.c.connection).order_by(budget.c.connection)).scalars())


def _locked(connection: Connection, name: str) -> Row[Any]:
    new = {"connection": name, **_EMPTY, "told_at": None}
    connection.execute(insert(connection.dialect.name, budget).on_conflict_do_nothing(), new)
    return connection.execute(select(budget).where(budget.c.connection == name).with_for_update()).one()


def _add(connection: Connection, name: str, day: str, work: Work, requests: int, operations: int) -> None:
    line = {"connection": name, "day": day, "work": work, "requests": requests, "operations": operations}
    statement = insert(connection.dialect.name, usage)
    sums = {
        "requests": usage.c.requests + statement.excluded.requests,
        "operations": usage.c.operations + statement.excluded.operations,
    }
    keys = ["connection", "day", "work"]
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=sums), line)


def _day(at: datetime) -> str:
    return at.date().isoformat()

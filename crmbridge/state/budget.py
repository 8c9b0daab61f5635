"""Calls that went to each CRM: how many of the day's, when the next one's turn is, until when there are none at all.

One row per connection, locked while it is read and changed, so that all workers count as one. The decisions are
`crmbridge.budget`'s; the time is the database's.
"""

from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, bindparam, delete, func, select, update

from crmbridge import budget as rules
from crmbridge.budget import Grant, Rate, Standing, Work, microseconds
from crmbridge.state.database import Clock, Upsert, insert, locked, put
from crmbridge.state.schema import budget, meta, run, usage
from crmbridge.state.words import Block, Used

_EMPTY = {"full_at": 0, "blocked_until": None, "blocked_why": "", "told_used": None, "told_limit": None, "daily": None}
GOES_ON: Final = timedelta(hours=1)  # longer than between two cycles of most schedules
_SINCE: Final = "blocked_since:"  # and a connection, in `meta`


def take_turn(connection: Connection, name: str, rate: Rate, *, wait_max: int, at: datetime | None = None) -> Grant:
    line = _locked(connection, name)
    grant = rules.take(line.full_at, microseconds(at or line.now), rate, wait_max=wait_max)
    if grant.granted:
        connection.execute(_TURN, {"of_connection": name, "new_full_at": grant.full_at})
    return grant


def standing(line: Row[Any], own: int) -> Standing:
    told = {"told_used": line.told_used, "told_limit": line.told_limit, "told_at": line.told_at}
    return Standing(own=own, allowed=line.daily, **told)


def reserve(connection: Connection, name: str, work: Work, *, requests: int, operations: int) -> str | None:
    """Counts them as used, before they are made; the day they count for, or None if this class of work has to stop."""
    line = _locked(connection, name)
    today = _day(line.now)
    own = connection.execute(_OPERATIONS, {"of_connection": name, "of_day": today}).scalar_one()
    if not rules.may(work, standing(line, own), line.now):
        return None
    _add(connection, name, today, work, requests, operations)
    return today


def give_back(connection: Connection, name: str, day: str, work: Work, *, requests: int, operations: int) -> None:
    _add(connection, name, day, work, -requests, -operations)


def used(connection: Connection, name: str, at: datetime) -> list[Used]:
    lines = connection.execute(
        select(usage).where(usage.c.connection == name, usage.c.day == _day(at)).order_by(usage.c.work)
    )
    return [Used(work=line.work, requests=line.requests, operations=line.operations) for line in lines]


def note_told(connection: Connection, name: str, told_used: int, told_limit: int) -> None:
    line = _locked(connection, name)
    values = {"told_used": told_used, "told_limit": told_limit, "told_at": line.now}
    connection.execute(update(budget).where(budget.c.connection == name).values(values))


def block(connection: Connection, name: str, seconds: float, why: str) -> Block:
    """From now on; an earlier word that reaches further stands."""
    line = _locked(connection, name)
    _note_since(connection, name, line.blocked_until, line.now)
    until = line.now + timedelta(seconds=seconds)
    if line.blocked_until is not None and line.blocked_until >= until:
        return Block(until=line.blocked_until, why=line.blocked_why)
    values = {"blocked_until": until, "blocked_why": why[:200]}
    connection.execute(update(budget).where(budget.c.connection == name).values(values))
    return Block(until=until, why=why[:200])


def last_block(line: Row[Any]) -> Block | None:
    """Which may be over."""
    return None if line.blocked_until is None else Block(until=line.blocked_until, why=line.blocked_why)


def blocked_since(connection: Connection, name: str) -> datetime | None:
    """Since when it has asked to be left alone again and again, with no cycle that came to its end in between; None:
    it did not lately."""
    line = connection.execute(_LINE_AND_TIME, {"of_connection": name}).one_or_none()
    noted = connection.execute(select(meta.c.value).where(meta.c.name == f"{_SINCE}{name}")).scalar()
    if line is None or line.blocked_until is None or not noted:
        return None
    since = datetime.fromisoformat(noted)
    return since if _goes_on(connection, since, line.blocked_until, line.now) else None


def lift(connection: Connection, name: str) -> Block | None:
    """It may be called from now on, and what it said of its day is asked for anew. Returns the block in force."""
    line = _locked(connection, name)
    told = {"told_used": None, "told_limit": None, "told_at": None}
    connection.execute(update(budget).where(budget.c.connection == name).values(told))
    connection.execute(delete(meta).where(meta.c.name == f"{_SINCE}{name}"))
    if line.blocked_until is None or line.blocked_until <= line.now:
        return None
    connection.execute(update(budget).where(budget.c.connection == name).values(blocked_until=line.now))
    return Block(until=line.blocked_until, why=line.blocked_why)


def _note_since(connection: Connection, name: str, before: datetime | None, at: datetime) -> None:
    noted = connection.execute(select(meta.c.value).where(meta.c.name == f"{_SINCE}{name}")).scalar()
    if noted and before is not None and _goes_on(connection, datetime.fromisoformat(noted), before, at):
        return
    connection.execute(put(connection.dialect.name, meta), {"name": f"{_SINCE}{name}", "value": at.isoformat()})


def _goes_on(connection: Connection, since: datetime, until: datetime, at: datetime) -> bool:
    """Is what was asked for until then the same trouble still? While it is in force, and for a while after, as the next
    call may be told the same; not when a cycle came to its end since."""
    if at - until > GOES_ON:
        return False
    well = (run.c.kind == "sync", run.c.ended_at > since, run.c.outcome.startswith("done"))
    return connection.execute(select(func.count()).select_from(run).where(*well)).scalar_one() == 0


def set_daily(connection: Connection, name: str, daily: int | None) -> None:
    if _locked(connection, name).daily != daily:
        connection.execute(update(budget).where(budget.c.connection == name).values(daily=daily))


def _locked(connection: Connection, name: str) -> Row[Any]:
    """With the time, `now`."""
    statement, given = _line_locked(connection.dialect.name), {"of_connection": name}
    line = connection.execute(statement, given).one_or_none()
    if line is None:
        connection.execute(_new(connection.dialect.name), {"connection": name, **_EMPTY, "told_at": None})
        line = connection.execute(statement, given).one()
    return line


def _add(connection: Connection, name: str, day: str, work: Work, requests: int, operations: int) -> None:
    line = {"connection": name, "day": day, "work": work, "requests": requests, "operations": operations}
    connection.execute(_sum_up(connection.dialect.name), line)


# Built once: most of these are asked before each call.
_LINE = select(budget).where(budget.c.connection == bindparam("of_connection"))
_LINE_AND_TIME = _LINE.add_columns(Clock().label("now"))
_OPERATIONS = select(func.coalesce(func.sum(usage.c.operations), 0)).where(
    usage.c.connection == bindparam("of_connection"), usage.c.day == bindparam("of_day")
)
_TURN = update(budget).where(budget.c.connection == bindparam("of_connection")).values(full_at=bindparam("new_full_at"))


@cache
def _line_locked(dialect: str) -> Select[Any]:
    return locked(dialect, _LINE)


@cache
def _new(dialect: str) -> Upsert:
    return insert(dialect, budget).on_conflict_do_nothing()


@cache
def _sum_up(dialect: str) -> Upsert:
    statement = insert(dialect, usage)
    sums = {
        "requests": usage.c.requests + statement.excluded.requests,
        "operations": usage.c.operations + statement.excluded.operations,
    }
    return statement.on_conflict_do_update(index_elements=["connection", "day", "work"], set_=sums)


def _day(at: datetime) -> str:
    return at.date().isoformat()

"""How the connections stand, read in one statement: it is asked before each call, so that what one worker is told holds
for the next call of all. The lines are `budget`'s and `breaker`'s.
"""

from typing import Any

from sqlalchemy import Connection, FromClause, Row, Select, Text, bindparam, func, select

from crmbridge.breaker import CLOSED
from crmbridge.budget import Standing
from crmbridge.state import breaker, budget
from crmbridge.state import schema as tables
from crmbridge.state.database import Clock, Day
from crmbridge.state.words import Limits


def read(connection: Connection, name: str) -> Limits:
    return _load(connection.execute(_ONE, {"of_connection": name}).one())


def every(connection: Connection) -> dict[str, Limits]:
    """By name, of all that were called so far."""
    return {line.name: _load(line) for line in connection.execute(_EVERY)}


def _load(line: Row[Any]) -> Limits:
    known = line.full_at is not None
    block = budget.last_block(line)
    return Limits(
        at=line.now,
        block=block if block is not None and block.until > line.now else None,
        blocked_until=line.blocked_until,
        breaker=CLOSED if line.troubles is None else breaker.load(line[-len(breaker.COLUMNS) :]),
        standing=budget.standing(line, line.own) if known else Standing(own=line.own),
    )


def _standing(asked: FromClause) -> Select[Any]:
    """`asked`: names, and the time."""
    mine = (tables.usage.c.connection == asked.c.name, tables.usage.c.day == Day(asked.c.now))
    own = select(func.coalesce(func.sum(tables.usage.c.operations), 0)).where(*mine).scalar_subquery()
    line = [column for column in tables.budget.c if column.name != "connection"]
    return (
        select(asked.c.name, asked.c.now, own.label("own"), *line, *breaker.COLUMNS)
        .select_from(asked)
        .outerjoin(tables.budget, tables.budget.c.connection == asked.c.name)
        .outerjoin(tables.breaker, tables.breaker.c.connection == asked.c.name)
        .order_by(asked.c.name)
    )


_NOW = Clock().label("now")
_ONE = _standing(select(bindparam("of_connection", type_=Text).label("name"), _NOW).subquery("asked"))
_EVERY = _standing(select(tables.budget.c.connection.label("name"), _NOW).subquery("asked"))

"""The breaker of each connection, as all workers see it. What follows from what is `crmbridge.breaker`'s affair."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, delete, select

from crmbridge import breaker as rules
from crmbridge.breaker import CLOSED, Breaker, Event, Verdict
from crmbridge.state.database import locked, now, put
from crmbridge.state.schema import breaker

_FIELDS = ("troubles", "logins", "opened", "until", "prober", "probing_until", "cause")
COLUMNS: Final = tuple(breaker.c[name] for name in _FIELDS)


def load(values: Sequence[Any]) -> Breaker:
    """From COLUMNS."""
    return Breaker(**dict(zip(_FIELDS, values, strict=True)))


def ask(connection: Connection, name: str, *, who: str, reads: bool) -> Verdict:
    before, at = _locked(connection, name)
    after, verdict = rules.ask(before, at, who=who, reads=reads)
    _save(connection, name, before, after)
    return verdict


def report(connection: Connection, name: str, event: Event, cause: str) -> Breaker:
    before, at = _locked(connection, name)
    after = rules.report(before, at, event, cause[:200])
    _save(connection, name, before, after)
    return after


def close(connection: Connection, name: str) -> None:
    connection.execute(delete(breaker).where(breaker.c.connection == name))


def _locked(connection: Connection, name: str) -> tuple[Breaker, datetime]:
    """How it stands, and the time."""
    line = connection.execute(_line_locked(connection.dialect.name), {"of_connection": name}).one_or_none()
    return (CLOSED, now(connection)) if line is None else (load(line[:-1]), line.now)


@cache
def _line_locked(dialect: str) -> Select[Any]:
    return locked(dialect, select(*COLUMNS).where(breaker.c.connection == bindparam("of_connection")))


def _save(connection: Connection, name: str, before: Breaker, after: Breaker) -> None:
    if after != before:
        line = {field: getattr(after, field) for field in _FIELDS}
        connection.execute(put(connection.dialect.name, breaker), {"connection": name, **line})

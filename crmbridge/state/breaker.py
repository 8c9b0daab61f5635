"""The breaker of each connection, as all workers see it. What follows from what is `crmbridge.breaker`'s affair."""

from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, select

from crmbridge import breaker as rules
from crmbridge.breaker import CLOSED, Breaker, Event, Verdict
from crmbridge.state.database import now, put
from crmbridge.state.schema import breaker

_FIELDS = ("troubles", "logins", "opened", "until", "prober", "probing_until", "cause")


def read(connection: Connection, name: str) -> Breaker:
    return _load(connection.execute(_LINE, {"of_connection": name}).one_or_none())


def ask(connection: Connection, name: str, *, who: str, reads: bool) -> Verdict:
    before = _locked(connection, name)
    after, verdict = rules.ask(before, now(connection), who=who, reads=reads)
    _save(connection, name, before, after)
    return verdict


def report(connection: Connection, name: str, event: Event, cause: str) -> Breaker:
    before = _locked(connection, name)
    after = rules.report(before, now(connection), event, cause[:200])
    _save(connection, name, before, after)
    return after


def close(connection: Connection, name: str) -> None:
    connection.execute(delete(breaker).where(breaker.c.connection == name))


def _locked(connection: Connection, name: str) -> Breaker:
    return _load(connection.execute(_LINE_LOCKED, {"of_connection": name}).one_or_none())


_LINE = select(breaker).where(breaker.c.connection == bindparam("of_connection"))
_LINE_LOCKED = _LINE.with_for_update()


def _load(line: Row[Any] | None) -> Breaker:
    return CLOSED if line is None else Breaker(**{name: getattr(line, name) for name in _FIELDS})


def _save(connection: Connection, name: str, before: Breaker, after: Breaker) -> None:
    if after != before:
        line = {field: getattr(after, field) for field in _FIELDS}
        connection.execute(put(connection.dialect.name, breaker), {"connection": name, **line})

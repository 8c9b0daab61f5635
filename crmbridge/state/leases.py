"""Who works. A lease ends by itself; the fence, which rises at each take, says whose word still counts.

On the same host a dead process's lease is taken over at once; a pid is the same process only with the same start.
"""

import os
import socket
import sys
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, select, update

from crmbridge.errors import LeaseTaken
from crmbridge.ids import short_id
from crmbridge.state.database import Clock, Upsert, insert, locked
from crmbridge.state.schema import lease
from crmbridge.state.words import Lease


def take(connection: Connection, name: str, seconds: float, owner: str | None, *, wait: bool = True) -> Lease:
    """`wait`: for another transaction that has it under its hands at this moment; else it counts as taken."""
    held = _locked(connection, name, wait=wait)
    if held is None:
        connection.execute(_new(connection.dialect.name), _FREE | {"name": name})
        held = _locked(connection, name, wait=wait)
    if held is None:
        raise LeaseTaken(f"Another worker takes it at this moment ({name}).", code="lease_taken")
    at: datetime = held.now  # after the lock: the wait for it counts
    if held.owner is not None and held.until > at and not is_dead(held):
        raise LeaseTaken(
            f"Another run is at work ({name}): process {held.pid} on {held.host.split(' ')[0]} since "
            f"{held.since:%Y-%m-%d %H:%M:%S} UTC.",
            fix=f"Wait for it to end; a dead one's lease ends at {held.until:%H:%M:%S} UTC.",
            code="lease_taken",
        )
    pid = os.getpid()
    taken = Lease(name=name, owner=owner or f"{socket.gethostname()}:{pid}:{short_id(8)}", fence=held.fence + 1)
    values = {"owner": taken.owner, "fence": taken.fence, "host": host(), "pid": pid, "born": born(pid)}
    values |= {"since": at, "until": at + timedelta(seconds=seconds)}
    connection.execute(_TAKE, {"of_name": name} | {f"new_{column}": value for column, value in values.items()})
    return taken


def _locked(connection: Connection, name: str, *, wait: bool) -> Row[Any] | None:
    return connection.execute(_line_locked(connection.dialect.name, wait), {"of_name": name}).one_or_none()


_FREE = {"owner": None, "fence": 0, "host": "", "pid": 0, "born": "", "since": None, "until": None}
_LINE = select(lease).where(lease.c.name == bindparam("of_name"))
_LINE_AND_TIME = _LINE.add_columns(Clock().label("now"))


@cache
def _new(dialect: str) -> Upsert:
    return insert(dialect, lease).on_conflict_do_nothing(index_elements=["name"])


@cache
def _line_locked(dialect: str, wait: bool) -> Select[Any]:
    return locked(dialect, _LINE, skip=not wait)


_TAKE = (
    update(lease)
    .where(lease.c.name == bindparam("of_name"))
    .values({name: bindparam(f"new_{name}") for name in ("owner", "fence", "host", "pid", "born", "since", "until")})
)


def renew(connection: Connection, held: Lease, seconds: float) -> None:
    until = guard(connection, held) + timedelta(seconds=seconds)
    connection.execute(_RENEW, {"of_name": held.name, "new_until": until})


def release(connection: Connection, held: Lease) -> None:
    """Not ours any more: nothing to give back."""
    connection.execute(_RELEASE, {"of_name": held.name, "of_owner": held.owner, "of_fence": held.fence})


def guard(connection: Connection, held: Lease) -> datetime:
    """Until the transaction ends nobody can take the lease over (reliability §3.5). Returns the time."""
    mine = {"of_name": held.name, "of_owner": held.owner, "of_fence": held.fence}
    found = connection.execute(_guard(connection.dialect.name), mine).first()
    if found is None:
        raise LeaseTaken(
            f"Another run took over ({held.name}); this one stops and has written nothing of this step.",
            fix="Nothing to do: the other run goes on from what is stored.",
            code="lease_lost",
        )
    return found.now


_HELD = (
    lease.c.name == bindparam("of_name"),
    lease.c.owner == bindparam("of_owner"),
    lease.c.fence == bindparam("of_fence"),
)
_RENEW = update(lease).where(lease.c.name == bindparam("of_name")).values(until=bindparam("new_until"))
_RELEASE = update(lease).where(*_HELD).values(owner=None, until=None)


@cache
def _guard(dialect: str) -> Select[Any]:
    return locked(dialect, select(lease.c.fence).where(*_HELD))


def holder(connection: Connection, name: str) -> tuple[str, int, datetime] | None:
    """Host, pid and since when, for `status`; None while it is free."""
    held = connection.execute(_LINE_AND_TIME, {"of_name": name}).one_or_none()
    if held is None or held.owner is None or held.until <= held.now or is_dead(held):
        return None
    return held.host.split(" ")[0], held.pid, held.since


# --- processes ----------------------------------------------------------------------------------------------------


@cache
def host() -> str:
    """Where pids mean the same: two containers may share a host name, but not the name space of their pids."""
    try:
        return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # no Linux
        return socket.gethostname()


def born(pid: int) -> str:
    """When the process started, as its system counts; '' where that cannot be told."""
    try:
        # proc_pid_stat(5): field 22 is the start time; the name in field 2 may hold spaces and brackets.
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except OSError:
        return ""


def is_dead(held: Row[tuple[object, ...]]) -> bool:
    if held.host != host() or sys.platform == "win32":
        return False
    try:
        os.kill(held.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # alive, and somebody else's
    return held.born != born(held.pid)

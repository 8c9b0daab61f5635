"""Work that is handed out: which pairs are due, who may work at them, and how often somebody tried.

Pairs of one lane go one after another, under a lease of the lane's own. An attempt is counted in the transaction that
begins it, so that a pair which kills its worker is known by it (reliability §5).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, bindparam, case, delete, func, select, update

from crmbridge.errors import LeaseTaken
from crmbridge.state import codec, issues, leases
from crmbridge.state.database import Clock, Upsert, insert, now
from crmbridge.state.records import chunks
from crmbridge.state.schema import IS_DUE, lease, link, record, work
from crmbridge.state.words import ATTEMPTS_MAX, Lease, WorkRow, seen_as, stopped_issue

_LANE: Final = "lane:"
_LOOK: Final = 20  # lanes that a claim looks at: others may take some of them at the same moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What is due, for those who send hints and those who watch."""

    lanes: int  # that nobody works in
    busy: int  # that somebody does
    moved_at: datetime | None  # when any of it was last handed out, begun or ended


# --- handing out ----------------------------------------------------------------------------------------------------


def hand_out(
    connection: Connection, run_id: str, mapping: str, lanes: Mapping[str, Sequence[str]], at: datetime
) -> None:
    """`lanes`: links of each. What was begun before without coming to an end keeps its attempts."""
    lines = [
        {"link_id": link_id, "run_id": run_id, "mapping": mapping, "lane": lane, "state": "due", "attempts": 0}
        | {"told": "{}", "due_at": at, "changed_at": at}
        for lane, link_ids in lanes.items()
        for link_id in link_ids
    ]
    if lines:
        connection.execute(_hand_out(connection.dialect.name), lines)


@cache
def _hand_out(dialect: str) -> Upsert:
    statement = insert(dialect, work)
    new = statement.excluded
    over: dict[str, Any] = {
        name: new[name] for name in ("run_id", "mapping", "lane", "state", "told", "due_at", "changed_at")
    }
    begun = (work.c.state == "due") | (work.c.state == "left")
    over["attempts"] = case((begun, work.c.attempts), else_=0)
    return statement.on_conflict_do_update(index_elements=[work.c.link_id], set_=over)


def is_any(connection: Connection) -> bool:
    return connection.execute(select(work.c.id).limit(1)).first() is not None


def take_over(connection: Connection, at: datetime) -> dict[str, frozenset[str]]:
    """At the beginning of a cycle: what an earlier one handed out and nobody works at is planned anew.

    Returns the lanes that somebody does work in, by the name of their lease, and their links."""
    # Leases before pairs, as everywhere here, or two transactions would wait for each other.
    lanes = select(lease.c.name).where(lease.c.name.startswith(_LANE)).order_by(lease.c.name).with_for_update()
    names = list(connection.execute(lanes).scalars())
    # With the pairs locked, whoever claimed one of them has written its lease down, and nobody claims another.
    due = connection.execute(select(work.c.id, work.c.lane, work.c.link_id).where(IS_DUE).with_for_update()).all()
    alive = _alive(connection)
    left = [{"at_id": line.id, "at": at} for line in due if _LANE + line.lane not in alive]
    if left:
        connection.execute(_LEAVE, left)
    connection.execute(delete(work).where(work.c.state == "done"))
    for some in chunks([name for name in names if name not in alive]):
        connection.execute(delete(lease).where(lease.c.name.in_(some)))
    return {name: frozenset(line.link_id for line in due if _LANE + line.lane == name) for name in alive}


_LEAVE = update(work).where(work.c.id == bindparam("at_id")).values(state="left", changed_at=bindparam("at"))


def leave(connection: Connection, run_id: str, at: datetime) -> None:
    """A cycle that breaks off: what of its work nobody has begun is for the next one."""
    due = connection.execute(
        select(work.c.id, work.c.lane).where(IS_DUE, work.c.run_id == run_id).with_for_update()
    ).all()
    alive = _alive(connection)
    left = [{"at_id": line.id, "at": at} for line in due if _LANE + line.lane not in alive]
    if left:
        connection.execute(_LEAVE, left)


def _alive(connection: Connection) -> frozenset[str]:
    return frozenset(line.name for line in connection.execute(_HELD) if not leases.is_dead(line))


_HELD = select(lease).where(lease.c.name.startswith(_LANE), lease.c.owner.is_not(None), lease.c.until > Clock())


def waiting(connection: Connection) -> Waiting:
    alive = _alive(connection)
    lanes = set(connection.execute(select(work.c.lane).where(IS_DUE).distinct()).scalars())
    busy = {lane for lane in lanes if _LANE + lane in alive}
    moved_at = connection.execute(select(func.max(work.c.changed_at))).scalar() if lanes else None
    return Waiting(lanes=len(lanes - busy), busy=len(busy), moved_at=moved_at)


def left_over(connection: Connection, run_id: str) -> int:
    """How much of this run's work has not come to an end."""
    mine = select(func.count()).select_from(work).where(IS_DUE, work.c.run_id == run_id)
    return connection.execute(mine).scalar_one()


def told(connection: Connection, run_id: str, link_ids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """What came of it, by link."""
    found: dict[str, Mapping[str, Any]] = {}
    for some in chunks(sorted(link_ids)):
        mine = select(work.c.link_id, work.c.told).where(work.c.run_id == run_id, work.c.link_id.in_(some))
        found |= {line.link_id: codec.load(line.told) for line in connection.execute(mine)}
    return found


# --- working --------------------------------------------------------------------------------------------------------


def claim(
    connection: Connection, mapping: str, seconds: float, *, run_id: str | None = None
) -> tuple[Lease, WorkRow] | None:
    """A lane that nobody works in, and the first pair of it, begun; None: there is none.

    `mapping`: only what was planned by this version. `run_id`: only what this run handed out."""
    where = [IS_DUE, work.c.mapping == mapping] + ([work.c.run_id == run_id] if run_id is not None else [])
    alive = _alive(connection)
    busy = [name.removeprefix(_LANE) for name in alive]
    free = select(work.c.lane).where(*where, work.c.lane.not_in(busy)).order_by(work.c.id).limit(_LOOK)
    for lane in dict.fromkeys(connection.execute(free).scalars()):
        try:
            held = leases.take(connection, _LANE + lane, seconds, None, wait=False)
        except LeaseTaken:
            continue  # somebody was quicker
        begun = begin_next(connection, held, now(connection))
        if begun is not None:
            return held, begun
    return None


def begin_next(connection: Connection, held: Lease, at: datetime) -> WorkRow | None:
    """The next pair of a lane that is ours. What was begun too often is left to a person; at the lane's end its lease
    goes, and None is returned."""
    lane = held.name.removeprefix(_LANE)
    due = select(work).where(IS_DUE, work.c.lane == lane).order_by(work.c.id)
    for line in connection.execute(due.with_for_update()).all():
        if line.attempts >= ATTEMPTS_MAX:
            _stop(connection, line, at)
            continue
        begun = update(work).where(work.c.id == line.id).values(attempts=line.attempts + 1, changed_at=at)
        connection.execute(begun)
        return WorkRow(id=line.id, link_id=line.link_id, run_id=line.run_id, lane=line.lane, attempts=line.attempts + 1)
    connection.execute(delete(lease).where(lease.c.name == held.name, lease.c.fence == held.fence))
    return None


def finish(connection: Connection, held: Lease, id_: int, told: Mapping[str, Any], *, more: bool) -> WorkRow | None:
    """It came to an end, whatever that is. `more`: begin the lane's next one; else the lane is for whoever comes."""
    at = leases.guard(connection, held)
    done = {"state": "done", "attempts": 0, "told": codec.dump(told), "changed_at": at}
    connection.execute(update(work).where(work.c.id == id_, work.c.state == "due").values(done))
    if more:
        return begin_next(connection, held, at)
    _give_back(connection, held)
    return None


def give_up(connection: Connection, held: Lease, id_: int, *, counted: bool) -> None:
    """It came to no end, and the lane is for whoever comes. `counted`: the attempt stands; not where a CRM was away."""
    leases.guard(connection, held)
    if not counted:
        connection.execute(update(work).where(work.c.id == id_).values(attempts=work.c.attempts - 1))
    _give_back(connection, held)


def _give_back(connection: Connection, held: Lease) -> None:
    """With nothing left in it a lane is over, and its lease goes."""
    lane = held.name.removeprefix(_LANE)
    if connection.execute(select(work.c.id).where(IS_DUE, work.c.lane == lane).limit(1)).first() is None:
        connection.execute(delete(lease).where(lease.c.name == held.name, lease.c.fence == held.fence))
    else:
        leases.release(connection, held)


def _stop(connection: Connection, line: Any, at: datetime) -> None:
    over = update(work).where(work.c.id == line.id).values(state="stopped", changed_at=at, told='{"stopped":true}')
    connection.execute(over)
    pair = connection.execute(select(link).where(link.c.id == line.link_id)).first()
    if pair is None:
        return
    sides = (("left", pair.left_id), ("right", pair.right_id))
    version = seen_as(*(_version(connection, side, pair.entity, id_) for side, id_ in sides))
    stopped = stopped_issue(pair.entity, line.attempts, version, link_id=pair.id)
    issues.open_(connection, [stopped], at)


def _version(connection: Connection, side: str, entity: str, id_: str | None) -> str:
    where = (record.c.side == side, record.c.entity == entity, record.c.id == id_)
    return connection.execute(select(record.c.version).where(*where)).scalar() or ""

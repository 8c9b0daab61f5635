"""History that is old enough goes, a slice at a time: each slice is a short transaction, and takes the oldest first.

The ledger of conversions, pairs, records, versions of the mapping and the notes of erasures are no history."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, Connection, Table, delete, select

from crmbridge.state.schema import alarm, intent, issue, journal, pause, plan, run

RUNS_KEPT: Final = 500  # the newest ones tell the pace and the state of the workers, however old they are
PLANS_KEPT: Final = 5  # of these one may be about to be approved


def journal_rows(connection: Connection, before: datetime, limit: int) -> int:
    """Along the numbers, which rise with time: nothing is looked at that stays, but for the first one."""
    oldest = connection.execute(select(journal.c.number, journal.c.at).order_by(journal.c.number).limit(limit)).all()
    return _drop(connection, journal.c.number, [line.number for line in oldest if line.at < before])


def calls(connection: Connection, before: datetime, limit: int) -> int:
    """Without outcome: open, whatever its age, and looked up by the next run."""
    where = (intent.c.state != "sent", intent.c.closed_at < before)
    return _some(connection, intent.c.id, where, intent.c.closed_at, limit)


def run_rows(connection: Connection, before: datetime, limit: int) -> int:
    newest = select(run.c.id).order_by(run.c.started_at.desc()).limit(RUNS_KEPT)
    where = (run.c.ended_at.is_not(None), run.c.started_at < before, run.c.id.not_in(newest))
    return _some(connection, run.c.id, where, run.c.started_at, limit)


def closed_issues(connection: Connection, before: datetime, limit: int) -> int:
    count = _some(connection, issue.c.id, (issue.c.closed_at < before,), issue.c.closed_at, limit)
    count += _some(connection, alarm.c.key, (alarm.c.over_at < before,), alarm.c.over_at, limit - count)
    return count + _some(connection, pause.c.id, (pause.c.ended_at < before,), pause.c.ended_at, limit - count)


def plans(connection: Connection, before: datetime, limit: int) -> int:
    newest = select(plan.c.id).order_by(plan.c.created_at.desc()).limit(PLANS_KEPT)
    where = (plan.c.approved_at.is_(None), plan.c.created_at < before, plan.c.id.not_in(newest))
    return _some(connection, plan.c.id, where, plan.c.created_at, limit)


def approved_plans(connection: Connection, before: datetime, limit: int) -> int:
    """Who said yes to what is kept as long as what was done with it."""
    return _some(connection, plan.c.id, (plan.c.approved_at < before,), plan.c.approved_at, limit)


# what -> its prunings, in turn
PRUNINGS: Final[Mapping[str, tuple[Callable[[Connection, datetime, int], int], ...]]] = {
    "journal": (journal_rows, approved_plans),
    "calls": (calls,),
    "runs": (run_rows,),
    "issues": (closed_issues,),
    "plans": (plans,),
}


def prune(connection: Connection, what: str, before: datetime, limit: int) -> int:
    """At most `limit` lines; fewer than that: nothing is left."""
    count = 0
    for one in PRUNINGS[what]:
        if count < limit:
            count += one(connection, before, limit - count)
    return count


def _some(connection: Connection, key: Column[Any], where: tuple[Any, ...], by: Column[Any], limit: int) -> int:
    if limit <= 0:
        return 0
    found = connection.execute(select(key).where(*where).order_by(by).limit(limit)).scalars()
    return _drop(connection, key, list(found))


def _drop(connection: Connection, key: Column[Any], keys: list[Any]) -> int:
    table: Table = key.table  # pyright: ignore[reportAssignmentType]
    return connection.execute(delete(table).where(key.in_(keys))).rowcount if keys else 0

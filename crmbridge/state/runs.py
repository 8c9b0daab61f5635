"""Runs and plans: what was done when, what was shown and who said yes to it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from crmbridge.errors import ConfigError
from crmbridge.ids import short_id
from crmbridge.state import codec
from crmbridge.state.schema import plan, run
from crmbridge.state.words import Lease, PlanRow, RunRow

Counts = Mapping[str, Any]
_RUN = tuple(column for column in run.c if column.name not in ("lease", "fence"))


def start(connection: Connection, kind: str, held: Lease | None, at: datetime, mapping: str | None = None) -> RunRow:
    """Runs of the same lease that never ended were interrupted: we hold it now."""
    if held is not None:
        connection.execute(_INTERRUPTED, {"of_lease": held.name, "of_fence": held.fence, "at": at})
    started = RunRow(id=short_id(12), kind=kind, started_at=at, mapping=mapping)
    values: dict[str, Any] = {"id": started.id, "kind": kind, "started_at": at, "outcome": "", "mapping": mapping}
    values |= {"counts": "{}", "unwritten": "{}", "calls": "{}"}
    values |= {"lease": held.name if held else None, "fence": held.fence if held else None}
    connection.execute(insert(run), values)
    return started


_INTERRUPTED = (
    update(run)
    .where(run.c.lease == bindparam("of_lease"), run.c.fence < bindparam("of_fence"), run.c.ended_at.is_(None))
    .values(ended_at=bindparam("at"), outcome="interrupted")
)


def end(
    connection: Connection, id_: str, outcome: str, at: datetime, *, counts: Counts, unwritten: Counts, calls: Counts
) -> None:
    told = {"counts": counts, "unwritten": unwritten, "calls": calls}
    values = {"ended_at": at, "outcome": outcome} | {name: codec.dump(one) for name, one in told.items()}
    connection.execute(update(run).where(run.c.id == id_).values(values))


def read(connection: Connection, limit: int | None) -> list[RunRow]:
    statement, given = (_NEWEST, {}) if limit is None else (_SOME, {"many": limit})
    return [_load(line) for line in connection.execute(statement, given).mappings()]


_NEWEST = select(*_RUN).order_by(run.c.started_at.desc(), run.c.id)
_SOME = _NEWEST.limit(bindparam("many"))


def get(connection: Connection, id_: str) -> RunRow | None:
    line = connection.execute(select(*_RUN).where(run.c.id == id_)).mappings().one_or_none()
    return _load(line) if line is not None else None


def _load(line: Mapping[Any, Any]) -> RunRow:
    return RunRow(**dict(line) | {name: codec.load(line[name]) for name in ("counts", "unwritten", "calls")})


def save_plan(
    connection: Connection, counts: Mapping[str, Any], first_run: bool, id_: str | None, at: datetime
) -> PlanRow:
    saved = PlanRow(id=id_ or short_id(8), created_at=at, counts=counts, first_run=first_run)
    values = {"id": saved.id, "created_at": at, "counts": codec.dump(counts), "first_run": first_run}
    connection.execute(insert(plan), values)
    return saved


def _plan(values: Sequence[Any]) -> PlanRow:
    known = {column.name: value for column, value in zip(plan.c, values, strict=True)}
    return PlanRow(**known | {"counts": codec.load(known["counts"])})


def get_plan(connection: Connection, id_: str) -> PlanRow | None:
    line = connection.execute(select(plan).where(plan.c.id == id_)).first()
    return _plan(line) if line else None


def plans(connection: Connection, limit: int | None) -> list[PlanRow]:
    statement = select(plan).order_by(plan.c.created_at.desc(), plan.c.id).limit(limit)
    return [_plan(line) for line in connection.execute(statement)]


def approve_plan(connection: Connection, id_: str, by: str, why: str, at: datetime) -> PlanRow:
    if get_plan(connection, id_) is None:
        raise ConfigError(f"There is no plan {id_}.", fix="`crmbridge plan` makes one and prints its id.")
    # Who said yes first stays on record.
    fresh = (plan.c.id == id_, plan.c.approved_at.is_(None))
    connection.execute(update(plan).where(*fresh).values(approved_at=at, approved_by=by, why=why))
    approved = get_plan(connection, id_)
    assert approved is not None
    return approved

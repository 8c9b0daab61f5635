"""Open matters: what is held and why, what failed and is tried again when, what waits (reliability §8)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from crmbridge.errors import ConfigError
from crmbridge.model import Entity, Ref, Side
from crmbridge.state import codec
from crmbridge.state.database import array, lookup
from crmbridge.state.intents import clear
from crmbridge.state.records import chunks, mark
from crmbridge.state.schema import issue, link
from crmbridge.state.words import Issue

# 1 min, 5 min, 30 min, 2 h, 12 h, 24 h; what fails again after that needs a person.
BACKOFF_SECONDS = (60, 300, 1800, 7200, 43200, 86400)
Place = tuple[str, str, str, str]  # entity, subject, cause, field: what is one while it is open


@dataclass(frozen=True, slots=True)
class Found:
    places: set[Place]  # which ones hold now
    news: list[Issue]  # of them those that nobody knew, are of another kind than before, or were refused once more


_COLUMNS = tuple(column for column in issue.c if column.name not in ("subject", "seen_at"))


def backoff(attempts: int, seed: str) -> timedelta | None:
    """Until the next try after so many failed ones, spread by ±20 % so that they do not all come at once.
    None: no further try by itself."""
    if attempts > len(BACKOFF_SECONDS):
        return None
    spread = int(codec.digest(seed, str(attempts))[:8], 16) / 0xFFFFFFFF  # the same for the same record
    return timedelta(seconds=BACKOFF_SECONDS[max(attempts, 1) - 1] * (0.8 + 0.4 * spread))


def _load(values: Sequence[Any]) -> Issue:
    known: dict[str, Any] = {column.name: value for column, value in zip(_COLUMNS, values, strict=True)}
    known["field"] = known["field"] or None
    return Issue(**known)


def _subjects(link_id: str | None, side: str | None, native_id: str | None) -> list[str]:
    """A record may have been known by its native id before it had a link."""
    named = [f"{side}:{native_id}"] if native_id is not None else []
    return ([link_id] if link_id is not None else []) + named


# --- writing ------------------------------------------------------------------------------------------------------


def open_(connection: Connection, given: Iterable[Issue], at: datetime) -> Found:
    """Open, or refresh the same one."""
    wanted = list(given)
    known = _known(connection, [name for one in wanted for name in _subjects(one.link_id, one.side, one.native_id)])
    new: dict[Place, dict[str, Any]] = {}
    changed: list[dict[str, Any]] = []
    refreshed: dict[int, Place] = {}
    news: dict[Place, Issue] = {}
    for one in wanted:
        subjects = _subjects(one.link_id, one.side, one.native_id)
        if not subjects:
            raise AssertionError(f"an issue ({one.cause}) names no record")
        places: list[Place] = [(one.entity, name, one.cause, one.field or "") for name in subjects]
        old = next((known[place] for place in places if place in known), None)
        if old is None:
            counted = news[places[0]] = _counted(one, None, subjects[0], at)
            new[places[0]] = _line(counted) | {"subject": subjects[0], "opened_at": at, "seen_at": at}
        elif old.id is not None and old.id not in refreshed:
            refreshed[old.id] = places[0]
            counted = _counted(one, old, subjects[0], at)
            if counted.kind != old.kind or counted.attempts != old.attempts:
                news[places[0]] = counted
            changed.append(_line(counted) | {"subject": subjects[0], "seen_at": at, "at_id": old.id})
    if new:
        connection.execute(insert(issue), list(new.values()))
    if changed:
        connection.execute(_REFRESH, changed)
    return Found({*new, *refreshed.values()}, list(news.values()))


def _counted(one: Issue, old: Issue | None, subject: str, at: datetime) -> Issue:
    """Count a failed attempt, and say when the next one is due."""
    if one.kind != "failed":
        return replace(one, attempts=max(one.attempts, old.attempts if old else 0), next_try_at=one.next_try_at)
    # Something else was refused than last time (an edit, another mapping): the count starts again.
    moved = old is not None and old.fingerprint and one.fingerprint and old.fingerprint != one.fingerprint
    attempts = 1 if old is None or moved else old.attempts + 1
    if one.lasting:
        return replace(one, attempts=attempts, next_try_at=None)
    pause = backoff(attempts, f"{one.entity} {subject} {one.cause}")
    if pause is None:
        return replace(one, kind="held", attempts=attempts, next_try_at=None)
    return replace(one, attempts=attempts, next_try_at=one.next_try_at or at + pause)


_WRITTEN = ("kind", "cause", "entity", "link_id", "side", "native_id", "field", "message", "fix", "attempts")


def _line(one: Issue) -> dict[str, Any]:
    line = {name: getattr(one, name) for name in (*_WRITTEN, "next_try_at", "fingerprint")}
    return line | {"field": one.field or "", "message": clear(one.message), "fix": clear(one.fix)}


_REFRESHED = ("kind", "subject", "link_id", "side", "native_id", "message", "fix", "attempts")
_REFRESH = (
    update(issue)
    .where(issue.c.id == bindparam("at_id"))
    .values({name: bindparam(name) for name in (*_REFRESHED, "next_try_at", "fingerprint", "seen_at")})
)


def _known(connection: Connection, subjects: Sequence[str]) -> dict[Place, Issue]:
    dialect = connection.dialect.name
    known: dict[Place, Issue] = {}
    for some in chunks(sorted(set(subjects))):
        for line in connection.execute(_open_of(dialect), {"ids": array(dialect, some)}).mappings():
            one = _load([line[column.name] for column in _COLUMNS])
            known[one.entity, line["subject"], one.cause, one.field or ""] = one
    return known


@cache
def _open_of(dialect: str) -> Any:
    return lookup(dialect, issue, issue.c.subject, issue.c.closed_at.is_(None))


def close_over(
    connection: Connection,
    over: Iterable[tuple[Entity, str | None, Side | None, str | None, str | None]],
    at: datetime,
    keep: set[Place],
) -> None:
    """Close what no longer holds, but for those that have just been found again."""
    wanted = [(entity, cause, _subjects(link_id, side, native)) for entity, link_id, side, native, cause in over]
    known = _known(connection, [name for _, _, subjects in wanted for name in subjects])
    ended = {
        one.id
        for entity, cause, subjects in wanted
        for (of_entity, subject, of_cause, field), one in known.items()
        if of_entity == entity
        and subject in subjects
        and cause in (None, of_cause)
        and (of_entity, subject, of_cause, field) not in keep
    }
    why = {"closed_at": at, "closed_by": "crmbridge", "closed_why": "no longer found"}
    lines = [{"at_id": id_} | why for id_ in sorted(id_ for id_ in ended if id_ is not None)]
    if lines:
        connection.execute(_CLOSE, lines)


_CLOSE = (
    update(issue)
    .where(issue.c.id == bindparam("at_id"), issue.c.closed_at.is_(None))
    .values({name: bindparam(name) for name in ("closed_at", "closed_by", "closed_why")})
)


def close(connection: Connection, id_: int, by: str, why: str, at: datetime) -> None:
    _one_open(connection, id_)
    connection.execute(_CLOSE, {"at_id": id_, "closed_at": at, "closed_by": by, "closed_why": why})


def close_many(connection: Connection, ids: Sequence[int], by: str, why: str, at: datetime) -> int:
    """Those that are still open; returns how many."""
    closed = 0
    for some in chunks(list(ids)):
        mine = (issue.c.id.in_(some), issue.c.closed_at.is_(None))
        values = {"closed_at": at, "closed_by": by, "closed_why": why}
        closed += connection.execute(update(issue).where(*mine).values(values)).rowcount
    return closed


def release(connection: Connection, ids: Sequence[int] | None, by: str, why: str, at: datetime) -> int:
    """Try again now: what is concerned is planned in the next run, even if it is unchanged. Attempts are kept."""
    chosen = read(connection) if ids is None else [_one_open(connection, id_) for id_ in ids]
    refs: set[Ref] = set()
    for some in chunks(chosen):
        linked = select(link).where(link.c.id.in_([one.link_id for one in some if one.link_id]))
        for line in connection.execute(linked):
            places: tuple[tuple[Side, str | None], ...] = (("left", line.left_id), ("right", line.right_id))
            refs |= {Ref(side=side, entity=line.entity, id=id_) for side, id_ in places if id_ is not None}
        refs |= {Ref(side=one.side, entity=one.entity, id=one.native_id) for one in some if one.side and one.native_id}
    mark(connection, refs)
    lines = [{"at_id": one.id, "next_try_at": at, "released_by": by, "released_why": why} for one in chosen]
    if lines:
        connection.execute(_RELEASE, lines)
    return len(lines)


_RELEASE = (
    update(issue)
    .where(issue.c.id == bindparam("at_id"))
    .values({name: bindparam(name) for name in ("next_try_at", "released_by", "released_why")} | {"fingerprint": ""})
)


def _one_open(connection: Connection, id_: int) -> Issue:
    found = get(connection, id_)
    if found is None or found.closed_at is not None:
        raise ConfigError(f"There is no open issue {id_}.", fix="`crmbridge issues` lists those that are open.")
    return found


# --- reading ------------------------------------------------------------------------------------------------------


def get(connection: Connection, id_: int) -> Issue | None:
    line = connection.execute(select(*_COLUMNS).where(issue.c.id == id_)).first()
    return _load(line) if line else None


def read(
    connection: Connection,
    *,
    entity: Entity | None = None,
    kind: str | None = None,
    cause: str | None = None,
    link_id: str | None = None,
    side: Side | None = None,
    native_id: str | None = None,
    due_at: datetime | None = None,
    limit: int | None = None,
) -> list[Issue]:
    wanted = {issue.c.entity: entity, issue.c.kind: kind, issue.c.cause: cause, issue.c.link_id: link_id}
    wanted |= {issue.c.side: side, issue.c.native_id: native_id}
    where = [column == value for column, value in wanted.items() if value is not None]
    if due_at is not None:
        where.append(issue.c.next_try_at <= due_at)
    statement = select(*_COLUMNS).where(issue.c.closed_at.is_(None), *where).order_by(issue.c.id).limit(limit)
    return [_load(line) for line in connection.execute(statement)]


def of(connection: Connection, subjects: Sequence[str]) -> list[Issue]:
    """Open issues of these links (by shared id) and records (`left:ID`, `right:ID`)."""
    return sorted(set_of(_known(connection, subjects).values()), key=lambda one: one.id or 0)


def set_of(found: Iterable[Issue]) -> list[Issue]:
    return list({one.id: one for one in found}.values())


def counts(connection: Connection) -> dict[str, int]:
    open_ones = select(issue.c.kind, func.count().label("number")).where(issue.c.closed_at.is_(None))
    lines = connection.execute(open_ones.group_by(issue.c.kind).order_by(issue.c.kind))
    return {line.kind: line.number for line in lines}

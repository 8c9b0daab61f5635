"""Taking a person out of the store: their records and pairs go, what was written about them loses its values, and what
else names them is blotted out. Numbers stay true: a write that happened stays a line of the journal, empty."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Table, and_, delete, insert, or_, select, update

from crmbridge.errors import OutsideError
from crmbridge.model import Ref
from crmbridge.state import codec, erased
from crmbridge.state.database import Database
from crmbridge.state.records import chunks, mark
from crmbridge.state.schema import (
    conversion,
    erasure,
    intent,
    issue,
    journal,
    link,
    match_key,
    metadata,
    record,
    satellite,
    work,
)
from crmbridge.state.traces import ERASED, PEOPLE, Traces, text_columns

_NOBODY: Final[Mapping[str, Any]] = {
    "link_id": None,
    "native_id": None,
    "source_id": None,
    "reason": ERASED,
    "before": "{}",
    "after": "{}",
    "reply": ERASED,
}
_KEYS: Final = 200  # lines in one statement


def erase(connection: Connection, traces: Traces, by: str, why: str, at: datetime) -> int:
    """All of it in the caller's transaction. Returns the number under which it is noted."""
    counts = {**traces.counts, "blotted": sum(len(keys) for keys in traces.texts.values())}
    line = {"at": at, "by": by, "why": why, "counts": codec.dump(counts)}
    number: int = connection.execute(insert(erasure).returning(erasure.c.number), line).scalar_one()
    for table in (intent, journal, issue):
        own = _own(table, traces)
        if table is journal:
            connection.execute(update(table).where(own).values(_NOBODY))
        else:
            connection.execute(delete(table).where(own))
    connection.execute(delete(work).where(work.c.link_id.in_(traces.links)))
    _empty_ledger(connection, traces)
    for name, keys in traces.texts.items():
        _blot(connection, metadata.tables[name], keys, traces.words)
    connection.execute(delete(link).where(link.c.id.in_(traces.links)))
    for ref in traces.refs:
        beside = (satellite.c.side == ref.side, satellite.c.entity == ref.entity, satellite.c.parent_id == ref.id)
        connection.execute(delete(satellite).where(*beside))
        place = (record.c.side == ref.side, record.c.entity == ref.entity)
        connection.execute(delete(record).where(*place, record.c.id == ref.id))
        keyed = (match_key.c.side == ref.side, match_key.c.entity == ref.entity)
        connection.execute(delete(match_key).where(*keyed, match_key.c.id == ref.id))
        # The loser of a merge that was somebody else's record before: gone, without the winner's id.
        connection.execute(update(record).where(*place, record.c.merged_into == ref.id).values(merged_into=None))
    erased.remember(connection, traces.refs, number)
    return number


def _own(table: Table, traces: Traces) -> Any:
    by_place: list[Any] = [table.c.link_id.in_(traces.links)]
    for ref in traces.refs:
        by_place.append((table.c.side == ref.side) & (table.c.entity == ref.entity) & (table.c.native_id == ref.id))
        if "source_id" in table.c:
            there = table.c.side != ref.side
            by_place.append(there & (table.c.entity == ref.entity) & (table.c.source_id == ref.id))
    return or_(*by_place)


def _empty_ledger(connection: Connection, traces: Traces) -> None:
    """That a conversion was mirrored stays noted, for it is mirrored once; who was converted does not."""
    mine = conversion.c.lead_link.in_(traces.links)
    for line in connection.execute(select(conversion).where(mine)).all():
        detail: dict[str, Any] = codec.load(line.detail)
        for ends in (detail.get("left"), detail.get("right")):
            if isinstance(ends, dict):
                ends.update({entity: None for entity in PEOPLE if entity in ends})
        here = (conversion.c.lead_link == line.lead_link, conversion.c.epoch == line.epoch)
        connection.execute(update(conversion).where(*here).values(detail=codec.dump(detail)))


def _blot(connection: Connection, table: Table, keys: Sequence[tuple[Any, ...]], words: Collection[str]) -> None:
    forms = {form for word in words for form in (word, codec.dump(word)[1:-1])}
    pattern = re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)), re.IGNORECASE)
    columns = text_columns(table)
    single = {next(iter(index.columns)).name for index in table.indexes if index.unique and len(index.columns) == 1}
    in_key = [column.name for column in columns if column.primary_key or column.name in single]
    for some in chunks(keys, _KEYS):
        where = or_(*(_at(table, key) for key in some))
        for line in connection.execute(select(table).where(where)).mappings().all():
            at = _at(table, tuple(line[column.name] for column in table.primary_key))
            if any(pattern.search(line[name]) for name in in_key):
                connection.execute(delete(table).where(at))  # it is about the person, whatever it is
                continue
            if table is issue and pattern.search(line["field"]):
                # It waits for the person's record, which nobody knows any more: looked at anew without it.
                connection.execute(delete(table).where(at))
                if line["side"] and line["native_id"]:
                    mark(connection, [Ref(side=line["side"], entity=line["entity"], id=line["native_id"])])
                continue
            fresh = {
                column.name: _blotted(line[column.name], pattern) for column in columns if line[column.name] is not None
            }
            connection.execute(update(table).where(at).values(fresh))


def _at(table: Table, key: tuple[Any, ...]) -> Any:
    return and_(*(column == value for column, value in zip(table.primary_key, key, strict=True)))


def _blotted(text: str, pattern: re.Pattern[str]) -> str:
    if not pattern.search(text):
        return text
    if text[:1] in "{[":  # a number that looks like a phone must stay a number
        try:
            return codec.dump(_walk(codec.load(text), pattern))
        except ValueError:
            pass  # a sentence that begins with a bracket
    return pattern.sub(ERASED, text)


def _walk(value: Any, pattern: re.Pattern[str]) -> Any:
    match value:
        case str():
            return pattern.sub(ERASED, value)
        case dict():
            return {pattern.sub(ERASED, name): _walk(inner, pattern) for name, inner in value.items()}
        case list():
            return [_walk(inner, pattern) for inner in value]
        case _:
            return value


# --- the database's own leftovers ---------------------------------------------------------------------------------


def scour(database: Database) -> bool:
    """Deleted lines stay readable in a database's files until they are overwritten. SQLite's file is written anew, and
    its log emptied; PostgreSQL's dead lines are given up. False: somebody was reading, so not all could be done."""
    connection = database.engine.raw_connection()
    try:
        raw: Any = connection.driver_connection
        if database.dialect == "postgresql":
            before, raw.autocommit = raw.autocommit, True
            try:
                raw.execute(f"VACUUM {', '.join(metadata.tables)}")
            finally:
                raw.autocommit = before
            return True
        raw.execute("VACUUM")
        busy: int = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        return busy == 0
    except database.engine.dialect.loaded_dbapi.Error as error:
        raise OutsideError(
            f"What the store {database.place} has deleted may still stand in its files: {error}.",
            fix="Free some space or stop what reads it, then: crmbridge erase --clean-up",
            code="store",
        ) from error
    finally:
        connection.close()

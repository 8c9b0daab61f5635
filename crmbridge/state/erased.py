"""What was taken out of the store at a person's word stays out: the door at which records are turned away.

Only a keyed hash of side, kind and id is kept. The key is this store's own, so marks of two stores tell nothing of each
other, and without the id in hand a mark tells nothing at all.
"""

import hashlib
import hmac
import secrets
from collections.abc import Collection, Iterable
from dataclasses import replace
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, delete, select

from crmbridge.model import Ref, Row, Satellite
from crmbridge.state.database import array, insert, lookup
from crmbridge.state.schema import erased, meta

SALT_META: Final = "erase_salt"
_CHUNK: Final = 500


def mark_of(salt: str, ref: Ref) -> str:
    words = f"{ref.side}:{ref.entity}:{ref.id}"
    return hmac.new(bytes.fromhex(salt), words.encode(), hashlib.sha256).hexdigest()


def among(connection: Connection, refs: Collection[Ref]) -> set[Ref]:
    """Which of these records were erased. Where nobody ever was, one look-up of one row."""
    salt = _salt(connection) if refs else None
    if salt is None:
        return set()
    by_mark = {mark_of(salt, ref): ref for ref in refs}
    dialect, marks = connection.dialect.name, sorted(by_mark)
    statement = _marked(dialect)
    return {
        by_mark[line.mark]
        for start in range(0, len(marks), _CHUNK)
        for line in connection.execute(statement, {"ids": array(dialect, marks[start : start + _CHUNK])})
    }


@cache
def _marked(dialect: str) -> Any:
    return lookup(dialect, erased, erased.c.mark)


def admitted(connection: Connection, given: Iterable[Row]) -> list[Row]:
    """Rows that may be stored. What was merged into an erased record is told as deleted, without the winner's id."""
    rows = list(given)
    gone = among(connection, {ref for row in rows for ref in (row.ref, _winner(row)) if ref is not None})
    if not gone:
        return rows
    kept = [row for row in rows if row.ref not in gone]
    return [replace(row, merged_into=None, deleted=True, values=None) if _winner(row) in gone else row for row in kept]


def without_parents(connection: Connection, given: Iterable[Satellite]) -> list[Satellite]:
    """A row beside an erased record counts as deleted."""
    some = list(given)
    gone = among(connection, {one.parent for one in some if not one.deleted})
    return [replace(one, deleted=True, values={}) if one.parent in gone else one for one in some]


def remember(connection: Connection, refs: Iterable[Ref], erasure: int) -> None:
    salt = _salt(connection)
    if salt is None:
        salt = secrets.token_hex(32)
        connection.execute(insert(connection.dialect.name, meta), {"name": SALT_META, "value": salt})
    lines = [{"mark": mark, "erasure": erasure} for mark in sorted(mark_of(salt, ref) for ref in refs)]
    if lines:
        connection.execute(insert(connection.dialect.name, erased).on_conflict_do_nothing(), lines)


def let_back(connection: Connection, refs: Collection[Ref]) -> set[Ref]:
    """These records may be read again; returns those that were kept out."""
    gone, salt = among(connection, refs), _salt(connection)
    if gone and salt is not None:
        connection.execute(delete(erased).where(erased.c.mark.in_([mark_of(salt, ref) for ref in gone])))
    return gone


def _winner(row: Row) -> Ref | None:
    return replace(row.ref, id=row.merged_into) if row.merged_into is not None else None


def _salt(connection: Connection) -> str | None:
    return connection.execute(_SALT).scalar()


_SALT = select(meta.c.value).where(meta.c.name == SALT_META)

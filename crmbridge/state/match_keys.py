"""By what unlinked records can be recognised: which of them have a part of a key in common, without reading them all.

What is promised: each record that is there, is not due and has no link has its lines here, by its values as they are
stored, or the line UNREAD, which says that nobody has looked at it yet. Records that are due are found as such.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, literal, select

from crmbridge.model import Entity, Ref, Side
from crmbridge.state.database import array, insert, lookup
from crmbridge.state.links import is_free
from crmbridge.state.records import chunks
from crmbridge.state.schema import match_key, record
from crmbridge.state.words import Keyed

UNREAD: Final = ""

_PLACE = (match_key.c.side == bindparam("of_side"), match_key.c.entity == bindparam("of_entity"))
_DROP = delete(match_key).where(
    match_key.c.side == bindparam("at_side"),
    match_key.c.entity == bindparam("at_entity"),
    match_key.c.id == bindparam("at_id"),
)
_ANY = select(literal(1)).select_from(match_key).where(*_PLACE).limit(1)


def put(connection: Connection, given: Iterable[Keyed]) -> None:
    """All parts that these records have, instead of those on file."""
    by_ref = {one.ref: one for one in given}
    drop(connection, by_ref)
    lines = sorted(
        (ref.side, ref.entity, part, ref.id) for ref, one in by_ref.items() for part in dict.fromkeys(one.parts)
    )
    if lines:
        names = ("side", "entity", "part", "id")
        connection.execute(_add(connection.dialect.name), [dict(zip(names, line, strict=True)) for line in lines])


def drop(connection: Connection, refs: Iterable[Ref]) -> None:
    places = sorted((ref.side, ref.entity, ref.id) for ref in refs)
    if places:
        names = ("at_side", "at_entity", "at_id")
        connection.execute(_DROP, [dict(zip(names, place, strict=True)) for place in places])


def forget(connection: Connection, refs: Iterable[Ref]) -> None:
    """Nobody knows whether what is on file of these still holds; of those that are due or linked it does not matter."""
    places: dict[tuple[Side, Entity], list[str]] = defaultdict(list)
    for ref in refs:
        places[ref.side, ref.entity].append(ref.id)
    dialect = connection.dialect.name
    for (side, entity), ids in sorted(places.items()):
        for some in chunks(sorted(set(ids))):
            place = {"of_side": side, "of_entity": entity, "ids": array(dialect, some)}
            found = [line.id for line in connection.execute(_settled(dialect, side), place)]
            lines = [{"side": side, "entity": entity, "part": UNREAD, "id": id_} for id_ in sorted(found)]
            if lines:
                connection.execute(_add(dialect), lines)


def holders(connection: Connection, side: Side, entity: Entity, parts: Collection[str]) -> Iterator[tuple[str, str]]:
    """Part and native id."""
    statement = _holders(connection.dialect.name)
    for some in chunks(sorted(parts)):
        place = {"of_side": side, "of_entity": entity, "ids": array(connection.dialect.name, some)}
        for line in connection.execute(statement, place):
            yield line.part, line.id


def are_there(connection: Connection, side: Side, entity: Entity) -> bool:
    return connection.execute(_ANY, {"of_side": side, "of_entity": entity}).first() is not None


@cache
def _add(dialect: str) -> Any:
    return insert(dialect, match_key).on_conflict_do_nothing()


@cache
def _holders(dialect: str) -> Any:
    return lookup(dialect, match_key, match_key.c.part, *_PLACE)


@cache
def _settled(dialect: str, side: Side) -> Any:
    place = (record.c.side == bindparam("of_side"), record.c.entity == bindparam("of_entity"))
    statement = lookup(dialect, record, record.c.id, *place, record.c.dirty.is_(False), *is_free(side))
    return statement.with_only_columns(statement.selected_columns.id)

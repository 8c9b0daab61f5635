"""Links (who is whose partner, and what both last agreed on) and the work that they and dirty records make."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, and_, bindparam, not_, or_, select, update
from sqlalchemy.exc import IntegrityError

from crmbridge.errors import StaleError
from crmbridge.model import SIDES, Entity, Link, Ref, Side
from crmbridge.state import codec
from crmbridge.state.codec import RowCodec
from crmbridge.state.database import among, array, put
from crmbridge.state.records import chunks, is_observed, stored
from crmbridge.state.schema import UNSTEADY, link, record
from crmbridge.state.words import Pair, Stored

_COLUMNS = tuple(column.name for column in link.c)


def _load(values: Sequence[Any]) -> Link:
    known = dict(zip(_COLUMNS, values, strict=True))
    known |= {"base": codec.load_base(known["base"])}
    known |= {name: codec.load(known[name]) for name in ("last_open", "fillers")}
    return Link(**known)


def _dump(one: Link) -> dict[str, Any]:
    return {
        "id": one.id,
        "entity": one.entity,
        "left_id": one.left_id,
        "right_id": one.right_id,
        "base": codec.dump_base(one.base),
        "mode": one.mode,
        "origin": one.origin,
        "alive": one.alive,
        "generation": one.generation,
        "last_open": codec.dump(one.last_open),
        "fillers": codec.dump(one.fillers),
        "epoch": one.epoch,
        "how": one.how,
    }


# --- reading ------------------------------------------------------------------------------------------------------


def by_id(connection: Connection, ids: Sequence[str]) -> dict[str, Link]:
    found: dict[str, Link] = {}
    for some in chunks(sorted(set(ids))):
        lines = connection.execute(_by_id(connection.dialect.name), {"ids": array(connection.dialect.name, some)})
        found.update({line.id: _load(line) for line in lines})
    return found


@cache
def _by_id(dialect: str) -> Any:
    return select(link).where(among(dialect, link.c.id))


def by_native(connection: Connection, side: Side, entity: Entity, ids: Sequence[str]) -> dict[str, Link]:
    """By the record's native id on that side; dead links too."""
    found: dict[str, Link] = {}
    for some in chunks(sorted(set(ids))):
        parameters = {"entity": entity, "ids": array(connection.dialect.name, some)}
        for line in connection.execute(_by_native(connection.dialect.name, side), parameters):
            one = _load(line)
            found[one.id_on(side) or ""] = one
    return found


@cache
def _by_native(dialect: str, side: Side) -> Any:
    column = link.c.left_id if side == "left" else link.c.right_id
    return select(link).where(link.c.entity == bindparam("entity"), among(dialect, column))


def walk(connection: Connection, entity: Entity | None, after: str, limit: int) -> list[Link]:
    where = [link.c.id > after] + ([link.c.entity == entity] if entity else [])
    return [_load(line) for line in connection.execute(select(link).where(*where).order_by(link.c.id).limit(limit))]


def find(connection: Connection, text: str) -> list[tuple[Entity, Link | None, Ref | None]]:
    """By shared id or native id on either side."""
    where = or_(link.c.id == text, link.c.left_id == text, link.c.right_id == text)
    found: list[tuple[Entity, Link | None, Ref | None]] = []
    for line in connection.execute(select(link).where(where).order_by(link.c.id)):
        one = _load(line)
        refs = [Ref(side=side, entity=one.entity, id=text) for side in SIDES if one.id_on(side) == text]
        found.append((one.entity, one, refs[0] if refs else None))
    linked = {ref for _, _, ref in found}
    places = (record.c.entity, record.c.side)
    for entity, side in connection.execute(select(*places).where(record.c.id == text).order_by(*places)):
        ref = Ref(side=side, entity=entity, id=text)
        if ref not in linked:
            found.append((entity, None, ref))
    return found


# --- writing ------------------------------------------------------------------------------------------------------


def save(connection: Connection, given: Iterable[Link]) -> None:
    links = sorted(given, key=lambda one: one.id)
    if not links:
        return
    before = by_id(connection, [one.id for one in links])
    # A record that goes from one link to another is let go first: its index allows one link at any moment.
    let_go = [
        {"at_id": one.id}
        for one in links
        if (old := before.get(one.id))
        and (old.left_id not in (None, one.left_id) or old.right_id not in (None, one.right_id))
    ]
    if let_go:
        connection.execute(_LET_GO, let_go)
    try:
        connection.execute(put(connection.dialect.name, link), [_dump(one) for one in links])
    except IntegrityError as error:
        raise StaleError(
            f"One of {len(links)} records ({links[0].entity}) has another link by now.",
            fix="It is planned again from what is stored.",
            code="already_linked",
        ) from error


_LET_GO = update(link).where(link.c.id == bindparam("at_id")).values(left_id=None, right_id=None)


# --- work ---------------------------------------------------------------------------------------------------------
#
# Three walks, each along an index in its order, so that a hundred thousand dirty records cost one pass and no memory:
# dirty records on the left, dirty records on the right whose partner was not met in the first walk, and links that are
# not steady though both records are clean.

_left = record.alias("left_record")
_right = record.alias("right_record")
_PLACES = {"left": (_left, link.c.left_id), "right": (_right, link.c.right_id)}
_WIDTH = len(record.c)


@dataclass(frozen=True, slots=True)
class Walk:
    name: str
    statement: Any


def _partner(side: Side) -> Any:
    table, column = _PLACES[side]
    return and_(table.c.side == side, table.c.entity == link.c.entity, table.c.id == column)


def _is_work(table: Any) -> Any:
    return and_(table.c.dirty.is_(True), is_observed(table))


def _walks() -> Iterator[Walk]:
    entity, after, limit = bindparam("entity"), bindparam("after"), bindparam("limit")
    columns = (*_left.c, *_right.c, *link.c)
    for side, mine, other_side in (("left", _left, "right"), ("right", _right, "left")):
        theirs, column = _PLACES[other_side][0], _PLACES[side][1]
        joined = mine.outerjoin(link, and_(link.c.entity == mine.c.entity, column == mine.c.id))
        where = [mine.c.side == side, mine.c.entity == entity, _is_work(mine), mine.c.id > after]
        if side == "right":
            where.append(or_(theirs.c.id.is_(None), not_(_is_work(theirs))))
        statement = select(*columns).select_from(joined.outerjoin(theirs, _partner(other_side)))  # type: ignore[arg-type]
        yield Walk(side, statement.where(*where).order_by(mine.c.id).limit(limit))
    joined = link.outerjoin(_left, _partner("left")).outerjoin(_right, _partner("right"))
    settled = [or_(table.c.id.is_(None), not_(_is_work(table))) for table in (_left, _right)]
    where = [UNSTEADY, link.c.entity == entity, link.c.id > after, *settled]
    yield Walk("link", select(*columns).select_from(joined).where(*where).order_by(link.c.id).limit(limit))


WALKS = tuple(_walks())


def work(connection: Connection, rows: RowCodec, walk: Walk, entity: Entity, after: str, limit: int) -> list[Pair]:
    parameters = {"entity": entity, "after": after, "limit": limit}
    return [_pair(line, entity, rows) for line in connection.execute(walk.statement, parameters)]


def _pair(line: Sequence[Any], entity: Entity, rows: RowCodec) -> Pair:
    left, right, linked = line[:_WIDTH], line[_WIDTH : 2 * _WIDTH], line[2 * _WIDTH :]
    return Pair(
        entity=entity,
        link=_load(linked) if linked[0] is not None else None,
        left=_shown(left, rows),
        right=_shown(right, rows),
    )


def _shown(columns: Sequence[Any], rows: RowCodec) -> Stored | None:
    """None where there is no record, or only a placeholder for one."""
    if columns[0] is None:
        return None
    one = stored(columns, rows)
    return one if one.row.version or one.row.deleted else None


def unlinked(
    connection: Connection, rows: RowCodec, side: Side, entity: Entity, after: str, limit: int
) -> list[Stored]:
    column = _PLACES[side][1]
    has_link = select(link.c.id).where(link.c.entity == record.c.entity, column == record.c.id).exists()
    where = (record.c.side == side, record.c.entity == entity, record.c.id > after, record.c.deleted.is_(False))
    statement = select(record).where(*where, is_observed(), not_(has_link)).order_by(record.c.id).limit(limit)
    return [stored(line, rows) for line in connection.execute(statement)]

"""Links (who is whose partner, and what both last agreed on) and the work that they and dirty records make."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, bindparam, exists, or_, select, update
from sqlalchemy.exc import IntegrityError

from crmbridge.errors import StaleError
from crmbridge.model import SIDES, Entity, Link, Ref, Side, other
from crmbridge.state import codec
from crmbridge.state.codec import RowCodec
from crmbridge.state.database import array, lookup, put
from crmbridge.state.records import chunks, fetch, is_observed, stored
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
    return lookup(dialect, link, link.c.id)


def by_native(connection: Connection, side: Side, entity: Entity, ids: Sequence[str]) -> dict[str, Link]:
    """By the record's native id on that side; dead links too."""
    found: dict[str, Link] = {}
    for some in chunks(sorted(set(ids))):
        parameters = {"of_entity": entity, "ids": array(connection.dialect.name, some)}
        for line in connection.execute(_by_native(connection.dialect.name, side), parameters):
            one = _load(line)
            found[one.id_on(side) or ""] = one
    return found


@cache
def _by_native(dialect: str, side: Side) -> Any:
    column = link.c.left_id if side == "left" else link.c.right_id
    return lookup(dialect, link, column, link.c.entity == bindparam("of_entity"))


def natives(connection: Connection, side: Side, entity: Entity, after: str, limit: int) -> list[str]:
    """Ids of linked records, a slice at a time, in the order of the index."""
    column = link.c.left_id if side == "left" else link.c.right_id
    where = (link.c.entity == entity, column > after, link.c.alive.is_(True))
    return list(connection.execute(select(column).where(*where).order_by(column).limit(limit)).scalars())


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


def save(connection: Connection, given: Iterable[Link]) -> tuple[set[Ref], set[Ref]]:
    """Returns the records that have got a link by this, and those that have lost theirs."""
    links = sorted(given, key=lambda one: one.id)
    if not links:
        return set(), set()
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
    now, then = ends(links), ends(before.values())
    return now - then, then - now


def ends(links: Iterable[Link]) -> set[Ref]:
    return {
        Ref(side=side, entity=one.entity, id=id_)
        for one in links
        for side in SIDES
        if (id_ := one.id_on(side)) is not None
    }


_LET_GO = update(link).where(link.c.id == bindparam("at_id")).values(left_id=None, right_id=None)


# --- work ---------------------------------------------------------------------------------------------------------
#
# Three walks, each along an index in its order, so that a hundred thousand dirty records cost one pass and no memory:
# dirty records on the left, dirty records on the right whose partner was not met in the first walk, and links that are
# not steady though both records are clean. Partners are looked up by id.

Walk = Literal["left", "right", "link"]
WALKS: tuple[Walk, ...] = ("left", "right", "link")


def work(
    connection: Connection, rows: RowCodec, walk: Walk, entity: Entity, after: str, limit: int
) -> tuple[list[Pair], str | None]:
    """The pairs of one chunk, and where the next one begins (None: there is none)."""
    if walk == "link":
        found = connection.execute(_UNSTEADY_WORK, {"of_entity": entity, "after": after, "many": limit})
        unsteady = [_load(line) for line in found]
        sides = {side: _partners(connection, rows, side, entity, unsteady) for side in SIDES}
        pairs = [_pair(entity, one, sides["left"], sides["right"]) for one in unsteady]
        pairs = [pair for pair in pairs if not (_is_work(pair.left) or _is_work(pair.right))]
        return pairs, unsteady[-1].id if len(unsteady) == limit else None
    place = {"of_side": walk, "of_entity": entity, "after": after, "many": limit}
    found = connection.execute(_DIRTY_WORK, place)
    mine = {line.id: stored(line, rows) for line in found}
    linked = by_native(connection, walk, entity, list(mine))
    theirs = _partners(connection, rows, other(walk), entity, linked.values())
    left, right = (mine, theirs) if walk == "left" else (theirs, mine)
    pairs = [
        _pair(entity, linked[id_], left, right)
        if id_ in linked
        else Pair(entity=entity, link=None, left=left.get(id_), right=right.get(id_))
        for id_ in mine
    ]
    if walk == "right":
        pairs = [pair for pair in pairs if not _is_work(pair.left)]
    return pairs, list(mine)[-1] if len(mine) == limit else None


_UNSTEADY_WORK = (
    select(link)
    .where(UNSTEADY, link.c.entity == bindparam("of_entity"), link.c.id > bindparam("after"))
    .order_by(link.c.id)
    .limit(bindparam("many"))
)
_DIRTY_WORK = (
    select(record)
    .where(
        record.c.dirty.is_(True),
        record.c.side == bindparam("of_side"),
        record.c.entity == bindparam("of_entity"),
        record.c.id > bindparam("after"),
        is_observed(),
    )
    .order_by(record.c.id)
    .limit(bindparam("many"))
)


def _partners(
    connection: Connection, rows: RowCodec, side: Side, entity: Entity, linked: Iterable[Link]
) -> dict[str, Stored]:
    return fetch(connection, rows, side, entity, [id_ for one in linked if (id_ := one.id_on(side)) is not None])


def _pair(entity: Entity, one: Link, left: Mapping[str, Stored], right: Mapping[str, Stored]) -> Pair:
    return Pair(entity=entity, link=one, left=left.get(one.left_id or ""), right=right.get(one.right_id or ""))


def _is_work(one: Stored | None) -> bool:
    return one is not None and one.dirty


def unlinked(
    connection: Connection,
    rows: RowCodec,
    side: Side,
    entity: Entity,
    after: str,
    limit: int,
    due: bool | None = None,
) -> tuple[list[Stored], str | None]:
    """`due`: only those that are dirty (True), or only those that are not (False)."""
    place = {"of_side": side, "of_entity": entity, "after": after, "many": limit}
    found = [stored(line, rows) for line in connection.execute(_unlinked(side, due), place)]
    return found, found[-1].row.ref.id if len(found) == limit else None


@cache
def _unlinked(side: Side, due: bool | None) -> Any:
    where = [record.c.side == bindparam("of_side"), record.c.entity == bindparam("of_entity")]
    where += [record.c.id > bindparam("after"), *is_free(side)]
    if due is not None:
        where.append(record.c.dirty.is_(due))
    return select(record).where(*where).order_by(record.c.id).limit(bindparam("many"))


def unlinked_among(
    connection: Connection, rows: RowCodec, side: Side, entity: Entity, ids: Sequence[str]
) -> dict[str, Stored]:
    found: dict[str, Stored] = {}
    dialect = connection.dialect.name
    for some in chunks(sorted(set(ids))):
        place = {"of_side": side, "of_entity": entity, "ids": array(dialect, some)}
        found.update({line.id: stored(line, rows) for line in connection.execute(_among(dialect, side), place)})
    return found


@cache
def _among(dialect: str, side: Side) -> Any:
    place = (record.c.side == bindparam("of_side"), record.c.entity == bindparam("of_entity"))
    return lookup(dialect, record, record.c.id, *place, *is_free(side))


def is_free(side: Side) -> tuple[ColumnElement[bool], ...]:
    """There, observed, and without a link, dead or alive; for a statement with the parameter `of_entity`."""
    native = link.c.left_id if side == "left" else link.c.right_id
    has_link = exists().where(link.c.entity == bindparam("of_entity"), native == record.c.id)  # an index look-up each
    return record.c.deleted.is_(False), is_observed(), ~has_link

"""Records as last observed, the rows beside them, and how far each table has been read.

A row is dirty when it differs from what was stored: reading the same again (an overlap, our own echo after its
read-back was stored) leaves everything untouched.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Protocol, TypeVar

from sqlalchemy import ColumnElement, Connection, bindparam, case, delete, func, or_, select, update

from crmbridge.model import ENTITIES, Entity, Ref, Row, Satellite, Side
from crmbridge.state import codec, erased, unseen
from crmbridge.state.codec import RowCodec
from crmbridge.state.database import Clock, Upsert, array, insert, lookup, put
from crmbridge.state.schema import cursor, meta, record, satellite
from crmbridge.state.words import Stored

T = TypeVar("T")
CHUNK = 500  # ids in one look-up


class PageLike(Protocol):
    """What a connector's `changes` yields (`connectors.base.Page`)."""

    @property
    def rows(self) -> Sequence[Row]: ...
    @property
    def satellites(self) -> Sequence[Satellite]: ...
    @property
    def cursor(self) -> str: ...
    @property
    def full(self) -> bool: ...
    @property
    def last(self) -> bool: ...


def chunks(items: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


# --- reading ------------------------------------------------------------------------------------------------------


def is_observed(table: Any = record) -> ColumnElement[bool]:
    """False for a placeholder: a record that was only named by a row beside it, or touched before it was seen."""
    return or_(table.c.version != "", table.c.deleted.is_(True))


def stored(values: Sequence[Any], rows: RowCodec) -> Stored:
    """From the columns of `record`, in the schema's order."""
    side, entity, id_, version, created, modified, by, deleted, merged, key, body, extras, dirty, touched, _ = values
    row = Row(
        ref=Ref(side=side, entity=entity, id=id_),
        version=version,
        created_at=created,
        modified_at=modified,
        modified_by=by,
        deleted=deleted,
        merged_into=merged,
        key=key,
        values=rows.load(side, entity, body),
        extras=codec.load(extras) if extras else {},
    )
    return Stored(row=row, dirty=dirty, touched=touched)


def fetch(connection: Connection, rows: RowCodec, side: Side, entity: Entity, ids: Sequence[str]) -> dict[str, Stored]:
    found: dict[str, Stored] = {}
    statement = _fetch(connection.dialect.name)
    for some in chunks(sorted(set(ids))):
        parameters = {"of_side": side, "of_entity": entity, "ids": array(connection.dialect.name, some)}
        found.update({line.id: stored(line, rows) for line in connection.execute(statement, parameters)})
    return found


@cache
def _fetch(dialect: str) -> Any:
    return lookup(dialect, record, record.c.id, *_place(), is_observed())


def _place() -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return record.c.side == bindparam("of_side"), record.c.entity == bindparam("of_entity")


def read_cursor(connection: Connection, side: Side, source: str) -> str | None:
    return connection.execute(_CURSOR, {"of_side": side, "of_source": source}).scalar()


_WHERE_READ = (cursor.c.side == bindparam("of_side"), cursor.c.source == bindparam("of_source"))
_CURSOR = select(cursor.c.value).where(*_WHERE_READ)
_COMPARING = select(cursor.c.comparing).where(*_WHERE_READ)


# --- a page -------------------------------------------------------------------------------------------------------


def save_page(connection: Connection, rows: RowCodec, side: Side, source: str, page: PageLike) -> int:
    compare = connection.execute(_COMPARING, {"of_side": side, "of_source": source}).scalar()
    if page.full:
        compare = _begin_compare(connection)
    changed = observe(connection, rows, page.rows, marks=True, confirm=compare is not None)
    changed += _save_satellites(connection, side, source, page.satellites, confirm=compare is not None)
    if page.last and compare is not None:
        changed += _sweep(connection, side, source, compare)
        compare = None
    values = {"side": side, "source": source, "value": page.cursor, "comparing": compare}
    connection.execute(_put_cursor(connection.dialect.name), values)
    return changed


@cache
def _put_cursor(dialect: str) -> Upsert:
    return put(dialect, cursor).values(saved_at=Clock())


def observe(connection: Connection, rows: RowCodec, given: Iterable[Row], *, marks: bool, confirm: bool = False) -> int:
    """Store rows as they were shown. `marks`: one that differs from the stored one becomes dirty.
    `confirm`: a full compare is under way, so what is unchanged is noted as seen."""
    places: dict[tuple[Side, Entity], dict[str, Row]] = defaultdict(dict)
    for row in erased.admitted(connection, given):
        places[row.ref.side, row.ref.entity][row.ref.id] = row  # shown twice: the later one counts
    dialect = connection.dialect.name
    seen = _compares(connection) if places else 0
    count = 0
    for (side, entity), by_id in sorted(places.items()):
        changed: list[dict[str, Any]] = []
        same: list[str] = []
        for some in chunks(sorted(by_id)):
            parameters = {"of_side": side, "of_entity": entity, "ids": array(dialect, some)}
            known = {line[0]: line for line in connection.execute(_states(dialect), parameters)}
            for id_ in some:
                line = _parameters(by_id[id_], rows, dirty=marks, seen=seen)
                if _differs(line, known.get(id_)):
                    changed.append(line)
                else:
                    same.append(id_)
        if changed:
            connection.execute(_observe(dialect, marks), changed)
        if confirm and same:
            place = {"at_side": side, "at_entity": entity, "now_seen": seen}
            connection.execute(_CONFIRM, [place | {"at_id": id_} for id_ in same])
        moved = _save_extras(connection, side, entity, by_id.values(), seen=seen, marks=marks)
        count += len(changed) + len(moved - {parameters["id"] for parameters in changed})
    return count


@cache
def _states(dialect: str) -> Any:
    statement = lookup(dialect, record, record.c.id, *_place())
    columns = statement.selected_columns
    return statement.with_only_columns(columns.id, columns.version, columns.deleted, columns.merged_into, columns.body)


def _differs(line: Mapping[str, Any], known: Any) -> bool:
    """By the values too: two saves within one second have the same version on Salesforce."""
    if known is None:
        return True
    _, version, deleted, merged_into, body = known
    if line["deleted"] != deleted or line["merged_into"] != merged_into:
        return True
    # A delta's deletion has neither a version nor values to compare.
    return line["version"] not in ("", version) or (line["body"] is not None and line["body"] != body)


def _parameters(row: Row, rows: RowCodec, *, dirty: bool, seen: int) -> dict[str, Any]:
    return {
        "side": row.ref.side,
        "entity": row.ref.entity,
        "id": row.ref.id,
        "version": row.version,
        "created_at": row.created_at,
        "modified_at": row.modified_at,
        "modified_by": row.modified_by,
        "deleted": row.deleted,
        "merged_into": row.merged_into,
        "key": row.key,
        "body": rows.dump(row.values),
        "extras": None,
        "dirty": dirty,
        "touched": False,
        "seen": seen,
    }


@cache
def _observe(dialect: str, marks: bool) -> Upsert:
    statement = insert(dialect, record)
    shown = statement.excluded
    bare = shown.deleted.is_(True) & shown.body.is_(None)  # a deletion that tells no more than its id
    overwrite: dict[str, Any] = {
        "version": case((shown.version == "", record.c.version), else_=shown.version),
        "created_at": func.coalesce(shown.created_at, record.c.created_at),
        "modified_at": func.coalesce(shown.modified_at, record.c.modified_at),
        "modified_by": shown.modified_by,
        "deleted": shown.deleted,
        "merged_into": shown.merged_into,
        "key": case((bare, record.c.key), else_=shown.key),
        "body": shown.body,
        "seen": shown.seen,
    }
    if marks:
        overwrite["dirty"] = shown.dirty
    return statement.on_conflict_do_update(index_elements=list(record.primary_key), set_=overwrite)


_AT = (
    record.c.side == bindparam("at_side"),
    record.c.entity == bindparam("at_entity"),
    record.c.id == bindparam("at_id"),
)
_CONFIRM = update(record).where(*_AT).values(seen=bindparam("now_seen"))


# --- full compare: which records does a read from the start not show? Of what stands beside them these are gone ----


def _compares(connection: Connection) -> int:
    return int(connection.execute(_COMPARES).scalar() or 0)


_COMPARES = select(meta.c.value).where(meta.c.name == "compares")


def _begin_compare(connection: Connection) -> int:
    """Compares are numbered, not timed: a clock that is set back must not delete anything."""
    number = _compares(connection) + 1
    connection.execute(put(connection.dialect.name, meta), {"name": "compares", "value": str(number)})
    return number


def _sweep(connection: Connection, side: Side, source: str, compare: int) -> int:
    if source in ENTITIES:
        unseen.note(connection, side, source, compare)
    count = 0
    gone = (satellite.c.side == side, satellite.c.source == source, satellite.c.seen < compare)
    columns = (satellite.c.kind, satellite.c.id, satellite.c.entity, satellite.c.parent_id)
    lines = connection.execute(select(*columns).where(*gone)).all()
    if lines:
        connection.execute(delete(satellite).where(*gone))
        parents = {Ref(side=side, entity=line.entity, id=line.parent_id) for line in lines}
        _rebuild_extras(connection, parents, seen=compare, marks=True)
        count += len(lines)
    return count


# --- rows beside records ------------------------------------------------------------------------------------------


def _save_satellites(
    connection: Connection, side: Side, source: str, given: Sequence[Satellite], *, confirm: bool
) -> int:
    """A deletion may name only itself: its parent is the one stored with it."""
    if not given:
        return 0
    dialect, seen = connection.dialect.name, _compares(connection)
    by_kind: dict[str, dict[str, Satellite]] = defaultdict(dict)
    for one in erased.without_parents(connection, given):
        by_kind[one.kind][one.id] = one
    parents: set[Ref] = set()
    count = 0
    for kind, by_id in sorted(by_kind.items()):
        write: list[dict[str, Any]] = []
        remove: list[dict[str, Any]] = []
        for some in chunks(sorted(by_id)):
            parameters = {"side": side, "kind": kind, "ids": array(dialect, some)}
            known = {line.id: line for line in connection.execute(_satellites(dialect), parameters)}
            for id_ in some:
                one, old = by_id[id_], known.get(id_)
                before = Ref(side=side, entity=old.entity, id=old.parent_id) if old else None
                if one.deleted:
                    if before:
                        remove.append({"at_side": side, "at_kind": kind, "at_id": id_})
                        parents.add(before)
                        count += 1
                    continue
                body = codec.dump(one.values)
                if old is None or before != one.parent or old.body != body:
                    parents |= {one.parent} | ({before} if before else set())
                    count += 1
                elif old.source == source and not confirm:
                    continue
                write.append(
                    {
                        "side": side,
                        "kind": kind,
                        "id": id_,
                        "source": source,
                        "entity": one.parent.entity,
                        "parent_id": one.parent.id,
                        "body": body,
                        "seen": seen,
                    }
                )
        if write:
            connection.execute(put(dialect, satellite), write)
        if remove:
            connection.execute(_REMOVE_SATELLITE, remove)
    _rebuild_extras(connection, parents, seen=seen, marks=True)
    return count


@cache
def _satellites(dialect: str) -> Any:
    where = (satellite.c.side == bindparam("side"), satellite.c.kind == bindparam("kind"))
    return lookup(dialect, satellite, satellite.c.id, *where)


_REMOVE_SATELLITE = delete(satellite).where(
    satellite.c.side == bindparam("at_side"),
    satellite.c.kind == bindparam("at_kind"),
    satellite.c.id == bindparam("at_id"),
)


def _save_extras(
    connection: Connection, side: Side, entity: Entity, given: Iterable[Row], *, seen: int, marks: bool
) -> set[str]:
    """Extras that came with their record: of the kinds that are named, these are all there are."""
    with_extras = {row.ref.id: row for row in given if row.extras}
    dialect = connection.dialect.name
    moved: set[str] = set()
    for some in chunks(sorted(with_extras)):
        parameters = {"of_side": side, "of_entity": entity, "ids": array(dialect, some)}
        old = {
            (line.parent_id, line.kind, line.id): line.body for line in connection.execute(_beside(dialect), parameters)
        }
        new = {
            (id_, kind, name): codec.dump(values)
            for id_ in some
            for kind, members in with_extras[id_].extras.items()
            for name, values in members.items()
        }
        gone = [place for place in old if place not in new and place[1] in with_extras[place[0]].extras]
        changed = {place: body for place, body in sorted(new.items()) if old.get(place) != body}
        write = [
            {"side": side, "kind": kind, "id": name, "source": "", "entity": entity, "parent_id": id_}
            | {"body": body, "seen": seen}
            for (id_, kind, name), body in changed.items()
        ]
        if write:
            connection.execute(put(dialect, satellite), write)
        if gone:
            remove = [{"at_side": side, "at_kind": kind, "at_id": name} for _, kind, name in gone]
            connection.execute(_REMOVE_SATELLITE, remove)
        moved |= {place[0] for place in (*changed, *gone)}
    parents = {Ref(side=side, entity=entity, id=id_) for id_ in moved}
    _rebuild_extras(connection, parents, seen=seen, marks=marks)
    return moved


@cache
def _beside(dialect: str) -> Any:
    where = (satellite.c.side == bindparam("of_side"), satellite.c.entity == bindparam("of_entity"))
    return lookup(dialect, satellite, satellite.c.parent_id, *where)


def _rebuild_extras(connection: Connection, parents: Iterable[Ref], *, seen: int, marks: bool) -> None:
    places: dict[tuple[Side, Entity], list[str]] = defaultdict(list)
    for parent in parents:
        places[parent.side, parent.entity].append(parent.id)
    dialect = connection.dialect.name
    for (side, entity), ids in sorted(places.items()):
        for some in chunks(sorted(ids)):
            extras: dict[str, dict[str, dict[str, Any]]] = {id_: {} for id_ in some}
            parameters = {"of_side": side, "of_entity": entity, "ids": array(dialect, some)}
            for line in connection.execute(_beside(dialect), parameters):
                extras[line.parent_id].setdefault(line.kind, {})[line.id] = codec.load(line.body)
            lines = [
                _parameters(_placeholder(side, entity, id_), _NO_TYPES, dirty=marks, seen=seen)
                | {"extras": codec.dump(extras[id_]) if extras[id_] else None}
                for id_ in some
            ]
            connection.execute(_put_extras(dialect, marks), lines)


_NO_TYPES = RowCodec()


def _placeholder(side: Side, entity: Entity, id_: str) -> Row:
    return Row(ref=Ref(side=side, entity=entity, id=id_), version="", created_at=None, modified_at=None)


@cache
def _put_extras(dialect: str, marks: bool) -> Upsert:
    statement = insert(dialect, record)
    overwrite: dict[str, Any] = {"extras": statement.excluded.extras}
    if marks:
        overwrite["dirty"] = statement.excluded.dirty
    return statement.on_conflict_do_update(index_elements=list(record.primary_key), set_=overwrite)


# --- flags --------------------------------------------------------------------------------------------------------


def clean(connection: Connection, given: Iterable[tuple[Ref, str | None]]) -> None:
    """No longer dirty, unless a newer version was stored meanwhile."""
    lines = sorted((ref.side, ref.entity, ref.id, version) for ref, version in given)
    if lines:
        names = ("at_side", "at_entity", "at_id", "at_version")
        connection.execute(_CLEAN, [dict(zip(names, line, strict=True)) for line in lines])


_CLEAN = (
    update(record)
    .where(
        *_AT,
        or_(
            bindparam("at_version", type_=record.c.version.type).is_(None), record.c.version == bindparam("at_version")
        ),
    )
    .values(dirty=False)
)


def mark(
    connection: Connection, refs: Iterable[Ref], *, touched: bool = False, quiet: frozenset[Ref] = frozenset()
) -> None:
    """Dirty; or touched, which makes dirty when it is new, because the record has just come into scope."""
    given = set(refs)
    marked = sorted(given - erased.among(connection, given), key=lambda ref: (ref.side, ref.entity, ref.id))
    if not marked:
        return
    seen = _compares(connection)
    lines = [
        _parameters(_placeholder(ref.side, ref.entity, ref.id), _NO_TYPES, dirty=ref not in quiet, seen=seen)
        | {"touched": touched}
        for ref in marked
    ]
    connection.execute(_mark(connection.dialect.name, touched), lines)


@cache
def _mark(dialect: str, touched: bool) -> Upsert:
    statement = insert(dialect, record)
    dirty: Any = statement.excluded.dirty
    if touched:
        newly = record.c.touched.is_(False) & statement.excluded.dirty.is_(True)
        dirty = or_(record.c.dirty, newly)
    overwrite: dict[str, Any] = {"dirty": dirty, "touched": or_(record.c.touched, statement.excluded.touched)}
    return statement.on_conflict_do_update(index_elements=list(record.primary_key), set_=overwrite)

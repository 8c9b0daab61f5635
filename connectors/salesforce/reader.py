"""Reading: windows of SystemModstamp with an overlap, rows by id and by key, what conversions made.

A window starts eleven minutes before the end of the last one, as a long transaction commits late with an early stamp,
and ends a minute before the server's now (salesforce-api §8.1, reliability §7). That end is taken from the answer's own
Date and cut here, not in the query: it needs neither an extra call nor our clock. Where the overlap shows exactly the
rows that it showed before, the page is empty, and nothing beside them is asked for.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, TypeVar

import msgspec

from connectors.base import Known, Page, TablePlan
from connectors.salesforce import protocol, soql
from connectors.salesforce.auth import SalesforceConfig
from connectors.salesforce.client import Client
from connectors.salesforce.rows import OBJECTS, ROLES, Role, Rows, role_columns, roles, version_of, with_roles
from crmbridge.errors import OutsideError
from crmbridge.model import Entity, Native, Ref, Row, Satellite, Side

T = TypeVar("T")

# The lead's column that says what its conversion made or took of each kind (§6.5).
_converted: Final[Mapping[Entity, str]] = {
    "account": "ConvertedAccountId",
    "contact": "ConvertedContactId",
    "opportunity": "ConvertedOpportunityId",
}


class _Cursor(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How far a table was read, as text. `after` stands while a window is under way, `seen` sums up its overlap."""

    until: datetime | None = None  # end of the window, not included
    since: datetime | None = None
    after: tuple[datetime, str] | None = None
    seen: int = 0
    columns: str = ""  # digest of the columns that were asked for

    @classmethod
    def parse(cls, text: str | None, columns: str) -> "_Cursor":
        """Where to go on; from the start where other columns were read, as rows of then lack those of now."""
        if not text:
            return cls(columns=columns)
        try:
            found = msgspec.json.decode(text, type=cls)
        except msgspec.DecodeError as error:
            raise OutsideError(
                "The stored cursor is not one of Salesforce's.",
                fix="Was the store written for another system? Then use another store.url.",
                code="cursor",
            ) from error
        return found if found.columns == columns else cls(columns=columns)

    def text(self) -> str:
        return msgspec.json.encode(self).decode()


@dataclass(frozen=True, slots=True)
class _Source(Generic[T]):
    """How one table's pages are read, and what is handed over of them."""

    table: str
    columns: Sequence[str]
    read: Callable[[bytes], tuple[Sequence[T], Sequence[datetime], str | None]]  # items, their stamps, next page
    id_of: Callable[[T], str]
    page: Callable[[Sequence[T]], Page]  # without its cursor; may ask for what stands beside the items

    @property
    def digest(self) -> str:
        return hashlib.blake2b(",".join(self.columns).encode(), digest_size=6).hexdigest()


def _digest(shown: Iterable[tuple[datetime, str]], since: datetime | None, until: datetime) -> int:
    """Sums up which rows, in which state, a stretch of time shows; the order does not count."""
    total = 0
    for stamp, row_id in shown:
        if (since is None or stamp >= since) and stamp < until:
            text = f"{row_id} {soql.instant(stamp)}".encode()
            total ^= int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "big")
    return total


def _ids(given: Iterable[str]) -> list[str]:
    """Ids as Salesforce takes them; anything else cannot be found."""
    return sorted({soql.id18(each) for each in given if soql.is_id(each)})


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


class Reader:
    def __init__(self, client: Client, config: SalesforceConfig, side: Side) -> None:
        self._client, self._config = client, config
        self._side: Side = side
        self._rows: dict[Entity, Rows] = {}

    def configure(self, tables: Sequence[TablePlan], *, person_accounts: bool) -> None:
        self._rows = {
            plan.entity: Rows(plan, self._side, key_field=self._config.key_field, person_accounts=person_accounts)
            for plan in tables
        }

    def rows(self, entity: Entity) -> Rows:
        assert entity in self._rows, f"{entity} is not among the configured tables"
        return self._rows[entity]

    def rows_of(self, table: str) -> Rows:
        return next(rows for rows in self._rows.values() if rows.table == table)

    def side_tables(self, entity: Entity) -> tuple[str, ...]:
        # Only where the mapping asks for the contact: nobody else would look at a role.
        rows = self._rows.get(entity)
        return (ROLES,) if rows is not None and rows.virtual_contact else ()

    # --- changes --------------------------------------------------------------------------------------------------

    def changes(self, source: str, cursor: str | None) -> Iterator[Page]:
        if source == ROLES:
            own = _Source(ROLES, role_columns, _read_roles, lambda role: role.Id, self._role_changes)
            return self._windows(own, cursor)
        rows = self.rows(next(entity for entity in OBJECTS if entity == source))
        return self._windows(
            _Source(
                rows.table,
                rows.columns,
                rows.page,
                lambda row: row.ref.id,
                lambda found: Page(rows=found, cursor=""),
            ),
            cursor,
        )

    def _windows(self, source: _Source[T], cursor: str | None) -> Iterator[Page]:
        old = _Cursor.parse(cursor, source.digest)
        overlap = timedelta(seconds=self._config.overlap_seconds)
        fresh = old.after is None  # else a window that was left half read: it goes on, and its end stays
        start = _Cursor(since=old.until - overlap if old.until else None, columns=source.digest)
        state = start if fresh else old
        call = self._window_call(source, state)
        first = True
        restarts: set[tuple[datetime, str] | None] = set()
        while True:
            answer = self._client.run(call)
            what = self._client.meaning(answer)
            if what.code == "INVALID_QUERY_LOCATOR" and state.after not in restarts:
                # The server's own cursor is gone: go on behind the last row that was read (§2.2).
                restarts.add(state.after)
                call = self._window_call(source, state)
                continue
            if what.kind != "done":
                raise self._client.error(call, what)
            end = state.until or self._horizon(answer.date, old.until)
            items, stamps, link = source.read(answer.body)
            # What is younger than the horizon is left for the next time; so is what moved while we were paging.
            kept = [item for item, stamp in zip(items, stamps, strict=True) if stamp < end]
            shown = [(stamp, source.id_of(item)) for item, stamp in zip(items, stamps, strict=True) if stamp < end]
            seen = state.seen ^ _digest(shown, end - overlap, end)
            if first and stamps and stamps[-1] >= end:
                link = None  # the first page is in order: what follows is younger still
            if link is not None:
                state = msgspec.structs.replace(state, until=end, after=max(shown, default=state.after), seen=seen)
                # Without a row behind it the cursor starts over: nothing was handed out yet.
                text = state.text() if state.after else old.text()
                yield replace(source.page(kept), cursor=text, last=False)
                call, first = protocol.next_page(link, source.table), False
                continue
            echo = first and fresh and self._nothing_new(shown, old)
            page = Page(cursor="") if echo else source.page(kept)
            yield replace(page, cursor=_Cursor(until=end, seen=seen, columns=source.digest).text(), last=True)
            return

    def _horizon(self, date: datetime | None, before: datetime | None) -> datetime:
        """A minute before the server's now, as this very answer tells it; never back."""
        end = (date or datetime.now(UTC)) - timedelta(seconds=self._config.horizon_seconds)
        return max(end, before) if before else end

    def _window_call(self, source: _Source[T], state: _Cursor) -> protocol.Call:
        statement = soql.window(source.columns, source.table, since=state.since, until=state.until, after=state.after)
        return protocol.query(statement, source.table, deleted=True)

    def _nothing_new(self, shown: Sequence[tuple[datetime, str]], old: _Cursor) -> bool:
        if old.until is None:
            return not shown
        return all(stamp < old.until for stamp, _ in shown) and _digest(shown, None, old.until) == old.seen

    def _role_changes(self, found: Sequence[Role]) -> Page:
        """What is said about opportunities beside their own rows; their rows need not be read for it."""
        satellites = [
            Satellite(
                parent=Ref(side=self._side, entity="opportunity", id=role.OpportunityId),
                kind="role",
                id=role.Id,
                version=soql.instant(role.SystemModstamp),
                deleted=role.IsDeleted,
                values=role.values(),
            )
            for role in found
        ]
        return Page(satellites=satellites, cursor="")

    # --- rows by id and by key ------------------------------------------------------------------------------------

    def fetch(self, entity: Entity, ids: Sequence[str], *, beside: bool = True) -> dict[str, Row]:
        """`beside=False`: without the roles beside opportunities, which are polled anyway."""
        rows, wanted = self.rows(entity), _ids(ids)
        if beside and rows.virtual_contact and len(wanted) <= soql.ids_per_query:
            return self.fetch_many({entity: ids}).get(entity, {})
        found: list[Row] = []
        for some in chunks(wanted, protocol.ids_per_retrieve):
            answer = self._client.read(protocol.retrieve(rows.table, some, rows.columns))
            found += rows.found(answer.body)
        return _asked(ids, self._complete(rows, found) if beside else found)

    def fetch_many(self, wanted: Mapping[Entity, Sequence[str]]) -> dict[Entity, dict[str, Row]]:
        """One call for a few rows of several objects, with the roles beside their opportunities."""
        given: dict[Entity, list[str]] = {entity: _ids(ids) for entity, ids in wanted.items() if _ids(ids)}
        if any(len(ids) > soql.ids_per_query for ids in given.values()):
            return {entity: self.fetch(entity, wanted[entity]) for entity in given}
        tables: dict[Entity, Rows] = {entity: self.rows(entity) for entity in given}
        calls = [protocol.retrieve(tables[each].table, ids, tables[each].columns) for each, ids in given.items()]
        for entity, rows in tables.items():
            if rows.virtual_contact:
                calls.append(protocol.query(_roles_of(given[entity]), ROLES))
        bodies = self._bodies(calls)
        found: dict[Entity, dict[str, Row]] = {}
        for (entity, rows), body in zip(tables.items(), bodies, strict=False):
            some = rows.found(body)
            if rows.virtual_contact:
                some = with_roles(some, _by_opportunity(self._all_roles(bodies[-1])))
            found[entity] = _asked(wanted[entity], some)
        return found

    def _bodies(self, calls: Sequence[protocol.Call]) -> list[bytes]:
        """Answers of several reads: in one call where there are several."""
        if len(calls) < 2:
            return [self._client.read(each).body for each in calls]
        assert len(calls) <= protocol.composite_reads_max
        call = protocol.composite_read(calls)
        answers = protocol.composite_bodies(self._client.read(call).body, len(calls))
        for each, (what, _) in zip(calls, answers, strict=True):
            if what.kind != "done":
                raise self._client.error(each, what)
        return [body for _, body in answers]

    def fetch_by_key(self, entity: Entity, keys: Sequence[str]) -> dict[str, Row]:
        key_field = self._config.key_field
        if key_field is None:
            return {}
        rows = self.rows(entity)
        found: list[Row] = []
        for some in chunks(sorted(set(keys)), soql.ids_per_query):
            statement = soql.select(rows.columns, rows.table, soql.any_of(key_field, some))
            for body in self.query(statement, rows.table):
                found += rows.page(body)[0]
        asked = {each.lower(): each for each in keys}  # a key field that is not case-sensitive answers any case
        return {asked[row.key.lower()]: row for row in self._complete(rows, found) if row.key}

    def alike(self, entity: Entity, wanted: Sequence[Native]) -> list[list[Row]]:
        """A query each, several to a call: their answers must be told apart. An index of search would lag (§4)."""
        rows = self.rows(entity)
        calls = [
            protocol.query(soql.select(rows.columns, rows.table, soql.equal(protocol.wire(columns))), rows.table)
            for columns in wanted
        ]
        found: list[list[Row]] = []
        for some in chunks(calls, protocol.composite_reads_max):
            found += [[row for row in rows.page(body)[0] if not row.deleted] for body in self._bodies(some)]
        return found

    def made_since(self, entity: Entity, user_id: str, since: datetime) -> list[Row]:
        rows = self.rows(entity)
        where = f"{soql.equal({'CreatedById': user_id})} AND CreatedDate >= {soql.instant(since)}"
        statement = soql.select(rows.columns, rows.table, where, "CreatedDate ASC, Id ASC")
        found = [row for body in self.query(statement, rows.table) for row in rows.page(body)[0]]
        return self._complete(rows, [row for row in found if not row.deleted])

    def known_since(self, entity: Entity, since: datetime, settled: timedelta) -> Iterator[list[Known]]:
        """The end is cut by the answer's own Date, as everywhere here; deletions are among the rows (§8.1)."""
        rows = self.rows(entity)
        columns = ("Id", "IsDeleted", "LastModifiedDate", "SystemModstamp")
        call = protocol.query(soql.window(columns, rows.table, since=since), rows.table, deleted=True)
        while True:
            answer = self._client.read(call)
            end = (answer.date or datetime.now(UTC)) - settled
            page = msgspec.json.decode(answer.body, type=_Stamps)
            yield [
                Known(id=soql.id18(each.Id), version=version_of(each.LastModifiedDate), deleted=each.IsDeleted)
                for each in page.records
                if each.SystemModstamp < end
            ]
            if page.done or not page.nextRecordsUrl:
                return
            call = protocol.next_page(page.nextRecordsUrl, rows.table)

    def born_of(self, entity: Entity, ids: Sequence[str]) -> dict[str, str]:
        """One query per 200 rows; deleted leads do not count (lifecycle §1.3)."""
        column = _converted.get(entity)
        born: dict[str, str] = {}
        if column is None:
            return born
        for some in chunks(_ids(ids), soql.ids_per_query):
            statement = soql.select(
                ("Id", column),
                "Lead",
                f"{soql.any_of(column, some)} AND IsConverted = true",
                "ConvertedDate ASC, Id ASC",
            )
            for body in self.query(statement, "Lead"):
                for each in msgspec.json.decode(body, type=_Leads).records:
                    born.setdefault(each[column], each["Id"])  # the first that took it
        return {each: born[soql.id18(each)] for each in ids if soql.id18(each) in born}

    def query(self, statement: str, table: str, *, deleted: bool = False) -> Iterator[bytes]:
        """Bodies of all pages."""
        call = protocol.query(statement, table, deleted=deleted)
        while True:
            body = self._client.read(call).body
            yield body
            link = msgspec.json.decode(body, type=_Link)
            if link.done or not link.nextRecordsUrl:
                return
            call = protocol.next_page(link.nextRecordsUrl, table)

    # --- contact roles --------------------------------------------------------------------------------------------

    def roles_of(self, ids: Iterable[str]) -> dict[str, list[Role]]:
        found: list[Role] = []
        for some in chunks(sorted(set(ids)), soql.ids_per_query):
            found += self._all_roles(self._client.read(protocol.query(_roles_of(some), ROLES)).body)
        return _by_opportunity(found)

    def _all_roles(self, body: bytes) -> list[Role]:
        """Of a first page and all that follow it."""
        found, link = roles(body)
        found = list(found)
        while link is not None:
            more, link = roles(self._client.read(protocol.next_page(link, ROLES)).body)
            found += more
        return found

    def _complete(self, rows: Rows, found: Sequence[Row]) -> list[Row]:
        if not rows.virtual_contact or not found:
            return list(found)
        return with_roles(found, self.roles_of(row.ref.id for row in found if not row.deleted))


def _asked(ids: Sequence[str], found: Sequence[Row]) -> dict[str, Row]:
    """Rows under the very ids that were asked for; what is deleted is not there."""
    by_id = {row.ref.id: row for row in found if not row.deleted}
    return {each: by_id[soql.id18(each)] for each in ids if soql.id18(each) in by_id}


def _roles_of(opportunities: Sequence[str]) -> str:
    return soql.select(role_columns, ROLES, soql.any_of("OpportunityId", opportunities))


def _by_opportunity(found: Iterable[Role]) -> dict[str, list[Role]]:
    grouped: dict[str, list[Role]] = defaultdict(list)
    for role in found:
        grouped[role.OpportunityId].append(role)
    return grouped


def _read_roles(body: bytes) -> tuple[Sequence[Role], Sequence[datetime], str | None]:
    found, link = roles(body)
    return found, [role.SystemModstamp for role in found], link


class _Stamp(msgspec.Struct):
    Id: str
    IsDeleted: bool
    LastModifiedDate: datetime
    SystemModstamp: datetime


class _Stamps(msgspec.Struct):
    records: list[_Stamp]
    done: bool = True
    nextRecordsUrl: str | None = None  # noqa: N815 - the wire's name


class _Leads(msgspec.Struct):
    records: list[dict[str, Any]]


class _Link(msgspec.Struct):
    done: bool = True
    nextRecordsUrl: str | None = None  # noqa: N815 - the wire's name

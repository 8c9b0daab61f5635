"""Reading: windows of SystemModstamp with an overlap, rows by id and by key, what conversions made.

A window ends a minute before the server's now and starts eleven minutes before the end of the last one: a long
transaction commits late with an early stamp (salesforce-api §8.1, reliability §7). Where the overlap shows exactly the
rows that it showed before, the page is empty, and nothing beside them is asked for.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import msgspec

from connectors.base import Page, TablePlan
from connectors.salesforce import protocol, soql
from connectors.salesforce.auth import SalesforceConfig
from connectors.salesforce.client import Client
from connectors.salesforce.rows import OBJECTS, ROLES, Role, Rows, role_columns, roles, with_roles
from crmbridge.errors import OutsideError
from crmbridge.model import Entity, Ref, Row, Satellite, Side

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

    @classmethod
    def parse(cls, text: str | None) -> "_Cursor":
        if not text:
            return cls()
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.DecodeError as error:
            raise OutsideError(
                "The stored cursor is not one of Salesforce's.",
                fix="Read the table from the start (relink).",
                code="cursor",
            ) from error

    def text(self) -> str:
        return msgspec.json.encode(self).decode()


@dataclass(frozen=True, slots=True)
class _Shown:
    """One page's rows, in the order of (stamp, id)."""

    ids: Sequence[str]
    stamps: Sequence[datetime]


# A page's rows, the next page's link, and what to do to hand the page over.
_Parts = tuple[_Shown, str | None, Callable[[], Page]]
_Read = Callable[[bytes], _Parts]


def _digest(shown: _Shown, since: datetime | None, until: datetime) -> int:
    """Sums up which rows, in which state, a stretch of time shows; the order does not count."""
    total = 0
    for row_id, stamp in zip(shown.ids, shown.stamps, strict=True):
        if (since is None or stamp >= since) and stamp < until:
            text = f"{row_id} {soql.instant(stamp)}".encode()
            total ^= int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "big")
    return total


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


class Reader:
    def __init__(self, client: Client, config: SalesforceConfig, side: Side) -> None:
        self._client, self._config = client, config
        self._side: Side = side
        self._rows: dict[Entity, Rows] = {}

    def configure(self, tables: Sequence[TablePlan]) -> None:
        self._rows = {
            plan.entity: Rows(
                plan, self._side, key_field=self._config.key_field, person_accounts=self._config.person_accounts
            )
            for plan in tables
        }

    def rows(self, entity: Entity) -> Rows:
        assert entity in self._rows, f"{entity} is not among the configured tables"
        return self._rows[entity]

    def side_tables(self, entity: Entity) -> tuple[str, ...]:
        # Only where the mapping asks for the contact: nobody else would look at a role.
        rows = self._rows.get(entity)
        return (ROLES,) if rows is not None and rows.virtual_contact else ()

    # --- changes --------------------------------------------------------------------------------------------------

    def changes(self, source: str, cursor: str | None) -> Iterator[Page]:
        if source == ROLES:
            yield from self._windows(ROLES, role_columns, cursor, self._role_page)
            return
        rows = self.rows(next(entity for entity in OBJECTS if entity == source))
        yield from self._windows(rows.table, rows.columns, cursor, self._row_page(rows))

    def _windows(self, table: str, columns: Sequence[str], cursor: str | None, read: _Read) -> Iterator[Page]:
        old = _Cursor.parse(cursor)
        if old.after is not None and old.until is not None:  # a window that was left half read: its end stays
            state, compare = old, None
        else:
            until = self._client.server_now() - timedelta(seconds=self._config.horizon_seconds)
            overlap = timedelta(seconds=self._config.overlap_seconds)
            since = old.until - overlap if old.until else None
            until = max(until, old.until) if old.until else until
            state, compare = _Cursor(until=until, since=since), old
        end = state.until
        assert end is not None
        tail = end - timedelta(seconds=self._config.overlap_seconds)
        call = self._window_call(table, columns, state)
        restarts: set[tuple[datetime, str] | None] = set()
        while True:
            answer = self._client.run(call)
            what = self._client.meaning(answer)
            if what.code == "INVALID_QUERY_LOCATOR" and state.after not in restarts:
                # The server's own cursor is gone: go on behind the last row that was read (§2.2).
                restarts.add(state.after)
                call = self._window_call(table, columns, state)
                continue
            if what.kind != "done":
                raise self._client.error(call, what)
            shown, link, finish = read(answer.body)
            seen = state.seen ^ _digest(shown, tail, end)
            if link is not None:
                # Rows that moved after the query was made stand in their old place with a new stamp.
                inside = [at for at in zip(shown.stamps, shown.ids, strict=True) if at[0] < end]
                state = _Cursor(until=end, since=state.since, after=max(inside, default=state.after), seen=seen)
                yield replace(finish(), cursor=state.text(), last=False)
                call, compare = protocol.next_page(link, table), None
                continue
            done = _Cursor(until=end, seen=seen)
            page = Page(cursor="") if compare is not None and self._nothing_new(shown, compare) else finish()
            yield replace(page, cursor=done.text(), last=True)
            return

    def _window_call(self, table: str, columns: Sequence[str], state: _Cursor) -> protocol.Call:
        assert state.until is not None
        statement = soql.window(columns, table, since=state.since, until=state.until, after=state.after)
        return protocol.query(statement, table, deleted=True)

    def _nothing_new(self, shown: _Shown, old: _Cursor) -> bool:
        if old.until is None:
            return not shown.ids
        return all(stamp < old.until for stamp in shown.stamps) and _digest(shown, None, old.until) == old.seen

    def _row_page(self, rows: Rows) -> _Read:
        def read(body: bytes) -> _Parts:
            found, stamps, link = rows.page(body)
            shown = _Shown([row.ref.id for row in found], stamps)
            return shown, link, lambda: Page(rows=self._complete(rows, found), cursor="")

        return read

    def _role_page(self, body: bytes) -> _Parts:
        found, link = roles(body)
        shown = _Shown([role.Id for role in found], [role.SystemModstamp for role in found])
        return shown, link, lambda: self._role_changes(found)

    def _role_changes(self, found: Sequence[Role]) -> Page:
        """Roles as satellites, and the opportunities whose contact they may have changed."""
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
        parents = sorted({role.OpportunityId for role in found})
        return Page(rows=list(self.fetch("opportunity", parents).values()), satellites=satellites, cursor="")

    # --- rows by id and by key ------------------------------------------------------------------------------------

    def fetch(self, entity: Entity, ids: Sequence[str]) -> dict[str, Row]:
        rows = self.rows(entity)
        found: list[Row] = []
        wanted = sorted({soql.id18(each) for each in ids if soql.is_id(each)})
        for some in chunks(wanted, protocol.ids_per_retrieve):
            answer = self._client.read(protocol.retrieve(rows.table, some, rows.columns))
            found += [row for row in rows.found(answer.body) if not row.deleted]
        by_id = {row.ref.id: row for row in self._complete(rows, found)}
        # Under the very ids that were asked for.
        return {each: by_id[soql.id18(each)] for each in ids if soql.id18(each) in by_id}

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

    def born_of(self, entity: Entity, ids: Sequence[str]) -> dict[str, str]:
        """One query per 200 rows; deleted leads do not count (lifecycle §1.3)."""
        column = _converted.get(entity)
        born: dict[str, str] = {}
        if column is None:
            return born
        wanted = sorted({soql.id18(each) for each in ids if soql.is_id(each)})
        for some in chunks(wanted, soql.ids_per_query):
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
        found: dict[str, list[Role]] = defaultdict(list)
        for some in chunks(sorted(set(ids)), soql.ids_per_query):
            statement = soql.select(role_columns, ROLES, soql.any_of("OpportunityId", some))
            for body in self.query(statement, ROLES):
                for role in roles(body)[0]:
                    found[role.OpportunityId].append(role)
        return found

    def _complete(self, rows: Rows, found: Sequence[Row]) -> list[Row]:
        if not rows.virtual_contact or not found:
            return list(found)
        return with_roles(found, self.roles_of(row.ref.id for row in found if not row.deleted))


class _Leads(msgspec.Struct):
    records: list[dict[str, Any]]


class _Link(msgspec.Struct):
    done: bool = True
    nextRecordsUrl: str | None = None  # noqa: N815 - the wire's name

"""Reads of rows: what changed since a cursor, rows by id, and which lead they were made from.

Change tracking where the table has it (dataverse-api §3), else `modifiedon` with an overlap. A cursor is a small JSON
text that only this file reads: path and query of the link to follow (never a host), or the newest `modifiedon` seen.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, cast

import msgspec

from connectors.base import Cursor, Known, Page
from connectors.dynamics.client import Client, Replies, Reply
from connectors.dynamics.environment import Environment
from connectors.dynamics.instances import Instance, instance_page, instance_view
from connectors.dynamics.processes import Process
from connectors.dynamics.protocol import (
    Request,
    View,
    any_of,
    as_error,
    decoded,
    ids_per_filter,
    page_rows_max,
    prefer,
    read,
)
from connectors.dynamics.rows import TABLES, Rows, with_processes
from crmbridge.errors import OutsideError
from crmbridge.model import Entity, Ref, Row, Satellite, Side

# Late commits carry an early stamp, and a request may run two minutes (dataverse-api §3.4, §10.4).
overlap_slack_seconds: Final = 60.0

# opportunity id -> instance id -> values
ByOpportunity = Mapping[str, Mapping[str, Mapping[str, Any]]]


class _Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a cursor says."""

    mode: Literal["link", "since"]
    columns: str  # digest of the columns asked for: a link carries the old ones for ever (dataverse-api §3.3)
    link: str = ""
    stamp: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Feed:
    """One table to poll: what to ask, and what its pages say."""

    set: str
    table: str
    key: str
    tracked: bool
    view: View
    # rows, satellites, newest modifiedon, next link, delta link
    decode: Callable[[bytes], "_Decoded"]

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.view.select.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decoded:
    rows: Sequence[Row] = ()
    satellites: Sequence[Satellite] = ()
    newest: datetime | None = None
    next_link: str | None = None
    delta_link: str | None = None


class Reading:
    def __init__(
        self,
        client: Client,
        environment: Environment,
        rows: Callable[[Entity], Rows],
        *,
        side: Side,
        overlap: timedelta,
    ) -> None:
        self._client = client
        self._environment = environment
        self._rows = rows
        self._side: Side = side
        self._overlap = overlap

    # --- changes --------------------------------------------------------------------------------------------------

    def side_tables(self, entity: Entity) -> tuple[str, ...]:
        """The lead's process table is polled once, for the opportunities that its instances move on to."""
        return tuple(each.set for each in self._environment.processes().values()) if entity == "opportunity" else ()

    def changes(self, source: str, cursor: Cursor | None) -> Iterator[Page]:
        feed = self._feed(source)
        mark = msgspec.json.decode(cursor, type=_Mark) if cursor else None
        mode = "link" if feed.tracked else "since"
        fits = mark is not None and mark.mode == mode and mark.columns == feed.digest
        restarts = mark is not None and not fits  # other columns than the link's, or tracking was switched on
        return (self._tracked if feed.tracked else self._since)(feed, mark if fits else None, restarts)

    def _tracked(self, feed: _Feed, mark: _Mark | None, full: bool) -> Iterator[Page]:
        request = self._follow(feed, mark.link) if mark else self._initial(feed)
        while True:
            reply = self._client.try_read(request)
            if reply.meaning.kind == "expired" and mark is not None:
                mark, full, request = None, True, self._initial(feed)
                continue
            if not reply.done:
                raise as_error(reply.meaning, f"{self._client.name}: changes of {feed.table}")
            found = feed.decode(reply.body)
            link = found.next_link or found.delta_link
            if link is None:
                raise OutsideError(
                    f"{self._client.name}: the changes of {feed.table} came without a link to go on from.",
                    fix="Change tracking is said to be on; check what stands between us and the environment.",
                    code="no_delta_link",
                )
            target = self._client.session.origin.target(link)
            yield Page(
                rows=found.rows,
                satellites=found.satellites,
                cursor=_text(_Mark(mode="link", columns=feed.digest, link=target)),
                full=full,
                last=found.next_link is None,
            )
            if found.next_link is None:
                return
            full, request = False, self._follow(feed, target)

    def _initial(self, feed: _Feed) -> Request:
        # Nothing but $select goes with track-changes (dataverse-api §3.2).
        return read(feed.set, table=feed.table, kind="changes", view=feed.view, rows=page_rows_max, track=True)

    def _follow(self, feed: _Feed, link: str) -> Request:
        """The link unchanged, with the same preferences again (dataverse-api §2.8)."""
        return Request(
            method="GET",
            path=self._client.session.origin.target(link),
            headers=prefer(track=feed.tracked, rows=page_rows_max, types=feed.view.types),
            table=feed.table,
            kind="changes",
        )

    def _since(self, feed: _Feed, mark: _Mark | None, full: bool) -> Iterator[Page]:
        newest = datetime.fromisoformat(mark.stamp) if mark and mark.stamp else None
        start = (newest - self._overlap).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if newest else None
        request = read(
            feed.set,
            table=feed.table,
            kind="changes",
            view=feed.view,
            rows=page_rows_max,
            filter=f"modifiedon ge {start}" if start else None,
            orderby=f"modifiedon asc,{feed.key} asc",
        )
        while True:
            found = feed.decode(self._client.read(request).body)
            newest = max(filter(None, (newest, found.newest)), default=None)
            stamp = newest.isoformat() if newest else ""
            yield Page(
                rows=found.rows,
                satellites=found.satellites,
                cursor=_text(_Mark(mode="since", columns=feed.digest, stamp=stamp)),
                full=full,
                last=found.next_link is None,
            )
            if found.next_link is None:
                return
            full, request = False, self._follow(feed, found.next_link)

    def known_since(self, entity: Entity, since: datetime, settled: timedelta) -> Iterator[list[Known]]:
        """Deletions are told by change tracking alone. The end is cut by the environment's own clock."""
        table = TABLES[entity]
        start = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        request = read(
            table.set,
            table=entity,
            kind="reconcile",
            select=f"{table.key},modifiedon",
            filter=f"modifiedon ge {start}",
            orderby=f"modifiedon asc,{table.key} asc",
            rows=page_rows_max,
        )
        while True:
            page = decoded(self._client.read(request).body, _Stamps)
            end = (self._client.session.server_time or datetime.now(UTC)) - settled
            yield [
                Known(id=str(each[table.key]), version=str(each["@odata.etag"]))
                for each in page.value
                if datetime.fromisoformat(each["modifiedon"]) < end
            ]
            if page.next_link is None:
                return
            request = Request(
                method="GET",
                path=self._client.session.origin.target(page.next_link),
                headers=prefer(rows=page_rows_max),
                table=entity,
                kind="reconcile",
            )

    def _feed(self, source: str) -> _Feed:
        for process in self._environment.processes().values() if source not in TABLES else ():
            if source in (process.set, process.table):
                return self._process_feed(process)
        entity = cast("Entity", source)
        facts, rows = self._environment.table(entity), self._rows(entity)

        def decode(body: bytes) -> _Decoded:
            found, next_link, delta_link = rows.page(body)
            newest = max((each.modified_at for each in found if each.modified_at), default=None)
            return _Decoded(rows=found, newest=newest, next_link=next_link, delta_link=delta_link)

        return _Feed(
            set=facts.set, table=facts.table, key=facts.key, tracked=facts.tracked, view=rows.view, decode=decode
        )

    def _process_feed(self, process: Process) -> _Feed:
        def decode(body: bytes) -> _Decoded:
            page = instance_page(process, body)
            stamps = [datetime.fromisoformat(each.modifiedon) for each in page.value if each.modifiedon]
            return _Decoded(
                satellites=[self._satellite(process, each) for each in page.value],
                newest=max(stamps, default=None),
                next_link=page.next_link,
                delta_link=page.delta_link,
            )

        return _Feed(
            set=process.set,
            table=process.table,
            key=process.key,
            tracked=process.tracked,
            view=instance_view(process),
            decode=decode,
        )

    def _satellite(self, process: Process, instance: Instance) -> Satellite:
        if instance.reason == "deleted" and instance.id:
            # A deletion does not tell whose it was; the satellite's own id does.
            nobody = Ref(side=self._side, entity="opportunity", id="")
            return Satellite(parent=nobody, kind="process", id=instance.id, version="deleted", deleted=True)
        owner: tuple[Entity, str] = (
            ("opportunity", instance.opportunity_id) if instance.opportunity_id else ("lead", instance.lead_id or "")
        )
        return Satellite(
            parent=Ref(side=self._side, entity=owner[0], id=owner[1]),
            kind="process",
            id=instance.instance_id,
            version=instance.etag or "",
            values=instance.values(process),
        )

    # --- by id ----------------------------------------------------------------------------------------------------

    def fetch(self, entity: Entity, ids: Sequence[str]) -> dict[str, Row]:
        rows: dict[str, Row] = {}
        wanted = list(dict.fromkeys(ids))
        for start in range(0, len(wanted), ids_per_filter):
            rows |= self._fetch(entity, wanted[start : start + ids_per_filter])
        return rows

    def _fetch(self, entity: Entity, ids: Sequence[str]) -> dict[str, Row]:
        rows, requests = self._rows(entity), self.row_requests(entity, ids)
        if len(requests) == 1:
            return {row.ref.id: row for row in rows.page(self._client.read(requests[0]).body)[0]}
        return self.rows_of(entity, [each.body for each in self._client.read_all(requests, kind="fetch")])

    def fetch_many(self, wanted: Mapping[Entity, Sequence[str]]) -> dict[Entity, dict[str, Row]]:
        """A few rows of several tables in one $batch; many of one table go the ordinary way."""
        if any(len(ids) > ids_per_filter for ids in wanted.values()):
            return {entity: self.fetch(entity, ids) for entity, ids in wanted.items()}
        parts: dict[Entity, list[Request]] = {
            entity: self.row_requests(entity, ids) for entity, ids in wanted.items() if ids
        }
        if not parts:
            return {}
        replies = iter(self._client.read_all([each for some in parts.values() for each in some], kind="fetch"))
        return {
            entity: self.rows_of(entity, [next(replies).body for _ in requests]) for entity, requests in parts.items()
        }

    def row_requests(self, entity: Entity, ids: Sequence[str]) -> list[Request]:
        """Reads of rows and, for opportunities, of their process instances."""
        table, rows = TABLES[entity], self._rows(entity)
        requests = [read(table.set, table=entity, view=rows.view, filter=any_of(table.key, ids), kind="fetch")]
        if entity == "opportunity":
            requests += self.instance_requests("opportunity", ids)
        return requests

    def rows_of(self, entity: Entity, bodies: Sequence[bytes]) -> dict[str, Row]:
        """The answers to `row_requests`, put together."""
        found = {row.ref.id: row for row in self._rows(entity).page(bodies[0])[0]}
        if entity != "opportunity":
            return found
        instances = _by_opportunity(self.instances("opportunity", bodies[1:]))
        return {key: with_processes(row, instances.get(key, {})) for key, row in found.items()}

    def _processes_of(self, entity: Entity) -> list[Process]:
        """Those whose instances can name such a row."""
        return [each for each in self._environment.processes().values() if entity in each.lookups]

    def instance_requests(self, entity: Entity, ids: Sequence[str]) -> list[Request]:
        """Reads of the process instances of these rows, one per process table that leads to them."""
        return [
            read(
                process.set,
                table=process.table,
                view=instance_view(process),
                filter=any_of(process.lookups[entity], ids),
                kind="fetch",
            )
            for process in self._processes_of(entity)
        ]

    def instances(self, entity: Entity, bodies: Sequence[bytes]) -> dict[str, Mapping[str, Any]]:
        """Instance id -> values, from the answers to `instance_requests`, in their order."""
        found: dict[str, Mapping[str, Any]] = {}
        for process, body in zip(self._processes_of(entity), bodies, strict=True):
            for each in instance_page(process, body).value:
                found[each.instance_id] = each.values(process)
        return found

    def by_opportunity(self, replies: Sequence[Replies]) -> ByOpportunity | None:
        """The same by opportunity, from replies; None if they did not all arrive, nothing if none was asked."""
        if not replies:
            return {}
        bodies = [each.body for each in replies if isinstance(each, Reply) and each.done]
        return _by_opportunity(self.instances("opportunity", bodies)) if len(bodies) == len(replies) else None

    def born_of(self, entity: Entity, ids: Sequence[str]) -> dict[str, str]:
        """A conversion marks what it made with the lead (dataverse-api §6.8)."""
        if entity == "lead":
            return {}
        table = TABLES[entity]
        found: dict[str, str] = {}
        for start in range(0, len(ids), ids_per_filter):
            some = ids[start : start + ids_per_filter]
            request = read(
                table.set, table=entity, kind="born", select="_originatingleadid_value", filter=any_of(table.key, some)
            )
            for each in decoded(self._client.read(request).body, _Born).value:
                if each.get("_originatingleadid_value"):
                    found[each[table.key]] = each["_originatingleadid_value"]
        return found


class _Stamps(msgspec.Struct):
    value: list[dict[str, Any]]
    next_link: str | None = msgspec.field(name="@odata.nextLink", default=None)


class _Born(msgspec.Struct):
    value: list[dict[str, Any]]


def _by_opportunity(instances: Mapping[str, Mapping[str, Any]]) -> ByOpportunity:
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for key, values in instances.items():
        found.setdefault(str(values["opportunity_id"]), {})[key] = values
    return found


def _text(mark: _Mark) -> Cursor:
    return msgspec.json.encode(mark).decode()

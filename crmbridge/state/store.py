"""The store: what crmbridge remembers. Each method is one transaction, and none stays open across a call to a CRM.

Every commit is a place where a crash matters, and is passed on to `crashpoint`. How each thing is kept stands in the
modules beside this one; the tables stand in `schema.py`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Self, TypeVar

from sqlalchemy import bindparam, func, select

from crmbridge.alerts import Alarm
from crmbridge.breaker import Breaker, Event, Verdict
from crmbridge.budget import Grant, Rate, Work, may
from crmbridge.ids import new_id
from crmbridge.model import Entity, Link, Ref, Side
from crmbridge.pauses import Pause
from crmbridge.schedule import Turn
from crmbridge.state import (
    alarms,
    breaker,
    budget,
    erase,
    erased,
    intents,
    issues,
    leases,
    limits,
    links,
    mappings,
    match_keys,
    operations,
    pauses,
    prune,
    records,
    runs,
    traces,
    unseen,
    work,
)
from crmbridge.state.alarms import Message
from crmbridge.state.codec import RowCodec, RowTypes
from crmbridge.state.database import Database, insert, now, put
from crmbridge.state.pauses import Queue
from crmbridge.state.records import PageLike
from crmbridge.state.schema import REVISION, cursor, link, meta, record
from crmbridge.state.traces import Traces
from crmbridge.state.unseen import Unseen
from crmbridge.state.words import (
    Batch,
    Block,
    ConversionRow,
    Intent,
    Issue,
    IssueKind,
    JournalRow,
    Lease,
    Lifted,
    Limits,
    MappingRow,
    Pair,
    PlanRow,
    RunRow,
    Stored,
    Used,
    WorkRow,
)

T = TypeVar("T")
_CHUNK = 500  # what an iterator holds in memory
_WALK_NAMES: list[str] = [*links.WALKS]


_META = select(meta.c.value).where(meta.c.name == bindparam("of_name"))
_METAS = select(meta).where(meta.c.name.in_(bindparam("of_names", expanding=True)))


class Store:
    def __init__(self, database: Database, row_types: RowTypes | None = None) -> None:
        self._database = database
        self._rows = RowCodec(row_types)

    @classmethod
    def open(cls, url: str, *, row_types: RowTypes | None = None) -> Self:
        """Makes the store where there is none, and brings an older one to this version's schema."""
        store = cls(Database(url), row_types)
        try:
            store._database.migrate()
            if store.meta("installation_id") is None:
                with store._database.writing("open") as connection:
                    new = {"name": "installation_id", "value": new_id()}
                    connection.execute(insert(store._dialect, meta).on_conflict_do_nothing(), new)
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        self._database.close()

    def after_fork(self) -> None:
        """In the child: the parent's connections are the parent's."""
        self._database.forget()

    def configure(self, row_types: RowTypes) -> None:
        self._rows.configure(row_types)

    @property
    def _dialect(self) -> str:
        return self._database.dialect

    # --- facts about this store -----------------------------------------------------------------------------------

    @property
    def place(self) -> str:
        """Its address, without the password."""
        return self._database.place

    def facts(self) -> dict[str, str]:
        """Which database it is, and which schema."""
        with self._database.reading() as connection:
            found = connection.dialect.server_version_info or ()
        return {
            "database": self._dialect,
            "version": ".".join(map(str, found)),
            "schema": REVISION,
        }

    def meta(self, name: str) -> str | None:
        with self._database.reading() as connection:
            return connection.execute(_META, {"of_name": name}).scalar()

    def metas(self, names: Iterable[str]) -> dict[str, str]:
        """Those of them that are set."""
        with self._database.reading() as connection:
            return {line.name: line.value for line in connection.execute(_METAS, {"of_names": list(names)})}

    def set_meta(self, name: str, value: str) -> None:
        with self._database.writing("meta") as connection:
            connection.execute(put(self._dialect, meta), {"name": name, "value": value})

    def installation_id(self) -> str:
        found = self.meta("installation_id")
        assert found is not None
        return found

    def now(self) -> datetime:
        with self._database.reading() as connection:
            return now(connection)

    # --- leases ---------------------------------------------------------------------------------------------------

    def take_lease(self, name: str, seconds: float, *, owner: str | None = None) -> Lease:
        with self._database.writing("take lease") as connection:
            return leases.take(connection, name, seconds, owner)

    def renew(self, lease: Lease, seconds: float) -> None:
        with self._database.writing("renew lease") as connection:
            leases.renew(connection, lease, seconds)

    def release(self, lease: Lease) -> None:
        with self._database.writing("release lease") as connection:
            leases.release(connection, lease)

    def lease_holder(self, name: str) -> tuple[str, int, datetime] | None:
        """Host, pid, since when; None while nobody holds it."""
        with self._database.reading() as connection:
            return leases.holder(connection, name)

    # --- observations ---------------------------------------------------------------------------------------------

    def cursor(self, side: Side, source: str) -> str | None:
        with self._database.reading() as connection:
            return records.read_cursor(connection, side, source)

    def cursors(self) -> dict[tuple[Side, str], datetime]:
        """When each table was last read."""
        with self._database.reading() as connection:
            lines = connection.execute(select(cursor.c.side, cursor.c.source, cursor.c.saved_at))
            return {(line.side, line.source): line.saved_at for line in lines}

    def forget_cursor(self, side: Side, source: str) -> None:
        """The table is read from its beginning next time; what is stored stays."""
        with self._database.writing("forget cursor") as connection:
            connection.execute(cursor.delete().where(cursor.c.side == side, cursor.c.source == source))

    def save_page(self, side: Side, source: str, page: PageLike, *, lease: Lease | None = None) -> int:
        """Rows, what stands beside them, and the cursor. Returns how many differed from what was stored.

        With a lease, a run that has lost it cannot put an old page over a newer one."""
        with self._database.writing("page") as connection:
            if lease is not None:
                leases.guard(connection, lease)
            return records.save_page(connection, self._rows, side, source, page)

    def unseen(self) -> list[Unseen]:
        """Tables with records that a reading from the start did not show, and that were not all asked for yet."""
        with self._database.reading() as connection:
            return unseen.left(connection)

    def unseen_ids(self, of: Unseen, limit: int) -> list[str]:
        with self._database.reading() as connection:
            return unseen.ids(connection, of, limit)

    def records(self, side: Side, entity: Entity, ids: Sequence[str]) -> dict[str, Stored]:
        with self._database.reading() as connection:
            return records.fetch(connection, self._rows, side, entity, ids)

    def record(self, ref: Ref) -> Stored | None:
        return self.records(ref.side, ref.entity, [ref.id]).get(ref.id)

    def all_records(self, side: Side, entity: Entity) -> Iterator[Stored]:
        """Deleted ones too, by id; chunk by chunk."""

        def chunk(after: str) -> list[Stored]:
            where = (record.c.side == side, record.c.entity == entity, record.c.id > after, records.is_observed())
            with self._database.reading() as connection:
                statement = select(record).where(*where).order_by(record.c.id).limit(_CHUNK)
                return [records.stored(line, self._rows) for line in connection.execute(statement)]

        return _in_chunks(chunk, lambda one: one.row.ref.id)

    def count_records(self, side: Side, entity: Entity) -> int:
        """Live ones."""
        live = (record.c.side == side, record.c.entity == entity, record.c.deleted.is_(False), record.c.version != "")
        with self._database.reading() as connection:
            return connection.execute(select(func.count()).select_from(record).where(*live)).scalar_one()

    # --- work -----------------------------------------------------------------------------------------------------

    def pending(self, entity: Entity, limit: int | None = None, after: str | None = None) -> Iterator[Pair]:
        """Links that are dirty or not steady, dead ones if dirty, and dirty records without a link, each once.

        The order is fixed: dirty left records by id, then right ones whose partner is clean, then unsteady links.
        `after` is the `key` of a pair: go on behind it. Chunks are read as they are needed, so what is settled
        meanwhile is not shown again."""
        first, _, position = (after or "left:").partition(":")
        count = 0
        for walk in links.WALKS[_WALK_NAMES.index(first) :]:
            place: str | None = position if walk == first else ""
            while place is not None:
                with self._database.reading() as connection:
                    pairs, place = links.work(connection, self._rows, walk, entity, place, _CHUNK)
                for pair in pairs:
                    if count == limit:
                        return
                    count += 1
                    yield pair

    def unlinked(self, side: Side, entity: Entity, *, due: bool | None = None) -> Iterator[Stored]:
        """Live, observed, without a link; a dead link is one. `due`: only those that are dirty, or are not."""
        place: str | None = ""
        while place is not None:
            with self._database.reading() as connection:
                found, place = links.unlinked(connection, self._rows, side, entity, place, _CHUNK, due)
            yield from found

    def unlinked_among(self, side: Side, entity: Entity, ids: Sequence[str]) -> dict[str, Stored]:
        """Those of these records that `unlinked` would show."""
        with self._database.reading() as connection:
            return links.unlinked_among(connection, self._rows, side, entity, ids)

    def key_holders(self, side: Side, entity: Entity, parts: Collection[str]) -> dict[str, list[str]]:
        """Part -> native ids of the records on file with it; some may have got a link, or be gone, since."""
        found: dict[str, list[str]] = {}
        with self._database.reading() as connection:
            for part, id_ in match_keys.holders(connection, side, entity, parts):
                found.setdefault(part, []).append(id_)
        return found

    def has_keys(self, side: Side, entity: Entity) -> bool:
        with self._database.reading() as connection:
            return match_keys.are_there(connection, side, entity)

    # --- links ----------------------------------------------------------------------------------------------------

    def links(self, ids: Sequence[str]) -> dict[str, Link]:
        with self._database.reading() as connection:
            return links.by_id(connection, ids)

    def links_by_native(self, side: Side, entity: Entity, ids: Sequence[str]) -> dict[str, Link]:
        """By native id on that side; dead links too."""
        with self._database.reading() as connection:
            return links.by_native(connection, side, entity, ids)

    def linked_natives(self, side: Side, entity: Entity, after: str, limit: int) -> list[str]:
        """Native ids of records with a living link, behind that one."""
        with self._database.reading() as connection:
            return links.natives(connection, side, entity, after, limit)

    def all_links(self, entity: Entity | None = None) -> Iterator[Link]:
        def chunk(after: str) -> list[Link]:
            with self._database.reading() as connection:
                return links.walk(connection, entity, after, _CHUNK)

        return _in_chunks(chunk, lambda one: one.id)

    def count_links(self, entity: Entity, *, up_to: int | None = None) -> int:
        """Live ones. `up_to`: as many count as this many, so that no more of them need be read."""
        live = (link.c.entity == entity, link.c.alive.is_(True))
        with self._database.reading() as connection:
            if up_to is None:
                return connection.execute(select(func.count()).select_from(link).where(*live)).scalar_one()
            # Along an index: the ones with a left record are enough to tell that there are many.
            some = select(link.c.left_id).where(*live, link.c.left_id.is_not(None)).order_by(link.c.left_id)
            few = some.limit(up_to).subquery()
            return connection.execute(select(func.count()).select_from(few)).scalar_one()

    def find_record(self, text: str) -> list[tuple[Entity, Link | None, Ref | None]]:
        """By shared id or native id."""
        with self._database.reading() as connection:
            return links.find(connection, text)

    # --- what a step writes ---------------------------------------------------------------------------------------

    def apply(self, batch: Batch, *, lease: Lease) -> list[Issue]:
        """All of it in one transaction, or nothing; LeaseTaken if another run has taken over. Returns the issues that
        are news: opened, of another kind than before, or refused once more."""
        with self._database.writing("apply") as connection:
            at = leases.guard(connection, lease)
            records.observe(connection, self._rows, batch.rows, marks=False)
            linked, let_go = links.save(connection, batch.links)
            records.clean(connection, batch.clean)
            records.mark(connection, batch.touched, touched=True, quiet=frozenset(ref for ref, _ in batch.clean))
            records.mark(connection, batch.dirty)
            intents.open_(connection, batch.open_intents, lease, at)
            intents.close(connection, batch.close_intents, at)
            intents.save_conversions(connection, batch.conversions, at)
            found = issues.open_(connection, batch.issues, at)
            issues.close_over(connection, batch.close_issues, at, keep=found.places)
            match_keys.drop(connection, linked)
            match_keys.put(connection, [one for one in batch.keyed if one.ref not in linked])
            moved = {row.ref for row in batch.rows} | {ref for ref, _ in batch.clean} | let_go
            match_keys.forget(connection, moved - links.ends(batch.links) - {one.ref for one in batch.keyed})
            for name, value in batch.meta.items():
                connection.execute(put(self._dialect, meta), {"name": name, "value": value})
        return found.news

    # --- intents, journal, conversions ----------------------------------------------------------------------------

    def open_intents(self) -> list[Intent]:
        """Sent, and nobody knows yet what came of it; oldest first."""
        with self._database.reading() as connection:
            return intents.still_open(connection)

    def intended(self, side: Side, names: Sequence[str], within: timedelta) -> set[str]:
        """Which of these native ids and keys we meant to write to lately, whatever came of it."""
        with self._database.reading() as connection:
            return intents.named(connection, side, names, now(connection) - within)

    def intents_about(self, side: Side, names: Sequence[str], within: timedelta) -> list[Intent]:
        """The same intents, whole."""
        with self._database.reading() as connection:
            return intents.about(connection, side, names, now(connection) - within)

    def journal(
        self,
        link_id: str | None = None,
        run_id: str | None = None,
        side: Side | None = None,
        native_id: str | None = None,
        limit: int | None = None,
    ) -> list[JournalRow]:
        """Newest first."""
        with self._database.reading() as connection:
            return intents.read_journal(
                connection, link_id=link_id, run_id=run_id, side=side, native_id=native_id, limit=limit
            )

    def written_lately(self, link_ids: Sequence[str], within: timedelta, at_least: int) -> dict[str, list[JournalRow]]:
        """What was written to these pairs so lately, oldest first; only of pairs that were written to so often."""
        with self._database.reading() as connection:
            return intents.written_lately(connection, link_ids, now(connection) - within, at_least)

    def conversions(self, lead_links: Sequence[str] | None = None) -> list[ConversionRow]:
        with self._database.reading() as connection:
            return intents.conversions(connection, lead_links)

    def conversion(self, lead_link: str, epoch: int) -> ConversionRow | None:
        with self._database.reading() as connection:
            return next(iter(intents.conversions(connection, [lead_link], epoch)), None)

    # --- work that is handed out ----------------------------------------------------------------------------------

    def hand_out(self, lease: Lease, run_id: str, mapping: str, lanes: Mapping[str, Sequence[str]]) -> None:
        """Links by lane, for whoever claims them; planned by this version of the mapping."""
        with self._database.writing("hand out") as connection:
            work.hand_out(connection, run_id, mapping, lanes, leases.guard(connection, lease))

    def take_over_work(self, lease: Lease) -> dict[str, frozenset[str]]:
        """What earlier cycles handed out is planned anew, but for lanes that are worked in: lease -> links of each."""
        with self._database.reading() as connection:
            if not work.is_any(connection):
                return {}
        with self._database.writing("take over work") as connection:
            return work.take_over(connection, leases.guard(connection, lease))

    def leave_work(self, run_id: str) -> None:
        """A cycle breaks off: what nobody has begun of its work is for the next one."""
        with self._database.writing("leave work") as connection:
            work.leave(connection, run_id, now(connection))

    def waiting_work(self) -> work.Waiting:
        with self._database.reading() as connection:
            return work.waiting(connection)

    def count_work(self, run_id: str) -> int:
        """How much of what this run handed out has not come to an end."""
        with self._database.reading() as connection:
            return work.left_over(connection, run_id)

    def work_told(self, run_id: str, link_ids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        with self._database.reading() as connection:
            return work.told(connection, run_id, link_ids)

    def claim_work(self, mapping: str, seconds: float, *, run_id: str | None = None) -> tuple[Lease, WorkRow] | None:
        """A lane that nobody works in, and its first pair, whose attempt is counted; None: there is none."""
        with self._database.writing("claim work") as connection:
            return work.claim(connection, mapping, seconds, run_id=run_id)

    def finish_work(self, lease: Lease, id: int, told: Mapping[str, Any], *, more: bool = False) -> WorkRow | None:
        """It came to an end. `more`: the lane's next pair is begun; else, or at its end, the lane is given back."""
        with self._database.writing("finish work") as connection:
            return work.finish(connection, lease, id, told, more=more)

    def give_up_work(self, lease: Lease, id: int, *, counted: bool) -> None:
        """It came to no end; the lane is given back. `counted`: the attempt stands."""
        with self._database.writing("give up work") as connection:
            work.give_up(connection, lease, id, counted=counted)

    # --- issues ---------------------------------------------------------------------------------------------------

    def open_issues(
        self,
        *,
        entity: Entity | None = None,
        kind: IssueKind | None = None,
        cause: str | None = None,
        link_id: str | None = None,
        side: Side | None = None,
        native_id: str | None = None,
        due: bool = False,
        limit: int | None = None,
    ) -> list[Issue]:
        """`due`: only those whose next try is due."""
        with self._database.reading() as connection:
            return issues.read(
                connection,
                entity=entity,
                kind=kind,
                cause=cause,
                link_id=link_id,
                side=side,
                native_id=native_id,
                due_at=now(connection) if due else None,
                limit=limit,
            )

    def issues_of(self, link_ids: Iterable[str] = (), refs: Iterable[Ref] = ()) -> list[Issue]:
        """Open issues of many links and records in a few look-ups."""
        with self._database.reading() as connection:
            return issues.of(connection, [*link_ids, *(f"{ref.side}:{ref.id}" for ref in refs)])

    def count_issues(self) -> dict[str, int]:
        """Open ones by kind."""
        with self._database.reading() as connection:
            return issues.counts(connection)

    def issue(self, id: int) -> Issue | None:
        with self._database.reading() as connection:
            return issues.get(connection, id)

    def close_issue(self, id: int, by: str, why: str) -> None:
        with self._database.writing("close issue") as connection:
            issues.close(connection, id, by, why, now(connection))

    def close_issues(self, ids: Sequence[int], by: str, why: str) -> int:
        """Many at once; returns how many were open."""
        with self._database.writing("close issues") as connection:
            return issues.close_many(connection, ids, by, why, now(connection))

    def release_issues(self, ids: Sequence[int] | None, by: str, why: str) -> int:
        """Try again in the next run; None: all open ones. Returns how many."""
        with self._database.writing("release issues") as connection:
            return issues.release(connection, ids, by, why, now(connection))

    # --- for those on call ----------------------------------------------------------------------------------------

    def turns(self) -> dict[Entity, Turn]:
        """When each kind of record was last synced by a worker."""
        with self._database.reading() as connection:
            return operations.turns(connection)

    def note_turns(self, quiet: Mapping[Entity, bool]) -> None:
        with self._database.writing("turns") as connection:
            operations.note_turns(connection, quiet)

    def beat(self, what: str) -> None:
        """This process is alive and at work."""
        with self._database.writing("heartbeat") as connection:
            operations.beat(connection, what)

    def beats(self) -> list[operations.Beat]:
        with self._database.reading() as connection:
            return operations.beats(connection)

    def issue_groups(self) -> list[operations.Group]:
        """Open issues by cause, kind and kind of record."""
        with self._database.reading() as connection:
            return operations.groups(connection)

    def backlog(self) -> dict[tuple[str, Entity], int]:
        """Records that are due, by side and kind."""
        with self._database.reading() as connection:
            return operations.backlog(connection)

    def pauses(self) -> list[Pause]:
        """Those in force, the oldest first."""
        with self._database.reading() as connection:
            return pauses.in_force(connection)

    def begin_pause(self, entity: Entity | None, side: Side | None, *, reading: bool, by: str, why: str) -> Pause:
        with self._database.writing("pause") as connection:
            return pauses.begin(connection, entity, side, reading=reading, by=by, why=why)

    def end_pauses(self, ids: Sequence[int], by: str, why: str, names: Mapping[Side, str]) -> int:
        """`names`: of the connections. Returns how many writes waited for these alone."""
        with self._database.writing("resume") as connection:
            return pauses.end(connection, ids, by, why, names)

    def pause_queues(self) -> list[Queue]:
        """How much waits for each pause."""
        with self._database.reading() as connection:
            return pauses.queues(connection)

    # --- limits of the connections --------------------------------------------------------------------------------

    def limits(self, connection_name: str) -> Limits:
        """How a connection stands, by its name."""
        with self._database.reading() as connection:
            return limits.read(connection, connection_name)

    def every_limits(self) -> dict[str, Limits]:
        """How all connections stand that were called so far, by name."""
        with self._database.reading() as connection:
            return limits.every(connection)

    def used_calls(self, connection_name: str) -> list[Used]:
        """Ours of today, by class of work."""
        with self._database.reading() as connection:
            return budget.used(connection, connection_name, now(connection))

    def take_turn(self, connection_name: str, rate: Rate, *, wait_max: int, at: datetime | None = None) -> Grant:
        """The next call's place in the bucket that all workers share; `at`: for tests with a clock of their own."""
        with self._database.writing("turn of a call") as connection:
            return budget.take_turn(connection, connection_name, rate, wait_max=wait_max, at=at)

    def set_daily_calls(self, connection_name: str, daily: int | None) -> None:
        """As it stands in the settings; None: as many as the CRM lets us."""
        with self._database.writing("daily calls") as connection:
            budget.set_daily(connection, connection_name, daily)

    def reserve_calls(self, connection_name: str, work: Work, *, requests: int, operations: int) -> str | None:
        """Counted before they are made; the day they count for, or None if this class of work has to stop."""
        with self._database.writing("reserve calls") as connection:
            return budget.reserve(connection, connection_name, work, requests=requests, operations=operations)

    def give_back_calls(self, connection_name: str, day: str, work: Work, *, requests: int, operations: int) -> None:
        with self._database.writing("give back calls") as connection:
            budget.give_back(connection, connection_name, day, work, requests=requests, operations=operations)

    def note_told_usage(self, connection_name: str, used: int, limit: int) -> None:
        with self._database.writing("told usage") as connection:
            budget.note_told(connection, connection_name, used, limit)

    def block_calls(self, connection_name: str, seconds: float, why: str) -> Block:
        """Nobody calls this CRM for so long."""
        with self._database.writing("block calls") as connection:
            return budget.block(connection, connection_name, seconds, why)

    def blocked_since(self, connection_name: str) -> datetime | None:
        """Since when it has asked to be left alone, again and again, without a cycle that came to its end meanwhile."""
        with self._database.reading() as connection:
            return budget.blocked_since(connection, connection_name)

    def lift(self, connection_name: str, *, by: str, why: str) -> Lifted:
        """A person says that this CRM may be called at once. Kept as a run of its own where something was lifted."""
        with self._database.writing("lift") as connection:
            found = limits.read(connection, connection_name)
            at, standing, before = found.at, found.standing, found.breaker
            told = None if may("bulk", replace(standing, allowed=None), at) else standing.told(at)
            block, opened = budget.lift(connection, connection_name), before.until is not None
            if opened:
                breaker.close(connection, connection_name)
            lifted = Lifted(block=block, breaker=before if opened else None, told=told)
            if lifted:
                words = {"block": block, "breaker": lifted.breaker, "count of calls": told}
                what = " and ".join(word for word, one in words.items() if one is not None)
                made = runs.start(connection, "lift", None, at)
                said = f"lifted the {what} of {connection_name}, by {by}: {why}"
                runs.end(connection, made.id, said, at, counts={}, unwritten={}, calls={})
            return lifted

    def ask_breaker(self, connection_name: str, *, who: str, reads: bool) -> Verdict:
        with self._database.writing("ask breaker") as connection:
            return breaker.ask(connection, connection_name, who=who, reads=reads)

    def report_breaker(self, connection_name: str, event: Event, cause: str = "") -> Breaker:
        with self._database.writing("report breaker") as connection:
            return breaker.report(connection, connection_name, event, cause)

    # --- a person's traces ----------------------------------------------------------------------------------------

    def people(self, email: str) -> set[Ref]:
        """Leads and contacts with this e-mail address."""
        with self._database.reading() as connection:
            return traces.people(connection, email)

    def traces(self, refs: Collection[Ref], *, alone: bool = False) -> Traces:
        """All that these records, and others of the same person, left in the store. `alone`: these and no others."""
        with self._database.reading() as connection:
            return traces.look(connection, set(refs) if alone else traces.closure(connection, refs))

    def person_accounts(self, refs: Collection[Ref]) -> set[Ref]:
        """Those of these accounts that are persons."""
        with self._database.reading() as connection:
            return traces.person_accounts(connection, refs)

    def erase(self, found: Traces, by: str, why: str, *, lease: Lease) -> int:
        """Take a person out; the lease keeps every run away meanwhile. Returns the number that it is noted under."""
        with self._database.writing("erase") as connection:
            return erase.erase(connection, found, by, why, leases.guard(connection, lease))

    def erased(self, refs: Collection[Ref]) -> set[Ref]:
        """Those of these records that were taken out and stay out."""
        with self._database.reading() as connection:
            return erased.among(connection, refs)

    def let_back(self, refs: Collection[Ref]) -> set[Ref]:
        """What was taken out may be read again; returns those that were kept out."""
        with self._database.writing("let back") as connection:
            return erased.let_back(connection, refs)

    def scour(self) -> bool:
        """Overwrite what was deleted in the database's own files; False: somebody else's reading kept some of it."""
        return erase.scour(self._database)

    def alarms(self) -> list[Alarm]:
        """What is out of order, as it was last looked at."""
        with self._database.reading() as connection:
            return alarms.current(connection)

    def alarm_over_at(self, kinds: Sequence[str]) -> datetime | None:
        """When the last one of these kinds was over."""
        with self._database.reading() as connection:
            return alarms.last_over(connection, kinds)

    def save_alarms(self, changed: Sequence[Alarm], messages: Sequence[tuple[str, Mapping[str, str]]]) -> None:
        """`messages`: (channel, body) that are to be sent."""
        with self._database.writing("alarms") as connection:
            alarms.save(connection, changed, messages)

    def take_alerts(self, limit: int) -> list[Message]:
        """Alerts to send now; nobody else gets them for a while."""
        with self._database.writing("take alerts") as connection:
            return alarms.take(connection, limit)

    def alert_sent(self, id: int) -> None:
        with self._database.writing("alert sent") as connection:
            alarms.sent(connection, id)

    def alert_not_sent(self, id: int, error: str) -> bool:
        """Tried again later; False: given up."""
        with self._database.writing("alert not sent") as connection:
            return alarms.not_sent(connection, id, error)

    def alerts_waiting(self) -> list[Message]:
        with self._database.reading() as connection:
            return alarms.waiting(connection)

    def refused_lately(self, since: timedelta) -> int:
        """Records that a CRM refused in this time and that are still open."""
        with self._database.reading() as connection:
            return alarms.refused_lately(connection, since)

    def prune(self, what: str, older_than: timedelta, limit: int) -> int:
        """One slice of old history; fewer than `limit`: nothing that old is left."""
        with self._database.writing("prune") as connection:
            return prune.prune(connection, what, now(connection) - older_than, limit)

    # --- runs and plans -------------------------------------------------------------------------------------------

    def start_run(self, kind: str, *, lease: Lease | None = None, mapping: str | None = None) -> RunRow:
        """With a lease, earlier runs under it that never ended are noted as interrupted."""
        with self._database.writing("start run") as connection:
            return runs.start(connection, kind, lease, now(connection), mapping)

    def end_run(
        self,
        id: str,
        outcome: str,
        *,
        counts: runs.Counts | None = None,
        unwritten: runs.Counts | None = None,
        calls: runs.Counts | None = None,
    ) -> None:
        with self._database.writing("end run") as connection:
            told = {"counts": counts or {}, "unwritten": unwritten or {}, "calls": calls or {}}
            runs.end(connection, id, outcome, now(connection), **told)

    def run(self, id: str) -> RunRow | None:
        with self._database.reading() as connection:
            return runs.get(connection, id)

    def runs(self, limit: int | None = None) -> list[RunRow]:
        """Newest first."""
        with self._database.reading() as connection:
            return runs.read(connection, limit)

    def save_mapping(self, id: str, label: str, texts: Mapping[str, str]) -> None:
        """Kept when a run first goes by this version; one that is known stays as it is."""
        with self._database.writing("mapping") as connection:
            one = MappingRow(id=id, label=label, texts=texts, first_used_at=now(connection))
            mappings.save(connection, self._dialect, one)

    def mappings(self) -> list[MappingRow]:
        """Versions of the mapping that runs went by, the newest first."""
        with self._database.reading() as connection:
            return mappings.read(connection)

    def save_plan(self, counts: Mapping[str, Any], *, first_run: bool, id: str | None = None) -> PlanRow:
        with self._database.writing("save plan") as connection:
            return runs.save_plan(connection, counts, first_run, id, now(connection))

    def plan(self, id: str) -> PlanRow | None:
        with self._database.reading() as connection:
            return runs.get_plan(connection, id)

    def plans(self, limit: int | None = None) -> list[PlanRow]:
        """Newest first."""
        with self._database.reading() as connection:
            return runs.plans(connection, limit)

    def approve_plan(self, id: str, by: str, why: str) -> PlanRow:
        with self._database.writing("approve plan") as connection:
            return runs.approve_plan(connection, id, by, why, now(connection))


def _in_chunks(chunk: Any, key: Any) -> Iterator[Any]:
    after = ""
    while found := chunk(after):
        yield from found
        if len(found) < _CHUNK:
            return
        after = key(found[-1])

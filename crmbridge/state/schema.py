"""The whole schema, readable in one place. Migrations lead to exactly this (a test compares them).

Texts that hold structures are JSON written by `codec.py`. Ids sort by code point in both databases, so that batches are
written in the order of the index and two workers lock rows in the same order.
"""

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    literal_column,
)
from sqlalchemy.types import TIMESTAMP, TypeEngine

REVISION: Final = "0005"  # the newest migration; the store migrates when the database says another one

metadata = MetaData()


class Instant(TypeDecorator[datetime]):
    """A UTC instant: `timestamptz`, or on SQLite ISO text of one fixed form, which sorts as time does."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(TIMESTAMP(timezone=True) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant without a time zone was handed to the store")
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.isoformat(timespec="microseconds")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if dialect.name == "postgresql" else datetime.fromisoformat(value)


Id = Text().with_variant(Text(collation="C"), "postgresql")
Json = Text
Serial = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts by itself for INTEGER PRIMARY KEY only


meta = Table("meta", metadata, Column("name", Text, primary_key=True), Column("value", Text, nullable=False))

# How far a table of one side has been read; stored together with the rows it covers.
cursor = Table(
    "cursor",
    metadata,
    Column("side", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("comparing", Integer),  # number of the full compare under way: what it does not show is asked for by its id
    Column("saved_at", Instant, nullable=False),
)

# Every record as last observed. A placeholder (version '' and not deleted) was only named by a row beside it.
record = Table(
    "record",
    metadata,
    Column("side", Text, primary_key=True),
    Column("entity", Text, primary_key=True),
    Column("id", Id, primary_key=True),
    Column("version", Text, nullable=False),
    Column("created_at", Instant),
    Column("modified_at", Instant),
    Column("modified_by", Text),
    Column("deleted", Boolean, nullable=False),
    Column("merged_into", Text),
    Column("key", Text),
    Column("body", Json),  # the mapped columns and the connector's own
    Column("extras", Json),  # kind -> satellite id -> values; NULL is none
    Column("dirty", Boolean, nullable=False),
    Column("touched", Boolean, nullable=False),
    Column("seen", Integer, nullable=False),  # number of the last full compare that was begun when it was shown
)
Index(
    "record_dirty",
    record.c.entity,
    record.c.side,
    record.c.id,
    sqlite_where=record.c.dirty.is_(True),
    postgresql_where=record.c.dirty.is_(True),
)

# Rows of side tables, so that a deletion that names only itself finds its parent.
satellite = Table(
    "satellite",
    metadata,
    Column("side", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("id", Id, primary_key=True),
    Column("source", Text, nullable=False),  # the polled table; '' when it came with its parent
    Column("entity", Text, nullable=False),
    Column("parent_id", Id, nullable=False),
    Column("body", Json, nullable=False),
    Column("seen", Integer, nullable=False),
)
Index("satellite_parent", satellite.c.side, satellite.c.entity, satellite.c.parent_id)

# By what a record without a link can be recognised, one line a key: hashes, so that they are short. Which mapping they
# were made by stands in `meta`.
match_key = Table(
    "match_key",
    metadata,
    Column("side", Text, primary_key=True),
    Column("entity", Text, primary_key=True),
    Column("part", Id, primary_key=True),  # '': nobody has looked at the record yet
    Column("id", Id, primary_key=True),
    sqlite_with_rowid=False,
)
Index("match_key_record", match_key.c.side, match_key.c.entity, match_key.c.id)

link = Table(
    "link",
    metadata,
    Column("id", Id, primary_key=True),
    Column("entity", Text, nullable=False),
    Column("left_id", Id),
    Column("right_id", Id),
    Column("base", Json, nullable=False),
    Column("mode", Text, nullable=False),
    Column("origin", Text),
    Column("alive", Boolean, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("last_open", Json, nullable=False),
    Column("fillers", Json, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("how", Text, nullable=False),
)
# A record has one link, dead or alive.
Index(
    "link_left",
    link.c.entity,
    link.c.left_id,
    unique=True,
    sqlite_where=link.c.left_id.is_not(None),
    postgresql_where=link.c.left_id.is_not(None),
)
Index(
    "link_right",
    link.c.entity,
    link.c.right_id,
    unique=True,
    sqlite_where=link.c.right_id.is_not(None),
    postgresql_where=link.c.right_id.is_not(None),
)
# Literals, not parameters: a partial index serves a query only where the text is the same.
UNSTEADY = link.c.alive.is_(True) & (link.c.mode != literal_column("'steady'"))
Index(
    "link_unsteady",
    link.c.entity,
    link.c.id,
    sqlite_where=UNSTEADY,
    postgresql_where=UNSTEADY,
)

# The primary key makes "each conversion is mirrored exactly once" a database constraint (reliability §4).
conversion = Table(
    "conversion",
    metadata,
    Column("lead_link", Id, primary_key=True),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("case", Text, nullable=False),
    Column("from_side", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("detail", Json, nullable=False),
    Column("changed_at", Instant, nullable=False),
)

# Written down before the call (reliability §3.1).
intent = Table(
    "intent",
    metadata,
    Column("id", Id, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("entity", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("link_id", Text),
    Column("native_id", Text),
    Column("source_id", Text),
    Column("key", Text),
    Column("reason", Text, nullable=False),
    Column("before", Json, nullable=False),
    Column("after", Json, nullable=False),
    Column("pre_version", Text),
    Column("payload_hash", Text, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("reply", Text, nullable=False),
    Column("sent_at", Instant, nullable=False),
    Column("closed_at", Instant),
    Column("lease", Text),  # under which it was sent: while that is alive nobody else looks what came of it
    Column("source_at", Instant),
)
IS_SENT = intent.c.state == literal_column("'sent'")
Index("intent_open", intent.c.sent_at, sqlite_where=IS_SENT, postgresql_where=IS_SENT)
# Whose change is it that a CRM shows under our name: asked by record and by key (ADR 13).
Index("intent_native", intent.c.native_id)
Index("intent_key", intent.c.key)
IS_CLOSED = intent.c.closed_at.is_not(None)
Index("intent_closed", intent.c.closed_at, sqlite_where=IS_CLOSED, postgresql_where=IS_CLOSED)  # for its retention

# Every write that happened, before and after. `id` is the intent's.
journal = Table(
    "journal",
    metadata,
    Column("number", Serial, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("entity", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("link_id", Text),
    Column("native_id", Text),
    Column("source_id", Text),
    Column("reason", Text, nullable=False),
    Column("before", Json, nullable=False),
    Column("after", Json, nullable=False),
    Column("reply", Text, nullable=False),
    Column("at", Instant, nullable=False),
)
Index("journal_id", journal.c.id, unique=True)
Index("journal_link", journal.c.link_id)
Index("journal_native", journal.c.native_id)
Index("journal_run", journal.c.run_id)

issue = Table(
    "issue",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("entity", Text, nullable=False),
    Column("subject", Text, nullable=False),  # the link's id, else side:native id
    Column("link_id", Text),
    Column("side", Text),
    Column("native_id", Text),
    Column("field", Text, nullable=False),  # '' is none: NULLs would not be equal in the unique index
    Column("message", Text, nullable=False),
    Column("fix", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_try_at", Instant),
    Column("fingerprint", Text, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("released_by", Text),
    Column("released_why", Text),
    Column("closed_at", Instant),
    Column("closed_by", Text),
    Column("closed_why", Text),
)
Index(
    "issue_open",
    issue.c.subject,
    issue.c.entity,
    issue.c.cause,
    issue.c.field,
    unique=True,
    sqlite_where=issue.c.closed_at.is_(None),
    postgresql_where=issue.c.closed_at.is_(None),
)
Index("issue_link", issue.c.link_id)
Index("issue_native", issue.c.native_id)
IS_OVER = issue.c.closed_at.is_not(None)
Index("issue_closed", issue.c.closed_at, sqlite_where=IS_OVER, postgresql_where=IS_OVER)

run = Table(
    "run",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("outcome", Text, nullable=False),
    Column("counts", Json, nullable=False),
    Column("calls", Json, nullable=False),
    Column("lease", Text),
    Column("fence", Integer),
    Column("mapping", Text),  # version it went by
    Column("unwritten", Json, nullable=False, server_default="{}"),  # what was sent, and what came of it instead
)
Index("run_started", run.c.started_at)
NOT_ENDED = run.c.ended_at.is_(None)
Index("run_open", run.c.lease, sqlite_where=NOT_ENDED, postgresql_where=NOT_ENDED)  # what was interrupted

# What the mapping files said when a run first went by them: to compare with, and to go back to.
mapping = Table(
    "mapping",
    metadata,
    Column("id", Text, primary_key=True),
    Column("label", Text, nullable=False),
    Column("texts", Json, nullable=False),  # file name -> text
    Column("first_used_at", Instant, nullable=False),
)

plan = Table(
    "plan",
    metadata,
    Column("id", Text, primary_key=True),
    Column("created_at", Instant, nullable=False),
    Column("counts", Json, nullable=False),
    Column("first_run", Boolean, nullable=False),
    Column("approved_at", Instant),
    Column("approved_by", Text),
    Column("why", Text),
)
Index("plan_created", plan.c.created_at)
IS_APPROVED = plan.c.approved_at.is_not(None)
Index("plan_approved", plan.c.approved_at, sqlite_where=IS_APPROVED, postgresql_where=IS_APPROVED)

# What the worker with the cycle has handed out: a line for each pair, gone when the next cycle begins. Pairs of one
# lane share a record and go one after another; whoever holds the lease of a lane works in it.
work = Table(
    "work",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("link_id", Id, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("mapping", Text, nullable=False),  # version it was planned by; '' is none
    Column("lane", Text, nullable=False),
    Column("state", Text, nullable=False),  # due, done, left (to the next cycle), stopped (a person looks)
    Column("attempts", Integer, nullable=False),  # begun, without coming to an end
    Column("told", Json, nullable=False),  # what came of it, for the run's account
    Column("due_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
)
Index("work_link", work.c.link_id, unique=True)
IS_DUE = work.c.state == literal_column("'due'")
Index("work_due", work.c.id, sqlite_where=IS_DUE, postgresql_where=IS_DUE)

# Who works; the fence says whose word counts (reliability §1.4).
lease = Table(
    "lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("owner", Text),  # NULL: free
    Column("fence", Integer, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("born", Text, nullable=False),  # start of the process: a pid alone may be another process by now
    Column("since", Instant),
    Column("until", Instant),
)

# When each kind of record was last synced by a worker, for its schedule.
turn = Table(
    "turn",
    metadata,
    Column("entity", Text, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("quiet", Integer, nullable=False),
)

# Writes that wait since a person said so; NULL is all of them.
pause = Table(
    "pause",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("entity", Text),
    Column("side", Text),
    Column("reading", Boolean, nullable=False),  # not even read
    Column("since", Instant, nullable=False),
    Column("by", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("ended_at", Instant),
    Column("ended_by", Text),
    Column("ended_why", Text),
)

# Processes that work, and when each was last seen at it.
heartbeat = Table(
    "heartbeat",
    metadata,
    Column("name", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("what", Text, nullable=False),
    Column("at", Instant, nullable=False),
)

# What is out of order, so that it is told once, again after a while, and when it is over.
alarm = Table(
    "alarm",
    metadata,
    Column("key", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("since", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("told_at", Instant, nullable=False),
    Column("over_at", Instant),
)

# Alerts on their way: one line for each channel, kept until it has been taken.
alert_message = Table(
    "alert_message",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("channel", Text, nullable=False),
    Column("body", Json, nullable=False),
    Column("made_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("error", Text, nullable=False),
)

# Who was taken out of the store at a person's word, and when: numbers only, nothing about the person.
erasure = Table(
    "erasure",
    metadata,
    Column("number", Serial, primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("by", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("counts", Json, nullable=False),
)

# What was taken out stays out: a keyed hash of side, kind and id, from which nobody can tell the record.
erased = Table(
    "erased",
    metadata,
    Column("mark", Id, primary_key=True),
    Column("erasure", Integer, nullable=False),
)

# Per connection: when its bucket is full again (microseconds), until when nobody calls, what the CRM said of its day.
budget = Table(
    "budget",
    metadata,
    Column("connection", Text, primary_key=True),
    Column("full_at", BigInteger, nullable=False),
    Column("blocked_until", Instant),
    Column("blocked_why", Text, nullable=False),
    Column("told_used", Integer),
    Column("told_limit", Integer),
    Column("told_at", Instant),
    Column("daily", Integer),  # calls a day as set; NULL: as many as the CRM lets us
)

# Calls of ours, by day (UTC) and class of work: requests, and what the CRM counts them as.
usage = Table(
    "usage",
    metadata,
    Column("connection", Text, primary_key=True),
    Column("day", Text, primary_key=True),
    Column("work", Text, primary_key=True),
    Column("requests", Integer, nullable=False),
    Column("operations", Integer, nullable=False),
)

# Per connection: is the CRM in trouble, and until when is it left alone? No row: closed, and nothing has happened.
breaker = Table(
    "breaker",
    metadata,
    Column("connection", Text, primary_key=True),
    Column("troubles", Integer, nullable=False),
    Column("logins", Integer, nullable=False),
    Column("opened", Integer, nullable=False),
    Column("until", Instant),
    Column("prober", Text),
    Column("probing_until", Instant),
    Column("cause", Text, nullable=False),
)

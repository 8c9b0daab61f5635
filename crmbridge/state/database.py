"""One connection to the database: what differs between SQLite and PostgreSQL, and one transaction at a time.

Both must survive power loss (reliability §5): SQLite in WAL mode with `synchronous=FULL`, PostgreSQL with
`synchronous_commit` on, else the store refuses to open.
"""

import sqlite3
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Select,
    Table,
    Text,
    bindparam,
    create_engine,
    event,
    func,
    literal_column,
    select,
    text,
    true,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql.functions import FunctionElement

from crmbridge import private
from crmbridge.crashpoint import reached
from crmbridge.errors import ConfigError, CrmBridgeError, OutsideError, TryLater
from crmbridge.state import schema

Upsert = sqlite.Insert | postgresql.Insert
Dialect = Literal["sqlite", "postgresql"]

_LOCK_SECONDS = 30  # how long a statement waits for another writer before the run gives up
_MIGRATION_LOCK = 7_206_214_402_511  # any number, the same in every process


class Database:
    def __init__(self, url: str) -> None:
        self.url = _parse(url)
        self.dialect: Dialect = "sqlite" if self.url.get_backend_name() == "sqlite" else "postgresql"
        self.place = self.url.render_as_string(hide_password=True)
        options: dict[str, Any] = {}
        if self.dialect == "postgresql":
            options = {"pool_pre_ping": True, "connect_args": {"application_name": "crmbridge", "connect_timeout": 10}}
        else:
            if "timeout" not in self.url.query:
                options["connect_args"] = {"timeout": _LOCK_SECONDS}  # SQLite's busy_timeout
            if not self.url.database or self.url.database == ":memory:":
                options["poolclass"] = StaticPool
            elif not self.url.database.startswith("file:"):
                with suppress(OSError):  # what is wrong with the place is told by the first connection
                    private.touch(Path(self.url.database))
        # hide_parameters: a traceback of ours must not show customers' values.
        self.engine = create_engine(self.url, hide_parameters=True, **options)
        event.listen(self.engine, "connect", _prepare_sqlite if self.dialect == "sqlite" else _prepare_postgresql)
        # On PostgreSQL each statement sees its own moment, in a transaction (READ COMMITTED) or not: a reading begins
        # none, which is two journeys to the server less. On SQLite it sees one moment throughout.
        postgres = self.dialect == "postgresql"
        self._reader = self.engine.execution_options(isolation_level="AUTOCOMMIT") if postgres else self.engine

    def close(self) -> None:
        self.engine.dispose()

    def forget(self) -> None:
        """After a fork: the parent's connections are the parent's."""
        self.engine.dispose(close=False)

    @contextmanager
    def reading(self) -> Generator[Connection]:
        with _told(self.place), self._reader.connect() as connection, connection.begin():
            if self.dialect == "sqlite":  # BEGIN is ours, see `_prepare_sqlite`
                connection.exec_driver_sql("BEGIN")
            yield connection

    @contextmanager
    def writing(self, name: str) -> Generator[Connection]:
        """One transaction that is written whole or not at all. SQLite takes its write lock at the start."""
        with _told(self.place), self.engine.connect() as connection, connection.begin():
            if self.dialect == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            reached(f"commit {name}")
        reached(f"committed {name}")

    def migrate(self) -> None:
        with self.reading() as connection:
            if self.dialect == "postgresql":
                _refuse_lossy_commits(connection, self.place)
            if _revision(connection, self.dialect) == schema.REVISION:
                return
        with self.writing("migrate") as connection:
            if self.dialect == "postgresql":  # SQLite has its write lock by now
                connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            found = _revision(connection, self.dialect)
            if found is not None and found > schema.REVISION:
                raise ConfigError(
                    f"The store {self.place} was written by a newer crmbridge (schema {found}, this one knows "
                    f"{schema.REVISION}).",
                    fix="Install that version again, or point store.url at another database.",
                )
            if found != schema.REVISION:
                upgrade(connection)


def upgrade(connection: Connection) -> None:
    from alembic import command  # late: 0.2 s, and needed once in a version's life
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    command.upgrade(config, "head")


class Clock(FunctionElement[datetime]):
    """The database's clock, which alone judges leases; on PostgreSQL the wall clock, not the transaction's start.

    As a column it comes with what is read anyway."""

    type = schema.Instant()
    inherit_cache = True


@compiles(Clock, "postgresql")
def _clock_postgresql(element: Clock, compiler: Any, **options: Any) -> str:
    return "clock_timestamp()"


@compiles(Clock, "sqlite")
def _clock_sqlite(element: Clock, compiler: Any, **options: Any) -> str:
    return "strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')"  # as instants are stored


class Day(FunctionElement[str]):
    """The day (UTC) of an instant, as text."""

    type = Text()
    inherit_cache = True


@compiles(Day, "postgresql")
def _day_postgresql(element: Day, compiler: Any, **options: Any) -> str:
    return f"to_char({compiler.process(element.clauses, **options)}, 'YYYY-MM-DD')"  # sessions are set to UTC


@compiles(Day, "sqlite")
def _day_sqlite(element: Day, compiler: Any, **options: Any) -> str:
    return f"substr({compiler.process(element.clauses, **options)}, 1, 10)"


def now(connection: Connection) -> datetime:
    return connection.execute(_NOW).scalar_one()


_NOW = select(Clock())


# --- statements, built once ---------------------------------------------------------------------------------------


@cache
def insert(dialect: str, table: Table) -> Upsert:
    return (sqlite if dialect == "sqlite" else postgresql).insert(table)


@cache
def put(dialect: str, table: Table) -> Upsert:
    """Insert, or overwrite everything but the primary key."""
    statement = insert(dialect, table)
    others = {column.name: statement.excluded[column.name] for column in table.c if not column.primary_key}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=others)


def locked(dialect: str, line: Select[Any], *, skip: bool = False) -> Select[Any]:
    """The line under lock until the transaction ends, and `now`: the time once it is ours, after the wait for whoever
    had it. `skip`: without waiting; a line that is taken is not found.

    What is beside the line is asked for after it: a statement that waited for a lock still sees the other tables as
    they were when it began."""
    if dialect == "sqlite":  # has its write lock since the transaction began
        return line.add_columns(Clock().label("now"))
    ours = line.with_for_update(skip_locked=skip).subquery("line")
    return select(*ours.c, Clock().label("now"))


def lookup(dialect: str, table: Table, column: Column[Any], *where: ColumnElement[bool]) -> Select[Any]:
    """The lines of a table whose `column` is one of the array parameter `ids`; its text is the same for every batch.

    PostgreSQL must probe the index once an id, even in a database that was just filled and has no statistics yet: left
    to itself it compared every line with every id. OFFSET 0 keeps the planner from turning the join around."""
    if dialect == "postgresql":
        ids = func.unnest(bindparam("ids", type_=postgresql.ARRAY(postgresql.TEXT)))
        wanted = ids.table_valued("id", name="wanted").render_derived()
        probe = select(table).where(*where, column == wanted.c.id).correlate(wanted).offset(literal_column("0"))
        found = probe.lateral("found")
        return select(*found.c).select_from(wanted.join(found, true()))
    values = func.json_each(bindparam("ids")).table_valued("value")
    return select(table).where(*where, column.in_(select(values.c.value)))


def array(dialect: str, values: Sequence[str]) -> Any:
    if dialect == "postgresql":
        return list(values)
    from crmbridge.state.codec import dump

    return dump(list(values))


# --- opening ------------------------------------------------------------------------------------------------------


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise ConfigError(
            "store.url is not the address of a database.",
            fix="Write sqlite:///FILE or postgresql://USER@HOST/DATABASE.",
        ) from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return parsed
    if backend != "postgresql":
        raise ConfigError(
            f"store.url names {backend}, which crmbridge does not know.",
            fix="Write sqlite:///FILE or postgresql://USER@HOST/DATABASE.",
        )
    parsed = parsed.set(drivername="postgresql+psycopg")
    try:
        import psycopg  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise ConfigError(
            "store.url names PostgreSQL, and its driver is not installed.", fix="pip install 'crmbridge[postgres]'"
        ) from error
    return parsed


def _prepare_sqlite(connection: Any, record: object) -> None:
    connection.isolation_level = None  # BEGIN is ours: the driver's own comes too late to read under the lock
    with closing(connection.cursor()) as cursor:
        _use_wal(cursor)
        cursor.execute("PRAGMA synchronous=FULL")


def _use_wal(cursor: Any) -> None:
    """The mode stays with the file. SQLite does not wait by itself while another process is changing it as well."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            if cursor.execute("PRAGMA journal_mode").fetchone()[0] not in ("wal", "memory"):
                cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _prepare_postgresql(connection: Any, record: object) -> None:
    before, connection.autocommit = connection.autocommit, True
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{_LOCK_SECONDS}s'")
        cursor.execute("SET timezone = 'UTC'")
    connection.autocommit = before


def _refuse_lossy_commits(connection: Connection, place: str) -> None:
    if connection.execute(text("SHOW synchronous_commit")).scalar_one() == "off":
        raise ConfigError(
            f"The store {place} has synchronous_commit = off: what was sent to a CRM could be forgotten after a crash.",
            fix="ALTER ROLE or ALTER DATABASE ... SET synchronous_commit = on.",
        )


def _revision(connection: Connection, dialect: str) -> str | None:
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


# --- what went wrong, in words ------------------------------------------------------------------------------------

_ALWAYS_SAFE = "Nothing was half written; run the same command again afterwards."
# SQLite's extended names begin with these; PostgreSQL's are SQLSTATEs or their classes.
_TROUBLE: Mapping[str, tuple[str, str]] = {
    "SQLITE_FULL": ("the disk is full", "Free some space."),
    "SQLITE_BUSY": ("another process keeps it locked", "Wait for it to end, or stop it."),
    "SQLITE_LOCKED": ("another process keeps it locked", "Wait for it to end, or stop it."),
    "SQLITE_READONLY": ("it may only be read", "Give this user the right to write the file and its folder."),
    "SQLITE_PERM": ("this user has no right to it", "Give this user the right to write the file and its folder."),
    "SQLITE_CANTOPEN": ("the file cannot be opened", "Make the folder, and give this user the right to write there."),
    "SQLITE_IOERR": ("the disk answered with an error", "Check the disk and the free space."),
    "SQLITE_CORRUPT": ("the file is damaged", "Restore it from a backup."),
    "SQLITE_NOTADB": ("the file is not a crmbridge store", "Correct store.url."),
    "53100": ("the disk is full", "Free some space on the database server."),
    "53": ("the database server is at its limits", "Look at the server: connections, memory, disk."),
    "25006": ("it may only be read", "Connect to the primary server."),
    "42501": ("this user lacks a right", "Let this user create and write tables in its schema."),
    "55P03": ("another process keeps it locked", "Wait for it to end, or stop it."),
    "40": ("two writers met", "Nothing to do but to start again."),
    "57": ("the database server stopped or cancelled the work", "Look at the server's log."),
    "28": ("the login was refused", "Check user and password in store.url."),
    "3D000": ("that database does not exist", "Create it, or correct store.url."),
    "58": ("the database server's disk answered with an error", "Look at the server's log."),
    "08": ("the connection broke", "Check that the database server runs and can be reached."),
}


@contextmanager
def _told(place: str) -> Generator[None]:
    try:
        yield
    except CrmBridgeError:
        raise
    except DBAPIError as error:
        raise _in_words(error, place) or error from error
    except PoolTimeout as error:
        raise OutsideError(f"The store {place} has no free connection.", fix="Use fewer threads.") from error
    except OSError as error:
        raise OutsideError(
            f"The store {place} did not serve: {error.strerror or error}.", fix=_ALWAYS_SAFE, code="store"
        ) from error


def _in_words(error: DBAPIError, place: str) -> OutsideError | None:
    origin = error.orig
    code: str = getattr(origin, "sqlite_errorname", "") or getattr(origin, "sqlstate", None) or ""
    known = next((words for start, words in _TROUBLE.items() if code.startswith(start)), None)
    if known is None:
        # A connection that was never made has no SQLSTATE; the driver's first line names host and reason, no secret.
        if type(origin).__name__ != "OperationalError" or code:
            return None
        first_line = next(iter(str(origin).splitlines()), "no answer")
        known = (f"the database cannot be reached: {first_line}", "Check store.url and that the server runs.")
    what, fix = known
    kind = TryLater if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "55P03", "40")) else OutsideError
    return kind(f"The store {place} did not serve: {what}.", fix=f"{fix} {_ALWAYS_SAFE}", code="store")

"""The sandbox's core: what a CRM is, without sockets, threads, wall clock or uuid4.

A request is answered in two steps, so that a simulation can put anything between them: *commit* (`App.commit`, changes
the world and returns the answer) and *reply* (handing the answer to the network). The HTTP adapter (`server.py`) and
the simulation's transport both drive these two steps; nothing in here knows which of them it is.
"""

import random
import uuid
import zlib
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol
from urllib.parse import parse_qsl, unquote

Crm = Literal["salesforce", "dynamics"]
Row = dict[str, Any]


class BadRow(ValueError):
    """A row of a load that does not fit: which one, counted from 1, and which column."""

    def __init__(self, table: str, number: int, column: str, message: str) -> None:
        super().__init__(f"{table} row {number}: {column + ': ' if column else ''}{message}")
        self.table, self.number, self.column, self.message = table, number, column, message


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    method: str
    path: str  # percent-encoded, without the query
    query: str = ""  # raw, without the question mark
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    body: bytes = b""
    origin: str = "https://localhost"  # scheme://host:port that the client asked; answers echo it
    concurrent: int = 1  # requests under way with the same credentials, this one included; whoever drives knows

    @property
    def plain_path(self) -> str:
        return unquote(self.path)

    def options(self) -> dict[str, str]:
        """The query's parameters; `+` is a space, `%24` is `$`; of a repeated one the last counts."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    def header(self, name: str, default: str = "") -> str:
        return self.headers.get(name.lower(), default)


def gunzip(body: bytes, size_max: int) -> bytes | None:
    """The body in plain; None where it is no gzip data, cut, or longer than allowed."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(body, size_max + 1)
    except zlib.error:
        return None
    return plain if unpacker.eof and len(plain) <= size_max else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    status: int
    headers: tuple[tuple[str, str], ...] = ()  # canonical case: one client looks them up in a plain dict
    body: bytes = b""


class Clock(Protocol):
    def now(self) -> datetime:
        """Data time: stamps, delta age, limits. The control port moves it."""
        ...

    def real(self) -> datetime:
        """Token and TLS time; moved only when asked."""
        ...


@dataclass(kw_only=True)
class MovableClock:
    """Real time plus an offset that the control port moves; a simulation passes its own source."""

    source: Callable[[], datetime]
    offset: timedelta = timedelta()
    token_offset: timedelta = timedelta()

    def now(self) -> datetime:
        return (self.source() + self.offset).astimezone(UTC)

    def real(self) -> datetime:
        return (self.source() + self.token_offset).astimezone(UTC)


@dataclass(kw_only=True)
class SkewedClock:
    """One CRM's own clock: a shared one, so many seconds ahead of it. Tokens are not skewed."""

    shared: Clock
    skew: timedelta = timedelta()

    def now(self) -> datetime:
        return self.shared.now() + self.skew

    def real(self) -> datetime:
        return self.shared.real()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One counted HTTP request."""

    crm: Crm
    table: str  # object or table in the CRM's own spelling; "" where none (login, limits)
    kind: str  # query, read, create, update, collections, batch, convertLead, QualifyLead, login, describe ...
    category: Literal["data", "login", "metadata"]
    user: str  # native user id, "" before login
    status: int
    operations: tuple[tuple[str, str], ...] = ()  # (table, kind) of each operation inside a batch or collection


class Tables:
    """Rows by table and id, with an undo log: a request that raises leaves nothing behind."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Row]] = {}
        self._undo: list[Callable[[], None]] | None = None

    def table(self, name: str) -> dict[str, Row]:
        """Read only: write through `put` and `drop`, never into the returned dict."""
        return self.rows.setdefault(name, {})

    def get(self, name: str, key: str) -> Row | None:
        return self.table(name).get(key)

    def put(self, name: str, key: str, row: Row) -> None:
        """Insert or replace; pass a new dict, never one that was read and changed in place."""
        table = self.table(name)
        before = table.get(key)
        table[key] = row
        if self._undo is not None:
            self._undo.append(lambda: table.__setitem__(key, before) if before is not None else table.__delitem__(key))

    def fill(self, name: str, rows: Mapping[str, Row]) -> None:
        """Many new rows at once; only outside of a transaction, for there is nothing to undo."""
        assert self._undo is None, "rows are filled in before anybody asks"
        self.table(name).update(rows)

    def drop(self, name: str, key: str) -> None:
        table = self.table(name)
        before = table.pop(key)
        if self._undo is not None:
            self._undo.append(lambda: table.__setitem__(key, before))

    def on_undo(self, action: Callable[[], None]) -> None:
        """For state beside the rows (a sequence, a delta log): runs if the transaction is rolled back."""
        if self._undo is not None:
            self._undo.append(action)

    @contextmanager
    def transaction(self) -> Generator[None, None, None]:
        """Nestable: an inner one rolls back its own part alone (a savepoint), the outer one everything."""
        outer, mine = self._undo, []
        self._undo = mine
        try:
            yield
        except BaseException:
            self._undo = None
            for action in reversed(mine):
                action()
            self._undo = outer
            raise
        self._undo = outer
        if outer is not None:
            outer.extend(mine)


class App(Protocol):
    """One service of the sandbox: a CRM or the identity service."""

    def commit(self, request: Request) -> Reply:
        """Carry the request out, all or nothing, and return its answer. Never raises for a client's mistake."""
        ...

    def login_as(self, email: str) -> dict[str, str]:
        """A person of this CRM (made when missing) and a token of theirs: {user_id, email, access_token}."""
        ...

    def dump(self) -> dict[str, list[Row]]:
        """Every row of every table, native columns, for tests; deleted ones too, flagged as the CRM flags them."""
        ...


@dataclass(kw_only=True)
class World:
    """What both CRMs share in one sandbox: time, chance, the ledger of calls."""

    clock: Clock
    rng: random.Random
    calls: list[Call] = field(default_factory=list)

    def guid(self) -> str:
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def count(self, call: Call) -> None:
        self.calls.append(call)

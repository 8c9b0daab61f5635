"""What a connector is: four small Protocols. A complete toy one is `connectors/memory.py`.

A connector translates every vendor answer into `Outcome`s (per record) or our error tree (per call) in one function of
its `protocol.py`; nothing above it knows a vendor's code. It never repeats a write by itself: a lost answer is
`Unknown`, and the engine looks before it sends again (ADR 3).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, Protocol, runtime_checkable

from connectors.survey import Questions, Survey
from crmbridge.model import Converted, Directory, Entity, Life, Native, Outcome, Row, Satellite

# An opaque text; stored only together with the rows it covers. None starts from the beginning.
Cursor = str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A bounded batch of changes, and the cursor that is right once they are stored."""

    rows: Sequence[Row] = ()
    satellites: Sequence[Satellite] = ()
    cursor: Cursor
    # True on the first page of a read that starts from nothing because an old cursor was refused (an expired delta
    # link): what the store has and the read does not show is asked for by its id.
    full: bool = False
    last: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePlan:
    """What to read of one entity; made by wiring from the mapping and the connector's own system columns."""

    entity: Entity
    table: str  # object or table name
    columns: tuple[str, ...]  # mapped wire columns; system columns are added by the connector
    row_type: type[Any]  # msgspec.Struct with all of them; attribute names by `model.attribute_name`


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One record's create or update. Only changed columns."""

    kind: Literal["create", "update"]
    entity: Entity
    id: str | None = None  # update: native id. create: the id to give, where the CRM lets us choose (Dynamics)
    key: str | None = None  # value for our key field, where the CRM has one (Salesforce)
    version: str | None = None  # update: the precondition
    columns: Native = field(default_factory=dict)
    # Of columns that go `apart`: what they showed. Stale, if they do not any more.
    expected: Native = field(default_factory=dict)
    as_person: bool = False  # create of a contact in Salesforce: as a person account


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """Order to convert (or qualify) one lead. Ids of what exists are given; the CRM itself makes the rest."""

    lead_id: str
    lead_version: str | None = None
    account_id: str | None = None
    contact_id: str | None = None
    opportunity_id: str | None = None  # an existing one to take
    create_account: bool = True  # False with account_id None: none is wanted
    create_contact: bool = True
    create_opportunity: bool = True
    opportunity_name: str | None = None
    status: str | int | None = None  # converted status to give; None: the CRM's default
    record_type: str | None = None  # Salesforce: the lead's, by developer name, where the mapping asks for it
    owner_id: str | None = None
    currency_id: str | None = None  # Dynamics: currency of the new opportunity
    as_person: bool = False  # Salesforce: into a person account; what stands in for the lead's company is blanked first


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Order for one life-cycle step on one record other than a conversion."""

    kind: Literal["status", "win", "lose", "reopen", "stage"]
    entity: Entity
    id: str
    version: str | None = None
    status: str | int | None = None  # native status or stage to reach; the connector adds the state that goes with it
    columns: Native = field(default_factory=dict)  # values that go along in the same call
    actual_value: Decimal | None = None  # win
    actual_date: datetime | None = None  # win, lose; a date at 12:00 UTC
    subject: str = ""  # text for the close activity
    cancel_close: bool = True  # reopen: the close activity is canceled, as the form does (O9)
    extras: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)  # of the row, to move from


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """Order to end one record: delete it, merge it into another one, or put it out of use."""

    kind: Literal["delete", "merge", "deactivate"]
    entity: Entity
    id: str
    version: str | None = None  # as it was when this was decided
    into: str | None = None  # merge: the record that stays


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who we are talking to; pinned at first contact."""

    org_id: str
    user_id: str
    production: bool
    name: str
    person_accounts: bool = False  # Salesforce: a record may be an account and a contact in one


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    value: str | int  # stable value
    label: str
    state: str | None = None  # shared state the CRM's own flag gives it: open, converted, disqualified, won, lost
    active: bool = True
    default: bool = False
    process: str | None = None  # stages of a process: the process's own name (Dynamics: its table)
    process_name: str | None = None  # ... and what people call it


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    name: str  # as the mapping writes it (a Dynamics lookup: its navigation property)
    type: str  # text, number, integer, money, date, datetime, boolean, choice, multichoice, lookup, id
    label: str = ""  # what people read, in the language of our user
    length: int | None = None
    scale: int | None = None
    required: bool = False  # on create, enforced by the API
    createable: bool = True
    updateable: bool = True
    unique: bool = False
    restricted: bool = False  # unknown choice values are refused
    options: tuple[Option, ...] = ()
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordType:
    """Salesforce: a kind of record with a page and choices of its own."""

    id: str
    name: str  # developer name: stable, unlike the label, and the same in every copy of the org, unlike the id
    label: str = ""
    active: bool = True
    available: bool = True  # to our user
    offers: Mapping[str, tuple[str, ...]] | None = None  # column -> choices; None: it was not told


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What one CRM really has for one entity, for the checker and for compiling labels to stable values."""

    entity: Entity
    table: str
    columns: Mapping[str, Column]
    statuses: tuple[Option, ...] = ()  # lead statuses, opportunity stages (closed ones with their state)
    record_types: tuple[RecordType, ...] = ()
    key_field: bool = False  # our key field exists, is external id and unique
    notes: tuple[str, ...] = ()  # what to know: "change tracking is off, polling by modifiedon"


class Reader(Protocol):
    def side_tables(self, entity: Entity) -> tuple[str, ...]:
        """Names of tables polled beside the entity's own, e.g. contact roles, process instances."""
        ...

    def changes(self, source: str, cursor: Cursor | None) -> Iterator[Page]:
        """All changes of an entity or side table since the cursor, oldest first, at least one page (maybe empty).

        Raises TryLater, AccessError, OutsideError."""
        ...

    def fetch(self, entity: Entity, ids: Sequence[str]) -> Mapping[str, Row]:
        """Current rows by native id, with their extras; an id that is not found is absent (which proves nothing)."""
        ...

    def fetch_many(self, wanted: Mapping[Entity, Sequence[str]]) -> Mapping[Entity, Mapping[str, Row]]:
        """`fetch` for several entities, in one call where the CRM offers that."""
        ...

    def fetch_by_key(self, entity: Entity, keys: Sequence[str]) -> Mapping[str, Row]:
        """Rows whose key field has one of these values, by key; empty where the CRM has no key field."""
        ...

    def born_of(self, entity: Entity, ids: Sequence[str]) -> Mapping[str, str]:
        """Which of these accounts, contacts or opportunities a conversion made or took: native id -> lead id."""
        ...

    def complete(self, row: Row) -> Row:
        """The row with those columns that are not on the wire, but follow from its extras."""
        ...

    def life(self, row: Row) -> Life: ...


class Writer(Protocol):
    def chosen_id(self, partner_org: str, partner_id: str, generation: int) -> str | None:
        """The id a create will have, where we choose it: a function of the partner, so that a repeat is the same."""
        ...

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """One outcome per write, by position. Creates and updates may be mixed; at most `batch_size` at once.

        A column that goes `apart` stands behind the other columns of its record, and is not sent if these may not have
        been written."""
        ...

    @property
    def apart(self) -> Mapping[Entity, frozenset[str]]:
        """Columns that an update of a record carries alone, since the CRM takes them in a call of their own."""
        ...

    @property
    def batch_size(self) -> int: ...


class LifeCycle(Protocol):
    def convert(self, order: Conversion) -> Outcome: ...

    def converted(self, lead_id: str) -> Outcome | None:
        """What a conversion of this lead made (Converted, adopted), or None while it is not converted."""
        ...

    def left_behind(self, lead_id: str) -> Converted | None:
        """What a lead that is not converted (any more) points at, or is named by as the origin: evidence of a
        conversion that somebody has undone since. None without any, and where leads are never opened again."""
        ...

    def moves(self, orders: Sequence[Move]) -> list[Outcome]:
        """One outcome per order, by position; each is carried out whole or not at all, whatever becomes of the others.
        At most `moves_at_once`, each of another record."""
        ...

    @property
    def moves_at_once(self) -> int: ...

    def remove(self, order: Removal) -> Outcome:
        """Written once the record is gone; adopted if it was before. A merge keeps the values of the one that stays."""
        ...


class Describer(Protocol):
    def identity(self) -> Identity: ...

    def directory(self, *, groups: bool = False) -> Directory:
        """Users and currencies; with `groups` also the queues or teams that records may belong to, one call more."""
        ...

    def describe(self, entity: Entity) -> Description: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """What a system is made of, as a shape that a sandbox serves; no records, no names of people."""

    shape: Mapping[str, Any]
    notes: tuple[str, ...] = ()  # what could not be seen, or was left out, each a sentence


@runtime_checkable
class Capturer(Protocol):
    """A connector that can write down its system's shape; not every system has one."""

    def capture(self, usual: Mapping[str, Any], also: Sequence[str] = ()) -> Captured:
        """What differs from the `usual` shape; `also` names objects or tables that are left out otherwise.

        What the user may not see is a note. Raises TryLater, AccessError, OutsideError where the system as a whole
        does not answer."""
        ...


@runtime_checkable
class Witness(Protocol):
    """A connector that can tell what was made in its system where no key does (reliability §4, "no key field")."""

    def alike(self, entity: Entity, wanted: Sequence[Native]) -> tuple[Sequence[Sequence[Row]], datetime | None]:
        """Per position the live rows whose columns have these values, and the server's time as it answered."""
        ...

    def made_since(self, entity: Entity, user_id: str, since: datetime) -> Sequence[Row]:
        """Live rows that this user made at that time of the server's clock or later."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """That a row is there, or was, in which version; nothing of what it holds."""

    id: str
    version: str
    deleted: bool = False


@runtime_checkable
class Auditor(Protocol):
    """A connector that can list what changed by id and version, in few calls."""

    def known_since(self, entity: Entity, since: datetime, settled: timedelta) -> Iterator[Sequence[Known]]:
        """Rows that changed at `since` or later, but for the youngest: these are `settled` by the server's clock."""
        ...


@runtime_checkable
class Surveyor(Protocol):
    """A connector that can count in its system what breaks on the first day; not every system has one."""

    def survey(self, questions: Questions) -> Survey:
        """Counts, never rows; a question that the system does not answer is `unread`."""
        ...


class Connector(Reader, Writer, LifeCycle, Describer, Protocol):
    """One connected system. `name` is its name in crmbridge.yaml."""

    @property
    def name(self) -> str: ...

    @property
    def system(self) -> str: ...

    @property
    def calls(self) -> Mapping[tuple[str, str], int]:
        """HTTP requests so far, by (table, kind)."""
        ...

    @property
    def key_field(self) -> str | None:
        """The column that holds a partner's id, written at creation; None where ids are chosen instead."""
        ...

    def system_columns(self, entity: Entity) -> Mapping[str, type[Any]]:
        """Wire columns the connector needs besides the mapped ones, with their Python types."""
        ...

    def heartbeat(self, beat: Callable[[], None]) -> None:
        """`beat` is called before each HTTP request, so that a long write or read keeps the engine's lease."""
        ...

    def configure(self, tables: Sequence[TablePlan]) -> None:
        """Called once by wiring, before any read."""
        ...

    def close(self) -> None: ...

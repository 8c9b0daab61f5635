"""A whole CRM in a few dictionaries: the connector to read first, and the one that tests of the engine run on.

It behaves like the real ones where the engine could notice: versions move with every save, a change is seen once and
then again only if something moved, deletions and merges are told, a create's key or chosen id is taken once, and a
conversion makes and names its rows in one step. People edit through `add`, `edit`, `delete`, `merge`, `convert_lead`.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final, cast

from connectors.base import (
    Column,
    Conversion,
    Description,
    Identity,
    Known,
    Move,
    Option,
    Page,
    Removal,
    TablePlan,
    Write,
)
from connectors.groups import groups_of
from crmbridge.errors import OutsideError
from crmbridge.model import (
    ENTITIES,
    Converted,
    Directory,
    Entity,
    Life,
    NativeRef,
    Outcome,
    Ref,
    Refused,
    Row,
    Side,
    Stale,
    State,
    Written,
    attribute_name,
)

US: Final = "user-us"
PERSON: Final = "user-person"

# Native statuses and stages, and the state that each one's flag says.
STATUSES: Final[Mapping[Entity, Mapping[str, State]]] = {
    "lead": {"new": "open", "contacted": "open", "qualified": "converted", "lost": "disqualified"},
    "opportunity": {"develop": "open", "propose": "open", "won": "won", "lost": "lost"},
}
REQUIRED: Final[Mapping[Entity, str]] = {
    "account": "name",
    "contact": "last_name",
    "lead": "last_name",
    "opportunity": "name",
}
# What a conversion carries from the lead into what it makes: only blank columns are filled.
CARRIED: Final[Mapping[Entity, Mapping[str, str]]] = {
    "account": {"company": "name", "phone": "phone"},
    "contact": {"last_name": "last_name", "first_name": "first_name", "email": "email", "phone": "phone"},
    "opportunity": {"company": "name"},
}
# Columns that name a record: a merge points them at the one that stays.
LOOKUPS: Final[Mapping[Entity, tuple[str, ...]]] = {
    "account": ("account_id", "parent_id"),
    "contact": ("contact_id",),
    "lead": ("lead_id",),
    "opportunity": ("opportunity_id",),
}
_system: Final[Mapping[Entity, Mapping[str, type[Any]]]] = {
    "account": {"lead_id": str},
    "contact": {"lead_id": str},
    "lead": {
        "state": str,
        "status": str,
        "account_id": str,
        "contact_id": str,
        "opportunity_id": str,
        "converted_at": datetime,
    },
    "opportunity": {"state": str, "status": str, "lead_id": str},
}


@dataclass(kw_only=True)
class Record:
    id: str
    columns: dict[str, Any]
    created_at: datetime
    modified_at: datetime
    modified_by: str
    version: int = 1
    seen: int = 0  # place in the order of all changes
    deleted: bool = False
    merged_into: str | None = None
    key: str | None = None


@dataclass(kw_only=True)
class _Ticks:
    """A clock that moves by a second whenever it is looked at."""

    now: datetime = field(default_factory=lambda: datetime(2026, 1, 1, 9, tzinfo=UTC))

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


class MemoryConnector:
    def __init__(
        self,
        name: str,
        side: Side = "left",
        *,
        system: str = "memory",
        rows: Mapping[Entity, Sequence[Mapping[str, Any]]] | None = None,
        statuses: Mapping[Entity, Mapping[str, State]] = STATUSES,
        users: Mapping[str, str] | None = None,  # native id -> e-mail
        page_rows: int = 2000,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._beat: Callable[[], None] = lambda: None
        self.name, self.system, self.page_rows = name, system, page_rows
        self._side: Side = side
        self.statuses = statuses
        self._clock = clock or _Ticks()
        self._users = dict(users or {US: "sync@example.com", PERSON: "person@example.com"})
        self.groups: tuple[str, ...] = ()  # that may own records, by name, which is their id too
        self._numbers, self._order = count(1), count(1)
        self._plans: dict[Entity, TablePlan] = {}
        self.tables: dict[Entity, dict[str, Record]] = {entity: {} for entity in ENTITIES}
        self.calls: Counter[tuple[str, str]] = Counter()
        self.before_write: Callable[[Write], Outcome | None] = lambda write: None  # tests: refuse, delay, lose
        for entity in ENTITIES:
            for columns in (rows or {}).get(entity, ()):
                self.add(entity, **columns)

    # --- people ---------------------------------------------------------------------------------------------------

    def add(self, entity: Entity, *, by: str = PERSON, **columns: Any) -> str:
        return self._insert(entity, columns, by=by).id

    def edit(self, entity: Entity, record_id: str, *, by: str = PERSON, **columns: Any) -> None:
        self._save(self.tables[entity][record_id], columns, by=by)

    def delete(self, entity: Entity, record_id: str, *, by: str = PERSON) -> None:
        record = self.tables[entity][record_id]
        record.deleted = True
        self._save(record, {}, by=by)

    def merge(self, entity: Entity, loser: str, winner: str, *, by: str = PERSON) -> None:
        self.tables[entity][loser].merged_into = winner
        self.delete(entity, loser, by=by)
        self._save(self.tables[entity][winner], {}, by=by)

    def convert_lead(self, lead_id: str, *, by: str = PERSON, **order: Any) -> Converted:
        outcome = self._convert(Conversion(lead_id=lead_id, **order), by=by)
        assert isinstance(outcome, Converted), outcome
        return outcome

    # --- Reader ---------------------------------------------------------------------------------------------------

    key_field: str | None = "key"

    def system_columns(self, entity: Entity) -> Mapping[str, type[Any]]:
        return _system[entity]

    def heartbeat(self, beat: Callable[[], None]) -> None:
        self._beat = beat

    def configure(self, tables: Sequence[TablePlan]) -> None:
        self._plans = {plan.entity: plan for plan in tables}

    def close(self) -> None:
        pass

    def side_tables(self, entity: Entity) -> tuple[str, ...]:
        del entity
        return ()

    def changes(self, source: str, cursor: str | None) -> Iterator[Page]:
        entity = cast("Entity", source)
        if cursor is not None and not cursor.isdecimal():
            raise OutsideError("The stored cursor is not one of this connector's.", code="cursor")
        after = int(cursor or 0)
        self.calls[entity, "query"] += 1
        fresh = sorted((each for each in self.tables[entity].values() if each.seen > after), key=lambda each: each.seen)
        if cursor is None:
            fresh = [each for each in fresh if not each.deleted]  # a first read has nothing to take away
        if not fresh:
            yield Page(cursor=cursor or "0")
        for start in range(0, len(fresh), self.page_rows):
            some = fresh[start : start + self.page_rows]
            yield Page(
                rows=[self._row(entity, each) for each in some],
                cursor=str(some[-1].seen),
                last=start + self.page_rows >= len(fresh),
            )

    def fetch(self, entity: Entity, ids: Sequence[str]) -> dict[str, Row]:
        self.calls[entity, "retrieve"] += 1
        found = {each: self.tables[entity].get(each) for each in ids}
        return {each: self._row(entity, record) for each, record in found.items() if record and not record.deleted}

    def fetch_many(self, wanted: Mapping[Entity, Sequence[str]]) -> dict[Entity, dict[str, Row]]:
        return {entity: self.fetch(entity, ids) for entity, ids in wanted.items() if ids}

    def fetch_by_key(self, entity: Entity, keys: Sequence[str]) -> dict[str, Row]:
        self.calls[entity, "query"] += 1
        records = [each for each in self.tables[entity].values() if each.key in keys and not each.deleted]
        return {each.key: self._row(entity, each) for each in records if each.key}

    def known_since(self, entity: Entity, since: datetime, settled: timedelta) -> Iterator[list[Known]]:
        del settled  # a change is told at once
        self.calls[entity, "reconcile"] += 1
        yield [
            Known(id=each.id, version=str(each.version), deleted=each.deleted)
            for each in self.tables[entity].values()
            if each.modified_at >= since
        ]

    def born_of(self, entity: Entity, ids: Sequence[str]) -> dict[str, str]:
        self.calls["lead", "query"] += 1
        leads = [each for each in self.tables["lead"].values() if each.columns.get("state") == "converted"]
        leads = [each for each in leads if not each.deleted]  # these do not count (lifecycle §1.3)
        born = {each.columns[f"{entity}_id"]: each.id for each in reversed(leads) if each.columns.get(f"{entity}_id")}
        return {each: born[each] for each in ids if each in born}

    def complete(self, row: Row) -> Row:
        return row

    def life(self, row: Row) -> Life:
        values = row.values
        if values is None:
            return Life()
        if row.ref.entity in ("account", "contact"):
            return Life(origin_lead_id=values.lead_id)
        if row.ref.entity == "opportunity":
            return Life(
                state=values.state,
                status=values.status,
                record_type=getattr(values, "record_type", None),  # where the mapping asks for it
                origin_lead_id=values.lead_id,
            )
        return Life(
            state=values.state,
            status=values.status,
            record_type=getattr(values, "record_type", None),
            account_id=values.account_id,
            contact_id=values.contact_id,
            opportunity_id=values.opportunity_id,
            converted_at=values.converted_at,
        )

    # --- Writer ---------------------------------------------------------------------------------------------------

    batch_size: int = 200
    moves_at_once: int = 200
    apart: Mapping[Entity, frozenset[str]] = {}

    def chosen_id(self, partner_org: str, partner_id: str, generation: int) -> str | None:
        del partner_org, partner_id, generation
        return None

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        self._beat()
        return [self.before_write(write) or self._write(write) for write in writes]

    def _write(self, write: Write) -> Outcome:
        self.calls[write.entity, write.kind] += 1
        return self._create(write) if write.kind == "create" else self._update(write)

    def _create(self, write: Write) -> Outcome:
        # What lies in the recycle bin keeps neither key nor id from being used again.
        living = {id: each for id, each in self.tables[write.entity].items() if not each.deleted}
        twin = next((each for each in living.values() if write.key and each.key == write.key), None)
        twin = twin or living.get(write.id or "")
        if twin is not None:
            return Written(id=twin.id, row=self._row(write.entity, twin), adopted=True)
        if not write.columns.get(REQUIRED[write.entity]):
            return _blank(write.entity)
        record = self._insert(write.entity, write.columns, by=US, key=write.key, record_id=write.id)
        return Written(id=record.id, row=self._row(write.entity, record), created=True)

    def _update(self, write: Write) -> Outcome:
        record = self.tables[write.entity].get(write.id or "")
        if record is None or record.deleted:
            return Refused(code="NOT_FOUND", message="there is no such record")
        if write.version is not None and write.version != str(record.version):
            return Stale(message="the record was changed by somebody else")
        if REQUIRED[write.entity] in write.columns and not write.columns[REQUIRED[write.entity]]:
            return _blank(write.entity)
        before = self._row(write.entity, record)
        if write.columns or write.key is not None:
            record.key = write.key or record.key
            self._save(record, write.columns, by=US)
        row = self._row(write.entity, record)
        return Written(id=record.id, row=row, before=before, columns=tuple(write.columns))

    # --- LifeCycle ------------------------------------------------------------------------------------------------

    def convert(self, order: Conversion) -> Outcome:
        self.calls["lead", "convert"] += 1
        return self._convert(order, by=US)

    def converted(self, lead_id: str) -> Outcome | None:
        lead = self.tables["lead"].get(lead_id)
        if lead is None or lead.columns.get("state") != "converted":
            return None
        return _converted(lead)

    def left_behind(self, lead_id: str) -> Converted | None:
        lead = self.tables["lead"].get(lead_id)
        made: dict[Entity, str | None] = {
            entity: next(
                (one.id for one in self.tables[entity].values() if one.columns.get("lead_id") == lead_id), None
            )
            for entity in ("account", "contact", "opportunity")
        }
        if lead is None or lead.columns.get("state") == "converted":
            return None
        columns = lead.columns
        tied = columns.get("opportunity_id") or (columns.get("account_id") and columns.get("contact_id"))
        if not tied and not any(made.values()):
            return None
        return replace(_converted(lead), **{f"{entity}_id": id for entity, id in made.items() if id is not None})

    def _convert(self, order: Conversion, *, by: str) -> Outcome:
        lead = self.tables["lead"].get(order.lead_id)
        if lead is None or lead.deleted:
            return Refused(code="NOT_FOUND", message="there is no such lead")
        if (before := self.converted(order.lead_id)) is not None:
            return before
        if order.lead_version is not None and order.lead_version != str(lead.version):
            return Stale(message="the lead was changed by somebody else")
        given: dict[Entity, str | None] = {
            "account": order.account_id,
            "contact": order.contact_id,
            "opportunity": order.opportunity_id,
        }
        unknown = [entity for entity, each in given.items() if each and each not in self.tables[entity]]
        if unknown:
            return Refused(code="NOT_FOUND", message=f"there is no such {unknown[0]}")
        if order.create_account and not given["account"] and not lead.columns.get("company"):
            return _blank("account")  # nothing was made yet: a conversion is one transaction
        wanted = {
            "account": order.create_account,
            "contact": order.create_contact,
            "opportunity": order.create_opportunity,
        }
        for entity, found in list(given.items()):
            carried = {
                to: lead.columns[name] for name, to in CARRIED[entity].items() if lead.columns.get(name) is not None
            }
            parents = {"account_id": given["account"], "contact_id": given["contact"]}
            if found:
                record = self.tables[entity][found]
                blank = {name: value for name, value in carried.items() if record.columns.get(name) in (None, "")}
                self._save(record, blank, by=by) if blank else None
            elif wanted[entity]:
                carried["lead_id"] = lead.id
                if entity == "opportunity":
                    carried |= {**parents, "name": order.opportunity_name or carried.get("name")}
                elif entity == "contact":
                    carried["account_id"] = given["account"]
                given[entity] = self._insert(entity, carried, by=by).id
        usual = next(status for status, state in self.statuses["lead"].items() if state == "converted")
        ids = {f"{entity}_id": each for entity, each in given.items()}
        done = {"state": "converted", "status": str(order.status or usual), "converted_at": self._clock()}
        self._save(lead, {**done, **ids}, by=by)
        return replace(_converted(lead), adopted=False)

    def moves(self, orders: Sequence[Move]) -> list[Outcome]:
        return [self.move(order) for order in orders]

    def move(self, order: Move) -> Outcome:
        columns = dict(order.columns)
        if order.status is not None:
            columns |= self._state(order.entity, str(order.status))
        if order.kind == "win" and order.actual_value is not None:
            columns.setdefault("amount", order.actual_value)
        write = Write(kind="update", entity=order.entity, id=order.id, version=order.version, columns=columns)
        return self.before_write(write) or self._write(write)

    def remove(self, order: Removal) -> Outcome:
        self.calls[order.entity, order.kind] += 1
        table = self.tables[order.entity]
        record, stays = table.get(order.id), table.get(order.into or "")
        if record is None or record.deleted:
            return Written(id=order.id, adopted=True)
        if order.version is not None and order.version != str(record.version):
            return Stale(message="the record was changed by somebody else")
        if order.kind == "deactivate":
            self._save(record, {"statecode": 1}, by=US)
            return Written(id=record.id, row=self._row(order.entity, record))
        if order.kind == "delete":
            self.delete(order.entity, order.id, by=US)
            return Written(id=order.id)
        if stays is None or stays.deleted or stays.columns.get("state") == "converted":
            return Refused(code="NOT_POSSIBLE", message="there is no such record to merge it into")
        for each in (one for table in self.tables.values() for one in table.values() if not one.deleted):
            moved = {name: stays.id for name in LOOKUPS[order.entity] if each.columns.get(name) == order.id}
            self._save(each, moved, by=US) if moved else None
        self.merge(order.entity, order.id, stays.id, by=US)
        return Written(id=order.id)

    # --- Describer ------------------------------------------------------------------------------------------------

    def identity(self) -> Identity:
        return Identity(org_id=f"org-{self.name}", user_id=US, production=False, name=self.name)

    def directory(self, *, groups: bool = False) -> Directory:
        ids = {email: user for user, email in self._users.items()}
        named, by_word = groups_of(
            "queue" if self._side == "left" else "team", ((name, (name,)) for name in self.groups) if groups else ()
        )
        return Directory(
            users=self._users,
            user_ids=ids,
            groups=named,
            group_ids=by_word,
            default_owner=US,
            currency="USD",
            currencies={"USD": "USD"},
        )

    def describe(self, entity: Entity) -> Description:
        names = dict.fromkeys(name for each in self.tables[entity].values() for name in each.columns)
        if entity in self._plans:
            names |= dict.fromkeys(self._plans[entity].columns)
        required = REQUIRED[entity]
        return Description(
            entity=entity,
            table=entity,
            columns={name: Column(name=name, type="text", required=name == required) for name in (required, *names)},
            statuses=tuple(
                Option(value=each, label=each.title(), state=state)
                for each, state in self.statuses.get(entity, {}).items()
            ),
            key_field=True,
        )

    # --- inside ---------------------------------------------------------------------------------------------------

    def _insert(
        self,
        entity: Entity,
        columns: Mapping[str, Any],
        *,
        by: str,
        key: str | None = None,
        record_id: str | None = None,
    ) -> Record:
        moment = self._clock()
        record_id = record_id or f"{self.name}-{entity}-{next(self._numbers)}"
        plain = {name: _plain(value) for name, value in columns.items()}
        if entity in self.statuses:
            first = next(iter(self.statuses[entity]))
            plain = {**self._state(entity, plain.get("status") or first), **plain}
        record = Record(
            id=record_id,
            columns=plain,
            created_at=moment,
            modified_at=moment,
            modified_by=by,
            seen=next(self._order),
            key=key,
        )
        self.tables[entity][record_id] = record
        return record

    def _save(self, record: Record, columns: Mapping[str, Any], *, by: str) -> None:
        record.columns |= {name: _plain(value) for name, value in columns.items()}
        record.version += 1
        record.modified_at, record.modified_by, record.seen = self._clock(), by, next(self._order)

    def _state(self, entity: Entity, status: str) -> dict[str, str]:
        return {"status": status, "state": self.statuses[entity].get(status, "open")}

    def _row(self, entity: Entity, record: Record) -> Row:
        plan = self._plans[entity]
        names = dict.fromkeys([*self.system_columns(entity), *plan.columns])
        values = {attribute_name(name): record.columns.get(name) for name in names}
        return Row(
            ref=Ref(side=self._side, entity=entity, id=record.id),
            version=str(record.version),
            created_at=record.created_at,
            modified_at=record.modified_at,
            modified_by=record.modified_by,
            deleted=record.deleted,
            merged_into=record.merged_into,
            key=record.key,
            values=None if record.deleted else plan.row_type(**values),
        )


def _converted(lead: Record) -> Converted:
    return Converted(
        lead_id=lead.id,
        account_id=lead.columns.get("account_id"),
        contact_id=lead.columns.get("contact_id"),
        opportunity_id=lead.columns.get("opportunity_id"),
        adopted=True,
    )


def _plain(value: Any) -> Any:
    return value.id if isinstance(value, NativeRef) else value


def _blank(entity: Entity) -> Refused:
    column = REQUIRED[entity]
    return Refused(code="REQUIRED_BLANK", message=f"{column} must not be blank", fields=(column,))

"""Two whole companies in memory, the real engine and a real store between them, and partners that lie when told to.

`north` behaves as Salesforce does where the engine could notice (a lead's only flag is "converted", and then it is
read-only; a conversion needs an account), `south` as Dynamics does (flags for every state, won and lost meet only
through open, rows tell the lead they were made from, ids are chosen by who creates).
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, cast
from uuid import NAMESPACE_OID, uuid5

import mapping
from connectors.base import Conversion, Identity, Known, Move, Page, Removal, TablePlan, Write
from connectors.memory import PERSON, US, MemoryConnector, Record
from connectors.rollcall import Absent
from crmbridge.errors import TryLater
from crmbridge.lifecycle.powers import DYNAMICS, SALESFORCE
from crmbridge.model import (
    ENTITIES,
    Converted,
    Entity,
    Later,
    Life,
    Link,
    Native,
    Outcome,
    Refused,
    Row,
    Side,
    Stale,
    State,
    Unknown,
    Written,
)
from crmbridge.state.store import Store
from crmbridge.state.words import Issue
from crmbridge.sync import Engine, Options
from crmbridge.sync import Outcome as Ran

MAPPINGS: Final[Mapping[str, str]] = {
    "account.yaml": """
entity: account
north: {table: account}
south: {table: account}
match: [[website, name], [name, city]]
fields:
  name: {north: name, south: name, required: true}
  website: {north: website, south: website}
  city: {north: city, south: city}
  phone: {north: phone, south: phone}
  parent: {north: parent_id, south: parent_id, link: account}
""",
    "contact.yaml": """
entity: contact
north: {table: contact}
south: {table: contact}
match: [[email, last_name], [first_name, last_name, account]]
fields:
  first_name: {north: first_name, south: first_name}
  last_name: {north: last_name, south: last_name, required: true}
  email: {north: email, south: email, convert: email}
  phone: {north: phone, south: phone}
  city: {north: city, south: city}
  account: {north: account_id, south: account_id, link: account}
  no_calls: {north: no_calls, south: no_calls, convert: boolean, restrictive: true}
""",
    "lead.yaml": """
entity: lead
north: {table: lead}
south: {table: lead}
match: [[email, last_name], [last_name, company, city]]
fields:
  first_name: {north: first_name, south: first_name}
  last_name: {north: last_name, south: last_name, required: true}
  company: {north: company, south: company}
  email: {north: email, south: email, convert: email}
  phone: {north: phone, south: phone}
  city: {north: city, south: city}
  rating: {north: rating, south: rating}
  no_calls: {north: no_calls, south: no_calls, convert: boolean, restrictive: true}
  owner: {north: owner_id, south: owner_id, convert: user}
status:
  new: {state: open, north: New, south: new}
  contacted: {state: open, north: [Working, Nurturing], south: contacted}
  converted: {state: converted, north: Converted, south: qualified}
  lost: {state: disqualified, north: Unqualified, south: lost}
  cannot_contact: {state: disqualified, north: Unqualified, south: cannot contact, lossy: north}
  no_longer_interested: {state: disqualified, north: Unqualified, south: no longer interested, lossy: north}
  canceled: {state: disqualified, north: Unqualified, south: canceled, lossy: north}
""",
    "opportunity.yaml": """
entity: opportunity
north: {table: opportunity}
south: {table: opportunity}
match: [[account, name, amount], [account, name, close_date]]
fields:
  name: {north: name, south: name, required: true}
  account: {north: account_id, south: account_id, link: account}
  contact: {north: contact_id, south: contact_id, link: contact}
  amount: {north: amount, south: {column: estimated, won: actual}, convert: money}
  close_date: {north: close_date, south: {column: estimated_date, won: actual_date}, convert: date}
  description: {north: description, south: description}
  owner: {north: owner_id, south: owner_id, convert: user}
stage:
  qualify: {state: open, north: [Prospecting, Qualification], south: qualify}
  develop: {state: open, north: Analysis, south: develop}
  propose: {state: open, north: Proposal, south: propose}
  won: {state: won, north: Closed Won, south: won}
  canceled: {state: lost, north: Closed Lost, south: canceled}
  out_sold: {state: lost, north: Closed Lost, south: out-sold, lossy: north}
""",
}

NORTH_STATUSES: Final[Mapping[Entity, Mapping[str, State]]] = {
    "lead": {
        "New": "open",
        "Working": "open",
        "Nurturing": "open",
        "Converted": "converted",
        "Unqualified": "disqualified",
    },
    "opportunity": {
        "Prospecting": "open",
        "Qualification": "open",
        "Analysis": "open",
        "Proposal": "open",
        "Closed Won": "won",
        "Closed Lost": "lost",
    },
}
SOUTH_STATUSES: Final[Mapping[Entity, Mapping[str, State]]] = {
    "lead": {
        "new": "open",
        "contacted": "open",
        "qualified": "converted",
        "lost": "disqualified",
        "cannot contact": "disqualified",
        "no longer interested": "disqualified",
        "canceled": "disqualified",
    },
    "opportunity": {
        "qualify": "open",
        "develop": "open",
        "propose": "open",
        "won": "won",
        "canceled": "lost",
        "out-sold": "lost",
    },
}
USERS: Final = {US: "sync@example.com", PERSON: "person@example.com", "user-ada": "ada@example.com"}

# What a partner may do to one call of ours. `lose` does it and loses the answer; `drop` does not do it and loses the
# answer; `fall before` and `fall after` break the whole run off, as a kill would; `meddle` is a person who edits the
# record before we read it back, `unseen` one who did just before, in the same second, which the version does not tell.
Lie = Literal[
    "refuse", "refuse values", "lose", "drop", "later", "stale", "fall before", "fall after", "meddle", "unseen"
]
Liar = Callable[[str, Entity, str | None], Lie | None]


class Fell(TryLater):
    """The run breaks off here."""


def _honest(kind: str, entity: Entity, id: str | None) -> Lie | None:
    del kind, entity, id


class Crm(MemoryConnector):
    """A system with people in it, whose answers to us may be lies."""

    def __init__(self, name: str, side: Side, statuses: Mapping[Entity, Mapping[str, State]], **more: Any) -> None:
        super().__init__(name, side, statuses=statuses, users=USERS, **more)
        self.lies: Liar = _honest
        self.doubtful: Counter[tuple[Entity, str]] = Counter()  # calls about a record whose answer never came
        self.meddled = 0
        self.unheard: set[tuple[Entity, str]] = set()  # made by us, and we do not know it yet
        self.ours: list[tuple[str, Entity, str]] = []  # what calls of ours really did: kind, entity, id

    # --- people ---------------------------------------------------------------------------------------------------

    def set_status(self, entity: Entity, id: str, status: str, *, by: str = PERSON, **columns: Any) -> None:
        self.edit(entity, id, by=by, **self._state(entity, status), **columns)

    def restore(self, entity: Entity, id: str) -> None:
        self.tables[entity][id].deleted = False
        self.edit(entity, id)

    def read(self, entity: Entity, id: str) -> dict[str, Any]:
        return self.tables[entity][id].columns

    def live(self, entity: Entity) -> list[Record]:
        return [one for one in self.tables[entity].values() if not one.deleted]

    def meddle(self, entity: Entity, id: str) -> None:
        """Somebody's edit right after ours."""
        record = self.tables[entity][id]
        if not record.deleted and record.columns.get("state") != "converted":
            self.meddled += 1
            field = "description" if entity == "opportunity" else "phone"
            self.edit(entity, id, **{field: f"by hand {self.meddled}"})

    @contextmanager
    def same_second(self, entity: Entity, id: str) -> Iterator[None]:
        """What is edited in here is edited in the second in which the record was last saved: no version tells."""
        record = self.tables[entity][id]
        version, moment = record.version, record.modified_at
        yield
        record.version, record.modified_at = version, moment

    # --- us -------------------------------------------------------------------------------------------------------

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        return [
            self._told(one.kind, one.entity, one.id, lambda one=one: super(Crm, self).write([one])[0]) for one in writes
        ]

    def move(self, order: Move) -> Outcome:
        return self._told(order.kind, order.entity, order.id, lambda: self._moved(order))

    def convert(self, order: Conversion) -> Outcome:
        return self._told("convert", "lead", order.lead_id, lambda: super(Crm, self).convert(order))

    def remove(self, order: Removal) -> Outcome:
        return self._told(order.kind, order.entity, order.id, lambda: super(Crm, self).remove(order))

    def _moved(self, order: Move) -> Outcome:
        return super().move(order)

    def _told(self, kind: str, entity: Entity, id: str | None, do: Callable[[], Outcome]) -> Outcome:
        lie = self.lies(kind, entity, id)
        if lie in ("lose", "drop", "fall before", "fall after") and id is not None:
            self.doubtful[entity, id] += 1
        match lie:
            case "refuse":
                return Refused(code="RULE", message="a rule of ours does not allow it")
            case "refuse values":
                return Refused(code="VALUES", message="too long", lasting=True)
            case "later":
                return Later(message="too many requests")
            case "stale":
                return Stale(message="somebody else saved it just now")
            case "drop":
                return Unknown(message="the connection broke")
            case "lose":
                self._unheard(self._done(kind, entity, do()), id, entity)
                return Unknown(message="the connection broke")
            case "fall before":
                raise Fell("the machine went down")
            case "fall after":
                self._unheard(self._done(kind, entity, do()), id, entity)
                raise Fell("the machine went down")
            case "meddle":
                outcome = self._done(kind, entity, do())
                if isinstance(outcome, Written):
                    self.meddle(entity, outcome.id)
                return outcome
            case "unseen":
                if id is not None:
                    with self.same_second(entity, id):
                        self.meddle(entity, id)
                return self._done(kind, entity, do())
            case None:
                return self._done(kind, entity, do())

    def _unheard(self, outcome: Outcome, id: str | None, entity: Entity) -> None:
        if isinstance(outcome, Written) and id is None:
            self.unheard.add((entity, outcome.id))

    def _done(self, kind: str, entity: Entity, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Written) and not outcome.adopted:
            self.ours.append((kind, entity, outcome.id))
        if isinstance(outcome, Converted) and not outcome.adopted:
            self.ours.append((kind, entity, outcome.lead_id))
        return outcome


class SalesforceLike(Crm):
    """What a Salesforce org does, as far as the engine could notice (lifecycle §1, §2)."""

    def life(self, row: Row) -> Life:
        life = replace(super().life(row), origin_lead_id=None)  # only the lead names its rows
        if row.ref.entity == "lead" and life.state != "converted":
            return Life(status=life.status)  # the only flag is IsConverted
        return life

    def _told(self, kind: str, entity: Entity, id: str | None, do: Callable[[], Outcome]) -> Outcome:
        outcome = super()._told(kind, entity, id, do)
        return replace(outcome, row=None) if isinstance(outcome, Written) else outcome  # it answers with ids alone

    def _update(self, write: Write) -> Outcome:
        record = self.tables[write.entity].get(write.id or "")
        if write.entity == "lead" and record is not None and record.columns.get("state") == "converted":
            return Refused(code="CANNOT_UPDATE_CONVERTED_LEAD", message="a converted lead is read-only")
        return super()._update(write)

    def _convert(self, order: Conversion, *, by: str) -> Outcome:
        """It always makes or takes an account and a contact, and they must belong together."""
        contact = self.tables["contact"].get(order.contact_id or "")
        if contact is not None and contact.columns.get("account_id") != order.account_id:
            return Refused(code="INVALID_CONTACT", message="the contact belongs to another account")
        deal = self.tables["opportunity"].get(order.opportunity_id or "")
        if deal is not None and deal.columns.get("account_id") != order.account_id:
            return Refused(code="INVALID_OPPORTUNITY", message="the opportunity belongs to another account")
        return super()._convert(replace(order, create_account=True, create_contact=True), by=by)

    def alike(self, entity: Entity, wanted: Sequence[Native]) -> tuple[list[list[Row]], datetime | None]:
        self.calls[entity, "query"] += 1
        found = [
            [
                self._row(entity, one)
                for one in self.live(entity)
                if all(
                    str(one.columns.get(name) or "").casefold() == str(getattr(value, "id", value)).casefold()
                    for name, value in columns.items()
                )
            ]
            for columns in wanted
        ]
        return found, self._clock()

    def made_since(self, entity: Entity, user_id: str, since: datetime) -> list[Row]:
        self.calls[entity, "query"] += 1
        made = {id for kind, of, id in self.ours if kind == "create" and of == entity} if user_id == US else set[str]()
        return [self._row(entity, one) for one in self.live(entity) if one.id in made and one.created_at >= since]


class Keyless(SalesforceLike):
    """An org whose administrator added no key field: nothing keeps a create that is repeated from doubling."""

    key_field = None

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        return super().write([replace(one, key=None) for one in writes])


class WithPersons(SalesforceLike):
    """An org with person accounts, each an account and a contact in one; a lead without a company becomes one."""

    def system_columns(self, entity: Entity) -> Mapping[str, type[Any]]:
        more = {"person": bool, "half": str} if entity in ("account", "contact") else {}
        return {**super().system_columns(entity), **more}

    def identity(self) -> Identity:
        return replace(super().identity(), person_accounts=True)

    def life(self, row: Row) -> Life:
        life = super().life(row)
        if not getattr(row.values, "person", False):
            return life
        other = "contact_id" if row.ref.entity == "account" else "account_id"
        return replace(life, person_account=True, **{other: row.values.half})

    def add_person(self, last_name: str, **columns: Any) -> tuple[str, str]:
        account = self.add("account", name=last_name, person=True)
        contact = self.add("contact", last_name=last_name, account_id=account, person=True, half=account, **columns)
        self.edit("account", account, half=contact)
        return account, contact

    def _create(self, write: Write) -> Outcome:
        outcome = super()._create(write)
        if not write.as_person or not isinstance(outcome, Written) or outcome.adopted:
            return outcome
        account = self._insert(
            "account", {"name": write.columns["last_name"], "person": True, "half": outcome.id}, by=US
        )
        contact = self.tables["contact"][outcome.id]
        self._save(contact, {"account_id": account.id, "person": True, "half": account.id}, by=US)
        return replace(outcome, row=self._row("contact", contact))

    def _update(self, write: Write) -> Outcome:
        record = self.tables[write.entity].get(write.id or "")
        if record is not None and record.columns.get("person") and "account_id" in write.columns:
            return Refused(code="INVALID_FIELD_FOR_INSERT_UPDATE", message="AccountId", fields=("account_id",))
        return super()._update(write)

    def _convert(self, order: Conversion, *, by: str) -> Outcome:
        lead = self.tables["lead"][order.lead_id].columns
        given = self.tables["account"].get(order.account_id or "")
        if given is not None and given.columns.get("person"):
            if order.contact_id is not None:
                return Refused(code="INVALID_CONTACT", message="a person account is given alone")
            order = replace(order, contact_id=given.columns["half"])
        alone = order.account_id is None and (order.as_person or not lead.get("company"))
        if alone:
            lead["company"] = lead["last_name"]  # what it makes is called so
        outcome = super()._convert(order, by=by)
        if isinstance(outcome, Converted) and alone:
            ends: tuple[tuple[Entity, str | None], ...] = (
                ("account", outcome.account_id),
                ("contact", outcome.contact_id),
            )
            for (entity, id), (_, half) in zip(ends, ends[::-1], strict=True):
                self._save(self.tables[entity][id or ""], {"person": True, "half": half}, by=by)
            self._save(self.tables["lead"][order.lead_id], {"company": None}, by=by)
        return outcome


class DynamicsLike(Crm):
    """What a Dynamics environment does, as far as the engine could notice (lifecycle §1, §2)."""

    key_field = None

    def chosen_id(self, partner_org: str, partner_id: str, generation: int) -> str | None:
        return str(uuid5(NAMESPACE_OID, f"{partner_org}:{partner_id}:{generation}"))

    def system_columns(self, entity: Entity) -> Mapping[str, type[Any]]:
        more = {"on_hold": bool, "customer": str, "calculated": bool} if entity == "opportunity" else {}
        return {**super().system_columns(entity), **more}

    may_read_all = True  # the right to read is at the organization level
    expired: frozenset[str] = frozenset()  # tables whose change feed can only be begun anew
    hidden: frozenset[str] = frozenset()  # ids of what is there, out of our user's sight

    def changes(self, source: str, cursor: str | None) -> Iterator[Page]:
        anew = source in self.expired and cursor is not None
        self.expired -= {source}
        newest = max((one.seen for one in self.tables[cast("Entity", source)].values()), default=0)
        for number, page in enumerate(super().changes(source, None if anew else cursor)):
            page = replace(page, rows=[row for row in page.rows if row.ref.id not in self.hidden])
            # Deletions of before its beginning are never told.
            yield replace(page, full=not number, cursor=str(newest) if page.last else page.cursor) if anew else page

    def fetch(self, entity: Entity, ids: Sequence[str]) -> dict[str, Row]:
        return super().fetch(entity, [id for id in ids if id not in self.hidden])

    def known_since(self, entity: Entity, since: datetime, settled: timedelta) -> Iterator[list[Known]]:
        """A deletion is told by its change feed alone, once."""
        for page in super().known_since(entity, since, settled):
            yield [one for one in page if not one.deleted]

    def absent(self, entity: Entity, ids: Sequence[str]) -> Absent:
        self.calls[entity, "roll"] += 1
        known = self.tables[entity]
        missing = frozenset(id for id in ids if id in self.hidden or id not in known or known[id].deleted)
        return Absent(ids=missing, proof="all may be read" if missing and self.may_read_all else "")

    def life(self, row: Row) -> Life:
        life = super().life(row)
        if row.ref.entity != "opportunity" or row.values is None:
            return life
        return replace(
            life,
            on_hold=bool(row.values.on_hold),
            customer_is_contact=row.values.customer == "contact",
            amount_calculated=bool(row.values.calculated),
        )

    def _moved(self, order: Move) -> Outcome:
        record = self.tables[order.entity][order.id]
        now, to = record.columns["state"], self.statuses[order.entity].get(str(order.status), "open")
        if "open" not in (now, to) and now != to:  # lifecycle §2: won and lost, 1 and 2 meet only through open
            return Refused(code="INVALID_STATE", message=f"it cannot go from {now} to {to}")
        if to in ("won", "lost") and order.kind not in ("win", "lose", "status"):
            return Refused(code="USE_THE_MESSAGE", message="use the message of its own for this")
        if order.kind == "win":
            given = {"actual": order.actual_value, "actual_date": order.actual_date and order.actual_date.date()}
            columns = {name: value for name, value in given.items() if value is not None}
            order = replace(order, columns={**columns, **order.columns}, actual_value=None)
        return super()._moved(order)

    def _convert(self, order: Conversion, *, by: str) -> Outcome:
        """An opportunity cannot be given: it is named afterwards, which comes to the same."""
        outcome = super()._convert(order, by=by)
        if isinstance(outcome, Converted) and order.opportunity_id and not outcome.adopted:
            self._save(self.tables["opportunity"][order.opportunity_id], {"lead_id": order.lead_id}, by=by)
        return outcome


# --- the bench ----------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Bench:
    north: SalesforceLike
    south: DynamicsLike
    store: Store
    engine: Engine
    clock: "_Clock"
    ran: list[Ran] = field(default_factory=list)

    def sync(self, *, approve_all: bool = True) -> Ran:
        self.ran.append(self.engine.sync(approve_all=approve_all))
        return self.ran[-1]

    def settled(self, rounds: int = 4) -> None:
        """Cycles until nothing is left to do."""
        for _ in range(rounds):
            self.sync()
            if not wanted(self.engine.plan()):
                return
        raise AssertionError(f"still busy after {rounds} cycles: {wanted(self.engine.plan())}")

    def open_store(self, url: str) -> Store:
        """Another store, or this one again after its file was put back."""
        store = Store.open(url)
        store.configure(_configure({"left": self.north, "right": self.south}, self.engine.compiled))
        return store

    def pass_days(self, days: int) -> None:
        self.clock.now += timedelta(days=days)

    def crm(self, side: Side) -> Crm:
        return self.north if side == "left" else self.south

    def link(self, side: Side, entity: Entity, id: str) -> Link | None:
        return self.store.links_by_native(side, entity, [id]).get(id)

    def partner(self, side: Side, entity: Entity, id: str) -> str | None:
        link = self.link(side, entity, id)
        return link.id_on("right" if side == "left" else "left") if link and link.alive else None

    def issues(self, cause: str | None = None) -> list[Issue]:
        return self.store.open_issues(cause=cause)

    def causes(self) -> set[str]:
        return {issue.cause for issue in self.store.open_issues()}

    def cases(self) -> set[str]:
        """Rows of the life-cycle tables that the last run took as a step."""
        return {event.cause for event in self.ran[-1].events if event.cause}

    def lead_pair(self, **columns: Any) -> tuple[str, str]:
        """An open lead that both sides have."""
        n = len(self.north.tables["lead"])
        columns = {"last_name": f"Person{n}", "company": f"Company{n}", "email": f"p{n}@c{n}.example", **columns}
        left = self.north.add("lead", **columns)
        self.settled()
        return left, self.must(left, "lead")

    def deal_pair(self, **columns: Any) -> tuple[str, str]:
        """An opportunity with its account that both sides have."""
        n = len(self.north.tables["opportunity"])
        account = columns.pop("account_id", None) or self.north.add("account", name=f"Customer{n}", city="Ulm")
        left = self.north.add("opportunity", **{"name": f"Deal{n}", "account_id": account, **columns})
        self.settled()
        return left, self.must(left, "opportunity")

    def must(self, id: str, entity: Entity, side: Side = "left") -> str:
        partner = self.partner(side, entity, id)
        assert partner is not None, f"{side} {entity} {id} has no partner"
        return partner


def wanted(ran: Ran) -> dict[tuple[str, str, str], int]:
    """What a plan would write."""
    return {place: n for place, n in ran.counts.items() if n}


@contextmanager
def bench(
    url: str,
    *,
    mappings: Mapping[str, str] | None = None,
    options: Options | None = None,
    first_run: bool = False,
    keyless: bool = False,
    persons: bool = False,
    groups: Mapping[Side, tuple[str, ...]] | None = None,
) -> Iterator[Bench]:
    """`keyless`: north has no key field. `persons`: it has person accounts. `groups`: queues or teams that may own.
    `first_run`: nothing was ever synced; else the first runs are behind us and both companies are empty."""
    clock = _Clock()
    kind = Keyless if keyless else WithPersons if persons else SalesforceLike
    north = kind("north", "left", NORTH_STATUSES, clock=clock)
    south = DynamicsLike("south", "right", SOUTH_STATUSES, clock=clock)
    north.groups, south.groups = (groups or {}).get("left", ()), (groups or {}).get("right", ())
    documents, findings = mapping.load(
        {**MAPPINGS, **(mappings or {})}, connections={"north": "memory", "south": "memory"}
    )
    assert not findings, findings
    compiled = mapping.compile(documents)
    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).write_bytes(_empty_store())
    store = Store.open(url)
    try:
        store.configure(_configure({"left": north, "right": south}, compiled))
        engine = Engine(
            store=store,
            connectors={"left": north, "right": south},
            names={"left": "north", "right": "south"},
            compiled=compiled,
            powers={"left": SALESFORCE, "right": DYNAMICS},
            options=options or Options(),
            sleep=lambda seconds: None,
        )
        made = Bench(north=north, south=south, store=store, engine=engine, clock=clock)
        if not first_run:
            made.sync()
        yield made
    finally:
        store.close()


@cache
def _empty_store() -> bytes:
    """A store's file as it is when new: making one costs more than most tests."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.sqlite3"
        Store.open(f"sqlite:///{path}").close()
        return path.read_bytes()


class _Clock:
    """One clock for both companies; ten minutes go by between two looks: no two edits are the same moment."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(minutes=10)
        return self.now


def _configure(crms: Mapping[Side, Crm], compiled: "mapping.Compiled") -> dict[tuple[Side, Entity], type[Any]]:
    types: dict[tuple[Side, Entity], type[Any]] = {}
    for side, crm in crms.items():
        plans: list[TablePlan] = []
        for entity in ENTITIES:
            one = compiled.entities[entity]
            columns = one.columns(side)
            row_type = mapping.row_struct(f"{side}_{entity}", {**crm.system_columns(entity), **columns})
            types[side, entity] = row_type
            plans.append(TablePlan(entity=entity, table=one.table(side), columns=tuple(columns), row_type=row_type))
        crm.configure(plans)
    return types

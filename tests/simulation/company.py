"""Two companies' CRMs: the sandbox's own core, a journal of every change of a row, and who made it.

The journal is the simulation's own knowledge. It is taken at the CRMs' stores, below every API, so that what is checked
at the end does not rest on what crmbridge says about itself.
"""

import random
import re
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from crmbridge.model import Entity, Side
from crmbridge.sandbox.core import Reply, Request
from crmbridge.sandbox.dynamics.errors import DataverseError
from crmbridge.sandbox.faults import Service
from crmbridge.sandbox.sandbox import Sandbox
from tests.simulation.blocks import Blocks
from tests.simulation.scheduler import VirtualClock

Row = Mapping[str, Any]
Crm = Literal["salesforce", "dynamics"]

SIDE: Final[Mapping[str, Side]] = {"salesforce": "left", "dynamics": "right"}
CRM: Final[Mapping[Side, Crm]] = {"left": "salesforce", "right": "dynamics"}
TABLES: Final[Mapping[Side, Mapping[Entity, str]]] = {
    "left": {"account": "Account", "contact": "Contact", "lead": "Lead", "opportunity": "Opportunity"},
    "right": {"account": "account", "contact": "contact", "lead": "lead", "opportunity": "opportunity"},
}
ENTITY: Final[Mapping[str, Entity]] = {name: entity for tables in TABLES.values() for entity, name in tables.items()}
_PAGES: Final = "odata.maxpagesize="
_ROWS: Final = re.compile(r"(?:batchSize|odata\.maxpagesize)\s*=\s*(\d+)")
PEOPLE: Final = ("ada@example.com", "bo@example.com")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One row as it was and as it became; None: it was not there, or is not any more."""

    at: float
    actor: str  # "ada", "worker 1", "automation"
    call: int  # number of the request that did it
    side: Side
    table: str
    id: str
    before: Row | None
    after: Row | None

    @property
    def ours(self) -> bool:
        return self.actor.startswith("worker")


@dataclass(kw_only=True)
class Company:
    sandbox: Sandbox
    clock: VirtualClock
    tokens: dict[Side, str]
    changes: list[Change] = field(default_factory=list)
    watchers: list[Callable[[str, Service, Request, Reply, list[Change]], None]] = field(default_factory=list)
    calls: int = 0
    blocks: Blocks = field(default_factory=Blocks)
    poison: frozenset[str] = frozenset()  # rows on Dynamics that a plug-in lets nobody of ours save
    refused: int = 0
    page_rows: int | None = None  # rows that a page has at most; None: as many as the caller wants
    gateway: Callable[[str, Service, Request, Reply], Reply] = lambda actor, service, request, reply: reply
    _actor: str = "nobody"
    _bare: dict[Side, tuple[Callable[..., None], Callable[..., None]]] = field(default_factory=dict[Side, Any])

    @classmethod
    def found(cls, clock: VirtualClock, rng: random.Random) -> "Company":
        sandbox = Sandbox("empty", clock=clock, rng=rng)
        tokens: dict[Side, str] = {
            side: sandbox.crms[crm].login_as(PEOPLE[0])["access_token"] for side, crm in CRM.items()
        }
        for crm in CRM.values():
            sandbox.crms[crm].login_as(PEOPLE[1])
        company = cls(sandbox=sandbox, clock=clock, tokens=tokens)
        company._watch()
        return company

    # --- calls ----------------------------------------------------------------------------------------------------

    def commit(self, actor: str, service: Service, request: Request) -> Reply:
        """What the server does with one request, at this moment."""
        self.calls += 1
        self._actor = actor
        first = len(self.changes)
        reply = self.sandbox.commit(service, request)
        assert reply.status != 500 or b"The sandbox itself failed" not in reply.body, reply.body
        made = self.changes[first:]
        for watcher in self.watchers:
            watcher(actor, service, request, reply, made)
        return self.gateway(actor, service, request, reply)

    def in_pages(self, service: Service, request: Request) -> Request:
        """A page size is a wish, and a server may give fewer: in small companies that is what makes pages at all."""
        if self.page_rows is None or service == "identity" or request.method != "GET":
            return request
        name, form = ("sforce-query-options", "batchSize=") if service == "salesforce" else ("prefer", _PAGES)
        given = request.header(name)
        wished = _ROWS.search(given)
        rows = min(self.page_rows, int(wished[1])) if wished else self.page_rows
        rest = _ROWS.sub("", given).strip(", ")
        return replace(request, headers={**request.headers, name: ", ".join(filter(None, (rest, f"{form}{rows}")))})

    # --- rows -----------------------------------------------------------------------------------------------------

    def rows(self, side: Side, entity: Entity) -> Mapping[str, Row]:
        return self.table(side, TABLES[side][entity])

    def table(self, side: Side, name: str) -> Mapping[str, Row]:
        return self._stores[side].tables.table(name)

    def live(self, side: Side, entity: Entity) -> list[str]:
        rows = self.rows(side, entity)
        return [id for id, row in rows.items() if is_live(side, row)]

    @property
    def _stores(self) -> Mapping[Side, Any]:
        salesforce: Any = self.sandbox.crms["salesforce"]
        dynamics: Any = self.sandbox.crms["dynamics"]
        return {"left": salesforce._store, "right": dynamics.store}

    def _watch(self) -> None:
        """Every put and drop below the CRMs is noted; what a refused request rolls back is taken out again."""
        for side, store in self._stores.items():
            tables = store.tables
            self._bare[side] = (tables.put, tables.drop)
            tables.put = self._noted(side, tables, tables.put)
            tables.drop = self._noted(side, tables, tables.drop)

    def _noted(self, side: Side, tables: Any, do: Callable[..., None]) -> Callable[..., None]:
        def noted(name: str, key: str, row: Row | None = None) -> None:
            before = tables.get(name, key)
            if key in self.poison and self._actor.startswith("worker"):
                self.refused += 1
                raise DataverseError(400, "0x80040265", "A plug-in of this company refuses this record.")
            if row is None:
                do(name, key)
            else:
                do(name, key, row)
            if name in ENTITY or name in BESIDE:
                change = Change(
                    at=self.clock.seconds,
                    actor=self._actor,
                    call=self.calls,
                    side=side,
                    table=name,
                    id=key,
                    before=before,
                    after=row,
                )
                self.changes.append(change)
                tables.on_undo(lambda: self._take_back(change))

        return noted

    def _take_back(self, change: Change) -> None:
        last = self.changes.pop()
        assert last is change, "changes are undone in the order opposite to the one they were made in"

    @contextmanager
    def without(self, side: Side, ids: Collection[str]) -> Generator[None]:
        """These rows are out of sight meanwhile; nobody notes it, for nothing has happened to them."""
        names = TABLES[side].values()
        taken = [(name, id, row) for name in names for id in ids if (row := self.table(side, name).get(id))]
        put, drop = self._bare[side]
        for name, id, _ in taken:
            drop(name, id)
        try:
            yield
        finally:
            for name, id, row in taken:
                put(name, id, row)

    @contextmanager
    def acting(self, actor: str) -> Generator[None]:
        before, self._actor = self._actor, actor
        try:
            yield
        finally:
            self._actor = before


BESIDE: Final = frozenset({"OpportunityContactRole", "opportunityclose"})


def is_live(side: Side, row: Row) -> bool:
    return not row.get("IsDeleted") if side == "left" else not row.get("merged")

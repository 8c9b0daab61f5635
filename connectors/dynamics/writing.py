"""Creates and updates, up to 200 in one $batch, each by itself and with its own condition (dataverse-api §4.2).

A create carries an id that is a function of the partner, so that a repeat finds its own row; an update carries the
version it was planned from. The row comes back with the answer, so the base is what the CRM kept, not what was sent.
"""

import uuid
from collections.abc import Callable, Sequence
from typing import Final

from connectors.base import Write
from connectors.dynamics.client import Client, Reply
from connectors.dynamics.environment import Environment
from connectors.dynamics.protocol import Request, View, as_outcome, create, update
from connectors.dynamics.reading import ByOpportunity, Reading
from connectors.dynamics.rows import TABLES, Rows, with_processes
from crmbridge.errors import OutsideError, RefusedError
from crmbridge.model import Entity, Outcome, Refused, Row, Unknown, Written

writes_per_batch: Final = 200
# Fixed for ever: another namespace would create everything again.
_namespace: Final = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/crmbridge/crmbridge")


def chosen_id(partner_org: str, partner_id: str, generation: int) -> str:
    return str(uuid.uuid5(_namespace, f"{partner_org}:{partner_id}:{generation}"))


class Writing:
    def __init__(
        self, client: Client, environment: Environment, reading: Reading, rows: Callable[[Entity], Rows]
    ) -> None:
        self._client = client
        self._environment = environment
        self._reading = reading
        self._rows = rows

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        assert len(writes) <= writes_per_batch, f"{len(writes)} writes at once"
        outcomes: list[Outcome | None] = [None] * len(writes)
        sent: list[tuple[int, Request]] = []
        for position, write in enumerate(writes):
            if write.kind == "update" and not write.columns:  # a touch would only fire the org's automation
                outcomes[position] = Written(id=str(write.id))
                continue
            try:
                sent.append((position, self._request(write)))
            except RefusedError as error:  # an id that is no GUID: nothing was sent of it
                outcomes[position] = Refused(code=error.code, message=error.message)
        if sent:
            # Where an opportunity stands is told by its process instances: they are read back in the same call.
            ids = [str(writes[at].id) for at, _ in sent if writes[at].entity == "opportunity"]
            beside = self._reading.instance_requests("opportunity", ids) if ids else []
            replies = self._client.write_all([*(request for _, request in sent), *beside], kind="write")
            instances = self._reading.by_opportunity(replies[len(sent) :])
            for (position, _), reply in zip(sent, replies, strict=False):
                assert isinstance(reply, Reply), "a change set among plain writes"
                outcomes[position] = self._outcome(writes[position], reply, instances)
            self._adopt(writes, outcomes)
        return [each if each is not None else Unknown(message="no outcome") for each in outcomes]

    def _request(self, write: Write) -> Request:
        table = TABLES[write.entity]
        facts = self._environment.table(write.entity)
        body = facts.lookups.body(write.columns)
        if "statecode" in body and "statuscode" not in body:  # both are given, always (dataverse-api §4.2)
            body = {**body, "statuscode": facts.default_status(body["statecode"])}
        if write.id is None:
            raise RefusedError(f"A {write.kind} of {table.name} needs the row's id.", code="no_id")
        if write.kind == "create":
            return create(table.set, write.id, body, view=self._view(write.entity), table=table.name)
        return update(table.set, write.id, body, version=write.version, view=self._view(write.entity), table=table.name)

    def _view(self, entity: Entity) -> View:
        return self._rows(entity).view

    def _outcome(self, write: Write, reply: Reply, instances: ByOpportunity | None) -> Outcome | None:
        """None for a create whose row is there already: it is read before anything is said."""
        assert write.id is not None
        if reply.done:
            row = self._row(write.entity, reply.body)
            if row is not None and write.entity == "opportunity":
                row = with_processes(row, instances.get(row.ref.id, {})) if instances is not None else None
            return Written(id=write.id, row=row, created=write.kind == "create")
        if reply.meaning.kind == "exists" and write.kind == "create":
            return None
        return as_outcome(reply.meaning)

    def _row(self, entity: Entity, body: bytes) -> Row | None:
        """The row as it came back; None where the server sent none (it may ignore the preference)."""
        try:
            return self._rows(entity).one(body) if body else None
        except OutsideError:
            return None  # the status line says that it was written; the engine reads the row by itself

    def _adopt(self, writes: Sequence[Write], outcomes: list[Outcome | None]) -> None:
        """Rows that an earlier try of ours made: read by id, in one call."""
        waiting: dict[Entity, list[str]] = {}
        positions = [position for position, outcome in enumerate(outcomes) if outcome is None]
        for position in positions:
            waiting.setdefault(writes[position].entity, []).append(str(writes[position].id))
        if not positions:
            return
        try:
            found = self._reading.fetch_many(waiting)
        except OutsideError as error:
            lost = Unknown(message=f"It is there already, but was not read: {error.message}")
            for position in positions:
                outcomes[position] = lost
            return
        for position in positions:
            write = writes[position]
            row = found[write.entity].get(str(write.id).lower())
            outcomes[position] = _taken if row is None else Written(id=row.ref.id, row=row, adopted=True)


_taken: Final = Refused(
    code="0x80060892",
    message="Another row already has a value that must be unique (an alternate key), or a row with this id exists "
    "that our user cannot see.",
)

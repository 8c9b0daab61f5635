"""Deleting, merging and deactivating one row (dataverse-api §4.2, §4.3, §6.10).

A delete carries the version it was planned from. The Merge action knows none, so both rows are looked at right before.
"""

from typing import Any, Final

from connectors.base import Removal
from connectors.dynamics.client import Client, Reply
from connectors.dynamics.environment import Environment
from connectors.dynamics.protocol import Request, action, as_outcome, reference, row_path, update, url
from connectors.dynamics.reading import Reading
from connectors.dynamics.rows import TABLES
from crmbridge.errors import OutsideError, RefusedError
from crmbridge.model import Later, Outcome, Refused, Stale, Written

INACTIVE: Final = 1  # statecode of accounts and contacts (lifecycle §2)


class Removing:
    def __init__(self, client: Client, environment: Environment, reading: Reading) -> None:
        self._client, self._environment, self._reading = client, environment, reading

    def remove(self, order: Removal) -> Outcome:
        try:
            match order.kind:
                case "delete":
                    return self._outcome(order, self._client.write(self._delete(order)))
                case "deactivate":
                    return self._deactivate(order)
                case "merge":
                    return self._merge(order)
        except RefusedError as error:  # an id that is no GUID: nothing was sent
            return Refused(code=error.code, message=error.message)

    def _delete(self, order: Removal) -> Request:
        table = TABLES[order.entity]
        return Request(
            method="DELETE",
            path=url(row_path(table.set, order.id)),
            headers={"If-Match": order.version} if order.version else {},
            table=table.name,
            kind="delete",
        )

    def _deactivate(self, order: Removal) -> Outcome:
        if order.entity not in ("account", "contact"):
            return Refused(code="NOT_POSSIBLE", message=f"A {order.entity} is closed, not deactivated.")
        table = TABLES[order.entity]
        values = {
            "statecode": INACTIVE,
            "statuscode": self._environment.table(order.entity).default_status(INACTIVE),
        }
        request = update(table.set, order.id, values, version=order.version, table=table.name)
        return self._outcome(order, self._client.write(request))

    def _merge(self, order: Removal) -> Outcome:
        assert order.into is not None
        table = TABLES[order.entity]
        names = [row_path(table.set, each) for each in (order.id, order.into)]  # refuses what is no id
        try:
            rows = self._reading.fetch(order.entity, [order.id.lower(), order.into.lower()])
        except OutsideError as error:
            return Later(message=f"Not sent: {error.message}")
        loser, winner = rows.get(order.id.lower()), rows.get(order.into.lower())
        if loser is None or loser.merged_into is not None:
            return Written(id=order.id, adopted=True)
        if winner is None or winner.merged_into is not None:
            return Refused(code="0x80040217", message=f"There is no {names[1]} to merge it into.")
        if order.version is not None and loser.version != order.version:
            return Stale(message=f"The {order.entity} has changed since the merge was planned.")
        body: dict[str, Any] = {
            "Target": reference(table.name, table.key, order.into),
            "Subordinate": reference(table.name, table.key, order.id),
            "PerformParentingChecks": False,  # the winner keeps its own parent, as it did on the other side
        }
        return self._outcome(order, self._client.write(action("Merge", body, table=table.name, kind="Merge")))

    def _outcome(self, order: Removal, reply: Reply) -> Outcome:
        if reply.done:
            return Written(id=order.id)
        if reply.meaning.kind == "missing" and order.kind != "merge":
            return Written(id=order.id, adopted=True)
        return as_outcome(reply.meaning)

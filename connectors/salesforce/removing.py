"""Deleting and merging one record (salesforce-api §8.3).

Neither call knows a precondition, so the record is looked at right before, the recycle bin included: what is gone by
then is done, and what somebody has changed since stays.
"""

from typing import Final

import msgspec

from connectors.base import Removal
from connectors.http import NotSent
from connectors.salesforce import protocol, soap, soql
from connectors.salesforce.client import Client
from connectors.salesforce.protocol import Call, Meaning, as_outcome
from connectors.salesforce.reader import Reader
from connectors.salesforce.rows import instant_of, version_of
from crmbridge.errors import LostAnswer, OutsideError, TryLater
from crmbridge.model import Later, Outcome, Refused, Stale, Unknown, Written

_columns: Final = ("Id", "IsDeleted", "LastModifiedDate")
_gone: Final = frozenset({"ENTITY_IS_DELETED", "NOT_FOUND"})


class _Look(msgspec.Struct):
    Id: str
    IsDeleted: bool
    LastModifiedDate: str


class _Looks(msgspec.Struct):
    records: list[_Look]


class Removing:
    def __init__(self, client: Client, reader: Reader) -> None:
        self._client, self._reader = client, reader

    def remove(self, order: Removal) -> Outcome:
        if order.kind == "deactivate":
            return Refused(code="NOT_POSSIBLE", message="Salesforce has no inactive records.")
        ids = [id for id in (order.id, order.into) if id is not None]
        if not all(soql.is_id(id) for id in ids) or (order.kind == "merge") != (len(ids) > 1):
            return Refused(code="MALFORMED_ID", message="This is not the id of a Salesforce record.")
        table = self._reader.rows(order.entity).table
        try:
            told = self._look(order, table, [soql.id18(id) for id in ids])
        except (TryLater, LostAnswer, OutsideError) as error:
            return Later(message=f"Not sent: {error.message}")
        return told or (self._merge(order, table) if order.kind == "merge" else self._delete(order, table))

    def _look(self, order: Removal, table: str, ids: list[str]) -> Outcome | None:
        statement = soql.select(_columns, table, soql.any_of("Id", ids))
        answer = self._client.read(protocol.query(statement, table, deleted=True))
        found = {soql.id18(each.Id): each for each in msgspec.json.decode(answer.body, type=_Looks).records}
        missing = [id for id in ids if id not in found]
        if missing:
            return Refused(code="NOT_FOUND", message=f"There is no {table} {missing[0]} (or our user cannot see it).")
        own = found[ids[0]]
        if own.IsDeleted:
            return Written(id=order.id, adopted=True)
        if order.version is not None and version_of(instant_of(own.LastModifiedDate)) != order.version:
            return Stale(message="the record was changed by somebody else")
        if any(each.IsDeleted for each in found.values()):
            return Refused(code="ENTITY_IS_DELETED", message=f"The {table} {ids[1]} to merge it into was deleted.")
        return None

    def _delete(self, order: Removal, table: str) -> Outcome:
        call = protocol.delete(table, soql.id18(order.id))
        try:
            answer = self._client.run(call)
        except (NotSent, TryLater) as error:
            return Later(message=error.message, after_seconds=error.after_seconds)
        except LostAnswer as error:
            return Unknown(message=error.message)
        return self._outcome(order, call, self._client.meaning(answer))

    def _merge(self, order: Removal, table: str) -> Outcome:
        assert order.into is not None
        call = soap.merge(table, soql.id18(order.into), soql.id18(order.id))
        try:
            answer = self._client.run(call)
        except (NotSent, TryLater) as error:
            return Later(message=error.message, after_seconds=error.after_seconds)
        except LostAnswer as error:
            return Unknown(message=error.message)
        return self._outcome(order, call, soap.merged(answer.status, answer.body))

    def _outcome(self, order: Removal, call: Call, what: Meaning) -> Outcome:
        if what.kind == "done":
            return Written(id=order.id)
        if order.kind == "delete" and what.code in _gone:  # somebody was faster than our look
            return Written(id=order.id, adopted=True)
        if what.kind in ("access", "session"):
            raise self._client.error(call, what)
        return as_outcome(what)

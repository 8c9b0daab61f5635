"""What Salesforce keeps beside an opportunity: its history, and the contacts that play a role in it (§5.3)."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.caller import Caller
from crmbridge.sandbox.salesforce.ids import Sequence as IdSequence
from crmbridge.sandbox.salesforce.store import Store
from crmbridge.sandbox.salesforce.values import stamp

if TYPE_CHECKING:
    from crmbridge.sandbox.salesforce.records import Records

_LAST_CHANGES: Final = {"LastAmountChangedHistoryId": "Amount", "LastCloseDateChangedHistoryId": "CloseDate"}


class Opportunities:
    def __init__(self, records: "Records", store: Store, sequence: IdSequence, now: Callable[[], datetime]) -> None:
        self._records = records
        self._store = store
        self._shape = store.whole
        self._sequence = sequence
        self._now = now

    def saved(self, row: Row, before: Row | None, caller: Caller) -> None:
        """§5.3: a row of OpportunityHistory per change of stage, amount, probability or close date."""
        histories = self._shape.objects.get("OpportunityHistory")
        watched = ("StageName", "Amount", "Probability", "CloseDate")
        if histories is None or (before and all(row.get(name) == before.get(name) for name in watched)):
            return
        told: Row = {name: row[name] for name in (*watched, "ForecastCategory", "ExpectedRevenue") if name in row}
        told |= {"Id": self._sequence.next(histories.document.key_prefix), "OpportunityId": row["Id"]}
        told |= {"CreatedById": caller.user, "CreatedDate": row["SystemModstamp"], "IsDeleted": False}
        self._store.put(histories, told | {"SystemModstamp": row["SystemModstamp"]})
        last = {
            field: told["Id"]
            for field, name in _LAST_CHANGES.items()
            if before is not None and row.get(name) != before.get(name)
        }
        if last:  # §5.3; without a move of the stamp, as it is part of the same save (unverified)
            self._store.put(self._shape.objects["Opportunity"], row | last)

    def add_role(self, opportunity: str, contact: str, *, primary: bool, caller: Caller) -> str:
        sobject = self._shape.objects["OpportunityContactRole"]
        role = {"OpportunityId": opportunity, "ContactId": contact, "IsPrimary": primary}
        with self._store.platform():
            return self._records.create(sobject, role, caller)

    def primary_changed(self, role: Row) -> None:
        """One primary role per opportunity (§5.3), whose contact it shows; its stamp stays (unverified)."""
        sobject, opportunities = self._shape.objects["OpportunityContactRole"], self._shape.objects["Opportunity"]
        primary = role["ContactId"] if role["IsPrimary"] and not role.get("IsDeleted") else None
        for key in self._store.find(sobject, "OpportunityId", role["OpportunityId"]) if primary else ():
            other = self._store.rows(sobject)[key]
            if key != role["Id"] and other["IsPrimary"] and not other.get("IsDeleted"):
                self._records.put(sobject, {**other, "IsPrimary": False, "SystemModstamp": stamp(self._now())}, other)
        opportunity = self._store.get(opportunities, role["OpportunityId"])
        if opportunity is not None:
            kept = {name: value for name, value in opportunity.items() if name != "ContactId"}
            changed = kept if primary is None else {**kept, "ContactId": primary}
            self._records.put(opportunities, changed, opportunity)

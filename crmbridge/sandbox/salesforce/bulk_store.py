"""The way into an org for rows by the million: one as a model, the others as complete as that one."""

from collections.abc import Sequence
from typing import Any

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.ids import Sequence as Ids
from crmbridge.sandbox.salesforce.org import Org
from crmbridge.sandbox.salesforce.store import Store


class BulkStore:
    def __init__(self, store: Store, org: Org, ids: Ids) -> None:
        self._store, self._org, self._ids = store, org, ids

    def offered(self, table: str, column: str) -> Sequence[Any] | None:
        """The active values of a picklist; of a lead's status only those that no conversion gives."""
        sobject = self._store.whole.objects.get(table)
        field = sobject.fields.get(column) if sobject else None
        coded = sobject is not None and column.removesuffix("Country") in sobject.address_prefixes
        if field is None or (coded and column.endswith("Country")):  # where codes are on, a text must be of their list
            return None
        converted = {each.value for each in self._store.whole.lead_statuses if each.converted}
        taken_out = converted if (table, column) == ("Lead", "Status") else set[str]()
        return [each.value for each in field.picklist_values if each.active and each.value not in taken_out]

    def room(self, table: str, column: str) -> int:
        return self._store.whole.objects[table].fields[column].length

    def model(self, table: str, values: Row) -> Row:
        stages = [each for each in self._store.whole.opportunity_stages if each.active and not each.closed]
        if table == "Opportunity" and stages:
            values = {"StageName": stages[0].value, **values}
        before = len(self._store.rows(self._store.whole.objects[table]))
        self._org.load({table: [values]})
        rows = self._store.rows(self._store.whole.objects[table])
        assert len(rows) == before + 1, "one row was loaded"
        return rows[next(reversed(rows))]

    def new_id(self, table: str) -> str:
        return self._ids.next(self._store.whole.objects[table].document.key_prefix)

    def fill(self, table: str, rows: list[Row]) -> None:
        self._store.fill(self._store.whole.objects[table], rows)

    def finish(self) -> None:
        self._org.compute()

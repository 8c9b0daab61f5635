"""The org's rows with the indexes that keep 100,000 of them usable: by equal value, and by SystemModstamp."""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence

from crmbridge.sandbox.core import Row, Tables
from crmbridge.sandbox.salesforce.schema import Shape, SObject


def fold(value: object) -> object:
    """Salesforce compares texts without regard to case (salesforce-api §2.3)."""
    return value.casefold() if isinstance(value, str) else value


class Store:
    """Every write goes through `put`; a transaction that fails takes its index entries back too."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.tables = Tables()
        self._equal: dict[tuple[str, str], dict[object, dict[str, None]]] = {}
        self._stamps: dict[str, list[tuple[str, str]]] = {}

    def get(self, sobject: SObject, key: str) -> Row | None:
        return self.tables.get(sobject.name, key)

    def rows(self, sobject: SObject) -> dict[str, Row]:
        return self.tables.table(sobject.name)

    def put(self, sobject: SObject, row: Row) -> None:
        before = self.get(sobject, row["Id"])
        self.tables.put(sobject.name, row["Id"], row)
        self._move(sobject, before, row)
        self.tables.on_undo(lambda: self._move(sobject, row, before))

    def drop(self, sobject: SObject, key: str) -> None:
        before = self.rows(sobject)[key]
        self.tables.drop(sobject.name, key)
        self._move(sobject, before, None)
        self.tables.on_undo(lambda: self._move(sobject, None, before))

    def find(self, sobject: SObject, field: str, value: object) -> Sequence[str]:
        """Ids of the rows, deleted ones too, whose indexed field holds the value."""
        return sorted(self._equal.get((sobject.name, field), {}).get(fold(value), ()))

    def by_stamp(self, sobject: SObject, low: str = "", high: str = "~") -> Iterator[Row]:
        """Rows in the order of (SystemModstamp, Id), from `low` up to `high`, both included."""
        rows, stamps = self.rows(sobject), self._stamps.get(sobject.name, [])
        if len(stamps) > 2 * len(rows) + 1000:  # mostly entries of earlier stamps: start afresh
            stamps = self._stamps[sobject.name] = sorted((row["SystemModstamp"], key) for key, row in rows.items())
        last: tuple[str, str] | None = None
        for at in range(bisect_left(stamps, (low, "")), len(stamps)):
            entry = stamps[at]
            if entry[0] > high:
                return
            row = rows.get(entry[1])
            if entry != last and row is not None and row["SystemModstamp"] == entry[0]:
                last = entry
                yield row

    def _move(self, sobject: SObject, before: Row | None, after: Row | None) -> None:
        """Index entries from one state of a row to another; None is a row that is not there."""
        old, new = before or {}, after or {}
        key = (after or old)["Id"]
        for field in sobject.indexed:
            was, now = fold(old.get(field.name)), fold(new.get(field.name))
            if was == now:
                continue
            index = self._equal.setdefault((sobject.name, field.name), {})
            if was is not None:
                index[was].pop(key, None)
                if not index[was]:
                    del index[was]
            if now is not None:
                index.setdefault(now, {})[key] = None
        if after is not None and "SystemModstamp" in after and old.get("SystemModstamp") != after["SystemModstamp"]:
            stamps, entry = self._stamps.setdefault(sobject.name, []), (after["SystemModstamp"], key)
            if not stamps or entry > stamps[-1]:
                stamps.append(entry)
            else:
                insort(stamps, entry)

"""Who looked at what lately: the rows of "recently viewed" (salesforce-api §3.5, Sforce-Mru)."""

from typing import Any, Final

from crmbridge.sandbox.salesforce.ask import Ask
from crmbridge.sandbox.salesforce.schema import SObject
from crmbridge.sandbox.salesforce.store import Store

ITEMS_MAX: Final = 200


class Recent:
    """Per user, the latest last; what a request that is taken back has touched does not exist and is not shown."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: dict[str, dict[tuple[str, str], None]] = {}

    def touch(self, ask: Ask, sobject: SObject, key: str) -> None:
        """§3.5: API access counts only where the request says so."""
        if ask.mru:
            self.see(ask.user, sobject, key)

    def see(self, user: str, sobject: SObject, key: str) -> None:
        if sobject.document.setup:
            return
        seen = self._seen.setdefault(user, {})
        seen.pop((sobject.name, key), None)
        seen[sobject.name, key] = None
        while len(seen) > ITEMS_MAX:
            del seen[next(iter(seen))]

    def items(
        self, user: str, version: str, limit: int = ITEMS_MAX, only: SObject | None = None
    ) -> list[dict[str, Any]]:
        """The latest first, with the name that the object's rows go by."""
        shown: list[dict[str, Any]] = []
        for name, key in reversed(self._seen.get(user, {})):
            sobject = self._store.shape.object(name)
            row = self._store.get(sobject, key) if sobject else None
            if sobject is None or row is None or row.get("IsDeleted") or (only is not None and only is not sobject):
                continue
            url = f"/services/data/v{version}/sobjects/{name}/{key}"
            item: dict[str, Any] = {"attributes": {"type": name, "url": url}, "Id": key}
            title = next((field.name for field in sobject.fields.values() if field.name_field), None)
            shown.append(item if title is None else {**item, title: row.get(title)})
        return shown[:limit]

"""Which record type a row has, which a user may give it, and which it gets (salesforce-api §5.1)."""

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.errors import refuse
from crmbridge.sandbox.salesforce.schema import RecordType, SObject
from crmbridge.sandbox.salesforce.store import Store


class RecordTypes:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._shape = store.whole

    def of(self, sobject: SObject, row: Row) -> RecordType | None:
        if not sobject.document.record_types:
            return None
        found = self._store.get(self._shape.objects["RecordType"], row.get("RecordTypeId") or "")
        name = found["DeveloperName"] if found and found.get("SobjectType") == sobject.name else None
        return next((kind for kind in sobject.document.record_types if kind.developer_name == name), None)

    def may_be(self, sobject: SObject, key: str) -> None:
        """A record type of this object, active, and one that the user's profile offers (§5.1; wording (unverified))."""
        found = self._store.get(self._shape.objects["RecordType"], key)
        kind = self.of(sobject, {"RecordTypeId": key})
        access = self._store.access
        offered = access.profile.record_types.get(sobject.name) if access is not None else None
        refused = kind is None or not kind.active or (offered and kind.developer_name not in offered.available)
        if found is None or refused:
            message = f"Record Type ID: this ID value isn't valid for the user: {key}"
            raise refuse("INVALID_CROSS_REFERENCE_KEY", message, ["RecordTypeId"])

    def default(self, sobject: SObject, user: str) -> str | None:
        """What this user's new rows have that name none."""
        return self._default(sobject, user, person=False)

    def of_persons(self, user: str) -> str | None:
        """What this user's new person accounts have."""
        return self._default(self._shape.objects["Account"], user, person=True)

    def _default(self, sobject: SObject, user: str, *, person: bool) -> str | None:
        kinds = [kind for kind in sobject.document.record_types if kind.person is person]
        names = [kind.developer_name for kind in kinds if kind.default]
        offered = self._store.profile_of(user).record_types.get(sobject.name)
        if offered is not None:  # lifecycle §1.1: what a conversion makes has its owner's
            names = [kind.developer_name for kind in kinds if kind.developer_name == offered.default]
        if person and not names:  # every user has one for persons (which, is unverified)
            available = (
                kinds if offered is None else [each for each in kinds if each.developer_name in offered.available]
            )
            names = [kind.developer_name for kind in (available or kinds)[:1]]
        rows = self._store.rows(self._shape.objects["RecordType"]).values()
        return next(
            (r["Id"] for r in rows if r.get("SobjectType") == sobject.name and r.get("DeveloperName") in names), None
        )

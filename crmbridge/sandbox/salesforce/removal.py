"""What ends a record's life, and what brings it back: delete, undelete, purge, merge (salesforce-api §8.3)."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.caller import Caller
from crmbridge.sandbox.salesforce.errors import no_access, not_served, refuse
from crmbridge.sandbox.salesforce.ids import canonical
from crmbridge.sandbox.salesforce.persons import no_person_contact
from crmbridge.sandbox.salesforce.query import RECYCLE_BIN
from crmbridge.sandbox.salesforce.schema import Field, SObject
from crmbridge.sandbox.salesforce.store import Store
from crmbridge.sandbox.salesforce.values import instant, stamp

if TYPE_CHECKING:  # the two know each other: a merge saves its master
    from crmbridge.sandbox.salesforce.records import Records

MERGE_MAX: Final = 3  # §8.3: the master and two more
_OURS: Final = ("_root", "_cleared", "MasterRecordId")  # keys of a deleted row that a restored one has not
_TWINS: Final = {"ContentNote": "ContentDocument", "ContentDocument": "ContentNote"}  # one file, two objects


class Removal:
    def __init__(self, records: "Records", store: Store, now: Callable[[], datetime]) -> None:
        self._records = records
        self._store = store
        self._shape = store.whole
        self._now = now

    # -- deleting ------------------------------------------------------------------------------------------------

    def delete(self, sobject: SObject, seen: SObject, row: Row, caller: Caller) -> None:
        if not sobject.document.deletable:  # the code (unverified)
            raise refuse("CANNOT_DELETE_ENTITY", f"entity type cannot be deleted: {sobject.document.label}", [])
        access = self._store.access
        if not seen.document.deletable or (access is not None and not access.deletes(sobject, row)):
            raise no_access()
        _not_half_a_person(sobject, row)
        self._lock(sobject, row)
        self._nothing_forbids(sobject, row)
        with self._store.tables.transaction():
            self._remove(sobject, row, caller, root=row["Id"])

    def _lock(self, sobject: SObject, row: Row) -> None:
        contention = self._records.contention
        if contention.any_held:
            contention.check(self._records.locked_with(sobject, row, None))

    def _nothing_forbids(self, sobject: SObject, row: Row) -> None:
        """§7, lifecycle §5: closed-won deals, others' rows below, rows that insist; wordings (unverified)."""
        name = row.get("Name") or row["Id"]
        for child, reference in self._shape.children.get(sobject.name, ()):
            if not (reference.restricted_delete or reference.deleted_with_parent):
                continue
            referring = self._store.referring(child, reference.name, row["Id"])
            rows = [each for each in referring if not each.get("IsDeleted")]
            if reference.restricted_delete and rows:
                self._fail(name, child.document.label_plural.lower(), rows)
            access = self._store.access
            others = [each for each in rows if access is not None and not access.deletes(child, each)]
            if others:
                self._fail(name, f"{child.document.label_plural.lower()} owned by other users", others)
            won = [each for each in rows if sobject.name == "Account" and each.get("IsWon")]
            if won:
                self._fail(name, "closed won opportunities", won)
            for each in rows:
                if reference.deleted_with_parent:
                    self._nothing_forbids(child, each)

    def _fail(self, name: str, what: str, rows: Sequence[Row]) -> None:
        shown = ", ".join(sorted(str(row.get("Name") or row["Id"]) for row in rows))
        message = (
            f"Your attempt to delete {name} could not be completed because it is associated with the following "
            f"{what}.: {shown}"
        )
        raise refuse("DELETE_FAILED", message, [])  # §7, message (unverified)

    def _remove(self, sobject: SObject, row: Row, caller: Caller, *, root: str, master: str | None = None) -> None:
        cleared: list[tuple[str, str, str]] = []
        if master is None:  # a merge moves the children instead
            for child, reference in self._shape.children.get(sobject.name, ()):
                if reference.deleted_with_parent:
                    for below in self._store.referring(child, reference.name, row["Id"]):
                        if not below.get("IsDeleted"):
                            self._remove(child, below, caller, root=root)
                elif _clears(reference):
                    cleared += self._clear(child, reference, row["Id"])
        now = stamp(self._now())
        row = self._store.get(sobject, row["Id"]) or row  # its contact went with its roles
        gone = {**row, "IsDeleted": True, "SystemModstamp": now, "LastModifiedDate": now, "_root": root}
        gone["LastModifiedById"] = caller.user
        if cleared:
            gone["_cleared"] = tuple(cleared)
        if master is not None:
            gone["MasterRecordId"] = master
        self._records.put(sobject, gone, row)
        other, twin = self._twin(sobject, row["Id"])
        if other is not None and twin is not None and not twin.get("IsDeleted"):
            self._remove(other, twin, caller, root=root)
        if sobject.name == "OpportunityContactRole" and row["IsPrimary"]:
            self._records.opportunities.primary_changed(gone)

    def _clear(self, child: SObject, reference: Field, key: str) -> list[tuple[str, str, str]]:
        """Lookups to a deleted row are emptied and their row's stamp moves; which of them (unverified)."""
        cleared: list[tuple[str, str, str]] = []
        for row in self._store.referring(child, reference.name, key):
            if not row.get("IsDeleted"):
                kept = {name: value for name, value in row.items() if name != reference.name}
                self._records.put(child, {**kept, "SystemModstamp": stamp(self._now())}, row)
                cleared.append((child.name, row["Id"], reference.name))
        return cleared

    def _twin(self, sobject: SObject, key: str) -> tuple[SObject | None, Row | None]:
        other = self._shape.objects.get(_TWINS.get(sobject.name, ""))
        return other, (self._store.get(other, key) if other is not None else None)

    # -- the recycle bin -----------------------------------------------------------------------------------------

    def _found(self, text: str) -> tuple[SObject, Row]:
        key = canonical(text)
        sobject = self._shape.by_prefix.get(key[:3]) if key else None
        row = self._store.get(sobject, key) if sobject and key else None
        if row is None or sobject is None or not self._store.sees(row):
            raise refuse("INVALID_ID_FIELD", "invalid cross reference id", [])  # §6.4
        _not_half_a_person(sobject, row)
        return sobject, row

    def _in_bin(self, sobject: SObject, row: Row) -> bool:
        opened = self._now() - RECYCLE_BIN
        kept = row.get("IsDeleted") and sobject.document.undeletable and not row.get("_purged")
        return bool(kept) and instant(row["SystemModstamp"]) >= opened

    def undelete(self, text: str, caller: Caller) -> str:
        sobject, row = self._found(text)
        access = self._store.access
        if access is not None and not access.deletes(sobject, row):
            raise no_access()
        if not self._in_bin(sobject, row):  # §8.3, wording (unverified)
            raise refuse("UNDELETE_FAILED", "Entity is not in the recycle bin", [])
        with self._store.tables.transaction():
            # with all that went below it, its own deletion or a parent's (the latter unverified)
            self._restore(sobject, row, caller, row["_root"], stamp(self._now()))
        return row["Id"]

    def _restore(self, sobject: SObject, row: Row, caller: Caller, root: str, now: str) -> None:
        back = {name: value for name, value in row.items() if name not in _OURS}
        back |= {"IsDeleted": False, "SystemModstamp": now, "LastModifiedDate": now, "LastModifiedById": caller.user}
        self._records.unique(sobject, back, list(back))
        self._records.put(sobject, back, row)
        other, twin = self._twin(sobject, row["Id"])
        if other is not None and twin is not None and twin.get("IsDeleted"):
            self._restore(other, twin, caller, root, now)
        for name, key, reference in row.get("_cleared", ()):
            child = self._shape.objects[name]
            found = self._store.get(child, key)
            if found is not None and not found.get("IsDeleted") and found.get(reference) is None:
                self._records.put(child, {**found, reference: row["Id"], "SystemModstamp": now}, found)
        for child, reference in self._shape.children.get(sobject.name, ()):
            if reference.deleted_with_parent:
                for below in self._store.referring(child, reference.name, row["Id"]):
                    if below.get("IsDeleted") and below.get("_root") == root:
                        self._restore(child, below, caller, root, now)
        if sobject.name == "OpportunityContactRole" and back.get("IsPrimary"):
            self._records.opportunities.primary_changed(back)

    def purge(self, text: str) -> str:
        sobject, row = self._found(text)
        if not self._in_bin(sobject, row):  # §8.3; the code (unverified)
            raise refuse("INVALID_ID_FIELD", "Entity is not in the recycle bin", [])
        with self._store.tables.transaction():
            self._store.put(sobject, {**row, "_purged": True})  # the delete log still tells of it (§8.2)
            for child, reference in self._shape.children.get(sobject.name, ()):
                if reference.deleted_with_parent:
                    for below in self._store.referring(child, reference.name, row["Id"]):
                        if below.get("_root") == row.get("_root") and below.get("IsDeleted"):
                            self._store.put(child, {**below, "_purged": True})
        return row["Id"]

    # -- merging -------------------------------------------------------------------------------------------------

    def merge(
        self,
        sobject: SObject,
        seen: SObject,
        master: Row,
        losers: Sequence[str],
        given: Mapping[str, Any],
        caller: Caller,
    ) -> tuple[list[str], list[str]]:
        if not sobject.document.mergeable:
            raise refuse("INVALID_TYPE", f"entity type cannot be merged: {sobject.name}", [])
        if not losers or len(losers) >= MERGE_MAX:  # §8.3; the code (unverified)
            raise refuse(
                "INVALID_NUM_RECORDS", f"A merge takes a master and one or two more records, not {len(losers)}.", []
            )
        if master.get("IsConverted"):  # lifecycle §2: may be a loser, never the master
            raise refuse("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead", [])
        rows = [self._records.fetch(sobject, key) for key in losers]
        if master["Id"] in {row["Id"] for row in rows}:
            raise refuse("INVALID_ID_FIELD", "a record cannot be merged with itself", [])
        for row in (master, *rows):
            _not_half_a_person(sobject, row)
            if row.get("IsPersonAccount"):
                raise not_served("the merging of person accounts")
        access = self._store.access
        if not seen.document.deletable or (access and not all(access.deletes(sobject, row) for row in rows)):
            raise no_access()
        for row in (master, *rows):
            self._lock(sobject, row)
        moved: list[str] = []
        with self._store.tables.transaction():
            for row in rows:
                moved += self._move_children(sobject, row, master)
                self._remove(sobject, row, caller, root=row["Id"], master=master["Id"])
            self._records.update(sobject, self._records.fetch(sobject, master["Id"]), given, caller)
        return [row["Id"] for row in rows], moved

    def _move_children(self, sobject: SObject, loser: Row, master: Row) -> list[str]:
        moved: list[str] = []
        for child, reference in self._shape.children.get(sobject.name, ()):
            if reference.name == "MasterRecordId":
                continue
            for below in self._store.referring(child, reference.name, loser["Id"]):
                # a moved child's SystemModstamp moves, its LastModifiedDate does not (unverified)
                changed = {**below, reference.name: master["Id"], "SystemModstamp": stamp(self._now())}
                self._records.put(child, changed, below)
                moved.append(below["Id"])
        return moved


def _not_half_a_person(sobject: SObject, row: Row) -> None:
    """A person contact comes and goes with its account; for an undelete and a merge the refusal is (unverified)."""
    if sobject.name == "Contact" and row.get("IsPersonAccount"):
        raise no_person_contact()


def _clears(reference: Field) -> bool:
    """A lookup that may be emptied; what a conversion or a merge wrote stays."""
    fixed = reference.name == "MasterRecordId" or reference.name.startswith("Converted")
    return reference.nillable and reference.updateable and not fixed

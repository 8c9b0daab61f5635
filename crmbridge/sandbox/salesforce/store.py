"""The org's rows with the indexes that keep 100,000 of them usable: by equal value, and by SystemModstamp."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from heapq import merge

from crmbridge.sandbox.core import Row, Tables
from crmbridge.sandbox.salesforce.listing import Listing, Stamps
from crmbridge.sandbox.salesforce.persons import shown_field
from crmbridge.sandbox.salesforce.schema import Field, Profile, Shape, SObject
from crmbridge.sandbox.salesforce.visibility import Access, seen_by

_EVERYTHING = Profile()


def fold(value: object) -> object:
    """Salesforce compares texts without regard to case (salesforce-api §2.3)."""
    return value.casefold() if isinstance(value, str) else value


class Store:
    """Every write goes through `put`; a transaction that fails takes its index entries back too."""

    def __init__(self, shape: Shape) -> None:
        self.whole = shape
        self.access: Access | None = None  # of the user whose request runs; none: the platform itself
        self._views: dict[str, Shape] = {}
        self.tables = Tables()
        self._equal: dict[tuple[str, str], dict[object, dict[str, None]]] = {}
        self._stamps: dict[tuple[str, bool], Stamps] = {}
        self._listings: dict[str, Listing] = {}

    # -- who looks -----------------------------------------------------------------------------------------------

    @property
    def shape(self) -> Shape:
        """The org as the running user sees it."""
        return self.whole if self.access is None else self.access.shape

    @contextmanager
    def acting_as(self, user: str) -> Generator[None, None, None]:
        """A request of this user: what their profile hides is not there (salesforce-api §5.1)."""
        outer, self.access = self.access, self._access(user)
        try:
            yield
        finally:
            self.access = outer

    @contextmanager
    def platform(self) -> Generator[None, None, None]:
        """What Salesforce does itself in a user's request: nothing is hidden from it."""
        outer, self.access = self.access, None
        try:
            yield
        finally:
            self.access = outer

    def profile_of(self, user: str) -> Profile:
        row = self.tables.get("User", user) or {}
        return self.whole.profiles.get(self._profile_name(row), _EVERYTHING)

    def _profile_name(self, user: Row) -> str:
        return str((self.tables.get("Profile", user.get("ProfileId") or "") or {}).get("Name", ""))

    def _access(self, user: str) -> Access | None:
        if not self.whole.profiles and not self.whole.sharing:
            return None
        row = self.tables.get("User", user) or {}
        name = self._profile_name(row)
        rights = self.whole.profiles.get(name, _EVERYTHING)
        if name not in self._views:
            self._views[name] = seen_by(self.whole, rights)
        return Access(
            user=user, profile=rights, shape=self._views[name], member_of=self._member_of, parent=self.tables.get
        )

    def _member_of(self, queue: str, user: str) -> bool:
        members = self.whole.objects.get("GroupMember")
        rows = self.referring(members, "GroupId", queue) if members else []
        return any(row.get("UserOrGroupId") == user and not row.get("IsDeleted") for row in rows)

    def add_field(self, sobject: SObject, field: Field) -> None:
        """A field that the org did not have; rows hold nothing in it."""
        whole = self.whole.objects[sobject.name]
        for row in self.rows(whole).values():
            row[field.name] = None
        whole.add(field)
        self._views.clear()
        if whole.name == "Contact" and self.whole.org.person_accounts and (shown := shown_field(field)) is not None:
            self.add_field(self.whole.objects["Account"], shown)

    def sees(self, row: Row) -> bool:
        """Whether the running user may see the row."""
        if self.access is None or self.access.sees_all:
            return True
        sobject = self.whole.by_prefix.get(row["Id"][:3])
        return sobject is None or self.access.sees(sobject, row)

    # -- rows ----------------------------------------------------------------------------------------------------

    def get(self, sobject: SObject, key: str) -> Row | None:
        return self.tables.get(sobject.name, key)

    def rows(self, sobject: SObject) -> dict[str, Row]:
        return self.tables.table(sobject.name)

    def put(self, sobject: SObject, row: Row) -> None:
        sobject = self.whole.objects[sobject.name]  # a user's view lacks fields that are indexed
        before = self.get(sobject, row["Id"])
        self.tables.put(sobject.name, row["Id"], row)
        self._move(sobject, before, row)
        self.tables.on_undo(lambda: self._move(sobject, row, before))

    def fill(self, sobject: SObject, rows: Sequence[Row]) -> None:
        """Many new rows before anybody asks: what `put` does for each, done for all at once."""
        sobject = self.whole.objects[sobject.name]
        listing = self.listing(sobject)
        self.tables.fill(sobject.name, {row["Id"]: row for row in rows})
        for row in rows:
            listing.add(row["Id"])
        for field in sobject.indexed:
            index = self._equal.setdefault((sobject.name, field.name), {})
            for row in rows:
                value = fold(row.get(field.name))
                if value is not None:
                    index.setdefault(value, {})[row["Id"]] = None
        stamps = self.stamps(sobject)
        for entry in sorted((row["SystemModstamp"], row["Id"]) for row in rows):
            stamps.add(entry)

    def drop(self, sobject: SObject, key: str) -> None:
        before = self.rows(sobject)[key]
        self.tables.drop(sobject.name, key)
        self._move(sobject, before, None)
        self.tables.on_undo(lambda: self._move(sobject, None, before))

    def find(self, sobject: SObject, field: str, value: object) -> Sequence[str]:
        """Ids of the rows, deleted ones too, whose indexed field holds the value."""
        return sorted(self._equal.get((sobject.name, field), {}).get(fold(value), ()))

    def referring(self, sobject: SObject, field: str, key: str) -> list[Row]:
        """The rows, deleted ones too, whose lookup names this id; without an index for the few that have none."""
        rows = self.rows(sobject)
        reference: Field | None = sobject.fields.get(field)
        if reference is not None and reference.indexed:
            return [rows[found] for found in self.find(sobject, field, key)]
        return [row for row in rows.values() if row.get(field) == key]

    def listing(self, sobject: SObject) -> Listing:
        """All ids in the order of their arrival, and which of them are deleted: never copied, for pages (§2.2)."""
        rows, listing = self.rows(sobject), self._listings.setdefault(sobject.name, Listing())
        if len(listing.ids) != len(rows):  # rows that came or went another way than by `put`
            listing = self._listings[sobject.name] = Listing()
            for key, row in rows.items():
                listing.add(key, deleted=bool(row.get("IsDeleted")))
        return listing

    def stamps(self, sobject: SObject, *, deleted: bool = False) -> Stamps:
        """The order of SystemModstamp and id, of the rows that are there or of the deleted ones."""
        return self._stamps.setdefault((sobject.name, deleted), Stamps())

    def by_stamp(self, sobject: SObject, low: str = "", high: str = "~") -> Iterator[Row]:
        """Rows, deleted ones too, in the order of (SystemModstamp, Id), from `low` up to `high`, both included."""
        rows = self.rows(sobject)
        there, gone = (self.stamps(sobject, deleted=each).between((low, ""), (high, "~")) for each in (False, True))
        entries = there.entries(0, len(there))
        for _, key in merge(entries, gone.entries(0, len(gone))) if len(gone) else entries:
            row = rows.get(key)
            if row is not None:
                yield row

    def _move(self, sobject: SObject, before: Row | None, after: Row | None) -> None:
        """Index entries from one state of a row to another; None is a row that is not there."""
        old, new = before or {}, after or {}
        key = (after or old)["Id"]
        self._list(sobject, key, before, after)
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
        was, now = _place(before), _place(after)
        if was != now:
            if was is not None:
                self.stamps(sobject, deleted=was[0]).drop((was[1], key))
            if now is not None:
                self.stamps(sobject, deleted=now[0]).add((now[1], key))

    def _list(self, sobject: SObject, key: str, before: Row | None, after: Row | None) -> None:
        """The listing follows; where a row goes for good it is made anew, and pages under way keep the old one."""
        listing = self._listings.setdefault(sobject.name, Listing())
        if after is None:
            if listing.ids and listing.ids[-1] == key:  # an insert taken back is always the last one
                listing.ids.pop()
                listing.deleted.pop(key, None)
            else:
                del self._listings[sobject.name]
        elif before is None:
            listing.add(key, deleted=bool(after.get("IsDeleted")))
        elif after.get("IsDeleted"):
            listing.deleted[key] = None
        else:
            listing.deleted.pop(key, None)


def _place(row: Row | None) -> tuple[bool, str] | None:
    """Where a row stands in the order of stamps: among which rows, and when."""
    stamp = row.get("SystemModstamp") if row else None
    return None if row is None or stamp is None else (bool(row.get("IsDeleted")), stamp)

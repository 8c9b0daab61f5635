"""What a user may do and see: the org as a profile shows it, and whose rows (lifecycle §6, salesforce-api §5.1).

A field that a profile hides does not exist for its users, one that it protects is read only; the whole org, seen so, is
a shape of its own. Rows of a private object are their owner's, a queue's members', and those users' who view all data.
Roles, teams and sharing rules are not modelled.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.schema import Field, Permission, Profile, Right, Shape, SObject

# What administrators may do, and whoever's profile does not say.
ORDINARY: Final[tuple[Permission, ...]] = (
    *("convert_leads", "view_all_data", "modify_all_data"),
    *("view_setup", "author_apex", "manage_users"),
)
QUEUE_PREFIX: Final = "00G"


@dataclass(frozen=True, kw_only=True)
class Access:
    """One user's view of the org."""

    user: str
    profile: Profile
    shape: Shape  # as this user sees it
    member_of: Callable[[str, str], bool]  # queue and user
    parent: Callable[[str, str], Row | None]  # object name and id: the row

    def has(self, permission: Permission) -> bool:
        return permission in (ORDINARY if self.profile.permissions is None else self.profile.permissions)

    def may(self, name: str, right: Right) -> bool:
        """What the profile grants on all rows of an object that it names."""
        return right in self.profile.objects.get(name, ())

    @property
    def sees_all(self) -> bool:
        return not self.shape.sharing or self.has("view_all_data") or self.has("modify_all_data")

    def sees(self, sobject: SObject, row: Row) -> bool:
        if self.sees_all or self.may(sobject.name, "view_all") or self.may(sobject.name, "modify_all"):
            return True
        return self._shared(sobject, row, ("read", "read_write"))

    def edits(self, sobject: SObject, row: Row) -> bool:
        return self._modifies_all(sobject) or self._shared(sobject, row, ("read_write",))

    def deletes(self, sobject: SObject, row: Row) -> bool:
        """However widely a row is shared, only its owner deletes it."""
        enough = () if sobject.name in self.shape.sharing else ("read_write",)
        return self._modifies_all(sobject) or self._shared(sobject, row, enough)

    def _modifies_all(self, sobject: SObject) -> bool:
        return not self.shape.sharing or self.has("modify_all_data") or self.may(sobject.name, "modify_all")

    def _shared(self, sobject: SObject, row: Row, enough: tuple[str, ...]) -> bool:
        model = self.shape.sharing.get(sobject.name, "read_write")
        if model in enough:
            return True
        key, accounts = row.get("AccountId"), self.shape.objects.get("Account")
        if model == "controlled_by_parent" and key and accounts is not None:
            above = self.parent("Account", key)
            return above is not None and self._shared(accounts, above, enough)
        owner = row.get("OwnerId")
        if owner is None:
            return "OwnerId" not in sobject.fields
        return owner == self.user or (owner.startswith(QUEUE_PREFIX) and self.member_of(owner, self.user))


def seen_by(shape: Shape, profile: Profile) -> Shape:
    """The shape as users of the profile see it."""
    objects: dict[str, SObject] = {}
    for name, sobject in shape.objects.items():
        rights, fields = profile.objects.get(name), profile.fields.get(name, {})
        if rights is None and not fields:
            objects[name] = sobject
        elif rights is None or rights:
            shown = {key: each for key, field in sobject.fields.items() if (each := _shown(field, fields.get(key)))}
            document = sobject.document
            if rights is not None:
                document = msgspec.structs.replace(
                    document,
                    createable=document.createable and "create" in rights,
                    updateable=document.updateable and bool({"edit", "modify_all"} & set(rights)),
                    deletable=document.deletable and bool({"delete", "modify_all"} & set(rights)),
                )
            objects[name] = SObject(name=name, document=document, fields=shown)
    return replace(shape, objects=objects)


def _shown(field: Field, level: str | None) -> Field | None:
    if level == "hidden":
        return None
    return msgspec.structs.replace(field, createable=False, updateable=False) if level == "read" else field

"""What the user who asks may do: in the whole org (UserPermissionAccess) and on each object (ObjectPermissions, found
by the user's own PermissionSetAssignment and the PermissionSet that stands for a profile) (lifecycle §6).

The rows follow the profiles of the shape, so that they are written anew whenever somebody asks. Of assignments only the
asking user's own is there. Ids, and all of the three objects about permission sets, are (unverified).
"""

from collections.abc import Iterator
from typing import Final
from uuid import NAMESPACE_OID, uuid5

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.ids import base62, id18
from crmbridge.sandbox.salesforce.schema import Permission, Profile, SObject
from crmbridge.sandbox.salesforce.store import Store
from crmbridge.sandbox.salesforce.visibility import ORDINARY

_ACCESS: Final = "UserPermissionAccess"
_SETS, _ASSIGNMENTS, _OBJECTS = "PermissionSet", "PermissionSetAssignment", "ObjectPermissions"
NAMES: Final = frozenset({_ACCESS, _SETS, _ASSIGNMENTS, _OBJECTS})
_ID: Final = "000000000000000AAA"
_FIELDS: Final[dict[Permission, str]] = {
    "convert_leads": "PermissionsConvertLeads",
    "edit_converted_leads": "PermissionsAllowViewEditConvertedLeads",
    "set_audit_fields": "PermissionsCreateAuditFields",
    "inactive_owners": "PermissionsUpdateWithInactiveOwner",
    "view_all_data": "PermissionsViewAllData",
    "modify_all_data": "PermissionsModifyAllData",
    "view_setup": "PermissionsViewSetup",
    "author_apex": "PermissionsAuthorApex",
    "manage_users": "PermissionsManageUsers",
}


def refresh(store: Store, sobject: SObject, user: str) -> None:
    """The rows of one of `NAMES`, as this user is shown them."""
    if sobject.name == _ACCESS:
        rows = [_access(store, user)]
    elif sobject.name == _ASSIGNMENTS:
        profile = str((store.tables.get("User", user) or {}).get("ProfileId"))
        key = id18(f"0Pa{user[3:15]}")
        rows = [{"Id": key, "AssigneeId": user, "PermissionSetId": _set_of(profile), "IsActive": True}]
    else:
        profiles = [(key, str(row["Name"])) for key, row in store.tables.table("Profile").items()]
        make = _set if sobject.name == _SETS else _on_objects
        rows = [row for key, name in profiles for row in make(store, key, name)]
    for row in rows:
        store.put(sobject, row)


def _access(store: Store, user: str) -> Row:
    """Whoever asks over the API has `PermissionsApiEnabled`."""
    org, held = store.whole.org, _held(store.profile_of(user))
    held |= {"edit_converted_leads"} if org.edit_converted_leads else set()
    held |= {"set_audit_fields"} if org.set_audit_fields else set()
    row: Row = {"Id": _ID, "PermissionsApiEnabled": True}
    return row | {field: permission in held for permission, field in _FIELDS.items()}


def _held(profile: Profile) -> set[Permission]:
    return {*(ORDINARY if profile.permissions is None else profile.permissions)}


def _set_of(profile: str) -> str:
    return id18(f"0PS{profile[3:15]}")


def _set(store: Store, profile: str, name: str) -> Iterator[Row]:
    facts = {"Name": f"X{profile[:15]}", "Label": name, "ProfileId": profile, "IsOwnedByProfile": True}
    yield {"Id": _set_of(profile)} | facts


def _on_objects(store: Store, profile: str, name: str) -> Iterator[Row]:
    """None for an object that the profile does not have at all."""
    about = store.whole.profiles.get(name, Profile())
    held, parent = _held(about), _set_of(profile)
    for sobject in store.whole.objects.values():
        document = sobject.document
        if document.setup or not document.createable:
            continue
        rights = about.objects.get(sobject.name, ("read", "create", "edit", "delete"))
        if not rights:
            continue
        everything = "modify_all_data" in held or "modify_all" in rights
        may = {
            "Read": True,
            "Create": "create" in rights,
            "Edit": everything or "edit" in rights,
            "Delete": everything or "delete" in rights,
            "ModifyAllRecords": everything,
            "ViewAllRecords": everything or "view_all_data" in held or "view_all" in rights,
        }
        key = id18(f"110{base62(uuid5(NAMESPACE_OID, f'{parent}/{sobject.name}').int % 62**12, 12)}")
        row: Row = {"Id": key, "ParentId": parent, "SobjectType": sobject.name}
        yield row | {f"Permissions{verb}": granted for verb, granted in may.items()}

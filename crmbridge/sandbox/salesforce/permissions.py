"""UserPermissionAccess: what the user who asks may do in the whole org, as one row (lifecycle §6).

The row is that of the asking user alone, so that it is written anew whenever somebody asks; its id and the object's key
prefix are (unverified).
"""

from typing import Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.schema import Permission, SObject
from crmbridge.sandbox.salesforce.store import Store
from crmbridge.sandbox.salesforce.visibility import ORDINARY

NAME: Final = "UserPermissionAccess"
_ID: Final = "000000000000000AAA"
_FIELDS: Final[dict[Permission, str]] = {
    "convert_leads": "PermissionsConvertLeads",
    "edit_converted_leads": "PermissionsAllowViewEditConvertedLeads",
    "set_audit_fields": "PermissionsCreateAuditFields",
    "inactive_owners": "PermissionsUpdateWithInactiveOwner",
    "view_all_data": "PermissionsViewAllData",
    "modify_all_data": "PermissionsModifyAllData",
}


def refresh(store: Store, sobject: SObject, user: str) -> None:
    """The one row tells of this user; whoever asks over the API has `PermissionsApiEnabled`."""
    given, org = store.profile_of(user).permissions, store.whole.org
    held = {*(ORDINARY if given is None else given)}
    held |= {"edit_converted_leads"} if org.edit_converted_leads else set()
    held |= {"set_audit_fields"} if org.set_audit_fields else set()
    row: Row = {"Id": _ID, "PermissionsApiEnabled": True}
    store.put(sobject, row | {field: permission in held for permission, field in _FIELDS.items()})

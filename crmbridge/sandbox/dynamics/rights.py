"""Questions about a user's privileges, and about the rights on one row (lifecycle §6)."""

import re
from typing import Any

from crmbridge.sandbox.core import Reply, Row
from crmbridge.sandbox.dynamics.context import Context, answer
from crmbridge.sandbox.dynamics.errors import bad_query
from crmbridge.sandbox.dynamics.payload import reference
from crmbridge.sandbox.dynamics.security import EVERYTHING, NONE, Access, Rights, privilege_name, roles_of
from crmbridge.sandbox.dynamics.shape import VERBS

_DEPTH_NAMES = {1: "Basic", 2: "Local", 3: "Deep", 4: "Global"}
_NAMED = (
    "prvActOnBehalfOfAnotherUser", "prvOverrideCreatedOnCreatedBy", "prvBypassCustomBusinessLogic",
    "prvBypassCustomPlugins", "prvReadAttributeMap", "prvReadEntityMap", "prvReadEntity", "prvReadCustomization",
)  # fmt: skip


def user_privileges(ctx: Context, user: Row) -> Reply:
    """`systemusers(id)/Microsoft.Dynamics.CRM.RetrieveUserPrivileges`: names and depths; ids of privileges are not
    served, there are no such rows.
    """
    rights = Rights(roles=roles_of(ctx.store, user["systemuserid"]))
    found: list[dict[str, Any]] = []
    for table in ctx.shape.tables.values():
        for verb in VERBS:
            depth = rights.depth(table.name, verb)
            if depth != NONE:
                found.append({"Depth": _DEPTH_NAMES[depth], "PrivilegeName": privilege_name(table, verb)})
    known = {*_NAMED, *(name for role in rights.roles for name in role.privileges)} - {EVERYTHING}
    found += [{"Depth": "Global", "PrivilegeName": name} for name in sorted(known) if rights.has(name)]
    context = f"{ctx.base}/$metadata#Microsoft.Dynamics.CRM.RetrieveUserPrivilegesResponse"
    return answer({"@odata.context": context, "RolePrivileges": found})


# In the order of their bits: https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/accessrights
_ACCESS = {
    "read": "ReadAccess", "write": "WriteAccess", "append": "AppendAccess", "appendto": "AppendToAccess",
    "create": "CreateAccess", "delete": "DeleteAccess", "share": "ShareAccess", "assign": "AssignAccess",
}  # fmt: skip
_TARGET = re.compile(r"""\{\s*["']@odata\.id["']\s*:\s*["']([^"']+)["']\s*\}""")


def principal_access(ctx: Context, user: Row, target: str) -> Reply:
    """`systemusers(id)/Microsoft.Dynamics.CRM.RetrievePrincipalAccess(Target=@t)?@t={'@odata.id':'leads(id)'}`: what
    the user's roles reach of the row; that creating is among it is (unverified). Rows are not shared here.
    """
    named = _TARGET.fullmatch(target.strip())
    if named is None:
        raise bad_query(f"The parameter Target names no row: '{target}'.")  # text (unverified)
    table, key = reference(ctx, named[1])
    row = ctx.store.rows(table.name)[key]
    access = Access(ctx.store, user["systemuserid"], user["systemuserid"])
    held = [name for verb, name in _ACCESS.items() if access.reaches(table, row, access.depth(table, verb))]
    context = f"{ctx.base}/$metadata#Microsoft.Dynamics.CRM.RetrievePrincipalAccessResponse"
    return answer({"@odata.context": context, "AccessRights": ", ".join(held) or "None"})

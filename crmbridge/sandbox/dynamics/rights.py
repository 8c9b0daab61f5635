"""Questions about a user's privileges, and about the rights on one row (lifecycle §6)."""

from typing import Any

from crmbridge.sandbox.core import Reply, Row
from crmbridge.sandbox.dynamics.context import Context, answer
from crmbridge.sandbox.dynamics.payload import named_row
from crmbridge.sandbox.dynamics.security import EVERYTHING, NONE, RIGHTS, Access, Rights, privilege_name, roles_of
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


def principal_access(ctx: Context, user: Row, target: str) -> Reply:
    """`systemusers(id)/Microsoft.Dynamics.CRM.RetrievePrincipalAccess(Target=@t)?@t={'@odata.id':'leads(id)'}`: what
    the user's roles reach of the row, and what was shared; that creating is among it is (unverified).
    """
    table, key = named_row(ctx, target)
    row = ctx.store.rows(table.name)[key]
    access = Access(ctx.store, user["systemuserid"], user["systemuserid"])
    held = [name for verb, name in RIGHTS.items() if access.allows(table, row, verb)]
    context = f"{ctx.base}/$metadata#Microsoft.Dynamics.CRM.RetrievePrincipalAccessResponse"
    return answer({"@odata.context": context, "AccessRights": ", ".join(held) or "None"})

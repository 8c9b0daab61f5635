"""Rows shared with users and teams: GrantAccess, ModifyAccess, RevokeAccess, and who has what by that.

https://learn.microsoft.com/power-apps/developer/data-platform/security-sharing-assigning
A share is a row of `principalobjectaccess`. Rows that hang on a shared one are not shared along with it. The rights are
those of dataverse-api §10.3, which does not name these messages: the texts of refusals are (unverified).
"""

from typing import Any, Final

from crmbridge.sandbox.core import Reply
from crmbridge.sandbox.dynamics.context import Context, answer, no_content
from crmbridge.sandbox.dynamics.errors import DataverseError, bad_payload, bad_query
from crmbridge.sandbox.dynamics.metadata_members import metadata_id
from crmbridge.sandbox.dynamics.payload import check_parameters, entity_reference, named_row
from crmbridge.sandbox.dynamics.security import MASKS, RIGHTS, SHARES
from crmbridge.sandbox.dynamics.tables import Table

ACTIONS: Final = frozenset({"GrantAccess", "ModifyAccess", "RevokeAccess"})
_PRINCIPALS: Final = ("systemuser", "team")


def perform(ctx: Context, action: str) -> Reply:
    body = ctx.json(needed=True)
    check_parameters(body, action, frozenset({"Target", "Revokee" if action == "RevokeAccess" else "PrincipalAccess"}))
    table, key = _target(ctx, body.get("Target"))
    ctx.note(table.name, action)
    ctx.access.demand_row(table, ctx.store.rows(table.name)[key], "share")
    if action == "RevokeAccess":
        share = _id(table, key, _principal(ctx, body.get("Revokee"), "Revokee")[1])
        if ctx.store.get(SHARES, share) is not None:  # nothing to revoke is no mistake (unverified)
            ctx.store.remove(SHARES, share)
        return no_content()
    given = body.get("PrincipalAccess")
    if not isinstance(given, dict):
        raise bad_payload("", f"The parameter 'PrincipalAccess' of '{action}' is required.")
    kind, principal = _principal(ctx, given.get("Principal"), "Principal")
    mask, share = _mask(given.get("AccessMask")), _id(table, key, principal)
    if action == "GrantAccess" and (known := ctx.store.get(SHARES, share)) is not None:
        mask |= known["accessrightsmask"]  # what is granted comes to what there is, a change takes its place
    row = {
        "principalobjectaccessid": share,
        "objectid": key,
        "objecttypecode": table.name,
        "principalid": principal,
        "principaltypecode": kind,
        "accessrightsmask": mask,
        "inheritedaccessrightsmask": 0,
        "changedon": ctx.stamp,
    }
    ctx.store.put(SHARES, share, row)
    return no_content()


def principals_of(ctx: Context, target: str) -> Reply:
    """`RetrieveSharedPrincipalsAndAccess(Target=@t)?@t={'@odata.id':'leads(id)'}`"""
    table, key = named_row(ctx, target)
    ctx.note(table.name, "RetrieveSharedPrincipalsAndAccess")
    ctx.access.demand_row(table, ctx.store.rows(table.name)[key], "read")
    shares = [ctx.store.rows(SHARES)[each] for each in ctx.store.find(SHARES, "objectid", key)]
    found = [
        {
            "AccessMask": ", ".join(RIGHTS[verb] for verb, bit in MASKS.items() if share["accessrightsmask"] & bit),
            "Principal": {
                "@odata.type": f"#Microsoft.Dynamics.CRM.{share['principaltypecode']}",
                ctx.shape.tables[share["principaltypecode"]].key: share["principalid"],
                "ownerid": share["principalid"],
            },
        }
        for share in shares
    ]
    context = f"{ctx.base}/$metadata#Microsoft.Dynamics.CRM.RetrieveSharedPrincipalsAndAccessResponse"
    return answer({"@odata.context": context, "PrincipalAccesses": found})


def forget(ctx: Context, key: str) -> None:
    """A row is gone, or a user or team: what was shared with it, too."""
    if SHARES in ctx.shape.tables and ctx.store.rows(SHARES):
        for column in ("objectid", "principalid"):
            for share in ctx.store.find(SHARES, column, key):
                ctx.store.remove(SHARES, share)


def _target(ctx: Context, value: Any) -> tuple[Table, str]:
    owned = tuple(each.name for each in ctx.shape.tables.values() if "ownerid" in each.columns)
    found = entity_reference(ctx, value, owned)
    if found is None:
        raise bad_payload("", "The parameter 'Target' is required.")
    table = ctx.shape.tables[found[0]]
    if "ownerid" not in table.columns:  # code (unverified)
        raise DataverseError(400, "0x80040203", f"Rows of {table.name} have no owner and cannot be shared.")
    return table, found[1]


def _principal(ctx: Context, value: Any, name: str) -> tuple[str, str]:
    found = entity_reference(ctx, value, _PRINCIPALS)
    if found is None or found[0] not in _PRINCIPALS:
        raise bad_payload("", f"The parameter '{name}' must name a user or a team.")
    return found


def _mask(value: Any) -> int:
    names = {name: MASKS[verb] for verb, name in RIGHTS.items()} | {"None": 0}
    if not isinstance(value, str) or not all(each.strip() in names for each in value.split(",")):
        raise bad_query(f"'{value}' is no value of AccessRights.")  # text (unverified)
    return sum({names[each.strip()] for each in value.split(",")})


def _id(table: Table, key: str, principal: str) -> str:
    return metadata_id("share", table.name, key, principal)

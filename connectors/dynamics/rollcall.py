"""Who is missing, of rows that are known by their ids. Dataverse keeps no log of deletions that an integration may ask
(change tracking tells each once), so many ids go into one keyed read, and the privileges tell what absence means."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from connectors.dynamics.client import Client
from connectors.dynamics.protocol import any_of, decoded, ids_per_filter, read
from connectors.dynamics.rows import TABLES
from connectors.rollcall import Absent
from crmbridge.model import Entity

GLOBAL: Final = "global"  # the organization level, as privileges call it


class _Privilege(msgspec.Struct):
    PrivilegeName: str = ""
    Depth: str = ""


class _Privileges(msgspec.Struct):
    RolePrivileges: list[_Privilege] = []


class _Keys(msgspec.Struct):
    value: list[dict[str, Any]]


def depths(client: Client, user_id: str) -> Mapping[str, str]:
    """Privilege -> how deep our user has it, both in small letters. Older environments answer ids without names
    (unverified since when they are told); then there is nothing but ''."""
    path = f"systemusers({user_id})/Microsoft.Dynamics.CRM.RetrieveUserPrivileges()"
    body = client.read(read(path, table="systemuser", kind="privileges")).body
    held = msgspec.json.decode(body, type=_Privileges).RolePrivileges
    return {one.PrivilegeName.casefold(): one.Depth.casefold() for one in held}


def absent(client: Client, user_id: str, entity: Entity, ids: Sequence[str]) -> Absent:
    table = TABLES[entity]
    requests = [
        read(
            table.set,
            table=entity,
            kind="reconcile",
            select=table.key,
            filter=any_of(table.key, ids[start : start + ids_per_filter]),
        )
        for start in range(0, len(ids), ids_per_filter)
    ]
    replies = client.read_all(requests, kind="reconcile") if len(requests) > 1 else map(client.read, requests)
    shown = {str(each[table.key]).casefold() for reply in replies for each in decoded(reply.body, _Keys).value}
    missing = frozenset(id for id in ids if id.casefold() not in shown)
    if not missing:
        return Absent(ids=missing)
    deep = depths(client, user_id).get(f"prvread{table.name}".casefold()) == GLOBAL
    proof = f"it is not there, and our user may read every {entity} of the organization"
    return Absent(ids=missing, proof=proof if deep else "")

"""Who is missing, of rows that are known by their ids. Dataverse keeps no log of deletions that an integration may ask
(change tracking tells each once), so many ids go into one keyed read; what it does not show is read singly."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from connectors.dynamics.client import Client, Reply
from connectors.dynamics.protocol import (
    Request,
    any_of,
    batch_operations_max,
    decoded,
    ids_per_filter,
    read,
    row_path,
)
from connectors.dynamics.rows import TABLES
from connectors.rollcall import Absent
from crmbridge.model import Entity

GLOBAL: Final = "global"  # the organization level, as privileges call it
few: Final = 20  # single reads that are sent along with the question for the right, which may make them useless


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
    return _depths(client.read(_held_by(user_id)))


def _held_by(user_id: str) -> Request:
    path = f"systemusers({user_id})/Microsoft.Dynamics.CRM.RetrieveUserPrivileges()"
    return read(path, table="systemuser", kind="privileges")


def _depths(reply: Reply) -> Mapping[str, str]:
    held = msgspec.json.decode(reply.body, type=_Privileges).RolePrivileges
    return {one.PrivilegeName.casefold(): one.Depth.casefold() for one in held}


def absent(client: Client, user_id: str, entity: Entity, ids: Sequence[str]) -> Absent:
    """Two calls at most for a thousand: one that asks for many ids at a time, and one for each id that it did not show.

    A list may leave out what a single read shows (a plug-in that filters lists), so only the answer to a single read
    counts: "does not exist" to a user who may read everything. Such a user is asked for first: without that right no
    answer would prove anything, and each single read is one more of the day's."""
    table = TABLES[entity]
    lists = [
        read(
            table.set,
            table=entity,
            kind="reconcile",
            select=table.key,
            filter=any_of(table.key, ids[start : start + ids_per_filter]),
        )
        for start in range(0, len(ids), ids_per_filter)
    ]
    right = _held_by(user_id)
    held: Reply | None = None
    if len(lists) > 1:  # a batch anyway
        *replies, held = client.read_all([*lists, right], kind="reconcile")
    else:
        replies = [client.read(each) for each in lists]
    shown = {str(each[table.key]).casefold() for reply in replies for each in decoded(reply.body, _Keys).value}
    missing = [id for id in ids if id.casefold() not in shown]
    if not missing:
        return Absent(ids=frozenset())
    singles = {id: read(row_path(table.set, id), table=entity, kind="reconcile", select=table.key) for id in missing}
    answers: dict[str, Reply] = {}
    if held is None:
        some = missing if len(missing) <= few else []
        held, *first = client.read_all([right, *(singles[id] for id in some)], kind="reconcile", or_forbidden=True)
        answers = dict(zip(some, first, strict=True))
    if not held.done or _depths(held).get(f"prvread{table.name}".casefold()) != GLOBAL:
        return Absent(ids=frozenset(missing))
    rest = [id for id in missing if id not in answers]
    for start in range(0, len(rest), batch_operations_max):
        some = rest[start : start + batch_operations_max]
        found = client.read_all([singles[id] for id in some], kind="reconcile", or_forbidden=True)
        answers |= dict(zip(some, found, strict=True))
    return Absent(
        ids=frozenset(id for id, reply in answers.items() if not reply.done),
        proof=f"it is not there, and our user may read every {entity} of the organization",
        hidden=frozenset(id for id, reply in answers.items() if reply.meaning.kind == "forbidden"),
    )

"""Merge: the loser keeps its id, is deactivated and names its master; what pointed to it points to the master
(dataverse-api §6.2, §6.10; lifecycle §2, §5).
"""

from typing import Any

from crmbridge.sandbox.core import Reply, Row
from crmbridge.sandbox.dynamics import writing
from crmbridge.sandbox.dynamics.context import Context, no_content
from crmbridge.sandbox.dynamics.errors import DataverseError, bad_payload
from crmbridge.sandbox.dynamics.payload import check_parameters, entity_reference, set_lookup
from crmbridge.sandbox.dynamics.tables import Table

_MERGEABLE = ("lead", "account", "contact")
_PARAMETERS = frozenset({"Target", "Subordinate", "UpdateContent", "PerformParentingChecks"})
_INACTIVE = {"lead": 2, "account": 1, "contact": 1}  # a merged lead's state: (unverified), lifecycle §10
_PARENTS = ("parentaccountid", "parentcustomerid", "parentcontactid", "customerid")


def merge(ctx: Context) -> Reply:
    body = ctx.json()
    ctx.note(_kind_of(body.get("Target")), "Merge")
    check_parameters(body, "Merge", _PARAMETERS)
    checks = body.get("PerformParentingChecks", False)
    if not isinstance(checks, bool):  # text (unverified)
        raise bad_payload("", "The parameter 'PerformParentingChecks' of 'Merge' must be a Boolean.")
    target = entity_reference(ctx, body.get("Target"), _MERGEABLE)
    loser = entity_reference(ctx, body.get("Subordinate"), _MERGEABLE)
    if target is None or loser is None or target[0] != loser[0] or target == loser:  # code (unverified)
        raise DataverseError(400, "0x80040203", "Merge needs two different rows of the same table.")
    table = ctx.shape.tables[target[0]]
    rows = ctx.store.rows(table.name)
    for key in (target[1], loser[1]):
        ctx.access.demand_row(table, rows[key], "write")
        if rows[key].get("merged"):  # code (unverified)
            raise DataverseError(400, "0x80040203", f"{table.name} With Id = {key} was merged before.")
    if checks:
        _check_parents(table, rows[target[1]], rows[loser[1]])
    content = body.get("UpdateContent")
    if content is not None and not isinstance(content, dict):
        raise bad_payload("", "The parameter 'UpdateContent' of 'Merge' must be an object.")
    if content:
        writing.update_from(ctx, table, target[1], {name: each for name, each in content.items() if name != table.key})
    _repoint(ctx, table, loser[1], target[1])
    ended: Row = {"merged": True, "masterid": target[1], "statecode": _INACTIVE[table.name]}
    writing.update(ctx, table, loser[1], ended, by_message=True)
    return no_content()


def _kind_of(target: Any) -> str:
    return str(target.get("@odata.type", "")).rpartition(".")[2] if isinstance(target, dict) else ""


def _check_parents(table: Table, target: Row, loser: Row) -> None:
    """Asked for, rows with different parents are not merged: code (unverified), dataverse-api §10.3."""
    for name in _PARENTS:
        if name in table.columns and None not in (one := {target.get(name), loser.get(name)}) and len(one) > 1:
            raise DataverseError(
                400, "0x80040203", f"The two rows of {table.name} have different parents ({name}) and are not merged."
            )


def _repoint(ctx: Context, table: Table, loser: str, winner: str) -> None:
    for referrer in ctx.shape.referrers[table.name]:
        other, column = ctx.shape.tables[referrer.table], referrer.column
        if column.name == "masterid" or column.computed is not None:
            continue
        for key in ctx.store.find(other.name, column.name, loser):
            row = ctx.store.rows(other.name)[key]
            if column.target_of(row).table != table.name:
                continue
            values: Row = {}
            if other is table and key == winner:  # the winner is not made its own parent
                set_lookup(values, column, None, None)
            else:
                set_lookup(values, column, table.name, winner)
            writing.update(ctx, other, key, values, by_message=True)
    _relink(ctx, table, loser, winner)


def _relink(ctx: Context, table: Table, loser: str, winner: str) -> None:
    """Links of many-to-many relationships move too, but never twice to the same row."""
    for association in ctx.shape.associated[table.name]:
        (_, own), (_, other) = association.sides(table.name)
        rows = ctx.store.rows(association.table)
        there = {rows[each][other] for each in ctx.store.find(association.table, own, winner)}
        for each in ctx.store.find(association.table, own, loser):
            row = rows[each]
            if row[other] in there:
                ctx.store.remove(association.table, each)
            else:
                ctx.store.put(association.table, each, {**row, own: winner})

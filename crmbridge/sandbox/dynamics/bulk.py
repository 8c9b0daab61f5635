"""CreateMultiple, UpdateMultiple, UpsertMultiple on standard tables: all or nothing (dataverse-api §4.7)."""

from typing import Any

from crmbridge.sandbox.core import Reply, Row
from crmbridge.sandbox.dynamics import writing
from crmbridge.sandbox.dynamics.context import Context, answer, no_content
from crmbridge.sandbox.dynamics.errors import bad_payload, missing_row
from crmbridge.sandbox.dynamics.payload import locate
from crmbridge.sandbox.dynamics.shape import Table
from crmbridge.sandbox.dynamics.values import guid


def perform(ctx: Context, table: Table, name: str) -> Reply:
    targets = ctx.json().get("Targets")
    verb = {"CreateMultiple": "create", "UpdateMultiple": "update", "UpsertMultiple": "upsert"}[name]
    if not isinstance(targets, list) or not all(isinstance(each, dict) for each in targets) or not targets:
        ctx.note(table.name, verb)
        raise bad_payload(table.set_name, f"The parameter 'Targets' of '{name}' must be a collection of rows.")
    for _ in targets:
        ctx.note(table.name, verb)
    ids = [_one(ctx, table, verb, body) for body in targets]
    if verb != "create":
        return no_content()
    return answer({"@odata.context": f"{ctx.base}/$metadata#Microsoft.Dynamics.CRM.CreateMultipleResponse", "Ids": ids})


def _one(ctx: Context, table: Table, verb: str, body: dict[str, Any]) -> str:
    declared = str(body.get("@odata.type", "")).rpartition(".")[2]
    if declared != table.name:
        raise bad_payload(table.set_name, f"Each target needs '@odata.type': 'Microsoft.Dynamics.CRM.{table.name}'.")
    if verb == "create":
        return writing.create_from(ctx, table, body)[table.key]
    url, key = body.get("@odata.id"), guid(body.get(table.key))
    forced: Row = {}
    if isinstance(url, str):
        other, found = locate(ctx, url)
        if other is not table:
            raise bad_payload(table.set_name, f"'{url}' is no row of '{table.set_name}'.")
        key, forced = found.id, dict(found.alternate)
    if key is not None and ctx.store.get(table.name, key) is not None:
        writing.update_from(ctx, table, key, body, forced)
        return key
    if verb == "update":
        raise missing_row(table.name, key or "")
    if key is not None:
        forced[table.key] = key
    return writing.create_from(ctx, table, body, forced)[table.key]

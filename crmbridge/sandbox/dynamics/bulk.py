"""CreateMultiple, UpdateMultiple, UpsertMultiple and DeleteMultiple (dataverse-api §4.7).

On standard tables a message is all or nothing and has no number of rows as its limit; on elastic ones it takes at most
100 and rows that fail do not undo the others.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from crmbridge.sandbox.core import Reply, Row
from crmbridge.sandbox.dynamics import deleting, writing
from crmbridge.sandbox.dynamics.context import Context, answer, key_missing, no_content
from crmbridge.sandbox.dynamics.errors import DataverseError, bad_payload, missing_row
from crmbridge.sandbox.dynamics.payload import locate
from crmbridge.sandbox.dynamics.tables import Table
from crmbridge.sandbox.dynamics.values import guid

MESSAGES = {
    "CreateMultiple": "create",
    "UpdateMultiple": "update",
    "UpsertMultiple": "upsert",
    "DeleteMultiple": "delete",
}
ELASTIC_MAX = 100
_ADDRESS = frozenset({"@odata.id", "@odata.type", "@odata.etag"})

Target = dict[str, Any]


def perform(ctx: Context, table: Table, name: str) -> Reply:
    verb = MESSAGES[name]
    ctx.note(table.name, verb)
    if verb == "delete" and not table.elastic:  # elastic tables only; code and text (unverified)
        raise DataverseError(400, "0x80040216", f"{name} has not yet been implemented.")
    body = ctx.json()
    unknown = [each for each in body if each != "Targets" and "@" not in each]
    if unknown:
        raise bad_payload(
            table.set_name, f"The parameter '{unknown[0]}' is not a valid parameter for the operation '{name}'."
        )
    targets = body.get("Targets")
    if not isinstance(targets, list) or not all(isinstance(each, dict) for each in targets) or not targets:
        raise bad_payload(table.set_name, f"The parameter 'Targets' of '{name}' must be a collection of rows.")
    ctx.noted.extend([(table.name, verb)] * (len(targets) - 1))
    for each in targets:
        _check_type(table, each)
    one = _VERBS[verb]
    if table.elastic:
        return _partially(ctx, table, name, targets, one)
    ids = [one(ctx, table, each) for each in targets]
    return no_content() if verb != "create" else _created(ctx, ids)


def _created(ctx: Context, ids: list[str]) -> Reply:
    return answer({"@odata.context": f"{ctx.base}/$metadata#Microsoft.Dynamics.CRM.CreateMultipleResponse", "Ids": ids})


def _check_type(table: Table, target: Target) -> None:
    kind = target.get("@odata.type")
    if not isinstance(kind, str) or kind.removeprefix("#") != f"Microsoft.Dynamics.CRM.{table.name}":
        raise bad_payload(table.set_name, f"Each target needs '@odata.type': 'Microsoft.Dynamics.CRM.{table.name}'.")


def _create(ctx: Context, table: Table, target: Target) -> str:
    return writing.create_from(ctx, table, target)[table.key]


def _address(ctx: Context, table: Table, target: Target) -> tuple[str | None, Row]:
    """(id of the row that the target names, values of the alternate key by which it does)."""
    url, key = target.get("@odata.id"), guid(target.get(table.key))
    if not isinstance(url, str):
        return key, {}
    other, found = locate(ctx, url)
    if other is not table:
        raise bad_payload(table.set_name, f"'{url}' is no row of '{table.set_name}'.")
    return found.id, dict(found.alternate)


def _update(ctx: Context, table: Table, target: Target) -> str:
    key, by_key = _address(ctx, table, target)
    if key is None and by_key:  # dataverse-api §10.3
        raise key_missing(table)
    if key is None or ctx.store.get(table.name, key) is None:
        raise missing_row(table.name, key or "")
    writing.update_from(ctx, table, key, target, by_key)
    return key


def _upsert(ctx: Context, table: Table, target: Target) -> str:
    key, by_key = _address(ctx, table, target)
    if key is not None and ctx.store.get(table.name, key) is not None:
        writing.update_from(ctx, table, key, target, by_key)
        return key
    forced: Row = {} if key is None else {table.key: key}
    return writing.create_from(ctx, table, target, forced, by_key=by_key)[table.key]


def _delete(ctx: Context, table: Table, target: Target) -> str:
    key, _ = _address(ctx, table, target)
    unknown = set(target) - _ADDRESS - {table.key}
    if key is None or unknown:
        raise bad_payload(table.set_name, "A target of 'DeleteMultiple' names a row by its key and holds nothing else.")
    deleting.delete(ctx, table, key)
    return key


_VERBS: dict[str, Callable[[Context, Table, Target], str]] = {
    "create": _create, "update": _update, "upsert": _upsert, "delete": _delete,
}  # fmt: skip


def _partially(
    ctx: Context, table: Table, name: str, targets: list[Target], one: Callable[[Context, Table, Target], str]
) -> Reply:
    """Elastic: each row for itself. The answer's form when some fail is (unverified)."""
    if len(targets) > ELASTIC_MAX:  # text (unverified)
        raise DataverseError(
            400, "0x80040203", f"'{name}' on an elastic table takes at most {ELASTIC_MAX} rows, not {len(targets)}."
        )
    ids: list[str] = []
    failed: list[dict[str, Any]] = []
    for index, each in enumerate(targets):
        try:
            with ctx.store.transaction():
                ids.append(one(ctx, table, each))
        except DataverseError as error:
            failed.append(
                {"RequestIndex": index, "Id": each.get(table.key), "StatusCode": error.status, **_said(error)}
            )
    if not failed:
        return _created(ctx, ids) if name == "CreateMultiple" else no_content()
    details = msgspec.json.encode(failed).decode()
    first = failed[0]
    return answer(
        {
            "error": {
                "code": first["ErrorCode"],
                "message": first["Message"],
                "@Microsoft.PowerApps.CDS.ErrorDetails.Plugin.BulkApiErrorDetails": details,
            }
        },
        first["StatusCode"],
    )


def _said(error: DataverseError) -> dict[str, Any]:
    return {"ErrorCode": error.code, "Message": error.message}

"""Requests that change alternate keys: making one, deleting one, building its index again (dataverse-api §4.5)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from crmbridge.sandbox.core import Reply
from crmbridge.sandbox.dynamics.columns import Column
from crmbridge.sandbox.dynamics.context import Context, no_content
from crmbridge.sandbox.dynamics.errors import DataverseError, bad_payload, bad_query, not_served
from crmbridge.sandbox.dynamics.key_index import keep, keys_of
from crmbridge.sandbox.dynamics.metadata_members import metadata_id
from crmbridge.sandbox.dynamics.payload import check_parameters
from crmbridge.sandbox.dynamics.tables import Key, Table

KEYS_MAX, COLUMNS_MAX, KEY_BYTES_MAX = 10, 16, 900  # §4.5
KINDS = frozenset({"Decimal", "Integer", "String", "DateTime", "Lookup", "Picklist"})  # §4.5
_MEMBERS = frozenset({"@odata.type", "SchemaName", "LogicalName", "DisplayName", "KeyAttributes"})
_TEXT_LENGTH, _OTHER_BYTES = 100, 16


def change(ctx: Context, method: str, table: Table, wanted: Mapping[str, str] | None) -> Reply:
    """`POST …/Keys` and `DELETE …/Keys(…)`; `wanted` is what stands between the parentheses."""
    if method == "POST" and wanted is None:
        return _create(ctx, table)
    if method == "DELETE" and wanted is not None:
        found = keys_of(ctx.store, ctx.now, table)
        gone = [key for key in found if _is(table, key, wanted)]
        if not gone:  # §10.3; text (unverified)
            raise DataverseError(404, "0x80060888", f"Could not find such a key of '{table.name}'.")
        keep(ctx.store, table, tuple(key for key in ctx.store.keys[table.name] if key.name != gone[0].name))
        return no_content()
    raise not_served("changes of alternate keys other than making and deleting them (§4.5)")


def _is(table: Table, key: Key, wanted: Mapping[str, str]) -> bool:
    mine = {"MetadataId": metadata_id(table.name, "key", key.name), "LogicalName": key.name.lower()}
    return bool(wanted) and all(mine.get(name, "").lower() == value.lower() for name, value in wanted.items())


def _create(ctx: Context, table: Table) -> Reply:
    body = ctx.json()
    check_parameters(body, "EntityKeyMetadata", _MEMBERS)
    name, columns = body.get("SchemaName"), body.get("KeyAttributes")
    if not isinstance(name, str) or not name:  # text (unverified), as below
        raise bad_payload("", "The property 'SchemaName' of a key is required.")
    if not isinstance(columns, list) or not columns or not all(isinstance(each, str) for each in columns):
        raise bad_payload("", "The property 'KeyAttributes' of a key must be a list of column names.")
    columns = [each.lower() for each in columns]
    found = keys_of(ctx.store, ctx.now, table)
    _check(table, columns, found)
    if any(key.name.lower() == name.lower() for key in found):
        raise _refused(f"An entity key with the name {name} already exists on '{table.name}'.")
    key = Key(name=name, columns=tuple(columns), status="Pending", label=_label(body), made=ctx.now)
    keep(ctx.store, table, (*ctx.store.keys[table.name], key))
    own, parent = metadata_id(table.name, "key", name), metadata_id(table.name)
    return no_content((("OData-EntityId", f"{ctx.base}/EntityDefinitions({parent})/Keys({own})"),))


def _check(table: Table, columns: list[str], found: tuple[Key, ...]) -> None:
    """§4.5; the code and the texts are (unverified)."""
    if len(found) >= KEYS_MAX:
        raise _refused(f"'{table.name}' has {KEYS_MAX} entity keys already.")
    if len(columns) > COLUMNS_MAX or len(set(columns)) != len(columns):
        raise _refused(f"An entity key has 1 to {COLUMNS_MAX} different columns.")
    for name in columns:
        column = table.columns.get(name)
        if column is None:
            raise _refused(f"Attribute '{name}' cannot be found on '{table.name}'.")
        if column.kind not in KINDS:
            raise _refused(f"Attribute '{name}' of type {column.kind} cannot be part of an entity key.")
    if sum(_bytes(table.columns[name]) for name in columns) > KEY_BYTES_MAX:
        raise _refused(f"The columns of an entity key are together longer than {KEY_BYTES_MAX} bytes.")


def _bytes(column: Column) -> int:
    return 2 * (column.max_length or _TEXT_LENGTH) if column.kind == "String" else _OTHER_BYTES


def _refused(message: str) -> DataverseError:
    return DataverseError(400, "0x80060890", message)  # §4.5 knows the code for key attributes; here (unverified)


def _label(body: Mapping[str, Any]) -> str | None:
    shown: Any = body.get("DisplayName")
    if shown is None:
        return None
    given: Any = shown.get("LocalizedLabels") if isinstance(shown, dict) else None
    texts = [each.get("Label") for each in given if isinstance(each, dict)] if isinstance(given, list) else []
    if not texts or not isinstance(texts[0], str):
        raise bad_payload("", "The property 'DisplayName' must be a Label with LocalizedLabels.")  # text (unverified)
    return texts[0]


def reactivate(ctx: Context) -> Reply:
    """ReactivateEntityKey builds the index of a failed key again (§4.5)."""
    body = ctx.json()
    check_parameters(body, "ReactivateEntityKey", frozenset({"EntityLogicalName", "EntityKeyLogicalName"}))
    table = ctx.shape.tables.get(str(body.get("EntityLogicalName")))
    name = str(body.get("EntityKeyLogicalName")).lower()
    if table is None:
        raise bad_query(f"The entity with a name = '{body.get('EntityLogicalName')}' was not found.")  # (unverified)
    found = keys_of(ctx.store, ctx.now, table)
    key = next((each for each in found if each.name.lower() == name), None)
    if key is None:  # text (unverified)
        raise bad_query(f"The entity key '{name}' of '{table.name}' was not found.")
    if key.status == "Failed":  # one that stands has nothing to be built (unverified)
        again = replace(key, status="Pending", made=ctx.now)
        keep(ctx.store, table, tuple(again if each.name == key.name else each for each in ctx.store.keys[table.name]))
    return no_content()

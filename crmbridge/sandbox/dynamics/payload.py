"""Bodies of writes to column values: binds, annotations, nested rows, and what the service refuses in them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.dynamics.columns import Column, Target
from crmbridge.sandbox.dynamics.context import Context, RowKey, key_missing, resolve_key, segments
from crmbridge.sandbox.dynamics.errors import DataverseError, bad_payload, bad_query, missing_row, missing_segment
from crmbridge.sandbox.dynamics.tables import Association, Referrer, Table
from crmbridge.sandbox.dynamics.values import accept, guid

BIND = "@odata.bind"
EXACT = 10  # places of money that a body may bring; its currency rounds it once that is known (dataverse-api §11)
_SERVICE_ROOT = re.compile(r"^(?:https?://[^/]+)?/?api/data/v\d+\.\d+/", re.IGNORECASE)


Bodies = list[dict[str, Any]]


@dataclass(slots=True, kw_only=True)
class Changes:
    values: Row = field(default_factory=dict[str, Any])  # kept forms by logical name; None clears
    parents: list[tuple[Column, Table, dict[str, Any]]] = field(default_factory=list)  # rows to make first
    # rows to make, and ids of rows to link, afterwards
    children: list[tuple[Referrer, Bodies, list[str]]] = field(default_factory=list)
    associates: list[tuple[Association, Bodies, list[str]]] = field(default_factory=list)

    @property
    def nested(self) -> bool:
        return bool(self.parents or self.children or self.associates)


def read_changes(ctx: Context, table: Table, body: Mapping[str, Any]) -> Changes:
    changes = Changes()
    values = changes.values
    columns = table.columns
    for name, value in body.items():
        column = columns.get(name)
        if column is not None and not column.is_lookup:
            values[column.name] = accept(table, column, value, EXACT)
        elif name.endswith(BIND):
            _bind(ctx, table, name.removesuffix(BIND), value, changes)
        elif "@" in name:
            continue  # annotations are accepted and ignored: dataverse-api §4.1
        elif name in table.navigations:
            _navigate(table, name, value, changes, ctx)
        elif isinstance(value, list) and _collect(ctx, table, name, value, changes):
            continue
        elif name in table.by_wire:  # text (unverified)
            raise bad_payload(
                table.set_name,
                "CRM do not support direct update of Entity Reference properties, Use Navigation properties instead.",
            )
        else:
            raise bad_payload(
                table.set_name, f"Invalid property '{name}' was found in entity 'Microsoft.Dynamics.CRM.{table.name}'."
            )
    return changes


def _collect(ctx: Context, table: Table, name: str, value: list[Any], changes: Changes) -> bool:
    """Rows under a collection navigation are made (deep insert, §4.1), URLs of `@odata.bind` are linked (§4.3)."""
    referrer = ctx.shape.collection(table.name, name)
    association = ctx.shape.association(table.name, name)
    if referrer is None and association is None:
        return False
    bodies: Bodies = []
    existing: list[str] = []
    wanted = referrer.table if referrer is not None else association.sides(table.name)[1][0] if association else ""
    for each in value:
        if isinstance(each, dict):
            bodies.append(each)
        elif isinstance(each, str):
            other, key = reference(ctx, each)
            if other.name != wanted:  # text (unverified)
                raise bad_payload(table.set_name, f"'{each}' is no row of {wanted}, which '{name}' holds.")
            existing.append(key)
        else:  # text (unverified)
            raise bad_payload(table.set_name, f"'{name}' must hold objects.")
    if referrer is not None:
        changes.children.append((referrer, bodies, existing))
    elif association is not None:
        changes.associates.append((association, bodies, existing))
    return True


def _undeclared(table: Table, name: str) -> DataverseError:
    """A lookup written by its wire name or with a navigation name in other case (dataverse-api §2.6)."""
    return bad_payload(
        table.set_name,
        f"An undeclared property '{name}' which only has property annotations in the payload but no property "
        "value was found "
        "in the payload. In OData, only declared navigation properties and declared named streams can be "
        "represented as "
        "properties without values.",
    )


def _bind(ctx: Context, table: Table, name: str, value: Any, changes: Changes) -> None:
    navigation = table.navigations.get(name)
    if navigation is None and isinstance(value, list) and _collect(ctx, table, name, value, changes):
        return
    if navigation is None:  # wrong case, or a polymorphic lookup without its target: dataverse-api §2.6
        raise _undeclared(table, name)
    column, targets = navigation
    if value is None:
        set_lookup(changes.values, column, None, None)
        return
    if not isinstance(value, str):
        raise bad_payload(table.set_name, f"The value of '{name}{BIND}' must be a URL.")
    other, key = reference(ctx, value)
    if not any(target.table == other.name for target in targets):
        raise bad_payload(
            table.set_name,
            f"The URI '{value}' of '{name}{BIND}' is not valid because it is not based on "
            f"'{', '.join(ctx.shape.tables[target.table].set_name for target in targets)}'.",
        )
    set_lookup(changes.values, column, other.name, key)


def _navigate(table: Table, name: str, value: Any, changes: Changes, ctx: Context) -> None:
    column, targets = table.navigations[name]
    if value is None:
        set_lookup(changes.values, column, None, None)
    elif isinstance(value, dict):
        other = ctx.shape.tables[_declared_target(value, targets).table]
        known = guid(value.get(other.key))
        if known is not None and set(value) <= {other.key, "@odata.type", "@odata.id", "@odata.etag"}:
            if ctx.store.get(other.name, known) is None:  # a plain reference, as some clients send it (unverified)
                raise missing_row(other.name, known)
            set_lookup(changes.values, column, other.name, known)
        else:
            changes.parents.append((column, other, value))  # deep insert: dataverse-api §4.1
    else:
        raise bad_payload(
            table.set_name,
            "A 'PrimitiveValue' node with non-null value was found when trying to read the value of the "
            f"property '{name}'; "
            "however, a 'StartArray' node, a 'StartObject' node, or a 'PrimitiveValue' node with null value was "
            "expected.",
        )


def _declared_target(value: Mapping[str, Any], targets: tuple[Target, ...]) -> Target:
    kind = str(value.get("@odata.type", "")).rpartition(".")[2]
    return next((target for target in targets if target.table == kind), targets[0])


def set_lookup(values: Row, column: Column, table: str | None, key: str | None) -> None:
    """Setting one target of a polymorphic lookup clears the other: one column holds both."""
    values[column.name] = key
    if column.polymorphic:
        values[column.type_key] = table


def reference(ctx: Context, url: str) -> tuple[Table, str]:
    """The row that a URL names: `/set(id)`, `set(id)`, absolute, by alternate key, or `$1` inside a change set."""
    table, key = locate(ctx, url)
    if key.id is None:
        raise key_missing(table)
    if ctx.store.get(table.name, key.id) is None:
        raise missing_row(table.name, key.id)  # dataverse-api §10.2; status (unverified)
    return table, key.id


_TARGET = re.compile(r"""\{\s*["']@odata\.id["']\s*:\s*["']([^"']+)["']\s*\}""")


def named_row(ctx: Context, text: str) -> tuple[Table, str]:
    """The row that a function's parameter names: `{'@odata.id':'leads(id)'}` (lifecycle §6)."""
    named = _TARGET.fullmatch(text.strip())
    if named is None:
        raise bad_query(f"The parameter Target names no row: '{text}'.")  # text (unverified)
    return reference(ctx, named[1])


def locate(ctx: Context, url: str) -> tuple[Table, RowKey]:
    if url.startswith("$"):
        target = ctx.references.get(url[1:])
        if target is None:
            raise DataverseError(
                400, "0x80060888", f"Content-ID Reference: '{url}' does not exist in the batch context."
            )  # dataverse-api §4.6
        url = target
    path = segments(_SERVICE_ROOT.sub("", url).lstrip("/"))
    table = ctx.shape.by_set.get(path[0].name) if path else None
    if table is None or len(path) != 1 or path[0].key is None:
        raise missing_segment(path[0].name if path else url)
    return table, resolve_key(ctx, table, path[0].key)


def entity_reference(ctx: Context, value: Any, allowed: tuple[str, ...]) -> tuple[str, str] | None:
    """A row named by an action's parameter: (table, id); null and `{}` mean none (dataverse-api §6.6)."""
    if value is None or value == {}:
        return None
    if not isinstance(value, dict):
        raise bad_payload("", "An action parameter of an entity type must be an object.")
    url = value.get("@odata.id")
    if isinstance(url, str):
        table, key = reference(ctx, url)
        return table.name, key
    kind = str(value.get("@odata.type", "")).rpartition(".")[2]
    names = [name for name in allowed if name == kind] or [
        name for name in allowed if ctx.shape.tables[name].key in value
    ]
    for name in names:
        key = guid(value.get(ctx.shape.tables[name].key))
        if key is not None:
            if ctx.store.get(name, key) is None:
                raise missing_row(name, key)
            return name, key
    raise bad_payload("", f"The action parameter does not name a row of {', '.join(allowed)}.")


def check_parameters(body: Mapping[str, Any], action: str, known: frozenset[str]) -> None:
    """An action's parameters are closed: dataverse-api §10.3."""
    for name in body:
        if "@" not in name and name not in known:
            raise bad_payload(
                "",
                f"The parameter '{name}' in the request payload is not a valid parameter for the operation '{action}'.",
            )

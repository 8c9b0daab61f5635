"""What `query?columns=true` says of a query's columns; the Salesforce CLI asks for it (salesforce-api §2.1, §12)."""

from collections.abc import Iterator
from typing import Any, Final

from crmbridge.sandbox.salesforce import aggregates
from crmbridge.sandbox.salesforce.children import Children
from crmbridge.sandbox.salesforce.columns import Scope
from crmbridge.sandbox.salesforce.functions import innermost, resolve
from crmbridge.sandbox.salesforce.query import Engine
from crmbridge.sandbox.salesforce.schema import NUMBER, TEXT, Field
from crmbridge.sandbox.salesforce.soql_tree import FieldPath, Function, Query, Selected

_APEX: Final = {"id": "Id", "reference": "Id", "boolean": "Boolean", "int": "Integer", "date": "Date"} | {
    "datetime": "Datetime",
    "time": "Time",
    "double": "Double",
    "percent": "Double",
    "currency": "Decimal",
    "address": "Address",
}


def metadata(engine: Engine, query: Query) -> dict[str, Any]:
    """The columns alone, no rows; a query that could not run is refused as if it had."""
    engine.run(query)
    scope = engine.scope(query)
    grouped = aggregates.aggregated(query)
    columns = list(_grouped(scope) if grouped else _plain(engine, scope))
    return {
        "columnMetadata": columns,
        "entityName": scope.sobject.name,
        "groupBy": bool(query.group),
        "idSelected": any(each["columnName"] == "Id" for each in columns),
        "keyPrefix": scope.sobject.document.key_prefix,
    }


def _entry(name: str, field: Field | None, **changed: Any) -> dict[str, Any]:
    kind = field.type if field else ""
    number = kind in NUMBER or kind == "int"
    return {
        "aggregate": False,
        "apexType": _APEX.get(kind, "String") if field else None,
        "booleanType": kind == "boolean",
        "columnName": name,
        "custom": bool(field and field.custom),
        "displayName": name,
        "foreignKeyName": None,
        "insertable": bool(field and field.createable),
        "joinColumns": [],
        "numberType": number,
        "textType": kind in TEXT,
        "updatable": bool(field and field.updateable),
    } | changed


def _plain(engine: Engine, scope: Scope) -> Iterator[dict[str, Any]]:
    """A field by its name; a parent as a column that joins its fields, a subquery as one that joins its rows'."""
    parents: dict[str, dict[str, Any]] = {}
    for item in scope.query.items:
        if isinstance(item, Query):
            child, reference = Children(engine, 0).relationship(item, scope)
            inner = engine.child_scope(item, child, scope)
            name = reference.child_relationship_name or item.source
            yield _entry(name, None, aggregate=True, joinColumns=list(_plain(engine, inner)))
        elif isinstance(item, Selected):
            yield from _selected(scope, item, parents)
        else:
            (reference, *_), _targets = scope.hops(item.path, scope.plain(item.path))
            yield _entry(reference.relationship_name or item.path.parts[0], None, foreignKeyName=reference.name)


def _selected(scope: Scope, item: Selected, parents: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    expression = item.expression
    if isinstance(expression, Function) and expression.name == "FIELDS":
        which = str(expression.inner).upper()
        for field in scope.sobject.fields.values():
            if which == "ALL" or field.custom is (which == "CUSTOM"):
                yield _entry(field.name, field)
        return
    column, path = resolve(scope, expression), innermost(expression)
    if item.alias or path is None:
        yield _entry(item.alias or "expr0", column.field, displayName=str(expression))
        return
    parts = scope.plain(path)
    hops, _ = scope.hops(path, parts[:-1])
    name = scope.column(path).field.name
    if not hops:
        yield _entry(name, column.field)
        return
    joined: list[dict[str, Any]] | None = None
    reached = ""
    for hop, part in zip(hops, parts, strict=False):
        relation = hop.relationship_name or part
        reached += f"{relation}."
        if reached not in parents:
            parents[reached] = _entry(relation, None, foreignKeyName=hop.name)
            if joined is None:
                yield parents[reached]
            else:
                joined.append(parents[reached])
        joined = parents[reached]["joinColumns"]
    assert joined is not None, "a path with parents goes through one"
    joined.append(_entry(name, column.field))


def _grouped(scope: Scope) -> Iterator[dict[str, Any]]:
    """Aggregates go by their alias or expr0, and show what they are."""
    if aggregates.counts_alone(scope.query):
        yield _entry("count", None, aggregate=True, apexType="Integer", displayName="count()", numberType=True)
        return
    for item, (name, column) in zip(scope.query.items, aggregates.Groups(scope).shown(), strict=True):
        expression = item.expression if isinstance(item, Selected) else None
        plain = isinstance(expression, FieldPath)
        display = name if plain or expression is None else str(expression)
        yield _entry(name, column.field, aggregate=not plain, displayName=display, insertable=False, updatable=False)

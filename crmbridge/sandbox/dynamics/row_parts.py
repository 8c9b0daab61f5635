"""Writes below a row: a column by itself, and references that link and unlink rows (dataverse-api §4.2, §4.3)."""

from collections.abc import Mapping
from typing import Any

from crmbridge.sandbox.core import Reply, Row
from crmbridge.sandbox.dynamics import associations, writing
from crmbridge.sandbox.dynamics.context import Context, Segment, no_content, query_options
from crmbridge.sandbox.dynamics.errors import bad_method, bad_payload, missing_row, missing_segment
from crmbridge.sandbox.dynamics.payload import reference, set_lookup
from crmbridge.sandbox.dynamics.tables import Table


def change_property(ctx: Context, method: str, table: Table, row: Row, name: str) -> Reply:
    """`PUT leads(id)/subject {"value": …}`, `DELETE leads(id)/subject`: dataverse-api §4.2"""
    column = table.columns.get(name)
    if column is None or column.is_lookup:
        raise missing_segment(name)
    value: Any = None
    if method == "PUT":
        body = ctx.json()
        if [member for member in body if "@" not in member] != ["value"]:  # text (unverified)
            raise bad_payload(table.set_name, f"The body of a PUT to '{name}' has the member 'value' and no other.")
        value = body["value"]
    writing.update_from(ctx, table, row[table.key], {name: value})
    return no_content()


def change_reference(ctx: Context, method: str, table: Table, row: Row, segment: Segment) -> Reply:
    """Associate and disassociate: dataverse-api §4.3"""
    single = table.navigations.get(segment.name)
    if single is not None:
        column, targets = single
        values: Row = {}
        if method == "PUT":
            other, key = reference(ctx, _target_url(ctx.json()))
            if not any(target.table == other.name for target in targets):
                raise bad_payload(table.set_name, f"'{segment.name}' cannot point to {other.name}.")
            set_lookup(values, column, other.name, key)
        elif method == "DELETE":
            set_lookup(values, column, None, None)
        else:
            raise bad_method(method)
        writing.change(ctx, table, row[table.key], values)
        return no_content()
    association = ctx.shape.association(table.name, segment.name)
    if association is not None:
        related = ctx.shape.tables[association.sides(table.name)[1][0]]
        key = _other_end(ctx, method, table, related, segment)
        if method == "POST":
            associations.link(ctx, association, table.name, row[table.key], key)
        else:
            associations.unlink(ctx, association, table, row[table.key], key)
        return no_content()
    referrer = ctx.shape.collection(table.name, segment.name)
    if referrer is None:
        raise missing_segment(segment.name)
    related = ctx.shape.tables[referrer.table]
    key = _other_end(ctx, method, table, related, segment)
    link: Row = {}
    if method == "POST":
        set_lookup(link, referrer.column, table.name, row[table.key])
    elif ctx.store.rows(related.name)[key].get(referrer.column.name) == row[table.key]:
        set_lookup(link, referrer.column, None, None)
    else:
        raise missing_row(related.name, key)
    writing.change(ctx, related, key, link)
    return no_content()


def _other_end(ctx: Context, method: str, table: Table, related: Table, segment: Segment) -> str:
    """The row to link, named in the body, or the one to unlink, named in the URL (dataverse-api §4.3)."""
    options, _ = query_options(ctx.query)
    if method == "POST":
        named = _target_url(ctx.json())
    elif method == "DELETE" and segment.key is not None:
        named = f"{related.set_name}({segment.key})"
    elif method == "DELETE" and "$id" in options:
        named = options["$id"]
    else:
        raise bad_method(method)
    other, key = reference(ctx, named)
    if other is not related:
        raise bad_payload(table.set_name, f"'{segment.name}' holds rows of {related.name}, not of {other.name}.")
    return key


def _target_url(body: Mapping[str, Any]) -> str:
    url = body.get("@odata.id")
    if not isinstance(url, str) or any("@" not in name for name in body):  # text (unverified)
        raise bad_payload("", "The body of a reference has the member '@odata.id' and no other.")
    return url

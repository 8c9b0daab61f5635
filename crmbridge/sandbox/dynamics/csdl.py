"""$metadata: the CSDL document, made from the shape (dataverse-api §5)."""

from collections.abc import Iterable
from urllib.parse import parse_qsl
from xml.sax.saxutils import quoteattr

from crmbridge.sandbox.core import Reply
from crmbridge.sandbox.dynamics.context import Context
from crmbridge.sandbox.dynamics.csdl_operations import imports, operations
from crmbridge.sandbox.dynamics.errors import bad_query
from crmbridge.sandbox.dynamics.literals import edm_type
from crmbridge.sandbox.dynamics.shape import Shape
from crmbridge.sandbox.dynamics.tables import Table


def csdl(ctx: Context) -> Reply:
    annotated = _annotated(ctx)
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>',
        '<Schema Namespace="Microsoft.Dynamics.CRM" Alias="mscrm" xmlns="http://docs.oasis-open.org/odata/ns/edm">',
        '<EntityType Name="crmbaseentity" Abstract="true" />',
        *(line for table in ctx.shape.tables.values() for line in _entity_type(ctx.shape, table, annotated=annotated)),
        *operations(),
        '<EntityContainer Name="System">',
        *(line for table in ctx.shape.tables.values() for line in _entity_set(ctx.shape, table, annotated=annotated)),
        *imports(),
        "</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>",
    ]
    headers = (("Content-Type", "application/xml"), ("OData-Version", "4.0"))
    return Reply(status=200, headers=headers, body="\n".join(lines).encode())


def _annotated(ctx: Context) -> bool:
    """`?annotations=true` adds what a column may be used for and which sets track changes (§5)."""
    options = dict(parse_qsl(ctx.query, keep_blank_values=True))
    wanted = options.pop("annotations", "false").lower()
    if options or wanted not in {"true", "false"}:  # text (unverified)
        raise bad_query("The query of a metadata document is annotations=true or annotations=false.")
    return wanted == "true"


_READ_ONLY = (
    '<Annotation Term="Org.OData.Core.V1.Permissions">'
    "<EnumMember>Org.OData.Core.V1.PermissionType/Read</EnumMember></Annotation>"
)
_TRACKED = (
    '<Annotation Term="Org.OData.Capabilities.V1.ChangeTracking"><Record>'
    '<PropertyValue Property="Supported" Bool="true" /></Record></Annotation>'
)


def _entity_type(shape: Shape, table: Table, *, annotated: bool) -> Iterable[str]:
    yield f'<EntityType Name={quoteattr(table.name)} BaseType="mscrm.crmbaseentity">'
    yield f"<Key><PropertyRef Name={quoteattr(table.key)} /></Key>"
    for column in table.columns.values():
        scale = ' Scale="Variable"' if edm_type(column) == "Edm.Decimal" else ""
        head = f"<Property Name={quoteattr(column.wire)} Type={quoteattr(edm_type(column))}{scale}"
        fixed = annotated and not column.create and not column.update
        yield f"{head}>{_READ_ONLY}</Property>" if fixed else f"{head} />"
    for navigation, (column, targets) in table.navigations.items():
        kind = targets[0].table if len(targets) == 1 else "crmbaseentity"
        constraint = (
            f"<ReferentialConstraint Property={quoteattr(column.wire)} "
            f"ReferencedProperty={quoteattr(shape.tables[kind].key)} />"
            if len(targets) == 1
            else ""
        )
        head = f"<NavigationProperty Name={quoteattr(navigation)} Type={quoteattr('mscrm.' + kind)}>"
        yield f"{head}{constraint}</NavigationProperty>"
    for referrer in shape.referrers[table.name]:
        kind = f"Collection(mscrm.{referrer.table})"
        yield f"<NavigationProperty Name={quoteattr(referrer.target.many)} Type={quoteattr(kind)} />"
    for association in shape.associated[table.name]:
        kind = f"Collection(mscrm.{association.sides(table.name)[1][0]})"
        yield f"<NavigationProperty Name={quoteattr(association.name)} Type={quoteattr(kind)} />"
    yield "</EntityType>"


def _entity_set(shape: Shape, table: Table, *, annotated: bool) -> Iterable[str]:
    yield f"<EntitySet Name={quoteattr(table.set_name)} EntityType={quoteattr('Microsoft.Dynamics.CRM.' + table.name)}>"
    for navigation, (_, targets) in table.navigations.items():
        if len(targets) == 1:
            target = shape.tables[targets[0].table].set_name
            yield f"<NavigationPropertyBinding Path={quoteattr(navigation)} Target={quoteattr(target)} />"
    if annotated and table.change_tracking:
        yield _TRACKED
    yield "</EntitySet>"

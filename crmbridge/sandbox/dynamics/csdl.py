"""$metadata: the CSDL document, made from the shape (dataverse-api §5).

Partners, bindings of collections and alternate keys stand where a real environment's document has them.
"""

from collections.abc import Iterable, Sequence
from urllib.parse import parse_qsl
from xml.sax.saxutils import quoteattr

from crmbridge.sandbox.core import Reply
from crmbridge.sandbox.dynamics.context import Context
from crmbridge.sandbox.dynamics.csdl_operations import imports, operations
from crmbridge.sandbox.dynamics.errors import bad_query
from crmbridge.sandbox.dynamics.key_index import keys_of
from crmbridge.sandbox.dynamics.literals import edm_type
from crmbridge.sandbox.dynamics.shape import Shape
from crmbridge.sandbox.dynamics.tables import Key, Table


def csdl(ctx: Context) -> Reply:
    annotated = _annotated(ctx)
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx">',
        f'<edmx:Reference Uri="http://vocabularies.odata.org/{_KEYS}.xml">',
        f'<edmx:Include Namespace="{_KEYS}" Alias="Keys" /><edmx:IncludeAnnotations TermNamespace="{_KEYS}" />',
        "</edmx:Reference><edmx:DataServices>",
        '<Schema Namespace="Microsoft.Dynamics.CRM" Alias="mscrm" xmlns="http://docs.oasis-open.org/odata/ns/edm">',
        '<EntityType Name="crmbaseentity" Abstract="true" />',
        *_OWNERS,
        *(line for table in ctx.shape.tables.values() for line in _entity_type(ctx, table, annotated=annotated)),
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


# Users and teams are owners, and what names an owner names this: a real document has it (dataverse-api §2.6, §9.3).
_PRINCIPALS = ("systemuser", "team")
_OWNERS = (
    '<EntityType Name="principal" BaseType="mscrm.crmbaseentity" Abstract="true">',
    '<Key><PropertyRef Name="ownerid" /></Key><Property Name="ownerid" Type="Edm.Guid" />',
    "</EntityType>",
)
_KEYS = "OData.Community.Keys.V1"
_READ_ONLY = (
    '<Annotation Term="Org.OData.Core.V1.Permissions">'
    "<EnumMember>Org.OData.Core.V1.PermissionType/Read</EnumMember></Annotation>"
)
_FACETS = {"Edm.Decimal": ' Scale="Variable"', "Edm.String": ' Unicode="false"'}
_TRACKED = (
    '<Annotation Term="Org.OData.Capabilities.V1.ChangeTracking"><Record>'
    '<PropertyValue Property="Supported" Bool="true" /></Record></Annotation>'
)


def _entity_type(ctx: Context, table: Table, *, annotated: bool) -> Iterable[str]:
    shape = ctx.shape
    base, key = ("principal", "ownerid") if table.name in _PRINCIPALS else ("crmbaseentity", table.key)
    yield f'<EntityType Name={quoteattr(table.name)} BaseType="mscrm.{base}">'
    yield f"<Key><PropertyRef Name={quoteattr(key)} /></Key>"
    for column in table.columns.values():
        facet = _FACETS.get(edm_type(column), "")
        head = f"<Property Name={quoteattr(column.wire)} Type={quoteattr(edm_type(column))}{facet}"
        fixed = annotated and not column.create and not column.update
        yield f"{head}>{_READ_ONLY}</Property>" if fixed else f"{head} />"
    for navigation, (column, targets) in table.navigations.items():
        kind, key = "crmbaseentity", ""
        if len(targets) == 1:
            kind, key = targets[0].table, shape.tables[targets[0].table].key
        elif column.kind == "Owner":
            kind, key = "principal", "ownerid"
        names = f"Property={quoteattr(column.wire)} ReferencedProperty={quoteattr(key)}"
        constraint = f"<ReferentialConstraint {names} />" if key else ""
        partner = targets[0].many if len(targets) == 1 and navigation == targets[0].navigation else None
        yield f"{_navigation(navigation, f'mscrm.{kind}', partner)}>{constraint}</NavigationProperty>"
    for referrer in shape.referrers[table.name]:
        kind = f"Collection(mscrm.{referrer.table})"
        yield f"{_navigation(referrer.target.many, kind, referrer.target.navigation)} />"
    for association in shape.associated[table.name]:
        kind = f"Collection(mscrm.{association.sides(table.name)[1][0]})"
        yield f"{_navigation(association.name, kind, association.name)} />"
    known = keys_of(ctx.store, ctx.now, table)
    yield from _alternate_keys(table, [key for key in known if key.status == "Active"])
    yield "</EntityType>"


def _navigation(name: str, kind: str, partner: str | None) -> str:
    """The element's beginning."""
    other = f" Partner={quoteattr(partner)}" if partner else ""
    return f"<NavigationProperty Name={quoteattr(name)} Type={quoteattr(kind)}{other}"


def _alternate_keys(table: Table, keys: Sequence[Key]) -> Iterable[str]:
    """Those that may be used, lookups by the names that their values have; that one without an index is left out is
    (unverified).
    """
    if not keys:
        return
    yield f'<Annotation Term="{_KEYS}.AlternateKeys"><Collection>'
    for key in keys:
        yield f'<Record Type="{_KEYS}.AlternateKey"><PropertyValue Property="Key"><Collection>'
        for name in key.columns:
            wire = quoteattr(table.columns[name].wire)
            yield f'<Record Type="{_KEYS}.PropertyRef"><PropertyValue Property="Alias" String={wire} />'
            yield f'<PropertyValue Property="Name" PropertyPath={wire} /></Record>'
        yield "</Collection></PropertyValue></Record>"
    yield "</Collection></Annotation>"


def _entity_set(shape: Shape, table: Table, *, annotated: bool) -> Iterable[str]:
    yield f"<EntitySet Name={quoteattr(table.set_name)} EntityType={quoteattr('Microsoft.Dynamics.CRM.' + table.name)}>"
    for navigation, (_, targets) in table.navigations.items():
        if len(targets) == 1:
            target = shape.tables[targets[0].table].set_name
            yield f"<NavigationPropertyBinding Path={quoteattr(navigation)} Target={quoteattr(target)} />"
    many = {each.target.many: each.table for each in shape.referrers[table.name]}
    many |= {each.name: each.sides(table.name)[1][0] for each in shape.associated[table.name]}
    for navigation, other in many.items():
        target = shape.tables[other].set_name
        yield f"<NavigationPropertyBinding Path={quoteattr(navigation)} Target={quoteattr(target)} />"
    if annotated and table.change_tracking:
        yield _TRACKED
    yield "</EntitySet>"

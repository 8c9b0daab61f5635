"""$metadata: the CSDL document, made from the shape (dataverse-api §5)."""

from collections.abc import Iterable
from xml.sax.saxutils import quoteattr

from crmbridge.sandbox.core import Reply
from crmbridge.sandbox.dynamics.context import Context
from crmbridge.sandbox.dynamics.literals import edm_type
from crmbridge.sandbox.dynamics.shape import Shape, Table


def csdl(ctx: Context) -> Reply:
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>',
        '<Schema Namespace="Microsoft.Dynamics.CRM" Alias="mscrm" xmlns="http://docs.oasis-open.org/odata/ns/edm">',
        '<EntityType Name="crmbaseentity" Abstract="true" />',
        *(line for table in ctx.shape.tables.values() for line in _entity_type(ctx.shape, table)),
        *_OPERATIONS,
        '<EntityContainer Name="System">',
        *(line for table in ctx.shape.tables.values() for line in _entity_set(ctx.shape, table)),
        '<ActionImport Name="WinOpportunity" Action="Microsoft.Dynamics.CRM.WinOpportunity" />',
        '<ActionImport Name="LoseOpportunity" Action="Microsoft.Dynamics.CRM.LoseOpportunity" />',
        '<ActionImport Name="Merge" Action="Microsoft.Dynamics.CRM.Merge" />',
        '<FunctionImport Name="WhoAmI" Function="Microsoft.Dynamics.CRM.WhoAmI" />',
        "</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>",
    ]
    headers = (("Content-Type", "application/xml"), ("OData-Version", "4.0"))
    return Reply(status=200, headers=headers, body="\n".join(lines).encode())


_OPERATIONS = (
    '<ComplexType Name="WhoAmIResponse"><Property Name="BusinessUnitId" Type="Edm.Guid" Nullable="false" />'
    '<Property Name="UserId" Type="Edm.Guid" Nullable="false" />'
    '<Property Name="OrganizationId" Type="Edm.Guid" Nullable="false" /></ComplexType>',
    '<Function Name="WhoAmI"><ReturnType Type="mscrm.WhoAmIResponse" Nullable="false" /></Function>',
    *(
        f'<Action Name="{name}"><Parameter Name="OpportunityClose" Type="mscrm.opportunityclose" Nullable="false" />'
        '<Parameter Name="Status" Type="Edm.Int32" Nullable="false" /></Action>'
        for name in ("WinOpportunity", "LoseOpportunity")
    ),
    '<Action Name="Merge"><Parameter Name="Target" Type="mscrm.crmbaseentity" Nullable="false" />'
    '<Parameter Name="Subordinate" Type="mscrm.crmbaseentity" Nullable="false" />'
    '<Parameter Name="UpdateContent" Type="mscrm.crmbaseentity" />'
    '<Parameter Name="PerformParentingChecks" Type="Edm.Boolean" Nullable="false" /></Action>',
    '<Action Name="QualifyLead" IsBound="true"><Parameter Name="entity" Type="mscrm.lead" Nullable="false" />'
    '<Parameter Name="CreateAccount" Type="Edm.Boolean" Nullable="false" />'
    '<Parameter Name="CreateContact" Type="Edm.Boolean" Nullable="false" />'
    '<Parameter Name="CreateOpportunity" Type="Edm.Boolean" Nullable="false" />'
    '<Parameter Name="OpportunityCurrencyId" Type="mscrm.transactioncurrency" />'
    '<Parameter Name="OpportunityCustomerId" Type="mscrm.crmbaseentity" />'
    '<Parameter Name="SourceCampaignId" Type="mscrm.campaign" />'
    '<Parameter Name="Status" Type="Edm.Int32" Nullable="false" />'
    '<Parameter Name="ProcessInstanceId" Type="mscrm.crmbaseentity" />'
    '<ReturnType Type="Collection(mscrm.crmbaseentity)" Nullable="false" /></Action>',
)


def _entity_type(shape: Shape, table: Table) -> Iterable[str]:
    yield f'<EntityType Name={quoteattr(table.name)} BaseType="mscrm.crmbaseentity">'
    yield f"<Key><PropertyRef Name={quoteattr(table.key)} /></Key>"
    for column in table.columns.values():
        scale = ' Scale="Variable"' if edm_type(column) == "Edm.Decimal" else ""
        yield f"<Property Name={quoteattr(column.wire)} Type={quoteattr(edm_type(column))}{scale} />"
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
    yield "</EntityType>"


def _entity_set(shape: Shape, table: Table) -> Iterable[str]:
    yield f"<EntitySet Name={quoteattr(table.set_name)} EntityType={quoteattr('Microsoft.Dynamics.CRM.' + table.name)}>"
    for navigation, (_, targets) in table.navigations.items():
        if len(targets) == 1:
            target = shape.tables[targets[0].table].set_name
            yield f"<NavigationPropertyBinding Path={quoteattr(navigation)} Target={quoteattr(target)} />"
    yield "</EntitySet>"

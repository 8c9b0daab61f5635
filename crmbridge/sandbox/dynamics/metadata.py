"""EntityDefinitions, option sets and the CSDL document, made from the shape (dataverse-api §5)."""

import re
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from odata_query import ast

from crmbridge.sandbox.core import Reply
from crmbridge.sandbox.dynamics.context import Context, Segment, answer, arguments, query_options
from crmbridge.sandbox.dynamics.errors import DataverseError, bad_query, missing_segment, not_served
from crmbridge.sandbox.dynamics.filters import edm_type, parse
from crmbridge.sandbox.dynamics.reading import parse_expand
from crmbridge.sandbox.dynamics.shape import Column, Kind, Option, Referrer, Shape, Table

_NAMESPACE = uuid.UUID("6f6d0ec4-4b2e-4b0e-9c3c-3f0d1d3f7a10")  # ids of metadata are made from names
_PREFIX = "Microsoft.Dynamics.CRM."
_CAST: Mapping[Kind, str] = {
    "String": "StringAttributeMetadata", "Memo": "MemoAttributeMetadata", "Integer": "IntegerAttributeMetadata",
    "BigInt": "BigIntAttributeMetadata", "Money": "MoneyAttributeMetadata", "Decimal": "DecimalAttributeMetadata",
    "Double": "DoubleAttributeMetadata", "Boolean": "BooleanAttributeMetadata", "DateTime": "DateTimeAttributeMetadata",
    "Picklist": "PicklistAttributeMetadata", "MultiSelectPicklist": "MultiSelectPicklistAttributeMetadata",
    "State": "StateAttributeMetadata", "Status": "StatusAttributeMetadata", "Lookup": "LookupAttributeMetadata",
    "Owner": "LookupAttributeMetadata", "Customer": "LookupAttributeMetadata",
    "Uniqueidentifier": "UniqueIdentifierAttributeMetadata",
}  # fmt: skip
_NUMBER_RANGE = {"Money": 922337203685477, "Decimal": 100000000000, "Double": 100000000000, "Integer": 2147483647}

Document = dict[str, Any]


def metadata_id(*names: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, "/".join(names)))


def label(text: str, *names: str) -> Document:
    one = {
        "Label": text,
        "LanguageCode": 1033,
        "IsManaged": True,
        "MetadataId": metadata_id("label", *names, text),
        "HasChanged": None,
    }
    return {"LocalizedLabels": [one], "UserLocalizedLabel": one}


def _managed(value: Any, name: str) -> Document:
    return {"Value": value, "CanBeChanged": True, "ManagedPropertyLogicalName": name}


# Documents


def entity(table: Table) -> Document:
    return {
        "MetadataId": metadata_id(table.name),
        "HasChanged": None,
        "LogicalName": table.name,
        "SchemaName": table.schema,
        "EntitySetName": table.set_name,
        "LogicalCollectionName": table.set_name,
        "CollectionSchemaName": table.labels.replace(" ", ""),
        "PrimaryIdAttribute": table.key,
        "PrimaryNameAttribute": table.primary_name,
        "ObjectTypeCode": table.code,
        "OwnershipType": table.ownership,
        "ChangeTrackingEnabled": table.change_tracking,
        "CanChangeTrackingBeEnabled": _managed(not table.change_tracking, "canchangetrackingbeenabled"),
        "IsOptimisticConcurrencyEnabled": table.optimistic_concurrency,
        "IsBPFEntity": table.is_process,
        "IsActivity": table.key == "activityid",
        "IsCustomEntity": "_" in table.name,
        "IsManaged": True,
        "IsIntersect": False,
        "IsLogicalEntity": False,
        "IsPrivate": False,
        "IsValidForAdvancedFind": True,
        "IsDuplicateDetectionEnabled": _managed(value=True, name="canmodifyduplicatedetectionsettings"),
        "IsAuditEnabled": _managed(value=True, name="canmodifyauditsettings"),
        "CanCreateAttributes": _managed(value=True, name="cancreateattributes"),
        "TableType": "Standard",
        "DataProviderId": None,
        "DisplayName": label(table.label, table.name),
        "DisplayCollectionName": label(table.labels, table.name, "s"),
    }


def attribute(table: Table, column: Column) -> Document:
    document: Document = {
        "@odata.type": f"#{_PREFIX}{_CAST[column.kind]}",
        "MetadataId": metadata_id(table.name, column.name),
        "HasChanged": None,
        "LogicalName": column.name,
        "SchemaName": column.schema,
        "EntityLogicalName": table.name,
        "AttributeType": "Virtual" if column.kind == "MultiSelectPicklist" else column.kind,
        "AttributeTypeName": {"Value": f"{column.kind}Type"},
        "AttributeOf": None,
        "IsPrimaryId": column.name == table.key,
        "IsPrimaryName": column.name == table.primary_name,
        "IsValidForCreate": column.create,
        "IsValidForUpdate": column.update,
        "IsValidForRead": True,
        "IsLogical": False,
        "IsCustomAttribute": "_" in column.name
        and not column.name.startswith("address")
        and not column.name.endswith("_base"),
        "IsManaged": True,
        "RequiredLevel": _managed(column.required, "canmodifyrequirementlevelsettings"),
        "DisplayName": label(column.schema, table.name, column.name),
        "Description": {"LocalizedLabels": [], "UserLocalizedLabel": None},
    }
    return document | _details(table, column)


def _details(table: Table, column: Column) -> Document:
    """The members that stand in the derived types only."""
    places = column.precision if column.precision is not None else 2
    match column.kind:
        case "String" | "Memo":
            length = column.max_length or (100 if column.kind == "String" else 2000)
            return {"MaxLength": length, "Format": column.format or ("Text" if column.kind == "String" else "TextArea"),
                    "FormatName": {"Value": column.format or "Text"}, "DatabaseLength": length * 2}  # fmt: skip
        case "Integer" | "Decimal" | "Double" | "Money":
            limit = _NUMBER_RANGE[column.kind]
            found: Document = {
                "MinValue": -limit if column.minimum is None else _number(column.minimum),
                "MaxValue": limit if column.maximum is None else _number(column.maximum),
            }
            if column.kind == "Integer":
                return found | {"Format": "None"}
            found |= {"Precision": places}
            if column.kind == "Money":  # 2 = the currency's precision, 0 = the column's: dataverse-api §11
                base = column.name.removesuffix("_base") if column.computed == "base" else ""
                source = {"PrecisionSource": 2 if column.precision is None else 0}
                return found | source | {"IsBaseCurrency": bool(base), "CalculationOf": base or None}
            return found
        case "DateTime":
            return {
                "Format": column.format or "DateAndTime",
                "DateTimeBehavior": {"Value": column.behavior},
                "CanChangeDateTimeBehavior": _managed(value=False, name="canchangedatetimebehavior"),
            }
        case "Lookup" | "Owner" | "Customer":
            return {"Targets": [target.table for target in column.targets], "Format": "None"}
        case "Boolean":
            return {
                "DefaultValue": bool(column.default),
                "OptionSet": option_set(table, column),
                "GlobalOptionSet": None,
            }
        case "Picklist" | "State" | "Status" | "MultiSelectPicklist":
            default = column.default if column.kind == "Picklist" and column.default is not None else -1
            whole = option_set(table, column)
            shared = column.option_set is not None
            return {"DefaultFormValue": default, "OptionSet": whole, "GlobalOptionSet": whole if shared else None}
        case _:
            return {}


def _number(value: Any) -> Any:
    return int(value) if value == value.to_integral_value() else float(value)


def option_set(table: Table, column: Column) -> Document:
    name = column.option_set or f"{table.name}_{column.name}"
    found = _option_set_head(name, column.kind, is_global=column.option_set is not None)
    if column.kind == "Boolean":
        by_value = {option.value: option for option in column.options}
        return found | {
            "TrueOption": _option(by_value[1], column.kind, name),
            "FalseOption": _option(by_value[0], column.kind, name),
        }
    return found | {"Options": [_option(each, column.kind, name) for each in column.options]}


def _option_set_head(name: str, kind: Kind, *, is_global: bool) -> Document:
    return {
        "Name": name,
        "MetadataId": metadata_id("optionset", name),
        "IsGlobal": is_global,
        "IsManaged": True,
        "OptionSetType": {"State": "State", "Status": "Status", "Boolean": "Boolean"}.get(kind, "Picklist"),
        "DisplayName": label(name, "optionset", name),
    }


def _option(option: Option, kind: Kind, name: str) -> Document:
    shown = label(option.label, name, str(option.value))
    found: Document = {
        "Value": option.value,
        "Color": None,
        "IsManaged": True,
        "ExternalValue": "",
        "ParentValues": [],
        "Tag": None,
        "IsHidden": False,
        "MetadataId": None,
        "HasChanged": None,
        "Label": shown,
        "Description": {"LocalizedLabels": [], "UserLocalizedLabel": None},
    }
    if kind == "Status":
        return (
            {"@odata.type": f"#{_PREFIX}StatusOptionMetadata"} | found | {"State": option.state, "TransitionData": None}
        )
    if kind == "State":
        extra = {"DefaultStatus": option.default, "InvariantName": option.label.replace(" ", "")}
        return {"@odata.type": f"#{_PREFIX}StateOptionMetadata"} | found | extra
    return found


def keys(table: Table) -> list[Document]:
    return [
        {
            "MetadataId": metadata_id(table.name, "key", key.name),
            "HasChanged": None,
            "SchemaName": key.name,
            "LogicalName": key.name.lower(),
            "EntityLogicalName": table.name,
            "KeyAttributes": list(key.columns),
            "EntityKeyIndexStatus": key.status,
            "IsManaged": False,
            "DisplayName": label(key.name, table.name, "key"),
        }
        for key in table.keys
    ]


def relationship(shape: Shape, referrer: Referrer) -> Document:
    referenced = shape.tables[referrer.target.table]
    return {
        "MetadataId": metadata_id("relationship", referrer.table, referrer.column.name, referenced.name),
        "HasChanged": None,
        "SchemaName": referrer.target.many,
        "RelationshipType": "OneToManyRelationship",
        "ReferencedEntity": referenced.name,
        "ReferencedAttribute": referenced.key,
        "ReferencingEntity": referrer.table,
        "ReferencingAttribute": referrer.column.name,
        "ReferencedEntityNavigationPropertyName": referrer.target.many,
        "ReferencingEntityNavigationPropertyName": referrer.target.navigation,
        "IsCustomRelationship": False,
        "CascadeConfiguration": {
            "Assign": "NoCascade", "Delete": referrer.column.on_delete, "Merge": "Cascade", "Reparent": "NoCascade",
            "Share": "NoCascade", "Unshare": "NoCascade",
        },
    }  # fmt: skip


def many_to_one(shape: Shape, table: Table) -> list[Document]:
    return [
        relationship(shape, Referrer(table=table.name, column=column, target=target))
        for column in table.columns.values()
        for target in column.targets
    ]


def one_to_many(shape: Shape, table: Table) -> list[Document]:
    return [relationship(shape, referrer) for referrer in shape.referrers[table.name]]


# Requests

_RELATED: Mapping[str, Callable[[Shape, Table], list[Document]]] = {
    "Attributes": lambda _shape, table: [attribute(table, column) for column in table.columns.values()],
    "Keys": lambda _shape, table: keys(table),
    "ManyToOneRelationships": many_to_one,
    "OneToManyRelationships": one_to_many,
    "ManyToManyRelationships": lambda _shape, _table: [],
}


def definitions(ctx: Context, parts: Sequence[Segment]) -> Reply:
    options, aliases = query_options(ctx.query)
    if "$top" in options or "$orderby" in options:  # (unverified)
        raise bad_query("The query parameters $top and $orderby are not supported for metadata.")
    root = parts[0]
    if root.name == "GlobalOptionSetDefinitions":
        return _global_option_sets(ctx, parts, options)
    if root.key is None:
        if len(parts) > 1:
            raise missing_segment(parts[1].name)
        tables = {metadata_id(table.name): table for table in ctx.shape.tables.values()}
        found = _filtered([entity(table) for table in tables.values()], options, aliases)
        return _many(
            ctx, root.name, [_entity_view(ctx, tables[each["MetadataId"]], each, options) for each in found], options
        )
    table = _table(ctx, root.key)
    if len(parts) == 1:
        document = _entity_view(ctx, table, entity(table), options)
        return answer({"@odata.context": f"{ctx.base}/$metadata#EntityDefinitions/$entity", **document})
    related = _RELATED.get(parts[1].name)
    if related is None:
        raise missing_segment(parts[1].name)
    documents = related(ctx.shape, table)
    path = f"EntityDefinitions('{table.name}')/{parts[1].name}"
    rest = list(parts[2:])
    if parts[1].key is not None:
        wanted = arguments(parts[1].key) if "=" in parts[1].key else {"MetadataId": parts[1].key}
        documents = [each for each in documents if all(str(each.get(name)) == value for name, value in wanted.items())]
        if not documents:
            raise DataverseError(404, "0x80060888", f"Could not find {parts[1].name} '{parts[1].key}' of {table.name}.")
    cast = None
    if rest and rest[0].name.startswith(_PREFIX):
        cast = rest.pop(0).name
        if parts[1].name != "Attributes" or cast.removeprefix(_PREFIX) not in _CAST.values():
            raise bad_query(f"The type '{cast}' cannot be used here.")  # abstract ones neither: dataverse-api §5
        documents = [each for each in documents if each["@odata.type"] == f"#{cast}"]
        path = f"{path}/{cast}"
    if rest and parts[1].key is not None and len(rest) == 1 and rest[0].name in {"OptionSet", "GlobalOptionSet"}:
        return _option_set_of(ctx, documents, rest[0].name, options, path)
    if rest:
        raise missing_segment(rest[0].name)
    documents = _filtered(documents, options, aliases)
    shown = [_view(each, options, cast=cast) for each in documents]
    if parts[1].key is None:
        return _many(ctx, path, shown, options)
    if not shown:
        raise DataverseError(404, "0x80060888", f"The attribute is not of the type '{cast}'.")
    return answer({"@odata.context": f"{ctx.base}/$metadata#{path}/$entity", **shown[0]})


def _table(ctx: Context, key: str) -> Table:
    name = arguments(key).get("LogicalName") if "=" in key else None
    for table in ctx.shape.tables.values():
        if table.name == name or metadata_id(table.name) == key.strip().lower():
            return table
    raise DataverseError(404, "0x80060888", f"Could not find an entity with the key '{key}'.")


def _entity_view(ctx: Context, table: Table, document: Document, options: Mapping[str, str]) -> Document:
    shown = _selected(document, options.get("$select"))
    for expand in parse_expand(options.get("$expand", "")):
        related = _RELATED.get(expand.navigation)
        if related is None:
            raise bad_query(f"Could not find a property named '{expand.navigation}' on type '{_PREFIX}EntityMetadata'.")
        documents = _filtered(related(ctx.shape, table), expand.options, {})
        shown[expand.navigation] = [_view(each, expand.options, cast=None) for each in documents]
    return shown


_DERIVED = frozenset({
    "MaxLength", "Format", "FormatName", "DatabaseLength", "MinValue", "MaxValue", "Precision", "PrecisionSource",
    "Targets", "DateTimeBehavior", "CanChangeDateTimeBehavior", "OptionSet", "GlobalOptionSet", "DefaultValue",
    "DefaultFormValue", "IsBaseCurrency", "CalculationOf",
})  # fmt: skip


def _view(document: Document, options: Mapping[str, str], *, cast: str | None) -> Document:
    """A document as asked: option sets only when expanded, members of derived types only behind their cast."""
    select = options.get("$select")
    if cast is None and select and "@odata.type" in document:
        for name in select.split(","):
            if name.strip() in _DERIVED:
                raise bad_query(
                    f"Could not find a property named '{name.strip()}' on type '{_PREFIX}AttributeMetadata'."
                )
    sets = {name: document[name] for name in ("OptionSet", "GlobalOptionSet") if name in document}
    shown = _selected({name: value for name, value in document.items() if name not in sets}, select)
    for expand in parse_expand(options.get("$expand", "")):
        if cast is None or expand.navigation not in sets:
            raise bad_query(
                f"Could not find a property named '{expand.navigation}' on type "
                f"'{cast or _PREFIX + 'AttributeMetadata'}'."
            )
        whole = sets[expand.navigation]
        shown[expand.navigation] = None if whole is None else _selected(whole, expand.options.get("$select"))
    if cast is not None:
        shown.pop("@odata.type", None)
    return shown


def _selected(document: Document, select: str | None) -> Document:
    """MetadataId is always there: dataverse-api §5."""
    if not select:
        return dict(document)
    names = [name.strip() for name in select.split(",")]
    for name in names:
        if name not in document:
            raise bad_query(f"Could not find a property named '{name}' on the type of this metadata.")
    kept = {name: document[name] for name in ("@odata.type",) if name in document}
    kept |= {name: document[name] for name in names}
    return kept | ({"MetadataId": document["MetadataId"]} if "MetadataId" in document else {})


def _option_set_of(ctx: Context, documents: list[Document], name: str, options: Mapping[str, str], path: str) -> Reply:
    whole = documents[0].get(name) if documents else None
    if whole is None:
        raise missing_segment(name)
    return answer(
        {"@odata.context": f"{ctx.base}/$metadata#{path}/{name}/$entity", **_selected(whole, options.get("$select"))}
    )


def _global_option_sets(ctx: Context, parts: Sequence[Segment], options: Mapping[str, str]) -> Reply:
    documents = {
        name: _option_set_head(name, "Picklist", is_global=True)
        | {"Options": [_option(each, "Picklist", name) for each in values]}
        for name, values in ctx.shape.option_sets.items()
    }
    if parts[0].key is None:
        return _many(
            ctx, parts[0].name, [_selected(each, options.get("$select")) for each in documents.values()], options
        )
    name = arguments(parts[0].key).get("Name", "")
    if name not in documents:
        raise DataverseError(404, "0x80060888", f"Could not find an option set with the name '{name}'.")
    context = f"{ctx.base}/$metadata#GlobalOptionSetDefinitions/{_PREFIX}OptionSetMetadata/$entity"
    return answer({"@odata.context": context, **_selected(documents[name], options.get("$select"))})


def _many(ctx: Context, path: str, documents: Sequence[Document], options: Mapping[str, str]) -> Reply:
    """Never paged: dataverse-api §5."""
    shape = f"({options['$select']})" if options.get("$select") else ""
    body: Document = {"@odata.context": f"{ctx.base}/$metadata#{path}{shape}"}
    if options.get("$count") == "true":
        body["@odata.count"] = len(documents)
    return answer({**body, "value": documents})


# $filter on metadata

_ENUM = re.compile(r"Microsoft\.Dynamics\.CRM\.\w+('(?:[^']|'')*')")


def _filtered(documents: Sequence[Document], options: Mapping[str, str], aliases: Mapping[str, str]) -> list[Document]:
    text = options.get("$filter")
    if not text:
        return list(documents)
    test = _predicate(parse(_ENUM.sub(r"\1", text), aliases))
    return [each for each in documents if test(each)]


def _predicate(node: Any) -> Callable[[Document], bool]:
    match node:
        case ast.BoolOp():
            left, right = _predicate(node.left), _predicate(node.right)
            if isinstance(node.op, ast.And):
                return lambda document: left(document) and right(document)
            return lambda document: left(document) or right(document)
        case ast.UnaryOp(op=ast.Not()):
            inner = _predicate(node.operand)
            return lambda document: not inner(document)
        case ast.Compare(comparator=ast.Eq() | ast.NotEq()):
            get, value = _member(node.left), _literal(node.right)
            wanted = isinstance(node.comparator, ast.Eq)
            return lambda document: (get(document) == value) is wanted
        case ast.Call(func=ast.Identifier(name="contains" | "startswith" | "endswith" as name)):
            get, value = _member(node.args[0]), str(_literal(node.args[1])).casefold()
            test = {"contains": str.__contains__, "startswith": str.startswith, "endswith": str.endswith}[name]
            return lambda document: bool(test(str(get(document) or "").casefold(), value))
        case _:
            raise not_served("this $filter on metadata")


def _member(node: Any) -> Callable[[Document], Any]:
    path: list[str] = []
    while isinstance(node, ast.Attribute):
        path.insert(0, node.attr)
        node = node.owner
    if not isinstance(node, ast.Identifier):
        raise not_served("this $filter on metadata")
    path.insert(0, node.name)

    def get(document: Document) -> Any:
        found: Any = document
        for name in path:
            if not isinstance(found, dict) or name not in found:
                raise bad_query(f"Could not find a property named '{name}' on the type of this metadata.")
            found = found[name]
        return found

    return get


def _literal(node: Any) -> Any:
    match node:
        case ast.Null():
            return None
        case ast.Boolean():
            return node.val == "true"
        case ast.Integer():
            return int(node.val)
        case ast.String() | ast.GUID():
            return node.val
        case _:
            raise not_served("this literal in a $filter on metadata")


# $metadata


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

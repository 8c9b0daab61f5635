"""Metadata documents made from the shape: tables, columns, option sets, keys, relationships (dataverse-api §5)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from crmbridge.sandbox.dynamics.columns import Column, Kind, Option
from crmbridge.sandbox.dynamics.metadata_members import Document, managed, metadata_id, of_column, of_table
from crmbridge.sandbox.dynamics.shape import Shape
from crmbridge.sandbox.dynamics.tables import Association, Key, Referrer, Table

PREFIX = "Microsoft.Dynamics.CRM."
LANGUAGE = 1033  # of all labels
CASTS: Mapping[Kind, str] = {
    "String": "StringAttributeMetadata", "Memo": "MemoAttributeMetadata", "Integer": "IntegerAttributeMetadata",
    "BigInt": "BigIntAttributeMetadata", "Money": "MoneyAttributeMetadata", "Decimal": "DecimalAttributeMetadata",
    "Double": "DoubleAttributeMetadata", "Boolean": "BooleanAttributeMetadata", "DateTime": "DateTimeAttributeMetadata",
    "Picklist": "PicklistAttributeMetadata", "MultiSelectPicklist": "MultiSelectPicklistAttributeMetadata",
    "State": "StateAttributeMetadata", "Status": "StatusAttributeMetadata", "Lookup": "LookupAttributeMetadata",
    "Owner": "LookupAttributeMetadata", "Customer": "LookupAttributeMetadata",
    "Uniqueidentifier": "UniqueIdentifierAttributeMetadata",
}  # fmt: skip
# Types of which no column here is: behind their casts there is nothing.
OTHER_CASTS = frozenset({
    "EntityNameAttributeMetadata", "FileAttributeMetadata", "ImageAttributeMetadata",
    "ManagedPropertyAttributeMetadata",
})  # fmt: skip
_NUMBER_RANGE = {"Money": 922337203685477, "Decimal": 100000000000, "Double": 100000000000, "Integer": 2147483647}


def label(text: str, *names: str) -> Document:
    one = {
        "Label": text,
        "LanguageCode": LANGUAGE,
        "IsManaged": True,
        "MetadataId": metadata_id("label", *names, text),
        "HasChanged": None,
    }
    return {"LocalizedLabels": [one], "UserLocalizedLabel": one}


# Documents


def entity(shape: Shape, table: Table) -> Document:
    pointed_at_by = {(each.table, each.column.name) for each in shape.referrers[table.name]}
    return {
        **of_table(table),
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
        "CanChangeTrackingBeEnabled": managed(value=True, name="canchangetrackingbeenabled"),  # dataverse-api §13.3
        "IsOptimisticConcurrencyEnabled": table.optimistic_concurrency,
        "IsBPFEntity": table.is_process,
        "IsActivity": table.key == "activityid",
        "IsCustomEntity": "_" in table.name,
        "IsManaged": True,
        "IsIntersect": False,
        "IsLogicalEntity": False,
        "IsPrivate": False,
        "IsValidForAdvancedFind": True,
        "IsDuplicateDetectionEnabled": managed(value=True, name="canmodifyduplicatedetectionsettings"),
        "IsAuditEnabled": managed(value=True, name="canmodifyauditsettings"),
        "CanCreateAttributes": managed(value=True, name="cancreateattributes"),
        "TableType": "Elastic" if table.elastic else "Standard",
        "DataProviderId": None,
        "DataSourceId": None,
        "PrimaryImageAttribute": None,
        "HasNotes": ("annotation", "objectid") in pointed_at_by,
        "HasActivities": any(column == "regardingobjectid" for _, column in pointed_at_by),
        "Description": {"LocalizedLabels": [], "UserLocalizedLabel": None},
        "IsActivityParty": table.name == "activityparty",
        "IsChildEntity": False,
        "IsStateModelAware": table.state is not None,
        "IsValidForQueue": managed(value=False, name="canmodifyqueuesettings"),
        "IsConnectionsEnabled": managed(value=True, name="canmodifyconnectionsettings"),
        "IsCustomizable": managed(value=True, name="iscustomizable"),
        "IsRenameable": managed(value=True, name="isrenameable"),
        "IsMappable": managed(value=True, name="ismappable"),
        "ExternalName": None,
        "ExternalCollectionName": None,
        "EntityColor": None,
        "DisplayName": label(table.label, table.name),
        "DisplayCollectionName": label(table.labels, table.name, "s"),
    }


def attribute(table: Table, column: Column) -> Document:
    document: Document = {
        "@odata.type": f"#{PREFIX}{CASTS[column.kind]}",
        **of_column(table, column),
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
        "RequiredLevel": managed(column.required, "canmodifyrequirementlevelsettings"),
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
                "CanChangeDateTimeBehavior": managed(value=False, name="canchangedatetimebehavior"),
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
    found = option_set_head(name, column.kind, is_global=column.option_set is not None)
    if column.kind == "Boolean":
        by_value = {each.value: each for each in column.options}
        return found | {
            "TrueOption": option(by_value[1], column.kind, name),
            "FalseOption": option(by_value[0], column.kind, name),
        }
    return found | {"Options": [option(each, column.kind, name) for each in column.options]}


def option_set_head(name: str, kind: Kind, *, is_global: bool) -> Document:
    return {
        "Name": name,
        "MetadataId": metadata_id("optionset", name),
        "IsGlobal": is_global,
        "IsManaged": True,
        "OptionSetType": {"State": "State", "Status": "Status", "Boolean": "Boolean"}.get(kind, "Picklist"),
        "DisplayName": label(name, "optionset", name),
    }


def option(each: Option, kind: Kind, name: str) -> Document:
    shown = label(each.label, name, str(each.value))
    found: Document = {
        "Value": each.value,
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
        return {"@odata.type": f"#{PREFIX}StatusOptionMetadata"} | found | {"State": each.state, "TransitionData": None}
    if kind == "State":
        extra = {"DefaultStatus": each.default, "InvariantName": each.label.replace(" ", "")}
        return {"@odata.type": f"#{PREFIX}StateOptionMetadata"} | found | extra
    return found


def keys(table: Table, found: Sequence[Key]) -> list[Document]:
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
            "DisplayName": label(key.label or key.name, table.name, "key"),
        }
        for key in found
    ]


def relationship(shape: Shape, referrer: Referrer) -> Document:
    referenced = shape.tables[referrer.target.table]
    return {
        "@odata.type": f"#{PREFIX}OneToManyRelationshipMetadata",
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


def many_to_many(shape: Shape, table: Table) -> list[Document]:
    return [association(each) for each in shape.associated[table.name]]


def association(each: Association) -> Document:
    sides = {"1": each.left, "2": each.right}
    return {
        "@odata.type": f"#{PREFIX}ManyToManyRelationshipMetadata",
        "MetadataId": metadata_id("relationship", each.name),
        "HasChanged": None,
        "SchemaName": each.name,
        "RelationshipType": "ManyToManyRelationship",
        "IntersectEntityName": each.table,
        "IsCustomRelationship": False,
        **{f"Entity{number}LogicalName": side[0] for number, side in sides.items()},
        **{f"Entity{number}IntersectAttribute": side[1] for number, side in sides.items()},
        **{f"Entity{number}NavigationPropertyName": each.name for number in sides},
    }


def relationships(shape: Shape) -> Iterator[Document]:
    """All of the environment, each once."""
    for table in shape.tables.values():
        yield from many_to_one(shape, table)
    for each in shape.associations.values():
        yield association(each)

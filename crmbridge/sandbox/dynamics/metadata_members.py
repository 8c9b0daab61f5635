"""Members of definitions that tell what nothing here depends on, and the privileges of a table (dataverse-api §5).

Clients filter by them and show them; each has the value that most tables and columns of the product have.
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/entitymetadata
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/attributemetadata
"""

import uuid
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from crmbridge.sandbox.dynamics.columns import Column
from crmbridge.sandbox.dynamics.tables import Table

Document = dict[str, Any]

_NAMESPACE = uuid.UUID("6f6d0ec4-4b2e-4b0e-9c3c-3f0d1d3f7a10")  # ids of metadata are made from names
_BORN: Final = "1900-01-01T00:00:00Z"  # what came with the product has no date of its own


@cache
def metadata_id(*names: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, "/".join(names)))


def managed(value: Any, name: str) -> Document:
    return {"Value": value, "CanBeChanged": True, "ManagedPropertyLogicalName": name}


# By the member's name: its value, and for a managed property what it is called behind its own name.
_OF_TABLES: Final[Mapping[str, Any]] = {
    "ActivityTypeMask": 0, "AutoRouteToOwnerQueue": False, "CanTriggerWorkflow": True, "EntityHelpUrlEnabled": False,
    "EntityHelpUrl": None, "IsDocumentManagementEnabled": False, "IsOneNoteIntegrationEnabled": False,
    "IsInteractionCentricEnabled": True, "IsKnowledgeManagementEnabled": False, "IsSLAEnabled": False,
    "IsDocumentRecommendationsEnabled": False, "AutoCreateAccessTeams": False, "IsAvailableOffline": True,
    "IsEnabledForCharts": True, "IsEnabledForTrace": False, "IsEnabledForExternalChannels": False, "IsImportable": True,
    "IsQuickCreateEnabled": False, "IsReadingPaneEnabled": True, "IsSolutionAware": False, "IsAIRUpdated": False,
    "IsMSTeamsIntegrationEnabled": False, "UsesBusinessDataLabelTable": False, "SyncToExternalSearchIndex": False,
    "HasEmailAddresses": False, "HasFeedback": False, "DaysSinceRecordLastModified": 0, "MobileOfflineFilters": "",
    "RecurrenceBaseEntityLogicalName": None, "ReportViewName": None, "IconLargeName": None, "IconMediumName": None,
    "IconSmallName": None, "IconVectorName": None, "IntroducedVersion": "5.0.0.0", "OwnerId": None,
    "OwnerIdType": None, "OwningBusinessUnit": None, "SettingOf": None, "CreatedOn": _BORN, "ModifiedOn": _BORN,
}  # fmt: skip
_MANAGED_OF_TABLES: Final = (
    "CanBeRelatedEntityInRelationship", "CanBePrimaryEntityInRelationship", "CanBeInManyToMany",
    "CanBeInCustomEntityAssociation", "CanCreateCharts", "CanCreateForms", "CanCreateViews",
    "CanEnableSyncToExternalSearchIndex", "CanModifyAdditionalSettings", "IsMailMergeEnabled",
    "IsVisibleInMobile", "IsVisibleInMobileClient",
)  # fmt: skip
_OF_COLUMNS: Final[Mapping[str, Any]] = {
    "DeprecatedVersion": None, "IntroducedVersion": "5.0.0.0", "IsValidODataAttribute": True, "IsRetrievable": True,
    "IsFilterable": False, "IsSearchable": False, "LinkedAttributeId": None, "IsValidForForm": True,
    "IsRequiredForForm": False, "IsValidForGrid": True, "ExternalName": None, "IsDataSourceSecret": False,
    "InheritsFrom": None, "SourceType": None, "AutoNumberFormat": None, "CreatedOn": _BORN, "ModifiedOn": _BORN,
}  # fmt: skip
_MANAGED_OF_COLUMNS: Final = (
    "IsAuditEnabled", "IsGlobalFilterEnabled", "IsSortableEnabled", "IsCustomizable", "IsRenameable",
    "IsValidForAdvancedFind", "CanModifyAdditionalSettings",
)  # fmt: skip


def of_table(table: Table) -> Document:
    named = {name: managed(value=True, name=name.lower()) for name in _MANAGED_OF_TABLES}
    return {**_OF_TABLES, **named, "Privileges": privileges(table)}


def of_column(table: Table, column: Column) -> Document:
    secured = {
        "IsSecured": column.secured,
        "CanBeSecuredForRead": column.secured,
        "CanBeSecuredForCreate": column.secured and column.create,
        "CanBeSecuredForUpdate": column.secured and column.update,
    }
    named = {name: managed(value=True, name=name.lower()) for name in _MANAGED_OF_COLUMNS}
    return {**_OF_COLUMNS, **secured, **named, "ColumnNumber": table.column_numbers[column.name]}


_VERBS: Final = ("Create", "Read", "Write", "Delete", "Assign", "Share", "Append", "AppendTo")
_OF_THE_OWNER: Final = ("Assign", "Share")


def privileges(table: Table) -> list[Document]:
    """The rights that roles give on the table; rows without an owner are nobody's to assign or share."""
    owned = "ownerid" in table.columns
    return [
        {
            "CanBeBasic": owned,
            "CanBeDeep": owned,
            "CanBeEntityReference": False,
            "CanBeGlobal": True,
            "CanBeLocal": owned,
            "CanBeParentEntityReference": False,
            "CanBeRecordFilter": False,
            "Name": f"prv{verb}{table.schema}",
            "PrivilegeId": metadata_id("privilege", table.name, verb),
            "PrivilegeType": verb,
        }
        for verb in _VERBS
        if owned or verb not in _OF_THE_OWNER
    ]

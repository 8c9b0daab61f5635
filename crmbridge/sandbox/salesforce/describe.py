"""Describe answers: what clients learn about the org's objects (salesforce-api §5.1)."""

from typing import Any, Final

import msgspec

from crmbridge.sandbox.salesforce.schema import Field, Shape, SObject
from crmbridge.sandbox.salesforce.store import Store

_MASTER: Final = "012000000000000AAA"
_OURS: Final = (
    "childRelationshipName",
    "deletedWithParent",
    "formula",
    "summary",
    "dependentValues",
)  # keys of the shape that no field description has


def field_description(field: Field) -> dict[str, Any]:
    answer = msgspec.to_builtins(field)
    for key in _OURS:
        del answer[key]
    return dict(sorted(answer.items()))


def summary(sobject: SObject, version: str) -> dict[str, Any]:
    """One object of the global describe."""
    document = sobject.document
    path = f"/services/data/v{version}/sobjects/{sobject.name}"
    return {
        "activateable": False,
        "associateEntityType": None,
        "associateParentEntity": None,
        "createable": document.createable,
        "custom": document.custom,
        "customSetting": False,
        "deepCloneable": False,
        "deletable": document.deletable,
        "deprecatedAndHidden": False,
        "feedEnabled": False,
        "hasSubtypes": False,
        "isInterface": False,
        "isSubtype": False,
        "keyPrefix": document.key_prefix,
        "label": document.label,
        "labelPlural": document.label_plural,
        "layoutable": not document.setup,
        "mergeable": document.mergeable,
        "mruEnabled": not document.setup,
        "name": sobject.name,
        "queryable": document.queryable,
        "replicateable": True,
        "retrieveable": True,
        "searchable": document.searchable and not document.setup,
        "triggerable": not document.setup,
        "undeletable": document.undeletable,
        "updateable": document.updateable,
        "urls": {"sobject": path, "describe": f"{path}/describe", "rowTemplate": f"{path}/{{ID}}"},
    }


def everything(shape: Shape, version: str) -> dict[str, Any]:
    objects = [summary(item, version) for _, item in sorted(shape.objects.items())]
    return {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": objects}


def description(store: Store, sobject: SObject, version: str) -> dict[str, Any]:
    """The full description of one object."""
    shape = store.shape
    children = [
        {
            "cascadeDelete": reference.deleted_with_parent,
            "childSObject": child.name,
            "deprecatedAndHidden": False,
            "field": reference.name,
            "junctionIdListNames": [],
            "junctionReferenceTo": [],
            "relationshipName": reference.child_relationship_name,
            "restrictedDelete": reference.restricted_delete,
        }
        for child, reference in shape.children.get(sobject.name, ())
    ]
    answer = summary(sobject, version) | {
        "actionOverrides": [],
        "childRelationships": children,
        "compactLayoutable": not sobject.document.setup,
        "defaultImplementation": None,
        "extendedBy": None,
        "extendsInterfaces": None,
        "fields": [field_description(field) for field in sobject.fields.values()],
        "implementedBy": None,
        "implementsInterfaces": None,
        "listviewable": None,
        "lookupLayoutable": None,
        "namedLayoutInfos": [],
        "networkScopeFieldName": None,
        "recordTypeInfos": _record_types(store, sobject, version),
        "searchLayoutable": sobject.document.searchable and not sobject.document.setup,
        "sobjectDescribeOption": "FULL",
        "supportedScopes": [],
    }
    return dict(sorted(answer.items()))


def _record_types(store: Store, sobject: SObject, version: str) -> list[dict[str, Any]]:
    """The declared ones, and always the master (§5.1)."""
    layouts = f"/services/data/v{version}/sobjects/{sobject.name}/describe/layouts"
    kinds = {item.developer_name: item for item in sobject.document.record_types}
    infos: list[dict[str, Any]] = []
    rows = store.rows(shape_object) if (shape_object := store.shape.object("RecordType")) else {}
    for row in rows.values():
        if row.get("SobjectType") == sobject.name:
            kind = kinds[row["DeveloperName"]]
            infos.append(
                _info(row["Id"], row["DeveloperName"], row["Name"], layouts, default=kind.default, active=kind.active)
            )
    no_default = not any(kind.default for kind in kinds.values())
    return [*infos, _info(_MASTER, "Master", "Master", layouts, default=no_default, master=True)]


def _info(
    key: str, developer_name: str, name: str, layouts: str, *, default: bool, master: bool = False, active: bool = True
) -> dict[str, Any]:
    return {
        "active": active,
        "available": True,
        "defaultRecordTypeMapping": default,
        "developerName": developer_name,
        "master": master,
        "name": name,
        "recordTypeId": key,
        "urls": {"layout": f"{layouts}/{key}"},
    }

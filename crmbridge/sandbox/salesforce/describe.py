"""Describe answers: what clients learn about the org's objects (salesforce-api §5.1)."""

import re
from collections.abc import Mapping
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


# Which version showed a key first. Recorded orgs tell bounds alone: what v29 (2015) has not and v42 (2021) has, what
# v42 has not and v48 has, what v48 has not and v52 has; the very versions are (unverified).
_COMPOUND_SINCE: Final = 30
_BY_42: Final = 32
_BY_48: Final = 45
_BY_52: Final = 50
_OBJECT_SINCE: Final[dict[str, int]] = dict.fromkeys(
    "actionOverrides hasSubtypes isSubtype mruEnabled namedLayoutInfos networkScopeFieldName "
    "sobjectDescribeOption supportedScopes".split(),
    _BY_42,
)
_OBJECT_SINCE.update(
    dict.fromkeys(
        "deepCloneable defaultImplementation extendedBy extendsInterfaces implementedBy implementsInterfaces "
        "isInterface".split(),
        _BY_48,
    )
)
_OBJECT_SINCE.update(associateEntityType=_BY_52, associateParentEntity=_BY_52)
_FIELD_SINCE: Final[dict[str, int]] = dict.fromkeys(
    "aggregatable encrypted extraTypeInfo filteredLookupInfo highScaleNumber mask maskType polymorphicForeignKey "
    "referenceTargetField searchPrefilterable".split(),
    _BY_42,
)
_FIELD_SINCE.update(compoundFieldName=_COMPOUND_SINCE, queryByDistance=_COMPOUND_SINCE)
_FIELD_SINCE.update(aiPredictionField=_BY_48, formulaTreatNullNumberAsZero=_BY_48)
_RECORD_TYPE_SINCE: Final = {"active": _BY_42, "master": _BY_42, "developerName": _BY_48}
_CHILD_SINCE: Final = {"junctionIdListNames": _BY_42, "junctionReferenceTo": _BY_42}
_WITH_LAYOUTS: Final = {
    "approvalLayouts": "describe/approvalLayouts",
    "compactLayouts": "describe/compactLayouts",
    "layouts": "describe/layouts",
    "listviews": "listviews",
    "quickActions": "quickActions",
}
_URL_SINCE: Final = {"approvalLayouts": _COMPOUND_SINCE, "listviews": _BY_42}
_ONLY_IN_FULL: Final = "defaultValues"  # an address that the global describe does not name
_PAGES: Final = {"uiDetailTemplate": "{ID}", "uiEditTemplate": "{ID}/e"}
_DATA: Final = re.compile(r"^/services/data/v[^/]+/")


def _known(item: Mapping[str, Any], since: Mapping[str, int], version: str) -> dict[str, Any]:
    """Without the keys that came later."""
    release = int(version.partition(".")[0])
    return {key: value for key, value in item.items() if since.get(key, 0) <= release}


def field_description(field: Field, version: str) -> dict[str, Any]:
    answer = msgspec.to_builtins(field)
    for key in _OURS:
        del answer[key]
    if field.type == "boolean" and int(version.partition(".")[0]) < _BY_42:
        answer["defaultValue"] = None  # a recorded org, v29
    return dict(sorted(_known(answer, _FIELD_SINCE, version).items()))


def summary(sobject: SObject, version: str) -> dict[str, Any]:
    """One object of the global describe."""
    document = sobject.document
    answer = {
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
        "keyPrefix": None if document.prefixless else document.key_prefix,
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
        "urls": _urls(sobject, version),
    }
    told = {key: value for key, value in msgspec.to_builtins(document.told).items() if value is not None}
    answer |= {key: value for key, value in told.items() if key in answer}
    return _known(answer, _OBJECT_SINCE, version)


def _urls(sobject: SObject, version: str) -> dict[str, str]:
    """Addresses as a real org names them; what is not served here says so when it is asked for."""
    path, release = f"/services/data/v{version}/sobjects/{sobject.name}", int(version.partition(".")[0])
    told = sobject.document.urls
    if told is not None:
        moved = {name: _DATA.sub(f"/services/data/v{version}/", url) for name, url in told.items()}
        return {name: url for name, url in moved.items() if url.startswith("/")}
    urls = {"sobject": path, "rowTemplate": f"{path}/{{ID}}", "describe": f"{path}/describe"}
    if not sobject.document.setup:
        for name, end in _WITH_LAYOUTS.items():
            if _URL_SINCE.get(name, 0) <= release:
                urls[name] = f"{path}/{end}"
    return urls


def _pages(shape: Shape, sobject: SObject) -> dict[str, str]:
    """Pages for people, which only the full description names (§5.1)."""
    root = f"https://{shape.org.my_domain}"
    return {name: f"{root}/{end}" for name, end in _PAGES.items()} | {
        "uiNewRecord": f"{root}/{sobject.document.key_prefix}/e"
    }


def everything(shape: Shape, version: str) -> dict[str, Any]:
    objects = [summary(item, version) for _, item in sorted(shape.objects.items())]
    for item in objects:
        item["urls"].pop(_ONLY_IN_FULL, None)
    return {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": objects}


def description(store: Store, sobject: SObject, version: str) -> dict[str, Any]:
    """The full description of one object."""
    shape = store.shape
    children = [
        _known(
            {
                "cascadeDelete": reference.deleted_with_parent,
                "childSObject": child.name,
                "deprecatedAndHidden": False,
                "field": reference.name,
                "junctionIdListNames": [],
                "junctionReferenceTo": [],
                "relationshipName": reference.child_relationship_name,
                "restrictedDelete": reference.restricted_delete,
            },
            _CHILD_SINCE,
            version,
        )
        for child, reference in shape.children.get(sobject.name, ())
        if reference.name != "MasterRecordId"  # recorded orgs show no relationship to the losers of a merge
    ]
    top = summary(sobject, version)
    if not sobject.document.setup:
        top["urls"] |= _pages(shape, sobject)
    answer = top | {
        "actionOverrides": [],
        "childRelationships": children,
        "compactLayoutable": not sobject.document.setup,
        "defaultImplementation": None,
        "extendedBy": None,
        "extendsInterfaces": None,
        "fields": [field_description(field, version) for field in sobject.fields.values()],
        "implementedBy": None,
        "implementsInterfaces": None,
        "listviewable": None,
        "lookupLayoutable": None,
        "namedLayoutInfos": [],
        "networkScopeFieldName": None,
        "recordTypeInfos": _record_types(store, sobject, version),
        "searchLayoutable": sobject.document.searchable and not sobject.document.setup,
        "sobjectDescribeOption": "FULL",
        "supportedScopes": [{"label": f"All {sobject.document.label_plural.lower()}", "name": "everything"}],
    }
    told = {key: value for key, value in msgspec.to_builtins(sobject.document.told).items() if value is not None}
    return dict(sorted(_known(answer | told, _OBJECT_SINCE, version).items()))


def _record_types(store: Store, sobject: SObject, version: str) -> list[dict[str, Any]]:
    """The declared ones, and always the master (§5.1); available are those of the asking user's profile."""
    offered = store.access.profile.record_types.get(sobject.name) if store.access is not None else None
    layouts = f"/services/data/v{version}/sobjects/{sobject.name}/describe/layouts"
    kinds = {item.developer_name: item for item in sobject.document.record_types}
    infos: list[dict[str, Any]] = []
    rows = store.rows(shape_object) if (shape_object := store.shape.object("RecordType")) else {}
    for row in rows.values():
        if row.get("SobjectType") == sobject.name:
            name = row["DeveloperName"]
            kind, available = kinds[name], offered is None or name in offered.available
            info = _info(row["Id"], name, row["Name"], layouts, default=kind.default, active=kind.active)
            infos.append(info | {"available": available})
    no_default = not any(kind.default for kind in kinds.values())
    infos.append(_info(_MASTER, "Master", "Master", layouts, default=no_default, master=True))
    return [_known(info, _RECORD_TYPE_SINCE, version) for info in infos]


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

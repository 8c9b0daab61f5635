"""Descriptions of objects and fields as the partner WSDL has them (salesforce-api §5.1).

REST's answer holds the same facts. A WSDL lists elements in alphabetical order, and a strict client refuses one that
its version does not know: what the WSDL of v27 has is served up to v27, what that of v47 has afterwards; when each of
the newer elements came is (unverified).
"""

from collections.abc import Mapping
from typing import Any, Final

from crmbridge.sandbox.salesforce import soap

OLD: Final = 27
ADDRESSES_SINCE: Final = 30  # compound fields (unverified)

_GLOBAL_OLD: Final = frozenset(
    "activateable createable custom customSetting deletable deprecatedAndHidden feedEnabled keyPrefix label "
    "labelPlural layoutable mergeable name queryable replicateable retrieveable searchable triggerable undeletable "
    "updateable".split()
)
_GLOBAL: Final = _GLOBAL_OLD | frozenset("deepCloneable hasSubtypes isInterface isSubtype mruEnabled".split())
_OBJECT_OLD: Final = _GLOBAL_OLD | frozenset("childRelationships fields recordTypeInfos".split())
_OBJECT: Final = (
    _OBJECT_OLD
    | _GLOBAL
    | frozenset("compactLayoutable defaultImplementation networkScopeFieldName searchLayoutable".split())
)
_CHILD_OLD: Final = frozenset("cascadeDelete childSObject deprecatedAndHidden field relationshipName".split())
_CHILD: Final = _CHILD_OLD | frozenset("junctionIdListNames junctionReferenceTo restrictedDelete".split())
_FIELD_OLD: Final = frozenset(
    "autoNumber byteLength calculated calculatedFormula caseSensitive controllerName createable custom "
    "defaultValueFormula defaultedOnCreate dependentPicklist deprecatedAndHidden digits externalId filterable "
    "groupable htmlFormatted idLookup inlineHelpText label length name nameField namePointing nillable "
    "picklistValues precision referenceTo relationshipName relationshipOrder restrictedPicklist scale soapType "
    "sortable type unique updateable writeRequiresMasterRead".split()
)
_FIELD: Final = _FIELD_OLD | frozenset(
    "aggregatable aiPredictionField cascadeDelete compoundFieldName displayLocationInDecimal encrypted extraTypeInfo "
    "formulaTreatNullNumberAsZero highScaleNumber mask maskType permissionable polymorphicForeignKey queryByDistance "
    "referenceTargetField restrictedDelete searchPrefilterable".split()
)
_RECORD_TYPE_OLD: Final = frozenset("available defaultRecordTypeMapping name recordTypeId".split())
_RECORD_TYPE: Final = _RECORD_TYPE_OLD | frozenset("active developerName master".split())
_PICKLIST: Final = frozenset("active defaultValue label validFor value".split())
_NILLABLE: Final = frozenset("keyPrefix urlDetail urlEdit urlNew recordTypeId encoding".split())  # the rest is left out
_ALWAYS: Final = frozenset({"dependentPicklist", "namePointing"})


def everything(answer: Mapping[str, Any], version: int) -> str:
    kept = _GLOBAL_OLD if version <= OLD else _GLOBAL
    sobjects = "".join(f"<sobjects>{_elements(item, kept)}</sobjects>" for item in answer["sobjects"])
    return soap.many({"encoding": answer["encoding"], "maxBatchSize": answer["maxBatchSize"]}) + sobjects


def description(answer: Mapping[str, Any], version: int, origin: str) -> str:
    old = version <= OLD
    urls = {
        "urlDetail": f"{origin}/{{ID}}",
        "urlEdit": f"{origin}/{{ID}}/e",
        "urlNew": f"{origin}/{answer['keyPrefix']}/e",
    }
    fields = [field for field in answer["fields"] if field["type"] != "address" or version >= ADDRESSES_SINCE]
    lists = {
        "childRelationships": (_CHILD_OLD if old else _CHILD, answer["childRelationships"]),
        "fields": (_FIELD_OLD if old else _FIELD, fields),
        "recordTypeInfos": (_RECORD_TYPE_OLD if old else _RECORD_TYPE, answer["recordTypeInfos"]),
    }
    kept = (_OBJECT_OLD if old else _OBJECT) | urls.keys()
    parts: list[str] = []
    for name in sorted(kept & {**answer, **urls}.keys()):
        if name in lists:
            inner, items = lists[name]
            parts += [f"<{name}>{_elements(item, inner)}</{name}>" for item in items]
        else:
            parts.append(_element(name, urls.get(name, answer.get(name))))
    return "".join(parts)


def _elements(item: Mapping[str, Any], kept: frozenset[str]) -> str:
    return "".join(_element(name, item[name]) for name in sorted(kept & item.keys()))


def _element(name: str, value: Any) -> str:
    if name == "picklistValues":
        return "".join(f"<{name}>{_elements(entry, _PICKLIST)}</{name}>" for entry in value)
    if isinstance(value, (list, tuple)):
        return "".join(soap.text(name, part) for part in value)
    if value is None and name not in _NILLABLE:
        return ""
    return soap.text(name, value)

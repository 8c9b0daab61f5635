"""Which picklist values each record type offers (salesforce-api §5.1); page layouts are no part of a shape."""

from typing import Any, Final

from crmbridge.sandbox.salesforce.errors import not_found
from crmbridge.sandbox.salesforce.ids import canonical
from crmbridge.sandbox.salesforce.schema import Field, RecordType, SObject
from crmbridge.sandbox.salesforce.store import Store

MASTER: Final = "012000000000000AAA"  # what every org has instead of a record type
_ANY: Final = RecordType(developer_name="Master", name="Master")


def layouts(store: Store, sobject: SObject, wanted: str) -> dict[str, Any]:
    """All record types of an object, or the one asked for; no page layouts are declared or listed (unverified)."""
    kinds = {item.developer_name: item for item in sobject.document.record_types}
    ids = store.rows(found).values() if (found := store.shape.object("RecordType")) else ()
    named = {row["Id"]: kinds[row["DeveloperName"]] for row in ids if row.get("SobjectType") == sobject.name}
    mappings = [_mapping(sobject, key, kind) for key, kind in (named | {MASTER: _ANY}).items()]
    if wanted:
        mappings = [mapping for mapping in mappings if mapping["recordTypeId"] == canonical(wanted)]
        if not mappings:
            raise not_found()
    return {"layouts": [], "recordTypeMappings": mappings, "recordTypeSelectorRequired": [len(named) > 1]}


def _mapping(sobject: SObject, key: str, kind: RecordType) -> dict[str, Any]:
    others = any(item.default for item in sobject.document.record_types)
    return {
        "active": kind.active,
        "available": True,
        "defaultRecordTypeMapping": kind.default or (key == MASTER and not others),
        "developerName": kind.developer_name,
        "layoutId": None,
        "master": key == MASTER,
        "name": kind.name or kind.developer_name,
        "picklistsForRecordType": [
            {"picklistName": field.name, "picklistValues": _values(field, kind)}
            for field in sobject.fields.values()
            if field.picklist_values
        ],
        "recordTypeId": key,
    }


def _values(field: Field, kind: RecordType) -> list[dict[str, Any]]:
    offered, default = kind.picklists.get(field.name), kind.defaults.get(field.name)
    return [
        {
            "active": value.active,
            "defaultValue": value.default_value if default is None else value.value == default,
            "label": value.label or value.value,
            "validFor": value.valid_for,
            "value": value.value,
        }
        for value in field.picklist_values
        if value.active and (offered is None or value.value in offered)
    ]

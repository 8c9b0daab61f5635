"""Reading a shape: YAML with Salesforce's defaults filled in (salesforce-api §5).

The YAML is short where Salesforce's defaults hold; what is read here answers every question a describe call can ask. A
field may be written by hand or pasted from a describe answer.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfoNotFoundError

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from crmbridge.sandbox.salesforce.errors import SfError
from crmbridge.sandbox.salesforce.schema import NUMBER, TEXT, Document, Shape, SObject
from crmbridge.sandbox.salesforce.soql import parse_condition

__all__ = ["SHIPPED", "Shape", "ShapeError", "load_shape", "shape_from"]

SHIPPED: Final = Path(__file__).parent.parent / "shapes" / "salesforce.yaml"

_SOAP: Final = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "boolean": "xsd:boolean",
    "int": "xsd:int",
    "double": "xsd:double",
    "currency": "xsd:double",
    "percent": "xsd:double",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
    "time": "xsd:time",
    "address": "urn:address",
    "base64": "xsd:base64Binary",
    "anyType": "xsd:anyType",
}
_SYSTEM: Final[dict[str, dict[str, Any]]] = {
    "IsDeleted": {"type": "boolean", "label": "Deleted"},
    "CreatedDate": {"type": "datetime", "nillable": False, "defaultedOnCreate": True},
    "CreatedById": {"type": "reference", "referenceTo": ["User"], "nillable": False, "defaultedOnCreate": True},
    "LastModifiedDate": {"type": "datetime", "nillable": False, "defaultedOnCreate": True},
    "LastModifiedById": {"type": "reference", "referenceTo": ["User"], "nillable": False, "defaultedOnCreate": True},
    "SystemModstamp": {"type": "datetime", "nillable": False, "defaultedOnCreate": True},
    "LastActivityDate": {"type": "date", "label": "Last Activity"},
    "LastViewedDate": {"type": "datetime"},
    "LastReferencedDate": {"type": "datetime"},
}
_MULTI_CURRENCY_OBJECTS: Final = ("Lead", "Account", "Contact", "Opportunity", "Campaign")
_KEPT_OBJECT_KEYS: Final = frozenset(
    "label labelPlural keyPrefix custom setup readOnly createable updateable deletable undeletable mergeable "
    "searchable queryable standardFields fields recordTypes".split()
)


class ShapeError(ValueError):
    """A mistake in a shape file, in words for the person who wrote it."""


def _label(name: str) -> str:
    """`MailingPostalCode` reads Mailing Postal Code, `Deal_Size__c` reads Deal Size."""
    plain = name.removesuffix("__c").replace("_", " ")
    if name.endswith("__c"):
        return plain
    spaced = "".join(
        f" {char}" if char.isupper() and not plain[at - 1].isupper() else char for at, char in enumerate(plain)
    )
    return spaced.strip().removesuffix(" Id") + (" ID" if spaced.endswith(" Id") else "")


def _field(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """One field with Salesforce's defaults for its type filled in."""
    item: dict[str, Any] = {**given, "name": name}
    kind = item.get("type", "string")
    item["type"] = kind
    custom = name.endswith("__c")
    if item.pop("readOnly", False):
        item["createable"] = item["updateable"] = False
    item.setdefault("label", _label(name))
    item.setdefault("custom", custom)
    item.setdefault("soapType", _SOAP.get(kind, "xsd:string"))
    length = item["length"] if isinstance(item.get("length"), int) else 0  # a mistake is told when all is read
    long_text = kind in TEXT and length > 255 and kind != "picklist"
    item.setdefault("byteLength", length * 3 if kind in TEXT else 0)
    item.setdefault("filterable", not long_text)
    item.setdefault("sortable", not long_text and kind != "address")
    item.setdefault("groupable", not long_text and kind not in NUMBER and kind not in ("datetime", "address"))
    item.setdefault("aggregatable", kind not in ("boolean", "address") and not long_text)
    item.setdefault("permissionable", item.get("nillable", True) and not item.get("nameField") and name != "Id")
    if kind == "boolean":
        item.update(nillable=False, defaultedOnCreate=True)
        item["defaultValue"] = bool(item.get("defaultValue"))
    if kind == "reference":
        item["length"] = item["byteLength"] = 18
        item["polymorphicForeignKey"] = item["namePointing"] = len(item.get("referenceTo", ())) > 1
        relation = f"{name[:-1]}r" if custom else name.removesuffix("Id")
        item.setdefault("relationshipName", relation)
    values = [value if isinstance(value, dict) else {"value": str(value)} for value in item.get("picklistValues", ())]
    item["picklistValues"] = [{**value, "label": value.get("label") or value["value"]} for value in values]
    default = next((value["value"] for value in item["picklistValues"] if value.get("defaultValue")), None)
    if default is not None:
        item.setdefault("defaultValue", default)
    if item.get("defaultValue") is not None:
        item["defaultedOnCreate"] = True
    if item.get("unique") and item.get("externalId") is None:
        item.setdefault("caseSensitive", False)
    return item


def _object(name: str, given: Mapping[str, Any], number: int) -> dict[str, Any]:
    """One object with its system fields; keys of a pasted describe answer that only repeat the fields are dropped."""
    item = {key: value for key, value in given.items() if key in _KEPT_OBJECT_KEYS}
    item.setdefault("custom", name.endswith("__c"))
    item.setdefault("label", _label(name))
    item.setdefault("labelPlural", f"{item['label']}s")
    item["keyPrefix"] = item.get("keyPrefix") or f"a{number:02d}"
    if item.pop("readOnly", False):
        item.update(createable=False, updateable=False, deletable=False, undeletable=False)
    declared = item.get("fields") or {}
    if isinstance(declared, list):  # as a describe answer has them
        declared = {str(_mapping(entry, f"{name}.fields").get("name")): entry for entry in declared}
    declared = _mapping(declared, f"{name}.fields")
    fields: dict[str, dict[str, Any]] = {
        "Id": {"type": "id", "length": 18, "idLookup": True, "nillable": False, "defaultedOnCreate": True}
        | {"label": f"{item['label']} ID", "readOnly": True, "byteLength": 18}
    }
    system = item.pop("standardFields", None)
    fields |= {key: {**_SYSTEM[key], "readOnly": True} for key in (list(_SYSTEM) if system is None else system)}
    if item["custom"]:
        fields["Name"] = {
            "type": "string",
            "length": 80,
            "nameField": True,
            "idLookup": True,
            "label": f"{item['label']} Name",
        }
        fields["OwnerId"] = {
            "type": "reference",
            "referenceTo": ["Group", "User"],
            "nillable": False,
            "defaultedOnCreate": True,
        }
    if item.get("recordTypes"):  # §5.1: the field exists only where the object has record types
        fields["RecordTypeId"] = {"type": "reference", "referenceTo": ["RecordType"], "label": "Record Type ID"}
    fields |= declared
    item["fields"] = {key: _field(key, _mapping(value, f"{name}.{key}")) for key, value in fields.items()}
    return item


def _merged(base: Any, over: Any) -> Any:
    """Mappings are merged key by key; everything else, lists too, is replaced."""
    if isinstance(base, dict) and isinstance(over, dict):
        return {**base, **{key: _merged(base.get(key), value) for key, value in over.items()}}
    return over


def _mapping(value: Any, where: str) -> dict[str, Any]:
    """A part of the document that must be a mapping, or be left empty."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ShapeError(f"{where} must be a mapping, not {type(value).__name__}.")
    return value


def _fill(document: dict[str, Any]) -> dict[str, Any]:
    """Fill in what the YAML leaves to Salesforce's defaults."""
    org = _mapping(document.get("org"), "org")
    objects: dict[str, dict[str, Any]] = {
        name: _object(name, _mapping(given, f"objects.{name}"), number)
        for number, (name, given) in enumerate(_mapping(document.get("objects"), "objects").items())
    }
    for target, key, rows in (
        ("Lead", "Status", document.get("lead_statuses") or ()),
        ("Opportunity", "StageName", document.get("opportunity_stages") or ()),
    ):
        picklist = objects.get(target, {}).get("fields", {}).get(key)
        if picklist is not None and rows and not picklist["picklistValues"]:
            picklist["picklistValues"] = [
                {"value": row.get("api_name") or row["label"], "label": row["label"], "active": row.get("active", True)}
                | {"defaultValue": bool(row.get("default"))}
                for row in rows
            ]
            default = next((value["value"] for value in picklist["picklistValues"] if value["defaultValue"]), None)
            if default is not None:
                picklist.update(defaultValue=default, defaultedOnCreate=True)
    if org.get("multi_currency"):  # §5.4: without it there is no such field at all
        codes = list(dict.fromkeys([org.get("currency", "USD"), *(org.get("currencies") or {})]))
        given = {
            "type": "picklist",
            "length": 3,
            "restrictedPicklist": True,
            "nillable": False,
            "label": "Currency ISO Code",
        }
        given |= {"picklistValues": codes, "defaultValue": codes[0]}
        for name in _MULTI_CURRENCY_OBJECTS:
            if name in objects:
                objects[name]["fields"]["CurrencyIsoCode"] = _field("CurrencyIsoCode", given)
        currency = {
            "IsoCode": {"type": "picklist", "length": 3},
            "IsCorporate": {"type": "boolean"},
            "IsActive": {"type": "boolean"},
        }
        currency |= {
            "ConversionRate": {"type": "double", "precision": 18, "scale": 6},
            "DecimalPlaces": {"type": "int", "digits": 2},
        }
        objects["CurrencyType"] = _object(
            "CurrencyType",
            {
                "keyPrefix": "01L",
                "setup": True,
                "readOnly": True,
                "fields": currency,
                "standardFields": list(_SYSTEM)[1:6],
            },
            0,
        )
    for name, fields in _mapping(_mapping(document.get("rules"), "rules").get("required"), "rules.required").items():
        for key in fields:
            if key not in objects.get(name, {}).get("fields", {}):
                raise ShapeError(f"rules.required: {name} has no field {key}; declare it under objects.{name}.fields.")
            objects[name]["fields"][key]["nillable"] = False
    return {**{key: value for key, value in document.items() if key != "extends"}, "objects": objects}


def _read(path: Path) -> dict[str, Any]:
    try:
        document = YAML(typ="safe", pure=True).load(path)
    except (OSError, YAMLError) as error:
        raise ShapeError(f"The shape {path} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise ShapeError(f"The shape {path} is no mapping of org, objects and rules.")
    return document


def shape_from(document: Mapping[str, Any], *, name: str = "shape") -> Shape:
    """Check a shape given as data; `extends: salesforce` lays it over the shipped one."""
    whole = dict(document)
    if whole.get("extends") == "salesforce":
        whole = _merged(_read(SHIPPED), whole)
    elif "extends" in whole:
        raise ShapeError(
            f"{name}: extends: {whole['extends']!r} is unknown; the only shape to start from is 'salesforce'."
        )
    try:
        checked = msgspec.convert(_fill(whole), Document)
    except msgspec.ValidationError as error:
        raise ShapeError(f"{name}: {error}") from error
    if checked.org.person_accounts:
        raise ShapeError(f"{name}: org.person_accounts: this sandbox has no person accounts; leave it false.")
    _check_rules(checked, name)
    return Shape(
        org=checked.org,
        lead_statuses=checked.lead_statuses,
        opportunity_stages=checked.opportunity_stages,
        rules=checked.rules,
        conversion=checked.conversion,
        objects={key: SObject(name=key, document=item, fields=item.fields) for key, item in checked.objects.items()},
    )


def _check_rules(document: Document, name: str) -> None:
    """What can be wrong between the parts of a document, in words that say which part."""
    objects, rules = document.objects, document.rules
    try:
        document.org.zone.utcoffset(None)
    except (ZoneInfoNotFoundError, ValueError):
        raise ShapeError(f"{name}: org.time_zone: {document.org.time_zone} is no known time zone.") from None
    for rule in (*rules.validation, *rules.duplicates):
        if rule.object not in objects:
            raise ShapeError(f"{name}: rule {rule.name!r} names the unknown object {rule.object}.")
    conditions = [(rule.name, text) for rule in rules.validation for text in (rule.refuse_when, rule.was)]
    conditions += [(rule.name, rule.where) for rule in rules.duplicates]
    for label, text in conditions:
        try:
            parse_condition(text or "Id = null")
        except SfError as error:
            raise ShapeError(f"{name}: rule {label!r}: {text!r} is no condition: {error}") from None
    for rule in rules.duplicates:
        if rule.against not in objects:
            raise ShapeError(f"{name}: rule {rule.name!r} compares with the unknown object {rule.against}.")
        missing = [key for key in rule.match if key not in objects[rule.object].fields]
        missing += [key for key in rule.match.values() if key not in objects[rule.against].fields]
        if missing:
            raise ShapeError(f"{name}: rule {rule.name!r} matches by unknown fields: {', '.join(missing)}.")


@cache
def load_shape(path: Path | None = None) -> Shape:
    """The shipped out-of-box org, or the shape of a file."""
    return shape_from(_read(path or SHIPPED), name=str(path or SHIPPED.name))

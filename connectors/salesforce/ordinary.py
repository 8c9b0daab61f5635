"""What a shape file leaves unsaid of a Salesforce object: the ordinary value of each attribute of a field (§5.1).

The format of shape files is the contract (docs/howto/rehearse-on-your-own-shape.md): an attribute is written only where
it differs from these. All of it is about data; nothing is asked here.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

Facts = Mapping[str, Any]

_text: Final = frozenset(
    {"string", "picklist", "multipicklist", "combobox", "textarea", "phone", "url", "email", "encryptedstring"}
)
_number: Final = frozenset({"double", "currency", "percent"})
_soap: Final = {
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
# Attributes of a describe answer that a shape knows, with what holds for most fields.
PLAIN: Final[Mapping[str, Any]] = {
    "type": "string",
    "label": "",
    "aggregatable": True,
    "aiPredictionField": False,
    "autoNumber": False,
    "byteLength": 0,
    "calculated": False,
    "calculatedFormula": None,
    "cascadeDelete": False,
    "caseSensitive": False,
    "compoundFieldName": None,
    "controllerName": None,
    "createable": True,
    "custom": False,
    "defaultValue": None,
    "defaultValueFormula": None,
    "defaultedOnCreate": False,
    "dependentPicklist": False,
    "deprecatedAndHidden": False,
    "digits": 0,
    "displayLocationInDecimal": False,
    "encrypted": False,
    "externalId": False,
    "extraTypeInfo": None,
    "filterable": True,
    "filteredLookupInfo": None,
    "formulaTreatNullNumberAsZero": False,
    "groupable": True,
    "highScaleNumber": False,
    "htmlFormatted": False,
    "idLookup": False,
    "inlineHelpText": None,
    "length": 0,
    "mask": None,
    "maskType": None,
    "nameField": False,
    "namePointing": False,
    "nillable": True,
    "permissionable": True,
    "picklistValues": [],
    "polymorphicForeignKey": False,
    "precision": 0,
    "queryByDistance": False,
    "referenceTargetField": None,
    "referenceTo": [],
    "relationshipName": None,
    "relationshipOrder": None,
    "restrictedDelete": False,
    "restrictedPicklist": False,
    "scale": 0,
    "searchPrefilterable": False,
    "soapType": "xsd:string",
    "sortable": True,
    "unique": False,
    "updateable": True,
    "writeRequiresMasterRead": False,
    "childRelationshipName": None,
    "deletedWithParent": False,
}
_stamp: Final[Facts] = {"type": "datetime", "nillable": False, "defaultedOnCreate": True, "readOnly": True}
_person: Final[Facts] = {**_stamp, "type": "reference", "referenceTo": ["User"]}
# Fields that an object has without being named; `standardFields` lists others.
SYSTEM: Final[Mapping[str, Facts]] = {
    "IsDeleted": {"type": "boolean", "label": "Deleted", "readOnly": True},
    "CreatedDate": _stamp,
    "CreatedById": _person,
    "LastModifiedDate": _stamp,
    "LastModifiedById": _person,
    "SystemModstamp": _stamp,
    "LastActivityDate": {"type": "date", "label": "Last Activity", "readOnly": True},
    "LastViewedDate": {"type": "datetime", "readOnly": True},
    "LastReferencedDate": {"type": "datetime", "readOnly": True},
}
_owner: Final[Facts] = {
    "type": "reference",
    "referenceTo": ["Group", "User"],
    "nillable": False,
    "defaultedOnCreate": True,
}
_no_prefilter: Final = ("OwnerId", "CreatedById", "LastModifiedById", "MasterRecordId", "RecordTypeId")
_with_currency: Final = ("Lead", "Account", "Contact", "Opportunity", "Campaign")


def label_of(name: str) -> str:
    plain = name.removesuffix("__c").replace("_", " ")
    if name.endswith("__c"):
        return plain
    spaced = "".join(
        f" {char}" if char.isupper() and not plain[at - 1].isupper() else char for at, char in enumerate(plain)
    )
    return spaced.strip().removesuffix(" Id") + (" ID" if spaced.endswith(" Id") else "")


def field(name: str, said: Facts) -> dict[str, Any]:
    """All attributes of a field of which this much is said."""
    told: dict[str, Any] = dict(said)
    kind = told.setdefault("type", "string")
    custom = name.endswith("__c")
    if told.get("formula") is not None or told.get("summary") is not None:
        told |= {"calculated": True, "createable": False, "updateable": False}
        told.setdefault("calculatedFormula", told.get("formula"))
    if told.pop("readOnly", False):
        told.setdefault("createable", False)
        told.setdefault("updateable", False)
    told["picklistValues"] = [_value(each) for each in told.get("picklistValues") or ()]
    _default(told, kind)
    length = told.get("length") or 0
    long = kind in _text and length > 255 and kind != "picklist"
    usual: dict[str, Any] = {
        "label": label_of(name),
        "custom": custom,
        "soapType": _soap.get(kind, "xsd:string"),
        "byteLength": length * 3 if kind in _text else 0,
        "filterable": not long,
        "sortable": not long and kind != "address",
        "groupable": not long and kind not in _number and kind not in ("datetime", "address"),
        "aggregatable": kind not in ("boolean", "address") and not long,
        "permissionable": _permissionable(name, told, kind),
    }
    if kind == "textarea" and not told.get("htmlFormatted"):
        usual["extraTypeInfo"] = "plaintextarea"
    if kind == "boolean":
        usual |= {"nillable": False, "defaultedOnCreate": True}
    if kind == "reference":
        told |= {"length": 18, "byteLength": 18}
        several = len(told.get("referenceTo") or ()) > 1
        relation = f"{name[:-1]}r" if custom else name.removesuffix("Id")
        usual |= {"polymorphicForeignKey": several, "namePointing": several, "relationshipName": relation}
        usual["searchPrefilterable"] = not several and not custom and name not in _no_prefilter
    if told.get("defaultValue") is not None:
        usual["defaultedOnCreate"] = True
    return {key: told.get(key, usual.get(key, ordinary)) for key, ordinary in PLAIN.items()}


def _permissionable(name: str, told: Facts, kind: str) -> bool:
    """Whether a profile may hide it: not what must be there, nor what the platform keeps itself."""
    if not told.get("nillable", True) or told.get("nameField") or name == "Id":
        return False
    own = not (told.get("createable", True) or told.get("updateable", True)) and kind != "address"
    return not own or bool(told.get("calculated")) or name.endswith("__c")


def _default(told: dict[str, Any], kind: str) -> None:
    if kind == "boolean":
        told["defaultValue"] = bool(told.get("defaultValue"))
    elif "defaultValue" not in told:
        chosen = next((each["value"] for each in told["picklistValues"] if each["defaultValue"]), None)
        if chosen is not None:
            told["defaultValue"] = chosen


def _value(said: Any) -> dict[str, Any]:
    told: Facts = said if isinstance(said, Mapping) else {"value": str(said)}
    return {
        "value": told["value"],
        "label": told.get("label") or told["value"],
        "active": told.get("active", True),
        "defaultValue": bool(told.get("defaultValue")),
        "validFor": told.get("validFor"),
    }


def compact_value(value: Facts) -> Any:
    """The shortest way to write a picklist value."""
    usual = _value(str(value["value"]))
    said = {key: value[key] for key in usual if key == "value" or value[key] != usual[key]}
    return said["value"] if len(said) == 1 else said


def fields(name: str, said: Facts, org: Facts, picklists: Mapping[tuple[str, str], Sequence[Facts]]) -> dict[str, Any]:
    """All fields of an object of which this much is said, by name, each with what is said of it.

    `org` holds `multi_currency`, `currency`, `currencies` and `countries` (None: no codes beside addresses)."""
    custom = said.get("custom", name.endswith("__c"))
    label = said.get("label") or label_of(name)
    identity = {"type": "id", "length": 18, "byteLength": 18, "idLookup": True, "nillable": False}
    found: dict[str, Any] = {"Id": {**identity, "defaultedOnCreate": True, "label": f"{label} ID", "readOnly": True}}
    standard = said.get("standardFields")
    found |= {key: SYSTEM[key] for key in (SYSTEM if standard is None else standard)}
    if custom:
        found["Name"] = {"type": "string", "length": 80, "nameField": True, "idLookup": True, "label": f"{label} Name"}
        found["OwnerId"] = _owner
    if said.get("recordTypes"):
        found["RecordTypeId"] = {"type": "reference", "referenceTo": ["RecordType"], "label": "Record Type ID"}
    found |= {key: {**found.get(key, {}), **(value or {})} for key, value in (said.get("fields") or {}).items()}
    closed = _closed(said)
    found = {key: {**closed, **value} for key, value in found.items()}
    for (table, key), values in picklists.items():
        if table == name and key in found and not found[key].get("picklistValues"):
            found[key] = _with_values(found[key], values)
    if org.get("countries") is not None:
        found = with_codes(found, org["countries"])
    if org.get("multi_currency"):
        found = _with_currencies(name, found, org, custom=custom)
    return found


def _closed(said: Facts) -> dict[str, bool]:
    """What no record of the object allows, no field of it does."""
    whole = {**dict.fromkeys(("createable", "updateable"), not said.get("readOnly")), **said}
    return {each: False for each in ("createable", "updateable") if whole[each] is False}


def _with_values(said: Facts, values: Sequence[Facts]) -> Facts:
    """A status field takes its values from the list of statuses."""
    default = next((each["value"] for each in values if each.get("defaultValue")), None)
    chosen = {} if default is None else {"defaultValue": default, "defaultedOnCreate": True}
    return {**said, "picklistValues": list(values), **chosen}


def _with_currencies(name: str, found: dict[str, Any], org: Facts, *, custom: bool) -> dict[str, Any]:
    codes = list(dict.fromkeys([org["currency"], *org["currencies"]]))
    said = {"type": "picklist", "length": 3, "restrictedPicklist": True, "nillable": False, "picklistValues": codes}
    said |= {"defaultValue": codes[0], "label": "Currency ISO Code"}
    added: dict[str, Any] = {}
    if name in _with_currency or custom or any(each.get("type") == "currency" for each in found.values()):
        added["CurrencyIsoCode"] = said
    if name == "User":
        added["DefaultCurrencyIsoCode"] = {**said, "label": "Default Currency ISO Code"}
    return {**added, **found}


# --- state and country codes (§10) --------------------------------------------------------------------------------


def with_codes(found: dict[str, Any], countries: Mapping[str, Facts]) -> dict[str, Any]:
    """StateCode and CountryCode beside every address."""
    states: dict[str, dict[str, Any]] = {}
    for given in countries.values():
        for code, label in (given.get("states") or {}).items():
            states.setdefault(code, {"value": code, "label": label})
    values = [
        {**each, "validFor": _bitmap([code in (given.get("states") or {}) for given in countries.values()])}
        for code, each in states.items()
    ]
    result = dict(found)
    for name, said in found.items():
        prefix = name.removesuffix("Country")
        state = found.get(f"{prefix}State")
        if not name.endswith("Country") or state is None or said.get("type", "string") != "string":
            continue
        common = {"type": "picklist", "length": 10, "restrictedPicklist": True}
        common["compoundFieldName"] = said.get("compoundFieldName")
        labels = [{"value": code, "label": str(given["label"])} for code, given in countries.items()]
        label = said.get("label") or label_of(name)
        result.setdefault(f"{prefix}CountryCode", {**common, "label": f"{label} Code", "picklistValues": labels})
        label = state.get("label") or label_of(f"{prefix}State")
        by_country = {**common, "controllerName": f"{prefix}CountryCode", "dependentPicklist": True}
        result.setdefault(f"{prefix}StateCode", {**by_country, "label": f"{label} Code", "picklistValues": values})
    return result


def _bitmap(bits: Sequence[bool]) -> str:
    size = (len(bits) + 7) // 8
    number = sum(1 << (size * 8 - 1 - at) for at, bit in enumerate(bits) if bit)
    return base64.b64encode(number.to_bytes(size, "big")).decode()


def bit(bitmap: str | None, at: int) -> bool:
    """§5.1: bit n, the most significant first, is the n-th value of the controlling field."""
    try:
        raw = base64.b64decode(bitmap or "")
    except ValueError:
        return False
    return at // 8 < len(raw) and bool(raw[at // 8] >> (7 - at % 8) & 1)

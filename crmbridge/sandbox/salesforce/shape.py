"""Reading a shape: YAML with Salesforce's defaults filled in (salesforce-api §5).

The YAML is short where Salesforce's defaults hold; what is read here answers every question a describe call can ask. A
field may be written by hand or pasted from a describe answer.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfoNotFoundError

import msgspec
from ruamel.yaml.nodes import ScalarNode

from crmbridge.sandbox.forms import FormError
from crmbridge.sandbox.marks import UnreadableFile, read_yaml, spot_of
from crmbridge.sandbox.overlay import ABSENT, overlay
from crmbridge.sandbox.salesforce.addresses import with_codes
from crmbridge.sandbox.salesforce.derived import Plan, PlanError
from crmbridge.sandbox.salesforce.errors import SfError
from crmbridge.sandbox.salesforce.persons import with_persons
from crmbridge.sandbox.salesforce.picklists import with_dependencies
from crmbridge.sandbox.salesforce.schema import NUMBER, TEXT, Document, Shape, SObject, Told
from crmbridge.sandbox.salesforce.shape_form import check_form
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
_NO_PREFILTER: Final = ("OwnerId", "CreatedById", "LastModifiedById", "MasterRecordId", "RecordTypeId")
_MULTI_CURRENCY_OBJECTS: Final = ("Lead", "Account", "Contact", "Opportunity", "Campaign")
_KEPT_OBJECT_KEYS: Final = frozenset(
    "label labelPlural keyPrefix custom setup readOnly createable updateable deletable undeletable mergeable "
    "searchable queryable standardFields fields recordTypes".split()
)
_EVERY_ORG: Final = ("User", "Lead", "Account", "Contact", "Opportunity", "OpportunityContactRole")
_TOLD: Final = frozenset(field.encode_name for field in msgspec.structs.fields(Told))


class ShapeError(ValueError):
    """A mistake in a shape file, in words for the person who wrote it; `place` leads to it from the file's top."""

    def __init__(self, message: str, place: tuple[str | int, ...] = (), offset: int = 0) -> None:
        super().__init__(message)
        self.place = place
        self.offset = offset  # characters into the text that stands there


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
    """One field with Salesforce's defaults for its type filled in.

    `crmbridge capture` leaves out what is said here; tests/journey/test_capture.py tells when the two differ.
    """
    item: dict[str, Any] = {**given, "name": name}
    kind = item.get("type", "string")
    item["type"] = kind
    custom = name.endswith("__c")
    if item.get("formula") is not None or item.get("summary") is not None:  # §5.1: read only
        item.update(calculated=True, readOnly=True, createable=False, updateable=False)
        item.setdefault("calculatedFormula", item.get("formula"))
    if item.pop("readOnly", False):
        item.setdefault("createable", False)
        item.setdefault("updateable", False)
    item.setdefault("label", _label(name))
    item.setdefault("custom", custom)
    item.setdefault("soapType", _SOAP.get(kind, "xsd:string"))
    length = item["length"] if isinstance(item.get("length"), int) else 0  # a mistake is told when all is read
    long_text = kind in TEXT and length > 255 and kind != "picklist"
    item.setdefault("byteLength", length * 3 if kind in TEXT else 0)
    if kind == "textarea" and not item.get("htmlFormatted"):
        item.setdefault("extraTypeInfo", "plaintextarea")
    item.setdefault("filterable", not long_text)
    item.setdefault("sortable", not long_text and kind != "address")
    item.setdefault("groupable", not long_text and kind not in NUMBER and kind not in ("datetime", "address"))
    item.setdefault("aggregatable", kind not in ("boolean", "address") and not long_text)
    own = not (item.get("createable", True) or item.get("updateable", True)) and kind != "address"
    hidden_never = own and not item.get("calculated") and not custom  # what the platform itself keeps
    required = not item.get("nillable", True) or item.get("nameField") or name == "Id"
    item.setdefault("permissionable", not required and not hidden_never)
    if kind == "boolean":
        item.setdefault("nillable", False)
        item.setdefault("defaultedOnCreate", True)
        item["defaultValue"] = bool(item.get("defaultValue"))
    if kind == "reference":
        item["length"] = item["byteLength"] = 18
        several = len(item.get("referenceTo", ())) > 1
        item.setdefault("polymorphicForeignKey", several)
        item.setdefault("namePointing", several)
        item.setdefault("searchPrefilterable", not several and name not in _NO_PREFILTER and not custom)
        relation = f"{name[:-1]}r" if custom else name.removesuffix("Id")
        item.setdefault("relationshipName", relation)
    values = [value if isinstance(value, dict) else {"value": str(value)} for value in item.get("picklistValues", ())]
    item["picklistValues"] = [{**value, "label": value.get("label") or value["value"]} for value in values]
    default = next((value["value"] for value in item["picklistValues"] if value.get("defaultValue")), None)
    if default is not None:
        item.setdefault("defaultValue", default)
    if item.get("defaultValue") is not None:
        item.setdefault("defaultedOnCreate", True)
    if item.get("unique") and item.get("externalId") is None:
        item.setdefault("caseSensitive", False)
    return item


def _object(name: str, given: Mapping[str, Any], number: int) -> dict[str, Any]:
    """One object with its system fields; keys of a pasted describe answer that only repeat the fields are dropped."""
    item: dict[str, Any] = {key: value for key, value in given.items() if key in _KEPT_OBJECT_KEYS}
    item["told"] = {key: value for key, value in given.items() if key in _TOLD}
    item["prefixless"] = "keyPrefix" in given and given["keyPrefix"] is None
    if given.get("urls") is not None:
        item["urls"] = given["urls"]
    item.setdefault("custom", name.endswith("__c"))
    item.setdefault("label", _label(name))
    item.setdefault("labelPlural", f"{item['label']}s")
    item["keyPrefix"] = item.get("keyPrefix") or f"a{number:02d}"
    if item.pop("readOnly", False):
        item = {**dict.fromkeys(("createable", "updateable", "deletable", "undeletable"), False), **item}
    declared = item.get("fields") or {}
    if isinstance(declared, list):  # as a describe answer has them
        declared = {str(_mapping(entry, f"{name}.fields").get("name")): entry for entry in declared}
    declared = _mapping(declared, f"{name}.fields")
    absent = frozenset(key for key, value in declared.items() if value == ABSENT)
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
    fields |= {key: overlay(fields.get(key), value) for key, value in declared.items()}
    # what no record of the object allows, no field of it does
    closed = {each: False for each in ("createable", "updateable") if item.get(each) is False}
    item["fields"] = {
        key: _field(key, {**closed, **_mapping(value, f"{name}.{key}")})
        for key, value in fields.items()
        if key not in absent
    }
    item[ABSENT] = absent
    return item


def _mapping(value: Any, where: str) -> dict[str, Any]:
    """A part of the document that must be a mapping, or be left empty."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ShapeError(f"{where} must be a mapping, not {type(value).__name__}.", tuple(where.split(".")))
    return value


def _fill(document: dict[str, Any]) -> dict[str, Any]:
    """Fill in what the YAML leaves to Salesforce's defaults."""
    org = _mapping(document.get("org"), "org")
    objects: dict[str, dict[str, Any]] = {
        name: _object(name, _mapping(given, f"objects.{name}"), number)
        for number, (name, given) in enumerate(_mapping(document.get("objects"), "objects").items())
        if given != ABSENT
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
    _task_statuses(objects.get("Task"), document.get("task_statuses") or ())
    if org.get("state_country_picklists"):
        with_codes(objects, _mapping(document.get("countries"), "countries"), _field)
    if org.get("person_accounts"):  # behind the codes: the account shows the person's too
        with_persons(objects, _field)
    for item in objects.values():
        with_dependencies(item["fields"])
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
        for name, item in objects.items():
            money = any(field["type"] == "currency" for field in item["fields"].values())
            if "CurrencyIsoCode" in item["fields"] or "CurrencyIsoCode" in item[ABSENT]:
                continue
            if name in _MULTI_CURRENCY_OBJECTS or money or item["custom"]:
                item["fields"]["CurrencyIsoCode"] = _field("CurrencyIsoCode", given)
        if "User" in objects and "DefaultCurrencyIsoCode" not in objects["User"]["fields"]:
            own = {**given, "label": "Default Currency ISO Code"}
            objects["User"]["fields"]["DefaultCurrencyIsoCode"] = _field("DefaultCurrencyIsoCode", own)
        currency = {
            "IsoCode": {"type": "picklist", "length": 3},
            "IsCorporate": {"type": "boolean"},
            "IsActive": {"type": "boolean"},
        }
        currency |= {
            "ConversionRate": {"type": "double", "precision": 18, "scale": 6},
            "DecimalPlaces": {"type": "int", "digits": 2},
        }
        objects["CurrencyType"] = objects.get("CurrencyType") or _object(
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
    conversion = _mapping(document.get("conversion"), "conversion")
    if isinstance(conversion.get("mapping"), dict) and "Lead" in objects:
        document = {**document, "conversion": {**conversion, "mapping": _present(objects, conversion["mapping"])}}
    for item in objects.values():
        del item[ABSENT]
    return {**{key: value for key, value in document.items() if key != "extends"}, "objects": objects}


def _present(objects: Mapping[str, Any], mapping: Mapping[str, Any]) -> dict[str, Any]:
    """What a conversion copies, without the fields that the shape calls absent."""
    gone = objects["Lead"][ABSENT]
    return {
        target: {
            source: field
            for source, field in _mapping(pairs, f"conversion.mapping.{target}").items()
            if source not in gone and field not in (objects[target][ABSENT] if target in objects else ())
        }
        for target, pairs in mapping.items()
    }


def _task_statuses(task: dict[str, Any] | None, rows: Sequence[Mapping[str, Any]]) -> None:
    picklist = task["fields"].get("Status") if task else None
    if picklist is not None and rows and not picklist["picklistValues"]:
        picklist["picklistValues"] = [
            {"value": row["label"], "label": row["label"], "defaultValue": bool(row.get("default"))} for row in rows
        ]
        default = next((row["label"] for row in rows if row.get("default")), None)
        if default is not None:
            picklist.update(defaultValue=default, defaultedOnCreate=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        document = read_yaml(path)
    except UnreadableFile as error:
        raise ShapeError(str(error)) from error
    if not isinstance(document, dict):
        raise ShapeError(f"{path} is no mapping of org, objects and rules.")
    both = document.get("salesforce")  # a file with both CRMs, as `crmbridge capture` writes it
    return both if isinstance(both, dict) else document


def shape_from(document: Mapping[str, Any], *, name: str = "shape") -> Shape:
    """Check a shape given as data; `extends: salesforce` lays it over the shipped one."""
    whole = dict(document)
    if whole.get("extends") == "salesforce":
        whole = overlay(_read(SHIPPED), whole)
    elif "extends" in whole:
        raise ShapeError(
            f"{name}: extends: {whole['extends']!r} is unknown; the only shape to start from is 'salesforce'."
        )
    try:
        check_form(whole, _SYSTEM)
        checked = msgspec.convert(_fill(whole), Document)
    except FormError as error:
        raise ShapeError(f"{name}: {error}", error.place) from None
    except msgspec.ValidationError as error:
        raise ShapeError(f"{name}: {error}") from error
    _check_rules(checked, name)
    shape = Shape(
        org=checked.org,
        lead_statuses=checked.lead_statuses,
        opportunity_stages=checked.opportunity_stages,
        rules=checked.rules,
        conversion=checked.conversion,
        objects={key: SObject(name=key, document=item, fields=item.fields) for key, item in checked.objects.items()},
        task_statuses=checked.task_statuses,
        profiles=checked.profiles,
        people=checked.people,
        sharing=dict(checked.sharing),
        countries=checked.countries,
    )
    _check_people(shape, name)
    try:
        Plan(shape)
    except PlanError as error:
        raise ShapeError(f"{name}: {error}", error.place, error.offset) from None
    return shape


def _check_people(shape: Shape, name: str) -> None:
    """Profiles and people name what there is (lifecycle §6)."""
    for profile, rights in shape.profiles.items():
        for target, fields in (dict.fromkeys(rights.objects, ()) | dict(rights.fields)).items():
            sobject = shape.object(target)
            if sobject is None:
                message = f"{name}: profiles.{profile} names the unknown object {target}."
                raise ShapeError(message, ("profiles", profile))
            for field in fields:
                found = sobject.fields.get(field)
                if found is None or not found.permissionable:
                    what = "has no field" if found is None else "shows everybody the field"
                    message = f"{name}: profiles.{profile}: {target} {what} {field}."
                    raise ShapeError(message, ("profiles", profile, "fields", target))
        for target, types in rights.record_types.items():
            sobject = shape.object(target)
            known = {kind.developer_name for kind in sobject.document.record_types} if sobject else set[str]()
            wanted = {*types.available, *([types.default] if types.default else [])}
            if unknown := sorted(wanted - known):
                raise ShapeError(
                    f"{name}: profiles.{profile}: {target} has no record type {unknown[0]}.", ("profiles", profile)
                )
    for email, person in shape.people.items():
        if person.profile not in shape.profiles:
            raise ShapeError(f"{name}: people.{email}: there is no profile {person.profile}.", ("people", email))
    for target in shape.sharing:
        if target not in shape.objects:
            raise ShapeError(f"{name}: sharing names the unknown object {target}.", ("sharing", target))


def _check_rules(document: Document, name: str) -> None:
    """What can be wrong between the parts of a document, in words that say which part."""
    objects, rules = document.objects, document.rules
    if missing := [each for each in _EVERY_ORG if each not in objects]:
        raise ShapeError(f"{name}: objects: {missing[0]} is missing; every org that is served has it.", ("objects",))
    try:
        document.org.zone.utcoffset(None)
    except (ZoneInfoNotFoundError, ValueError):
        raise ShapeError(f"{name}: org.time_zone: {document.org.time_zone} is no known time zone.") from None
    for target, item in objects.items():
        if any(kind.person for kind in item.record_types) and not (
            document.org.person_accounts and target == "Account"
        ):
            message = (
                f"{name}: objects.{target}: person record types are Account's alone, with org.person_accounts: true."
            )
            raise ShapeError(message, ("objects", target, "recordTypes"))
    for rule in (*rules.validation, *rules.duplicates):
        if rule.object not in objects:
            raise ShapeError(f"{name}: rule {rule.name!r} names the unknown object {rule.object}.")
    for at, rule in enumerate(rules.validation):
        if (rule.formula is None) == (rule.refuse_when is None):
            message = f"{name}: rule {rule.name!r}: give either formula or refuse_when."
            raise ShapeError(message, ("rules", "validation", at))
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
        pairs = list(rule.match.items())
        if rule.matching is not None:
            matching = next((each for each in rules.matching if each.name == rule.matching), None)
            if matching is None:
                raise ShapeError(f"{name}: rule {rule.name!r}: there is no matching rule {rule.matching}.")
            pairs += [(item.field, item.against or item.field) for item in matching.items]
        if not pairs:
            raise ShapeError(f"{name}: rule {rule.name!r}: give match or matching; a rule without matches nothing.")
        missing = [key for key, _ in pairs if key not in objects[rule.object].fields]
        missing += [key for _, key in pairs if key not in objects[rule.against].fields]
        if missing:
            raise ShapeError(f"{name}: rule {rule.name!r} matches by unknown fields: {', '.join(missing)}.")


@cache
def load_shape(path: Path | None = None) -> Shape:
    """The shipped out-of-box org, or the shape of a file."""
    where = path or SHIPPED
    try:
        return shape_from(_read(where), name=str(path or SHIPPED.name))
    except ShapeError as error:
        found = _line_of(where, error.place, error.offset) if error.place else None
        text = str(error).removeprefix(f"{path or SHIPPED.name}: ")
        if text.startswith(str(where)):  # it could not be read at all
            raise
        mark = f":{found[0]}:{found[1]}" if found is not None else ""
        raise ShapeError(f"{where}{mark}: {text}", error.place) from None


def _line_of(path: Path, place: tuple[str | int, ...], offset: int) -> tuple[int, int] | None:
    """Line and column in the file; none for what stands in the shape that this one extends."""
    spot = spot_of(path.read_text(encoding="utf-8"), ("salesforce", *place))
    if spot is None or not spot.whole:
        spot = spot_of(path.read_text(encoding="utf-8"), place)
    if spot is None or not spot.whole:
        return None
    quoted = isinstance(spot.value, ScalarNode) and spot.value.style in ("'", '"')
    plain = isinstance(spot.value, ScalarNode) and spot.value.style not in ("|", ">")
    mark = spot.value.start_mark
    return mark.line + 1, mark.column + 1 + (offset + quoted if plain else 0)

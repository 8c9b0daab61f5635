"""The shape of an org: objects, fields, picklists, stages and rules, read from YAML (salesforce-api §5).

The YAML is short where Salesforce's defaults hold; `load_shape` fills the rest in, so that a `Field` answers every
question a describe call can ask. A field may be written by hand or pasted from a describe answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

SHIPPED: Final = Path(__file__).parent.parent / "shapes" / "salesforce.yaml"

TEXT: Final = frozenset(
    {"string", "picklist", "multipicklist", "combobox", "textarea", "phone", "url", "email", "encryptedstring"}
)
NUMBER: Final = frozenset({"double", "currency", "percent"})

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
    "label labelPlural keyPrefix custom setup readOnly createable updateable deletable undeletable mergeable searchable "
    "queryable standardFields fields recordTypes".split()
)


class ShapeError(ValueError):
    """A mistake in a shape file, in words for the person who wrote it."""


class PicklistValue(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    value: str
    label: str = ""
    active: bool = True
    default_value: bool = False
    valid_for: str | None = None


class Field(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """One field with everything a describe answer says of it (salesforce-api §5.1), and its child relationship."""

    name: str
    type: str
    label: str
    aggregatable: bool = True
    ai_prediction_field: bool = False
    auto_number: bool = False
    byte_length: int = 0
    calculated: bool = False
    calculated_formula: str | None = None
    cascade_delete: bool = False
    case_sensitive: bool = False
    compound_field_name: str | None = None
    controller_name: str | None = None
    createable: bool = True
    custom: bool = False
    default_value: bool | str | int | float | None = None
    default_value_formula: str | None = None
    defaulted_on_create: bool = False
    dependent_picklist: bool = False
    deprecated_and_hidden: bool = False
    digits: int = 0
    display_location_in_decimal: bool = False
    encrypted: bool = False
    external_id: bool = False
    extra_type_info: str | None = None
    filterable: bool = True
    filtered_lookup_info: Any = None
    formula_treat_null_number_as_zero: bool = False
    groupable: bool = True
    high_scale_number: bool = False
    html_formatted: bool = False
    id_lookup: bool = False
    inline_help_text: str | None = None
    length: int = 0
    mask: str | None = None
    mask_type: str | None = None
    name_field: bool = False
    name_pointing: bool = False
    nillable: bool = True
    permissionable: bool = True
    picklist_values: tuple[PicklistValue, ...] = ()
    polymorphic_foreign_key: bool = False
    precision: int = 0
    query_by_distance: bool = False
    reference_target_field: str | None = None
    reference_to: tuple[str, ...] = ()
    relationship_name: str | None = None
    relationship_order: int | None = None
    restricted_delete: bool = False
    restricted_picklist: bool = False
    scale: int = 0
    search_prefilterable: bool = False
    soap_type: str = "xsd:string"
    sortable: bool = True
    unique: bool = False
    updateable: bool = True
    write_requires_master_read: bool = False
    child_relationship_name: str | None = None  # ours, as the next: describe tells them at the parent
    deleted_with_parent: bool = False

    @property
    def required(self) -> bool:
        """Nobody may leave it empty: neither nillable nor filled in by the platform (salesforce-api §5.1)."""
        return not self.nillable and not self.defaulted_on_create and self.type != "boolean"

    @property
    def indexed(self) -> bool:
        stamps = self.name in ("CreatedById", "LastModifiedById")
        return (self.type == "reference" and not stamps) or self.unique or self.external_id or self.id_lookup


class RecordType(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    developer_name: str
    name: str = ""
    active: bool = True
    default: bool = False
    picklists: dict[str, tuple[str, ...]] = {}  # field: the values this record type offers


class LeadStatus(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    label: str
    api_name: str = ""
    converted: bool = False
    default: bool = False

    @property
    def value(self) -> str:
        return self.api_name or self.label


class Stage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    label: str
    api_name: str = ""
    probability: int = 0
    forecast: str = "Pipeline"  # API value of the forecast category
    closed: bool = False
    won: bool = False
    active: bool = True

    @property
    def value(self) -> str:
        return self.api_name or self.label


class Org(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str = "Acme"
    instance_name: str = "SBX1"
    organization_type: str = "Developer Edition"
    my_domain: str = "acme.my.salesforce.com"
    is_sandbox: bool = False
    currency: str = "USD"
    multi_currency: bool = False
    currencies: dict[str, float] = {}
    person_accounts: bool = False
    time_zone: str = "GMT"
    fiscal_year_start_month: int = 1
    daily_api_requests: int = 15_000
    request_limit_seconds: int = 600
    session_seconds: int = 7200
    refresh_token_rotation: bool = False
    set_audit_fields: bool = False
    edit_converted_leads: bool = False

    @property
    def zone(self) -> tzinfo:
        return UTC if self.time_zone in ("GMT", "UTC") else ZoneInfo(self.time_zone)  # GMT needs no zone database


class ValidationRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    object: str
    name: str
    refuse_when: str  # a WHERE condition on the row as it would be saved
    message: str
    was: str | None = None  # and, on updates only, one on the row as it stood before
    field: str | None = None  # where the message is shown; none: at the record
    active: bool = True


class DuplicateRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    object: str
    against: str
    match: dict[str, str]  # field of `object`: field of `against`; all must be equal and filled
    where: str | None = None  # which rows of `against` count
    action: str = "block"  # or alert, which Sforce-Duplicate-Rule-Header may pass
    message: str = "Use one of these records?"
    active: bool = True


class Assignment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    owner: str  # username, e-mail, queue name or id


class Rules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    validation: tuple[ValidationRule, ...] = ()
    required: dict[str, tuple[str, ...]] = {}
    duplicates: tuple[DuplicateRule, ...] = ()
    assignment: dict[str, Assignment] = {}


class Conversion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    require_validation: bool = True
    contact_role_on_existing_opportunity: bool = True
    mapping: dict[str, dict[str, str]] = {}  # target object: lead field: target field


class _ObjectDocument(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    label: str
    label_plural: str
    key_prefix: str
    custom: bool = False
    setup: bool = False
    createable: bool = True
    updateable: bool = True
    deletable: bool = True
    undeletable: bool = True
    mergeable: bool = False
    searchable: bool = True
    queryable: bool = True
    fields: dict[str, Field] = {}
    record_types: tuple[RecordType, ...] = ()


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    org: Org = Org()
    lead_statuses: tuple[LeadStatus, ...] = ()
    opportunity_stages: tuple[Stage, ...] = ()
    rules: Rules = Rules()
    conversion: Conversion = Conversion()
    objects: dict[str, _ObjectDocument] = {}


@dataclass(frozen=True, kw_only=True)
class SObject:
    """One object, with the look-ups that reading and writing need."""

    name: str
    document: _ObjectDocument
    fields: dict[str, Field] = field(default_factory=dict)

    @cached_property
    def by_lower(self) -> dict[str, Field]:
        return {name.lower(): item for name, item in self.fields.items()}

    @cached_property
    def relations(self) -> dict[str, Field]:
        """Parent relationships by their name in lower case: `owner`, `account`, `parent__r`."""
        return {item.relationship_name.lower(): item for item in self.fields.values() if item.relationship_name}

    @cached_property
    def required(self) -> tuple[Field, ...]:
        return tuple(item for item in self.fields.values() if item.required and item.createable)

    @cached_property
    def indexed(self) -> tuple[Field, ...]:
        return tuple(item for item in self.fields.values() if item.indexed)

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """What a new row holds before anybody writes to it."""
        return {item.name: item.default_value for item in self.fields.values() if item.default_value is not None}

    def field(self, name: str) -> Field | None:
        return self.fields.get(name) or self.by_lower.get(name.lower())


@dataclass(frozen=True, kw_only=True)
class Shape:
    org: Org
    lead_statuses: tuple[LeadStatus, ...]
    opportunity_stages: tuple[Stage, ...]
    rules: Rules
    conversion: Conversion
    objects: dict[str, SObject]

    @cached_property
    def _by_lower(self) -> dict[str, SObject]:
        return {name.lower(): item for name, item in self.objects.items()}

    @cached_property
    def by_prefix(self) -> dict[str, SObject]:
        return {item.document.key_prefix: item for item in self.objects.values()}

    @cached_property
    def children(self) -> dict[str, tuple[tuple[SObject, Field], ...]]:
        """Who points at an object: its child objects with their reference field."""
        found: dict[str, list[tuple[SObject, Field]]] = {}
        for item in self.objects.values():
            for reference in item.fields.values():
                for target in reference.reference_to:
                    found.setdefault(target, []).append((item, reference))
        return {name: tuple(pairs) for name, pairs in found.items()}

    @cached_property
    def stages(self) -> dict[str, Stage]:
        return {stage.value: stage for stage in self.opportunity_stages}

    @cached_property
    def forecast_labels(self) -> dict[str, str]:
        """Forecast category by API value; the record's ForecastCategoryName holds the label (§5.2)."""
        category = self.objects["Opportunity"].fields.get("ForecastCategory") if "Opportunity" in self.objects else None
        return {item.value: item.label or item.value for item in category.picklist_values} if category else {}

    def object(self, name: str) -> SObject | None:
        return self.objects.get(name) or self._by_lower.get(name.lower())


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
    length = item.get("length", 0)
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
    if not isinstance(declared, dict):
        declared = {entry["name"]: entry for entry in declared}
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
    item["fields"] = {key: _field(key, value or {}) for key, value in fields.items()}
    return item


def _merged(base: Any, over: Any) -> Any:
    """Mappings are merged key by key; everything else, lists too, is replaced."""
    if isinstance(base, dict) and isinstance(over, dict):
        return {**base, **{key: _merged(base.get(key), value) for key, value in over.items()}}
    return over


def _fill(document: dict[str, Any]) -> dict[str, Any]:
    """Fill in what the YAML leaves to Salesforce's defaults."""
    org: dict[str, Any] = document.get("org") or {}
    objects: dict[str, dict[str, Any]] = {
        name: _object(name, given or {}, number)
        for number, (name, given) in enumerate((document.get("objects") or {}).items())
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
    for name, fields in ((document.get("rules") or {}).get("required") or {}).items():
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
        checked = msgspec.convert(_fill(whole), _Document)
    except msgspec.ValidationError as error:
        raise ShapeError(f"{name}: {error}") from error
    if checked.org.person_accounts:
        raise ShapeError(f"{name}: org.person_accounts: this sandbox has no person accounts; leave it false.")
    for rule in (*checked.rules.validation, *checked.rules.duplicates):
        if rule.object not in checked.objects:
            raise ShapeError(f"{name}: rule {rule.name!r} names the unknown object {rule.object}.")
    return Shape(
        org=checked.org,
        lead_statuses=checked.lead_statuses,
        opportunity_stages=checked.opportunity_stages,
        rules=checked.rules,
        conversion=checked.conversion,
        objects={key: SObject(name=key, document=item, fields=item.fields) for key, item in checked.objects.items()},
    )


@cache
def load_shape(path: Path | None = None) -> Shape:
    """The shipped out-of-box org, or the shape of a file."""
    return shape_from(_read(path or SHIPPED), name=str(path or SHIPPED.name))

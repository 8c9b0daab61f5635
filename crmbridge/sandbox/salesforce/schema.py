"""The words an org's shape is made of: objects, fields, picklists, stages and rules (salesforce-api §5)."""

import sys
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from functools import cached_property
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import msgspec

from crmbridge.sandbox.salesforce.login_policy import Login

TEXT: Final = frozenset(
    {"string", "picklist", "multipicklist", "combobox", "textarea", "phone", "url", "email", "encryptedstring"}
)
NUMBER: Final = frozenset({"double", "currency", "percent"})


class PicklistValue(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    value: str
    label: str = ""
    active: bool = True
    default_value: bool = False
    valid_for: str | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A roll-up: what a parent's field tells of its children (salesforce-api §5.1)."""

    object: str  # the children
    by: str  # their lookup to this object
    operation: Literal["count", "sum", "min", "max"] = "count"
    of: str | None = None  # the children's field; a count has none
    when: str | None = None  # a formula on the child: which ones count


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
    formula: str | None = None  # computed here; `calculatedFormula` alone is only what describe shows
    summary: Summary | None = None
    dependent_values: dict[str, tuple[str, ...]] = {}  # value of the controlling field: values that go with it

    def __post_init__(self) -> None:
        # Rows have this very text as their key, and so does compiled code: a look-up compares addresses.
        msgspec.structs.force_setattr(self, "name", sys.intern(self.name))

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
    person: bool = False  # of Account: its rows are person accounts
    picklists: dict[str, tuple[str, ...]] = {}  # field: the values this record type offers
    defaults: dict[str, str] = {}  # field: the value a new row of this type starts with


class LeadStatus(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    label: str
    api_name: str = ""
    converted: bool = False
    default: bool = False

    @property
    def value(self) -> str:
        return self.api_name or self.label


class TaskStatus(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    label: str
    closed: bool = False
    default: bool = False


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
    login: Login = Login()
    set_audit_fields: bool = False  # this and the next: everybody has the permission
    edit_converted_leads: bool = False
    state_country_picklists: bool = False
    bulk_seconds: float = 0  # how long a bulk job takes, by the data clock; 0: until its first poll
    bulk_result_rows: int = 50_000  # of a bulk result page where the client names no number
    bulk_hard_delete: bool = True  # everybody has the permission to delete past the recycle bin

    @property
    def zone(self) -> tzinfo:
        return UTC if self.time_zone in ("GMT", "UTC") else ZoneInfo(self.time_zone)  # GMT needs no zone database


class ValidationRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    object: str
    name: str
    message: str
    formula: str | None = None  # true: refused; in the language of formula fields
    refuse_when: str | None = None  # the same as a WHERE condition on the row as it would be saved
    was: str | None = None  # and, on updates only, one on the row as it stood before
    field: str | None = None  # where the message is shown; none: at the record
    active: bool = True


Method = Literal["exact", "name", "company", "phone", "email", "street", "zip", "domain"]


class MatchItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    field: str  # of the object that is saved
    against: str | None = None  # of the object that is searched; none: the same
    method: Method = "exact"
    blank: bool = False  # two blanks are alike


class MatchingRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When two rows are alike: all items hold."""

    name: str
    items: tuple[MatchItem, ...]


DuplicateAction = Literal["block", "alert", "allow"]


class DuplicateRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    object: str
    against: str
    match: dict[str, str] = {}  # field of `object`: field of `against`; all must be equal and filled
    matching: str | None = None  # instead of `match`: the name of a matching rule
    where: str | None = None  # which rows of `against` count
    action: DuplicateAction = "block"  # or alert, which Sforce-Duplicate-Rule-Header may pass
    on_create: DuplicateAction | None = None
    on_update: DuplicateAction | None = None
    message: str = "Use one of these records?"
    active: bool = True

    def action_for(self, *, creating: bool) -> DuplicateAction:
        return (self.on_create if creating else self.on_update) or self.action


class AssignmentEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    owner: str  # username, e-mail, queue name or id
    when: str | None = None  # a formula; none: whatever comes here


class Assignment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    owner: str | None = None  # whom no entry speaks of
    entries: tuple[AssignmentEntry, ...] = ()  # the first that fits counts
    name: str = "Standard"
    active: bool = True


class Rules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    validation: tuple[ValidationRule, ...] = ()
    required: dict[str, tuple[str, ...]] = {}
    matching: tuple[MatchingRule, ...] = ()
    duplicates: tuple[DuplicateRule, ...] = ()
    assignment: dict[str, Assignment] = {}


Right = Literal["read", "create", "edit", "delete", "view_all", "modify_all"]
Permission = Literal[
    "convert_leads",
    "edit_converted_leads",
    "set_audit_fields",
    "inactive_owners",
    "view_all_data",
    "modify_all_data",
    "view_setup",
    "author_apex",
    "manage_users",
]


class OfferedTypes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    available: tuple[str, ...]  # developer names; the master is always there
    default: str | None = None


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What its users may do; an object or field that is not named is open to them (lifecycle §6)."""

    objects: dict[str, tuple[Right, ...]] = {}
    fields: dict[str, dict[str, Literal["hidden", "read", "edit"]]] = {}
    permissions: tuple[Permission, ...] | None = None  # none: an administrator's
    record_types: dict[str, OfferedTypes] = {}


class Person(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    profile: str


class Country(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    label: str
    states: dict[str, str] = {}  # code: label


class Conversion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    require_validation: bool = True
    contact_role_on_existing_opportunity: bool = True
    mapping: dict[str, dict[str, str]] = {}  # target object: lead field: target field


class Told(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What only a description shows of an object, as a pasted one has it (§5.1); none: worked out from the rest."""

    activateable: bool | None = None
    associate_entity_type: str | None = None
    associate_parent_entity: str | None = None
    compact_layoutable: bool | None = None
    custom_setting: bool | None = None
    deep_cloneable: bool | None = None
    deprecated_and_hidden: bool | None = None
    feed_enabled: bool | None = None
    has_subtypes: bool | None = None
    is_interface: bool | None = None
    is_subtype: bool | None = None
    layoutable: bool | None = None
    mru_enabled: bool | None = None
    replicateable: bool | None = None
    retrieveable: bool | None = None
    search_layoutable: bool | None = None
    triggerable: bool | None = None
    supported_scopes: tuple[dict[str, str], ...] | None = None


class ObjectDocument(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
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
    told: Told = Told()
    prefixless: bool = False  # a description shows no key prefix: histories, shares, change events
    urls: dict[str, str] | None = None  # addresses that a description names; none: those of an object with layouts


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    org: Org = Org()
    lead_statuses: tuple[LeadStatus, ...] = ()
    opportunity_stages: tuple[Stage, ...] = ()
    task_statuses: tuple[TaskStatus, ...] = ()
    rules: Rules = Rules()
    conversion: Conversion = Conversion()
    profiles: dict[str, Profile] = {}
    people: dict[str, Person] = {}  # by e-mail
    sharing: dict[str, Literal["private", "read", "read_write", "controlled_by_parent"]] = {}
    countries: dict[str, Country] = {}
    objects: dict[str, ObjectDocument] = {}


@dataclass(frozen=True, kw_only=True)
class SObject:
    """One object, with the look-ups that reading and writing need."""

    name: str
    document: ObjectDocument
    fields: dict[str, Field] = field(default_factory=dict)

    def add(self, field: Field) -> None:
        """One more field, and what was worked out from the others is worked out anew."""
        self.fields[field.name] = field
        for name in [name for name in self.__dict__ if isinstance(getattr(type(self), name, None), cached_property)]:
            del self.__dict__[name]

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

    @cached_property
    def narrowed(self) -> tuple[Field, ...]:
        """Restricted picklists whose values may depend on the record type or on another field."""
        by_type = {name for kind in self.document.record_types for name in kind.picklists}
        return tuple(
            item
            for item in self.fields.values()
            if item.restricted_picklist and (item.dependent_values or item.name in by_type)
        )

    @cached_property
    def address_prefixes(self) -> tuple[str, ...]:
        """`Billing` where there are BillingCountry and BillingCountryCode; none without the code picklists (§10)."""
        ends = "CountryCode"
        found = (name.removesuffix(ends) for name in self.fields if name.endswith(ends))
        return tuple(prefix for prefix in found if f"{prefix}Country" in self.fields)

    @cached_property
    def computed(self) -> tuple[Field, ...]:
        return tuple(item for item in self.fields.values() if item.formula is not None)

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
    task_statuses: tuple[TaskStatus, ...] = ()
    profiles: dict[str, Profile] = field(default_factory=dict[str, Profile])
    people: dict[str, Person] = field(default_factory=dict[str, Person])
    sharing: dict[str, str] = field(default_factory=dict[str, str])
    countries: dict[str, Country] = field(default_factory=dict[str, Country])

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

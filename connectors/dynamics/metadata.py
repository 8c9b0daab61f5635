"""What an environment's tables have: columns, choices, states, navigation names (dataverse-api §5).

Pure: the requests to ask with, and the answers made into facts. `environment.py` asks and remembers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from connectors.base import Column, Option
from connectors.dynamics.lookups import Lookup, Lookups
from connectors.dynamics.protocol import Request, decoded, read, text_literal
from crmbridge.model import Entity, State

STATES: Final[Mapping[Entity, Mapping[int, State]]] = {
    "lead": {0: "open", 1: "converted", 2: "disqualified"},  # dataverse-api §6.4
    "opportunity": {0: "open", 1: "won", 2: "lost"},  # §7.2
}


# --- one table ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    value: int
    label: str
    state: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    table: str
    set: str
    key: str
    tracked: bool  # change tracking is on
    columns: Mapping[str, Column]
    lookups: Lookups
    statuses: tuple[Status, ...]
    defaults: Mapping[int, int]  # state -> the status that a row gets when only the state is set
    notes: tuple[str, ...] = ()

    def state_of(self, status: int) -> int | None:
        return next((each.state for each in self.statuses if each.value == status), None)

    def default_status(self, state: int) -> int | None:
        first = next((each.value for each in self.statuses if each.state == state), None)
        return self.defaults.get(state, first)


class _Label(msgspec.Struct, frozen=True):
    Label: str | None = None


class _Labels(msgspec.Struct, frozen=True):
    UserLocalizedLabel: _Label | None = None
    LocalizedLabels: tuple[_Label, ...] = ()

    @property
    def text(self) -> str:
        first = self.UserLocalizedLabel or (self.LocalizedLabels[0] if self.LocalizedLabels else None)
        return (first.Label if first else None) or ""


class _Option(msgspec.Struct):
    Value: int
    Label: _Labels = _Labels()
    State: int | None = None
    DefaultStatus: int | None = None
    IsHidden: bool | None = None


class _OptionSet(msgspec.Struct):
    Options: list[_Option] = []
    TrueOption: _Option | None = None
    FalseOption: _Option | None = None


class _Valued(msgspec.Struct):
    Value: str | int | None = None


class _Attribute(msgspec.Struct):
    LogicalName: str
    DisplayName: _Labels = _Labels()
    AttributeType: str | None = None
    AttributeOf: str | None = None
    IsValidForCreate: bool | None = None
    IsValidForUpdate: bool | None = None
    IsValidForRead: bool | None = None
    RequiredLevel: _Valued | None = None
    MaxLength: int | None = None
    Precision: int | None = None
    DateTimeBehavior: _Valued | None = None
    OptionSet: _OptionSet | None = None
    GlobalOptionSet: _OptionSet | None = None
    DefaultFormValue: int | None = None

    @property
    def options(self) -> list[_Option]:
        found = self.OptionSet or self.GlobalOptionSet
        return found.Options if found else []


class _Attributes(msgspec.Struct):
    value: list[_Attribute]


class _Relation(msgspec.Struct):
    ReferencingAttribute: str
    ReferencedEntity: str
    ReferencingEntityNavigationPropertyName: str | None = None


class _Relations(msgspec.Struct):
    value: list[_Relation]


class Definition(msgspec.Struct):
    LogicalName: str
    EntitySetName: str
    PrimaryIdAttribute: str
    ChangeTrackingEnabled: bool | None = None
    IsOptimisticConcurrencyEnabled: bool | None = None


_choices: Final = ("Picklist", "MultiSelectPicklist", "State", "Status")
# The members that a plain Attributes query does not have, by cast (dataverse-api §5).
_casts: Final[Mapping[str, str]] = {
    "String": "MaxLength",
    "Memo": "MaxLength",
    "Money": "Precision",
    "Decimal": "Precision",
    "DateTime": "DateTimeBehavior",
}


def definition(table: str) -> Request:
    return read(
        f"EntityDefinitions(LogicalName={text_literal(table)})",
        table="",
        kind="metadata",
        select="LogicalName,EntitySetName,PrimaryIdAttribute,ChangeTrackingEnabled,IsOptimisticConcurrencyEnabled",
    )


def table_requests(table: str) -> list[Request]:
    base = f"EntityDefinitions(LogicalName={text_literal(table)})"

    def ask(path: str, select: str, expand: str | None = None) -> Request:
        return read(f"{base}/{path}", table="", kind="metadata", select=select, expand=expand)

    return [
        definition(table),
        ask("ManyToOneRelationships", "ReferencingAttribute,ReferencedEntity,ReferencingEntityNavigationPropertyName"),
        ask(
            "Attributes",
            "LogicalName,DisplayName,AttributeType,AttributeOf,IsValidForCreate,IsValidForUpdate,IsValidForRead,"
            "RequiredLevel",
        ),
        *(ask(f"Attributes/{_cast(kind)}", f"LogicalName,{member}") for kind, member in _casts.items()),
        *(
            ask(
                f"Attributes/{_cast(kind)}",
                "LogicalName",
                "OptionSet($select=Options),GlobalOptionSet($select=Options)",
            )
            for kind in _choices
        ),
    ]


def _cast(kind: str) -> str:
    return f"Microsoft.Dynamics.CRM.{kind}AttributeMetadata"


_types: Final[Mapping[str, str]] = {
    "String": "text",
    "Memo": "text",
    "Integer": "integer",
    "BigInt": "integer",
    "Decimal": "number",
    "Double": "number",
    "Money": "money",
    "Boolean": "boolean",
    "Picklist": "choice",
    "State": "choice",
    "Status": "choice",
    "Uniqueidentifier": "id",
}
_lookup_types: Final = ("Lookup", "Owner", "Customer")


def table_facts(bodies: Sequence[bytes]) -> Facts:
    """Facts from the answers to `table_requests`, in their order."""
    about = decoded(bodies[0], Definition)
    relations = decoded(bodies[1], _Relations).value
    attributes = {each.LogicalName: each for each in _attributes(bodies[2])}
    details = [{each.LogicalName: each for each in _attributes(body)} for body in bodies[3:]]
    by_cast = dict(zip((*_casts, *_choices), details, strict=True))
    lookups = _lookups(relations)
    columns: dict[str, Column] = {}
    for attribute in attributes.values():
        if attribute.IsValidForRead is False or attribute.AttributeOf:
            continue  # a shadow of another column (`parentaccountidname`) cannot be asked for
        for column in _columns(attribute, by_cast, lookups):
            columns[column.name] = column
    states = by_cast["State"].get("statecode")
    statuses = by_cast["Status"].get("statuscode")
    return Facts(
        table=about.LogicalName,
        set=about.EntitySetName,
        key=about.PrimaryIdAttribute,
        tracked=bool(about.ChangeTrackingEnabled),
        columns=columns,
        lookups=lookups,
        statuses=tuple(
            Status(value=each.Value, label=each.Label.text, state=each.State or 0)
            for each in (statuses.options if statuses else [])
        ),
        defaults={
            each.Value: each.DefaultStatus
            for each in (states.options if states else [])
            if each.DefaultStatus is not None
        },
        notes=_notes(about),
    )


def _attributes(body: bytes) -> list[_Attribute]:
    return decoded(body, _Attributes).value


def _lookups(relations: Sequence[_Relation]) -> Lookups:
    targets: dict[tuple[str, str], list[str]] = {}
    for each in relations:
        if each.ReferencingEntityNavigationPropertyName:
            named = (each.ReferencingAttribute, each.ReferencingEntityNavigationPropertyName)
            # An owner's one relation leads to the table `owner`: a user or a team (dataverse-api §2.6).
            found = ["systemuser", "team"] if each.ReferencedEntity == "owner" else [each.ReferencedEntity]
            targets.setdefault(named, []).extend(found)
    return Lookups(
        [
            Lookup(column=column, navigation=navigation, targets=tuple(dict.fromkeys(found)))
            for (column, navigation), found in targets.items()
        ]
    )


def _columns(attribute: _Attribute, by_cast: Mapping[str, Mapping[str, _Attribute]], lookups: Lookups) -> list[Column]:
    name, kind = attribute.LogicalName, attribute.AttributeType or ""
    common: dict[str, Any] = {
        "label": attribute.DisplayName.text,
        # The row's own id is "required" too, and given by us or by the server.
        "required": bool(attribute.RequiredLevel and attribute.RequiredLevel.Value == "SystemRequired")
        and kind != "Uniqueidentifier",
        "createable": bool(attribute.IsValidForCreate),
        "updateable": bool(attribute.IsValidForUpdate),
    }
    if kind in _lookup_types:
        return [
            Column(name=each.navigation, type="lookup", targets=each.targets, **common)
            for each in lookups.all
            if each.column == name
        ]
    if name in by_cast["MultiSelectPicklist"]:  # its AttributeType is only "Virtual"
        kind_here, options = "multichoice", by_cast["MultiSelectPicklist"][name].options
    elif kind == "DateTime":
        detail = by_cast["DateTime"].get(name)
        behavior = detail.DateTimeBehavior.Value if detail and detail.DateTimeBehavior else None
        # Behaviour, not format, decides the wire type (dataverse-api §11).
        kind_here, options = ("date" if behavior == "DateOnly" else "datetime"), []
    elif kind in _types:
        kind_here = _types[kind]
        options = by_cast[kind][name].options if kind in _choices and name in by_cast[kind] else []
    else:
        return []  # Virtual, EntityName, ManagedProperty, PartyList ...: nothing a mapping could use
    detail = by_cast[kind].get(name) if kind in _casts else None
    return [
        Column(
            name=name,
            type=kind_here,
            length=detail.MaxLength if detail else None,
            scale=detail.Precision if detail else None,
            restricted=kind_here in ("choice", "multichoice"),
            options=tuple(Option(value=each.Value, label=each.Label.text) for each in options),
            **common,
        )
    ]


def _notes(about: Definition) -> tuple[str, ...]:
    notes: list[str] = []
    if not about.ChangeTrackingEnabled:
        notes.append(
            f"Change tracking is off for {about.LogicalName}: it is polled by modifiedon, and deletions are not seen."
        )
    if about.IsOptimisticConcurrencyEnabled is False:
        notes.append(f"Optimistic concurrency is off for {about.LogicalName}: a late write may overwrite an edit.")
    return tuple(notes)

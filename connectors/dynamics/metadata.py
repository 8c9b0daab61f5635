"""What an environment has: tables, columns, choices, states, navigation names, processes (dataverse-api §5, §8).

Pure: the requests to ask with, and the answers made into facts. `environment.py` asks and remembers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from connectors.base import Column, Description, Option
from connectors.dynamics.protocol import TABLES as NATIVE_TABLES
from connectors.dynamics.protocol import Request, bind, decoded, read, text_literal
from crmbridge.model import Entity, Native, NativeRef, State

# The processes that an opportunity of the product's own can run in; a customer's own process tables are not read.
PROCESS_TABLES: Final = ("leadtoopportunitysalesprocess", "opportunitysalesprocess")

STATES: Final[Mapping[Entity, Mapping[int, State]]] = {
    "lead": {0: "open", 1: "converted", 2: "disqualified"},  # dataverse-api §6.4
    "opportunity": {0: "open", 1: "won", 2: "lost"},  # §7.2
}


# --- lookups ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    column: str  # customerid
    navigation: str  # customerid_account
    targets: tuple[str, ...]  # account


class Lookups:
    """Navigation names of one table: the only names under which a lookup is written (dataverse-api §2.6)."""

    def __init__(self, lookups: Sequence[Lookup]) -> None:
        self.all = tuple(lookups)
        self._by_navigation = {each.navigation: each for each in lookups}
        self._by_column: dict[str, list[Lookup]] = {}
        for each in lookups:
            self._by_column.setdefault(each.column, []).append(each)

    def __contains__(self, name: str) -> bool:
        return self._column(name) is not None

    def wire(self, name: str) -> str:
        """The name that a value is read under."""
        column = self._column(name)
        return f"_{column}_value" if column else name

    def target(self, name: str) -> str | None:
        """The table that this navigation leads to, where its column may lead to others as well."""
        found = self._by_navigation.get(name)
        return found.targets[0] if found and len(self._by_column[found.column]) > 1 else None

    def body(self, columns: Native) -> dict[str, Any]:
        """What a write sends: lookups as bindings under their navigation names, the rest as it is."""
        body: dict[str, Any] = {}
        bound = {self._column(name) for name, value in columns.items() if isinstance(value, NativeRef)}
        for name, value in columns.items():
            column = self._column(name)
            if isinstance(value, NativeRef):
                body[f"{self._navigation(name, value)}@odata.bind"] = bind(value.entity, value.id)
            elif column is None:
                body[name] = value
            elif column not in bound:  # setting one target clears the other by itself
                assert value is None, f"{name} is a lookup: a NativeRef or None"
                body[f"{self._any_navigation(name)}@odata.bind"] = None
        return body

    def _column(self, name: str) -> str | None:
        found = self._by_navigation.get(name)
        if found:
            return found.column
        plain = name.removeprefix("_").removesuffix("_value")
        return plain if plain in self._by_column else None

    def _any_navigation(self, name: str) -> str:
        return name if name in self._by_navigation else self._by_column[self._column(name) or name][0].navigation

    def _navigation(self, name: str, ref: NativeRef) -> str:
        table = NATIVE_TABLES.get(ref.entity, ref.entity)
        column = self._column(name)
        fitting = [each for each in self._by_column.get(column or "", ()) if table in each.targets]
        if not fitting:
            return name  # the server names what it does not know
        return name if any(each.navigation == name for each in fitting) else fitting[0].navigation


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


class _Definition(msgspec.Struct):
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
            "LogicalName,AttributeType,AttributeOf,IsValidForCreate,IsValidForUpdate,IsValidForRead,RequiredLevel",
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
    about = decoded(bodies[0], _Definition)
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


def _notes(about: _Definition) -> tuple[str, ...]:
    notes: list[str] = []
    if not about.ChangeTrackingEnabled:
        notes.append(
            f"Change tracking is off for {about.LogicalName}: it is polled by modifiedon, and deletions are not seen."
        )
    if about.IsOptimisticConcurrencyEnabled is False:
        notes.append(f"Optimistic concurrency is off for {about.LogicalName}: a late write may overwrite an edit.")
    return tuple(notes)


# --- processes ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    id: str
    name: str
    category: int | None  # 0 Qualify, 1 Develop, 2 Propose, 3 Close
    table: str  # the entity whose stage it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    table: str  # instance table's logical name; also the process's name for us
    set: str
    tracked: bool
    ids: frozenset[str] = frozenset()  # definitions that keep their instances here
    stages: tuple[Stage, ...] = ()

    def stage(self, stage_id: str) -> Stage | None:
        return next((each for each in self.stages if each.id == stage_id), None)

    def of_category(self, category: int, table: str) -> Stage | None:
        return next((each for each in self.stages if each.category == category and each.table == table), None)


class _Workflow(msgspec.Struct):
    workflowid: str
    uniquename: str | None = None


class _Workflows(msgspec.Struct):
    value: list[_Workflow]


class _Stage(msgspec.Struct):
    processstageid: str
    stagename: str | None = None
    stagecategory: int | None = None
    primaryentitytypecode: str | None = None
    process_id: str | None = msgspec.field(name="_processid_value", default=None)


class _Stages(msgspec.Struct):
    value: list[_Stage]


def process_requests() -> list[Request]:
    names = " or ".join(f"uniquename eq {text_literal(each)}" for each in PROCESS_TABLES)
    return [
        *(definition(table) for table in PROCESS_TABLES),
        read(
            "workflows",
            table="",
            kind="metadata",
            select="workflowid,uniquename",
            filter=f"category eq 4 and ({names})",
        ),
        read(
            "processstages",
            table="",
            kind="metadata",
            select="stagename,stagecategory,primaryentitytypecode,_processid_value",
        ),
    ]


def processes(bodies: Sequence[bytes | None]) -> dict[str, Process]:
    """The process tables that exist, from the answers to `process_requests`; None where there is none."""
    definitions, (workflows, stages) = bodies[:-2], bodies[-2:]
    flows = decoded(workflows, _Workflows).value if workflows else []
    all_stages = decoded(stages, _Stages).value if stages else []
    found: dict[str, Process] = {}
    for body in definitions:
        if body is None:
            continue
        about = decoded(body, _Definition)
        ids = frozenset(each.workflowid for each in flows if each.uniquename == about.LogicalName)
        mine = [each for each in all_stages if each.process_id in ids]
        # The table of stages has no order of its own; the categories rise along the product's processes (§8.2).
        mine.sort(key=lambda each: (each.stagecategory is None, each.stagecategory or 0))
        found[about.LogicalName] = Process(
            table=about.LogicalName,
            set=about.EntitySetName,
            tracked=bool(about.ChangeTrackingEnabled),
            ids=ids,
            stages=tuple(
                Stage(
                    id=each.processstageid,
                    name=each.stagename or "",
                    category=each.stagecategory,
                    table=each.primaryentitytypecode or "",
                )
                for each in mine
            ),
        )
    return found


# --- what the checker and the compiler of mappings are told -----------------------------------------------------------


def description(entity: Entity, facts: Facts, processes: Mapping[str, Process]) -> Description:
    return Description(
        entity=entity,
        table=facts.table,
        columns=facts.columns,
        statuses=_stages(facts, processes) if entity == "opportunity" else _statuses(entity, facts),
        key_field=False,  # the row's own GUID is our key (reliability §4); no column is needed
        notes=facts.notes,
    )


def _statuses(entity: Entity, facts: Facts, *, closed_only: bool = False) -> tuple[Option, ...]:
    states = STATES.get(entity, {})
    return tuple(
        Option(
            value=each.value,
            label=each.label,
            state=states.get(each.state),
            default=facts.default_status(each.state) == each.value,
        )
        for each in facts.statuses
        if each.state or not closed_only
    )


def _stages(facts: Facts, processes: Mapping[str, Process]) -> tuple[Option, ...]:
    """An open opportunity's status is a stage: of its process, else of the plain column; a closed one's its reason."""
    plain = facts.columns.get("salesstage")
    return (
        *(
            Option(value=stage.id, label=stage.name, state="open", process=process.table)
            for process in processes.values()
            for stage in process.stages  # the lead's own stage too: an instance may still stand there
        ),
        *(Option(value=each.value, label=each.label, state="open") for each in (plain.options if plain else ())),
        *_statuses("opportunity", facts, closed_only=True),
    )

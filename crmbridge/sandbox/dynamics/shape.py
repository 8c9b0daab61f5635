"""The shape of an environment: tables, choices, processes, roles and rules; `shape_file.py` reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.dynamics.columns import Option
from crmbridge.sandbox.dynamics.tables import Association, Referrer, Table

DEPTHS = {"none": 0, "user": 1, "businessunit": 2, "deep": 3, "organization": 4}
VERBS = ("create", "read", "write", "delete", "append", "appendto", "assign", "share")


class ShapeError(ValueError):
    """A mistake in a shape; `place` leads to it from the top of the document."""

    def __init__(self, message: str, place: tuple[str | int, ...] = ()) -> None:
        super().__init__(f"{'.'.join(map(str, place))}: {message}" if place else message)
        self.place = place


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    id: str
    name: str
    category: int
    table: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    table: str  # the instance table, also the unique name
    id: str
    name: str
    order: int
    writes_salesstage: bool
    stages: tuple[Stage, ...]

    def position(self, stage_id: str | None) -> int | None:
        return next((index for index, stage in enumerate(self.stages) if stage.id == stage_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A security role: how deep each verb reaches on each table, and privileges that are no table's."""

    name: str
    tables: Mapping[str, Mapping[str, int]]  # table or "*" -> verb -> depth
    privileges: frozenset[str]  # "*" for all
    columns: Mapping[str, frozenset[str]]  # secured column as "table.column" -> read, create, update


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A validation plug-in, declared: a row of which `when` is true after a write is refused."""

    table: str
    when: str
    message: str
    code: str = "0x80040265"
    on: tuple[str, ...] = ("create", "update")


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateRule:
    table: str
    match: tuple[str, ...]
    against: str
    against_columns: tuple[str, ...]
    exclude_inactive: bool


@dataclass(frozen=True, kw_only=True)
class Organization:
    name: str
    unique_name: str
    version: str
    base_currency: str
    language: int
    fullnameconvention: int
    pricingdecimalprecision: int
    expirechangetrackingindays: int
    request_limit_seconds: int
    owner_of_qualified_rows: str
    requests: int  # service protection, per user and window: dataverse-api §10.4
    window_seconds: int
    execution_seconds: int
    concurrent: int
    dop_hint: int
    request_milliseconds: float = 10.0  # what a request and an operation in it count as execution time
    operation_milliseconds: float = 0.1
    client_secret_expires: str = ""  # a moment in ISO 8601, from which on the secret is refused (dataverse-api §1.1)


@dataclass(frozen=True, kw_only=True)
class Shape:
    organization: Organization
    tables: Mapping[str, Table]
    option_sets: Mapping[str, tuple[Option, ...]]
    processes: Mapping[str, Process]
    attribute_maps: Mapping[str, Mapping[str, str]]  # created table -> lead column -> its column
    rules: tuple[Rule, ...]
    duplicate_rules: tuple[DuplicateRule, ...]
    records: Mapping[str, tuple[Row, ...]]
    associations: Mapping[str, Association]
    roles: Mapping[str, Role]
    default_roles: Mapping[str, tuple[str, ...]]  # "application" and "people": who names no roles of their own

    @cached_property
    def by_set(self) -> Mapping[str, Table]:
        return {table.set_name: table for table in self.tables.values()}

    @cached_property
    def referrers(self) -> Mapping[str, tuple[Referrer, ...]]:
        """Relationships by the table they point to."""
        found: dict[str, list[Referrer]] = {name: [] for name in self.tables}
        for table in self.tables.values():
            for column in table.columns.values():
                for target in column.targets:
                    found[target.table].append(Referrer(table=table.name, column=column, target=target))
        return {name: tuple(each) for name, each in found.items()}

    def collection(self, table: str, navigation: str) -> Referrer | None:
        return next((each for each in self.referrers[table] if each.target.many == navigation), None)

    def association(self, table: str, navigation: str) -> Association | None:
        found = self.associations.get(navigation)
        return found if found is not None and table in (found.left[0], found.right[0]) else None

    @cached_property
    def intersects(self) -> frozenset[str]:
        return frozenset(each.table for each in self.associations.values())

    @cached_property
    def associated(self) -> Mapping[str, tuple[Association, ...]]:
        return {
            name: tuple(each for each in self.associations.values() if name in (each.left[0], each.right[0]))
            for name in self.tables
        }

    @cached_property
    def starting(self) -> Mapping[str, tuple[Process, ...]]:
        """By table the processes that begin on it, in their order: the server starts the first that it may."""
        found: dict[str, list[Process]] = {}
        for process in sorted(self.processes.values(), key=lambda each: each.order):
            found.setdefault(process.stages[0].table, []).append(process)
        return {name: tuple(each) for name, each in found.items()}

    def first_process(self, table: str) -> Process | None:
        return next(iter(self.starting.get(table, ())), None)

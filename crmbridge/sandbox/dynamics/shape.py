"""The shape of an environment: tables, columns, choices, keys, processes and rules, read from YAML.

A shape that begins with `extends: dynamics` is laid over the shipped one: mappings are merged by key, lists appended;
`overlay.py` has the words for what is replaced as a whole or absent.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from ruamel.yaml import YAML

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.overlay import ABSENT, without_absent
from crmbridge.sandbox.overlay import overlay as laid_over

SHIPPED = Path(__file__).parent.parent / "shapes" / "dynamics.yaml"

Kind = Literal[
    "String", "Memo", "Integer", "BigInt", "Money", "Decimal", "Double", "Boolean", "DateTime", "Picklist",
    "MultiSelectPicklist", "State", "Status", "Lookup", "Owner", "Customer", "Uniqueidentifier",
]  # fmt: skip
OnDelete = Literal["Cascade", "Restrict", "RemoveLink"]
CHOICES = frozenset({"Picklist", "State", "Status"})
LOOKUPS = frozenset({"Lookup", "Owner", "Customer"})


class ShapeError(ValueError):
    """The shape file contradicts itself; the message names the place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    value: int
    label: str
    state: int | None = None  # of a Status option: the state it belongs to
    default: int | None = None  # of a State option: the status a row gets when only the state is set (DefaultStatus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One table that a lookup may point to."""

    table: str
    navigation: str  # single-valued, on the referencing row; case counts
    many: str  # collection-valued, on the referenced row; also the relationship's schema name
    inherited: str | None = None  # the navigation's other name, from the base table of activities


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    name: str  # logical name
    schema: str
    kind: Kind
    required: str = "None"  # None | Recommended | ApplicationRequired (forms only) | SystemRequired (enforced)
    create: bool = True
    update: bool = True
    max_length: int | None = None
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    precision: int | None = None  # Money without one: the currency's (PrecisionSource 2)
    format: str | None = None
    date_only: bool = False  # DateTimeBehavior DateOnly: a plain date on the wire
    behavior: str = "UserLocal"
    options: tuple[Option, ...] = ()
    option_set: str | None = None  # name of a global one
    default: Any = None
    targets: tuple[Target, ...] = ()
    on_delete: OnDelete = "RemoveLink"
    computed: str | None = None  # full_name | address | base
    secured: bool = False  # field security: only roles that name the column may read or write it
    base: str = ""  # of a Money column: its twin in the base currency

    def __post_init__(self) -> None:
        # Rows have this very text as their key, and so does compiled code: a look-up compares addresses.
        object.__setattr__(self, "name", sys.intern(self.name))

    @property
    def is_lookup(self) -> bool:
        return self.kind in LOOKUPS

    @property
    def is_choice(self) -> bool:
        return self.kind in CHOICES

    @property
    def polymorphic(self) -> bool:
        return len(self.targets) > 1

    @property
    def wire(self) -> str:
        """The property's name in answers and queries."""
        return f"_{self.name}_value" if self.is_lookup else self.name

    @property
    def type_key(self) -> str:
        """Where a row keeps the target table of a polymorphic lookup."""
        return f"_{self.name}_type"

    def option(self, value: object) -> Option | None:
        return next((each for each in self.options if each.value == value), None)

    def target_of(self, row: Row) -> Target:
        """Which table the row's lookup points to."""
        first = self.targets[0]
        if len(self.targets) == 1:
            return first
        kind = row.get(self.type_key)
        return next((each for each in self.targets if each.table == kind), first)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An alternate key."""

    name: str
    columns: tuple[str, ...]
    status: str = "Active"
    label: str | None = None
    made: datetime | None = None  # while its index is being built: when that began


@dataclass(frozen=True, slots=True, kw_only=True)
class Referrer:
    """A relationship seen from the referenced table."""

    table: str  # the referencing one
    column: Column
    target: Target


@dataclass(frozen=True, kw_only=True)
class Table:
    name: str
    schema: str
    set_name: str
    label: str
    labels: str
    code: int
    key: str
    primary_name: str
    ownership: str
    change_tracking: bool
    optimistic_concurrency: bool
    is_process: bool
    columns: Mapping[str, Column]
    keys: tuple[Key, ...] = ()
    elastic: bool = False  # bulk messages with partial success, DeleteMultiple: dataverse-api §4.7

    @cached_property
    def by_wire(self) -> Mapping[str, Column]:
        return {column.wire: column for column in self.columns.values()}

    @cached_property
    def navigations(self) -> Mapping[str, tuple[Column, tuple[Target, ...]]]:
        """Single-valued navigation properties by their exact name; an owner has one for users and teams alike."""
        found: dict[str, tuple[Column, tuple[Target, ...]]] = {}
        for column in self.columns.values():
            for target in column.targets:
                for name in filter(None, (target.navigation, target.inherited)):
                    _, others = found.get(name, (column, ()))
                    found[name] = (column, (*others, target))
        return found

    @cached_property
    def state(self) -> Column | None:
        return self.columns.get("statecode")

    @cached_property
    def money(self) -> tuple[Column, ...]:
        return tuple(each for each in self.columns.values() if each.kind == "Money" and each.computed is None)

    # What each write needs of the columns, worked out once.

    @cached_property
    def defaults(self) -> Row:
        return {column.name: column.default for column in self.columns.values() if column.default is not None}

    @cached_property
    def enforced(self) -> tuple[str, ...]:
        """Columns that the platform itself requires: dataverse-api §4.1."""
        return tuple(c.name for c in self.columns.values() if c.required == "SystemRequired" and c.create)

    @cached_property
    def frozen_on_create(self) -> frozenset[str]:
        return frozenset(name for c in self.columns.values() if not c.create for name in (c.name, c.type_key))

    @cached_property
    def frozen_on_update(self) -> frozenset[str]:
        return frozenset(name for c in self.columns.values() if not c.update for name in (c.name, c.type_key))

    @cached_property
    def composites(self) -> tuple[tuple[str, str], ...]:
        """(column, prefix) of each address in one text."""
        return tuple(
            (c.name, c.name.removesuffix("composite")) for c in self.columns.values() if c.computed == "address"
        )

    @cached_property
    def full_names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns.values() if c.computed == "full_name")

    @cached_property
    def single_lookups(self) -> Mapping[str, str]:
        """The column that points to each table, of those that point to one table only."""
        found: dict[str, str] = {}
        for column in self.columns.values():
            if len(column.targets) == 1:
                found.setdefault(column.targets[0].table, column.name)
        return found

    @cached_property
    def secured(self) -> frozenset[str]:
        return frozenset(c.name for c in self.columns.values() if c.secured)

    @cached_property
    def set_columns(self) -> frozenset[str]:
        return frozenset(self.columns)


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
class Association:
    """A many-to-many relationship: the navigation has one name on both tables, links are rows of a table between."""

    name: str
    table: str  # the intersect table
    left: tuple[str, str]  # (table, its column in the intersect table)
    right: tuple[str, str]

    def sides(self, table: str) -> tuple[tuple[str, str], tuple[str, str]]:
        """(this side, the other side) as seen from `table`."""
        return (self.left, self.right) if self.left[0] == table else (self.right, self.left)


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


def load_shape(path: Path | str | None = None) -> Shape:
    """The shape in a YAML file; without a path the shipped one."""
    if path is None:
        return _shipped()
    return build(_read(Path(path)))


@lru_cache(maxsize=1)
def _shipped() -> Shape:
    return build(_read(SHIPPED))


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8")) or {}
    if isinstance(document.get("dynamics"), dict):  # a file with both CRMs, as `crmbridge capture` writes it
        document = dict(document["dynamics"])
    base = document.pop("extends", None)
    if base is None:
        return document
    if base != "dynamics":
        raise ShapeError(f"{path}: extends: {base!r} is unknown; only 'dynamics' can be extended")
    return overlay(_read(SHIPPED), document)


def overlay(below: Any, above: Any) -> Any:
    """`above` laid over `below`: mappings merge by key, lists are appended, anything else is replaced."""
    return laid_over(below, above, lambda under, over: [*under, *over])


def build(document: Mapping[str, Any]) -> Shape:
    """A Shape from a document like the shipped file's."""
    option_sets = {name: _options(each) for name, each in document.get("option_sets", {}).items()}
    groups = document.get("column_groups", {})
    tables: dict[str, Table] = {}
    for name, facts in without_absent(document["tables"]).items():
        raw: dict[str, Any] = {}
        for group in facts.get("groups", []):
            raw |= groups[group]
        raw |= document.get("columns", {}).get(name, {})
        raw = without_absent(raw)
        tables[name] = _table(name, facts, raw, option_sets, document.get("keys", {}).get(name, {}))
    associations = {
        name: _association(name, each, tables)
        for name, each in without_absent(document.get("associations", {})).items()
    }
    shape = Shape(
        organization=_organization(document["organization"]),
        tables=tables,
        option_sets={
            name: option_sets[name]
            for name in sorted({c.option_set for t in tables.values() for c in t.columns.values() if c.option_set})
        },
        processes={name: _process(name, each) for name, each in without_absent(document.get("processes", {})).items()},
        attribute_maps={
            name: _present(document, name, dict(each.get("pairs", {})) | {same: same for same in each.get("same", [])})
            for name, each in document.get("attribute_maps", {}).items()
            if name in tables
        },
        rules=tuple(_rule(each) for each in document.get("rules", [])),
        duplicate_rules=tuple(_duplicate_rule(each) for each in document.get("duplicate_rules", [])),
        records={name: tuple(rows) for name, rows in document.get("records", {}).items()},
        associations=associations,
        roles={name: _role(name, each) for name, each in document.get("roles", {}).items()},
        default_roles={
            name: tuple(document.get("default_roles", {}).get(name, ())) for name in ("application", "people")
        },
    )
    _check(shape)
    return shape


def _present(document: Mapping[str, Any], table: str, pairs: dict[str, str]) -> dict[str, str]:
    """Without the columns that the shape calls absent."""
    columns = document.get("columns", {})
    lead, created = columns.get("lead", {}), columns.get(table, {})
    return {
        source: target
        for source, target in pairs.items()
        if lead.get(source) != ABSENT and created.get(target) != ABSENT
    }


def _organization(facts: Mapping[str, Any]) -> Organization:
    return Organization(
        **{key: value for key, value in facts.items() if key != "service_protection"}, **facts["service_protection"]
    )


def _options(raw: Mapping[int, Any] | Sequence[Mapping[str, Any]]) -> tuple[Option, ...]:
    """By value, merged with a shape below; or a list of options, which stands alone."""
    if not isinstance(raw, Mapping):
        return tuple(Option(**each) for each in raw)
    return tuple(
        Option(value=value, **each) if isinstance(each, dict) else Option(value=value, label=str(each))
        for value, each in raw.items()
    )


def _table(
    name: str,
    facts: Mapping[str, Any],
    raw: Mapping[str, Any],
    option_sets: Mapping[str, tuple[Option, ...]],
    keys: Mapping[str, Any],
) -> Table:
    columns: dict[str, Column] = {}
    for column_name, each in raw.items():
        column = _column(name, column_name, each, option_sets)
        columns[column_name] = column
        if column.kind == "Money":  # every money column has its twin in base currency: dataverse-api §7.4
            columns[f"{column_name}_base"] = Column(
                name=f"{column_name}_base", schema=f"{column.schema}_Base", kind="Money", create=False, update=False,
                precision=4, computed="base",
            )  # fmt: skip
    return Table(
        name=name,
        schema=facts.get("schema", name),
        set_name=facts["set"],
        label=facts.get("label", facts.get("schema", name)),
        labels=facts.get("labels", facts["set"]),
        code=facts.get("code", 10000),
        key=facts["key"],
        primary_name=facts["name"],
        ownership=str(facts.get("ownership", "UserOwned")),
        change_tracking=facts.get("change_tracking", True),
        optimistic_concurrency=facts.get("optimistic_concurrency", True),
        is_process=facts.get("process", False),
        columns=columns,
        keys=tuple(_key(key, each) for key, each in keys.items()),
        elastic=facts.get("elastic", False),
    )


def _key(name: str, facts: Any) -> Key:
    """A list of columns, or `{columns: [...], status: Pending}` of a key that is not built yet."""
    if isinstance(facts, Mapping):
        return Key(name=name, columns=tuple(facts["columns"]), status=facts.get("status", "Active"))
    return Key(name=name, columns=tuple(facts))


def _association(name: str, facts: Mapping[str, Any], tables: dict[str, Table]) -> Association:
    """The relationship, and its intersect table added to `tables`."""
    sides: list[tuple[str, str]] = []
    for each in facts["between"]:
        if each not in tables:
            raise ShapeError(f"associations.{name}: table {each!r} is not defined")
        sides.append((each, tables[each].key))
    between, key = facts["table"], facts.get("key", f"{facts['table']}id")
    columns = {
        column: Column(name=column, schema=column, kind="Uniqueidentifier", create=False, update=False)
        for column in (key, sides[0][1], sides[1][1])
    }
    columns["versionnumber"] = Column(
        name="versionnumber", schema="versionnumber", kind="BigInt", create=False, update=False
    )
    tables[between] = Table(
        name=between, schema=between, set_name=facts.get("set", f"{between}collection"), label=between, labels=between,
        code=facts.get("code", 10000), key=key, primary_name=key, ownership="None", change_tracking=False,
        optimistic_concurrency=False, is_process=False, columns=columns,
    )  # fmt: skip
    return Association(name=name, table=between, left=sides[0], right=sides[1])


DEPTHS = {"none": 0, "user": 1, "businessunit": 2, "deep": 3, "organization": 4}
VERBS = ("create", "read", "write", "delete", "append", "appendto", "assign", "share")


def _role(name: str, facts: Mapping[str, Any]) -> Role:
    tables: dict[str, dict[str, int]] = {}
    for table, depths in facts.get("tables", {}).items():
        place = f"roles.{name}.tables.{table}"
        given = dict.fromkeys(VERBS, depths) if isinstance(depths, str) else dict(depths)
        for verb, depth in given.items():
            if verb not in VERBS or depth not in DEPTHS:
                raise ShapeError(
                    f"{place}: {verb}: {depth} is unknown; verbs {', '.join(VERBS)}, depths {', '.join(DEPTHS)}"
                )
        tables[table] = {verb: DEPTHS[depth] for verb, depth in given.items()}
    return Role(
        name=name,
        tables=tables,
        privileges=frozenset(facts.get("privileges", ())),
        columns={column: frozenset(each) for column, each in facts.get("columns", {}).items()},
    )


def _column(table: str, name: str, raw: Mapping[str, Any], option_sets: Mapping[str, tuple[Option, ...]]) -> Column:
    place = f"columns.{table}.{name}"
    kind: Any = raw.get("type")
    if kind not in get_args(Kind):
        raise ShapeError(f"{place}: type {kind!r} is unknown; one of {', '.join(get_args(Kind))}")
    read_only = raw.get("read_only", False)
    options = _options(raw.get("options", {}))
    for reference in (raw.get("option_set"), raw.get("options_of")):
        if reference is not None and reference not in option_sets:
            raise ShapeError(f"{place}: option set {reference!r} is not defined")
        options = option_sets[reference] if reference is not None else options
    if kind == "Boolean" and not options:
        options = (Option(value=0, label="No"), Option(value=1, label="Yes"))
    default = raw.get("default")
    return Column(
        name=name,
        schema=raw.get("schema", name),
        kind=kind,
        required=str(raw.get("required", "None")),
        create=raw.get("create", not read_only),
        update=raw.get("update", not read_only),
        max_length=raw.get("max") if kind in {"String", "Memo"} else None,
        minimum=_decimal(raw.get("min")) if kind not in {"String", "Memo"} else None,
        maximum=_decimal(raw.get("max")) if kind not in {"String", "Memo"} else None,
        precision=raw.get("precision"),
        format=raw.get("format"),
        date_only=raw.get("behavior") == "DateOnly",
        behavior=raw.get("behavior", "UserLocal"),
        options=options,
        option_set=raw.get("option_set"),
        default=False if kind == "Boolean" and default is None else default,
        targets=_targets(table, name, kind, raw) if kind in LOOKUPS else (),
        on_delete=raw.get("on_delete", "RemoveLink"),
        computed=raw.get("computed"),
        secured=raw.get("secured", False),
        base=f"{name}_base" if kind == "Money" else "",
    )


def _decimal(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _targets(table: str, name: str, kind: str, raw: Mapping[str, Any]) -> tuple[Target, ...]:
    declared = raw["targets"]
    names = list(declared)
    many = raw.get("many", [])
    many = [many] if isinstance(many, str) else many
    found: list[Target] = []
    for index, target in enumerate(names):
        inherited = None
        if isinstance(declared, dict):
            navigation = str(declared[target])
        elif raw.get("activity"):  # an activity's own name, and the one of its base table: dataverse-api §2.6
            navigation, inherited = f"{name}_{target}_{table}", f"{name}_{target}"
        elif kind == "Owner" or len(names) == 1:
            navigation = raw.get("schema", name)  # custom lookups use the schema name: dataverse-api §2.6
        else:
            navigation = f"{name}_{target}"
        collection = many[index] if index < len(many) else f"{target}_{table}_{name}"
        found.append(Target(table=target, navigation=navigation, many=collection, inherited=inherited))
    return tuple(found)


def _process(table: str, raw: Mapping[str, Any]) -> Process:
    return Process(
        table=table,
        id=raw["id"],
        name=raw["name"],
        order=raw["order"],
        writes_salesstage=raw.get("writes_salesstage", False),
        stages=tuple(Stage(**stage) for stage in raw["stages"]),
    )


def _rule(raw: Mapping[str, Any]) -> Rule:
    given = {name: value for name, value in raw.items() if name != "on"}
    return Rule(**given, on=tuple(raw.get("on", ("create", "update"))))


def _duplicate_rule(raw: Mapping[str, Any]) -> DuplicateRule:
    return DuplicateRule(
        table=raw["table"],
        match=tuple(raw["match"]),
        against=raw.get("against", raw["table"]),
        against_columns=tuple(raw.get("against_columns", raw["match"])),
        exclude_inactive=raw.get("exclude_inactive", True),
    )


def _check(shape: Shape) -> None:
    for place, names in shape.default_roles.items():
        for name in names:
            if name not in shape.roles:
                raise ShapeError(f"default_roles.{place}: role {name!r} is not defined")
    for table in shape.tables.values():
        for needed in (table.key, table.primary_name, *(name for key in table.keys for name in key.columns)):
            if needed not in table.columns:
                raise ShapeError(f"tables.{table.name}: column {needed!r} is not defined")
        for column in table.columns.values():
            for target in column.targets:
                if target.table not in shape.tables:
                    raise ShapeError(
                        f"columns.{table.name}.{column.name}: target table {target.table!r} is not defined"
                    )
        if table.state is not None:
            status = table.columns["statuscode"]
            for option in table.state.options:
                chosen = status.option(option.default)
                if chosen is None or chosen.state != option.value:
                    raise ShapeError(
                        f"columns.{table.name}.statecode: default status {option.default} is not of state "
                        f"{option.value}"
                    )

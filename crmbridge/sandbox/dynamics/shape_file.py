"""A shape read from YAML.

A shape that begins with `extends: dynamics` is laid over the shipped one: mappings are merged by key, lists appended;
`overlay.py` has the words for what is replaced as a whole or absent.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from crmbridge.sandbox.dynamics.columns import LOOKUPS, Column, Option, Target
from crmbridge.sandbox.dynamics.shape import (
    DEPTHS,
    VERBS,
    DuplicateRule,
    Organization,
    Process,
    Role,
    Rule,
    Shape,
    ShapeError,
    Stage,
)
from crmbridge.sandbox.dynamics.shape_form import check_form
from crmbridge.sandbox.dynamics.tables import Association, Key, Table
from crmbridge.sandbox.marks import UnreadableFile, read_yaml, spot_of
from crmbridge.sandbox.overlay import ABSENT, without_absent
from crmbridge.sandbox.overlay import overlay as laid_over

SHIPPED = Path(__file__).parent.parent / "shapes" / "dynamics.yaml"


def load_shape(path: Path | str | None = None) -> Shape:
    """The shape in a YAML file; without a path the shipped one."""
    if path is None:
        return _shipped()
    where = Path(path)
    document, top = _own(where)
    try:
        return build(_whole(document, where))
    except ShapeError as problem:
        spot = spot_of(where.read_text(encoding="utf-8"), (*top, *problem.place)) if problem.place else None
        mark = f":{spot.mark[0]}:{spot.mark[1]}" if spot is not None else ""
        raise ShapeError(f"{where}{mark}: {str(problem).removeprefix(f'{where}: ')}") from None


@lru_cache(maxsize=1)
def _shipped() -> Shape:
    return build(_own(SHIPPED)[0])


def shipped_document() -> dict[str, Any]:
    return _own(SHIPPED)[0]


def _own(path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The part of a file that is about Dynamics, and the place of that part."""
    try:
        document = read_yaml(path)
    except UnreadableFile as problem:
        raise ShapeError(str(problem)) from problem
    if not isinstance(document, dict):
        raise ShapeError(f"{path}: a mapping of organization, tables and columns is expected")
    if isinstance(document.get("dynamics"), dict):  # a file with both CRMs, as `crmbridge capture` writes it
        return dict(document["dynamics"]), ("dynamics",)
    return document, ()


def _whole(document: dict[str, Any], path: Path) -> dict[str, Any]:
    if "extends" not in document:
        return document
    base = document.pop("extends")
    if base != "dynamics":
        raise ShapeError(f"{path}: extends: {base!r} is unknown; only 'dynamics' can be extended", ())
    return overlay(shipped_document(), document)


def overlay(below: Any, above: Any) -> Any:
    """`above` laid over `below`: mappings merge by key, lists are appended, anything else is replaced."""
    return laid_over(below, above, lambda under, over: [*under, *over])


def build(document: Mapping[str, Any]) -> Shape:
    """A Shape from a document like the shipped file's."""
    check_form(document)
    for section in ("columns", "keys"):
        for name in document.get(section, {}):
            if name not in document["tables"]:
                raise ShapeError(f"there is no table {name!r} under tables", (section, name))
    option_sets = {name: _options(each) for name, each in document.get("option_sets", {}).items()}
    groups = document.get("column_groups", {})
    tables: dict[str, Table] = {}
    for name, facts in without_absent(document["tables"]).items():
        raw: dict[str, Any] = {}
        for at, group in enumerate(facts.get("groups", [])):
            if group not in groups:
                raise ShapeError(f"column group {group!r} is not defined", ("tables", name, "groups", at))
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
        rules=tuple(_rule(each) for each in _about_present(document, "rules")),
        duplicate_rules=tuple(_duplicate_rule(each) for each in _about_present(document, "duplicate_rules")),
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


def _about_present(document: Mapping[str, Any], section: str) -> list[dict[str, Any]]:
    """Rules without those about tables and columns that the shape calls absent; others must be there."""
    tables, columns, groups = document["tables"], document.get("columns", {}), document.get("column_groups", {})
    found: list[dict[str, Any]] = []
    for at, each in enumerate(document.get(section, [])):
        named = [(each["table"], each.get("match", ()))]
        if "match" in each:
            named.append((each.get("against", each["table"]), each.get("against_columns", each["match"])))
        absent = False
        for table, names in named:
            if table not in tables:
                raise ShapeError(f"there is no table {table!r}", (section, at))
            if tables[table] == ABSENT:
                absent = True
                continue
            known: dict[str, Any] = {}
            for group in tables[table].get("groups", ()):
                known |= groups[group]
            known |= columns.get(table, {})
            if unknown := [name for name in names if name not in known]:
                raise ShapeError(f"{table} has no column {unknown[0]!r}", (section, at))
            absent = absent or any(known[name] == ABSENT for name in names)
        if not absent:
            found.append(each)
    return found


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
            raise ShapeError(f"table {each!r} is not defined", ("associations", name))
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


def _role(name: str, facts: Mapping[str, Any]) -> Role:
    tables: dict[str, dict[str, int]] = {}
    for table, depths in facts.get("tables", {}).items():
        given = dict.fromkeys(VERBS, depths) if isinstance(depths, str) else dict(depths)
        tables[table] = {verb: DEPTHS[depth] for verb, depth in given.items()}
    return Role(
        name=name,
        tables=tables,
        privileges=frozenset(facts.get("privileges", ())),
        columns={column: frozenset(each) for column, each in facts.get("columns", {}).items()},
    )


def _column(table: str, name: str, raw: Mapping[str, Any], option_sets: Mapping[str, tuple[Option, ...]]) -> Column:
    place = ("columns", table, name)
    kind: Any = raw["type"]
    read_only = raw.get("read_only", False)
    options = _options(raw.get("options", {}))
    for reference in (raw.get("option_set"), raw.get("options_of")):
        if reference is not None and reference not in option_sets:
            raise ShapeError(f"option set {reference!r} is not defined", place)
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
                raise ShapeError(f"role {name!r} is not defined", ("default_roles", place))
    for process in shape.processes.values():
        for at, stage in enumerate(process.stages):
            if stage.table not in shape.tables:
                raise ShapeError(f"there is no table {stage.table!r}", ("processes", process.table, "stages", at))
    for table in shape.tables.values():
        for needed in (table.key, table.primary_name, *(name for key in table.keys for name in key.columns)):
            if needed not in table.columns:
                raise ShapeError(f"column {needed!r} is not defined", ("tables", table.name))
        for column in table.columns.values():
            for target in column.targets:
                if target.table not in shape.tables:
                    place = ("columns", table.name, column.name)
                    raise ShapeError(f"target table {target.table!r} is not defined", place)
        if table.state is not None:
            status = table.columns.get("statuscode")
            if status is None:
                raise ShapeError("a table with statecode has statuscode too", ("columns", table.name))
            for option in table.state.options:
                chosen = status.option(option.default)
                if chosen is None or chosen.state != option.value:
                    raise ShapeError(
                        f"default status {option.default} is not of state {option.value}",
                        ("columns", table.name, "statecode"),
                    )

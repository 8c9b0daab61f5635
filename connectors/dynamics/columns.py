"""Columns of a shape file: what metadata tells of one, and what a shape that leaves something unsaid means (§5).

The format of shape files is the contract (docs/howto/rehearse-on-your-own-shape.md). Both ways lead to `Told`, so that
an environment and the usual shape can be compared. All of it is about data; nothing is asked here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Facts = Mapping[str, Any]

CHOICES: Final = ("Picklist", "MultiSelectPicklist", "State", "Status")
LOOKUPS: Final = ("Lookup", "Owner", "Customer")
KINDS: Final = frozenset(
    {"String", "Memo", "Integer", "BigInt", "Money", "Decimal", "Double", "Boolean", "DateTime", "Uniqueidentifier"}
    | set(CHOICES)
    | set(LOOKUPS)
)
_range: Final = {"Money": 922337203685477, "Decimal": 100000000000, "Double": 100000000000, "Integer": 2147483647}
_no_default: Final = -1  # DefaultFormValue of a choice that starts empty
_from_currency: Final = 2  # PrecisionSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A column as metadata shows it."""

    kind: str
    schema: str
    required: str = "None"
    create: bool = True
    update: bool = True
    length: int | None = None
    low: float | None = None
    high: float | None = None
    precision: int | None = None
    format: str | None = None
    behavior: str | None = None
    options: tuple[tuple[Any, ...], ...] = ()  # (value, label, state or None, default status or None)
    option_set: str | None = None
    default: Any = None
    targets: frozenset[tuple[str, str, str]] = frozenset()  # (table, navigation, collection)
    on_delete: str | None = None


# --- from metadata ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    column: str
    table: str
    navigation: str
    many: str
    on_delete: str


def label(given: Any) -> str:
    shown = (given or {}).get("UserLocalizedLabel") or next(iter((given or {}).get("LocalizedLabels") or ()), None)
    return str((shown or {}).get("Label") or "")


def told(attribute: Facts, relations: Sequence[Relation]) -> Told:
    """One attribute with the members of its own type; `relations` are the lookup's, to tables that are captured."""
    kind = kind_of(attribute)
    common: dict[str, Any] = {
        "kind": kind,
        "schema": attribute["SchemaName"],
        "required": (attribute.get("RequiredLevel") or {}).get("Value") or "None",
        "create": bool(attribute.get("IsValidForCreate")),
        "update": bool(attribute.get("IsValidForUpdate")),
    }
    if kind in ("String", "Memo"):
        common["length"] = attribute.get("MaxLength")
        named = (attribute.get("FormatName") or {}).get("Value") if kind == "String" else None
        common["format"] = named or attribute.get("Format") or ("Text" if kind == "String" else "TextArea")
    elif kind in _range:
        common |= {"low": _float(attribute.get("MinValue")), "high": _float(attribute.get("MaxValue"))}
        if kind != "Integer" and attribute.get("PrecisionSource") != _from_currency:
            common["precision"] = attribute.get("Precision")
    elif kind == "DateTime":
        common["format"] = attribute.get("Format") or "DateAndTime"
        common["behavior"] = (attribute.get("DateTimeBehavior") or {}).get("Value") or "UserLocal"
    elif kind == "Boolean":
        found = attribute.get("OptionSet") or {}
        sides = [found.get("FalseOption"), found.get("TrueOption")]
        common["options"] = tuple(_option(each, kind) for each in sides if each)
        common["default"] = bool(attribute.get("DefaultValue"))
    elif kind in CHOICES:
        found = attribute.get("OptionSet") or attribute.get("GlobalOptionSet") or {}
        common["options"] = tuple(_option(each, kind) for each in found.get("Options") or ())
        common["option_set"] = found.get("Name") if found.get("IsGlobal") else None
        default = attribute.get("DefaultFormValue")
        common["default"] = default if kind == "Picklist" and default != _no_default else None
    elif kind in LOOKUPS:
        common["targets"] = frozenset((each.table, each.navigation, each.many) for each in relations)
        common["on_delete"] = relations[0].on_delete if relations else "RemoveLink"
    return Told(**common)


def kind_of(attribute: Facts) -> str:
    """A multiple choice calls itself only "Virtual"; its type tells."""
    named = str((attribute.get("AttributeTypeName") or {}).get("Value") or "").removesuffix("Type")
    return "MultiSelectPicklist" if named == "MultiSelectPicklist" else str(attribute.get("AttributeType"))


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _option(each: Facts, kind: str) -> tuple[Any, ...]:
    state = each.get("State") if kind == "Status" else None
    default = each.get("DefaultStatus") if kind == "State" else None
    return (each["Value"], label(each.get("Label")), state, default)


# --- from a shape -------------------------------------------------------------------------------------------------


def said(table: str, name: str, raw: Facts, sets: Mapping[str, Any]) -> Told:
    """A shape's column as metadata would show it."""
    kind = str(raw.get("type"))
    read_only = bool(raw.get("read_only"))
    common: dict[str, Any] = {
        "kind": kind,
        "schema": raw.get("schema", name),
        "required": str(raw.get("required", "None")),
        "create": raw.get("create", not read_only),
        "update": raw.get("update", not read_only),
    }
    if kind in ("String", "Memo"):
        common["length"] = raw.get("max") or (100 if kind == "String" else 2000)
        common["format"] = raw.get("format") or ("Text" if kind == "String" else "TextArea")
    elif kind in _range:
        limit = float(_range[kind])
        low, high = raw.get("min"), raw.get("max")
        common |= {"low": -limit if low is None else float(low), "high": limit if high is None else float(high)}
        if kind in ("Decimal", "Double"):
            common["precision"] = 2 if raw.get("precision") is None else raw["precision"]
        elif kind == "Money":
            common["precision"] = raw.get("precision")
    elif kind == "DateTime":
        common |= {"format": raw.get("format") or "DateAndTime", "behavior": raw.get("behavior", "UserLocal")}
    elif kind == "Boolean":
        options = options_of(raw, sets) or ((0, "No", None, None), (1, "Yes", None, None))
        common |= {"options": tuple(sorted(options)), "default": bool(raw.get("default"))}
    elif kind in CHOICES:
        common |= {"options": options_of(raw, sets), "option_set": raw.get("option_set")}
        common["default"] = raw.get("default") if kind == "Picklist" else None
    elif kind in LOOKUPS:
        common["targets"] = frozenset(_targets(table, name, kind, raw))
        common["on_delete"] = raw.get("on_delete", "RemoveLink")
    return Told(**common)


def options_of(raw: Facts, sets: Mapping[str, Any]) -> tuple[tuple[Any, ...], ...]:
    named = raw.get("option_set") or raw.get("options_of")
    given: Any = sets.get(named, {}) if named is not None else raw.get("options", {})
    return set_options(given)


def set_options(given: Any) -> tuple[tuple[Any, ...], ...]:
    """A choice's options: by value, or a list."""
    pairs = (
        [(value, each if isinstance(each, Mapping) else {"label": str(each)}) for value, each in given.items()]
        if isinstance(given, Mapping)
        else [(each["value"], each) for each in given]
    )
    return tuple((value, each.get("label", ""), each.get("state"), each.get("default")) for value, each in pairs)


def _targets(table: str, name: str, kind: str, raw: Facts) -> list[tuple[str, str, str]]:
    declared: Any = raw.get("targets") or []
    names = list(declared)
    many: Any = raw.get("many", [])
    many = [many] if isinstance(many, str) else many
    found: list[tuple[str, str, str]] = []
    for at, target in enumerate(names):
        if isinstance(declared, Mapping):
            navigation = str(declared[target])
        elif raw.get("activity"):
            navigation = f"{name}_{target}_{table}"
        elif kind == "Owner" or len(names) == 1:
            navigation = raw.get("schema", name)
        else:
            navigation = f"{name}_{target}"
        found.append((target, navigation, many[at] if at < len(many) else f"{target}_{table}_{name}"))
    return found


# --- to a shape ---------------------------------------------------------------------------------------------------

_kept: Final = ("computed", "secured")  # no metadata tells these


def written(table: str, name: str, column: Told, usual: Facts | None) -> dict[str, Any]:
    """A shape's column that metadata would show like this, in few words; what only the usual one knows is kept."""
    raw: dict[str, Any] = {"type": column.kind}
    if column.targets:
        raw["targets"] = [target for target, _, _ in sorted(column.targets)]
    ordinary = said(table, name, raw, {})
    if not column.create and not column.update:
        raw["read_only"] = True
    else:
        raw |= {key: value for key, value in (("create", column.create), ("update", column.update)) if not value}
    pairs = (
        ("schema", "schema"),
        ("required", "required"),
        ("length", "max"),
        ("low", "min"),
        ("high", "max"),
        ("precision", "precision"),
        ("format", "format"),
        ("behavior", "behavior"),
        ("default", "default"),
        ("on_delete", "on_delete"),
    )
    for mine, key in pairs:
        value = getattr(column, mine)
        if value is not None and value != getattr(ordinary, mine):
            raw[key] = int(value) if isinstance(value, float) and value.is_integer() else value
    if column.option_set is not None:
        raw["option_set"] = column.option_set
    elif column.options != ordinary.options:
        raw["options"] = written_options(column.options)
    if column.targets:
        _write_targets(table, name, column, raw)
    return raw | {key: usual[key] for key in _kept if usual and key in usual}


def written_options(options: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """A list stands alone; a mapping would be merged with the usual options."""
    keys = ("value", "label", "state", "default")
    return [{key: part for key, part in zip(keys, each, strict=True) if part is not None} for each in options]


def _write_targets(table: str, name: str, column: Told, raw: dict[str, Any]) -> None:
    """Navigation and collection only where they are not the ordinary ones."""
    chosen = sorted(column.targets)
    ordinary = {target: (navigation, many) for target, navigation, many in _targets(table, name, column.kind, raw)}
    if any(ordinary[target][0] != navigation for target, navigation, _ in chosen):
        raw["targets"] = {target: navigation for target, navigation, _ in chosen}
    if any(ordinary[target][1] != many for target, _, many in chosen):
        raw["many"] = [many for _, _, many in chosen]

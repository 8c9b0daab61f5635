"""One field on one side: how it is read from a row and written to it, as closures compiled once.

An `End` whose value stands in one column and needs nothing else is *plain*: the translation calls its getter directly.
The others (links, users, money, choices) read from their surroundings, which come in as `Facts`.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from crmbridge.model import Directory, Entity, Money, NativeRef, Side, Unlinked, Value, attribute_name, other
from mapping.described import ColumnLike, DescriptionLike
from mapping.document import Document, FieldDoc, Filler, ValueTable
from mapping.transforms import CONVERTERS, Converter, Get, Refusal, Same, rounded, wire_type
from mapping.vocabulary import Vocabulary, fold, vocabulary

# Dynamics lookups that may point at two tables: each target has a navigation property of its own (dataverse-api §9.2).
_POLYMORPHIC: Final = ("customerid", "parentcustomerid")
_TARGET_NAME: Final = "@Microsoft.Dynamics.CRM.lookuplogicalname"
_OWNERS: Final = frozenset({"ownerid", "OwnerId"})
# Set at creation alone, says the describe; the connector serves its update through contact roles (salesforce-api §7).
_SERVED: Final = frozenset({("opportunity", "ContactId")})
CURRENCY_COLUMN: Final[Mapping[str, str]] = {"salesforce": "CurrencyIsoCode", "dynamics": "transactioncurrencyid"}


def _no_id(side: Side, entity: Entity, native_id: str) -> str | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What translation must know besides the row itself."""

    directory: Mapping[Side, Directory] = field(default_factory=dict)
    shared_id: Callable[[Side, Entity, str], str | None] = _no_id  # native id -> shared id
    native_id: Callable[[Side, Entity, str], str | None] = _no_id  # shared id -> native id
    fillers: Mapping[Side, Mapping[str, str]] = field(default_factory=dict)  # texts we wrote as fillers, per field


class Ignored(Exception):
    """A value that the mapping says to leave alone: neither a value nor a problem."""


Read = Callable[[Any, Facts], Value]
Write = Callable[[Value, Facts, Any], dict[str, Any]]  # value, facts, current values or None
_Plain = tuple[Callable[[Any], Any], Get, Value]  # attribute getter, get, the value of an empty column
Keeps = Callable[[Any, Value, Facts], bool]  # does what stands there already mean this value?


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    name: str
    column: str  # as the mapping names it
    wires: Mapping[str, Any]  # what to read, with types
    plain: _Plain | None
    read: Read
    write: Write
    keeps: Keeps
    required: bool = False
    createable: bool = True
    updateable: bool = True
    filler: Filler | None = None
    template: str | None = None
    length: int | None = None
    owner: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where an end stands: everything its makers need."""

    document: Document
    field: FieldDoc
    side: Side
    column: str
    meta: ColumnLike | None
    description: DescriptionLike | None
    same: Same

    @property
    def system(self) -> str:
        return self.document.systems[self.side]

    @property
    def name(self) -> str:
        return self.field.name


def make_end(setting: Setting) -> End:
    doc, meta, side = setting.field, setting.meta, setting.side
    kind = doc.convert
    if kind == "link":
        wires, plain, read, write = _link(setting)
    elif kind == "user":
        wires, plain, read, write = _user(setting)
    elif kind == "money":
        wires, plain, read, write = _money(setting)
    elif kind == "choice":
        wires, plain, read, write = _choice(setting)
    else:
        wires, plain, read, write = _simple(setting, CONVERTERS[kind])
    filler = doc.fillers.get(side)
    for each in doc.fillers.values():
        if each.text is not None:  # wherever it stands: typed there, or carried there by somebody's hand
            plain, read = _reading_constant(fold(each.text), plain, read)
    if filler is not None and filler.days_after_creation is not None:
        plain, read = None, _reading_ours(setting, read)
    keeps = _choice_keeps(setting, read) if kind == "choice" else _value_keeps(read, setting.same)
    return End(
        name=doc.name,
        column=setting.column,
        wires=wires,
        plain=plain,
        read=read,
        write=write,
        keeps=keeps,
        required=doc.required or (meta is not None and meta.required),
        createable=meta is None or meta.createable,
        updateable=meta is None or meta.updateable or (setting.document.entity, setting.column) in _SERVED,
        filler=filler,
        template=doc.create.get(side),
        length=meta.length if meta else None,
        owner=kind == "user" and setting.column in _OWNERS,
    )


_Made = tuple[dict[str, Any], _Plain | None, Read, Write]


def _attribute(wire: str) -> Callable[[Any], Any]:
    return operator.attrgetter(attribute_name(wire))


def _value_keeps(read: Read, same: Same) -> Keeps:
    def keeps(values: Any, wanted: Value, facts: Facts) -> bool:
        try:
            return same(read(values, facts), wanted)
        except (Refusal, Ignored):
            return False

    return keeps


# --- plain values -------------------------------------------------------------------------------------------------


def _simple(setting: Setting, converter: Converter) -> _Made:
    column, zone = setting.column, setting.field.zone
    get = converter.get(setting.meta, zone)
    put = converter.put(setting.meta, zone)
    raw, blank = _attribute(column), converter.blank

    def read(values: Any, facts: Facts) -> Value:
        value = raw(values)
        return blank if value is None else get(value)

    def write(value: Value, facts: Facts, current: Any) -> dict[str, Any]:
        return {column: blank if value is None else put(value)}

    return {column: wire_type(converter, setting.meta)}, (raw, get, blank), read, write


def _reading_constant(constant: str, plain: _Plain | None, read: Read) -> tuple[_Plain | None, Read]:
    """A constant filler reads as none, by its text."""

    first = constant[:1]

    def is_constant(value: Any) -> bool:  # folding costs more than the rest of a field, so a look at the start first
        text = str(value).lstrip()
        return text[:1].casefold() == first and fold(text) == constant

    def read_unless_constant(values: Any, facts: Facts) -> Value:
        value = read(values, facts)
        return None if value is not None and is_constant(value) else value

    if plain is None:
        return None, read_unless_constant
    raw, get, blank = plain

    def get_unless_constant(value: Any) -> Value:
        return None if is_constant(value) else get(value)

    return (raw, get_unless_constant, blank), read_unless_constant


def _reading_ours(setting: Setting, read: Read) -> Read:
    """A dated filler reads as none while it is the one that we remember having written."""
    side, name = setting.side, setting.name

    def read_unless_ours(values: Any, facts: Facts) -> Value:
        value = read(values, facts)
        ours = facts.fillers.get(side, {}).get(name)
        return None if ours is not None and str(value) == ours else value

    return read_unless_ours


# --- links --------------------------------------------------------------------------------------------------------


def lookup_wire(system: str, column: str, link: Entity | None, meta: ColumnLike | None) -> tuple[str, str | None]:
    """The column that a lookup is read from, and the one that names its target where it may point at two tables."""
    if system != "dynamics":
        return column, None
    attribute = column.lower()  # navigation properties keep their case, the lookup column never does
    suffix = f"_{link}"
    if link and attribute.endswith(suffix):
        base = attribute.removesuffix(suffix)
        if base in _POLYMORPHIC or (meta is not None and len(meta.targets) > 1):
            return f"_{base}_value", f"_{base}_value{_TARGET_NAME}"
    return f"_{attribute}_value", None


def _link(setting: Setting) -> _Made:
    entity, side, column = setting.field.link, setting.side, setting.column
    assert entity is not None
    wire, target_wire = lookup_wire(setting.system, column, entity, setting.meta)
    raw = _attribute(wire)
    target = _attribute(target_wire) if target_wire else None
    partner = setting.document.names[side]

    def read(values: Any, facts: Facts) -> Value:
        native = raw(values)
        if native is None or (target is not None and target(values) not in (None, entity)):
            return None
        return facts.shared_id(side, entity, native) or Unlinked(entity, native)

    def write(value: Value, facts: Facts, current: Any) -> dict[str, Any]:
        if value is None:
            return {column: None}
        native = facts.native_id(side, entity, value) if isinstance(value, str) else None
        if native is None:
            raise Refusal(
                "unlinked",
                f"its {entity} has no partner in {partner} yet",
                f"it is written once the {entity} is synced",
            )
        return {column: NativeRef(entity, native)}

    wires: dict[str, Any] = {wire: str, **({target_wire: str} if target_wire else {})}
    return wires, None, read, write


# --- users --------------------------------------------------------------------------------------------------------


def _user(setting: Setting) -> _Made:
    side, column = setting.side, setting.column
    wire, _ = lookup_wire(setting.system, column, None, setting.meta)
    raw = _attribute(wire)
    here = setting.document.names[side]
    there = setting.document.names[other(side)]

    def read(values: Any, facts: Facts) -> Value:
        native = raw(values)
        if native is None:
            return None
        email = facts.directory[side].users.get(native)
        if email is None:
            raise Refusal(
                "owner_not_user",
                f"{here} {native} is no user with an e-mail address (a queue or a team?), so it is not carried over",
                f"give the record to a person, or leave it: {there} keeps the owner it has",
            )
        return email

    def write(value: Value, facts: Facts, current: Any) -> dict[str, Any]:
        if value is None:
            return {}  # an owner cannot be cleared; there is nobody to write
        native = facts.directory[side].user_ids.get(str(value))
        if native is None:
            raise Refusal(
                "no_such_user",
                f"the user of {there} has no single active user with the same e-mail address in {here}",
                f"add or activate that user in {here}, or set connections.{here}.default_owner",
            )
        return {column: NativeRef("user", native)}

    return {wire: str}, None, read, write


# --- money --------------------------------------------------------------------------------------------------------


def currency_wire(system: str, description: DescriptionLike | None) -> str | None:
    """Where a record's currency is read; a Salesforce org with one currency has no such field (salesforce-api §5.4)."""
    column = CURRENCY_COLUMN.get(system)
    if column is None or (system == "salesforce" and (description is None or column not in description.columns)):
        return None
    return column if system == "salesforce" else f"_{column}_value"


def _money(setting: Setting) -> _Made:
    side, column, system = setting.side, setting.column, setting.system
    here = setting.document.names[side]
    scale = setting.meta.scale if setting.meta else None
    wire = currency_wire(system, setting.description)
    raw = _attribute(column)
    raw_currency = _attribute(wire) if wire else None

    def currency_of(values: Any, facts: Facts) -> str:
        directory = facts.directory[side]
        native = raw_currency(values) if raw_currency else None
        if native is None:
            return directory.currency
        if system == "salesforce":
            return str(native)
        iso = directory.currencies.get(native)
        if iso is None:
            raise Refusal(
                "unknown_currency", f"its currency {native} is not among {here}'s", f"activate the currency in {here}"
            )
        return iso

    def read(values: Any, facts: Facts) -> Value:
        amount = raw(values)
        return None if amount is None else Money(amount, currency_of(values, facts))

    def write(value: Value, facts: Facts, current: Any) -> dict[str, Any]:
        if value is None:
            return {column: None}
        if not isinstance(value, Money):
            raise Refusal("not_money", "is not an amount of money", "use `convert: money` for this field")
        amount = rounded(value.amount, scale)
        if current is not None and currency_of(current, facts) == value.currency:
            known = raw_currency is None or raw_currency(current) is not None
            if known:
                return {column: amount}
        return {column: amount, **currency_columns(system, wire, here, value.currency, facts.directory[side])}

    wires: dict[str, Any] = {column: Decimal, **({wire: str} if wire else {})}
    return wires, None, read, write


def currency_columns(system: str, wire: str | None, here: str, iso: str, directory: Directory) -> dict[str, Any]:
    """What to write so that a record has this currency; refused where the CRM cannot hold it."""
    if system == "dynamics":
        native = next((i for i, code in directory.currencies.items() if code == iso), None)
        if native is not None:
            return {CURRENCY_COLUMN[system]: NativeRef("currency", native)}
    elif directory.multi_currency and wire is not None:
        if not directory.currencies or iso in directory.currencies.values():
            return {wire: iso}
    elif iso == directory.currency:
        return {}
    raise Refusal(
        "currency_differs",
        f"the amount is in {iso}, which {here} does not have",
        f"activate {iso} in {here}; amounts are never converted",
    )


# --- choices ------------------------------------------------------------------------------------------------------


def choice_words(table: ValueTable, side: Side) -> dict[str, Any]:
    return {row.name: row.natives[side] for row in table.rows if side in row.natives}


def choice_type(setting: Setting) -> Any:
    """What a choice is decoded to: numbers on Dynamics, text on Salesforce; told by the options, else by the table."""
    if setting.meta is not None and setting.meta.type == "boolean":
        return bool
    table = setting.document.values[setting.field.values or ""]
    samples: list[Any] = [o.value for o in setting.meta.options] if setting.meta else []
    samples = samples or [word for words in choice_words(table, setting.side).values() for word in words]
    kinds: set[type[Any]] = {type(s) for s in samples}
    if kinds <= {str}:
        return str if setting.system == "salesforce" or samples == [] or setting.meta is not None else int | str
    return kinds.pop() if len(kinds) == 1 else int | str


def _vocabulary(setting: Setting) -> Vocabulary:
    table = setting.document.values[setting.field.values or ""]
    return vocabulary(choice_words(table, setting.side), setting.meta.options if setting.meta else ())


def _choice(setting: Setting) -> _Made:
    table = setting.document.values[setting.field.values or ""]
    words, column = _vocabulary(setting), setting.column
    raw, unmapped = _attribute(column), table.unmapped
    here, there = setting.document.names[setting.side], setting.document.names[other(setting.side)]
    where = f"values.{table.name} in {setting.document.source.file}"

    def get(native: Any) -> Value:
        rows = words.rows.get(native) or words.read(native)
        if rows:
            return rows[0]
        if isinstance(native, str) and not native.strip():
            return None
        if unmapped == "pass":
            return str(native)
        if unmapped == "ignore":
            raise Ignored
        raise Refusal(
            "unmapped_value",
            f"{here} has {native!r} in {column}, which the mapping does not know",
            f"add it to {where}, or set `unmapped: ignore` there",
        )

    def write(value: Value, facts: Facts, current: Any) -> dict[str, Any]:
        if value is None:
            return {column: None}
        native = words.write(str(value))
        if native is not None:
            return {column: native}
        if unmapped == "pass" and not any(row.name == value for row in table.rows):
            return {column: value}
        if unmapped == "ignore":
            raise Ignored
        raise Refusal(
            "unmapped_value",
            f"{there}'s value means {value!r}, which has no value in {here}",
            f"give the row {value!r} of {where} a value for {here}",
        )

    def read(values: Any, facts: Facts) -> Value:
        native = raw(values)
        return None if native is None else get(native)

    return {column: choice_type(setting)}, (raw, get, None), read, write


def _choice_keeps(setting: Setting, read: Read) -> Keeps:
    """The finer native value stays while it belongs to the wanted row, though it may read as an earlier row."""
    words, raw = _vocabulary(setting), _attribute(setting.column)
    by_value = _value_keeps(read, setting.same)

    def keeps(values: Any, wanted: Value, facts: Facts) -> bool:
        native = raw(values)
        if native is not None and isinstance(wanted, str) and words.belongs(native, wanted):
            return True
        return by_value(values, wanted, facts)

    return keeps


def filler_text(filler: Filler, created_on: date | None) -> tuple[Any, str]:
    """The native filler to write and the text by which it is known again."""
    if filler.text is not None:
        return filler.text, filler.text
    if created_on is None:
        raise Refusal(
            "required_blank", "is needed there and blank here, and its creation date is not known", "fill the field in"
        )
    day = created_on + timedelta(days=filler.days_after_creation or 0)
    return day, str(day)

"""Choices: a native option is a row of a values table; the finer option stays while it belongs to the wanted row."""

from typing import Any, Final

from crmbridge.model import Side, Value, other
from mapping.document import ValueTable
from mapping.end import Facts, Ignored, Keeps, Made, Read, Setting, Shortcut, attribute, value_keeps
from mapping.transforms import Refusal
from mapping.vocabulary import Vocabulary, vocabulary


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


def make_choice(setting: Setting) -> Made:
    table = setting.document.values[setting.field.values or ""]
    words, column = _vocabulary(setting), setting.column
    raw, unmapped = attribute(column), table.unmapped
    here, there = setting.document.names[setting.side], setting.document.names[other(setting.side)]
    where = f"values.{table.name} in {setting.document.source.place(('values', table.name), key=True).file}"

    known: dict[Any, Value] = {native: rows[0] for native, rows in words.rows.items() if rows}

    def get(native: Any) -> Value:
        rows = words.rows.get(native) or words.read(native)
        if rows:
            return _learn(known, native, rows[0])
        if isinstance(native, str) and not native.strip():
            return _learn(known, native, None)
        if unmapped == "pass":
            return _learn(known, native, str(native))
        if unmapped == "ignore":
            raise Ignored
        raise Refusal(
            "unmapped_value",
            f"{here} has {native!r} in {column}, which the mapping does not know",
            f"add it to {where}, or set `unmapped: ignore` there",
        )

    written = {row: natives[0] for row, natives in words.natives.items() if natives}

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

    plain = (raw, Shortcut(get, "choice", known), None)
    return {column: choice_type(setting)}, plain, read, Shortcut(write, "choice", written)


_KNOWN_MAX: Final = 4096  # an unrestricted picklist may hold anything


def _learn(known: dict[Any, Value], native: Any, value: Value) -> Value:
    """An odd spelling is looked at once."""
    if len(known) < _KNOWN_MAX:
        known[native] = value
    return value


def choice_keeps(setting: Setting, read: Read) -> Keeps:
    """The finer native value stays while it belongs to the wanted row, though it may read as an earlier row."""
    words, raw = _vocabulary(setting), attribute(setting.column)
    by_value = value_keeps(read, setting.same)

    def keeps(values: Any, wanted: Value, facts: Facts) -> bool:
        native = raw(values)
        if native is not None and isinstance(wanted, str) and words.belongs(native, wanted):
            return True
        return by_value(values, wanted, facts)

    return keeps

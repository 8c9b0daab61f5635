"""Makes the ends of all kinds of fields, with their fillers."""

import sys
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, Final

from crmbridge.model import Value
from mapping.choices import choice_keeps, make_choice
from mapping.described import ColumnLike
from mapping.document import Filler
from mapping.end import End, Facts, Keeps, Made, Plain, Read, Setting, Shortcut, Write, attribute, value_keeps
from mapping.literals import initial, is_textual
from mapping.money import make_money
from mapping.out_of_use import late_sides, make_inactive
from mapping.parts import joined_converter, make_parts
from mapping.people import make_user, user_keeps
from mapping.record_types import make_record_type
from mapping.references import make_link
from mapping.transforms import Converter, Refusal, wire_type
from mapping.vocabulary import fold

OWNERS: Final = frozenset({"ownerid", "OwnerId"})
_MAKERS: Final[dict[str, Callable[[Setting], Made]]] = {
    "link": make_link,
    "user": make_user,
    "money": make_money,
    "choice": make_choice,
    "record_type": make_record_type,
}


def make_end(setting: Setting) -> End:
    doc, side = setting.field, setting.side
    kind, parts = doc.convert, doc.columns[side].parts
    metas = _metas(setting)
    wires, plain, read, write = _made(setting)
    filler = doc.fillers.get(side)
    for each in doc.fillers.values():
        if each.text is not None:  # wherever it stands: typed there, or carried there by somebody's hand
            plain, read = _reading_constant(fold(each.text), plain, read)
    if filler is not None and filler.days_after_creation is not None:
        plain, read = None, _reading_ours(setting, read)
    late = side in late_sides(setting.document, doc)
    given = doc.create.get(side)
    text = given is not None and is_textual(kind)
    return End(
        name=doc.name,
        column=setting.column,
        wires=wires,
        plain=plain,
        read=read,
        write=write,
        keeps=_keeps(setting, read),
        required=doc.required or any(meta.required for meta in metas),
        createable=not late and all(meta.createable for meta in metas),
        updateable=all(meta.updateable for meta in metas),
        filler=filler,
        template=str(given) if text else None,
        initial=initial(setting.document, doc, side, given) if given is not None and not text else None,
        length=setting.meta.length if setting.meta and not parts else None,
        parts=parts,
        owner=kind == "user" and setting.column in OWNERS,
        choice=kind == "choice",
    )


def _made(setting: Setting) -> Made:
    doc = setting.field
    if doc.columns[setting.side].parts:
        return make_parts(setting)
    if doc.out_of_use:
        return make_inactive(setting)
    maker = _MAKERS.get(doc.convert)
    return maker(setting) if maker else _simple(setting, joined_converter(doc))


def _metas(setting: Setting) -> list[ColumnLike]:
    parts = setting.field.columns[setting.side].parts
    if not parts:
        return [setting.meta] if setting.meta is not None else []
    known = setting.description.columns if setting.description else {}
    return [known[column] for column in parts if column in known]


def _keeps(setting: Setting, read: Read) -> Keeps:
    match setting.field.convert:
        case "choice":
            return choice_keeps(setting, read)
        case "user":
            return user_keeps(setting, read)
        case _:
            return value_keeps(read, setting.same)


def _simple(setting: Setting, converter: Converter) -> Made:
    column, zone = setting.column, setting.field.zone
    get = converter.get(setting.meta, zone)
    put = converter.put(setting.meta, zone)
    raw, blank = attribute(column), converter.blank

    def read(values: Any, facts: Facts) -> Value:
        value = raw(values)
        return blank if value is None else get(value)

    def write(value: Value, facts: Facts, current: Any) -> dict[str, Any]:
        return {column: blank if value is None else put(value)}

    wires = {column: wire_type(converter, setting.meta)}
    return wires, (raw, get, blank), read, _shortened(write, converter, setting.meta)


def _shortened(write: Write, converter: Converter, meta: ColumnLike | None) -> Write:
    """Kinds of which compiled code may write the usual values itself: as they are."""
    match converter.name:
        case "text" | "phone" | "url":
            return Shortcut(write, "text", sys.maxsize if meta is None or meta.length is None else meta.length)
        case "boolean":
            return Shortcut(write, "boolean")
        case "date" if meta is None or meta.type != "datetime":
            return Shortcut(write, "date")
        case "datetime":
            return Shortcut(write, "instant")
        case _:
            return write


def _reading_constant(constant: str, plain: Plain | None, read: Read) -> tuple[Plain | None, Read]:
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

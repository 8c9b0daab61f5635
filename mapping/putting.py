"""Shared values -> columns of a new record, as one function per side and state in which every field has its own lines.

The lines do what is usual: a text that is short enough, a choice that has a value, an amount in a currency that is
there. Everything else is left to the end itself; the function says which ends those are.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from crmbridge.model import Fields, Money
from mapping.end import End, Facts, Shortcut
from mapping.weaving import Woven

# Values, those of the other side's whole record if it is known, facts -> columns, ends left, the currency's columns
Creator = Callable[[Fields, Fields | None, Facts], tuple[dict[str, Any], list[End], Mapping[str, Any]]]

_TEXT: Final = """\
    value = get(name{n})
    if type(value) is str and len(value) <= detail{n}:
        {to} = value
"""
_BOOLEAN: Final = """\
    value = get(name{n})
    if type(value) is bool:
        {to} = value
"""
_DATE: Final = """\
    value = get(name{n})
    if type(value) is date:
        {to} = value
"""
_INSTANT: Final = """\
    value = get(name{n})
    if type(value) is datetime and value.tzinfo is UTC and not value.microsecond:
        {to} = value
"""
_CHOICE: Final = """\
    value = get(name{n})
    if value is not None:
        try:
            {to} = detail{n}[value]
        except KeyError:
            left.append(end{n})
"""
_NO_CHOICE: Final = """\
    elif whole is not None and whole.get(name{n}, whole) is None:
        {to} = None
"""
_MONEY: Final = """\
    value = get(name{n})
    if type(value) is Money and ((iso := value.currency) == known or (found := currency{n}(iso, facts)) is not None):
        {to} = value.amount if scale{n} is None else value.amount.quantize(scale{n}, ROUND_HALF_UP)
        known, currency = iso, found
"""
_LEFT_IF_ANY: Final = """\
    elif value is not None:
        left.append(end{n})
"""
_LEFT: Final = """\
    else:
        left.append(end{n})
"""
_ANY: Final = """\
    if get(name{n}) is not None:
        left.append(end{n})
"""
_ALWAYS: Final = """\
    left.append(end{n})
"""
_LINES: Final[Mapping[str, str]] = {
    "text": _TEXT,
    "boolean": _BOOLEAN,
    "date": _DATE,
    "instant": _INSTANT,
    "choice": _CHOICE,
    "money": _MONEY,
}
_NAMES: Final[Mapping[str, Any]] = {
    "Money": Money,
    "ROUND_HALF_UP": ROUND_HALF_UP,
    "UTC": UTC,
    "date": date,
    "datetime": datetime,
    "none": {},
}


def weave_creator(ends: Iterable[End], also: Iterable[str]) -> Creator:
    """`also`: columns that are added to the dict afterwards."""
    createable = [end for end in ends if end.createable]
    woven = Woven("def woven(fields, whole, facts):", _NAMES)
    woven.add("    get, left, currency, found, known = fields.get, [], none, none, None\n")
    target = woven.collect([end.column for end in createable], also)
    for n, end in enumerate(createable):
        lines, names = _lines(end)
        to = target.place(n, end.column)
        names = {"name": end.name, "end": end, **names}
        woven.add(lines.format(n=n, to=to), **{f"{k}{n}": v for k, v in names.items()})
    woven.add(f"    return {target.fields}, left, currency\n")
    return woven.made("creator")


def _lines(end: End) -> tuple[str, dict[str, Any]]:
    quiet = end.template is None and end.initial is None and end.filler is None and not end.required and not end.owner
    write = end.write
    if not isinstance(write, Shortcut) or end.owner or end.parts:
        return (_ANY if quiet and not end.choice else _ALWAYS), {}
    names: dict[str, Any] = {"detail": write.detail, "quiet": quiet}
    lines = _LINES[write.kind]
    if write.kind == "money":
        scale, names["currency"] = write.detail
        names["scale"] = None if scale is None else Decimal(1).scaleb(-scale)
    if write.kind == "choice":
        return lines + (_NO_CHOICE if quiet else _LEFT), names
    return lines + (_LEFT_IF_ANY if quiet else _LEFT), names

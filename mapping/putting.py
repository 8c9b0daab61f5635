"""Shared values -> columns of a new record, as one function per side and state in which every field has its own lines.

The lines do what is usual: a text that is short enough, a choice that has a value, an amount in a currency that is
there. Everything else is left to the end itself; the function says which ends those are.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from crmbridge.model import Fields
from mapping.end import End, Facts, Shortcut
from mapping.weaving import Woven

# Values, those of the other side's whole record if it is known, facts -> columns, ends left, the currency's columns
Creator = Callable[[Fields, Fields | None, Facts], tuple[dict[str, Any], list[End], Mapping[str, Any]]]

# A line goes on with what is to be done where the value is None.
_TEXT: Final = """\
        if v{n} is not None:
            if len(v{n}) <= {length}:
                {to} = v{n}
            else:
                left.append(end{n})
"""
_BOOLEAN: Final = """\
        if v{n} is True or v{n} is False:
            {to} = v{n}
"""
_DATE: Final = """\
        if v{n} is not None:
            {to} = v{n}
"""
_INSTANT: Final = """\
        if v{n} is not None:
            if v{n}.tzinfo is UTC and not v{n}.microsecond:
                {to} = v{n}
            else:
                left.append(end{n})
"""
_CHOICE: Final = """\
        if v{n} is not None:
            try:
                {to} = known{n}[v{n}]
            except KeyError:
                left.append(end{n})
"""
_MONEY: Final = """\
        if v{n} is not None:
            if v{n}.currency != known and (found := currency{n}(v{n}.currency, facts)) is not None:
                known, currency = v{n}.currency, found
            if v{n}.currency == known:
                {to} = v{n}.amount if scale{n} is None else v{n}.amount.quantize(scale{n}, ROUND_HALF_UP)
            else:
                left.append(end{n})
"""
_BLANK_CHOICE: Final = """\
        elif whole is not None and whole.get(name{n}, whole) is None:
            {to} = None
"""
_BLANK_LEFT: Final = """\
        else:
            left.append(end{n})
"""
_ODD_LEFT: Final = """\
        elif v{n} is not None:
            left.append(end{n})
"""
_ANY: Final = """\
        if v{n} is not None:
            left.append(end{n})
"""
_ALWAYS: Final = """\
        left.append(end{n})
"""
# A value that is none of its kind: nothing of what was done counts, the ends look at each.
_END: Final = """\
    except (TypeError, AttributeError):
        return {{}}, list(ends), none
    return {columns}, left, currency
"""
_NAMES: Final[Mapping[str, Any]] = {"ROUND_HALF_UP": ROUND_HALF_UP, "UTC": UTC, "none": {}}


def weave_creator(ends: Iterable[End], also: Iterable[str]) -> Creator:
    """`also`: columns that are added to the dict afterwards."""
    createable = tuple(end for end in ends if end.createable)
    woven = Woven("def woven(fields, whole, facts):", {**_NAMES, "ends": createable})
    woven.add("    left, currency, known = [], none, None\n")
    target = woven.collect([end.column for end in createable], also)
    woven.add("    try:\n")
    places = "".join(f"v{n}, " for n in range(len(createable)))
    names = tuple(end.name for end in createable)
    woven.add(f"        {places} = map(fields.get, names)\n" if places else "        pass\n", names=names)
    for n, end in enumerate(createable):
        lines, given = _lines(end)
        to = target.place(n, end.column)
        given = {"name": end.name, "end": end, **given}
        woven.add(lines.format(n=n, to=to, length=given.get("length")), **{f"{k}{n}": v for k, v in given.items()})
    woven.add(_END.format(columns=target.fields))
    return woven.made("creator")


def _lines(end: End) -> tuple[str, dict[str, Any]]:
    quiet = end.template is None and end.initial is None and end.filler is None and not end.required and not end.owner
    write = end.write
    if not isinstance(write, Shortcut) or end.owner or end.parts:
        return (_ANY if quiet and not end.choice else _ALWAYS), {}
    blank = "" if quiet else _BLANK_LEFT
    match write.kind:
        case "text":
            return _TEXT + blank, {"length": int(write.detail)}
        case "money":
            scale, currency = write.detail
            return _MONEY + blank, {"scale": None if scale is None else Decimal(1).scaleb(-scale), "currency": currency}
        case "choice":
            return _CHOICE + (_BLANK_CHOICE if quiet else _BLANK_LEFT), {"known": write.detail}
        case "boolean":
            return _BOOLEAN + (_ODD_LEFT if quiet else _BLANK_LEFT), {}
        case "date":
            return _DATE + blank, {}
        case _:
            return _INSTANT + blank, {}

"""Native row -> shared record, as one function per side and state in which every field has its own few lines."""

import operator
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from crmbridge.model import Money, Problem, Shared, attribute_name
from mapping.end import End, Facts, Ignored, Shortcut
from mapping.status import Standing
from mapping.transforms import CONVERTERS, Refusal, line_ends
from mapping.weaving import Woven, is_attribute

Reader = Callable[[Any, Facts, Standing, tuple[Problem, ...], datetime | None], Shared]

_RAISES: Final = """\
    except Refusal as refusal:
        problems = (*problems, refusal.problem(name{n}))
    except Ignored:
        pass
"""
_TEXT: Final = """\
    value = values.c{n}
    if value is not None:
        if "\\r" in value:
            value = line_ends(value)
        value = value.strip() or None
    {to} = value
"""
# A page is decoded to the column's type: what is a bool or a date there needs no look. A branch costs more than a copy.
_BOOLEAN: Final = """\
    {to} = values.c{n} is True
"""
_DATE: Final = """\
    {to} = values.c{n}
"""
# What is as it should be stays.
_NUMBER: Final = """\
    value = values.c{n}
    {to} = value if value is None or type(value) is Decimal else get{n}(value)
"""
_INSTANT: Final = """\
    value = values.c{n}
    {to} = value if value is None or value.tzinfo is UTC and not value.microsecond else get{n}(value)
"""
_CHOICE: Final = """\
    value = values.c{n}
    try:
        {to} = known{n}[value] if value is not None else None
    except KeyError:
        try:
            {to} = get{n}(value)
        except Refusal as refusal:
            problems = (*problems, refusal.problem(name{n}))
        except Ignored:
            pass
"""
_MONEY: Final = """\
    value = values.c{n}
    {to} = None if value is None else Money(value, facts.directory[side{n}].currency)
"""
_PLAIN: Final = (
    """\
    value = values.c{n}
    try:
        {to} = blank{n} if value is None else get{n}(value)
"""
    + _RAISES
)
_OTHER: Final = (
    """\
    try:
        {to} = read{n}(values, facts)
"""
    + _RAISES
)
_BY_GET: Final[Mapping[Any, str]] = {
    CONVERTERS[kind].get(None, None): lines
    for kind, lines in (
        ("text", _TEXT),
        ("boolean", _BOOLEAN),
        ("number", _NUMBER),
        ("date", _DATE),
        ("datetime", _INSTANT),
    )
}
_WIRES: Final[Mapping[str, type[Any]]] = {_BOOLEAN: bool, _DATE: date}  # lines that are good for this type alone
_NAMES: Final[Mapping[str, Any]] = {
    "Shared": Shared,
    "Money": Money,
    "Refusal": Refusal,
    "Ignored": Ignored,
    "Decimal": Decimal,
    "UTC": UTC,
    "line_ends": line_ends,
}
_END: Final = """\
    return Shared(
        fields={fields},
        state=standing.state,
        status=standing.status,
        on_hold=standing.on_hold,
        contradiction=standing.contradiction,
        problems=problems,
        created_at=created_at,
    )
"""


def weave_reader(ends: Iterable[End]) -> Reader:
    ends = tuple(ends)
    woven = Woven("def woven(values, facts, standing, problems, created_at):", _NAMES)
    target = woven.collect([end.name for end in ends])
    for n, end in enumerate(ends):
        lines, names = _lines(end, n, woven)
        to = target.place(n, end.name)
        woven.add(lines.format(n=n, to=to), **{f"name{n}": end.name}, **{f"{k}{n}": v for k, v in names.items()})
    woven.add(_END.format(fields=target.fields))
    return woven.made("reader")


def _lines(end: End, n: int, woven: Woven) -> tuple[str, dict[str, Any]]:
    column = _one_column(end)
    if column is None:
        return _OTHER, {"read": end.read}
    woven.attribute(f"c{n}", column)
    if end.plain is None:
        assert isinstance(end.read, Shortcut)
        return _MONEY, {"side": end.read.detail}
    _, get, blank = end.plain
    if isinstance(get, Shortcut):
        return _CHOICE, {"get": get, "known": get.detail}
    lines, wire = _BY_GET.get(get), next(iter(end.wires.values()))
    if lines is None or wire is not _WIRES.get(lines, wire):
        lines = _PLAIN
    return lines, {"get": get, "blank": blank}


def _one_column(end: End) -> str | None:
    """The attribute that the field's value stands in, if it needs nothing else."""
    if len(end.wires) != 1 or (end.plain is None and not isinstance(end.read, Shortcut)):
        return None
    if end.plain is not None and not isinstance(end.plain[0], operator.attrgetter):
        return None
    attribute = attribute_name(next(iter(end.wires)))
    return attribute if is_attribute(attribute) else None

"""Does the journal tell the truth? Its rows held against what the CRMs' own stores saw (I9)."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from crmbridge.model import Side
from tests.simulation.company import ENTITY, Change

# How the journal writes down what a lookup points at: `account:0a1b…`.
_KINDS: Final = frozenset({"account", "contact", "lead", "opportunity", "currency", "user", "systemuser", "team"})

# Written by a call of its own, under the same row: an opportunity's contact on Salesforce is its primary role.
_APART: Final = frozenset({"ContactId"})


def untrue(rows: Iterable[Any], changes: Iterable[Change]) -> str | None:
    """The first row whose before and after no change by our user shows; None: all are true."""
    ours: dict[tuple[Side, str], list[Change]] = defaultdict(list)
    for change in changes:
        if change.ours and change.table in ENTITY:
            ours[change.side, change.id].append(change)
    for row in rows:
        names = {*row.before, *row.after}
        for some in (names - _APART, names & _APART):
            told = [_differences(row, some, change) for change in ours[row.side, row.native_id]] if some else [[]]
            if not told:
                return f"{row.kind} of {row.side} {row.native_id}: nothing was changed there by us"
            if all(told):
                return f"{row.kind} of {row.side} {row.native_id}: {min(told, key=len)}"
    return None


def _differences(row: Any, names: Collection[str], change: Change) -> list[str]:
    return [
        f"{when}, {name} was {shown[name]!r}, and the journal says {value!r}"
        for when, shown, noted in (("before", change.before, row.before), ("after", change.after, row.after))
        for name, value in _columns(shown, noted)
        if name in names and _plain((shown or {})[name]) != _plain(value)
    ]


def _columns(shown: Mapping[str, Any] | None, noted: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What is noted of a step is in our words, not in columns (`state`): that is for other promises."""
    return [(name, value) for name, value in noted.items() if shown is not None and name in shown]


def _plain(value: Any) -> str | None:
    if isinstance(value, tuple):  # a lookup that may point at several tables
        value = value[-1]
    if value is None or value == "":
        return None
    text = str(value)
    kind, colon, id = text.partition(":")
    if colon and kind in _KINDS:
        text = id
    try:
        return str(float(text))
    except ValueError:
        return text

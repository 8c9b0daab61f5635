"""What stands beside fields and tables: the reason's column, on hold, out of use, gates, the record type of a new one.

A native word may depend on the *kind* of a record: its record type (Salesforce, by developer name) or the business
process it runs in (Dynamics, by name); the key `any` is for all others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from crmbridge.model import Side

Word = str | int | bool

ANY: Final = "any"
CONVERSION: Final = "conversion"  # the gate that a lead's conversion goes through


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """How one side says that an opportunity is on hold: a yes/no column, or a stage."""

    column: str | None = None
    stage: Word | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InactiveDoc:
    """Where one side says whether an account or a contact is in use; of words the first is written."""

    column: str
    active: tuple[Word, ...] = (False,)  # a yes/no column says that it is not
    inactive: tuple[Word, ...] = (True,)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateDoc:
    """A row is entered on the other side only with these fields filled; so are the open rows after it."""

    row: str  # of the table, or CONVERSION
    needs: tuple[str, ...] = ()
    when: str | None = None  # an expression over the shared record; None: always
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordTypeDoc:
    """Developer names: the first whose expression is true, else the last one."""

    choices: tuple[tuple[str, str], ...] = ()  # expression, developer name
    otherwise: str | None = None

    def names(self) -> tuple[str, ...]:
        return (*(name for _, name in self.choices), *((self.otherwise,) if self.otherwise else ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    reason: Mapping[Side, str] = field(default_factory=dict)  # the column
    on_hold: Mapping[Side, Holding] = field(default_factory=dict)
    inactive: Mapping[Side, InactiveDoc] = field(default_factory=dict)  # of accounts and contacts
    gates: tuple[GateDoc, ...] = ()
    record_type: Mapping[Side, RecordTypeDoc] = field(default_factory=dict)


def axis(data: Mapping[str, Any], sides: Mapping[str, Side]) -> Axis:
    """From plain data whose shape was judged; what was cut out of it is not there."""
    return Axis(
        reason={sides[n]: column for n, column in data.get("reason", {}).items()},
        on_hold={sides[n]: _holding(body) for n, body in data.get("on_hold", {}).items()},
        inactive={sides[n]: _inactive(body) for n, body in data.get("inactive", {}).items() if _is_whole(body)},
        gates=tuple(
            GateDoc(
                row=row,
                needs=tuple(body.get("needs", ())),
                when=body.get("when"),
                message=body.get("message", ""),
            )
            for row, body in data.get("gates", {}).items()
        ),
        record_type={sides[n]: _record_type(body) for n, body in data.get("record_type", {}).items()},
    )


def native_words(body: Any) -> tuple[tuple[Word, ...] | None, dict[str, tuple[Word, ...]]]:
    """The words for every kind, None where there are none, and those of single kinds."""
    if not isinstance(body, Mapping):
        return _words(body), {}
    by_kind = {str(kind): _words(words) for kind, words in cast("Mapping[str, Any]", body).items()}
    return by_kind.pop(ANY, None), by_kind


def row_reasons(body: Mapping[str, Any], sides: Mapping[str, Side]) -> dict[Side, tuple[Word, ...]]:
    return {sides[n]: _words(words) for n, words in body.get("reason", {}).items()}


def _words(body: Any) -> tuple[Word, ...]:
    return tuple(cast("Sequence[Word]", body)) if isinstance(body, list) else (body,)


def _holding(body: Any) -> Holding:
    return Holding(column=body) if isinstance(body, str) else Holding(stage=body.get("stage"))


def _is_whole(body: Any) -> bool:
    """What lacks a part was complained about."""
    return isinstance(body, str) or {"column", "active", "inactive"} <= body.keys()


def _inactive(body: Any) -> InactiveDoc:
    if isinstance(body, str):
        return InactiveDoc(column=body)
    return InactiveDoc(column=body["column"], active=_words(body["active"]), inactive=_words(body["inactive"]))


def _record_type(body: Any) -> RecordTypeDoc:
    if isinstance(body, str):
        return RecordTypeDoc(otherwise=body)
    return RecordTypeDoc(
        choices=tuple((one["if"], one["use"]) for one in body.get("when", ()) if "if" in one and "use" in one),
        otherwise=body.get("else"),
    )

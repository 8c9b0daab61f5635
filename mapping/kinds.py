"""Kinds of records that have native words of their own: record types (Salesforce) and processes (Dynamics)."""

from collections.abc import Sequence
from dataclasses import dataclass

from crmbridge.model import Life, Side
from mapping.described import OptionLike
from mapping.document import StatusRow
from mapping.vocabulary import fold


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a table's words are looked up for records of one kind."""

    key: str | None  # as a record tells it; None: all that no other place is for
    kind: str | None  # as the mapping names it; None: it does not
    options: Sequence[OptionLike]  # what the CRM offers there
    plain: Sequence[OptionLike]  # what it offers outside of all processes
    has_stages: bool = False  # a process with stages of its own
    described: bool = False  # the CRM told its options; else the mapping's words are taken as they are


def kind_of(life: Life | None) -> str | None:
    if life is None:
        return None
    return life.record_type.casefold() if life.record_type is not None else life.process


def kinds_named(rows: Sequence[StatusRow], side: Side) -> tuple[str, ...]:
    return tuple(dict.fromkeys(kind for row in rows for kind in row.by_kind.get(side, {})))


def is_process(option: OptionLike, kind: str) -> bool:
    """Whether the kind named in a mapping is the process that the option is a stage of: by its name, or its label."""
    if option.process is None:
        return False
    return fold(kind) in (fold(option.process), fold(option.process_name or option.process))


def options_of(kind: str | None, named: Sequence[str], options: Sequence[OptionLike]) -> list[OptionLike]:
    """What a word of this kind may stand for; `named` are all kinds that the table names."""
    if kind is None:
        return [o for o in options if not any(is_process(o, each) for each in named)]
    mine = [o for o in options if is_process(o, kind)]
    return [*mine, *(o for o in options if o.process is None)]


def places(rows: Sequence[StatusRow], side: Side, options: Sequence[OptionLike]) -> list[Place]:
    """One for each process that there is and each kind that the table names, and one for all others."""
    named = kinds_named(rows, side)
    plain = [o for o in options if o.process is None]
    described = bool(options)
    found: list[Place] = []
    matched: set[str] = set()
    for process in dict.fromkeys(o.process for o in options) or [None]:
        mine = [o for o in options if o.process == process]
        kind = next((each for each in named if mine and is_process(mine[0], each)), None)
        matched |= {kind} if kind is not None else set()
        found.append(
            Place(
                key=process,
                kind=kind,
                options=mine,
                plain=plain,
                has_stages=process is not None,
                described=described,
            )
        )
    for kind in named:
        if kind not in matched:
            found.append(Place(key=kind.casefold(), kind=kind, options=plain, plain=plain, described=described))
    return found

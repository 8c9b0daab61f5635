"""Tries an example: what is given is read and written as in a sync, and compared with what is expected."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from crmbridge.model import SIDES, Life, Money, NativeRef, Problem, Row, Shared, Side, Unlinked, Value
from mapping.end import Facts
from mapping.examples import Example, unclear
from mapping.examples_schema import SHARED
from mapping.given import AXES, Reader, Wrong, hint, money
from mapping.people import fold_email
from mapping.places import behind_column, behind_field, status_place
from mapping.problem import Place
from mapping.standing import standing_columns, status_written


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """One thing that came out otherwise."""

    at: Place  # in the example
    what: str  # `dynamics.leadsourcecode`
    expected: Any = None
    found: Any = None
    rule: Place | None = None  # the line of the mapping that made it so
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of an example."""

    example: Example
    shared: Mapping[str, Any]  # as read
    natives: Mapping[Side, Mapping[str, Any]]  # as written
    problems: tuple[Problem, ...] = ()
    misses: tuple[Miss, ...] = ()


def run(reader: Reader, example: Example) -> Trial:
    why = unclear(example, reader.document)
    if why is not None:
        return Trial(example=example, shared={}, natives={}, misses=(Miss(at=example.place, what="", note=why),))
    try:
        return _run(reader, example)
    except Wrong as wrong:
        miss = Miss(at=wrong.at, what=wrong.what, note=wrong.note)
        return Trial(example=example, shared={}, natives={}, misses=(miss,))


def _run(reader: Reader, example: Example) -> Trial:
    facts, source = reader.facts(example), example.given_on
    if source is None:
        shared = reader.shared(example)
    else:
        row, life = reader.row(example, source, example.given, "given")
        shared = reader.compiled.get(source, row, life, facts)
    problems = list(shared.problems)
    natives: dict[Side, dict[str, Any]] = {}
    for side in SIDES:
        if side != source:
            natives[side], more = _write(reader, example, side, shared, facts)
            problems += more
    misses = [*_shared_misses(reader, example, shared)]
    for side, expected in example.natives.items():
        misses += _native_misses(reader, example, side, expected, natives.get(side), shared)
    misses += [*_held_misses(reader, example, problems), *_crosses_misses(reader, example, shared)]
    return Trial(
        example=example,
        shared=shown(reader, shared),
        natives={side: {column: plain(value) for column, value in one.items()} for side, one in natives.items()},
        problems=tuple(problems),
        misses=tuple(misses),
    )


def _write(
    reader: Reader, example: Example, side: Side, shared: Shared, facts: Facts
) -> tuple[dict[str, Any], Sequence[Problem]]:
    """As if the given side had just been edited: who wins is not asked."""
    fields, problems = _crossing(reader, side, shared)
    current: Row | None = None
    life: Life | None = None
    if side in example.there:
        current, life = reader.row(example, side, example.there[side], "there")
        state = shared.state
    else:
        fields = {name: value for name, value in fields.items() if value is not None}
        state = None if shared.state is None else "open"  # a new record starts open; closing it is a step of its own
    put = reader.compiled.put(side, fields, facts=facts, current=current, life=life, state=state, whole=shared)
    return {**put.columns, **_status(reader, side, shared, current, life)}, (*problems, *put.problems)


def _crossing(reader: Reader, side: Side, shared: Shared) -> tuple[dict[str, Value], list[Problem]]:
    fields: dict[str, Value] = {}
    problems: list[Problem] = []
    for rule in reader.compiled.rules:
        if side in rule.derived:
            made = rule.derived[side](shared.fields)
            if isinstance(made, Problem):
                problems.append(made)
            else:
                fields[rule.name] = made
        elif len(rule.sides) == len(SIDES) and rule.name in shared.fields:
            value = shared.fields[rule.name]
            fields[rule.name] = value.id if isinstance(value, Unlinked) else value
    return fields, problems


def _status(reader: Reader, side: Side, shared: Shared, current: Row | None, life: Life | None) -> dict[str, Any]:
    """The status or stage, once all steps are taken."""
    document, compiled, status = reader.document, reader.compiled, shared.status
    column = status_written(document.systems[side], document.entity, shared.state)
    if status is None or column is None:
        return {}
    converted = shared.state == "converted"
    native = compiled.converted_status(side, life) if converted else compiled.status_for(side, status, life=life)
    return {**({column: native} if native is not None else {}), **compiled.reason_columns(side, status, current)}


# --- comparing ----------------------------------------------------------------------------------------------------


def shown(reader: Reader, shared: Shared) -> dict[str, Any]:
    """The shared record as an example writes it."""
    axes: dict[str, Any] = {}
    if reader.document.axis is not None:
        axes = {"state": shared.state, reader.document.axis: shared.status}
        if shared.on_hold:
            axes["on_hold"] = True
        if shared.contradiction:
            axes["contradiction"] = shared.contradiction
    return {**{name: plain(value) for name, value in shared.fields.items()}, **axes}


def _shared_misses(reader: Reader, example: Example, shared: Shared) -> Iterator[Miss]:
    document = reader.document
    axes = {
        "state": shared.state,
        "on_hold": shared.on_hold,
        "contradiction": shared.contradiction,
        document.axis or "status": shared.status,
    }
    told = {problem.field: problem.message for problem in shared.problems}
    for name, expected in example.shared.items():
        at, what = example.at("expect", SHARED, name), f"shared.{name}"
        field = document.fields.get(name)
        if field is not None:
            value = shared.fields.get(name)
            if not _same_value(expected, value, example.currency):
                behind = behind_field(document, field, value)
                yield Miss(
                    at=at,
                    what=what,
                    expected=expected,
                    found=plain(value),
                    rule=behind.row_at or behind.at,
                    note=told.get(name, ""),
                )
        elif name not in axes:
            known = hint(name, [*document.fields, *(axis for axis in AXES if axis in axes)])
            yield Miss(at=at, what=what, expected=expected, note=f"there is no such field{known}")
        elif expected != axes[name]:
            note = told.get("status") or shared.contradiction or ""
            place = status_place(document, shared.status)
            yield Miss(at=at, what=what, expected=expected, found=axes[name], rule=place, note=note)


def _native_misses(
    reader: Reader,
    example: Example,
    side: Side,
    columns: Mapping[str, Any],
    written: Mapping[str, Any] | None,
    shared: Shared,
) -> Iterator[Miss]:
    document, name = reader.document, reader.document.names[side]
    if written is None:
        yield Miss(at=example.at("expect", name), what=name, note="this side is given; expect something of the other")
        return
    known = {
        *reader.wires(side),
        *standing_columns(document.systems[side], document.entity),
        *(column for doc in document.fields.values() if side in doc.columns for column in doc.columns[side].all()),
        *written,
    }
    for column, expected in columns.items():
        at, what = example.at("expect", name, column), f"{name}.{column}"
        found = written.get(column)
        if column not in known:
            note = f"the mapping writes no such column{hint(column, known)}"
            yield Miss(at=at, what=what, expected=expected, note=note)
        elif not _same_native(reader, side, column, expected, found):
            behind = behind_column(document, side, column, shared.fields, shared.status)
            note = "" if column in written else "nothing is written there"
            place = behind.row_at or behind.at
            yield Miss(at=at, what=what, expected=expected, found=plain(found), rule=place, note=note)


def _same_native(reader: Reader, side: Side, column: str, expected: Any, found: Any) -> bool:
    if expected is None or found is None:
        return expected is None and found is None
    if isinstance(found, NativeRef) and isinstance(expected, str) and found.entity in ("user", "team"):
        return fold_email(expected) == found.id  # an owner stands by a word, and is told as a directory has it
    if same(expected, plain(found) if isinstance(found, NativeRef) else found):
        return True
    means = reader.meant(side, column, expected)
    return means is not None and means == reader.meant(side, column, found)


def _held_misses(reader: Reader, example: Example, problems: Sequence[Problem]) -> Iterator[Miss]:
    by_field = {problem.field: problem for problem in problems}
    for name, cause in example.held.items():
        found = by_field.get(name)
        if found is None or found.cause != cause:
            at, note = example.at("expect", "held", name), found.message if found else "it is not held"
            yield Miss(at=at, what=f"held.{name}", expected=cause, found=found.cause if found else None, note=note)
    for name, problem in by_field.items():
        if name not in example.held and _is_given(reader, example, name):
            yield Miss(
                at=example.at("given"),
                what=f"held.{name}",
                found=problem.cause,
                rule=reader.document.source.place(("fields", name), key=True),
                note=f"{problem.message}; {problem.fix}",
            )


def _is_given(reader: Reader, example: Example, name: str) -> bool:
    """A value that is given shall not be lost silently; what is not given may be missing."""
    field = reader.document.fields.get(name)
    if field is None:
        return name == "status"
    if example.given_on is None:
        return example.given.get(name) is not None
    columns = field.columns[example.given_on].all() if example.given_on in field.columns else ()
    return any(example.given.get(column) is not None for column in columns)


def _crosses_misses(reader: Reader, example: Example, shared: Shared) -> Iterator[Miss]:
    if example.crosses is None:
        return
    fits = reader.compiled.filter(shared) if reader.compiled.filter is not None else True
    told = None if isinstance(fits, Problem) else fits
    if told != example.crosses:
        at, place = example.at("expect", "crosses"), reader.document.source.place(("filter",), key=True)
        note = fits.message if isinstance(fits, Problem) else ""
        yield Miss(at=at, what="crosses", expected=example.crosses, found=told, rule=place, note=note)


# --- values -------------------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """As an example writes it."""
    match value:
        case Money():
            return f"{value.amount} {value.currency}"
        case Unlinked() | NativeRef():
            return value.id
        case Decimal():
            return plain_number(value)
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case _:
            return value


def plain_number(value: int | Decimal) -> int | str:
    """No digit is lost: what has decimals is text."""
    return value if isinstance(value, int) else int(value) if value == value.to_integral_value() else str(value)


def same(expected: Any, found: Any) -> bool:
    """Equal, however an admin writes numbers and days."""
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    if isinstance(found, Decimal | int | float):
        try:
            return Decimal(str(expected)) == Decimal(str(found))
        except InvalidOperation:
            return False
    if isinstance(found, datetime):
        return _instant(expected) == found
    return str(expected) == str(plain(found))


def _instant(text: Any) -> datetime | None:
    try:
        return msgspec.convert(str(text), datetime)
    except msgspec.ValidationError:
        return None


def _same_value(expected: Any, found: Value, currency: str) -> bool:
    if expected is None or found is None:
        return expected is None and found is None
    if isinstance(found, Money):
        try:
            wanted = money(expected, currency)
        except (InvalidOperation, ValueError):
            return False
        return (wanted.amount, wanted.currency) == (found.amount, found.currency)
    return same(expected, found)

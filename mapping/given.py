"""The record that an example gives: its columns as a connector would have read them, or shared values, typed.

Nothing is known but the mapping, and, if there are any, descriptions of both systems. People and linked records stand
by any word: the same word is the same person, the same record on both sides.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from crmbridge.model import SIDES, Directory, Life, Money, Ref, Row, Shared, Side, State, Value, attribute_name
from mapping.described import DescriptionLike, OptionLike
from mapping.document import Document
from mapping.end import Facts
from mapping.examples import Example
from mapping.examples_schema import SHARED
from mapping.people import fold_email
from mapping.problem import Place, closest
from mapping.rows import row_struct
from mapping.standing import standing, standing_columns
from mapping.translate import CompiledEntity
from mapping.vocabulary import resolve

AXES: Final = ("state", "status", "stage", "on_hold", "contradiction")
_CREATED: Final = datetime(2026, 1, 1, tzinfo=UTC)


class Wrong(Exception):
    """The example itself cannot be understood."""

    def __init__(self, at: Place, what: str, note: str) -> None:
        super().__init__(note)
        self.at = at
        self.what = what
        self.note = note


class _Same(Mapping[str, str]):
    """Everybody is known, by the word itself."""

    def __getitem__(self, key: str) -> str:
        return key

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class _Owners(_Same):
    """The same as a directory knows them: addresses, queues and teams, folded."""

    def __getitem__(self, key: str) -> str:
        return fold_email(key)


def hint(word: object, known: Any) -> str:
    near = closest(word, known)
    return f"; did you mean {near!r}?" if near else ""


@dataclass(kw_only=True)
class Reader:
    """Reads what examples of one mapping give."""

    document: Document
    compiled: CompiledEntity
    descriptions: Mapping[Side, DescriptionLike] = field(default_factory=dict)
    _structs: dict[Side, Any] = field(default_factory=dict)

    def facts(self, example: Example) -> Facts:
        codes = {example.currency, "USD", "EUR", *_codes(example.given), *_codes(example.there)}
        directory = Directory(
            users=_Owners(),
            user_ids=_Same(),
            group_ids=_Same(),
            currency=example.currency,
            multi_currency=True,
            currencies={code: code for code in sorted(codes)},
        )
        return Facts(
            directory=dict.fromkeys(SIDES, directory),
            shared_id=lambda side, entity, native: native,
            native_id=lambda side, entity, shared: shared,
        )

    def row(self, example: Example, side: Side, columns: Mapping[str, Any], part: str) -> tuple[Row, Life]:
        """`part`: under which key of the example they stand."""
        entity, system, name = self.document.entity, self.document.systems[side], self.document.names[side]
        life = standing(system, entity, columns, self.statuses(side), lambda word: self._state_of(side, word))
        wires, types = self.wires(side), self.compiled.columns(side)
        values: dict[str, Any] = {}
        for column, given in columns.items():
            wire = wires.get(column)
            if wire is None and column in standing_columns(system, entity):
                continue
            if wire is None:
                known = hint(column, [*wires, *standing_columns(system, entity)])
                words = f"the mapping reads no column {column!r} in {name}{known}"
                raise Wrong(example.at(part, name, column), f"{name}.{column}", words)
            try:
                values[attribute_name(wire)] = self._typed(side, column, types[wire], given)
            except (msgspec.ValidationError, InvalidOperation, ValueError, TypeError) as error:
                wanted = getattr(types[wire], "__name__", str(types[wire]))
                raise Wrong(
                    example.at(part, name, column),
                    f"{name}.{column}",
                    f"{given!r} is no {wanted}, which this column holds; write it as the system stores it, or name a "
                    "shape with --shape, so that labels are known",
                ) from error
        if side not in self._structs:
            self._structs[side] = row_struct("Given", types)
        ref = Ref(side=side, entity=entity, id="example")
        made = self._structs[side](**values)
        return Row(ref=ref, version="1", created_at=_CREATED, modified_at=_CREATED, values=made), life

    def shared(self, example: Example) -> Shared:
        fields: dict[str, Value] = {}
        axes: dict[str, Any] = {}
        for name, given in example.given.items():
            at = example.at("given", SHARED, name)
            if name in ("state", "status", "stage"):
                axes["status" if name == "stage" else name] = given
            elif name in self.document.fields:
                try:
                    fields[name] = _value(self.document.fields[name].convert, given, example.currency)
                except (ValueError, InvalidOperation, msgspec.ValidationError) as error:
                    kind = self.document.fields[name].convert
                    raise Wrong(at, f"shared.{name}", f"{given!r} does not fit a field that is {kind!r}") from error
            else:
                raise Wrong(at, f"shared.{name}", f"there is no field {name!r}{hint(name, self.document.fields)}")
        status, rows = axes.get("status"), self.compiled.status_rows()
        if status is not None and status not in rows:
            at = example.at("given", SHARED)
            raise Wrong(at, "shared.status", f"there is no row {status!r}{hint(status, rows)}")
        state = axes.get("state") or (rows[status] if status else None)
        return Shared(fields=fields, state=state, status=status, created_at=_CREATED)

    # --- what the systems told ------------------------------------------------------------------------------------

    def wires(self, side: Side) -> dict[str, str]:
        """Column as an admin writes it -> the wire column that holds it."""
        table = self.compiled.sides[side]
        found = {wire: wire for wire in self.compiled.columns(side)}
        for plan in (table.plan, *table.by_state.values()):
            for end in plan.ends.values():
                found.setdefault(end.column, next(iter(end.wires), end.column))
        return found

    def statuses(self, side: Side) -> Sequence[OptionLike]:
        description = self.descriptions.get(side)
        return description.statuses if description else ()

    def meant(self, side: Side, column: str, word: Any) -> Any:
        """The stable value that a label means, where the system told its choices; else None."""
        option = self._option(side, column, word)
        if option is None and column in standing_columns(self.document.systems[side], self.document.entity):
            hits = resolve(word, self.statuses(side)) if isinstance(word, str | int) else []
            option = hits[0] if hits else None
        return option.value if option is not None else None

    def _option(self, side: Side, column: str, word: Any) -> OptionLike | None:
        description = self.descriptions.get(side)
        known = description.columns.get(column) if description else None
        hits = resolve(word, known.options) if known is not None and known.options else []
        return hits[0] if len(hits) == 1 else None

    def _state_of(self, side: Side, word: str | int) -> State | None:
        table = self.compiled.status
        rows = table.sides[side].rows(word, None) if table else ()
        return table.rows[rows[0]] if table and rows else None

    def _typed(self, side: Side, column: str, kind: Any, given: Any) -> Any:
        if given is None:
            return None
        option = self._option(side, column, given)
        if option is not None:
            return option.value
        if kind is str:
            return given if isinstance(given, str) else str(given)
        if kind is Decimal:
            return Decimal(str(given))
        if kind is datetime and isinstance(given, str) and len(given) == len("2026-01-31"):
            given = f"{given}T00:00:00Z"
        return msgspec.convert(given, kind, strict=True)


def _value(kind: str, given: Any, currency: str) -> Value:
    match kind:
        case _ if given is None:
            return None
        case "money":
            return money(given, currency)
        case "number":
            return Decimal(str(given))
        case "integer":
            return int(given)
        case "boolean":
            if not isinstance(given, bool):
                raise ValueError
            return given
        case "date":
            return date.fromisoformat(str(given))
        case "datetime":
            return msgspec.convert(str(given), datetime)
        case _:
            return str(given)


def money(given: Any, currency: str) -> Money:
    """`100` or `100 EUR`."""
    amount, _, iso = str(given).partition(" ")
    return Money(Decimal(amount), iso or currency)


def _codes(given: Any) -> Iterator[str]:
    """Texts that may be currencies."""
    if isinstance(given, Mapping):
        for one in given.values():
            yield from _codes(one)
    elif isinstance(given, str):
        last = given.rpartition(" ")[2]
        if len(last) == len("EUR") and last.isalpha() and last.isupper():
            yield last

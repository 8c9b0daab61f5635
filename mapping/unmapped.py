"""Values that records have and no row of the mapping reads, counted, each with the line to paste."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from crmbridge.model import SIDES, Life, Row, Side, attribute_name, other
from mapping.choices import choice_words
from mapping.described import DescriptionLike, OptionLike
from mapping.document import Document, FieldDoc, NativeWord, ValueRow
from mapping.paste import free_name, yaml_word
from mapping.problem import Place
from mapping.translate import CompiledEntity
from mapping.vocabulary import Vocabulary, fold, vocabulary

_WORD_MIN: Final = 4  # letters of a label that may stand within another one
Key = tuple[str, Side, str, Any]  # field (or status, stage), side, column, native value


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """A value that was met."""

    field: str
    side: Side
    column: str
    value: NativeWord
    label: str  # what people call it
    count: int
    table: str  # `values.lead_source`, `status`, ...
    after: Place  # the line behind which the new one goes
    line: str  # good as it is, to be pasted and then bettered
    unmapped: str = "hold"  # what the table says of such values
    beside: str = ""  # what most of their partners have


@dataclass(frozen=True, slots=True, kw_only=True)
class _Option:
    """A value that the system does not offer (any more), as an option."""

    value: str | int
    label: str
    state: str | None = None
    active: bool = True
    process: str | None = None
    process_name: str | None = None


@dataclass(kw_only=True)
class Counting:
    """Of one kind of record."""

    document: Document
    compiled: CompiledEntity
    descriptions: Mapping[Side, DescriptionLike] = field(default_factory=dict)
    counts: Counter[Key] = field(default_factory=Counter[Key])
    records: int = 0
    _words: dict[tuple[str, Side, str], Vocabulary] = field(default_factory=dict)
    _lives: dict[tuple[Side, Any], Life] = field(default_factory=dict)
    _beside: dict[tuple[str, Side, Any], Counter[Any]] = field(default_factory=dict)

    def add(self, row: Row, life: Life) -> None:
        self.records += 1
        for (name, column), value in self._of(row, life).items():
            self.counts[name, row.ref.side, column, value] += 1

    def add_pair(self, rows: Mapping[Side, Row], lives: Mapping[Side, Life]) -> None:
        """Both records of a pair, which `add` has counted: what stands beside a value is probably what it means."""
        unread = {side: self._of(rows[side], lives[side]) for side in SIDES}
        for side in SIDES:
            for (name, _), value in unread[side].items():
                there = other(side)
                beside = self._native(name, rows[there], lives[there])
                if beside is not None:
                    self._beside.setdefault((name, side, value), Counter())[beside] += 1

    def _of(self, row: Row, life: Life) -> dict[tuple[str, str], Any]:
        """Values of one record that no row reads, by field and column."""
        side = row.ref.side
        found: dict[tuple[str, str], Any] = {}
        for doc in self.document.fields.values():
            if doc.convert == "choice" and side in doc.columns:
                column = doc.columns[side].at(life.state)
                native = getattr(row.values, attribute_name(column), None)
                if native is not None and not _blank(native) and not self._vocabulary(doc, side, column).read(native):
                    found[doc.name, column] = native
        if self.compiled.status is not None and life.status is not None:
            standing = self.compiled.status.read(side, life, None, row.values)
            if standing.unmapped:
                key = life.status if standing.reason_unknown is None else (life.status, standing.reason_unknown)
                found[self.document.axis or "status", ""] = key
                known = Life(state=standing.state, status=life.status, process=life.process)
                self._lives.setdefault((side, key), known)
        return found

    def _native(self, name: str, row: Row, life: Life) -> Any:
        doc = self.document.fields.get(name)
        if doc is None:
            return life.status
        side = row.ref.side
        column = doc.columns[side].at(life.state) if side in doc.columns else ""
        return getattr(row.values, attribute_name(column), None)

    def found(self) -> list[Met]:
        """The most frequent first."""
        met = [self._met(key, count) for key, count in self.counts.most_common()]
        return sorted(met, key=lambda one: -one.count)

    # --- words ----------------------------------------------------------------------------------------------------

    def _vocabulary(self, doc: FieldDoc, side: Side, column: str) -> Vocabulary:
        key = (doc.name, side, column)
        if key not in self._words:
            table = self.document.values[doc.values or ""]
            self._words[key] = vocabulary(choice_words(table, side), self._options(side, column))
        return self._words[key]

    def _options(self, side: Side, column: str) -> Sequence[OptionLike]:
        description = self.descriptions.get(side)
        known = description.columns.get(column) if description else None
        return known.options if known is not None else ()

    def _met(self, key: Key, count: int) -> Met:
        name, side, column, value = key
        if not column:
            return self._met_status(side, value, count)
        doc = self.document.fields[name]
        table = self.document.values[doc.values or ""]
        option = _option(value, self._options(side, column))
        beside = self._most_beside(name, side, value)
        others = [
            _option(native, self._options(other(side), there))
            for field_name, there_side, there, native in self.counts
            if field_name == name and there_side == other(side)
        ]
        there_column = doc.columns[other(side)].column if other(side) in doc.columns else ""
        others += [
            one
            for one in self._options(other(side), there_column)
            if not self._vocabulary(doc, other(side), there_column).read(one.value)
        ]
        last = table.rows[-1].name if table.rows else ""
        return Met(
            field=name,
            side=side,
            column=column,
            value=value,
            label=option.label,
            count=count,
            table=f"values.{table.name}",
            after=self.document.source.place(("values", table.name, last), key=True),
            line=_line(
                self.document,
                side,
                option,
                _partner(option, beside, others),
                table.rows,
                sides=frozenset(doc.columns),
                beside=beside,
            ),
            unmapped=table.unmapped,
            beside=_called(beside, self._options(other(side), there_column)),
        )

    def _met_status(self, side: Side, value: Any, count: int) -> Met:
        axis = self.document.axis or "status"
        description = self.descriptions.get(side)
        life = self._lives[side, value]
        if isinstance(value, tuple):
            return self._met_reason(side, life, value[1], count)
        known = [one for one in description.statuses if one.value == value] if description else []
        option: OptionLike = known[0] if known else _Option(value=value, label=str(value), state=life.state)
        there = self.descriptions.get(other(side))
        others = [one for one in there.statuses if not self._reads(other(side), one)] if there else []
        beside = self._most_beside(axis, side, value)
        state = option.state or "open"
        rows = [row for row in self.document.status if row.state == state] or list(self.document.status)
        return Met(
            field=axis,
            side=side,
            column="",
            value=value,
            label=option.label,
            count=count,
            table=axis,
            after=self.document.source.place((axis, rows[-1].name), key=True),
            line=_line(
                self.document,
                side,
                option,
                _partner(option, beside, others),
                rows,
                sides=SIDES,
                beside=self._word_of_row(other(side), beside, state),
                state=state,
                taken=[row.name for row in self.document.status],
            ),
            beside=_called(beside, there.statuses if there else ()),
        )

    def _met_reason(self, side: Side, life: Life, reason: Any, count: int) -> Met:
        """The status is known, but no row of it names the reason: one more row beside it."""
        axis, name = self.document.axis or "status", self.document.names[side]
        rows = [row for row in self.document.status if row.state == life.state]
        like = next((row for row in rows if row.natives.get(side)), rows[0])
        there = self.document.names[other(side)]
        words = {
            "state": str(life.state),
            name: yaml_word(like.natives[side][0]) if like.natives.get(side) else yaml_word(str(life.status)),
            "reason": f"{{{name}: {yaml_word(reason)}}}",
            **({there: yaml_word(like.natives[other(side)][0])} if like.natives.get(other(side)) else {}),
            "lossy": there,
        }
        called = free_name(str(reason), (row.name for row in self.document.status))
        return Met(
            field="reason",
            side=side,
            column="",
            value=reason,
            label=str(reason),
            count=count,
            table=axis,
            after=self.document.source.place((axis, rows[-1].name), key=True),
            line=f"{called}: {{{', '.join(f'{key}: {word}' for key, word in words.items())}}}",
        )

    def _word_of_row(self, side: Side, native: Any, state: str) -> NativeWord | None:
        """How the row of that state that reads a status writes it."""
        table = self.compiled.status
        names = table.sides[side].rows(native, None) if table is not None and native is not None else ()
        row = next((row for row in self.document.status if row.name in names and row.state == state), None)
        words = row.natives.get(side, ()) if row is not None else ()
        return words[0] if words else None

    def _most_beside(self, name: str, side: Side, value: Any) -> Any:
        found = self._beside.get((name, side, value))
        return found.most_common(1)[0][0] if found else None

    def _reads(self, side: Side, option: OptionLike) -> bool:
        table = self.compiled.status
        life = Life(status=option.value, process=option.process)
        return table is not None and bool(table.sides[side].rows(option.value, life))


def _partner(option: OptionLike, beside: Any, others: Sequence[OptionLike]) -> OptionLike | None:
    """Of the other side's unmapped values the one that stands beside it in most pairs, else the one called the same."""
    state = option.state or "open"
    fitting = [one for one in others if (one.state or "open") == state]
    same = [one for one in fitting if fold(one.label) == fold(option.label)]
    alike = [one for one in fitting if _within(fold(one.label), fold(option.label))]
    near = same or (alike if len(alike) == 1 else [])
    return next((one for one in fitting if one.value == beside), near[0] if near else None)


def _within(one: str, two: str) -> bool:
    """`Meeting Booked` is in `Working - Meeting Booked`."""
    short, long = sorted((one, two), key=len)
    return len(short) >= _WORD_MIN and short in long


def _called(value: Any, options: Iterable[OptionLike]) -> str:
    return "" if value is None else _option(value, options).label


def _blank(native: Any) -> bool:
    return isinstance(native, str) and not native.strip()


def _option(value: Any, options: Iterable[OptionLike]) -> OptionLike:
    known = next((one for one in options if one.value == value), None)
    return known if known is not None else _Option(value=value, label=str(value))


def _line(
    document: Document,
    side: Side,
    option: OptionLike,
    partner: OptionLike | None,
    rows: Sequence[ValueRow],
    *,
    sides: Collection[Side],
    beside: Any = None,
    state: str = "",
    taken: Collection[str] | None = None,
) -> str:
    """Without a partner with a value that another row writes, which that side then cannot tell apart: the one that
    stands beside it, else the first row's."""
    there = other(side)
    words: dict[Side, str] = {side: _word(option)}
    known = beside if beside is not None else next((r.natives[there][0] for r in rows if r.natives.get(there)), None)
    cells: list[str] = [f"state: {state}"] if state else []
    lossy = ""
    if there in sides and partner is not None:
        words[there] = _word(partner)
    elif there in sides and known is not None:
        words[there], lossy = yaml_word(known), f"lossy: {document.names[there]}"
    cells += [f"{document.names[each]}: {words[each]}" for each in SIDES if each in words]
    called = option if side == "left" or partner is None else partner
    known_names = [row.name for row in rows] if taken is None else taken
    return f"{free_name(called.label, known_names, 'value')}: {{{', '.join([*cells, *([lossy] if lossy else [])])}}}"


def _word(option: OptionLike) -> str:
    """Numbers as they are, texts as people see them."""
    return yaml_word(option.value if isinstance(option.value, int) else option.label)

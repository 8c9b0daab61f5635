"""The status (lead) or stage (opportunity) table, compiled: native status <-> row, with the state that flags decide.

A native word may depend on the kind of a record: a stage exists once per process (dataverse-api §8), and record types
have words of their own; so look-ups know the kind. In a process that was born from a lead the first stage is on the
lead and cannot be reached: there the next stage also reads as the rows before it (lifecycle §2, the Develop trap).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from crmbridge.model import SIDES, Life, Problem, Side, State
from mapping.described import OptionLike
from mapping.document import StatusRow
from mapping.holding import Hold
from mapping.kinds import Place, kind_of, places
from mapping.reasons import Reasons
from mapping.vocabulary import fold, resolve

Native = str | int

_SEEN_MAX: Final = 4096  # statuses, hints and record types are few; a status may be any text


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a record stands, in shared words."""

    state: State | None = None
    status: str | None = None
    on_hold: bool = False
    contradiction: str | None = None
    unmapped: bool = False
    reason_unknown: Native | None = None  # the value of the reason's column that no row names


@dataclass(frozen=True, slots=True, kw_only=True)
class SideStatus:
    """One side's natives. Keys are (kind, value); kind None is the plain column, good for every kind."""

    reads: Mapping[tuple[str | None, Native], tuple[str, ...]] = field(default_factory=dict)
    loose: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    writes: Mapping[tuple[str | None, str], Native] = field(default_factory=dict)
    processes: frozenset[str] = frozenset()  # those with stages of their own
    # process -> the first stage that can be reached when born from a lead, and the rows it also stands for
    born: Mapping[str, tuple[Native, tuple[str, ...]]] = field(default_factory=dict)

    def rows(self, native: Native, life: Life | None) -> tuple[str, ...]:
        kind = kind_of(life)
        found = self.reads.get((kind, native)) or self.reads.get((None, native)) or self.loose.get(fold(native), ())
        if life is not None and life.process_born_from_lead and kind is not None and kind in self.born:
            first, also = self.born[kind]
            if native == first:
                return (*found, *(row for row in also if row not in found))
        return found

    def write(self, row: str, kind: str | None, *, open_: bool) -> Native | None:
        if kind in self.processes and open_:
            return self.writes.get((kind, row))  # a process's stage, or none: the plain column does not move it
        own = self.writes.get((kind, row))
        return own if own is not None else self.writes.get((None, row))


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusTable:
    rows: Mapping[str, State]
    sides: Mapping[Side, SideStatus]
    reasons: Mapping[Side, Reasons] = field(default_factory=dict)
    holds: Mapping[Side, Hold] = field(default_factory=dict)

    _seen: dict[tuple[Any, ...], Standing] = field(default_factory=dict, repr=False, compare=False)

    def read(self, side: Side, life: Life, hint: str | None, values: Any = None) -> Standing:
        """Flags decide the state where there are any; the label only finds the row within it.

        `values` are the row's, for what stands in columns of the mapping: the reason, on hold. Where there are none,
        records that stand alike are looked at once."""
        if side in self.reasons or side in self.holds:
            return self._look(side, life, hint, values)
        alike = (
            side, hint, life.state, life.status, life.on_hold, life.record_type, life.process,
            life.process_born_from_lead,
        )  # fmt: skip
        standing = self._seen.get(alike)
        if standing is None:
            standing = self._look(side, life, hint, values)
            if len(self._seen) < _SEEN_MAX:
                self._seen[alike] = standing
        return standing

    def _look(self, side: Side, life: Life, hint: str | None, values: Any) -> Standing:
        hold = self.holds.get(side)
        if hold is not None and hold.is_stage(life.status) and life.state in (None, "open"):
            # The stage says nothing but that: the record stands where it stood.
            row = hint if hint is not None and self.rows.get(hint) == "open" else self._first("open")
            return Standing(state="open", status=row, on_hold=True)
        standing = self._read(side, life, hint, values)
        if not (life.on_hold or (hold is not None and hold.read(values))) or standing.state != "open":
            return standing
        return Standing(
            state=standing.state,
            status=standing.status,
            on_hold=True,
            contradiction=standing.contradiction,
            unmapped=standing.unmapped,
        )

    def _read(self, side: Side, life: Life, hint: str | None, values: Any) -> Standing:
        if life.status is None:
            return Standing(state=life.state)
        rows = self.sides[side].rows(life.status, life)
        reasons = self.reasons.get(side)
        if life.state is None:
            return self._read_by_label(rows, hint, reasons, values)
        fitting = [row for row in rows if self.rows[row] == life.state]
        if fitting:
            if reasons is not None:
                fitting, unknown = reasons.narrow(fitting, values)
                if unknown is not None:
                    return Standing(state=life.state, unmapped=True, reason_unknown=unknown)
            return Standing(state=life.state, status=hint if hint in fitting else fitting[0])
        if rows:
            told = self.rows[rows[0]]
            words = f"its status says {told}, but the CRM's own flag says {life.state}"
            return Standing(state=life.state, contradiction=words)
        if life.state == "converted":  # the flag says it all; which converted label it has is nobody's concern
            return Standing(state="converted", status=self._first("converted"))
        return Standing(state=life.state, unmapped=True)

    def _read_by_label(self, rows: Sequence[str], hint: str | None, reasons: Reasons | None, values: Any) -> Standing:
        if not rows:
            return Standing(state="open", unmapped=True)
        if reasons is not None:
            rows, unknown = reasons.narrow(rows, values)
            if unknown is not None:
                return Standing(state=self.rows[rows[0]], unmapped=True, reason_unknown=unknown)
        row = hint if hint in rows else rows[0]
        assert row is not None
        if self.rows[row] == "converted":
            # L6: the label says so, and the record has NOT been converted
            words = "its status says converted, but it has not been converted"
            return Standing(state="open", contradiction=words)
        return Standing(state=self.rows[row], status=row)

    def native(self, side: Side, row: str, *, life: Life | None, last_open: str | None) -> Native | None:
        """What to write: the value that is there while it belongs to the row, else the last open one, else the first.

        Rows of state converted are never written: they are passed to the CRM's own conversion."""
        end = self.sides[side]
        if self.rows.get(row) in (None, "converted"):
            return None
        kind = kind_of(life)
        if life is not None and life.status is not None and self._stays(end, row, life):
            return life.status
        if last_open is not None:
            known = self._known(end, kind, last_open)
            if known is not None and row in end.rows(known, life) and self.rows[row] == "open":
                return known
        if life is not None and life.process_born_from_lead and kind is not None and kind in end.born:
            first, also = end.born[kind]
            if row in also:
                return first
        return end.write(row, kind, open_=self.rows[row] == "open")

    def _stays(self, end: SideStatus, row: str, life: Life) -> bool:
        assert life.status is not None
        return life.state in (None, self.rows[row]) and row in end.rows(life.status, life)

    def reason_columns(self, side: Side, row: str, values: Any) -> dict[str, Any]:
        """What to write into the reason's column with the status, so that the record reads as this row."""
        reasons = self.reasons.get(side)
        return reasons.columns(row, values) if reasons is not None else {}

    @staticmethod
    def _known(end: SideStatus, kind: str | None, text: str) -> Native | None:
        """A stored native text as the value it was: numbers lose their type in a store."""
        for key in (kind, None):
            for where, value in end.reads:
                if where == key and str(value) == text:
                    return value
        return text if fold(text) in end.loose else None

    def _first(self, state: State) -> str | None:
        return next((row for row, s in self.rows.items() if s == state), None)

    def first_of(self, state: State, side: Side | None = None) -> str | None:
        """The first row of a state, with a side: that can be written there."""
        for row, s in self.rows.items():
            if s == state and (side is None or any(r == row for _, r in self.sides[side].writes)):
                return row
        return None

    def converted(self, side: Side, life: Life | None = None) -> Native | None:
        """The status to pass to a conversion: the one of the record's type, else the one for all."""
        for row, state in self.rows.items():
            native = self.sides[side].write(row, kind_of(life), open_=False) if state == "converted" else None
            if native is not None:
                return native
        return None


def unmapped(standing: Standing, life: Life, name: str, place: str) -> Problem:
    """`name` is the connection's, `place` where a row would be added."""
    if standing.reason_unknown is not None:
        return Problem(
            cause="unmapped_reason",
            field="reason",
            message=f"{name} has status {life.status!r} with a reason that no row of the mapping names",
            fix=f"add that reason to a row of {place}",
        )
    return Problem(
        cause="unmapped_status",
        field="status",
        message=f"{name} has status {life.status!r}, which no row of the mapping names",
        fix=f"add {life.status!r} to a row of {place}",
    )


def fits_state(option: OptionLike, state: State) -> bool:
    """Whether a row of this state may stand for the option: a flag must agree; only `converted` needs one."""
    return option.state == state if option.state is not None else state != "converted"


def status_table(
    rows: Sequence[StatusRow],
    options: Mapping[Side, Sequence[OptionLike]],
    *,
    reasons: Mapping[Side, Reasons] | None = None,
    holds: Mapping[Side, Hold] | None = None,
) -> StatusTable:
    return StatusTable(
        rows={row.name: row.state for row in rows},
        sides={side: _side(rows, side, options.get(side, ())) for side in SIDES},
        reasons=reasons or {},
        holds=holds or {},
    )


def _side(rows: Sequence[StatusRow], side: Side, options: Sequence[OptionLike]) -> SideStatus:
    found = places(rows, side, options)
    reads: dict[tuple[str | None, Native], list[str]] = {}
    loose: dict[str, list[str]] = {}
    writes: dict[tuple[str | None, str], Native] = {}
    for row in rows:
        for word in row.natives.get(side, ()):
            _append(loose.setdefault(fold(word), []), row.name)
        for place in found:
            for value in _values(row, side, place):
                _append(reads.setdefault((place.key, value), []), row.name)
                writes.setdefault((place.key, row.name), value)
    _read_elsewhere(rows, side, options, reads, loose)
    return SideStatus(
        reads={key: tuple(names) for key, names in reads.items()},
        loose={text: tuple(names) for text, names in loose.items()},
        writes=writes,
        processes=frozenset(place.key for place in found if place.key is not None and place.has_stages),
        born=_born(rows, reads, options),
    )


def _values(row: StatusRow, side: Side, place: Place) -> list[Native]:
    """What a row's words mean for records of one kind. A closed record is in no process any more."""
    known = place.options
    if place.has_stages and row.state != "open":
        if place.kind not in row.by_kind.get(side, {}):
            return []
        known = place.plain
    values: list[Native] = []
    for word in row.words(side, place.kind):
        hits = resolve(word, [o for o in known if fits_state(o, row.state)])
        values += [o.value for o in hits] if place.described else [word]
    return values


def _read_elsewhere(
    rows: Sequence[StatusRow],
    side: Side,
    options: Sequence[OptionLike],
    reads: dict[tuple[str | None, Native], list[str]],
    loose: dict[str, list[str]],
) -> None:
    """A word of one kind is understood for the others too, where it means nothing else there: a record may change its
    record type, and a closed one no longer tells the process it ran in."""
    known, spelled = set(reads), set(loose)
    for row in rows:
        for words in row.by_kind.get(side, {}).values():
            for word in words:
                if fold(word) not in spelled:
                    _append(loose.setdefault(fold(word), []), row.name)
                fitting = [o for o in options if o.process is None and fits_state(o, row.state)]
                values: list[Native] = [o.value for o in resolve(word, fitting)] if options else [word]
                for value in values:
                    if (None, value) not in known:
                        _append(reads.setdefault((None, value), []), row.name)


def _born(
    rows: Sequence[StatusRow], reads: Mapping[tuple[str | None, Native], list[str]], options: Sequence[OptionLike]
) -> dict[str, tuple[Native, tuple[str, ...]]]:
    """Per process the first stage that a record born from a lead can have, and the rows before it in the table."""
    open_rows = [row.name for row in rows if row.state == "open"]
    born: dict[str, tuple[Native, tuple[str, ...]]] = {}
    for process in dict.fromkeys(o.process for o in options if o.process is not None):
        stages = [o.value for o in options if o.process == process]
        placed = [(stage, names[0]) for stage in stages if (names := reads.get((process, stage)))]
        if placed and open_rows and placed[0][1] == open_rows[0]:
            placed = placed[1:]  # the process's first stage is on the lead
        if placed and placed[0][1] in open_rows:
            stage, row = placed[0]
            born[process] = (stage, tuple(open_rows[: open_rows.index(row)]))
    return born


def _append(names: list[str], row: str) -> None:
    if row not in names:
        names.append(row)

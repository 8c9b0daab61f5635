"""The status (lead) or stage (opportunity) table, compiled: native status <-> row, with the state that flags decide.

A stage exists once per process (dataverse-api §8), so look-ups know the process. In a process that was born from a lead
the first stage is on the lead and cannot be reached: there the next stage also reads as the rows before it
(lifecycle §2, the Develop trap).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from crmbridge.model import SIDES, Life, Side, State
from mapping.described import OptionLike
from mapping.document import StatusRow
from mapping.vocabulary import fold, resolve

Native = str | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a record stands, in shared words."""

    state: State | None = None
    status: str | None = None
    contradiction: str | None = None
    unmapped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SideStatus:
    """One side's natives. Keys are (process, value); process None is the plain column, good for every process."""

    reads: Mapping[tuple[str | None, Native], tuple[str, ...]] = field(default_factory=dict)
    loose: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    writes: Mapping[tuple[str | None, str], Native] = field(default_factory=dict)
    processes: frozenset[str] = frozenset()  # those with stages of their own
    # process -> the first stage that can be reached when born from a lead, and the rows it also stands for
    born: Mapping[str, tuple[Native, tuple[str, ...]]] = field(default_factory=dict)

    def rows(self, native: Native, life: Life | None) -> tuple[str, ...]:
        process = life.process if life else None
        found = self.reads.get((process, native)) or self.reads.get((None, native)) or self.loose.get(fold(native), ())
        if life is not None and life.process_born_from_lead and process is not None and process in self.born:
            first, also = self.born[process]
            if native == first:
                return (*found, *(row for row in also if row not in found))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusTable:
    rows: Mapping[str, State]
    sides: Mapping[Side, SideStatus]

    def read(self, side: Side, life: Life, hint: str | None) -> Standing:
        """Flags decide the state where there are any; the label only finds the row within it."""
        if life.status is None:
            return Standing(state=life.state)
        rows = self.sides[side].rows(life.status, life)
        if life.state is None:
            return self._read_by_label(rows, hint)
        fitting = [row for row in rows if self.rows[row] == life.state]
        if fitting:
            return Standing(state=life.state, status=hint if hint in fitting else fitting[0])
        if rows:
            told = self.rows[rows[0]]
            words = f"its status says {told}, but the CRM's own flag says {life.state}"
            return Standing(state=life.state, contradiction=words)
        if life.state == "converted":  # the flag says it all; which converted label it has is nobody's concern
            return Standing(state="converted", status=self._first("converted"))
        return Standing(state=life.state, unmapped=True)

    def _read_by_label(self, rows: Sequence[str], hint: str | None) -> Standing:
        if not rows:
            return Standing(state="open", unmapped=True)
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
        process = life.process if life else None
        if life is not None and life.status is not None and self._stays(end, row, life):
            return life.status
        if last_open is not None:
            known = self._known(end, process, last_open)
            if known is not None and row in end.rows(known, life) and self.rows[row] == "open":
                return known
        if life is not None and life.process_born_from_lead and process is not None and process in end.born:
            first, also = end.born[process]
            if row in also:
                return first
        if process in end.processes and self.rows[row] == "open":
            return end.writes.get((process, row))  # a process's stage, or none: the plain column does not move it
        return end.writes.get((None, row))

    def _stays(self, end: SideStatus, row: str, life: Life) -> bool:
        assert life.status is not None
        return life.state in (None, self.rows[row]) and row in end.rows(life.status, life)

    @staticmethod
    def _known(end: SideStatus, process: str | None, text: str) -> Native | None:
        """A stored native text as the value it was: numbers lose their type in a store."""
        for key in (process, None):
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

    def converted(self, side: Side) -> Native | None:
        for row, state in self.rows.items():
            native = self.sides[side].writes.get((None, row))
            if state == "converted" and native is not None:
                return native
        return None


def fits_state(option: OptionLike, state: State) -> bool:
    """Whether a row of this state may stand for the option: a flag must agree; only `converted` needs one."""
    return option.state == state if option.state is not None else state != "converted"


def status_table(rows: Sequence[StatusRow], options: Mapping[Side, Sequence[OptionLike]]) -> StatusTable:
    return StatusTable(
        rows={row.name: row.state for row in rows},
        sides={side: _side(rows, side, options.get(side, ())) for side in SIDES},
    )


def _side(rows: Sequence[StatusRow], side: Side, options: Sequence[OptionLike]) -> SideStatus:
    processes: list[str | None] = list(dict.fromkeys(o.process for o in options)) or [None]
    reads: dict[tuple[str | None, Native], list[str]] = {}
    loose: dict[str, list[str]] = {}
    writes: dict[tuple[str | None, str], Native] = {}
    for row in rows:
        for word in row.natives.get(side, ()):
            _append(loose.setdefault(fold(word), []), row.name)
            for process in processes:
                of_process = [o for o in options if o.process == process and fits_state(o, row.state)]
                hits: list[Native] = [o.value for o in resolve(word, of_process)]
                for value in hits if options else [word]:
                    _append(reads.setdefault((process, value), []), row.name)
                    writes.setdefault((process, row.name), value)
    return SideStatus(
        reads={key: tuple(names) for key, names in reads.items()},
        loose={text: tuple(names) for text, names in loose.items()},
        writes=writes,
        processes=frozenset(process for process, _ in writes if process is not None),
        born=_born(rows, reads, options),
    )


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

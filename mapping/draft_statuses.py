"""Lead statuses and opportunity stages of a draft: by the CRMs' own flags and values first, then by their names.

What a flag contradicts, and what nothing speaks for, is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from crmbridge.model import SIDES, Entity, Side, State, other
from mapping.described import OptionLike
from mapping.document import NativeWord
from mapping.draft_alike import nearest
from mapping.draft_ends import DraftOption, Ends, Line, each_side, sides_that, told
from mapping.draft_standard import STATUSES, StatusStandard
from mapping.draft_values import no_counterpart, row_cells
from mapping.paste import free_name
from mapping.status import fits_state
from mapping.vocabulary import fold, resolve

_FLAGGED: Final[Mapping[Entity, tuple[State, ...]]] = {"lead": ("converted",), "opportunity": ("won", "lost")}
Hits = Mapping[Side, Sequence[DraftOption]]
_Key = tuple[str | None, str | int, str | None]  # Dynamics numbers a stage and a closed reason alike


@dataclass(slots=True, kw_only=True)
class _Table:
    entity: Entity
    ends: Ends
    by_value: bool
    lines: list[Line] = field(default_factory=list[Line])
    read: dict[Side, set[_Key]] = field(default_factory=lambda: each_side(lambda _: set[_Key]()))
    written: dict[tuple[Side, State], list[NativeWord]] = field(
        default_factory=dict[tuple[Side, State], list[NativeWord]]
    )
    asked: dict[Side, set[_Key]] = field(default_factory=lambda: each_side(lambda _: set[_Key]()))

    def options(self, side: Side) -> Sequence[DraftOption]:
        return [o for o in self.ends[side].description.statuses if o.active]

    def native(self, side: Side, hits: Sequence[DraftOption]) -> list[NativeWord]:
        """What stands in the file: a number or API name; of a process's stages the label, unless asked otherwise."""
        found: list[NativeWord] = []
        for option in hits:
            stage = self.ends[side].system == "dynamics" and self.entity == "opportunity" and option.state == "open"
            word: NativeWord = option.label if stage and self._label_is_enough(side, option, hits) else option.value
            if word not in found:
                found.append(word)
        return found

    def _label_is_enough(self, side: Side, option: DraftOption, hits: Sequence[DraftOption]) -> bool:
        if self.by_value or not option.label:
            return False
        chosen = {_key(each) for each in hits}
        states = {each.state for each in hits}
        return all(
            _key(each) in chosen
            for process in {o.process for o in self.options(side)}
            for each in resolve(
                option.label, [o for o in self.options(side) if o.process == process and o.state in states]
            )
        )

    def add(self, name: str, state: State, hits: Hits, comment: str, *, likely: bool) -> None:
        natives = each_side(lambda side: self.native(side, hits[side]))
        before = each_side(lambda side: self.written.setdefault((side, state), []))
        lossy = sides_that(lambda side: natives[side][0] in before[side] and state != "converted")
        for side in SIDES:
            kept = [word for n, word in enumerate(natives[side]) if n == 0 or word not in before[side]]
            before[side] += kept
            natives[side] = kept
            self.read[side].update(_key(o) for o in hits[side])
        name = name if name not in self.names else free_name(name, self.names)
        self.lines.append(
            Line(
                name=name,
                confidence="likely" if likely else "sure",
                comment=comment,
                text=f"{name}: {row_cells(self.ends, natives, lossy, state)}",
            )
        )

    @property
    def names(self) -> set[str]:
        return {line.name for line in self.lines}


def _key(option: OptionLike) -> _Key:
    return (option.process, option.value, option.state)


def draft_statuses(entity: Entity, ends: Ends, *, by_value: bool = False) -> list[Line]:
    table = _Table(entity=entity, ends=ends, by_value=by_value)
    _contradictions(table, STATUSES.get(entity, ()))
    if {end.system for end in ends.values()} == {"salesforce", "dynamics"}:
        _standard(table, STATUSES.get(entity, ()))
    else:
        _identical(table)
    for state in _FLAGGED.get(entity, ()):
        _by_flag(table, state)
    _left_over(table)
    return sorted(table.lines, key=lambda line: not line.active)


# --- what is known -------------------------------------------------------------------------------------------------


def _standard(table: _Table, rows: Sequence[StatusStandard]) -> None:
    for row in rows:
        _standard_row(table, row, rows)


def _standard_row(table: _Table, row: StatusStandard, rows: Sequence[StatusStandard]) -> None:
    known = each_side(lambda side: _hits(table, side, row, rows))
    flagged = sides_that(lambda side: not known[side])
    hits = each_side(lambda side: known[side] or _only(table, side, row.state))
    if all(hits.values()) and len(flagged) < len(SIDES):
        comment, likely = _words(table, row, hits, flagged)
        table.add(row.name, row.state, hits, comment, likely=likely)


def _hits(table: _Table, side: Side, row: StatusStandard, rows: Sequence[StatusStandard]) -> list[DraftOption]:
    """The options that are this row's, whatever they are called, as far as their flags agree."""
    system = table.ends[side].system
    fitting = [o for o in table.options(side) if fits_state(o, row.state)]
    names = {fold(word) for word in row.words[system]}
    if system == "salesforce":
        return [o for word in row.words[system] for o in fitting if fold(o.value) == fold(word)]
    others = {value for each in rows if each.state == row.state for value in each.values}
    by_value = [o for o in fitting if o.value in row.values]
    return [*by_value, *(o for o in fitting if o.value not in others and fold(o.label) in names)]


def _only(table: _Table, side: Side, state: State) -> list[DraftOption]:
    """The one option that a flag puts into this state; of several converted ones the CRM's own default."""
    flagged = [
        o for o in table.options(side) if o.state == state and state != "open" and _key(o) not in table.asked[side]
    ]
    if state == "converted" and flagged:
        flagged = [next((o for o in flagged if o.default), flagged[0])]
    # Salesforce has one word for several of our rows; a number of Dynamics' is one row's.
    if len(flagged) != 1 or (table.ends[side].system == "dynamics" and _key(flagged[0]) in table.read[side]):
        return []
    return flagged


def _words(table: _Table, row: StatusStandard, hits: Hits, flagged: Sequence[Side]) -> tuple[str, bool]:
    notes: list[str] = []
    renamed = False
    for side in SIDES:
        end = table.ends[side]
        if side in flagged:
            notes.append(f"{told(hits[side][0])} is what {end.name} flags as {row.state}")
            continue
        usual = {fold(word) for word in row.words[end.system]}
        new = list(dict.fromkeys(o.label for o in hits[side] if fold(o.label) not in usual))
        if new:
            renamed = True
            was = " or ".join(row.words[end.system])
            notes.append(f"{end.name} calls it {', '.join(map(repr, new))}, out of the box {was!r}")
        elif isinstance(hits[side][0].value, int):
            notes.append(hits[side][0].label)
    if row.near:
        notes.append("salesforce has one word for it and for an earlier row")
    return "; ".join(notes) or "standard on both", bool(row.near or renamed or flagged)


def _identical(table: _Table) -> None:
    """Two systems of one kind: the same value with the same flag is the same status."""
    grouped = each_side(lambda side: _groups(table, side))
    for key, left in grouped["left"].items():
        right = grouped["right"].get(key)
        state = _state(table, left[0])
        if right is None or state is None:
            continue
        renamed = fold(left[0].label) != fold(right[0].label)
        comment = f"{told(left[0])} here, {told(right[0])} there" if renamed else "the same on both, by value and flag"
        name = free_name(left[0].label, table.names)
        table.add(name, state, {"left": left, "right": right}, comment, likely=renamed)


def _groups(table: _Table, side: Side) -> dict[tuple[str | int, str | None], list[DraftOption]]:
    groups: dict[tuple[str | int, str | None], list[DraftOption]] = {}
    for option in table.options(side):
        # One stage has an id in each process; its name is what they share.
        by_name = table.ends[side].system == "dynamics" and option.state == "open" and table.entity == "opportunity"
        groups.setdefault((fold(option.label) if by_name else option.value, option.state), []).append(option)
    return groups


def _state(table: _Table, option: DraftOption) -> State | None:
    """By its flag; a Salesforce lead has one for converted only, so the standard's own words tell the rest."""
    for row in STATUSES.get(table.entity, ()):
        if option.state == row.state:
            return row.state
        if option.state is None and fold(option.value) in map(fold, row.words["salesforce"]):
            return row.state
    return None


def _by_flag(table: _Table, state: State) -> None:
    """A state that no row has yet: where a flag leaves one choice on each side, it decides."""
    if any(table.written.get((side, state)) for side in SIDES):
        return
    hits = each_side(lambda side: _only(table, side, state))
    if all(hits.values()):
        table.add(state, state, hits, f"the flags of both say {state}", likely=False)


# --- what is asked -------------------------------------------------------------------------------------------------


def _contradictions(table: _Table, rows: Sequence[StatusStandard]) -> None:
    """A standard name whose flag says otherwise: nobody can tell which of the two is meant."""
    for side in SIDES:
        end = table.ends[side]
        for option in table.options(side):
            called: set[State] = {r.state for r in rows if fold(option.label) in map(fold, r.words.get(end.system, ()))}
            agree = not called or any(fits_state(option, state) for state in called)
            if not agree and not _spoken_of(table, side, option):
                table.asked[side].add(_key(option))
                flag = option.state or "not converted"
                table.lines.append(
                    Line(
                        name=free_name(option.label, table.names),
                        confidence="question",
                        comment=f"{told(option)} of {end.name} is called {min(called)}, but its flag says {flag}: "
                        "correct the flag or the name there; it is in no row: what has it is held",
                    )
                )


def _left_over(table: _Table) -> None:
    for side in SIDES:
        unread: dict[tuple[str, str | None], list[DraftOption]] = {}
        for option in table.options(side):
            if not _spoken_of(table, side, option):
                unread.setdefault((fold(option.label), option.state), []).append(option)
        alone: list[DraftOption] = []
        for options in unread.values():
            if _spoken_of(table, side, options[0]):
                continue
            near = _near(table, side, options[0])
            if near:
                table.lines.append(_question(table, side, options, near))
            else:
                alone.append(options[0])
        if alone:
            table.lines.append(no_counterpart(alone, table.ends, side))


def _spoken_of(table: _Table, side: Side, option: DraftOption) -> bool:
    return _key(option) in table.read[side] or _key(option) in table.asked[side]


def _near(table: _Table, side: Side, option: DraftOption) -> list[DraftOption]:
    """What the other side calls alike, in the same state: one stage in all its processes."""
    there, state = other(side), _known_state(option) or "open"
    fitting = [o for o in table.options(there) if fits_state(o, state) and o.state in (None, state)]
    best = nearest(option.label, fitting)
    return [o for o in fitting if best is not None and fold(o.label) == fold(best[0].label)]


def _question(table: _Table, side: Side, options: Sequence[DraftOption], near: Sequence[DraftOption]) -> Line:
    there, end = other(side), table.ends[side]
    state = _known_state(options[0]) or "open"
    name = free_name(options[0].label, table.names)
    natives: dict[Side, list[NativeWord]] = {
        side: table.native(side, options),
        there: table.native(there, near),
    }
    lossy: list[Side] = [there] if natives[there][0] in table.written.get((there, state), ()) else []
    table.asked[there].update(_key(o) for o in near)  # the question is asked once
    alike = "the same" if fold(near[0].label) == fold(options[0].label) else "alike"
    why = (
        f"{told(options[0])} of {end.name} is in no row: what has it is held; "
        f"{table.ends[there].name} has {told(near[0])}, which is called {alike}"
    )
    if options[0].state is None:
        why += " (and is it open, or disqualified?)"
    text = f"{name}: {row_cells(table.ends, natives, lossy, state)}"
    return Line(name=name, confidence="question", comment=why, text=text)


def _known_state(option: DraftOption) -> State | None:
    return next((s for s in ("open", "converted", "disqualified", "won", "lost") if s == option.state), None)

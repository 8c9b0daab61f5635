"""Tables of values for a draft: the standard's pairs where both systems have them, identical ones between two systems
of one kind; every other value is a question."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from crmbridge.model import SIDES, Side, other
from mapping.described import OptionLike
from mapping.draft_alike import nearest
from mapping.draft_ends import Ends, Line, cells, each_side, named, sides_that, told, words
from mapping.draft_standard import VALUES, Pair
from mapping.paste import free_name
from mapping.vocabulary import fold

Options = Mapping[Side, Sequence[OptionLike]]


@dataclass(slots=True, kw_only=True)
class _Rows:
    ends: Ends
    lines: list[Line] = field(default_factory=list[Line])
    read: dict[Side, set[object]] = field(default_factory=lambda: each_side(lambda _: set[object]()))

    def add(self, natives: Mapping[Side, Sequence[OptionLike]], comment: str, *, likely: bool, name: str = "") -> None:
        """An active row. What an earlier row reads already is not read here; written all the same, that is a loss."""
        lossy = sides_that(lambda side: natives[side][0].value in self.read[side])
        kept = each_side(
            lambda side: [o for n, o in enumerate(natives[side]) if n == 0 or o.value not in self.read[side]]
        )
        for side in SIDES:
            self.read[side].update(o.value for o in kept[side])
        name = name or free_name(kept["left"][0].label, self.names, "value")
        self.lines.append(
            Line(
                name=name,
                confidence="likely" if likely else "sure",
                comment=comment,
                text=f"{name}: {row_cells(self.ends, each_side(lambda s: [o.value for o in kept[s]]), lossy)}",
            )
        )

    def ask(self, option: OptionLike, side: Side, partner: OptionLike, alike: str) -> None:
        name, there = free_name(option.label, self.names, "value"), other(side)
        lossy: list[Side] = [there] if partner.value in self.read[there] else []
        natives: dict[Side, list[str | int]] = {side: [option.value], there: [partner.value]}
        why = (
            f"{told(option)} of {self.ends[side].name} is in no row: what has it is held; "
            f"{self.ends[there].name} has {told(partner)}, which is called {alike}"
        )
        text = f"{name}: {row_cells(self.ends, natives, lossy)}"
        self.lines.append(Line(name=name, confidence="question", comment=why, text=text))

    @property
    def names(self) -> set[str]:
        return {line.name for line in self.lines}


def row_cells(ends: Ends, natives: Mapping[Side, Sequence[str | int]], lossy: Sequence[Side], state: str = "") -> str:
    return cells(state=state, **{ends[side].name: words(natives[side]) for side in SIDES}, lossy=named(lossy, ends))


def table_lines(table: str | None, ends: Ends, options: Options) -> list[Line]:
    """All rows of one table; without an active one the table decides nothing."""
    rows = _Rows(ends=ends)
    systems: dict[str, Side] = {ends[side].system: side for side in SIDES}
    if len(systems) == 1:
        _identical(rows, options)
    elif table is not None and table in VALUES and set(systems) == {"salesforce", "dynamics"}:
        _standard(rows, VALUES[table], systems, options)
    _left_over(rows, options)
    return rows.lines


def _identical(rows: _Rows, options: Options) -> None:
    """Two systems of one kind: the same value is the same value."""
    there = {o.value: o for o in options["right"] if o.active}
    for option in options["left"]:
        twin = there.get(option.value)
        if option.active and twin is not None:
            renamed = fold(option.label) != fold(twin.label)
            comment = f"{told(option)} here, {told(twin)} there" if renamed else ""
            rows.add({"left": [option], "right": [twin]}, comment or "the same value on both", likely=renamed)


def _standard(rows: _Rows, pairs: Sequence[Pair], systems: Mapping[str, Side], options: Options) -> None:
    salesforce, dynamics = systems["salesforce"], systems["dynamics"]
    for api_name in dict.fromkeys(pair.salesforce for pair in pairs):
        own = [pair for pair in pairs if pair.salesforce == api_name]
        option = _of_salesforce(api_name, options[salesforce])
        numbers = {o.value: o for o in options[dynamics] if o.active}
        # The value to write is the first pair's; without it the row would write something else.
        if option is None or own[0].dynamics not in numbers:
            continue
        found = [pair for pair in own if pair.dynamics in numbers]
        hits = [numbers[pair.dynamics] for pair in found]
        comment, likely = _words(option, own[0], hits[0], [o for o in hits[1:] if o.value not in rows.read[dynamics]])
        name = free_name(api_name, rows.names, "value")
        rows.add({salesforce: [option], dynamics: hits}, comment, likely=likely, name=name)


def _of_salesforce(api_name: str, options: Sequence[OptionLike]) -> OptionLike | None:
    by_value = next((o for o in options if o.active and o.value == api_name), None)
    return by_value or next((o for o in options if o.active and fold(o.value) == fold(api_name)), None)


def _words(option: OptionLike, pair: Pair, hit: OptionLike, more: Sequence[OptionLike]) -> tuple[str, bool]:
    """What is said of a row, and whether somebody should look at it."""
    parts: list[str] = []
    renamed = fold(hit.label) != fold(pair.label)
    called = fold(option.label) != fold(pair.salesforce)
    if pair.near == "near":
        parts.append(f"the nearest is {hit.label!r}")
    elif renamed:
        parts.append(f"{hit.value} is called {hit.label!r} here, {pair.label!r} out of the box")
    else:
        parts.append(hit.label)
    if called:
        parts.append(f"{pair.salesforce!r} is called {option.label!r} here")
    if more:
        parts.append(f"also read: {', '.join(o.label for o in more)}")
    return "; ".join(parts), pair.near == "near" or renamed or called


def _left_over(rows: _Rows, options: Options) -> None:
    spoken = each_side(lambda side: set(rows.read[side]))
    for side in SIDES:
        there, alone = other(side), list[OptionLike]()
        for option in options[side]:
            if not option.active or option.value in spoken[side]:
                continue
            near = nearest(option.label, (o for o in options[there] if o.active))
            if near is None:
                alone.append(option)
                continue
            spoken[there].add(near[0].value)  # the question is asked once
            rows.ask(option, side, near[0], "the same" if near[1] == 1 else "alike")
        if alone:
            rows.lines.append(no_counterpart(alone, rows.ends, side))


def no_counterpart(options: Sequence[OptionLike], ends: Ends, side: Side) -> Line:
    """One question for all that nothing on the other side is called like."""
    one = len(options) == 1
    return Line(
        name=f"other_{ends[side].name}",
        confidence="question",
        comment=f"{', '.join(map(told, options))} of {ends[side].name} {'is' if one else 'are'} in no row: what has "
        f"{'it' if one else 'one of them'} is held; what {'does it' if one else 'do they'} mean in "
        f"{ends[other(side)].name}?",
    )

"""A compiled mapping at work: native row -> shared record (get), shared values -> native columns (put).

Data never makes these raise: what cannot be translated becomes a `Problem` of that field, and the others go on.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

import msgspec

from crmbridge.model import (
    Entity,
    FieldRule,
    Fields,
    Gate,
    Life,
    Native,
    NativeRef,
    Problem,
    Row,
    Shared,
    Side,
    State,
    Value,
    other,
)
from mapping.document import Document
from mapping.end import End, Facts, Ignored
from mapping.ends import filler_text
from mapping.filters import Fits
from mapping.getting import Reader
from mapping.holding import Hold
from mapping.money import CurrencyWriter
from mapping.putting import Creator
from mapping.record_types import RecordTypes
from mapping.status import Standing, StatusTable, unmapped
from mapping.transforms import Refusal

# Problems worth telling that stop nothing: the field is left as it is, the record is in step without it.
NOTES: Final = frozenset({"no_such_user", "owner_not_user"})


class Put(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What to write. `blocked` says that a create would be refused, because a required value is missing."""

    columns: Native
    problems: tuple[Problem, ...] = ()
    fillers: Mapping[str, str] = {}  # field -> text, to be remembered with the link
    blocked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SidePlan:
    """One side in one state: which ends count, and the functions that read and create with them all."""

    ends: Mapping[str, End]
    read: Reader
    create: Creator


@dataclass(frozen=True, slots=True, kw_only=True)
class SideTable:
    """One side of an entity."""

    name: str  # the connection's
    system: str
    table: str
    columns: Mapping[str, Any]
    plan: SidePlan
    by_state: Mapping[State, SidePlan]
    estimate: SidePlan | None = None  # of a won record that goes on with the amounts expected, where they stand apart
    currency: CurrencyWriter | None = None  # where money is mapped, and records have a currency of their own
    status_column: str | None = None  # where a new record's status is written with its fields
    record_types: RecordTypes | None = None  # the rule for a new record's

    def at(self, state: State | None, *, estimate: bool = False) -> SidePlan:
        """`estimate`: should it be won, by the amounts that were expected (O6)."""
        if estimate and state == "won" and self.estimate is not None:
            return self.estimate
        return self.by_state.get(state, self.plan) if state is not None else self.plan


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledEntity:
    entity: Entity
    rules: tuple[FieldRule, ...]
    match: tuple[tuple[str, ...], ...]
    sides: Mapping[Side, SideTable]
    status: StatusTable | None = None
    status_place: str = ""  # where a row would be added, for messages
    gates: tuple[Gate, ...] = ()
    filter: Fits | None = None
    document: Document | None = None  # what it was compiled from
    _first: dict[tuple[Side, str | None], str | int | None] = field(default_factory=dict, repr=False, compare=False)

    def table(self, side: Side) -> str:
        return self.sides[side].table

    def columns(self, side: Side) -> Mapping[str, Any]:
        """Wire columns to read, with the Python types that a page is decoded to."""
        return self.sides[side].columns

    def ends(self, side: Side, shared: Shared) -> Mapping[str, End]:
        """Where the fields of a record stand that was read as this."""
        return self.sides[side].at(shared.state, estimate=shared.estimate).ends

    # --- reading --------------------------------------------------------------------------------------------------

    def get(
        self, side: Side, row: Row, life: Life, facts: Facts, hint: str | None = None, *, estimate: bool = False
    ) -> Shared:
        return self.read(side, row.values, life, facts, created_at=row.created_at, hint=hint, estimate=estimate)

    def read(
        self,
        side: Side,
        values: Any,
        life: Life,
        facts: Facts,
        *,
        created_at: datetime | None = None,
        hint: str | None = None,
        estimate: bool = False,
    ) -> Shared:
        """As `get`, from a page's struct itself; None for a record that is no longer there."""
        if self.status is None:
            standing, problems = Standing(state=life.state, on_hold=life.on_hold), ()
        else:
            standing, problems = self.status.read(side, life, hint, values), ()
            if standing.unmapped:
                problems = (unmapped(standing, life, self.sides[side].name, self.status_place),)
        if values is None:
            return Shared(
                fields={},
                state=standing.state,
                status=standing.status,
                on_hold=standing.on_hold,
                contradiction=standing.contradiction,
                problems=problems,
                created_at=created_at,
            )
        table = self.sides[side]
        plan = table.at(standing.state, estimate=estimate)
        shared = plan.read(values, facts, standing, problems, created_at)
        return msgspec.structs.replace(shared, estimate=True) if plan is table.estimate else shared

    # --- writing --------------------------------------------------------------------------------------------------

    def put(
        self,
        side: Side,
        fields: Fields,
        *,
        facts: Facts,
        current: Row | None,
        life: Life | None,
        state: State | None,
        whole: Shared | None = None,
        estimate: bool = False,
    ) -> Put:
        """Native columns for these values; without `current` for a new record. What already reads so is left out."""
        table = self.sides[side]
        plan = table.plan
        if table.by_state:
            plan = table.at(state if state is not None else life.state if life else None, estimate=estimate)
        if current is not None:
            writing = _Writing(table, side, facts, current, whole)
            writing.update(plan, fields, current.values)
            return writing.done()
        columns, left, currency = plan.create(fields, whole.fields if whole is not None else None, facts)
        if currency:
            columns.update(currency)
        status = self._first_status(side, whole) if table.status_column is not None else None
        if left or table.record_types is not None:
            writing = _Writing(table, side, facts, None, whole, columns)
            writing.create(left, fields)
            if table.record_types is not None and whole is not None:
                writing.record_type(table.record_types, whole)
            put = writing.done()
        else:
            put = Put(columns=columns)
        if table.status_column is not None and status is not None:
            columns[table.status_column] = status
        partner = None if currency or table.currency is None else facts.directory.get(other(side))
        if table.currency is not None and partner is not None:
            # The partner's currency even where there is no amount yet (lifecycle §7: always sent). Where the CRM does
            # not have it, its own default is as good.
            for column, native in (table.currency(partner.currency, facts) or {}).items():
                columns.setdefault(column, native)
        return put

    def _first_status(self, side: Side, whole: Shared | None) -> str | int | None:
        """A new record starts open: at the partner's row while that is open, else at the first (lifecycle §7)."""
        if self.status is None:
            return None
        row = whole.status if whole is not None else None
        try:
            return self._first[side, row]
        except KeyError:
            pass
        first = self.first_open(side)
        native = self.status_for(side, row) if row is not None and self.status.rows.get(row) == "open" else None
        if native is None and first is not None:
            native = self.status_for(side, first)
        self._first[side, row] = native  # there are as many as the table has rows
        return native

    # --- status ---------------------------------------------------------------------------------------------------

    def status_rows(self) -> Mapping[str, State]:
        """Rows of the status or stage table in their order, with their states."""
        return self.status.rows if self.status else {}

    def state_of(self, status: str) -> State:
        assert self.status is not None, f"{self.entity} has no status"
        return self.status.rows[status]

    def first_open(self, side: Side | None = None) -> str | None:
        """The first row of state open; with a side, one that can be written there."""
        return self.status.first_of("open", side) if self.status else None

    def row_for_state(self, side: Side, state: State, life: Life | None = None) -> str | None:
        """The row to reach for a state: the one the record is at, else the first that can be written there."""
        if self.status is None:
            return None
        if life is not None and life.status is not None:
            fitting = [r for r in self.status.sides[side].rows(life.status, life) if self.status.rows[r] == state]
            if fitting:
                return fitting[0]
        return self.status.first_of(state, side)

    def status_for(
        self, side: Side, status: str, *, life: Life | None = None, last_open: str | None = None
    ) -> str | int | None:
        """Native status or stage to write so that the record reads as this row; None where there is none to write."""
        return self.status.native(side, status, life=life, last_open=last_open) if self.status else None

    def converted_status(self, side: Side, life: Life | None = None) -> str | int | None:
        """Native status to pass to the CRM's own conversion; it may depend on the record's type."""
        return self.status.converted(side, life) if self.status else None

    def reason_columns(self, side: Side, status: str, current: Row | None) -> dict[str, Any]:
        """What goes into the reason's column together with the status."""
        values = current.values if current is not None else None
        return self.status.reason_columns(side, status, values) if self.status else {}

    def sticky(self, side: Side, shared: Shared, life: Life) -> str | None:
        """The open native status or stage to come back to; being on hold is none."""
        hold = self.hold(side)
        if shared.state != "open" or life.status is None or (hold is not None and hold.is_stage(life.status)):
            return None
        return str(life.status)

    def hold(self, side: Side) -> Hold | None:
        """How this side says that a record is on hold; None where it cannot."""
        return self.status.holds.get(side) if self.status else None

    def record_type_of(self, side: Side, source: Shared, current: Row) -> dict[str, Any] | Problem:
        """The column with the record type that a record of this source gets, if it has another one now."""
        rule = self.sides[side].record_types
        return rule.columns(source, current.values) if rule is not None else {}


class _Writing:
    """One put in the making."""

    __slots__ = (
        "_blocked", "_columns", "_created_at", "_current", "_facts", "_fillers", "_problems", "_side", "_table",
        "_whole",
    )  # fmt: skip

    def __init__(
        self,
        table: SideTable,
        side: Side,
        facts: Facts,
        current: Row | None,
        whole: Shared | None,
        columns: dict[str, Any] | None = None,
    ) -> None:
        self._table = table
        self._side: Side = side
        self._facts = facts
        self._whole = whole
        self._current: Any = current.values if current is not None else None
        self._created_at = (whole.created_at if whole else None) or (current.created_at if current else None)
        self._columns: dict[str, Any] = {} if columns is None else columns
        self._problems: list[Problem] = []
        self._fillers: dict[str, str] = {}
        self._blocked = False

    def done(self) -> Put:
        return Put(columns=self._columns, problems=tuple(self._problems), fillers=self._fillers, blocked=self._blocked)

    def update(self, plan: SidePlan, fields: Fields, values: Any) -> None:
        for name, value in fields.items():
            end = plan.ends.get(name)
            if end is None or (values is not None and end.keeps(values, value, self._facts)):
                continue
            if not end.updateable:
                self._refuse(name, "not_updateable", f"{end.column} can only be set at creation", "change it by hand")
            elif value is None and end.filler is not None:
                self._fill(end)
            elif value is None and end.required:
                self._required_blank(end)
            else:
                self._write(end, value)

    def create(self, left: Iterable[End], fields: Fields) -> None:
        """What the compiled function left to the ends."""
        for end in left:
            self._create(end, fields)

    def _create(self, end: End, fields: Fields) -> None:
        value = fields.get(end.name)
        if value is None and end.template is not None:
            value = self._from_template(end, fields)
        elif value is None and end.initial is not None:
            value = end.initial(self._facts, self._day())
        if value is not None:
            refused = not self._write(end, value)
            self._blocked = self._blocked or (refused and end.required and not end.owner)
        elif end.filler is not None:
            self._fill(end)
        elif end.required and not end.owner:
            self._required_blank(end)
            self._blocked = True
        elif end.choice and self._blank_there(end.name):
            self._columns[end.column] = None  # else the CRM's default would say what nobody said (a Warm lead)
        if end.owner and end.column not in self._columns:
            self._default_owner(end)

    def record_type(self, rule: RecordTypes, whole: Shared) -> None:
        found = rule.columns(whole, None)
        if isinstance(found, Problem):
            self._problems.append(found)
            self._blocked = True
        else:
            self._columns.update(found)

    def _write(self, end: End, value: Value) -> bool:
        try:
            self._columns.update(end.write(value, self._facts, self._current))
        except Refusal as refusal:
            self._problems.append(refusal.problem(end.name))
            return False
        except Ignored:
            return False
        return True

    def _blank_there(self, name: str) -> bool:
        """Read on the other side, and blank: not the same as a value that could not be read."""
        return self._whole is not None and name in self._whole.fields and self._whole.fields[name] is None

    def _fill(self, end: End) -> None:
        assert end.filler is not None
        try:
            native, text = filler_text(end.filler, self._day())
        except Refusal as refusal:
            self._problems.append(refusal.problem(end.name))
            self._blocked = self._blocked or self._current is None
            return
        self._columns[end.column] = native
        self._fillers[end.name] = text

    def _day(self) -> date | None:
        return self._created_at.date() if self._created_at else None

    def _required_blank(self, end: End) -> None:
        here = self._table.name
        self._refuse(
            end.name,
            "required_blank",
            f"is blank, and {here} needs {end.column}",
            f"fill it in, or give the field a `filler:` for {here} in the mapping",
        )

    def _refuse(self, name: str, cause: str, message: str, fix: str) -> None:
        self._problems.append(Problem(cause=cause, field=name, message=f"{name}: {message}", fix=fix))

    def _from_template(self, end: End, fields: Fields) -> Value:
        source = {**(self._whole.fields if self._whole else {}), **fields}
        return render(end.template or "", source, end.length)

    def _default_owner(self, end: End) -> None:
        owner = self._facts.directory[self._side].default_owner
        if owner is not None:
            self._columns[end.column] = NativeRef("user", owner)


_SLOT: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}")


def render(template: str, fields: Fields, length: int | None) -> str | None:
    """Fills `{company} - {last_name}`; a blank part takes its separator along. Our own text, so it may be cut."""

    def part(match: re.Match[str]) -> str:
        value = fields.get(match[1])
        return "" if value is None else str(value)

    if _SLOT.search(template) and not any(fields.get(m[1]) is not None for m in _SLOT.finditer(template)):
        return None
    text = re.sub(r"\s+", " ", _SLOT.sub(part, template)).strip(" -–—,/|:;")
    return (text[:length].rstrip() if length else text) or None

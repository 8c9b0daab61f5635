"""What a shape computes: its formulas made ready, formula fields and roll-ups kept true (salesforce-api §5.1, §8.1).

Values are kept in the rows, so that reading them costs nothing. A save computes the row's own formulas; a parent's
change goes on to the children whose formulas look at it, a child's change to the parents that sum it up.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, Final

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.salesforce.formula import Expression, FormulaError, Moment, Reach, compile_formula
from crmbridge.sandbox.salesforce.persons import Persons
from crmbridge.sandbox.salesforce.schema import NUMBER, TEXT, Field, Shape, SObject, Summary, ValidationRule
from crmbridge.sandbox.salesforce.store import Store
from crmbridge.sandbox.salesforce.values import number

Place = tuple[str | int, ...]
DEPTH_MAX: Final = 12  # changes that follow from changes; a ring of formulas and roll-ups ends here


class PlanError(ValueError):
    """A formula of the shape that makes no sense, and where it stands."""

    def __init__(self, message: str, place: Place, offset: int = 0) -> None:
        super().__init__(message)
        self.place = place
        self.offset = offset


@dataclass(frozen=True, slots=True, kw_only=True)
class RollUp:
    parent: SObject
    field: Field
    summary: Summary
    when: Expression | None


class Plan:
    """All formulas of a shape, compiled and checked."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.validation: dict[str, list[tuple[ValidationRule, Expression | None]]] = {}
        self.assignment: dict[str, list[tuple[Expression | None, str]]] = {}
        self.formulas: dict[str, list[tuple[Field, Expression]]] = {}
        self.roll_ups: dict[str, list[RollUp]] = {}  # by child
        self.watched: dict[str, list[tuple[str, Reach]]] = {}  # parent object: whose formula looks at which field
        for at, rule in enumerate(shape.rules.validation):
            self._validation(rule, ("rules", "validation", at, "formula"))
        for name in shape.rules.assignment:
            self._assignment(name)
        for sobject in shape.objects.values():
            if sobject.computed:
                self.formulas[sobject.name] = list(self._fields(sobject))
            for field in sobject.fields.values():
                if field.summary is not None:
                    self._roll_up(sobject, field, field.summary)
        self.volatile = {name for name, items in self.formulas.items() if any(each.volatile for _, each in items)}

    def _compiled(self, sobject: SObject, text: str, what: str, place: Place, *, zero: bool = False) -> Expression:
        try:
            return compile_formula(self.shape, sobject, text, blank_is_zero=zero)
        except FormulaError as error:
            raise PlanError(f"{what}: {error} (character {error.column})", place, error.column - 1) from None

    def _validation(self, rule: ValidationRule, place: Place) -> None:
        sobject, compiled = self.shape.objects[rule.object], None
        if rule.formula is not None:
            compiled = self._compiled(sobject, rule.formula, f"rule {rule.name!r}", place)
            if compiled.kind not in ("boolean", "null"):
                raise PlanError(f"rule {rule.name!r}: the formula gives {compiled.kind}, not true or false", place)
        self.validation.setdefault(rule.object, []).append((rule, compiled))

    def _assignment(self, name: str) -> None:
        rule, sobject = self.shape.rules.assignment[name], self.shape.object(name)
        if sobject is None:
            raise PlanError(f"rules.assignment names the unknown object {name}", ("rules", "assignment", name))
        entries: list[tuple[Expression | None, str]] = []
        for at, entry in enumerate(rule.entries):
            place = ("rules", "assignment", name, "entries", at, "when")
            what = f"assignment of {name}"
            entries.append((self._compiled(sobject, entry.when, what, place) if entry.when else None, entry.owner))
        if rule.owner:
            entries.append((None, rule.owner))
        self.assignment[sobject.name] = entries

    def _fields(self, sobject: SObject) -> Iterator[tuple[Field, Expression]]:
        """Formula fields in an order in which each finds what it reads."""
        waiting: dict[str, tuple[Field, Expression]] = {}
        for field in sobject.computed:
            place, what = ("objects", sobject.name, "fields", field.name, "formula"), f"{sobject.name}.{field.name}"
            compiled = self._compiled(
                sobject, field.formula or "", what, place, zero=field.formula_treat_null_number_as_zero
            )
            if compiled.of_save:
                raise PlanError(f"{what}: a formula field cannot ask who saves or what a save changes", place)
            if not _fits(field, compiled.kind):
                raise PlanError(f"{what}: the formula gives {compiled.kind}, the field is {field.type}", place)
            waiting[field.name] = (field, compiled)
            for reach in compiled.through:
                self.watched.setdefault(reach.object, []).append((sobject.name, reach))
        while waiting:
            ready = [name for name, (_, each) in waiting.items() if not each.reads & waiting.keys()]
            if not ready:
                name = next(iter(waiting))
                place = ("objects", sobject.name, "fields", name, "formula")
                raise PlanError(f"{sobject.name}.{name}: the formula refers to itself", place)
            for name in ready:
                yield waiting.pop(name)

    def _roll_up(self, parent: SObject, field: Field, summary: Summary) -> None:
        what, place = f"{parent.name}.{field.name}", ("objects", parent.name, "fields", field.name, "summary")
        child = self.shape.object(summary.object)
        by = child.fields.get(summary.by) if child else None
        if child is None or by is None or parent.name not in by.reference_to:
            raise PlanError(f"{what}: {summary.object}.{summary.by} is no lookup to {parent.name}", place)
        of = child.fields.get(summary.of or "")
        numeric = of is not None and (of.type in NUMBER or of.type == "int")
        dated = of is not None and of.type in ("date", "datetime") and summary.operation in ("min", "max")
        if summary.operation == "count" and summary.of is not None:
            raise PlanError(f"{what}: a count has no field", (*place, "of"))
        if summary.operation != "count" and not (numeric or dated):
            raise PlanError(f"{what}: {summary.operation} needs a field of {child.name} to work on", place)
        when = None
        if summary.when is not None:
            when = self._compiled(child, summary.when, what, (*place, "when"))
            if when.kind != "boolean" or when.of_save or when.volatile or when.through:
                raise PlanError(f"{what}: `when` is a plain condition on the child's own fields", (*place, "when"))
        self.roll_ups.setdefault(child.name, []).append(RollUp(parent=parent, field=field, summary=summary, when=when))


def _fits(field: Field, kind: str) -> bool:
    if kind == "null":
        return True
    if field.type in TEXT:
        return kind in ("text", "id") and field.type not in ("picklist", "multipicklist")
    return kind == ("number" if field.type in NUMBER or field.type == "int" else field.type)


class Derived:
    """Keeps computed fields of a store true; `save` writes a parent that a roll-up changed, with its own rules."""

    def __init__(
        self,
        store: Store,
        plan: Plan,
        today: Callable[[], date],
        save: Callable[[SObject, Row, Row], None],
        persons: Persons | None = None,
    ) -> None:
        self._store = store
        self._plan = plan
        self._today = today
        self._save = save
        self._day: date | None = None
        self._persons = persons
        self.active = bool(plan.formulas or plan.roll_ups or persons)

    def moment(self, row: Row, before: Row | None, user: str = "") -> Moment:
        return Moment(row=row, before=before, today=self._today(), find=self._find, user=user)

    def _find(self, name: str, key: str) -> Row | None:
        return self._store.tables.get(name, key)

    def compute(self, sobject: SObject, row: Row) -> None:
        """The row's own formula fields, in place."""
        formulas = self._plan.formulas.get(sobject.name)
        if not formulas:
            return
        at = self.moment(row, None)
        for field, expression in formulas:
            value = _kept(field, expression.evaluate(at))
            if value is None:
                row.pop(field.name, None)
            else:
                row[field.name] = value

    def follow(self, sobject: SObject, row: Row, before: Row | None, depth: int = 0) -> None:
        """Carry a row's change on to the rows whose computed fields depend on it."""
        if not self.active or depth > DEPTH_MAX:
            return
        old = before or {}
        for name, reach in self._plan.watched.get(sobject.name, ()):
            if row.get(reach.field) != old.get(reach.field):
                for dependent in self._dependents(reach, row["Id"]):
                    self._recompute(self._plan.shape.objects[name], dependent, depth)
        for roll_up in self._plan.roll_ups.get(sobject.name, ()):
            self._roll_up(sobject, roll_up, row, old)
        self._twin(sobject, row, depth)

    def _twin(self, sobject: SObject, row: Row, depth: int) -> None:
        """An account and its person contact show the same, whichever of them was changed."""
        found = self._persons.twin(sobject, row) if self._persons is not None else None
        if found is None or self._persons is None:
            return
        other, before = found
        changed = self._persons.carried(sobject, row, before)
        self.compute(other, changed)
        if changed != before:
            self._store.put(other, changed)
            self.follow(other, changed, before, depth + 1)

    def _dependents(self, reach: Reach, key: str) -> list[Row]:
        """The rows from which the path leads to this one."""
        keys, rows = {key}, list[Row]()
        for name, reference in reversed(reach.path):
            holder = self._plan.shape.objects[name]
            rows = [row for each in sorted(keys) for row in self._store.referring(holder, reference, each)]
            keys = {row["Id"] for row in rows}
        return rows

    def _recompute(self, sobject: SObject, before: Row, depth: int) -> None:
        row = dict(before)
        self.compute(sobject, row)
        if row != before:  # §8.1: the stamp stays
            self._store.put(sobject, row)
            self.follow(sobject, row, before, depth + 1)

    def _roll_up(self, child: SObject, roll_up: RollUp, row: Row, old: Row) -> None:
        by, of = roll_up.summary.by, roll_up.summary.of
        names = {by, "IsDeleted", *([of] if of else []), *(roll_up.when.reads if roll_up.when else ())}
        if all(row.get(name) == old.get(name) for name in names) and old:
            return
        for key in dict.fromkeys([old.get(by), row.get(by)]):
            parent = self._store.get(roll_up.parent, key) if key else None
            if parent is None or parent.get("IsDeleted"):
                continue
            value = self._summed(child, roll_up, parent["Id"])
            if parent.get(roll_up.field.name) == value:
                continue
            changed = {name: each for name, each in parent.items() if name != roll_up.field.name}
            self._save(roll_up.parent, changed if value is None else {**changed, roll_up.field.name: value}, parent)

    def _summed(self, child: SObject, roll_up: RollUp, parent: str) -> Any:
        rows = [row for row in self._store.referring(child, roll_up.summary.by, parent) if not row.get("IsDeleted")]
        if roll_up.when is not None:
            rows = [row for row in rows if roll_up.when.evaluate(self.moment(row, None))]
        if roll_up.summary.operation == "count":
            return _kept(roll_up.field, Decimal(len(rows)))
        values = [value for row in rows if (value := row.get(roll_up.summary.of or "")) is not None]
        match roll_up.summary.operation:
            case "sum":
                return _kept(roll_up.field, sum((Decimal(value) for value in values), Decimal(0)), whole=True)
            case "min":
                return _kept(roll_up.field, min(values, default=None), whole=True)
            case _:
                return _kept(roll_up.field, max(values, default=None), whole=True)

    def refresh(self) -> None:
        """A new day: formulas that look at it are computed anew; no stamp moves (§8.1)."""
        if not self._plan.volatile or self._day == self._today():
            return
        self._day = self._today()
        self.compute_all(self._plan.volatile)

    def compute_all(self, names: set[str] | None = None) -> None:
        """Every computed field, as after a load."""
        for roll_ups in self._plan.roll_ups.values() if names is None else ():
            for each in roll_ups:
                child = self._plan.shape.objects[each.summary.object]
                for parent in list(self._store.rows(each.parent).values()):
                    value = _present(each.field.name, self._summed(child, each, parent["Id"]))
                    kept = {name: old for name, old in parent.items() if name != each.field.name}
                    self._store.put(each.parent, {**kept, **value})
                    self._twin(each.parent, {**kept, **value}, 0)
        for name in self._plan.formulas if names is None else sorted(names):
            sobject = self._plan.shape.objects[name]
            for before in list(self._store.rows(sobject).values()):
                self._recompute(sobject, before, 0)


def _present(name: str, value: Any) -> Row:
    return {} if value is None else {name: value}


def _kept(field: Field, value: Any, *, whole: bool = False) -> Any:
    """A formula's value as the field keeps it; `whole`: a percentage that is one already."""
    if value in (None, ""):
        return False if field.type == "boolean" else None
    if field.type not in NUMBER and field.type != "int":
        return value[: field.length] if isinstance(value, str) and field.length else value
    exact = Decimal(value) * (100 if field.type == "percent" and not whole else 1)
    try:
        exact = exact.quantize(Decimal(1).scaleb(-field.scale), rounding=ROUND_HALF_UP)
    except InvalidOperation:  # more digits than any field has
        return None
    return int(exact) if field.type == "int" else number(exact)

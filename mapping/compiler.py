"""From checked documents to a translation: columns chosen, labels turned into stable values, closures made."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from crmbridge.errors import ConfigError
from crmbridge.model import SIDES, Entity, FieldRule, Money, Side, State, Value
from mapping.axis_compiler import axis_wires, compile_axis, compile_gates
from mapping.check import check
from mapping.choices import choice_words
from mapping.derived import derive
from mapping.described import ColumnLike, DescriptionLike, Descriptions
from mapping.document import Document, Documents, FieldDoc
from mapping.end import End, Setting
from mapping.ends import OWNERS, make_end
from mapping.filters import filter_of
from mapping.getting import weave_reader
from mapping.money import CURRENCY_COLUMN, currency_wire, currency_writer
from mapping.out_of_use import late_sides
from mapping.people import names_groups
from mapping.putting import weave_creator
from mapping.record_types import record_types
from mapping.transforms import CONVERTERS, Same, coarser, rounded
from mapping.translate import CompiledEntity, SidePlan, SideTable
from mapping.vocabulary import vocabulary

# A Dynamics opportunity's stage is its process's affair, and the process exists only after the opportunity.
_STATUS_COLUMNS: Final[Mapping[tuple[str, Entity], str]] = {
    ("salesforce", "lead"): "Status",
    ("salesforce", "opportunity"): "StageName",
    ("dynamics", "lead"): "statuscode",
}
_VARIANTS: Final[tuple[State, ...]] = ("won", "lost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    entities: Mapping[Entity, CompiledEntity] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def names_groups(self, side: Side) -> bool:
        """Must the queues or teams of that side be known?"""
        documents = (one.document for one in self.entities.values())
        return any(names_groups(document, side) for document in documents if document is not None)


def compile_documents(documents: Documents | Iterable[Document], descriptions: Descriptions | None = None) -> Compiled:
    """Raises ConfigError with every problem at once; warnings come along."""
    known = descriptions or {}
    findings = check(documents, known or None)
    errors = tuple(str(f) for f in findings if f.severity == "error")
    if errors:
        raise ConfigError(
            f"the mapping has {len(errors)} problem{'s' if len(errors) > 1 else ''}:\n" + "\n".join(errors),
            problems=errors,
            fix=f"Correct the lines named and run `crmbridge check{' --live' if known else ''}` again.",
            code="mapping",
        )
    return Compiled(
        entities={document.entity: _entity(document, known) for document in documents},
        warnings=tuple(str(f) for f in findings if f.severity == "warning"),
    )


def _entity(document: Document, descriptions: Descriptions) -> CompiledEntity:
    described: dict[Side, DescriptionLike] = {
        side: descriptions[side, document.entity] for side in SIDES if (side, document.entity) in descriptions
    }
    rules = {doc.name: _rule(document, doc, described) for doc in document.fields.values()}
    return CompiledEntity(
        entity=document.entity,
        rules=tuple(rules.values()),
        match=document.match,
        sides={side: _side(document, side, described.get(side), rules) for side in SIDES},
        status=compile_axis(document, described),
        status_place=f"`{document.axis}:` in {document.source.file}",
        gates=compile_gates(document),
        filter=filter_of(document),
        document=document,
    )


def _side(
    document: Document, side: Side, description: DescriptionLike | None, rules: Mapping[str, FieldRule]
) -> SideTable:
    docs = [doc for doc in document.fields.values() if side in doc.columns]
    system = document.systems[side]
    status_column = _STATUS_COLUMNS.get((system, document.entity)) if document.status else None
    has_money = any(doc.convert == "money" for doc in docs)
    wire = currency_wire(system, description) if has_money else None
    also = [column for column in (status_column, CURRENCY_COLUMN.get(system) if has_money else None) if column]

    def plan(state: State | None, *, estimate: bool = False) -> tuple[SidePlan, list[End]]:
        ends: list[End] = []
        for doc in docs:
            column = doc.columns[side].at(None if estimate and doc.convert == "money" else state)
            meta = description.columns.get(column) if description else None
            ends.append(
                make_end(
                    Setting(
                        document=document,
                        field=doc,
                        side=side,
                        column=column,
                        meta=meta,
                        description=description,
                        same=rules[doc.name].same,
                    )
                )
            )
        return _plan(ends, also), ends

    base, ends = plan(None)
    by_state: dict[State, SidePlan] = {}
    for state in _VARIANTS:
        if any(state in doc.columns[side].by_state for doc in docs):
            by_state[state], more = plan(state)
            ends = [*ends, *more]
    stands_apart = any(doc.convert == "money" and "won" in doc.columns[side].by_state for doc in docs)
    columns: dict[str, Any] = {}
    for end in ends:
        columns.update(end.wires)
    columns.update(axis_wires(document, side, description))
    return SideTable(
        name=document.names[side],
        system=system,
        table=document.tables[side],
        columns=columns,
        plan=base,
        by_state=by_state,
        estimate=plan("won", estimate=True)[0] if stands_apart else None,
        currency=currency_writer(system, wire, document.names[side], side) if wire is not None else None,
        record_types=record_types(document, side, description),
        status_column=status_column,
    )


def _plan(ends: Iterable[End], also: Iterable[str]) -> SidePlan:
    made = list(ends)
    return SidePlan(ends={end.name: end for end in made}, read=weave_reader(made), create=weave_creator(made, also))


# --- rules --------------------------------------------------------------------------------------------------------


def _rule(document: Document, doc: FieldDoc, described: Mapping[Side, DescriptionLike]) -> FieldRule:
    metas: dict[Side, ColumnLike | None] = {
        side: described[side].columns.get(choice.column) if side in described else None
        for side, choice in doc.columns.items()
    }
    return FieldRule(
        name=doc.name,
        rule=doc.rule,
        sides=frozenset() if doc.is_derived else frozenset(doc.columns),
        derived=derive(document, doc) if doc.is_derived else {},
        link=doc.link,
        kind=doc.convert,
        restrictive=doc.restrictive,
        owner=doc.convert == "user"
        and (doc.name == "owner" or any(OWNERS & set(choice.all()) for choice in doc.columns.values())),
        inactive=doc.out_of_use,
        late=late_sides(document, doc),
        same=_same(document, doc, metas),
    )


def _same(document: Document, doc: FieldDoc, metas: Mapping[Side, ColumnLike | None]) -> Same:
    """Equality of a field's values up to what is declared lost."""
    left, right = metas.get("left"), metas.get("right")
    if doc.convert == "money":
        return _money_same(coarser(left, right))
    if doc.convert == "choice":
        return _choice_same(document, doc, metas)
    if doc.convert in CONVERTERS:
        return CONVERTERS[doc.convert].same(left, right)
    return lambda a, b: a == b


def _money_same(scale: int | None) -> Same:
    def same(a: Value, b: Value) -> bool:
        if isinstance(a, Money) and isinstance(b, Money):
            return a.currency == b.currency and _near(a.amount, b.amount, scale)
        return a == b

    return same


def _near(a: Decimal, b: Decimal, scale: int | None) -> bool:
    return a == b or rounded(a, scale) == rounded(b, scale)


def _choice_same(document: Document, doc: FieldDoc, metas: Mapping[Side, ColumnLike | None]) -> Same:
    """Two rows are the same where a side that is declared lossy writes both as one value."""
    table = document.values[doc.values or ""]
    alike: set[tuple[str, str]] = set()
    for side in SIDES:
        meta = metas.get(side)
        words = vocabulary(choice_words(table, side), meta.options if meta else ())
        lossy = {row.name for row in table.rows if side in row.lossy}
        written: dict[Any, list[str]] = {}
        for row in table.rows:
            written.setdefault(words.write(row.name), []).append(row.name)
        written.pop(None, None)
        for names in written.values():
            alike |= {(a, b) for a in names for b in names if a in lossy or b in lossy}

    def same(a: Value, b: Value) -> bool:
        return a == b or (isinstance(a, str) and isinstance(b, str) and (a, b) in alike)

    return same

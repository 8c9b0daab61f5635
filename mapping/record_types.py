"""The record type that a new record gets: chosen by an expression over the shared record, named by developer name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from crmbridge.model import Shared, Side
from mapping.axis import RecordTypeDoc
from mapping.cel import EvaluationError, predicate
from mapping.described import DescriptionLike
from mapping.document import Document
from mapping.vocabulary import fold

# The column, by the system that has record types; a system without an entry here calls it so.
COLUMNS: Final[Mapping[str, str]] = {"salesforce": "RecordTypeId"}
OTHER_COLUMN: Final = "record_type"
Fits = Callable[[Shared], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordTypes:
    """One side's rule, by native ids where the CRM told them."""

    column: str
    choices: tuple[tuple[Fits, str], ...] = ()
    otherwise: str | None = None

    def native(self, shared: Shared) -> str | None:
        """Raises EvaluationError where an expression fails on this record."""
        return next((id for fits, id in self.choices if fits(shared)), self.otherwise)


def column_of(system: str) -> str:
    return COLUMNS.get(system, OTHER_COLUMN)


def record_types(document: Document, side: Side, description: DescriptionLike | None) -> RecordTypes | None:
    rule: RecordTypeDoc | None = document.beside.record_type.get(side)
    if rule is None:
        return None
    ids = {fold(one.name): one.id for one in description.record_types} if description else {}

    def native(name: str) -> str:
        return ids.get(fold(name), name)

    return RecordTypes(
        column=column_of(document.systems[side]),
        choices=tuple((fits(document, text), native(name)) for text, name in rule.choices),
        otherwise=native(rule.otherwise) if rule.otherwise else None,
    )


def names_in_expressions(document: Document) -> dict[str, str]:
    """What an expression over a shared record of this kind may name, with the kinds of the values."""
    axes = {"state": "text", "status": "text"} if document.status else {}
    return {**{doc.name: doc.convert for doc in document.fields.values()}, **axes}


def fits(document: Document, text: str | None) -> Fits:
    """Raises ExpressionError for what cannot be used."""
    if text is None:
        return lambda shared: True
    holds = predicate(text, names_in_expressions(document))

    def check(shared: Shared) -> bool:
        record: Mapping[str, Any] = {**shared.fields, "state": shared.state, "status": shared.status}
        return holds(record)

    return check


__all__ = ["EvaluationError", "Fits", "RecordTypes", "column_of", "fits", "names_in_expressions", "record_types"]

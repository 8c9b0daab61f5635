"""Record types, by developer name: a field that shows a record's, and the rule for the one that a new record gets,
which is chosen by an expression over the shared record.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from crmbridge.model import Problem, Shared, Side, Value, attribute_name
from mapping.axis import RecordTypeDoc
from mapping.cel import EvaluationError, predicate
from mapping.derived import names_for_expressions
from mapping.described import DescriptionLike
from mapping.document import Document
from mapping.end import Facts, Made, Setting, attribute
from mapping.filters import expression_values
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

    def columns(self, source: Shared, values: Any) -> dict[str, Any] | Problem:
        """The column with the record type for a record of this source; nothing where it has it already."""
        try:
            wanted = next((id for fits, id in self.choices if fits(source)), self.otherwise)
        except EvaluationError as error:
            return Problem(
                cause="record_type",
                field="record_type",
                message=f"Which record type it gets cannot be told: an expression of its rule {error}.",
                fix="Say in the rule what a blank means, or correct the record.",
            )
        now = getattr(values, attribute_name(self.column), None)
        return {} if wanted is None or now == wanted else {self.column: wanted}


def column_of(system: str) -> str:
    return COLUMNS.get(system, OTHER_COLUMN)


def make_record_type(setting: Setting) -> Made:
    """A field of `convert: record_type`: read as the developer name, which expressions may ask, and never written."""
    raw = attribute(setting.column)
    names = {one.id: one.name for one in setting.description.record_types} if setting.description else {}

    def read(values: Any, facts: Facts) -> Value:
        native = raw(values)
        return names.get(native, native)

    def write(value: Value, facts: Facts, current: Any) -> dict[str, Any]:
        return {}

    return {setting.column: str}, None, read, write


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


def fits(document: Document, text: str | None) -> Fits:
    """Raises ExpressionError for what cannot be used; what it returns raises EvaluationError."""
    if text is None:
        return lambda shared: True
    holds = predicate(text, names_for_expressions(document, axes=True))
    return lambda shared: holds(expression_values(shared))

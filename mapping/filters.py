"""Which records take part: an expression over the shared record, `filter:` of a mapping.

A record that does not fit is neither matched nor created across; a pair that exists goes on. Where the expression
cannot be worked out the record is held, since nobody has said what shall become of it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from crmbridge.model import Problem, Shared
from mapping.cel import EvaluationError, compile_expression, predicate
from mapping.derived import names_for_expressions
from mapping.document import Document

Fits = Callable[[Shared], bool | Problem]


def expression_values(shared: Shared) -> Mapping[str, Any]:
    """What an expression over a record sees."""
    return {**shared.fields, "state": shared.state, "status": shared.status, "on_hold": shared.on_hold}


def filter_of(document: Document) -> Fits | None:
    if document.filter is None:
        return None
    names = names_for_expressions(document, axes=True)
    holds, used = predicate(document.filter, names), compile_expression(document.filter, names).fields
    place = document.source.place(("filter",))

    def problem(words: str) -> Problem:
        return Problem(
            cause="filter_error",
            field="filter",
            message=f"Whether this record takes part cannot be told: the filter {words}.",
            fix=f"Say in the filter ({place}) what a blank means, e.g. `amount != null && amount > 1000`, "
            "or correct the value.",
        )

    def fits(shared: Shared) -> bool | Problem:
        unread = next((p.field for p in shared.problems if p.field in used and p.field not in shared.fields), None)
        if unread is not None:
            return problem(f"needs {unread}, which could not be read")
        try:
            return holds(expression_values(shared))
        except EvaluationError as error:
            return problem(f"fails: {error}")

    return fits

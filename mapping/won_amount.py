"""`lifecycle.close.won_amount: estimate`: the amount that was expected goes on to count once a deal is won (O6)."""

from dataclasses import replace

from crmbridge.model import State
from mapping.document import Documents, FieldDoc

_WON: State = "won"


def with_estimates(documents: Documents) -> Documents:
    """Without the columns that would count once it is won, for amounts of money."""
    return replace(
        documents,
        items=tuple(
            replace(one, fields={name: _estimated(field) for name, field in one.fields.items()})
            for one in documents.items
        ),
    )


def _estimated(field: FieldDoc) -> FieldDoc:
    if field.convert != "money":
        return field
    columns = {
        side: replace(choice, by_state={state: column for state, column in choice.by_state.items() if state != _WON})
        for side, choice in field.columns.items()
    }
    return replace(field, columns=columns)

"""The form of what a shape is filled in from, looked at before anything is filled in; the rest is checked with types.

A key that is not named here is left to that check (`schema.py`).
"""

from collections.abc import Collection, Mapping
from typing import Any

from crmbridge.sandbox.forms import (
    Form,
    Place,
    anything,
    by_kind,
    facts,
    flag,
    list_of,
    mapping_of,
    none_or,
    one_of,
    plain_text,
    text,
)
from crmbridge.sandbox.overlay import ABSENT


def check_form(document: Mapping[str, Any], system_fields: Collection[str]) -> None:
    """Raises a FormError."""
    value = by_kind(mapping=facts({"value": plain_text}, needed=("value",), others=True), other=plain_text)
    field = facts(
        {"type": text, "picklistValues": list_of(value), "referenceTo": list_of(text), "readOnly": flag}, others=True
    )
    fields = by_kind(
        mapping=mapping_of(_or_absent(by_kind(mapping=field, sequence=anything, other=anything))),
        sequence=list_of(facts({"name": text}, needed=("name",), others=True)),
        other=none_or(_nothing),
    )
    entry = facts(
        {"fields": fields, "standardFields": none_or(list_of(one_of(*system_fields))), "readOnly": flag}, others=True
    )
    labelled = none_or(list_of(facts({"label": plain_text}, needed=("label",), others=True)))
    pairs = mapping_of(by_kind(mapping=mapping_of(text), sequence=anything, other=anything))
    whole = facts(
        {
            "objects": by_kind(
                mapping=mapping_of(_or_absent(by_kind(mapping=entry, sequence=anything, other=anything))),
                sequence=anything,  # what must be a mapping is told so below
                other=anything,
            ),
            "lead_statuses": labelled,
            "opportunity_stages": labelled,
            "task_statuses": labelled,
            "org": none_or(facts({"currencies": none_or(mapping_of(anything)), "currency": text}, others=True)),
            "conversion": none_or(facts({"mapping": none_or(by_kind(mapping=pairs, other=anything))}, others=True)),
            "rules": none_or(facts({"required": none_or(mapping_of(list_of(text)))}, others=True)),
        },
        others=True,
    )
    whole(document, ())


def _or_absent(form: Form) -> Form:
    def check(value: Any, place: Place) -> None:
        if value != ABSENT:
            form(value, place)

    return check


_nothing: Form = facts({})

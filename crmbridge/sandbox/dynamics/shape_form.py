"""The form of a shape's document: which keys there are, and what stands under them.

What the parts mean to each other is checked where the shape is made of them (`shape_file.py`).
"""

from collections.abc import Mapping
from typing import Any, Final, get_args

from crmbridge.sandbox.dynamics.columns import Kind, OnDelete
from crmbridge.sandbox.dynamics.shape import DEPTHS, VERBS, ShapeError
from crmbridge.sandbox.forms import (
    Form,
    FormError,
    Place,
    anything,
    by_kind,
    count,
    facts,
    flag,
    list_of,
    mapping_of,
    none_or,
    number,
    one_of,
    plain_text,
    text,
    whole,
)
from crmbridge.sandbox.overlay import ABSENT

_NAMES: Final = list_of(text, least=1)
_PROTECTION: Final = {
    "requests": count, "window_seconds": count, "execution_seconds": count, "concurrent": count, "dop_hint": count,
    "request_milliseconds": number, "operation_milliseconds": number,
}  # fmt: skip
_ORGANIZATION: Final = {
    "name": plain_text, "unique_name": plain_text, "version": plain_text, "base_currency": text, "language": count,
    "fullnameconvention": count, "pricingdecimalprecision": count, "expirechangetrackingindays": count,
    "request_limit_seconds": count, "owner_of_qualified_rows": one_of("caller", "lead"),
    "client_secret_expires": plain_text,
    "service_protection": facts(_PROTECTION, needed=tuple(_PROTECTION)[:5]),
}  # fmt: skip
_OPTION: Final = {"label": plain_text, "state": whole, "default": whole}
_OPTIONS: Final = by_kind(
    mapping=mapping_of(by_kind(mapping=facts(_OPTION, needed=("label",)), other=plain_text), key=whole),
    sequence=list_of(facts({"value": whole, **_OPTION}, needed=("value", "label"))),
)
_TABLE: Final = facts(
    {
        "set": text, "key": text, "name": text, "schema": text, "label": plain_text, "labels": plain_text,
        "code": count, "ownership": text, "change_tracking": flag, "optimistic_concurrency": flag, "process": flag,
        "elastic": flag, "groups": list_of(text),
    },
    needed=("set", "key", "name"),
)  # fmt: skip
_COLUMN: Final = {
    "type": one_of(*get_args(Kind)), "schema": text, "required": plain_text, "create": flag, "update": flag,
    "read_only": flag, "max": none_or(number), "min": none_or(number), "precision": none_or(count),
    "format": none_or(text), "behavior": one_of("UserLocal", "DateOnly", "TimeZoneIndependent"), "options": _OPTIONS,
    "option_set": none_or(text), "options_of": none_or(text), "default": anything, "activity": flag,
    "targets": by_kind(mapping=mapping_of(text), sequence=_NAMES),
    "many": by_kind(mapping=list_of(text), sequence=list_of(text), other=text),
    "on_delete": one_of(*get_args(OnDelete)), "computed": none_or(one_of("full_name", "address", "customer", "base")),
    "secured": flag,
}  # fmt: skip
_STAGE: Final = facts(
    {"id": text, "name": plain_text, "category": none_or(whole), "table": text},
    needed=("id", "name", "category", "table"),
)
_PROCESS: Final = facts(
    {"id": text, "name": plain_text, "order": whole, "writes_salesstage": flag, "stages": list_of(_STAGE, least=1)},
    needed=("id", "name", "order", "stages"),
)
_DEPTH: Final = one_of(*DEPTHS)


def _column(value: Any, place: Place) -> None:
    facts(_COLUMN, needed=("type",))(value, place)
    if value["type"] in ("String", "Memo") and value.get("max") is not None:
        count(value["max"], (*place, "max"))
    if value["type"] in ("Lookup", "Owner", "Customer") and "targets" not in value:
        raise FormError("targets is missing", place)


def _or_absent(form: Form) -> Form:
    """`absent` says that the environment has no such thing."""

    def check(value: Any, place: Place) -> None:
        if value != ABSENT:
            form(value, place)

    return check


_COLUMNS: Final = mapping_of(_or_absent(_column))
_DOCUMENT: Final = facts(
    {
        "shape": anything,
        "organization": facts(
            _ORGANIZATION, needed=[name for name in _ORGANIZATION if name != "client_secret_expires"]
        ),
        "option_sets": mapping_of(_OPTIONS),
        "column_groups": mapping_of(_COLUMNS),
        "tables": mapping_of(_or_absent(_TABLE)),
        "columns": mapping_of(_COLUMNS),
        "associations": mapping_of(
            _or_absent(
                facts(
                    {"between": list_of(text, least=2, most=2), "table": text, "set": text, "key": text, "code": count},
                    needed=("between", "table"),
                )
            )
        ),
        "roles": mapping_of(
            facts(
                {
                    "tables": mapping_of(by_kind(mapping=mapping_of(_DEPTH, key=one_of(*VERBS)), other=_DEPTH)),
                    "privileges": list_of(text),
                    "columns": mapping_of(list_of(one_of("read", "create", "update"))),
                }
            )
        ),
        "default_roles": facts({"application": list_of(text), "people": list_of(text)}),
        "keys": mapping_of(
            mapping_of(
                by_kind(mapping=facts({"columns": _NAMES, "status": text}, needed=("columns",)), sequence=_NAMES)
            )
        ),
        "processes": mapping_of(_or_absent(_PROCESS)),
        "attribute_maps": mapping_of(facts({"pairs": mapping_of(text), "same": list_of(text)})),
        "rules": list_of(
            facts(
                {"table": text, "when": text, "message": plain_text, "code": text, "on": list_of(text)},
                needed=("table", "when", "message"),
            )
        ),
        "duplicate_rules": list_of(
            facts(
                {"table": text, "match": _NAMES, "against": text, "against_columns": _NAMES, "exclude_inactive": flag},
                needed=("table", "match"),
            )
        ),
        "records": mapping_of(list_of(mapping_of(anything))),
    },
    needed=("organization", "tables"),
)


def check_form(document: Mapping[str, Any]) -> None:
    try:
        _DOCUMENT(document, ())
    except FormError as problem:
        raise ShapeError(str(problem).removeprefix(f"{'.'.join(map(str, problem.place))}: "), problem.place) from None

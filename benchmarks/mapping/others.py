"""The same leads by libraries that many would take: pydantic, jmespath, glom. All three share what is not theirs: how a
single value is cleaned, and how a shared record is put together from clean values.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final

import glom
import jmespath
import orjson
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, create_model

from benchmarks.mapping import byhand
from benchmarks.mapping.leads import CHOICES, SIDES_OF_FIELDS, STATUSES
from crmbridge.model import Money, Shared


class Strange:
    """A choice that is in no row."""

    def __init__(self, native: str) -> None:
        self.native = native


def _text(value: str | None) -> str | None:
    return (value.strip().replace("\r\n", "\n") or None) if value is not None else None


def _choice(table: str) -> Callable[[str | None], Any]:
    def clean(value: str | None) -> Any:
        try:
            return byhand.row_of(table, value)
        except byhand.UnknownChoice:
            return Strange(str(value))

    return clean


def _money(value: float | None) -> Money | None:
    return Money(Decimal(str(value)), "EUR") if value is not None else None


def _day(value: str | None) -> date | None:
    return date.fromisoformat(value) if value is not None else None


def _instant(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value).astimezone(UTC).replace(microsecond=0) if value is not None else None


def _whole_utc(value: datetime) -> datetime:
    return value.astimezone(UTC).replace(microsecond=0)


def _lines(value: str) -> str | None:
    return value.replace("\r\n", "\n") or None


def _boolean(value: bool | None) -> bool:
    return bool(value)


_KINDS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "money": _money,
    "date": _day,
    "datetime": _instant,
    "boolean": _boolean,
}
CLEAN: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    name: (column, _choice(name) if name in CHOICES else _KINDS.get(rest.removeprefix("convert: "), _text))
    for name, (column, _, rest) in SIDES_OF_FIELDS.items()
}
_BESIDE: Final = {"status_": "Status", "created_": "CreatedDate"}
_STATES: Final[dict[str, tuple[Any, str]]] = {native: (state, row) for row, (state, native, _) in STATUSES.items()}


def _shared(fields: dict[str, Any]) -> Shared:
    state, status = _STATES[fields.pop("status_")]
    created = fields.pop("created_")
    strange = [name for name in CHOICES if isinstance(fields[name], Strange)]
    problems = tuple(byhand.problem(name, fields.pop(name).native) for name in strange)
    return Shared(fields=fields, state=state, status=status, problems=problems, created_at=created)


# --- pydantic -----------------------------------------------------------------------------------------------------

# What pydantic's own core can do it does: blanks, dates, instants, decimals without a float.

_amount: Any = Annotated[Decimal, AfterValidator(lambda amount: Money(amount, "EUR"))]
_moment: Any = Annotated[datetime, AfterValidator(_whole_utc)]
_words: Any = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_lines)]
_PYDANTIC: Final[Mapping[str, Any]] = {
    "money": _amount | None,
    "date": date | None,
    "datetime": _moment | None,
    "boolean": Annotated[bool, BeforeValidator(_boolean)],
}


def _annotation(name: str, rest: str) -> Any:
    if name in CHOICES:
        return Annotated[Any, AfterValidator(_choice(name))]
    return _PYDANTIC.get(rest.removeprefix("convert: "), _words | None)


_columns: dict[str, Any] = {
    name: (_annotation(name, rest), Field(validation_alias=column))
    for name, (column, _, rest) in SIDES_OF_FIELDS.items()
}
_beside: dict[str, Any] = {
    "status_": (str, Field(validation_alias="Status")),
    "created_": (datetime, Field(validation_alias="CreatedDate")),
}
_Lead: Any = create_model("_Lead", **_columns, **_beside)


_Page: Any = create_model("_Page", records=list[_Lead])


def by_pydantic(body: bytes) -> list[Shared]:
    return [_shared(dict(lead)) for lead in _Page.model_validate_json(body).records]


# --- jmespath -----------------------------------------------------------------------------------------------------

_names = {**{name: column for name, (column, _) in CLEAN.items()}, **_BESIDE}
_EXPRESSION: Final = jmespath.compile(
    "records[].{" + ", ".join(f"{name}: {column}" for name, column in _names.items()) + "}"
)


def by_jmespath(body: bytes) -> list[Shared]:
    return [_cleaned(found) for found in _EXPRESSION.search(orjson.loads(body))]


def _cleaned(found: dict[str, Any]) -> Shared:
    for name, (_, clean) in CLEAN.items():
        found[name] = clean(found[name])
    found["created_"] = datetime.fromisoformat(found["created_"])
    return _shared(found)


# --- glom ---------------------------------------------------------------------------------------------------------

_SPEC: Final[Any] = (
    "records",
    [
        {
            **{name: (column, clean) for name, (column, clean) in CLEAN.items()},
            "status_": "Status",
            "created_": ("CreatedDate", datetime.fromisoformat),
        }
    ],
)


def by_glom(body: bytes) -> list[Shared]:
    return [_shared(found) for found in glom.glom(orjson.loads(body), _SPEC)]

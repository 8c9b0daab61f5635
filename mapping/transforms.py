"""Plain two-way conversions: what a value means (get) and how a CRM wants it written (put), each with what it loses.

A get never sees None: an empty column is None for every kind (a boolean: false). What cannot be converted raises
`Refusal`, which the translation turns into one field's problem; the record's other fields go on.
"""

import re
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Any, Final

import phonenumbers

from crmbridge.errors import ConfigError
from crmbridge.model import Problem, Value
from mapping.countries import country_code, country_name
from mapping.described import ColumnLike
from mapping.joints import JOINTS, Joint
from mapping.plugins import WithPlugins

Get = Callable[[Any], Value]
Put = Callable[[Any], Any]
Same = Callable[[Value, Value], bool]


class Refusal(Exception):
    """One value that cannot be translated. Carries no value: messages may be logged."""

    def __init__(self, cause: str, message: str, fix: str) -> None:
        super().__init__(message)
        self.cause = cause
        self.message = message
        self.fix = fix

    def problem(self, field: str) -> Problem:
        return Problem(cause=self.cause, field=field, message=f"{field}: {self.message}", fix=self.fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Converter:
    """A kind of value. `loss` names, in words, what the second column cannot tell of the first, or nothing."""

    name: str
    fits: frozenset[str]  # column types it can stand on
    wire: type[Any]  # what a page is decoded to
    get: Callable[[ColumnLike | None, str | None], Get]
    put: Callable[[ColumnLike | None, str | None], Put]
    same: Callable[[ColumnLike | None, ColumnLike | None], Same] = lambda left, right: _equal
    loss: Callable[[ColumnLike, ColumnLike], str] = lambda source, target: ""
    blank: Value = None


def _equal(a: Value, b: Value) -> bool:
    return a == b


# --- text ---------------------------------------------------------------------------------------------------------


_LINE_END: Final = re.compile("\r+\n")  # several returns too: what one pass leaves must be all that the next one sees


def line_ends(text: str) -> str:
    """They differ by who typed it."""
    return _LINE_END.sub("\n", text)


def _get_text(raw: str) -> str | None:
    text = raw.strip()  # as Salesforce trims blanks (salesforce-api §10)
    return (line_ends(text) if "\r" in text else text) or None


def _put_text(column: ColumnLike | None, zone: str | None = None) -> Put:
    length = column.length if column else None

    def put(value: str) -> str:
        text = str(value)
        if length is not None and len(text) > length:
            raise Refusal(
                "too_long",
                f"{len(text)} characters, and the target column takes {length}",
                "shorten the value, or have the column lengthened; nothing is cut",
            )
        return text

    return put


def _folded_same(a: Value, b: Value) -> bool:
    return a == b or (isinstance(a, str) and isinstance(b, str) and a.casefold() == b.casefold())


_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def is_email(text: str) -> bool:
    return _EMAIL.fullmatch(text) is not None


def _put_email(column: ColumnLike | None, zone: str | None = None) -> Put:
    checked = _put_text(column)

    def put(value: str) -> str:
        if not is_email(value):
            # Salesforce refuses the whole record for it (INVALID_EMAIL_ADDRESS), Dynamics takes any text
            raise Refusal("invalid_email", "is not an e-mail address", "correct the address where it was typed")
        return checked(value)

    return put


@lru_cache(maxsize=65536)
def same_phone(a: str, b: str) -> bool:
    """Whether two spellings are one number. A spelling without country code is read in the other one's country."""
    match = phonenumbers.is_number_match(a, b)
    return match in (phonenumbers.MatchType.EXACT_MATCH, phonenumbers.MatchType.NSN_MATCH)


def _phone_same(a: Value, b: Value) -> bool:
    return a == b or (isinstance(a, str) and isinstance(b, str) and same_phone(a, b))


def _url_key(text: str) -> str:
    bare = re.sub(r"^https?://", "", text.strip().casefold()).removesuffix("/")
    return bare.removeprefix("www.")


def _url_same(a: Value, b: Value) -> bool:
    return a == b or (isinstance(a, str) and isinstance(b, str) and _url_key(a) == _url_key(b))


def _get_country(raw: str) -> str | None:
    text = _get_text(raw)
    return (country_code(text) or text) if text else None


def _put_country(column: ColumnLike | None, zone: str | None = None) -> Put:
    checked = _put_text(column)
    by_code: dict[str, str] = {}
    if column is not None:  # a country picklist has its own spelling
        for option in column.options:
            code = country_code(option.label) or country_code(str(option.value))
            if code:
                by_code.setdefault(code, str(option.value))

    def put(value: str) -> str:
        known = by_code.get(value)
        if known is None and column is not None and column.restricted and column.options:
            # The CRM would refuse the whole record for it; so only this field stays behind.
            raise Refusal(
                "unmapped_value",
                "is no country of the target column's list",
                "correct the spelling where it was typed, or add the country to that list",
            )
        return checked(known or country_name(value) or value)

    return put


# --- numbers ------------------------------------------------------------------------------------------------------


def rounded(amount: Decimal, scale: int | None) -> Decimal:
    if scale is None:
        return amount
    return amount.quantize(Decimal(1).scaleb(-scale), rounding=ROUND_HALF_UP)


def coarser(left: ColumnLike | None, right: ColumnLike | None) -> int | None:
    scales = [c.scale for c in (left, right) if c is not None and c.scale is not None]
    return min(scales) if scales else None


def scale_loss(source: ColumnLike, target: ColumnLike) -> str:
    if target.scale is None or (source.scale is not None and source.scale <= target.scale):
        return ""
    had = "any number of" if source.scale is None else str(source.scale)
    return f"keeps {target.scale} decimals of {had}" if source.scale is not None else ""


def _get_number(raw: Any) -> Decimal:
    return raw if isinstance(raw, Decimal) else Decimal(str(raw))


def _put_number(column: ColumnLike | None, zone: str | None = None) -> Put:
    scale = column.scale if column else None
    return lambda value: rounded(_get_number(value), scale)


def _number_same(left: ColumnLike | None, right: ColumnLike | None) -> Same:
    scale = coarser(left, right)

    def same(a: Value, b: Value) -> bool:
        if a is None or b is None:
            return a is b
        return rounded(_get_number(a), scale) == rounded(_get_number(b), scale)

    return same


def _get_integer(raw: Any) -> int:
    whole = int(raw)
    if whole != raw:
        raise Refusal("not_whole", "is not a whole number", "use `convert: number` for this field")
    return whole


# --- dates --------------------------------------------------------------------------------------------------------


def _get_date(column: ColumnLike | None, zone: str | None) -> Get:
    if zone is None:
        return _get_day
    named = zoneinfo.ZoneInfo(zone)
    return lambda raw: raw.astimezone(named).date() if isinstance(raw, datetime) else raw


def _get_day(raw: date | datetime) -> date:
    return raw.astimezone(UTC).date() if isinstance(raw, datetime) else raw


def _put_date(column: ColumnLike | None, zone: str | None) -> Put:
    if column is None or column.type != "datetime":
        return lambda value: value
    named = zoneinfo.ZoneInfo(zone) if zone else UTC
    # A date shown from an instant is midnight in the writer's zone (dataverse-api §11)
    return lambda value: datetime.combine(value, time(), tzinfo=named).astimezone(UTC)


def _date_loss(source: ColumnLike, target: ColumnLike) -> str:
    return "keeps the day, not the time" if source.type == "datetime" and target.type == "date" else ""


def _get_datetime(raw: datetime) -> datetime:
    # Dynamics keeps whole seconds, Salesforce shows .000 (dataverse-api §11, salesforce-api §10)
    instant = raw if raw.tzinfo else raw.replace(tzinfo=UTC)
    return instant.astimezone(UTC).replace(microsecond=0)


def _get_boolean(raw: bool) -> bool:
    return bool(raw)


def _is_boolean(value: Any) -> bool:
    return bool(value)


# --- the table of kinds -------------------------------------------------------------------------------------------


def _plain(get: Get) -> Callable[[ColumnLike | None, str | None], Get]:
    return lambda column, zone: get


def _both(put: Put) -> Callable[[ColumnLike | None, str | None], Put]:
    return lambda column, zone: put


_TEXT: Final = frozenset({"text", "choice", "id"})


def joined(name: str, how: Joint) -> Converter:
    """A text in one column that stands in several on the other side."""

    def get(raw: str) -> str | None:
        text = _get_text(raw)
        return (how.normal(text) or None) if text else None

    return Converter(name=name, fits=_TEXT, wire=str, get=_plain(get), put=_put_text)


_BUILT_IN: Final[Mapping[str, Converter]] = {
    c.name: c
    for c in (
        *(joined(name, how) for name, how in JOINTS.items()),
        Converter(name="text", fits=_TEXT, wire=str, get=_plain(_get_text), put=_put_text),
        Converter(
            name="email",
            fits=_TEXT,
            wire=str,
            get=_plain(_get_text),
            put=_put_email,
            same=lambda left, right: _folded_same,
        ),
        Converter(
            name="phone",
            fits=_TEXT,
            wire=str,
            get=_plain(_get_text),
            put=_put_text,
            same=lambda left, right: _phone_same,
        ),
        Converter(
            name="url", fits=_TEXT, wire=str, get=_plain(_get_text), put=_put_text, same=lambda left, right: _url_same
        ),
        Converter(name="country", fits=_TEXT, wire=str, get=_plain(_get_country), put=_put_country),
        Converter(
            name="number",
            fits=frozenset({"number", "integer", "money"}),
            wire=Decimal,
            get=_plain(_get_number),
            put=_put_number,
            same=_number_same,
            loss=scale_loss,
        ),
        Converter(
            name="integer",
            fits=frozenset({"integer", "number"}),
            wire=Decimal,  # a whole number may come as 12.0 from a column that could hold decimals
            get=_plain(_get_integer),
            put=_both(int),
        ),
        Converter(
            name="date",
            fits=frozenset({"date", "datetime"}),
            wire=date,
            get=_get_date,
            put=_put_date,
            loss=_date_loss,
        ),
        Converter(
            name="datetime",
            fits=frozenset({"datetime"}),
            wire=datetime,
            get=_plain(_get_datetime),
            put=_both(_get_datetime),
        ),
        Converter(
            name="boolean",
            fits=frozenset({"boolean"}),
            wire=bool,
            get=_plain(_get_boolean),
            put=_both(_is_boolean),
            blank=False,  # a Salesforce checkbox is never empty
        ),
    )
}

# With those of installed packages (entry points `crmbridge.converters`).
CONVERTERS: Final[WithPlugins[Converter]] = WithPlugins(_BUILT_IN, Converter)


def loads(kind: str) -> bool:
    """Not so for a converter of a package that is broken."""
    try:
        CONVERTERS.get(kind)
    except ConfigError:
        return False
    return True


def wire_type(converter: Converter, column: ColumnLike | None) -> type[Any]:
    """What a page's value is decoded to, before the get."""
    if converter.wire is date and column is not None and column.type == "datetime":
        return datetime
    return converter.wire

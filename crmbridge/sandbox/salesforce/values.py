"""Field values: what a client may send, how it is kept, and what a client gets (salesforce-api §9.2, §10).

Kept are texts, booleans, ints and Decimals; dates and instants are kept as the texts that Salesforce shows, which sort
by time. An empty value is no key at all.
"""

import base64
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Final

from crmbridge.sandbox.salesforce.errors import SfError, refuse
from crmbridge.sandbox.salesforce.ids import canonical
from crmbridge.sandbox.salesforce.schema import NUMBER, TEXT, Field

_DATETIME: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)?(Z|z|[+-]\d\d:?\d\d)?", re.ASCII
)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d)(?:\.(\d{1,3})\d*)?)?[Zz]?", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
# Deliberately plain: one @, no blanks, a dot in the domain, none of the characters that Salesforce refuses.
_EMAIL: Final = re.compile(r"[^\s@<>()\[\],;:\\\"]+@[^\s@<>()\[\],;:\\\"]+\.[^\s@<>()\[\],;:\\\".]+")


def stamp(moment: datetime) -> str:
    """An instant as REST answers show it: UTC, milliseconds that are always zero (salesforce-api §8.1, §10)."""
    return _stamp(moment.replace(microsecond=0))


@lru_cache(maxsize=1024)
def _stamp(second: datetime) -> str:
    """One text for all rows that are written in the same second: where a page has many of them, it is fetched once."""
    return second.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def instant(text: str) -> datetime:
    """The instant of a stamp."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.000%z")


def read_instant(text: str) -> str | None:
    """A datetime in any form that Salesforce takes (§10), as a stamp; None where it is no datetime."""
    found = _DATETIME.fullmatch(text)
    if found is None:
        return None
    *parts, zone = found.groups()
    offset = "+0000" if zone in (None, "Z", "z") else zone.replace(":", "")
    try:
        moment = datetime.strptime("".join(part or "00" for part in parts) + offset, "%Y%m%d%H%M%S%z")
        return stamp(moment)
    except (ValueError, OverflowError):
        return None


def read_date(text: str) -> str | None:
    """A date, or the one that a datetime begins with (§10); None where it is neither."""
    if not _DATE.fullmatch(text) and read_instant(text) is None:
        return None
    try:
        return date.fromisoformat(text[:10]).isoformat()
    except ValueError:
        return None


def read_time(text: str) -> str | None:
    """A time of day as Salesforce shows it (§10)."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    hour, minute, second, fraction = found.groups()
    return f"{hour}:{minute}:{second or '00'}.{(fraction or '').ljust(3, '0')}Z"


def _base64(text: str) -> str | None:
    try:
        return base64.b64encode(base64.b64decode(text, validate=True)).decode()
    except ValueError:
        return None


def number(value: Decimal) -> Decimal:
    """A Decimal that JSON shows as Salesforce does: 50000.0, 12.5, never 5E+4."""
    plain = value.normalize()
    return plain.quantize(Decimal("0.1")) if plain.as_tuple().exponent >= 0 else plain  # pyright: ignore[reportOperatorIssue]


def plain(value: Any) -> Any:
    """For dumps: the value as a JSON library without Decimals can write it."""
    return float(value) if isinstance(value, Decimal) else value


def unreadable(kind: str, value: Any) -> SfError:
    """§9.2; the place in the text is filled in by whoever has the request's body."""
    name = {bool: "VALUE_TRUE", int: "VALUE_NUMBER_INT", Decimal: "VALUE_NUMBER_FLOAT", str: "VALUE_STRING"}.get(
        type(value)
    )
    name = name or {dict: "START_OBJECT", list: "START_ARRAY"}.get(type(value), "VALUE_NULL")
    shown = {"VALUE_TRUE": str(value).lower(), "START_OBJECT": "{", "START_ARRAY": "[", "VALUE_NULL": "null"}.get(
        name, str(value)
    )
    return refuse(
        "JSON_PARSER_ERROR",
        f"Cannot deserialize instance of {kind} from {name} value {shown} or request may be missing a required field",
    )


def _text(field: Field, value: Any) -> str | None:
    if isinstance(value, (dict, list)):
        raise unreadable(field.type, value)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    # §10: trailing blanks are trimmed, leading ones too (unverified); an empty text is stored as null.
    text = text.strip()
    if not text:
        return None
    if _CONTROL.search(text):  # §10; code and wording (unverified)
        raise refuse("FIELD_INTEGRITY_EXCEPTION", f"{field.label}: control characters are not allowed", [field.name])
    if field.length and len(text) > field.length:
        message = f"{field.label}: data value too large: {text} (max length={field.length})"
        raise refuse("STRING_TOO_LONG", message, [field.name])
    if field.type == "email" and not _EMAIL.fullmatch(text):
        raise refuse("INVALID_EMAIL_ADDRESS", f"{field.label}: invalid email address: {text}", [field.name])
    if field.type == "email":  # kept in lower case, as those who work with real orgs tell (the sheet does not)
        text = text.lower()
    if field.restricted_picklist and field.picklist_values:
        offered = {item.value for item in field.picklist_values}
        wrong = [part for part in (text.split(";") if field.type == "multipicklist" else [text]) if part not in offered]
        if wrong:
            message = f"{field.label}: bad value for restricted picklist field: {wrong[0]}"
            raise refuse("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, [field.name])
    return text


def _number(field: Field, value: Any) -> Decimal | int:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal, float, str)):
        raise unreadable(field.type, value)
    text = value.strip() if isinstance(value, str) else ""
    if not text.isascii() or "_" in text:  # Decimal would take them
        raise unreadable(field.type, value)
    try:
        exact = Decimal(value) if isinstance(value, int) else Decimal(text or str(value))
    except InvalidOperation:
        raise unreadable(field.type, value) from None
    if not exact.is_finite():
        raise unreadable(field.type, value)
    if field.type == "int":
        if exact != exact.to_integral_value():
            raise unreadable("int", value)
        if exact.adjusted() >= (field.digits or 9):  # before it is an int: 1e999999999 has as many digits
            raise refuse("NUMBER_OUTSIDE_VALID_RANGE", _out_of_range(field, exact), [field.name])
        return int(exact)
    whole_digits = (field.precision or 18) - field.scale
    if exact and exact.adjusted() >= whole_digits:
        raise refuse("NUMBER_OUTSIDE_VALID_RANGE", _out_of_range(field, exact), [field.name])
    # §10: too many decimals are rounded to the scale (unverified).
    return number(exact.quantize(Decimal(1).scaleb(-field.scale), rounding=ROUND_HALF_UP))


def _out_of_range(field: Field, value: Any) -> str:
    return f"{field.label}: value outside of valid range on numeric field: {value}"


def read(field: Field, value: Any) -> Any:
    """A client's JSON value as it is kept, or the refusal Salesforce would answer; None clears the field."""
    if value is None:
        if field.type == "boolean":  # §10: null for a boolean is best avoided; an error is the stricter reading
            raise unreadable("boolean", None)
        return None
    if field.type in TEXT:
        return _text(field, value)
    if field.type in NUMBER or field.type == "int":
        return _number(field, value)
    if field.type == "boolean":
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise unreadable("boolean", value)
    if not isinstance(value, str):
        raise unreadable(field.type, value)
    if field.type in ("reference", "id"):
        if not value:
            return None
        return read_id(field, value)
    kept = _READERS.get(field.type, str)(value)
    if kept is None or (not kept and field.type != "base64"):  # §10: the empty text is an error for dates
        raise unreadable(field.type, value)
    return kept or None


_READERS: Final[Mapping[str, Callable[[str], str | None]]] = {
    "date": read_date, "datetime": read_instant, "time": read_time, "base64": _base64,
}  # fmt: skip


def read_id(field: Field, value: str) -> str:
    found = canonical(value)
    if found is None:
        raise refuse("MALFORMED_ID", f"{field.label}: id value of incorrect type: {value}", [field.name])
    return found


def address(row: Mapping[str, Any], compound: str) -> dict[str, Any] | None:
    """The read-only compound of an address (§10)."""
    prefix = compound.removesuffix("Address")
    parts = {
        key: row.get(f"{prefix}{name}")
        for key, name in (
            ("city", "City"),
            ("country", "Country"),
            ("geocodeAccuracy", "GeocodeAccuracy"),
            ("latitude", "Latitude"),
            ("longitude", "Longitude"),
            ("postalCode", "PostalCode"),
            ("state", "State"),
            ("street", "Street"),
        )
    }
    if all(value is None for value in parts.values()):
        return None
    codes = {
        key: row.get(f"{prefix}{name}") for key, name in (("countryCode", "CountryCode"), ("stateCode", "StateCode"))
    }
    if any(value is not None for value in codes.values()):  # State and Country picklists are on
        parts |= codes
    return parts

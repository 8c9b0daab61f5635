"""Values that stand in the mapping itself (`create:`, `constant:`), by the kind of their field."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

from crmbridge.model import Money, Side, Value
from mapping.document import Document, FieldDoc, Given
from mapping.end import Facts
from mapping.people import fold_email, people
from mapping.problem import closest, quoted
from mapping.transforms import CONVERTERS, Refusal, loads

# What stands there for a new record; `created` is the day its source was created.
Initial = Callable[[Facts, date | None], Value]

TEXTUAL: Final = frozenset({"text", "email", "phone", "url", "country", "lines", "person_name"})
_DATED: Final = re.compile(r"created \+ (\d{1,4}) days?")
_MONEY: Final = re.compile(r"(-?\d+(?:\.\d+)?)(?:\s+([A-Z]{3}))?")


_WRITTEN: Final[Mapping[str, str]] = {
    "date": "; write it as 2026-12-31, or `created + 90 days` in a `create:`",
    "datetime": "; write it as 2026-12-31T08:00:00Z",
}


class WrongLiteral(Exception):
    """A value that does not fit its field."""

    def __init__(self, message: str, *, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.suggestion = suggestion


def is_textual(kind: str) -> bool:
    """Whether a text with `{field}` in it can be made for such a field."""
    return kind in TEXTUAL or (kind in CONVERTERS and loads(kind) and CONVERTERS[kind].wire is str)


def initial(document: Document, doc: FieldDoc, side: Side, given: Given) -> Initial:
    """Raises WrongLiteral."""
    match doc.convert:
        case "choice":
            value = _row(document, doc, side, given)
        case "user":
            value = _person(document, doc, given)
        case "money":
            return _money(document, side, given)
        case "link":
            raise WrongLiteral("a link to another record cannot be given here; take it out")
        case "date" if isinstance(given, str) and (dated := _DATED.fullmatch(given.strip())):
            return _days_after(int(dated[1]))
        case kind:
            value = _plain(kind, given)
    return lambda facts, created: value


def constant(document: Document, doc: FieldDoc, side: Side, given: Given) -> Value:
    """A value that is the same for every record. Raises WrongLiteral."""
    if doc.convert == "money" and not (isinstance(given, str) and (found := _MONEY.fullmatch(given)) and found[2]):
        raise WrongLiteral("a constant amount needs its currency; write e.g. '100 EUR'")
    if doc.convert == "date" and isinstance(given, str) and _DATED.fullmatch(given.strip()):
        raise WrongLiteral("counts from the creation; that is for `create:` only")
    return initial(document, doc, side, given)(Facts(), None)


def _plain(kind: str, given: Given) -> Value:
    converter = CONVERTERS[kind]
    wrong = WrongLiteral(f"{quoted(given)} does not fit a field that is {kind!r}")
    if isinstance(given, bool) or kind == "boolean":
        if kind != "boolean" or not isinstance(given, bool):
            raise wrong if kind != "boolean" else WrongLiteral("must be true or false")
        return given
    try:
        if kind in ("number", "integer"):
            return converter.get(None, None)(Decimal(str(given)))
        if kind == "date":
            return date.fromisoformat(str(given))
        if kind == "datetime":
            instant = datetime.fromisoformat(str(given))
            return converter.get(None, None)(instant if instant.tzinfo else instant.replace(tzinfo=UTC))
        value = converter.get(None, None)(str(given))
        if value is not None:
            converter.put(None, None)(value)  # what it does not write is refused here, and not with each record
        return value
    except (ValueError, InvalidOperation):
        raise WrongLiteral(wrong.message + _WRITTEN.get(kind, "")) from None
    except Refusal as refusal:
        raise WrongLiteral(f"{quoted(given)} {refusal.message}; correct it here") from None


def _days_after(days: int) -> Initial:
    return lambda facts, created: None if created is None else created + timedelta(days=days)


def _row(document: Document, doc: FieldDoc, side: Side, given: Given) -> str:
    table = document.values.get(doc.values or "")
    rows = {row.name: row for row in table.rows} if table else {}
    if given not in rows:
        message = f"{quoted(given)} is no row of {doc.values!r}; name one of them"
        raise WrongLiteral(message, suggestion=closest(given, rows))
    if side not in rows[str(given)].natives:
        raise WrongLiteral(f"the row {given!r} has no value for {document.names[side]}; give it one, or name another")
    return str(given)


def _person(document: Document, doc: FieldDoc, given: Given) -> str:
    known = people(document, doc)
    if given in known.rows:
        return known.rows[str(given)]
    if "@" not in str(given):
        raise WrongLiteral(
            f"{quoted(given)} is neither an e-mail address nor a row of its table",
            suggestion=closest(given, known.rows),
        )
    return fold_email(given)


def _money(document: Document, side: Side, given: Given) -> Initial:
    found = _MONEY.fullmatch(str(given)) if not isinstance(given, bool) else None
    if found is None:
        raise WrongLiteral(f"{quoted(given)} is no amount; write a number, or an amount and its currency: '100 EUR'")
    amount, currency = Decimal(found[1]), found[2]
    return lambda facts, created: Money(amount, currency or facts.directory[side].currency)

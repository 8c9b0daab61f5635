"""The Dataverse Web API without a socket: requests are built here, and one function says what an answer means.

`meaning` sorts every (status, headers, body) into a `Meaning`; `as_outcome` and `as_error` say it to a write (which
must know whether it was carried out) and to a read (which must know who acts). Nothing above this file knows a code.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final, Literal, TypeVar
from urllib.parse import quote

import msgspec

from crmbridge.errors import AccessError, CrmBridgeError, OutsideError, RefusedError, StaleError, TryLater
from crmbridge.model import Entity, Later, NativeRef, Outcome, Refused, Stale, Unknown

API: Final = "/api/data/v9.2/"
page_rows_max: Final = 5000  # dataverse-api §2.8
batch_operations_max: Final = 1000  # dataverse-api §4.6
ids_per_filter: Final = 200  # 200 ids make a URL of about 9 kB; 32 kB are allowed (dataverse-api §2.3)

SETS: Final[Mapping[str, str]] = {
    "account": "accounts",
    "contact": "contacts",
    "lead": "leads",
    "opportunity": "opportunities",
    "user": "systemusers",
    "team": "teams",
    "currency": "transactioncurrencies",
}
# Logical table names that a NativeRef's entity is a row of.
TABLES: Final[Mapping[str, str]] = {"user": "systemuser", "team": "team", "currency": "transactioncurrency"}

_guid = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_annotation = "Microsoft.Dynamics.CRM.lookuplogicalname"


# --- requests -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One operation; sent by itself or as a part of a $batch."""

    method: str
    path: str  # path and query from the host on
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    table: str = ""  # for counting and for messages: table, and what is done
    kind: str = "query"


def key(text: str) -> str:
    """A row's id as it may stand in a URL; anything else would be an injection (reliability §11)."""
    if not _guid.fullmatch(text):
        raise RefusedError(
            f"{text[:40]!r} is not the id of a Dynamics record (a GUID).", code="bad_id", fix="Check the id."
        )
    return text.lower()


def text_literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"  # dataverse-api §2.4


def url(path: str, **options: str | None) -> str:
    """`path` under the API with its query options, each percent-encoded once (dataverse-api §2.4)."""
    query = "&".join(f"${name}={quote(value, safe='(),/=;:')}" for name, value in options.items() if value)
    return API + path + (f"?{query}" if query else "")


def row_path(table_set: str, row_id: str) -> str:
    return f"{table_set}({key(row_id)})"


def prefer(*, track: bool = False, rows: int | None = None, types: bool = False, back: bool = False) -> dict[str, str]:
    """The Prefer header; `types` asks for the target table of polymorphic lookups, the only annotation we read."""
    wishes: list[str] = []
    if back:
        wishes.append("return=representation")
    if track:
        wishes.append("odata.track-changes")
    if rows:
        wishes.append(f"odata.maxpagesize={rows}")
    if types:
        wishes.append(f'odata.include-annotations="{_annotation}"')
    return {"Prefer": ",".join(wishes)} if wishes else {}


def any_of(column: str, ids: Sequence[str]) -> str:
    """A filter for many ids: values in double quotes, the column's logical name, lookups too (dataverse-api §2.5)."""
    values = ",".join(f'"{key(each)}"' for each in ids)
    return f"Microsoft.Dynamics.CRM.In(PropertyName='{column}',PropertyValues=[{values}])"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What is asked of a row: its columns, and whether target tables of polymorphic lookups are needed."""

    select: str
    types: bool = False


def create(table_set: str, row_id: str, body: Mapping[str, Any], *, view: View | None, table: str) -> Request:
    """Create with a chosen id: If-None-Match keeps the PATCH from ever changing a row (dataverse-api §4.2)."""
    return _patch(table_set, row_id, body, {"If-None-Match": "*"}, view, table, "create")


def update(
    table_set: str, row_id: str, body: Mapping[str, Any], *, version: str | None, view: View | None = None, table: str
) -> Request:
    """Update if the row is still at `version`; without one, if it still exists: a PATCH never resurrects a row."""
    return _patch(table_set, row_id, body, {"If-Match": version or "*"}, view, table, "update")


def _patch(  # without MSCRM.SuppressDuplicateDetection no duplicate rule runs (dataverse-api §4.4); we matched
    table_set: str,
    row_id: str,
    body: Mapping[str, Any],
    condition: Mapping[str, str],
    view: View | None,
    table: str,
    kind: str,
) -> Request:
    return Request(
        method="PATCH",
        path=url(row_path(table_set, row_id), select=view.select if view else None),
        headers={**condition, **(prefer(back=True, types=view.types) if view else {})},
        body=encode(body),
        table=table,
        kind=kind,
    )


def read(
    path: str,
    *,
    table: str,
    view: View | None = None,
    rows: int | None = None,
    track: bool = False,
    kind: str = "query",
    **options: str | None,
) -> Request:
    """A GET; `path` is a set, a row or a function under the API."""
    return Request(
        method="GET",
        path=url(path, select=view.select if view else options.pop("select", None), **options),
        headers=prefer(track=track, rows=rows, types=view.types if view else False),
        table=table,
        kind=kind,
    )


def action(path: str, body: Mapping[str, Any], *, table: str, kind: str) -> Request:
    return Request(method="POST", path=API + path, body=encode(body), table=table, kind=kind)


def bind(entity: Entity | Literal["user", "team", "currency"], row_id: str) -> str:
    return f"/{row_path(SETS[entity], row_id)}"


def reference(table: str, key_column: str, row_id: str) -> dict[str, str]:
    """A row as an action's parameter (dataverse-api §6.6)."""
    return {"@odata.type": f"Microsoft.Dynamics.CRM.{table}", key_column: key(row_id)}


_encoder: Final = msgspec.json.Encoder(decimal_format="number")


def encode(body: Mapping[str, Any]) -> bytes:
    return _encoder.encode({name: _wire(value) for name, value in body.items()})


def _wire(value: Any) -> Any:
    """dataverse-api §11: whole seconds in UTC, plain dates, decimals as numbers with their digits."""
    if isinstance(value, datetime):
        assert value.tzinfo is not None, "a datetime without zone"
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return Decimal(format(value, "f"))  # 1E+3 would be a number too, but not everybody reads it
    if isinstance(value, Mapping):
        return {name: _wire(each) for name, each in value.items()}
    assert not isinstance(value, NativeRef), "lookups are bound by Lookups.body"
    return value


# --- answers ------------------------------------------------------------------------------------------------------

T = TypeVar("T")


def decoded(body: bytes, kind: type[T]) -> T:
    return decoded_by(msgspec.json.Decoder(kind), body, kind.__name__.strip("_"))


def decoded_by(decoder: msgspec.json.Decoder[T], body: bytes, what: str) -> T:
    """A body that was served; msgspec's text names a place and types, never the value."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise OutsideError(
            f"Dynamics answered another kind of {what} than its metadata says: {error}.",
            fix="Run `crmbridge check --live`: a column may have changed its type.",
            code="unlike_metadata",
        ) from error
    except msgspec.DecodeError as error:
        raise TryLater(f"An answer of Dynamics ({what}) is cut off or not JSON.", code="unreadable") from error


def page_decoder(struct: type[Any]) -> msgspec.json.Decoder[Any]:
    page = msgspec.defstruct(
        "Page",
        [("value", list[struct]), ("next_link", str | None, None), ("delta_link", str | None, None)],
        rename={"next_link": "@odata.nextLink", "delta_link": "@odata.deltaLink"},
    )
    return msgspec.json.Decoder(page)


# --- what an answer means -----------------------------------------------------------------------------------------

Kind = Literal[
    "done",
    "refused",  # not carried out, and will not be until somebody changes something
    "forbidden",  # the same, for want of a right on this record or table
    "exists",  # create only: there is a row with this key already
    "stale",  # the row moved
    "closed",  # the lead or opportunity is in a closed state already
    "missing",  # no such row (for a reader, or lost access: proves nothing)
    "expired",  # the delta token is too old: read everything
    "untracked",  # change tracking is off for the table
    "later",  # not carried out; passes by itself
    "login",  # the token was not taken
    "access",  # our user may not work here at all
    "unknown",  # it may have been carried out
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    kind: Kind
    status: int = 0
    code: str = ""
    message: str = ""
    fields: tuple[str, ...] = ()
    after_seconds: float | None = None


# dataverse-api §10.3 and lifecycle of leads and opportunities (§6.9, §7.3, §8.4). What is not listed is "refused".
_codes: Final[Mapping[str, Kind]] = {
    "0x80072322": "later",
    "0x80072321": "later",
    "0x80072326": "later",
    "0x8005f103": "later",
    "0x80048544": "later",  # heavy query pattern
    "0x80044150": "later",  # generic SQL error: a deadlock, rolled back
    "0x80071154": "later",  # another concurrent operation
    "0x80040216": "later",  # unexpected error; rolled back
    "0x8004a104": "later",  # organization disabled
    "0x80044151": "unknown",  # SQL timeout: reliability §2
    "0x80060882": "stale",
    "0x80040237": "exists",
    "0x80060892": "exists",
    "0x80040217": "missing",
    "0x80060891": "missing",
    "0x80040500": "missing",
    "0x80040519": "closed",
    "0x80040515": "closed",
    "0x80040220": "forbidden",
    "0x80048306": "forbidden",
    "0x80081018": "forbidden",
    "0x80072560": "access",
    "0x80042f09": "access",
    "0x80040225": "access",
    "0x8004a110": "access",
    "0x80044352": "expired",
    "0x80072491": "untracked",
    "0x80072492": "untracked",
}
# Refused for what was sent (dataverse-api §10.3). An org's own plug-in (0x80040265) is not among these: it may look at
# anything, also outside, and come to another end although nothing of the record has changed.
_about_values: Final = frozenset(
    {
        "0x80044331",  # text too long
        "0x80044330",  # number out of range
        "0x8004431a",  # choice that there is not
        "0x80040239",  # date
        "0x80040278",  # characters
        "0x80048408",  # status not of that state
        "0x80048d19",  # cannot be read
    }
)
# Microsoft's own examples of these carry an empty code (perform-conditional-operations-using-web-api).
_texts: Final[Sequence[tuple[str, Kind]]] = (
    ("version of the existing record doesn't match", "stale"),
    ("record with matching key values already exists", "exists"),
    ("does not exist", "missing"),
)


class _Error(msgspec.Struct):
    code: str | int | None = None
    message: str | None = None


class _ErrorBody(msgspec.Struct):
    error: _Error


def meaning(status: int, headers: Mapping[str, str], body: bytes) -> Meaning:
    """The one place where a vendor's answer is judged (reliability §2)."""
    if status < 300:
        return Meaning(kind="done", status=status)
    error = _error(body)
    after = _retry_after(headers)
    if status == 401:
        return Meaning(kind="login", status=status)
    if status == 429:
        code, message = (str(error.code or ""), error.message) if error else ("", None)
        return Meaning(
            kind="later",
            status=status,
            code=code or "http_429",
            message=message or "The CRM asks for a pause",
            after_seconds=after,
        )
    if error is None:
        # Not the CRM's own words: a gateway spoke. Whether the CRM carried the request out is known below 500 alone.
        silent: Kind = "unknown" if status >= 500 or status == 408 else "access" if status == 403 else "refused"
        return Meaning(
            kind=silent,
            status=status,
            code=f"http_{status}",
            message=f"HTTP {status} without the CRM's own words",
            after_seconds=after,
        )
    code, message = str(error.code or ""), _public(error.message or "")
    kind: Kind | None = _codes.get(code.lower())
    if kind is None and status in (404, 412):
        kind = next((found for words, found in _texts if words in message.lower()), kind)
    if kind is None:  # not in the list
        passing = status in (502, 503, 504) or "deadlock" in message.lower()
        kind = "later" if passing else "refused"
    return Meaning(
        kind=kind,
        status=status,
        code=code or f"http_{status}",
        message=message or f"HTTP {status}",
        fields=_fields(message),
        after_seconds=after,
    )


def _error(body: bytes) -> _Error | None:
    try:
        return msgspec.json.decode(body, type=_ErrorBody).error
    except msgspec.DecodeError:  # HTML, empty, cut off, or another shape (dataverse-api §10.1)
        return None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    text = next((value for name, value in headers.items() if name.lower() == "retry-after"), "").strip()
    return float(text) if re.fullmatch(r"\d{1,6}(\.\d+)?", text) else None


_named_column = re.compile(
    r"length of the '(\w+)' attribute|property named '(\w+)'|undeclared property '(\w+)'|attribute '?(\w+)'? of"
)


def _fields(message: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(next(filter(None, found)) for found in _named_column.findall(message)))


def _public(message: str) -> str:
    """The server's text without the value it repeats ("Cannot convert the literal 'x' to ..."), and not endless."""
    return re.sub(r"(literal|value) '[^']*'", r"\1 '…'", message).replace("\x00", "")[:1000]


# --- saying it to a write, and to a read ----------------------------------------------------------------------------


def as_outcome(what: Meaning) -> Outcome:
    """For one record's write. `done` is the caller's: only it knows the row."""
    match what.kind:
        case "stale":
            return Stale(message=what.message)
        case "later":
            return Later(message=f"{what.message} ({what.code or what.status}).", after_seconds=what.after_seconds)
        case "unknown":
            return Unknown(message=f"The answer does not tell whether it was carried out: {what.message}.")
        case "login" | "access":
            raise as_error(what, "Dynamics")  # not carried out, and nothing else would be
        case _:
            lasting = what.code.lower() in _about_values
            return Refused(code=what.code, message=what.message, fields=what.fields, lasting=lasting)


def as_error(what: Meaning, where: str) -> CrmBridgeError:
    """For a read, or a call that is not about one record."""
    text = f"{where}: {what.message} ({what.code or what.status})."
    match what.kind:
        case "later":
            return TryLater(text, after_seconds=what.after_seconds, code=what.code)
        case "unknown":
            return TryLater(text, after_seconds=what.after_seconds, code=what.code)  # a read may be repeated
        case "login":
            return AccessError(
                f"{where}: the access token is not accepted.",
                fix="Check the connection's url, tenant and client; the token may be for another environment.",
                code="token",
            )
        case "access":
            return AccessError(
                text,
                fix="Add the app registration as an application user of this environment, enabled and with a "
                "security role (Power Platform admin center, Settings, Application users).",
                code=what.code,
            )
        case "forbidden":
            return AccessError(
                text,
                fix="Give the application user's security role organization-level read on the table.",
                code=what.code,
            )
        case "stale":
            return StaleError(text, code=what.code)
        case "missing" | "expired" | "untracked" | "closed" | "exists" | "done":
            return OutsideError(text, code=what.code)
        case "refused":
            return OutsideError(
                text, fix="Run `crmbridge check --live`: it names columns and rights that are missing.", code=what.code
            )

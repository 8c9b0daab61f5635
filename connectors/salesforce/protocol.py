"""The REST API without a socket: calls are built here, and one function says what an answer means.

`meaning` sorts every (status, errors) by what it proves (reliability §2) and who must act (salesforce-api §9.2);
`as_outcome` says it to a write, `as_error` to a read. Nothing above this file knows a code.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from email.utils import format_datetime
from typing import Any, Final, Literal
from urllib.parse import quote

import msgspec

from crmbridge.errors import AccessError, CrmBridgeError, OutsideError, RefusedError, StaleError, TryLater
from crmbridge.model import Later, Native, NativeRef, Outcome, Refused, Stale, Unknown

# One version for REST and SOAP: SOAP login() is gone from v65 on (§1.2).
API: Final = "62.0"
_base: Final = f"/services/data/v{API}"

rows_per_page: Final = 2000  # §2.1
ids_per_retrieve: Final = 2000  # §3.2
records_per_call: Final = 200  # §3.2
composite_max: Final = 25  # §3.3
composite_reads_max: Final = 5  # queries and collections among them

# §3.5: keep the owner we set, pass duplicate rules that only alert, and leave a name in change events.
WRITE_HEADERS: Final = {
    "Sforce-Auto-Assign": "FALSE",
    "Sforce-Duplicate-Rule-Header": "allowSave=true",
    "Sforce-Call-Options": "client=crmbridge",
}


# --- calls --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    method: str
    path: str
    kind: str  # for counting and for messages
    table: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    soap: Callable[[str], bytes] | None = None  # the body, given a session id: SOAP carries the token in it
    reads: bool = False  # may be repeated


def query(statement: str, table: str, *, deleted: bool = False) -> Call:
    """`deleted`: rows in the recycle bin and merge losers too (§2.1)."""
    resource = "queryAll" if deleted else "query"
    path = f"{_base}/{resource}?q={quote(statement, safe='')}"
    headers = {"Sforce-Query-Options": f"batchSize={rows_per_page}"}
    return Call(method="GET", path=path, kind="query", table=table, headers=headers, reads=True)


def next_page(link: str, table: str) -> Call:
    headers = {"Sforce-Query-Options": f"batchSize={rows_per_page}"}
    return Call(method="GET", path=link, kind="query", table=table, headers=headers, reads=True)


def retrieve(table: str, ids: Sequence[str], columns: Sequence[str]) -> Call:
    """Rows by id; null stands in the place of what is not found (§3.2)."""
    body = encode({"ids": list(ids), "fields": list(columns)})
    return Call(
        method="POST", path=f"{_base}/composite/sobjects/{table}", kind="retrieve", table=table, body=body, reads=True
    )


def composite_read(calls: Sequence[Call]) -> Call:
    """Up to five retrieves and queries in one call (§3.3)."""
    tables = {each.table for each in calls}
    return Call(
        method="POST",
        path=f"{_base}/composite",
        kind="retrieve",
        table=tables.pop() if len(tables) == 1 else "several",
        body=encode({"allOrNone": False, "compositeRequest": _subrequests(calls)}),
        reads=True,
    )


def _subrequests(calls: Sequence[Call], first: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "method": each.method,
            "url": each.path,
            "referenceId": f"u{n}",
            **({"body": msgspec.Raw(each.body)} if each.body else {}),
        }
        for n, each in enumerate(calls, first)
    ]


def describe(table: str) -> Call:
    return Call(
        method="GET", path=f"{_base}/sobjects/{table}/describe", kind="describe", table=table, reads=True
    )  # §5.1


def describe_all() -> Call:
    """Which objects there are (§5.1)."""
    return Call(method="GET", path=f"{_base}/sobjects", kind="describe", reads=True)


def layouts(table: str) -> Call:
    """Which picklist values each record type offers (§5.1)."""
    path = f"{_base}/sobjects/{table}/describe/layouts"
    return Call(method="GET", path=path, kind="describe", table=table, reads=True)


def user_info() -> Call:
    return Call(method="GET", path="/services/oauth2/userinfo", kind="identity", reads=True)  # §1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record of a write: columns as they go over the wire."""

    table: str
    id: str | None = None
    columns: Native
    unchanged_since: datetime | None = None  # composite alone


def create(records: Sequence[Record]) -> Call:
    return _collection("POST", "create", records)


def update(records: Sequence[Record]) -> Call:
    return _collection("PATCH", "update", records)


def _collection(method: str, kind: str, records: Sequence[Record]) -> Call:
    """sObject Collections: at most 200 records and ten changes of type, so the caller sorts by table (§3.2)."""
    items = [
        {"attributes": {"type": each.table}, **({"id": each.id} if each.id else {}), **wire(each.columns)}
        for each in records
    ]
    return Call(
        method=method,
        path=f"{_base}/composite/sobjects",
        kind=kind,
        table=_one_table(records),
        headers=WRITE_HEADERS,
        body=encode({"allOrNone": False, "records": items}),
    )


def delete(table: str, row_id: str) -> Call:
    """Into the recycle bin (§8.3). No precondition of its own is documented for it: the caller looks right before."""
    path = f"{_base}/sobjects/{table}/{row_id}"
    headers = {"Sforce-Call-Options": WRITE_HEADERS["Sforce-Call-Options"]}
    return Call(method="DELETE", path=path, kind="delete", table=table, headers=headers)


def composite_update(records: Sequence[Record], first: Sequence[Call] = (), then: Sequence[Call] = ()) -> Call:
    """Updates, each with its own precondition: optimistic locking here is a date, in seconds (§3.3, §3.5).

    `first`, `then`: reads of what was there and of what came of them, in the same call; 25 subrequests in all, at most
    five of them reads, carried out in this order."""
    requests: list[dict[str, Any]] = []
    for n, each in enumerate(records, len(first)):
        # Whether the outer headers hold for subrequests is not said (unverified): they are given to each.
        headers = dict(WRITE_HEADERS)
        if each.unchanged_since is not None:
            headers["If-Unmodified-Since"] = http_date(each.unchanged_since)
        requests.append(
            {
                "method": "PATCH",
                "url": f"{_base}/sobjects/{each.table}/{each.id}",
                "referenceId": f"u{n}",
                "httpHeaders": headers,
                "body": wire(each.columns),
            }
        )
    return Call(
        method="POST",
        path=f"{_base}/composite",
        kind="update",
        table=_one_table(records),
        headers=WRITE_HEADERS,
        body=encode(
            {
                "allOrNone": False,
                "compositeRequest": [
                    *_subrequests(first),
                    *requests,
                    *_subrequests(then, len(first) + len(records)),
                ],
            }
        ),
    )


def _one_table(records: Sequence[Record]) -> str:
    tables = {each.table for each in records}
    return tables.pop() if len(tables) == 1 else "several"


_encoder: Final = msgspec.json.Encoder(decimal_format="number")  # money as a number of its own digits (§10)


def encode(value: Any) -> bytes:
    return _encoder.encode(value)


def create_field(table: str, document: Mapping[str, Any]) -> Call:
    """The Tooling API's way; the fact sheet does not describe it: path and body are (unverified)."""
    path = f"{_base}/tooling/sobjects/CustomField"
    return Call(method="POST", path=path, body=msgspec.json.encode(document), kind="create_field", table=table)


def wire(columns: Native) -> dict[str, Any]:
    return {name: _wire_value(value) for name, value in columns.items()}


def _wire_value(value: Any) -> Any:
    match value:
        case NativeRef():
            return value.id
        case datetime():
            moment = value.astimezone(UTC)
            return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"  # §10
        case date():
            return value.isoformat()
        case _:
            return value


def http_date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)


# --- answers ------------------------------------------------------------------------------------------------------


class ApiError(msgspec.Struct):
    """`errorCode` for single calls, `statusCode` inside collections (§9.1)."""

    message: str | None = ""
    errorCode: str | None = None  # noqa: N815 - the wire's name
    statusCode: str | None = None  # noqa: N815
    fields: list[str] | None = None

    @property
    def code(self) -> str:
        return self.errorCode or self.statusCode or ""


class SaveResult(msgspec.Struct):
    success: bool
    id: str | None = None
    errors: list[ApiError] = []
    created: bool | None = None


class SubResponse(msgspec.Struct, rename={"status": "httpStatusCode", "reference": "referenceId"}):
    status: int
    body: msgspec.Raw = msgspec.Raw(b"null")
    reference: str = ""


class CompositeAnswer(msgspec.Struct, rename={"responses": "compositeResponse"}):
    responses: list[SubResponse]


_errors = msgspec.json.Decoder(list[ApiError])
_saved = msgspec.json.Decoder(list[SaveResult])
_composite = msgspec.json.Decoder(CompositeAnswer)


def errors_of(body: bytes) -> list[ApiError] | None:
    """The CRM's own errors; None if somebody else answered (a proxy's page, nothing at all)."""
    try:
        found = _errors.decode(body)
    except msgspec.DecodeError:
        return None
    return found if found and all(each.code for each in found) else None


Kind = Literal["done", "refused", "later", "stale", "unknown", "access", "session"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    kind: Kind
    code: str = ""
    message: str = ""
    fields: tuple[str, ...] = ()
    after_seconds: float | None = None


# §9.2, §6.4. What is in none of these is refused for good.
_later: Final[Mapping[str, float | None]] = {
    "UNABLE_TO_LOCK_ROW": None,
    "REQUEST_LIMIT_EXCEEDED": None,
    "SERVER_UNAVAILABLE": None,
    "QUERY_TIMEOUT": None,
    "INVALID_QUERY_LOCATOR": None,
    "ENTITY_IS_LOCKED": 3600.0,  # an approval process holds the record
    "TOO_MANY_APEX_REQUESTS": None,
    "LIMIT_EXCEEDED": None,
    "EXCEEDED_QUOTA": None,
    "PROCESSING_HALTED": None,
    "ALL_OR_NONE_OPERATION_ROLLED_BACK": None,
}
_unknown: Final = frozenset({"UNKNOWN_EXCEPTION", "REQUEST_RUNNING_TOO_LONG"})
# Refused for what was sent (§9.2). Rights, duplicates, references and an org's own code are not among these: they may
# come to another end although nothing of the record has changed.
_about_values: Final = frozenset(
    {
        "FIELD_CUSTOM_VALIDATION_EXCEPTION",
        "FIELD_FILTER_VALIDATION_EXCEPTION",
        "REQUIRED_FIELD_MISSING",
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        "STRING_TOO_LONG",
        "INVALID_EMAIL_ADDRESS",
        "NUMBER_OUTSIDE_VALID_RANGE",
        "INVALID_CURRENCY_ISO",
        "MALFORMED_ID",
        "JSON_PARSER_ERROR",
    }
)
_access: Final = frozenset(
    {
        "INVALID_AUTH_HEADER",
        "API_DISABLED_FOR_ORG",
        "API_CURRENTLY_DISABLED",
        "FUNCTIONALITY_NOT_ENABLED",
        "ORG_LOCKED",
        "TRIAL_EXPIRED",
    }
)
_lock_text: Final = re.compile(r"UNABLE_TO_LOCK_ROW|unable to obtain exclusive access|deadlock|too many SOQL", re.I)
_daily_wait_seconds: Final = 3600.0
_concurrent_wait_seconds: Final = 30.0


def meaning(status: int, errors: Sequence[ApiError] | None, *, after_seconds: float | None = None) -> Meaning:
    """What one answer proves. `errors`: None if the body was not the CRM's own."""
    if 200 <= status < 300:
        return Meaning(kind="done")
    if status == 412:  # If-Unmodified-Since (§3.5)
        return Meaning(kind="stale", code="PRECONDITION_FAILED", message="the record was changed by somebody else")
    if not errors:
        if status in (420, 429):
            return Meaning(kind="later", code=str(status), message="asked to wait", after_seconds=after_seconds)
        if status == 401:
            return Meaning(kind="access", code="401", message="not signed in")
        return Meaning(kind="unknown", code=str(status), message=f"HTTP {status} without a word from Salesforce")
    # Several errors may come at once: the first one that time does not heal decides (§9.1).
    error = next((each for each in errors if not _heals(each)), errors[0])
    said = Meaning(
        kind="refused",
        code=error.code,
        message=_public(error),
        fields=tuple(dict.fromkeys(name for each in errors for name in each.fields or ())),
    )
    if error.code == "INVALID_SESSION_ID":
        # Any other text than expiry must not lead to a new login (§1.4).
        other = re.search(r"not valid for use|not attached", error.message or "")
        return _as(said, "access" if other else "session")
    if status == 401 or error.code in _access or error.code.startswith("TXN_SECURITY"):
        return _as(said, "access")
    if _heals(error):
        wait = after_seconds or _later.get(error.code)
        if error.code == "REQUEST_LIMIT_EXCEEDED" and not wait:
            wait = _concurrent_wait_seconds if "Concurrent" in (error.message or "") else _daily_wait_seconds
        return _as(said, "later", wait)
    if error.code in _unknown or status >= 500:
        return _as(said, "unknown")
    return said


def _as(said: Meaning, kind: Kind, after_seconds: float | None = None) -> Meaning:
    return Meaning(kind=kind, code=said.code, message=said.message, fields=said.fields, after_seconds=after_seconds)


def _heals(error: ApiError) -> bool:
    if error.code in _later:
        return True
    # An org's own trigger that ran into somebody else's lock (§9.2).
    wrapped = error.code in ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "CANNOT_EXECUTE_FLOW_TRIGGER")
    return wrapped and _lock_text.search(error.message or "") is not None


# Texts that repeat the record's own value (§9.2): what it was is nobody's business in a log or an issue.
_echoes: Final = (
    (re.compile(r"(data value too large): .*? (\(max length=\d+\))", re.S), r"\1 \2"),
    (re.compile(r"(invalid email address).*", re.S), r"\1"),
    (re.compile(r"(VALUE_\w+ value) .*? (or request|at \[)", re.S), r"\1 … \2"),
)


def _public(error: ApiError) -> str:
    text = error.message or ""
    for pattern, instead in _echoes:
        text = pattern.sub(instead, text)
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text).strip()[:500]


def as_outcome(what: Meaning) -> Outcome:
    """For one record's write, or for all of a call's. `done` is the caller's: only it knows the id."""
    match what.kind:
        case "stale":
            return Stale(message=what.message)
        case "later":
            return Later(message=f"{what.message} ({what.code}).", after_seconds=what.after_seconds)
        case "unknown":
            return Unknown(message=f"The answer does not tell whether it was carried out: {what.message}.")
        case _:
            return Refused(code=what.code, message=what.message, fields=what.fields, lasting=what.code in _about_values)


def as_error(what: Meaning, where: str) -> CrmBridgeError:
    """For a read, or a call that is not about one record."""
    text = f"{where}: {what.message} ({what.code})."
    match what.kind:
        case "session":
            return AccessError(
                f"{where}: the session was refused right after a new login.",
                fix="Check the user's session settings and the connection's url.",
                code=what.code,
            )
        case "access":
            return AccessError(text, fix="Check the user's rights and that the org allows API access.", code=what.code)
        case "later":
            return TryLater(text, after_seconds=what.after_seconds, code=what.code)
        case "unknown":
            return OutsideError(text, fix="Try again; if it stays, see status.salesforce.com.", code=what.code)
        case "stale":
            return StaleError(text, code=what.code)
        case _:
            return RefusedError(
                text,
                code=what.code,
                fields=what.fields,
                fix="Run `crmbridge check --live`: it names objects, fields and rights that are missing.",
            )


def answer_meaning(status: int, body: bytes, *, after_seconds: float | None = None) -> Meaning:
    """Of a whole call."""
    return meaning(status, None if status < 300 else errors_of(body), after_seconds=after_seconds)


def saved(body: bytes, count: int) -> list[SaveResult | Meaning]:
    """Results of a collection by position; one that is missing tells nothing (reliability §2)."""
    lost = Meaning(kind="unknown", message="its part of the answer is missing")
    try:
        results = _saved.decode(body)
    except msgspec.DecodeError:
        results = []
    found: list[SaveResult | Meaning] = [_result(each) for each in results[:count]]
    return found + [lost] * (count - len(found))


def _result(result: SaveResult) -> SaveResult | Meaning:
    if result.success:
        return result if result.id else Meaning(kind="unknown", message="no id was told")
    return meaning(400, result.errors) if result.errors else Meaning(kind="unknown", message="refused without a reason")


def composite_bodies(body: bytes, count: int) -> list[tuple[Meaning, bytes]]:
    """What each subrequest came to, by its reference, and its own body."""
    lost = Meaning(kind="unknown", message="its part of the answer is missing")
    try:
        responses = {each.reference: each for each in _composite.decode(body).responses}
    except msgspec.DecodeError:
        responses = {}
    found = [responses.get(f"u{n}") for n in range(count)]
    return [
        (answer_meaning(each.status, bytes(each.body)), bytes(each.body)) if each else (lost, b"") for each in found
    ]

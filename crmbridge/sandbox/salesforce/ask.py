"""One REST request and its answer, alone or inside a composite, batch or graph (salesforce-api §3)."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any, Final

import msgspec

from crmbridge.sandbox.salesforce.errors import SfError, not_found, not_served, refuse
from crmbridge.sandbox.salesforce.headers import setting
from crmbridge.sandbox.salesforce.ids import canonical
from crmbridge.sandbox.salesforce.records import Caller
from crmbridge.sandbox.salesforce.values import unreadable

VERSION_MIN, VERSION_MAX = 20, 67
DUPLICATE_HEADER_SINCE: Final = 52
_DUPLICATES: Final = "sforce-duplicate-rule-header"
_JSON: Final = msgspec.json.Decoder(float_hook=Decimal)
_RESOURCES: Final = ("describe", "updated", "deleted", "layouts")
_EXPECTED: Final = {
    "Expecting property name": "was expecting double-quote to start field name",
    "Expecting ',' delimiter": "was expecting comma to separate entries",
    "Expecting ':' delimiter": "was expecting a colon to separate field name and value",
    "Expecting value": "expected a value",
    "Illegal trailing comma": "was expecting double-quote to start field name",
    "Extra data": "was expecting the end of the body",
}


@dataclass(kw_only=True)
class Log:
    """What the request turned out to be, for the ledger of calls."""

    kind: str = "unknown"
    table: str = ""
    category: str = "data"
    operations: list[tuple[str, str]] = field(default_factory=list)

    def note(self, kind: str, table: str = "") -> None:
        self.kind, self.table = kind, table


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One REST request: its path below the version, decoded segment by segment."""

    method: str
    parts: tuple[str, ...]
    options: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    user: str
    version: str
    origin: str = ""  # scheme://host:port of this org, as it was asked
    raw: bytes = b""
    given: Any = None  # a subrequest's body, parsed already
    log: Log
    blob_links: bool = True  # a blob is shown by its address

    def json(self) -> Any:
        """The body as JSON, floats as Decimals."""
        if self.given is not None:
            return self.given
        if not self.raw.strip():
            raise refuse("JSON_PARSER_ERROR", "The HTTP entity body is required, but this request has no entity body.")
        kind = self.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":  # a row with a blob beside it
            raise not_served("multipart/form-data; send the blob in base64, as a field of the JSON body")
        if kind != "application/json":
            raise refuse("UNSUPPORTED_MEDIA_TYPE", f"Content type {kind} is not supported here; send application/json.")
        try:
            return _JSON.decode(self.raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidOperation) as error:
            raise syntax_error(self.raw, error) from None

    def document(self) -> dict[str, Any]:
        body = self.json()
        if not isinstance(body, dict):
            raise unreadable("sobject", body)
        return body

    def envelope(self, *known: str) -> dict[str, Any]:
        """A body that is not a record: what it holds is told by the interface, and nothing else passes unseen."""
        body = self.document()
        only(body, *known)
        return body

    @property
    def release(self) -> int:
        """The version without its decimal."""
        return int(self.version.partition(".")[0])

    @property
    def mru(self) -> bool:
        """§3.5: API access leaves "recently viewed" alone unless asked."""
        return setting(self.headers, "sforce-mru", "updatemru")

    @cached_property
    def caller(self) -> Caller:
        # §3.5: the duplicate header exists since v52
        duplicates = self.headers if self.release >= DUPLICATE_HEADER_SINCE else {}
        return Caller(
            user=self.user,
            version=self.version,
            # §3.5: absent means TRUE; a rule's id names the one rule a shape can have
            auto_assign=_auto_assign(assignment := self.headers.get("sforce-auto-assign", "TRUE").strip()),
            assignment_rule="" if assignment.upper() in ("TRUE", "FALSE") else assignment,
            allow_duplicates=setting(duplicates, _DUPLICATES, "allowsave"),
            duplicate_details=setting(duplicates, _DUPLICATES, "includerecorddetails"),
        )


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int = 200
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    empty: bool = False  # 204, 304: no body at all
    raw: bytes | None = None  # a body that is no JSON; its Content-Type is among the headers


def allow(ask: Ask, *methods: str) -> None:
    """§9.3: 405; a HEAD is a GET whose body stays at home."""
    if ask.method not in methods and not (ask.method == "HEAD" and "GET" in methods):
        raise refuse("METHOD_NOT_ALLOWED", f"HTTP Method '{ask.method}' not allowed. Allowed are {','.join(methods)}")


def without_suffix(parts: tuple[str, ...]) -> tuple[str, ...]:
    """`.json` behind a resource's name asks for what is answered anyway, `.xml` for what is not (§9.3, the code
    (unverified)). The value of an external id may end as it likes."""
    stem, _, kind = parts[-1].rpartition(".") if parts else ("", "", "")
    value = parts[:1] == ("sobjects",) and len(parts) > 2 and stem not in _RESOURCES and canonical(stem) is None
    if not stem or kind.lower() not in ("json", "xml") or value:
        return parts
    if kind.lower() == "xml":
        raise refuse("NOT_ACCEPTABLE", "This resource answers in application/json.", status=406)  # (unverified)
    return (*parts[:-1], stem)


def since(ask: Ask, version: int) -> None:
    """A resource that older versions do not know is not there (§9.3; the code (unverified))."""
    if ask.release < version:
        raise not_found()


def only(body: Mapping[str, Any], *known: str) -> None:
    """§9.2: a key that the interface does not know is an error of reading; the wording is (unverified)."""
    for name in body:
        if name not in known:
            raise refuse("JSON_PARSER_ERROR", f'Unrecognized field "{name}" at [line:1, column:1]')


def flag(body: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    """True or false, also as a text (§9.2)."""
    value = body.get(name)
    if value is None:
        return default
    text = str(value).lower()
    if isinstance(value, (bool, str)) and text in ("true", "false"):
        return text == "true"
    message = f"Cannot deserialize instance of boolean from value {value} or request may be missing a required field"
    raise refuse("JSON_PARSER_ERROR", f"{message} at [line:1, column:1]")


def syntax_error(raw: bytes, error: Exception) -> SfError:
    """§9.2: where the body stops being JSON, in the words of the parser behind the API (wording (unverified))."""
    if isinstance(error, RecursionError):
        return refuse("JSON_PARSER_ERROR", "The entity body is nested too deeply at [line:1, column:1]")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        return refuse("JSON_PARSER_ERROR", f"Invalid UTF-8 byte {_spot(raw[: problem.start].decode())}")
    try:
        json.loads(text)
    except json.JSONDecodeError as problem:
        found = text[problem.pos : problem.pos + 1]
        wanted = next((said for says, said in _EXPECTED.items() if problem.msg.startswith(says)), "expected a value")
        what = f"Unexpected character ('{found}' (code {ord(found)})): {wanted}" if found else "Unexpected end-of-input"
        return refuse("JSON_PARSER_ERROR", f"{what} {_spot(text[: problem.pos])}")
    except (RecursionError, ValueError):  # deeper or longer than our reader goes
        pass
    at = re.search(r"byte (\d+)", str(error))
    before = raw[: int(at.group(1))].decode("utf-8", "replace") if at else ""
    return refuse("JSON_PARSER_ERROR", f"Unexpected character {_spot(before)}")


def _spot(before: str) -> str:
    return f"at [line:{before.count(chr(10)) + 1}, column:{len(before) - before.rfind(chr(10))}]"


def _auto_assign(text: str) -> bool:
    """§3.5: absent means TRUE; a rule's id names the one rule a shape has. For other texts the code is (unverified)."""
    if text.upper() in ("TRUE", "FALSE"):
        return text.upper() == "TRUE"
    if canonical(text) is None:
        raise refuse("INVALID_HEADER_VALUE", f"Sforce-Auto-Assign: {text} is neither TRUE, FALSE nor a rule's id")
    return True


def placed(error: SfError, raw: bytes) -> SfError:
    """A value that cannot be read is answered with its place in the body (§9.2)."""
    first = error.problems[0]
    if first.code != "JSON_PARSER_ERROR" or " at [" in first.message:
        return error
    found = re.search(r" value (.*) or request", first.message, re.DOTALL)
    at = raw.find(found.group(1).encode()) if found else -1
    line, column = (raw.count(b"\n", 0, at) + 1, at - raw.rfind(b"\n", 0, at)) if at >= 0 else (1, 1)
    return refuse(first.code, f"{first.message} at [line:{line}, column:{column}]")

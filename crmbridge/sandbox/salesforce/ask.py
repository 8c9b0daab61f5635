"""One REST request and its answer, alone or inside a composite, batch or graph (salesforce-api §3)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import msgspec

from crmbridge.sandbox.salesforce.errors import SfError, refuse
from crmbridge.sandbox.salesforce.records import Caller

_JSON: Final = msgspec.json.Decoder(float_hook=Decimal)


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
    raw: bytes = b""
    given: Any = None  # a subrequest's body, parsed already
    log: Log

    def json(self) -> Any:
        """The body as JSON, floats as Decimals."""
        if self.given is not None:
            return self.given
        if not self.raw.strip():
            raise refuse("JSON_PARSER_ERROR", "The HTTP entity body is required, but this request has no entity body.")
        kind = self.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise refuse("UNSUPPORTED_MEDIA_TYPE", f"Content type {kind} is not supported here; send application/json.")
        try:
            return _JSON.decode(self.raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            found = re.search(r"byte (\d+)", str(error))
            column = int(found.group(1)) + 1 if found else 1
            raise refuse("JSON_PARSER_ERROR", f"Unexpected character at [line:1, column:{column}]") from None

    def document(self) -> dict[str, Any]:
        body = self.json()
        if not isinstance(body, dict):
            message = (
                "Cannot deserialize instance of sobject from START_ARRAY value [ or request may be missing a required"
            )
            raise refuse("JSON_PARSER_ERROR", f"{message} field at [line:1, column:1]")
        return body

    @property
    def caller(self) -> Caller:
        duplicates = self.headers.get("sforce-duplicate-rule-header", "").replace(" ", "").lower()
        return Caller(
            user=self.user,
            version=self.version,
            # §3.5: absent means TRUE; a rule's id names the one rule a shape can have
            auto_assign=self.headers.get("sforce-auto-assign", "TRUE").strip().upper() != "FALSE",
            allow_duplicates="allowsave=true" in duplicates,
        )


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int = 200
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    empty: bool = False  # 204, 304: no body at all


def allow(ask: Ask, *methods: str) -> None:
    if ask.method not in methods:
        raise refuse("METHOD_NOT_ALLOWED", f"HTTP Method '{ask.method}' not allowed. Allowed are {','.join(methods)}")


def placed(error: SfError, raw: bytes) -> SfError:
    """A value that cannot be read is answered with its place in the body (§9.2)."""
    first = error.problems[0]
    if first.code != "JSON_PARSER_ERROR" or " at [" in first.message:
        return error
    found = re.search(r" value (.*) or request", first.message, re.DOTALL)
    at = raw.find(found.group(1).encode()) if found else -1
    line, column = (raw.count(b"\n", 0, at) + 1, at - raw.rfind(b"\n", 0, at)) if at >= 0 else (1, 1)
    return refuse(first.code, f"{first.message} at [line:{line}, column:{column}]")

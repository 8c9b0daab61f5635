"""What requests of Bulk API 2.0 hold: a job's document, alone or with its rows (salesforce-api §4.1, §4.4)."""

import re
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from crmbridge.sandbox.salesforce.ask import Ask
from crmbridge.sandbox.salesforce.errors import SfError, refuse

_NAME: Final = re.compile(rb'name="?([^";\r\n]+)', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    body: bytes


def multipart(ask: Ask) -> tuple[bytes, bytes] | None:
    """§4.1: the job and its rows in one request; parts `job` and `content`."""
    kind = ask.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        return None
    found = re.search(r'boundary="?([^";]+)', kind, re.IGNORECASE)
    mark = b"--" + found.group(1).strip().encode() if found else b""
    parts: list[_Part] = []
    for piece in ask.raw.split(mark)[1:] if mark else []:
        if piece.startswith(b"--"):
            break
        piece = piece.removeprefix(b"\r\n").removeprefix(b"\n")
        gap = b"\r\n\r\n" if b"\r\n\r\n" in piece else b"\n\n"
        head, _, body = piece.partition(gap)
        name = _NAME.search(head)
        body = body[:-2] if body.endswith(b"\r\n") else body.removesuffix(b"\n")
        parts.append(_Part(name.group(1).decode("latin-1") if name else "", body))
    named = {part.name: part.body for part in parts}
    if named.keys() != {"job", "content"}:  # §4.1; the code (unverified)
        raise refuse("API_ERROR", "A multipart request has the parts job and content")
    return named["job"], named["content"]


def document(ask: Ask, raw: bytes | None, known: set[str]) -> dict[str, Any]:
    """The body; whatever is wrong with it is an API_ERROR here (§4.4, wording (unverified))."""
    try:
        given = ask.json() if raw is None else msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refuse("API_ERROR", f"Unexpected character at [line:1, column:1]: {error}") from None
    if not isinstance(given, dict):
        raise refuse("API_ERROR", "Value does not match expected type at [line:1, column:1]")
    body: dict[str, Any] = given
    strange = [name for name in body if name not in known]
    if strange:
        raise refuse("API_ERROR", f'Unrecognized field "{strange[0]}" at [line:1, column:1]')
    for name, value in body.items():
        if value is not None and not isinstance(value, str):
            raise refuse("API_ERROR", f"Value does not match expected type at [line:1, column:1]: {name}")
    return body


def wrong(name: str, value: Any) -> SfError:
    """§4.4: a word that the interface does not know; the wording is (unverified)."""
    shown = "null" if value is None else value
    return refuse("API_ERROR", f"Unable to parse {name} from value {shown}")

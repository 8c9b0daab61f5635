"""$batch: many operations in one call, as multipart/mixed (dataverse-api §4.6). Bytes in, bytes out.

An answer's parts come in the order of the requests. A change set is all or nothing and answers as one nested part, or
with the one error that undid it. What is missing or cut off is `None`: nobody knows whether it was carried out.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from typing import Final, cast

import msgspec

from connectors.dynamics.protocol import API, Request, batch_operations_max

PATH: Final = API + "$batch"
_status_line = re.compile(rb"HTTP/1\.1 (\d{3})[^\r\n]*\r?\n?")


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """Writes that succeed or fail together."""

    requests: tuple[Request, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes


Item = Request | ChangeSet
# Of a request: its response. Of a change set: one response each, or the single error. None: missing.
Result = Response | tuple[Response, ...] | None


def encode(items: Sequence[Item]) -> tuple[str, bytes]:
    """Content type and body. The boundary is a function of the content, so that a repeat is the same request."""
    count = sum(len(item.requests) if isinstance(item, ChangeSet) else 1 for item in items)
    assert 0 < count <= batch_operations_max, f"{count} operations in a batch"
    digest = hashlib.sha256()
    for item in items:
        for request in item.requests if isinstance(item, ChangeSet) else (item,):
            digest.update(request.path.encode())
            digest.update(request.body)
    mark = digest.hexdigest()[:24]
    lines: list[bytes] = []
    for position, item in enumerate(items):
        lines.append(f"--batch_{mark}".encode())
        if isinstance(item, Request):
            lines += _part(item, None)
            continue
        inner = f"changeset_{mark}_{position}"
        lines += [f"Content-Type: multipart/mixed; boundary={inner}".encode(), b""]
        for number, request in enumerate(item.requests, 1):
            lines.append(f"--{inner}".encode())
            lines += _part(request, number)
        lines += [f"--{inner}--".encode(), b""]
    lines += [f"--batch_{mark}--".encode(), b""]
    return f"multipart/mixed; boundary=batch_{mark}", b"\r\n".join(lines)


def _part(request: Request, number: int | None) -> list[bytes]:
    lines = ["Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    if number is not None:
        lines.append(f"Content-ID: {number}")
    lines += ["", f"{request.method} {request.path} HTTP/1.1", "Accept: application/json"]
    if request.body:
        lines.append("Content-Type: application/json; type=entry")
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    return [*(line.encode() for line in lines), b"", request.body]


def decode(items: Sequence[Item], content_type: str, body: bytes) -> list[Result]:
    """One result per item, by position."""
    parts = _parts(content_type, body)
    results: list[Result] = []
    for position, item in enumerate(items):
        part = parts[position] if position < len(parts) else None
        if isinstance(part, list):
            # A failed change set answers with one error; whether that stands alone or inside the nested part.
            error = next((each for each in part if each and each.status >= 400), None)
            if error is not None:
                results.append(error)
                continue
            whole = isinstance(item, ChangeSet) and len(part) == len(item.requests) and all(part)
            results.append(tuple(each for each in part if each) if whole else None)
        else:
            results.append(part)
    return results


def _parts(content_type: str, body: bytes) -> list[Response | list[Response | None] | None]:
    whole = b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body
    try:
        message = BytesParser(policy=compat32).parsebytes(whole)
    except RecursionError:  # parts within parts within parts: nothing of it is Dynamics'
        return []
    if not message.is_multipart():
        return []
    found: list[Response | list[Response | None] | None] = []
    for part in cast("list[Message]", message.get_payload()):
        if part.is_multipart():
            inner = cast("list[Message]", part.get_payload())
            found.append([_response(each, closed=each is not inner[-1] or _closed(part)) for each in inner])
        elif part.get_content_maintype() == "multipart":
            found.append(None)  # a nested answer of which nothing arrived
        else:
            found.append(_response(part, closed=True))
    last = found[-1] if found else None
    if isinstance(last, Response) and not _closed(message):
        found[-1] = last if _complete(last) else None
    return found


def _closed(message: Message) -> bool:
    return not any(type(defect).__name__ == "CloseBoundaryNotFoundDefect" for defect in message.defects)


def _response(part: Message, *, closed: bool) -> Response | None:
    payload = cast("bytes", part.get_payload(decode=True)) or b""
    status = _status_line.match(payload.lstrip(b"\r\n"))
    if status is None:
        return None
    # The parser turned line ends into \n; JSON holds none of its own. A part without headers begins its body at once.
    head, _, content = (b"\n" + payload.lstrip(b"\r\n")[status.end() :].replace(b"\r\n", b"\n")).partition(b"\n\n")
    headers: dict[str, str] = {}
    for line in head.decode("latin-1").split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip()] = value.strip()
    response = Response(status=int(status[1]), headers=headers, body=content.strip(b"\n"))
    return response if closed or _complete(response) else None


def _complete(response: Response) -> bool:
    """Of a part that nothing closes: does it say all it has to say?"""
    if response.status == 204:
        return True
    try:
        msgspec.json.decode(response.body)
    except msgspec.DecodeError:
        return False
    return True

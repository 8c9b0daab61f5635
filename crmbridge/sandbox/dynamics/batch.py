"""$batch: multipart requests taken apart, carried out in order, and their answers put together (dataverse-api §4.6).

Lenient as the service is: LF or CRLF, quoted or bare boundary, a leading blank line, absolute or relative URLs.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import pairwise

from crmbridge.sandbox.core import Reply
from crmbridge.sandbox.dynamics.errors import DataverseError

OPERATIONS_MAX = 1000
_BOUNDARY = re.compile(r'boundary\s*=\s*(?:"([^"]+)"|([^\s;]+))', re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One operation of a batch."""

    method: str
    url: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    content_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSet:
    parts: tuple[Part, ...] = field(default=())


def boundary_of(content_type: str) -> str:
    match = _BOUNDARY.search(content_type)
    if match is None or "multipart/mixed" not in content_type.lower():
        raise DataverseError(
            400, "0x80060888", "The Content-Type of a $batch must be multipart/mixed with a boundary parameter."
        )
    return match[1] or match[2]


def read_batch(content_type: str, body: bytes) -> list[Part | ChangeSet]:
    items: list[Part | ChangeSet] = []
    total = 0
    for headers, content in _pieces(boundary_of(content_type), body):
        if "multipart/mixed" in headers.get("content-type", "").lower():
            inner = [_part(*piece) for piece in _pieces(boundary_of(headers["content-type"]), content)]
            if any(part.method == "GET" for part in inner):
                raise DataverseError(
                    400, "0x80060888", "A change set cannot contain GET requests."
                )  # text (unverified)
            named = [part.content_id for part in inner if part.content_id is not None]
            if len(set(named)) != len(named):  # `$1` would mean two rows; text (unverified)
                raise DataverseError(400, "0x80060888", "A Content-ID was found more than once in one change set.")
            items.append(ChangeSet(parts=tuple(inner)))
            total += len(inner)
        else:
            items.append(_part(headers, content))
            total += 1
    if total > OPERATIONS_MAX:  # text (unverified)
        raise DataverseError(
            400, "0x80060888", f"The batch request contains {total} operations; at most {OPERATIONS_MAX} are allowed."
        )
    return items


def _pieces(boundary: str, body: bytes) -> list[tuple[dict[str, str], bytes]]:
    """(headers, content) of each part between the boundary lines."""
    line = re.compile(rb"(?:^|\r?\n)--" + re.escape(boundary.encode()) + rb"(--)?[ \t]*(?=\r?\n|$)")
    marks = list(line.finditer(body))
    if not marks or marks[-1][1] is None:
        raise DataverseError(400, "0x80060888", f"The batch body does not end with the boundary '--{boundary}--'.")
    return [
        _headers_and_content(body[mark.end() : following.start()].lstrip(b"\r\n"))
        for mark, following in pairwise(marks)
    ]


def _headers_and_content(text: bytes) -> tuple[dict[str, str], bytes]:
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        end = text.find(b"\n", position)
        end = len(text) if end < 0 else end
        line = text[position:end].rstrip(b"\r").decode("utf-8", "replace")
        position = end + 1
        if not line.strip():
            break
        name, _, value = line.partition(":")
        found[name.strip().lower()] = value.strip()
    return found, text[position:]


def _part(outer: Mapping[str, str], content: bytes) -> Part:
    if "application/http" not in outer.get("content-type", "").lower():
        raise DataverseError(400, "0x80060888", "Each part of a batch must have the Content-Type application/http.")
    first, _, rest = content.lstrip(b"\r\n").partition(b"\n")
    words = first.decode("utf-8", "replace").strip().split(" ")
    if len(words) < 2:
        raise DataverseError(400, "0x80060888", f"The request line '{' '.join(words)}' of a batch part is not valid.")
    url = " ".join(words[1:-1] if words[-1].startswith("HTTP/") else words[1:])
    headers, body = _headers_and_content(rest)
    if "$batch" in url.partition("?")[0]:
        raise DataverseError(400, "0x80060888", "A batch cannot contain another batch.")
    return Part(
        method=words[0].upper(), url=url, headers=headers, body=body.strip(b"\r\n"), content_id=outer.get("content-id")
    )


def run_batch(
    items: list[Part | ChangeSet],
    *,
    one: Callable[[Part], Reply],
    change_set: Callable[[ChangeSet], list[Reply] | Reply],
    continue_on_error: bool,
    guid: Callable[[], str],
) -> Reply:
    """Carry the items out and answer as one multipart. Without `continue_on_error` the first failure ends it."""
    boundary = f"batchresponse_{guid()}"
    lines: list[bytes] = []
    status = 200
    for item in items:
        if isinstance(item, Part):
            outcome: Reply | list[Reply] = one(item)
        else:
            outcome = change_set(item)
        failed = isinstance(outcome, Reply) and outcome.status >= 400
        if isinstance(outcome, list) and isinstance(item, ChangeSet):
            lines += _change_set_lines(boundary, f"changesetresponse_{guid()}", item, outcome)
        elif isinstance(outcome, Reply):  # a failed change set gives a single part
            lines += [f"--{boundary}".encode(), *_part_lines(outcome, None, guid() if failed else None)]
        if failed and not continue_on_error:
            status = outcome.status if isinstance(outcome, Reply) else status
            break
    lines.append(f"--{boundary}--".encode())
    headers = (("Content-Type", f"multipart/mixed; boundary={boundary}"), ("OData-Version", "4.0"))
    return Reply(status=status, headers=headers, body=b"\r\n".join(lines) + b"\r\n")


def _change_set_lines(outer: str, boundary: str, item: ChangeSet, replies: list[Reply]) -> list[bytes]:
    lines = [f"--{outer}".encode(), f"Content-Type: multipart/mixed; boundary={boundary}".encode(), b""]
    for part, reply in zip(item.parts, replies, strict=True):
        lines += [f"--{boundary}".encode(), *_part_lines(reply, part.content_id)]
    return [*lines, f"--{boundary}--".encode()]


def _part_lines(reply: Reply, content_id: str | None, request_id: str | None = None) -> list[bytes]:
    """A refused part is named for who asks after it, and is not streamed: dataverse-api §1.6, §4.6."""
    lines = ["Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    if content_id is not None:
        lines.append(f"Content-ID: {content_id}")
    lines += ["", f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
    if request_id is not None:
        lines.append(f"REQ_ID: {request_id}")
    for name, value in reply.headers:
        streaming = name == "Content-Type" and value.startswith("application/json") and request_id is None
        lines.append(f"{name}: {value}{'; odata.streaming=true' if streaming else ''}")
    return [*(line.encode() for line in lines), b"", reply.body]

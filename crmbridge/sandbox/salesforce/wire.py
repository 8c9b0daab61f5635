"""How a REST request and its answer are written on the wire: sizes, packing, indentation, methods in disguise.

salesforce-api §3.5 (gzip both ways, X-PrettyPrint), §9.3 and §9.4 (415, 414 and 431).
"""

import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import msgspec

from crmbridge.sandbox.core import Reply, Request, gunzip
from crmbridge.sandbox.salesforce.errors import refuse
from crmbridge.sandbox.salesforce.headers import pretty, wants_gzip

URI_BYTES_MAX: Final = 16_384  # and as many for the URI with all headers
BODY_BYTES_MAX: Final = 50 * 1024 * 1024  # (unverified)
UPLOAD_BYTES_MAX: Final = 151 * 1024 * 1024  # of a bulk job's rows, which has a limit of its own (§4.4)
_OVERRIDES: Final = ("PATCH", "PUT", "DELETE", "GET", "HEAD", "POST")


def check_size(request: Request) -> None:
    """§9.3, §9.4; the codes are (unverified)."""
    uri = len(request.path) + len(request.query) + bool(request.query)
    if uri > URI_BYTES_MAX:
        raise refuse("URI_TOO_LONG", f"The URI is longer than {URI_BYTES_MAX} bytes.", status=414)  # (unverified)
    if uri + sum(len(name) + len(value) + 4 for name, value in request.headers.items()) > URI_BYTES_MAX:
        message = f"The URI and the headers are longer than {URI_BYTES_MAX} bytes."
        raise refuse("REQUEST_HEADER_FIELDS_TOO_LARGE", message, status=431)  # (unverified)
    if len(request.body) > (UPLOAD_BYTES_MAX if "/jobs/ingest/" in request.path else BODY_BYTES_MAX):
        message = f"The request is larger than {BODY_BYTES_MAX} bytes."
        raise refuse("REQUEST_ENTITY_TOO_LARGE", message, status=413)  # (unverified)


def effective_method(request: Request) -> str:
    """A POST may stand for another method, for clients that cannot say PATCH (unverified); nothing else may (§9.2)."""
    wanted = request.options().get("_HttpMethod") or request.header("x-http-method-override")
    if not wanted:
        return request.method.upper()
    if request.method.upper() != "POST" or wanted.upper() not in _OVERRIDES:
        raise refuse("METHOD_NOT_ALLOWED", f"HTTP Method '{request.method}' cannot stand for {wanted}")
    return wanted.upper()


def unpacked(request: Request) -> Request:
    """The request with its body in plain (§3.5); the HTTP server may have unpacked it already."""
    kind = request.header("content-encoding", "identity").strip().lower()
    if kind == "identity":
        return request
    headers = {name: value for name, value in request.headers.items() if name != "content-encoding"}
    if kind != "gzip":  # §9.3
        raise refuse("UNSUPPORTED_MEDIA_TYPE", f"Content-Encoding {kind} is not supported here; send gzip.")
    body = gunzip(request.body, BODY_BYTES_MAX)
    if body is None:  # cut, too large, or no gzip at all; the code (unverified)
        raise refuse("INVALID_INPUT", "The body is not the gzip data that Content-Encoding announces.")
    return replace(request, headers=headers, body=body)


def packed(reply: Reply, headers: Mapping[str, str]) -> Reply:
    """The answer as its reader wants it written."""
    if not reply.body:
        return reply
    if pretty(headers) and _is_json(reply):
        reply = replace(reply, body=msgspec.json.format(reply.body, indent=2))
    if wants_gzip(headers):
        packer = zlib.compressobj(level=1, wbits=31)
        body = packer.compress(reply.body) + packer.flush()
        more = (("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding"))
        reply = Reply(status=reply.status, headers=(*reply.headers, *more), body=body)
    return reply


def _is_json(reply: Reply) -> bool:
    return any(name == "Content-Type" and value.startswith("application/json") for name, value in reply.headers)

"""The sandbox under a `requests` session, without sockets: for simulations and quick tests.

Commit and reply are two steps here as well, and hooks stand at both, so that a simulation can put a crash, a delay or
another actor's edit between them. A hook may raise any `requests` exception: the caller sees just that.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import format_datetime
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPHeaderDict, HTTPResponse

from crmbridge.sandbox.core import Reply, Request
from crmbridge.sandbox.faults import Service
from crmbridge.sandbox.pages import half_of
from crmbridge.sandbox.sandbox import Sandbox

ORIGINS: Mapping[Service, str] = {
    "salesforce": "https://salesforce.sandbox.test",
    "dynamics": "https://dynamics.sandbox.test",
    "identity": "https://identity.sandbox.test",
}


def _nothing(service: Service, request: Request) -> None:
    pass


def _no_reply_hook(service: Service, request: Request, reply: Reply) -> None:
    pass


def _no_sleep(seconds: float) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    before_commit: Callable[[Service, Request], None] = _nothing  # sent, not yet carried out
    after_commit: Callable[[Service, Request, Reply], None] = _no_reply_hook  # carried out, not yet answered
    sleep: Callable[[float], None] = _no_sleep  # how a slow server passes time: a simulation moves its clock


class CoreAdapter(HTTPAdapter):
    """Answers one service's requests from the core, in the caller's own thread."""

    def __init__(self, sandbox: Sandbox, service: Service, hooks: Hooks | None = None) -> None:
        super().__init__()
        self.sandbox = sandbox
        self.service: Service = service
        self.hooks = hooks or Hooks()

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float | None, float | None] | None = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        asked = core_request(request)
        patience = timeout[1] if isinstance(timeout, tuple) else timeout
        verdict = self.sandbox.judge(self.service, asked)
        self._wait(verdict.wait_before, patience if verdict.drop == "before_commit" else None, request)
        self.hooks.before_commit(self.service, asked)
        if verdict.drop == "before_commit":
            raise requests.ConnectionError("connection closed without an answer", request=request)
        # A slow commit is made all the same, the caller just does not hear of it: lateness is judged afterwards.
        reply = verdict.instead or self.sandbox.commit(self.service, verdict.request or asked)
        if verdict.half:
            reply = half_of(reply)
        self.hooks.after_commit(self.service, asked, reply)
        self._wait(verdict.wait_after, patience, request)
        if patience is not None and verdict.wait_before > patience:
            raise requests.ReadTimeout(f"no answer within {patience} s", request=request)
        if verdict.drop == "after_commit":
            raise requests.ConnectionError("connection closed without an answer", request=request)
        return self.build_response(request, self._response(asked, reply, cut=verdict.truncate))

    def _wait(self, seconds: float, patience: float | None, request: requests.PreparedRequest) -> None:
        if not seconds:
            return
        self.hooks.sleep(seconds if patience is None else min(seconds, patience))
        if patience is not None and seconds > patience:
            raise requests.ReadTimeout(f"no answer within {patience} s", request=request)

    def _response(self, asked: Request, reply: Reply, *, cut: bool) -> HTTPResponse:
        body = b"" if asked.method == "HEAD" else reply.body
        headers = HTTPHeaderDict(reply.headers)
        headers.setdefault("Date", format_datetime(self.sandbox.date_of(self.service), usegmt=True))
        headers.setdefault("Content-Length", str(len(body)))
        return HTTPResponse(
            body=BytesIO(body[: len(body) // 2] if cut else body),
            headers=headers,
            status=reply.status,
            preload_content=False,
            request_method=asked.method,
        )


def mount(session: requests.Session, sandbox: Sandbox, hooks: Hooks | None = None) -> dict[str, Any]:
    """All three services on one session; returns the connect document for their made-up hosts."""
    for service, origin in ORIGINS.items():
        session.mount(f"{origin}/", CoreAdapter(sandbox, service, hooks))
    document = sandbox.connection({service: (origin, origin) for service, origin in ORIGINS.items()})
    return {**document, "ca_path": None, "proxy_url": None, "control_url": None}


def core_request(request: requests.PreparedRequest) -> Request:
    parts = urlsplit(request.url or "")
    body: Any = request.body or b""
    if not isinstance(body, str | bytes):
        body = b"".join(body)  # a streamed upload
    return Request(
        method=request.method or "GET",
        path="/" + parts.path.lstrip("/"),
        query=parts.query,
        headers={name.lower(): _text(value) for name, value in request.headers.items()},
        body=body.encode() if isinstance(body, str) else body,
        origin=f"{parts.scheme}://{parts.netloc}",
    )


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value

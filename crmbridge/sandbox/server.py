"""The sandbox over real HTTP and HTTPS: one thin adapter, each service on ports of its own.

uvicorn's h11 protocol serves a raw ASGI application, because header names must reach clients in canonical case
(clients.md: one of them looks headers up in a plain dict) and because some faults close the connection.
"""

import asyncio
import contextlib
import errno
import shutil
import socket
import ssl
import struct
import tempfile
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from email.utils import format_datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal, NamedTuple

from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from crmbridge.sandbox import proxy as connect_proxy
from crmbridge.sandbox import tls
from crmbridge.sandbox.control import ControlApp
from crmbridge.sandbox.control_client import Control
from crmbridge.sandbox.core import Reply, Request, gunzip
from crmbridge.sandbox.faults import Service
from crmbridge.sandbox.pages import half_of
from crmbridge.sandbox.sandbox import CLEAN, Sandbox

HOST = "127.0.0.1"  # loopback only, always: the sandbox's secrets are no secrets
PORT_DEFAULT = 8100
BODY_BYTES_MAX = 160 * 1024 * 1024  # more than a bulk job may upload
HEAD_BYTES_MAX = 256 * 1024  # of request line and headers: the CRMs' own limits must be the ones that are met
KEEP_ALIVE_SECONDS = 75
STOP_SECONDS = 2.0  # how long answers under way may take once the sandbox is told to stop
GOODBYE_SECONDS = 0.2

Receiver = Callable[[], Any]
Sender = Callable[[dict[str, Any]], Any]


class Listener(NamedTuple):
    service: Service | Literal["control"]
    scheme: Literal["http", "https"]


LISTENERS = (
    Listener("salesforce", "http"),
    Listener("salesforce", "https"),
    Listener("dynamics", "http"),
    Listener("dynamics", "https"),
    Listener("identity", "http"),
    Listener("identity", "https"),
    Listener("control", "http"),
)


class PortTaken(OSError):
    """Another program listens where the sandbox wanted to."""


class _Connection(H11Protocol):
    """Hands its transport to the application, which closes it where a fault says so."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


@dataclass(frozen=True, slots=True)
class Adapter:
    """The ASGI application of all ports; which service a port serves comes with the connection."""

    sandbox: Sandbox
    control: ControlApp
    under_way: Counter[str] = field(default_factory=Counter[str])  # requests by their credentials: service limits

    async def __call__(self, scope: dict[str, Any], receive: Receiver, send: Sender) -> None:
        service = scope["state"]["service"]
        transport: asyncio.Transport = scope["state"]["transport"]
        body = await read_body(receive)
        if body is None:
            return None  # the client went away before it had said everything
        request = request_of(scope, body)
        if isinstance(request, Reply):
            return await self._send(send, service, scope["method"], request)
        if service == "control":
            return await self._send(send, service, request.method, self.control.commit(request))
        credentials = request.header("authorization")
        self.under_way[credentials] += 1
        try:
            if (concurrent := self.under_way[credentials]) > 1:
                request = replace(request, concurrent=concurrent)
            await self._serve(service, request, transport, receive, send)
        finally:
            self.under_way[credentials] -= 1
            if not self.under_way[credentials]:
                del self.under_way[credentials]

    async def _serve(
        self, service: Service, request: Request, transport: asyncio.Transport, receive: Receiver, send: Sender
    ) -> None:
        verdict = self.sandbox.judge(service, request)
        if verdict is CLEAN:
            return await self._send(send, service, request.method, self.sandbox.commit(service, request))
        await asyncio.sleep(verdict.wait_before)
        if verdict.drop == "before_commit":
            return await hang_up(transport, receive)
        reply = verdict.instead or self.sandbox.commit(service, verdict.request or request)
        if verdict.half:
            reply = half_of(reply)
        await asyncio.sleep(verdict.wait_after)
        if verdict.drop == "after_commit":
            return await hang_up(transport, receive)
        await self._send(send, service, request.method, reply, half=verdict.truncate)
        if verdict.truncate:
            await hang_up(transport, receive, flush=not verdict.reset)
        return None

    async def _send(self, send: Sender, service: str, method: str, reply: Reply, *, half: bool = False) -> None:
        # A HEAD answer names the length of a body that it does not have.
        body = b"" if method == "HEAD" else reply.body[: len(reply.body) // 2] if half else reply.body
        await send({"type": "http.response.start", "status": reply.status, "headers": self._headers(service, reply)})
        await send({"type": "http.response.body", "body": body, "more_body": half})

    def _headers(self, service: str, reply: Reply) -> list[tuple[bytes, bytes]]:
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers]
        names = {name.lower() for name, _ in reply.headers}
        if "date" not in names:
            moment = self.sandbox.date_of("identity" if service == "control" else service)  # pyright: ignore[reportArgumentType]
            headers.append((b"Date", format_datetime(moment, usegmt=True).encode()))
        if "content-length" not in names and reply.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            headers.append((b"Content-Length", str(len(reply.body)).encode()))
        return headers


async def read_body(receive: Receiver) -> bytes | None:
    """The whole body, chunked or not; None if the client hung up."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def request_of(scope: Mapping[str, Any], body: bytes) -> Request | Reply:
    """The core's request, or the answer to one that cannot be read."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if headers.get("content-encoding", "").strip().lower() == "gzip":
        del headers["content-encoding"]  # any other one the CRM answers itself
        unzipped = gunzip(body, BODY_BYTES_MAX)
        if unzipped is None:
            return _plain(400, "The body is not the gzip data that Content-Encoding announces.")
        body = unzipped
    if len(body) > BODY_BYTES_MAX:
        return _plain(413, f"The body is larger than {BODY_BYTES_MAX} bytes.")
    path: str = scope["raw_path"].decode("latin-1")
    host = headers.get("host") or "{}:{}".format(*scope["server"])
    return Request(
        method=scope["method"],
        path="/" + path.lstrip("/"),  # `//services/data/...` is served (clients.md item 3); trailing slashes stay
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=body,
        origin=f"{scope['scheme']}://{host}",
    )


def _plain(status: int, sentence: str) -> Reply:
    return Reply(status=status, headers=(("Content-Type", "text/plain; charset=utf-8"),), body=sentence.encode())


async def hang_up(transport: asyncio.Transport, receive: Receiver, *, flush: bool = False) -> None:
    """Close without (the rest of) an answer, and wait until uvicorn has seen it."""
    if flush:
        transport.close()
    else:
        with contextlib.suppress(OSError, AttributeError):  # so that the peer sees a reset, not an end
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass


# --- listening -----------------------------------------------------------------------------------------------------


def bind(port: int, count: int) -> list[socket.socket]:
    """`count` neighbouring ports from `port` on, or any free ones for 0; all or none."""
    sockets: list[socket.socket] = []
    try:
        for index in range(count):
            # With the protocol named asyncio sets TCP_NODELAY; without it every answer waits 40 ms for an ACK.
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            sockets.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            wanted = port + index if port else 0
            try:
                listener.bind((HOST, wanted))
                listener.listen(512)
            except OSError as problem:
                if problem.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise
                reason = "is taken by another program" if problem.errno == errno.EADDRINUSE else "needs more rights"
                raise PortTaken(
                    f"Port {wanted} {reason}; the sandbox needs {count} ports from {port} on. "
                    "Choose others with --port, or let the system choose with --port 0."
                ) from problem
    except BaseException:
        for listener in sockets:
            listener.close()
        raise
    return sockets


@asynccontextmanager
async def serving(
    sandbox: Sandbox, *, port: int = PORT_DEFAULT, proxy: bool = False, state_dir: Path
) -> AsyncGenerator[dict[str, Any], None]:
    """Listen on all ports; yields the connect document once every one of them answers."""
    loop = asyncio.get_running_loop()
    sockets = bind(port, len(LISTENERS) + proxy)
    servers: list[asyncio.Server] = []
    state = ServerState()
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        context, ca_path = tls.server_context(state_dir)
        config = _config(Adapter(sandbox, ControlApp(sandbox)))
        for listener, bound in zip(LISTENERS, sockets, strict=False):
            factory = partial(_Connection, config, state, {"service": listener.service})
            secure: ssl.SSLContext | None = context if listener.scheme == "https" else None
            servers.append(await loop.create_server(factory, sock=bound, ssl=secure))
        ports = {listener: bound.getsockname()[1] for listener, bound in zip(LISTENERS, sockets, strict=False)}
        proxy_url = None
        if proxy:
            tls_ports: dict[Service, int] = {
                name: ports[Listener(name, "https")] for name in ("salesforce", "dynamics", "identity")
            }
            handler = connect_proxy.handler(tls_ports, frozenset(ports.values()))
            servers.append(await asyncio.start_server(handler, sock=sockets[-1], limit=connect_proxy.HEAD_BYTES_MAX))
            proxy_url = f"http://{HOST}:{sockets[-1].getsockname()[1]}"
        yield {
            **sandbox.connection(origins_of(ports), state_dir),
            "ca_path": str(ca_path),
            "proxy_url": proxy_url,
            "control_url": f"http://localhost:{ports[Listener('control', 'http')]}",
        }
    finally:
        for server in servers:
            server.close()
        for bound in sockets:
            bound.close()
        await _finish(state)


def origins_of(ports: Mapping[Listener, int]) -> dict[Service, tuple[str, str]]:
    def pair(service: Service) -> tuple[str, str]:
        plain, secure = ports[Listener(service, "http")], ports[Listener(service, "https")]
        return f"http://localhost:{plain}", f"https://localhost:{secure}"

    return {"salesforce": pair("salesforce"), "dynamics": pair("dynamics"), "identity": pair("identity")}


def _config(app: Adapter) -> Config:
    config = Config(
        app=app,  # pyright: ignore[reportArgumentType]
        http=_Connection,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        h11_max_incomplete_event_size=HEAD_BYTES_MAX,
    )
    config.load()
    return config


async def _finish(state: ServerState) -> None:
    """Idle connections close at once, answers under way get a moment."""
    for connection in list(state.connections):
        connection.shutdown()
    if state.tasks:
        _, late = await asyncio.wait(list(state.tasks), timeout=STOP_SECONDS)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=STOP_SECONDS)
    await _closed(state)
    for connection in list(state.connections):  # over TLS, a client that does not say goodbye
        connection.transport.abort()
    await _closed(state)  # before the loop ends


async def _closed(state: ServerState) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GOODBYE_SECONDS):
            while state.connections:
                await asyncio.sleep(0.001)


# --- in a thread, for tests and the demo -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A running sandbox: the connect document, its control port, and the core itself."""

    connect: dict[str, Any]
    control: Control
    sandbox: Sandbox


@contextmanager
def running_sandbox(
    seed: str | Path = "sample",
    *,
    port: int = 0,
    proxy: bool = False,
    state_dir: Path | None = None,
    sandbox: Sandbox | None = None,
) -> Generator[Box, None, None]:
    """Both CRMs on loopback, in a thread of this process, until the block ends."""
    box = sandbox or Sandbox(seed)
    directory = state_dir or Path(tempfile.mkdtemp(prefix="crmbridge-sandbox-"))
    ready = threading.Event()
    outcome: dict[str, Any] = {}

    async def main() -> None:
        stop = asyncio.Event()
        outcome["stop"] = partial(asyncio.get_running_loop().call_soon_threadsafe, stop.set)
        async with serving(box, port=port, proxy=proxy, state_dir=directory) as connect:
            outcome["connect"] = connect
            ready.set()
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as problem:  # noqa: BLE001 - handed to the caller's thread, which raises it
            outcome["problem"] = problem
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="crmbridge-sandbox", daemon=True)
    thread.start()
    try:
        ready.wait()
        if "problem" in outcome:
            raise outcome["problem"]
        with contextlib.closing(Control(outcome["connect"]["control_url"])) as control:
            yield Box(connect=outcome["connect"], control=control, sandbox=box)
    finally:
        if thread.is_alive():
            outcome["stop"]()
            thread.join()
        if state_dir is None:
            shutil.rmtree(directory, ignore_errors=True)
    if "problem" in outcome:
        raise outcome["problem"]

"""A CONNECT proxy on loopback for clients with fixed login hosts (clients.md).

`HTTPS_PROXY` pointed here, every host that the CRMs own leads to the sandbox's own TLS port; every other host is
refused, so that nothing meant for the sandbox ever leaves the machine.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from fnmatch import fnmatchcase

from crmbridge.sandbox import tls
from crmbridge.sandbox.faults import Service

HEAD_BYTES_MAX = 16_384
CHUNK_BYTES = 65_536

HOSTS: Mapping[Service, Sequence[str]] = {
    "salesforce": (*tls.SALESFORCE_HOSTS, "*.salesforce.com"),
    "dynamics": tls.DYNAMICS_HOSTS,
    "identity": tls.IDENTITY_HOSTS,
}

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def target_port(authority: str, tls_ports: Mapping[Service, int], own_ports: frozenset[int]) -> int | None:
    """Which of our ports `host:port` of a CONNECT line means; None if it is none of ours."""
    host, _, port = authority.strip().casefold().rpartition(":")
    if host in tls.LOOPBACK:
        return int(port) if port.isdecimal() and int(port) in own_ports else None
    for service, patterns in HOSTS.items():
        if any(fnmatchcase(host, pattern) for pattern in patterns):
            return tls_ports[service]
    return None


def handler(tls_ports: Mapping[Service, int], own_ports: frozenset[int]) -> Handler:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _tunnel(reader, writer, tls_ports, own_ports)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # one of the two ends went away: the tunnel ends, which is all there is to do
        except asyncio.CancelledError:
            pass  # the sandbox stops; a cancelled task would be told of as an error by the stream that began it
        finally:
            writer.close()

    return serve


async def _tunnel(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    tls_ports: Mapping[Service, int],
    own_ports: frozenset[int],
) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    method, _, rest = head.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")
    authority = rest.partition(" ")[0]
    if method != "CONNECT":
        return await _refuse(
            writer, "405 Method Not Allowed", "This proxy knows CONNECT only; ask the sandbox directly."
        )
    port = target_port(authority, tls_ports, own_ports)
    if port is None:
        return await _refuse(writer, "403 Forbidden", f"{authority} is not a host of this sandbox.")
    upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"HTTP/1.1 200 Connection Established\r\n\r\n")
        await asyncio.gather(_copy(reader, upstream_writer), _copy(upstream_reader, writer))
    finally:
        upstream_writer.close()


async def _refuse(writer: asyncio.StreamWriter, status: str, sentence: str) -> None:
    body = f"{sentence}\n".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()

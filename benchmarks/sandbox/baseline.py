"""What pages are measured against: a list of dicts, cut, encoded by msgspec and sent, by the sandbox's own HTTP server.

The rows are those that the sandbox answers, read from it page by page, and stand in the form in which they are sent:
nothing is left to do but to pick and to encode them; `select=1` picks their columns too, by a dict comprehension, as
who keeps whole rows has to. `/edit?count=` replaces so many of them by changed copies.
"""

import asyncio
import gc
import json
import random
import sys
import threading
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import msgspec
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from benchmarks.sandbox.client import Client
from crmbridge.sandbox.server import HOST, bind

_ENCODER = msgspec.json.Encoder(decimal_format="number")
_DECODER = msgspec.json.Decoder(float_hook=Decimal)


class Baseline:
    def __init__(self, rows: list[dict[str, Any]], envelope: dict[str, Any], key: str, edited: str) -> None:
        self._rows = rows
        self._envelope = envelope
        self._key = key
        self._edited = edited
        self._rng = random.Random(7)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        asked = {name: int(values[0]) for name, values in parse_qs(scope["query_string"].decode()).items()}
        if scope["path"] == "/edit":
            self._edit(asked["count"])
            body = b""
        else:
            rows = self._rows[asked["start"] : asked["stop"]]
            if "select" in asked:
                columns = list(self._rows[0])
                rows = [{name: row.get(name) for name in columns} for row in rows]
            body = _ENCODER.encode({**self._envelope, self._key: rows})
        headers = [(b"Content-Type", b"application/json;charset=UTF-8"), (b"Content-Length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _edit(self, count: int) -> None:
        for place in self._rng.sample(range(len(self._rows)), count):
            self._rows[place] = {**self._rows[place], self._edited: f"City {place}"}


def read_all(
    url: str, headers: dict[str, str], key: str, following: str
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Every row of a paged query, and what stands beside the rows of its first page."""
    client = Client(url, headers)
    rows: list[dict[str, Any]] = []
    envelope: dict[str, Any] = {}
    path: str | None = url
    while path is not None:
        page = _DECODER.decode(client.get(path))
        rows += page.pop(key)
        path = page.get(following)
        envelope = envelope or page
    client.close()
    return rows, envelope


async def serve(app: Baseline, stop: threading.Event) -> None:
    config = Config(
        app=app, http="h11", ws="none", lifespan="off", interface="asgi3", log_config=None, access_log=False,  # pyright: ignore[reportArgumentType]
        proxy_headers=False, server_header=False, date_header=False, timeout_keep_alive=75,
    )  # fmt: skip
    config.load()
    (listener,) = bind(0, 1)
    state = ServerState()

    def connection() -> H11Protocol:
        return H11Protocol(config, state, {})

    listening = await asyncio.get_running_loop().create_server(connection, sock=listener)
    print(json.dumps({"url": f"http://{HOST}:{listener.getsockname()[1]}"}), flush=True)
    await asyncio.to_thread(stop.wait)
    listening.close()


def main() -> None:
    given = json.loads(sys.argv[1])
    rows, envelope = read_all(given["url"], given["headers"], given["key"], given["following"])
    gc.disable()  # it makes no cycles
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    asyncio.run(serve(Baseline(rows, envelope, given["key"], given["edited"]), stop))


if __name__ == "__main__":
    main()

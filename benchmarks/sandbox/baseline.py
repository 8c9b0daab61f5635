"""What pages are measured against: rows in memory, their columns picked, encoded by msgspec and sent.

The rows are the sandbox's own, read from it page by page, as its store keeps them: a dict each, with every column that
has a value, whether it is asked for or not; a text that many rows share is one object. Values stand in the form in
which they are sent, rows in the order of the pages, and what is no column (a row's address, its ETag) is there
ready-made. So a page is a cut of the list, a dict comprehension, an encoding and a sending, by the same uvicorn and h11
as the sandbox's.

`ready=1` leaves out the picking: the same rows with the columns asked for and no others, nulls among them, in a second
list. `/edit?count=` replaces so many of the rows by changed copies.
"""

import asyncio
import gc
import json
import random
import sys
import threading
from collections import Counter
from collections.abc import Sequence
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
    def __init__(
        self, rows: list[dict[str, Any]], columns: Sequence[str], envelope: dict[str, Any], key: str, edited: str
    ) -> None:
        self._rows = rows
        self._columns = columns
        self._ready = [self._picked(row) for row in rows]
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
            if "ready" in asked:
                rows = self._ready[asked["start"] : asked["stop"]]
            else:
                columns = self._columns
                rows = [{name: row.get(name) for name in columns} for row in self._rows[asked["start"] : asked["stop"]]]
            body = _ENCODER.encode({**self._envelope, self._key: rows})
        headers = [(b"Content-Type", b"application/json;charset=UTF-8"), (b"Content-Length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _edit(self, count: int) -> None:
        for place in self._rng.sample(range(len(self._rows)), count):
            self._rows[place] = {**self._rows[place], self._edited: f"City {place}"}
            self._ready[place] = self._picked(self._rows[place])

    def _picked(self, row: dict[str, Any]) -> dict[str, Any]:
        return {name: row.get(name) for name in self._columns}


def read_all(
    url: str, headers: dict[str, str], key: str, following: str
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Every row of a paged query without its nulls, and what stands beside the rows of its first page."""
    client = Client(url, headers)
    rows: list[dict[str, Any]] = []
    shared: dict[str, str] = {}
    envelope: dict[str, Any] = {}
    path: str | None = url
    while path is not None:
        page = _DECODER.decode(client.get(path))
        found = page.pop(key)
        if not rows:
            shared = _repeated(found)
        rows += [
            {
                name: shared.get(value, value) if isinstance(value, str) else value
                for name, value in row.items()
                if value is not None
            }
            for row in found
        ]
        path = page.get(following)
        envelope = envelope or page
    client.close()
    return rows, envelope


def _repeated(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Texts that more than one of the rows has, each by itself."""
    counted = Counter(value for row in rows for value in row.values() if isinstance(value, str))
    return {value: value for value, count in counted.items() if count > 1}


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
    rows, envelope = read_all(given["all"], given["headers"], given["key"], given["following"])
    page = _DECODER.decode(Client(given["url"], given["headers"]).get(given["url"]))
    columns = tuple(page[given["key"]][0])
    gc.disable()  # it makes no cycles
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    asyncio.run(serve(Baseline(rows, columns, envelope, given["key"], given["edited"]), stop))


if __name__ == "__main__":
    main()

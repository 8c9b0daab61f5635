"""A transport whose calls end in time, and that knows whether anything of a request went out.

requests' timeout is per read: a server that drips a byte a minute would hold us for ever (reliability §2). Here each
read of the socket gets what is left of the call's time.
"""

import http.client
import io
import socket
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager


@dataclass(slots=True)
class Exchange:
    clock: Callable[[], float]
    ends_at: float
    sent: bool | None = None  # None: none of our connections was asked yet

    def left(self) -> float:
        left = self.ends_at - self.clock()
        if left <= 0:
            raise TimeoutError("the call's time is over")
        return left


exchange_of_now: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


class _TimedReader(io.RawIOBase):
    def __init__(self, raw: Any, sock: socket.socket) -> None:
        super().__init__()
        self._raw, self._sock = raw, sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        exchange = exchange_of_now.get()
        if exchange is not None:
            self._sock.settimeout(exchange.left())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedReader(self.fp.detach(), sock))


class _Watched:
    """Notes the moment from which a request may have reached the server."""

    response_class = _TimedResponse
    sock: Any
    _connecting = False

    def connect(self) -> None:
        exchange = exchange_of_now.get()
        if exchange is not None and exchange.sent is None:
            exchange.sent = False
        self._connecting = True
        try:
            super().connect()  # pyright: ignore[reportAttributeAccessIssue]
        finally:
            self._connecting = False

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        assert self.sock is not None
        exchange = exchange_of_now.get()
        if exchange is not None and not self._connecting:
            self.sock.settimeout(exchange.left())
            exchange.sent = True
        super().send(data)  # pyright: ignore[reportAttributeAccessIssue]


class _Http(_Watched, HTTPConnection):
    pass


class _Https(_Watched, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http  # pyright: ignore[reportAssignmentType]


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https  # pyright: ignore[reportAssignmentType]


_pools: Final = {"http": _HttpPool, "https": _HttpsPool}


class DeadlineAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pools  # pyright: ignore[reportAttributeAccessIssue]

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> PoolManager:
        manager = super().proxy_manager_for(proxy, **proxy_kwargs)
        manager.pool_classes_by_scheme = _pools
        return manager

"""kombu's transport for Redis, which knows when its connection was given up.

A consumer that loses its connection closes it and then, once more, the channel that had messages in hand. That one
would build a new client from the connection's address, which is gone by then, and the AttributeError of it is no
trouble of a connection to Celery: it ended the worker (kombu 5.7.0, 7 times in 20 kills of Redis). Told as what it is,
a lost connection, it is waited for like any other; messages in hand come back by themselves, and are hints at most.
"""

from typing import Any, Final

import redis
from kombu import transport
from kombu.transport import redis as kombu_redis

PLACE: Final = f"{__name__}:Transport"
SCHEMES: Final = ("redis", "rediss")  # redis+socket is the first one's, too


class Channel(kombu_redis.Channel):
    def _connparams(self, asynchronous: bool = False) -> Any:
        if getattr(self.connection, "client", None) is None:
            raise redis.ConnectionError("the connection to the broker was given up")
        return super()._connparams(asynchronous=asynchronous)


class Transport(kombu_redis.Transport):
    Channel = Channel


def use() -> None:
    """From now on, in this process."""
    transport.TRANSPORT_ALIASES.update(dict.fromkeys(SCHEMES, PLACE))

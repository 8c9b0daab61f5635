"""Whose turn it is to call a CRM, said by Redis: one bucket per connection for all workers, on the server's clock.

The same decision as `crmbridge.budget.take`, in one step that nobody can come between. Redis away is no trouble: the
store's own row decides then (which at worst lets one more burst through at that moment, since it did not count along).
"""

import time
from collections.abc import Callable
from typing import Any, Final

from crmbridge.budget import Grant, Rate
from crmbridge.settings import Settings
from workers.broker import without_password
from workers.config import key_prefix, kombu_url
from workers.logs import logger

SOCKET_SECONDS: Final = 1.0  # a call to a CRM is not held up for longer
AWAY_SECONDS: Final = 10.0  # after a failure it is not asked for so long
KEEP_MILLISECONDS: Final = 60_000  # a bucket that has been full for so long is forgotten, which means the same

# KEYS: the bucket. ARGV: microseconds a call costs, calls at once, calls wanted, longest wait in microseconds, and for
# tests the time in place of the server's. Whole numbers below 2^53 are exact in Lua.
SCRIPT: Final = f"""
local clock = redis.call('TIME')
local now = tonumber(ARGV[5]) or (tonumber(clock[1]) * 1000000 + tonumber(clock[2]))
local interval, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local start = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local after = start + interval * cost
local wait = math.max(0, after - interval * burst - now)
if wait > tonumber(ARGV[4]) then
  return {{0, wait, start}}
end
local life = math.ceil((after - now) / 1000) + {KEEP_MILLISECONDS}
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', string.format('%.0f', life))
return {{1, wait, after}}
"""

_log = logger("crmbridge.workers")


class RedisBucket:
    def __init__(self, url: str, prefix: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url, self._prefix, self._clock = url, prefix, clock
        self._client: Any = None
        self._script: Any = None
        self._away_until = float("-inf")

    def take(self, connection: str, rate: Rate, *, wait_max: int, at: int | None = None) -> Grant | None:
        """None: Redis did not serve; nobody knows whether it counted."""
        if self._clock() < self._away_until:
            return None
        import redis

        words = [rate.interval, rate.burst, 1, wait_max, "" if at is None else at]
        try:
            script = self._script or self._connect()
            granted, wait, full_at = script(keys=[f"{self._prefix}bucket:{connection}"], args=words)
        except (redis.RedisError, OSError) as error:
            self._away_until = self._clock() + AWAY_SECONDS
            _log.warning(
                f"the broker {without_password(self._url)} does not keep the pace of calls at the moment "
                f"({type(error).__name__}); the store does",
                action="bucket_away",
            )
            return None
        return Grant(granted=bool(granted), wait=int(wait), full_at=int(full_at))

    def _connect(self) -> Any:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        plain = self._url.replace("redis+socket://", "unix://", 1).replace("?virtual_host=", "?db=", 1)
        # No repeating: a lost reply would take a second place (reliability §6).
        self._client = redis.Redis.from_url(
            plain,
            socket_connect_timeout=SOCKET_SECONDS,
            socket_timeout=SOCKET_SECONDS,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._script = self._client.register_script(SCRIPT)
        return self._script

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = self._script = None


def bucket_of(settings: Settings) -> RedisBucket | None:
    """None where no broker is set: the store keeps the pace."""
    url = settings.broker_url()
    return None if url is None else RedisBucket(kombu_url(url), key_prefix(settings))

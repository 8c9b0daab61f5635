"""Whether a broker answers, ours or the operator's, and since when it has not."""

from datetime import datetime, timedelta
from typing import Any, Final

from crmbridge.errors import ConfigError, OutsideError
from crmbridge.state.store import Store

AWAY_META: Final = "broker_away_since"  # blank: it answers


def ping(url: str) -> str:
    """Does a broker of the operator's answer? Once, without repeating: what is down is told at once.

    Returns what it does when its memory is full; '' where it does not tell."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    plain = url.replace("redis+socket://", "unix://", 1).replace("?virtual_host=", "?db=", 1)
    shown = without_password(url)
    try:
        client = redis.Redis.from_url(
            plain, socket_connect_timeout=5, socket_timeout=5, retry=Retry(NoBackoff(), 0), protocol=2
        )
        with client:
            client.ping()
            try:
                told: Any = client.config_get("maxmemory-policy")
            except redis.ResponseError:  # hosted ones hide it
                return ""
            return str(told.get("maxmemory-policy", ""))
    except (redis.RedisError, OSError) as error:
        raise OutsideError(
            f"The broker {shown} does not answer: {_first_line(error)}.",
            fix="Start it, or correct broker.url; without broker.url `crmbridge up` brings one of its own.",
            code="broker",
        ) from error
    except ValueError as error:
        raise ConfigError(
            f"broker.url is no address of a Redis server ({shown}).", fix="redis://HOST:6379/0"
        ) from error


def answers(store: Store, url: str) -> bool:
    """Does it answer this worker? Since when it has answered none stands in the store, for whoever looks there: a
    worker that alone is cut off from it notes that, and the next one that is not takes it back.

    Raises ConfigError for an address that is none."""
    try:
        ping(url)
    except OutsideError:
        if not store.meta(AWAY_META):
            store.set_meta(AWAY_META, store.now().isoformat())
        return False
    if store.meta(AWAY_META):
        store.set_meta(AWAY_META, "")
    return True


def away_for(store: Store) -> timedelta | None:
    """As the workers have noted it; None: it answers."""
    since = store.meta(AWAY_META)
    return store.now() - datetime.fromisoformat(since) if since else None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")


def without_password(url: str) -> str:
    start, at, host = url.rpartition("@")
    return f"{start.partition('://')[0]}://{host}" if at else url

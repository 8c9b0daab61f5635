"""How Celery is set, each line with its reason. Nothing here carries data: tasks carry the name of a queue of work, and
what is to be done stands in the store. So nothing is lost with the broker, and a task may run twice or never."""

import os
import ssl
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

from crmbridge import pace
from crmbridge.errors import ConfigError
from crmbridge.settings import Settings

TICK_SECONDS: Final = pace.NOW.tick  # 5
HINT_SECONDS: Final = 10  # a message that nobody took until then is thrown away; the next tick sends another
TASK_SECONDS: Final = 300  # a cycle that is still at it is asked to stop; the next one goes on from there (ADR 0016)
TASK_KILL_SECONDS: Final = 330
VISIBILITY_SECONDS: Final = 900  # above the longest task, or the broker hands it out a second time
SOFT_SHUTDOWN_SECONDS: Final = 150
QUEUE: Final = "crmbridge"
POOLS_REFUSED: Final = ("gevent", "eventlet")
REMAP: Final = "REMAP_SIGTERM"

_SCHEMES: Final = ("redis", "rediss", "redis+socket")
# Names of the same thing in other libraries' dialects.
_ALIASES: Final = {"valkey": "redis", "valkeys": "rediss", "unix": "redis+socket"}


def celery_settings(settings: Settings, broker_url: str | None = None) -> dict[str, Any]:
    url = broker_url or settings.broker_url()
    if url is None:
        raise ConfigError(
            "broker.url is not set, so there is nothing for workers to listen to.",
            fix="Set it in crmbridge.yaml; or use `crmbridge up`, which brings a broker of its own.",
            code="broker",
        )
    url = kombu_url(url)
    return {
        "broker_url": url,
        "broker_use_ssl": {"ssl_cert_reqs": ssl.CERT_REQUIRED} if url.startswith("rediss:") else None,
        # Nobody waits for a result: what came of a cycle stands in the store.
        "result_backend": None,
        "task_ignore_result": True,
        # Only JSON, and only from us: pickle in a broker is a way in.
        "accept_content": ["json"],
        "task_serializer": "json",
        # A hint that cannot be sent is sent again by the next tick.
        "task_publish_retry": False,
        # A broker that is away comes back; until then workers wait.
        "broker_connection_max_retries": None,
        "broker_connection_retry_on_startup": True,
        "broker_channel_error_retry": True,
        "broker_pool_acquire_timeout": 10,
        # A cycle does not need the broker: it is not torn out of its work when the connection breaks.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # A killed worker's task is handed out again; taken twice, the second finds the lease or nothing to do.
        "task_acks_late": _acks_late(),
        "task_reject_on_worker_lost": _acks_late(),
        "worker_prefetch_multiplier": 1,
        "worker_max_tasks_per_child": 1000,
        "task_time_limit": TASK_KILL_SECONDS,
        "task_soft_time_limit": TASK_SECONDS,
        "worker_soft_shutdown_timeout": SOFT_SHUTDOWN_SECONDS,
        "worker_send_task_events": False,
        # One process has the cycle; the others tick, and help with what it hands out.
        "worker_concurrency": 4,
        "worker_pool": "prefork",
        "worker_redirect_stdouts": False,
        "task_default_queue": QUEUE,
        "include": ["workers.tasks"],
        "timezone": "UTC",
        "enable_utc": True,
        # The schedule stands in crmbridge.yaml and in the store; beat has one entry and keeps no file. Two beats do no
        # harm, since a tick takes a lease.
        "beat_scheduler": "celery.beat:Scheduler",
        "beat_max_loop_interval": TICK_SECONDS,
        "beat_schedule": {
            "tick": {"task": "crmbridge.tick", "schedule": TICK_SECONDS, "options": {"expires": HINT_SECONDS}}
        },
        "broker_transport_options": {
            "visibility_timeout": VISIBILITY_SECONDS,
            # A killed worker's tasks come back after about this time; with the default scan it took 105 s.
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            # Several installations may share one Redis.
            "global_keyprefix": key_prefix(settings),
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "socket_keepalive": not url.startswith("redis+socket:"),
            "health_check_interval": 25,
            # A lost reply is not sent again: it once pushed the same message ten times.
            "retry_on_timeout": False,
        },
    }


def refuse_remapped_sigterm(env: Mapping[str, str] = os.environ) -> None:
    """Celery would take each stop of a supervisor for a cold one: the cycle under way is torn, not let to its end."""
    if env.get(REMAP):
        raise ConfigError(
            f"{REMAP} is set in the environment ({env[REMAP]}): SIGTERM would stop a worker in the middle of its work.",
            fix=f"Unset {REMAP}. SIGTERM lets a cycle come to its end; give it 180 s.",
            code="worker",
        )


def _acks_late() -> bool:
    """True in production. Nothing may lean on it, so the chaos test also runs with early acknowledgements, by
    CRMBRIDGE_TEST_ACKS=early."""
    return os.environ.get("CRMBRIDGE_TEST_ACKS") != "early"


def kombu_url(url: str) -> str:
    """Redis' address as kombu writes it."""
    scheme, colon, rest = url.partition(":")
    scheme = _ALIASES.get(scheme, scheme)
    if not colon or scheme not in _SCHEMES:
        raise ConfigError(
            f"broker.url begins with {scheme!r}; crmbridge's broker is Redis or Valkey, one server.",
            fix="Write redis://HOST:6379/0, rediss://... for TLS, or redis+socket:///PATH.",
            code="broker",
        )
    parts = urlsplit(f"{scheme}:{rest}")
    if "," in parts.netloc:
        raise ConfigError("broker.url names several hosts; a cluster is not supported.", fix="Name one server.")
    if scheme == "redis+socket" and "db" in (query := parse_qs(parts.query)):
        return f"{scheme}://{parts.path}?virtual_host={quote(query['db'][0])}"
    return f"{scheme}:{rest}"


def key_prefix(settings: Settings) -> str:
    """The same on every machine that shares a store, another one for another store; without its password."""
    parts = urlsplit(settings.store_url())
    place = f"{parts.scheme.partition('+')[0]}//{parts.hostname or ''}:{parts.port or ''}{parts.path}"
    return f"crmbridge:{sha256(place.encode()).hexdigest()[:8]}:"

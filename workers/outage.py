"""The store itself is away: then nobody can look how things stand, nor keep what was told.

Each process that finds it so says so here. What they know together stands in the broker for as long as it lasts: since
when, and that it was told; where the broker is away too, each process goes by what it knows alone. When the store
serves again the outage is written into it as an alarm that is over, and told as that, once.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from crmbridge import alerts, notify
from crmbridge.errors import ConfigError, CrmBridgeError
from crmbridge.settings import Settings
from crmbridge.state.store import Store
from workers.channels import channel_of
from workers.config import key_prefix, kombu_url
from workers.logs import logger

CODE: Final = "store"
KIND: Final[alerts.Kind] = "store"
SOCKET_SECONDS: Final = 1.0
KEPT_SECONDS: Final = 7 * 86400

_log = logger("crmbridge.alerts")


@dataclass(slots=True)
class _Memory:
    """What this process knows by itself."""

    since: float | None = None
    told_at: float | None = None
    installation: str = ""


_memory = _Memory()


def noticed(settings: Settings, error: CrmBridgeError, *, at: float | None = None) -> None:
    """The store did not serve this process. Told by one of all that find it so, once it has lasted for long enough."""
    if error.code != CODE:
        return
    at = time.time() if at is None else at
    notes = Notes(settings)
    _memory.since = notes.begun(_memory.since or at)
    now = datetime.fromtimestamp(at, UTC)
    facts = alerts.Facts(now=now, store=timedelta(seconds=at - _memory.since))
    found = next(iter(alerts.judge(settings.alerts.in_force, facts)), None)
    repeat = settings.alerts.repeats_after.total_seconds()
    if found is None or (_memory.told_at is not None and at - _memory.told_at < repeat) or not notes.claim(repeat):
        return
    since = datetime.fromtimestamp(_memory.since, UTC)
    alarm = alerts.Alarm(key=KIND, kind=KIND, message=found.message, since=since, seen_at=now, told_at=now)
    event: alerts.Event = "raised" if _memory.told_at is None and not notes.was_told() else "again"
    body = alerts.body(alerts.Change(alarm=alarm, event=event), now, _memory.installation)
    _log.warning(found.message, action=f"alert_{event}", alarm=KIND)
    channels = settings.alerts.heard_by(found.to)
    taken = [name for name, given in channels.items() if _tell(name, given, body)]
    if channels and not taken:
        notes.unclaim()  # the next one who looks tries again
        return
    _memory.told_at = at
    notes.note_told()


def over(store: Store, settings: Settings) -> None:
    """The store serves: was there an outage, and is it still to be told that it is over? The caller holds the lease of
    those who look, so one does it."""
    _memory.installation = store.installation_id()
    notes = Notes(settings)
    begun = notes.since() or _memory.since
    if begun is None:
        return
    told = _memory.told_at is not None or notes.was_told()
    since, now = datetime.fromtimestamp(begun, UTC), store.now()
    known = store.alarm_over_at((KIND,))
    if told and (known is None or known < since):
        message = f"the store serves again, after {alerts.words(now - since)}"
        alarm = alerts.Alarm(key=KIND, kind=KIND, message=message, since=since, seen_at=now, told_at=now, over_at=now)
        body = alerts.body(alerts.Change(alarm=alarm, event="over"), now, _memory.installation)
        heard = {
            name for rule in settings.alerts.in_force if rule.kind == KIND for name in settings.alerts.heard_by(rule.to)
        }
        store.save_alarms([alarm], [(name, body) for name in sorted(heard)])
        _log.info(message, action="alert_over", alarm=KIND)
    notes.forget()
    _memory.since = _memory.told_at = None


def _tell(name: str, given: Any, body: notify.Body) -> bool:
    try:
        notify.tell(channel_of(given), body)
    except (notify.NotTold, ConfigError) as reason:
        _log.warning(f"channel {name} did not take an alert: {reason}", action="alert_not_sent", channel=name)
        return False
    return True


class Notes:
    """What all processes know together, in the broker."""

    def __init__(self, settings: Settings) -> None:
        url = settings.broker_url()
        self._url = None if url is None else kombu_url(url)
        start = f"{key_prefix(settings)}store-away"
        self._since, self._claimed, self._told = start, f"{start}:claimed", f"{start}:told"

    def begun(self, at: float) -> float:
        """When it began, as whoever was first has noted."""

        def note(client: Any) -> Any:
            client.set(self._since, repr(at), nx=True, ex=KEPT_SECONDS)
            return client.get(self._since)

        noted = self._ask(note)
        return at if noted is None else float(noted)

    def since(self) -> float | None:
        noted = self._ask(lambda client: client.get(self._since))
        return None if noted is None else float(noted)

    def claim(self, seconds: float) -> bool:
        """Is it for this process to tell it? For one of those that share a broker, once in so long."""
        answer = self._ask(lambda client: bool(client.set(self._claimed, "1", nx=True, ex=max(1, int(seconds)))))
        return True if answer is None else bool(answer)

    def unclaim(self) -> None:
        self._ask(lambda client: client.delete(self._claimed))

    def note_told(self) -> None:
        self._ask(lambda client: client.set(self._told, "1", ex=KEPT_SECONDS))

    def was_told(self) -> bool:
        return bool(self._ask(lambda client: client.exists(self._told)))

    def forget(self) -> None:
        self._ask(lambda client: client.delete(self._since, self._claimed, self._told))

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        """None: nothing is known, or the broker is away too."""
        if self._url is None:
            return None
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        plain = self._url.replace("redis+socket://", "unix://", 1).replace("?virtual_host=", "?db=", 1)
        try:
            with redis.Redis.from_url(
                plain, socket_connect_timeout=SOCKET_SECONDS, socket_timeout=SOCKET_SECONDS,
                retry=Retry(NoBackoff(), 0), protocol=2,
            ) as client:  # fmt: skip
                return question(client)
        except (redis.RedisError, OSError):
            return None

"""Alarms that are known, and alerts on their way: kept in one transaction, so that what was decided is also told."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, func, insert, select, update

from crmbridge.alerts import Alarm
from crmbridge.state.database import now, put
from crmbridge.state.schema import alarm, alert_message, issue

BEING_SENT_SECONDS: Final = 120  # nobody else sends it meanwhile; longer than any channel may take
PAUSES_SECONDS: Final = (30, 60, 300, 900, 3600)
KEPT: Final = timedelta(days=1)  # an alert of yesterday tells nobody anything


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    id: int
    channel: str
    body: Mapping[str, str]
    attempts: int
    error: str


def current(connection: Connection) -> list[Alarm]:
    """Those that are not over, the oldest first."""
    statement = select(alarm).where(alarm.c.over_at.is_(None)).order_by(alarm.c.since, alarm.c.key)
    return [Alarm(**line) for line in connection.execute(statement).mappings()]


def last_over(connection: Connection, kinds: Sequence[str]) -> datetime | None:
    """When the last alarm of these kinds was over."""
    statement = select(func.max(alarm.c.over_at)).where(alarm.c.kind.in_(kinds))
    return connection.execute(statement).scalar_one()


def save(connection: Connection, alarms: Sequence[Alarm], messages: Sequence[tuple[str, Mapping[str, str]]]) -> None:
    """`messages`: (channel, body)."""
    at = now(connection)
    for one in alarms:
        values = {name: getattr(one, name) for name in alarm.c.keys()}  # noqa: SIM118 - columns, not a dict
        connection.execute(put(connection.dialect.name, alarm), values)
    for channel, body in messages:
        line = {"channel": channel, "body": json.dumps(body), "made_at": at, "due_at": at, "attempts": 0, "error": ""}
        connection.execute(insert(alert_message), line)


def take(connection: Connection, limit: int) -> list[Message]:
    """Alerts to send now. One whose sender dies is due again after a while."""
    at = now(connection)
    due = select(alert_message).where(alert_message.c.due_at <= at).order_by(alert_message.c.id).limit(limit)
    found = [
        Message(id=line.id, channel=line.channel, body=json.loads(line.body), attempts=line.attempts, error=line.error)
        for line in connection.execute(due.with_for_update())
    ]
    values = {"due_at": at + timedelta(seconds=BEING_SENT_SECONDS), "attempts": alert_message.c.attempts + 1}
    ids = [one.id for one in found]
    connection.execute(update(alert_message).where(alert_message.c.id.in_(ids)).values(values))
    return found


def sent(connection: Connection, id: int) -> None:
    connection.execute(delete(alert_message).where(alert_message.c.id == id))


def not_sent(connection: Connection, id: int, error: str) -> bool:
    """Tried again later; False: it is too old by now, and given up."""
    line = connection.execute(select(alert_message).where(alert_message.c.id == id)).one_or_none()
    at = now(connection)
    if line is None or at - line.made_at > KEPT:
        sent(connection, id)
        return False
    pause = PAUSES_SECONDS[min(line.attempts, len(PAUSES_SECONDS)) - 1]
    values = {"due_at": at + timedelta(seconds=pause), "error": error[:200]}
    connection.execute(update(alert_message).where(alert_message.c.id == id).values(values))
    return True


def waiting(connection: Connection) -> list[Message]:
    """Alerts that no channel has taken yet."""
    return [
        Message(id=line.id, channel=line.channel, body=json.loads(line.body), attempts=line.attempts, error=line.error)
        for line in connection.execute(select(alert_message).order_by(alert_message.c.id))
    ]


def refused_lately(connection: Connection, since: timedelta) -> int:
    """Records that a CRM refused in this time."""
    after = now(connection) - since
    where = (issue.c.closed_at.is_(None), issue.c.kind == "failed", issue.c.seen_at >= after)
    return connection.execute(select(func.count()).select_from(issue).where(*where)).scalar_one()

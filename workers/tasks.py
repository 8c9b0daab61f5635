"""The two tasks. They carry a reference at most; what is to be done, and whether, stands in the store."""

from typing import Any

from kombu.exceptions import OperationalError

from workers import cycle, schedule
from workers.app import app, desk

task: Any = app.task  # Celery's decorator has no types


@task(name="crmbridge.tick")
def tick() -> None:
    """Every few seconds: send hints for what is due. The lease makes one tick of many beats."""
    for queue in cycle.tick(desk):
        _send(queue)
    cycle.watch(desk)


@task(name="crmbridge.drain")
def drain(queue: str) -> None:
    """One cycle at most, and none if another worker is at it or nothing is due any more; or a while's help with one."""
    cycle.drain(desk, queue, _ask_for_help)


def _send(queue: str) -> None:
    drain.apply_async((queue,), expires=cycle.DRAIN_HINT_SECONDS)


def _ask_for_help(workers: int) -> None:
    """Without a broker nobody hears it, and the cycle is done by one worker alone."""
    for _ in range(workers):
        try:
            _send(schedule.LANES)
        except OperationalError:
            return

"""The two tasks. They carry a reference at most; what is to be done, and whether, stands in the store."""

from typing import Any

from celery.exceptions import SoftTimeLimitExceeded

from workers import cycle
from workers.app import app, desk

task: Any = app.task  # Celery's decorator has no types


@task(name="crmbridge.tick")
def tick() -> None:
    """Every few seconds: send hints for what is due. The lease makes one tick of many beats."""
    for queue in cycle.tick(desk):
        drain.apply_async((queue,), expires=cycle.DRAIN_HINT_SECONDS)


@task(name="crmbridge.drain")
def drain(queue: str) -> None:
    """One cycle at most, and none if another worker is at it or nothing is due any more."""
    try:
        cycle.drain(desk, queue)
    except SoftTimeLimitExceeded:
        cycle.ran_out_of_time()

"""`celery -A workers.app worker` and `celery -A workers.app beat`: the Celery application, from crmbridge.yaml.

The settings are found by CRMBRIDGE_CONFIG or in the working directory, as everywhere.
"""

import logging
import sys
from typing import Any, NoReturn

from celery import Celery, signals

from crmbridge import settings as settings_module
from crmbridge import tracing
from crmbridge.errors import CrmBridgeError
from workers import logs, transport
from workers.config import POOLS_REFUSED, celery_settings, refuse_remapped_sigterm
from workers.cycle import DRAIN_HINT_SECONDS
from workers.desk import Desk
from workers.pulse import Pulse


def _fail(error: CrmBridgeError) -> NoReturn:
    """Celery would print a traceback; what is wrong is a line of the settings."""
    for line in (str(error), *getattr(error, "problems", ())):
        print(line, file=sys.stderr)  # noqa: T201 - before logging is set up
    raise SystemExit(error.exit_code)


def make_app() -> tuple[Celery, Desk]:
    refuse_remapped_sigterm()
    settings = settings_module.load()
    transport.use()
    made = Celery("crmbridge", set_as_current=True)
    made.config_from_object(celery_settings(settings))
    return made, Desk(settings.path)


try:
    app, desk = make_app()
except CrmBridgeError as problem:
    _fail(problem)


_pulse: Pulse | None = None


@signals.setup_logging.connect
def _set_up_logging(loglevel: int | None = None, **_: Any) -> None:
    logs.configure(loglevel or logging.INFO)


@signals.worker_init.connect
def refuse_green_pools(sender: Any = None, **_: Any) -> None:
    pool = sender.pool_cls
    name = pool if isinstance(pool, str) else pool.__module__
    green = next((green for green in POOLS_REFUSED if green in name), None)
    if green is not None:
        print(  # noqa: T201
            f"The pool {green} is refused: database drivers and login libraries would block it, and "
            "time limits do not work there. Use prefork (the default), or threads.",
            file=sys.stderr,
        )
        raise SystemExit(2)


@signals.worker_init.connect
def _tell_nobody(sender: Any = None, **_: Any) -> None:
    """What workers have to know of each other stands in the store. Celery's own talk among them needs the broker, and
    stumbles over one that comes back (Gossip: AttributeError, celery 5.7.0)."""
    sender.options.update(without_gossip=True, without_mingle=True, without_heartbeat=True)


@signals.worker_ready.connect
def _begin_pulse(**_: Any) -> None:
    global _pulse  # noqa: PLW0603 - one worker in a process
    _pulse = Pulse(desk.settings.path, _send)
    _pulse.begin()


def _send(queue: str) -> None:
    app.send_task("crmbridge.drain", (queue,), expires=DRAIN_HINT_SECONDS)


@signals.worker_shutting_down.connect
def _end_pulse(**_: Any) -> None:
    if _pulse is not None:
        _pulse.end()


@signals.worker_process_init.connect
def _begin_process(**_: Any) -> None:
    desk.after_fork()


@signals.worker_process_shutdown.connect
def _end_process(**_: Any) -> None:
    desk.close()
    tracing.end()

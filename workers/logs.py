"""One line per event: for people on a terminal, JSON elsewhere. A sentence, a stable word, and the ids of the run and
the pair that are at work.

Of an error that nobody expected types and places are logged, never its text nor any variable: both may hold what a
customer wrote. CRMBRIDGE_DEBUG=1 shows Python's own traceback.
"""

import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

from crmbridge import about
from crmbridge.printable import one_line
from crmbridge.trouble import where

# Celery says for each message that it came and went: at one tick in five seconds that is noise.
_QUIET: Final = ("celery.worker.strategy", "celery.app.trace", "celery.beat", "celery.worker.consumer.gossip", "kombu")
# Celery says at each reconnection that its default for this will change some day; here it is set.
_CHOSEN: Final = "worker_cancel_long_running_tasks_on_connection_loss"
_ACK_SAYS: Final = "Couldn't ack"  # with a stack, as if something were lost
_BEAT_SAYS: Final = "Message Error: %s\n%s"


def configure(level: int = logging.INFO) -> None:
    shared: list[Any] = [
        _with_ids,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    terminal = sys.stderr.isatty()
    # Its usual tracebacks show the variables of each frame.
    console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer: Any = console if terminal else structlog.processors.JSONRenderer()
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *([] if os.environ.get("CRMBRIDGE_DEBUG") else [_places_only]),
            *([_on_one_line] if terminal else [structlog.processors.format_exc_info]),
            renderer,
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(_without_values)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("crmbridge").setLevel(min(logging.INFO, level))  # Celery's default would hide each cycle's line
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def logger(name: str) -> Any:
    return structlog.get_logger(name)


def _with_ids(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, id_ in about.now().items():
        event.setdefault(name, id_)
    return event


def _without_values(record: logging.LogRecord) -> bool:
    """Celery says of a task that failed what the exception said, in words and once more as data; its beat says of a
    broker that is away where the program was, in dozens of lines."""
    if record.name == "py.warnings" and _CHOSEN in record.getMessage():
        return False
    data = getattr(record, "data", None)
    if record.name == "celery.app.trace" and isinstance(data, dict) and not os.environ.get("CRMBRIDGE_DEBUG"):
        error = record.exc_info[1] if record.exc_info else None
        record.msg, record.args = "Task %s failed: %s", (data.get("name"), type(error).__name__)
        record.__dict__.pop("data")
    if record.name == "celery.beat" and record.msg == _BEAT_SAYS and len(record.args or ()) == 2:
        record.msg, record.args = "%s; the next tick is sent when the broker serves again", (record.args[0],)  # type: ignore[index]
        record.exc_info = None
    if record.name.startswith("celery.worker") and str(record.msg).startswith(_ACK_SAYS):
        record.msg, record.args, record.exc_info = "the broker went away before a hint was acknowledged", (), None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


def _places_only(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    error = event.pop("exc_info", None)
    error = error[1] if isinstance(error, tuple) else sys.exc_info()[1] if error is True else error
    if isinstance(error, BaseException):
        event["exception"] = "\n".join(where(error))
    event.pop("stack_info", None)
    return event


def _on_one_line(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """On a terminal nothing that was logged looks like a line of ours, or is obeyed. JSON escapes by itself."""
    kept = ("exception", "exc_info")
    return {
        name: one_line(value) if isinstance(value, str) and name not in kept else value for name, value in event.items()
    }

"""Spans for OpenTelemetry: a run, its phases, its calls to a CRM. Nothing where nobody asked for them.

They are sent when the extra `otel` is installed and OTEL_EXPORTER_OTLP_ENDPOINT (or ..._TRACES_ENDPOINT) is set; the
other variables of OpenTelemetry hold as well. A span has names, ids and numbers; never a URL, a value of a record or
the text of an error.
"""

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from crmbridge.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
Note = dict[str, str | int | float | bool]

_provider: "TracerProvider | None" = None
_tracer: Any = None
_pid = 0


def begin(environment: Mapping[str, str] = os.environ) -> None:
    """Once a process, and again in a forked one: its parent's thread that sends is not there any more.

    Raises ConfigError if spans are asked for and the extra is not installed."""
    global _pid  # noqa: PLW0603 - one process has one tracer; passing it through every layer would be noise
    if not any(environment.get(name) for name in ENDPOINTS) or _pid == os.getpid():
        return
    try:
        import requests
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigError(
            f"{ENDPOINTS[0]} is set, and OpenTelemetry is not installed.",
            fix="pip install 'crmbridge[otel]', or unset it.",
            code="otel",
        ) from error
    session = requests.Session()
    session.trust_env = False  # as everywhere: no proxy and no password file from the environment
    name = environment.get("OTEL_SERVICE_NAME") or "crmbridge"
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}), shutdown_on_exit=True)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(session=session)))
    use(provider)
    _pid = os.getpid()


def use(provider: "TracerProvider | None") -> None:
    """This one from now on; None: no spans."""
    global _provider, _tracer  # noqa: PLW0603 - see above
    _provider = provider
    _tracer = provider.get_tracer("crmbridge") if provider is not None else None


def end() -> None:
    """What was not sent yet is sent: a worker's process ends without running what stands at exit."""
    if _provider is not None:
        _provider.force_flush(5000)


@contextmanager
def span(name: str, **attributes: str | int | float | bool | None) -> Generator[Note]:
    """`attributes` are there from the start; what the span yields may be filled until its end."""
    more: Note = {}
    if _tracer is None:
        yield more
        return
    from opentelemetry.trace import Status, StatusCode

    known = {f"crmbridge.{key}": value for key, value in attributes.items() if value is not None}
    with _tracer.start_as_current_span(
        name, attributes=known, record_exception=False, set_status_on_exception=False
    ) as one:
        try:
            yield more
        except BaseException as error:
            one.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            one.set_attributes({f"crmbridge.{key}": value for key, value in more.items()})

"""Spans of a run, sent by OpenTelemetry's own exporter to a real receiver; none where nobody asked."""

import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from crmbridge import tracing
from tests.support.engine import bench


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    yield exporter
    tracing.use(None)
    provider.shutdown()


def words(span: ReadableSpan) -> dict[str, Any]:
    return {key.removeprefix("crmbridge."): value for key, value in (span.attributes or {}).items()}


def trace_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.trace_id


def test_without_asking_there_is_nothing() -> None:
    with tracing.span("call", table="lead") as told:
        told["status"] = 200


def test_what_is_said_at_the_start_and_at_the_end_is_told(spans: InMemorySpanExporter) -> None:
    with tracing.span("call", table="lead", connection=None) as told:
        told["status"] = 200
    (one,) = spans.get_finished_spans()
    assert (one.name, words(one)) == ("call", {"table": "lead", "status": 200})


def test_an_error_is_named_and_its_text_is_not(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="Canary"), tracing.span("call"):
        raise ValueError("Canary Lovelace, +47 22 22 55 55")
    (one,) = spans.get_finished_spans()
    assert one.status.description == "ValueError"
    assert "Canary" not in one.to_json()


def test_a_run_is_one_trace(spans: InMemorySpanExporter, tmp_path: Path) -> None:
    with bench(f"sqlite:///{tmp_path}/state.sqlite3") as desk:
        desk.crm("left").add("lead", last_name="Canary", company="Canary Ltd")
        desk.sync()
    found = spans.get_finished_spans()
    assert {one.name for one in found} >= {"sync", "phase"}
    runs = {trace_of(one) for one in found if one.name == "sync"}
    assert len(runs) == sum(one.name == "sync" for one in found)
    for one in found:
        assert trace_of(one) in runs
        assert "Canary" not in one.to_json()
    phases = {words(one)["entity"] for one in found if one.name == "phase"}
    assert phases == {"account", "contact", "lead", "opportunity"}


class Receiver(ThreadingHTTPServer):
    def __init__(self) -> None:
        self.got: list[ExportTraceServiceRequest] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        request = ExportTraceServiceRequest()
        request.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
        assert isinstance(self.server, Receiver)
        self.server.got.append(request)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


PROGRAM = """
from crmbridge import tracing
tracing.begin()
with tracing.span("sync", run="r1"):
    pass
"""


def test_they_reach_a_collector_from_a_process_of_its_own() -> None:
    with Receiver() as receiver:
        thread = Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        address = f"http://127.0.0.1:{receiver.server_port}"
        # A proxy of the environment is not asked, as everywhere.
        environment = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "HTTP_PROXY": "http://127.0.0.1:9"}
        ran = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False
        )
        receiver.shutdown()
        thread.join()
    assert (ran.returncode, ran.stderr) == (0, "")
    resource = receiver.got[0].resource_spans[0]
    assert [span.name for span in resource.scope_spans[0].spans] == ["sync"]
    assert "crmbridge" in [one.value.string_value for one in resource.resource.attributes if one.key == "service.name"]

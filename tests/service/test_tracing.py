"""Traces: one per request, across processes, sent to a collector by OpenTelemetry's own protocol; else no cost."""

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from equifield_service import tracing

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

GATEWAY = """
import asyncio, subprocess, sys
import httpx
from equifield_service import tracing
from equifield_service.app import create_app
from equifield_service.settings import Settings

settings = Settings()
tracing.start(settings.otlp_endpoint)
app = create_app(settings)

@app.get("/work")
async def work() -> str:
    with tracing.span("payload decode"):
        pass
    with tracing.span("device"):
        subprocess.run([sys.executable, "-c", sys.argv[1], tracing.traceparent()], check=True)
    return "done"

async def story():
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        await client.get("/work", headers={"traceparent": sys.argv[2]})
        await client.get("/healthz/live", headers={"traceparent": "00-nonsense"})
        await client.get("/healthz/live")

asyncio.run(story())
"""

WORKER = """
import sys
from equifield_service import tracing
from equifield_service.settings import Settings
tracing.start(Settings().otlp_endpoint)
with tracing.continued("worker predict", sys.argv[1]):
    pass
"""

QUEUE = """
import asyncio, contextlib
from equifield_service import tracing
from equifield_service.domain.errors import DeadlineExceeded
from equifield_service.settings import Settings
from tests.service.scheduling.clock import simulate
from tests.service.scheduling.test_scheduler import KEY, SAMPLE_BYTES, Doubler, running, samples

async def request(scheduler, number, deadline):
    with tracing.span(f"request {number}"), contextlib.suppress(DeadlineExceeded):
        await scheduler.submit(KEY, samples(1.0), sample_bytes=SAMPLE_BYTES, deadline=deadline)

async def story():
    async with running(Doubler(), max_batch=1) as scheduler:
        await asyncio.gather(*(request(scheduler, n, 1.5 if n == 4 else 60.0) for n in range(5)))

tracing.start(Settings().otlp_endpoint)
simulate(story())
"""


class Collector(http.server.ThreadingHTTPServer):
    """A collector of traces that keeps them."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        super().__init__(("127.0.0.1", 0), Receiver)


class Receiver(http.server.BaseHTTPRequestHandler):
    """One delivery."""

    server: Collector

    def do_POST(self) -> None:
        """Takes the spans."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        sent = ExportTraceServiceRequest.FromString(body)
        assert self.path == "/v1/traces"
        self.server.spans += [
            span for resource in sent.resource_spans for scope in resource.scope_spans for span in scope.spans
        ]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def spans() -> Iterator[dict[str, list[Span]]]:
    """The spans, by name, of a gateway that serves three requests, a worker that has part in one, and a queue."""
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{collector.server_address[1]}"
        try:
            command = [sys.executable, "-c", GATEWAY, WORKER, PARENT]
            environment = {"EQUIFIELD_OTLP_ENDPOINT": address, "PATH": "", "PYTHONPATH": ":".join(sys.path)}
            subprocess.run(command, env=environment, check=True, timeout=120)
            subprocess.run([sys.executable, "-c", QUEUE], env=environment, check=True, timeout=120)
        finally:
            collector.shutdown()
            thread.join()
    found: dict[str, list[Span]] = {}
    for span in collector.spans:
        found.setdefault(span.name, []).append(span)
    yield found


def test_the_parts_of_a_request_are_one_trace_across_processes(spans: dict[str, list[Span]]) -> None:
    request = spans["request"][0]
    assert request.trace_id.hex() == PARENT.split("-")[1] and request.parent_span_id.hex() == PARENT.split("-")[2]
    (decode,), (device,), (worker,) = spans["payload decode"], spans["device"], spans["worker predict"]
    assert {span.trace_id for span in (decode, device, worker)} == {request.trace_id}
    assert {span.parent_span_id for span in (decode, device)} == {request.span_id}
    assert worker.parent_span_id == device.span_id


def test_the_time_in_the_queue_is_a_part_of_its_request_until_its_turn_or_its_deadline(
    spans: dict[str, list[Span]],
) -> None:
    waited = {queue.parent_span_id: queue.end_time_unix_nano - queue.start_time_unix_nano for queue in spans["queue"]}
    assert [waited[spans[f"request {number}"][0].span_id] / 1e9 for number in range(5)] == [0, 0, 1, 2, 1.5]


def test_a_request_says_what_was_asked_and_answered(spans: dict[str, list[Span]]) -> None:
    found = {attribute.key: attribute.value for attribute in spans["request"][0].attributes}
    assert found["http.route"].string_value == "/work"
    assert found["http.request.method"].string_value == "GET"
    assert found["http.response.status_code"].int_value == 200


def test_a_request_without_a_sane_parent_begins_a_trace_of_its_own(spans: dict[str, list[Span]]) -> None:
    _, *others = spans["request"]
    assert [span.parent_span_id for span in others] == [b"", b""]
    assert len({span.trace_id for span in spans["request"]}) == 3


def test_without_a_collector_nothing_is_made() -> None:
    assert tracing.span("one") is tracing.span("other") is tracing.continued("third", PARENT)
    assert tracing.traceparent() is None and tracing.trace_id() is None


def test_without_a_collector_nothing_that_sends_is_even_imported() -> None:
    code = "import sys, equifield_service.server; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"equifield_service.telemetry", "opentelemetry.sdk", "requests"} & set(loaded)

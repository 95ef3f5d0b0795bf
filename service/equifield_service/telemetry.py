"""Spans by OpenTelemetry, sent to a collector over HTTP; imported only when there is one."""

import os
import time
from contextlib import AbstractContextManager

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

SENT_EVERY_MS = 1000


class Telemetry:
    """The recorder behind `tracing`.

    Args:
        endpoint: Where a collector listens, such as `http://localhost:4318`.
    """

    def __init__(self, endpoint: str):
        name = os.environ.get("OTEL_SERVICE_NAME", "equifield")
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        provider = TracerProvider(resource=Resource.create({"service.name": name}))
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=SENT_EVERY_MS))
        self._tracer = provider.get_tracer("equifield")
        self._wire = TraceContextTextMapPropagator()

    def span(self, name: str) -> AbstractContextManager[object]:
        """A child of the current span."""
        return self._tracer.start_as_current_span(name)

    def continued(self, name: str, traceparent: str | None) -> AbstractContextManager[object]:
        """A child of a span of another process, or a root."""
        outside = Context()
        if traceparent is not None:
            outside = self._wire.extract({"traceparent": traceparent}, context=outside)
        return self._tracer.start_as_current_span(name, context=outside)

    def past(self, name: str, seconds_ago: float, seconds: float) -> None:
        """A child of the current span that began some seconds ago and took some."""
        began = time.time_ns() - round(seconds_ago * 1e9)
        self._tracer.start_span(name, start_time=began).end(began + round(seconds * 1e9))

    def describe(self, attributes: dict[str, str | int]) -> None:
        """Sets attributes of the current span."""
        get_current_span().set_attributes(attributes)

    def traceparent(self) -> str | None:
        """The current span, as W3C Trace Context writes it."""
        carrier: dict[str, str] = {}
        self._wire.inject(carrier)
        return carrier.get("traceparent")

"""Traces of requests across the processes of the service; next to no cost while nobody collects them."""

import importlib
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Recorder(Protocol):
    """What records spans, once tracing has been started."""

    def span(self, name: str) -> AbstractContextManager[object]:
        """As `tracing.span`."""

    def continued(self, name: str, traceparent: str | None) -> AbstractContextManager[object]:
        """As `tracing.continued`."""

    def past(self, name: str, seconds_ago: float, seconds: float) -> None:
        """As `tracing.past`."""

    def describe(self, attributes: dict[str, str | int]) -> None:
        """As `tracing.describe`."""

    def traceparent(self) -> str | None:
        """As `tracing.traceparent`."""


_NOTHING: AbstractContextManager[object] = nullcontext()
_recorder: Recorder | None = None


def start(endpoint: str | None) -> None:
    """Sends the spans of this process to a collector at `endpoint`; without one, nothing is recorded.

    Raises:
        ImportError: the extra `telemetry` is not installed.
    """
    global _recorder
    if endpoint is not None:
        _recorder = importlib.import_module(".telemetry", __package__).Telemetry(endpoint)


def span(name: str) -> AbstractContextManager[object]:
    """A part of what goes on now, as long as the context lasts."""
    return _NOTHING if _recorder is None else _recorder.span(name)


def continued(name: str, traceparent: str | None) -> AbstractContextManager[object]:
    """A part of what another process began, as W3C Trace Context names it; the start of a trace where that is None."""
    return _NOTHING if _recorder is None else _recorder.continued(name, traceparent)


def past(name: str, seconds_ago: float, seconds: float) -> None:
    """A part of what goes on now that is already over."""
    if _recorder is not None:
        _recorder.past(name, seconds_ago, seconds)


def describe(attributes: dict[str, str | int]) -> None:
    """Adds to what goes on now."""
    if _recorder is not None:
        _recorder.describe(attributes)


def traceparent() -> str | None:
    """What goes on now, as a string for another process to continue; None when nothing is recorded."""
    return None if _recorder is None else _recorder.traceparent()


def trace_id() -> str | None:
    """The trace that what goes on now belongs to, for the log."""
    current = traceparent()
    return None if current is None else current.split("-")[1]

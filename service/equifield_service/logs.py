"""The log: one JSON object per line on stderr, or text for people; the same in every process of the service."""

import contextlib
import logging
import sys
from contextvars import ContextVar
from typing import Literal

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

Format = Literal["auto", "json", "console"]

CHATTY = ("absl", "jax", "orbax")
"""Loggers that tell of every step they take; their warnings are kept."""

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being served, for every line that is logged meanwhile."""

_STAMPS: tuple[Processor, ...] = (
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.add_log_level,
)
_access: FilteringBoundLogger | None = None


def log_access(line: EventDict) -> None:
    """Logs one request; nothing before `configure_logging`. Not by way of `logging`, which takes twice as long."""
    if _access is not None:
        with contextlib.suppress(OSError):  # nobody reads the log any more, but the request was answered
            _access.info("request", **line)


def configure_logging(form: Format, level: str) -> None:
    """Sends every logger of this process through one formatter to stderr; called once, as a process starts.

    Args:
        form: `json`, `console`, or `auto`: console where stderr is a terminal.
        level: The least that is logged.
    """
    global _access
    people = form == "console" or (form == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                *_STAMPS,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                _complete,
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(people)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    _access = structlog.wrap_logger(
        structlog.WriteLogger(sys.stderr),
        processors=[*_STAMPS, *_renderers(people)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    ).bind(logger="equifield.access")


def _renderers(people: bool) -> list[Processor]:
    if people:
        return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def _complete(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    event.pop("color_message", None)  # uvicorn's, for terminals
    current = request_id.get()
    if current is not None:
        event.setdefault("request_id", current)
    return event

"""The log: one JSON object per line on stderr, or text for people; the same in every process of the service."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

Format = Literal["auto", "json", "console"]
Process = Literal["gateway", "payload", "worker"]

CHATTY = ("absl", "jax", "orbax")
"""Loggers that tell of every step they take; their warnings are kept."""

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being served, for every line that is logged meanwhile."""

_STAMPS: tuple[Processor, ...] = (
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.add_log_level,
)
_access: FilteringBoundLogger | None = None


@dataclass(frozen=True)
class LogOptions:
    """What a process must know to log as the others do.

    Attributes:
        form: `json`, `console`, or `auto`: console where stderr is a terminal.
        level: The least that is logged.
    """

    form: Format = "auto"
    level: str = "info"


def log_access(line: EventDict) -> None:
    """Logs one request; nothing before `configure_logging`. Not by way of `logging`, which takes twice as long."""
    if _access is not None:
        with contextlib.suppress(OSError):  # nobody reads the log any more, but the request was answered
            _access.info("request", **line)


def configure_logging(process: Process, options: LogOptions) -> None:
    """Sends every logger of this process through one formatter to stderr; called once, as a process starts."""
    global _access
    people = options.form == "console" or (options.form == "auto" and sys.stderr.isatty())
    stamps: list[Processor] = [*_STAMPS, _Origin(process, os.getpid())]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                *stamps,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                _complete,
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(people)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(options.level.upper())
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    _access = structlog.wrap_logger(
        structlog.WriteLogger(sys.stderr),
        processors=[*stamps, *_renderers(people)],
        wrapper_class=structlog.make_filtering_bound_logger(options.level),
    ).bind(logger="equifield.access")


@contextlib.contextmanager
def last_words() -> Iterator[None]:
    """Logs what ends a child process, which multiprocessing would print in a form of its own.

    Raises:
        SystemExit: In place of any other exception.
    """
    try:
        yield
    except Exception:
        logging.getLogger(__name__).critical("the process ends", exc_info=True)
        raise SystemExit(1) from None


@dataclass(frozen=True)
class _Origin:
    """Says in every line which process it comes from."""

    process: Process
    pid: int

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["process"], event["pid"] = self.process, self.pid
        return event


def _renderers(people: bool) -> list[Processor]:
    if people:
        plain = structlog.dev.plain_traceback  # others import while they write, which a payload process cannot
        return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def _complete(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    event.pop("color_message", None)  # uvicorn's, for terminals
    current = request_id.get()
    if current is not None:
        event.setdefault("request_id", current)
    return event

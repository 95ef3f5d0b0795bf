"""Running the application: the socket, the signals, and the line that says it is ready."""

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

import uvicorn
from pydantic import ValidationError

from . import tracing
from .app import create_app
from .domain.errors import SpoolFailed
from .domain.store import StoreUnavailable
from .logs import LogOptions, configure_logging
from .parts import Parts
from .protocol import Bounds, bounded
from .settings import Settings

USAGE = 2
FAILED = 3  # to start; newer versions of uvicorn exit with it by themselves


class Server(uvicorn.Server):
    """uvicorn that ends with exit code 0 after SIGTERM, instead of raising the signal once more.

    `leaving` is called at the signal, for answers that would otherwise never end.
    """

    def __init__(self, config: uvicorn.Config, leaving: Callable[[], None]):
        super().__init__(config)
        self._leaving = leaving

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins to end."""
        super().handle_exit(sig, frame)
        self._leaving()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ends the service gracefully; at once when Ctrl-C comes after another signal."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


def run(given: Mapping[str, Any]) -> int:
    """Serves until a signal; returns the exit code."""
    try:
        settings = Settings(**given)
    except ValidationError as error:
        return _refuse("; ".join(_fault(fault["loc"], fault["msg"]) for fault in error.errors()))
    configure_logging("gateway", LogOptions(settings.log_format, settings.log_level))
    tracing.start(settings.otlp_endpoint)
    try:
        parts = Parts(settings)
        parts.store.check()
        parts.jobs.spool.start()
    except (StoreUnavailable, SpoolFailed, ImportError, ValueError) as error:
        return _refuse(str(error))
    try:
        listener = _listen(settings.host, settings.port)
    except OSError as error:
        return _refuse(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}. Choose another --port.")
    with listener:
        config = uvicorn.Config(
            create_app(settings, parts),
            http=bounded(Bounds(settings.max_connections, settings.header_timeout_s, settings.reader_patience_s)),
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_graceful_shutdown=round(settings.grace_seconds),
        )
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            return runner.run(_serve(config, parts, listener))


async def _serve(config: uvicorn.Config, parts: Parts, listener: socket.socket) -> int:
    server = Server(config, parts.jobs.news.close)
    announcement = asyncio.create_task(_announce(parts, listener))
    try:
        await server.serve(sockets=[listener])
    finally:
        announcement.cancel()
    return 0 if server.started else FAILED


async def _announce(parts: Parts, listener: socket.socket) -> None:
    """One line on stdout when every model is ready, or has failed: scripts wait for it."""
    url = _url(listener)
    health = await parts.registry.settled()
    gc.collect()
    gc.freeze()  # what was made so far stays: looking through it again stops every request for 20 to 40 ms
    if health == "ready":
        _say(f"Equifield is ready on {url}")
        return
    failed = [f"{entry.package}: {entry.reason}" for entry in parts.registry.entries() if entry.state == "failed"]
    reasons = "; ".join(failed) or f"there is no model in '{parts.settings.store}'"
    _say(f"Equifield is running on {url} but not ready: {reasons}")


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _fault(where: tuple[int | str, ...], message: str) -> str:
    return f"{where[0]}: {message.removeprefix('Value error, ')}"


def _refuse(reason: str) -> int:
    sys.stderr.write(f"equifield serve: {reason}\n")
    return USAGE

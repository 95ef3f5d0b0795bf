"""HTTP/1.1 with bounds on what uvicorn leaves open.

How long a head takes and how large it is, how many connect, and how long somebody may leave an answer unread.
"""

import json
import socket
import struct
from asyncio import TimerHandle, Transport
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_LIMIT = 64 * 1024
BUSY_SECONDS = 5
AT_ONCE = struct.pack("ii", 1, 0)  # closing forgets what was not sent, in the kernel too


@dataclass(frozen=True)
class Bounds:
    """What a connection may do."""

    max_connections: int
    header_timeout_s: float
    reader_patience_s: float


class BoundedProtocol(HttpToolsProtocol):
    """One connection. What is refused before there is a request gets a problem of its own, then the connection ends.

    A clock runs from the first byte of a head, or from the connection, until the head is whole; and when the rest
    of a body comes in whose request was answered already.
    """

    _bounds: Bounds

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._clock: TimerHandle | None = None
        self._reader_clock: TimerHandle | None = None
        self._head_bytes = 0
        self._in_head, self._heads_begun = True, 0
        self._deaf = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Starts the clock; turns away who is one too many."""
        super().connection_made(transport)
        self._start_clock()
        if len(self.connections) > self._bounds.max_connections:
            wait = f"The service has {self._bounds.max_connections} connections. Try again in {BUSY_SECONDS} s."
            self._refuse(503, "too_many_connections", "The service has no room for another connection", wait)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clocks."""
        self._stop_clock()
        self._stop_reader_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Reads on, as long as the head is not too large."""
        if self.transport.is_closing() or self._deaf:
            return
        was_idle, self._heads_begun = self._idle, 0
        super().data_received(data)
        if self._idle:
            self._start_clock()
        if self._in_head and self._heads_begun <= was_idle:  # else it began behind other data
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_LIMIT:
                law = f"The request line and headers have more than {HEAD_LIMIT} bytes. Send less in headers."
                self._refuse(431, "headers_too_large", "The headers are too large", law)

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head, self._head_bytes = True, 0
        self._heads_begun += 1
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole; what happens now is the affair of the request's deadline."""
        self._stop_clock()
        self._in_head = False
        super().on_headers_complete()

    def pause_writing(self) -> None:
        """An answer waits to be read."""
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        """It was."""
        self._stop_reader_clock()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuses what is not HTTP."""
        self._refuse(400, "malformed_request", "This is not HTTP", "The request is not valid HTTP/1.1.")

    @property
    def _idle(self) -> bool:
        """Whether no request is being served."""
        return self.cycle is None or self.cycle.response_complete

    def _start_clock(self) -> None:
        if self._clock is None:
            self._clock = self.loop.call_later(self._bounds.header_timeout_s, self._too_slow)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _await_reader(self) -> None:
        unread, wait = self.transport.get_write_buffer_size(), self._bounds.reader_patience_s
        self._reader_clock = self.loop.call_later(wait, self._look_after_reader, unread)

    def _look_after_reader(self, unread: int) -> None:
        if self.transport.get_write_buffer_size() >= unread:
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            self.transport.abort()
        else:
            self._await_reader()

    def _stop_reader_clock(self) -> None:
        if self._reader_clock is not None:
            self._reader_clock.cancel()
            self._reader_clock = None

    def _too_slow(self) -> None:
        law = f"The head of a request may take {self._bounds.header_timeout_s:g} s."
        self._refuse(408, "head_too_slow", "The request came too slowly", law)

    def _refuse(self, status: int, code: str, title: str, detail: str) -> None:
        """Says why and ends the connection; after the answer, where a whole request still waits for one."""
        self._stop_clock()
        if self.transport.is_closing():
            return
        if not self._idle and not self.cycle.more_body:
            self._deaf, self.cycle.keep_alive = True, False
            return
        if self._idle and self._in_head:
            self.transport.write(_problem(status, code, title, detail))
        self.transport.close()


def bounded(bounds: Bounds) -> type[BoundedProtocol]:
    """The protocol with these bounds, for uvicorn, which makes one for each connection."""
    return type("Bounded", (BoundedProtocol,), {"_bounds": bounds})


def _problem(status: int, code: str, title: str, detail: str) -> bytes:
    document = {"type": f"urn:equifield:problem:{code}", "title": title, "status": status, "detail": detail}
    body = json.dumps({**document, "code": code}).encode()
    head = [f"HTTP/1.1 {status} {title}", "content-type: application/problem+json", f"content-length: {len(body)}"]
    if status == 503:
        head.append(f"retry-after: {BUSY_SECONDS}")
    return "\r\n".join([*head, "connection: close", "", ""]).encode() + body

"""What surrounds every request: its id, its count, time and trace, its line in the log, and the unforeseen error."""

import logging
import os
import re
import time
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .. import tracing
from ..logs import log_access
from ..logs import request_id as current_request_id
from ..metrics import Metrics
from .problems import problem

REQUEST_ID = re.compile(rb"[A-Za-z0-9._~-]{1,128}")

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})

logger = logging.getLogger(__name__)


class RequestContext:
    """Gives every request an id (the client's own, where it is a sane one) and every answer the same."""

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = Visit(scope, receive, send)
        current_request_id.set(visit.id)
        with tracing.continued("request", visit.header(b"traceparent")):
            try:
                await self._app(scope, visit.receive, visit.send)
            except Exception:
                logger.exception("a request met an unforeseen error")
                if visit.status:
                    raise
                await _unforeseen(scope)(scope, receive, visit.send)
            finally:
                visit.end(self._metrics)


class Visit:
    """One request on its way through, with what is counted of it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send):
        self._scope, self._receive, self._send = scope, receive, send
        self._began, self._received, self._sent = time.perf_counter(), 0, 0
        self._model: str | None = None
        self.status = 0
        """The status of the answer; 0 while there is none."""
        sent_id = self.header(b"x-request-id") or ""
        self.id = sent_id if REQUEST_ID.fullmatch(sent_id.encode("latin-1")) else os.urandom(16).hex()
        self._state: dict[str, Any] = scope.setdefault("state", {})
        self._state["request_id"] = self.id

    def header(self, name: bytes) -> str | None:
        """The first header of that lower-case name."""
        return next((value.decode("latin-1") for key, value in self._scope["headers"] if key == name), None)

    async def receive(self) -> Message:
        """What the client sends, counted."""
        message = await self._receive()
        self._received += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        """What the client gets, with the id of the request, counted."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message["headers"] = list(message.get("headers", ()))
            headers.append((b"x-request-id", self.id.encode()))
            self._model = next((value.decode() for key, value in headers if key == b"equifield-model"), None)
        else:
            self._sent += len(message.get("body", b""))
        await self._send(message)

    def end(self, metrics: Metrics) -> None:
        """Counts the request and logs its line."""
        seconds = time.perf_counter() - self._began
        method = self._scope["method"] if self._scope["method"] in METHODS else "other"
        route = getattr(self._scope.get("route"), "path", "unmatched")
        code = self._state.get("code")
        metrics.answered(method, route, self.status, code, seconds)
        metrics.carried(self._received, self._sent)
        tracing.describe({"http.request.method": method, "http.route": route, "http.response.status_code": self.status})
        line = {
            "request_id": self.id,
            "method": method,
            "route": route,
            "status": self.status,
            "seconds": round(seconds, 6),
            "model": self._model,
            "samples": self._state.get("samples"),
            "code": code,
            "key": self._state.get("key"),
            "trace_id": tracing.trace_id(),
        }
        log_access({name: value for name, value in line.items() if value is not None})


def _unforeseen(scope: Scope) -> ASGIApp:
    return problem(
        Request(scope),
        status=500,
        code="internal_error",
        title="The service made a mistake",
        detail="This is not the fault of the request. The log has it under this request's id.",
    )

"""Inference on raw tensors: the fast path, which no payload process and no framework stands in."""

import asyncio
import math
from collections.abc import Iterable

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from equifield.package.manifest import Manifest

from ...domain.asking import sample_bytes
from ...domain.grids import boundary_of
from ...domain.tensors import Tensors
from ...parts import Parts
from ...scheduling import Array, BatchKey, Guest
from ..reading import deadline_of, pairs, positive, read_body, while_wanted
from . import encoding, wire

JSON_SIZE = b"inference-header-content-length"
HIGHEST_PRIORITY = 1  # and 0 is whatever is usual


class Sent:
    """The headers of a request, without the work that those of a framework do for each look."""

    def __init__(self, listed: Iterable[tuple[bytes, bytes]]):
        self._by_name = dict(listed)

    def text(self, name: bytes) -> str | None:
        """The header of that lower-case name."""
        value = self._by_name.get(name)
        return None if value is None else value.decode("latin-1")

    def number(self, name: bytes) -> int | None:
        """The header of that lower-case name, which is a positive whole number.

        Raises:
            InvalidQuery: it is something else.
        """
        return positive(name.decode(), self.text(name))


class Infer:
    """The ASGI application behind the paths of inference."""

    def __init__(self, parts: Parts):
        self._parts, self._settings = parts, parts.settings
        self._tensors: dict[tuple[str, str], Tensors] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        headers, body = await self._respond(Request(scope, receive), Sent(scope["headers"]))
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _respond(self, request: Request, headers: Sent) -> tuple[list[tuple[bytes, bytes]], bytes]:
        path = request.path_params
        manifest, entry = self._parts.registry.serving(path["name"], path.get("version"))
        sent = encoding.sent(headers.text(b"content-encoding"))
        wanted = encoding.wanted(headers.text(b"accept-encoding"))
        deadline = deadline_of(headers.number(b"equifield-timeout-ms"), self._settings)
        with self._parts.registry.using(entry), self._parts.admission.enter() as guest:
            body = await self._read(request, sent, guest, deadline)
            question, inputs = wire.read(body, headers.number(JSON_SIZE), self._settings.max_json_bytes)
            del body
            tensors = self._of(manifest)
            packed = tensors.pack(inputs)
            del inputs
            guest.hold(len(packed) * sample_bytes(manifest, packed.shape[1:-1]))
            request.state.samples = len(packed)
            work = self._infer(tensors, question, packed, deadline)
            del packed
            answer, json_size = await while_wanted(request, work)
        described = [
            (b"content-type", b"application/json" if json_size is None else b"application/octet-stream"),
            (b"equifield-model", f"{manifest.name}/{manifest.version}".encode()),
        ]
        if json_size is not None:
            described.append((JSON_SIZE, b"%d" % json_size))
        if wanted is not None:
            answer = await asyncio.to_thread(encoding.deflate, answer, wanted)
            described += [(b"content-encoding", wanted.encode()), (b"vary", b"accept-encoding")]
        return described, answer

    async def _read(self, request: Request, encoded: str | None, guest: Guest, deadline: float) -> bytes:
        """The body, inflated where it was compressed."""
        limit = self._settings.max_body_bytes
        if encoded is None:
            return await read_body(request, guest, limit=limit, deadline=deadline)
        headers = [(name, value) for name, value in request.scope["headers"] if name != b"content-encoding"]
        plain = Request({**request.scope, "headers": headers}, request.receive)
        body = await read_body(plain, guest, limit=limit, deadline=deadline)
        inflated = await asyncio.to_thread(encoding.inflate, body, encoded, self._settings.max_decoded_bytes)
        guest.hold(len(inflated))
        return inflated

    async def _infer(
        self, tensors: Tensors, question: wire.Question, packed: Array, deadline: float
    ) -> tuple[bytes, int | None]:
        """The body of the answer, and how much of it is JSON where tensors follow."""
        manifest, parameters, points = tensors.manifest, question.parameters, packed.shape[:-1]
        given = (*points[:1], *manifest.grid.refined(points[1:]))
        numbers = {tensor.name: math.prod(given + tensor.shape) for tensor in tensors.outputs}
        binary = question.wanted(numbers, self._settings.max_json_bytes)
        if microseconds := parameters.get("timeout"):
            deadline = min(deadline, deadline_of(max(1, microseconds // 1000), self._settings))
        rows = await self._parts.scheduler.submit(
            BatchKey(
                manifest.name,
                manifest.version,
                points[1:],
                boundary_of(manifest.grid, pairs("boundary", parameters.get("boundary"))),
            ),
            packed,
            sample_bytes=sample_bytes(manifest, points[1:]),
            deadline=deadline,
            priority="interactive" if parameters.get("priority", 0) <= HIGHEST_PRIORITY else "batch",
        )
        del packed  # each of these may be as large as the body
        outputs = tensors.unpack(rows)
        del rows
        return wire.write((manifest.name, manifest.version), question, outputs, binary)

    def _of(self, manifest: Manifest) -> Tensors:
        """The tensors of a model, worked out once."""
        key = (manifest.name, manifest.version)
        known = self._tensors.get(key)
        if known is None or known.manifest is not manifest:
            known = self._tensors[key] = Tensors(manifest)
        return known

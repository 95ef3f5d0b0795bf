"""Server-sent events: news of a job as they come, in the form that browsers know."""

import asyncio
from collections.abc import AsyncIterator

from fastapi.responses import StreamingResponse

from ..domain.jobs import Job, tag_of
from .schemas import JobStatus

QUIET_S = 15.0
"""After so long without an event a comment is sent, so that proxies do not take the line for dead."""
RETRY = b"retry: 2000\n\n"
PING = b": still here\n\n"


def stream(news: AsyncIterator[Job], *, known: str | None) -> StreamingResponse:
    """Every state of a job that comes, but for the one that is known."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_lines(news, known), 200, headers, "text/event-stream")


async def _lines(news: AsyncIterator[Job], known: str | None) -> AsyncIterator[bytes]:
    yield RETRY
    coming = asyncio.ensure_future(anext(news, None))
    try:
        while True:
            done, _ = await asyncio.wait([coming], timeout=QUIET_S)
            if not done:
                yield PING
                continue
            job = coming.result()
            if job is None:
                return
            if tag_of(job) != known:
                yield event(job)
            coming = asyncio.ensure_future(anext(news, None))
    finally:
        coming.cancel()
        await asyncio.wait([coming])


def event(job: Job) -> bytes:
    """A state of a job as an event."""
    return f"event: status\nid: {tag_of(job)}\ndata: {JobStatus.of(job).model_dump_json()}\n\n".encode()

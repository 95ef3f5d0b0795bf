"""Server-sent events: news of a job as they come, in the form that browsers know."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import lru_cache

from fastapi.responses import StreamingResponse

from ..domain.jobs import Job, tag_of
from .schemas import JobStatus

QUIET_S = 15.0
"""After so long without an event a comment is sent, so that proxies do not take the line for dead."""
RETRY = b"retry: 2000\n\n"
PING = b": still here\n\n"


def stream(news: AsyncGenerator[Job | None, None], *, known: str | None) -> StreamingResponse:
    """Every state of a job that comes, but for the one that is known; where None comes, a sign of life."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_lines(news, known), 200, headers, "text/event-stream")


async def _lines(news: AsyncGenerator[Job | None, None], known: str | None) -> AsyncIterator[bytes]:
    yield RETRY
    async with aclosing(news):
        async for job in news:
            if job is None:
                yield PING
            elif tag_of(job) != known:
                yield event(job)


@lru_cache(maxsize=64)
def event(job: Job) -> bytes:
    """A state of a job as an event, which is written once for all who listen."""
    return f"event: status\nid: {tag_of(job)}\ndata: {JobStatus.of(job).model_dump_json()}\n\n".encode()

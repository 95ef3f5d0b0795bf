"""Jobs: work that goes on when its client has left."""

import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import iterate_in_threadpool

from ..domain.errors import (
    IdempotencyConflict,
    InvalidQuery,
    JobUnsuccessful,
    NotAcceptable,
    NotAutoregressive,
    QuotaExceeded,
    ResultNotReady,
    SpoolFailed,
)
from ..domain.jobs import TRANSITIONS, Available, Job, tag_of
from ..domain.predict import Form
from ..domain.rollouts import steps_of
from ..parts import Parts
from .asking import HEADERS, JobQuery, ListQuery, ask_of, described, header_parameters, queries, read_query
from .digest import CONTENT_DIGEST, check_digest
from .events import QUIET_S, stream
from .predict import COMPLETED
from .problems import JOB, LEDGER, QUERY, WORK, problem, responses
from .ranges import part_of
from .reading import check_queries, read_body, while_wanted
from .schemas import JobList, JobStatus, Link

KEY = "Idempotency-Key"
LONGEST_KEY = 200
WAIT = re.compile(r"\bwait\s*=\s*(\d{1,6})\b")
LONGEST_WAIT_S = 60
AGAIN_S = 2
"""When to look again at a job that has not ended."""

SUBMITTING = HEADERS | {
    KEY: (
        "What the client calls this request: sent once more, it gives the job that is there already.",
        {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY},
    )
}
WAITING = {
    "If-None-Match": ("The `ETag` of what is known: 304 if there is nothing new.", {"type": "string"}),
    "Prefer": (
        f"RFC 7240: with `wait=N` (at most {LONGEST_WAIT_S}) the answer to a known ETag waits N seconds for news.",
        {"type": "string"},
    ),
}
RANGES = {
    "Range": ("RFC 9110: one range of bytes.", {"type": "string"}),
    "If-Range": ("The `ETag` of the bytes that are known; others than those are sent whole.", {"type": "string"}),
}
EVENTS = {"text/event-stream": {"schema": {"type": "string"}}}
NETCDF = {"application/netcdf": {"schema": {"type": "string", "format": "binary"}}}


def router(parts: Parts) -> APIRouter:
    """The routes of jobs."""
    routes = APIRouter(prefix="/v1/jobs", tags=["jobs"])
    jobs = parts.jobs

    @routes.post(
        "",
        status_code=202,
        response_model=JobStatus,
        responses=responses(
            *WORK, NotAcceptable, NotAutoregressive, IdempotencyConflict, QuotaExceeded, *LEDGER, SpoolFailed
        ),
        openapi_extra=described(JobQuery, SUBMITTING, needs_body=True),
    )
    async def submit(request: Request) -> Response:
        """Accepts a job: a rollout, or one prediction, that is computed when there is time for it.

        The file is read before the answer, so that one that is refused is refused here. Once there is an answer the
        job is on the disk, and will be done whatever dies.
        """
        query = read_query(JobQuery, request)
        ask = ask_of(request, query.model, query, parts.settings)
        key = _idempotency_key(request)
        steps = steps_of(query.steps, query.every, most=parts.settings.max_job_steps)
        form = Form("netcdf3", query.dtype, 0, query.precision, query.symmetrize, steps)
        parts.registry.serving(ask.model, ask.version)
        with parts.admission.enter() as guest:
            body = await read_body(request, guest, limit=parts.settings.max_body_bytes, deadline=ask.deadline)
            await check_digest(request.headers.get(CONTENT_DIGEST), body)
            job = await jobs.desk.accept(
                ask,
                body,
                form,
                owner=_owner(request),
                idempotency_key=key,
                priority=query.priority,
                guest=guest,
            )
        return _answer(job, 202, {"Location": f"/v1/jobs/{job.id}"})

    @routes.get(
        "",
        response_model=JobList,
        responses=responses(*QUERY, *LEDGER),
        openapi_extra={"parameters": queries(ListQuery)},
    )
    async def listed(request: Request) -> JobList:
        """The jobs of a key, newest first; without keys, all."""
        query = read_query(ListQuery, request)
        page = await jobs.ledger.page(**dict(query), owner=_owner(request))
        following = {name: str(value) for name, value in query if value is not None} | {"cursor": str(page.next)}
        link = Link(rel="next", href=f"/v1/jobs?{urlencode(following)}", type="application/json")
        return JobList(jobs=[JobStatus.of(job) for job in page.jobs], links=[] if page.next is None else [link])

    @routes.get(
        "/{id}",
        response_model=JobStatus,
        responses={**responses(*JOB, *QUERY), 304: {"description": "Nothing has changed"}},
        openapi_extra={"parameters": header_parameters(WAITING)},
    )
    async def status(request: Request, id: str) -> Response:
        """Where a job stands; with `If-None-Match` and `Prefer: wait=N`, as soon as that has changed."""
        check_queries(request, [])
        job = await jobs.ledger.get(id, _owner(request))
        if request.headers.get("if-none-match") == _etag(job):
            wait = _wait(request)
            if wait and TRANSITIONS[job.status]:
                job = await while_wanted(request, jobs.news.after(job, wait))
            if request.headers.get("if-none-match") == _etag(job):
                return Response(status_code=304, headers={"ETag": _etag(job)})
        return _answer(job, 200, {})

    @routes.get(
        "/{id}/events",
        response_class=Response,
        responses={
            **responses(*JOB, *QUERY),
            200: {
                "description": "Server-sent events",
                "content": EVENTS,
            },
        },
        openapi_extra={
            "parameters": header_parameters(
                {"Last-Event-ID": ("The id of the last event: nothing is sent that is known.", {"type": "string"})}
            )
        },
    )
    async def events(request: Request, id: str) -> Response:
        """Where a job stands, and again whenever that changes, until it has ended: events `status`."""
        check_queries(request, [])
        job = await jobs.news.find(id, _owner(request))
        return stream(jobs.news.follow(job, QUIET_S), known=request.headers.get("last-event-id"))

    @routes.get(
        "/{id}/result",
        response_class=Response,
        responses={
            **responses(*JOB, *QUERY, ResultNotReady, JobUnsuccessful, SpoolFailed),
            200: {"description": "The result, or as much as is whole so far", "content": NETCDF},
            206: {"description": "A part of it", "content": NETCDF},
            416: {"description": "There are no such bytes"},
        },
        openapi_extra={"parameters": header_parameters(RANGES)},
    )
    async def result(request: Request, id: str) -> Response:
        """The predicted fields as NetCDF-3; of a rollout also while it is computed: the states that are there."""
        check_queries(request, [])
        job = await jobs.ledger.get(id, _owner(request))
        there = Available.of(job)
        if there is None:
            raise _nothing(job)
        etag = f'"{there.tag}"'
        headers = {
            "ETag": etag,
            "Accept-Ranges": "bytes",
            "Equifield-Model": f"{job.order.model}/{job.order.version}",
            "Equifield-Job-Status": job.status,
            COMPLETED: str(job.step),
        }
        part = part_of(request, there.size, etag)
        if part is None:
            detail = f"The result has {there.size} bytes; '{request.headers['range']:.80}' asks for none of them."
            answer = problem(request, status=416, code="no_such_bytes", title="There are no such bytes", detail=detail)
            answer.headers.update({"Content-Range": f"bytes */{there.size}"})
            return answer
        chunks = await _begun(iterate_in_threadpool(there.read(jobs.spool, part.start, part.stop)))
        headers |= {"Content-Length": str(part.stop - part.start)}
        headers |= {} if part.is_whole else {"Content-Range": part.content_range}
        return StreamingResponse(chunks, 200 if part.is_whole else 206, headers, "application/netcdf")

    @routes.delete("/{id}", response_model=JobStatus, responses=responses(*JOB, *QUERY))
    async def cancel(request: Request, id: str) -> Response:
        """Cancels a job. One that has ended stays as it is."""
        check_queries(request, [])
        job = await jobs.ledger.get(id, _owner(request))
        return _answer(await jobs.dismiss(job), 200, {})

    return routes


def _owner(request: Request) -> str | None:
    """The name of the key, which only this key's jobs are shown to."""
    name: str | None = getattr(request.state, "key", None)
    return name


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get(KEY)
    if key is not None and not 0 < len(key) <= LONGEST_KEY:
        raise InvalidQuery(f"The header {KEY} has {len(key)} characters; it has 1 to {LONGEST_KEY}.")
    return key


def _wait(request: Request) -> int:
    asked = WAIT.search(request.headers.get("prefer", ""))
    return min(LONGEST_WAIT_S, int(asked[1])) if asked else 0


def _etag(job: Job) -> str:
    return f'"{tag_of(job)}"'


def _answer(job: Job, status: int, headers: dict[str, str]) -> Response:
    content = JobStatus.of(job).model_dump(mode="json")
    again: dict[str, Any] = {"Retry-After": str(AGAIN_S)} if TRANSITIONS[job.status] else {}
    return JSONResponse(content, status, {"ETag": _etag(job), **headers, **again})


def _nothing(job: Job) -> ResultNotReady | JobUnsuccessful:
    if TRANSITIONS[job.status]:
        return ResultNotReady(f"The job is {job.status}, and no state is whole yet.", retry_after=AGAIN_S)
    why = job.message or "It was cancelled."
    return JobUnsuccessful(
        f"The job is {job.status}: {why}", failure=None if job.failure is None else vars(job.failure)
    )


async def _begun(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same chunks, once the first is there: what goes wrong before that can still be said."""
    first = await anext(chunks, b"")

    async def again() -> AsyncIterator[bytes]:
        yield first
        async for chunk in chunks:
            yield chunk

    return again()

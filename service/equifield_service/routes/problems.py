"""From errors to HTTP: the one table of statuses, and problem+json (RFC 9457)."""

from collections import defaultdict
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from ..domain import errors
from ..domain.errors import DomainError

MEDIA_TYPE = "application/problem+json"
CLIENT_GONE = 499  # nobody reads it; the log and the metrics do

HTTP_STATUS: dict[type[DomainError], int] = {
    errors.PayloadError: 422,
    errors.EmptyBody: 400,
    errors.MalformedFile: 400,
    errors.InvalidTensors: 400,
    errors.DigestMismatch: 400,
    errors.PayloadTooLarge: 413,
    errors.InflatedTooLarge: 413,
    errors.NotNetCDF: 415,
    errors.UnsafeFile: 415,
    errors.UnsupportedEncoding: 415,
    errors.InvalidQuery: 400,
    errors.NotAcceptable: 406,
    errors.NotAutoregressive: 422,
    errors.UnknownModel: 404,
    errors.UnknownVersion: 404,
    errors.ModelUnavailable: 503,
    errors.QueueFull: 429,
    errors.DeadlineExceeded: 504,
    errors.WorkerFailed: 500,
    errors.PayloadProcessFailed: 500,
    errors.KeyRefused: 401,
    errors.ScopeMissing: 403,
    errors.RateLimited: 429,
    errors.BodyTooSlow: 408,
    errors.UnknownJob: 404,
    errors.JobExpired: 410,
    errors.IdempotencyConflict: 422,
    errors.QuotaExceeded: 429,
    errors.ResultNotReady: 404,
    errors.JobUnsuccessful: 409,
    errors.LedgerUnavailable: 503,
    errors.SpoolFull: 507,
    errors.SpoolFailed: 500,
}

WWW_AUTHENTICATE: dict[type[DomainError], str] = {
    errors.KeyRefused: 'Bearer realm="equifield"',
    errors.ScopeMissing: 'Bearer realm="equifield", error="insufficient_scope"',
}

BODY = (errors.PayloadError,)
MODEL = (errors.UnknownModel, errors.UnknownVersion)
QUERY = (errors.InvalidQuery,)
KEY = (errors.KeyRefused, errors.ScopeMissing, errors.RateLimited)
WORK = (
    *BODY,
    *MODEL,
    *QUERY,
    errors.ModelUnavailable,
    errors.QueueFull,
    errors.DeadlineExceeded,
    errors.WorkerFailed,
    errors.PayloadProcessFailed,
    errors.BodyTooSlow,
)

LEDGER = (errors.LedgerUnavailable, errors.SpoolFull)  # whose disk may be full when it only reads
JOB = (errors.UnknownJob, errors.JobExpired, *LEDGER)


def status_of(kind: type[DomainError]) -> int:
    """The HTTP status of an error, by inheritance."""
    return next(HTTP_STATUS[cls] for cls in kind.__mro__ if cls in HTTP_STATUS)


def responses(*kinds: type[DomainError]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of the errors below `kinds` and of those of keys, by status, with the codes of each."""
    by_status: dict[int, list[type[DomainError]]] = defaultdict(list)
    for kind in (*kinds, *KEY):
        for leaf in errors.leaves(kind):
            by_status[status_of(leaf)].append(leaf)
    return {
        status: {
            "description": "; ".join(leaf.title for leaf in leaves),
            "content": {MEDIA_TYPE: {"schema": _schema([leaf.code for leaf in leaves])}},
        }
        for status, leaves in sorted(by_status.items())
    }


def _schema(codes: list[str]) -> dict[str, Any]:
    return {
        "allOf": [{"$ref": "#/components/schemas/Problem"}, {"properties": {"code": {"enum": codes}}}],
    }


def problem(
    request: Request, *, status: int, code: str, title: str, detail: str, extra: dict[str, Any] | None = None
) -> JSONResponse:
    """The one shape of every error; below `/v2` with the member `error` that the Open Inference Protocol wants."""
    request.state.code = code
    content = {
        **(extra or {}),
        "type": f"urn:equifield:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request.state.request_id,
    }
    if request.url.path.startswith("/v2"):
        content["error"] = detail
    wait = content.get("retry_after")
    headers = {"Retry-After": str(wait)} if isinstance(wait, int) else None
    return JSONResponse(content, status, headers, MEDIA_TYPE)


def problem_of(request: Request, error: DomainError) -> JSONResponse:
    """A domain error as a problem."""
    status = status_of(type(error))
    answer = problem(request, status=status, code=error.code, title=error.title, detail=error.detail, extra=error.extra)
    if type(error) in WWW_AUTHENTICATE:
        answer.headers["WWW-Authenticate"] = WWW_AUTHENTICATE[type(error)]
    return answer


def add_handlers(app: FastAPI) -> None:
    """Makes every error of the app a problem."""

    @app.exception_handler(DomainError)
    async def of_the_domain(request: Request, error: DomainError) -> Response:
        return problem_of(request, error)

    @app.exception_handler(HTTPException)
    async def of_the_path(request: Request, error: HTTPException) -> Response:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
        detail = f"{request.method:.20} {request.url.path:.200} is not served. GET /openapi.json lists what is."
        answer = problem(request, status=error.status_code, code=code, title=str(error.detail), detail=detail)
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(ClientDisconnect)
    async def of_nobody(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_GONE)

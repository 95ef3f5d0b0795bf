"""Every error has a status, a shape and a description."""

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from equifield_service.app import create_app
from equifield_service.domain.errors import DomainError, JobError, QueueFull, leaves
from equifield_service.routes.problems import HTTP_STATUS, status_of
from equifield_service.settings import Settings

CALLS = [
    ("get", "/v1/models"),
    ("get", "/v1/models/{name}"),
    ("get", "/v1/models/{name}/versions/{version}"),
    ("post", "/v1/models/{name}/predict"),
    ("post", "/v1/jobs"),
    ("get", "/v1/jobs"),
    ("get", "/v1/jobs/{id}"),
    ("get", "/v1/jobs/{id}/events"),
    ("get", "/v1/jobs/{id}/result"),
    ("delete", "/v1/jobs/{id}"),
    ("post", "/v1/models/{name}/equivariance"),
]


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """The app, not started: what it says of itself needs no process."""
    app = create_app(Settings())

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("secret of the house")

    @app.get("/full")
    async def full() -> None:
        raise QueueFull("come back later", retry_after=7)

    @app.get("/lying")
    async def lying() -> None:
        raise QueueFull("come back later", retry_after="7\r\nSet-Cookie: a=b")

    return app


def get(app: FastAPI, path: str, **headers: str) -> httpx.Response:
    async def story() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(story())


def test_an_error_from_a_process_that_lies_writes_no_headers(app: FastAPI) -> None:
    answer = get(app, "/lying")
    assert answer.status_code == 429
    assert not {"retry-after", "set-cookie"} & set(answer.headers)


def codes_of(operation: dict[str, Any]) -> dict[str, set[str]]:
    return {
        status: set(content["schema"]["allOf"][1]["properties"]["code"]["enum"])
        for status, response in operation["responses"].items()
        if (content := response.get("content", {}).get("application/problem+json"))
    }


@pytest.mark.parametrize("kind", leaves(DomainError), ids=lambda kind: kind.__name__)
def test_every_domain_error_has_a_status_that_is_an_error(kind: type[DomainError]) -> None:
    assert 400 <= status_of(kind) < 600


def test_the_table_names_only_errors_that_exist() -> None:
    assert all(issubclass(kind, DomainError) for kind in HTTP_STATUS)


@pytest.mark.parametrize(("method", "path"), CALLS, ids=[path for _, path in CALLS])
def test_openapi_names_every_code_under_the_status_it_has(app: FastAPI, method: str, path: str) -> None:
    by_code = {kind.code: str(status_of(kind)) for kind in leaves(DomainError)}
    found = codes_of(app.openapi()["paths"][path][method])
    assert found
    assert all(by_code[code] == status for status, codes in found.items() for code in codes)


def test_predict_describes_every_error_there_is(app: FastAPI) -> None:
    found = codes_of(app.openapi()["paths"]["/v1/models/{name}/predict"]["post"])
    of_jobs = {kind.code for kind in leaves(JobError)}
    assert set().union(*found.values()) == {kind.code for kind in leaves(DomainError)} - of_jobs


def test_the_calls_of_jobs_describe_every_error_of_theirs(app: FastAPI) -> None:
    paths = app.openapi()["paths"]
    calls = [call for path, calls in paths.items() if path.startswith("/v1/jobs") for call in calls.values()]
    found = set().union(*(codes for call in calls for codes in codes_of(call).values()))
    assert found >= {kind.code for kind in leaves(JobError)}


def test_openapi_promises_no_error_in_another_shape(app: FastAPI) -> None:
    described = app.openapi()
    assert "HTTPValidationError" not in str(described)
    assert "Problem" in described["components"]["schemas"]


def test_a_problem_has_the_members_of_rfc_9457_and_ours(app: FastAPI) -> None:
    answer = get(app, "/full", **{"X-Request-Id": "abc-1"})
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["x-request-id"] == "abc-1"
    assert answer.json() == {
        "type": "urn:equifield:problem:queue_full",
        "title": "The service is busy",
        "status": 429,
        "detail": "come back later",
        "code": "queue_full",
        "request_id": "abc-1",
        "retry_after": 7,
    }


@pytest.mark.parametrize("sent", ["a b", "x" * 129, "é"], ids=["space", "long", "not-ascii"])
def test_a_request_id_that_is_not_sane_is_replaced(app: FastAPI, sent: str) -> None:
    async def story() -> str:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.get("/healthz/live", headers=[(b"X-Request-Id", sent.encode())])
            return answer.headers["x-request-id"]

    assert len(asyncio.run(story())) == 32


def test_an_unforeseen_error_is_a_problem_that_tells_no_secrets(app: FastAPI) -> None:
    answer = get(app, "/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] == answer.json()["request_id"]


def test_an_unknown_path_is_a_problem_too(app: FastAPI) -> None:
    answer = get(app, "/v3/models")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_errors_are_counted_by_route_and_status(app: FastAPI) -> None:
    get(app, "/full")
    assert 'equifield_requests_total{method="GET",route="/full",status="429"}' in get(app, "/metrics").text

"""Keys at the door: nothing but health and the description is open, and a key opens no more than its scopes."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from equifield_service.access import KeyRing, new_key
from equifield_service.app import create_app
from equifield_service.metrics import Metrics
from equifield_service.routes.context import RequestContext
from equifield_service.routes.guard import Guard, scope_of
from equifield_service.settings import Settings

OPEN = {"/healthz/live", "/healthz/ready", "/openapi.json", "/docs", "/docs/oauth2-redirect"}
ADMIN = {"/metrics", "/v1/models/{name}/versions/{version}/load", "/v1/models/{name}/versions/{version}/unload"}


class Keyed:
    """The app, not started, with a key of each kind."""

    def __init__(self, folder: Path):
        self.secrets = {}
        with (folder / "keys").open("w") as file:
            for name, scopes in {"user": ["predict"], "boss": ["admin"], "both": ["predict", "admin"]}.items():
                self.secrets[name], key = new_key(name, scopes)
                file.write(key.line + "\n")
        self.app: FastAPI = create_app(Settings(keys=folder / "keys"))
        self.door = RequestContext(Guard(nothing, KeyRing.read(folder / "keys")), Metrics())

    def call(self, method: str, path: str, *headers: tuple[str, str | bytes]) -> httpx.Response:
        """One request, with exactly these headers."""
        return call(self.app, method, path, *headers)

    def as_(self, name: str, method: str, path: str) -> httpx.Response:
        """One request with the key of somebody."""
        return self.call(method, path, ("Authorization", f"Bearer {self.secrets[name]}"))


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """What stands behind a door when only the door matters."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


def call(app: object, method: str, path: str, *headers: tuple[str, str | bytes]) -> httpx.Response:
    async def story() -> httpx.Response:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(
                method,
                path,
                headers=httpx.Headers(
                    [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in headers]
                ),
            )

    return asyncio.run(story())


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    yield Keyed(tmp_path_factory.mktemp("keyed"))


def routes_of(app: FastAPI) -> set[tuple[str, str]]:
    found = {(method, route.path) for route in app.routes if isinstance(route, Route) for method in route.methods or ()}
    described = {(method.upper(), path) for path, calls in app.openapi()["paths"].items() for method in calls}
    return found | described


def test_without_a_key_nothing_is_open_but_health_and_the_description(keyed: Keyed) -> None:
    listed = routes_of(keyed.app)
    assert ("POST", "/v1/models/{name}/predict") in listed
    for method, path in sorted(listed):
        answer = keyed.call(method, path)
        assert (answer.status_code == 401) == (path not in OPEN), (method, path, answer.status_code)


def test_a_key_opens_what_its_scopes_say_and_nothing_else(keyed: Keyed) -> None:
    for method, path in sorted(routes_of(keyed.app)):
        needed = scope_of(path)
        if needed is None:
            continue
        assert (needed == "admin") == (path in ADMIN or path.startswith("/v2/repository/models/")), path
        wrong, right = ("user", "boss") if needed == "admin" else ("boss", "user")
        refused = keyed.as_(wrong, method, path)
        assert refused.status_code == 403
        if method != "HEAD":
            assert refused.json()["code"] == "scope_missing"
            assert f"`{needed}`" in refused.json()["detail"]
        for name in (right, "both"):
            header = ("Authorization", f"Bearer {keyed.secrets[name]}")
            assert call(keyed.door, method, path, header).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/v1/models/", "//v1/models", "/v1//models", "/healthz/live/", "/healthz/../v1/models", "/metrics/"],
)
def test_a_path_that_is_no_route_is_not_open_either(keyed: Keyed, path: str) -> None:
    assert keyed.call("GET", path).status_code == 401


@pytest.mark.parametrize("path", ["/metrics/", "/v1/models/a/versions/1/load/", "/v1/models/a%2Fb/versions/1/unload"])
def test_a_path_spelt_otherwise_still_needs_an_admin(keyed: Keyed, path: str) -> None:
    assert keyed.as_("user", "POST", path).status_code == 403


def test_a_refusal_says_how_to_come_in(keyed: Keyed) -> None:
    answer = keyed.call("GET", "/v1/models")
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "key_refused"
    assert "Authorization: Bearer" in answer.json()["detail"]
    assert 'error="insufficient_scope"' in keyed.as_("user", "GET", "/metrics").headers["www-authenticate"]


def test_a_refusal_below_v2_has_the_member_that_inference_clients_read(keyed: Keyed) -> None:
    answer = keyed.call("GET", "/v2/models/tiny").json()
    assert answer["error"] == answer["detail"]
    assert "error" not in keyed.call("GET", "/v1/models").json()


def test_a_key_that_is_wrong_doubled_or_elsewhere_is_refused(keyed: Keyed) -> None:
    secret = keyed.secrets["user"]
    right: tuple[str, str | bytes] = ("Authorization", f"Bearer {secret}")
    assert keyed.call("GET", "/v1/models", right).status_code == 200
    assert keyed.call("GET", "/v1/models", ("authorization", f"bEARER  {secret} ")).status_code == 200
    wrong: list[list[tuple[str, str | bytes]]] = [
        [("Authorization", f"Bearer {secret}x")],
        [("Authorization", f"Bearer {secret[:-1]}")],
        [("Authorization", "Bearer ")],
        [("Authorization", "Bearer")],
        [("Authorization", secret)],
        [("Authorization", f"Basic {secret}")],
        [("X-Api-Key", secret)],
        [right, right],
        [("Authorization", b"Bearer \xff\xfe")],
    ]
    for headers in wrong:
        assert keyed.call("GET", "/v1/models", *headers).status_code == 401, headers
    assert keyed.call("GET", f"/v1/models?key={secret}").status_code == 401


def test_no_key_is_in_any_answer_or_log(keyed: Keyed, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for name in keyed.secrets:
            for path in ("/v1/models", "/v1/models/none", "/metrics"):
                answer = keyed.as_(name, "GET", path)
                assert not any(secret in answer.text + str(answer.headers) for secret in keyed.secrets.values())
    assert not any(secret in caplog.text for secret in keyed.secrets.values())


def test_the_description_names_the_key_and_every_refusal(keyed: Keyed) -> None:
    described = keyed.call("GET", "/openapi.json").json()
    assert described["components"]["securitySchemes"]["key"] == {"type": "http", "scheme": "bearer"}
    for path, calls in described["paths"].items():
        for method, operation in calls.items():
            scope = scope_of(path)
            assert operation["security"] == ([] if scope is None else [{"key": [scope]}]), (method, path)
            if scope is not None:
                assert {"401", "403", "429"} <= set(operation["responses"]), (method, path)


def test_without_keys_the_description_says_that_none_is_needed() -> None:
    described = create_app(Settings()).openapi()
    assert described["paths"]["/v1/models"]["get"]["security"] == [{"key": ["predict"]}, {}]


class Limited:
    """A guarded app whose one key has a rate, in a time of its own."""

    def __init__(self, rate: float, burst: int):
        self.now = 0.0
        secret, key = new_key("desk", ["predict"], rate)
        self.header = ("Authorization", f"Bearer {secret}")
        ring = KeyRing([key.model_copy(update={"burst": burst})], clock=lambda: self.now)
        self.served = 0

        async def inner(scope: Scope, receive: Receive, send: Send) -> None:
            self.served += 1
            await nothing(scope, receive, send)

        self.app = RequestContext(Guard(inner, ring), Metrics())

    def ask(self, path: str = "/v1/models") -> httpx.Response:
        return call(self.app, "GET", path, self.header)


def test_a_key_beyond_its_rate_is_told_when_to_come_back_and_then_served() -> None:
    limited = Limited(rate=0.25, burst=2)
    assert [limited.ask().status_code for _ in range(3)] == [200, 200, 429]
    refused = limited.ask()
    assert refused.json()["code"] == "rate_limited"
    assert "0.25 requests per second, 2 at once" in refused.json()["detail"]
    wait = int(refused.headers["retry-after"])
    assert wait == 4
    limited.now += wait - 1
    assert limited.ask().status_code == 429
    limited.now += 1
    assert limited.ask().status_code == 200
    assert limited.served == 3


def test_every_answer_to_a_limited_key_says_what_is_left() -> None:
    limited = Limited(rate=0.5, burst=3)
    answers = [limited.ask() for _ in range(4)]
    assert [answer.headers["ratelimit"] for answer in answers] == [f'"key";r={left}' for left in (2, 1, 0, 0)]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"key";q=3;w=6'}


def test_health_costs_nothing_and_a_key_without_a_rate_has_none(keyed: Keyed) -> None:
    limited = Limited(rate=0.001, burst=1)
    assert [limited.ask("/healthz/live").status_code for _ in range(5)] == [200] * 5
    answers = [keyed.as_("user", "GET", "/v1/models") for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    assert "ratelimit" not in answers[0].headers

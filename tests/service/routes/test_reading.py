"""Queries, headers and bodies, within their bounds."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import Message

from equifield_service.domain.errors import (
    DeadlineExceeded,
    InvalidQuery,
    PayloadTooLarge,
    QueueFull,
    UnsupportedEncoding,
)
from equifield_service.metrics import Metrics
from equifield_service.routes.reading import (
    check_queries,
    deadline_of,
    pairs,
    read_body,
    sizes,
    while_wanted,
)
from equifield_service.scheduling import Admission
from equifield_service.settings import Settings
from tests.service.scheduling.clock import simulate


def request(
    *messages: Message, query: str = "", headers: dict[str, str] | None = None, hang_up: bool = False
) -> Request:
    """A request whose body comes in these messages, then silence or a hang-up."""
    waiting = list(messages)

    async def receive() -> Message:
        if waiting:
            return waiting.pop(0)
        if not hang_up:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    listed = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {"type": "http", "query_string": query.encode(), "headers": listed, "method": "POST", "path": "/"}
    return Request(scope, receive)


def chunk(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def read(sent: Request, *, limit: int = 100, max_bytes: int = 1000, seconds: float = 60) -> bytes:
    async def story() -> bytes:
        admission = Admission(Metrics(), max_requests=9, max_bytes=max_bytes)
        deadline = asyncio.get_running_loop().time() + seconds
        with admission.enter(), admission.enter() as guest:
            return await read_body(sent, guest, limit=limit, deadline=deadline)

    return asyncio.run(story())


def test_a_body_is_joined_from_its_chunks() -> None:
    assert read(request(chunk(b"ab", more=True), chunk(b"", more=True), chunk(b"c"))) == b"abc"


@pytest.mark.parametrize(
    ("messages", "headers"),
    [
        ([chunk(b"x" * 101)], {}),
        ([chunk(b"x" * 60, more=True), chunk(b"x" * 60)], {}),
        ([chunk(b"x" * 500, more=True)], {}),
        ([], {"Content-Length": "201"}),
    ],
    ids=["at-once", "in-chunks", "without-end", "declared"],
)
def test_a_body_over_the_limit_is_refused_with_the_limit(messages: list[Message], headers: dict[str, str]) -> None:
    with pytest.raises(PayloadTooLarge, match="more than 100 bytes"):
        read(request(*messages, headers=headers))


def test_a_body_for_which_the_house_has_no_room_is_refused() -> None:
    with pytest.raises(QueueFull):
        read(request(chunk(b"x" * 50)), max_bytes=49)


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "identity, br"])
def test_a_compressed_body_is_refused(encoding: str) -> None:
    with pytest.raises(UnsupportedEncoding, match="Send the body as it is"):
        read(request(chunk(b"x"), headers={"Content-Encoding": encoding}))


def test_identity_is_no_compression() -> None:
    assert read(request(chunk(b"x"), headers={"Content-Encoding": "identity"})) == b"x"


def test_a_body_that_does_not_come_in_time_is_given_up() -> None:
    with pytest.raises(DeadlineExceeded, match="when 2 bytes"):
        read(request(chunk(b"ab", more=True)), seconds=0.01)


def test_a_client_that_hangs_up_in_the_middle_of_its_body_is_let_go() -> None:
    with pytest.raises(ClientDisconnect):
        read(request(chunk(b"ab", more=True), hang_up=True))


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_work_is_done_while_the_client_waits() -> None:
    async def answer() -> int:
        return 42

    async def story() -> None:
        assert await while_wanted(request(), answer()) == 42

    run(story())


def test_work_that_fails_says_so() -> None:
    async def fail() -> None:
        raise InvalidQuery("no")

    async def story() -> None:
        with pytest.raises(InvalidQuery):
            await while_wanted(request(), fail())

    run(story())


def test_work_is_cancelled_when_the_client_hangs_up() -> None:
    async def story() -> None:
        cancelled = asyncio.Event()

        async def endless() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        with pytest.raises(ClientDisconnect):
            await while_wanted(request(hang_up=True), endless())
        assert cancelled.is_set()

    run(story())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, {}),
        ("", {}),
        ("u:u10,v:v10", {"u": "u10", "v": "v10"}),
        (" u : u10 ", {"u": "u10"}),
        ("a:b:c", {"a": "b:c"}),
    ],
    ids=["none", "empty", "two", "spaces", "colon-in-value"],
)
def test_pairs_are_read(text: str | None, found: dict[str, str]) -> None:
    assert pairs("map", text) == found


@pytest.mark.parametrize("text", ["u", "u:", ":u10", "u:u10,", "u:a,u:b"])
def test_pairs_that_say_nothing_or_two_things_are_refused(text: str) -> None:
    with pytest.raises(InvalidQuery, match="`map="):
        pairs("map", text)


def test_sizes_are_read() -> None:
    assert sizes("grid", "64, 128") == (64, 128)
    assert sizes("grid", None) is None


@pytest.mark.parametrize("text", ["", "0", "-4", "8,", "8x8", "١٦", "1" * 50])
def test_sizes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InvalidQuery, match="list of positive sizes"):
        sizes("grid", text)


def test_known_queries_pass() -> None:
    check_queries(request(query="map=u:v&version=1"), ["version", "map"])


@pytest.mark.parametrize(
    ("query", "message"),
    [("steps=3", "no query parameter `steps`. Known: map"), ("map=a:b&map=c:d", "given 2 times")],
    ids=["unknown", "twice"],
)
def test_unknown_and_repeated_queries_are_refused(query: str, message: str) -> None:
    with pytest.raises(InvalidQuery, match=message):
        check_queries(request(query=query), ["map"])


def test_a_deadline_is_the_settings_or_the_clients_cut_to_the_longest() -> None:
    async def story() -> None:
        settings, now = Settings(request_timeout_s=5, max_request_timeout_s=10), asyncio.get_running_loop().time
        assert deadline_of(None, settings) == pytest.approx(now() + 5)
        assert deadline_of(8000, settings) == pytest.approx(now() + 8)
        assert deadline_of(10**400, settings) == pytest.approx(now() + 10)

    simulate(story())

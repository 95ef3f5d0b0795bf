"""Hostile bodies at the real service: each ends in a refusal or a closed door, and none keeps its place."""

import contextlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.running import Running
from tests.service import files

PREDICT = "/v1/models/tiny/predict"
LIMIT = 2**20  # max_body_bytes of the service under test
HEAD = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\n".encode()
FILE = files.netcdf3(files.dataset(1))


@pytest.fixture
def line(service: Running) -> Iterator[socket.socket]:
    """A bare connection to the service."""
    url = httpx.URL(service.url)
    with socket.create_connection((url.host, url.port or 0), timeout=30) as connection:
        yield connection


def admitted(http: httpx.Client) -> float:
    text = http.get("/metrics").text
    return float(next(row for row in text.splitlines() if row.startswith("equifield_admitted_requests ")).split()[1])


def wait_until_nobody_is_admitted(http: httpx.Client) -> None:
    """Asks until it is so; a leaked place ends the test by its timeout."""
    while admitted(http):
        pass


def is_served(http: httpx.Client) -> bool:
    return http.post(PREDICT, content=FILE).status_code == 200


def everything(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as stream, contextlib.suppress(ConnectionError):
        return stream.read()
    return b""


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"Content-Length: 500\r\n\r\n", b"CDF\x02"),
        (b"Content-Length: 1000000000000\r\n\r\n", b"CDF\x02"),
        (b"Transfer-Encoding: chunked\r\n\r\n", chunk(b"CDF\x02")),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"ffffff\r\nCDF"),
        (b"Content-Length: 500\r\nExpect: 100-continue\r\n\r\n", b""),
    ],
    ids=["short", "endless", "chunk-missing", "chunk-cut", "expectation"],
)
def test_a_body_that_is_aborted_gives_its_place_back(
    http: httpx.Client, line: socket.socket, head: bytes, body: bytes
) -> None:
    line.sendall(HEAD + head + body)
    assert is_served(http)
    line.close()
    wait_until_nobody_is_admitted(http)


def test_many_aborted_bodies_leave_no_place_taken(service: Running, http: httpx.Client) -> None:
    url = httpx.URL(service.url)

    def abort(number: int) -> None:
        with socket.create_connection((url.host, url.port or 0), timeout=30) as connection:
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(FILE) + FILE[: number * len(FILE) // 100])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(abort, range(100)))
        assert is_served(http)
    wait_until_nobody_is_admitted(http)


def test_what_follows_a_body_and_is_no_request_does_not_spoil_the_answer(
    http: httpx.Client, line: socket.socket
) -> None:
    line.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(FILE) + FILE + b"\x00\x01 more of it\r\n\r\n")
    assert everything(line).startswith(b"HTTP/1.1 200")
    assert is_served(http)
    wait_until_nobody_is_admitted(http)


@pytest.mark.parametrize("extra", [1, LIMIT // 2, 8 * LIMIT], ids=["by-one", "by-half", "by-far"])
@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_a_body_over_the_limit_is_refused_with_a_readable_answer(http: httpx.Client, extra: int, chunked: bool) -> None:
    def pieces() -> Iterator[bytes]:
        left = LIMIT + extra
        while left > 0:
            yield bytes(min(left, 2**16))
            left -= 2**16

    content = pieces() if chunked else b"".join(pieces())
    try:
        answer = http.post(PREDICT, content=content)
        assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    except httpx.WriteError:  # it was told while still sending, and may not have read
        assert extra > LIMIT
    wait_until_nobody_is_admitted(http)


def test_pipelined_predictions_are_answered_in_turn(http: httpx.Client, line: socket.socket) -> None:
    bad, good = b"Content-Length: 5\r\n\r\nhello", b"Content-Length: %d\r\n\r\n" % len(FILE) + FILE
    line.sendall(HEAD + bad + HEAD + good + HEAD + bad + HEAD.replace(b"Host", b"Connection: close\r\nHost") + good)
    statuses = [answer[:3] for answer in everything(line).split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"415", b"200", b"415", b"200"]
    wait_until_nobody_is_admitted(http)


def test_pipelined_requests_whose_sender_leaves_keep_no_place(http: httpx.Client, line: socket.socket) -> None:
    line.sendall((HEAD + b"Content-Length: %d\r\n\r\n" % len(FILE) + FILE) * 30)
    line.close()
    assert is_served(http)
    wait_until_nobody_is_admitted(http)


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Type", "application/netcdf"), ("Content-Type", "application/json")],
        [("Accept", "application/netcdf"), ("Accept", "text/html;q=nan")],
        [("Equifield-Timeout-Ms", "60000"), ("Equifield-Timeout-Ms", "1")],
        [("X-Request-Id", "a"), ("X-Request-Id", "b")],
        [("Content-Encoding", "identity"), ("Content-Encoding", "gzip")],
        [("Content-Type", "\x00" * 0 + "a/b;" * 5000)],
    ],
    ids=["type", "accept", "timeout", "id", "encoding", "long-type"],
)
def test_doubled_and_absurd_headers_are_answered_without_a_fault(
    http: httpx.Client, headers: list[tuple[str, str]]
) -> None:
    answer = http.post(PREDICT, content=FILE, headers=headers)
    assert answer.status_code < 500, answer.text

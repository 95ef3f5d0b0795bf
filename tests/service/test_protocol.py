"""Hostile connections: each is bounded in time, size and number, and told why; others are served meanwhile."""

import contextlib
import json
import select
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from equifield_service.protocol import HEAD_LIMIT, Bounds, bounded

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = 16 * 2**20


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers `/large` at once with many bytes, `/early` without reading the body, all else with the body."""
    body, more = b"", scope["path"] not in ("/large", "/early")
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message["more_body"]
    body = bytes(LARGE) if scope["path"] == "/large" else body
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Running(uvicorn.Server):
    """A real server on a real socket, in a thread."""

    def install_signal_handlers(self) -> None:
        """Signals are the main thread's."""


@contextlib.contextmanager
def serving(bounds: Bounds) -> Iterator[tuple[str, int]]:
    """The address of a server with these bounds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        http = bounded(bounds)
        config = uvicorn.Config(echo, http=http, lifespan="off", log_config=None, timeout_keep_alive=60)
        server = Running(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def patient() -> Iterator[tuple[str, int]]:
    with serving(Bounds(max_connections=20, header_timeout_s=60, reader_patience_s=60)) as address:
        yield address


@pytest.fixture(scope="module")
def impatient() -> Iterator[tuple[str, int]]:
    with serving(Bounds(max_connections=20, header_timeout_s=0.3, reader_patience_s=0.5)) as address:
        yield address


def everything(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    connection.settimeout(60)
    with connection.makefile("rb") as stream, contextlib.suppress(ConnectionResetError):
        return stream.read()
    return b""


def problem(answer: bytes) -> tuple[int, str]:
    """Status and code of a problem on the wire."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    assert f"content-length: {len(body)}".encode() in head
    document = json.loads(body)
    assert int(head.split()[1]) == document["status"]
    return document["status"], document["code"]


def served(address: tuple[str, int]) -> socket.socket:
    """A connection that has had an answer; whoever was too slow, on a machine that is busy, comes again."""
    for _ in range(100):
        connection = socket.create_connection(address)
        connection.sendall(GET)
        if connection.recv(4096).startswith(b"HTTP/1.1 200"):
            return connection
        connection.close()
    raise AssertionError("nobody is served")


@pytest.mark.parametrize(
    "sent", [b"", b"GET /", b"GET / HTTP/1.1\r\nHost: x\r\nX-A: "], ids=["nothing", "a-line", "half-a-header"]
)
def test_a_head_that_does_not_come_is_refused_in_time_while_others_are_served(
    impatient: tuple[str, int], sent: bytes
) -> None:
    with socket.create_connection(impatient) as slow:
        slow.sendall(sent)
        served(impatient).close()
        assert problem(everything(slow)) == (408, "head_too_slow")


def test_a_head_that_trickles_gains_no_time_by_it(impatient: tuple[str, int]) -> None:
    with socket.create_connection(impatient) as slow:
        slow.settimeout(0.05)
        answer = b""
        for letter in b"GET / HTTP/1.1\r\nX-A: " + 1000 * b"a":
            slow.send(bytes([letter]))
            with contextlib.suppress(TimeoutError):
                answer = slow.recv(4096)
                break
        assert problem(answer) == (408, "head_too_slow")


def test_a_second_head_on_a_connection_is_bounded_like_the_first(impatient: tuple[str, int]) -> None:
    with served(impatient) as slow:
        slow.sendall(b"GET / HT")
        assert problem(everything(slow)) == (408, "head_too_slow")


def test_a_head_without_end_is_refused_at_its_limit(patient: tuple[str, int]) -> None:
    with socket.create_connection(patient) as large:
        large.sendall(b"GET / HTTP/1.1\r\nX-A: " + b"a" * (HEAD_LIMIT - 100))
        large.sendall(b"a" * 200)
        assert problem(everything(large)) == (431, "headers_too_large")


@pytest.mark.parametrize("size", [1000, HEAD_LIMIT - 100], ids=["small", "almost-too-large"])
def test_a_large_head_below_the_limit_and_a_large_body_are_served(patient: tuple[str, int], size: int) -> None:
    body = bytes(4 * HEAD_LIMIT)
    with socket.create_connection(patient) as connection:
        head = f"POST / HTTP/1.1\r\nHost: x\r\nX-A: {'a' * size}\r\nContent-Length: {len(body)}\r\n"
        connection.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)
        answer = everything(connection)
        assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(body)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n folded\r\n\r\n",
    ],
    ids=["tls", "version", "path", "two-lengths", "negative", "length-and-chunks", "space", "folded"],
)
def test_what_is_not_http_is_refused_as_a_problem(patient: tuple[str, int], sent: bytes) -> None:
    with socket.create_connection(patient) as connection:
        connection.sendall(sent)
        assert problem(everything(connection)) == (400, "malformed_request")


def test_requests_before_one_that_is_none_are_answered(patient: tuple[str, int]) -> None:
    with socket.create_connection(patient) as connection:
        connection.sendall(GET + GET + b"\x00\x01\r\n\r\n" + GET)
        assert everything(connection).count(b"HTTP/1.1 200") == 2


def test_a_body_that_breaks_off_into_nonsense_ends_the_connection(patient: tuple[str, int]) -> None:
    with socket.create_connection(patient) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nnonsense\r\n")
        assert everything(connection) == b""


def test_a_head_that_begins_right_behind_a_large_body_is_not_too_large(patient: tuple[str, int]) -> None:
    body, last = bytes(3 * HEAD_LIMIT), GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with socket.create_connection(patient) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body + last[:20])
        assert connection.recv(12) == b"HTTP/1.1 200"
        connection.sendall(last[20:])
        assert b"HTTP/1.1 200" in everything(connection)


def test_pipelined_requests_are_answered_in_turn(patient: tuple[str, int]) -> None:
    posts = b"".join(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n%02d" % number for number in range(20))
    with socket.create_connection(patient) as connection:
        connection.sendall(posts + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        answers = everything(connection).split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert [answer.partition(b"\r\n\r\n")[2] for answer in answers] == [b"%02d" % number for number in range(20)] + [
        b""
    ]


def test_the_rest_of_a_body_that_was_answered_early_is_not_taken_for_ever(impatient: tuple[str, int]) -> None:
    with served(impatient) as connection:
        connection.sendall(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        with pytest.raises(ConnectionError):
            for _ in range(10**6):
                connection.sendall(bytes(1000))


def test_an_answer_that_nobody_reads_is_dropped(impatient: tuple[str, int]) -> None:
    with socket.socket() as idle:
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        idle.connect(impatient)
        idle.sendall(GET.replace(b"/ ", b"/large "))
        served(impatient).close()
        poll_until_reset(idle)
        assert len(everything(idle)) < LARGE


def poll_until_reset(connection: socket.socket) -> None:
    """Waits, without reading a byte, until the other side has given up."""
    poller = select.poll()
    poller.register(connection, select.POLLERR | select.POLLHUP)
    assert poller.poll(60_000)


def test_an_answer_that_is_read_slowly_is_sent_whole(impatient: tuple[str, int]) -> None:
    """At least at one of several times: whoever pauses for too long, on a machine that is busy, is given up."""
    assert any(slowly_read(impatient) > LARGE for _ in range(5))


def slowly_read(address: tuple[str, int]) -> int:
    """The size of a large answer that takes twice as long as an idle reader is waited for."""
    size = 0
    with served(address) as slow, contextlib.suppress(ConnectionResetError):
        slow.sendall(GET.replace(b"/ ", b"/large ").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        began = time.monotonic()
        while piece := slow.recv(LARGE // 256):
            size += len(piece)
            time.sleep(max(0.0, began + size / LARGE - time.monotonic()))
    return size


def test_one_connection_too_many_is_turned_away_and_the_others_are_served() -> None:
    with serving(Bounds(max_connections=3, header_timeout_s=60, reader_patience_s=60)) as address:
        with contextlib.ExitStack() as held:
            early = [held.enter_context(socket.create_connection(address)) for _ in range(3)]
            for connection in early:
                connection.sendall(GET)
                assert connection.recv(4096).startswith(b"HTTP/1.1 200")
            late = held.enter_context(socket.create_connection(address))
            answer = everything(late)
            assert problem(answer) == (503, "too_many_connections")
            assert b"retry-after: " in answer
            early[0].sendall(GET)
            assert early[0].recv(4096).startswith(b"HTTP/1.1 200")
        served(address).close()

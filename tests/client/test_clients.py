"""Both clients against a real peer: what is sent, what is made of the answer, and the faults."""

import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import xarray as xr

from equifield_client import (
    APIConnectionError,
    APIResponseError,
    APITimeoutError,
    AsyncClient,
    Client,
    QueueFull,
    Retry,
    VariableMissing,
)
from equifield_client._netcdf import encode

if TYPE_CHECKING:
    from tests.client.conftest import Call, Peer

SOON = Retry(initial=0.001)
PROBLEM = {"code": "queue_full", "detail": "Busy; try again."}


def test_predict_sends_a_classic_file_and_opens_the_answer(peer: "Peer", call: "Call", wind: xr.Dataset) -> None:
    peer.answers(200, encode(wind * 2))
    answer = call(peer.url, lambda client: client.predict("wind-downscale-2d", wind))
    xr.testing.assert_equal(answer, wind * 2)
    (sent,) = peer.requests
    assert (sent.method, sent.path, sent.query) == ("POST", "/v1/models/wind-downscale-2d/predict", {})
    assert sent.body == encode(wind)
    assert (sent.headers["Content-Type"], sent.headers["Accept"]) == ("application/netcdf",) * 2


def test_the_options_become_the_query(peer: "Peer", call: "Call", wind: xr.Dataset) -> None:
    peer.answers(200, encode(wind))
    options: Any = {
        "version": "2",
        "map": {"u": "u10", "v": "v10"},
        "axes": {"x": "lon"},
        "boundary": {"x": "periodic", "y": "zero"},
        "units": {"t": "m s-1"},
        "missing": "nearest",
        "group": "/model",
        "stagger": "center",
        "dtype": "float64",
        "compress": 4,
        "steps": 24,
        "every": 6,
    }
    call(peer.url, lambda client: client.predict("m", wind, **options))
    assert peer.requests[0].query == {
        "version": "2",
        "map": "u:u10,v:v10",
        "axes": "x:lon",
        "boundary": "x:periodic,y:zero",
        "units": "t:m s-1",
        "missing": "nearest",
        "group": "/model",
        "stagger": "center",
        "dtype": "float64",
        "compress": "4",
        "steps": "24",
        "every": "6",
    }


def test_the_options_of_the_check_become_the_query(peer: "Peer", call: "Call", report_json: dict[str, Any]) -> None:
    peer.answers(200, report_json)
    report = call(peer.url, lambda client: client.check_equivariance("m", seed=0, grid=(64, 128), units={"t": "K"}))
    assert report.passed
    (sent,) = peer.requests
    assert (sent.path, sent.query, sent.body) == (
        "/v1/models/m/equivariance",
        {"seed": "0", "grid": "64,128", "units": "t:K"},
        b"",
    )


def test_a_path_is_sent_byte_for_byte(peer: "Peer", call: "Call", wind: xr.Dataset, tmp_path: Path) -> None:
    peer.answers(200, encode(wind))
    path = tmp_path / "wind.nc"
    path.write_bytes(b"whatever it holds")
    call(peer.url, lambda client: client.predict("m", path))
    assert peer.requests[0].body == b"whatever it holds"


def test_predict_bytes_gives_the_file_as_it_came(peer: "Peer", call: "Call", wind: xr.Dataset) -> None:
    content = encode(wind) + b"trailing"
    peer.answers(200, content)
    assert call(peer.url, lambda client: client.predict_bytes("m", wind)) == content


def test_models_and_model_are_read(peer: "Peer", call: "Call", model_json: dict[str, Any]) -> None:
    peer.answers(200, {"models": [model_json]}).answers(200, model_json)
    listed = call(peer.url, lambda client: client.models())
    assert call(peer.url, lambda client: client.model("a b/c", version="1")) == listed[0]
    assert [sent.path for sent in peer.requests] == ["/v1/models", "/v1/models/a%20b%2Fc/versions/1"]


def test_the_service_may_live_below_a_path(peer: "Peer", call: "Call") -> None:
    peer.answers(200, {"models": []})
    assert call(f"{peer.url}/equifield/", lambda client: client.models()) == []
    assert peer.requests[0].path == "/equifield/v1/models"


def test_a_busy_service_is_asked_again_with_the_same_request(peer: "Peer", call: "Call", wind: xr.Dataset) -> None:
    peer.answers(503, PROBLEM).hangs_up().answers(429, PROBLEM, Retry_After="0").answers(200, encode(wind))
    call(peer.url, lambda client: client.predict("m", wind), retries=SOON)
    assert len(peer.requests) == 4
    assert len({(sent.body, sent.headers["Idempotency-Key"]) for sent in peer.requests}) == 1


def test_two_calls_have_two_keys(peer: "Peer", call: "Call", wind: xr.Dataset) -> None:
    peer.answers(200, encode(wind))
    for _ in range(2):
        call(peer.url, lambda client: client.predict("m", wind))
    assert len({sent.headers["Idempotency-Key"] for sent in peer.requests}) == 2


def test_the_last_refusal_is_raised_when_the_tries_are_used_up(peer: "Peer", call: "Call") -> None:
    peer.answers(429, PROBLEM, Retry_After="0", X_Request_Id="r-9")
    with pytest.raises(QueueFull, match="Busy; try again") as caught:
        call(peer.url, lambda client: client.models(), retries=SOON)
    assert len(peer.requests) == 1 + SOON.limit
    assert (caught.value.request_id, caught.value.retry_after) == ("r-9", 0.0)


def test_a_refused_file_is_not_sent_twice(peer: "Peer", call: "Call", wind: xr.Dataset) -> None:
    peer.answers(422, {"code": "variable_missing", "detail": "No 'v'.", "variables": [{"name": "u"}]})
    with pytest.raises(VariableMissing) as caught:
        call(peer.url, lambda client: client.predict("m", wind), retries=SOON)
    assert len(peer.requests) == 1
    assert caught.value.problem["variables"] == [{"name": "u"}]


def test_nobody_there_is_a_connection_error_with_the_way_out(call: "Call") -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        with pytest.raises(APIConnectionError, match=f"{url} in 2 tries.*equifield serve.*--url"):
            call(url, lambda client: client.models(), retries=Retry(limit=1, initial=0.001))


@pytest.mark.parametrize("way", ["stays_silent", "dribbles"])
def test_a_peer_without_end_is_left_at_the_timeout(peer: "Peer", call: "Call", way: str) -> None:
    getattr(peer, way)()
    with pytest.raises(APITimeoutError, match=r"within 0\.5 s"):
        call(peer.url, lambda client: client.models(), timeout=0.5)
    assert len(peer.requests) <= 1


def test_the_service_is_told_a_little_less_than_the_clients_timeout(
    peer: "Peer", call: "Call", wind: xr.Dataset
) -> None:
    peer.answers(200, encode(wind))
    call(peer.url, lambda client: client.predict("m", wind), timeout=40)
    assert 20_000 < int(peer.requests[0].headers["Equifield-Timeout-Ms"]) <= 38_000


@pytest.mark.parametrize(
    ("body", "use"),
    [
        (b"<html>Log in</html>", lambda client: client.predict("m", b"CDF\x01")),
        (b"<html>Log in</html>", lambda client: client.predict_bytes("m", b"CDF\x01")),
        (b"CDF\x01", lambda client: client.predict("m", b"CDF\x01")),
        (b"<html>Log in</html>", lambda client: client.models()),
        (b'{"models": [{"name": "m"}]}', lambda client: client.models()),
        (b"[]", lambda client: client.check_equivariance("m")),
    ],
    ids=["predict", "predict_bytes", "damaged", "models", "missing-keys", "check"],
)
def test_a_success_of_something_else_is_not_taken_for_ours(
    peer: "Peer", call: "Call", body: bytes, use: Callable[[Any], Any]
) -> None:
    peer.answers(200, body)
    with pytest.raises(APIResponseError, match=f"The answer of {peer.url} cannot be used"):
        call(peer.url, use)


def test_an_empty_file_is_not_taken_for_random_fields(peer: "Peer", call: "Call", tmp_path: Path) -> None:
    (tmp_path / "empty.nc").touch()
    with pytest.raises(ValueError, match="0 bytes"):
        call(peer.url, lambda client: client.check_equivariance("m", tmp_path / "empty.nc"))
    assert peer.requests == []


@pytest.mark.parametrize("pair", [{"u": "a,b"}, {"u": "a:b"}, {"": "a"}], ids=["comma", "colon", "empty"])
def test_a_name_that_the_query_cannot_carry_is_refused(peer: "Peer", call: "Call", pair: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="`map` holds the name"):
        call(peer.url, lambda client: client.predict("m", b"CDF\x01", map=pair))
    assert peer.requests == []


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_would_change_the_path_is_refused(peer: "Peer", call: "Call", name: str) -> None:
    with pytest.raises(ValueError, match="name must be a name"):
        call(peer.url, lambda client: client.model(name))
    assert peer.requests == []


@pytest.mark.parametrize("client", [Client, AsyncClient], ids=["sync", "async"])
@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://here", "http://", "http://here:port"])
def test_an_address_that_is_none_is_refused(client: type[Client] | type[AsyncClient], url: str) -> None:
    with pytest.raises(ValueError, match="`base_url`"):
        client(url)


@pytest.mark.parametrize("client", [Client, AsyncClient], ids=["sync", "async"])
@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan")])
def test_a_call_always_has_a_timeout(client: type[Client] | type[AsyncClient], timeout: float) -> None:
    with pytest.raises(ValueError, match="`timeout="):
        client(timeout=timeout)


def test_secrets_reach_the_service_and_nothing_else(
    peer: "Peer", call: "Call", caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    peer.answers(503, PROBLEM).answers(401, {"detail": "no"})
    url = peer.url.replace("http://", "http://user:hunter2@")
    shown: list[str] = []

    def use(client: Any) -> Any:
        shown.append(repr(client))
        return client.models()

    with pytest.raises(Exception, match="no") as caught:
        call(url, use, headers={"X-Api-Key": "s3cret"}, retries=SOON)
    sent = peer.requests[-1].headers
    assert (sent["X-Api-Key"], sent["Authorization"][:6]) == ("s3cret", "Basic ")
    everything = " ".join([*shown, str(caught.value), repr(caught.value), caplog.text])
    assert peer.url in everything
    assert "hunter2" not in everything
    assert "s3cret" not in everything


def test_a_connection_error_does_not_show_the_password(call: "Call") -> None:
    with socket.socket() as unheard, pytest.raises(APIConnectionError) as caught:
        unheard.bind(("127.0.0.1", 0))
        port = unheard.getsockname()[1]
        call(f"http://user:hunter2@127.0.0.1:{port}", lambda c: c.models(), retries=Retry(limit=0))
    assert "hunter2" not in str(caught.value)


class Closing(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of an error, which notes that it was closed."""

    closed = False

    def __iter__(self) -> Iterator[bytes]:
        yield b"{}"

    async def __aiter__(self) -> Any:
        yield b"{}"

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


def test_an_error_answer_is_closed_before_the_pause(call: "Call") -> None:
    streams: list[Closing] = []

    def answer(_: httpx.Request) -> httpx.Response:
        assert all(stream.closed for stream in streams)
        streams.append(Closing())
        return httpx.Response(503 if len(streams) < 3 else 200, stream=streams[-1])

    with pytest.raises(APIResponseError):
        call("http://peer", lambda client: client.models(), retries=SOON, transport=httpx.MockTransport(answer))
    assert [stream.closed for stream in streams] == [True] * 3

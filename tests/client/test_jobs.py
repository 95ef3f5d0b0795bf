"""Jobs over both clients, against a scripted office: what is asked, what is made of it, and what is outlasted."""

import asyncio
import inspect
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
import xarray as xr

from equifield_client import (
    APIConnectionError,
    APIResponseError,
    AsyncClient,
    Client,
    EquifieldError,
    JobDismissed,
    JobFailed,
    JobTimeout,
    JobUnsuccessful,
    ResultChanged,
    Retry,
    UnknownJob,
)
from equifield_client import _result as result_module
from equifield_client._flow import Ask, Flow, Policy, Reply, Send, Sleep, persist
from equifield_client._job_status import JobStatus
from equifield_client._models import parse
from equifield_client._waiting import LONGEST_PAUSE, Watch

from .office import ID, Office, failed_json, file_of, states, status_json

if TYPE_CHECKING:
    from tests.client.conftest import Call, Peer

SOON = Retry(limit=0, initial=0.001, longest=0.01, patience=20)
ENDED = status_json("successful", 10)


def then(value: Any, use: Callable[[Any], Any]) -> Any:
    """`use(value)`, also of what must be awaited first."""
    if not inspect.isawaitable(value):
        return use(value)

    async def awaited() -> Any:
        return use(await value)

    return awaited()


def listed(items: Any) -> Any:
    """All items of an iterator, or what awaits those of an asynchronous one."""
    if isinstance(items, Iterator):
        return list(items)

    async def awaited() -> list[Any]:
        return [item async for item in items]

    return awaited()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions follow each other without a pause."""
    monkeypatch.setattr("equifield_client._waiting.LONGEST_PAUSE", 0.001)


def test_submit_sends_the_file_with_what_is_wanted_and_a_key(peer: "Peer", call: "Call", wind: xr.Dataset) -> None:
    peer.script.append(Office([]))
    options: Any = {
        "version": "2",
        "map": {"u": "u10"},
        "axes": {"x": "lon"},
        "boundary": {"x": "periodic"},
        "steps": 200,
        "every": 10,
        "units": {"t": "K"},
        "dtype": "float64",
        "priority": -5,
    }
    job = call(peer.url, lambda client: client.submit("m", wind, **options))
    assert job.id == ID
    (sent,) = peer.requests
    assert (sent.method, sent.path) == ("POST", "/v1/jobs")
    assert sent.query == {
        "model": "m",
        "version": "2",
        "map": "u:u10",
        "axes": "x:lon",
        "boundary": "x:periodic",
        "steps": "200",
        "every": "10",
        "units": "t:K",
        "dtype": "float64",
        "priority": "-5",
    }
    assert (sent.headers["Content-Type"], sent.body[:4]) == ("application/netcdf", b"CDF\x02")


def test_a_lost_answer_does_not_make_two_jobs_of_one(peer: "Peer", call: "Call") -> None:
    peer.hangs_up().answers(503, {"code": "ledger_unavailable", "detail": "Wait."}).answers(202, status_json())
    call(peer.url, lambda client: client.submit("m", b"CDF\x01"), retries=Retry(initial=0.001))
    call(peer.url, lambda client: client.submit("m", b"CDF\x01"))
    keys = [sent.headers["Idempotency-Key"] for sent in peer.requests]
    assert len(keys) == 4
    assert len(set(keys[:3])) == 1
    assert keys[3] != keys[0]


def test_a_key_of_ones_own_is_sent_as_it_is(peer: "Peer", call: "Call") -> None:
    peer.script.append(Office([]))
    call(peer.url, lambda client: client.submit("m", b"CDF\x01", idempotency_key="run 7"))
    assert peer.requests[0].headers["Idempotency-Key"] == "run 7"


@pytest.mark.parametrize(
    "key", ["", "x" * 201, "a\r\nX-Other: b", "Bjørn"], ids=["empty", "long", "lines", "not-ascii"]
)
def test_a_key_that_a_header_cannot_carry_is_refused(peer: "Peer", call: "Call", key: str) -> None:
    with pytest.raises(ValueError, match="`idempotency_key`"):
        call(peer.url, lambda client: client.submit("m", b"CDF\x01", idempotency_key=key))
    assert peer.requests == []


def test_a_state_is_read_with_its_times_failure_and_numbers() -> None:
    numbers = {"mean_square": [1, 2.5], "minimum": [0, 0], "maximum": [1, 2], "spectrum_slope": [-3.0, None]}
    given = failed_json(4) | {
        "expires": "2026-03-07T12:00:00Z",
        "diagnostics": {"steps": [2, 4], "fields": {"velocity": numbers}},
        "colour": "blue",
    }
    status = parse(JobStatus, given)
    assert (status.id, status.model, status.status, status.ended, status.step, status.steps) == (
        *(ID, "m", "failed", True, 4),
        10,
    )
    assert status.created == datetime(2026, 2, 28, 12, tzinfo=UTC)
    assert status.expires == datetime(2026, 3, 7, 12, tzinfo=UTC)
    assert status.failure is not None and status.failure.code == "diverged"
    assert status.diagnostics is not None
    assert status.diagnostics.fields["velocity"].mean_square == (1.0, 2.5)
    assert np.isnan(status.diagnostics.fields["velocity"].spectrum_slope[1])


@pytest.mark.parametrize(
    "change", [{"jobID": None}, {"created": "soon"}, {"diagnostics": {"steps": [1], "fields": [2]}}]
)
def test_a_state_of_another_form_is_refused(peer: "Peer", call: "Call", change: dict[str, Any]) -> None:
    peer.answers(200, status_json() | change)
    with pytest.raises(APIResponseError, match="cannot be used"):
        call(peer.url, lambda client: client.job(ID).status())


def test_a_job_that_is_not_there_has_its_error(peer: "Peer", call: "Call") -> None:
    peer.script.append(Office([]))
    with pytest.raises(UnknownJob):
        call(peer.url, lambda client: client.job("a/../b").status())
    assert peer.requests[0].path == "/v1/jobs/a%2F..%2Fb"


@pytest.mark.parametrize("client", [Client, AsyncClient], ids=["sync", "async"])
@pytest.mark.parametrize("name", ["", ".", ".."])
def test_what_cannot_be_an_id_is_refused(client: type[Client] | type[AsyncClient], name: str) -> None:
    with pytest.raises(ValueError, match="A job's id"):
        client().job(name)


@pytest.mark.usefixtures("quick")
def test_wait_asks_for_changes_until_the_job_has_ended(peer: "Peer", call: "Call") -> None:
    office = Office([(status_json(step=step), None) for step in (0, 3, 6)] + [(ENDED, None)])
    peer.script.append(office)
    status = call(peer.url, lambda client: client.job(ID).wait(), timeout=40)
    assert (status.status, status.step) == ("successful", 10)
    asked = [(poll.get("If-None-Match"), poll.get("Prefer")) for poll in office.polls]
    assert asked == [(None, None), ('"s0"', "wait=20"), ('"s1"', "wait=20"), ('"s2"', "wait=20")]


@pytest.mark.usefixtures("quick")
def test_wait_outlasts_a_service_that_is_away(peer: "Peer", call: "Call") -> None:
    office = Office([(status_json(), None), (ENDED, None)])
    peer.script.append(office)
    for _ in range(3):
        peer.hangs_up()
        peer.answers(502, b"Bad gateway")
        peer.answers(503, {"code": "ledger_unavailable", "detail": "Wait."})
    peer.script.append(office)
    assert call(peer.url, lambda client: client.job(ID).wait(), retries=SOON).ended
    assert len(peer.requests) == 11


def test_wait_ends_in_time_and_leaves_the_job_alone(peer: "Peer", call: "Call") -> None:
    office = Office([(status_json(step=3), None)])
    peer.script.append(office)
    with pytest.raises(TimeoutError, match=f"{ID} has not ended within 0.05 s: it is running, 3 of 10") as caught:
        call(peer.url, lambda client: client.job(ID).wait(timeout=0.05))
    assert isinstance(caught.value, JobTimeout)
    assert caught.value.status.step == 3
    assert {sent.method for sent in peer.requests} == {"GET"}


def test_wait_says_that_the_service_was_away_all_the_time(call: "Call") -> None:
    with pytest.raises(APIConnectionError):
        call("http://127.0.0.1:1", lambda client: client.job(ID).wait(), retries=Retry(limit=0, patience=0.05))


def test_cancel_says_how_the_job_stands_then(peer: "Peer", call: "Call") -> None:
    peer.script.append(Office([(status_json(), None)]))
    assert call(peer.url, lambda client: client.job(ID).cancel()).status == "dismissed"
    assert [sent.method for sent in peer.requests] == ["DELETE"]


def test_all_pages_of_jobs_are_one_iteration(peer: "Peer", call: "Call") -> None:
    for number, link in enumerate(
        ["/v1/jobs?status=running&cursor=a%2Bb", "https://elsewhere.example/?cursor=c", None]
    ):
        links = [] if link is None else [{"rel": "self", "href": "/"}, {"rel": "next", "href": link}]
        peer.answers(200, {"jobs": [status_json(jobID=f"{number}{i}") for i in range(2)], "links": links})
    found = call(peer.url, lambda client: listed(client.jobs(status="running", model="m")))
    assert [status.id for status in found] == ["00", "01", "10", "11", "20", "21"]
    assert [sent.query.get("cursor") for sent in peer.requests] == [None, "a+b", "c"]
    assert {sent.path for sent in peer.requests} == {"/v1/jobs"}
    assert all((sent.query["status"], sent.query["model"]) == ("running", "m") for sent in peer.requests)


def test_pages_are_asked_for_when_they_are_wanted(peer: "Peer") -> None:
    links = [{"rel": "next", "href": "/v1/jobs?cursor=a"}]
    peer.answers(200, {"jobs": [status_json()], "links": links})
    with Client(peer.url) as client:
        jobs = client.jobs()
        assert peer.requests == []
        next(jobs)
    assert len(peer.requests) == 1


def test_a_result_is_read_when_it_is_touched(peer: "Peer", call: "Call") -> None:
    whole = states(10)
    office = Office([(ENDED, file_of(whole))])
    peer.script.append(office)
    counts: list[int] = []

    def use(dataset: xr.Dataset) -> np.ndarray[Any, Any]:
        counts.append(len(office.ranges))
        assert dict(dataset.sizes) == dict(whole.sizes)
        counts.append(len(office.ranges))
        values: np.ndarray[Any, Any] = dataset["v"].isel(time=7).values
        return values

    values = call(peer.url, lambda client: then(client.job(ID).result(), use))
    np.testing.assert_array_equal(values, whole["v"][7].values)
    assert counts[0] == counts[1] == len(office.ranges) - 1
    assert [headers.get("If-Range") for headers in office.ranges] == [None] + ['"r0"'] * counts[0]
    start, stop = map(int, office.ranges[-1]["Range"].removeprefix("bytes=").split("-"))
    assert stop + 1 - start == whole["v"][7].nbytes


def test_a_result_is_waited_for(peer: "Peer", call: "Call", quick: None) -> None:
    content = file_of(states(2))
    peer.script.append(Office([(status_json(), None), (status_json(), content), (ENDED, content)]))
    sizes = call(peer.url, lambda client: then(client.job(ID).result(), lambda dataset: dict(dataset.sizes)))
    assert sizes == {"time": 2, "x": 3000}


def test_a_result_that_has_changed_is_not_mixed_with_its_former_self(peer: "Peer", call: "Call") -> None:
    office = Office([(ENDED, file_of(states(3)))])
    peer.script.append(office)

    def use(dataset: xr.Dataset) -> Any:
        office.version += 1
        return dataset["u"].values

    with pytest.raises(ResultChanged, match="Read it anew"):
        call(peer.url, lambda client: then(client.job(ID).result(), use))


def test_a_proxy_that_knows_no_ranges_is_recognised_and_not_read_to_its_end(peer: "Peer", call: "Call") -> None:
    office = Office([(ENDED, file_of(states(10)) + bytes(10**7))])

    def whole(handler: BaseHTTPRequestHandler, number: int) -> bool:
        del handler.headers["Range"]
        return False

    office.before_result = whole
    peer.script.append(office)
    with pytest.raises(APIResponseError, match="HTTP 200 and no range. Does a proxy"):
        call(peer.url, lambda client: client.job(ID).result())


@pytest.mark.parametrize("content", [b"<html>", b"\x89HDF\r\n\x1a\n" + bytes(100), b"CDF\x02" + b"\xff" * 100])
def test_a_result_that_is_none_is_an_answer_of_something_else(peer: "Peer", call: "Call", content: bytes) -> None:
    peer.script.append(Office([(ENDED, content)]))
    with pytest.raises(APIResponseError, match="cannot be used"):
        call(peer.url, lambda client: client.job(ID).result())


def test_a_failed_job_raises_unless_its_part_is_wanted(peer: "Peer", call: "Call", tmp_path: Path) -> None:
    content = file_of(states(4))
    peer.script.append(Office([(failed_json(4), content)]))
    for use in (lambda job: job.result(), lambda job: job.save(tmp_path / "out.nc")):
        with pytest.raises(JobFailed, match=r"Not finite at step 4. \(diverged\).*partial=True") as caught:
            call(peer.url, lambda client, use=use: use(client.job(ID)))
        assert caught.value.status.failure is not None
    assert list(tmp_path.iterdir()) == []
    call(peer.url, lambda client: client.job(ID).save(tmp_path / "out.nc", partial=True))
    assert (tmp_path / "out.nc").read_bytes() == content
    part = call(peer.url, lambda client: then(client.job(ID).result(partial=True), lambda dataset: dataset.load()))
    xr.testing.assert_identical(part, states(4))


def test_a_cancelled_job_without_any_result_says_so(peer: "Peer", call: "Call") -> None:
    peer.script.append(Office([(status_json("dismissed"), None)]))
    with pytest.raises(JobDismissed, match="was cancelled"):
        call(peer.url, lambda client: client.job(ID).result())
    with pytest.raises(JobUnsuccessful):
        call(peer.url, lambda client: client.job(ID).result(partial=True))


def test_a_download_that_breaks_goes_on_where_it_was(
    peer: "Peer", call: "Call", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_module, "PIECE", 30_000)
    content = file_of(states(10))
    office = Office([(ENDED, content)])

    def breaks(handler: BaseHTTPRequestHandler, number: int) -> bool:
        if number % 2:
            return False
        handler.send_response(206)
        handler.send_header("Content-Length", "30000")
        handler.end_headers()
        handler.wfile.write(b"not this")
        handler.close_connection = True
        return True

    office.before_result = breaks
    peer.script.append(office)
    call(peer.url, lambda client: client.job(ID).save(str(tmp_path / "out.nc")), retries=SOON)
    assert (tmp_path / "out.nc").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["out.nc"]
    starts = [int(headers["Range"].removeprefix("bytes=").split("-")[0]) for headers in office.ranges]
    assert starts == sorted([*range(0, len(content), 30_000), *range(30_000, len(content), 30_000)])[: len(starts)]
    assert [headers.get("If-Range") for headers in office.ranges] == [None, *['"r0"'] * (len(starts) - 1)]


def test_a_file_appears_whole_or_not_at_all(
    peer: "Peer", call: "Call", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_module, "PIECE", 30_000)
    office = Office([(ENDED, file_of(states(10)))])
    seen: list[list[str]] = []

    def changes(handler: BaseHTTPRequestHandler, number: int) -> bool:
        seen.append(sorted(path.name for path in tmp_path.iterdir()))
        office.version += number == 3
        return False

    office.before_result = changes
    peer.script.append(office)
    (tmp_path / "out.nc").write_bytes(b"what was there")
    with pytest.raises(ResultChanged):
        call(peer.url, lambda client: client.job(ID).save(tmp_path / "out.nc"))
    assert all(len(names) == 2 and "out.nc" in names for names in seen)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"out.nc": b"what was there"}


def test_a_file_that_cannot_be_written_is_pythons_own_error(peer: "Peer", call: "Call", tmp_path: Path) -> None:
    peer.script.append(Office([(ENDED, file_of(states(1)))]))
    with pytest.raises(FileNotFoundError):
        call(peer.url, lambda client: client.job(ID).save(tmp_path / "no" / "out.nc"))


@pytest.mark.usefixtures("quick")
def test_steps_come_one_by_one_while_the_job_runs(peer: "Peer", call: "Call") -> None:
    whole = states(10)
    course: list[Any] = [(status_json("accepted"), None)]
    course += [(status_json(step=step), file_of(whole.isel(time=slice(step)))) for step in (0, 1, 2, 2, 7, 5, 8)]
    office = Office([*course, (ENDED, file_of(whole))])
    peer.script.append(office)
    frames = call(peer.url, lambda client: listed(client.job(ID).frames()))
    assert [float(frame["time"]) for frame in frames] == [*range(1, 11)]
    for step, frame in enumerate(frames):
        xr.testing.assert_identical(frame, whole.isel(time=step))
    sent = [[int(place) for place in headers["Range"][6:].split("-")] for headers in office.ranges]
    assert sum(stop > 100 and start > 0 for start, stop in sent) == 5  # a request for each growth, not for each step


@pytest.mark.usefixtures("quick")
def test_a_failure_is_raised_after_the_last_good_step(peer: "Peer") -> None:
    peer.script.append(Office([(status_json(), None), (failed_json(4), file_of(states(4)))]))
    seen = []
    with Client(peer.url) as client, pytest.raises(JobFailed, match="diverged"):
        for frame in client.job(ID).frames():
            seen.append(float(frame["time"]))
    assert seen == [1, 2, 3, 4]


@pytest.mark.usefixtures("quick")
def test_a_job_that_failed_before_its_first_step_has_no_frames(peer: "Peer", call: "Call") -> None:
    peer.script.append(Office([(status_json(), None), (failed_json(), None)]))
    with pytest.raises(JobFailed):
        call(peer.url, lambda client: listed(client.job(ID).frames()))


def test_a_single_prediction_is_one_frame(peer: "Peer", call: "Call", wind: xr.Dataset) -> None:
    peer.script.append(Office([(status_json("successful", steps=None), file_of(wind))]))
    (frame,) = call(peer.url, lambda client: listed(client.job(ID).frames()))
    xr.testing.assert_identical(frame, wind)


def test_steps_larger_than_a_request_are_joined(peer: "Peer", call: "Call", monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("_result", "_frames"):
        monkeypatch.setattr(f"equifield_client.{module}.PIECE", 20_000)
    peer.script.append(Office([(ENDED, file_of(states(3)))]))
    frames = call(peer.url, lambda client: listed(client.job(ID).frames()))
    xr.testing.assert_equal(xr.concat(frames, "time", data_vars="minimal"), states(3))


def test_who_stops_looking_at_frames_asks_no_more(peer: "Peer") -> None:
    peer.script.append(Office([(status_json(), file_of(states(3)))]))
    with Client(peer.url) as client:
        frames = client.job(ID).frames()
        next(frames)
        asked = len(peer.requests)
        frames.close()  # type: ignore[attr-defined]
    assert len(peer.requests) == asked


def test_an_asynchronous_transport_cannot_read_lazily_but_save(tmp_path: Path) -> None:
    async def main() -> None:
        transport = httpx.MockTransport(lambda request: httpx.Response(500))
        async with AsyncClient("http://peer", transport=transport) as client:
            with pytest.raises(ValueError, match="`await job.save"):
                await client.job(ID).result()
            with pytest.raises(EquifieldError):
                await client.job(ID).save(tmp_path / "out.nc")

    asyncio.run(main())


def test_a_progress_bar_is_shown_where_someone_watches(
    peer: "Peer", call: "Call", monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], quick: None
) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    for watched in (False, True):
        if watched:
            monkeypatch.setenv("FORCE_COLOR", "1")
            monkeypatch.setenv("TTY_INTERACTIVE", "1")
        office = Office([(status_json(step=step), None) for step in (0, 4, 8)] + [(ENDED, None)])
        peer.script[:] = [office]
        call(peer.url, lambda client: client.job(ID).wait(progress=True))
        out, err = capsys.readouterr()
        assert (out, "10/10" in err.replace("\x1b[32m", "").replace("\x1b[0m", "")) == ("", watched), err


def drive_by_hand(flow: Flow[Any], outcomes: list[Reply | Exception], world: "World") -> Any:
    """Plays a driver with a clock of its own; the last outcome is repeated."""
    outcome: Reply | Exception | None = None
    while True:
        try:
            effect = flow.throw(outcome) if isinstance(outcome, Exception) else flow.send(outcome)
        except StopIteration as stop:
            return stop.value
        if isinstance(effect, Sleep):
            world.now += effect.seconds
            outcome = None
            continue
        assert isinstance(effect, Send)
        world.sent.append((world.now, effect))
        world.now += world.send_takes
        outcome = outcomes.pop(0) if len(outcomes) > 1 else outcomes[0]


class World:
    """A clock, and what was sent when."""

    def __init__(self, send_takes: float = 0.0) -> None:
        self.now, self.send_takes = 1000.0, send_takes
        self.sent: list[tuple[float, Send]] = []

    def policy(self, timeout: float = 60, **retry: Any) -> Policy:
        return Policy("http://peer", timeout, Retry(**retry), clock=lambda: self.now)


def reply(status: int, body: bytes = b"", **headers: str) -> Reply:
    """An answer."""
    return Reply(status, httpx.Headers(headers), body)


def test_patience_is_measured_from_the_first_fault_and_has_an_end() -> None:
    world = World(send_takes=1.0)
    with pytest.raises(APIConnectionError, match="refused"):
        drive_by_hand(persist(Ask("GET", "/"), world.policy(patience=300)), [httpx.ConnectError("refused")], world)
    assert 1300 <= world.now <= 1320


def test_a_long_sleep_of_the_machine_costs_no_patience() -> None:
    world = World(send_takes=50_000.0)  # of one try, which the sleep has broken
    outcomes: list[Reply | Exception] = [httpx.ReadError("reset"), reply(200)]
    assert drive_by_hand(persist(Ask("GET", "/"), world.policy()), outcomes, world).status == 200


def test_what_never_passes_is_not_waited_out() -> None:
    for outcome in (reply(404), reply(500), httpx.UnsupportedProtocol("ftp")):
        world = World()
        with pytest.raises(EquifieldError):
            drive_by_hand(persist(Ask("GET", "/"), world.policy()), [outcome], world)
        assert len(world.sent) == 1


def states_seen(bodies: list[Reply | Exception], world: World, number: int) -> list[Any]:
    """The first states that a watch sees."""
    watch = Watch(f"/v1/jobs/{ID}", world.policy())
    return [drive_by_hand(watch.next(), bodies, world) for _ in range(number)]


def changing(step: int) -> Reply:
    """A state that differs from the others."""
    return reply(200, json.dumps(status_json(step=step)).encode(), etag=f'"{step}"')


def test_a_job_with_many_steps_is_not_asked_for_each_of_them() -> None:
    world = World(send_takes=0.001)
    states_seen([changing(step) for step in range(200)], world, 150)
    gaps = np.diff([when for when, _ in world.sent])
    assert gaps.max() <= LONGEST_PAUSE + 0.01
    assert gaps[-1] >= LONGEST_PAUSE
    assert all(gap <= 0.06 * (when - 1000) + 0.002 for gap, (when, _) in zip(gaps, world.sent[1:], strict=True))


def test_a_service_that_does_not_hold_questions_is_not_asked_without_pause() -> None:
    world = World(send_takes=0.001)
    states_seen([changing(0), *[reply(304)] * 20, changing(1)], world, 2)
    gaps = np.diff([when for when, _ in world.sent])
    assert all(gap >= LONGEST_PAUSE - 0.01 for gap in gaps[1:])


def test_a_question_that_a_sleep_has_cut_off_is_given_up_soon() -> None:
    world = World()
    states_seen([changing(0), changing(1)], world, 2)
    assert [send.timeout for _, send in world.sent] == [15.0, 45.0]
    assert [send.ask.headers.get("Prefer") for _, send in world.sent] == [None, "wait=30"]


def test_a_state_without_etag_is_still_a_state() -> None:
    world = World(send_takes=0.001)
    body = changing(3).content
    assert [status.step for status in states_seen([reply(200, body)], world, 3)] == [3, 3, 3]
    assert all("if-none-match" not in {name.lower() for name in send.ask.headers} for _, send in world.sent)

"""Jobs as their users see them, over real HTTP."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import xarray as xr

from tests.service import files
from tests.service.jobs.asking import ENDED, JOBS, LONG, awaited, done, submitted

PREDICT = "/v1/models/calm/predict"


def predicted(http: httpx.Client, data: xr.Dataset, **query: Any) -> xr.Dataset:
    return files.opened(http.post(PREDICT, content=files.netcdf3(data), params=query).raise_for_status().content)


def same(job: xr.Dataset, other: xr.Dataset) -> bool:
    return all(
        np.array_equal(job[name].values, other[name].transpose(*job[name].dims).values, equal_nan=True)
        for name in ("u", "v", "c")
    )


@pytest.fixture
def running(http: httpx.Client) -> Iterator[str]:
    """The path of a job that is computed and has something to show; cancelled when the test is over."""
    path = submitted(http, files.dataset(1), steps=LONG)
    awaited(http, path, "running", step=1)
    yield path
    assert http.delete(path).json()["status"] == "dismissed"


@pytest.mark.parametrize("query", [{"steps": 60, "every": 3}, {"steps": 12, "every": 4, "dtype": "float64"}, {}])
def test_a_job_gives_what_predict_gives_bit_for_bit(http: httpx.Client, query: dict[str, Any]) -> None:
    _, result = done(http, files.dataset(1), **query)
    assert same(result, predicted(http, files.dataset(1), **query))
    assert not same(result, predicted(http, files.dataset(2), **query))


def test_the_file_of_a_job_that_begins_where_it_was_accepted_is_read_once(http: httpx.Client) -> None:
    def read() -> int:
        found = re.search(r'equifield_payload_seconds_count\{step="decode"\} (\d+)', http.get("/metrics").text)
        return 0 if found is None else int(found[1])

    before = read()
    done(http, files.dataset(1), steps=2)
    assert read() == before + 1
    predicted(http, files.dataset(1))
    assert read() == before + 2, "what is read is counted"


def test_a_file_whose_rollout_the_result_cannot_hold_is_refused_before_anybody_waits(http: httpx.Client) -> None:
    data = files.dataset(1).assign_coords(label=("time", np.array([2**40])))
    body, query = files.netcdf4(data), {"model": "calm", "steps": "2"}
    refused = http.post(JOBS, content=body, params=query)
    assert (refused.status_code, refused.json()["code"]) == (406, "not_acceptable")
    assert "cannot be written as netcdf3" in refused.json()["detail"]
    without = http.post(JOBS, content=files.netcdf4(data.drop_vars("label")), params=query)
    assert without.status_code == 202


def test_the_states_are_the_records_of_the_result_along_the_time_of_the_file(http: httpx.Client) -> None:
    data = files.dataset(1).assign_coords(time=("time", [6.0], {"units": "hours since 2020-01-01"}))
    status, result = done(http, data, steps=40, every=20)
    assert result.encoding["unlimited_dims"] == {"time"} and result.u.dims[0] == "time"
    assert list(result.time.values) == list(np.array(["2020-01-02T02", "2020-01-02T22"], "datetime64[ns]"))
    assert "rollout of 40 steps, every 20 of which is given" in result.history
    assert result.history.startswith(status["created"][:19])


def test_the_status_says_what_is_asked_how_far_it_is_and_where_the_rest_is(http: httpx.Client) -> None:
    path = submitted(http, files.dataset(1), steps=20, every=10)
    status = awaited(http, path)
    assert path == f"{JOBS}/{status['jobID']}" and re.fullmatch("[0-9a-f]{32}", status["jobID"])
    assert status["created"] <= status["started"] <= status["finished"] < status["expires"]
    shown = ("type", "processID", "model", "version", "status", "progress", "steps", "every", "step", "failure")
    assert [status[name] for name in shown] == ["process", "calm", "calm", "1", "successful", 100, 20, 10, 20, None]
    for link in status["links"]:
        with http.stream("GET", link["href"]) as answer:
            assert answer.status_code == 200 and answer.headers["content-type"].split(";")[0] == link["type"]


def test_the_diagnostics_are_those_of_the_states(http: httpx.Client) -> None:
    status, result = done(http, files.dataset(1), steps=20, every=10)
    found, states = status["diagnostics"], np.stack([result.u.values, result.v.values])
    assert found["steps"] == [10, 20] and set(found["fields"]) == {"velocity", "tracer"}
    wind = found["fields"]["velocity"]
    np.testing.assert_allclose(wind["mean_square"], (states**2).sum(0).reshape(2, -1).mean(1), rtol=1e-5)
    np.testing.assert_allclose(wind["maximum"], states.max(axis=(0, 2, 3, 4)), rtol=1e-6)
    np.testing.assert_allclose(wind["minimum"], states.min(axis=(0, 2, 3, 4)), rtol=1e-6)
    assert all(np.isfinite(wind["spectrum_slope"]))


def test_the_same_key_and_request_are_the_same_job_and_another_request_is_refused(http: httpx.Client) -> None:
    key = {"Idempotency-Key": "once"}
    first = submitted(http, files.dataset(1), key, steps=2)
    assert submitted(http, files.dataset(1), key, steps=2) == first
    assert submitted(http, files.dataset(1), {"Idempotency-Key": "twice"}, steps=2) != first
    other = http.post(JOBS, content=files.netcdf3(files.dataset(1)), params={"model": "tiny", "steps": 3}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")


def test_pages_of_the_list_follow_one_another_newest_first(http: httpx.Client) -> None:
    paths = [submitted(http, files.dataset(1), steps=1) for _ in range(5)]
    found, url = list[str](), f"{JOBS}?limit=2&model=calm"
    while url and len(found) < 5:
        page = http.get(url).json()
        found += [f"{JOBS}/{job['jobID']}" for job in page["jobs"]]
        url = next((link["href"] for link in page["links"] if link["rel"] == "next"), "")
    assert found[:5] == paths[::-1]
    for path in paths:
        awaited(http, path)
    assert {job["status"] for job in http.get(JOBS, params={"status": "successful"}).json()["jobs"]} == {"successful"}
    assert http.get(JOBS, params={"model": "none"}).json() == {"jobs": [], "links": []}


def test_a_status_that_is_known_is_held_until_it_changes(http: httpx.Client, running: str) -> None:
    known = http.get(running)
    assert known.headers["retry-after"] == "2"
    etag = {"If-None-Match": known.headers["etag"]}
    news = http.get(running, headers=etag | {"Prefer": "respond-async, wait=60"})
    assert news.status_code == 200 and news.headers["etag"] != known.headers["etag"]
    assert news.json()["step"] > known.json()["step"]
    ended = submitted(http, files.dataset(1), steps=1)
    awaited(http, ended)
    etag = {"If-None-Match": http.get(ended).headers["etag"]}
    assert http.get(ended, headers=etag | {"Prefer": "wait=60"}).status_code == 304, "there will be no news"
    assert "retry-after" not in http.get(ended).headers


def events(http: httpx.Client, path: str, **headers: str) -> list[tuple[str, dict[str, Any]]]:
    found, id = [], ""
    with http.stream("GET", f"{path}/events", headers=headers) as answer:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                id = value
            if name == "data":
                found.append((id, json.loads(value)))
    return found


def test_events_tell_every_listener_how_a_job_goes_until_it_has_ended(http: httpx.Client) -> None:
    path = submitted(http, files.dataset(1), steps=2000)
    found = events(http, path)
    steps = [status["step"] for _, status in found]
    assert len(found) > 2 and steps == sorted(steps)
    assert [status["status"] in ENDED for _, status in found] == [*[False] * (len(found) - 1), True]
    assert found[-1][1] == http.get(path).json()
    assert events(http, path) == found[-1:], "who comes late hears how it ended"
    assert events(http, path, **{"Last-Event-ID": found[-2][0]}) == found[-1:]
    assert events(http, path, **{"Last-Event-ID": found[-1][0]}) == [], "and nothing that is known"


def test_a_result_can_be_fetched_in_parts(http: httpx.Client) -> None:
    path = submitted(http, files.dataset(1), steps=30)
    awaited(http, path)
    whole = http.get(f"{path}/result")
    size, etag = len(whole.content), whole.headers["etag"]
    assert whole.headers["accept-ranges"] == "bytes" and whole.headers["content-length"] == str(size)

    def part(asked: str, **headers: str) -> httpx.Response:
        return http.get(f"{path}/result", headers={"Range": f"bytes={asked}"} | headers)

    half = size // 2
    assert part(f"0-{half - 1}").content + part(f"{half}-").content == whole.content
    assert part("5-9").content == whole.content[5:10]
    tail = part("-100", **{"If-Range": etag})
    assert (tail.status_code, tail.content) == (206, whole.content[-100:])
    assert tail.headers["content-range"] == f"bytes {size - 100}-{size - 1}/{size}"
    for asked, condition in (("0-1", '"another"'), ("9-5", etag), ("0-1,4-5", etag), ("many", etag)):
        answer = part(asked, **{"If-Range": condition})
        assert (answer.status_code, answer.content) == (200, whole.content)
    beyond = part(f"{size}-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")


def test_a_result_can_be_read_while_it_grows_and_after_its_job_was_cancelled(http: httpx.Client) -> None:
    path = submitted(http, files.dataset(1), steps=LONG)
    awaited(http, path, "running", step=5)
    answer = http.get(f"{path}/result")
    sofar, steps = files.opened(answer.content), int(answer.headers["equifield-steps-completed"])
    assert answer.headers["equifield-job-status"] == "running"
    assert list(sofar.step.values) == list(range(1, steps + 1)) and np.isfinite(sofar.u.values).all()
    expected = predicted(http, files.dataset(1), steps=5)
    assert same(sofar.isel(step=slice(5)), expected)
    assert http.delete(path).json()["status"] == "dismissed"
    assert http.delete(path).json()["status"] == "dismissed", "once more is once"
    rest = http.get(f"{path}/result")
    assert rest.headers["equifield-job-status"] == "dismissed" and len(files.opened(rest.content).step) >= steps


def test_a_rollout_that_diverges_fails_at_that_step_and_keeps_what_came_before(http: httpx.Client) -> None:
    data = files.dataset(4)
    path = submitted(http, data, model="tiny", steps=400)
    status = awaited(http, path)
    assert (status["status"], status["failure"]["code"]) == ("failed", "diverged")
    assert f"at step {status['step'] + 1}" in status["message"]
    result = files.opened(http.get(f"{path}/result").content)
    assert list(result.step.values) == list(range(1, status["step"] + 1)) and np.isfinite(result.u.values).all()
    with pytest.raises(httpx.HTTPStatusError):
        http.get(f"{JOBS}/{'0' * 32}").raise_for_status()


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"model": "none"}, 404, "unknown_model"),
        ({"version": "9"}, 404, "unknown_version"),
        ({"steps": 100_001}, 400, "invalid_query"),
        ({"steps": 7, "every": 2}, 400, "invalid_query"),
        ({"compress": 1}, 400, "invalid_query"),
        ({"boundary": "x:none"}, 400, "invalid_query"),
        ({"map": "u:none"}, 422, "variable_missing"),
    ],
)
def test_what_cannot_be_computed_is_not_accepted(
    http: httpx.Client, query: dict[str, Any], status: int, code: str
) -> None:
    before = http.get(JOBS).json()["jobs"]
    params: dict[str, Any] = {"model": "calm", "steps": 2} | query
    answer = http.post(JOBS, content=files.netcdf3(files.dataset(1)), params=params)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert [job["jobID"] for job in http.get(JOBS).json()["jobs"]] == [job["jobID"] for job in before]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", f"{JOBS}/{'0' * 32}", 404, "unknown_job"),
        ("GET", f"{JOBS}/{'0' * 32}/result", 404, "unknown_job"),
        ("GET", f"{JOBS}/{'0' * 32}/events", 404, "unknown_job"),
        ("DELETE", f"{JOBS}/{'0' * 32}", 404, "unknown_job"),
        ("GET", f"{JOBS}?limit=0", 400, "invalid_query"),
        ("GET", f"{JOBS}?status=lost", 400, "invalid_query"),
        ("GET", f"{JOBS}?cursor=none", 400, "invalid_query"),
        ("POST", JOBS, 400, "invalid_query"),
    ],
)
def test_what_is_not_there_is_said_to_be_so(http: httpx.Client, method: str, path: str, status: int, code: str) -> None:
    answer = http.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_jobs_of_a_higher_priority_begin_before_those_that_wait(http: httpx.Client) -> None:
    blocking = [submitted(http, files.dataset(1), steps=LONG) for _ in range(4)]
    for path in blocking:
        awaited(http, path, "running")
    low, high = (submitted(http, files.dataset(1), steps=1, priority=priority) for priority in (0, 5))
    http.delete(blocking[0])
    started = [awaited(http, path)["started"] for path in (low, high)]
    assert started[1] < started[0]
    for path in blocking:
        http.delete(path)

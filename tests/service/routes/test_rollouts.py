"""Rollouts over real HTTP: one file in, one file with every state out."""

import httpx
import numpy as np
import pytest
import xarray as xr

from tests.service import files

PREDICT = "/v1/models/tiny/predict"
COMPLETED = "Equifield-Steps-Completed"


def post(http: httpx.Client, data: xr.Dataset, **query: str | int) -> httpx.Response:
    return http.post(PREDICT, content=files.netcdf3(data), params=query)


def rolled(http: httpx.Client, data: xr.Dataset, **query: str | int) -> xr.Dataset:
    answer = post(http, data, **query)
    assert answer.status_code == 200, answer.text
    return files.opened(answer.content)


def dated(seed: int) -> xr.Dataset:
    """Fields at one time, of which everybody knows when it was."""
    return files.dataset(seed).assign_coords(time=("time", [6.0], {"units": "hours since 2020-01-01"}))


def test_each_state_is_predicted_from_the_one_before_along_the_time_of_the_file(http: httpx.Client) -> None:
    answer = post(http, dated(1), steps=4, every=2)
    assert answer.headers[COMPLETED] == "4" and answer.headers["equifield-model"] == "tiny/1"
    states, expected = files.opened(answer.content), dated(1)
    assert states.u.dims == ("time", "lat", "lon")
    assert list(states.time.values) == list(np.array(["2020-01-01T08", "2020-01-01T10"], "datetime64[ns]"))
    for step in range(4):
        predicted = rolled(http, expected)
        expected = expected.assign({name: (dims, predicted[name].values) for name, dims in fields(expected)})
        if step % 2:
            for name in ("u", "v", "c"):
                found = states[name].values[step // 2]
                np.testing.assert_allclose(found, expected[name].values[0], rtol=1e-3, atol=1e-3)


def fields(data: xr.Dataset) -> list[tuple[str, tuple[str, ...]]]:
    return [(name, tuple(map(str, data[name].dims))) for name in ("u", "v", "c")]


def test_one_step_is_the_prediction_with_an_axis_more(http: httpx.Client) -> None:
    states, predicted = rolled(http, files.dataset(2), steps=1), rolled(http, files.dataset(2))
    assert states.u.dims == ("step", "time", "lat", "lon") and list(states.step.values) == [1]
    np.testing.assert_allclose(states.u.values[0], predicted.u.values, rtol=1e-5, atol=1e-6)
    assert COMPLETED not in post(http, files.dataset(2)).headers


def test_json_is_answered_with_json(http: httpx.Client) -> None:
    answer = http.post(PREDICT, json=files.dataset(3).to_dict(), params={"steps": 3})
    states = xr.Dataset.from_dict(answer.json())
    np.testing.assert_allclose(states.c.values, rolled(http, files.dataset(3), steps=3).c.values, rtol=1e-4, atol=1e-4)


def test_an_answer_that_broke_off_keeps_what_was_finite_and_says_so(http: httpx.Client) -> None:
    data = files.dataset(4)
    data.u.values *= 1e36
    answer = post(http, data, steps=40, missing="zero")
    states, completed = files.opened(answer.content), int(answer.headers[COMPLETED])
    assert 0 < completed < 40
    assert np.isfinite(states.u.values[:completed]).all() and np.isnan(states.u.values[completed:]).all()
    assert f"up to step {completed} of 40 all states are there" in states.u.attrs["comment"]


@pytest.mark.parametrize(
    ("query", "status", "code", "detail"),
    [
        ({"steps": 0}, 400, "invalid_query", "`steps`"),
        ({"steps": "many"}, 400, "invalid_query", "`steps`"),
        ({"every": 2}, 400, "invalid_query", "`steps` is not given"),
        ({"steps": 7, "every": 2}, 400, "invalid_query", "The nearest: 6 or 8"),
        ({"steps": 1001}, 400, "invalid_query", "at most 1000"),
        ({"steps": 3, "map": "u:none"}, 422, "variable_missing", "none"),
    ],
)
def test_a_rollout_that_cannot_be_given_is_refused(
    http: httpx.Client, query: dict[str, str | int], status: int, code: str, detail: str
) -> None:
    answer = post(http, files.dataset(5), **query)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert detail in answer.json()["detail"]


def test_a_deadline_ends_it_and_the_service_goes_on(http: httpx.Client) -> None:
    rolled(http, files.dataset(6), steps=2)  # compiled
    late = http.post(
        PREDICT,
        content=files.netcdf3(files.dataset(6)),
        params={"steps": 1000},
        headers={"Equifield-Timeout-Ms": "60"},
    )
    assert (late.status_code, late.json()["code"]) == (504, "deadline_exceeded")
    assert rolled(http, files.dataset(6), steps=2).sizes["step"] == 2

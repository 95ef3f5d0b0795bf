"""A forecast over constant ground, over real HTTP: in one answer, in a job, and one prediction after the other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import xarray as xr

from tests.running import start
from tests.service import files
from tests.service.jobs.asking import JOBS, done

MODEL = "/v1/models/grounded"
STEPS = 24
"""More than the first part of a job computes."""


@pytest.fixture(scope="module")
def http(grounded: Path) -> Iterator[httpx.Client]:
    running = start(grounded, payload_processes="1", max_batch="2")
    with running.process, httpx.Client(base_url=running.url, timeout=120) as client:
        yield client
        running.stop()


@pytest.fixture(scope="module")
def data() -> xr.Dataset:
    """Two starts over one ground, which has no time; a file in kilometres is one in metres."""
    heights = 200 + 100 * np.random.default_rng(5).standard_normal((8, 8))
    return files.dataset(4, batch=2).assign(z=(("lat", "lon"), heights / 1000, {"units": "km"}))


def predicted(http: httpx.Client, data: xr.Dataset, **query: Any) -> xr.Dataset:
    answer = http.post(f"{MODEL}/predict", content=files.netcdf3(data), params=query)
    assert answer.status_code == 200, answer.text
    return files.opened(answer.content)


@pytest.fixture(scope="module")
def states(http: httpx.Client, data: xr.Dataset) -> xr.Dataset:
    return predicted(http, data, steps=STEPS)


def check_same(given: xr.Dataset, expected: xr.Dataset) -> None:
    for name in ("u", "v", "c"):
        np.testing.assert_allclose(given[name].values, expected[name].values, rtol=1e-3, atol=1e-3)


def test_a_rollout_is_one_prediction_after_the_other_over_the_same_ground(
    http: httpx.Client, data: xr.Dataset, states: xr.Dataset
) -> None:
    assert set(states.data_vars) == {"u", "v", "c"} and states.u.dims == ("step", "time", "lat", "lon")
    following = data
    for step in range(3):
        after = predicted(http, following)
        assert set(after.data_vars) == {"u", "v", "c"}
        check_same(states.isel(step=step), after)
        following = data.assign({name: (after[name].dims, after[name].values) for name in ("u", "v", "c")})


def test_a_job_keeps_the_ground_from_part_to_part(http: httpx.Client, data: xr.Dataset, states: xr.Dataset) -> None:
    status, result = done(http, data, model="grounded", steps=STEPS)
    check_same(result, states)
    assert set(result.data_vars) == {"u", "v", "c"}
    assert status["diagnostics"]["fields"].keys() == {"velocity", "tracer"}


def test_each_start_has_the_ground_of_its_own_time(http: httpx.Client, data: xr.Dataset, states: xr.Dataset) -> None:
    both = data.assign(z=(("time", "lat", "lon"), np.stack([data.z.values, 2 * data.z.values]), data.z.attrs))
    moved = predicted(http, both, steps=STEPS)
    check_same(moved.isel(time=[0]), states.isel(time=[0]))
    difference = np.abs(moved.u - states.u).isel(time=1, step=-1)
    assert difference.max() > 0.1, "control: another ground has another rollout"


def test_ground_that_is_not_there_is_asked_for(http: httpx.Client, data: xr.Dataset) -> None:
    for path, model in ((f"{MODEL}/predict", {}), (JOBS, {"model": "grounded"})):
        answer = http.post(path, content=files.netcdf3(data.drop_vars("z")), params={"steps": "2"} | model)
        assert answer.status_code == 422 and answer.json()["code"] == "variable_missing"


def test_the_law_is_checked_with_the_ground_turned_as_well(http: httpx.Client, data: xr.Dataset) -> None:
    inputs = http.get(MODEL).json()["inputs"]
    assert [field["name"] for field in inputs if field["constant"]] == ["ground"]
    report = http.post(f"{MODEL}/equivariance", content=files.netcdf3(data)).json()
    assert report["passed"] and {row["field"] for row in report["rows"]} == {"velocity", "tracer"}

"""A model whose output lies on a finer grid than its input, over real HTTP."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import httpx
import jax.numpy as jnp
import numpy as np
import pytest
import tritonclient.http as triton
import xarray as xr

from equifield import MultiImage
from equifield.package import load_package
from tests.conftest import made_once
from tests.running import Running, start, until
from tests.service import files, packages
from tests.service.jobs.asking import JOBS, done

MODEL = "/v1/models/finer"
GRID = (8, 6)


@pytest.fixture(scope="module")
def store() -> Path:
    return made_once("finer", lambda store: packages.publish_as(store, packages.finer()))


@pytest.fixture(scope="module")
def service(store: Path) -> Iterator[Running]:
    running = start(store, payload_processes="1", max_batch="2", arena_bytes=str(2**20), monitor_share="1")
    with running.process:
        yield running
        running.stop()


@pytest.fixture(scope="module")
def http(service: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=120) as client:
        yield client


@pytest.fixture(scope="module")
def wind() -> xr.Dataset:
    """Three samples, which travel in two batches."""
    return files.dataset(7, batch=3, grid=GRID).drop_vars("c")


@pytest.fixture(scope="module")
def expected(store: Path, wind: xr.Dataset) -> np.ndarray:
    """What the engine computes, `(batch, lon, lat, component)`."""
    model = load_package(store / "finer" / "1").model
    packed = np.stack([wind[name].transpose("time", "lon", "lat").values for name in "uv"], axis=-1)
    image = MultiImage(jnp.asarray(packed), model.in_type, ("periodic", "periodic"))
    return np.asarray(eqx.filter_jit(model)(image).array)


def post(http: httpx.Client, data: xr.Dataset, path: str = "predict", **request: Any) -> httpx.Response:
    return http.post(f"{MODEL}/{path}", content=files.netcdf3(data), **request)


def predicted(http: httpx.Client, data: xr.Dataset) -> xr.Dataset:
    answer = post(http, data)
    assert answer.status_code == 200, answer.text
    return files.opened(answer.content)


def test_the_answer_is_what_the_engine_computes_on_the_finer_grid(
    http: httpx.Client, wind: xr.Dataset, expected: np.ndarray
) -> None:
    answer = predicted(http, wind)
    assert dict(answer.u.sizes) == {"time": 3, "lat": 12, "lon": 16}
    np.testing.assert_array_equal(answer.lat, np.arange(12) / 2 - 0.25)
    for index, name in enumerate("uv"):
        values = answer[name].transpose("time", "lon", "lat")
        np.testing.assert_allclose(values, expected[..., index], rtol=1e-4, atol=1e-4)


def test_a_reflected_file_has_the_reflected_answer(http: httpx.Client, wind: xr.Dataset) -> None:
    """C4 turns it by 180 degrees: both axes are reversed, and the components change sign."""
    turned = -wind.isel(lat=slice(None, None, -1), lon=slice(None, None, -1)).assign_coords(wind.coords)
    answer, back = predicted(http, turned), predicted(http, wind)
    for name in "uv":
        np.testing.assert_allclose(-answer[name].values[:, ::-1, ::-1], back[name], rtol=1e-4, atol=1e-4)


def test_tensors_are_answered_on_the_finer_grid(
    service: Running, http: httpx.Client, wind: xr.Dataset, expected: np.ndarray
) -> None:
    packed = np.stack([wind[name].transpose("time", "lon", "lat").values for name in "uv"], axis=-1)
    with triton.InferenceServerClient(service.url.removeprefix("http://")) as client:
        for binary in (True, False):
            tensor = triton.InferInput("velocity", packed.shape, "FP32")
            tensor.set_data_from_numpy(packed, binary_data=binary)
            wanted = [triton.InferRequestedOutput("velocity", binary_data=binary)]
            velocity = client.infer("finer", [tensor], outputs=wanted).as_numpy("velocity")
            np.testing.assert_allclose(velocity, expected, rtol=1e-4, atol=1e-4)
        parameters = client.get_model_config("finer")["parameters"]
    assert parameters["refinement"] == {"string_value": "2"}
    assert http.get(MODEL).json()["grid"]["refinement"] == 2


def test_the_law_is_checked_on_the_finer_grid(http: httpx.Client, wind: xr.Dataset) -> None:
    report = post(http, wind, "equivariance").json()
    assert report["passed"] and report["grid"] == list(GRID)
    assert {"translation (1, 0)", "translation (0, 1)"} <= {row["element"] for row in report["rows"]}
    residual = post(http, wind.isel(time=[0]), "equivariance", headers={"Accept": "application/netcdf"})
    assert files.opened(residual.content).u.shape == (1, 12, 16)


def test_live_requests_are_checked_on_the_finer_grid(http: httpx.Client, wind: xr.Dataset) -> None:
    def checks(passed: str) -> float:
        return measured(http, f'equifield_live_checks_total{{model="finer/1",passed="{passed}"}}') or 0.0

    good = checks("true")
    predicted(http, wind)
    until(lambda: checks("true") > good)
    error = measured(http, 'equifield_live_equivariance_error{model="finer/1"}')
    assert error is not None and 0 < error < 1e-4 and checks("false") == 0
    predicted(http, wind * np.float32(1e38))  # control: what overflows obeys no law
    until(lambda: checks("false") > 0)


def measured(http: httpx.Client, series: str) -> float | None:
    """The value of one series of the metrics."""
    lines = http.get("/metrics").text.splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(f"{series} ")), None)


def test_what_takes_its_own_output_is_refused(http: httpx.Client, wind: xr.Dataset) -> None:
    for answer in (post(http, wind, params={"steps": 2}), post_job(http, wind, steps=2)):
        assert answer.status_code == 422 and answer.json()["code"] == "not_autoregressive"
        assert "gives fields on a grid 2 times finer than it takes them" in answer.json()["detail"]


def test_a_job_without_steps_gives_the_prediction(http: httpx.Client, wind: xr.Dataset) -> None:
    _, result = done(http, wind, model="finer")
    answer = predicted(http, wind)
    np.testing.assert_allclose(result.u, answer.u, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(result.lon, answer.lon)


def post_job(http: httpx.Client, data: xr.Dataset, **query: int) -> httpx.Response:
    return http.post(JOBS, content=files.netcdf3(data), params={"model": "finer", **query})


def test_an_answer_for_which_there_is_no_room_is_refused_before_it_is_computed(http: httpx.Client) -> None:
    """Its input would have room: it has a quarter of the bytes."""
    data = files.dataset(1, batch=80, grid=(32, 32)).drop_vars("c")
    answer = post(http, data)
    assert answer.status_code == 413 and answer.json()["code"] == "inflated_too_large"
    assert f"{80 * 64 * 64 * 2 * 4} bytes, and one answer at most {2**20}: 32 samples" in answer.json()["detail"]
    assert post_job(http, data).status_code == 413

"""A checker of the CF conventions finds nothing wrong with what we write."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from compliance_checker.runner import CheckSuite  # type: ignore[import-untyped]

from equifield_service.payload import Kind, Progress

Write = Callable[..., bytes]

pytestmark = pytest.mark.filterwarnings("ignore")  # the checker's own


def repeated(array: npt.NDArray[np.float32], finer: int) -> npt.NDArray[np.float32]:
    """Fields `(batch, *grid, features)` with every pixel cut into so many along each axis of the grid."""
    return np.kron(array, np.ones((1, *[finer] * (array.ndim - 2), 1), np.float32))


@pytest.fixture(scope="module")
def suite() -> CheckSuite:
    """CF 1.11, with the table of standard names that the checker brings along."""
    CheckSuite.load_all_available_checkers()
    return CheckSuite()


def complaints(suite: CheckSuite, path: Path, answer: bytes) -> set[str]:
    """What the checker calls an error or a warning in a file."""
    path.write_bytes(answer)
    dataset = suite.load_dataset(str(path))
    try:
        groups = suite.run_all(dataset, ["cf:1.11"], skip_checks=[])["cf:1.11"][0]
        return {message for result in groups for message in messages(result)}
    finally:
        dataset.close()


def messages(result: Any) -> set[str]:
    score = result.value
    passed = score is True or (isinstance(score, tuple) and score[0] == score[1])
    return set() if passed else set(result.msgs or []) | {m for child in result.children or [] for m in messages(child)}


def split(wind: xr.Dataset) -> xr.Dataset:
    for name in "uv":
        wind[name].attrs["cell_methods"] = "time: mean"
    wind["crs"].attrs |= {"long_name": "grid mapping"}
    wind["surface"].attrs |= {"standard_name": "surface_altitude", "long_name": "height of the ground"}
    wind["time"].attrs |= {"standard_name": "time", "calendar": "standard", "long_name": "time"}
    wind["height"].attrs |= {"axis": "Z", "positive": "up"}
    for name, axis in (("lat", "Y"), ("lon", "X")):
        wind[name].attrs |= {"axis": axis, "long_name": name}
    return wind.drop_vars("pressure")


def scalar(wind: xr.Dataset) -> xr.Dataset:
    data = split(wind)
    data["c"] = (("time", "lat", "lon"), np.full((3, 12, 16), 280, "f4"), data.u.attrs | {"units": "K"})
    data["c"].attrs["standard_name"] = "air_temperature"
    data["c"].values[1, 2, 3] = np.nan
    return data


def stacked(wind: xr.Dataset) -> xr.Dataset:
    dims = ("component_i", "component_j", "z", "y", "x")
    schema = {"tensor_order": np.int32(2), "tensor_dims": "component_i component_j", "tensor_axes": "x y z"}
    data = xr.Dataset({"stress": (dims, np.ones((3, 3, 4, 5, 6), "f4"), schema | {"units": "Pa", "long_name": "s"})})
    data.attrs = wind.attrs
    for axis, size in (("x", 6), ("y", 5), ("z", 4)):
        names = {"x": "projection_x_coordinate", "y": "projection_y_coordinate", "z": "height"}
        extra = {"positive": "up"} if axis == "z" else {}
        attributes = {"axis": axis.upper(), "units": "m", "long_name": axis, "standard_name": names[axis]}
        data[axis] = (axis, np.arange(float(size)), attributes | extra)
    return data


@pytest.mark.parametrize("finer", [1, 2], ids=["same grid", "finer grid"])
@pytest.mark.parametrize(
    ("make", "model", "kind"),
    [
        (split, "velocity", "netcdf3"),
        (scalar, "velocity_and_tracer", "netcdf4"),
        (stacked, "stress", "netcdf4"),
    ],
    ids=["split vector", "scalar with gaps", "tensor"],
)
def test_what_is_written_has_no_faults_that_were_not_sent(
    suite: CheckSuite,
    tmp_path: Path,
    pool: Any,
    models: Any,
    write: Write,
    wind: xr.Dataset,
    make: Callable[[xr.Dataset], xr.Dataset],
    model: str,
    kind: Kind,
    finer: int,
) -> None:
    body = write(make(wind), kind)
    manifest = models.on(getattr(models, model), refinement=finer)
    decoded = pool.decode(body, manifest, missing="nearest")
    added = {"Conventions": "CF-1.11", "history": "predicted", "source": "identity/1", "equivariance_error": "1e-07"}
    answer = pool.encode(manifest, decoded, repeated(decoded.array, finer), attributes=added)
    sent, got = complaints(suite, tmp_path / "sent.nc", body), complaints(suite, tmp_path / "got.nc", answer)
    assert got - sent == set()


@pytest.mark.parametrize(("times", "completed"), [(1, 4), (3, 2)], ids=["along the time", "along steps, cut short"])
def test_rollouts_have_no_faults_that_were_not_sent(
    suite: CheckSuite,
    tmp_path: Path,
    pool: Any,
    models: Any,
    write: Write,
    wind: xr.Dataset,
    times: int,
    completed: int,
) -> None:
    data = split(wind).isel(time=slice(times))
    data.time.attrs["bounds"] = "time_bounds"
    data["time_bounds"] = (("time", "nv"), np.stack([data.time - 3, data.time + 3], axis=1))
    body = write(data)
    manifest = models.velocity.model_copy(update={"time_step": 3600.0})
    decoded = pool.decode(body, manifest, rollout=True)
    states = np.repeat(decoded.array[:, np.newaxis], 2, axis=1)
    added = {"Conventions": "CF-1.11", "history": "predicted", "source": "identity/1", "equivariance_error": "1e-07"}
    answer = pool.encode(manifest, decoded, states, attributes=added, progress=Progress(4, 2, completed))
    sent, got = complaints(suite, tmp_path / "sent.nc", body), complaints(suite, tmp_path / "got.nc", answer)
    assert got - sent == set()


def test_the_checker_sees_faults(suite: CheckSuite, tmp_path: Path, write: Write, wind: xr.Dataset) -> None:
    wind.u.attrs |= {"standard_name": "wind_of_change", "units": "bananas"}
    found = complaints(suite, tmp_path / "wrong.nc", write(wind))
    assert any("wind_of_change" in message for message in found)
    assert any("bananas" in message for message in found)

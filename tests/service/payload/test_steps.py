"""A rollout comes back along the file's own time, or along a dimension that counts its steps."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr

from equifield.package.manifest import Manifest
from equifield_service.domain.errors import SchemaMismatch
from equifield_service.payload import Kind, Progress

Write = Callable[..., bytes]
KINDS = ("netcdf3", "netcdf4", "json")
HOURS = 6


@pytest.fixture(scope="module")
def hourly(models: Any) -> Manifest:
    """A model of the wind whose step is six hours."""
    return Manifest.model_validate({**models.velocity.model_dump(), "time_step": HOURS * 3600.0})


@pytest.fixture
def start(wind: xr.Dataset) -> xr.Dataset:
    """The wind at one time."""
    return wind.isel(time=[1])


def rollout(
    pool: Any, body: bytes, manifest: Manifest, progress: Progress, kind: Kind | None = None, **options: Any
) -> tuple[npt.NDArray[np.float32], xr.Dataset]:
    """States that each are the start plus their number, and the file that holds them."""
    media = "application/json" if body.startswith(b"{") else None
    decoded = pool.decode(body, manifest, media=media, rollout=True, **options)
    number = np.arange(1, len(progress.numbers) + 1, dtype=np.float32).reshape(1, -1, 1, 1, 1)
    states = decoded.array[:, np.newaxis] + number
    states[:, progress.completed // progress.every :] = np.nan
    return states, pool.opened(pool.encode(manifest, decoded, states, kind=kind, progress=progress))


@pytest.mark.parametrize("kind", KINDS)
def test_one_time_is_continued_in_its_own_units_where_the_model_knows_its_step(
    pool: Any, hourly: Manifest, write: Write, start: xr.Dataset, kind: Kind
) -> None:
    start.time.attrs |= {"calendar": "noleap", "bounds": "time_bounds"}
    start["time_bounds"] = (("time", "nv"), [[3.0, 9.0]])
    body = write(start, kind)
    _, back = rollout(pool, body, hourly, Progress(4, 2, 4))
    assert back.u.dims == ("time", "lat", "lon")
    np.testing.assert_array_equal(back.time, [6.0 + 2 * HOURS, 6.0 + 4 * HOURS])
    np.testing.assert_array_equal(back.time_bounds, [[15.0, 21.0], [27.0, 33.0]])
    sent = pool.opened(body).time
    assert back.time.isel(time=[0]).copy(data=sent.values).variable.identical(sent.variable), "all attributes"
    np.testing.assert_array_equal(back.u.astype(np.float32), np.concatenate([start.u + 1, start.u + 2]))


@pytest.mark.parametrize(
    ("units", "time_step", "stored", "wanted"),
    [
        ("days since 2020-01-01", 86400.0, np.int16(5), np.array([6, 7], np.int16)),
        ("days since 2020-01-01", 21600.0, np.int32(5), np.array([5.25, 5.5])),
        ("seconds since 2020-01-01", 0.5, np.float32(2**24), np.array([2**24 + 0.5, 2**24 + 1])),
        ("minutes since 2020-01-01", 90.0, np.float64(0), np.array([1.5, 3.0])),
        ("days since 2020-01-01", 86400.0, np.int16(2**15 - 1), np.array([2.0**15, 2.0**15 + 1])),
    ],
    ids=["whole", "parts of days", "long ago", "minutes", "too many"],
)
def test_times_are_exact_in_the_type_of_the_file_or_in_double_precision(
    pool: Any,
    models: Any,
    write: Write,
    start: xr.Dataset,
    units: str,
    time_step: float,
    stored: Any,
    wanted: npt.NDArray[Any],
) -> None:
    start["time"] = ("time", np.array([stored]), {"units": units})
    model = models.velocity.model_copy(update={"time_step": time_step})
    _, back = rollout(pool, write(start, "netcdf3"), model, Progress(2, 1, 2))
    np.testing.assert_array_equal(back.time, wanted)
    assert back.time.dtype.newbyteorder("=") == wanted.dtype


def test_a_scalar_time_becomes_the_first_dimension(
    pool: Any, hourly: Manifest, write: Write, start: xr.Dataset
) -> None:
    data = start.isel(time=0)
    for name in "uv":
        data[name].attrs["coordinates"] = "height time forecast_period"
    data["forecast_period"] = ((), 0.0, {"units": "hours", "standard_name": "forecast_period"})
    data = data.reset_coords()
    _, back = rollout(pool, write(data), hourly, Progress(3, 1, 3))
    assert back.u.dims == ("time", "lat", "lon")
    np.testing.assert_array_equal(back.time, 6.0 + HOURS * np.arange(1, 4))
    assert back.u.attrs["coordinates"] == "height" and "forecast_period" not in back


@pytest.mark.parametrize("kind", ["netcdf3", "netcdf4"])
def test_several_times_are_starts_each_and_steps_are_counted(
    pool: Any, hourly: Manifest, write: Write, wind: xr.Dataset, kind: Kind
) -> None:
    body = write(wind, kind, unlimited_dims=["time"])
    states, back = rollout(pool, body, hourly, Progress(4, 2, 4))
    assert back.u.dims == ("step", "time", "lat", "lon")
    np.testing.assert_array_equal(back.step, [2, 4])
    assert back.step.attrs["long_name"] == "number of model steps"
    assert back.time.identical(pool.opened(body).time)
    np.testing.assert_array_equal(back.u.values[1, 2].T, states[2, 1, ..., 0])
    assert "rollout of 4 steps, every 2 of which is given" in back.attrs["history"]


@pytest.mark.parametrize("change", ["no step", "no time", "packed", "start of a forecast"])
def test_steps_are_counted_where_nobody_knows_the_time(
    pool: Any, models: Any, hourly: Manifest, write: Write, start: xr.Dataset, change: str
) -> None:
    match change:
        case "no time":
            del start.time.attrs["units"]
        case "packed":
            start.time.attrs["scale_factor"] = 2.0
        case "start of a forecast":
            start.time.attrs["standard_name"] = "forecast_reference_time"
    _, back = rollout(pool, write(start), models.velocity if change == "no step" else hourly, Progress(2, 1, 2))
    assert back.u.dims == ("step", "time", "lat", "lon") and back.sizes["time"] == 1


def test_bounds_that_are_no_numbers_are_no_times(pool: Any, hourly: Manifest, write: Write, start: xr.Dataset) -> None:
    start.time.attrs["bounds"] = "label"
    start["label"] = ("nv", np.array([b"a", b"b"]))
    _, back = rollout(pool, write(start), hourly, Progress(2, 1, 2))
    assert back.label.values.tobytes() == b"ab" and back.time.size == 2


def test_a_dimension_of_that_name_is_refused(pool: Any, models: Any, write: Write, start: xr.Dataset) -> None:
    body = write(start.rename(time="step"))
    with pytest.raises(SchemaMismatch, match="dimension 'step'.*Rename it"):
        pool.decode(body, models.velocity, rollout=True)
    assert pool.decode(body, models.velocity).array.shape[0] == 1, "control: a prediction needs no such dimension"


def test_a_dimension_of_that_name_that_counts_components_is_refused_too(
    pool: Any, models: Any, write: Write, start: xr.Dataset
) -> None:
    schema = {"tensor_order": 1, "tensor_parity": 0, "tensor_dims": "step", "tensor_axes": "lon lat"}
    both = np.stack([start.u.values, start.v.values], axis=-1)
    body = write(start.drop_vars(["u", "v"]).assign(velocity=((*start.u.dims, "step"), both, schema)))
    with pytest.raises(SchemaMismatch, match="dimension 'step'.*Rename it"):
        pool.decode(body, models.velocity, rollout=True)
    assert pool.there_and_back(body, models.velocity).velocity.dims[-1] == "step", "control: a prediction keeps it"


def test_what_was_missing_is_missing_at_every_step(pool: Any, models: Any, write: Write, wind: xr.Dataset) -> None:
    wind.u.values[1, 2, 3] = np.nan
    _, back = rollout(pool, write(wind), models.velocity, Progress(3, 1, 3), missing="zero")
    missing = np.isnan(back.u.values)
    assert missing.sum() == 3 and missing[:, 1, 2, 3].all()
    assert np.isnan(back.u.attrs["_FillValue"])


@pytest.mark.parametrize("kind", ["netcdf3", "netcdf4"])
def test_what_is_not_finite_is_missing_and_said(
    pool: Any, models: Any, write: Write, wind: xr.Dataset, kind: Kind
) -> None:
    _, back = rollout(pool, write(wind), models.velocity, Progress(6, 2, 4), kind)
    assert np.isfinite(back.u.values[:2]).all() and np.isnan(back.u.values[2]).all()
    assert np.isnan(back.u.attrs["_FillValue"])
    assert back.u.attrs["comment"].endswith("up to step 4 of 6 all states are there")


def test_stacked_fields_and_turned_axes_come_back_as_they_were_sent(
    pool: Any, models: Any, write: Write, start: xr.Dataset
) -> None:
    schema = {"tensor_order": 1, "tensor_parity": 0, "tensor_dims": "component", "tensor_axes": "lon lat"}
    both = np.stack([start.u.values, start.v.values], axis=-1)
    data = start.drop_vars(["u", "v"]).assign(velocity=((*start.u.dims, "component"), both, schema))
    data = data.isel(lat=slice(None, None, -1))
    _, back = rollout(pool, write(data), models.velocity, Progress(2, 1, 2))
    assert back.velocity.dims == ("step", "time", "lat", "lon", "component")
    np.testing.assert_array_equal(back.velocity[1], data.velocity + 2)


@pytest.mark.parametrize("change", ["none", "no time", "stacked in front", "masked", "short integers"])
def test_the_parts_of_a_file_that_grows_lie_behind_one_head_and_are_the_whole(
    pool: Any, models: Any, hourly: Manifest, write: Write, start: xr.Dataset, change: str
) -> None:
    data, options = start, dict[str, str]()
    match change:
        case "no time":
            data = start.isel(time=0, drop=True)
        case "stacked in front":
            schema = {"tensor_order": 1, "tensor_parity": 0, "tensor_dims": "component", "tensor_axes": "lon lat"}
            both = np.stack([start.u.values, start.v.values])
            data = start.drop_vars(["u", "v"]).assign(velocity=(("component", *start.u.dims), both, schema))
        case "masked":
            data.u.values[0, 2, 3] = np.nan
            options = {"missing": "zero"}
        case "short integers":
            data = start.assign_coords(time=start.time.astype(np.int16))
    decoded = pool.decode(write(data, "netcdf3"), hourly, rollout=True, **options)
    states = decoded.array[:, np.newaxis] + np.arange(1, 7, dtype=np.float32).reshape(1, -1, 1, 1, 1)

    def part(first: int, last: int) -> bytes:
        progress = Progress(12, 2, 12, (2 * first, 2 * last))
        return bytes(pool.encode(hourly, decoded, states[:, first:last], kind="netcdf3", progress=progress))

    head, parts = part(0, 0), [part(0, 1), part(1, 4), part(4, 6)]
    assert all(one[8 : len(head)] == head[8:] for one in parts)
    whole = head[:4] + (6).to_bytes(4, "big") + head[8:] + b"".join(one[len(head) :] for one in parts)
    assert whole == part(0, 6)
    grown, plain = (
        pool.opened(whole),
        pool.opened(pool.encode(hourly, decoded, states, kind="netcdf3", progress=Progress(12, 2, 12))),
    )
    assert grown.encoding["unlimited_dims"] == {"step" if change == "no time" else "time"}
    assert grown.identical(plain.transpose(*grown.dims)) or all(
        grown[name].identical(plain[name].transpose(*grown[name].dims)) for name in plain.variables
    )

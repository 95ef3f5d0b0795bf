"""Values reach the model in its own units, or not at all."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from equifield_service.domain.errors import InvalidQuery, UnitsMismatch

Write = Callable[..., bytes]


@pytest.fixture
def warm(wind: xr.Dataset) -> xr.Dataset:
    """A wind, and a tracer `c` that the model takes in kelvins, between 0 and 1."""
    values = np.random.default_rng(1).random((3, 12, 16)).astype(np.float32)
    return wind.assign(c=(("time", "lat", "lon"), values, {"units": "K"}))


def tracer(pool: Any, models: Any, body: bytes, **options: Any) -> Any:
    return pool.decode(body, models.velocity_and_tracer, **options).array[..., 0]


@pytest.mark.parametrize(
    ("units", "convert"),
    [
        ("K", lambda values: values),
        ("kelvin", lambda values: values),
        ("degC", lambda values: values + 273.15),
        ("degF", lambda values: (values + 459.67) * 5 / 9),
        ("mK", lambda values: values / 1000),
        ("", lambda values: values),
        (None, lambda values: values),
    ],
)
def test_units_that_are_equal_or_linear_are_converted(
    pool: Any, models: Any, write: Write, warm: xr.Dataset, units: str | None, convert: Callable[[Any], Any]
) -> None:
    expected = convert(tracer(pool, models, write(warm)).astype(np.float64))
    warm.c.attrs = {} if units is None else {"units": units}
    np.testing.assert_allclose(tracer(pool, models, write(warm, "netcdf3")), expected, rtol=1e-6)


def test_each_component_of_a_vector_is_converted_by_its_own_units(
    pool: Any, models: Any, write: Write, wind: xr.Dataset
) -> None:
    straight = pool.decode(write(wind), models.velocity).array
    wind.u.attrs["units"] = "km/h"
    wind["u"] = wind.u * 3.6
    wind.u.attrs["units"], wind.v.attrs["units"] = "km/h", "m/s"
    np.testing.assert_allclose(pool.decode(write(wind), models.velocity).array, straight, rtol=1e-5)


@pytest.mark.parametrize("units", ["m", "1", "gpm", "lg(re 1 K)", "days since 1970-01-01", "x" * 500, "\x00m", "((("])
def test_units_that_cannot_be_converted_are_refused_with_the_way_out(
    pool: Any, models: Any, write: Write, warm: xr.Dataset, units: str
) -> None:
    warm.c.attrs["units"] = units
    with pytest.raises(UnitsMismatch, match="of field 'tracer' of the model, 'K'.*units=c:K") as refused:
        tracer(pool, models, write(warm, "json"), media="application/json")
    assert refused.value.extra["wanted"] == "K"
    assert refused.value.extra["wants"]["fields"]


def test_c_is_the_coulomb_and_the_request_can_say_what_is_meant(
    pool: Any, models: Any, write: Write, warm: xr.Dataset
) -> None:
    expected = tracer(pool, models, write(warm))
    warm.c.attrs["units"] = "C"
    with pytest.raises(UnitsMismatch, match="coulombs.*'degC'"):
        tracer(pool, models, write(warm))
    assert np.array_equal(tracer(pool, models, write(warm), units={"c": "K"}), expected)
    celsius = tracer(pool, models, write(warm), units={"c": "degC"})
    np.testing.assert_allclose(celsius, expected + 273.15, rtol=1e-6)


def test_an_offset_is_no_conversion_of_a_vector(pool: Any, models: Any, write: Write, wind: xr.Dataset) -> None:
    field = models.velocity.inputs[0].model_copy(update={"units": "K"})
    wind.u.attrs["units"] = wind.v.attrs["units"] = "degC"
    with pytest.raises(UnitsMismatch, match="cannot be converted linearly"):
        pool.decode(write(wind), models.of(field))


@pytest.mark.parametrize(
    ("units", "message"), [({"c": "kelvinish"}, "is no unit"), ({"pressure": "Pa"}, "not read as fields")]
)
def test_a_wish_that_makes_no_sense_is_refused(
    pool: Any, models: Any, write: Write, warm: xr.Dataset, units: dict[str, str], message: str
) -> None:
    with pytest.raises(InvalidQuery, match=message):
        tracer(pool, models, write(warm), units=units)


@pytest.mark.parametrize("kind", ["netcdf3", "netcdf4", "json"])
def test_the_history_says_what_was_converted(pool: Any, models: Any, write: Write, warm: xr.Dataset, kind: str) -> None:
    warm.c.attrs["units"] = "C"
    body = write(warm, kind)
    decoded = pool.decode(body, models.velocity_and_tracer, media="application/json", units={"c": "degC"})
    answer = pool.encode(models.velocity_and_tracer, decoded, attributes={"history": "predicted"})
    said = "made\npredicted; 'c' read as degC, not C; 'c' converted from degC to K"
    assert pool.opened(answer).attrs["history"] == said
    unchanged = pool.encode(models.velocity, pool.decode(write(warm), models.velocity), attributes={"history": "p"})
    assert pool.opened(unchanged).attrs["history"] == "made\np"


def test_steps_in_different_units_are_compared_as_lengths(
    pool: Any, models: Any, write: Write, wind: xr.Dataset
) -> None:
    wind["lon"] = ("lon", np.arange(16) * 2.0, {"units": "km", "axis": "X"})
    wind["lat"] = ("lat", np.arange(12) * 2000.0, {"units": "m", "axis": "Y"})
    assert pool.decode(write(wind), models.velocity).array.shape == (3, 16, 12, 2)

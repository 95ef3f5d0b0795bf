"""Missing values are refused, or filled where the request says how; then the answer is missing there too."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from equifield_service.domain.errors import InfiniteValues, MissingValues

Write = Callable[..., bytes]


@pytest.fixture
def holes(wind: xr.Dataset) -> xr.Dataset:
    """A descending wind with a hole in each component, at different places."""
    wind = wind.isel(lat=slice(None, None, -1))
    for name, at in (("u", (0, 3, 5)), ("v", (1, 7, 8))):
        wind[name].values[at] = np.nan
    return wind


@pytest.mark.parametrize("kind", ["netcdf3", "netcdf4", "json"])
@pytest.mark.parametrize("missing", ["zero", "nearest"])
def test_the_answer_is_missing_where_the_input_was_and_says_so(
    pool: Any, models: Any, write: Write, holes: xr.Dataset, kind: str, missing: str
) -> None:
    back = pool.there_and_back(write(holes, kind), models.velocity, missing=missing)
    lost = np.isnan(holes.u) | np.isnan(holes.v)
    for name in ("u", "v"):
        values = back[name].values.astype(np.float32)
        assert np.array_equal(np.isnan(values), lost)
        assert np.array_equal(values[~lost], holes[name].values[~lost])
        assert "2 missing values of the input were replaced by" in back[name].attrs["comment"]
        assert "missing at the same 2 grid points" in back[name].attrs["comment"]


def test_the_model_sees_zero_or_the_nearest_value(pool: Any, models: Any, write: Write, holes: xr.Dataset) -> None:
    body = write(holes)
    lon, lat = 5, 11 - 3
    zero = pool.decode(body, models.velocity, missing="zero").array
    assert (zero[0, lon, lat, 0], zero[1, 8, 11 - 7, 1]) == (0.0, 0.0)
    nearest = pool.decode(body, models.velocity, missing="nearest").array
    around = [nearest[0, lon + x, lat + y, 0] for x, y in ((0, 1), (0, -1), (1, 0), (-1, 0))]
    assert nearest[0, lon, lat, 0] in around
    others = ~np.isnan(holes.u.values[:, ::-1].transpose(0, 2, 1))
    assert np.array_equal(zero[..., 0][others], nearest[..., 0][others])


def test_without_a_word_they_are_refused_with_both_ways_out(
    pool: Any, models: Any, write: Write, holes: xr.Dataset
) -> None:
    with pytest.raises(MissingValues, match="'u' has 1 missing of 576 values.*missing=zero or missing=nearest"):
        pool.decode(write(holes), models.velocity)


def test_a_whole_file_changes_nothing(pool: Any, models: Any, write: Write, wind: xr.Dataset) -> None:
    back = pool.there_and_back(write(wind), models.velocity, missing="zero")
    assert "comment" not in back.u.attrs
    assert "_FillValue" not in back.u.attrs


def test_what_was_packed_or_never_written_is_missing(pool: Any, models: Any, write: Write, wind: xr.Dataset) -> None:
    wind["u"] = wind.u.variable.copy(data=np.full((3, 12, 16), 9.969209968386869e36, np.float32))
    back = pool.there_and_back(write(wind, "netcdf3"), models.velocity, missing="zero")
    assert np.isnan(back.u).all()
    assert np.isnan(back.v).all()


def test_a_slice_without_any_value_has_no_nearest(pool: Any, models: Any, write: Write, wind: xr.Dataset) -> None:
    wind.u.values[1] = np.nan
    with pytest.raises(MissingValues, match="no value at all"):
        pool.decode(write(wind), models.velocity, missing="nearest")


def test_infinite_values_are_refused_all_the_same(pool: Any, models: Any, write: Write, holes: xr.Dataset) -> None:
    holes.v.values[2, 2, 2] = np.inf
    with pytest.raises(InfiniteValues, match="1 infinite of 576"):
        pool.decode(write(holes), models.velocity, missing="zero")

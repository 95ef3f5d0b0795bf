"""What else a request may say: a group, the type and compression of the answer; and what kinds of grids there are."""

from collections.abc import Callable
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr

from equifield_service.domain.errors import GroupMissing, SpacingNotUniform, VariableMissing

Write = Callable[..., bytes]


def grouped(wind: xr.Dataset) -> bytes:
    """The fields in `/model/run`, their coordinates at the root."""
    root = netCDF4.Dataset("x", "w", memory=1024)
    for dim, size in (("lat", 12), ("lon", 16)):
        root.createDimension(dim, size)
        root.createVariable(dim, "f8", (dim,))[:] = wind[dim].values
        root[dim].setncatts(wind[dim].attrs)
    root.setncatts({"title": "outer", "history": "made"})
    group = root.createGroup("model").createGroup("run")
    group.setncatts({"title": "inner"})
    for name in "uv":
        group.createVariable(name, "f4", ("lat", "lon"))[:] = wind[name].values[0]
    return bytes(root.close())


def test_a_group_is_read_when_it_is_named(pool: Any, models: Any, wind: xr.Dataset) -> None:
    back = pool.there_and_back(grouped(wind), models.velocity, group="/model/run")
    assert np.array_equal(back.u, wind.u[0])
    assert np.array_equal(back.lat, wind.lat)
    assert back.attrs == {"title": "inner", "history": "made"}


def test_without_a_name_only_the_root_is_read(pool: Any, models: Any, wind: xr.Dataset) -> None:
    with pytest.raises(VariableMissing) as refusal:
        pool.decode(grouped(wind), models.velocity)
    assert {variable["name"] for variable in refusal.value.extra["variables"]} == {"lat", "lon"}


def test_a_group_that_is_not_there_is_refused_with_those_that_are(
    pool: Any, models: Any, write: Write, wind: xr.Dataset
) -> None:
    with pytest.raises(GroupMissing, match="It has '/', '/model', '/model/run'"):
        pool.decode(grouped(wind), models.velocity, group="model/walk")
    with pytest.raises(GroupMissing, match="kind netcdf3 has no groups"):
        pool.decode(write(wind, "netcdf3"), models.velocity, group="/model")


@pytest.mark.parametrize("kind", ["netcdf3", "netcdf4"])
def test_float64_is_given_on_request(pool: Any, models: Any, write: Write, wind: xr.Dataset, kind: str) -> None:
    decoded = pool.decode(write(wind, kind), models.velocity)
    back = pool.opened(pool.encode(models.velocity, decoded, dtype="float64"))
    assert (back.u.dtype.kind, back.u.dtype.itemsize) == ("f", 8)
    assert np.array_equal(back.u, wind.u)


def test_only_the_fields_are_compressed_and_only_on_request(
    pool: Any, models: Any, write: Write, wind: xr.Dataset
) -> None:
    decoded = pool.decode(write(wind), models.velocity)
    sizes = {}
    for level in (0, 4):
        answer = pool.encode(models.velocity, decoded, np.zeros_like(decoded.array), compress=level)
        with netCDF4.Dataset("x", memory=answer) as file:
            sizes[level] = file["u"].filters()["complevel"] if file["u"].filters()["zlib"] else 0
            assert not file["lat"].filters()["zlib"]
    assert sizes == {0: 0, 4: 4}


def curvilinear(wind: xr.Dataset) -> xr.Dataset:
    """A wind whose places are given by two-dimensional longitudes and latitudes alone."""
    north, east = np.meshgrid(wind.lat.values, wind.lon.values, indexing="ij")
    dims = {"lat": "y", "lon": "x"}
    data = wind.drop_vars(["lat", "lon", "lat_bounds", "surface"]).rename_dims(dims)
    data["nav_lon"] = (("y", "x"), east + 0.1 * north, {"units": "degrees_east"})
    data["nav_lat"] = (("y", "x"), north, {"units": "degrees_north"})
    for name in "uv":
        data[name].attrs["coordinates"] = "nav_lon nav_lat"
    return data


def test_curvilinear_grids_need_a_model_for_any_spacing(pool: Any, models: Any, write: Write, wind: xr.Dataset) -> None:
    data = curvilinear(wind)
    with pytest.raises(SpacingNotUniform, match="curvilinear: 'nav_l"):
        pool.decode(write(data), models.velocity)
    back = pool.there_and_back(write(data), models.on(models.velocity, spacing="any"))
    assert np.array_equal(back.u, data.u)
    assert np.array_equal(back.nav_lon, data.nav_lon)
    assert back.u.attrs["coordinates"] == "nav_lon nav_lat"


@pytest.mark.parametrize(("points", "closed"), [(16, ("x",)), (15, ())], ids=["around the globe", "a gap"])
def test_longitudes_around_the_globe_close(
    pool: Any, models: Any, write: Write, wind: xr.Dataset, points: int, closed: tuple[str, ...]
) -> None:
    lat = ("lat", np.arange(12) * 22.5 - 90, {"units": "degrees_north"})
    wind = wind.drop_vars("lat_bounds").assign_coords(lon=("lon", np.arange(16) * 22.5, wind.lon.attrs), lat=lat)
    assert pool.decode(write(wind.isel(lon=slice(0, points))), models.velocity).frame.periodic == closed

"""A staggered grid is refused with that word, or its fields are averaged to places that all have in common."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from equifield_service.domain.errors import SpacingNotUniform, StaggeredGrid

Write = Callable[..., bytes]


@pytest.fixture
def faces(wind: xr.Dataset) -> xr.Dataset:
    """A wind on the faces of cells (Arakawa C), a plane through the origin so that averages are exact."""
    lat, lon = np.arange(12) * 0.5, np.arange(16) * 0.5
    west = np.arange(17) * 0.5 - 0.25
    south = np.arange(13) * 0.5 - 0.25
    data = wind.drop_vars(["u", "v", "surface", "pressure"]).drop_dims("time")
    data["u"] = (("lat", "lon_face"), lat[:, None] + 2 * west, {"units": "m s-1", "coordinates": "where height"})
    data["v"] = (("lat_face", "lon"), (3 * south[:, None] - lon).astype("f4"), {"units": "m s-1"})
    data["where"] = (("lat", "lon_face"), np.zeros((12, 17)))
    return data


def test_components_on_cell_faces_are_averaged_on_request(
    pool: Any, models: Any, write: Write, faces: xr.Dataset
) -> None:
    back = pool.there_and_back(write(faces, "netcdf3"), models.velocity, stagger="center")
    assert back.u.dims == back.v.dims == ("lat", "lon")
    np.testing.assert_allclose(back.u, faces.lat.values[:, None] + 2 * faces.lon.values, atol=1e-6)
    np.testing.assert_allclose(back.v, 3 * faces.lat.values[:, None] - faces.lon.values, atol=1e-6)
    assert back.u.attrs["coordinates"] == "height"
    assert "lon_face" not in back.sizes


def test_they_are_refused_with_that_word_otherwise(pool: Any, models: Any, write: Write, faces: xr.Dataset) -> None:
    with pytest.raises(StaggeredGrid, match="staggered.*stagger=center"):
        pool.decode(write(faces), models.velocity)
    with pytest.raises(StaggeredGrid, match="not by one point"):
        pool.decode(write(faces.isel(lon_face=slice(0, 14))), models.velocity, stagger="center")


def test_faces_as_many_as_cells_are_refused_since_nobody_says_on_which_side_they_are(
    pool: Any, models: Any, write: Write, faces: xr.Dataset
) -> None:
    data = faces.isel(lon_face=slice(0, 16), lat_face=slice(0, 12))
    with pytest.raises(StaggeredGrid, match="not by one point.*'lat=12 for lat_face=12'.*'lon_face=16 for lon=16'"):
        pool.decode(write(data), models.velocity, stagger="center")


@pytest.fixture
def inner() -> xr.Dataset:
    """A wind on the inner faces of 6 x 8 cells and a tracer in them (ROMS), each with places of its own, planes all."""
    data = xr.Dataset()
    for point, (rows, columns) in {"rho": (0.0, 0.0), "u": (0.0, 0.5), "v": (0.5, 0.0)}.items():
        eta, xi = np.arange(rows, 6 - rows), np.arange(columns, 8 - columns)
        dims = (f"eta_{point}", f"xi_{point}")
        east = 179.0 + 0.5 * xi + 0.1 * eta[:, None]
        data[f"lon_{point}"] = (dims, (east + 180) % 360 - 180, {"units": "degrees_east"})
        north = 10 + 0.5 * eta[:, None] + 0 * xi
        data[f"lat_{point}"] = (dims, north, {"units": "degrees_north", "actual_range": [north.min(), north.max()]})
        values = {"rho": eta[:, None] * xi, "u": eta[:, None] + 2 * xi, "v": 3 * eta[:, None] - xi}[point]
        name = {"rho": "c"}.get(point, point)
        data[name] = (dims, values.astype("f4"), {"coordinates": f"lon_{point} lat_{point}"})
    return data


def test_components_on_inner_faces_come_to_the_corners_between_the_cells_with_a_tracer_and_their_places(
    pool: Any, models: Any, write: Write, inner: xr.Dataset
) -> None:
    model = models.on(models.velocity_and_tracer, spacing="any")
    axes = {"x": "xi_u", "y": "eta_v"}
    back = pool.there_and_back(write(inner), model, stagger="center", axes=axes)
    eta, xi = np.arange(5)[:, None] + 0.5, np.arange(7) + 0.5
    assert back.u.dims == back.v.dims == back.c.dims == ("eta_v", "xi_u")
    for name, expected in {"u": eta + 2 * xi, "v": 3 * eta - xi, "c": eta * xi}.items():
        np.testing.assert_allclose(back[name], expected, atol=1e-5)
    assert set(back.u.attrs["coordinates"].split()) <= set(back.variables)
    for point in ("rho", "u", "v"):
        east = back[f"lon_{point}"]
        assert east.dims == ("eta_v", "xi_u") and "actual_range" not in back[f"lat_{point}"].attrs
        np.testing.assert_allclose((east - 179) % 360, 0.5 * xi + 0.1 * eta, atol=1e-9)


def test_places_on_faces_make_a_grid_curvilinear_too(pool: Any, models: Any, write: Write, inner: xr.Dataset) -> None:
    with pytest.raises(SpacingNotUniform, match="curvilinear"):
        pool.decode(write(inner), models.velocity_and_tracer, stagger="center", axes={"x": "xi_u", "y": "eta_v"})


def test_a_real_ocean_on_inner_faces_is_read(pool: Any, models: Any, shared_data: Path) -> None:
    body = (shared_data / "real" / "croco_cgrid_staggered.nc").read_bytes()
    array = pool.decode(body, models.velocity, stagger="center", missing="zero").array
    with xr.open_dataset(body, decode_times=False) as sent:
        u, v = sent.u.values, sent.v.values
    assert array.shape == (6, 42, 43, 2)
    expected = np.stack([(u[..., :-1, :] + u[..., 1:, :]) / 2, (v[..., :-1] + v[..., 1:]) / 2], axis=-1)
    np.testing.assert_allclose(array, expected.reshape(6, 43, 42, 2).swapaxes(1, 2), atol=1e-6)


def test_a_grid_without_faces_stays_as_it_is(pool: Any, models: Any, write: Write, wind: xr.Dataset) -> None:
    body = write(wind)
    centred = pool.decode(body, models.velocity, stagger="center").array
    assert np.array_equal(centred, pool.decode(body, models.velocity).array)

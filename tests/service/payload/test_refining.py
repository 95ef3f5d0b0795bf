"""An answer on a finer grid has the coordinates of the finer cells."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr

from equifield_service.domain.errors import GridUnsupported

Write = Callable[..., bytes]
EAST, NORTH = {"units": "degrees_east"}, {"units": "degrees_north"}


@pytest.fixture
def finer(pool: Any, models: Any, write: Write) -> Callable[..., xr.Dataset]:
    """A file there and back, every pixel cut into `refinement` along each axis of the grid; read as it is stored."""

    def there_and_back(
        data: xr.Dataset, refinement: int = 2, kind: str = "netcdf4", *, spacing: str = "any", **options: Any
    ) -> xr.Dataset:
        manifest = models.on(models.velocity, refinement=refinement, spacing=spacing)
        decoded = pool.decode(write(data, kind), manifest, media="application/json", **options)
        prediction = np.kron(decoded.array, np.ones((1, refinement, refinement, 1), np.float32))
        answer = pool.encode(manifest, decoded, prediction, attributes={"history": "predicted"})
        back: xr.Dataset = pool.opened(answer)
        return back

    return there_and_back


def plane(coordinates: Mapping[str, Any], lat: int = 4, lon: int = 6) -> xr.Dataset:
    """A wind on a plane with some coordinates."""
    values = np.arange(lat * lon, dtype=np.float32).reshape(lat, lon)
    links = {"coordinates": " ".join(name for name in coordinates if name not in ("lat", "lon"))}
    return xr.Dataset({name: (("lat", "lon"), values, links) for name in "uv"} | dict(coordinates))


def axes(lat: npt.ArrayLike, lon: npt.ArrayLike) -> dict[str, Any]:
    return {"lat": ("lat", np.asarray(lat), NORTH), "lon": ("lon", np.asarray(lon), EAST)}


@pytest.mark.parametrize("kind", ["netcdf3", "netcdf4", "json"])
@pytest.mark.parametrize("refinement", [2, 3])
def test_finer_cells_divide_those_of_the_file_evenly(
    finer: Callable[..., xr.Dataset], wind: xr.Dataset, refinement: int, kind: str
) -> None:
    back = finer(wind, refinement, kind, spacing="uniform")
    assert dict(back.u.sizes) == {"time": 3, "lat": 12 * refinement, "lon": 16 * refinement}
    for name in ("lat", "lon"):
        cells = back[name].values.reshape(-1, refinement)
        np.testing.assert_allclose(cells.mean(axis=1), wind[name], atol=1e-12)
        np.testing.assert_allclose(np.diff(back[name]), 0.5 / refinement, atol=1e-12)
        assert back[name].attrs == wind[name].attrs
    np.testing.assert_array_equal(back.u[:, ::refinement, 1::refinement].astype(np.float32), wind.u)
    middle = back.lat_bounds.mean("nv")
    np.testing.assert_allclose(middle, back.lat, atol=1e-12)
    np.testing.assert_array_equal(back.lat_bounds[1:, 0], back.lat_bounds[:-1, 1])
    np.testing.assert_array_equal(back.time, wind.time)


def test_what_was_measured_on_the_grid_is_left_out_and_said(finer: Callable[..., xr.Dataset], wind: xr.Dataset) -> None:
    wind.lat.attrs["cell_measures"] = "area: surface"
    back = finer(wind)
    assert set(back.variables) == {"u", "v", "time", "lat", "lon", "lat_bounds", "height", "crs"}
    assert back.u.attrs["coordinates"] == "height" and back.u.attrs["grid_mapping"] == "crs"
    assert "cell_measures" not in back.lat.attrs and back.lat.attrs["bounds"] == "lat_bounds"
    assert back.attrs["history"] == "made\npredicted; on a grid 2 times finer; without 'surface', not known there"


@pytest.mark.parametrize("bounds", [[-0.25, 0.25], [0.25, -0.25]], ids=["upwards", "downwards"])
def test_refining_commutes_with_reflections_bit_by_bit(
    finer: Callable[..., xr.Dataset], wind: xr.Dataset, bounds: list[float]
) -> None:
    wind["lat"] = ("lat", np.cumsum(np.linspace(0.1, 0.7, 12)), wind.lat.attrs)
    wind["lat_bounds"] = (("lat", "nv"), wind.lat.values[:, np.newaxis] + bounds)
    reflected = finer(wind.isel(lat=slice(None, None, -1)))
    expected = finer(wind).isel(lat=slice(None, None, -1))
    for name in expected.variables:
        np.testing.assert_array_equal(reflected[name], expected[name])


def test_uneven_coordinates_lie_on_the_lines_between_their_neighbours(finer: Callable[..., xr.Dataset]) -> None:
    back = finer(plane(axes([0.0, 1.0, 3.0, 7.0], np.arange(6.0))))
    np.testing.assert_allclose(back.lat, [-0.25, 0.25, 0.75, 1.5, 2.5, 4.0, 6.0, 8.0])
    assert (np.diff(back.lat) > 0).all()


@pytest.mark.parametrize(
    ("sent", "given"), [("f4", "f4"), ("f8", "f8"), ("i4", "f8"), ("i2", "f8")], ids=["float", "double", "int", "short"]
)
def test_coordinates_keep_their_type_unless_it_holds_no_fractions(
    finer: Callable[..., xr.Dataset], sent: str, given: str
) -> None:
    data = plane(axes(np.arange(4).astype(sent), np.arange(6.0)))
    data.lat.attrs["actual_range"] = np.array([0, 3], sent)
    back = finer(data, kind="netcdf3")
    assert back.lat.dtype.newbyteorder("=") == np.dtype(given) and back.lat.attrs == NORTH
    np.testing.assert_array_equal(back.lat, np.arange(8) / 2 - 0.25)


def test_packed_coordinates_are_unpacked(finer: Callable[..., xr.Dataset]) -> None:
    packed = ("lat", np.array([0, 5, 10, 15], "i2"), NORTH | {"scale_factor": 0.1, "add_offset": 20.0})
    back = finer(plane({**axes([0] * 4, np.arange(6.0)), "lat": packed}))
    np.testing.assert_allclose(back.lat, 20 + 0.5 * (np.arange(8) / 2 - 0.25))
    assert back.lat.attrs == NORTH


def test_places_in_two_dimensions_follow_across_the_date_line(finer: Callable[..., xr.Dataset]) -> None:
    lat, lon = np.meshgrid(np.arange(4.0), np.arange(178.0, 184.0), indexing="ij")
    wrapped = (lon + 180) % 360 - 180
    places = {"y": (("lat", "lon"), lat, NORTH), "x": (("lat", "lon"), wrapped, EAST)}
    back = finer(plane(places), axes={"x": "lon", "y": "lat"})
    expected = np.meshgrid(np.arange(8) / 2 - 0.25, np.arange(12) / 2 + 177.75, indexing="ij")
    np.testing.assert_allclose(back.y, expected[0])
    np.testing.assert_allclose((back.x - expected[1] + 180) % 360 - 180, 0, atol=1e-12)
    assert back.u.attrs["coordinates"] == "y x"
    around_the_pole = {**places, "x": (("lat", "lon"), 100 * lon % 360, EAST)}
    assert finer(plane(around_the_pole), axes={"x": "lon", "y": "lat"}).u.attrs["coordinates"] == "y"


def test_one_point_along_an_axis_has_no_step_to_divide(finer: Callable[..., xr.Dataset]) -> None:
    back = finer(plane(axes([45.0], np.arange(6.0)), lat=1))
    assert back.u.shape == (2, 12) and "lat" not in back.variables and "without 'lat'" in back.attrs["history"]


@pytest.mark.parametrize(
    "units", [NORTH, {"units": "degrees", "standard_name": "latitude", "axis": "Y"}], ids=["CF", "plain"]
)
def test_poles_are_refused_with_the_way_out(finer: Callable[..., xr.Dataset], units: dict[str, str]) -> None:
    globe = plane(axes(np.linspace(90, -90, 5), np.linspace(0, 300, 6)), lat=5)
    globe.lat.attrs = units
    with pytest.raises(GridUnsupported, match=r"'lat' would reach 101.25 degrees: a pole is a point"):
        finer(globe)
    assert float(finer(globe.isel(lat=slice(1, -1))).lat.max()) == 56.25
    assert float(finer(plane(axes([-67.5, -22.5, 22.5, 67.5], np.arange(6.0)))).lat.max()) == 78.75


def test_what_was_missing_is_missing_in_all_of_its_finer_cells(
    finer: Callable[..., xr.Dataset], wind: xr.Dataset
) -> None:
    wind.u.values[1, 2, 3] = np.nan
    back = finer(wind.isel(lat=slice(None, None, -1)), missing="zero")
    expected = np.zeros((3, 24, 32), bool)
    expected[1, 18:20, 6:8] = True
    for name in "uv":
        np.testing.assert_array_equal(np.isnan(back[name]), expected)

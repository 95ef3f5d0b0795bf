"""Trajectories in NetCDF files and Zarr stores: the right values, and nothing but what was asked for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from equifield import FieldType
from equifield.package.manifest import Component, FieldSpec, GridSpec
from equifield.train.data import NetCDFSeries, Series, Windows

RNG = np.random.default_rng(0)
SIZES = {"member": 2, "time": 5, "x": 4, "y": 6}
GRID = GridSpec(axes=("x", "y"), boundary=("periodic", "mirror"))
WIND = FieldSpec(
    name="wind",
    order=1,
    units="m s-1",
    components=(
        Component(axes=("y",), variable="v", standard_names=("northward_wind",)),
        Component(axes=("x",), variable="u", standard_names=("eastward_wind",)),
    ),
)
HEAT = FieldSpec(name="heat", order=0, components=(Component(variable="t"),))
GROUND = FieldSpec(name="ground", order=0, components=(Component(variable="z"),))


def winds() -> xr.Dataset:
    """Winds, temperature and orography in the order member, time, x, y."""
    dims = tuple(SIZES)
    values: dict[str, tuple[Any, ...]] = {
        name: (dims, RNG.normal(size=tuple(SIZES.values())).astype(np.float32)) for name in "uvt"
    }
    for name in "uv":
        values[name] = (*values[name], {"units": "m s-1"})
    ground = (("x", "y"), RNG.normal(size=(4, 6)).astype(np.float32))
    coordinates = {dim: np.arange(float(SIZES[dim])) for dim in ("time", "x", "y")}
    return xr.Dataset(values | {"z": ground}, coordinates)


def packed(dataset: xr.Dataset) -> np.ndarray:
    return np.stack([dataset[name].transpose(*SIZES).values for name in "tuv"], axis=-1)


def opened(path: Path | list[Path], **settings: object) -> NetCDFSeries:
    every = {"fields": (WIND, HEAT), "grid": GRID, "constants": (GROUND,), "trajectory": "member"} | settings
    return NetCDFSeries(path, **every)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["nc", "zarr"])
def test_a_file_is_read_as_the_fields_it_holds(kind: str, tmp_path: Path) -> None:
    dataset, path = winds(), tmp_path / f"winds.{kind}"
    if kind == "nc":
        dataset.to_netcdf(path)
    else:
        dataset.to_zarr(path, zarr_format=3, consolidated=False)
    series = opened(path)
    assert isinstance(series, Series)
    assert series.field_type == FieldType.parse("scalar + vector") and series.boundary == ("periodic", "mirror")
    assert (series.trajectories, series.steps, series.grid) == (2, 5, (4, 6))
    expected = packed(dataset)
    np.testing.assert_array_equal(series.read(1, slice(1, 5, 2)), expected[1, 1:5:2])
    np.testing.assert_array_equal(series.read(0, np.array([4, 0])), expected[0, [4, 0]])
    np.testing.assert_array_equal(series.read(0, slice(None, None, -1)), expected[0, ::-1])
    constants = series.constants(1)
    assert constants is not None
    np.testing.assert_array_equal(constants.array[..., 0], dataset["z"])


def test_steps_are_told_where_they_are_equal(tmp_path: Path) -> None:
    dataset = winds().assign_coords(x=[0.0, 1, 2, 4], y=-2.5 * np.arange(6.0), time=6 * np.arange(5))
    dataset["time"].attrs["units"], dataset["y"].attrs["units"] = "hours since 1990-01-01", "degrees_north"
    dataset.to_netcdf(tmp_path / "winds.nc")
    series = opened(tmp_path / "winds.nc", grid=GRID.model_copy(update={"spacing": "any"}))
    assert series.spacing == {"time": (6, "hours"), "y": (2.5, "degrees_north")}


def test_order_and_direction_of_dimensions_do_not_matter(tmp_path: Path) -> None:
    dataset, path = winds(), tmp_path / "winds.nc"
    dataset.transpose("y", "time", "x", "member").isel(y=slice(None, None, -1)).to_netcdf(path)
    series = opened(path)
    np.testing.assert_array_equal(series.read(1, slice(None)), packed(dataset)[1])
    constants = series.constants(0)
    assert constants is not None
    np.testing.assert_array_equal(constants.array[..., 0], dataset["z"])


def test_variables_and_axes_are_found_by_their_cf_attributes(tmp_path: Path) -> None:
    dataset = winds().rename(u="a", v="b", x="lon", y="row")
    dataset["a"].attrs["standard_name"], dataset["b"].attrs["standard_name"] = "eastward_wind", "northward_wind"
    dataset["lon"].attrs["units"], dataset["row"].attrs["axis"] = "degrees_east", "Y"
    dataset.to_netcdf(tmp_path / "winds.nc")
    plain = dataset.rename(a="u", b="v", lon="x", row="y")
    np.testing.assert_array_equal(opened(tmp_path / "winds.nc").read(1, slice(None)), packed(plain)[1])


def test_variables_may_be_named(tmp_path: Path) -> None:
    dataset = winds()
    dataset.rename(u="zonal", v="u", t="v").to_netcdf(tmp_path / "winds.nc")
    series = opened(tmp_path / "winds.nc", variables={"u": "zonal", "v": "u", "t": "v"})
    np.testing.assert_array_equal(series.read(1, slice(None)), packed(dataset)[1])
    with pytest.raises(ValueError, match="No variable is named 'heat'"):
        opened(tmp_path / "winds.nc", variables={"t": "heat"})


def test_each_file_may_be_a_trajectory_and_values_may_be_packed(tmp_path: Path) -> None:
    dataset, paths = winds(), [tmp_path / f"{member}.nc" for member in range(2)]
    small = {name: {"dtype": "int16", "scale_factor": 1e-3, "_FillValue": -32768} for name in "uvt"}
    for member, path in enumerate(paths):
        dataset.isel(member=member).to_netcdf(path, encoding=small)
    series = opened(paths, trajectory=None)
    assert series.trajectories == 2
    np.testing.assert_allclose(series.read(1, slice(None)), packed(dataset)[1], atol=6e-4)


@pytest.mark.parametrize(
    ("units", "from_kelvin"),
    [
        ("degC", lambda t: t - 273.15),
        ("degF", lambda t: t * 1.8 - 459.67),
        ("mK", lambda t: t * 1000),
        (" K", lambda t: t),
    ],
    ids=["celsius", "fahrenheit", "millikelvin", "kelvin"],
)
def test_a_scalar_comes_in_the_units_of_its_field(units: str, from_kelvin: Any, tmp_path: Path) -> None:
    dataset, heat = winds(), HEAT.model_copy(update={"units": "K"})
    kelvin = dataset["t"].astype(np.float64) + 280
    dataset["t"] = from_kelvin(kelvin).assign_attrs(units=units)
    dataset.to_netcdf(tmp_path / "winds.nc")
    read = opened(tmp_path / "winds.nc", fields=(heat,)).read(1, slice(None))
    np.testing.assert_allclose(read[..., 0], kelvin[1], rtol=1e-6)


def test_each_component_of_a_vector_is_converted_by_its_own_factor(tmp_path: Path) -> None:
    dataset = winds()
    expected = packed(dataset)
    dataset["u"] = (dataset["u"] * 3.6).assign_attrs(units="km/h")
    dataset["v"].attrs["units"] = "m/s"
    dataset.to_netcdf(tmp_path / "winds.nc")
    np.testing.assert_allclose(opened(tmp_path / "winds.nc").read(1, slice(None)), expected[1], rtol=1e-6)


def test_an_offset_is_no_conversion_of_a_vector_or_a_pseudoscalar(tmp_path: Path) -> None:
    dataset = winds()
    for name in "uvt":
        dataset[name].attrs["units"] = "degC"
    dataset.to_netcdf(tmp_path / "winds.nc")
    for field in (WIND, HEAT.model_copy(update={"parity": 1})):
        with pytest.raises(ValueError, match="'degC', which cannot be converted linearly to those of field"):
            opened(tmp_path / "winds.nc", fields=(field.model_copy(update={"units": "K"}),))


STRESS = FieldSpec(
    name="stress",
    order=2,
    units="Pa",
    components=tuple(Component(axes=(i, j), variable=f"s{i}{j}") for i in "xy" for j in "xy"),
)
TENSOR: dict[str, Any] = {"tensor_field": "stress", "tensor_order": 2, "tensor_parity": 0, "tensor_dims": "i j"}


def stresses(dims: str = "txyij", **attributes: Any) -> xr.Dataset:
    """A tensor that counts its components along i and j."""
    sizes = {"t": 3, "x": 4, "y": 6, "i": 2, "j": 2}
    values = RNG.normal(size=tuple(sizes.values())).astype(np.float32)
    tensor = xr.DataArray(values, dims=tuple(sizes)).transpose(*dims).assign_attrs(attributes)
    return xr.Dataset({"sigma": tensor}, {"x": np.arange(4.0), "y": np.arange(6.0)}).rename(t="time")


def read_stress(path: Path, **settings: object) -> np.ndarray:
    return opened(path, fields=(STRESS,), constants=(), trajectory=None, **settings).read(0, slice(None))


def features(dataset: xr.Dataset) -> np.ndarray:
    """The components of the tensor, last index fastest."""
    return dataset["sigma"].transpose("time", "x", "y", "i", "j").values.reshape(3, 4, 6, 4)


@pytest.mark.parametrize("dims", ["txyij", "ijtyx", "jtxiy"])
def test_stacked_components_are_found_by_the_attributes_of_their_variable(dims: str, tmp_path: Path) -> None:
    dataset = stresses(dims, **TENSOR, tensor_axes="x y", units="hPa")
    dataset.to_netcdf(tmp_path / "stress.nc")
    np.testing.assert_allclose(read_stress(tmp_path / "stress.nc"), 100 * features(dataset), rtol=1e-6)


def test_stacked_components_count_along_the_axes_that_the_file_names(tmp_path: Path) -> None:
    dataset = stresses(**TENSOR, tensor_axes="row x").rename(y="row")
    dataset.to_netcdf(tmp_path / "stress.nc")
    turned = dataset.isel(i=[1, 0], j=[1, 0]).rename(row="y")
    np.testing.assert_array_equal(read_stress(tmp_path / "stress.nc", axes={"y": "row"}), features(turned))


def test_a_named_stacked_variable_without_attributes_counts_on_its_last_dimensions(tmp_path: Path) -> None:
    dataset = stresses()
    dataset.to_netcdf(tmp_path / "stress.nc")
    read = read_stress(tmp_path / "stress.nc", variables={"stress": "sigma"})
    np.testing.assert_array_equal(read, features(dataset))
    for variables in ({}, {"stress": "sxx"}):
        with pytest.raises(ValueError, match="No variable is named 'sxx'"):
            read_stress(tmp_path / "stress.nc", variables=variables)


def test_the_attributes_of_components_come_before_their_names(tmp_path: Path) -> None:
    dataset = winds().rename(u="v", v="u")
    for name, axis in (("v", "x"), ("u", "y")):
        dataset[name].attrs |= {"tensor_field": "wind", "tensor_order": 1, "tensor_axis": axis}
    dataset.to_netcdf(tmp_path / "winds.nc")
    expected = packed(dataset.rename(u="v", v="u"))
    np.testing.assert_array_equal(opened(tmp_path / "winds.nc").read(1, slice(None)), expected[1])
    with pytest.raises(ValueError, match="tensor_axis variable '[uv]' points along"):
        opened(tmp_path / "winds.nc", variables={"u": "u", "v": "v"})


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (TENSOR | {"tensor_order": 1}, "says tensor_order=1, but field 'stress' has 2"),
        (TENSOR | {"tensor_dims": "i"}, "needs 2 of length 2"),
        (TENSOR | {"tensor_dims": "i time"}, "needs 2 of length 2"),
        (TENSOR | {"tensor_axes": "x z"}, r"point along \('x', 'z'\), but the axes of the grid"),
        ({"tensor_field": "stress"}, r"components of 'stress' along \[\(\)\], but it has one along each"),
    ],
    ids=["order", "fewer", "length", "axes", "bare"],
)
def test_stacked_variables_that_contradict_the_field_are_refused(
    attributes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    stresses(**attributes).to_netcdf(tmp_path / "stress.nc")
    with pytest.raises(ValueError, match=message):
        read_stress(tmp_path / "stress.nc")


def damaged(path: Path) -> None:
    """Compressed winds, one chunk per state, of which those of the last time are overwritten."""
    dataset = winds()
    chunks = {name: {"chunksizes": (1, 1, 4, 6), "zlib": True, "fletcher32": True} for name in "uvt"}
    dataset.to_netcdf(path, encoding=chunks)
    import h5py

    with h5py.File(path) as file:
        stored = [file[name].id.get_chunk_info_by_coord((1, 4, 0, 0)) for name in "uvt"]
    with path.open("r+b") as body:
        for chunk in stored:
            body.seek(chunk.byte_offset)
            body.write(b"\xff" * chunk.size)


def test_only_the_states_that_are_asked_for_are_read(tmp_path: Path) -> None:
    damaged(tmp_path / "winds.nc")
    windows = Windows(opened(tmp_path / "winds.nc"), past=2, future=1)
    history, _, _ = windows[np.array([4])]
    assert np.isfinite(history.array).all()
    with pytest.raises((OSError, RuntimeError)):
        windows[np.array([5])]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.drop_vars("v"), r"No variable is named 'v' .* The file has \['u', 't', 'z'\]"),
        (lambda d: d.assign(u=d.u.assign_attrs(units="Pa")), "'Pa', which cannot be .* of field 'wind', 'm s-1'"),
        (lambda d: d.assign(u=d.u.assign_attrs(units="windy")), "'windy', which are not known"),
        (lambda d: d.assign(u=d.u.assign_attrs(tensor_parity=1)), "tensor_parity=1, but field 'wind' has 0"),
        (lambda d: d.assign(u=d.u.assign_attrs(tensor_axis="y")), r"'u' points along \('y',\), but .* along \('x',\)"),
        (lambda d: d.rename(y="row"), "No dimension of 't' is axis 'y'"),
        (lambda d: d.assign_coords(x=[0.0, 1, 2, 4]), "The steps along .* are between 1 and 2"),
        (lambda d: d.assign_coords(y=2 * d.y), "The steps along .* are between 1 and 2"),
        (lambda d: d.assign_coords(time=[0.0, 1, 2, 4, 5]), "The steps of 'time' are between 1 and 2"),
        (lambda d: d.isel(time=slice(None, None, -1)), "The steps of 'time' are between -1 and -1"),
        (lambda d: d.expand_dims(level=[1, 2]), "but needs .* Choose one level"),
        (lambda d: d.assign(z=d.t), "Variable 'z' has the dimensions"),
        (lambda d: d.assign(u=d.u.isel(member=0)), "but needs .* and member"),
    ],
    ids=[
        "missing",
        "units",
        "unknown",
        "parity",
        "direction",
        "axis",
        "uneven",
        "unequal",
        "gap",
        "backwards",
        "level",
        "constant",
        "member",
    ],
)
def test_files_that_do_not_fit_are_refused(change: object, message: str, tmp_path: Path) -> None:
    change(winds()).to_netcdf(tmp_path / "winds.nc")  # type: ignore[operator]
    with pytest.raises(ValueError, match=message):
        opened(tmp_path / "winds.nc")


def test_a_standard_name_twice_is_refused(tmp_path: Path) -> None:
    dataset = winds().rename(u="a")
    dataset["b"] = dataset["a"]
    for name in "ab":
        dataset[name].attrs["standard_name"] = "eastward_wind"
    dataset.to_netcdf(tmp_path / "winds.nc")
    with pytest.raises(ValueError, match="all have the standard name 'eastward_wind'"):
        opened(tmp_path / "winds.nc")


def test_missing_values_are_refused_when_they_are_read(tmp_path: Path) -> None:
    dataset = winds()
    dataset["t"][1, 3, 0, 0] = np.nan
    dataset.to_netcdf(tmp_path / "winds.nc")
    series = opened(tmp_path / "winds.nc")
    series.read(1, slice(0, 3))
    with pytest.raises(ValueError, match="Trajectory 1 has missing or infinite values at time 3"):
        series.read(1, slice(1, 5, 2))


def test_files_of_different_lengths_are_refused(tmp_path: Path) -> None:
    dataset, paths = winds().isel(member=0), [tmp_path / f"{steps}.nc" for steps in (3, 5)]
    for path, steps in zip(paths, (3, 5), strict=True):
        dataset.isel(time=slice(steps)).to_netcdf(path)
    with pytest.raises(ValueError, match="as many states on the same grid"):
        opened(paths, trajectory=None)


@pytest.mark.parametrize(("name", "units", "other"), [("time", "hours since 1990-01-01", 60), ("x", "km", 1000)])
def test_files_of_different_steps_are_refused_whatever_their_units(
    name: str, units: str, other: float, tmp_path: Path
) -> None:
    finer, free = {"time": "minutes since 1990-01-01", "x": "m"}[name], GRID.model_copy(update={"spacing": "any"})
    first, paths = winds().isel(member=0), [tmp_path / f"{number}.nc" for number in range(2)]
    first[name].attrs["units"] = units
    first.to_netcdf(paths[0])

    def second(factor: float) -> NetCDFSeries:
        dataset = first.assign_coords({name: (name, factor * first[name].values, {"units": finer})})
        dataset.to_netcdf(paths[1])
        return opened(paths, trajectory=None, grid=free)

    assert second(other).trajectories == 2
    with pytest.raises(ValueError, match=f"along {name} the first file has 1 .* and another one"):
        second(2 * other)


def test_the_steps_of_axes_are_compared_in_the_same_units(tmp_path: Path) -> None:
    dataset = winds().assign_coords(y=1000 * np.arange(6.0))
    dataset["x"].attrs["units"], dataset["y"].attrs["units"] = "km", "m"
    dataset.to_netcdf(tmp_path / "winds.nc")
    assert opened(tmp_path / "winds.nc").grid == (4, 6)
    dataset["y"].attrs["units"] = "km"
    dataset.to_netcdf(tmp_path / "other.nc")
    with pytest.raises(ValueError, match="The steps along .* are between 1 and 1000"):
        opened(tmp_path / "other.nc")


def test_names_of_variables_that_no_field_has_are_refused(tmp_path: Path) -> None:
    winds().to_netcdf(tmp_path / "winds.nc")
    with pytest.raises(ValueError, match=r"`variables` names \['w'\], but the fields and their components are"):
        opened(tmp_path / "winds.nc", variables={"w": "u"})


def test_any_spacing_may_be_taken_and_axes_named(tmp_path: Path) -> None:
    dataset = winds().rename(y="row").assign_coords(x=[0.0, 1, 2, 4])
    dataset.to_netcdf(tmp_path / "winds.nc")
    series = opened(tmp_path / "winds.nc", grid=GRID.model_copy(update={"spacing": "any"}), axes={"y": "row"})
    np.testing.assert_array_equal(series.read(0, slice(None)), packed(dataset.rename(row="y"))[0])

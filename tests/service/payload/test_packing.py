"""However a file stores its fields, the model sees the same numbers; and what are no numbers it never sees."""

import contextlib
from collections.abc import Callable
from typing import Any, Literal

import netCDF4
import numpy as np
import pytest
import xarray as xr

from equifield_service.domain.errors import (
    InfiniteValues,
    InflatedTooLarge,
    MissingValues,
    PayloadError,
    SchemaMismatch,
    VariableUnusable,
)
from equifield_service.payload import Limits, PayloadPool, ReadOptions

Write = Callable[..., bytes]
KINDS = ("netcdf3", "netcdf4", "json")


def decode(pool: Any, body: bytes, manifest: Any) -> Any:
    return pool.decode(body, manifest, media="application/json").array


@pytest.mark.parametrize("kind", KINDS)
def test_the_packed_array_is_batch_grid_features(
    pool: Any, models: Any, write: Write, wind: xr.Dataset, kind: str
) -> None:
    array = decode(pool, write(wind, kind), models.velocity)
    assert array.dtype == np.float32
    assert np.array_equal(array, np.stack([wind.u, wind.v], axis=-1).transpose(0, 2, 1, 3))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axes", [["lat"], ["lon"], ["lat", "lon"]], ids=" and ".join)
def test_descending_coordinates_give_the_same_answer(
    pool: Any, models: Any, write: Write, wind: xr.Dataset, kind: str, axes: list[str]
) -> None:
    flipped = wind.isel({axis: slice(None, None, -1) for axis in axes})
    body = write(flipped, kind)
    assert np.array_equal(decode(pool, body, models.velocity), decode(pool, write(wind), models.velocity))
    back = pool.there_and_back(body, models.velocity)
    assert np.array_equal(back.u, flipped.u)
    assert np.array_equal(back.lat, flipped.lat)


def test_a_dimension_that_counts_components_is_that_of_no_other_field(
    pool: Any, models: Any, write: Write, wind: xr.Dataset
) -> None:
    schema = {"tensor_order": 1, "tensor_parity": 0, "tensor_dims": "component", "tensor_axes": "lon lat"}
    both = np.stack([wind.u, wind.v], axis=-1)
    data = wind.drop_vars(["u", "v"]).assign(velocity=((*wind.u.dims, "component"), both, schema))
    data["c"] = ((*wind.u.dims, "component"), both, {"units": "K"})
    with pytest.raises(SchemaMismatch, match="'component' count the components of 'velocity'.*Rename them there"):
        pool.decode(write(data), models.velocity_and_tracer)
    data["c"] = data.c.rename(component="level")
    back = pool.there_and_back(write(data), models.velocity_and_tracer)
    assert set(back.velocity.dims) - set(back.c.dims) == {"component"}, "control: renamed there, it is taken"


@pytest.mark.parametrize(
    "order", [("time", "lon", "lat"), ("lon", "lat", "time"), ("lat", "time", "lon")], ids=" ".join
)
def test_transposed_dimensions_give_the_same_answer(
    pool: Any, models: Any, write: Write, wind: xr.Dataset, order: tuple[str, ...]
) -> None:
    body = write(wind.transpose(*order, ...))
    assert np.array_equal(decode(pool, body, models.velocity), decode(pool, write(wind), models.velocity))
    assert pool.there_and_back(body, models.velocity).u.dims == order


def test_components_may_be_transposed_against_each_other(
    pool: Any, models: Any, write: Write, wind: xr.Dataset
) -> None:
    mixed = wind.assign(v=wind.v.transpose("lon", "time", "lat"))
    assert np.array_equal(decode(pool, write(mixed), models.velocity), decode(pool, write(wind), models.velocity))


def test_several_batch_dimensions_are_flattened_and_restored(pool: Any, models: Any, write: Write) -> None:
    values = np.random.default_rng(2).normal(size=(2, 4, 3, 5)).astype(np.float32)
    dims = ("member", "y", "level", "x")
    body = write(xr.Dataset({"u": (dims, values), "v": (dims, -values)}))
    assert decode(pool, body, models.velocity).shape == (6, 5, 4, 2)
    back = pool.there_and_back(body, models.velocity)
    assert back.u.dims == dims
    assert np.array_equal(back.u, values)
    assert np.array_equal(back.v, -values)


def test_batch_dimensions_of_one_field_are_broadcast_over_the_others(pool: Any, models: Any, write: Write) -> None:
    values = np.random.default_rng(3).normal(size=(3, 4, 5)).astype(np.float32)
    still = {name: (("y", "x"), values[0]) for name in "uv"}
    body = write(xr.Dataset(still | {"c": (("time", "y", "x"), values)}))
    array = decode(pool, body, models.velocity_and_tracer)
    assert array.shape == (3, 5, 4, 3)
    assert all(np.array_equal(sample[..., 1], values[0].T) for sample in array)
    assert pool.there_and_back(body, models.velocity_and_tracer).u.dims == ("time", "y", "x")


def test_one_sample_without_batch_dimensions_is_a_batch_of_one(pool: Any, models: Any, write: Write) -> None:
    values = np.ones((4, 5), np.float32)
    body = write(xr.Dataset({"u": (("y", "x"), values), "v": (("y", "x"), values)}))
    assert decode(pool, body, models.velocity).shape == (1, 5, 4, 2)
    assert pool.there_and_back(body, models.velocity).u.dims == ("y", "x")


@pytest.mark.parametrize("kind", ["netcdf3", "netcdf4"])
def test_packed_integers_are_unpacked(pool: Any, models: Any, write: Write, wind: xr.Dataset, kind: str) -> None:
    packing = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 1.0, "_FillValue": -32768}
    body = write(wind, kind, encoding={"u": packing, "v": packing})
    expected = decode(pool, write(wind), models.velocity)
    assert np.allclose(decode(pool, body, models.velocity), expected, atol=0.006)


@pytest.mark.parametrize("order", ["<", ">"], ids=["little-endian", "big-endian"])
@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"])
def test_every_number_type_of_netcdf_4_is_read(pool: Any, models: Any, dtype: str, order: str) -> None:
    values = np.arange(20).reshape(4, 5)
    file = netCDF4.Dataset("test", "w", memory=1024)
    file.createDimension("y", 4)
    file.createDimension("x", 5)
    for name in "uv":
        endian: Literal["big", "little"] = "big" if order == ">" else "little"
        file.createVariable(name, order + dtype, ("y", "x"), endian=endian)[:] = values
    body = bytes(file.close())
    assert np.array_equal(decode(pool, body, models.velocity)[0, ..., 0], values.T)


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "f4", "f8"])
def test_every_number_type_of_netcdf_3_is_read(pool: Any, models: Any, write: Write, dtype: str) -> None:
    values = np.arange(20, dtype=dtype).reshape(4, 5)
    body = write(xr.Dataset({name: (("y", "x"), values) for name in "uv"}), "netcdf3")
    assert np.array_equal(decode(pool, body, models.velocity)[0, ..., 0], values.T)


def test_unsigned_bytes_of_netcdf_3_are_read(pool: Any, models: Any, write: Write) -> None:
    stored = np.array([[-1, 1], [2, -128]], np.int8)
    body = write(xr.Dataset({name: (("y", "x"), stored, {"_Unsigned": "true"}) for name in "uv"}), "netcdf3")
    assert decode(pool, body, models.velocity)[0, ..., 0].T.tolist() == [[255, 1], [2, 128]]


@pytest.mark.parametrize("kind", KINDS)
def test_missing_values_are_refused_with_count_and_first_position(
    pool: Any, models: Any, write: Write, wind: xr.Dataset, kind: str
) -> None:
    wind.v[1, 2, 3] = wind.v[2, 0, 0] = np.nan
    body = write(wind, kind)
    if kind == "json":
        body = body.replace(b"NaN", b"null")
    with pytest.raises(
        MissingValues, match=r"'v' has 2 missing of 576 values, the first at \(time=1, lat=2, lon=3\)"
    ) as e:
        decode(pool, body, models.velocity)
    assert e.value.extra["count"] == 2
    assert e.value.extra["first"] == {"time": 1, "lat": 2, "lon": 3}


@pytest.mark.parametrize("attribute", ["_FillValue", "missing_value"])
def test_masked_values_are_missing(pool: Any, models: Any, write: Write, wind: xr.Dataset, attribute: str) -> None:
    wind.u[0, 0, 1] = -999.0
    wind.u.attrs[attribute] = np.float32(-999.0)
    with pytest.raises(MissingValues, match=r"'u' has 1 missing .*\(time=0, lat=0, lon=1\)"):
        decode(pool, write(wind), models.velocity)


def test_values_that_were_never_written_are_missing(pool: Any, models: Any, write: Write, wind: xr.Dataset) -> None:
    wind.u[0, 0, 1] = np.float32(9.969209968386869e36)
    with pytest.raises(MissingValues, match="'u' has 1 missing"):
        decode(pool, write(wind), models.velocity)


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300], ids=["+inf", "-inf", "too large"])
def test_infinite_values_are_refused(pool: Any, models: Any, write: Write, wind: xr.Dataset, value: float) -> None:
    wind["u"] = wind.u.astype(np.float64)
    wind.u[0, 0, 1] = value
    with pytest.raises(
        InfiniteValues, match=r"'u' has 1 infinite of 576 values, the first at \(time=0, lat=0, lon=1\)"
    ):
        decode(pool, write(wind), models.velocity)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("scale_factor", 0.0),
        ("scale_factor", "two"),
        ("scale_factor", np.arange(3.0)),
        ("add_offset", np.nan),
    ],
    ids=["zero", "text", "several", "NaN"],
)
def test_packing_that_is_no_number_is_refused(
    pool: Any, models: Any, write: Write, wind: xr.Dataset, attribute: str, value: Any
) -> None:
    wind.u.attrs[attribute] = value
    with pytest.raises(VariableUnusable, match=f"'u' has {attribute}"):
        decode(pool, write(wind), models.velocity)


def test_packing_of_other_variables_is_nobodys_concern(pool: Any, models: Any, write: Write, wind: xr.Dataset) -> None:
    wind.pressure.attrs["scale_factor"] = "two"
    wind.time.attrs["units"] = "days since never"
    assert decode(pool, write(wind), models.velocity).shape == (3, 16, 12, 2)


def test_a_small_file_of_a_large_field_is_refused(runner: Any, models: Any, write: Write) -> None:
    values = np.zeros((128, 128), np.int8)
    body = write(xr.Dataset({name: (("y", "x"), values) for name in "uv"}), "netcdf3")

    async def test() -> None:
        async with PayloadPool(1, 2**20, Limits(decoded_bytes=100_000)) as pool:
            with pytest.raises(InflatedTooLarge, match="131072 bytes when unpacked; at most 100000"):
                await pool.decode(body, models.velocity, ReadOptions(), media=None, timeout=30.0)

    runner.run(test())


@pytest.mark.parametrize("kind", ["netcdf4", "json"])
@pytest.mark.parametrize("value", [[1.0, 2.0], 7, "", "u v x"], ids=["numbers", "number", "nothing", "words"])
@pytest.mark.parametrize(
    "attribute",
    [
        *("standard_name", "units", "axis", "coordinates", "bounds", "grid_mapping", "formula_terms"),
        *("scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned", "dtype", "calendar"),
        *("tensor_field", "tensor_order", "tensor_parity", "tensor_axis", "tensor_dims", "tensor_axes"),
    ],
)
def test_attributes_of_any_value_are_never_a_fault_of_the_service(
    pool: Any, models: Any, write: Write, wind: xr.Dataset, attribute: str, value: Any, kind: str
) -> None:
    plain = wind[["u", "v", "lat", "lon"]]
    plain.attrs = {}
    for name in plain.variables:
        plain[name].attrs = plain[name].attrs | {attribute: value}
    with contextlib.suppress(PayloadError):
        pool.there_and_back(write(plain, kind) if kind == "json" else written_as_it_is(plain), models.velocity)


def written_as_it_is(data: xr.Dataset) -> bytes:
    """A NetCDF-4 file with attributes that xarray would not write; `_FillValue` becomes `fill`."""
    file = netCDF4.Dataset("test", "w", memory=1024)
    for dim, size in data.sizes.items():
        file.createDimension(str(dim), size)
    for name, variable in data.variables.items():
        written = file.createVariable(str(name), variable.dtype, tuple(map(str, variable.dims)))
        written.set_auto_maskandscale(False)
        written[:] = variable.values
        written.setncatts({key.replace("_FillValue", "fill"): value for key, value in variable.attrs.items()})
    return bytes(file.close())

"""What comes back is the user's file, with the model's fields in place of the others."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr
from xarray.backends import BackendArray
from xarray.core.indexing import LazilyIndexedArray

from equifield_service.domain.errors import MalformedFile, NotAcceptable
from equifield_service.payload import WriteOptions
from equifield_service.payload.writing import Content, serialise

Write = Callable[..., bytes]
KINDS = ("netcdf3", "netcdf4", "json")
COORDINATES = ("time", "lat", "lon", "lat_bounds", "surface", "height", "crs")


@pytest.mark.parametrize("sent", KINDS)
@pytest.mark.parametrize("asked", KINDS)
def test_every_kind_is_answered_in_every_kind(
    pool: Any, models: Any, write: Write, wind: xr.Dataset, sent: str, asked: str
) -> None:
    back = pool.there_and_back(write(wind, sent), models.velocity, kind=asked)
    assert np.array_equal(back.u.astype(np.float32), wind.u)
    assert np.array_equal(back.v.astype(np.float32), wind.v)
    assert np.array_equal(back.lat_bounds, wind.lat_bounds)


@pytest.mark.parametrize(
    ("kind", "magic"), [("netcdf3", b"CDF\x02"), ("netcdf4", b"\x89HDF"), ("json", b'{"')], ids=KINDS
)
def test_the_answer_is_of_the_kind_that_was_sent(
    pool: Any, models: Any, write: Write, wind: xr.Dataset, kind: str, magic: bytes
) -> None:
    body = write(wind, kind)
    decoded = pool.decode(body, models.velocity, media="application/json")
    assert decoded.frame.kind == kind
    assert pool.encode(models.velocity, decoded).startswith(magic)


@pytest.mark.parametrize("kind", KINDS)
def test_coordinates_come_back_with_their_attributes(
    pool: Any, models: Any, write: Write, wind: xr.Dataset, kind: str
) -> None:
    body = write(wind, kind)
    sent, back = pool.opened(body), pool.there_and_back(body, models.velocity)
    assert set(back.variables) == {"u", "v", *COORDINATES}
    for name in COORDINATES:
        assert back[name].variable.identical(sent[name].variable)
        assert back[name].dtype == sent[name].dtype
    assert back.u.attrs["coordinates"] == "surface height"
    assert back.u.attrs["grid_mapping"] == "crs"


def test_links_to_variables_that_are_not_there_are_left_out(
    pool: Any, models: Any, write: Write, wind: xr.Dataset
) -> None:
    back = pool.there_and_back(write(wind.drop_vars(["surface", "crs"])), models.velocity)
    assert back.u.attrs["coordinates"] == "height"
    assert "grid_mapping" not in back.u.attrs


def test_outputs_carry_the_models_attributes_and_the_schema(
    pool: Any, models: Any, write: Write, wind: xr.Dataset
) -> None:
    back = pool.there_and_back(write(wind.drop_vars(["surface", "crs", "height"])), models.velocity)
    assert back.u.attrs == {
        "long_name": "velocity, x",
        "standard_name": "eastward_wind",
        "units": "m s-1",
        "tensor_order": 1,
        "tensor_parity": 0,
        "tensor_field": "velocity",
        "tensor_axis": "lon",
    }
    assert back.v.attrs["tensor_axis"] == "lat"
    assert back.v.attrs["standard_name"] == "northward_wind"


@pytest.mark.parametrize("kind", KINDS)
def test_global_attributes_are_kept_and_added_to(
    pool: Any, models: Any, write: Write, wind: xr.Dataset, kind: str
) -> None:
    body = write(wind, kind)
    decoded = pool.decode(body, models.velocity, media="application/json")
    added = {"Conventions": "CF-1.11", "history": "predicted", "source": "identity 1"}
    answer = pool.encode(models.velocity, decoded, attributes=added, kind="netcdf4")
    with xr.open_dataset(answer, engine="netcdf4") as back:
        assert back.attrs == {
            "title": "A test",
            "history": "made\npredicted",
            "Conventions": "CF-1.11",
            "source": "identity 1",
        }


@pytest.mark.parametrize("kind", ["netcdf3", "netcdf4"])
def test_unlimited_dimensions_stay_unlimited(pool: Any, models: Any, write: Write, wind: xr.Dataset, kind: str) -> None:
    body = write(wind, kind, unlimited_dims=["time"])
    assert pool.there_and_back(body, models.velocity).encoding["unlimited_dims"] == {"time"}


@pytest.mark.parametrize("kind", ["netcdf3", "netcdf4"])
def test_coordinates_are_given_back_as_they_are_stored(
    pool: Any, models: Any, write: Write, wind: xr.Dataset, kind: str
) -> None:
    wind["label"] = ("lat", np.array([f"row {row}" for row in range(12)]).astype("S"))
    packing = {"scale_factor": 0.5, "_FillValue": np.int16(-1)}
    wind["lat"] = ("lat", np.arange(12, dtype=np.int16), wind.lat.attrs | packing)
    wind.u.attrs["coordinates"] = wind.v.attrs["coordinates"] = "label"
    body = write(wind, kind)
    sent, back = pool.opened(body), pool.there_and_back(body, models.velocity)
    assert back.lat.variable.identical(sent.lat.variable)
    assert back.lat.dtype == sent.lat.dtype
    assert back.label.variable.identical(sent.label.variable)


def test_text_coordinates_come_back(pool: Any, models: Any, write: Write, wind: xr.Dataset) -> None:
    wind["label"] = ("lat", np.array([f"row {row}" for row in range(12)], object))
    wind.u.attrs["coordinates"] = wind.v.attrs["coordinates"] = "label"
    assert pool.there_and_back(write(wind), models.velocity).label.values[3] == "row 3"


def test_what_a_kind_cannot_hold_is_refused(pool: Any, models: Any, write: Write, wind: xr.Dataset) -> None:
    wind["time"] = ("time", np.array([0, 1, 2**40]))
    body = write(wind)
    decoded = pool.decode(body, models.velocity)
    with pytest.raises(NotAcceptable, match="netcdf4 file that was sent cannot be written as netcdf3"):
        pool.encode(models.velocity, decoded, kind="netcdf3")


class Unreadable(BackendArray):
    """Values that the system does not let this process read."""

    shape, dtype = (2,), np.dtype(np.float32)

    def __getitem__(self, key: Any) -> Any:
        raise OSError(24, "Too many open files")


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_of_the_system_is_not_the_files(kind: Any) -> None:
    content = Content({"u": xr.Variable("x", LazilyIndexedArray(Unreadable()))}, {}, [])
    with pytest.raises(OSError, match="Too many open files"):
        serialise(content, WriteOptions(kind), "netcdf4")


@pytest.mark.parametrize("leading", [False, True], ids=["trailing", "leading"])
def test_stacked_fields_come_back_stacked(pool: Any, models: Any, write: Write, leading: bool) -> None:
    values = np.random.default_rng(4).normal(size=(4, 5, 6, 3, 3)).astype(np.float32)
    attributes = {
        "tensor_order": np.int32(2),
        "tensor_parity": np.int32(0),
        "tensor_dims": "component_i component_j",
        "tensor_axes": "z y x",
    }
    data = xr.Dataset({"sigma": (("z", "y", "x", "component_i", "component_j"), values, attributes)})
    if leading:
        data = data.transpose("component_i", "component_j", ...)
    back = pool.there_and_back(write(data), models.stress)
    assert list(back.data_vars) == ["stress"]
    assert back.stress.dims == data.sigma.dims
    assert back.stress.attrs["tensor_axes"] == "x y z"
    # the file counted along z, y, x; the answer counts along the model's axes
    original = data.sigma.isel(component_i=slice(None, None, -1), component_j=slice(None, None, -1))
    assert np.array_equal(back.stress, original)


def test_an_answer_can_be_sent_again(pool: Any, models: Any, write: Write, wind: xr.Dataset) -> None:
    body = write(wind)
    decoded = pool.decode(body, models.velocity)
    again = pool.decode(pool.encode(models.velocity, decoded), models.velocity)
    assert np.array_equal(again.array, decoded.array)


def test_fields_of_every_order_share_an_answer(pool: Any, models: Any, write: Write) -> None:
    values = np.random.default_rng(5).normal(size=(3, 4, 5)).astype(np.float32)
    data = xr.Dataset({name: (("y", "x"), values[at]) for at, name in enumerate("cuv")})
    body = write(data, "netcdf3")
    decoded = pool.decode(body, models.velocity_and_tracer)
    prediction = decoded.array * np.array([1, 2, 3], np.float32)
    answer = pool.encode(models.velocity_and_tracer, decoded, prediction)
    with xr.open_dataset(answer, engine="scipy") as back:
        assert np.array_equal(back.c, data.c)
        assert np.array_equal(back.u, 2 * data.u)
        assert np.array_equal(back.v, 3 * data.v)
        assert back.c.attrs["units"] == "K"
        assert back.c.attrs["standard_name"] == "air_temperature"


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'{"data_vars": {"u": 3}}', b"[" * 50_000],
    ids=["cut", "a list", "no variable", "deep"],
)
def test_json_that_is_no_dataset_is_refused(pool: Any, models: Any, body: bytes) -> None:
    with pytest.raises(MalformedFile, match="Opening the file failed"):
        pool.decode(body, models.velocity, media="application/json")

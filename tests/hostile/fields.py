"""Well-formed files whose fields, units, packing, coordinates or tensor attributes do not fit."""

from functools import partial
from typing import Any

import netCDF4
import numpy as np
import xarray as xr

from .kinds import OK, UNFIT, add, kind
from .plain import bare, netcdf3, netcdf4, wind, written


def changed(variable: str, **attributes: Any) -> bytes:
    """The good file with other attributes on one variable, as they are."""
    data = wind()
    data[variable].attrs |= attributes
    return written(data, "NETCDF4")


PACKING: dict[str, tuple[dict[str, Any], int]] = {
    "scale_factor_zero": ({"scale_factor": 0.0}, UNFIT),
    "scale_factor_string": ({"scale_factor": "two"}, UNFIT),
    "scale_factor_array": ({"scale_factor": np.ones(5)}, UNFIT),
    "scale_factor_infinite": ({"scale_factor": np.inf}, UNFIT),
    "add_offset_nan": ({"add_offset": np.nan}, UNFIT),
    "valid_range_inverted": ({"valid_range": np.array([10.0, -10.0], "f4")}, OK),
    "coordinates_selfref": ({"coordinates": "u v nope"}, OK),
    "units_coulomb_per_banana": ({"units": "C/banana"}, UNFIT),
    "units_of_something_else": ({"units": "kg"}, UNFIT),
}
for _name, (_attributes, _answer) in PACKING.items():
    add(f"meta_{_name}", partial(changed, "u", **_attributes), _answer)

SCHEMA: dict[str, dict[str, Any]] = {
    "order_lies": {"tensor_order": np.int32(2)},
    "order_string": {"tensor_order": "one"},
    "parity_7": {"tensor_parity": np.int32(7)},
    "duplicate_axis": {"tensor_axis": "y"},
    "missing_component": {"tensor_field": "another"},
}
for _name, _attributes in SCHEMA.items():
    add(f"sch_{_name}", partial(changed, "u", **_attributes), UNFIT)


def valued(value: float, dtype: str, everywhere: bool) -> bytes:
    data = wind()
    values = np.full((12, 16), value if everywhere else 1.0, dtype)
    values[3, 4] = value
    data["u"] = data.u.variable.copy(data=values)
    return netcdf3(data)


add("val_all_nan", partial(valued, np.nan, "f4", True), UNFIT)
add("val_one_infinite", partial(valued, -np.inf, "f4", False), UNFIT)
add("val_float64_over_f32", partial(valued, 1e300, "f8", False), UNFIT)
add("val_fill_everywhere", partial(valued, 9.969209968386869e36, "f4", True), UNFIT)


def on_x(values: Any) -> bytes:
    return netcdf3(wind().assign_coords(x=("x", np.asarray(values, float), {"axis": "X", "units": "m"})))


X = np.arange(16.0)
add("sch_nonuniform_x", partial(on_x, X**2), UNFIT)
add("sch_nonmonotonic_x", partial(on_x, np.abs(X - 7)), UNFIT)
add("sch_nan_coord", partial(on_x, np.where(X == 5, np.nan, X)), UNFIT)
add("sch_constant_x", partial(on_x, X * 0), UNFIT)
add("sch_infinite_x", partial(on_x, np.where(X == 15, np.inf, X)), UNFIT)
add("sch_no_data_vars", lambda: netcdf3(wind().drop_vars(["u", "v"])), UNFIT)
add("sch_size1_dims", lambda: netcdf3(wind().isel(x=[0], y=[0])), UNFIT)
add("sch_zero_length_dim", lambda: netcdf4(bare().expand_dims(time=0)), UNFIT)
add("sch_units_missing", lambda: netcdf3(bare()), OK)
add("sch_non_square", lambda: netcdf3(wind()), OK)
add("sch_descending_y", lambda: netcdf3(wind().isel(y=slice(None, None, -1))), OK)
add("sch_uv_transposed", lambda: netcdf3(wind().assign(u=wind().u.transpose("x", "y"))), OK)


@kind(UNFIT)
def sch_uv_staggered() -> bytes:
    data = bare()
    data["v"] = (("y", "x_face"), np.ones((12, 17), "f4"))
    data["u"] = (("y_face", "x"), np.ones((13, 16), "f4"))
    return netcdf3(data)


@kind(UNFIT, u="big")
def type_uint64_max() -> bytes:
    return netcdf4(wind().assign(big=(("t",), np.array([2**64 - 1], np.uint64))))


@kind(OK)
def meta_time_overflow() -> bytes:
    time = ("time", [1e300], {"units": "days since 1970-01-01"})
    return netcdf4(wind().expand_dims("time").assign_coords(time=time))


@kind(UNFIT)
def sch_unicode_names() -> bytes:
    names = {"u": "u\u0301\u202e\U0001f600", "v": "v\u00e9"}
    return netcdf4(bare().rename(names))


def tensor(dims: tuple[str, ...], shape: tuple[int, ...], **attributes: Any) -> bytes:
    schema = {"tensor_order": np.int32(2), "tensor_dims": "i j", "tensor_axes": "x y"} | attributes
    data = xr.Dataset({"s": (dims, np.ones(shape, "f4"), schema)})
    return netcdf4(data)


add("sch_tensor_2x3", partial(tensor, ("y", "x", "i", "j"), (12, 16, 2, 3)), UNFIT, stress="s")
add("sch_leading_components", partial(tensor, ("i", "j", "y", "x"), (2, 2, 12, 16)), OK, stress="s")


@kind(UNFIT, stress="s")
def sch_tensor_same_dim_twice() -> bytes:
    file = netCDF4.Dataset("body", "w", memory=1024)
    for dim, size in (("y", 12), ("x", 16), ("c", 2)):
        file.createDimension(dim, size)
    made = file.createVariable("s", "f4", ("y", "x", "c", "c"))
    made[:] = np.ones((12, 16, 2, 2))
    made.setncatts({"tensor_order": np.int32(2), "tensor_dims": "c c", "tensor_axes": "x y"})
    return bytes(file.close())

"""The good file that the others are made from: a wind on 12 x 16 points, as a dataset and as bytes."""

from typing import Any, Literal

import netCDF4
import numpy as np
import xarray as xr

Classic = Literal["NETCDF3_CLASSIC", "NETCDF3_64BIT"]


def wind() -> xr.Dataset:
    """Components `u` and `v` with coordinates, units, standard names and tensor attributes."""
    random, data = np.random.default_rng(0), xr.Dataset()
    for axis, size in (("y", 12), ("x", 16)):
        data[axis] = (axis, np.arange(float(size)), {"axis": axis.upper(), "units": "m"})
    for name, axis, standard_name in (("u", "x", "x_wind"), ("v", "y", "y_wind")):
        attributes = {"units": "m s-1", "standard_name": standard_name, "tensor_field": "velocity"}
        schema = {"tensor_order": np.int32(1), "tensor_parity": np.int32(0), "tensor_axis": axis}
        data[name] = (("y", "x"), random.normal(size=(12, 16)).astype("f4"), attributes | schema)
    return data


def bare() -> xr.Dataset:
    """The same without anything that says what it is."""
    data = wind()
    for name in ("u", "v"):
        data[name].attrs = {}
    return data


def netcdf3(data: xr.Dataset, form: Classic = "NETCDF3_64BIT", **options: Any) -> bytes:
    """A classic file."""
    return bytes(data.to_netcdf(engine="scipy", format=form, **options))


def netcdf4(data: xr.Dataset, **options: Any) -> bytes:
    """A NetCDF-4 file."""
    return bytes(data.to_netcdf(engine="netcdf4", **options))


def written(data: xr.Dataset, form: Any, **options: Any) -> bytes:
    """A file of any format of the NetCDF library, or with any option of `createVariable`."""
    file = netCDF4.Dataset("body", "w", memory=1024, format=form)
    for dim, size in data.sizes.items():
        file.createDimension(str(dim), size)
    for name, variable in data.variables.items():
        chosen = options if variable.ndim > 1 else {}
        dtype = variable.dtype.newbyteorder(">") if chosen.get("endian") == "big" else variable.dtype
        made = file.createVariable(str(name), dtype, tuple(map(str, variable.dims)), **chosen)
        made.set_auto_maskandscale(False)
        made[:] = variable.values
        made.setncatts({str(key): value for key, value in variable.attrs.items()})
    return bytes(file.close())

"""Datasets to NetCDF bytes and back."""

import os
import threading
from pathlib import Path

import xarray as xr

Source = xr.Dataset | str | os.PathLike[str] | bytes
"""What can be sent: a dataset, the path of a NetCDF file, or a file's bytes."""

CLASSIC = (b"CDF\x01", b"CDF\x02")
HDF5 = b"\x89HDF\r\n\x1a\n"
CLASSIC_LIMIT = 2**31 - 4  # bytes of one variable in a classic file

_lock = threading.Lock()  # the NetCDF library crashes the process when two threads enter it, on any two files


def body_of(source: Source) -> bytes:
    """The NetCDF file to send: a path's bytes as they are, a dataset encoded.

    Raises:
        TypeError: `source` is none of the kinds that can be sent.
        OSError: The file cannot be read.
    """
    if isinstance(source, xr.Dataset):
        return encode(source)
    if isinstance(source, bytes):
        return source
    if isinstance(source, (str, os.PathLike)):
        return Path(source).read_bytes()
    raise TypeError(
        f"The input must be an xarray.Dataset, the path of a NetCDF file or its bytes, but is a "
        f"{type(source).__name__}. A DataArray becomes a dataset with `array.to_dataset(name=...)`."
    )


def encode(dataset: xr.Dataset) -> bytes:
    """The dataset as a classic 64-bit-offset file where nothing is lost by it, else as NetCDF-4.

    Both sides read and write the classic kind several times faster. It cannot hold integers beyond 32 bits,
    large unsigned ones, or very large variables. No dimension is unlimited in it: SciPy writes scalars over the
    values of one that is.
    """
    with _lock:
        if all(variable.nbytes <= CLASSIC_LIMIT for variable in dataset.variables.values()):
            try:
                return bytes(dataset.to_netcdf(format="NETCDF3_64BIT", engine="scipy", unlimited_dims=[]))
            except (TypeError, ValueError):
                pass  # a value, type or name that only NetCDF-4 holds
        return bytes(dataset.to_netcdf(format="NETCDF4", engine="netcdf4"))


def recognised(content: bytes) -> bytes:
    """The bytes themselves, if they start as a NetCDF file does.

    Raises:
        ValueError: They do not.
    """
    if not content.startswith((*CLASSIC, HDF5)):
        raise ValueError(f"a NetCDF file starts with 'CDF' or '\\x89HDF', but this with {content[:16]!r}")
    return content


def decode(content: bytes) -> xr.Dataset:
    """The dataset in a NetCDF file's bytes, loaded into memory.

    Raises:
        ValueError: The bytes are not a NetCDF file, or a damaged one.
    """
    engine = "netcdf4" if recognised(content).startswith(HDF5) else "scipy"
    with _lock:
        try:
            return xr.load_dataset(content, engine=engine)
        except Exception as error:  # the readers raise a dozen kinds on damaged files
            raise ValueError(f"a damaged NetCDF file of {len(content)} bytes: {error}") from error

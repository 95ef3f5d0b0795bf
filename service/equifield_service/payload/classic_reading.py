"""The variables of a NetCDF-3 file, as views of its body: nothing is copied, nothing outside it can be reached."""

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from .classic import Declared, Header
from .values import Buffer


def variables_in(body: Buffer, header: Header) -> dict[str, xr.Variable]:
    """Each variable with its values as stored, big-endian.

    Args:
        body: The file.
        header: What `read_header` found in it.
    """
    return {
        declared.name: xr.Variable(declared.dims, _view(body, declared, header), declared.attrs)
        for declared in header.variables
    }


def _view(body: Buffer, declared: Declared, header: Header) -> npt.NDArray[Any]:
    records = (header.records,) if declared.has_records else ()
    shape = (*records, *declared.shape)
    if 0 in shape:
        return np.empty(shape, declared.dtype)
    return np.ndarray(shape, declared.dtype, body, declared.begin, strides_of(declared, header.stride))


def strides_of(declared: Declared, stride: int) -> tuple[int, ...]:
    """Bytes between neighbours along each dimension; records of all variables take turns."""
    strides = [declared.dtype.itemsize]
    for side in reversed(declared.shape[1:]):
        strides.insert(0, strides[0] * side)
    inner = tuple(strides) if declared.shape else ()
    return (stride, *inner) if declared.has_records else inner

"""What of a file goes back with the answer: its coordinates, their attributes and the global ones.

It travels through the gateway as bytes: JSON, then the values. Nothing in it can be executed, for the process
that reads it is another one than the process that opened the file.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.conventions import decode_cf_variable

from .coordinates import LINKS
from .reading import File, reading
from .values import Bytes

ALIGNMENT = 8
LENGTH = 8
"""Bytes that say how long the JSON is."""


@dataclass(frozen=True)
class Shell:
    """A file without its fields.

    Attributes:
        variables: Those that go back, as they are stored.
        attrs: The global attributes.
        unlimited: The unlimited dimensions.
        mask: Where the fields were missing, `(batch, *grid)` as packed; None where nothing was.
    """

    variables: Mapping[str, xr.Variable]
    attrs: Mapping[str, Any]
    unlimited: list[str] = field(default_factory=list)
    mask: npt.NDArray[np.bool_] | None = None

    def to_bytes(self) -> Bytes:
        """The shell as it travels."""
        values = _Values()
        content = {
            "variables": {name: _variable(variable, values) for name, variable in self.variables.items()},
            "attrs": _attributes(self.attrs, values),
            "unlimited": self.unlimited,
            "mask": None if self.mask is None else values.add(self.mask),
        }
        text = json.dumps(content).encode()
        start = LENGTH + _aligned(len(text))
        packed = np.zeros(start + values.size, np.uint8)
        packed[:LENGTH] = np.frombuffer(len(text).to_bytes(LENGTH, "big"), np.uint8)
        packed[LENGTH : LENGTH + len(text)] = np.frombuffer(text, np.uint8)
        for offset, array in values.arrays:
            end = start + offset + array.nbytes
            packed[start + offset : end] = np.frombuffer(array.tobytes(), np.uint8)
        return packed

    @classmethod
    def from_bytes(cls, packed: Bytes) -> "Shell":
        """The shell that `to_bytes` wrote.

        Raises:
            ValueError: It was written by something else.
        """
        end = LENGTH + int.from_bytes(packed[:LENGTH].tobytes(), "big")
        content = json.loads(packed[LENGTH:end].tobytes())
        stored = packed[LENGTH + _aligned(end - LENGTH) :]
        return cls(
            variables={
                name: xr.Variable(
                    found["dims"], _value(found["values"], stored), _read(found["attrs"], stored), found["encoding"]
                )
                for name, found in content["variables"].items()
            },
            attrs=_read(content["attrs"], stored),
            unlimited=content["unlimited"],
            mask=None if content["mask"] is None else _value(content["mask"], stored),
        )


def shell_of(file: File, kept: list[str], mask: npt.NDArray[np.bool_] | None) -> Shell:
    """The shell of an open file.

    Raises:
        MalformedFile: A coordinate cannot be read.
    """
    with reading("Reading the coordinates"):
        return Shell({name: _unchanged(file.variables[name]) for name in kept}, file.attrs, file.unlimited, mask)


def _unchanged(variable: xr.Variable) -> xr.Variable:
    """A variable as it was stored; characters become strings, which is how they are written again."""
    stored = variable.load()
    if stored.dtype.kind in "SO":
        stored = decode_cf_variable("variable", stored, decode_times=False, mask_and_scale=False)
    encoding = {key: stored.encoding[key] for key in ("char_dim_name",) if key in stored.encoding}
    attributes = {name: value for name, value in stored.attrs.items() if name not in LINKS or isinstance(value, str)}
    return xr.Variable(stored.dims, stored.values, attributes, encoding)


class _Values:
    """Arrays in the order in which they will lie behind the JSON."""

    def __init__(self) -> None:
        self.arrays: list[tuple[int, npt.NDArray[Any]]] = []
        self.size = 0

    def add(self, array: npt.NDArray[Any]) -> dict[str, Any]:
        """Where an array will lie; text of no fixed length lies in the JSON itself."""
        if array.dtype.kind == "O":
            return {"text": array.ravel().tolist(), "shape": array.shape}
        place = {"dtype": array.dtype.str, "shape": array.shape, "offset": self.size}
        self.arrays.append((self.size, array))
        self.size += _aligned(array.nbytes)
        return place


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _variable(variable: xr.Variable, values: _Values) -> dict[str, Any]:
    return {
        "dims": variable.dims,
        "values": values.add(variable.values),
        "attrs": _attributes(variable.attrs, values),
        "encoding": variable.encoding,
    }


def _attributes(attrs: Mapping[Any, Any], values: _Values) -> dict[str, Any]:
    return {str(name): _attribute(value, values) for name, value in attrs.items()}


def _attribute(value: Any, values: _Values) -> Any:
    """Numbers of numpy and bytes keep their type; text, lists and what JSON has already are as they are."""
    if isinstance(value, np.generic | np.ndarray | bytes):
        return values.add(np.asarray(value)) | {"scalar": not isinstance(value, np.ndarray)}
    return value


def _read(attrs: Mapping[str, Any], stored: Bytes) -> dict[str, Any]:
    return {name: _value(value, stored) if isinstance(value, dict) else value for name, value in attrs.items()}


def _value(found: Mapping[str, Any], stored: Bytes) -> Any:
    shape = tuple(found["shape"])
    if "text" in found:
        text = np.empty(math.prod(shape), object)
        text[:] = found["text"]
        return text.reshape(shape)
    dtype, offset = np.dtype(found["dtype"]), found["offset"]
    array = np.frombuffer(stored, dtype, math.prod(shape), offset).reshape(shape)
    return array[()] if found.get("scalar") else array

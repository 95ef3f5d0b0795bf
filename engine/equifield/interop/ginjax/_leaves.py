"""The arrays of a saved ginjax model, one after another."""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Float

LONGEST_LINE = 2**20
LONGEST_HEADER = 10_000
MAGIC = b"\x93NUMPY"
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class Leaves:
    """Hands out the arrays of a model in tree order, and checks that each is the one that is expected."""

    def __init__(self, arrays: Iterator[Float[np.ndarray, "..."]]):
        self._arrays = arrays

    def take(self, name: str, shape: tuple[int | None, ...]) -> Float[np.ndarray, "..."]:
        """The next array; None in `shape` stands for any length. **Raises** `ValueError` for another shape."""
        array = next(self._arrays, None)
        expected = f"({', '.join('any' if side is None else str(side) for side in shape)})"
        if array is None:
            raise ValueError(
                f"The configuration asks for {name} of shape {expected}, but the model has no more arrays."
            )
        fits = array.ndim == len(shape) and all(b in (None, a) for a, b in zip(array.shape, shape, strict=True))
        if not fits:
            raise ValueError(
                f"The configuration asks for {name} of shape {expected}, but the model has {array.shape} there: it was "
                f"made with other settings."
            )
        return array

    def finish(self) -> None:
        """**Raises** `ValueError` when arrays are left over."""
        left = next(self._arrays, None)
        if left is not None:
            raise ValueError(
                f"The model has more arrays than the configuration asks for; the next has the shape {left.shape}: it "
                f"was made with other settings."
            )


def read_leaves(path: str | os.PathLike[str]) -> Iterator[Float[np.ndarray, "..."]]:
    """The arrays of a file that ginjax's `save` or `save_plus` wrote.

    It holds NPY records, with `save_plus` after a line of JSON. Nothing is unpickled, and no array is larger than what
    is left of the file.

    **Raises:** `ValueError` for a file that is cut off, or holds anything but floating-point arrays.
    """
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if file.peek(len(MAGIC))[: len(MAGIC)] != MAGIC:
            _skip_arguments(file, path)
        while file.tell() < size:
            yield _read_array(file, size, path)


def _skip_arguments(file: BinaryIO, path: str | os.PathLike[str]) -> None:
    line = file.readline(LONGEST_LINE)
    try:
        arguments: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} was not written by ginjax: it begins neither with an array nor with JSON.") from error
    if not isinstance(arguments, dict) or not line.endswith(b"\n"):
        raise ValueError(f"{path} was not written by ginjax's `save_plus`: its first line is not one JSON object.")


def _read_array(file: BinaryIO, size: int, path: str | os.PathLike[str]) -> Float[np.ndarray, "..."]:
    where = file.tell()
    try:
        version = np.lib.format.read_magic(file)
        shape, fortran_order, dtype = HEADERS[version](file, max_header_size=LONGEST_HEADER)
    except Exception as error:  # whatever NumPy's parser stumbles over
        raise ValueError(f"{path} holds no readable array at byte {where}.") from error
    if dtype.kind != "f" or dtype.hasobject:
        raise ValueError(f"{path} holds an array of {dtype} at byte {where}; ginjax's parameters are floats.")
    if not all(0 <= side <= size for side in shape):
        raise ValueError(f"{path} holds an array of the impossible shape {shape} at byte {where}.")
    length = math.prod(shape) * dtype.itemsize
    if length > size - file.tell():
        raise ValueError(f"{path} is cut off: the array at byte {where} of shape {shape} needs {length} bytes.")
    array = np.frombuffer(file.read(length), dtype)
    return array.reshape(shape, order="F" if fortran_order else "C")

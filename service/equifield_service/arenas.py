"""Shared memory that carries the arrays of a channel, each at its place."""

import contextlib
import math
import mmap
import os
import secrets
from collections.abc import Sequence
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
import numpy.typing as npt

Message = dict[str, Any]
Arrays = Sequence[npt.NDArray[Any]]

ALIGNMENT = 64
LARGE = 16 * 2**20
SHARED_MEMORY = "/dev/shm"
DTYPES = {np.dtype(code).str: np.dtype(code) for code in "?bhilBHILefd"}  # no objects, and none of no bytes


class ArenaFull(Exception):
    """The arrays do not fit into the shared memory of the channel."""


def arena_that_fits(wanted: int, arenas: int) -> int:
    """The size of each of `arenas` pieces of shared memory, at most `wanted`, that the machine has room for.

    Shared memory can be promised beyond what there is; whoever touches such a page is killed.
    """
    try:
        room = os.statvfs(SHARED_MEMORY)
    except FileNotFoundError:  # a system without such a file system
        return wanted
    return min(wanted, room.f_bavail * room.f_frsize // arenas // ALIGNMENT * ALIGNMENT)


def new_arena(size: int, undo: contextlib.AsyncExitStack) -> SharedMemory:
    """Shared memory under a name that tells an operator whose it is; `undo` frees it."""
    arena = SharedMemory(f"equifield-{os.getpid()}-{secrets.token_hex(8)}", create=True, size=size)
    undo.callback(free, arena)
    return arena


def free(arena: SharedMemory) -> None:
    """Gives shared memory back. Safe to call twice."""
    with contextlib.suppress(FileNotFoundError):
        arena.unlink()
    arena.close()


def release(arena: SharedMemory, used: int) -> None:
    """Gives the memory of a large message back to the system; small ones are faster in memory that is there."""
    mapped, remove = getattr(arena.buf, "obj", None), getattr(mmap, "MADV_REMOVE", None)
    if used > LARGE and remove is not None and isinstance(mapped, mmap.mmap):
        mapped.madvise(remove)


def first_array(arena: SharedMemory, shape: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """An array where `write_arrays` places the first one, which then has nothing to copy.

    Raises:
        ArenaFull: It does not fit.
    """
    place = {"dtype": np.dtype(dtype).str, "shape": shape, "offset": 0}
    try:
        return view_arrays(arena, [place])[0]
    except ValueError as error:
        raise ArenaFull(str(error)) from None


def write_arrays(arena: SharedMemory, arrays: Arrays) -> list[Message]:
    """Copies arrays into shared memory and returns where each of them lies.

    Raises:
        ArenaFull: nothing was copied.
    """
    places, offset, end = [], 0, 0
    for array in arrays:
        places.append({"dtype": array.dtype.str, "shape": list(array.shape), "offset": offset})
        end = offset + array.nbytes
        offset = -(-end // ALIGNMENT) * ALIGNMENT
    if end > arena.size:
        raise ArenaFull(f"{end} bytes for shared memory of {arena.size}")
    for view, array in zip(view_arrays(arena, places), arrays, strict=True):
        view[...] = array
    return places


def view_arrays(arena: SharedMemory, places: list[Message]) -> list[npt.NDArray[Any]]:
    """The arrays that `write_arrays` placed, without copying.

    Raises:
        KeyError: it is no type that `write_arrays` takes.
        ValueError: an array would not lie within the arena; numpy does not check all of that by itself.
    """
    views = []
    for place in places:
        dtype, offset = DTYPES[place["dtype"]], int(place["offset"])
        shape = tuple(int(side) for side in place["shape"])
        size = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or not 0 <= offset <= arena.size - size:
            raise ValueError(f"an array of {dtype} and shape {shape} at {offset} does not lie in shared memory")
        views.append(np.ndarray(shape, dtype, arena.buf, offset))
    return views

"""The values that the payload pool takes and gives. Nothing here can open a file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["netcdf3", "netcdf4", "json"]
Missing = Literal["zero", "nearest"]
Stagger = Literal["center"]
Precision = Literal["float32", "float64"]
Bytes = npt.NDArray[np.uint8]
Buffer = bytes | memoryview
Allocate = Callable[[Sequence[int], npt.DTypeLike], npt.NDArray[Any]]
"""Where a large array comes from: `numpy.empty`, or memory that the gateway sees too."""

MIB = 2**20


@dataclass(frozen=True)
class ReadOptions:
    """What a request says about its file, where the file does not say it itself.

    Attributes:
        map: From a component or field of the model to a variable: `{"u": "u10"}`, `{"stress": "sigma"}`.
        axes: From an axis of the model to a dimension: `{"x": "lon"}`.
        units: From a variable to the units that it really has, whatever its attribute says: `{"T": "K"}`.
        missing: What to put in place of missing values: zero, or the nearest value on the grid. None: refuse.
        group: The group of a NetCDF-4 file whose variables are read: `/model`. None: the root group.
        stagger: `center` averages components on cell faces to the cell centres. None: refuse.
        rollout: Whether the answer will be a rollout, which needs an axis for its steps.
        trial: The `options` and the `progress` of an answer that is written without a state and thrown away, so that a
            file that the answer cannot follow is refused at once.
    """

    map: Mapping[str, str] = field(default_factory=dict)
    axes: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    missing: Missing | None = None
    group: str | None = None
    stagger: Stagger | None = None
    rollout: bool = False
    trial: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Progress:
    """How far a rollout came.

    Attributes:
        steps: How many were wanted.
        every: Of the states, every which one is there: `every`, `2 * every`, ..., `steps`.
        completed: The last of these steps up to which all states are finite; the later ones are NaN.
        part: The states that are there are only those after the first of these steps, up to the second, and the file
            is to grow: they lie along an unlimited dimension, as records, after a head that is the same for all parts.
    """

    steps: int
    every: int
    completed: int
    part: tuple[int, int] | None = None

    @property
    def numbers(self) -> range:
        """The steps whose states are there."""
        start, stop = self.part or (0, self.steps)
        return range(start + self.every, stop + 1, self.every)


@dataclass(frozen=True)
class WriteOptions:
    """What a request says about its answer.

    Attributes:
        kind: The kind of file.
        dtype: The type of the predicted fields.
        compress: The level of zlib compression of the predicted fields, 0 for none; NetCDF-4 alone has it.
    """

    kind: Kind
    dtype: Precision = "float32"
    compress: int = 0


@dataclass(frozen=True)
class Limits:
    """How much a file may ask of the process that opens it.

    Attributes:
        decoded_bytes: All variables together, unpacked; also the packed array.
        chunk_bytes: One HDF5 chunk: reading a single value costs a whole chunk.
        expansion: Decoded bytes per stored byte of one variable; zlib cannot pass 1032.
        attribute_bytes: One attribute.
        objects: Variables, groups and dimensions of a file.
        memory_bytes: Address space of a payload process beyond what it has when it starts.
        files_per_process: After this many files a process is replaced.
    """

    decoded_bytes: int = 256 * MIB
    chunk_bytes: int = 64 * MIB
    expansion: int = 2000
    attribute_bytes: int = 64 * 1024
    objects: int = 512
    memory_bytes: int = 1024 * MIB
    files_per_process: int = 1000


@dataclass(frozen=True)
class Frame:
    """What is needed of a file to give an answer back, once its fields are decoded and its body is gone.

    Attributes:
        kind: The kind of file that was sent.
        shape: `(batch, *grid)` of its fields.
        plan: How the answer goes into the shape of the file. Opaque, JSON.
        shell: What goes back unchanged. Opaque.
        periodic: The axes along which the grid closes: longitudes all around the globe.
    """

    kind: Kind
    shape: tuple[int, ...]
    plan: dict[str, Any]
    shell: Bytes
    periodic: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decoded:
    """A file that fits a model.

    Attributes:
        array: Its fields, `(batch, *grid, features)`, float32, every grid axis in increasing direction.
        frame: How to give the answer back.
    """

    array: npt.NDArray[np.float32]
    frame: Frame

"""Trajectories of fields, and how a stretch of one is read."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int, Shaped

from ...field_type import FieldType
from ...multi_image import Boundary, MultiImage
from ._image import host_image

Times = slice | Int[np.ndarray, " time"]


@runtime_checkable
class Series(Protocol):
    """Trajectories of fields on one grid, equally long, read when they are asked for.

    - field_type, boundary, grid: those of every state.
    - trajectories, steps: how many there are, and how many states each has, equally far apart in time.
    """

    @property
    def field_type(self) -> FieldType: ...

    @property
    def boundary(self) -> tuple[Boundary, ...]: ...

    @property
    def grid(self) -> tuple[int, ...]: ...

    @property
    def trajectories(self) -> int: ...

    @property
    def steps(self) -> int: ...

    def constants(self, trajectory: int) -> MultiImage | None:
        """The fields of a trajectory that stay as they are, without batch axes; None where there are none."""
        ...

    def read(self, trajectory: int, times: Times) -> Float32[np.ndarray, "time *grid features"]:
        """States of one trajectory in physical units, packed as a `MultiImage` packs them."""
        ...


class ArraySeries:
    """Trajectories held in memory, or in a memory-mapped file.

    **Arguments:**

    - array: `(trajectories, steps, *grid, features)`, in physical units, packed as a `MultiImage` packs them.
    - field_type, boundary: what the features are, and what lies beyond the edges of the grid.
    - constants: fields that stay as they are: `(*grid, features)` for all trajectories, or `(trajectories, *grid,
        features)` with those of each.

    **Raises:** `ValueError` for an array of another shape, and for constants on another grid.
    """

    array: Shaped[np.ndarray, "trajectories steps *grid features"]
    field_type: FieldType
    boundary: tuple[Boundary, ...]

    def __init__(
        self,
        array: Shaped[np.ndarray, "trajectories steps *grid features"],
        field_type: FieldType,
        boundary: tuple[Boundary, ...],
        constants: MultiImage | None = None,
    ):
        features = field_type.size(len(boundary))
        if array.ndim != len(boundary) + 3 or array.shape[-1] != features:
            raise ValueError(
                f"`ArraySeries` of type {field_type} on {len(boundary)} axes needs an array of shape (trajectories, "
                f"steps, *grid, {features}), not {array.shape}."
            )
        grid, shared = array.shape[2:-1], ((), array.shape[:1])
        if constants is not None and (constants.grid, constants.boundary) != (grid, boundary):
            raise ValueError(
                f"Constant fields lie on the grid of the states, {grid} {boundary}, not on {constants.grid} "
                f"{constants.boundary}."
            )
        if constants is not None and constants.batch not in shared:
            raise ValueError(
                f"Constant fields have no batch axis, or one with {shared[1][0]} trajectories, not {constants.batch}."
            )
        self.array = array
        self.field_type = field_type
        self.boundary = boundary
        self._constants = constants

    @property
    def grid(self) -> tuple[int, ...]:
        """The sizes of the grid axes."""
        return self.array.shape[2:-1]

    @property
    def trajectories(self) -> int:
        """The number of trajectories."""
        return len(self.array)

    @property
    def steps(self) -> int:
        """The number of states of each."""
        return int(self.array.shape[1])

    def constants(self, trajectory: int) -> MultiImage | None:
        """The constant fields of one trajectory, without batch axes."""
        image = self._constants
        if image is None:
            return None
        array = np.asarray(image.array[trajectory] if image.batch else image.array, np.float32)
        return host_image(array, image.field_type, image.boundary)

    def read(self, trajectory: int, times: Times) -> Float32[np.ndarray, "time *grid features"]:
        """States of one trajectory, copied."""
        return np.array(self.array[trajectory][times], np.float32)


def read_stretches(
    times: Times, steps: int, stretch: Callable[[slice], Float32[np.ndarray, "time *grid features"]]
) -> Float32[np.ndarray, "time *grid features"]:
    """States at any times, from what reads a stretch: a slice at once, other times one by one.

    **Raises** `IndexError` for times that the series does not have.
    """
    chosen = np.arange(steps)[times]
    if isinstance(times, slice) and times.indices(steps)[2] > 0:
        return stretch(slice(*times.indices(steps)))
    return np.concatenate([stretch(slice(0, 0)), *(stretch(slice(int(time), int(time) + 1)) for time in chosen)])


def check_finite(
    states: Float32[np.ndarray, "time *grid features"], trajectory: int, times: slice
) -> Float32[np.ndarray, "time *grid features"]:
    """**Raises** `ValueError` for states that are missing or infinite: no model can be trained on them."""
    finite = np.isfinite(states).all(axis=tuple(range(1, states.ndim)))
    if not finite.all():
        time = range(times.stop)[times][int(np.argmin(finite))]
        raise ValueError(
            f"Trajectory {trajectory} has missing or infinite values at time {time}. Fill them, or cut out a stretch "
            f"or a region without them."
        )
    return states

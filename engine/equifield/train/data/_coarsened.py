"""A series as a coarser grid sees it."""

import numpy as np
from jaxtyping import Float32

from ...field_type import FieldType
from ...multi_image import Boundary, MultiImage
from ._image import host_image
from ._series import Series, Times


class Coarsened:
    """A series on cells of `factor` pixels along each axis, of which each state has the mean: a series.

    The mean over a square or cubic cell commutes with rotations and reflections of the grid. `Pairs(Coarsened(series,
    2), series)` are samples for a model that gives fields on a grid twice as fine.

    **Arguments:**

    - series: of what.
    - factor: the pixels of a cell along each axis.

    **Raises:** `ValueError` for sides that are no multiples of the factor.
    """

    series: Series
    factor: int

    def __init__(self, series: Series, factor: int):
        if factor < 1 or any(side % factor for side in series.grid):
            raise ValueError(
                f"`Coarsened(factor={factor})` makes whole cells of so many pixels, at least one, of a grid of "
                f"{series.grid}. Leave out what is over with `Excerpt(..., pixels=...)`."
            )
        self.series = series
        self.factor = factor

    @property
    def field_type(self) -> FieldType:
        """What the features are."""
        return self.series.field_type

    @property
    def boundary(self) -> tuple[Boundary, ...]:
        """What lies beyond the edges of the grid."""
        return self.series.boundary

    @property
    def grid(self) -> tuple[int, ...]:
        """The number of cells along the grid axes."""
        return tuple(side // self.factor for side in self.series.grid)

    @property
    def trajectories(self) -> int:
        """The number of trajectories."""
        return self.series.trajectories

    @property
    def steps(self) -> int:
        """The number of states of each."""
        return self.series.steps

    def constants(self, trajectory: int) -> MultiImage | None:
        """The constant fields of one trajectory, without batch axes."""
        image = self.series.constants(trajectory)
        if image is None:
            return None
        return host_image(self._means(np.asarray(image.array)[None])[0], image.field_type, image.boundary)

    def read(self, trajectory: int, times: Times) -> Float32[np.ndarray, "time *grid features"]:
        """States of one trajectory."""
        return self._means(self.series.read(trajectory, times))

    def _means(self, states: Float32[np.ndarray, "time *fine features"]) -> Float32[np.ndarray, "time *grid features"]:
        sides = (size for cells in self.grid for size in (cells, self.factor))
        cells = states.reshape(len(states), *sides, states.shape[-1])
        within = tuple(range(2, cells.ndim - 1, 2))
        return np.asarray(cells.mean(axis=within, dtype=np.float64), np.float32)

"""Part of a series."""

from typing import Any

import numpy as np
from jaxtyping import Float32

from ...field_type import FieldType
from ...multi_image import Boundary, MultiImage
from ._image import host_image
from ._series import Series, Times


class Excerpt:
    """Some successive trajectories of a series, some successive times of each, part of the grid: a series.

    **Arguments:**

    - series: of what.
    - trajectories, times: the first one and the one after the last, or None for all.
    - pixels: how many along each axis, from its beginning on, or None for all.

    **Raises:** `ValueError` for a part that is empty or reaches beyond the series, and for a part of a periodic axis.
    """

    series: Series

    def __init__(
        self,
        series: Series,
        trajectories: tuple[int, int] | None = None,
        times: tuple[int, int] | None = None,
        *,
        pixels: tuple[int, ...] | None = None,
    ):
        self.series = series
        self._trajectories = _range("trajectories", trajectories, series.trajectories)
        self._times = _range("times", times, series.steps)
        self._pixels = _checked(series.grid if pixels is None else pixels, series)

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
        """The sizes of the grid axes."""
        return self._pixels

    @property
    def trajectories(self) -> int:
        """The number of trajectories."""
        return len(self._trajectories)

    @property
    def steps(self) -> int:
        """The number of states of each."""
        return len(self._times)

    def constants(self, trajectory: int) -> MultiImage | None:
        """The constant fields of one trajectory, without batch axes."""
        image = self.series.constants(self._trajectories[trajectory])
        if image is None:
            return None
        return host_image(self._cut(np.asarray(image.array)), image.field_type, image.boundary)

    def read(self, trajectory: int, times: Times) -> Float32[np.ndarray, "time *grid features"]:
        """States of one trajectory."""
        return self._cut(self.series.read(self._trajectories[trajectory], self._within(times)))

    def _cut(self, array: Float32[np.ndarray, "*batch_grid features"]) -> Float32[np.ndarray, "*batch_cut features"]:
        """The part of the grid."""
        chosen: Any = (..., *map(slice, self._pixels), slice(None))
        part: Float32[np.ndarray, "*batch_cut features"] = array[chosen]
        return part

    def _within(self, times: Times) -> Times:
        """These times, counted in the series."""
        if not isinstance(times, slice):
            return np.arange(self._times.start, self._times.stop)[times]
        chosen = self._times[times]
        return slice(chosen.start, chosen.stop, chosen.step) if chosen.step > 0 else np.asarray(chosen)


def _checked(pixels: tuple[int, ...], series: Series) -> tuple[int, ...]:
    sides = zip(pixels, series.grid, series.boundary, strict=True)
    if not all(0 < side <= full and (side == full or kind != "periodic") for side, full, kind in sides):
        raise ValueError(
            f"`Excerpt` takes from one to all pixels of an axis, and all of a periodic one: it would not be "
            f"periodic without the others. {pixels} of {series.grid} were asked for, with edges {series.boundary}."
        )
    return pixels


def _range(name: str, given: tuple[int, int] | None, count: int) -> range:
    first, end = (0, count) if given is None else given
    if not 0 <= first < end <= count:
        raise ValueError(f"The series has {count} {name}, but [{first}, {end}) were asked for.")
    return range(first, end)

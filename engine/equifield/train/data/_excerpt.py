"""Part of a series."""

import numpy as np
from jaxtyping import Float32

from ...field_type import FieldType
from ...multi_image import Boundary, MultiImage
from ._series import Series, Times


class Excerpt:
    """Some successive trajectories of a series, and some successive times of each: a series.

    **Arguments:**

    - series: of what.
    - trajectories, times: the first one and the one after the last, or None for all.

    **Raises:** `ValueError` for a range that is empty or reaches beyond the series.
    """

    series: Series

    def __init__(self, series: Series, trajectories: tuple[int, int] | None, times: tuple[int, int] | None):
        self.series = series
        self._trajectories = _range("trajectories", trajectories, series.trajectories)
        self._times = _range("times", times, series.steps)

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
        return self.series.grid

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
        return self.series.constants(self._trajectories[trajectory])

    def read(self, trajectory: int, times: Times) -> Float32[np.ndarray, "time *grid features"]:
        """States of one trajectory."""
        return self.series.read(self._trajectories[trajectory], self._within(times))

    def _within(self, times: Times) -> Times:
        """These times, counted in the series."""
        if not isinstance(times, slice):
            return np.arange(self._times.start, self._times.stop)[times]
        chosen = self._times[times]
        return slice(chosen.start, chosen.stop, chosen.step) if chosen.step > 0 else np.asarray(chosen)


def _range(name: str, given: tuple[int, int] | None, count: int) -> range:
    first, end = (0, count) if given is None else given
    if not 0 <= first < end <= count:
        raise ValueError(f"The series has {count} {name}, but [{first}, {end}) were asked for.")
    return range(first, end)

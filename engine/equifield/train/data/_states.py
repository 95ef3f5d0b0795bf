"""The states and the constant fields of a series as samples."""

import numpy as np
from jaxtyping import Int

from ...multi_image import MultiImage
from ._image import host_image
from ._series import Series


class States:
    """Every state of a series as a sample of its own: images of `(batch, *grid, features)`."""

    def __init__(self, series: Series):
        self.series = series

    def __len__(self) -> int:
        return self.series.trajectories * self.series.steps

    def __getitem__(self, chosen: Int[np.ndarray, " batch"]) -> MultiImage:
        trajectories, times = np.divmod(np.arange(len(self))[chosen], self.series.steps)
        states = [
            self.series.read(int(trajectory), slice(int(time), int(time) + 1))
            for trajectory, time in zip(trajectories, times, strict=True)
        ]
        return host_image(np.concatenate(states), self.series.field_type, self.series.boundary)


class Constants:
    """The constant fields of each trajectory as a sample: images of `(batch, *grid, features)`.

    **Raises** `ValueError` for a series without them.
    """

    def __init__(self, series: Series):
        first = series.constants(0)
        if first is None:
            raise ValueError("This series has no constant fields.")
        self.series = series
        self._first = first

    def __len__(self) -> int:
        return self.series.trajectories

    def __getitem__(self, chosen: Int[np.ndarray, " batch"]) -> MultiImage:
        images = [self.series.constants(int(trajectory)) for trajectory in np.arange(len(self))[chosen]]
        arrays = [np.asarray(image.array) for image in images if image is not None]
        return host_image(np.stack(arrays), self._first.field_type, self._first.boundary)

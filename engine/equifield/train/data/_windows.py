"""Sliding windows over trajectories."""

import numpy as np
from jaxtyping import Float32, Int

from ...multi_image import MultiImage
from ._image import host_image
from ._series import Series
from ._states import Constants


class Windows:
    """Every stretch of `past + future` states of every trajectory: what a model sees, and what it should say.

    A sample is (history, future), or (history, future, constants) where the series has constant fields: images of
    `(batch, past, *grid, features)`, `(batch, future, *grid, features)` and `(batch, *grid, features)`, in physical
    units, times oldest first. `equifield.rollout.model_input` takes a history with its time axis in front. A window
    never crosses from one trajectory to the next, and only its own states are read.

    **Arguments:**

    - series: the trajectories.
    - past, future: the number of states in and out.
    - interval: the distance in time steps between the states of a window.
    - skip: how many states at the beginning of each trajectory to leave out, such as a spin-up.
    - delta: whether the future holds each state's difference from the one before it in the window; a difference is
        normalised by a scale alone.

    **Raises:** `ValueError` for trajectories that hold no window.
    """

    series: Series

    def __init__(
        self,
        series: Series,
        *,
        past: int = 1,
        future: int = 1,
        interval: int = 1,
        skip: int = 0,
        delta: bool = False,
    ):
        if min(past, future, interval) < 1 or skip < 0:
            raise ValueError(
                f"`Windows` needs past, future and interval of at least 1 and a skip of at least 0, not {past}, "
                f"{future}, {interval} and {skip}."
            )
        self._span = (past + future - 1) * interval + 1
        self._each = series.steps - skip - self._span + 1
        if self._each < 1:
            raise ValueError(
                f"A window of {past} + {future} states, {interval} apart, spans {self._span} time steps, but after "
                f"{skip} only {max(series.steps - skip, 0)} are left."
            )
        self.series = series
        self.past = past
        self.future = future
        self.interval = interval
        self.skip = skip
        self.delta = delta
        self._constants = None if series.constants(0) is None else Constants(series)

    def __len__(self) -> int:
        return self.series.trajectories * self._each

    def __getitem__(self, chosen: Int[np.ndarray, " batch"]) -> tuple[MultiImage, ...]:
        trajectories, first = np.divmod(np.arange(len(self))[chosen], self._each)
        windows = np.stack([self._read(int(t), int(start)) for t, start in zip(trajectories, first, strict=True)])
        history, future = windows[:, : self.past], windows[:, self.past :]
        if self.delta:
            future = future - windows[:, self.past - 1 : -1]
        field_type, boundary = self.series.field_type, self.series.boundary
        images = (host_image(history, field_type, boundary), host_image(future, field_type, boundary))
        return images if self._constants is None else (*images, self._constants[trajectories])

    def _read(self, trajectory: int, window: int) -> Float32[np.ndarray, "time *grid features"]:
        start = self.skip + window
        return self.series.read(trajectory, slice(start, start + self._span, self.interval))

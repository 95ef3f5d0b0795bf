"""Some of the trajectories of a series, and the division for training, validation and testing."""

from typing import overload

import numpy as np
from jaxtyping import Float32, Int

from ...field_type import FieldType
from ...multi_image import Boundary, MultiImage
from ._pairs import Pairs
from ._series import Series, Times


class Selected:
    """Some trajectories of a series, by their numbers."""

    def __init__(self, series: Series, numbers: Int[np.ndarray, " trajectories"]):
        self.series = series
        self.numbers = numbers

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
        return len(self.numbers)

    @property
    def steps(self) -> int:
        """The number of states of each."""
        return self.series.steps

    def constants(self, trajectory: int) -> MultiImage | None:
        """The constant fields of one trajectory, without batch axes."""
        return self.series.constants(int(self.numbers[trajectory]))

    def read(self, trajectory: int, times: Times) -> Float32[np.ndarray, "time *grid features"]:
        """States of one trajectory."""
        return self.series.read(int(self.numbers[trajectory]), times)


@overload
def split(data: Pairs, *, training: int, validation: int, testing: int, seed: int) -> tuple[Pairs, Pairs, Pairs]: ...


@overload
def split(
    data: Series, *, training: int, validation: int, testing: int, seed: int
) -> tuple[Series, Series, Series]: ...


def split(
    data: Series | Pairs, *, training: int, validation: int, testing: int, seed: int
) -> tuple[Series | Pairs, ...]:
    """Divides whole trajectories for training, validation and testing: none is in two of them.

    The same seed gives the same trajectories for testing and validation however many are for training, and those of a
    smaller number for training are among those of a larger one.

    **Arguments:**

    - data: a series, or pairs of fields from one.
    - training, validation, testing: the numbers of trajectories.
    - seed: randomness of the choice.

    **Raises:** `ValueError` for more trajectories than there are, and for a part without any.
    """
    if min(training, validation, testing) < 1 or training + validation + testing > data.trajectories:
        raise ValueError(
            f"`split` divides {data.trajectories} trajectories into parts of at least one, but {training} for "
            f"training, {validation} for validation and {testing} for testing were asked for."
        )
    order = np.random.default_rng(seed).permutation(data.trajectories)
    held = testing + validation
    parts = (order[held : held + training], order[testing:held], order[:testing])
    return tuple(_select(data, np.sort(part)) for part in parts)


def _select(data: Series | Pairs, numbers: Int[np.ndarray, " trajectories"]) -> Series | Pairs:
    if isinstance(data, Pairs):
        return Pairs(Selected(data.inputs, numbers), Selected(data.outputs, numbers))
    return Selected(data, numbers)

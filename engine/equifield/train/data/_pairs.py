"""Samples for regression from one field to another."""

import numpy as np
from jaxtyping import Int

from ...multi_image import MultiImage
from ._series import Series
from ._states import States


class Pairs:
    """An input and the output that belongs to it, at every time of two series: samples (input, output).

    Types and grids may differ, as when the output is twice as fine; axes and boundaries may not.

    **Arguments:**

    - inputs, outputs: series with the same trajectories and times. Independent samples are trajectories of one state.

    **Raises:** `ValueError` for series of different lengths or boundaries.
    """

    inputs: Series
    outputs: Series

    def __init__(self, inputs: Series, outputs: Series):
        given, wanted = ((x.trajectories, x.steps, x.boundary) for x in (inputs, outputs))
        if given != wanted:
            raise ValueError(
                f"The inputs and outputs of `Pairs` have the same trajectories, times and boundaries, but these have "
                f"{given} and {wanted}."
            )
        self.inputs = inputs
        self.outputs = outputs

    @property
    def trajectories(self) -> int:
        """The number of trajectories from which the pairs come."""
        return self.inputs.trajectories

    def __len__(self) -> int:
        return self.inputs.trajectories * self.inputs.steps

    def __getitem__(self, chosen: Int[np.ndarray, " batch"]) -> tuple[MultiImage, MultiImage]:
        return States(self.inputs)[chosen], States(self.outputs)[chosen]

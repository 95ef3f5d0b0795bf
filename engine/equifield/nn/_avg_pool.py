"""Pooling by the mean."""

import equinox as eqx

from ..multi_image import MultiImage
from ..ops import average_pool
from ..ops._per_axis import PerAxis
from ._per_axis import check_positive


class AvgPool(eqx.Module):
    """Replaces each window by the mean of its pixels: the cell average on a coarser grid.

    Conserves the mean of every component. Commutes with every group that does not exchange axes of different windows.
    """

    window: PerAxis = eqx.field(static=True)

    def __init__(self, window: PerAxis = 2):
        """**Arguments:**

        - window: the side of a window in pixels, one number or one per axis; windows do not overlap.
        """
        self.window = window
        check_positive(self, window)

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps a grid to one that is `window` times coarser.

        **Raises:** `ValueError` when a side is not a multiple of the window, with sides that are.
        """
        return average_pool(image, self.window)

"""Pooling that keeps the value of largest norm."""

import equinox as eqx

from ..multi_image import MultiImage
from ..ops import max_norm_pool
from ..ops._per_axis import PerAxis
from ._per_axis import check_positive


class MaxNormPool(eqx.Module):
    """Keeps, in each window and channel, the value whose norm is largest (max pooling of arXiv:2305.12585).

    Values whose norms agree up to rounding are averaged. So no order of pixels is preferred, and the law holds for
    constant and mirror-symmetric fields too, where a rotation changes which of two equal norms rounds up. Commutes
    with every group that does not exchange axes of different windows.
    """

    window: PerAxis = eqx.field(static=True)
    signed_scalars: bool = eqx.field(static=True)

    def __init__(self, window: PerAxis = 2, *, signed_scalars: bool = False):
        """**Arguments:**

        - window: the side of a window in pixels, one number or one per axis; windows do not overlap.
        - signed_scalars: whether to compare true scalars by their value instead of their absolute value.
        """
        self.window = window
        self.signed_scalars = signed_scalars
        check_positive(self, window)

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps a grid to one that is `window` times coarser.

        **Raises:** `ValueError` when a side is not a multiple of the window: the last pixels would be dropped at one
        end only, which no reflection respects. It names sides that work.
        """
        return max_norm_pool(image, self.window, signed_scalars=self.signed_scalars)

"""Pooling of the whole grid."""

from typing import Literal

import equinox as eqx

from ..multi_image import MultiImage
from ..ops import average_pool, max_norm_pool


class GlobalPool(eqx.Module):
    """Reduces the whole grid to one pixel: what a network about the image as a whole, such as a classifier, ends with.

    The result has a grid of one pixel, on which a rotation only turns the value. Commutes with every group, and
    along periodic axes translations change nothing.
    """

    kind: Literal["mean", "max_norm"] = eqx.field(static=True)

    def __init__(self, *, kind: Literal["mean", "max_norm"] = "mean"):
        """**Arguments:**

        - kind: `mean` takes the mean over all pixels, `max_norm` the value of largest norm of each channel, as
            `MaxNormPool`.

        **Raises:** `ValueError` for any other kind.
        """
        if kind not in ("mean", "max_norm"):
            raise ValueError(f"`GlobalPool(kind={kind!r})` needs 'mean' or 'max_norm'.")
        self.kind = kind

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps a grid of any sides to one of sides 1, with the same fields and boundaries."""
        pool = average_pool if self.kind == "mean" else max_norm_pool
        return pool(image, image.grid)

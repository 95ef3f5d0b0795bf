"""Refining the grid."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..multi_image import MultiImage
from ..ops import pad, unpool
from ..ops._per_axis import PerAxis, per_axis
from ._per_axis import check_positive


class Upsample(eqx.Module):
    """Cuts every pixel into `factor` finer ones along each axis.

    `nearest` repeats the value of the pixel. `linear` interpolates between the centres of the pixels, axis by axis:
    the fine pixel i lies at (i + 1/2) / factor - 1/2 of the coarse grid. So constant fields stay constant and linear
    ones linear wherever the boundary continues them so. Commutes with every group that does not exchange axes of
    different factors.
    """

    factor: PerAxis = eqx.field(static=True)
    method: Literal["nearest", "linear"] = eqx.field(static=True)

    def __init__(self, factor: PerAxis = 2, *, method: Literal["nearest", "linear"] = "nearest"):
        """**Arguments:**

        - factor: how many times finer the grid becomes, one number or one per axis.
        - method: `nearest` or `linear`.

        **Raises:** `ValueError` for any other method, and for a factor below 1.
        """
        self.factor = factor
        self.method = method
        check_positive(self, factor)
        if method not in ("nearest", "linear"):
            raise ValueError(f"`Upsample(method={method!r})` needs 'nearest' or 'linear'.")

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps a grid to one that is `factor` times finer. `linear` continues it beyond its edges as its boundary says.

        **Raises:** `ValueError` when the factors are not one per axis of the image.
        """
        if self.method == "nearest":
            return unpool(image, self.factor)
        factors = per_axis(self.factor, image)
        margins = tuple(min(factor - 1, 1) for factor in factors)
        array = pad(image, margins, margins)
        array = array.astype(jnp.promote_types(array.dtype, jnp.float32))
        for axis, factor in zip(image.grid_axes, factors, strict=True):
            array = _interpolated(array, axis, factor)
        return image.with_array(array.astype(image.array.dtype))


def _interpolated(array: Float[Array, "..."], axis: int, factor: int) -> Float[Array, "..."]:
    """The values between those of one axis, which has one more at both ends than the result has cells."""
    if factor == 1:
        return array
    cells = array.shape[axis] - 2
    before, here, after = (jax.lax.slice_in_dim(array, k, k + cells, axis=axis) for k in range(3))
    fine = []
    for i in range(factor):
        offset = (2 * i + 1 - factor) / (2 * factor)
        fine.append(here + abs(offset) * ((after if offset > 0 else before) - here))
    shape = array.shape[:axis] + (-1,) + array.shape[axis + 1 :]
    return jnp.stack(fine, axis=axis + 1).reshape(shape)

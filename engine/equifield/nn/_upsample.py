"""Refining the grid."""

from collections.abc import Callable
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..multi_image import MultiImage
from ..ops import pad, unpool
from ..ops._per_axis import PerAxis, per_axis
from ._per_axis import check_positive

Method = Literal["nearest", "linear", "cubic"]


def _hat(distance: float) -> float:
    return max(0.0, 1 - distance)


def _keys(distance: float) -> float:
    """The cubic convolution of Keys with a = -1/2."""
    if distance <= 1:
        return (1.5 * distance - 2.5) * distance**2 + 1
    return max(0.0, 2 - distance) * (distance - 1) * (distance - 2) / 2


KERNELS: dict[str, tuple[int, Callable[[float], float]]] = {"linear": (1, _hat), "cubic": (2, _keys)}
"""Of each method that interpolates, how many pixels it looks to both sides, and what weighs a pixel at a distance."""


class Upsample(eqx.Module):
    """Cuts every pixel into `factor` finer ones along each axis.

    `nearest` repeats the value of the pixel. `linear` and `cubic` interpolate between the centres of the pixels, axis
    by axis: the fine pixel i lies at (i + 1/2) / factor - 1/2 of the coarse grid. So constant fields stay constant,
    linear ones linear, and with `cubic` quadratic ones quadratic, wherever the boundary continues them so (Keys 1981,
    Cubic convolution interpolation). Commutes with every group that does not exchange axes of different factors.
    """

    factor: PerAxis = eqx.field(static=True)
    method: Method = eqx.field(static=True)

    def __init__(self, factor: PerAxis = 2, *, method: Method = "nearest"):
        """**Arguments:**

        - factor: how many times finer the grid becomes, one number or one per axis.
        - method: `nearest`, `linear` or `cubic`.

        **Raises:** `ValueError` for any other method, and for a factor below 1.
        """
        self.factor = factor
        self.method = method
        check_positive(self, factor)
        if method not in ("nearest", *KERNELS):
            raise ValueError(f"`Upsample(method={method!r})` needs 'nearest', 'linear' or 'cubic'.")

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps a grid to one that is `factor` times finer, which continues beyond its edges as its boundary says.

        **Raises:** `ValueError` when the factors are not one per axis of the image.
        """
        if self.method == "nearest":
            return unpool(image, self.factor)
        factors = per_axis(self.factor, image)
        reach, _ = KERNELS[self.method]
        margins = tuple(reach * (factor > 1) for factor in factors)
        array = pad(image, margins, margins)
        array = array.astype(jnp.promote_types(array.dtype, jnp.float32))
        for axis, factor in zip(image.grid_axes, factors, strict=True):
            array = _interpolated(array, axis, factor, self.method)
        return image.with_array(array.astype(image.array.dtype))


def _interpolated(array: Float[Array, "..."], axis: int, factor: int, method: str) -> Float[Array, "..."]:
    """The values between those of one axis, which goes on at both ends for as far as the kernel reaches."""
    if factor == 1:
        return array
    reach, kernel = KERNELS[method]
    cells = array.shape[axis] - 2 * reach
    pixels = {k: jax.lax.slice_in_dim(array, k + reach, k + reach + cells, axis=axis) for k in range(-reach, reach + 1)}
    here, fine = pixels.pop(0), []
    for i in range(factor):
        offset = (2 * i + 1 - factor) / (2 * factor)
        weights = {k: kernel(abs(k - offset)) for k in pixels}
        fine.append(sum((weight * (pixels[k] - here) for k, weight in weights.items() if weight), here))
    shape = array.shape[:axis] + (-1,) + array.shape[axis + 1 :]
    return jnp.stack(fine, axis=axis + 1).reshape(shape)

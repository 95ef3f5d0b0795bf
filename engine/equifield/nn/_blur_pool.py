"""Anti-aliased subsampling."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..multi_image import MultiImage
from ..ops import average_pool, pad
from ..ops._per_axis import PerAxis, per_axis
from ._per_axis import check_positive


class BlurPool(eqx.Module):
    """Blurs, then keeps one pixel of `stride` (Zhang 2019, Making Convolutional Networks Shift-Invariant Again).

    The low-pass filter along each axis is the mean over `stride` pixels taken three times: the binomial 1 3 3 1 for a
    stride of 2, nothing for a stride of 1. Its taps lie symmetrically around the middle of each cell of `stride`
    pixels, as reflections need, and it has a triple zero at every frequency that would be mistaken for a constant.
    Constant fields stay constant where the boundary continues them so. On a torus the mean of every component is
    conserved. Zhang's strided convolution is a `Conv` without stride, an activation and a `BlurPool`.
    Commutes with every group that does not exchange axes of different strides.
    """

    stride: PerAxis = eqx.field(static=True)

    def __init__(self, stride: PerAxis = 2):
        """**Arguments:**

        - stride: how many times coarser the grid becomes, one number or one per axis.
        """
        self.stride = stride
        check_positive(self, stride)

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps a grid to one that is `stride` times coarser; beyond its edges it continues as its boundary says.

        **Raises:** `ValueError` when a side is not a multiple of the stride, with sides that are.
        """
        strides = per_axis(self.stride, image)
        margins = tuple(stride - 1 for stride in strides)
        array = pad(image, margins, margins)
        array = array.astype(jnp.promote_types(array.dtype, jnp.float32))
        for axis, stride in zip(image.grid_axes, strides, strict=True):
            array = _blurred(array, axis, stride)
        pooled = average_pool(image.with_array(array), strides)
        return image.with_array(pooled.array.astype(image.array.dtype))


def _blurred(array: Float[Array, "..."], axis: int, stride: int) -> Float[Array, "..."]:
    """The mean over `stride` pixels taken twice, which leaves `stride - 1` pixels fewer at both ends of the axis."""
    box = np.ones(stride) / stride
    weights = np.convolve(box, box).tolist()
    side = array.shape[axis] - len(weights) + 1
    taps = [weight * jax.lax.slice_in_dim(array, i, i + side, axis=axis) for i, weight in enumerate(weights)]
    return sum(taps[1:], taps[0])

"""Coarser and finer grids: pooling over windows that lie side by side, and its opposite."""

import jax.numpy as jnp

from ..multi_image import MultiImage, block_features, from_block_features
from ._channels import squared_norm
from ._per_axis import PerAxis, per_axis

TIE = {"float32": 1e-4, "float64": 1e-10}
"""The relative difference of squared norms below which two values tie, by precision."""


def average_pool(image: MultiImage, window: PerAxis = 2) -> MultiImage:
    """Each window becomes the mean of its pixels.

    **Raises** `ValueError` when a side is not a multiple of the window, with sides that are.
    """
    return image.with_array(jnp.mean(windows(image, window).array, axis=len(image.batch)))


def max_norm_pool(image: MultiImage, window: PerAxis = 2, *, signed_scalars: bool = False) -> MultiImage:
    """Each window becomes, channel by channel, its value of largest norm (arXiv:2305.12585).

    Values whose norms agree up to rounding are averaged, so no order of pixels is preferred. `signed_scalars` compares
    true scalars by their value instead of their absolute value. **Raises** `ValueError` as `average_pool`.
    """
    pixels = len(image.batch)
    gathered = windows(image, window)
    blocks = {}
    for representation in image.field_type.representations:
        fields = block_features(gathered, representation)
        if signed_scalars and representation.is_scalar:
            blocks[representation] = jnp.max(fields, axis=pixels)
        else:
            length = squared_norm(fields)
            largest = length >= (1 - TIE[str(length.dtype)]) * jnp.max(length, axis=pixels, keepdims=True)
            blocks[representation] = jnp.mean(fields, axis=pixels, where=largest)
    return from_block_features(blocks, image)


def unpool(image: MultiImage, factor: PerAxis = 2) -> MultiImage:
    """Repeats every pixel along each grid axis. **Raises** `ValueError` unless there is one factor per axis."""
    array = image.array
    for axis, repeats in zip(image.grid_axes, per_axis(factor, image), strict=True):
        array = jnp.repeat(array, repeats, axis=axis)
    return image.with_array(array)


def windows(image: MultiImage, window: PerAxis) -> MultiImage:
    """The pixels of each window along one more batch axis, the last, on the grid of windows."""
    sides = per_axis(window, image)
    # pixels left over would be dropped at one end only, which no reflection respects
    if any(side % width for side, width in zip(image.grid, sides, strict=True)):
        fits = (
            " or ".join(map(str, sorted({side // width * width or width, -(-side // width) * width})))
            for side, width in zip(image.grid, sides, strict=True)
        )
        raise ValueError(
            f"Pooling cuts a grid into whole windows of {' x '.join(map(str, sides))} pixels, but the grid is "
            f"{' x '.join(map(str, image.grid))}. Sides that work: {', '.join(fits)}."
        )
    first, ndim = len(image.batch), image.ndim
    coarse = [side // width for side, width in zip(image.grid, sides, strict=True)]
    split = [length for pair in zip(coarse, sides, strict=True) for length in pair]
    array = image.array.reshape(*image.batch, *split, image.array.shape[-1])
    among, within = (range(first + k, first + 2 * ndim, 2) for k in (0, 1))
    gathered = array.transpose(*range(first), *within, *among, first + 2 * ndim)
    return image.with_array(gathered.reshape(*image.batch, -1, *coarse, image.array.shape[-1]))

"""Extending an image beyond its edges, as its boundaries say."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..groups import SignedPermutation
from ..multi_image import MultiImage
from ._action import turn

MODE = {"periodic": "wrap", "zero": "constant", "reflect": "reflect", "replicate": "edge", "mirror": "symmetric"}


def pad(image: MultiImage, low: tuple[int, ...], high: tuple[int, ...]) -> Float[Array, "*batch_padded features"]:
    """The packed array with `low` pixels more at the beginning and `high` at the end of each grid axis.

    A negative number takes pixels away. Commutes with every group element, which permutes boundaries and widths.
    **Raises** `ValueError` when a reflection would need more pixels than the axis has.
    """
    array = image.array
    for axis in range(image.ndim):
        if low[axis] or high[axis]:
            array = _extend(array, image, axis, low[axis], high[axis], features=-1)
    return array


def pad_planes(
    planes: Float[Array, " features *batch_grid"], image: MultiImage, low: tuple[int, ...], high: tuple[int, ...]
) -> Float[Array, " features *batch_padded"]:
    """As `pad`, of the packed array of an image whose features have been moved to the front."""
    for axis in range(image.ndim):
        if low[axis] or high[axis]:
            planes = _extend(planes, image, axis, low[axis], high[axis], features=0)
    return planes


def _extend(
    array: Float[Array, "..."], image: MultiImage, axis: int, low: int, high: int, *, features: int
) -> Float[Array, "..."]:
    kind, side, place = image.boundary[axis], image.grid[axis], image.grid_axes[axis] + features + 1
    most = {"reflect": side - 1, "mirror": side}.get(kind)
    if most is not None and max(low, high) > most:
        raise ValueError(
            f"Grid axis {axis} of {side} pixels with the boundary {kind!r} continues for at most {most} pixels, but "
            f"{max(low, high)} are needed. Use a larger grid, a smaller kernel or dilation, or another boundary."
        )
    widths = [(0, 0)] * array.ndim
    widths[place] = (max(low, 0), max(high, 0))
    array = jnp.pad(array, widths, mode=MODE[kind])
    if kind == "mirror":
        before, inside, after = jnp.split(array, (max(low, 0), max(low, 0) + side), axis=place)
        before, after = (_reflected(ghost, image, axis, features) for ghost in (before, after))
        array = jnp.concatenate((before, inside, after), axis=place)
    kept = slice(max(-low, 0), array.shape[place] - max(-high, 0))
    return array[(slice(None),) * place + (kept,)]


def _reflected(ghost: Float[Array, "..."], image: MultiImage, axis: int, features: int) -> Float[Array, "..."]:
    flip = SignedPermutation.flip(image.ndim, axis)
    try:
        return jnp.moveaxis(turn(jnp.moveaxis(ghost, features, -1), image.field_type, flip), -1, features)
    except ValueError as error:
        raise ValueError(
            f"The boundary 'mirror' of grid axis {axis} reflects every field, but {error} Use another boundary, or "
            f"a group with that reflection."
        ) from error

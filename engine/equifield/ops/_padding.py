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
            array = _extend(array, image, axis, low[axis], high[axis])
    return array


def _extend(
    array: Float[Array, "*batch_grid features"], image: MultiImage, axis: int, low: int, high: int
) -> Float[Array, "*batch_padded features"]:
    kind, side, place = image.boundary[axis], image.grid[axis], image.grid_axes[axis]
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
        flip = SignedPermutation.flip(image.ndim, axis)
        before, inside, after = jnp.split(array, (max(low, 0), max(low, 0) + side), axis=place)
        try:
            before, after = (turn(ghost, image.field_type, flip) for ghost in (before, after))
        except ValueError as error:
            raise ValueError(
                f"The boundary 'mirror' of grid axis {axis} reflects every field, but {error} Use another boundary, or "
                f"a group with that reflection."
            ) from error
        array = jnp.concatenate((before, inside, after), axis=place)
    kept = slice(max(-low, 0), array.shape[place] - max(-high, 0))
    return array[(slice(None),) * place + (kept,)]

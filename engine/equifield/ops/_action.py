"""Group elements and translations acting on images."""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..field_type import FieldType
from ..groups import Group, SignedPermutation
from ..multi_image import MultiImage


def act(element: SignedPermutation, image: MultiImage) -> MultiImage:
    """The rotated or reflected image, (g.x)(a) = rho(g) x(g^-1 a).

    Grid sizes and boundaries are permuted along with the axes. Values only move and change sign, so the result is
    exact (arXiv:2305.12585). **Raises** `ValueError` when the dimensions differ.
    """
    if element.dimension != image.ndim:
        raise ValueError(f"{element} acts on {element.dimension} axes, but the image has {image.ndim}.")
    array = turn(image.array, image.field_type, element)
    first = image.grid_axes[0]
    order = (*range(first), *(first + axis for axis in element.inverse().images), array.ndim - 1)
    mirrored = [first + image_axis for image_axis, sign in zip(element.images, element.signs, strict=True) if sign < 0]
    array = jnp.flip(jnp.transpose(array, order), axis=mirrored)
    return MultiImage(array, image.field_type, element.permute(image.boundary))


def act_by_index(group: Group, index: Int[Array, ""] | int, image: MultiImage) -> MultiImage:
    """`act` with the element `group.elements[index]`, where the index may be traced: under `jit`, or mapped by `vmap`.

    **Raises** `ValueError` unless every element maps the grid and its boundaries to themselves: the shape of the
    result cannot depend on a traced index.
    """
    for element in group:
        if element.dimension != image.ndim or (element.permute(image.grid), element.permute(image.boundary)) != (
            image.grid,
            image.boundary,
        ):
            raise ValueError(
                f"`act_by_index` needs a grid that every element of {group} maps to itself, but {element} changes "
                f"{image.grid} with boundaries {image.boundary}. Use `act` with one element at a time."
            )
    sides = np.array(image.grid, np.int32)
    centred = 2 * np.moveaxis(np.indices(image.grid, np.int32), 0, -1) - (sides - 1)
    inverses = jnp.asarray(np.array([element.inverse().matrix for element in group], np.int32))[index]
    source = (centred @ inverses.T + sides - 1) // 2
    flat = source.reshape(-1, image.ndim) @ np.array([*np.cumprod(sides[:0:-1])[::-1], 1], np.int32)
    turns = [_turn(image.field_type, element) for element in group]
    features = jnp.asarray(np.array([places for places, _ in turns]))
    signs = jnp.asarray(np.array([factors for _, factors in turns]))
    pixels = image.array.reshape(*image.batch, -1, image.array.shape[-1])
    moved = jnp.take(jnp.take(pixels, flat, axis=-2), features[index], axis=-1)
    return image.with_array((moved * signs[index].astype(moved.dtype)).reshape(image.array.shape))


def translate(image: MultiImage, shift: tuple[int, ...]) -> MultiImage:
    """The image moved by whole pixels along its periodic axes.

    **Raises** `ValueError` for a shift along an axis that is not periodic: what leaves there cannot come back.
    """
    if len(shift) != image.ndim:
        raise ValueError(f"`translate` needs one shift per grid axis, {image.ndim} of them, not {shift}.")
    for axis, (steps, kind) in enumerate(zip(shift, image.boundary, strict=True)):
        if steps and kind != "periodic":
            raise ValueError(
                f"`translate` by {steps} along grid axis {axis} needs a periodic boundary there, but it is {kind!r}."
            )
    return image.with_array(jnp.roll(image.array, shift, image.grid_axes))


def turn(
    array: Float[Array, "*batch_grid features"], field_type: FieldType, element: SignedPermutation
) -> Float[Array, "*batch_grid features"]:
    """rho(g) applied to every packed pixel, which stays where it is: its components change places and signs."""
    source, signs = _turn(field_type, element)
    if (source != np.arange(len(source))).any():
        array = array[..., source]
    return array if (signs == 1).all() else array * jnp.asarray(signs, array.dtype)


@functools.cache
def _turn(
    field_type: FieldType, element: SignedPermutation
) -> tuple[Int[np.ndarray, " features"], Float[np.ndarray, " features"]]:
    """Which feature comes where, and with which sign: every rho(g) of the engine is a signed permutation."""
    sources, signs, start = [], [], 0
    for representation, channels in field_type:
        matrix = representation.matrix(element)
        source = np.argmax(np.abs(matrix), axis=1)
        sources.append((start + len(matrix) * np.arange(channels)[:, None] + source).reshape(-1))
        signs.append(np.tile(matrix[np.arange(len(matrix)), source], channels))
        start += channels * len(matrix)
    return np.concatenate(sources).astype(np.int32), np.concatenate(signs)

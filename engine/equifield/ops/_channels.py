"""The channels of a MultiImage: joining, splitting, naming and measuring them."""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..field_type import FieldType
from ..multi_image import MultiImage, block_features, from_block_features

UNROLLED = 16
"""Up to how many components are added one by one: compilers make slow loops of reductions over very short axes."""


def inner_product(
    first: Float[Array, "*fields"], second: Float[Array, "*fields"], axis: int = -1
) -> Float[Array, "*invariants"]:
    """The inner product of each two flattened values, in at least float32: products overflow early in float16.

    The components of a value lie along `axis`, which stays, with one entry.
    """
    precise = jnp.promote_types(jnp.result_type(first, second), jnp.float32)
    products = first.astype(precise) * second.astype(precise)
    if products.shape[axis] > UNROLLED:
        return jnp.sum(products, axis=axis, keepdims=True)
    return functools.reduce(jnp.add, jnp.split(products, products.shape[axis], axis=axis))


def squared_norm(fields: Float[Array, "*fields"], axis: int = -1) -> Float[Array, "*invariants"]:
    """The squared Euclidean norm of each flattened value, in at least float32."""
    return inner_product(fields, fields, axis)


def root(square: Float[Array, "..."]) -> Float[Array, "..."]:
    """The square root, with gradient zero at zero, where it would be infinite."""
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)


def concatenate(*images: MultiImage) -> MultiImage:
    """One image with the channels of all, type by type in the order given.

    **Raises** `ValueError` when boundaries, grids or batches differ.
    """
    if len({(image.boundary, image.array.shape[:-1]) for image in images}) != 1:
        shapes = [(image.array.shape[:-1], image.boundary) for image in images]
        raise ValueError(f"`concatenate` needs images of one grid, batch and boundary, not {shapes}.")
    field_type = sum((image.field_type for image in images[1:]), images[0].field_type)
    blocks = [
        image.array[..., image.field_type.slices(image.ndim)[representation]]
        for representation in field_type.representations
        for image in images
        if image.field_type.channels(representation)
    ]
    return MultiImage(jnp.concatenate(blocks, axis=-1), field_type, images[0].boundary)


def split(image: MultiImage, *field_types: FieldType) -> tuple[MultiImage, ...]:
    """The inverse of `concatenate`: images of the given types, which together hold every channel.

    **Raises** `ValueError` when the types do not add up to that of the image.
    """
    total = sum(field_types[1:], field_types[0])
    if total != image.field_type:
        raise ValueError(f"`split` of {image.field_type} needs types that add up to it, but these give {total}.")
    taken = dict.fromkeys(total.representations, 0)
    parts = []
    for field_type in field_types:
        blocks = {}
        for representation, channels in field_type:
            start = taken[representation]
            taken[representation] += channels
            blocks[representation] = block_features(image, representation)[..., start : start + channels, :]
        parts.append(from_block_features(blocks, image))
    return tuple(parts)


def channel_of_feature(field_type: FieldType, ndim: int) -> Int[np.ndarray, " features"]:
    """The channel, counted over all representations, that each packed feature is a component of."""
    sizes = [representation.size(ndim) for representation, channels in field_type for _ in range(channels)]
    return np.repeat(np.arange(len(sizes)), sizes)


def field_labels(field_type: FieldType) -> list[str]:
    """A name for each channel of a type, in packed order: `vector[0]`, `vector[1]`, ..."""
    return [f"{representation}[{channel}]" for representation, count in field_type for channel in range(count)]


def channel_norms(image: MultiImage) -> Float[np.ndarray, " channels"]:
    """The Euclidean norm of each channel over batch, grid and components, in float64."""
    norms = []
    for representation in image.field_type.representations:
        fields = np.asarray(block_features(image, representation), np.float64)
        norms.append(np.sqrt(np.square(fields).sum(axis=(*range(fields.ndim - 2), fields.ndim - 1))))
    return np.concatenate(norms)

"""The arithmetic that the normalisations share."""

from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..field_type import FieldType
from ..multi_image import MultiImage
from ..representations import Representation


class Affine(eqx.Module):
    """A learned factor for every channel, and a learned constant where one is invariant: for true scalars."""

    scale: dict[str, Float[Array, " channels"]]
    bias: dict[str, Float[Array, " channels"]]
    field_type: FieldType = eqx.field(static=True)

    def __init__(self, field_type: FieldType):
        """Ones and zeros: the identity."""
        self.field_type = field_type
        self.scale = {str(representation): jnp.ones(channels) for representation, channels in field_type}
        self.bias = {str(rho): jnp.zeros(channels) for rho, channels in field_type if rho.is_scalar}

    def __call__(self, image: MultiImage) -> MultiImage:
        """Scales every channel and shifts the true scalars."""
        scale, bias = [], []
        for representation, channels in self.field_type:
            size = representation.size(image.ndim)
            scale.append(jnp.repeat(self.scale[str(representation)], size))
            bias.append(self.bias.get(str(representation), np.zeros(channels * size)))
        factor, constant = (jnp.concatenate(blocks).astype(image.array.dtype) for blocks in (scale, bias))
        return image.with_array(image.array * factor + constant)


def normalise(image: MultiImage, groups: Mapping[Representation, int], affine: Affine, eps: float) -> MultiImage:
    """Centres and rescales the channels of each representation in equal groups, over the grid; in at least float32.

    The mean over pixels and the channels of a group is itself a value of the representation, so subtracting it commutes
    with rotations.
    """
    array = precise(image)
    mean = pooled(exact_mean(array, image.grid_axes), image, groups, components=False)
    variance = jnp.mean(jnp.square(array - mean), axis=image.grid_axes, keepdims=True)
    return rescale(image, mean, pooled(variance, image, groups, components=True), affine, eps)


def rescale(
    image: MultiImage,
    mean: Float[Array, "*batch_grid features"],
    variance: Float[Array, "*batch_grid features"],
    affine: Affine,
    eps: float,
) -> MultiImage:
    """Subtracts a mean and divides by the root of an invariant: half the variance, half the mean square of all fields.

    In the second half every representation counts alike. It matters where a symmetric input makes one of them vanish:
    its rounding errors would otherwise be scaled up to the size of a signal, in a direction that no law chose.
    """
    square = variance + jnp.square(mean)
    places = image.field_type.slices(image.ndim).values()
    power = sum(jnp.mean(square[..., place], axis=-1, keepdims=True) for place in places) / len(places)
    normal = image.with_array((precise(image) - mean) / jnp.sqrt((variance + power) / 2 + eps))
    return image.with_array(affine(normal).array.astype(image.array.dtype))


def precise(image: MultiImage) -> Float[Array, "*batch_grid features"]:
    """The packed array in at least float32."""
    return image.array.astype(jnp.promote_types(image.array.dtype, jnp.float32))


def exact_mean(array: Float[Array, "*shape"], axes: tuple[int, ...]) -> Float[Array, "*mean"]:
    """The mean over axes, which stay; a second pass over what the first leaves makes it exact for constant fields."""
    mean = jnp.mean(array, axis=axes, keepdims=True)
    return mean + jnp.mean(array - mean, axis=axes, keepdims=True)


def pooled(
    statistic: Float[Array, "*batch_grid features"],
    image: MultiImage,
    groups: Mapping[Representation, int],
    *,
    components: bool,
) -> Float[Array, "*batch_grid features"]:
    """Replaces a number per feature by its mean over the channels of a group, and over components too if asked."""
    blocks = []
    for representation, place in image.field_type.slices(image.ndim).items():
        features = statistic[..., place]
        parts = features.reshape(*features.shape[:-1], groups[representation], -1, representation.size(image.ndim))
        mean = jnp.mean(parts, axis=(-2, -1) if components else -2, keepdims=True)
        blocks.append(jnp.broadcast_to(mean, parts.shape).reshape(features.shape))
    return jnp.concatenate(blocks, axis=-1)


def check_eps(layer: eqx.Module, eps: float) -> None:
    """**Raises** `ValueError` unless `eps` keeps the divisor of a zero field away from zero."""
    if eps <= 0:
        raise ValueError(f"`{type(layer).__name__}(eps={eps})` needs a positive eps: a zero field has no variance.")

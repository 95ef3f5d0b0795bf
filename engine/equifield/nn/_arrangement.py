"""Where the features of an image lie while a layer computes: behind the grid, or before it."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..field_type import FieldType
from ..multi_image import MultiImage, block_features, from_block_features
from ..representations import Representation


@dataclass(frozen=True)
class Arrangement:
    """How the fields of one representation are laid out: `(*batch, *grid, channels, size)`, or channels and size first.

    Images are packed with their features last. Layers that put them first and back again cost nothing when they
    follow each other, because the compiler cancels the turns.
    """

    first: bool

    @property
    def size_axis(self) -> int:
        """The axis of the components of a value."""
        return 1 if self.first else -1

    def blocks(self, image: MultiImage) -> dict[Representation, Float[Array, "..."]]:
        """The fields of every representation."""
        if not self.first:
            return {rho: block_features(image, rho) for rho in image.field_type.representations}
        return blocks_of(jnp.moveaxis(image.array, -1, 0), image.field_type, image.ndim)

    def image(self, blocks: Mapping[Representation, Float[Array, "..."]], like: MultiImage) -> MultiImage:
        """The inverse of `blocks`: an image with the boundaries and the precision of `like`."""
        if not self.first:
            return from_block_features(blocks, like)
        field_type = FieldType({representation: block.shape[0] for representation, block in blocks.items()})
        ordered = (blocks[representation] for representation in field_type.representations)
        planes = jnp.concatenate([block.reshape(math.prod(block.shape[:2]), *block.shape[2:]) for block in ordered])
        return MultiImage(jnp.moveaxis(planes, 0, -1).astype(like.array.dtype), field_type, like.boundary)

    def mix(self, fields: Float[Array, "..."], mixing: Float[Array, "in_channels out_channels"]) -> Float[Array, "..."]:
        """Mixes the channels of the fields of one representation."""
        equation = "cd,cs...->ds..." if self.first else "cd,...cs->...ds"
        return jnp.einsum(equation, mixing.astype(fields.dtype), fields, precision=jax.lax.Precision.HIGHEST)

    def over_channels(self, numbers: Float[Array, " channels"], fields: Float[Array, "..."]) -> Float[Array, "..."]:
        """A number per channel, shaped to combine with fields, in their precision."""
        shape = (-1, *(1,) * (fields.ndim - 1)) if self.first else (-1, 1)
        return numbers.astype(fields.dtype).reshape(shape)

    def grid_axes(self, image: MultiImage) -> tuple[int, ...]:
        """The axes of the grid in the fields of an image."""
        return tuple(axis + 2 * self.first for axis in image.grid_axes)


def blocks_of(
    planes: Float[Array, " features *pixels"], field_type: FieldType, ndim: int
) -> dict[Representation, Float[Array, " channels size *pixels"]]:
    """The fields of every representation in an array with features first, on so many grid axes."""
    slices = field_type.slices(ndim)
    return {
        representation: planes[slices[representation]].reshape(channels, representation.size(ndim), *planes.shape[1:])
        for representation, channels in field_type
    }


LAST, FIRST = Arrangement(first=False), Arrangement(first=True)


class AbstractArranged(eqx.Module):
    """A layer that computes the same with features last, as in training, and first, as in inference."""

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps an image to another with features last."""
        return self.arranged(image, LAST)

    @abstractmethod
    def arranged(self, image: MultiImage, arrangement: Arrangement) -> MultiImage:
        """Maps an image to another, computing in this arrangement."""

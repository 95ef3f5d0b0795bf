"""Between the fields of each representation and a packed image."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..field_type import FieldType
from ..multi_image import MultiImage
from ..representations import Representation


def from_blocks(
    blocks: Mapping[Representation, Float[Array, "*batch_grid channels size"]], like: MultiImage
) -> MultiImage:
    """The inverse of `block_features`: an image with the boundaries and the precision of `like`."""
    field_type = FieldType({representation: block.shape[-2] for representation, block in blocks.items()})
    ordered = (blocks[representation] for representation in field_type.representations)
    packed = [block.reshape(*block.shape[:-2], -1) for block in ordered]
    return MultiImage(jnp.concatenate(packed, axis=-1).astype(like.array.dtype), field_type, like.boundary)


def channel_of_feature(field_type: FieldType, ndim: int) -> Int[np.ndarray, " features"]:
    """The channel, counted over all representations, that each packed feature is a component of."""
    sizes = [representation.size(ndim) for representation, channels in field_type for _ in range(channels)]
    return np.repeat(np.arange(len(sizes)), sizes)

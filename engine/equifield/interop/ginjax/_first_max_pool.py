"""ginjax's max pooling."""

import equinox as eqx
import jax.numpy as jnp

from ...multi_image import MultiImage, block_features, from_block_features
from ...ops import squared_norm
from ...ops._pooling import windows


class FirstMaxPool(eqx.Module):
    """Keeps, in each window of 2 pixels a side and in each channel, the value of largest norm; of equal ones the first.

    Which of equal norms comes first changes under rotation, so on symmetric or constant fields this commutes with no
    reflection; `equifield.nn.MaxNormPool` averages there.
    """

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps a grid to one that is twice coarser. **Raises** `ValueError` for odd sides."""
        if any(side % 2 for side in image.grid):
            raise ValueError(f"Pooling windows of 2 pixels need even sides, but the grid is {image.grid}.")
        pixels, gathered, blocks = len(image.batch), windows(image, 2), {}
        for representation in image.field_type.representations:
            fields = block_features(gathered, representation)
            first = jnp.argmax(jnp.sqrt(squared_norm(fields)), axis=pixels, keepdims=True)
            blocks[representation] = jnp.take_along_axis(fields, first, axis=pixels).squeeze(pixels)
        return from_block_features(blocks, image)

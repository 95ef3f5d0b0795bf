"""ginjax's max pooling."""

import itertools

import equinox as eqx
import jax.numpy as jnp

from ...multi_image import MultiImage, block_features
from ...nn._blocks import from_blocks
from ...ops import squared_norm


class FirstMaxPool(eqx.Module):
    """Keeps, in each window of 2 pixels a side and in each channel, the value of largest norm; of equal ones the first.

    Which of equal norms comes first changes under rotation, so on symmetric or constant fields this commutes with no
    reflection; `equifield.nn.MaxNormPool` averages there.
    """

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps a grid to one that is twice coarser. **Raises** `ValueError` for odd sides."""
        if any(side % 2 for side in image.grid):
            raise ValueError(f"Pooling windows of 2 pixels need even sides, but the grid is {image.grid}.")
        blocks = {}
        for representation in image.field_type.representations:
            fields = block_features(image, representation)
            windows = jnp.stack(
                [
                    fields[(..., *(slice(corner, None, 2) for corner in offset), slice(None), slice(None))]
                    for offset in itertools.product(range(2), repeat=image.ndim)
                ]
            )
            first = jnp.argmax(jnp.sqrt(squared_norm(windows)), axis=0, keepdims=True)
            blocks[representation] = jnp.take_along_axis(windows, first, axis=0)[0]
        return from_blocks(blocks, image)

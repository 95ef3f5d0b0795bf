"""The bias of ginjax's convolutions."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...field_type import FieldType
from ...multi_image import MultiImage
from ...nn._arrangement import AbstractArranged, Arrangement

BIASES = ("auto", "mean", "scalar")


class MeanBias(AbstractArranged):
    """Adds to each channel a learned multiple of its own mean over the grid; to true scalars a learned number.

    The mean over the grid is itself a value of the representation, so this commutes with every group, also where no
    constant is invariant. With `kind="mean"` scalars are treated as all others are.
    """

    weights: dict[str, Float[Array, " channels"]]
    kind: str = eqx.field(static=True)

    def __init__(self, field_type: FieldType, *, kind: str = "auto"):
        """All weights begin at zero. **Raises** `ValueError` for a kind that ginjax does not have."""
        if kind not in BIASES:
            raise ValueError(
                f"`MeanBias(kind={kind!r})` is not a bias of ginjax's: use one of {BIASES}. (With `use_bias=True` "
                f"ginjax gives images without any field.)"
            )
        self.kind = kind
        self.weights = {str(representation): jnp.zeros(channels) for representation, channels in field_type}

    def arranged(self, image: MultiImage, arrangement: Arrangement) -> MultiImage:
        """Maps an image to one of the same type."""
        blocks = {}
        for representation, fields in arrangement.blocks(image).items():
            bias = arrangement.over_channels(self.weights[str(representation)], fields)
            if not (representation.is_scalar and self.kind != "mean"):
                precise = fields.astype(jnp.promote_types(fields.dtype, jnp.float32))
                mean = jnp.mean(precise, axis=arrangement.grid_axes(image), keepdims=True)
                bias = bias * mean.astype(fields.dtype)
            blocks[representation] = fields + bias
        return arrangement.image(blocks, image)

"""An activation of the norm of each field."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..field_type import FieldType
from ..multi_image import MultiImage, block_features, from_block_features
from ..ops import squared_norm
from ._activations import Activation
from ._check import check_type


class NormActivation(eqx.Module):
    """Gives each value a new length and keeps its direction.

    A true scalar x becomes act(x). Any other value x becomes x act(n + b) / n, where n = sqrt(|x|^2 + eps) is its
    length, smooth at zero, and b a learned number per channel. Norms are invariant under every orthogonal
    representation, so the layer commutes with every group (Worrall et al. 2017, Harmonic networks).
    """

    bias: dict[str, Float[Array, " channels"]]
    field_type: FieldType = eqx.field(static=True)
    activation: Activation = eqx.field(static=True)
    eps: float = eqx.field(static=True)

    def __init__(self, field_type: FieldType, *, activation: Activation = jax.nn.gelu, eps: float = 1e-2):
        """**Arguments:**

        - field_type: the fields taken and given.
        - activation: any elementwise function. With one that is linear on positive numbers, such as ReLU, all but the
            scalars is left as it is until b is trained.
        - eps: added to the squared length. The layer scales values near zero by up to act(b) / sqrt(eps), and their
            rounding errors too.
        """
        if eps <= 0:
            raise ValueError(f"`NormActivation(eps={eps})` needs a positive eps: a norm is not smooth at zero.")
        self.field_type = field_type
        self.activation = activation
        self.eps = eps
        self.bias = {
            str(representation): jnp.zeros(channels)
            for representation, channels in field_type
            if not representation.is_scalar
        }

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps an image of `field_type` to another. **Raises** `ValueError` for any other type."""
        check_type(self, image, self.field_type)
        blocks = {}
        for representation in self.field_type.representations:
            fields = block_features(image, representation)
            if representation.is_scalar:
                blocks[representation] = self.activation(fields)
            else:
                length = jnp.sqrt(squared_norm(fields) + self.eps)
                bias = self.bias[str(representation)].astype(length.dtype)[:, None]
                blocks[representation] = fields * (self.activation(length + bias) / length)
        return from_block_features(blocks, image)

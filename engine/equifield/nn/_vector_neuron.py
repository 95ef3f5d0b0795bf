"""The vector-neuron nonlinearity."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from .._random import normal
from ..field_type import FieldType
from ..multi_image import MultiImage
from ..ops import inner_product, squared_norm
from ._activations import Activation
from ._arrangement import AbstractArranged, Arrangement
from ._check import check_type


class VectorNeuron(AbstractArranged):
    """Applies an activation to the part of each field that lies along a learned direction.

    A true scalar x becomes act(x). Any other field x is split along the unit value k of a learned mixture of
    its channels, and becomes x + (act(s) - s) k with s = <x, k>: the component s is replaced by act(s), the rest
    is left alone. This generalises the leaky ReLU of Deng et al. 2021, Vector Neurons, to any activation. Inner
    products are invariant under every orthogonal representation, so the layer commutes with every group. Near k = 0
    the direction fades to zero smoothly (it is shorter than a unit vector by `eps`), which keeps gradients finite.
    """

    mixing: dict[str, Float[Array, "in_channels out_channels"]]
    field_type: FieldType = eqx.field(static=True)
    activation: Activation = eqx.field(static=True)
    eps: float = eqx.field(static=True)

    def __init__(
        self,
        field_type: FieldType,
        *,
        activation: Activation = jax.nn.gelu,
        eps: float = 1e-2,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - field_type: the fields taken and given.
        - activation: any elementwise function.
        - eps: added to the squared length of the direction. Smaller values let rounding errors grow where the
            direction nearly vanishes: 1e-5 costs a factor of four in float32 equivariance.
        - key: randomness of the initial mixture.
        """
        if eps <= 0:
            raise ValueError(f"`VectorNeuron(eps={eps})` needs a positive eps: a zero field has no direction.")
        self.field_type = field_type
        self.activation = activation
        self.eps = eps
        self.mixing = {}
        for representation, channels in field_type:
            if not representation.is_scalar:
                key, subkey = jr.split(key)
                self.mixing[str(representation)] = normal(subkey, (channels, channels), deviation=channels**-0.5)

    def arranged(self, image: MultiImage, arrangement: Arrangement) -> MultiImage:
        """Maps an image of `field_type` to another. **Raises** `ValueError` for any other type."""
        check_type(self, image, self.field_type)
        blocks = {}
        for representation, fields in arrangement.blocks(image).items():
            if representation.is_scalar:
                blocks[representation] = self.activation(fields)
            else:
                mixed = arrangement.mix(fields, self.mixing[str(representation)])
                blocks[representation] = self._along_direction(fields, mixed, arrangement.size_axis)
        return arrangement.image(blocks, image)

    def _along_direction(
        self, fields: Float[Array, "*fields"], mixed: Float[Array, "*fields"], axis: int
    ) -> Float[Array, "*fields"]:
        direction = (mixed / jnp.sqrt(squared_norm(mixed, axis) + self.eps)).astype(fields.dtype)
        along = inner_product(fields, direction, axis).astype(fields.dtype)
        return fields + (self.activation(along) - along) * direction

"""ginjax's vector-neuron nonlinearity."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from ..._random import normal
from ...field_type import FieldType
from ...multi_image import MultiImage
from ...nn._activations import activation_named
from ...nn._arrangement import AbstractArranged, Arrangement
from ...ops import inner_product, root, squared_norm


class SignedVectorNeuron(AbstractArranged):
    """The vector-neuron layer as ginjax computes it: act(s) times the sign of s.

    A true scalar x becomes act(x). Any other field x is split along the direction k of a learned mixture of its
    channels, and becomes x - s k + act(s) s / (|s| + eps) k with s = <x, k>. Where s is negative the activated part
    therefore points the other way: tanh acts as |tanh|. `equifield.nn.VectorNeuron` puts act(s) there instead.
    """

    mixing: dict[str, Float[Array, "in_channels out_channels"]]
    field_type: FieldType = eqx.field(static=True)
    activation: str = eqx.field(static=True)
    eps: float = eqx.field(static=True)

    def __init__(self, field_type: FieldType, *, activation: str, eps: float = 1e-5, key: PRNGKeyArray):
        """**Arguments:**

        - field_type: the fields that may come; an image may carry only some of them.
        - activation: the name of an elementwise function, such as `"gelu"`.
        - eps: added to the length of the direction and to |s|.
        - key: randomness of the initial mixture.
        """
        activation_named(activation)
        self.field_type = field_type
        self.activation = activation
        self.eps = eps
        self.mixing = {}
        for representation, channels in field_type:
            if not representation.is_scalar:
                key, subkey = jr.split(key)
                self.mixing[str(representation)] = normal(subkey, (channels, channels), deviation=channels**-0.5)

    def arranged(self, image: MultiImage, arrangement: Arrangement) -> MultiImage:
        """Maps an image to one of the same type."""
        blocks = {}
        for representation, fields in arrangement.blocks(image).items():
            if representation.is_scalar:
                blocks[representation] = activation_named(self.activation)(fields)
            else:
                mixed = arrangement.mix(fields, self.mixing[str(representation)])
                blocks[representation] = self._along_direction(fields, mixed, arrangement.size_axis)
        return arrangement.image(blocks, image)

    def _along_direction(
        self, fields: Float[Array, "*fields"], mixed: Float[Array, "*fields"], axis: int
    ) -> Float[Array, "*fields"]:
        direction = (mixed / (root(squared_norm(mixed, axis)) + self.eps)).astype(fields.dtype)
        along = inner_product(fields, direction, axis).astype(fields.dtype)
        factor = activation_named(self.activation)(along) / (jnp.abs(along) + self.eps)
        return fields + (factor - 1) * along * direction

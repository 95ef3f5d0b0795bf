"""Gated nonlinearities."""

import equinox as eqx
import jax
from jaxtyping import Array

from ..field_type import FieldType
from ..multi_image import MultiImage, block_features, from_block_features
from ..representations import Representation, scalar
from ._activations import Activation
from ._check import check_type


class Gated(eqx.Module):
    """Multiplies each field by a gate: a bounded function of a true scalar that the layer before provides.

    Takes `in_type`, which is `field_type` and behind its scalars one more scalar s for every channel of anything else;
    gives `field_type`. A scalar x becomes act(x), any other field becomes gate(s) x. Scalars are invariant, so the
    layer commutes with every group (Weiler et al. 2018, 3D steerable CNNs).
    """

    field_type: FieldType = eqx.field(static=True)
    activation: Activation = eqx.field(static=True)
    gate: Activation = eqx.field(static=True)

    def __init__(
        self, field_type: FieldType, *, activation: Activation = jax.nn.gelu, gate: Activation = jax.nn.sigmoid
    ):
        """**Arguments:**

        - field_type: the fields given.
        - activation: any elementwise function, for the scalars.
        - gate: an elementwise function, for the gates. Bounded, so that a product does not grow as a square.
        """
        self.field_type = field_type
        self.activation = activation
        self.gate = gate

    @property
    def in_type(self) -> FieldType:
        """The fields taken: what the layer before must give."""
        channels = dict(self.field_type)
        return FieldType({**channels, scalar: sum(channels.values())})

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps fields of `in_type` to fields of `field_type`. **Raises** `ValueError` for any other type."""
        check_type(self, image, self.in_type)
        scalars, start = block_features(image, scalar), self.field_type.channels(scalar)
        blocks: dict[Representation, Array] = {}
        for representation, channels in self.field_type:
            if representation == scalar:
                blocks[representation] = self.activation(scalars[..., :channels, :])
            else:
                gates = self.gate(scalars[..., start : start + channels, :])
                blocks[representation] = gates * block_features(image, representation)
                start += channels
        return from_block_features(blocks, image)

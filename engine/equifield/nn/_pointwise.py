"""Activations of every component."""

import equinox as eqx
import jax

from ..field_type import FieldType
from ..groups import Group
from ..multi_image import MultiImage
from ..representations import is_permuted
from ._activations import Activation
from ._check import check_type


class Pointwise(eqx.Module):
    """Applies an activation to every component by itself.

    Commutes with the group where the group only permutes the components: in scalar and regular representations (Cohen
    and Welling 2016, Group equivariant convolutional networks), and whatever else has no signs under a small group.
    """

    field_type: FieldType = eqx.field(static=True)
    group: Group = eqx.field(static=True)
    activation: Activation = eqx.field(static=True)

    def __init__(self, group: Group, field_type: FieldType, *, activation: Activation = jax.nn.gelu):
        """**Arguments:**

        - group: the group the layer commutes with.
        - field_type: the fields taken and given.
        - activation: any elementwise function.

        **Raises:** `ValueError` when an element of the group changes the sign of a component.
        """
        signed = [str(rho) for rho in field_type.representations if not is_permuted(rho, group)]
        if signed:
            raise ValueError(
                f"`Pointwise` needs components that {group} only permutes, but signs change in {', '.join(signed)}. "
                f"Use `VectorNeuron`, `NormActivation` or `Gated`."
            )
        self.group = group
        self.field_type = field_type
        self.activation = activation

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps an image of `field_type` to another. **Raises** `ValueError` for any other type."""
        check_type(self, image, self.field_type, self.group)
        return image.with_array(self.activation(image.array))

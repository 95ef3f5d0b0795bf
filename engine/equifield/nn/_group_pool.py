"""From fields that the group turns to fields that it leaves alone."""

import equinox as eqx
import jax.numpy as jnp

from ..field_type import FieldType
from ..groups import Group
from ..multi_image import MultiImage, block_features
from ..ops import root, squared_norm
from ..representations import is_permuted, scalar
from ._check import check_type


class GroupPool(eqx.Module):
    """Turns every channel into a true scalar, which the group leaves alone.

    A value whose components the group only permutes, as the regular representation, becomes its largest component
    (Cohen and Welling 2016, Group Equivariant Convolutional Networks); any other becomes its Euclidean norm, which for
    tensors is the Frobenius norm. The gradient of the norm is taken as zero where the value is zero. The mean over a
    regular representation is linear: `Linear` can learn it.
    """

    in_type: FieldType = eqx.field(static=True)
    group: Group = eqx.field(static=True)

    def __init__(self, group: Group, in_type: FieldType):
        """**Arguments:**

        - group: the group the layer commutes with.
        - in_type: the fields taken.
        """
        self.group = group
        self.in_type = in_type

    @property
    def out_type(self) -> FieldType:
        """The fields given: one true scalar for every channel taken, in packed order."""
        return FieldType({scalar: sum(channels for _, channels in self.in_type)})

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps fields of `in_type` to scalars on the same grid. **Raises** `ValueError` for any other type."""
        check_type(self, image, self.in_type, self.group)
        invariants = []
        for representation in self.in_type.representations:
            fields = block_features(image, representation)
            permuted = is_permuted(representation, self.group)
            largest_or_norm = jnp.max(fields, axis=-1) if permuted else root(squared_norm(fields)[..., 0])
            invariants.append(largest_or_norm.astype(fields.dtype))
        return MultiImage(jnp.concatenate(invariants, axis=-1), self.out_type, image.boundary)

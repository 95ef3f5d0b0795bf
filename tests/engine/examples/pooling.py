"""Pooling, refinement and group averaging."""

import equinox as eqx
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from equifield import FieldType, Group, MultiImage
from equifield.groups import trivial
from equifield.nn import AvgPool, BlurPool, GlobalPool, GroupAverage, GroupPool, MaxNormPool, Upsample
from equifield.nn._stencil import Stencil

from .example import Example, every_type


class PlainConv(eqx.Module):
    """A convolution with an unconstrained kernel: commutes with translations alone."""

    kernel: Float[Array, "*sizes in_features out_features"]

    def __init__(self, dimension: int, field_type: FieldType, *, key: PRNGKeyArray):
        """Random weights from every feature to every other, in a kernel of side 3."""
        features = field_type.size(dimension)
        self.kernel = jr.normal(key, (3,) * dimension + (features, features)) / features

    def __call__(self, image: MultiImage) -> MultiImage:
        """Convolves fields of one type to fields of the same."""
        stencil = Stencil.on(trivial(image.ndim), 3, 1, 1, False)
        return stencil.convolve(image, self.kernel, None, image.field_type)


def simple_type(group: Group) -> FieldType:
    """A scalar and a vector: averages over all elements take long enough with these."""
    return FieldType.parse("scalar + vector")


EXAMPLES = {
    MaxNormPool: Example(lambda group, key: MaxNormPool(2), scales=0.5),
    AvgPool: Example(lambda group, key: AvgPool(2), scales=0.5),
    BlurPool: Example(lambda group, key: BlurPool(2), scales=0.5),
    GlobalPool: Example(lambda group, key: GlobalPool(), scales=0.0),
    GroupPool: Example(lambda group, key: GroupPool(group, every_type(group)), knows_group=True),
    Upsample: Example(lambda group, key: Upsample(3, method="linear"), scales=3.0),
    GroupAverage: Example(
        lambda group, key: GroupAverage(PlainConv(group.dimension, simple_type(group), key=key), group),
        simple_type,
        knows_group=True,
    ),
}

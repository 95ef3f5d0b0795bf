"""Normalisations and dropout."""

import equinox as eqx
import jax
import jax.random as jr

from equifield import FieldType, Group, MultiImage
from equifield.nn import BatchNorm, Dropout, GroupNorm, InstanceNorm, LayerNorm

from .example import Example, every_type


def even_type(group: Group) -> FieldType:
    """`every_type` with two channels where it has one."""
    return every_type(group).scaled(2)


class FixedBatchNorm(eqx.Module):
    """Inference, where an image gets the same answer in any batch."""

    layer: BatchNorm
    state: eqx.nn.State

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps an image to another."""
        return self.layer(image, self.state, inference=True)[0]


class FixedDropout(eqx.Module):
    """The same draw for every batch element, as if each were alone."""

    dropout: Dropout
    seed: int = eqx.field(static=True)

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps an image to another."""
        pixels = image.array.shape[len(image.batch) :]

        def drop(array: jax.Array) -> jax.Array:
            return self.dropout(image.with_array(array), key=jr.key(self.seed)).array

        return image.with_array(jax.vmap(drop)(image.array.reshape(-1, *pixels)).reshape(image.array.shape))


EXAMPLES = {
    BatchNorm: Example(lambda group, key: FixedBatchNorm(*eqx.nn.make_with_state(BatchNorm)(every_type(group)))),
    Dropout: Example(lambda group, key: FixedDropout(Dropout(0.4), seed=3)),
    GroupNorm: Example(lambda group, key: GroupNorm(even_type(group), groups=2), even_type),
    InstanceNorm: Example(lambda group, key: InstanceNorm(every_type(group))),
    LayerNorm: Example(lambda group, key: LayerNorm(every_type(group))),
}

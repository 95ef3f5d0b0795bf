"""Convolution on a grid with a metric."""

import equinox as eqx
import jax.numpy as jnp

from equifield import MultiImage
from equifield.metric import Metric
from equifield.nn import MetricConv

from .example import Example, every_type


class OnIsotropicMetric(eqx.Module):
    """The layer as a function of the image alone, with a metric that every group leaves as it is."""

    layer: MetricConv

    def __call__(self, image: MultiImage) -> MultiImage:
        identity = jnp.eye(image.ndim, dtype=image.array.dtype)
        return self.layer(image, Metric(jnp.broadcast_to(1.5 * identity, (*image.grid, *identity.shape))))


EXAMPLES = {
    MetricConv: Example(
        lambda group, key: OnIsotropicMetric(MetricConv(group, every_type(group), every_type(group), key=key)),
        knows_group=True,
    ),
}

"""A network together with the normalisation of its fields."""

from collections import Counter
from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from ..field_type import FieldType
from ..groups import hyperoctahedral
from ..models import AbstractNetwork
from ..multi_image import MultiImage
from ..nn import Linear
from ..nn._with_kernel import with_kernel
from ..representations import Representation, Tensor
from .manifest import FieldSpec, packed_fields

Affine = tuple[tuple[float, ...], tuple[float, ...]]


def field_type_of(fields: Sequence[FieldSpec]) -> FieldType:
    """The field type of a manifest's inputs or outputs."""
    channels: Counter[Representation] = Counter(Tensor(field.order, field.parity) for field in fields)
    return FieldType(channels)


class FieldModel(eqx.Module):
    """Maps fields in physical units to fields in physical units: normalise, apply the network, restore.

    Means and scales are one number per field, so normalising commutes with the group. What it multiplies by, and the
    means of what it gives, are linear layers, which `inference.merge` merges into the network's first and last.
    Subtracting the means of what it takes is none of them: where a field varies little about a large mean, the
    difference of two large sums would be left of it. For inference: train `network`, not the scales.
    """

    scale_in: Linear
    network: AbstractNetwork
    scale_out: Linear
    in_type: FieldType = eqx.field(static=True)
    in_affine: Affine = eqx.field(static=True)
    out_affine: Affine = eqx.field(static=True)

    def __init__(
        self,
        network: AbstractNetwork,
        inputs: Sequence[FieldSpec],
        outputs: Sequence[FieldSpec],
        ndim: int,
    ):
        self.network = network
        self.in_type = field_type_of(inputs)
        self.in_affine = affine(inputs, ndim)
        self.out_affine = affine(outputs, ndim)
        mean, scale = map(np.array, self.out_affine)
        self.scale_in = _diagonal(self.in_type, 1 / np.array(self.in_affine[1]), None, ndim)
        self.scale_out = _diagonal(field_type_of(outputs), scale, mean, ndim)

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps `(*batch, *grid)` fields in the manifest's units to predicted fields in the manifest's units."""
        mean, _ = _vectors(self.in_affine, image.array.dtype)
        return self.scale_out(self.network(self.scale_in(image.with_array(image.array - mean))))

    def normalised(self, prediction: MultiImage) -> MultiImage:
        """A prediction in normalised units, where fields of different units compare."""
        return normalise(prediction, self.out_affine)

    def physical(self, image: MultiImage) -> MultiImage:
        """An image of normalised input fields in the manifest's units."""
        return restore(image, self.in_affine)


def affine(fields: Sequence[FieldSpec], ndim: int) -> Affine:
    """The means and the scales of fields, one of each per packed feature."""
    packed = [(field, ndim**field.order) for field in packed_fields(tuple(fields))]
    means = tuple(field.mean for field, size in packed for _ in range(size))
    return means, tuple(field.scale for field, size in packed for _ in range(size))


def _diagonal(
    field_type: FieldType,
    factors: Float[np.ndarray, " features"],
    constants: Float[np.ndarray, " features"] | None,
    ndim: int,
) -> Linear:
    """Multiplies every feature by a factor and adds a constant."""
    layer = Linear(hyperoctahedral(ndim), field_type, field_type, use_bias=constants is not None, key=jr.key(0))
    kernel = jnp.asarray(np.diag(factors).reshape((1,) * ndim + (len(factors),) * 2), float)
    return with_kernel(layer, kernel, None if constants is None else jnp.asarray(constants, float))


def normalise(image: MultiImage, affine: Affine) -> MultiImage:
    """Fields less their means, divided by their scales."""
    mean, scale = _vectors(affine, image.array.dtype)
    return image.with_array((image.array - mean) / scale)


def restore(image: MultiImage, affine: Affine) -> MultiImage:
    """Normalised fields, multiplied by their scales, with their means."""
    mean, scale = _vectors(affine, image.array.dtype)
    return image.with_array(image.array * scale + mean)


def _vectors(affine: Affine, dtype: jnp.dtype) -> tuple[Float[Array, " features"], Float[Array, " features"]]:
    mean, scale = (jnp.asarray(np.array(values), dtype) for values in affine)
    return mean, scale
